/* base/map.c -- linear probing, at most three quarters full, no tombstones: a removal shifts back what came
 * after, so the table stays as if what is gone had never been there. */
#include "base/map.h"

#include "base/hash.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST_SLOTS 8 /* capacities are powers of two */

void map_init(struct map *m) { *m = (struct map){0}; }

void map_deinit(struct map *m)
{
    free(m->slots);
    map_init(m);
}

/* Where the key is, or the empty slot where it would go. The table has an empty slot. */
static struct map_slot *find(const struct map *m, uint64_t hash, struct slice key)
{
    size_t i = hash & (m->cap - 1);
    while (m->slots[i].key.p && !(m->slots[i].hash == hash && slice_eq(m->slots[i].key, key)))
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

void *map_get(const struct map *m, struct slice key)
{
    if (m->n == 0) return NULL;
    return find(m, hash_seeded(key), key)->value;
}

static void grow(struct map *m)
{
    struct map old = *m;
    m->cap = old.cap ? old.cap * 2 : FIRST_SLOTS;
    m->slots = calloc(m->cap, sizeof *m->slots);
    if (!m->slots) abort();
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].key.p) *find(m, old.slots[i].hash, old.slots[i].key) = old.slots[i];
    free(old.slots);
}

void *map_put(struct map *m, struct slice key, void *value)
{
    assert(key.p && value);
    if (m->n + 1 > m->cap / 4 * 3) grow(m);
    uint64_t hash = hash_seeded(key);
    struct map_slot *slot = find(m, hash, key);
    void *replaced = slot->value;
    if (!replaced) m->n++;
    *slot = (struct map_slot){hash, key, value}; /* the new key too: the old one goes with the old value */
    return replaced;
}

void *map_remove(struct map *m, struct slice key)
{
    if (m->n == 0) return NULL;
    struct map_slot *slot = find(m, hash_seeded(key), key);
    void *removed = slot->value;
    if (!removed) return NULL;
    size_t mask = m->cap - 1, hole = (size_t)(slot - m->slots);
    for (size_t i = (hole + 1) & mask; m->slots[i].key.p; i = (i + 1) & mask) {
        size_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask)) continue; /* its home lies behind the hole */
        m->slots[hole] = m->slots[i];
        hole = i;
    }
    m->slots[hole] = (struct map_slot){0};
    m->n--;
    return removed;
}

void *map_next(const struct map *m, size_t *at)
{
    while (*at < m->cap) {
        const struct map_slot *slot = &m->slots[(*at)++];
        if (slot->key.p) return slot->value;
    }
    return NULL;
}
