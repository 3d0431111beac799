/* script/define.h -- from the descriptions that the Lua half has checked (lua/perigee/check.lua) to struct model. */
#ifndef PERIGEE_SCRIPT_DEFINE_H
#define PERIGEE_SCRIPT_DEFINE_H

#include "script/vm_internal.h"

/* Adds every description of the list at `index` to vm->registry, with a registry reference to what makes it when it is missing. May raise. */
void define_models(lua_State *L, int index, struct vm *vm);

/* For Lua: default_fault(name of the model, method or form, description of its member) -> nil, or a sentence that tells why its default does
 * not fit. */
int define_default_fault(lua_State *L);

#endif
