/* script/pattern.h -- Lua's patterns, with a bound on the work.
 *
 * The matcher of Lua's own library cannot be interrupted, and a pattern such as ".-.-.-b" on 20 kB keeps it busy for minutes while
 * a whole worker waits. This one counts its steps and raises when a call has used up its share; otherwise it behaves
 * as LuaJIT's, but that a NUL in a pattern stands for itself. */
#ifndef PERIGEE_SCRIPT_PATTERN_H
#define PERIGEE_SCRIPT_PATTERN_H

#include <lua.h>

/* Sets find, match, gmatch and gsub in the table at the top. This gsub calls nothing: it replaces by text, and by plain tables. */
void pattern_open(lua_State *L);

/* For the Lua half, which calls functions for gsub so that they may be stopped or wait: matches(text, pattern) -> a function
 * that returns first, last and captures of one match after another, as gsub goes through them. */
int pattern_matches(lua_State *L);

#endif
