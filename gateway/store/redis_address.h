/* store/redis_address.h -- where a Redis server listens: a host and a port, as URLs and servers name them. */
#ifndef PERIGEE_STORE_REDIS_ADDRESS_H
#define PERIGEE_STORE_REDIS_ADDRESS_H

#include "base/slice.h"

#include <stdint.h>

struct redis_address {
    char host[256]; /* a name, or an IPv4 or IPv6 address without brackets */
    int port;
    bool learned; /* named by another server, not by the URL */
};

/* Sets both, if `host` is a name or an address in its usual form and the port is one. */
bool redis_address_set(struct redis_address *a, struct slice host, uint64_t port);

/* Reads `host`, `host:port`, `[v6]` or `[v6]:port`. Returns NULL, or what was wrong. */
const char *redis_address_parse(struct redis_address *a, struct slice text, int default_port);

bool redis_address_eq(const struct redis_address *a, const struct redis_address *b);

/* `host:port`, in brackets what needs them. */
#define REDIS_ADDRESS_TEXT 272
void redis_address_print(const struct redis_address *a, char *out, size_t n);

/* Is it an address, and no name that must be looked up? */
bool redis_host_is_ip(const char *host);

/* What stands behind the last `c`, which moves out of *s with it; absent, and *s as it was, without one. */
struct slice redis_cut_last(struct slice *s, char c);

#endif
