/* store/families.h -- what many keys begin with, kept once. A stored key is `prefix:Model:fingerprint:pairs`, and a million records of a model
 * have all but the pairs in common: that beginning, to the last colon, is the family's name, and an entry of memory.c keeps its number
 * and the rest.
 * Bounded: families are as many as models and their generations; where there is no room for one more, its keys are of no family, and kept
 * whole. Never forgets one. Any thread, without a lock. */
#ifndef PERIGEE_STORE_FAMILIES_H
#define PERIGEE_STORE_FAMILIES_H

#include "base/blob.h"

#define FAMILIES_MAX 1024 /* a power of two; the first is of no name */
#define FAMILY_NONE  0

struct families {
    _Atomic uint64_t bytes;
    struct blob *_Atomic name[FAMILIES_MAX];
};

/* Over memory that is all zero. */
void families_init(struct families *f);
void families_deinit(struct families *f);

/* Of the family that this key belongs to, from now on; it may be FAMILY_NONE. */
uint16_t families_of(struct families *f, struct slice key);

/* What its keys begin with; of FAMILY_NONE nothing. Borrows f. */
static inline struct slice families_name(struct families *f, uint16_t number)
{
    return blob_slice(atomic_load_explicit(&f->name[number], memory_order_acquire));
}

#endif
