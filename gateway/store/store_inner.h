/* store/store_inner.h -- between the halves of the store: store.c has it and one record, store_many.c many at once. Private to store/store*.c. */
#ifndef PERIGEE_STORE_STORE_INNER_H
#define PERIGEE_STORE_STORE_INNER_H

#include "base/clock.h"
#include "store/servers.h"
#include "store/store.h"

struct store {
    struct memory *memory;
    struct servers servers; /* none: records live in memory */
    struct near *near;      /* NULL: none */
    struct counter *near_hits, *near_misses, *near_off, *near_stale;
    struct epochs *epochs;    /* NULL: nothing is ever invalidated by name */
    struct epochs_sync *sync; /* with Redis and epochs */
    struct metrics *metrics;
};

/* Is all that has been invalidated known here, without asking? */
static inline bool store_is_level(const struct store *s)
{
    return s->sync && s->near && near_trusted(s->near, clock_mono_us()) && epochs_are_level(s->sync);
}

#endif
