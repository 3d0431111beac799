/* store/roster.h -- the servers of a cluster that any worker of this process asks, and one tracking (tracking.h) for each of them.
 *
 * A copy may be kept of what any of them answers, so none is served while one of them is not heard: a worker adds a server before it asks it, and from
 * then on the near cache is off until the tracker has its line. Servers come and go when slots are given to new ones or a master is lost: rarely, so
 * that all copies may go with them. */
#ifndef PERIGEE_STORE_ROSTER_H
#define PERIGEE_STORE_ROSTER_H

#include "store/tracking.h"

struct roster;

/* Trackings will be on this loop, with the credentials and options of config, of keys that begin with prefix. Copies config and prefix; borrows the rest. Before
 * the loop runs. */
struct roster *roster_open(uv_loop_t *loop, const struct redis_config *config, struct slice prefix, struct near *near,
                           struct metrics *metrics);

/* On the loop's thread; all servers have been dropped. `closed` is called later, once, and then the object is gone. */
void roster_close(struct roster *r, void (*closed)(void *arg), void *arg);

/* This server is asked by one more, or by one less. Any thread. */
void roster_add(struct roster *r, const struct redis_address *address);
void roster_drop(struct roster *r, const struct redis_address *address);

#endif
