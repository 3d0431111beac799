/* script/read_table.c -- vm_read_table: a config file is a Lua file that returns a table. It runs in a state of its own without
 * any function, so it can compute but not act, and a bounded number of instructions. */
#include "script/vm.h"

#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>

#define INSTRUCTIONS_MAX 10000000

struct reading {
    const char *path;
    struct slice text;
    void (*each)(void *arg, struct slice name, struct slice value);
    void *arg;
};

static void stop(lua_State *L, lua_Debug *ar)
{
    lua_getinfo(L, "Sl", ar);
    luaL_error(L, "%s:%d: the file does not end", ar->short_src, ar->currentline);
}

static void *allocate(void *ud, void *p, size_t old, size_t n)
{
    if (n == 0) {
        free(p);
        return NULL;
    }
    size_t *left = ud;
    if (n > old && n - old > *left) return NULL;
    void *moved = realloc(p, n);
    if (!moved) abort();
    *left -= n - old; /* wraps round when it shrinks */
    return moved;
}

/* Tells the value at the top, as text. */
static void tell(lua_State *L, const struct reading *r, struct slice name)
{
    struct slice value;
    char text[40];
    switch (lua_type(L, -1)) {
    case LUA_TSTRING: value.p = lua_tolstring(L, -1, &value.n); break;
    case LUA_TBOOLEAN: value = lua_toboolean(L, -1) ? SLICE("true") : SLICE("false"); break;
    case LUA_TNUMBER: {
        lua_Number v = lua_tonumber(L, -1);
        snprintf(text, sizeof text, v == floor(v) && fabs(v) < 1e15 ? "%.0f" : "%.14g", v);
        value = slice_of(text);
        break;
    }
    default:
        luaL_error(L, "%s:1: `%s` is a %s; values are text, numbers, booleans and lists of them", r->path, name.p,
                   luaL_typename(L, -1));
        return;
    }
    r->each(r->arg, name, value);
}

/* The entry whose name is at -2 and whose value is at -1. */
static void tell_entry(lua_State *L, const struct reading *r)
{
    if (lua_type(L, -2) != LUA_TSTRING) luaL_error(L, "%s:1: an entry without a name", r->path);
    struct slice name;
    name.p = lua_tolstring(L, -2, &name.n);
    if (!lua_istable(L, -1)) {
        tell(L, r, name);
        return;
    }
    for (int i = 1, n = (int)lua_objlen(L, -1); i <= n; i++) {
        lua_rawgeti(L, -1, i);
        tell(L, r, name);
        lua_pop(L, 1);
    }
}

static int read_table(lua_State *L)
{
    struct reading *r = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_pushfstring(L, "@%s", r->path);
    if (luaL_loadbufferx(L, r->text.p, r->text.n, lua_tostring(L, 1), "t")) return lua_error(L);
    lua_newtable(L);
    lua_setfenv(L, -2);
    lua_sethook(L, stop, LUA_MASKCOUNT, INSTRUCTIONS_MAX);
    lua_call(L, 0, 1);
    lua_sethook(L, NULL, 0, 0);
    if (!lua_istable(L, -1)) return luaL_error(L, "%s:1: the file must return a table", r->path);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) tell_entry(L, r);
    return 0;
}

enum status vm_read_table(const char *path, void (*each)(void *arg, struct slice name, struct slice value), void *arg,
                          struct problem *why)
{
    struct reading r = {.path = path, .each = each, .arg = arg};
    size_t left = 64u << 20;
    struct arena arena;
    arena_init(&arena);
    enum status status = source_read_file(path, &arena, &r.text, why);
    if (status == OK) {
        lua_State *L = lua_newstate(allocate, &left);
        if (!L) abort();
        if (lua_cpcall(L, read_table, &r)) {
            const char *message = lua_tostring(L, -1);
            if (!message) message = "the file raised an error";
            bool placed = strncmp(message, path, strlen(path)) == 0 || strncmp(message, "...", 3) == 0;
            status =
                problem_set(why, MALFORMED_REQUEST, NULL, "%s%s%s", placed ? "" : path, placed ? "" : ": ", message);
        }
        lua_close(L);
    }
    arena_deinit(&arena);
    return status;
}
