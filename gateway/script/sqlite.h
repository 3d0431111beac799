/* script/sqlite.h -- `sqlite(path)` for handlers: databases in files, queried on libuv's thread pool. */
#ifndef PERIGEE_SCRIPT_SQLITE_H
#define PERIGEE_SCRIPT_SQLITE_H

#include <lua.h>

/* Adds the word `sqlite`, a function, to the table on top of the stack. */
void sqlite_open(lua_State *L);

#endif
