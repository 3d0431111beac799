/* base/blob.c -- one allocation a blob: two counts, the bytes, and perhaps room behind them. */
#include "base/blob.h"

#include <assert.h>
#include <malloc.h>
#include <stdalign.h>
#include <stdlib.h>

/* Where the room begins. */
static size_t behind(size_t n) { return (offsetof(struct blob, p) + n + alignof(void *) - 1) & -alignof(void *); }

struct blob *blob_new_with_room(size_t n, size_t room)
{
    assert(n <= INT32_MAX);
    struct blob *b = malloc(room ? behind(n) + room : offsetof(struct blob, p) + n);
    if (!b) abort();
    atomic_init(&b->refs, 1);
    b->n = (uint32_t)n & INT32_MAX;
    b->room_taken = 0;
    return b;
}

struct blob *blob_new(size_t n) { return blob_new_with_room(n, 0); }

bool blob_houses(struct blob *b, const void *what) { return what == (char *)b + behind(b->n); }

void *blob_room(struct blob *b, size_t room)
{
    return !b->room_taken && malloc_usable_size(b) >= behind(b->n) + room ? (char *)b + behind(b->n) : NULL;
}

void blob_take_room(struct blob *b)
{
    assert(!b->room_taken);
    b->room_taken = 1;
}

struct blob *blob_copy(struct slice bytes)
{
    struct blob *b = blob_new(bytes.n);
    if (bytes.n) memcpy(b->p, bytes.p, bytes.n);
    return b;
}

/* Relaxed: whoever can ask for one more already holds one, so the bytes are in its sight. */
struct blob *blob_ref(struct blob *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

/* Release, that our reads are over; acquire, that the last one sees the others' reads are. */
void blob_unref(struct blob *b)
{
    if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1) free(b);
}
