/* serve/waits.c -- a graph of loads under one lock: it is touched only where a handler asks for what must be loaded. */
#include "serve/waits.h"

#include <assert.h>
#include <stdlib.h>
#include <uv.h>

#define BUCKETS 256

struct waits {
    uv_mutex_t lock;
    struct list from[BUCKETS]; /* by the hash of who waits */
    unsigned searches;
};

static struct list *bucket_of(struct waits *all, uint64_t load) { return &all->from[load % BUCKETS]; }

struct waits *waits_new(void)
{
    struct waits *all = calloc(1, sizeof *all);
    if (!all) abort();
    uv_mutex_init(&all->lock);
    for (int i = 0; i < BUCKETS; i++) list_init(&all->from[i]);
    return all;
}

void waits_free(struct waits *all)
{
    for (int i = 0; i < BUCKETS; i++) assert(list_empty(&all->from[i]));
    uv_mutex_destroy(&all->lock);
    free(all);
}

/* Appends to the chain whose end is *last what this load waits for, where the search has not been yet. */
static void add_waits_of(struct waits *all, uint64_t load, struct wait **last)
{
    struct list *bucket = bucket_of(all, load);
    for (struct list *link = bucket->next; link != bucket; link = link->next) {
        struct wait *w = container_of(link, struct wait, link);
        if (w->from != load || w->seen == all->searches) continue;
        w->seen = all->searches;
        w->next = NULL;
        (*last)->next = w;
        *last = w;
    }
}

/* Does `load` wait for `target`, by way of however many others? */
static bool waits_for(struct waits *all, uint64_t load, uint64_t target)
{
    struct wait first = {.next = NULL}, *last = &first;
    all->searches++;
    add_waits_of(all, load, &last);
    for (struct wait *w = first.next; w; w = w->next) {
        if (w->to == target) return true;
        add_waits_of(all, w->to, &last);
    }
    return load == target;
}

bool wait_begin(struct waits *all, struct wait *w, uint64_t from, uint64_t to)
{
    *w = (struct wait){.from = from, .to = to};
    list_init(&w->link);
    uv_mutex_lock(&all->lock);
    if (!waits_for(all, to, from)) {
        w->waits = all;
        list_append(bucket_of(all, from), &w->link);
    }
    uv_mutex_unlock(&all->lock);
    return w->waits != NULL;
}

void wait_end(struct wait *w)
{
    if (!w->waits) return;
    uv_mutex_lock(&w->waits->lock);
    list_remove(&w->link);
    uv_mutex_unlock(&w->waits->lock);
    w->waits = NULL;
}
