/* script/sleep.h -- `sleep(seconds)` for handlers: the smallest word that waits, and the model for others. */
#ifndef PERIGEE_SCRIPT_SLEEP_H
#define PERIGEE_SCRIPT_SLEEP_H

#include <lua.h>

/* Adds the word `sleep`, a function, to the table on top of the stack. */
void sleep_open(lua_State *L);

#endif
