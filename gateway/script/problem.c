/* script/problem.c -- plain tables behind one metatable, which is what they are known by. */
#include "script/problem.h"

#include "script/convert.h"

#include <lauxlib.h>

static char metatable_key; /* its address is the registry key of the metatable */

static void push_metatable(lua_State *L)
{
    lua_pushlightuserdata(L, &metatable_key);
    lua_rawget(L, LUA_REGISTRYINDEX);
}

static bool is_problem(lua_State *L, int index)
{
    if (lua_type(L, index) != LUA_TTABLE || !lua_getmetatable(L, index)) return false;
    push_metatable(L);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

static void set_text(lua_State *L, const char *name, struct slice text) /* stack: problem */
{
    if (text.n == 0) return;
    lua_pushlstring(L, text.p, text.n);
    lua_setfield(L, -2, name);
}

void problem_push(lua_State *L, const struct problem *p, struct slice model, struct slice errors)
{
    luaL_checkstack(L, 8, NULL);
    lua_createtable(L, 0, 6);
    set_text(L, "code", slice_of(status_code(p->status)));
    set_text(L, "detail", slice_of(p->detail[0] ? p->detail : status_title(p->status)));
    set_text(L, "path", slice_of(p->path));
    set_text(L, "model", model);
    lua_pushinteger(L, status_http(p->status));
    lua_setfield(L, -2, "status");
    if (errors.n) {
        convert_push_json(L, errors);
        lua_setfield(L, -2, "errors");
    }
    push_metatable(L);
    lua_setmetatable(L, -2);
}

/* The member of a problem, as text; a handler may have changed it to anything. */
static void push_member(lua_State *L, int index, const char *name)
{
    lua_pushvalue(L, index);
    lua_pushstring(L, name);
    lua_rawget(L, -2); /* stack: problem, member */
    lua_remove(L, -2);
    if (lua_type(L, -1) == LUA_TSTRING) return;
    lua_pop(L, 1);
    lua_pushliteral(L, "?");
}

bool problem_push_text(lua_State *L, int index)
{
    if (!is_problem(L, index)) return false;
    if (index < 0) index = lua_gettop(L) + index + 1;
    push_member(L, index, "code");
    lua_pushliteral(L, ": ");
    push_member(L, index, "detail");
    lua_concat(L, 3);
    return true;
}

static int problem_tostring(lua_State *L)
{
    if (!problem_push_text(L, 1)) lua_pushliteral(L, "problem");
    return 1;
}

void problem_open(lua_State *L)
{
    lua_pushlightuserdata(L, &metatable_key);
    lua_newtable(L);
    lua_pushcfunction(L, problem_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushliteral(L, "problem");
    lua_setfield(L, -2, "__metatable");
    lua_rawset(L, LUA_REGISTRYINDEX);
}
