/* serve/fill.c -- leading a flight:
 *
 *     fill_start ... [look again] ... load ... on_loaded: seal ... store ... on_stored: land
 *
 * A fill is its own owner: nobody holds a pointer to it but its load, its store operation and the list in struct serve. */
#include "serve/fill.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "script/load.h"
#include "serve/seal.h"

#include <stdio.h>
#include <stdlib.h>

struct fill {
    struct list link; /* in serve->fills */
    struct serve *serve;
    struct served *served;
    struct flight *flight;
    struct arena arena;
    struct record_key key;
    struct load *load; /* NULL when none runs */
    struct store_op op;
    bool storing;                   /* op is under way */
    struct flight_outcome *outcome; /* being stored */
    uint64_t request;
    struct trail trail; /* of the load */
    uint64_t started_us;
};

static void fill_land(struct fill *f, struct flight_outcome *outcome)
{
    struct generation *generation = f->served->generation;
    struct flight *flight = f->flight;
    list_remove(&f->link);
    arena_deinit(&f->arena);
    free(f);
    flight_land(flight, outcome);
    generation_unref(generation);
}

/* -- storing -- */

static void on_stored(struct store_op *op, enum status status, struct blob *value)
{
    struct fill *f = container_of(op, struct fill, op);
    f->outcome->stored = status == OK;
    fill_land(f, f->outcome);
}

static void fill_store(struct fill *f, struct flight_outcome *outcome, uint64_t until_ms, uint64_t now_ms)
{
    f->outcome = outcome;
    if (!flight_may_store(f->flight)) {
        fill_land(f, outcome);
        return;
    }
    f->op.done = on_stored;
    enum status st = store_put(f->serve->store, f->key.stored, outcome->blob, until_ms, now_ms, &f->op);
    f->storing = st == PENDING;
    if (!f->storing) on_stored(&f->op, st, NULL);
}

/* -- loading -- */

static void count_load(struct fill *f, enum status status)
{
    struct served *served = f->served;
    struct metrics *m = f->serve->metrics;
    struct slice labels[] = {served->model->name, slice_of(status_code(status))};
    if (!served->loads[status]) served->loads[status] = metrics_counter(m, METRIC_LOADS, labels);
    counter_add(served->loads[status], 1);
    counter_add(served->loads_inflight, -1);
    histogram_add(served->load_time, clock_mono_us() - f->started_us);
}

static void log_failure(const struct fill *f, const struct load_result *r)
{
    char request[17];
    snprintf(request, sizeof request, "%016llx", (unsigned long long)f->request);
    log_warn("loader failed", LOG_TEXT("code", status_code(r->status)), LOG_TEXT("request", request),
             LOG_SLICE("model", f->served->model->name), LOG_SLICE("key", f->key.pairs), LOG_SLICE("error", r->log));
}

static enum envelope_kind kind_of(const struct model *m, enum status status)
{
    if (status == MISSING) return ENVELOPE_NEGATIVE;
    return m->kind == MODEL_RECORD ? ENVELOPE_RECORD : ENVELOPE_RESULT;
}

/* What the loader brought, sealed; a record with no life of its own (expires 0) is sealed too, for those who wait. */
static void on_loaded(void *owner, const struct load_result *r)
{
    struct fill *f = owner;
    const struct model_options *options = &f->served->model->options;
    uint64_t now = clock_wall_ms();
    f->load = NULL;
    count_load(f, r->status);

    struct flight_outcome *outcome = flight_outcome_new(r->status);
    if (r->status != OK && r->status != MISSING) {
        outcome->problem = r->problem;
        outcome->problem.status = r->status;
        log_failure(f, r);
        fill_land(f, outcome);
        return;
    }
    uint64_t life = r->status == MISSING                  ? options->negative_ms
                    : r->expires_ms == LOAD_EXPIRES_UNSET ? options->expires_ms
                                                          : r->expires_ms;
    uint64_t until = clock_add(now, life);
    struct envelope e = {.kind = kind_of(f->served->model, r->status),
                         .stored_ms = now,
                         .fresh_until_ms = until,
                         .stale_until_ms = until,
                         .text = r->text};
    if (r->status == OK || life) outcome->blob = seal_make(f->serve, &e, r->refs, r->n_refs, r->tags, f->key.stored);
    if (life) fill_store(f, outcome, until, now);
    else fill_land(f, outcome);
}

static void fill_load(struct fill *f)
{
    struct served *served = f->served;
    if (!served->load_time) {
        served->load_time = metrics_histogram(f->serve->metrics, METRIC_LOAD_TIME, &served->model->name);
        served->loads_inflight = metrics_counter(f->serve->metrics, METRIC_LOADS_INFLIGHT, &served->model->name);
    }
    counter_add(served->loads_inflight, 1);
    f->started_us = clock_mono_us();
    f->load = load_start(served->generation->vm, &f->key, &f->trail, on_loaded, f);
}

/* -- looking again -- */

static void on_looked_again(struct store_op *op, enum status status, struct blob *blob)
{
    struct fill *f = container_of(op, struct fill, op);
    struct envelope e;
    f->storing = false;
    if (status == OK) status = seal_open(f->serve, f->served, blob, f->key.stored, &e);
    if (status == OK && e.fresh_until_ms > clock_wall_ms()) {
        struct flight_outcome *outcome = flight_outcome_new(e.kind == ENVELOPE_NEGATIVE ? MISSING : OK);
        outcome->blob = blob;
        outcome->stored = outcome->found = true;
        fill_land(f, outcome);
        return;
    }
    blob_unref(blob);
    fill_load(f);
}

void fill_start(struct serve *s, struct served *served, const struct record_key *key, uint64_t request,
                const struct trail *trail, struct flight *flight, bool look_again)
{
    struct fill *f = calloc(1, sizeof *f);
    if (!f) abort();
    f->serve = s;
    f->served = served;
    f->flight = flight;
    f->request = request;
    f->trail = trail_with(trail, hash_fixed(key->stored));
    f->trail.request = request;
    arena_init(&f->arena);
    f->key = key_copy(key, &f->arena);
    list_append(&s->fills, &f->link);
    generation_ref(served->generation);
    if (!look_again) {
        fill_load(f);
        return;
    }
    f->op.done = on_looked_again;
    enum status st = store_get(s->store, f->key.stored, clock_wall_ms(), &f->op);
    f->storing = st == PENDING;
    if (st != PENDING) on_looked_again(&f->op, st, st == OK ? f->op.value : NULL);
}

void fill_stop_all(struct serve *s)
{
    while (!list_empty(&s->fills)) {
        struct fill *f = container_of(s->fills.next, struct fill, link);
        if (f->load) load_cancel(f->load);
        if (f->storing) store_cancel(&f->op);
        if (f->outcome) flight_outcome_unref(f->outcome);
        struct flight_outcome *outcome = flight_outcome_new(OVERLOADED);
        problem_set(&outcome->problem, OVERLOADED, NULL, "the gateway is shutting down");
        fill_land(f, outcome);
    }
}
