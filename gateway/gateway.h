/* gateway.h -- the process: owns everything, starts it in order, stops it in the opposite one. */
#ifndef PERIGEE_GATEWAY_H
#define PERIGEE_GATEWAY_H

#include "config.h"

/* Serves until a signal ends it. Returns the exit code: 0 after a graceful end, 1 when the models do not load, 2 when it cannot
 * start, for want of good tokens too; errors stand on stderr, one line each. */
int gateway_serve(const struct config *config);

/* Room for stored keys and limits that `serve`, `check` and `key` share. */
#define GATEWAY_HARD_TIMEOUT_MS 5000        /* of loaders that set none */
#define GATEWAY_LUA_BYTES       (64u << 20) /* a worker's Lua state */

#endif
