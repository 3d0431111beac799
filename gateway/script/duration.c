/* script/duration.c -- the one reading of a duration in words that wait. */
#include "script/duration.h"

#include "base/units.h"
#include "script/task.h"

#define LONGEST_S 3155760000.0 /* 100 years, as units_duration has it */

uint64_t duration_check(lua_State *L, int index, const char *what)
{
    uint64_t ms;
    if (lua_type(L, index) == LUA_TNUMBER) {
        double seconds = lua_tonumber(L, index);
        if (seconds >= 0 && seconds <= LONGEST_S) return (uint64_t)(seconds * 1e6);
    } else if (lua_type(L, index) == LUA_TSTRING) {
        size_t n;
        const char *text = lua_tolstring(L, index, &n);
        if (units_duration(slice_from(text, n), &ms)) return ms * 1000;
    }
    return (uint64_t)task_raise(L, "%s: expected a duration (seconds, or \"250ms\", \"15m\"), got %s", what,
                                lua_type(L, index) == LUA_TSTRING ? "another string"
                                                                  : lua_typename(L, lua_type(L, index)));
}
