/* script/pack.c -- what may be packed, and base64 (RFC 4648, with padding).
 *
 * LuaJIT's serializer raises for some values, writes a table once for each place where it stands, and leaves metatables out without a word. So
 * values are looked at first: one walk that calls nothing and is bounded in depth and steps. */
#include "script/pack.h"

#include "base/buffer.h"
#include "script/convert.h"

#include <lauxlib.h>

#define LUA_TCDATA  10 /* LuaJIT's own type; lua.h does not name it */
#define NESTING_MAX 64 /* the serializer's own is 100 */

/* --- what may be packed ------------------------------------------------------------------------------------------- */

struct walk {
    lua_State *L;
    size_t values;
    int depth;
};

static const char *fault_of(struct walk *w);

/* Of the table at the top. */
static const char *fault_of_table(struct walk *w)
{
    lua_State *L = w->L;
    const char *fault = NULL;
    if (!convert_is_plain(L, -1)) return "a table with a metatable cannot be packed";
    if (w->depth == NESTING_MAX) return "nested too deep, or a table that contains itself";
    luaL_checkstack(L, 4, NULL);
    w->depth++;
    lua_pushnil(L);
    while (!fault && lua_next(L, -2)) { /* stack: table, key, value */
        fault = fault_of(w);
        lua_pop(L, 1);
        if (!fault) fault = fault_of(w);
    }
    if (fault) lua_pop(L, 1);
    w->depth--;
    return fault;
}

/* Of the value at the top; NULL: none. */
static const char *fault_of(struct walk *w)
{
    if (++w->values > PACK_VALUES_MAX) return "too large to be packed";
    switch (lua_type(w->L, -1)) {
    case LUA_TNIL:
    case LUA_TBOOLEAN:
    case LUA_TNUMBER:
    case LUA_TSTRING: return NULL;
    case LUA_TTABLE: return fault_of_table(w);
    case LUA_TLIGHTUSERDATA: return lua_touserdata(w->L, -1) ? "a light userdata cannot be packed" : NULL;
    case LUA_TCDATA: return convert_is_64(w->L, -1) ? NULL : "a C value cannot be packed";
    case LUA_TFUNCTION: return "a function cannot be packed";
    case LUA_TTHREAD: return "a thread cannot be packed";
    default: return "a userdata cannot be packed";
    }
}

static int pack_fault(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    struct walk walk = {.L = L};
    const char *fault = fault_of(&walk);
    if (!fault) return 0;
    lua_pushstring(L, fault);
    return 1;
}

/* --- base64 ------------------------------------------------------------------------------------------------------- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int base64(lua_State *L)
{
    size_t n;
    const unsigned char *in = (const unsigned char *)luaL_checklstring(L, 1, &n);
    char *out = lua_newuserdata(L, (n + 2) / 3 * 4 + 1), *next = out;
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        uint32_t bits = (uint32_t)in[i] << 16 | (left > 1 ? in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);
        *next++ = digits[bits >> 18];
        *next++ = digits[bits >> 12 & 63];
        *next++ = left > 1 ? digits[bits >> 6 & 63] : '=';
        *next++ = left > 2 ? digits[bits & 63] : '=';
    }
    lua_pushlstring(L, out, (size_t)(next - out));
    return 1;
}

/* The six bits of a digit, or 64. */
static uint32_t bits_of(char c)
{
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (uint32_t)(at - digits) : 64;
}

/* Four digits, of which the last `padding` are '='; false when they are none. */
static bool decode_four(const char *in, size_t padding, unsigned char *out)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; i++) {
        uint32_t six = i < 4 - padding ? bits_of(in[i]) : 0;
        if (six == 64) return false;
        bits = bits << 6 | six;
    }
    out[0] = (unsigned char)(bits >> 16);
    out[1] = (unsigned char)(bits >> 8);
    out[2] = (unsigned char)bits;
    return true;
}

/* `n` digits and padding: a multiple of four. */
static bool decode(const char *in, size_t n, size_t padding, unsigned char *out)
{
    for (size_t i = 0; i < n; i += 4)
        if (!decode_four(in + i, i + 4 == n ? padding : 0, out + i / 4 * 3)) return false;
    return true;
}

static int unbase64(lua_State *L)
{
    size_t n, padding = 0;
    const char *in = luaL_checklstring(L, 1, &n);
    while (padding < 2 && padding < n && in[n - 1 - padding] == '=') padding++;
    unsigned char *out = lua_newuserdata(L, n / 4 * 3 + 1);
    if (n % 4 == 0 && decode(in, n, padding, out)) lua_pushlstring(L, (const char *)out, n / 4 * 3 - padding);
    else lua_pushnil(L);
    return 1;
}

/* --- for the Lua half --------------------------------------------------------------------------------------------- */

void pack_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"array", convert_array}, {"pack_fault", pack_fault}, {"base64", base64}, {"unbase64", unbase64}, {NULL, NULL},
    };
    luaL_register(L, NULL, functions);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
}
