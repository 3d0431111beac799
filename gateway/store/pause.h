/* store/pause.h -- how long to wait before the next connection: 100 ms, then 4 times as long, 1.9 s at most, each less up to a tenth by chance.
 * So who comes back is used again within 2 s, is asked no more than 20 times in 30 s, and not by all at once. */
#ifndef PERIGEE_STORE_PAUSE_H
#define PERIGEE_STORE_PAUSE_H

#include "base/hash.h"

#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 1900

struct pause {
    uint64_t ms; /* 0: as PAUSE_MIN_MS */
    uint64_t times;
};

/* It has been good for something: begin anew. */
static inline void pause_reset(struct pause *p) { p->ms = 0; }

static inline uint64_t pause_next(struct pause *p)
{
    uint64_t ms = p->ms ? p->ms : PAUSE_MIN_MS, salt[] = {(uintptr_t)p, p->times++};
    p->ms = ms * 4 < PAUSE_MAX_MS ? ms * 4 : PAUSE_MAX_MS;
    return ms - hash_seeded(slice_from(salt, sizeof salt)) % (ms / 10 + 1);
}

#endif
