/* serve/openapi.h -- all that this gateway answers, as OpenAPI 3.1. Pure, like schema.h. */
#ifndef PERIGEE_SERVE_OPENAPI_H
#define PERIGEE_SERVE_OPENAPI_H

#include "base/buffer.h"
#include "model/registry.h"

/* The whole document: {"openapi":"3.1.0",...}. */
void openapi_put(struct buffer *b, const struct registry *r);

#endif
