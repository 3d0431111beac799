/* store/redis_sentinel.h -- what sentinels say, and what that makes of the list of them. Pure: replies of any shape go in (redis_node.h), addresses
 * come out. Private to store/redis_search.c. */
#ifndef PERIGEE_STORE_REDIS_SENTINEL_H
#define PERIGEE_STORE_REDIS_SENTINEL_H

#include "store/redis_config.h"
#include "store/redis_node.h"

/* SENTINEL GET-MASTER-ADDR-BY-NAME: [host, port]. False for nil, for no address, and for anything else. */
bool sentinel_read_master(const struct buffer *nodes, struct redis_address *master);

/* SENTINEL SENTINELS: [[name, value, name, value, ...], ...]. Returns how many have an address; what stands behind the first one that is no such
 * list is not read. */
unsigned sentinel_read_others(const struct buffer *nodes, struct redis_address named[REDIS_ADDRESSES_MAX]);

/* The list becomes: who has answered (it stands first), those of the URL, and whom he names now. */
void sentinel_learn(struct redis_config *c, const struct redis_address *named, unsigned n);

#endif
