/* store/tracking.h -- a Redis connection on which the server tells of every key of ours that changes, expires or is evicted (CLIENT TRACKING in
 * broadcast mode, RESP3), and what that means for the near cache.
 *
 * One a process, or one for each master of a cluster (roster.h), on a loop of its own thread, which nothing holds up: a copy is out of date for as
 * long as such a message waits. A ping goes with the messages on the same line; its answer shows that all that came before has been read. Lost,
 * silent or refused, the near cache is empty and off until tracking has begun anew. */
#ifndef PERIGEE_STORE_TRACKING_H
#define PERIGEE_STORE_TRACKING_H

#include "store/near.h"
#include "store/redis.h"

struct tracking;

/* Starts connecting; never fails. Of the keys that begin with `prefix`, which is not empty. Copies config and prefix; borrows the rest. */
struct tracking *tracking_open(uv_loop_t *loop, const struct redis_config *config, struct slice prefix,
                               struct near *near, struct metrics *metrics);

/* Ends; `closed` is called later, once, and then the object is gone. The near cache is off. */
void tracking_close(struct tracking *t, void (*closed)(void *arg), void *arg);

#endif
