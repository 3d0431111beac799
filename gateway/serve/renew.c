/* serve/renew.c -- one renewal:
 *
 *     renew_start
 *       look        store_get ... looked                                now or later
 *       replace     the same text under new times; store_replace ...    now or later
 *                   changed meanwhile? look again */
#include "serve/renew.h"

#include "base/clock.h"
#include "serve/life.h"
#include "serve/seal.h"

#define ATTEMPTS_MAX 16

static void drop(struct renew *r)
{
    blob_unref(r->old);
    blob_unref(r->next);
    r->old = r->next = NULL;
}

static enum status failed(struct renew *r, enum status status)
{
    drop(r);
    if (status == MISSING) return status;
    return problem_set(&r->problem, status, NULL, "nothing is known to be changed");
}

/* -- replacing -- */

static enum status look(struct renew *r);

static enum status replaced(struct renew *r, enum status status)
{
    flight_write_end(r->serve->flights, &r->fence);
    if (status != OK && status != PRECONDITION_FAILED) return failed(r, status);
    drop(r);
    return status == OK ? OK : look(r);
}

static void on_replaced(struct store_op *op, enum status status, struct blob *none)
{
    struct renew *r = container_of(op, struct renew, op);
    status = replaced(r, status);
    if (status != PENDING) r->done(r, status);
}

static void on_landed(struct flight_waiter *w, const struct flight_outcome *outcome)
{
    struct renew *r = container_of(w, struct renew, waiter);
    drop(r); /* it has just been stored anew */
    enum status status = look(r);
    if (status != PENDING) r->done(r, status);
}

static enum status replace(struct renew *r)
{
    struct slice key = r->key->stored;
    r->waiter.done = on_landed;
    if (!flight_write_begin(r->serve->flights, key, &r->fence, &r->waiter)) return PENDING;
    r->op.done = on_replaced;
    r->op.fenced = r->served->model->loads;
    enum status st =
        store_replace(r->serve->store, key, blob_slice(r->old), r->next, r->until_ms, clock_wall_ms(), &r->op);
    return st == PENDING ? PENDING : replaced(r, st);
}

/* -- looking -- */

/* Sets the times of *e, which has those it was stored with. */
static void set_times(const struct renew *r, struct envelope *e, uint64_t now_ms)
{
    const struct model *m = r->served->model;
    if (r->to == RENEW_LIFE) {
        life_begin(m, r->life_ms, now_ms, serve_chance(r->serve), e);
        return;
    }
    life_end(m, now_ms, e);
}

/* Takes the blob. */
static enum status looked(struct renew *r, enum status status, struct blob *blob)
{
    struct envelope was, e;
    uint64_t now_ms = clock_wall_ms();
    r->old = blob;
    if (status == OK) status = seal_open(r->serve, r->served, blob, r->key->stored, &was);
    if (status == OK && was.kind == ENVELOPE_NEGATIVE) status = MISSING;
    if (status == OK && r->to == RENEW_LIFE && was.fresh_until_ms <= now_ms) status = MISSING;
    if (status != OK) return failed(r, status);
    e = was;
    set_times(r, &e, now_ms);
    struct seal_notes notes = seal_notes_of(&was);
    r->next = seal_again(r->serve, &was, &e, &notes, r->key->stored);
    r->until_ms = e.stale_until_ms;
    r->tag = was.tag;
    return replace(r);
}

static void on_looked(struct store_op *op, enum status status, struct blob *blob)
{
    struct renew *r = container_of(op, struct renew, op);
    status = looked(r, status, blob);
    if (status != PENDING) r->done(r, status);
}

static enum status look(struct renew *r)
{
    if (r->attempts++ == ATTEMPTS_MAX)
        return problem_set(&r->problem, OVERLOADED, NULL,
                           "the record has changed each of %d times; nothing was changed", ATTEMPTS_MAX);
    r->op.done = on_looked;
    r->op.doubts = true;
    enum status st = store_get(r->serve->store, r->key->stored, clock_wall_ms(), &r->op);
    return st == PENDING ? PENDING : looked(r, st, st == OK ? r->op.value : NULL);
}

enum status renew_start(struct renew *r)
{
    r->old = r->next = NULL;
    r->attempts = 0;
    return look(r);
}
