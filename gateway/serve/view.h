/* serve/view.h -- how much of a document is asked for: `_depth`, `_include`, `_fields`; and whether it is to be explained: `_explain`.
 * Pure. */
#ifndef PERIGEE_SERVE_VIEW_H
#define PERIGEE_SERVE_VIEW_H

#include "model/key.h"

/* A choice among the fields of one model, and below its references. A NULL pick is no choice: everything, as far as depth reaches. */
struct pick {
    const struct pick *const *field; /* by field index: NULL: not chosen. NULL itself: none is chosen */
};

extern const struct pick pick_all;  /* of `fields`: this member, with everything below it */
extern const struct pick pick_none; /* of `include`: this reference, and no further */

struct view {
    unsigned depth;             /* levels of references that are resolved */
    const struct pick *include; /* which references; NULL: all */
    const struct pick *fields;  /* which members; NULL: all */
    bool depth_given;           /* by `_depth`, which beats what `_include` says */
    bool explain;               /* where everything came from is told, too */
};

#define VIEW_PICKS_MAX 256 /* choices among the fields of a model that one query may make */

/* What this model's reads show unless they say otherwise. */
struct view view_default(const struct model *m);

/* Takes one option of a query; *taken tells whether it was one of ours. UNKNOWN_FIELD, MALFORMED_REQUEST. The view's parts lie in the
 * arena. */
enum status view_option(const struct model *m, const struct query_option *option, struct arena *arena, struct view *v,
                        bool *taken, struct problem *why);

/* Takes `_explain=1` or `_explain=0`, or leaves it: then *taken is false. *given tells whether it stood there before. */
enum status view_explain_option(const struct query_option *option, bool *given, bool *explain, bool *taken,
                                struct problem *why);

/* A query of a read: the record it names, and how much of its document. Options that nobody knows are MALFORMED_REQUEST. Everything lies in
 * the arena. */
enum status view_query(const struct model *m, struct slice query, struct arena *arena, struct record_key *key,
                       struct view *v, struct problem *why);

/* Is the record asked for as it is stored? */
static inline bool view_is_record(const struct view *v) { return v->depth == 0 && !v->fields && !v->explain; }

/* What is chosen below a reference field, NULL: everything; false when the field itself is not chosen. */
static inline bool pick_below(const struct pick *pick, size_t field, const struct pick **below)
{
    *below = pick && pick->field ? pick->field[field] : NULL;
    bool chosen = !pick || *below;
    if (*below == &pick_all) *below = NULL;
    return chosen;
}

#endif
