/* script/sandbox.h -- the part of Lua's own libraries that models may use.
 *
 * Left out: what reaches files, processes, the compiler, the debugger or another file's state. Bounded: what could keep a
 * worker busy or eat its memory in one call that the watchdog cannot interrupt. docs/models.md has the table. */
#ifndef PERIGEE_SCRIPT_SANDBOX_H
#define PERIGEE_SCRIPT_SANDBOX_H

#include <lua.h>

#define SANDBOX_REP_MAX    (16u << 20) /* bytes string.rep may make */
#define SANDBOX_DECODE_MAX (1u << 20)  /* bytes cjson.decode may read */

/* All libraries are open in L. Pushes a new table with the safe globals, and makes its `string` what strings are indexed by. */
void sandbox_push_words(lua_State *L);

/* Pushes the table that `require "cjson"` gives. Raises when lua-cjson is not installed. */
void sandbox_push_cjson(lua_State *L);

#endif
