/* script/api.h -- the small words handlers see (log, env, null, missing, array), and the functions of C that our Lua half uses.
 * Words that wait have files of their own. */
#ifndef PERIGEE_SCRIPT_API_H
#define PERIGEE_SCRIPT_API_H

#include <lua.h>

/* Adds the words to the table at the top. Registers `missing` as vm->missing. */
void api_open(lua_State *L);

/* Pushes the table that `require "perigee.core"` gives to the Lua half: nearest, duration, compile, run,
 * default_fault, json, matches, gsub, cjson, and those of script/pack.h. */
void api_push_core(lua_State *L);

#endif
