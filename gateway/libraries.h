/* libraries.h -- the libraries in this process, with their versions: what a scan for known faults asks for. */
#ifndef PERIGEE_LIBRARIES_H
#define PERIGEE_LIBRARIES_H

#include "base/buffer.h"

#include <stdbool.h>

typedef void library_found(void *arg, const char *name, const char *version);

/* Calls back now, once for each: those that are linked, and those of the ones that wait until they are needed (libcurl, libpq, OpenSSL) which
 * are loaded already; with `load` these are loaded now, and left out only where they are not installed. */
void libraries_each(bool load, library_found *found, void *arg);

/* {"version":"0.1.0","libraries":{"LuaJIT":"...",...}} of what is in the process now. */
void libraries_put_json(struct buffer *out);

#endif
