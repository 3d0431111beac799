/* script/redis_source.h -- `redis(url)` for handlers: any command to other Redis servers. */
#ifndef PERIGEE_SCRIPT_REDIS_SOURCE_H
#define PERIGEE_SCRIPT_REDIS_SOURCE_H

#include <lua.h>

/* Adds the word `redis`, a function, to the table on top of the stack. */
void redis_source_open(lua_State *L);

#endif
