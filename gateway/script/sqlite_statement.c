/* script/sqlite_statement.c -- what happens to a query on its thread: open, prepare, bind, step, and never anything more than that. */
#include "script/sqlite_statement.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREPARED_MAX     16         /* statements kept a connection */
#define PREPARED_SQL_MAX (16 << 10) /* longer ones are not kept */
#define PROGRESS_STEPS   1000       /* instructions of SQLite's machine between two looks at the clock */
#define BUSY_SLEEP_MS    20

struct statement {
    struct list link;
    sqlite3_stmt *stmt;
    size_t n;
    char sql[];
};

__attribute__((format(printf, 2, 3))) static bool fail(struct sqlite_query *q, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(q->failure, sizeof q->failure, format, args);
    va_end(args);
    return false;
}

static bool is_over(struct sqlite_session *s)
{
    return atomic_load_explicit(&s->stop, memory_order_relaxed) || clock_mono_us() >= s->deadline_us;
}

static bool fail_sqlite(struct sqlite_session *s, struct sqlite_query *q)
{
    if (is_over(s)) return fail(q, "timeout");
    return fail(q, "%s", s->db ? sqlite3_errmsg(s->db) : "unable to open database file");
}

/* --- the connection ----------------------------------------------------------------------------------------------- */

static int on_progress(void *session) { return is_over(session); }

/* Another connection holds the lock: tries again as long as the handler has time. */
static int on_busy(void *session, int tries)
{
    if (is_over(session)) return 0;
    sqlite3_sleep(tries < 4 ? 1 << tries : BUSY_SLEEP_MS);
    return 1;
}

void sqlite_session_init(struct sqlite_session *s)
{
    memset(s, 0, sizeof *s);
    list_init(&s->prepared);
}

static void drop(struct sqlite_session *s, struct statement *kept)
{
    list_remove(&kept->link);
    sqlite3_finalize(kept->stmt);
    free(kept);
    s->n_prepared--;
}

void sqlite_session_close(struct sqlite_session *s)
{
    while (!list_empty(&s->prepared)) drop(s, container_of(s->prepared.prev, struct statement, link));
    sqlite3_close(s->db);
    s->db = NULL;
}

static bool is_moved(struct sqlite_session *s)
{
    int moved = 0;
    return sqlite3_file_control(s->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved;
}

/* Opens the file, again when another one has taken its name. What is SQL of strangers' making must not reach: other files
 * and loaded code. */
static bool open_file(struct sqlite_session *s, struct sqlite_query *q)
{
    if (s->db && !is_moved(s)) return true;
    sqlite_session_close(s);
    int flags = SQLITE_OPEN_NOMUTEX;
    flags |= q->readonly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | (q->create ? SQLITE_OPEN_CREATE : 0);
    if (sqlite3_open_v2(q->path.p, &s->db, flags, NULL) != SQLITE_OK) {
        fail_sqlite(s, q);
        sqlite_session_close(s);
        return false;
    }
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    sqlite3_limit(s->db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(s->db, SQLITE_LIMIT_LENGTH, SQLITE_BYTES_MAX);
    sqlite3_progress_handler(s->db, PROGRESS_STEPS, on_progress, s);
    sqlite3_busy_handler(s->db, on_busy, s);
    return true;
}

/* --- statements --------------------------------------------------------------------------------------------------- */

static struct statement *find(struct sqlite_session *s, struct slice sql)
{
    for (struct list *l = s->prepared.next; l != &s->prepared; l = l->next) {
        struct statement *kept = container_of(l, struct statement, link);
        if (slice_eq(slice_from(kept->sql, kept->n), sql)) return kept;
    }
    return NULL;
}

/* Exactly one statement: what follows it may be white space and comments only. */
static bool is_all(struct sqlite_session *s, const char *rest)
{
    while (*rest) {
        sqlite3_stmt *next = NULL;
        int code = sqlite3_prepare_v2(s->db, rest, -1, &next, &rest);
        sqlite3_finalize(next);
        if (next || code != SQLITE_OK) return false;
    }
    return true;
}

static struct statement *prepare(struct sqlite_session *s, struct sqlite_query *q)
{
    struct statement *kept = find(s, q->sql);
    if (kept) {
        list_remove(&kept->link);
        s->n_prepared--;
        return kept;
    }
    const char *rest = NULL;
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v3(s->db, q->sql.p, (int)q->sql.n + 1, SQLITE_PREPARE_PERSISTENT, &stmt, &rest) != SQLITE_OK) {
        fail_sqlite(s, q);
        return NULL;
    }
    if (!stmt || !is_all(s, rest)) {
        sqlite3_finalize(stmt);
        fail(q, stmt ? "several statements in one string" : "no statement");
        return NULL;
    }
    kept = malloc(sizeof *kept + q->sql.n);
    if (!kept) abort();
    list_init(&kept->link);
    kept->stmt = stmt;
    kept->n = q->sql.n;
    memcpy(kept->sql, q->sql.p, q->sql.n);
    return kept;
}

/* Keeps it for the next time; the one unused for longest makes room. */
static void put_back(struct sqlite_session *s, struct statement *used)
{
    sqlite3_reset(used->stmt);
    sqlite3_clear_bindings(used->stmt);
    list_append(&s->prepared, &used->link);
    s->n_prepared++;
    if (used->n > PREPARED_SQL_MAX) drop(s, used);
    else if (s->n_prepared > PREPARED_MAX) drop(s, container_of(s->prepared.next, struct statement, link));
}

/* --- arguments ---------------------------------------------------------------------------------------------------- */

static void bind_value(sqlite3_stmt *stmt, int at, const struct sqlite_value *v)
{
    switch (v->kind) {
    case SQLITE_VALUE_NULL: sqlite3_bind_null(stmt, at); break;
    case SQLITE_VALUE_INTEGER: sqlite3_bind_int64(stmt, at, v->integer); break;
    case SQLITE_VALUE_REAL: sqlite3_bind_double(stmt, at, v->real); break;
    case SQLITE_VALUE_TEXT: sqlite3_bind_text(stmt, at, v->bytes.p, (int)v->bytes.n, SQLITE_STATIC); break;
    case SQLITE_VALUE_BLOB: sqlite3_bind_blob(stmt, at, v->bytes.p, (int)v->bytes.n, SQLITE_STATIC); break;
    }
}

static const struct sqlite_value *value_named(const struct sqlite_query *q, struct slice name)
{
    for (size_t i = 0; i < q->n_values; i++)
        if (slice_eq(q->values[i].name, name)) return &q->values[i];
    return NULL;
}

static bool bind_named(struct sqlite_query *q, sqlite3_stmt *stmt)
{
    int n = sqlite3_bind_parameter_count(stmt);
    size_t used = 0;
    for (int at = 1; at <= n; at++) {
        const char *name = sqlite3_bind_parameter_name(stmt, at);
        if (!name || *name == '?') return fail(q, "named arguments, but the statement has a `%s`", name ? name : "?");
        const struct sqlite_value *v = value_named(q, slice_of(name + 1));
        if (!v) return fail(q, "no argument for `%s`", name);
        bind_value(stmt, at, v);
        used++;
    }
    for (size_t i = 0; used < q->n_values && i < q->n_values; i++) { /* one too many: which? */
        char name[128];
        snprintf(name, sizeof name, ":%.*s", SLICE_ARG(q->values[i].name));
        int at = sqlite3_bind_parameter_index(stmt, name);
        for (const char *sign = "@$"; *sign && !at; sign++) {
            name[0] = *sign;
            at = sqlite3_bind_parameter_index(stmt, name);
        }
        if (!at) return fail(q, "the statement has no `:%.*s`", SLICE_ARG(q->values[i].name));
    }
    return true;
}

static bool bind_all(struct sqlite_query *q, sqlite3_stmt *stmt)
{
    if (q->named) return bind_named(q, stmt);
    int n = sqlite3_bind_parameter_count(stmt);
    if ((size_t)n != q->n_values) return fail(q, "%zu arguments for %d parameters", q->n_values, n);
    for (int at = 1; at <= n; at++) bind_value(stmt, at, &q->values[at - 1]);
    return true;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

/* A cell: its kind, then eight bytes: the number, or the count of the bytes that follow. */
static bool put_cell(struct sqlite_query *q, sqlite3_stmt *stmt, int column)
{
    int64_t word = 0;
    const void *bytes = NULL;
    char kind = SQLITE_VALUE_NULL;
    switch (sqlite3_column_type(stmt, column)) {
    case SQLITE_INTEGER:
        kind = SQLITE_VALUE_INTEGER;
        word = sqlite3_column_int64(stmt, column);
        break;
    case SQLITE_FLOAT: {
        double real = sqlite3_column_double(stmt, column);
        kind = SQLITE_VALUE_REAL;
        memcpy(&word, &real, sizeof word);
        break;
    }
    case SQLITE_TEXT:
        kind = SQLITE_VALUE_TEXT;
        bytes = sqlite3_column_text(stmt, column);
        word = sqlite3_column_bytes(stmt, column);
        break;
    case SQLITE_BLOB:
        kind = SQLITE_VALUE_BLOB;
        bytes = sqlite3_column_blob(stmt, column);
        word = sqlite3_column_bytes(stmt, column);
        break;
    }
    bool good = buffer_char(&q->cells, kind) && buffer_put(&q->cells, &word, sizeof word);
    return bytes ? good && buffer_put(&q->cells, bytes, (size_t)word) : good;
}

struct sqlite_value sqlite_query_next(const struct sqlite_query *q, size_t *at)
{
    const char *p = q->cells.p + *at;
    struct sqlite_value v = {.kind = (enum sqlite_kind) * p};
    memcpy(&v.integer, p + 1, sizeof v.integer);
    memcpy(&v.real, p + 1, sizeof v.real);
    *at += 1 + sizeof v.integer;
    if (v.kind == SQLITE_VALUE_TEXT || v.kind == SQLITE_VALUE_BLOB) {
        v.bytes = slice_from(q->cells.p + *at, (size_t)v.integer);
        *at += v.bytes.n;
    }
    return v;
}

static void read_names(struct sqlite_query *q, sqlite3_stmt *stmt)
{
    q->columns = (size_t)sqlite3_column_count(stmt);
    q->has_rows = q->columns > 0;
    q->names = arena_alloc(&q->arena, (q->columns + 1) * sizeof *q->names);
    for (size_t i = 0; i < q->columns; i++)
        q->names[i] = arena_dup(&q->arena, slice_of(sqlite3_column_name(stmt, (int)i)));
}

static bool step_all(struct sqlite_session *s, struct sqlite_query *q, sqlite3_stmt *stmt)
{
    int code, before = sqlite3_total_changes(s->db);
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
        if (q->rows == 0) read_names(q, stmt); /* here: a changed schema has been noticed by the step */
        if (++q->rows > SQLITE_ROWS_MAX) return fail(q, "more than %d rows", SQLITE_ROWS_MAX);
        for (size_t i = 0; i < q->columns; i++)
            if (!put_cell(q, stmt, (int)i)) return fail(q, "rows of more than %d bytes", SQLITE_BYTES_MAX);
    }
    if (code != SQLITE_DONE) return fail_sqlite(s, q);
    if (q->rows == 0) read_names(q, stmt);
    q->changes = sqlite3_total_changes(s->db) != before ? sqlite3_changes(s->db) : 0;
    return true;
}

/* The next query of the handler may meet another connection. */
static void end_transaction(struct sqlite_session *s, struct sqlite_query *q)
{
    if (sqlite3_get_autocommit(s->db)) return;
    s->deadline_us = CLOCK_NEVER; /* undoing must not be stopped halfway */
    atomic_store(&s->stop, false);
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    if (!*q->failure) fail(q, "a transaction cannot span queries");
}

void sqlite_session_run(struct sqlite_session *s, struct sqlite_query *q)
{
    s->deadline_us = q->deadline_us;
    if (is_over(s)) {
        fail(q, "timeout");
        return;
    }
    if (!open_file(s, q)) return;
    struct statement *statement = prepare(s, q);
    if (!statement) return;
    if (bind_all(q, statement->stmt)) step_all(s, q, statement->stmt);
    put_back(s, statement);
    end_transaction(s, q);
}
