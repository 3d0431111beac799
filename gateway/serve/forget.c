/* serve/forget.c -- bar the flight, ask the store, lift the bar:
 *
 *     forget_start -> [conditional: clear.h] -> [a load is storing just now: wait until it has landed] -> store_delete --now or later--> done */
#include "serve/forget.h"

#include "base/clock.h"

static enum status forget_end(struct forget *f, enum status status)
{
    flight_write_end(f->serve->flights, &f->fence);
    return status == MISSING ? OK : status;
}

static void on_deleted(struct store_op *op, enum status status, struct blob *value)
{
    struct forget *f = container_of(op, struct forget, store);
    f->done(f, forget_end(f, status));
}

static enum status forget_try(struct forget *f)
{
    if (!flight_write_begin(f->serve->flights, f->key->stored, &f->fence, &f->waiter)) return PENDING;
    enum status status = store_delete(f->serve->store, f->key->stored, clock_wall_ms(), &f->store);
    return status == PENDING ? PENDING : forget_end(f, status);
}

static void on_landed(struct flight_waiter *w, const struct flight_outcome *outcome)
{
    struct forget *f = container_of(w, struct forget, waiter);
    enum status status = forget_try(f);
    if (status != PENDING) f->done(f, status);
}

static void on_cleared(struct clearing *c, enum status status)
{
    struct forget *f = container_of(c, struct forget, clearing);
    if (status == OK) status = forget_try(f);
    if (status != PENDING) f->done(f, status);
}

enum status forget_start(struct forget *f)
{
    f->store.done = on_deleted;
    f->store.fenced = f->key->model->loads;
    f->store.when = f->when;
    f->waiter.done = on_landed;
    if (!f->when) return forget_try(f);
    f->clearing =
        (struct clearing){.serve = f->serve, .served = f->served, .key = f->key, .when = f->when, .done = on_cleared};
    enum status st = clearing_start(&f->clearing);
    return st == OK ? forget_try(f) : st;
}
