/* store/cluster_map.h -- which server of a Redis Cluster has which key: the arithmetic of slots, and what servers say of who has them. Pure. What they
 * say comes from outside: it is read whole and in bounds, or not at all. */
#ifndef PERIGEE_STORE_CLUSTER_MAP_H
#define PERIGEE_STORE_CLUSTER_MAP_H

#include "base/buffer.h"
#include "store/redis_address.h"

#define CLUSTER_SLOTS       16384
#define CLUSTER_MASTERS_MAX 1000 /* Redis' own recommended bound */
#define CLUSTER_NOBODY      UINT16_MAX

/* CRC16 (XMODEM) of the key; if it has a hash tag that is not empty, of what stands between its first `{` and the first `}` after that. */
unsigned cluster_slot(struct slice key);

struct cluster_map {
    uint16_t owner[CLUSTER_SLOTS]; /* a master's number, or CLUSTER_NOBODY */
    unsigned covered;              /* slots that have one */
    unsigned masters;              /* that have a slot */
    struct redis_address master[CLUSTER_MASTERS_MAX];
    uint64_t name[CLUSTER_MASTERS_MAX]; /* their hashes; private */
};

/* Reads the answer to CLUSTER SLOTS (nodes of redis_node.h) that the server at `asked` has given. NULL, or what was wrong with it. */
const char *cluster_map_read(struct cluster_map *m, const struct buffer *nodes, const struct redis_address *asked);

/* Reads what stands behind MOVED or ASK: `3999 127.0.0.1:6381`, without a host when it is the one that was asked. */
bool cluster_redirection_read(struct slice text, const struct redis_address *asked, unsigned *slot,
                              struct redis_address *to);

#endif
