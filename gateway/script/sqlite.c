/* script/sqlite.c -- `sqlite(path)`: arguments to a query, its rows to tables.
 *
 * Memory as in http.c: what is allocated while something may raise hangs on the query, and that on the pools. */
#include "script/sqlite.h"

#include "model/json.h"
#include "script/convert.h"
#include "script/sqlite_pool.h"
#include "script/task.h"
#include "script/vm_internal.h"

#include <inttypes.h>
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_LENGTH_MAX 4096
#define VALUES_MAX      1000
#define EXACT_INTEGER   9007199254740992.0 /* 2^53: beyond it a double is no exact integer */

/* What sqlite(path) returns: a full userdata, no C object behind it. */
struct database {
    bool readonly, create;
    size_t n;
    char path[];
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

static struct sqlite_value value_of_number(double v)
{
    if (v == floor(v) && fabs(v) <= EXACT_INTEGER)
        return (struct sqlite_value){.kind = SQLITE_VALUE_INTEGER, .integer = (int64_t)v};
    return (struct sqlite_value){.kind = SQLITE_VALUE_REAL, .real = v};
}

static struct sqlite_value value_of_string(lua_State *L, int index, struct sqlite_query *q)
{
    size_t n;
    const char *text = lua_tolstring(L, index, &n);
    struct slice bytes = arena_dup(&q->arena, slice_from(text, n));
    bool is_text = slice_is_utf8(bytes) && !memchr(bytes.p, 0, bytes.n);
    return (struct sqlite_value){.kind = is_text ? SQLITE_VALUE_TEXT : SQLITE_VALUE_BLOB, .bytes = bytes};
}

/* 64-bit integers and longer numbers, as JSON spells them; nothing else of these types can be bound. */
static struct sqlite_value value_of_exact(lua_State *L, int index, struct sqlite_query *q)
{
    char spelled[64] = "", *end = NULL;
    struct buffer text;
    buffer_init(&text, sizeof spelled - 1);
    if (convert_write_json(L, index, &text, NULL) == OK) memcpy(spelled, text.p, text.n);
    buffer_deinit(&text);

    int64_t integer = strtoll(spelled, &end, 10);
    if (end == spelled) task_raise(L, "sqlite: cannot bind a %s", luaL_typename(L, index));
    if (*end == 0 && integer != INT64_MAX && integer != INT64_MIN)
        return (struct sqlite_value){.kind = SQLITE_VALUE_INTEGER, .integer = integer};
    return (struct sqlite_value){.kind = SQLITE_VALUE_TEXT, .bytes = arena_dup(&q->arena, slice_of(spelled))};
}

static struct sqlite_value value_at(lua_State *L, int index, struct sqlite_query *q)
{
    switch (lua_type(L, index)) {
    case LUA_TNIL:
    case LUA_TLIGHTUSERDATA: /* null */ return (struct sqlite_value){.kind = SQLITE_VALUE_NULL};
    case LUA_TBOOLEAN: return (struct sqlite_value){.kind = SQLITE_VALUE_INTEGER, .integer = lua_toboolean(L, index)};
    case LUA_TNUMBER: return value_of_number(lua_tonumber(L, index));
    case LUA_TSTRING: return value_of_string(L, index, q);
    case LUA_TFUNCTION:
    case LUA_TTHREAD: task_raise(L, "sqlite: cannot bind a %s", luaL_typename(L, index));
    }
    return value_of_exact(L, index, q);
}

static void make_room(lua_State *L, struct sqlite_query *q, size_t n)
{
    if (n > VALUES_MAX) task_raise(L, "sqlite: more than %d arguments", VALUES_MAX);
    q->values = arena_alloc(&q->arena, (n + 1) * sizeof *q->values);
}

static void read_named(lua_State *L, struct sqlite_query *q) /* stack: db, sql, arguments */
{
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) n++;
    make_room(L, q, n);
    q->named = true;
    for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) { /* stack: db, sql, arguments, name, value */
        if (lua_type(L, 4) != LUA_TSTRING)
            task_raise(L, "sqlite: a table of arguments has names: { id = 1 } for `:id`");
        struct sqlite_value *v = &q->values[q->n_values++];
        *v = value_at(L, 5, q);
        struct slice name;
        name.p = lua_tolstring(L, 4, &name.n);
        v->name = arena_dup(&q->arena, name);
    }
}

static void read_arguments(lua_State *L, struct sqlite_query *q) /* stack: db, sql, arguments... */
{
    int n = lua_gettop(L) - 2;
    if (n == 1 && lua_istable(L, 3)) {
        read_named(L, q);
        return;
    }
    make_room(L, q, (size_t)n);
    for (int i = 0; i < n; i++) q->values[q->n_values++] = value_at(L, 3 + i, q);
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

static void push_value(lua_State *L, struct sqlite_value v)
{
    char digits[24];
    switch (v.kind) {
    case SQLITE_VALUE_NULL: lua_pushlightuserdata(L, NULL); break;
    case SQLITE_VALUE_REAL: lua_pushnumber(L, v.real); break;
    case SQLITE_VALUE_TEXT:
    case SQLITE_VALUE_BLOB: lua_pushlstring(L, v.bytes.p, v.bytes.n); break;
    case SQLITE_VALUE_INTEGER:
        if (v.integer <= (int64_t)EXACT_INTEGER && v.integer >= -(int64_t)EXACT_INTEGER) {
            lua_pushnumber(L, (lua_Number)v.integer);
        } else {
            int n = snprintf(digits, sizeof digits, "%" PRId64, v.integer);
            convert_push_json(L, slice_from(digits, (size_t)n));
        }
        break;
    }
}

static void push_rows(lua_State *L, const struct sqlite_query *q)
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
            push_value(L, sqlite_query_next(q, &at));
            lua_rawset(L, -3);
        }
        lua_rawseti(L, -2, (int)row);
    }
}

static int push_result(void *op, lua_State *L)
{
    struct sqlite_query *q = op;
    struct sqlite_pools *p = q->pools;
    sqlite_pools_hold(p, q); /* from here on anything may raise */
    if (*q->failure) {
        lua_pushfstring(L, "sqlite: %s", q->failure);
        sqlite_pools_hold(p, NULL);
        return lua_error(L);
    }
    if (q->has_rows) {
        push_rows(L, q);
    } else {
        lua_createtable(L, 0, 1);
        lua_pushnumber(L, (lua_Number)q->changes);
        lua_setfield(L, -2, "changes");
    }
    sqlite_pools_hold(p, NULL);
    return 1;
}

/* --- the words ---------------------------------------------------------------------------------------------------- */

static void query_cancel(void *op) { sqlite_pools_cancel(op); }
static void on_done(struct sqlite_query *q) { task_wake(q->owner, push_result, q); }

/* db:query(sql, ...) */
static int word_query(lua_State *L) /* stack: db, sql, arguments... */
{
    struct database *db = database_at(L, 1);
    if (!db) task_raise(L, "sqlite: call it as db:query(sql, ...)");
    struct task *task = task_for_wait(L, "sqlite");
    size_t n = 0;
    const char *sql = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &n) : NULL;
    if (!sql) task_raise(L, "sqlite: the statement must be a string, got %s", luaL_typename(L, 2));
    if (n > SQLITE_SQL_MAX) task_raise(L, "sqlite: a statement of more than %d bytes", SQLITE_SQL_MAX);
    if (strlen(sql) != n) task_raise(L, "sqlite: NUL byte in the statement");

    struct sqlite_pools *p = sqlite_pools_of(task_host(task));
    struct sqlite_query *q = sqlite_query_new();
    sqlite_pools_hold(p, q);
    q->path = arena_dup(&q->arena, slice_from(db->path, db->n));
    q->readonly = db->readonly;
    q->create = db->create;
    q->sql = arena_dup(&q->arena, slice_from(sql, n));
    q->deadline_us = task_deadline(task);
    q->done = on_done;
    q->owner = task;
    read_arguments(L, q);
    if (sqlite_pools_start(p, q) != PENDING)
        task_raise(L, "sqlite: more than %d files at once, or %d queries that wait for one", SQLITE_FILES_MAX,
                   SQLITE_WAITING_MAX);
    sqlite_pools_draw(p);
    return task_park(L, query_cancel, q);
}

static bool flag(lua_State *L, const char *name) /* stack: path, options */
{
    lua_getfield(L, 2, name);
    bool on = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return on;
}

/* sqlite(path, options): waits for nothing, so schema files may call it while they are loaded */
static int word_sqlite(lua_State *L)
{
    size_t n;
    const char *path = luaL_checklstring(L, 1, &n);
    if (n == 0 || n > PATH_LENGTH_MAX || strlen(path) != n || strncmp(path, "file:", 5) == 0 || path[0] == ':')
        return luaL_error(L, "sqlite: the path must be that of a file");
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) {
        lua_newtable(L);
        lua_replace(L, 2);
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) { /* stack: path, options, name, value */
        const char *name = lua_type(L, 3) == LUA_TSTRING ? lua_tostring(L, 3) : "?";
        if (strcmp(name, "readonly") != 0 && strcmp(name, "create") != 0)
            return luaL_error(L, "sqlite: unknown option `%s` (there are: readonly, create)", name);
        if (!lua_isboolean(L, 4)) return luaL_error(L, "sqlite: %s must be true or false", name);
    }
    struct database *db = lua_newuserdata(L, sizeof *db + n + 1);
    *db = (struct database){.readonly = flag(L, "readonly"), .create = flag(L, "create"), .n = n};
    memcpy(db->path, path, n + 1);
    lua_pushlightuserdata(L, &database_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_setmetatable(L, -2);
    return 1;
}

void sqlite_open(lua_State *L) /* stack: words */
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

    lua_pushcfunction(L, word_sqlite);
    lua_setfield(L, -2, "sqlite");
}
