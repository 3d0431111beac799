/* script/postgres.h -- `postgres(url)` for handlers: PostgreSQL databases, queried on the worker's loop. */
#ifndef PERIGEE_SCRIPT_POSTGRES_H
#define PERIGEE_SCRIPT_POSTGRES_H

#include <lua.h>

/* Adds the word `postgres`, a function, to the table on top of the stack. */
void postgres_open(lua_State *L);

#endif
