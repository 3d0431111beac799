/* store/redis_ring.h -- the commands of a connection that wait for their answers, oldest first, each in its place.
 *
 * Replies come in the order of questions, so the front is always what the next reply answers. A place stays where it is until it is answered or taken
 * out, and its command points to it. A cancelled command leaves its place, since its reply still comes. Private to store/redis*.c. */
#ifndef PERIGEE_STORE_REDIS_RING_H
#define PERIGEE_STORE_REDIS_RING_H

#include "store/redis_inner.h"

struct redis_ring {
    struct redis_slot *slot; /* `size` of them */
    unsigned size, first, n; /* n wait, from `first` on */
    size_t held_bytes;       /* of all that is held in them */
};

/* Ends the command of a place that is in no ring: frees what it holds, and tells its owner, who may start, cancel and close what he likes; or gives
 * the value back where nobody waits for it. */
void redis_slot_end(struct redis_slot *slot, enum status status, struct blob *value);

void redis_ring_init(struct redis_ring *ring, unsigned size);
void redis_ring_deinit(struct redis_ring *ring); /* an empty one */

/* The i-th oldest, i < size. */
static inline struct redis_slot *redis_ring_at(const struct redis_ring *ring, unsigned i)
{
    unsigned at = ring->first + i;
    return &ring->slot[at < ring->size ? at : at - ring->size];
}

static inline struct redis_slot *redis_ring_front(const struct redis_ring *ring) { return redis_ring_at(ring, 0); }

/* Who has waited longest: mostly the front, but what had to be asked again stands behind others. There is one. */
struct redis_slot *redis_ring_oldest(const struct redis_ring *ring);

/* Gives the last place to a copy of this one, without what it holds; its command points there. There is room. */
struct redis_slot *redis_ring_append(struct redis_ring *ring, const struct redis_slot *slot);

/* The front leaves. What it held is the caller's, to free or to give another place. */
struct redis_slot redis_ring_shift(struct redis_ring *ring);

/* Keeps the i-th command of this place, which takes it; and gives it back. */
void redis_ring_hold(struct redis_ring *ring, struct redis_slot *slot, int i, sds command);
sds redis_ring_let_out(struct redis_ring *ring, struct redis_slot *slot, int i);

#endif
