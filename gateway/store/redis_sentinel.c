/* store/redis_sentinel.c -- two answers, read with as much trust as anything that comes from outside: lengths, kinds and names are checked. */
#include "store/redis_sentinel.h"

#include "base/units.h"

#include <hiredis/read.h>

static bool set_address(struct redis_address *a, struct slice host, struct slice port)
{
    uint64_t number;
    *a = (struct redis_address){0};
    return units_uint(port, 65535, &number) && redis_address_set(a, host, number);
}

bool sentinel_read_master(const struct buffer *nodes, struct redis_address *master)
{
    size_t at = 0;
    struct redis_node pair = redis_node_next(nodes, &at);
    if (pair.type != REDIS_REPLY_ARRAY || pair.number != 2) return false;
    struct redis_node host = redis_node_next(nodes, &at), port = redis_node_next(nodes, &at);
    return host.type == REDIS_REPLY_STRING && port.type == REDIS_REPLY_STRING &&
           set_address(master, host.bytes, port.bytes);
}

unsigned sentinel_read_others(const struct buffer *nodes, struct redis_address named[REDIS_ADDRESSES_MAX])
{
    size_t at = 0;
    unsigned n = 0;
    struct redis_node all = redis_node_next(nodes, &at);
    if (all.type != REDIS_REPLY_ARRAY) return 0;
    for (int64_t i = 0; i < all.number && n < REDIS_ADDRESSES_MAX; i++) {
        struct redis_node one = redis_node_next(nodes, &at);
        struct slice host = {NULL, 0}, port = {NULL, 0};
        if (one.type != REDIS_REPLY_ARRAY) return n;
        for (int64_t k = 0; k + 1 < one.number; k += 2) {
            struct redis_node name = redis_node_next(nodes, &at), value = redis_node_next(nodes, &at);
            if (name.type != REDIS_REPLY_STRING || value.type != REDIS_REPLY_STRING) return n;
            if (slice_eq(name.bytes, SLICE("ip"))) host = value.bytes;
            if (slice_eq(name.bytes, SLICE("port"))) port = value.bytes;
        }
        if (one.number % 2) return n;
        if (host.p && port.p && set_address(&named[n], host, port)) n++;
    }
    return n;
}

static bool is_among(const struct redis_address *a, const struct redis_address *list, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (redis_address_eq(a, &list[i])) return true;
    }
    return false;
}

void sentinel_learn(struct redis_config *c, const struct redis_address *named, unsigned n)
{
    unsigned kept = 1;
    for (unsigned i = 1; i < c->addresses; i++) {
        if (!c->address[i].learned || is_among(&c->address[i], named, n)) c->address[kept++] = c->address[i];
    }
    c->addresses = kept;
    for (unsigned i = 0; i < n && c->addresses < REDIS_ADDRESSES_MAX; i++) {
        if (is_among(&named[i], c->address, c->addresses)) continue;
        c->address[c->addresses] = named[i];
        c->address[c->addresses++].learned = true;
    }
}
