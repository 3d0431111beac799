/* script/parallel.h -- `parallel(f, g, ...)` for handlers: functions that wait at the same time. */
#ifndef PERIGEE_SCRIPT_PARALLEL_H
#define PERIGEE_SCRIPT_PARALLEL_H

#include <lua.h>

/* Adds the word `parallel`, a function, to the table on top of the stack. */
void parallel_open(lua_State *L);

#endif
