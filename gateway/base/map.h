/* base/map.h -- a hash table from bytes to pointers; open addressing, seeded hash, no order.
 * Keys are borrowed for as long as they are in the table: keep them inside the value they lead to. */
#ifndef PERIGEE_BASE_MAP_H
#define PERIGEE_BASE_MAP_H

#include "base/slice.h"

#include <stdint.h>

struct map_slot {
    uint64_t hash;
    struct slice key; /* key.p NULL: empty */
    void *value;
};

struct map {
    struct map_slot *slots;
    size_t n, cap;
};

void map_init(struct map *m); /* allocates nothing yet */
void map_deinit(struct map *m);
void *map_get(const struct map *m, struct slice key);        /* NULL when absent */
void *map_put(struct map *m, struct slice key, void *value); /* keeps key; returns the value replaced, or NULL */
void *map_remove(struct map *m, struct slice key);           /* returns the value removed, or NULL */

/* Walks all values in no order: start with *at = 0; NULL at the end. The table must not change meanwhile. */
void *map_next(const struct map *m, size_t *at);

#endif
