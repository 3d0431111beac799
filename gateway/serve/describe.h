/* serve/describe.h -- GET /models, /forms, /models/NAME/_schema, /openapi.json: what this gateway has, for programs. Each text is
 * made when it is first asked for, once a generation of models and worker, and sent without a copy. */
#ifndef PERIGEE_SERVE_DESCRIBE_H
#define PERIGEE_SERVE_DESCRIBE_H

#include "serve/serve.h"

/* Answers OP_LIST, OP_SCHEMA (of `served`) or OP_OPENAPI (`served` NULL but for OP_SCHEMA). */
void describe_answer(struct exchange *ex, struct served *served, enum operation op);

#endif
