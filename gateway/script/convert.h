/* script/convert.h -- values across the border: JSON text to Lua and back, without losing what JSON said.
 *
 * null <-> perigee.null (the same light userdata as cjson.null); [] <-> a table with the array metatable; integers beyond 2^53
 * within 64 bits <-> int64_t / uint64_t cdata; longer ones <-> an exact number object that prints as it was spelled.
 * Numbers with a fraction or an exponent become doubles; one too large for a double is an exact number object, too.
 * A Lua table is an array when it has the array metatable or its keys are exactly 1..n with n > 0; {} is an object. */
#ifndef PERIGEE_SCRIPT_CONVERT_H
#define PERIGEE_SCRIPT_CONVERT_H

#include "base/buffer.h"
#include "base/status.h"
#include "model/json.h"

#include <lua.h>

/* Pushes the value of valid compact JSON. May raise (memory). */
void convert_push_json(lua_State *L, struct slice json);

/* Pushes a number that is no JSON, a database's: `text` is a valid number (model/number.h) and a NUL. One whose digits a double
 * may not keep (more than 15, or beyond its range) is an exact number object, with a fraction too. */
void convert_push_exact(lua_State *L, struct slice text);

/* Values that convert_write_json needs room for on the stack. LuaJIT raises where there is none: who holds something then asks for it before
 * (luaL_checkstack). */
#define CONVERT_STACK (4 * JSON_DEPTH_MAX)

/* Appends the value at `index` as JSON. FIELD_TYPE with what JSON cannot say (NaN, infinity, a function, a thread, userdata,
 * invalid UTF-8, a cycle, deeper than JSON_DEPTH_MAX, sparse array, key that is no string) and `path` where; then `out` is
 * as it was. Raises nothing else, calls no metamethod. At most 1 MiB. */
enum status convert_write_json(lua_State *L, int index, struct buffer *out, struct problem *why);

/* The word `array`: array(t) marks a table as an array, so that it is written as one also when it is empty. */
int convert_array(lua_State *L);

/* From now on tables with the metatable at the top are values as if they had none: it only helps who reads them. */
void convert_overlook(lua_State *L);

/* Whether the table at `index` has no metatable, `array`'s, or one that is overlooked; whether the value there is a 64-bit integer of C. Need
 * room for four values; call no metamethod. */
bool convert_is_plain(lua_State *L, int index);
bool convert_is_64(lua_State *L, int index);

/* Registers the metatables and 64-bit helpers in the registry of a new state, whose libraries are open. */
void convert_open(lua_State *L);

#endif
