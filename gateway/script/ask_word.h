/* script/ask_word.h -- the one word behind User.get, :save and their like: the Lua half (lua/perigee/models.lua) makes it the words that
 * handlers know. */
#ifndef PERIGEE_SCRIPT_ASK_WORD_H
#define PERIGEE_SCRIPT_ASK_WORD_H

#include <lua.h>

/* Adds `ask` to the table at the top, that of perigee.core. */
void ask_open(lua_State *L);

#endif
