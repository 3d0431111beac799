/* serve/openapi_actions.h -- the actions of all models in the OpenAPI document: one path each, with the model's name in it. Pure. */
#ifndef PERIGEE_SERVE_OPENAPI_ACTIONS_H
#define PERIGEE_SERVE_OPENAPI_ACTIONS_H

#include "base/buffer.h"
#include "model/registry.h"

/* Models that have records; of these, those that load. */
bool openapi_has_records(const struct registry *r);
bool openapi_has_loaders(const struct registry *r);

/* 'parameters':[...]: the name of one of these in the path. */
void openapi_put_model_parameter(struct buffer *b, const struct registry *r, bool loaders);

/* Members of `paths` and of components/schemas, behind others; nothing where there are no records. */
void openapi_put_actions(struct buffer *b, const struct registry *r);
void openapi_put_action_schemas(struct buffer *b, const struct registry *r);

/* Kinds of calls (failures.h) that these are, as bits. */
unsigned openapi_action_kinds(const struct registry *r);

#endif
