/* tracker.h -- a thread with nothing to do but to hear from Redis what has changed, so that no handler, reload or large answer can make a near
 * copy old. */
#ifndef PERIGEE_TRACKER_H
#define PERIGEE_TRACKER_H

#include "base/metrics.h"
#include "store/near.h"
#include "store/redis.h"
#include "store/roster.h"

struct tracker;

/* Of all keys that are stored under --prefix. Borrows all; config until it ends. Before the workers are started. */
struct tracker *tracker_start(const struct redis_config *config, const char *prefix, struct near *near);

/* Ends the thread, waits for it, frees. No worker reads near copies any more. */
void tracker_stop(struct tracker *t);

struct metrics *tracker_metrics(struct tracker *t);

/* Where the workers say whom of a cluster they ask; NULL: it is no cluster. */
struct roster *tracker_roster(struct tracker *t);

#endif
