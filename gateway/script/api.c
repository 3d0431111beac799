/* script/api.c -- small C functions for handlers, then those for our Lua half. */
#include "script/api.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "model/model.h"
#include "script/ask_word.h"
#include "script/convert.h"
#include "script/define.h"
#include "script/pack.h"
#include "script/pattern.h"
#include "script/sandbox.h"
#include "script/vm_internal.h"

#include <lauxlib.h>
#include <luajit.h>
#include <math.h>
#include <stdlib.h>

#define LOG_FIELDS_MAX 8
#define LOAD_TIME_US   5000000 /* a schema file's own run */
#define NAMES_MAX      512     /* looked at for "did you mean" */

static struct slice check_slice(lua_State *L, int arg)
{
    struct slice s;
    s.p = luaL_checklstring(L, arg, &s.n);
    return s;
}

/* --- log ---------------------------------------------------------------------------------------------------------- */

/* The field whose name is at -2 and whose value is at -1; its texts stay on the stack or in the table. */
static struct log_field log_field_at_top(lua_State *L)
{
    if (lua_type(L, -2) != LUA_TSTRING || !model_name_valid(slice_of(lua_tostring(L, -2))))
        luaL_error(L, "log: the name of a field has letters, digits and `_`");
    struct log_field f = {.name = lua_tostring(L, -2), .is_text = true};
    switch (lua_type(L, -1)) {
    case LUA_TSTRING: f.text.p = lua_tolstring(L, -1, &f.text.n); return f;
    case LUA_TBOOLEAN: f.text = slice_of(lua_toboolean(L, -1) ? "true" : "false"); return f;
    case LUA_TNUMBER: {
        lua_Number v = lua_tonumber(L, -1);
        if (v == floor(v) && fabs(v) < 9e15) return LOG_NUMBER(f.name, v);
        lua_pushvalue(L, -1);
        f.text.p = lua_tolstring(L, -1, &f.text.n);
        lua_insert(L, 1); /* keeps the text below the walk */
        return f;
    }
    default:
        luaL_error(L, "log: field `%s` is a %s; it can be text, a number or a boolean", f.name, luaL_typename(L, -1));
    }
    return f;
}

/* log.info("text", { name = value }). upvalue: the level */
static int log_words(lua_State *L)
{
    const char *message = luaL_checkstring(L, 1);
    struct log_field fields[LOG_FIELDS_MAX + 2] = {{0}};
    int n = 0;
    luaL_where(L, 1); /* "file:line: " */
    struct slice where = slice_of(lua_tostring(L, -1));
    fields[n++] = LOG_SLICE("at", slice_from(where.p, where.n > 2 ? where.n - 2 : 0));
    lua_insert(L, 2); /* stack: message, where, fields */
    if (!lua_isnoneornil(L, 3)) {
        luaL_checktype(L, 3, LUA_TTABLE);
        lua_settop(L, 3);
        lua_insert(L, 1); /* stack: fields, message, where */
        lua_pushvalue(L, 1);
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
            if (n > LOG_FIELDS_MAX) return luaL_error(L, "log: more than %d fields", LOG_FIELDS_MAX);
            fields[n++] = log_field_at_top(L);
        }
    }
    log_write((enum log_level)lua_tointeger(L, lua_upvalueindex(1)), message, fields);
    return 0;
}

static void push_log(lua_State *L)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    lua_newtable(L);
    for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
        lua_pushinteger(L, level);
        lua_pushcclosure(L, log_words, 1);
        lua_setfield(L, -2, names[level]);
    }
}

/* --- the other words ---------------------------------------------------------------------------------------------- */

/* env("NAME"), env("NAME", default) */
static int env_words(lua_State *L)
{
    const char *value = getenv(luaL_checkstring(L, 1));
    lua_settop(L, 2);
    if (value) lua_pushstring(L, value);
    return 1;
}

static int missing_tostring(lua_State *L)
{
    lua_pushliteral(L, "missing");
    return 1;
}

/* A value that is equal to itself only. */
static void push_missing(lua_State *L)
{
    lua_newuserdata(L, 0);
    lua_newtable(L);
    lua_pushcfunction(L, missing_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushliteral(L, "missing");
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
}

void api_open(lua_State *L)
{
    push_log(L);
    lua_setfield(L, -2, "log");
    lua_pushcfunction(L, env_words);
    lua_setfield(L, -2, "env");
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    lua_pushcfunction(L, convert_array);
    lua_setfield(L, -2, "array");
    push_missing(L);
    void *missing = lua_touserdata(L, -1);
    vm_of(L)->missing = missing;
    lua_pushlightuserdata(L, missing); /* its own address is the registry key of it */
    lua_pushvalue(L, -2);
    lua_rawset(L, LUA_REGISTRYINDEX);
    lua_setfield(L, -2, "missing");
}

/* --- for the Lua half --------------------------------------------------------------------------------------------- */

/* nearest(name, names) -> the one that may be meant, or nil */
static int core_nearest(lua_State *L)
{
    struct slice name = check_slice(L, 1), names[NAMES_MAX];
    luaL_checktype(L, 2, LUA_TTABLE);
    size_t n = 0;
    for (; n < NAMES_MAX; n++) {
        lua_rawgeti(L, 2, (int)n + 1);
        if (lua_type(L, -1) != LUA_TSTRING) break;
        names[n].p = lua_tolstring(L, -1, &names[n].n); /* lives in the table */
        lua_pop(L, 1);
    }
    struct slice nearest = nearest_name(name, names, n);
    if (nearest.p) lua_pushlstring(L, nearest.p, nearest.n);
    else lua_pushnil(L);
    return 1;
}

/* duration(value) -> milliseconds, or nil when it is none */
static int core_duration(lua_State *L)
{
    uint64_t ms;
    bool good = false;
    if (lua_type(L, 1) == LUA_TNUMBER) {
        lua_Number s = lua_tonumber(L, 1);
        good = s >= 0 && s <= 100 * 365.25 * 86400;
        ms = good ? (uint64_t)ceil(s * 1000 - 1e-6) : 0; /* up: a little time is not none */
    } else if (lua_type(L, 1) == LUA_TSTRING) {
        good = units_duration(check_slice(L, 1), &ms);
    }
    if (good) lua_pushnumber(L, (lua_Number)ms);
    else lua_pushnil(L);
    return 1;
}

/* compile(text, chunkname, environment) -> function, or nil and the message. Text only, never compiled to machine code. */
static int core_compile(lua_State *L)
{
    struct slice text = check_slice(L, 1);
    const char *name = luaL_checkstring(L, 2);
    luaL_checktype(L, 3, LUA_TTABLE);
    if (luaL_loadbufferx(L, text.p, text.n, name, "t")) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    luaJIT_setmode(L, -1, LUAJIT_MODE_ALLFUNC | LUAJIT_MODE_OFF);
    lua_pushvalue(L, 3);
    lua_setfenv(L, -2);
    return 1;
}

static char load_deadline_key; /* its address is the registry key of the microsecond at which loading must end */
static char load_stopped_key;  /* ... of what is said of a file that was stopped: "file:line: ..." */

/* Every few thousand instructions of a file's run; past the deadline at each one, so that no pcall can hold it. It raises by want of
 * memory, since that calls no message handler: xpcall's own could loop, and hooks are off in it. */
static void stop_load(lua_State *L, lua_Debug *ar)
{
    struct vm *vm = vm_of(L);
    if (!vm->stopping) {
        lua_pushlightuserdata(L, &load_deadline_key);
        lua_rawget(L, LUA_REGISTRYINDEX);
        double deadline = lua_tonumber(L, -1);
        lua_pop(L, 1);
        if ((double)clock_mono_us() < deadline) return;
        lua_getinfo(L, "Sl", ar);
        lua_pushlightuserdata(L, &load_stopped_key);
        lua_pushfstring(L, "%s:%d: the file runs longer than %d s; schema files only declare", ar->short_src,
                        ar->currentline, LOAD_TIME_US / 1000000);
        lua_rawset(L, LUA_REGISTRYINDEX);
        lua_sethook(L, stop_load, LUA_MASKCOUNT, 1);
        vm->stopping = true;
    }
    lua_newuserdata(L, 1);
}

/* run(chunk, explain) -> true, its first result, or false and what explain made of the error. Stops a run that does not end. */
static int core_run(lua_State *L)
{
    struct vm *vm = vm_of(L);
    bool outermost = !lua_gethook(L);
    if (outermost) {
        lua_pushlightuserdata(L, &load_deadline_key);
        lua_pushnumber(L, (double)(clock_mono_us() + LOAD_TIME_US));
        lua_rawset(L, LUA_REGISTRYINDEX);
        vm->capped = true;
        lua_sethook(L, stop_load, LUA_MASKCOUNT, 10000);
    }
    lua_settop(L, 2);
    lua_insert(L, 1); /* stack: explain, chunk */
    int failed = lua_pcall(L, 0, 1, 1);
    if (vm->stopping) {
        lua_pushlightuserdata(L, &load_stopped_key);
        lua_rawget(L, LUA_REGISTRYINDEX);
        lua_replace(L, 2); /* stack: explain, what is said of it */
        failed = true;
    }
    if (outermost) {
        lua_sethook(L, NULL, 0, 0);
        vm->capped = vm->stopping = false;
    }
    lua_pushboolean(L, !failed);
    lua_replace(L, 1);
    return 2;
}

/* json(text) -> the value of the JSON text, which is one that we have written */
static int core_json(lua_State *L)
{
    convert_push_json(L, check_slice(L, 1));
    return 1;
}

/* is_utf8(text) */
static int core_is_utf8(lua_State *L)
{
    lua_pushboolean(L, slice_is_utf8(check_slice(L, 1)));
    return 1;
}

void api_push_core(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"nearest", core_nearest},
        {"duration", core_duration},
        {"compile", core_compile},
        {"run", core_run},
        {"default_fault", define_default_fault},
        {"json", core_json},
        {"is_utf8", core_is_utf8},
        {NULL, NULL},
    };
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    lua_pushcfunction(L, pattern_matches);
    lua_setfield(L, -2, "matches");
    lua_newtable(L);
    pattern_open(L);
    lua_getfield(L, -1, "gsub");
    lua_setfield(L, -3, "gsub");
    lua_pop(L, 1);
    pack_open(L);
    sandbox_push_cjson(L);
    lua_setfield(L, -2, "cjson");
    ask_open(L);
}
