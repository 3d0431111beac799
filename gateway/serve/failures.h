/* serve/failures.h -- how each kind of call can fail, for openapi.c. Pure. */
#ifndef PERIGEE_SERVE_FAILURES_H
#define PERIGEE_SERVE_FAILURES_H

#include "base/buffer.h"

/* clang-format off */
/* LOOK, DOCUMENT: HEAD and GET of a model with references. VET: of a model that has references, or handlers that judge what is saved. */
enum call_kind { ANY, READ, LOAD, LOOK, DOCUMENT, SAVE, VET_SAVE, PATCH, VET_PATCH, DELETE, SCHEMA,
            CALL, POST, FORGET, FORM_CALL, FORM_POST, FORM_FORGET, TOUCH, INVALIDATE, INVALIDATE_FORM,
            INVALIDATE_TAGS, REFRESH, BULK, CALLS };
/* clang-format on */

/* ,"404":{...} for each status: members of the call's `responses`, behind others. */
void failures_put_references(struct buffer *b, enum call_kind call);

/* What they refer to: members of components/responses, behind others, and of components/examples. `used`: a bit for each kind of call
 * that the document has. */
void failures_put_responses(struct buffer *b, unsigned used);
void failures_put_examples(struct buffer *b, unsigned used);

#endif
