/* script/embedded.h -- the Lua half (lua/perigee), carried in the binary as text; made by cmake/embed.cmake. */
#ifndef PERIGEE_SCRIPT_EMBEDDED_H
#define PERIGEE_SCRIPT_EMBEDDED_H

#include <stddef.h>

struct embedded_module {
    const char *name; /* "perigee", "perigee.record", ...; NULL ends the table */
    const char *text;
    size_t n;
};

extern const struct embedded_module embedded_modules[];

#endif
