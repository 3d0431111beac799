/* serve/clear.c -- look, and delete what counts no more. */
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

static enum status clear(struct clearing *c, const struct envelope *e)
{
    if (c->when->is.p) return PRECONDITION_FAILED;
    for (int i = 0; i < CONDITION_TAG; i++) c->tag[i] = (char)(e->tag >> (8 * i));
    c->this_one = (struct store_condition){.is = slice_from(c->tag, CONDITION_TAG)};
    c->op.done = on_cleared;
    c->op.when = &c->this_one;
    enum status st = store_delete(c->serve->store, c->key->stored, clock_wall_ms(), &c->op);
    return st == PENDING ? PENDING : cleared(st);
}

/* Takes the blob. */
static enum status looked(struct clearing *c, enum status status, struct blob *blob)
{
    struct envelope e;
    bool is_record = status == OK && envelope_open(blob_slice(blob), &e) && e.kind != ENVELOPE_NEGATIVE;
    if (is_record) {
        struct seal_notes notes = seal_notes_of(&e);
        if (seal_is_outdated(c->serve, c->served, notes.stamp, notes.tags)) status = clear(c, &e);
    }
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
