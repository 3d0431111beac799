/* store/servers.h -- who is asked for a key: one server, or whoever has it in a cluster. */
#ifndef PERIGEE_STORE_SERVERS_H
#define PERIGEE_STORE_SERVERS_H

#include "store/cluster.h"

/* At most one of the two; both NULL: there are none. */
struct servers {
    struct redis *redis;
    struct cluster *cluster;
};

static inline bool servers_exist(const struct servers *s) { return s->redis || s->cluster; }

/* NULL, which every command takes for STORE_UNAVAILABLE: nobody has this key just now. */
static inline struct redis *servers_for(const struct servers *s, struct slice key)
{
    return s->cluster ? cluster_node(s->cluster, key) : s->redis;
}

#endif
