/* script/explain.h -- what the log says of a handler that failed: its error, cleaned and cut, and its author's lines.
 *
 * The handler's coroutine may have come to its end with its stack full. So nothing is pushed on it, and no code of the model's is
 * run for a look at its error: what needs room happens on the main thread. */
#ifndef PERIGEE_SCRIPT_EXPLAIN_H
#define PERIGEE_SCRIPT_EXPLAIN_H

#include "base/buffer.h"

#include <lua.h>

#define EXPLAIN_MAX   640 /* so that with model, key and request the whole line stays within 1 KiB */
#define EXPLAIN_ERROR 320 /* of that, for the error itself; the rest is for the traceback */

/* Appends at most `max` bytes of the text, cut at a character border, its white space and controls as one space, bytes that are
 * no UTF-8 as '?'. */
void explain_text(struct buffer *out, struct slice text, size_t max);

/* Appends the error value at the top of the state's main thread. */
void explain_error(struct buffer *out, lua_State *main);

/* Appends " | at users.lua:7 in f, users.lua:12": the author's frames on L, innermost first. */
void explain_traceback(struct buffer *out, lua_State *L);

#endif
