/* script/postgres_pool.c -- who has which connection, and what happens when there is none. */
#include "script/postgres_pool.h"

#include "base/clock.h"
#include "script/postgres_session.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_US  60000000 /* then a connection is closed */
#define PAUSE_US 1000000  /* after a refusal, while there are other connections */

struct postgres_pool {
    struct list link;
    struct postgres_pools *pools;
    struct arena arena; /* of url */
    struct postgres_url url;
    unsigned connections_max;
    struct list idle;    /* connections, the latest used last */
    struct list busy;    /* ... that connect or have a query */
    struct list waiting; /* queries */
    size_t connections, connecting, n_waiting;
    uint64_t epoch;          /* counts the times when all who waited were told that there is no server */
    bool telling;            /* ... them just now */
    uint64_t retry_us;       /* no further connection sooner, while there are some */
    struct host_timer retry; /* ... which those who wait are waiting for */
};

struct postgres_connection {
    struct list link; /* in pool->idle or pool->busy */
    struct postgres_pool *pool;
    struct postgres_session *session;
    struct postgres_query *query;
    bool connected;
    struct host_timer rest; /* while idle: until it is closed */
};

struct postgres_pools {
    struct script_host *host;
    struct list pools;
    size_t n;
    struct postgres_query *held;
};

/* --- queries ------------------------------------------------------------------------------------------------------ */

struct postgres_query *postgres_query_new(void)
{
    struct postgres_query *q = calloc(1, sizeof *q);
    if (!q) abort();
    arena_init(&q->arena);
    buffer_init(&q->cells, POSTGRES_BYTES_MAX);
    list_init(&q->waiting);
    return q;
}

void postgres_query_free(struct postgres_query *q)
{
    arena_deinit(&q->arena);
    buffer_deinit(&q->cells);
    free(q);
}

bool postgres_query_fail(struct postgres_query *q, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t n = (size_t)vsnprintf(q->failure, sizeof q->failure, format, args);
    va_end(args);
    if (n < sizeof q->failure) return false;
    n = sizeof q->failure - 1;
    while (n > 0 && !slice_is_utf8(slice_from(q->failure, n)) && n > sizeof q->failure - 5) n--;
    q->failure[n] = 0; /* not within a character */
    return false;
}

static void count(struct postgres_query *q, enum upstream_outcome outcome)
{
    struct script_host *h = q->pool->pools->host;
    host_timer_stop(h, &q->timeout);
    host_upstream(h, UPSTREAM_POSTGRES, outcome, clock_mono_us() - q->began_us);
}

static void finish(struct postgres_query *q)
{
    count(q, *q->failure ? UPSTREAM_ERROR : UPSTREAM_OK);
    q->done(q);
}

static struct postgres_query *next_waiting(struct postgres_pool *pool)
{
    pool->n_waiting--;
    return container_of(list_shift(&pool->waiting), struct postgres_query, waiting);
}

/* --- connections -------------------------------------------------------------------------------------------------- */

/* The session is gone already, or is closed by the caller. */
static void free_connection(struct postgres_connection *connection)
{
    struct postgres_pool *pool = connection->pool;
    pool->connections--;
    if (!connection->connected) pool->connecting--;
    host_timer_stop(pool->pools->host, &connection->rest);
    list_remove(&connection->link);
    free(connection);
}

static void close_connection(struct postgres_connection *connection)
{
    postgres_session_close(connection->session);
    free_connection(connection);
}

static void on_rested(struct host_timer *timer)
{
    close_connection(container_of(timer, struct postgres_connection, rest));
}

static void give(struct postgres_connection *connection, struct postgres_query *q)
{
    host_timer_stop(connection->pool->pools->host, &connection->rest);
    list_remove(&connection->link);
    list_append(&connection->pool->busy, &connection->link);
    connection->query = q;
    q->connection = connection;
    postgres_session_run(connection->session, q);
}

static void open_connection(struct postgres_pool *pool);

/* Gives waiting queries to connections, as long as there are both, and opens some for the rest. */
static void serve(struct postgres_pool *pool)
{
    while (pool->n_waiting > 0 && !list_empty(&pool->idle)) {
        struct postgres_connection *connection = container_of(pool->idle.prev, struct postgres_connection, link);
        if (postgres_session_alive(connection->session)) give(connection, next_waiting(pool));
        else close_connection(connection);
    }
    while (pool->connecting < pool->n_waiting && pool->connections < pool->connections_max) {
        if (pool->connections > 0 && clock_mono_us() < pool->retry_us) {
            host_timer_set(pool->pools->host, &pool->retry, pool->retry_us);
            return;
        }
        open_connection(pool);
    }
}

static void on_retry(struct host_timer *timer) { serve(container_of(timer, struct postgres_pool, retry)); }

static void on_ready(void *arg)
{
    struct postgres_connection *connection = arg;
    struct postgres_pool *pool = connection->pool;
    struct postgres_query *q = connection->query;
    if (!connection->connected) pool->connecting--, pool->retry_us = 0;
    connection->connected = true;
    connection->query = NULL;
    list_remove(&connection->link);
    list_append(q ? &pool->idle : pool->idle.next, &connection->link); /* a new one in front: it has prepared nothing */
    host_timer_set(pool->pools->host, &connection->rest, clock_mono_us() + IDLE_US);
    serve(pool);
    if (q) finish(q);
}

/* There is no server: all who wait are told so, but not those who come meanwhile. */
static void fail_waiting(struct postgres_pool *pool, const char *why)
{
    uint64_t epoch = pool->epoch++;
    pool->telling = true;
    while (pool->n_waiting > 0) {
        struct postgres_query *q = container_of(pool->waiting.next, struct postgres_query, waiting);
        if (q->epoch > epoch) break;
        next_waiting(pool);
        postgres_query_fail(q, "%s", why);
        finish(q);
    }
    pool->telling = false;
}

static void on_lost(void *arg, const char *why)
{
    struct postgres_connection *connection = arg;
    struct postgres_pool *pool = connection->pool;
    struct postgres_query *q = connection->query;
    bool refused = !connection->connected;
    if (refused) pool->retry_us = clock_mono_us() + PAUSE_US;
    free_connection(connection);
    if (!refused || pool->connections > 0) serve(pool);
    if (q) {
        if (!*q->failure) postgres_query_fail(q, "%s", why);
        finish(q);
    } else if (refused && pool->connections == 0) {
        fail_waiting(pool, why);
    }
}

static void open_connection(struct postgres_pool *pool)
{
    static const struct postgres_session_events events = {on_ready, on_lost};
    struct postgres_connection *connection = calloc(1, sizeof *connection);
    if (!connection) abort();
    connection->pool = pool;
    host_timer_init(&connection->rest, on_rested);
    list_init(&connection->link);
    list_append(&pool->busy, &connection->link);
    pool->connections++;
    pool->connecting++;
    connection->session = postgres_session_open(pool->pools->host, &pool->url, &events, connection);
}

/* --- start and end of a query ------------------------------------------------------------------------------------- */

static void free_pool(struct postgres_pool *pool)
{
    host_timer_stop(pool->pools->host, &pool->retry);
    list_remove(&pool->link);
    pool->pools->n--;
    arena_deinit(&pool->arena);
    free(pool);
}

static void forget_unused(struct postgres_pools *p)
{
    for (struct list *l = p->pools.next, *next; l != &p->pools; l = next) {
        struct postgres_pool *pool = container_of(l, struct postgres_pool, link);
        next = l->next;
        if (pool->connections == 0 && pool->n_waiting == 0 && !pool->telling) free_pool(pool);
    }
}

static struct postgres_pool *pool_of(struct postgres_pools *p, const struct postgres_query *q)
{
    for (struct list *l = p->pools.next; l != &p->pools; l = l->next) {
        struct postgres_pool *pool = container_of(l, struct postgres_pool, link);
        if (pool->connections_max == q->connections && slice_eq(pool->url.text, q->url)) return pool;
    }
    if (p->n >= POSTGRES_DATABASES_MAX) forget_unused(p);
    if (p->n >= POSTGRES_DATABASES_MAX) return NULL;
    struct postgres_pool *pool = calloc(1, sizeof *pool);
    if (!pool) abort();
    pool->pools = p;
    pool->connections_max = q->connections;
    arena_init(&pool->arena);
    const char *wrong = postgres_url_parse(q->url, &pool->arena, &pool->url);
    assert(!wrong && "looked at when the handle was made");
    (void)wrong;
    list_init(&pool->idle);
    list_init(&pool->busy);
    list_init(&pool->waiting);
    host_timer_init(&pool->retry, on_retry);
    list_append(&p->pools, &pool->link);
    p->n++;
    return pool;
}

/* Ends it where it stands. A connection that works for it goes with it: see postgres_session.h. */
static void stop(struct postgres_query *q, enum upstream_outcome outcome)
{
    struct postgres_pool *pool = q->pool;
    count(q, outcome);
    if (q->connection) {
        close_connection(q->connection);
        serve(pool);
    } else {
        list_remove(&q->waiting);
        pool->n_waiting--;
    }
}

static void on_timeout(struct host_timer *timer)
{
    struct postgres_query *q = container_of(timer, struct postgres_query, timeout);
    stop(q, UPSTREAM_TIMEOUT);
    postgres_query_fail(q, "timeout");
    q->done(q);
}

void postgres_pools_cancel(struct postgres_query *q)
{
    stop(q, UPSTREAM_CANCELLED);
    postgres_query_free(q);
}

enum status postgres_pools_start(struct postgres_pools *p, struct postgres_query *q)
{
    struct postgres_pool *pool = pool_of(p, q);
    if (!pool || pool->n_waiting >= POSTGRES_WAITING_MAX) return OVERLOADED;
    q->pool = pool;
    q->epoch = pool->epoch;
    q->began_us = clock_mono_us();
    host_timer_init(&q->timeout, on_timeout);
    host_timer_set(p->host, &q->timeout, q->timeout_us);
    list_append(&pool->waiting, &q->waiting);
    pool->n_waiting++;
    serve(pool);
    return PENDING;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

void postgres_pools_close(struct postgres_pools *p)
{
    postgres_pools_hold(p, NULL);
    while (!list_empty(&p->pools)) {
        struct postgres_pool *pool = container_of(p->pools.next, struct postgres_pool, link);
        struct list *lists[] = {&pool->idle, &pool->busy};
        for (int i = 0; i < 2; i++)
            while (!list_empty(lists[i]))
                close_connection(container_of(lists[i]->next, struct postgres_connection, link));
        free_pool(pool);
    }
    free(p);
}

void postgres_pools_hold(struct postgres_pools *p, struct postgres_query *q)
{
    if (p->held) postgres_query_free(p->held);
    p->held = q;
}

struct postgres_query *postgres_pools_draw(struct postgres_pools *p)
{
    struct postgres_query *q = p->held;
    p->held = NULL;
    return q;
}

struct postgres_pools *postgres_pools_of(struct script_host *h)
{
    if (h->postgres) return h->postgres;
    struct postgres_pools *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->host = h;
    list_init(&p->pools);
    return h->postgres = p;
}
