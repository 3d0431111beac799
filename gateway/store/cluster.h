/* store/cluster.h -- a Redis Cluster as a store: a connection to each of its masters, and who has which key. On the worker's loop.
 *
 * A command goes to the server that has its key's slot, as far as we know. Where we are wrong the server says so, and the same command goes to the one
 * it names, within the command's deadline and for a few hops; nobody but the metrics hears of it. What we know comes from CLUSTER SLOTS: at the start,
 * when we were wrong, when a server is lost, and now and then; asked of any server that answers, never more than once a second.
 *
 * Only masters are asked: a replica may be behind, and whoever has been told that a save is done must not read less. */
#ifndef PERIGEE_STORE_CLUSTER_H
#define PERIGEE_STORE_CLUSTER_H

#include "store/redis.h"
#include "store/roster.h"

struct cluster;

/* Starts connecting; never blocks, never fails. Copies config, borrows the rest. `roster` is told of each server that is asked; NULL: nobody is. */
struct cluster *cluster_open(uv_loop_t *loop, const struct redis_config *config, struct roster *roster,
                             struct metrics *metrics);

/* Ends: commands under way get STORE_UNAVAILABLE first; `closed` is called later, once, and then the object is gone. */
void cluster_close(struct cluster *c, void (*closed)(void *arg), void *arg);

/* The server to ask for this key, for now; NULL: there is none. */
struct redis *cluster_node(struct cluster *c, struct slice key);

/* Has every slot a master that we reach? */
bool cluster_up(const struct cluster *c);

#endif
