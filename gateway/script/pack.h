/* script/pack.h -- packed fields: the C half of lua/perigee/pack.lua. */
#ifndef PERIGEE_SCRIPT_PACK_H
#define PERIGEE_SCRIPT_PACK_H

#include <lua.h>

#define PACK_VALUES_MAX (1u << 20) /* a value and all within it, each counted wherever it stands */

/* Adds to the table at the top: null; array; pack_fault(value) -> nil, or what LuaJIT's serializer could not say of it or would lose;
 * base64(bytes) -> text; unbase64(text) -> bytes, or nil. */
void pack_open(lua_State *L);

#endif
