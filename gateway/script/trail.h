/* script/trail.h -- the loads that lead to a task: a handler that asks for a record makes it load, whose handler may ask again. Whoever
 * would wait for a load of its own trail would wait for itself. */
#ifndef PERIGEE_SCRIPT_TRAIL_H
#define PERIGEE_SCRIPT_TRAIL_H

#include <stdbool.h>
#include <stdint.h>

#define TRAIL_MAX 16 /* loads within loads */

/* The hashes of the stored keys being loaded (hash_fixed), outermost first. A NULL trail is an empty one. */
struct trail {
    uint64_t request; /* of the client that began it, for the log; 0: none */
    uint64_t batch;   /* the innermost loads are made together, and are known by this (load_batch); 0: there is one */
    unsigned n;
    uint64_t load[TRAIL_MAX];
};

static inline bool trail_has(const struct trail *t, uint64_t load)
{
    for (unsigned i = 0; t && i < t->n; i++)
        if (t->load[i] == load) return true;
    return false;
}

/* Is there no room for one load more? */
static inline bool trail_is_full(const struct trail *t) { return t && t->n == TRAIL_MAX; }

/* The trail of a load that is started from here; there is room. */
static inline struct trail trail_with(const struct trail *t, uint64_t load)
{
    struct trail longer = {0};
    if (t) longer = *t;
    longer.batch = 0;
    longer.load[longer.n++] = load;
    return longer;
}

#endif
