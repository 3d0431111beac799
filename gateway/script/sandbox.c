/* script/sandbox.c -- builds the tables of safe functions; nothing else of Lua's libraries is within reach of a model. */
#include "script/sandbox.h"

#include "script/convert.h"
#include "script/pattern.h"
#include "script/vm_internal.h"

#include <lauxlib.h>

/* Copies the named members of the table at the top into a new table, which takes its place. */
static void keep_members(lua_State *L, const char *const *names)
{
    lua_newtable(L); /* stack: all, some */
    for (; *names; names++) {
        lua_getfield(L, -2, *names);
        lua_setfield(L, -2, *names);
    }
    lua_remove(L, -2);
}

/* words.LIBRARY = the named members of the global table LIBRARY; the words are at the top. */
static void keep_library(lua_State *L, const char *library, const char *const *names)
{
    lua_getglobal(L, library);
    keep_members(L, names);
    lua_setfield(L, -2, library);
}

/* string.rep, bounded. upvalue: Lua's own */
static int string_rep(lua_State *L)
{
    size_t n, separator = 0;
    luaL_checklstring(L, 1, &n);
    lua_Number times = luaL_checknumber(L, 2);
    if (!lua_isnoneornil(L, 3)) luaL_checklstring(L, 3, &separator);
    if (times > 0 && times * (lua_Number)(n + separator) > SANDBOX_REP_MAX)
        return luaL_error(L, "string.rep: the result would be larger than 16 MiB");
    lua_settop(L, 3);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 3, 1);
    return 1;
}

static void push_string_library(lua_State *L)
{
    static const char *const names[] = {"byte", "char", "format", "len", "lower", "reverse", "sub", "upper", NULL};
    lua_getglobal(L, "string");
    keep_members(L, names); /* stack: string */
    pattern_open(L);
    lua_getglobal(L, "string");
    lua_getfield(L, -1, "rep");
    lua_pushcclosure(L, string_rep, 1); /* stack: string, Lua's string, rep */
    lua_setfield(L, -3, "rep");
    lua_pop(L, 1);
}

/* ("x"):rep and all its like go to the table at the top; getmetatable("") tells only a name. */
static void set_string_metatable(lua_State *L)
{
    lua_pushliteral(L, "");
    lua_newtable(L); /* stack: string, "", metatable */
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L, "string");
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

void sandbox_push_words(lua_State *L)
{
    static const char *const base[] = {"assert",   "error",    "getmetatable", "ipairs", "next",         "pairs",
                                       "pcall",    "rawequal", "rawget",       "select", "setmetatable", "tonumber",
                                       "tostring", "type",     "unpack",       "xpcall", "_VERSION",     NULL};
    static const char *const table[] = {"concat", "insert", "maxn", "remove", NULL}; /* sort comes from the Lua half */
    static const char *const math[] = {"abs",   "acos", "asin",  "atan", "atan2", "ceil", "cos",   "cosh",
                                       "deg",   "exp",  "floor", "fmod", "frexp", "huge", "ldexp", "log",
                                       "log10", "max",  "min",   "modf", "pi",    "pow",  "rad",   "random",
                                       "sin",   "sinh", "sqrt",  "tan",  "tanh",  NULL};
    static const char *const bit[] = {"arshift", "band", "bnot",   "bor",   "bswap", "bxor", "lshift",
                                      "rol",     "ror",  "rshift", "tobit", "tohex", NULL};
    static const char *const os[] = {"clock", "date", "difftime", "time", NULL};
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    keep_members(L, base); /* stack: words */
    keep_library(L, "table", table);
    keep_library(L, "math", math);
    keep_library(L, "bit", bit);
    keep_library(L, "os", os);
    push_string_library(L);
    set_string_metatable(L);
    lua_setfield(L, -2, "string");
}

/* lua-cjson's decode. Memory that it holds itself would leak if Lua ran out of memory meanwhile, so the cap waits until it is
 * done; the bound on its input bounds what that can be. upvalue: lua-cjson's own */
static int cjson_decode(lua_State *L)
{
    struct vm *vm = vm_of(L);
    size_t n;
    luaL_checklstring(L, 1, &n);
    if (n > SANDBOX_DECODE_MAX) return luaL_error(L, "cjson.decode: the text is larger than 1 MiB");
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    bool capped = vm->capped;
    vm->capped = false;
    int failed = lua_pcall(L, 1, 1, 0);
    vm->capped = capped;
    return failed ? lua_error(L) : 1;
}

/* Our own writer under cjson's name: lua-cjson's writes a table once for every place where it appears, so that a few dozen
 * shared tables fill the memory, and its bytes are counted by nobody. */
static int cjson_encode(lua_State *L)
{
    struct vm *vm = vm_of(L);
    luaL_checkany(L, 1);
    luaL_checkstack(L, CONVERT_STACK, NULL);
    bool capped = vm->capped;
    vm->capped = false; /* nothing may raise while the buffer is held */
    struct buffer out;
    struct problem why;
    buffer_init(&out, 2u << 20);
    enum status status = convert_write_json(L, 1, &out, &why);
    if (status == OK) lua_pushlstring(L, buffer_view(&out).p, out.n);
    buffer_deinit(&out);
    vm->capped = capped;
    if (status == OK) return 1;
    return luaL_error(L, "cjson.encode: %s%s%s", why.detail, why.path[0] ? " at " : "", why.path);
}

void sandbox_push_cjson(lua_State *L)
{
    static const char *const names[] = {"null", "_NAME", "_VERSION", NULL};
    lua_getglobal(L, "require");
    lua_pushliteral(L, "cjson");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "decode");
    lua_pushcclosure(L, cjson_decode, 1);
    lua_insert(L, -2); /* stack: decode, lua-cjson */
    keep_members(L, names);
    lua_insert(L, -2);
    lua_setfield(L, -2, "decode");
    lua_pushcfunction(L, cjson_encode);
    lua_setfield(L, -2, "encode"); /* stack: cjson */
}
