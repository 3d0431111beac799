/* script/host.c -- a worker's side of its handlers: timers, turns, and the end of all handles. */
#include "script/host_internal.h"

#include "base/clock.h"
#include "script/http_client.h"
#include "script/postgres_pool.h"
#include "script/redis_client.h"
#include "script/sqlite_pool.h"

#include <assert.h>
#include <stdlib.h>

/* --- timers: a binary heap, the earliest at 1 --------------------------------------------------------------------- */

static void heap_place(struct script_host *h, size_t at, struct host_timer *timer)
{
    h->heap[at] = timer;
    timer->place = at;
}

/* Puts `timer` where it belongs, starting from the free place `at`. */
static void heap_settle(struct script_host *h, size_t at, struct host_timer *timer)
{
    for (; at > 1 && timer->at_us < h->heap[at / 2]->at_us; at /= 2) heap_place(h, at, h->heap[at / 2]);
    for (;;) {
        size_t child = 2 * at;
        if (child > h->timers) break;
        if (child < h->timers && h->heap[child + 1]->at_us < h->heap[child]->at_us) child++;
        if (timer->at_us <= h->heap[child]->at_us) break;
        heap_place(h, at, h->heap[child]);
        at = child;
    }
    heap_place(h, at, timer);
}

static void heap_remove(struct script_host *h, struct host_timer *timer)
{
    size_t at = timer->place;
    timer->place = 0;
    struct host_timer *last = h->heap[h->timers--];
    if (last != timer) heap_settle(h, at, last);
}

static void on_timer(uv_timer_t *uv);

/* The one uv timer follows the earliest of ours. It may fire a little early (uv's clock is cached): on_timer looks. */
static void timer_follow(struct script_host *h)
{
    if (h->timers == 0) {
        uv_timer_stop(&h->timer);
        return;
    }
    uint64_t now = clock_mono_us(), at = h->heap[1]->at_us;
    uv_timer_start(&h->timer, on_timer, at > now ? (at - now + 999) / 1000 : 0, 0);
}

static void on_timer(uv_timer_t *uv)
{
    struct script_host *h = container_of(uv, struct script_host, timer);
    uint64_t now = clock_mono_us();
    while (h->timers > 0 && h->heap[1]->at_us <= now) {
        struct host_timer *timer = h->heap[1];
        heap_remove(h, timer);
        timer->fire(timer); /* may set and stop others, and free this one */
    }
    timer_follow(h);
}

void host_timer_init(struct host_timer *timer, void (*fire)(struct host_timer *timer))
{
    *timer = (struct host_timer){.fire = fire};
}

void host_timer_set(struct script_host *h, struct host_timer *timer, uint64_t at_us)
{
    host_timer_stop(h, timer);
    if (at_us == CLOCK_NEVER) return;
    if (h->timers + 1 >= h->heap_cap) {
        h->heap_cap = h->heap_cap ? 2 * h->heap_cap : 64;
        h->heap = realloc(h->heap, h->heap_cap * sizeof *h->heap);
        if (!h->heap) abort();
    }
    timer->at_us = at_us;
    heap_settle(h, ++h->timers, timer);
    if (timer->place == 1) timer_follow(h);
}

void host_timer_stop(struct script_host *h, struct host_timer *timer)
{
    if (timer->place == 0) return;
    heap_remove(h, timer);
    if (h->timers == 0) uv_timer_stop(&h->timer); /* else a turn for nothing, at most: on_timer follows */
}

/* --- turns -------------------------------------------------------------------------------------------------------- */

static void on_idle(uv_idle_t *idle) {}

/* After the poll: those who were ready before it, in order, as long as the slice lasts. The rest, and who asked meanwhile,
 * wait until the loop has polled again. */
static void on_check(uv_check_t *check)
{
    struct script_host *h = container_of(check, struct script_host, check);
    struct list now;
    list_init(&now);
    list_splice(&now, &h->ready);
    h->spent_us = 0;
    while (h->spent_us < HOST_SLICE_US && !list_empty(&now)) {
        struct host_turn *turn = container_of(list_shift(&now), struct host_turn, link);
        turn->run(turn);
    }
    list_splice(&now, &h->ready);
    list_splice(&h->ready, &now);
    h->spent_us = 0;
    if (list_empty(&h->ready)) uv_idle_stop(&h->idle);
}

void host_turn_init(struct host_turn *turn, void (*run)(struct host_turn *turn))
{
    list_init(&turn->link);
    turn->run = run;
}

void host_turn_ask(struct script_host *h, struct host_turn *turn)
{
    list_append(&h->ready, &turn->link);
    uv_idle_start(&h->idle, on_idle);
}

void host_turn_stop(struct host_turn *turn) { list_remove(&turn->link); }

/* --- metrics ------------------------------------------------------------------------------------------------------ */

void host_upstream(struct script_host *h, enum upstream_kind kind, enum upstream_outcome outcome, uint64_t us)
{
    static const struct slice kinds[] = {SLICE("http"), SLICE("sqlite"), SLICE("postgres"), SLICE("redis")};
    static const struct slice outcomes[] = {SLICE("ok"), SLICE("error"), SLICE("timeout"), SLICE("cancelled")};
    struct histogram **series = &h->upstream[kind][outcome];
    if (!*series) {
        struct slice labels[] = {kinds[kind], outcomes[outcome]};
        *series = metrics_histogram(h->metrics, METRIC_UPSTREAM_TIME, labels);
    }
    histogram_add(*series, us);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

struct script_host *script_host_open(uv_loop_t *loop, struct metrics *metrics)
{
    struct script_host *h = calloc(1, sizeof *h);
    if (!h) abort();
    h->loop = loop;
    h->metrics = metrics;
    list_init(&h->ready);
    arena_init(&h->scratch);
    watchdog_open(&h->watchdog);

    uv_timer_init(loop, &h->timer);
    uv_idle_init(loop, &h->idle);
    uv_check_init(loop, &h->check);
    uv_check_start(&h->check, on_check);
    uv_unref((uv_handle_t *)&h->check); /* alone it keeps no loop alive */
    return h;
}

void script_host_set_gateway(struct script_host *h, const struct ask_gateway *gateway) { h->gateway = gateway; }

void script_host_divert_http(struct script_host *h, const char *socket) { h->http_socket = socket; }

void host_hold(struct script_host *h) { h->open++; }

void host_release(struct script_host *h)
{
    assert(h->open > 0);
    if (--h->open > 0 || !h->closed) return;
    void (*closed)(void *arg) = h->closed;
    void *arg = h->closed_arg;
    arena_deinit(&h->scratch);
    free(h->heap);
    free(h);
    closed(arg);
}

static void on_timer_closed(uv_handle_t *handle) { host_release(container_of(handle, struct script_host, timer)); }
static void on_idle_closed(uv_handle_t *handle) { host_release(container_of(handle, struct script_host, idle)); }
static void on_check_closed(uv_handle_t *handle) { host_release(container_of(handle, struct script_host, check)); }

void script_host_close(struct script_host *h, void (*closed)(void *arg), void *arg)
{
    h->closed = closed;
    h->closed_arg = arg;
    watchdog_close(&h->watchdog);
    for (int handles = 0; handles < 3; handles++) host_hold(h);
    if (h->http) http_client_close(h->http);
    if (h->sqlite) sqlite_pools_close(h->sqlite);
    if (h->postgres) postgres_pools_close(h->postgres);
    if (h->redis) redis_client_close(h->redis);
    assert(h->timers == 0 && list_empty(&h->ready) && "a task is left");
    uv_close((uv_handle_t *)&h->timer, on_timer_closed);
    uv_close((uv_handle_t *)&h->idle, on_idle_closed);
    uv_close((uv_handle_t *)&h->check, on_check_closed);
}
