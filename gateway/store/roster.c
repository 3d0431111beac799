/* store/roster.c -- who is asked, under a lock; and, on the tracker's thread, who is heard. */
#include "store/roster.h"

#include "base/list.h"

#include <assert.h>
#include <stdlib.h>

struct member {
    struct list link;
    struct roster *roster;
    struct redis_address address;
    unsigned askers;           /* 0: it is to go */
    struct tracking *tracking; /* the tracker's; NULL: not yet, and the near cache waits for it */
};

struct roster {
    uv_loop_t *loop;
    struct redis_config config;
    struct slice prefix; /* owned */
    struct near *near;
    struct metrics *metrics;
    uv_mutex_t lock; /* of the members and their askers */
    struct list members;
    uv_async_t changed;
    unsigned open; /* trackings that have not closed, and `changed` */
    void (*closed)(void *arg);
    void *closed_arg;
};

/* ---- any thread */

static struct member *find(struct roster *r, const struct redis_address *address)
{
    for (struct list *l = r->members.next; l != &r->members; l = l->next) {
        struct member *m = container_of(l, struct member, link);
        if (redis_address_eq(&m->address, address)) return m;
    }
    return NULL;
}

void roster_add(struct roster *r, const struct redis_address *address)
{
    uv_mutex_lock(&r->lock);
    struct member *m = find(r, address);
    if (!m) {
        m = calloc(1, sizeof *m);
        if (!m) abort();
        *m = (struct member){.roster = r, .address = *address};
        list_append(&r->members, &m->link);
        near_want(r->near);
        uv_async_send(&r->changed);
    }
    m->askers++;
    uv_mutex_unlock(&r->lock);
}

void roster_drop(struct roster *r, const struct redis_address *address)
{
    uv_mutex_lock(&r->lock);
    struct member *m = find(r, address);
    assert(m && m->askers > 0);
    if (--m->askers == 0) uv_async_send(&r->changed);
    uv_mutex_unlock(&r->lock);
}

/* ---- the tracker */

static void close_one(struct roster *r)
{
    if (--r->open > 0) return;
    void (*closed)(void *) = r->closed;
    void *arg = r->closed_arg;
    uv_mutex_destroy(&r->lock);
    free((char *)r->prefix.p);
    free(r);
    closed(arg);
}

static void on_tracking_closed(void *roster) { close_one(roster); }

static void hear(struct member *m)
{
    struct roster *r = m->roster;
    r->config.address[0] = m->address;
    m->tracking = tracking_open(r->loop, &r->config, r->prefix, r->near, r->metrics);
    r->open++;
    near_unwant(r->near); /* its own line is wanted now */
}

static void let_go(struct member *m)
{
    struct roster *r = m->roster;
    list_remove(&m->link);
    if (m->tracking) {
        tracking_close(m->tracking, on_tracking_closed, r);
    } else { /* it has been asked, and was never heard */
        near_forget_all(r->near);
        near_unwant(r->near);
    }
    free(m);
}

static void on_changed(uv_async_t *changed)
{
    struct roster *r = container_of(changed, struct roster, changed);
    uv_mutex_lock(&r->lock);
    for (struct list *l = r->members.next, *next = l->next; l != &r->members; l = next, next = l->next) {
        struct member *m = container_of(l, struct member, link);
        if (m->askers == 0) let_go(m);
        else if (!m->tracking) hear(m);
    }
    uv_mutex_unlock(&r->lock);
}

/* ---- life */

struct roster *roster_open(uv_loop_t *loop, const struct redis_config *config, struct slice prefix, struct near *near,
                           struct metrics *metrics)
{
    struct roster *r = calloc(1, sizeof *r);
    char *copy = malloc(prefix.n);
    if (!r || !copy || uv_mutex_init(&r->lock)) abort();
    r->loop = loop;
    r->config = *config;
    r->config.addresses = 1; /* of a cluster still: tracking.c asks such servers more */
    r->prefix = slice_from(memcpy(copy, prefix.p, prefix.n), prefix.n);
    r->near = near;
    r->metrics = metrics;
    list_init(&r->members);
    if (uv_async_init(loop, &r->changed, on_changed)) abort();
    r->open = 1;
    return r;
}

static void on_handle_closed(uv_handle_t *handle)
{
    close_one(container_of((uv_async_t *)handle, struct roster, changed));
}

void roster_close(struct roster *r, void (*closed)(void *arg), void *arg)
{
    r->closed = closed;
    r->closed_arg = arg;
    on_changed(&r->changed);
    assert(list_empty(&r->members));
    uv_close((uv_handle_t *)&r->changed, on_handle_closed);
}
