/* script/postgres_session.c -- dial, then one query after the other: prepare, describe, run.
 *
 * Each step sends one message and waits until libpq has all results of it; go_on then takes the next one:
 *
 *     dial -> GREETING -> IDLE -> begin: (FORGETTING) (PREPARING -> DESCRIBING) RUNNING -> IDLE -> ...
 *
 * Only `lose` and `settle` call the owner, and each is the last thing its caller does: the session may be gone. Over 400 lines, because every
 * step knows what the one before has left on the connection. */
#include "script/postgres_session.h"

#include "base/clock.h"
#include "script/postgres_dial.h"
#include "script/socket_watch.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_US        10000000   /* to connect, in all */
#define STATEMENTS_MAX    32         /* prepared and kept, a connection */
#define STATEMENT_SQL_MAX (16 << 10) /* longer ones are not kept */
#define LOOKS_SINCE       140000     /* the first server that looks whether its client is still there */

/* One that the server has prepared. */
struct statement {
    struct list link;
    char name[16]; /* "": not kept */
    size_t parameters;
    Oid *type; /* of each */
    size_t n;
    char sql[];
};

struct postgres_session {
    struct script_host *host;
    const struct postgres_session_events *events;
    void *arg;
    struct host_timer limit;    /* until it is ready for the first time */
    struct postgres_dial *dial; /* then `pg` */
    PGconn *pg;
    struct socket_watch *watch;
    struct host_turn later; /* tells what ended at once */
    bool broken;            /* ... that the connection did */
    bool dying;             /* the server has said goodbye */

    enum { DIALLING, GREETING, IDLE, FORGETTING, PREPARING, DESCRIBING, RUNNING } step;
    struct postgres_query *query;
    struct statement *statement; /* the query's */
    bool was_kept;               /* ... was prepared by an earlier one */
    bool stale;                  /* ... and is no longer good: once again, from the start */
    struct list kept;            /* struct statement, the latest used last */
    size_t n_kept;
    unsigned names; /* given so far */
};

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void free_statement(struct statement *statement)
{
    if (!statement) return;
    free(statement->type);
    free(statement);
}

void postgres_session_close(struct postgres_session *s)
{
    struct list *l;
    host_timer_stop(s->host, &s->limit);
    host_turn_stop(&s->later);
    if (s->dial) postgres_dial_cancel(s->dial);
    socket_watch_close(s->watch);
    if (s->pg) libpq.finish(s->pg);
    while ((l = list_shift(&s->kept))) free_statement(container_of(l, struct statement, link));
    free_statement(s->statement);
    free(s);
}

static void lose(struct postgres_session *s, const char *why)
{
    const struct postgres_session_events *events = s->events;
    void *arg = s->arg;
    char text[256];
    if (why) snprintf(text, sizeof text, "%s", why);
    else postgres_explain(s->pg, text, sizeof text);
    postgres_session_close(s);
    events->lost(arg, text);
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

/* Waits for results, and for room while something is left to send. */
static void watch_results(struct postgres_session *s)
{
    bool all_sent = libpq.flush(s->pg) == 0; /* of an error the next read will know, too */
    socket_watch_for(s->watch, all_sent ? UV_READABLE : UV_READABLE | UV_WRITABLE);
}

/* After a message for the server was handed to libpq, or refused by it. */
static void sent(struct postgres_session *s, bool good)
{
    s->broken = !good;
    if (good) watch_results(s);
    else host_turn_ask(s->host, &s->later);
}

/* --- a query: its statement --------------------------------------------------------------------------------------- */

static struct statement *find(struct postgres_session *s, struct slice sql)
{
    for (struct list *l = s->kept.next; l != &s->kept; l = l->next) {
        struct statement *statement = container_of(l, struct statement, link);
        if (slice_eq(slice_from(statement->sql, statement->n), sql)) return statement;
    }
    return NULL;
}

static struct statement *new_statement(struct postgres_session *s, struct slice sql)
{
    struct statement *statement = calloc(1, sizeof *statement + sql.n + 1);
    if (!statement) abort();
    list_init(&statement->link);
    if (sql.n <= STATEMENT_SQL_MAX) snprintf(statement->name, sizeof statement->name, "p%u", ++s->names);
    statement->n = sql.n;
    memcpy(statement->sql, sql.p, sql.n);
    return statement;
}

static void take_out(struct postgres_session *s, struct statement *statement)
{
    list_remove(&statement->link);
    s->n_kept--;
}

/* Has the server forget one statement. */
static void forget(struct postgres_session *s, struct statement *statement)
{
    char sql[32];
    snprintf(sql, sizeof sql, "DEALLOCATE %s", statement->name);
    take_out(s, statement);
    free_statement(statement);
    s->step = FORGETTING;
    sent(s, libpq.sendQuery(s->pg, sql));
}

/* Sends the query itself; false when it cannot be sent with these arguments. */
static bool run(struct postgres_session *s)
{
    struct postgres_query *q = s->query;
    size_t n = s->statement->parameters;
    if (n != q->n_arguments) return postgres_query_fail(q, "%zu arguments for %zu parameters", q->n_arguments, n);
    const char **values = arena_zalloc(&q->arena, (n + 1) * sizeof *values);
    int *lengths = arena_zalloc(&q->arena, (n + 1) * sizeof *lengths);
    int *formats = arena_zalloc(&q->arena, (n + 1) * sizeof *formats);
    for (size_t i = 0; i < n; i++) {
        bool binary = false;
        if (!q->arguments[i].text.p) continue;
        struct slice text = postgres_argument_for(&q->arguments[i], s->statement->type[i], &q->arena, &binary);
        if (!text.p) return postgres_query_fail(q, "NUL byte in argument %zu", i + 1);
        values[i] = text.p;
        lengths[i] = (int)text.n;
        formats[i] = binary;
    }
    s->step = RUNNING;
    bool good = libpq.sendQueryPrepared(s->pg, s->statement->name, (int)n, values, lengths, formats, 0);
    sent(s, good && libpq.setSingleRowMode(s->pg));
    return true;
}

/* The first message of the query; false when it ends here. */
static bool begin(struct postgres_session *s)
{
    struct statement *known = find(s, s->query->sql);
    if (known && s->stale) {
        s->stale = false;
        forget(s, known);
        return true;
    }
    s->was_kept = known != NULL;
    if (known) {
        s->statement = known;
        take_out(s, known);
        return run(s);
    }
    if (s->n_kept >= STATEMENTS_MAX) {
        forget(s, container_of(s->kept.next, struct statement, link));
        return true;
    }
    s->statement = new_statement(s, s->query->sql);
    s->step = PREPARING;
    sent(s, libpq.sendPrepare(s->pg, s->statement->name, s->statement->sql, 0, NULL));
    return true;
}

static void describe(struct postgres_session *s)
{
    s->step = DESCRIBING;
    sent(s, libpq.sendDescribePrepared(s->pg, s->statement->name));
}

/* --- a query: its results ----------------------------------------------------------------------------------------- */

/* "duplicate key value violates unique constraint "t_pkey" (SQLSTATE 23505)" */
static void fail_by_result(struct postgres_query *q, const PGresult *result)
{
    const char *message = libpq.resultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *state = libpq.resultErrorField(result, PG_DIAG_SQLSTATE);
    if (*q->failure) return;
    if (message && state) postgres_query_fail(q, "%.300s (SQLSTATE %.5s)", message, state);
    else postgres_query_fail(q, "connection lost");
}

/* Is it about the statement that was kept, not about the query? Its tables have changed, or someone has said DISCARD. */
static bool is_stale(const struct postgres_session *s, const PGresult *result)
{
    const char *state = libpq.resultErrorField(result, PG_DIAG_SQLSTATE);
    return s->was_kept && !s->query->has_rows && state && (strcmp(state, "0A000") == 0 || strcmp(state, "26000") == 0);
}

static void take_types(struct statement *statement, const PGresult *result)
{
    int n = libpq.nparams(result);
    statement->parameters = (size_t)n;
    statement->type = calloc((size_t)n + 1, sizeof *statement->type);
    if (!statement->type) abort();
    for (int i = 0; i < n; i++) statement->type[i] = libpq.paramtype(result, i);
}

static void take_names(struct postgres_query *q, const PGresult *result)
{
    if (q->has_rows) return;
    q->has_rows = true;
    q->columns = (size_t)libpq.nfields(result);
    q->names = arena_alloc(&q->arena, (q->columns + 1) * sizeof *q->names);
    for (size_t i = 0; i < q->columns; i++) q->names[i] = arena_dup(&q->arena, slice_of(libpq.fname(result, (int)i)));
}

/* One row. False when it is one too many. */
static bool take_row(struct postgres_query *q, const PGresult *result)
{
    take_names(q, result);
    if (++q->rows > POSTGRES_ROWS_MAX) return postgres_query_fail(q, "more than %d rows", POSTGRES_ROWS_MAX);
    for (int i = 0; i < (int)q->columns; i++) {
        struct slice text = slice_from(libpq.getvalue(result, 0, i), (size_t)libpq.getlength(result, 0, i));
        bool good = libpq.getisnull(result, 0, i) ? postgres_put_null(&q->cells)
                                                  : postgres_put(&q->cells, libpq.ftype(result, i), text);
        if (!good) return postgres_query_fail(q, "rows of more than %d bytes", POSTGRES_BYTES_MAX);
    }
    return true;
}

/* One result of the step that is under way. False when the connection cannot go on after it. */
static bool take(struct postgres_session *s, PGresult *result)
{
    struct postgres_query *q = s->query;
    ExecStatusType status = libpq.resultStatus(result);
    if (!q || s->step == FORGETTING || s->step == GREETING) return true; /* an error does not matter */
    switch (status) {
    case PGRES_SINGLE_TUPLE: return take_row(q, result);
    case PGRES_TUPLES_OK: take_names(q, result); return true;
    case PGRES_EMPTY_QUERY: postgres_query_fail(q, "no statement"); return true;
    case PGRES_COMMAND_OK:
        if (s->step == DESCRIBING) take_types(s->statement, result);
        if (s->step == RUNNING) q->changes = strtod(libpq.cmdTuples(result), NULL);
        return true;
    case PGRES_FATAL_ERROR:
        if (is_stale(s, result)) s->stale = true;
        else fail_by_result(q, result);
        return true;
    default: return postgres_query_fail(q, "COPY is not for handlers");
    }
}

/* --- the machine -------------------------------------------------------------------------------------------------- */

/* The query has its results, or can have none; the connection takes the next one. */
static void settle(struct postgres_session *s)
{
    s->query = NULL;
    s->step = IDLE;
    host_timer_stop(s->host, &s->limit);
    s->events->ready(s->arg);
}

/* Keeps the statement for the next time. */
static void put_back(struct postgres_session *s)
{
    struct statement *statement = s->statement;
    s->statement = NULL;
    if (!statement) return;
    if (*statement->name && statement->type) {
        list_append(&s->kept, &statement->link);
        s->n_kept++;
    } else {
        free_statement(statement);
    }
}

/* All results of a step are there. True when another one is under way; else the session may be gone. */
static bool go_on(struct postgres_session *s)
{
    struct postgres_query *q = s->query;
    bool good = q && !*q->failure;
    if (s->step == PREPARING && good) {
        describe(s);
        return true;
    }
    if (s->step == DESCRIBING && good && run(s)) return true;
    if (s->step == FORGETTING && begin(s)) return true;
    put_back(s);
    if (s->step == RUNNING && s->stale && begin(s)) return true;
    if (q && libpq.transactionStatus(s->pg) != PQTRANS_IDLE) {
        if (good) postgres_query_fail(q, "a transaction cannot span queries");
        lose(s, q->failure); /* the server rolls back */
        return false;
    }
    settle(s);
    return false;
}

static void drop_notifications(struct postgres_session *s)
{
    PGnotify *notification;
    while ((notification = libpq.notifies(s->pg))) libpq.freemem(notification);
}

static void on_results(struct postgres_session *s)
{
    while (!s->broken && !libpq.isBusy(s->pg)) {
        PGresult *result = libpq.getResult(s->pg);
        if (!result && libpq.status(s->pg) == CONNECTION_BAD) {
            lose(s, NULL);
            return;
        }
        if (!result && s->step == IDLE) break;
        if (!result && !go_on(s)) return;
        if (!result) continue;
        bool good = take(s, result);
        libpq.clear(result);
        if (good) continue;
        lose(s, s->query->failure);
        return;
    }
    drop_notifications(s);
    if (!s->broken) watch_results(s);
}

static void on_ready(void *arg, int events)
{
    struct postgres_session *s = arg;
    if ((events & UV_READABLE) && !libpq.consumeInput(s->pg)) lose(s, NULL);
    else on_results(s);
}

static void on_later(struct host_turn *turn)
{
    struct postgres_session *s = container_of(turn, struct postgres_session, later);
    if (s->broken) lose(s, NULL);
    else settle(s);
}

bool postgres_session_alive(struct postgres_session *s)
{
    return libpq.consumeInput(s->pg) && !libpq.isBusy(s->pg) && !s->dying && libpq.status(s->pg) == CONNECTION_OK;
}

void postgres_session_run(struct postgres_session *s, struct postgres_query *q)
{
    assert(s->step == IDLE && !s->query);
    s->query = q;
    if (begin(s)) return;
    put_back(s);
    host_turn_ask(s->host, &s->later);
}

/* --- connecting --------------------------------------------------------------------------------------------------- */

/* What servers remark: nobody reads it. Of an idle connection its end is such a remark. */
static void on_notice(void *arg, const PGresult *result)
{
    struct postgres_session *s = arg;
    const char *severity = libpq.resultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    s->dying |= severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

static void on_dialled(void *arg, PGconn *pg, const char *why)
{
    struct postgres_session *s = arg;
    s->dial = NULL;
    if (!pg) {
        lose(s, why);
        return;
    }
    s->pg = pg;
    s->watch = socket_watch_open(s->host, libpq.socket(pg), on_ready, s);
    libpq.setnonblocking(pg, 1);
    libpq.setNoticeReceiver(pg, on_notice, s);
    s->step = GREETING;
    bool looks = libpq.serverVersion(pg) >= LOOKS_SINCE;
    sent(s, libpq.sendQuery(pg, looks ? "SET client_connection_check_interval = 250" : ""));
}

static void on_limit(struct host_timer *timer)
{
    lose(container_of(timer, struct postgres_session, limit), "no connection in time");
}

struct postgres_session *postgres_session_open(struct script_host *h, const struct postgres_url *url,
                                               const struct postgres_session_events *events, void *arg)
{
    struct postgres_session *s = calloc(1, sizeof *s);
    if (!s) abort();
    *s = (struct postgres_session){.host = h, .events = events, .arg = arg};
    list_init(&s->kept);
    host_turn_init(&s->later, on_later);
    host_timer_init(&s->limit, on_limit);
    host_timer_set(h, &s->limit, clock_mono_us() + CONNECT_US);
    s->dial = postgres_dial_start(h, url, on_dialled, s);
    return s;
}
