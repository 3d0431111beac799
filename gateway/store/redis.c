/* store/redis.c -- commands, their order and their deadline, and how long to wait before the next connection.
 *
 * Questions wait in a ring (redis_ring.h), and the next reply answers its front. When anything is in doubt (a reply that does not fit, a
 * deadline missed) the connection goes, with every question on it: a late answer must never meet a later question.
 * Replies, deadline and state are one machine, so they are one file, though a long one. What is asked stands in redis_command.c.
 *
 *     DOWN (back-off) -> CONNECTING (till the link is ready) -> UP (the oldest question's deadline) -> DOWN ...     one timer */
#include "store/redis.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/log.h"
#include "store/pause.h"
#include "store/redis_error.h"
#include "store/redis_format.h"
#include "store/redis_inner.h"
#include "store/redis_link.h"
#include "store/redis_ring.h"

#include <assert.h>
#include <stdlib.h>

#define PAUSE_AUTH_MS 1000       /* before the next connection, when our credentials were refused: at least */
#define STEADY_MS     5000       /* as long up, it was a good connection, however it ends */
#define READONLY_MS   10000      /* how often we look for another server where ours takes no writes */
#define QUIET_MS      5000       /* without an error, and the log says that they are over */
#define TOLD_MOST     4          /* reasons, in the log, for one time of being away */
#define KEPT_MAX      (8u << 20) /* bytes of scripts that may have to be asked again; beyond it they go whole */

static const struct {
    const char *label;
    uint8_t commands;
    enum redis_expect expect[2];
} kinds[REDIS_KINDS] = {
    [REDIS_GET] = {"get", 1, {EXPECT_VALUE}},
    [REDIS_MGET] = {"mget", 1, {EXPECT_VALUES}},
    [REDIS_PUT] = {"put", 2, {EXPECT_PREFIX, EXPECT_OK}}, /* GETRANGE, SET */
    [REDIS_PUT_FENCED] = {"put", 1, {EXPECT_PREFIX}},     /* a script, as all below but DEL */
    [REDIS_PUT_WHEN] = {"put", 1, {EXPECT_PREFIX}},
    [REDIS_REPLACE] = {"replace", 1, {EXPECT_NUMBER}},
    [REDIS_DELETE] = {"delete", 1, {EXPECT_NUMBER}},
    [REDIS_DELETE_WHEN] = {"delete", 1, {EXPECT_NUMBER}},
    [REDIS_TAKE] = {"lease-take", 1, {EXPECT_LEASE}},
    [REDIS_KEEP] = {"lease-keep", 1, {EXPECT_NUMBER}},
    [REDIS_FILL] = {"fill", 1, {EXPECT_NUMBER}},
    [REDIS_DROP] = {"lease-drop", 1, {EXPECT_NUMBER}},
    [REDIS_EPOCHS_ASK] = {"epochs-ask", 1, {EXPECT_VALUE}},
    [REDIS_EPOCHS_READ] = {"epochs-read", 1, {EXPECT_VALUE}},
    [REDIS_EPOCHS_RAISE] = {"invalidate", 1, {EXPECT_VALUE}},
    [REDIS_SLOTS] = {"cluster-slots", 1, {EXPECT_ANY}},
    [REDIS_ASKING] = {"asking", 1, {EXPECT_OK}},
};

struct redis {
    struct redis_config config;
    char name[300]; /* for logs */
    uv_loop_t *loop;
    const struct redis_router *router; /* NULL: a server of its own */
    void *router_arg;
    enum { DOWN, CONNECTING, UP, CLOSING } state;
    uv_timer_t timer;

    struct redis_link *link;  /* while CONNECTING and UP */
    bool first;               /* the first attempt has not ended: commands wait for it */
    bool useful;              /* this connection has answered a command */
    uint64_t told[TOLD_MOST]; /* the log knows that it is down, and why: hashes of reasons */
    unsigned n_told;
    uint64_t since_us;    /* when the attempt began, and then when it came up */
    struct pause pause;   /* before the next connection */
    uint64_t readonly_us; /* when we last left a server because it takes no writes; 0: never */
    bool refusing;        /* commands are answered by errors, and the log knows */
    uint64_t refused_us;  /* when one last was */
    uint64_t server;      /* see redis_link_server */

    struct redis_ring ring; /* of max_inflight places */
    unsigned told_scripts;  /* a bit for each that this connection has sent whole: no more than a hint */

    struct metrics *metrics;
    struct histogram *time[REDIS_KINDS];
    struct counter *errors[REDIS_KINDS][REDIS_OUTCOMES], *up;

    void (*closed)(void *arg);
    void *closed_arg;
};

/* ---- commands that end */

static struct redis_slot *front(struct redis *r) { return redis_ring_front(&r->ring); }

static void count_error(struct redis *r, enum redis_kind kind, enum redis_outcome outcome)
{
    struct counter **c = &r->errors[kind][outcome];
    if (!*c) {
        struct slice labels[] = {slice_of(kinds[kind].label), slice_of(redis_outcome_label(outcome))};
        *c = metrics_counter(r->metrics, METRIC_STORE_ERRORS, labels);
    }
    counter_add(*c, 1);
}

/* Ends the oldest command. The last thing a caller does with it: `done` may start, cancel and close what it likes. */
static void finish(struct redis *r, enum status status, struct blob *value)
{
    struct redis_slot s = redis_ring_shift(&r->ring);
    redis_slot_end(&s, status, value);
}

static void fail_all(struct redis *r, enum redis_outcome outcome)
{
    /* Not those that a callback starts meanwhile: they are refused, since the state was changed before. */
    while (r->ring.n > 0) {
        count_error(r, front(r)->kind, outcome);
        finish(r, STORE_UNAVAILABLE, NULL);
    }
}

/* ---- down, and up again */

static void on_timer(uv_timer_t *timer);

static void arm(struct redis *r, uint64_t ms) { uv_timer_start(&r->timer, on_timer, ms, 0); }

static void let_go(struct redis *r)
{
    if (r->link) redis_link_close(r->link);
    r->link = NULL;
}

/* A server that answers some commands and then hangs is no good one: it costs a deadline each time. */
static bool was_good(const struct redis *r, enum redis_outcome outcome)
{
    if (r->state != UP) return false;
    return (r->useful && outcome != OUTCOME_TIMEOUT) || clock_mono_us() - r->since_us >= STEADY_MS * 1000;
}

static void turn(struct redis *r, bool up)
{
    if (r->router) r->router->turned(r->router_arg, up);
    else counter_set(r->up, up);
}

/* Each reason is told once while it is down, and of many the first few: the last attempt may know better than the first what is wrong. */
static bool is_news(struct redis *r, const char *why)
{
    uint64_t hash = hash_seeded(slice_of(why));
    for (unsigned i = 0; i < r->n_told; i++)
        if (r->told[i] == hash) return false;
    if (r->n_told == TOLD_MOST) return false;
    r->told[r->n_told++] = hash;
    return true;
}

/* The one way down: every command under way ends here. Touch nothing of theirs afterwards. */
static void go_down(struct redis *r, enum redis_outcome outcome, const char *why, uint64_t wait_at_least)
{
    if (was_good(r, outcome)) pause_reset(&r->pause);
    uint64_t wait = pause_next(&r->pause);
    if (wait < wait_at_least) wait = wait_at_least;
    if (is_news(r, why)) {
        log_warn(r->state == UP ? "store lost" : "store unreachable", LOG_TEXT("store", r->name), LOG_TEXT("why", why),
                 LOG_NUMBER("retry_ms", wait));
    }
    r->state = DOWN;
    r->first = false;
    turn(r, false);
    let_go(r);
    arm(r, wait);
    fail_all(r, outcome);
}

static uint64_t deadline(struct redis *r, uint64_t began_us) { return began_us + r->config.timeout_ms * 1000; }

/* Of the oldest command, and of the attempt to connect: what has gone astray may have to end before that. */
static void watch_deadline(struct redis *r)
{
    uint64_t attempt = r->state == CONNECTING ? r->since_us : UINT64_MAX;
    uint64_t oldest = r->ring.n > 0 ? redis_ring_oldest(&r->ring)->started_us : UINT64_MAX;
    uint64_t began = oldest < attempt ? oldest : attempt;
    if (began != UINT64_MAX) arm(r, clock_ms_until(deadline(r, began), clock_mono_us()));
}

static struct redis_question question(const struct redis_slot *s, int i)
{
    return (struct redis_question){kinds[s->kind].expect[i], s->values};
}

/* Takes the command. On its way, or held until the greeting is over; what may have to be asked again is held until it is answered. */
static void dispatch(struct redis *r, struct redis_slot *s, int i, sds command)
{
    bool up = r->state == UP;
    if (up) redis_link_send(r->link, question(s, i), command);
    if (!up || s->by_hash || r->router) redis_ring_hold(&r->ring, s, i, command);
    else redisFreeSdsCommand(command);
}

static void on_ready(void *arg)
{
    struct redis *r = arg;
    r->state = UP;
    r->first = false;
    r->useful = false;
    r->since_us = clock_mono_us();
    r->server = redis_link_server(r->link);
    turn(r, true);
    log_info(r->n_told ? "store is back" : "store connected", LOG_TEXT("store", r->name));
    r->n_told = 0;
    r->told_scripts = 0;
    uv_timer_stop(&r->timer);
    for (unsigned i = 0; i < r->ring.n; i++) {
        struct redis_slot *s = redis_ring_at(&r->ring, i);
        for (int k = 0; k < kinds[s->kind].commands; k++) dispatch(r, s, k, redis_ring_let_out(&r->ring, s, k));
    }
    watch_deadline(r);
}

/* ---- replies */

/* The log is told when commands begin to be refused and when that is over, but not of each. */
static void note_refusal(struct redis *r, enum redis_kind kind, const char *word)
{
    if (!r->refusing)
        log_warn("store refuses commands", LOG_TEXT("store", r->name), LOG_TEXT("command", kinds[kind].label),
                 LOG_TEXT("why", word[0] ? word : "error"));
    r->refusing = true;
    r->refused_us = clock_mono_us();
}

static void note_success(struct redis *r)
{
    if (!r->refusing || clock_mono_us() - r->refused_us < QUIET_MS * 1000) return;
    log_info("store takes commands again", LOG_TEXT("store", r->name));
    r->refusing = false;
}

/* Another server may have become the one to write to, under the same name; but do not ask for it all the time. */
static bool may_look_for_another(const struct redis *r)
{
    return r->readonly_us == 0 || clock_mono_us() - r->readonly_us >= READONLY_MS * 1000;
}

static void on_error(struct redis *r, const struct redis_reply *reply)
{
    struct redis_slot *s = front(r);
    enum redis_outcome outcome = redis_outcome_of(reply->error);
    if (redis_outcome_is_down(outcome)) {
        go_down(r, outcome, reply->error, 0);
    } else if (outcome == OUTCOME_READONLY && may_look_for_another(r)) {
        r->readonly_us = clock_mono_us();
        go_down(r, outcome, reply->error, 0);
    } else if ((s->kind == REDIS_GET || s->kind == REDIS_EPOCHS_ASK) && outcome == OUTCOME_WRONGTYPE) {
        count_error(r, s->kind, outcome);
        finish(r, MISSING, NULL);
    } else {
        note_refusal(r, s->kind, reply->error);
        count_error(r, s->kind, outcome);
        finish(r, STORE_UNAVAILABLE, NULL);
    }
}

static void on_value(struct redis *r, struct redis_reply *reply)
{
    if (reply->too_long) count_error(r, REDIS_GET, OUTCOME_TOO_LONG);
    struct blob *value = reply->value;
    reply->value = NULL;
    finish(r, value ? OK : MISSING, value);
}

static void on_values(struct redis *r, struct redis_reply *reply)
{
    struct redis_command *c = front(r)->command;
    if (reply->too_long || reply->too_much) count_error(r, REDIS_MGET, OUTCOME_TOO_LONG);
    for (unsigned i = 0; c && !reply->too_much && i < reply->values_n; i++) {
        c->values[i] = reply->values[i];
        reply->values[i] = NULL;
    }
    finish(r, reply->too_much ? DEPTH_EXCEEDED : OK, NULL);
}

static void on_previous(struct redis_slot *s, const struct redis_reply *reply)
{
    if (!s->command) return;
    s->command->previous_n = (uint8_t)reply->prefix_n; /* 0 for an error: SET replaces what is no string, too */
    memcpy(s->command->previous, reply->prefix, sizeof reply->prefix);
}

static void on_number(struct redis *r, const struct redis_reply *reply)
{
    struct redis_slot *s = front(r);
    long long number = reply->head.integer;
    if (s->kind == REDIS_TAKE) finish(r, number > 0 ? MISSING : PRECONDITION_FAILED, NULL);
    else finish(r, number > 0 ? OK : s->kind != REDIS_DELETE && number == 0 ? PRECONDITION_FAILED : MISSING, NULL);
}

/* Found, or who has the lease. */
static void on_lease(struct redis *r, struct redis_reply *reply)
{
    if (reply->head.type == REDIS_REPLY_STRING) on_value(r, reply);
    else on_number(r, reply);
}

/* The condition of a put does not hold. */
static bool is_refusal(const struct redis_slot *s, const struct redis_reply *reply)
{
    return s->kind == REDIS_PUT_WHEN && slice_eq(slice_from(reply->prefix, reply->prefix_n), REDIS_REFUSED);
}

/* The server has forgotten the script at the front: it takes the last place, as the question does. Nobody is told, and its time runs on; one that was
 * cancelled is asked again like any other, since its owner may count on it. */
static void ask_again(struct redis *r)
{
    struct redis_slot asked = redis_ring_shift(&r->ring);
    sds by_hash = asked.held[0];
    asked.by_hash = false;
    count_error(r, asked.kind, OUTCOME_NOSCRIPT);
    dispatch(r, redis_ring_append(&r->ring, &asked), 0, redis_script_again(asked.script, by_hash));
    redisFreeSdsCommand(by_hash);
}

static bool is_forgotten(const struct redis_slot *s, const struct redis_reply *reply)
{
    return s->by_hash && reply->head.type == REDIS_REPLY_ERROR && strcmp(reply->error, "NOSCRIPT") == 0;
}

static bool is_astray(const struct redis *r, const struct redis_reply *reply)
{
    return r->router && reply->head.type == REDIS_REPLY_ERROR &&
           redis_outcome_is_astray(redis_outcome_of(reply->error));
}

/* All of the front's answer has come, and it is no error. */
static void on_answer(struct redis *r, enum redis_expect asked, struct redis_reply *reply)
{
    switch (asked) {
    case EXPECT_VALUE: on_value(r, reply); break;
    case EXPECT_VALUES: on_values(r, reply); break;
    case EXPECT_NUMBER: on_number(r, reply); break;
    case EXPECT_LEASE: on_lease(r, reply); break;
    case EXPECT_ANY: finish(r, OK, blob_copy(buffer_view(&reply->nodes))); break;
    case EXPECT_PREFIX: finish(r, is_refusal(front(r), reply) ? PRECONDITION_FAILED : OK, NULL); break;
    case EXPECT_OK: finish(r, OK, NULL); break;
    case EXPECT_STATUS:
    case EXPECT_ROLE:
    case EXPECT_MAP: assert(!"asked by no command"); break;
    }
}

static void on_reply(void *arg, struct redis_reply *reply)
{
    struct redis *r = arg;
    assert(r->state == UP && r->ring.n > 0); /* the judge refuses a reply without a question */
    struct redis_slot *s = front(r);
    if (is_forgotten(s, reply)) {
        ask_again(r);
        return;
    }
    if (is_astray(r, reply)) {
        struct redis_slot astray = redis_ring_shift(&r->ring);
        r->router->astray(r->router_arg, &astray, reply);
        return;
    }
    enum redis_expect asked = kinds[s->kind].expect[s->replied++];
    bool error = reply->head.type == REDIS_REPLY_ERROR;
    if (asked == EXPECT_PREFIX && !(error && redis_outcome_is_down(redis_outcome_of(reply->error)))) {
        on_previous(s, reply);
        if (s->replied < kinds[s->kind].commands) return;
    }
    histogram_add(r->time[s->kind], clock_mono_us() - s->started_us);
    if (error) {
        on_error(r, reply);
        return;
    }
    r->useful = true;
    note_success(r);
    on_answer(r, asked, reply);
}

/* ---- the connection */

static void on_lost(void *arg, struct redis_loss loss)
{
    struct redis *r = arg;
    r->link = NULL;
    go_down(r, OUTCOME_LOST, loss.why, loss.refused_us ? PAUSE_AUTH_MS : 0);
}

static void attempt(struct redis *r)
{
    static const struct redis_link_events events = {.ready = on_ready, .reply = on_reply, .lost = on_lost};
    char why[128];
    r->state = CONNECTING;
    r->since_us = clock_mono_us();
    watch_deadline(r);
    r->link = redis_link_open(r->loop, &r->config, &events, r, why);
    if (!r->link) go_down(r, OUTCOME_LOST, why, 0);
}

/* ---- time */

static bool is_late(struct redis *r)
{
    return r->ring.n > 0 && clock_mono_us() >= deadline(r, redis_ring_oldest(&r->ring)->started_us);
}

/* It has spent its time elsewhere, too, so that this server is not to blame, and nobody else fails. Its place waits for the answer. */
static void end_alone(struct redis *r, struct redis_slot *s)
{
    struct redis_command *c = s->command;
    s->command = NULL;
    s->astray = false;
    s->started_us = clock_mono_us();
    count_error(r, s->kind, OUTCOME_TIMEOUT);
    watch_deadline(r);
    if (!c) return;
    c->slot = NULL;
    c->done(c, STORE_UNAVAILABLE, NULL);
}

static void on_deadline_of_connecting(struct redis *r)
{
    if (clock_mono_us() >= deadline(r, r->since_us)) go_down(r, OUTCOME_TIMEOUT, redis_link_late(r->link), 0);
    else if (is_late(r)) end_alone(r, redis_ring_oldest(&r->ring));
    else watch_deadline(r);
}

static void on_deadline(struct redis *r)
{
    /* The loop may have been away for long: what has come meanwhile was in time. */
    if (is_late(r)) redis_link_read(r->link);
    if (r->state != UP) return;
    if (!is_late(r)) {
        watch_deadline(r);
    } else if (redis_ring_oldest(&r->ring)->astray) {
        end_alone(r, redis_ring_oldest(&r->ring));
    } else {
        go_down(r, OUTCOME_TIMEOUT, "no answer in time", 0);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct redis *r = container_of(timer, struct redis, timer);
    switch (r->state) {
    case DOWN: attempt(r); break;
    case CONNECTING: on_deadline_of_connecting(r); break;
    case UP: on_deadline(r); break;
    case CLOSING: break;
    }
}

/* ---- life */

struct redis *redis_open_routed(uv_loop_t *loop, const struct redis_config *config, const struct redis_router *router,
                                void *arg, struct metrics *metrics)
{
    struct redis *r = calloc(1, sizeof *r);
    if (!r) abort();
    r->config = *config;
    if (!r->config.timeout_ms) r->config.timeout_ms = 1000;
    if (!r->config.max_value) r->config.max_value = 1u << 20;
    if (!r->config.max_inflight) r->config.max_inflight = 1024;
    if (!r->config.max_unsent) r->config.max_unsent = 64u << 20;
    redis_config_print(config, r->name, sizeof r->name);
    redis_ring_init(&r->ring, r->config.max_inflight);
    r->metrics = metrics;
    for (int k = 0; k < REDIS_KINDS; k++) {
        struct slice label = slice_of(kinds[k].label);
        r->time[k] = metrics_histogram(metrics, METRIC_STORE_TIME, &label);
    }
    r->router = router;
    r->router_arg = arg;
    r->up = metrics_counter(metrics, METRIC_STORE_UP, NULL);
    if (!router) counter_set(r->up, 0);
    r->loop = loop;
    uv_timer_init(loop, &r->timer);
    r->first = true;
    attempt(r);
    return r;
}

struct redis *redis_open(uv_loop_t *loop, const struct redis_config *config, struct metrics *metrics)
{
    return redis_open_routed(loop, config, NULL, NULL, metrics);
}

static void on_closed(uv_handle_t *handle)
{
    struct redis *r = container_of((uv_timer_t *)handle, struct redis, timer);
    void (*closed)(void *) = r->closed;
    void *arg = r->closed_arg;
    redis_ring_deinit(&r->ring);
    free(r);
    if (closed) closed(arg);
}

void redis_close(struct redis *r, void (*closed)(void *arg), void *arg)
{
    assert(r->state != CLOSING);
    r->state = CLOSING;
    r->closed = closed;
    r->closed_arg = arg;
    turn(r, false);
    let_go(r);
    uv_close((uv_handle_t *)&r->timer, on_closed);
    fail_all(r, OUTCOME_LOST);
}

uint64_t redis_server(const struct redis *r) { return r->server; }

bool redis_up(const struct redis *r) { return r->state == UP; }

bool redis_is_routed(const struct redis *r) { return r->router != NULL; }

bool redis_is_connecting(const struct redis *r) { return r->first && r->state == CONNECTING; }

bool redis_is_idle(const struct redis *r) { return r->ring.n == 0; }

uint64_t redis_batch(const struct redis *r) { return r && r->state == UP ? 1 + redis_link_writes(r->link) : 0; }

/* ---- commands */

/* Is there room for n more? OK, STORE_UNAVAILABLE, OVERLOADED. */
static enum status look_for_room(struct redis *r, enum redis_kind kind, unsigned n)
{
    if (r->state != UP && !redis_is_connecting(r)) {
        count_error(r, kind, OUTCOME_REFUSED);
        return STORE_UNAVAILABLE;
    }
    size_t unsent = r->state == UP && !r->router ? redis_link_unsent(r->link) : r->ring.held_bytes;
    /* a few bytes, with a command that has found room and must not be sent in vain */
    bool goes_along = kind == REDIS_EPOCHS_ASK;
    if (r->ring.n + n <= r->ring.size && (unsent <= r->config.max_unsent || goes_along)) return OK;
    count_error(r, kind, OUTCOME_OVERLOADED);
    return OVERLOADED;
}

enum status redis_ask(struct redis *r, enum redis_kind kind, struct redis_command *c, redis_done *done)
{
    *c = (struct redis_command){.done = done};
    enum status st = r ? look_for_room(r, kind, 1) : STORE_UNAVAILABLE;
    if (st != OK) return st;
    redis_ring_append(&r->ring, &(struct redis_slot){.command = c, .kind = kind, .started_us = clock_mono_us()});
    if (r->state == UP && !uv_is_active((uv_handle_t *)&r->timer)) watch_deadline(r);
    return PENDING;
}

void redis_send(struct redis *r, struct redis_command *c, int argc, const struct slice *argv)
{
    struct redis_slot *s = c->slot;
    uint8_t i = s->queued++;
    bool is_kept = r->state != UP || r->router;
    if (is_kept) dispatch(r, s, i, redis_format(argc, argv));
    else redis_link_ask(r->link, question(s, i), argc, argv);
    assert(s->queued == 1 || !r->router);
}

void redis_send_script(struct redis *r, struct redis_command *c, enum redis_script script, int argc,
                       const struct slice *argv)
{
    struct redis_slot *s = c->slot;
    bool up = r->state == UP;
    s->script = script;
    s->by_hash = up && r->told_scripts & 1u << script && r->ring.held_bytes < KEPT_MAX;
    if (up) r->told_scripts |= 1u << script;
    dispatch(r, s, s->queued++,
             s->by_hash ? redis_script_by_hash(script, argc, argv) : redis_script_whole(script, argc, argv));
}

enum status redis_take(struct redis *r, const struct redis_slot *slot, bool asking)
{
    enum status st = look_for_room(r, slot->kind, 1 + asking);
    if (st != OK) return st;
    struct redis_slot permit = {.kind = REDIS_ASKING, .started_us = clock_mono_us()};
    if (asking) dispatch(r, redis_ring_append(&r->ring, &permit), 0, redis_format(1, &SLICE("ASKING")));
    dispatch(r, redis_ring_append(&r->ring, slot), 0, slot->held[0]);
    watch_deadline(r);
    return PENDING;
}

void redis_expect_values(struct redis_command *c, size_t n) { c->slot->values = (uint16_t)n; }

void redis_cancel(struct redis_command *c)
{
    if (!c->slot) return;
    c->slot->command = NULL;
    c->slot = NULL;
}
