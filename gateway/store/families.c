/* store/families.c -- an open-addressed table of names that only grows: a slot is set once and never changes. */
#include "store/families.h"

#include "base/hash.h"

#include <malloc.h>

#define PROBES 16

void families_init(struct families *f) { atomic_store(&f->name[FAMILY_NONE], blob_new(0)); }

void families_deinit(struct families *f)
{
    for (size_t i = 0; i < FAMILIES_MAX; i++) blob_unref(atomic_load(&f->name[i]));
}

/* Puts the name into an empty slot, unless somebody was faster; returns what stands there now. */
static struct blob *settle(struct families *f, size_t slot, struct slice name)
{
    struct blob *mine = blob_copy(name), *there = NULL;
    if (!atomic_compare_exchange_strong(&f->name[slot], &there, mine)) {
        blob_unref(mine);
        return there;
    }
    atomic_fetch_add_explicit(&f->bytes, malloc_usable_size(mine) + sizeof(size_t), memory_order_relaxed);
    return mine;
}

uint16_t families_of(struct families *f, struct slice key)
{
    const char *colon = key.n ? memrchr(key.p, ':', key.n) : NULL;
    if (!colon) return FAMILY_NONE;
    struct slice name = slice_from(key.p, (size_t)(colon - key.p) + 1);
    uint64_t hash = hash_text(name);
    for (size_t i = 0; i < PROBES; i++) {
        size_t slot = (hash + i) % FAMILIES_MAX;
        if (slot == FAMILY_NONE) continue;
        struct blob *there = atomic_load_explicit(&f->name[slot], memory_order_acquire);
        if (!there) there = settle(f, slot, name);
        if (slice_eq(blob_slice(there), name)) return (uint16_t)slot;
    }
    return FAMILY_NONE;
}
