/* script/duration.h -- durations as handlers give them: a number of seconds, or "250ms", "15m". */
#ifndef PERIGEE_SCRIPT_DURATION_H
#define PERIGEE_SCRIPT_DURATION_H

#include <lua.h>
#include <stdint.h>

/* The value at `index` in microseconds; raises "WHAT: ..." at the line that called the word (see task_raise). */
uint64_t duration_check(lua_State *L, int index, const char *what);

#endif
