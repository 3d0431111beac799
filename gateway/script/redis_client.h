/* script/redis_client.h -- commands to Redis servers other than the store, for handlers. Knows no Lua.
 *
 * A host keeps one connection for each server, opened when needed and closed when idle for a minute; the commands of all handlers
 * travel on it one behind the other. So none may change what the connection is, or make the others wait. */
#ifndef PERIGEE_SCRIPT_REDIS_CLIENT_H
#define PERIGEE_SCRIPT_REDIS_CLIENT_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/list.h"
#include "base/status.h"
#include "script/host_internal.h"
#include "store/redis.h"

#define REDIS_SERVERS_MAX 64         /* a worker */
#define REDIS_CALLS_MAX   1024       /* commands to a server that wait for their replies */
#define REDIS_BYTES_MAX   (32 << 20) /* ... of their words */
#define REDIS_COMMAND_MAX (16 << 20) /* bytes of one command's words */
#define REDIS_REPLY_MAX   (16 << 20)

struct redis_client;

/* One command and its reply. The caller fills the first part, all of it in the arena; the second is good in `done`. */
struct redis_call {
    struct arena arena;
    struct slice url; /* one that redis_config_parse has found good */
    const char **word;
    size_t *length, words;
    uint64_t timeout_us; /* on clock_mono_us, or CLOCK_NEVER: the owner cancels */
    void (*done)(struct redis_call *c);
    void *owner;

    char failure[160];   /* why there is no reply, or "" */
    struct buffer nodes; /* the reply, see store/redis_node.h */

    struct redis_slot *slot; /* from here on the client's own */
    uint64_t began_us;
    size_t bytes;
    struct host_timer timeout;
};

struct redis_call *redis_call_new(void);
void redis_call_free(struct redis_call *c);

/* Why this command, in whatever case, is not for handlers; NULL: it is. */
const char *redis_call_refused(const char *const *word, const size_t *length, size_t words);

/* The host's client, made when there is none. */
struct redis_client *redis_client_of(struct script_host *h);

/* As http_client_hold: keeps a call for a C function that may raise. */
void redis_client_hold(struct redis_client *r, struct redis_call *c);
struct redis_call *redis_client_draw(struct redis_client *r);

/* PENDING: `done` is called later, once; c stays the caller's. OVERLOADED: too many servers, or commands under way to one. */
enum status redis_client_start(struct redis_client *r, struct redis_call *c);

/* Ends it without `done`, and frees it. The server may still do what it was told. */
void redis_client_cancel(struct redis_call *c);

/* When no command is left that somebody waits for. */
void redis_client_close(struct redis_client *r);

#endif
