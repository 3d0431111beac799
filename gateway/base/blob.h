/* base/blob.h -- immutable bytes shared by reference count, across threads too.
 * Whoever makes a blob fills it before the first hand-over; after that nobody writes. */
#ifndef PERIGEE_BASE_BLOB_H
#define PERIGEE_BASE_BLOB_H

#include "base/slice.h"

#include <stdatomic.h>
#include <stdint.h>

struct blob {
    _Atomic uint32_t refs;
    uint32_t n; /* bytes in p */
    char p[];
};

struct blob *blob_new(size_t n);            /* returns a new reference; bytes not set; n < 2^32 */
struct blob *blob_copy(struct slice bytes); /* returns a new reference to a copy */
struct blob *blob_ref(struct blob *b);      /* one reference more; returns b */
void blob_unref(struct blob *b);            /* NULL is fine; the last one frees */

static inline struct slice blob_slice(const struct blob *b) { return (struct slice){b->p, b->n}; }

#endif
