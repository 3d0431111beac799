/* store/redis_ring.c -- places in a circle; see the header. */
#include "store/redis_ring.h"

#include <assert.h>
#include <stdlib.h>

void redis_slot_end(struct redis_slot *slot, enum status status, struct blob *value)
{
    struct redis_command *c = slot->command;
    for (int i = 0; i < REDIS_SLOT_COMMANDS; i++) redisFreeSdsCommand(slot->held[i]);
    if (!c) {
        blob_unref(value);
        return;
    }
    c->slot = NULL;
    c->done(c, status, value);
}

void redis_ring_init(struct redis_ring *ring, unsigned size)
{
    *ring = (struct redis_ring){.slot = calloc(size, sizeof *ring->slot), .size = size};
    if (!ring->slot) abort();
}

void redis_ring_deinit(struct redis_ring *ring)
{
    assert(ring->n == 0 && ring->held_bytes == 0);
    free(ring->slot);
}

struct redis_slot *redis_ring_oldest(const struct redis_ring *ring)
{
    struct redis_slot *oldest = redis_ring_front(ring);
    for (unsigned i = 1; i < ring->n; i++) {
        struct redis_slot *slot = redis_ring_at(ring, i);
        if (slot->started_us < oldest->started_us) oldest = slot;
    }
    return oldest;
}

struct redis_slot *redis_ring_append(struct redis_ring *ring, const struct redis_slot *slot)
{
    assert(ring->n < ring->size);
    struct redis_slot *last = redis_ring_at(ring, ring->n++);
    *last = *slot;
    for (int i = 0; i < REDIS_SLOT_COMMANDS; i++) last->held[i] = NULL;
    if (last->command) last->command->slot = last;
    return last;
}

struct redis_slot redis_ring_shift(struct redis_ring *ring)
{
    assert(ring->n > 0);
    struct redis_slot slot = *redis_ring_front(ring);
    for (int i = 0; i < REDIS_SLOT_COMMANDS; i++)
        if (slot.held[i]) ring->held_bytes -= sdslen(slot.held[i]);
    ring->first = ring->first + 1 < ring->size ? ring->first + 1 : 0;
    ring->n--;
    return slot;
}

void redis_ring_hold(struct redis_ring *ring, struct redis_slot *slot, int i, sds command)
{
    slot->held[i] = command;
    ring->held_bytes += sdslen(command);
}

sds redis_ring_let_out(struct redis_ring *ring, struct redis_slot *slot, int i)
{
    sds command = slot->held[i];
    slot->held[i] = NULL;
    ring->held_bytes -= sdslen(command);
    return command;
}
