/* serve/clear.c -- look, and let what counts no more say so itself. */
#include "serve/clear.h"

#include "base/clock.h"
#include "serve/seal.h"

static bool is_failure(enum status status) { return status != OK && status != MISSING; }

static enum status cleared(enum status status)
{
    return status == MISSING || status == PRECONDITION_FAILED ? OK : status; /* it is gone, or another one by now */
}

static void on_cleared(struct store_op *op, enum status status, struct blob *none)
{
    struct clearing *c = container_of(op, struct clearing, op);
    c->done(c, cleared(status));
}

/* In the place of exactly these bytes, since another client may have saved the same text meanwhile. */
static enum status replace(struct clearing *c, const struct blob *old, struct blob *next, uint64_t until_ms)
{
    c->op.done = on_cleared;
    enum status st =
        store_replace(c->serve->store, c->key->stored, blob_slice(old), next, until_ms, clock_wall_ms(), &c->op);
    blob_unref(next);
    return st == PENDING ? PENDING : cleared(st);
}

/* What is left of it is a fallback: it stays, and says that its life is over. */
static enum status expire(struct clearing *c, const struct blob *blob, const struct envelope *was, struct envelope *e)
{
    struct seal_notes notes = seal_notes_of(was);
    return replace(c, blob, seal_again(c->serve, was, e, &notes, c->key->stored), e->stale_until_ms);
}

static enum status take_away(struct clearing *c, const struct blob *blob)
{
    struct envelope nothing = {.kind = ENVELOPE_NEGATIVE};
    struct seal_notes none = {.load_us = 0};
    return replace(c, blob, seal_make(c->serve, &nothing, NULL, 0, &none, c->key->stored), 0);
}

static enum status judge(struct clearing *c, const struct blob *blob)
{
    struct envelope was, e;
    bool stays = envelope_open(blob_slice(blob), &was);
    if (stays && was.kind == ENVELOPE_NEGATIVE) return OK;
    if (stays) stays = seal_reopen(c->serve, c->served, blob, &e);
    if (stays && e.fresh_until_ms == was.fresh_until_ms) return OK;
    if (c->when->is.p) return PRECONDITION_FAILED;
    return stays ? expire(c, blob, &was, &e) : take_away(c, blob);
}

/* Takes the blob. */
static enum status looked(struct clearing *c, enum status status, struct blob *blob)
{
    if (status == OK && blob->n) status = judge(c, blob);
    blob_unref(blob);
    return status == MISSING ? OK : status;
}

static void on_looked(struct store_op *op, enum status status, struct blob *blob)
{
    struct clearing *c = container_of(op, struct clearing, op);
    status = is_failure(status) ? status : looked(c, status, blob);
    if (status != PENDING) c->done(c, status);
}

enum status clearing_start(struct clearing *c)
{
    struct store *store = c->serve->store;
    if (!store_is_remote(store) && !store_stamp(store).at) return OK; /* nothing was ever invalidated */
    c->op.done = on_looked;
    c->op.doubts = true;
    enum status st = store_get(store, c->key->stored, clock_wall_ms(), &c->op);
    if (st == PENDING || is_failure(st)) return st;
    return looked(c, st, st == OK ? c->op.value : NULL);
}
