/* script/postgres_pool.h -- queries on PostgreSQL databases, over libpq's asynchronous interface on the worker's loop. Knows no Lua.
 *
 * A host keeps a pool of connections for each database, opened when needed and closed when idle for a minute; a query has one
 * connection for itself, so a transaction cannot span queries. */
#ifndef PERIGEE_SCRIPT_POSTGRES_POOL_H
#define PERIGEE_SCRIPT_POSTGRES_POOL_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/list.h"
#include "base/status.h"
#include "script/host_internal.h"
#include "script/postgres_value.h"

#define POSTGRES_DATABASES_MAX       64 /* a worker */
#define POSTGRES_CONNECTIONS_DEFAULT 8  /* a database and worker */
#define POSTGRES_CONNECTIONS_MAX     64
#define POSTGRES_WAITING_MAX         1024 /* queries of a database that wait for a connection */
#define POSTGRES_ROWS_MAX            10000
#define POSTGRES_BYTES_MAX           (16 << 20) /* of a query's rows */
#define POSTGRES_SQL_MAX             (1 << 20)

struct postgres_pools;

/* One query and what it came to. The caller fills the first part, all of it in the arena; the second is good in `done`. */
struct postgres_query {
    struct arena arena;
    struct slice url; /* one that postgres_url_parse has found good */
    unsigned connections;
    struct slice sql; /* followed by a NUL */
    struct postgres_argument *arguments;
    size_t n_arguments;
    uint64_t timeout_us; /* on clock_mono_us, or CLOCK_NEVER: the owner cancels */
    void (*done)(struct postgres_query *q);
    void *owner;

    char failure[400]; /* "" when it went well */
    bool has_rows;     /* the statement has columns; else `changes` counts */
    size_t columns, rows;
    struct slice *names; /* of the columns; in the arena */
    struct buffer cells; /* rows * columns, see postgres_next */
    double changes;

    struct postgres_pool *pool; /* from here on the pools' own */
    struct list waiting;
    struct postgres_connection *connection;
    uint64_t began_us, epoch;
    struct host_timer timeout;
};

struct postgres_query *postgres_query_new(void);
void postgres_query_free(struct postgres_query *q);

/* Sets q->failure, cut where it must be; returns false. */
bool postgres_query_fail(struct postgres_query *q, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The host's pools, made when there are none. */
struct postgres_pools *postgres_pools_of(struct script_host *h);

/* As http_client_hold: keeps a query for a C function that may raise. */
void postgres_pools_hold(struct postgres_pools *p, struct postgres_query *q);
struct postgres_query *postgres_pools_draw(struct postgres_pools *p);

/* PENDING: `done` is called later, once; q stays the caller's. OVERLOADED: too many databases, or queries that wait. */
enum status postgres_pools_start(struct postgres_pools *p, struct postgres_query *q);

/* Ends it at once, without `done`, and frees it. */
void postgres_pools_cancel(struct postgres_query *q);

/* When no query is left. What it opened releases the host as it closes. */
void postgres_pools_close(struct postgres_pools *p);

#endif
