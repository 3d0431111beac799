/* serve/fetch.c -- one record: found, loaded, or missing.
 *
 *     fetch_start -> store_get --now or later--> looked --miss--> join a flight ... on_landed */
#include "serve/fetch.h"

#include "base/clock.h"
#include "base/hash.h"
#include "serve/fill.h"
#include "serve/seal.h"

#include <assert.h>

/* Takes the blob. */
static enum status found(struct fetch *f, struct blob *blob)
{
    f->blob = blob;
    f->source = SOURCE_STORE;
    f->stored = true;
    return f->entry.kind == ENVELOPE_NEGATIVE ? MISSING : OK;
}

static void on_landed(struct flight_waiter *w, const struct flight_outcome *outcome)
{
    struct fetch *f = container_of(w, struct fetch, waiter);
    f->waiting_for_flight = false;
    f->source = outcome->found ? SOURCE_STORE : f->led ? SOURCE_LOADED : SOURCE_COLLAPSED;
    f->stored = outcome->stored;
    f->problem = outcome->problem;
    if (outcome->blob) {
        f->blob = blob_ref(outcome->blob);
        bool whole = envelope_open(blob_slice(f->blob), &f->entry);
        assert(whole); /* we have just sealed or opened it */
        (void)whole;
    }
    f->done(f, outcome->status);
}

static enum status join_flight(struct fetch *f)
{
    struct flight *flight;
    if (f->trail && (trail_is_full(f->trail) || trail_has(f->trail, hash_fixed(f->key->stored))))
        return problem_set(&f->problem, LOADER_ERROR, NULL, "loading this record of model `%.*s` leads back to itself",
                           SLICE_ARG(f->served->model->name));
    f->waiter.done = on_landed;
    enum flight_role role = flight_join(f->serve->flights, f->key->stored, &f->waiter, &flight);
    if (role == FLIGHT_FULL) return problem_set(&f->problem, OVERLOADED, NULL, "too many requests wait for loads");
    f->waiting_for_flight = true;
    f->led = role == FLIGHT_LEAD;
    if (f->led) {
        bool look_again = f->mode == FETCH_LOAD && f->landings != flight_landings(f->serve->flights, f->key->stored);
        fill_start(f->serve, f->served, f->key, f->request, f->trail, flight, look_again);
    }
    return PENDING;
}

/* The store has answered. Takes the blob. */
enum status fetch_looked(struct fetch *f, enum status status, struct blob *blob, uint64_t now_ms)
{
    if (status == OK) {
        status = seal_open(f->serve, f->served, blob, f->key->stored, &f->entry);
        if (status == OK && f->entry.fresh_until_ms > now_ms) return found(f, blob);
        blob_unref(blob);
        if (status == OK) status = MISSING; /* its time is up */
    }
    bool loads = f->served->model->loads && f->mode != FETCH_LOOK;
    if (loads && status != OVERLOADED) return join_flight(f); /* also when the store is away */
    if (status == STORE_UNAVAILABLE) return problem_set(&f->problem, status, NULL, "the store does not answer");
    if (status == OVERLOADED) return problem_set(&f->problem, status, NULL, "too many requests wait for the store");
    return status;
}

static void on_looked(struct store_op *op, enum status status, struct blob *blob)
{
    struct fetch *f = container_of(op, struct fetch, op);
    f->waiting_for_store = false;
    status = fetch_looked(f, status, blob, clock_wall_ms());
    if (status != PENDING) f->done(f, status);
}

void fetch_prepare(struct fetch *f)
{
    f->source = SOURCE_NOWHERE;
    f->landings = flight_landings(f->serve->flights, f->key->stored);
}

enum status fetch_start(struct fetch *f, uint64_t now_ms)
{
    fetch_prepare(f);
    if (f->mode == FETCH_RELOAD && f->served->model->loads) return join_flight(f);
    f->op.done = on_looked;
    enum status st = store_get(f->serve->store, f->key->stored, now_ms, &f->op);
    if (st == PENDING) {
        f->waiting_for_store = true;
        return PENDING;
    }
    return fetch_looked(f, st, st == OK ? f->op.value : NULL, now_ms);
}

struct freshness fetch_freshness(const struct fetch *f)
{
    return (struct freshness){.source = f->source,
                              .mode = f->mode,
                              .known = f->blob != NULL,
                              .stored = f->stored,
                              .stored_ms = f->blob ? f->entry.stored_ms : 0,
                              .fresh_until_ms = f->blob ? f->entry.fresh_until_ms : 0};
}

void fetch_finish(struct fetch *f)
{
    if (f->waiting_for_store) store_cancel(&f->op);
    if (f->waiting_for_flight) flight_leave(&f->waiter);
    f->waiting_for_store = f->waiting_for_flight = false;
    blob_unref(f->blob);
    f->blob = NULL;
}
