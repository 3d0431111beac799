/* serve/view.h -- how much of a document is asked for: `_depth`, `_include`, `_fields`. Pure. */
#ifndef PERIGEE_SERVE_VIEW_H
#define PERIGEE_SERVE_VIEW_H

#include "model/key.h"

/* A choice among the fields of one model, and below its references. A NULL pick is no choice: everything, as far as depth reaches. */
struct pick {
    const struct pick *const *field; /* by field index: NULL: not chosen; &pick_all: with everything below it */
};

extern const struct pick pick_all;

struct view {
    unsigned depth;             /* levels of references that are resolved */
    const struct pick *include; /* which references; NULL: all */
    const struct pick *fields;  /* which members; NULL: all */
};

/* What this model's reads show unless they say otherwise. */
struct view view_default(const struct model *m);

/* Takes one option of a query; *taken tells whether it was one of ours. UNKNOWN_FIELD, MALFORMED_REQUEST. The view's parts lie in the
 * arena. */
enum status view_option(const struct model *m, const struct query_option *option, struct arena *arena, struct view *v,
                        bool *taken, struct problem *why);

#endif
