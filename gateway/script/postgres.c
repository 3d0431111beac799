/* script/postgres.c -- `postgres(url)`: arguments to a query, its rows to tables.
 *
 * Memory as in http.c: what is allocated while something may raise hangs on the query, and that on the pools. */
#include "script/postgres.h"

#include "base/clock.h"
#include "base/json.h"
#include "model/json.h"
#include "model/number.h"
#include "script/convert.h"
#include "script/duration.h"
#include "script/libpq.h"
#include "script/postgres_pool.h"
#include "script/postgres_url.h"
#include "script/task.h"
#include "script/vm_internal.h"

#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>

#define ARGUMENTS_MAX       1000
#define ARGUMENTS_BYTES_MAX (16 << 20)
#define JSON_MAX            (1 << 20) /* of a table */
#define OPTION_NAMES        "timeout, connections"

/* What postgres(url) returns: a full userdata, no C object behind it. */
struct database {
    uint64_t timeout_us; /* of a query; CLOCK_NEVER: as long as the handler has */
    unsigned connections;
    size_t n;
    char url[];
};

static char database_key; /* its address is the registry key of the metatable */

/* --- arguments ---------------------------------------------------------------------------------------------------- */

static struct database *database_at(lua_State *L, int index)
{
    struct database *db = lua_touserdata(L, index);
    if (!db || lua_islightuserdata(L, index) || !lua_getmetatable(L, index)) return NULL;
    lua_pushlightuserdata(L, &database_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same ? db : NULL;
}

static struct slice spell_double(double v, struct arena *arena)
{
    if (isnan(v)) return SLICE("NaN");
    if (isinf(v)) return v > 0 ? SLICE("Infinity") : SLICE("-Infinity");
    struct buffer text;
    buffer_init(&text, 40);
    json_put_double(&text, v);
    struct slice spelled = arena_dup(arena, buffer_view(&text));
    buffer_deinit(&text);
    return spelled;
}

/* A table as JSON; 64-bit integers and longer numbers as JSON spells them. */
static struct slice spell_json(lua_State *L, int index, int number, struct arena *arena)
{
    struct buffer json;
    struct problem why;
    buffer_init(&json, JSON_MAX);
    enum status status = convert_write_json(L, index, &json, &why);
    struct slice spelled = arena_dup(arena, buffer_view(&json));
    buffer_deinit(&json);
    if (status != OK)
        task_raise(L, "postgres: argument %d%s%s: %s", number, *why.path ? ": " : "", why.path, why.detail);
    return spelled;
}

static struct postgres_argument argument_at(lua_State *L, int index, int number, struct arena *arena)
{
    struct postgres_argument a = {.is_string = false};
    struct slice text = {NULL, 0};
    switch (lua_type(L, index)) {
    case LUA_TNIL:
    case LUA_TLIGHTUSERDATA: /* null */ break;
    case LUA_TBOOLEAN: a.text = lua_toboolean(L, index) ? SLICE("true") : SLICE("false"); break;
    case LUA_TNUMBER: a.text = spell_double(lua_tonumber(L, index), arena); break;
    case LUA_TSTRING:
        text.p = lua_tolstring(L, index, &text.n);
        a.text = arena_dup(arena, text);
        a.is_string = true;
        break;
    case LUA_TFUNCTION:
    case LUA_TTHREAD: task_raise(L, "postgres: argument %d: cannot bind a %s", number, luaL_typename(L, index)); break;
    default: a.text = spell_json(L, index, number, arena); a.is_json = lua_istable(L, index);
    }
    return a;
}

static void read_arguments(lua_State *L, struct postgres_query *q) /* stack: db, sql, arguments... */
{
    int n = lua_gettop(L) - 2;
    if (n > ARGUMENTS_MAX) task_raise(L, "postgres: more than %d arguments", ARGUMENTS_MAX);
    q->arguments = arena_alloc(&q->arena, ((size_t)n + 1) * sizeof *q->arguments);
    for (int i = 0; i < n; i++) {
        q->arguments[q->n_arguments++] = argument_at(L, 3 + i, i + 1, &q->arena);
        if (q->arena.used > ARGUMENTS_BYTES_MAX)
            task_raise(L, "postgres: arguments of more than %d bytes", ARGUMENTS_BYTES_MAX);
    }
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

static void push_json(lua_State *L, struct slice text)
{
    struct arena *scratch = &vm_of(L)->host->scratch;
    struct slice compact;
    struct problem why;
    arena_reset(scratch); /* pushing may raise: then it is given back here, the next time */
    if (json_compact(text, scratch, &compact, &why) != OK) luaL_error(L, "postgres: a JSON value: %s", why.detail);
    convert_push_json(L, compact);
    arena_reset(scratch);
}

static void push_next(lua_State *L, const struct postgres_query *q, size_t *at)
{
    struct postgres_cell cell = postgres_next(&q->cells, at);
    switch (cell.kind) {
    case POSTGRES_NULL: lua_pushlightuserdata(L, NULL); break;
    case POSTGRES_TRUE: lua_pushboolean(L, 1); break;
    case POSTGRES_FALSE: lua_pushboolean(L, 0); break;
    case POSTGRES_NUMBER:
        if (number_valid(cell.text)) convert_push_exact(L, cell.text);
        else lua_pushnumber(L, strtod(cell.text.p, NULL)); /* NaN, Infinity */
        break;
    case POSTGRES_FLOAT: lua_pushnumber(L, strtod(cell.text.p, NULL)); break;
    case POSTGRES_TEXT: lua_pushlstring(L, cell.text.p, cell.text.n); break;
    case POSTGRES_JSON: push_json(L, cell.text); break;
    case POSTGRES_ARRAY: /* as deep as PostgreSQL's arrays are */
        luaL_checkstack(L, 8, "arrays too deep");
        convert_push_json(L, SLICE("[]"));
        for (uint32_t i = 1; i <= cell.elements; i++) {
            push_next(L, q, at);
            lua_rawseti(L, -2, (int)i);
        }
    }
}

static void push_rows(lua_State *L, const struct postgres_query *q)
{
    size_t at = 0;
    int names = lua_gettop(L);
    luaL_checkstack(L, (int)q->columns + 8, "too many columns");
    for (size_t i = 0; i < q->columns; i++) lua_pushlstring(L, q->names[i].p, q->names[i].n);
    convert_push_json(L, SLICE("[]")); /* stack: ..., name of each column, rows */
    for (size_t row = 1; row <= q->rows; row++) {
        lua_createtable(L, 0, (int)q->columns);
        for (size_t i = 1; i <= q->columns; i++) {
            lua_pushvalue(L, names + (int)i);
            push_next(L, q, &at);
            lua_rawset(L, -3);
        }
        lua_rawseti(L, -2, (int)row);
    }
}

static int push_result(void *op, lua_State *L)
{
    struct postgres_query *q = op;
    struct postgres_pools *p = vm_of(L)->host->postgres;
    postgres_pools_hold(p, q); /* from here on anything may raise */
    if (*q->failure) {
        lua_pushfstring(L, "postgres: %s", q->failure);
        postgres_pools_hold(p, NULL);
        return lua_error(L);
    }
    if (q->has_rows) {
        push_rows(L, q);
    } else {
        lua_createtable(L, 0, 1);
        lua_pushnumber(L, q->changes);
        lua_setfield(L, -2, "changes");
    }
    postgres_pools_hold(p, NULL);
    return 1;
}

/* --- the words ---------------------------------------------------------------------------------------------------- */

static void query_cancel(void *op) { postgres_pools_cancel(op); }
static void on_done(struct postgres_query *q) { task_wake(q->owner, push_result, q); }

/* db:query(sql, ...) */
static int word_query(lua_State *L) /* stack: db, sql, arguments... */
{
    struct database *db = database_at(L, 1);
    if (!db) task_raise(L, "postgres: call it as db:query(sql, ...)");
    struct task *task = task_for_wait(L, "postgres");
    size_t n = 0;
    const char *sql = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &n) : NULL;
    if (!sql) task_raise(L, "postgres: the statement must be a string, got %s", luaL_typename(L, 2));
    if (n > POSTGRES_SQL_MAX) task_raise(L, "postgres: a statement of more than %d bytes", POSTGRES_SQL_MAX);
    if (strlen(sql) != n) task_raise(L, "postgres: NUL byte in the statement");

    struct postgres_pools *p = postgres_pools_of(task_host(task));
    struct postgres_query *q = postgres_query_new();
    postgres_pools_hold(p, q);
    q->url = arena_dup(&q->arena, slice_from(db->url, db->n));
    q->connections = db->connections;
    q->sql = arena_dup(&q->arena, slice_from(sql, n));
    q->timeout_us = clock_add(clock_mono_us(), db->timeout_us);
    if (q->timeout_us >= task_deadline(task)) q->timeout_us = CLOCK_NEVER; /* left to the task's own */
    q->done = on_done;
    q->owner = task;
    read_arguments(L, q);
    if (postgres_pools_start(p, q) != PENDING)
        task_raise(L, "postgres: more than %d databases, or %d queries that wait for one", POSTGRES_DATABASES_MAX,
                   POSTGRES_WAITING_MAX);
    postgres_pools_draw(p);
    return task_park(L, query_cancel, q);
}

static void read_options(lua_State *L, struct database *db) /* stack: url, options, db */
{
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) { /* stack: url, options, db, name, value */
        const char *name = lua_type(L, 4) == LUA_TSTRING ? lua_tostring(L, 4) : "?";
        if (strcmp(name, "timeout") == 0) {
            db->timeout_us = duration_check(L, 5, "postgres: timeout");
        } else if (strcmp(name, "connections") == 0) {
            double v = lua_type(L, 5) == LUA_TNUMBER ? lua_tonumber(L, 5) : 0;
            if (!(v >= 1 && v <= POSTGRES_CONNECTIONS_MAX) || v != floor(v))
                task_raise(L, "postgres: connections must be a whole number from 1 to %d", POSTGRES_CONNECTIONS_MAX);
            db->connections = (unsigned)v;
        } else {
            task_raise(L, "postgres: unknown option `%.64s` (there are: " OPTION_NAMES ")", name);
        }
    }
}

static void check_url(lua_State *L, struct slice url)
{
    const char *wrong;
    if (!libpq_load(&wrong)) task_raise(L, "postgres: PostgreSQL's client library (libpq5) is needed: %.200s", wrong);
    struct arena arena;
    struct postgres_url parsed;
    arena_init(&arena);
    wrong = postgres_url_parse(url, &arena, &parsed);
    arena_deinit(&arena);
    if (wrong) task_raise(L, "postgres: %s", wrong);
}

/* postgres(url, options): waits for nothing, so schema files may call it while they are loaded */
static int word_postgres(lua_State *L)
{
    struct slice url = {NULL, 0};
    lua_settop(L, 2);
    if (lua_type(L, 1) != LUA_TSTRING) task_raise(L, "postgres: the URL must be a string, got %s", luaL_typename(L, 1));
    if (lua_isnil(L, 2)) {
        lua_newtable(L);
        lua_replace(L, 2);
    }
    if (!lua_istable(L, 2)) task_raise(L, "postgres: the options must be a table, got %s", luaL_typename(L, 2));
    url.p = lua_tolstring(L, 1, &url.n);
    check_url(L, url);

    struct database *db = lua_newuserdata(L, sizeof *db + url.n + 1);
    *db = (struct database){.timeout_us = CLOCK_NEVER, .connections = POSTGRES_CONNECTIONS_DEFAULT, .n = url.n};
    memcpy(db->url, url.p, url.n + 1);
    read_options(L, db);
    lua_pushlightuserdata(L, &database_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_setmetatable(L, -2);
    return 1;
}

void postgres_open(lua_State *L) /* stack: words */
{
    lua_pushlightuserdata(L, &database_key);
    lua_newtable(L); /* stack: words, key, metatable */
    lua_newtable(L);
    task_push_word(L, word_query, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "query");
    lua_setfield(L, -2, "exec");
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawset(L, LUA_REGISTRYINDEX);

    task_push_word(L, word_postgres, 0);
    lua_setfield(L, -2, "postgres");
}
