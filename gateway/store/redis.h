/* store/redis.h -- one pipelined connection to a Redis server, on hiredis' asynchronous interface and the worker's loop.
 * All commands of one loop turn leave in one write. Every command has a deadline; a connection whose replies do not fit its
 * questions is closed, never trusted again. Reconnects after pauses that grow (pause.h); while it is down,
 * commands are refused at once. Replies are bounded in bytes, elements and nesting before they are believed. */
#ifndef PERIGEE_STORE_REDIS_H
#define PERIGEE_STORE_REDIS_H

#include "base/blob.h"
#include "base/metrics.h"
#include "base/status.h"
#include "store/condition.h"
#include "store/redis_config.h"

#include <uv.h>

struct redis;
struct redis_command;

/* For a GET: `value` is a reference the callee takes, or NULL for nil (status MISSING). */
typedef void redis_done(struct redis_command *c, enum status status, struct blob *value);

/* One command under way; embedded by its owner. */
struct redis_command {
    redis_done *done;
    struct redis_slot *slot; /* its place among the replies awaited, NULL when it has none; private */
    uint8_t previous_n;      /* a put: first bytes of the value replaced */
    unsigned char previous[8];
    struct blob **values; /* many gets: where they go; private */
};

/* Starts connecting; never blocks, never fails. Copies config, borrows loop and metrics. Commands started before the first
 * attempt has ended wait for it, within their deadline; later ones are refused while there is no connection. */
struct redis *redis_open(uv_loop_t *loop, const struct redis_config *config, struct metrics *metrics);

/* Ends: commands under way get STORE_UNAVAILABLE first; `closed` is called later, once, and then the object is gone. */
void redis_close(struct redis *r, void (*closed)(void *arg), void *arg);

/* Which server it was last connected to, as redis_link_server has it. */
uint64_t redis_server(const struct redis *r);

bool redis_up(const struct redis *r); /* connected, authenticated, and not known to hang */

/* As long as this number stands, what was asked under it has not left yet: all of it will be answered as things are later. */
uint64_t redis_batch(const struct redis *r);

/* Bytes at the front of a value by which redis_replace knows it again; and its length. */
#define REDIS_HEAD 52

/* Keys that one command asks for, and bytes that their values may have together. */
#define REDIS_MANY_MAX   256
#define REDIS_MANY_BYTES (64u << 20)

/* Each returns PENDING, or STORE_UNAVAILABLE / OVERLOADED at once. Keys and values are borrowed for the call. A get ends OK or
 * MISSING (also for what is no string, or too long), a put OK, a delete OK or MISSING; a replace OK when `expected` was there still,
 * PRECONDITION_FAILED when something else was, MISSING when nothing; each may end STORE_UNAVAILABLE. Many gets end OK with new references
 * in `values` (kept until then; NULL where a get would end MISSING), or DEPTH_EXCEEDED and leave it alone. */
enum status redis_get(struct redis *r, struct slice key, struct redis_command *c, redis_done *done);
enum status redis_get_many(struct redis *r, const struct slice *key, size_t n /* 1 to REDIS_MANY_MAX */,
                           struct blob **values, struct redis_command *c, redis_done *done);
enum status redis_put(struct redis *r, struct slice key, struct slice lease, struct slice value,
                      uint64_t ttl_ms /* 0: none */, struct redis_command *c, redis_done *done);
enum status redis_replace(struct redis *r, struct slice key, struct slice lease, struct slice expected /* not empty */,
                          struct slice value, uint64_t ttl_ms /* 0: none */, struct redis_command *c, redis_done *done);
enum status redis_delete(struct redis *r, struct slice key, struct slice lease, struct redis_command *c,
                         redis_done *done);

/* The same two where the condition holds of what is there; else PRECONDITION_FAILED, and nothing is changed. */
enum status redis_put_when(struct redis *r, struct slice key, struct slice lease, const struct store_condition *when,
                           uint64_t now_ms, struct slice value, uint64_t ttl_ms /* 0: none */, struct redis_command *c,
                           redis_done *done);
enum status redis_delete_when(struct redis *r, struct slice key, struct slice lease, const struct store_condition *when,
                              uint64_t now_ms, struct redis_command *c, redis_done *done);

/* A lease is a second key, in the same slot, that holds the token of who may make the record of `key`. The writes above take it
 * away in the same step (absent: there is none to take), so that what was begun before cannot be stored after them.
 * take: OK with the value that stands there, if there is one that does not begin as `known` does (empty: any; absent: nobody looks); else MISSING when the lease is
 * ours now, PRECONDITION_FAILED when another has it. The others end OK, or PRECONDITION_FAILED when the lease is not ours: keep makes
 * it last for lease_ms from now, fill stores and ends it, drop ends it. */
enum status redis_lease_take(struct redis *r, struct slice key, struct slice lease, struct slice known,
                             struct slice token, uint64_t lease_ms, struct redis_command *c, redis_done *done);
enum status redis_lease_keep(struct redis *r, struct slice lease, struct slice token, uint64_t lease_ms,
                             struct redis_command *c, redis_done *done);
enum status redis_lease_fill(struct redis *r, struct slice key, struct slice lease, struct slice token,
                             struct slice value, uint64_t ttl_ms /* 0: none */, struct redis_command *c,
                             redis_done *done);
enum status redis_lease_drop(struct redis *r, struct slice lease, struct slice token, struct redis_command *c,
                             redis_done *done);

/* done will not be called; the reply, when it comes, is dropped. The struct is the caller's again at once. Harmless on one
 * that is finished or was refused. */
void redis_cancel(struct redis_command *c);

#endif
