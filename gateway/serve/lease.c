/* serve/lease.c -- one lease, in order of time: asked for, asked for again, kept, filled, ended. Its timer is the clock of all waits. */
#include "serve/lease.h"

#include "base/clock.h"
#include "base/hash.h"

#include <assert.h>
#include <stdlib.h>

#define WAIT_MIN_MS   5
#define WAIT_MAX_MS   50
#define WAIT_PART     16  /* of the time waited already: so much longer than the load do others wait at most */
#define HEARING_MS    500 /* who is told of changes asks all the same, now and then: should a message be lost */
#define KEEP_EVERY_MS (LEASE_MS / 3)

/* -- asking -- */

static void ask(struct lease *l);
static void keep(struct lease *l);

static void on_wait_over(uv_timer_t *timer) { ask(container_of(timer, struct lease, timer)); }

static void on_keep_due(uv_timer_t *timer) { keep(container_of(timer, struct lease, timer)); }

static uint64_t pause_ms(const struct lease *l, uint64_t now_us)
{
    uint64_t wait_ms = (now_us - l->began_us) / 1000 / WAIT_PART, left_ms = (l->deadline_us - now_us) / 1000 + 1;
    if (l->news) return 0;
    if (store_hears(l->store)) return HEARING_MS < left_ms ? HEARING_MS : left_ms;
    if (wait_ms < WAIT_MIN_MS) return WAIT_MIN_MS;
    return wait_ms < WAIT_MAX_MS ? wait_ms : WAIT_MAX_MS;
}

void lease_news(struct lease *l)
{
    l->news = true;
    bool waits = !l->busy && !l->ours && uv_is_active((uv_handle_t *)&l->timer);
    if (waits) uv_timer_start(&l->timer, on_wait_over, 0, 0);
}

static void answered(struct lease *l, enum status status, struct blob *found)
{
    uint64_t now_us;
    switch (status) {
    case OK: l->done(l, LEASE_FOUND, found); break;
    case MISSING:
        l->ours = true;
        if (store_is_remote(l->store)) uv_timer_start(&l->timer, on_keep_due, KEEP_EVERY_MS, 0);
        l->done(l, LEASE_OURS, NULL);
        break;
    case PRECONDITION_FAILED:
        now_us = clock_mono_us();
        if (now_us >= l->deadline_us) l->done(l, LEASE_LATE, NULL);
        else uv_timer_start(&l->timer, on_wait_over, pause_ms(l, now_us), 0);
        break;
    default:
        l->ours =
            true; /* perhaps: the store may have given it, and its answer be lost. So it is given back at the end */
        l->done(l, LEASE_ALONE, NULL);
    }
}

static void on_answered(struct store_op *op, enum status status, struct blob *found)
{
    struct lease *l = container_of(op, struct lease, op);
    l->busy = false;
    answered(l, status, found);
}

static void ask(struct lease *l)
{
    l->op.done = on_answered;
    l->news = false;
    enum status st = store_lease_take(l->store, l->key, l->known, l->token, clock_wall_ms(), &l->op);
    l->busy = st == PENDING;
    if (st != PENDING) answered(l, st, st == OK ? l->op.value : NULL);
}

/* 128 bits that no other gateway has: random ones, for a stranger must not guess them either. */
static void make_token(char token[LEASE_TOKEN + 1])
{
    unsigned char bytes[LEASE_TOKEN / 2];
    if (uv_random(NULL, NULL, bytes, sizeof bytes, 0, NULL) != 0) abort();
    hash_hex(bytes, sizeof bytes, token);
    token[LEASE_TOKEN] = '\0';
}

void lease_start(struct lease *l, uv_loop_t *loop, struct slice known, uint64_t deadline_us)
{
    make_token(l->token);
    l->known = known;
    l->deadline_us = deadline_us;
    l->began_us = clock_mono_us();
    l->busy = l->ours = l->news = false;
    uv_timer_init(loop, &l->timer);
    uv_timer_start(&l->timer, on_wait_over, 0, 0); /* at once, but not before we have returned */
}

void lease_again(struct lease *l, struct slice known)
{
    l->known = known;
    uv_timer_start(&l->timer, on_wait_over, 0, 0);
}

/* -- keeping -- */

/* One that is lost is not asked for again: what is loaded will not be stored, and that is right. */
static void on_kept(struct store_op *op, enum status status, struct blob *none)
{
    struct lease *l = container_of(op, struct lease, op);
    l->busy = false;
    if (status == OK) uv_timer_start(&l->timer, on_keep_due, KEEP_EVERY_MS, 0);
}

static void keep(struct lease *l)
{
    l->op.done = on_kept;
    enum status st = store_lease_keep(l->store, l->key, l->token, &l->op);
    l->busy = st == PENDING;
    if (st != PENDING) on_kept(&l->op, st, NULL);
}

/* -- filling -- */

static void on_filled(struct store_op *op, enum status status, struct blob *none)
{
    struct lease *l = container_of(op, struct lease, op);
    l->busy = false;
    l->filled(l, status);
}

static void rest(struct lease *l)
{
    uv_timer_stop(&l->timer);
    if (l->busy) store_cancel(&l->op);
    l->busy = false;
}

static void begin_to_fill(struct lease *l)
{
    assert(l->ours);
    rest(l);
    l->ours = false; /* the store ends it */
    l->op.done = on_filled;
}

enum status lease_fill(struct lease *l, struct blob *value, uint64_t until_ms, uint64_t now_ms)
{
    begin_to_fill(l);
    enum status st = store_lease_fill(l->store, l->key, l->token, value, until_ms, now_ms, &l->op);
    l->busy = st == PENDING;
    return st;
}

enum status lease_yield(struct lease *l)
{
    begin_to_fill(l);
    enum status st = store_lease_drop(l->store, l->key, l->token, &l->op);
    l->busy = st == PENDING;
    return st;
}

/* -- ending -- */

/* Outlives its lease: whoever else waits shall not wait for the lease to run out. */
struct farewell {
    struct store_op op;
};

static void on_dropped(struct store_op *op, enum status status, struct blob *none)
{
    free(container_of(op, struct farewell, op));
}

static void drop(struct lease *l)
{
    struct farewell *f = calloc(1, sizeof *f);
    if (!f) abort();
    f->op.done = on_dropped;
    enum status st = store_lease_drop(l->store, l->key, l->token, &f->op);
    if (st != PENDING) on_dropped(&f->op, st, NULL);
}

static void on_closed(uv_handle_t *handle)
{
    struct lease *l = container_of((uv_timer_t *)handle, struct lease, timer);
    l->closed(l);
}

void lease_end(struct lease *l, void (*closed)(struct lease *l))
{
    rest(l);
    if (l->ours) drop(l);
    l->ours = false;
    l->closed = closed;
    uv_close((uv_handle_t *)&l->timer, on_closed);
}
