/* base/arena.c -- a chain of blocks, filled from the front, freed together.
 *
 * Blocks double from 1 KiB to 16 KiB, so that a small request costs little and a large one few calls. What is
 * larger than a quarter of the largest block gets a block to itself, chained behind the newest, whose free
 * room stays in use. Under AddressSanitizer the free room is poisoned: a write past an allocation's
 * neighbours, or a look at what a reset took back, is found there as it would be with malloc. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISON 1
#endif
#endif
#ifdef ARENA_POISON
#include <sanitizer/asan_interface.h>
#define poison(p, n)   __asan_poison_memory_region(p, n)
#define unpoison(p, n) __asan_unpoison_memory_region(p, n)
#else
#define poison(p, n)   ((void)(p), (void)(n))
#define unpoison(p, n) ((void)(p), (void)(n))
#endif

#define ALIGNMENT   16
#define BLOCK_FIRST 1024
#define BLOCK_MOST  16384
#define ALONE       (BLOCK_MOST / 4)

struct arena_block {
    struct arena_block *older;
    size_t size; /* with this header */
};
_Static_assert(sizeof(struct arena_block) % ALIGNMENT == 0, "the first bytes of a block are aligned");

static char *block_start(struct arena_block *block) { return (char *)(block + 1); }
static char *block_end(struct arena_block *block) { return (char *)block + block->size; }

void arena_init(struct arena *a) { *a = (struct arena){0}; }

static void free_chain(struct arena_block *block)
{
    while (block) {
        struct arena_block *older = block->older;
        free(block);
        block = older;
    }
}

void arena_deinit(struct arena *a)
{
    free_chain(a->blocks);
    arena_init(a);
}

/* The newest of the common blocks is also the largest of them: that one stays. */
void arena_reset(struct arena *a)
{
    struct arena_block *kept = a->blocks;
    if (!kept || kept->size > BLOCK_MOST) {
        arena_deinit(a);
        return;
    }
    free_chain(kept->older);
    kept->older = NULL;
    *a = (struct arena){.blocks = kept, .next = block_start(kept), .end = block_end(kept)};
    poison(a->next, (size_t)(a->end - a->next));
}

static struct arena_block *block_new(size_t size, struct arena_block *older)
{
    struct arena_block *block = malloc(size);
    if (!block) abort();
    *block = (struct arena_block){older, size};
    return block;
}

static char *take_alone(struct arena *a, size_t n)
{
    struct arena_block **behind = a->blocks ? &a->blocks->older : &a->blocks;
    struct arena_block *block = *behind = block_new(sizeof *block + n, *behind);
    if (behind == &a->blocks) a->next = a->end = block_end(block);
    return block_start(block);
}

static void add_block(struct arena *a)
{
    size_t size = a->blocks ? a->blocks->size * 2 : BLOCK_FIRST;
    if (size > BLOCK_MOST) size = BLOCK_MOST;
    struct arena_block *block = a->blocks = block_new(size, a->blocks);
    a->next = block_start(block);
    a->end = block_end(block);
    poison(a->next, (size_t)(a->end - a->next));
}

static inline char *take(struct arena *a, size_t n, size_t alignment) /* inline: the alignment is a constant then */
{
    if (n > SIZE_MAX / 2) abort();
    a->used += n;
    size_t gap = -(uintptr_t)a->next % alignment;
    if (!a->next || gap + n > (size_t)(a->end - a->next)) {
        if (n > ALONE) return take_alone(a, n);
        do add_block(a);
        while (n > (size_t)(a->end - a->next));
        gap = 0;
    }
    char *p = a->next + gap;
    a->next = p + n;
    unpoison(p, n);
    return p;
}

void *arena_alloc(struct arena *a, size_t n) { return take(a, n, ALIGNMENT); }

void *arena_zalloc(struct arena *a, size_t n) { return memset(arena_alloc(a, n), 0, n); }

char *arena_bytes(struct arena *a, size_t n) { return take(a, n, 1); }

struct slice arena_dup(struct arena *a, struct slice s)
{
    if (!s.p) return s;
    char *copy = arena_bytes(a, s.n + 1);
    memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return (struct slice){copy, s.n};
}

struct slice arena_printf(struct arena *a, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    if (n < 0) abort(); /* a format of ours that cannot be */
    char *text = arena_bytes(a, (size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    va_end(args);
    return (struct slice){text, (size_t)n};
}
