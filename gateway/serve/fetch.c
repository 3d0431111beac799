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

enum status fetch_load(struct fetch *f, unsigned landings)
{
    struct flight *flight;
    struct slice key = f->key->stored;
    f->source = SOURCE_NOWHERE;
    if (f->trail && (trail_is_full(f->trail) || trail_has(f->trail, hash_fixed(key))))
        return problem_set(&f->problem, LOADER_ERROR, NULL, "loading this record of model `%.*s` leads back to itself",
                           SLICE_ARG(f->served->model->name));
    f->waiter.done = on_landed;
    enum flight_role role = flight_join(f->serve->flights, key, &f->waiter, &flight);
    if (role == FLIGHT_FULL) return problem_set(&f->problem, OVERLOADED, NULL, "too many requests wait for loads");
    f->waiting_for_flight = true;
    f->led = role == FLIGHT_LEAD;
    if (f->led) {
        bool look_again = f->mode == FETCH_LOAD && landings != flight_landings(f->serve->flights, key);
        fill_start(f->serve, f->served, f->key, f->request, f->trail, flight, look_again);
    }
    return PENDING;
}

enum status fetch_open(struct serve *s, struct served *served, struct slice key, const struct blob *blob,
                       uint64_t now_ms, struct envelope *e)
{
    enum status status = seal_open(s, served, blob, key, e);
    return status == OK && e->fresh_until_ms <= now_ms ? MISSING : status;
}

enum status fetch_nothing(enum status looked, struct problem *why)
{
    if (looked == STORE_UNAVAILABLE) problem_set(why, looked, NULL, "the store does not answer");
    if (looked == OVERLOADED) problem_set(why, looked, NULL, "too many requests wait for the store");
    return looked;
}

/* The store has answered. Takes the blob. */
static enum status looked(struct fetch *f, enum status status, struct blob *blob, uint64_t now_ms)
{
    if (status == OK) {
        status = fetch_open(f->serve, f->served, f->key->stored, blob, now_ms, &f->entry);
        if (status == OK) return found(f, blob);
        blob_unref(blob);
    }
    bool loads = f->served->model->loads && f->mode != FETCH_LOOK;
    if (loads && status != OVERLOADED) return fetch_load(f, f->landings); /* also when the store is away */
    return fetch_nothing(status, &f->problem);
}

static void on_looked(struct store_op *op, enum status status, struct blob *blob)
{
    struct fetch *f = container_of(op, struct fetch, op);
    f->waiting_for_store = false;
    status = looked(f, status, blob, clock_wall_ms());
    if (status != PENDING) f->done(f, status);
}

enum status fetch_start(struct fetch *f, uint64_t now_ms)
{
    f->source = SOURCE_NOWHERE;
    f->landings = flight_landings(f->serve->flights, f->key->stored);
    if (f->mode == FETCH_RELOAD && f->served->model->loads) return fetch_load(f, f->landings);
    f->op.done = on_looked;
    enum status st = store_get(f->serve->store, f->key->stored, now_ms, &f->op);
    if (st == PENDING) {
        f->waiting_for_store = true;
        return PENDING;
    }
    return looked(f, st, st == OK ? f->op.value : NULL, now_ms);
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
