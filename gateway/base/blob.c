/* base/blob.c -- one allocation a blob: two counts and the bytes. */
#include "base/blob.h"

#include <assert.h>
#include <stdlib.h>

struct blob *blob_new(size_t n)
{
    assert(n <= UINT32_MAX);
    struct blob *b = malloc(offsetof(struct blob, p) + n);
    if (!b) abort();
    atomic_init(&b->refs, 1);
    b->n = (uint32_t)n;
    return b;
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
