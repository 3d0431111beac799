/* serve/backoff.h -- loads that have failed are left alone for a while: the failure is told again to who asks meanwhile. One for all workers;
 * knows the last BACKOFF_KEYS keys whose loads failed. Time is an argument: clock_wall_ms, as of lives. */
#ifndef PERIGEE_SERVE_BACKOFF_H
#define PERIGEE_SERVE_BACKOFF_H

#include "base/status.h"

#include <stdint.h>

#define BACKOFF_KEYS 4096

struct backoff;

struct backoff *backoff_new(void);
void backoff_free(struct backoff *b);

/* Is a load of this key to be left alone now? Then *why is what its last one ended in, with the seconds until another try. Loads that began before
 * `since` (a moment of store/epochs.h) do not count. */
bool backoff_holds(struct backoff *b, struct slice key, uint64_t since, uint64_t now_ms, struct problem *why);

/* A load that began at this moment has failed: the pause of serve/life.h begins, longer each time in a row. */
void backoff_failed(struct backoff *b, struct slice key, uint64_t began, uint64_t now_ms, const struct problem *why);

/* A load went well, or the record was written: nothing is held against it. */
void backoff_forget(struct backoff *b, struct slice key);

#endif
