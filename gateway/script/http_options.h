/* script/http_options.h -- what a handler says of a request: its URL and its options. */
#ifndef PERIGEE_SCRIPT_HTTP_OPTIONS_H
#define PERIGEE_SCRIPT_HTTP_OPTIONS_H

#include "script/http_client.h"

#include <lua.h>

/* Fills a new exchange of the client's, whose method is the word's, from `url, options` at 1 and 2: a string and a table. May raise
 * (task_raise). */
void http_options_read(lua_State *L, struct http_exchange *x);

/* May a header field be called so? */
bool http_is_token(struct slice s);

#endif
