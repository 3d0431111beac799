/* store/tracking.c -- down, asking, up, and down again:
 *
 *     DOWN (back-off) -> ASKING (HELLO 3, is it well?, CLIENT TRACKING: a deadline) -> UP (a ping now and then) -> DOWN ...     one timer */
#include "store/tracking.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "store/lease_key.h"
#include "store/pause.h"
#include "store/redis_link.h"

#include <assert.h>
#include <stdlib.h>

#define PING_MS        (NEAR_LAG_MS / 4)
#define REFUSED_MS     5000        /* a server that does not know tracking, or grants it not, will hardly do so soon */
#define LINE_MAX_BYTES (64u << 10) /* of one answer, or one key */

enum loss { LOST, SILENT, REFUSED, FLUSHED, LOSSES };

static const char *const losses[LOSSES] = {"lost", "silent", "refused", "flushed"};

struct tracking {
    struct redis_config config;
    struct slice prefix,
        leases; /* of records; of most of their leases, which are below the other one where they are not: one allocation, owned */
    char name[300];
    uv_loop_t *loop;
    uv_timer_t timer;
    struct near *near;
    struct near_line line;
    enum { DOWN, ASKING, UP, CLOSING } state;

    struct redis_link *link; /* while ASKING and UP */
    unsigned greetings;      /* answers to come before it is up */
    bool pinging;            /* a ping has no answer yet */
    uint64_t asked_us;       /* when what waits for an answer was sent */
    bool told;               /* the log knows that it is down */
    struct pause pause;

    struct counter *up, *invalidations, *flushes[LOSSES];
    void (*closed)(void *arg);
    void *closed_arg;
};

static void on_timer(uv_timer_t *timer);

static void arm(struct tracking *t, uint64_t ms) { uv_timer_start(&t->timer, on_timer, ms, 0); }

static uint64_t after(uint64_t since_us) { return since_us + NEAR_LAG_MS * 1000; }

/* The gauge is of all lines, of which each may have changed it. */
static void tell(struct tracking *t) { counter_set(t->up, near_is_whole(t->near)); }

/* -- down -- */

static void go_down(struct tracking *t, enum loss loss, const char *why)
{
    uint64_t wait = pause_next(&t->pause);
    if (loss == REFUSED && wait < REFUSED_MS) wait = REFUSED_MS;
    if (t->state == UP) counter_add(t->flushes[loss], 1);
    near_end(t->near, &t->line);
    if (!t->told) {
        log_warn(loss == REFUSED ? "no near cache: the store does not track keys for us" : "near cache off",
                 LOG_TEXT("store", t->name), LOG_TEXT("why", why), LOG_NUMBER("retry_ms", wait));
    }
    t->told = true;
    t->state = DOWN;
    tell(t);
    if (t->link) redis_link_close(t->link);
    t->link = NULL;
    arm(t, wait);
}

/* -- what the server tells -- */

static void on_changed(void *arg, struct slice key)
{
    struct tracking *t = arg;
    struct slice leased = key.p ? lease_key_record(key) : key;
    if (leased.p) {
        near_tell(t->near, leased);
    } else if (key.p) {
        near_forget(t->near, near_name(key));
        near_tell(t->near, key);
        counter_add(t->invalidations, 1);
    } else {
        near_forget_all(t->near);
        counter_add(t->flushes[FLUSHED], 1);
    }
}

static void on_hearing(void *arg, bool hearing)
{
    struct tracking *t = arg;
    near_hearing(t->near, &t->line, hearing);
}

/* -- asking, and up -- */

static void ask(struct tracking *t, enum redis_expect expect, int argc, const struct slice *argv)
{
    redis_link_ask(t->link, (struct redis_question){.expect = expect}, argc, argv);
    t->asked_us = clock_mono_us();
}

/* A master of a cluster that is cut off from most of the others hears no more of what changes, as another may have its slots. It knows that, and says so
 * (CLUSTERDOWN) to who asks for a key, of whatever slot; not to a ping. The key is none of a record. */
static void ask_for_life(struct tracking *t)
{
    if (t->config.topology == REDIS_CLUSTER) ask(t, EXPECT_VALUE, 2, (struct slice[]){SLICE("GET"), t->prefix});
    else ask(t, EXPECT_STATUS, 1, (struct slice[]){SLICE("PING")});
}

static void on_ready(void *arg)
{
    struct tracking *t = arg;
    t->greetings = 3;
    ask(t, EXPECT_MAP, 2, (struct slice[]){SLICE("HELLO"), SLICE("3")});
    ask_for_life(t);
    ask(t, EXPECT_OK, 8,
        (struct slice[]){SLICE("CLIENT"), SLICE("TRACKING"), SLICE("ON"), SLICE("BCAST"), SLICE("PREFIX"), t->prefix,
                         SLICE("PREFIX"), t->leases});
}

/* From here on every change is told. A read that is asked from here on may be kept. */
static void begin(struct tracking *t)
{
    log_info(t->told ? "near cache is back" : "near cache on", LOG_TEXT("store", t->name));
    t->told = false;
    t->state = UP;
    t->pinging = false;
    near_begin(t->near, &t->line, redis_link_fd(t->link), redis_link_server(t->link), after(t->asked_us));
    tell(t);
    arm(t, PING_MS);
}

/* That we may not ask it that, or should ask another, says that it is well. The last greeting is no such question. */
static bool is_bad(const struct tracking *t, const struct redis_reply *reply)
{
    static const char *const harmless[] = {"NOPERM", "MOVED", "ASK", "WRONGTYPE"};
    if (reply->head.type != REDIS_REPLY_ERROR) return false;
    for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
        if (t->greetings != 1 && strcmp(reply->error, harmless[i]) == 0) return false;
    return true;
}

static void on_reply(void *arg, struct redis_reply *reply)
{
    struct tracking *t = arg;
    bool bad = is_bad(t, reply), is_about_tracking = t->greetings == 3 || t->greetings == 1;
    if (t->greetings) t->greetings--;
    if (bad) {
        go_down(t, is_about_tracking ? REFUSED : LOST, reply->error[0] ? reply->error : "error");
    } else if (t->state == UP) {
        t->pinging = false;
        pause_reset(&t->pause); /* it was good for something */
        near_trust(t->near, &t->line, after(t->asked_us));
    } else if (t->greetings == 0) {
        begin(t);
    }
}

static void on_lost(void *arg, struct redis_loss loss)
{
    struct tracking *t = arg;
    t->link = NULL;
    go_down(t, loss.refused_us ? REFUSED : LOST, loss.why);
}

static void attempt(struct tracking *t)
{
    static const struct redis_link_events events = {on_ready, on_reply, on_lost, on_changed, on_hearing};
    char why[128];
    t->state = ASKING;
    arm(t, t->config.timeout_ms);
    t->link = redis_link_open(t->loop, &t->config, &events, t, why);
    if (!t->link) go_down(t, LOST, why);
}

static bool is_silent(const struct tracking *t) { return t->pinging && clock_mono_us() >= after(t->asked_us); }

static void ping(struct tracking *t)
{
    if (is_silent(t)) redis_link_read(t->link); /* it is we who were away? */
    if (t->state != UP) return;
    if (is_silent(t)) {
        go_down(t, SILENT, "no answer in time");
        return;
    }
    if (!t->pinging) ask_for_life(t);
    t->pinging = true;
    arm(t, PING_MS);
}

static void on_timer(uv_timer_t *timer)
{
    struct tracking *t = container_of(timer, struct tracking, timer);
    switch (t->state) {
    case DOWN: attempt(t); break;
    case ASKING: go_down(t, SILENT, redis_link_late(t->link)); break;
    case UP: ping(t); break;
    case CLOSING: break;
    }
}

/* -- life -- */

struct tracking *tracking_open(uv_loop_t *loop, const struct redis_config *config, struct slice prefix,
                               struct near *near, struct metrics *metrics)
{
    struct tracking *t = calloc(1, sizeof *t);
    char *copy = malloc(1 + prefix.n);
    if (!t || !copy) abort();
    assert(prefix.n > 0);
    copy[0] = '{';
    t->prefix = slice_from(memcpy(copy + 1, prefix.p, prefix.n), prefix.n);
    t->leases = slice_from(copy, 1 + prefix.n);
    t->config = *config;
    if (!t->config.timeout_ms) t->config.timeout_ms = 1000;
    t->config.max_value = LINE_MAX_BYTES;
    redis_config_print(config, t->name, sizeof t->name);
    t->loop = loop;
    t->near = near;
    near_add(near, &t->line);
    t->up = metrics_counter(metrics, METRIC_NEAR_UP, NULL);
    tell(t);
    t->invalidations = metrics_counter(metrics, METRIC_NEAR_INVALIDATIONS, NULL);
    for (int i = 0; i < LOSSES; i++) {
        struct slice label = slice_of(losses[i]);
        if (i != REFUSED) t->flushes[i] = metrics_counter(metrics, METRIC_NEAR_FLUSHES, &label);
    }
    uv_timer_init(loop, &t->timer);
    attempt(t);
    return t;
}

static void on_closed(uv_handle_t *handle)
{
    struct tracking *t = container_of((uv_timer_t *)handle, struct tracking, timer);
    void (*closed)(void *) = t->closed;
    void *arg = t->closed_arg;
    free((char *)t->leases.p);
    free(t);
    closed(arg);
}

void tracking_close(struct tracking *t, void (*closed)(void *arg), void *arg)
{
    assert(t->state != CLOSING);
    near_end(t->near, &t->line);
    near_remove(t->near, &t->line);
    t->state = CLOSING;
    t->closed = closed;
    t->closed_arg = arg;
    tell(t);
    if (t->link) redis_link_close(t->link);
    t->link = NULL;
    uv_close((uv_handle_t *)&t->timer, on_closed);
}
