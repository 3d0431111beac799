/* base/arena.h -- memory that is given back all at once: one request, one load, one parse.
 * Allocation never fails (out of memory dies), so sizes that strangers control must meet a cap first. */
#ifndef PERIGEE_BASE_ARENA_H
#define PERIGEE_BASE_ARENA_H

#include "base/slice.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    char *next, *end;           /* free room of the newest block */
    size_t used;                /* bytes handed out since the last reset */
};

void arena_init(struct arena *a);   /* allocates nothing yet */
void arena_deinit(struct arena *a); /* gives all back */
void arena_reset(struct arena *a);  /* forgets all, keeps one block of at most 16 KiB for reuse */

void *arena_alloc(struct arena *a, size_t n);  /* 16-byte aligned, not cleared */
void *arena_zalloc(struct arena *a, size_t n); /* cleared */
char *arena_bytes(struct arena *a, size_t n);  /* unaligned */

/* A copy, followed by a NUL that does not count; an absent slice stays absent. */
struct slice arena_dup(struct arena *a, struct slice s);
struct slice arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
