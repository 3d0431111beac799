/* serve/fetch.c -- one record: found, loaded, stale where nothing better is to be had, or missing.
 *
 *     fetch_start -> near copy, store_get --now or later--> looked --miss--> join a flight ... on_landed
 *                                                              |
 *                                                              +--found, but old--> answered, and loaded behind the answer
 *
 * Who joins a load that others have begun may come after a write through another gateway, of which that load knows nothing. Where that
 * cannot be ruled out it looks again, once: whatever it joins then has begun after it came itself. */
#include "serve/fetch.h"

#include "base/clock.h"
#include "base/hash.h"
#include "serve/fill.h"
#include "serve/seal.h"

#include <assert.h>

static void open_whole(const struct blob *blob, struct envelope *e)
{
    bool whole = envelope_open(blob_slice(blob), e);
    assert(whole); /* we have sealed or opened it before */
    (void)whole;
}

static enum status status_of(const struct envelope *e) { return e->kind == ENVELOPE_NEGATIVE ? MISSING : OK; }

struct flight_era fetch_era(const struct serve *s, const struct served *served)
{
    struct epochs *epochs = store_epochs(s->store);
    struct flight_era era = {.now = epochs ? epochs_now(epochs).at : 0};
    if (era.now) era.since = epochs_last(epochs, served->epoch);
    return era;
}

/* -- loading -- */

static bool can_fall_back(const struct fetch *f) { return f->old && f->use == USE_IF_NO_BETTER; }

static void drop_old(struct fetch *f)
{
    blob_unref(f->old);
    f->old = NULL;
}

/* What was at hand becomes the result, if it will do, and has not been invalidated since; else it is `otherwise`. */
static enum status fall_back(struct fetch *f, enum status otherwise)
{
    if (!can_fall_back(f) || !seal_reopen(f->serve, f->served, f->old, &f->entry)) return otherwise;
    f->blob = f->old;
    f->old = NULL;
    f->source = SOURCE_STALE;
    f->stored = true;
    return OK;
}

static bool is_failure(enum status status) { return status != OK && status != MISSING; }

/* Was something of it invalidated after the load had begun, and before we came? Its tags are known only now. */
static bool began_too_early(const struct fetch *f, const struct flight_outcome *outcome)
{
    struct envelope e = {.refs = 0};
    if (f->waiter.era.now <= outcome->stamp.at) return false;
    if (outcome->blob) open_whole(outcome->blob, &e);
    return seal_is_outdated(f->serve, f->served, outcome->stamp, seal_notes_of(&e).tags);
}

static bool must_look_again(const struct fetch *f, const struct flight_outcome *outcome)
{
    if (f->led || f->again || !outcome || is_failure(outcome->status)) return false;
    return outcome->doubtful || f->waiter.at_the_end || began_too_early(f, outcome);
}

static void look_again(struct fetch *f)
{
    f->again = true;
    drop_old(f);
    enum status status = fetch_start(f, clock_wall_ms());
    if (status != PENDING) f->done(f, status);
}

static void on_landed(struct flight_waiter *w, const struct flight_outcome *outcome)
{
    struct fetch *f = container_of(w, struct fetch, waiter);
    f->waiting_for_flight = false;
    f->now_ms = clock_wall_ms();
    f->load_us = outcome ? outcome->load_us : 0;
    wait_end(&f->wait);
    if (must_look_again(f, outcome)) {
        look_again(f);
        return;
    }
    if ((!outcome || is_failure(outcome->status)) && fall_back(f, LOADER_TIMEOUT) == OK) {
        f->done(f, OK);
        return;
    }
    if (!outcome) { /* late, and what was at hand has been invalidated since */
        f->done(f,
                problem_set(&f->problem, LOADER_TIMEOUT, NULL, "the load takes long, and what was stored is invalid"));
        return;
    }
    f->source = outcome->found ? SOURCE_STORE : f->led ? SOURCE_LOADED : SOURCE_COLLAPSED;
    f->stored = outcome->stored;
    f->problem = outcome->problem;
    if (outcome->blob) {
        f->blob = blob_ref(outcome->blob);
        open_whole(f->blob, &f->entry);
    }
    f->done(f, outcome->status);
}

/* A load that has come here by f->trail waits from now on, if it may. */
static enum status begin_wait(struct fetch *f)
{
    const struct trail *t = f->trail;
    struct slice model = f->served->model->name;
    if (!t || t->n == 0) return OK;
    if (trail_is_full(t))
        return problem_set(&f->problem, LOADER_ERROR, NULL,
                           "loading model `%.*s` leads to more than %d loads within each other", SLICE_ARG(model),
                           TRAIL_MAX);
    uint64_t waits = t->batch ? t->batch : t->load[t->n - 1];
    if (wait_begin(flight_waits(f->serve->flights), &f->wait, waits, hash_fixed(f->key->stored))) return OK;
    return problem_set(&f->problem, LOADER_ERROR, NULL, "loading this record of model `%.*s` leads back to itself",
                       SLICE_ARG(model));
}

static enum status may_load(struct fetch *f)
{
    struct backoff *backoff = flight_backoff(f->serve->flights);
    uint64_t since = f->waiter.era.since;
    if (f->demand->mode == FETCH_RELOAD) backoff_forget(backoff, f->key->stored);
    if (backoff_holds(backoff, f->key->stored, since, clock_wall_ms(), &f->problem)) return f->problem.status;
    return begin_wait(f);
}

static enum fetch_cause cause_of(const struct fetch *f)
{
    struct envelope e;
    if (f->demand->mode == FETCH_RELOAD) return CAUSE_REQUEST;
    if (!f->old || !seal_reopen(f->serve, f->served, f->old, &e)) return CAUSE_MISS;
    return e.fresh_until_ms > clock_wall_ms() ? CAUSE_REQUEST : CAUSE_STALE;
}

static enum status join(struct fetch *f)
{
    struct flight *flight;
    struct slice key = f->key->stored;
    f->source = SOURCE_NOWHERE;
    f->cause = cause_of(f);
    f->waiter.era = fetch_era(f->serve, f->served);
    enum status status = may_load(f);
    if (status != OK) return fall_back(f, status);
    f->waiter.done = on_landed;
    f->waiter.content = can_fall_back(f);
    enum flight_role role = flight_join(f->serve->flights, key, &f->waiter, &flight);
    if (role == FLIGHT_LATE || role == FLIGHT_FULL) wait_end(&f->wait);
    if (role == FLIGHT_LATE || role == FLIGHT_FULL)
        return fall_back(f, problem_set(&f->problem, OVERLOADED, NULL, "too many requests wait for loads"));
    f->waiting_for_flight = true;
    f->led = role == FLIGHT_LEAD;
    if (f->led) {
        enum fill_look look = f->demand->mode == FETCH_RELOAD                          ? FILL_BLIND
                              : f->landings != flight_landings(f->serve->flights, key) ? FILL_LOOK_AGAIN
                                                                                       : FILL_HAS_LOOKED;
        fill_start(f->serve, f->served, f->key, f->request, f->trail, flight, f->old, look);
    }
    return PENDING;
}

static void on_level(struct store_op *op, enum status status, struct blob *none)
{
    struct fetch *f = container_of(op, struct fetch, op);
    f->waiting_for_store = false;
    f->now_ms = clock_wall_ms();
    status = join(f); /* what a store that is away has been told cannot be known */
    if (status != PENDING) f->done(f, status);
}

/* Who has not looked in the store knows nothing of what others have invalidated: it asks, or it might join a load that began before. */
enum status fetch_load(struct fetch *f, unsigned landings)
{
    f->landings = landings;
    if (f->demand->mode != FETCH_RELOAD) return join(f);
    f->op.done = on_level;
    f->waiting_for_store = store_catch_up(f->serve->store, &f->op) == PENDING;
    return f->waiting_for_store ? PENDING : join(f);
}

void fetch_refresh(struct serve *s, struct served *served, const struct record_key *key, uint64_t request,
                   struct blob *old)
{
    struct problem why;
    struct flight_era era = fetch_era(s, served);
    if (backoff_holds(flight_backoff(s->flights), key->stored, era.since, clock_wall_ms(), &why)) return;
    struct flight *flight = flight_found(s->flights, key->stored, era);
    if (flight) fill_start(s, served, key, request, NULL, flight, old, FILL_LOOK_AGAIN);
}

/* -- looking -- */

enum status fetch_open(struct serve *s, struct served *served, struct slice key, struct blob *blob, uint64_t now_ms,
                       const struct near_look *near, struct envelope *e, enum life *life)
{
    const struct model *m = served->model;
    enum status status = seal_open(s, served, blob, key, e);
    bool by_chance = m->options.refresh != 0; /* most models need neither of the two */
    if (status == OK)
        *life = life_of(m, e, by_chance ? seal_notes_of(e).load_us : 0, now_ms, by_chance ? serve_chance(s) : 0);
    if (status == OK && *life == LIFE_DEAD) status = MISSING;
    if (status == OK) store_keep_near(s->store, key, near, blob, e->stale_until_ms, now_ms);
    else store_drop_near(s->store, key, near);
    return status;
}

static bool may_fall_back(const struct envelope *e, uint64_t now_ms)
{
    return e->kind != ENVELOPE_NEGATIVE && now_ms >= e->fresh_until_ms && now_ms < e->stale_until_ms;
}

struct blob *fetch_open_left(struct serve *s, struct served *served, struct slice key, uint64_t now_ms,
                             struct envelope *e)
{
    const struct model *m = served->model;
    uint64_t since_ms;
    struct blob *left = m->options.stale_if_error_ms ? store_look_left(s->store, key, now_ms, &since_ms) : NULL;
    if (!left) return NULL;
    if (seal_reopen(s, served, left, e)) {
        life_doubt(m, since_ms, e);
        if (may_fall_back(e, now_ms)) return left;
    }
    blob_unref(left);
    return NULL;
}

enum status fetch_nothing(enum status looked, struct problem *why)
{
    if (looked == STORE_UNAVAILABLE) problem_set(why, looked, NULL, "the store does not answer");
    if (looked == OVERLOADED) problem_set(why, looked, NULL, "too many requests wait for the store");
    return looked;
}

/* Takes the blob. */
static enum status found(struct fetch *f, struct blob *blob, enum life life)
{
    f->blob = blob;
    f->source = fetch_found_source(life, &f->near);
    f->stored = true;
    if (life != LIFE_FRESH && f->demand->mode == FETCH_LOAD)
        fetch_refresh(f->serve, f->served, f->key, f->request, blob);
    return status_of(&f->entry);
}

/* The store is away. Does a copy that is left of the time before become the result? */
static bool take_left(struct fetch *f, uint64_t now_ms)
{
    const struct model *m = f->served->model;
    struct blob *left = fetch_open_left(f->serve, f->served, f->key->stored, now_ms, &f->entry);
    if (!left) return false;
    if (demand_use(f->demand, m, &f->entry, LIFE_STALE_ERROR, now_ms) == USE_NOT) {
        blob_unref(left);
        return false;
    }
    f->blob = left;
    f->source = SOURCE_STALE;
    f->stored = true;
    return true;
}

/* The store has answered. Takes the blob. */
static enum status looked(struct fetch *f, enum status status, struct blob *blob, uint64_t now_ms)
{
    const struct model *m = f->served->model;
    bool loads = m->loads && f->demand->mode != FETCH_LOOK;
    if (status == STORE_UNAVAILABLE && take_left(f, now_ms)) return OK;
    if (status == MISSING) store_drop_near(f->serve->store, f->key->stored, &f->near);
    if (status == OK) {
        enum life life;
        status = fetch_open(f->serve, f->served, f->key->stored, blob, now_ms, &f->near, &f->entry, &life);
        if (status == OK) f->use = demand_use(f->demand, m, &f->entry, life, now_ms);
        if (status == OK && f->use == USE_NOW) return found(f, blob, life);
        if (status == OK && loads) f->old = blob;
        else blob_unref(blob);
        if (status == OK) status = MISSING;
    }
    if (loads && status != OVERLOADED) return fetch_load(f, f->landings); /* also when the store is away */
    return fetch_nothing(status, &f->problem);
}

static void on_looked(struct store_op *op, enum status status, struct blob *blob)
{
    struct fetch *f = container_of(op, struct fetch, op);
    f->waiting_for_store = false;
    f->now_ms = clock_wall_ms();
    status = looked(f, status, blob, f->now_ms);
    if (status != PENDING) f->done(f, status);
}

enum status fetch_start(struct fetch *f, uint64_t now_ms)
{
    bool loads = f->served->model->loads;
    f->now_ms = now_ms;
    f->source = SOURCE_NOWHERE;
    if (loads) f->landings = flight_landings(f->serve->flights, f->key->stored); /* before we look in the store */
    if (loads && f->demand->mode == FETCH_RELOAD) return fetch_load(f, f->landings);
    f->near = (struct near_look){.hit = false};
    struct store *store = f->serve->store;
    bool near_will_do = f->demand->mode != FETCH_RELOAD && !f->again;
    struct blob *copy = NULL;
    f->op.level = near_will_do && store_near_up(store);
    if (f->op.level) copy = store_look_near(store, f->key->stored, now_ms, &f->near);
    else store_mark_near(store, f->key->stored, now_ms, &f->near);
    if (copy) return looked(f, OK, copy, now_ms);
    f->op.done = on_looked;
    enum status st = store_get(store, f->key->stored, now_ms, &f->op);
    if (st == PENDING) {
        f->waiting_for_store = true;
        return PENDING;
    }
    return looked(f, st, st == OK ? f->op.value : NULL, now_ms);
}

enum outcome fetch_outcome(enum fetch_source source)
{
    switch (source) {
    case SOURCE_LOADED: return OUTCOME_LOADED;
    case SOURCE_COLLAPSED: return OUTCOME_COLLAPSED;
    case SOURCE_STALE: return OUTCOME_STALE;
    case SOURCE_NEAR:
    case SOURCE_STORE:
    case SOURCE_NOWHERE: break;
    }
    return OUTCOME_HIT;
}

void fetch_set_times(struct freshness *fresh, const struct model *m, const struct envelope *e)
{
    fresh->stored_ms = e->stored_ms;
    fresh->fresh_until_ms = e->fresh_until_ms;
    fresh->while_until_ms = fresh->error_until_ms = e->fresh_until_ms;
    if (e->stale_until_ms == e->fresh_until_ms) return;
    fresh->while_until_ms = clock_add(e->fresh_until_ms, m->options.stale_while_revalidate_ms);
    fresh->error_until_ms = clock_add(e->fresh_until_ms, m->options.stale_if_error_ms);
}

struct freshness fetch_freshness(const struct fetch *f)
{
    struct freshness fresh = {.source = f->source, .cause = f->cause, .known = f->blob != NULL, .stored = f->stored};
    if (f->blob) fetch_set_times(&fresh, f->served->model, &f->entry);
    return fresh;
}

void fetch_finish(struct fetch *f)
{
    if (f->waiting_for_store) store_cancel(&f->op);
    if (f->waiting_for_flight) flight_leave(&f->waiter);
    wait_end(&f->wait);
    f->waiting_for_store = f->waiting_for_flight = false;
    blob_unref(f->blob);
    blob_unref(f->old);
    f->blob = f->old = NULL;
}
