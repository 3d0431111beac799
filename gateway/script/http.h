/* script/http.h -- `http` for handlers: get, post, put, delete, request. */
#ifndef PERIGEE_SCRIPT_HTTP_H
#define PERIGEE_SCRIPT_HTTP_H

#include <lua.h>

/* Adds the word `http`, a table of functions, to the table on top of the stack. */
void http_open(lua_State *L);

#endif
