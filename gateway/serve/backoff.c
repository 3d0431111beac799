/* serve/backoff.c -- a map of failures, and their order in time: the oldest makes room. One lock: only failures and misses come here. */
#include "serve/backoff.h"

#include "base/list.h"
#include "base/map.h"
#include "serve/life.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <uv.h>

struct failure {
    struct list in_order;
    unsigned failures; /* in a row */
    uint64_t until_ms;
    uint64_t began; /* the last of them */
    struct problem why;
    struct slice key;
    char key_bytes[];
};

struct backoff {
    uv_mutex_t lock;
    struct map by_key;
    struct list in_order; /* the oldest first */
    _Atomic size_t known; /* so that who has nothing to find needs no lock */
};

struct backoff *backoff_new(void)
{
    struct backoff *b = calloc(1, sizeof *b);
    if (!b) abort();
    uv_mutex_init(&b->lock);
    map_init(&b->by_key);
    list_init(&b->in_order);
    return b;
}

static void drop(struct backoff *b, struct failure *f)
{
    list_remove(&f->in_order);
    map_remove(&b->by_key, f->key);
    free(f);
    atomic_store_explicit(&b->known, b->by_key.n, memory_order_relaxed);
}

void backoff_free(struct backoff *b)
{
    while (!list_empty(&b->in_order)) drop(b, container_of(b->in_order.next, struct failure, in_order));
    map_deinit(&b->by_key);
    uv_mutex_destroy(&b->lock);
    free(b);
}

static bool knows_any(struct backoff *b) { return atomic_load_explicit(&b->known, memory_order_relaxed) > 0; }

bool backoff_holds(struct backoff *b, struct slice key, uint64_t since, uint64_t now_ms, struct problem *why)
{
    if (!knows_any(b)) return false;
    uv_mutex_lock(&b->lock);
    const struct failure *f = map_get(&b->by_key, key);
    bool holds = f && f->began >= since && now_ms < f->until_ms;
    if (holds) {
        *why = f->why;
        why->retry_s = (unsigned)((f->until_ms - now_ms + 999) / 1000);
    }
    uv_mutex_unlock(&b->lock);
    return holds;
}

static struct failure *first_failure(struct backoff *b, struct slice key)
{
    if (b->by_key.n == BACKOFF_KEYS) drop(b, container_of(b->in_order.next, struct failure, in_order));
    struct failure *f = calloc(1, sizeof *f + key.n);
    if (!f) abort();
    memcpy(f->key_bytes, key.p, key.n);
    f->key = slice_from(f->key_bytes, key.n);
    list_init(&f->in_order);
    map_put(&b->by_key, f->key, f);
    atomic_store_explicit(&b->known, b->by_key.n, memory_order_relaxed);
    return f;
}

void backoff_failed(struct backoff *b, struct slice key, uint64_t began, uint64_t now_ms, const struct problem *why)
{
    uv_mutex_lock(&b->lock);
    struct failure *f = map_get(&b->by_key, key);
    if (!f) f = first_failure(b, key);
    list_remove(&f->in_order);
    list_append(&b->in_order, &f->in_order);
    f->failures++;
    f->until_ms = now_ms + life_backoff_ms(f->failures);
    f->began = began;
    f->why = *why;
    uv_mutex_unlock(&b->lock);
}

void backoff_forget(struct backoff *b, struct slice key)
{
    if (!knows_any(b)) return;
    uv_mutex_lock(&b->lock);
    struct failure *f = map_get(&b->by_key, key);
    if (f) drop(b, f);
    uv_mutex_unlock(&b->lock);
}
