/* store/store.c -- the one door to records: memory answers at once, Redis later, and a near copy before it.
 *
 * A near copy is dropped when a write of ours has been answered, however it ended; before anyone is told of it. */
#include "store/store_inner.h"

#include "base/list.h"
#include "store/lease_key.h"

#include <assert.h>
#include <stdlib.h>

struct store *store_new(struct memory *memory, struct redis *redis, struct metrics *metrics)
{
    assert(memory || redis);
    struct store *s = malloc(sizeof *s);
    if (!s) abort();
    *s = (struct store){.memory = memory, .servers.redis = redis, .metrics = metrics};
    if (!redis) counter_set(metrics_counter(metrics, METRIC_STORE_UP, NULL), 1); /* Redis keeps its own */
    return s;
}

struct store *store_new_cluster(struct cluster *cluster, struct metrics *metrics)
{
    struct store *s = malloc(sizeof *s);
    if (!s) abort();
    *s = (struct store){.servers.cluster = cluster, .metrics = metrics};
    return s;
}

void store_free(struct store *s)
{
    epochs_sync_free(s->sync);
    free(s);
}

static struct redis *server_of(const struct store *s, struct slice key) { return servers_for(&s->servers, key); }

/* What store_cancel looks at. */
static void begin(struct store_op *op)
{
    op->value = NULL;
    op->previous_n = 0;
    op->redis.slot = NULL;
    op->epochs.busy = false;
    op->answered = false;
    op->near = NULL;
}

/* ---- near copies */

static struct counter *near_counter(struct metrics *metrics, struct slice outcome)
{
    return metrics_counter(metrics, METRIC_NEAR_LOOKUPS, &outcome);
}

void store_set_near(struct store *s, struct near *near)
{
    assert(store_is_remote(s) || !near);
    s->near = near;
    if (!near) return;
    s->near_hits = near_counter(s->metrics, SLICE("hit"));
    s->near_misses = near_counter(s->metrics, SLICE("miss"));
    s->near_off = near_counter(s->metrics, SLICE("off"));
    s->near_stale = near_counter(s->metrics, SLICE("stale"));
}

/* Is the server that we ask the one whose changes are told? */
static bool near_is_of_ours(struct store *s)
{
    return s->servers.cluster || near_server(s->near) == redis_server(s->servers.redis);
}

bool store_near_up(struct store *s)
{
    if (!s->near) return false;
    bool up = near_is_of_ours(s) && near_trusted(s->near, clock_mono_us()) && (!s->sync || epochs_are_level(s->sync));
    if (!up) counter_add(s->near_off, 1);
    return up;
}

bool store_hears(const struct store *s) { return s->near && near_is_whole(s->near); }

struct blob *store_look_near(struct store *s, struct slice key, uint64_t now_ms, struct near_look *look)
{
    struct blob *value = near_look(s->near, key, now_ms, &look->mark);
    look->hit = value != NULL;
    look->may_keep = !value;
    counter_add(value ? s->near_hits : s->near_misses, 1);
    return value;
}

void store_mark_near(struct store *s, struct slice key, uint64_t now_ms, struct near_look *look)
{
    if (!s->near) return;
    struct blob *older = near_look(s->near, key, now_ms, &look->mark);
    look->older = older != NULL;
    look->may_keep = older && near_is_of_ours(s); /* not more than there is: it may be off for good */
    blob_unref(older);
}

struct blob *store_look_left(struct store *s, struct slice key, uint64_t now_ms, uint64_t *since_ms)
{
    uint64_t until_us;
    struct blob *value = s->near ? near_look_left(s->near, key, now_ms, &until_us) : NULL;
    if (!value) return NULL;
    uint64_t mono_us = clock_mono_us();
    *since_ms = mono_us > until_us ? now_ms - (mono_us - until_us) / 1000 : now_ms;
    counter_add(s->near_stale, 1);
    return value;
}

void store_keep_near(struct store *s, struct slice key, const struct near_look *look, struct blob *value,
                     uint64_t until_ms, uint64_t now_ms)
{
    if (look->may_keep) near_keep(s->near, key, value, until_ms, now_ms, look->mark);
    else store_drop_near(s, key, look);
}

void store_drop_near(struct store *s, struct slice key, const struct near_look *look)
{
    if (look->older) near_forget(s->near, near_name(key));
}

/* ---- what has been invalidated by name */

void store_set_epochs(struct store *s, struct epochs *epochs, struct slice key)
{
    s->epochs = epochs;
    if (store_is_remote(s)) s->sync = epochs_sync_new(s->servers, s->near, epochs, key);
}

struct epochs *store_epochs(const struct store *s) { return s->epochs; }

struct stamp store_stamp(const struct store *s)
{
    return s->epochs ? epochs_now(s->epochs) : (struct stamp){.line = 0, .at = 0};
}

void store_tick(struct store *s)
{
    if (s->sync) epochs_sync_tick(s->sync);
}

static void on_raised(struct epochs_wait *w, enum status status)
{
    struct store_op *op = container_of(w, struct store_op, epochs);
    op->done(op, status, NULL);
}

enum status store_invalidate(struct store *s, enum epoch_mode mode, const struct epoch_name *name, size_t n,
                             uint64_t now_ms, struct store_op *op)
{
    begin(op);
    op->epochs.done = on_raised;
    if (s->sync) return epochs_raise_start(s->sync, mode, name, n, &op->epochs);
    epochs_raise(s->epochs, mode, name, n, now_ms);
    return OK;
}

/* ---- one record
 *
 * A command whose answer is to be judged, or to be stamped right, goes together with a wait for what has been invalidated, unless that is known.
 * Both must be answered. */

static void forget_near(const struct store_op *op)
{
    if (op->near) near_forget(op->near, op->name);
}

/* Both have been answered, or the first one that has failed. */
static void finish(struct store_op *op, enum status status, struct blob *value)
{
    if (op->redis.slot) forget_near(op);
    redis_cancel(&op->redis);
    epochs_wait_cancel(&op->epochs);
    op->answered = false;
    op->done(op, status, value);
}

static void on_level(struct epochs_wait *w, enum status status)
{
    struct store_op *op = container_of(w, struct store_op, epochs);
    if (!op->answered && status == OK) return; /* the command is still to be answered */
    struct blob *value = op->value;
    op->value = NULL;
    if (status != OK) {
        blob_unref(value);
        value = NULL;
    }
    finish(op, status == OK ? op->status : status, value);
}

/* The command of an op that may wait for more has been answered. Takes the value. */
static void answered(struct store_op *op, enum status status, struct blob *value)
{
    bool failed = status != OK && status != MISSING;
    if (failed || !op->epochs.busy) {
        finish(op, status, value);
        return;
    }
    op->answered = true;
    op->status = status;
    op->value = value;
}

/* The command has been sent; what it is answered with needs the wait, too. */
static enum status with_epochs(struct store *s, struct store_op *op, enum status sent)
{
    if (sent != PENDING || !s->sync) return sent;
    op->epochs.done = on_level;
    enum status st = epochs_wait_start(s->sync, &op->epochs);
    if (st == PENDING) return PENDING;
    forget_near(op); /* it may take effect all the same */
    redis_cancel(&op->redis);
    return st;
}

static void begin_write(struct store *s, struct slice key, struct store_op *op)
{
    begin(op);
    op->replaced = false;
    op->near = s->near;
    if (s->near) op->name = near_name(key);
}

static void on_redis(struct redis_command *c, enum status status, struct blob *value)
{
    struct store_op *op = container_of(c, struct store_op, redis);
    forget_near(op);
    op->previous_n = c->previous_n;
    memcpy(op->previous, c->previous, sizeof op->previous);
    answered(op, status, value);
}

/* A record whose end has come is not stored but deleted, which is done whether there was one or not. */
static void on_redis_past(struct redis_command *c, enum status status, struct blob *value)
{
    struct store_op *op = container_of(c, struct store_op, redis);
    forget_near(op);
    op->replaced = status == OK && (!op->when || op->when->is.p);
    op->done(op, status == MISSING ? OK : status, value);
}

enum status store_catch_up(struct store *s, struct store_op *op)
{
    begin(op);
    if (!s->sync) return OK;
    op->answered = true; /* there is nothing else to wait for */
    op->status = OK;
    op->epochs.done = on_level;
    return epochs_wait_start(s->sync, &op->epochs);
}

enum status store_get(struct store *s, struct slice key, uint64_t now_ms, struct store_op *op)
{
    begin(op);
    if (store_is_remote(s)) {
        enum status st = redis_get(server_of(s, key), key, &op->redis, on_redis);
        return op->level || (!op->doubts && store_is_level(s)) ? st : with_epochs(s, op, st);
    }
    op->value = memory_get(s->memory, key, now_ms);
    return op->value ? OK : MISSING;
}

static struct slice lease_of(const struct store_op *op, struct slice key, struct lease_key *name)
{
    return op->fenced ? lease_key_of(key, name) : (struct slice){NULL, 0};
}

/* What Redis takes for the time until then. */
static uint64_t ttl(uint64_t until_ms, uint64_t now_ms) { return until_ms == CLOCK_NEVER ? 0 : until_ms - now_ms; }

enum status store_put(struct store *s, struct slice key, struct blob *value, uint64_t until_ms, uint64_t now_ms,
                      struct store_op *op)
{
    begin_write(s, key, op);
    if (!store_is_remote(s))
        return memory_put_when(s->memory, op->when, key, value, until_ms, now_ms, op->previous, &op->previous_n);
    struct lease_key name;
    struct slice lease = lease_of(op, key, &name);
    if (until_ms <= now_ms && op->when)
        return redis_delete_when(server_of(s, key), key, lease, op->when, now_ms, &op->redis, on_redis_past);
    if (until_ms <= now_ms) return redis_delete(server_of(s, key), key, lease, &op->redis, on_redis_past);
    uint64_t ttl_ms = ttl(until_ms, now_ms);
    struct slice bytes = blob_slice(value);
    enum status st =
        op->when ? redis_put_when(server_of(s, key), key, lease, op->when, now_ms, bytes, ttl_ms, &op->redis, on_redis)
                 : redis_put(server_of(s, key), key, lease, bytes, ttl_ms, &op->redis, on_redis);
    return with_epochs(s, op, st);
}

enum status store_replace(struct store *s, struct slice key, struct slice expected, struct blob *value,
                          uint64_t until_ms, uint64_t now_ms, struct store_op *op)
{
    begin_write(s, key, op);
    if (!store_is_remote(s)) return memory_replace(s->memory, key, expected, value, until_ms, now_ms);
    struct lease_key name;
    if (until_ms <= now_ms) until_ms = now_ms + 1; /* in one step with the comparison it can end no sooner */
    return redis_replace(server_of(s, key), key, lease_of(op, key, &name), expected, blob_slice(value),
                         ttl(until_ms, now_ms), &op->redis, on_redis);
}

enum status store_delete(struct store *s, struct slice key, uint64_t now_ms, struct store_op *op)
{
    begin_write(s, key, op);
    if (!store_is_remote(s)) return memory_delete(s->memory, op->when, key, now_ms);
    struct lease_key name;
    struct slice lease = lease_of(op, key, &name);
    if (op->when) return redis_delete_when(server_of(s, key), key, lease, op->when, now_ms, &op->redis, on_redis);
    return redis_delete(server_of(s, key), key, lease, &op->redis, on_redis);
}

/* -- leases -- */

/* Does the value begin as the one does that is known already? */
static bool is_known(const struct blob *value, struct slice known)
{
    size_t n = known.n < REDIS_HEAD ? known.n : REDIS_HEAD;
    return n && slice_starts(blob_slice(value), slice_from(known.p, n));
}

static struct slice token_slice(const char *token) { return slice_from(token, LEASE_TOKEN); }

enum status store_lease_take(struct store *s, struct slice key, struct slice known, const char *token, uint64_t now_ms,
                             struct store_op *op)
{
    struct lease_key name;
    begin(op);
    if (store_is_remote(s)) {
        enum status st = redis_lease_take(server_of(s, key), key, lease_key_of(key, &name), known, token_slice(token),
                                          LEASE_MS, &op->redis, on_redis);
        return store_is_level(s) ? st : with_epochs(s, op, st);
    }
    struct blob *value = known.p ? memory_get(s->memory, key, now_ms) : NULL;
    if (value && !is_known(value, known)) {
        op->value = value;
        return OK;
    }
    blob_unref(value);
    return MISSING;
}

enum status store_lease_keep(struct store *s, struct slice key, const char *token, struct store_op *op)
{
    struct lease_key name;
    begin(op);
    if (!store_is_remote(s)) return OK;
    return redis_lease_keep(server_of(s, key), lease_key_of(key, &name), token_slice(token), LEASE_MS, &op->redis,
                            on_redis);
}

enum status store_lease_fill(struct store *s, struct slice key, const char *token, struct blob *value,
                             uint64_t until_ms, uint64_t now_ms, struct store_op *op)
{
    struct lease_key name;
    begin_write(s, key, op);
    if (!store_is_remote(s)) {
        memory_put(s->memory, key, value, until_ms, now_ms, op->previous);
        return OK;
    }
    if (until_ms <= now_ms) until_ms = now_ms + 1;
    return redis_lease_fill(server_of(s, key), key, lease_key_of(key, &name), token_slice(token), blob_slice(value),
                            ttl(until_ms, now_ms), &op->redis, on_redis);
}

enum status store_lease_drop(struct store *s, struct slice key, const char *token, struct store_op *op)
{
    struct lease_key name;
    begin(op);
    if (!store_is_remote(s)) return OK;
    return redis_lease_drop(server_of(s, key), lease_key_of(key, &name), token_slice(token), &op->redis, on_redis);
}

void store_cancel(struct store_op *op)
{
    redis_cancel(&op->redis);
    epochs_wait_cancel(&op->epochs);
    if (op->answered) blob_unref(op->value);
    op->answered = false;
}

/* ---- what it is */

bool store_is_remote(const struct store *s) { return servers_exist(&s->servers); }

size_t store_room(struct store *s, struct slice key) { return store_is_remote(s) ? 0 : memory_room(s->memory, key); }
