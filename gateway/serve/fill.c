/* serve/fill.c -- leading a flight:
 *
 *     fill_start
 *       queue     where the model has max_loads: a turn to load          now or later
 *       look      a store in this process: what stands there by now?     now
 *                 a shared one: the lease, and the same question         later
 *       load      the handler (script/load.h)                            later
 *       store     what it brought, sealed, unless it is barred           now or later
 *       land      all who wait are told
 *
 * A fill is its own owner: nobody holds a pointer to it but what it waits for and the list in struct serve. It lands once; its memory
 * goes when its handles have closed. */
#include "serve/fill.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "script/load.h"
#include "serve/lease.h"
#include "serve/life.h"
#include "serve/seal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* Of the line before max_loads. What is let in while more is asked for than can be loaded waits for three loads and makes its own: so it takes no
 * longer than four times what it takes when nobody waits. */
#define BURST_LEAST    64
#define BURST_LOADS    16 /* times max_loads */
#define STANDS_LEAST   16 /* turns: where few go at once a line stands for long by mere chance, with time to spare */
#define STANDS_LOADS   4
#define STANDING_LOADS 3

struct fill {
    struct list link; /* in serve->fills, until it lands */
    struct serve *serve;
    struct served *served;
    struct flight *flight;
    struct arena arena;
    struct record_key key;
    struct blob *old; /* what it replaces, or NULL; one reference */
    enum fill_look look;
    uint64_t request;
    struct trail trail; /* of the load */

    bool has_turn, in_line; /* of max_loads */
    struct flight_waiter turn;
    struct lease lease;
    bool leased, alone; /* the lease's handle is open; there is no store to lease from */
    struct flight_watch watch;
    bool watching; /* what becomes of another's lease */
    uv_timer_t late;
    bool timed;        /* its handle is open */
    struct wait batch; /* for the call that makes its load together with others */
    struct load *load; /* NULL when none runs */
    uint64_t started_us, took_us;
    struct stamp stamp; /* when it began */
    struct store_op op;
    bool storing;                   /* op is under way */
    bool lives;                     /* the outcome is to be kept */
    struct flight_outcome *outcome; /* being stored */
    unsigned handles;               /* that have not closed */
};

/* -- landing -- */

static void fill_free(struct fill *f)
{
    if (f->handles) return;
    blob_unref(f->old);
    arena_deinit(&f->arena);
    free(f);
}

static void on_lease_closed(struct lease *l)
{
    struct fill *f = container_of(l, struct fill, lease);
    f->handles--;
    fill_free(f);
}

static void on_late_closed(uv_handle_t *handle)
{
    struct fill *f = container_of((uv_timer_t *)handle, struct fill, late);
    f->handles--;
    fill_free(f);
}

static void watch_end(struct fill *f)
{
    if (f->watching) flight_watch_end(f->serve->flights, &f->watch);
    f->watching = false;
}

/* Takes the outcome. */
static void fill_land(struct fill *f, struct flight_outcome *outcome)
{
    struct flight_port *port = f->serve->flights;
    struct generation *generation = f->served->generation;
    struct flight *flight = f->flight;
    list_remove(&f->link);
    wait_end(&f->batch);
    watch_end(f);
    if (f->has_turn) flight_turn_end(port, f->served->model->name);
    if (f->leased) lease_end(&f->lease, on_lease_closed);
    if (f->timed) uv_close((uv_handle_t *)&f->late, on_late_closed);
    fill_free(f);
    flight_land(flight, outcome);
    generation_unref(generation);
}

static void land_failure(struct fill *f, enum status status, const char *detail)
{
    struct flight_outcome *outcome = flight_outcome_new(status);
    problem_set(&outcome->problem, status, NULL, "%s", detail);
    fill_land(f, outcome);
}

/* Takes the blob. */
static void land_found(struct fill *f, struct blob *blob, const struct envelope *e)
{
    struct flight_outcome *outcome = flight_outcome_new(e->kind == ENVELOPE_NEGATIVE ? MISSING : OK);
    outcome->blob = blob;
    outcome->stored = outcome->found = true;
    outcome->doubtful = store_is_remote(f->serve->store); /* written since it was found? */
    outcome->stamp = seal_notes_of(e).stamp;
    fill_land(f, outcome);
}

/* -- storing -- */

/* What was invalidated while it was loaded is there for those who wait, and counts as not stored. */
static bool is_outdated(const struct fill *f)
{
    struct envelope e = {.refs = 0};
    if (f->outcome->blob) envelope_open(blob_slice(f->outcome->blob), &e);
    return seal_is_outdated(f->serve, f->served, f->stamp, seal_notes_of(&e).tags);
}

static void stored(struct fill *f, enum status status)
{
    f->outcome->stored = status == OK && f->lives && !is_outdated(f);
    f->outcome->doubtful = status != OK && store_is_remote(f->serve->store);
    fill_land(f, f->outcome);
}

static void on_stored(struct store_op *op, enum status status, struct blob *value)
{
    stored(container_of(op, struct fill, op), status);
}

static void on_filled(struct lease *l, enum status status) { stored(container_of(l, struct fill, lease), status); }

/* A write of this process has barred the flight; one of another gateway has taken the lease, which therefore is asked about also for what is not
 * kept. */
static void fill_store(struct fill *f, struct flight_outcome *outcome, uint64_t until_ms, uint64_t now_ms)
{
    enum status st = OK;
    f->outcome = outcome;
    f->op.done = on_stored;
    if (f->alone) st = STORE_UNAVAILABLE;
    else if (!flight_may_store(f->flight)) st = PRECONDITION_FAILED;
    else if (f->leased && f->lives) st = lease_fill(&f->lease, outcome->blob, until_ms, now_ms);
    else if (f->leased) st = lease_yield(&f->lease);
    else if (f->lives) st = store_put(f->serve->store, f->key.stored, outcome->blob, until_ms, now_ms, &f->op);
    f->storing = st == PENDING && !f->leased;
    if (st != PENDING) stored(f, st);
}

/* -- loading -- */

/* What it replaces, if that is of any use. */
static bool open_old(const struct fill *f, struct envelope *e)
{
    return f->old && seal_reopen(f->serve, f->served, f->old, e) && e->kind != ENVELOPE_NEGATIVE;
}

static void count_load(struct fill *f, enum status status)
{
    struct served *served = f->served;
    struct metrics *m = f->serve->metrics;
    struct slice labels[] = {served->model->name, slice_of(status_code(status))};
    if (!served->loads[status]) served->loads[status] = metrics_counter(m, METRIC_LOADS, labels);
    counter_add(served->loads[status], 1);
    counter_add(served->loads_inflight, -1);
    histogram_add(served->load_time, f->took_us);
}

static void log_failure(const struct fill *f, const struct load_result *r)
{
    char request[17];
    snprintf(request, sizeof request, "%016llx", (unsigned long long)f->request);
    log_warn("loader failed", LOG_TEXT("code", status_code(r->status)), LOG_TEXT("request", request),
             LOG_SLICE("model", f->served->model->name), LOG_SLICE("key", f->key.pairs), LOG_SLICE("error", r->log));
}

static void load_failed(struct fill *f, const struct load_result *r)
{
    struct flight_outcome *outcome = flight_outcome_new(r->status);
    outcome->problem = r->problem;
    outcome->problem.status = r->status;
    outcome->load_us = f->took_us;
    log_failure(f, r);
    uint64_t now_ms = clock_wall_ms();
    backoff_failed(flight_backoff(f->serve->flights), f->key.stored, f->stamp.at, now_ms, &outcome->problem);
    fill_land(f, outcome);
}

static enum envelope_kind kind_of(const struct model *m, enum status status)
{
    if (status == MISSING) return ENVELOPE_NEGATIVE;
    return m->kind == MODEL_RECORD ? ENVELOPE_RECORD : ENVELOPE_RESULT;
}

static uint64_t life_said(const struct model_options *o, const struct load_result *r)
{
    if (r->status == MISSING && r->expires_ms != 0) return o->negative_ms;
    return r->expires_ms == LOAD_EXPIRES_UNSET ? LIFE_UNSAID : r->expires_ms;
}

/* How long it took, where early refresh wants to know. */
static uint32_t load_us(const struct fill *f)
{
    uint64_t us = f->took_us;
    if (f->served->model->options.refresh != REFRESH_XFETCH) return 0;
    return us < UINT32_MAX ? (uint32_t)us + 1 : UINT32_MAX;
}

/* The old record again, with a new life. */
static struct blob *seal_old(struct fill *f, struct envelope *e, struct seal_notes *notes)
{
    struct envelope old;
    bool opens = envelope_open(blob_slice(f->old), &old); /* also if it has been invalidated since the loader saw it */
    assert(opens);
    (void)opens;
    notes->tags = seal_notes_of(&old).tags;
    return seal_again(f->serve, &old, e, notes, f->key.stored);
}

/* What the loader brought, sealed; a record with no life of its own (expires 0) is sealed too, for those who wait. */
static void on_loaded(void *owner, const struct load_result *r)
{
    struct fill *f = owner;
    const struct model *m = f->served->model;
    uint64_t now = clock_wall_ms();
    f->load = NULL;
    f->took_us = clock_mono_us() - f->started_us;
    count_load(f, r->status);
    if (r->status != OK && r->status != MISSING) {
        load_failed(f, r);
        return;
    }
    backoff_forget(flight_backoff(f->serve->flights), f->key.stored);
    struct flight_outcome *outcome = flight_outcome_new(r->status);
    outcome->load_us = f->took_us;
    struct seal_notes notes = {.tags = r->tags, .origin = r->origin, .load_us = load_us(f), .stamp = f->stamp};
    struct envelope e = {.kind = kind_of(m, r->status), .text = r->text};
    outcome->stamp = f->stamp;
    life_begin(m, life_said(&m->options, r), now, serve_chance(f->serve), &e);
    f->lives = e.fresh_until_ms > now;
    if (!f->lives) e.stale_until_ms = e.fresh_until_ms;
    if (r->unmodified) outcome->blob = seal_old(f, &e, &notes);
    else if (r->status == OK || f->lives)
        outcome->blob = seal_make(f->serve, &e, r->refs, r->n_refs, &notes, f->key.stored);
    fill_store(f, outcome, e.stale_until_ms, now);
}

static void on_late(uv_timer_t *timer) { flight_late(container_of(timer, struct fill, late)->flight); }

static void fill_load(struct fill *f)
{
    struct served *served = f->served;
    if (!served->load_time) {
        served->load_time = metrics_histogram(f->serve->metrics, METRIC_LOAD_TIME, &served->model->name);
        served->loads_inflight = metrics_counter(f->serve->metrics, METRIC_LOADS_INFLIGHT, &served->model->name);
    }
    counter_add(served->loads_inflight, 1);
    f->started_us = clock_mono_us();
    f->stamp = store_stamp(f->serve->store);
    struct envelope old;
    bool has_old = open_old(f, &old);
    f->load = load_start(served->generation->vm, &f->key, has_old ? &old : NULL, &f->trail, on_loaded, f);
    uint64_t batch = load_batch(f->load);
    if (batch) wait_begin(flight_waits(f->serve->flights), &f->batch, f->trail.load[f->trail.n - 1], batch);
}

/* -- looking -- */

/* Is what stands there good enough by now? Takes the blob. */
static bool take_found(struct fill *f, struct blob *blob)
{
    struct envelope e;
    enum status st = seal_open(f->serve, f->served, blob, f->key.stored, &e);
    bool fresh = st == OK && e.fresh_until_ms > clock_wall_ms();
    bool old = f->old && slice_eq(blob_slice(f->old), blob_slice(blob)); /* which is due before its end */
    if (fresh && !old) {
        land_found(f, blob, &e);
        return true;
    }
    blob_unref(f->old);
    f->old = blob;
    return false;
}

/* In this process: nobody else can have stored it since, but a flight that ended between the look and ours. */
static void on_looked_again(struct store_op *op, enum status status, struct blob *blob)
{
    struct fill *f = container_of(op, struct fill, op);
    f->storing = false;
    if (status != OK || !take_found(f, blob)) fill_load(f);
}

static void look_again(struct fill *f)
{
    f->op.done = on_looked_again;
    enum status st = store_get(f->serve->store, f->key.stored, clock_wall_ms(), &f->op);
    f->storing = st == PENDING;
    if (st != PENDING) on_looked_again(&f->op, st, st == OK ? f->op.value : NULL);
}

static void on_leased(struct lease *l, enum lease_outcome outcome, struct blob *found);

static void on_news(struct flight_waiter *w, const struct flight_outcome *none)
{
    struct fill *f = container_of(w, struct fill, watch.waiter);
    flight_watch_on(f->serve->flights, &f->watch); /* first, so that nothing is missed that comes after the question */
    lease_news(&f->lease);
}

/* From before the lease is asked for: what changes while the answer is on its way is heard, too. */
static void lease(struct fill *f)
{
    f->watch.waiter.done = on_news;
    flight_watch_begin(f->serve->flights, f->key.stored, &f->watch);
    f->watching = true;
    uint64_t patience_us = f->served->model->options.hard_timeout_ms * 1000;
    struct slice known = f->old ? blob_slice(f->old) : SLICE("");
    if (f->look == FILL_BLIND) known = (struct slice){NULL, 0};
    f->lease.store = f->serve->store;
    f->lease.key = f->key.stored;
    f->lease.done = on_leased;
    f->lease.filled = on_filled;
    if (!f->leased) f->handles++;
    f->leased = true;
    lease_start(&f->lease, flight_loop(f->serve->flights), known, clock_add(clock_mono_us(), patience_us));
}

static void on_leased(struct lease *l, enum lease_outcome outcome, struct blob *found)
{
    struct fill *f = container_of(l, struct fill, lease);
    switch (outcome) {
    case LEASE_FOUND:
        if (!take_found(f, found)) lease_again(l, blob_slice(f->old));
        break;
    case LEASE_LATE:
        land_failure(f, LOADER_TIMEOUT, "another gateway has been loading this record for too long");
        break;
    case LEASE_ALONE: f->alone = true; __attribute__((fallthrough));
    case LEASE_OURS:
        watch_end(f);
        fill_load(f);
        break;
    }
}

static void fill_look(struct fill *f)
{
    if (store_is_remote(f->serve->store)) lease(f);
    else if (f->look == FILL_LOOK_AGAIN) look_again(f);
    else fill_load(f);
}

/* -- queueing -- */

static void on_turn(struct flight_waiter *w, const struct flight_outcome *none)
{
    struct fill *f = container_of(w, struct fill, turn);
    f->in_line = false;
    f->has_turn = true;
    fill_look(f);
}

static void fill_queue(struct fill *f)
{
    const struct model_options *o = &f->served->model->options;
    unsigned at_once =
        o->max_loads * (o->from_misses ? LOAD_TOGETHER_MAX : 1); /* a turn is that of a record, not of a call */
    struct flight_line_bounds bounds = {
        .at_once = at_once,
        .burst = at_once * BURST_LOADS > BURST_LEAST ? at_once * BURST_LOADS : BURST_LEAST,
        .stands = at_once * STANDS_LOADS > STANDS_LEAST ? at_once * STANDS_LOADS : STANDS_LEAST,
        .standing = at_once * STANDING_LOADS,
    };
    f->turn.done = on_turn;
    switch (flight_turn_take(f->serve->flights, f->served->model->name, &bounds, &f->turn)) {
    case TURN_NOW:
        f->has_turn = true;
        fill_look(f);
        break;
    case TURN_LATER: f->in_line = true; break;
    case TURN_NEVER: land_failure(f, OVERLOADED, "too many loads of this model wait for their turn"); break;
    }
}

void fill_start(struct serve *s, struct served *served, const struct record_key *key, uint64_t request,
                const struct trail *trail, struct flight *flight, struct blob *old, enum fill_look look)
{
    const struct model_options *o = &served->model->options;
    struct fill *f = calloc(1, sizeof *f);
    if (!f) abort();
    f->serve = s;
    f->served = served;
    f->flight = flight;
    f->request = request;
    f->old = old ? blob_ref(old) : NULL;
    f->look = look;
    f->trail = trail_with(trail, hash_fixed(key->stored));
    f->trail.request = request;
    arena_init(&f->arena);
    f->key = key_copy(key, &f->arena);
    list_append(&s->fills, &f->link);
    generation_ref(served->generation);
    if (o->soft_timeout_ms) {
        f->timed = true;
        f->handles++;
        uv_timer_init(flight_loop(s->flights), &f->late);
        uv_timer_start(&f->late, on_late, o->soft_timeout_ms, 0);
    }
    if (o->max_loads) fill_queue(f);
    else fill_look(f);
}

void fill_stop_all(struct serve *s)
{
    while (!list_empty(&s->fills)) {
        struct fill *f = container_of(s->fills.next, struct fill, link);
        if (f->in_line) flight_turn_leave(s->flights, f->served->model->name, &f->turn);
        if (f->load) load_cancel(f->load);
        if (f->storing) store_cancel(&f->op);
        if (f->outcome) flight_outcome_unref(f->outcome);
        land_failure(f, OVERLOADED, "the gateway is shutting down");
    }
}
