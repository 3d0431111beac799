/* script/problem.h -- why something that a handler asked for was not done, as an object of Lua: code, status, detail, model and, where they
 * apply, path and errors. Handlers get it beside nil; it prints as "code: detail", in the log too when a handler raises it. */
#ifndef PERIGEE_SCRIPT_PROBLEM_H
#define PERIGEE_SCRIPT_PROBLEM_H

#include "base/status.h"

#include <lua.h>

/* Registers the metatable in the registry of a new state. */
void problem_open(lua_State *L);

/* Pushes one. `errors`: an object of JSON, by a form's inputs; absent: none. */
void problem_push(lua_State *L, const struct problem *p, struct slice model, struct slice errors);

/* Pushes its text when the value at `index` is one; otherwise pushes nothing and returns false. Calls no code of a model's; wants 5 free
 * places on the stack. */
bool problem_push_text(lua_State *L, int index);

#endif
