/* script/sqlite_pool.c -- who has which connection. Everything here runs on the loop's thread, except on_work. */
#include "script/sqlite_pool.h"

#include "base/clock.h"
#include "script/sqlite_statement.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct pool {
    struct list link; /* the latest asked last */
    struct sqlite_pools *pools;
    bool readonly, create;
    struct list idle;    /* connections */
    struct list waiting; /* queries */
    size_t connections, n_waiting;
    size_t path_n;
    char path[];
};

struct sqlite_connection {
    struct list link; /* in pool->idle */
    struct sqlite_pools *pools;
    struct pool *pool; /* NULL: it is being closed, for good */
    uv_work_t work;
    struct sqlite_session session;
    struct sqlite_query *query; /* runs, or is cancelled and ends soon */
    bool cancelled;
};

struct sqlite_pools {
    struct script_host *host;
    struct list pools;
    size_t n, busy; /* pools; connections that a thread has, or is to have */
    bool closing;
    struct sqlite_query *held;
};

/* --- queries ------------------------------------------------------------------------------------------------------ */

struct sqlite_query *sqlite_query_new(void)
{
    struct sqlite_query *q = calloc(1, sizeof *q);
    if (!q) abort();
    arena_init(&q->arena);
    buffer_init(&q->cells, SQLITE_BYTES_MAX);
    list_init(&q->waiting);
    return q;
}

void sqlite_query_free(struct sqlite_query *q)
{
    arena_deinit(&q->arena);
    buffer_deinit(&q->cells);
    free(q);
}

/* --- end ---------------------------------------------------------------------------------------------------------- */

static void free_connection(struct sqlite_connection *connection)
{
    connection->pool->connections--;
    sqlite_session_close(&connection->session);
    free(connection);
}

static void free_when_idle(struct sqlite_pools *p)
{
    if (p->busy > 0) return;
    struct list *l;
    while ((l = list_shift(&p->pools))) free(container_of(l, struct pool, link));
    struct script_host *h = p->host;
    free(p);
    host_release(h);
}

void sqlite_pools_close(struct sqlite_pools *p)
{
    p->closing = true;
    sqlite_pools_hold(p, NULL);
    for (struct list *l = p->pools.next; l != &p->pools; l = l->next) {
        struct pool *pool = container_of(l, struct pool, link);
        struct list *idle;
        assert(list_empty(&pool->waiting));
        while ((idle = list_shift(&pool->idle))) free_connection(container_of(idle, struct sqlite_connection, link));
    }
    free_when_idle(p);
}

/* --- running ------------------------------------------------------------------------------------------------------ */

static void on_work(uv_work_t *work)
{
    struct sqlite_connection *connection = container_of(work, struct sqlite_connection, work);
    sqlite_session_run(&connection->session, connection->query);
}

static void serve(struct pool *pool);

static void on_worked(uv_work_t *work, int status) /* UV_ECANCELED: cancelled before a thread took it */
{
    struct sqlite_connection *connection = container_of(work, struct sqlite_connection, work);
    struct pool *pool = connection->pool;
    struct sqlite_pools *p = pool->pools;
    struct sqlite_query *q = connection->query;
    bool cancelled = connection->cancelled;
    connection->query = NULL;
    q->connection = NULL;
    p->busy--;

    if (p->closing) {
        assert(cancelled);
        sqlite_query_free(q);
        free_connection(connection);
        free_when_idle(p);
        return;
    }
    list_append(&pool->idle, &connection->link);
    serve(pool);
    if (cancelled) {
        sqlite_query_free(q);
        return;
    }
    host_upstream(p->host, UPSTREAM_SQLITE, *q->failure ? UPSTREAM_ERROR : UPSTREAM_OK, clock_mono_us() - q->began_us);
    q->done(q);
}

static struct sqlite_connection *new_connection(struct pool *pool)
{
    struct sqlite_connection *connection = calloc(1, sizeof *connection);
    if (!connection) abort();
    connection->pools = pool->pools;
    connection->pool = pool;
    list_init(&connection->link);
    sqlite_session_init(&connection->session);
    pool->connections++;
    return connection;
}

/* Gives waiting queries to connections, as long as there are both. The latest used connection goes first: its cache is warm. */
static void serve(struct pool *pool)
{
    struct sqlite_pools *p = pool->pools;
    while (pool->n_waiting > 0) {
        struct sqlite_connection *connection;
        if (!list_empty(&pool->idle)) connection = container_of(pool->idle.prev, struct sqlite_connection, link);
        else if (pool->connections < SQLITE_CONNECTIONS_MAX) connection = new_connection(pool);
        else return;
        list_remove(&connection->link);
        struct sqlite_query *q = container_of(list_shift(&pool->waiting), struct sqlite_query, waiting);
        pool->n_waiting--;
        p->busy++;
        connection->query = q;
        connection->cancelled = false;
        q->connection = connection;
        atomic_store(&connection->session.stop, false);
        uv_queue_work(p->host->loop, &connection->work, on_work, on_worked);
    }
}

/* --- room for another file ---------------------------------------------------------------------------------------- */

static void on_close_work(uv_work_t *work)
{
    sqlite_session_close(&container_of(work, struct sqlite_connection, work)->session);
}

static void on_close_worked(uv_work_t *work, int status)
{
    struct sqlite_connection *connection = container_of(work, struct sqlite_connection, work);
    struct sqlite_pools *p = connection->pools;
    free(connection);
    p->busy--;
    if (p->closing) free_when_idle(p);
}

static bool is_unused(const struct pool *pool)
{
    size_t idle = 0;
    for (struct list *l = pool->idle.next; l != &pool->idle; l = l->next) idle++;
    return pool->n_waiting == 0 && idle == pool->connections;
}

/* Closing may write what is left of a log, so it is work for a thread, too. */
static void forget(struct pool *pool)
{
    struct sqlite_pools *p = pool->pools;
    for (struct list *l; (l = list_shift(&pool->idle));) {
        struct sqlite_connection *connection = container_of(l, struct sqlite_connection, link);
        connection->pool = NULL;
        p->busy++;
        uv_queue_work(p->host->loop, &connection->work, on_close_work, on_close_worked);
    }
    list_remove(&pool->link);
    p->n--;
    free(pool);
}

/* Forgets the file that nobody has asked for longest. */
static void forget_one(struct sqlite_pools *p)
{
    for (struct list *l = p->pools.next; l != &p->pools; l = l->next) {
        struct pool *pool = container_of(l, struct pool, link);
        if (!is_unused(pool)) continue;
        forget(pool);
        return;
    }
}

/* --- start and end of a query ------------------------------------------------------------------------------------- */

static struct pool *pool_of(struct sqlite_pools *p, const struct sqlite_query *q)
{
    for (struct list *l = p->pools.next; l != &p->pools; l = l->next) {
        struct pool *pool = container_of(l, struct pool, link);
        if (pool->readonly == q->readonly && pool->create == q->create &&
            slice_eq(slice_from(pool->path, pool->path_n), q->path)) {
            list_remove(&pool->link);
            list_append(&p->pools, &pool->link);
            return pool;
        }
    }
    if (p->n >= SQLITE_FILES_MAX) forget_one(p);
    if (p->n >= SQLITE_FILES_MAX) return NULL;
    struct pool *pool = calloc(1, sizeof *pool + q->path.n + 1);
    if (!pool) abort();
    pool->pools = p;
    pool->readonly = q->readonly;
    pool->create = q->create;
    pool->path_n = q->path.n;
    memcpy(pool->path, q->path.p, q->path.n);
    list_init(&pool->idle);
    list_init(&pool->waiting);
    list_append(&p->pools, &pool->link);
    p->n++;
    return pool;
}

enum status sqlite_pools_start(struct sqlite_pools *p, struct sqlite_query *q)
{
    struct pool *pool = pool_of(p, q);
    if (!pool || pool->n_waiting >= SQLITE_WAITING_MAX) return OVERLOADED;
    q->pools = p;
    q->pool = pool;
    q->began_us = clock_mono_us();
    list_append(&pool->waiting, &q->waiting);
    pool->n_waiting++;
    serve(pool);
    return PENDING;
}

void sqlite_pools_cancel(struct sqlite_query *q)
{
    struct sqlite_pools *p = q->pools;
    host_upstream(p->host, UPSTREAM_SQLITE, UPSTREAM_CANCELLED, clock_mono_us() - q->began_us);
    struct sqlite_connection *connection = q->connection;
    if (!connection) {
        list_remove(&q->waiting);
        q->pool->n_waiting--;
        sqlite_query_free(q);
        return;
    }
    connection->cancelled = true;
    atomic_store(&connection->session.stop, true);
    uv_cancel((uv_req_t *)&connection->work); /* on_worked is called in any case */
}

/* --- life --------------------------------------------------------------------------------------------------------- */

void sqlite_pools_hold(struct sqlite_pools *p, struct sqlite_query *q)
{
    if (p->held) sqlite_query_free(p->held);
    p->held = q;
}

struct sqlite_query *sqlite_pools_draw(struct sqlite_pools *p)
{
    struct sqlite_query *q = p->held;
    p->held = NULL;
    return q;
}

struct sqlite_pools *sqlite_pools_of(struct script_host *h)
{
    if (h->sqlite) return h->sqlite;
    struct sqlite_pools *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->host = h;
    list_init(&p->pools);
    host_hold(h);
    return h->sqlite = p;
}
