/* base/blob.h -- immutable bytes shared by reference count, across threads too.
 * Whoever makes a blob fills it before the first hand-over; after that nobody writes. */
#ifndef PERIGEE_BASE_BLOB_H
#define PERIGEE_BASE_BLOB_H

#include "base/slice.h"

#include <stdatomic.h>
#include <stdint.h>

struct blob {
    _Atomic uint32_t refs;
    uint32_t n : 31, room_taken : 1; /* bytes in p; is something behind them? */
    char p[];
};

struct blob *blob_new(size_t n);            /* returns a new reference; bytes not set; n < 2^31 */
struct blob *blob_copy(struct slice bytes); /* returns a new reference to a copy */
struct blob *blob_ref(struct blob *b);      /* one reference more; returns b */
void blob_unref(struct blob *b);            /* NULL is fine; the last one frees */

/* What belongs to a blob and to nothing else can live in its block, behind the bytes: a store's entry for it, of which there would be a small
 * block for each large one. It has the blob's life. */
struct blob *blob_new_with_room(size_t n, size_t room); /* as blob_new, and so many bytes more */

/* The place, aligned for a pointer, if it has `room` bytes and is free; else NULL. Whoever has written there says so, before the blob is
 * handed to another thread. */
void *blob_room(struct blob *b, size_t room);
void blob_take_room(struct blob *b);

/* Is this what lives in the blob's room? */
bool blob_houses(struct blob *b, const void *what);

static inline struct slice blob_slice(const struct blob *b) { return (struct slice){b->p, b->n}; }

#endif
