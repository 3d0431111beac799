/* serve/lists.h -- what there is: models with their methods, forms with theirs. Pure, like schema.h. */
#ifndef PERIGEE_SERVE_LISTS_H
#define PERIGEE_SERVE_LISTS_H

#include "base/buffer.h"
#include "model/registry.h"

/* {"models":[...],"links":{...}}: what GET /models answers. */
void lists_put_models(struct buffer *b, const struct registry *r);

/* {"forms":[...],"links":{...}}: what GET /forms answers. */
void lists_put_forms(struct buffer *b, const struct registry *r);

#endif
