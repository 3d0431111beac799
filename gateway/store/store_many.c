/* store/store_many.c -- many gets as one: from memory now, from Redis in a few commands, from a cluster in one for each key. They are done when all have
 * been answered, with the wait for what has been invalidated; one that fails ends them all. */
#include "store/store_inner.h"

#include "base/list.h"

#include <assert.h>
#include <stdlib.h>

static void drop_values(struct store_many *op)
{
    for (size_t i = 0; i < op->n; i++) {
        blob_unref(op->value[i]);
        op->value[i] = NULL;
    }
}

/* Nobody asks for more of it. */
static void end_parts(struct store_many *op)
{
    for (unsigned i = 0; i < op->parts; i++) redis_cancel(&op->part[i].redis);
    if (op->part != op->own) free(op->part);
    op->part = op->own;
    op->parts = op->left = 0;
    epochs_wait_cancel(&op->epochs);
}

/* One part has failed, and so all have. */
static void give_up(struct store_many *op)
{
    end_parts(op);
    drop_values(op);
}

/* A part or the wait has been answered. */
static void answered_one(struct store_many *op, enum status status)
{
    if (status == OK && --op->left > 0) return;
    if (status == OK) end_parts(op);
    else give_up(op);
    op->done(op, status);
}

/* Takes the value of a key that was asked for alone. */
static enum status take_value(struct store_many *op, size_t i, struct blob *value)
{
    op->value[i] = value;
    op->bytes += value->n;
    return op->bytes > REDIS_MANY_BYTES ? DEPTH_EXCEEDED : OK;
}

static void on_part(struct redis_command *c, enum status status, struct blob *value)
{
    struct store_part *part = container_of(c, struct store_part, redis);
    struct store_many *op = part->many;
    if (value) status = take_value(op, (size_t)(part - op->part), value);
    answered_one(op, status == MISSING ? OK : status);
}

static void on_many_level(struct epochs_wait *w, enum status status)
{
    answered_one(container_of(w, struct store_many, epochs), status);
}

static struct store_part *next_part(struct store_many *op)
{
    struct store_part *part = &op->part[op->parts++];
    part->many = op;
    return part;
}

/* All that is left, as far as one command goes. */
static enum status ask_part(struct redis *r, struct store_many *op)
{
    size_t at = (size_t)op->parts * REDIS_MANY_MAX;
    size_t n = op->n - at < REDIS_MANY_MAX ? op->n - at : REDIS_MANY_MAX;
    struct store_part *part = next_part(op);
    if (op->n == 1) return redis_get(r, op->key[0], &part->redis, on_part);
    return redis_get_many(r, op->key + at, n, op->value + at, &part->redis, on_part);
}

static enum status ask_all(struct redis *r, struct store_many *op)
{
    enum status st = PENDING;
    while ((size_t)op->parts * REDIS_MANY_MAX < op->n && st == PENDING) st = ask_part(r, op);
    return st;
}

/* Each key by itself: a server of a cluster takes only keys of one slot together, which a thousand of ours seldom share. What goes to one server in a
 * turn of the loop leaves in one write all the same. */
static enum status ask_each(const struct servers *servers, struct store_many *op)
{
    enum status st = PENDING;
    op->part = malloc(op->n * sizeof *op->part);
    if (!op->part) abort();
    while (op->parts < op->n && st == PENDING) {
        struct slice key = op->key[op->parts];
        st = redis_get(servers_for(servers, key), key, &next_part(op)->redis, on_part);
    }
    return st;
}

enum status store_get_many(struct store *s, uint64_t now_ms, struct store_many *op)
{
    bool remote = store_is_remote(s);
    assert(op->n <= STORE_MANY_MAX);
    op->part = op->own;
    op->parts = op->left = 0;
    op->bytes = 0;
    op->epochs.busy = false;
    for (size_t i = 0; i < op->n; i++) op->value[i] = remote ? NULL : memory_get(s->memory, op->key[i], now_ms);
    if (!remote || op->n == 0) return OK;
    enum status st = s->servers.cluster ? ask_each(&s->servers, op) : ask_all(s->servers.redis, op);
    bool waits = st == PENDING && s->sync && !op->level && !store_is_level(s);
    if (st == PENDING) op->left = op->parts + waits;
    op->epochs.done = on_many_level;
    if (waits) st = epochs_wait_start(s->sync, &op->epochs);
    if (st != PENDING) give_up(op);
    return st;
}

void store_many_cancel(struct store_many *op)
{
    if (op->left > 0) give_up(op);
}
