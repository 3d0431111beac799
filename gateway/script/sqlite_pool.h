/* script/sqlite_pool.h -- queries on SQLite files, run on libuv's thread pool. Knows no Lua.
 *
 * A host keeps a pool for each file, of at most four connections, opened when needed; where there are too many, the file that nobody has
 * asked for longest is closed. A query has one connection for itself, so a transaction cannot span queries. */
#ifndef PERIGEE_SCRIPT_SQLITE_POOL_H
#define PERIGEE_SCRIPT_SQLITE_POOL_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"
#include "script/host_internal.h"

#define SQLITE_FILES_MAX       64   /* a worker */
#define SQLITE_CONNECTIONS_MAX 4    /* a file and worker */
#define SQLITE_WAITING_MAX     1024 /* queries of a file that wait for a connection */
#define SQLITE_ROWS_MAX        10000
#define SQLITE_BYTES_MAX       (16 << 20) /* of a query's rows */
#define SQLITE_SQL_MAX         (1 << 20)

struct sqlite_pools;

struct sqlite_value {
    enum sqlite_kind {
        SQLITE_VALUE_NULL,
        SQLITE_VALUE_INTEGER,
        SQLITE_VALUE_REAL,
        SQLITE_VALUE_TEXT,
        SQLITE_VALUE_BLOB
    } kind;
    int64_t integer;
    double real;
    struct slice bytes;
    struct slice name; /* of a named argument, without its sign */
};

/* One query and what it came to. The caller fills the first part, all of it in the arena; a thread of the pool the second, before
 * `done`. */
struct sqlite_query {
    struct arena arena;
    struct slice path; /* followed by a NUL */
    bool readonly, create;
    struct slice sql; /* followed by a NUL */
    struct sqlite_value *values;
    size_t n_values;
    bool named;
    uint64_t deadline_us;
    void (*done)(struct sqlite_query *q);
    void *owner;

    char failure[256]; /* "" when it went well */
    bool has_rows;     /* the statement has columns; else `changes` counts */
    size_t columns, rows;
    struct slice *names; /* of the columns; in the arena */
    struct buffer cells; /* rows * columns, see sqlite_query_next */
    int64_t changes;

    struct sqlite_pools *pools; /* from here on the pools' own */
    struct pool *pool;
    struct list waiting;
    struct sqlite_connection *connection;
    uint64_t began_us;
};

struct sqlite_query *sqlite_query_new(void);
void sqlite_query_free(struct sqlite_query *q);

/* The cell at *at of q->cells, which moves on; bytes point into the buffer. */
struct sqlite_value sqlite_query_next(const struct sqlite_query *q, size_t *at);

/* The host's pools, made when there are none. */
struct sqlite_pools *sqlite_pools_of(struct script_host *h);

/* As http_client_hold: keeps a query for a C function that may raise. */
void sqlite_pools_hold(struct sqlite_pools *p, struct sqlite_query *q);
struct sqlite_query *sqlite_pools_draw(struct sqlite_pools *p);

/* PENDING: `done` is called later, once; q stays the caller's. OVERLOADED: too many files in use, or queries that wait. */
enum status sqlite_pools_start(struct sqlite_pools *p, struct sqlite_query *q);

/* Ends it without `done`, and frees it: at once, or when its thread has noticed. */
void sqlite_pools_cancel(struct sqlite_query *q);

/* When only cancelled queries are left. Releases its hold on the host when they have ended. */
void sqlite_pools_close(struct sqlite_pools *p);

#endif
