/* store/cluster_map.c -- slots, and the answers that name their owners; see the header. */
#include "store/cluster_map.h"

#include "base/hash.h"
#include "base/units.h"
#include "store/redis_node.h"

#include <hiredis/read.h>
#include <pthread.h>

/* ---- slots */

static uint16_t table[256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void make_table(void)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        unsigned crc = byte << 8;
        for (int bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1;
        table[byte] = (uint16_t)crc;
    }
}

static uint16_t crc16(struct slice s)
{
    uint16_t crc = 0;
    pthread_once(&table_once, make_table);
    for (size_t i = 0; i < s.n; i++) crc = (uint16_t)(crc << 8 ^ table[crc >> 8 ^ (unsigned char)s.p[i]]);
    return crc;
}

unsigned cluster_slot(struct slice key)
{
    struct slice rest = key;
    slice_cut(&rest, '{');
    if (rest.p) {
        struct slice tag = slice_cut(&rest, '}');
        if (rest.p && tag.n) key = tag;
    }
    return crc16(key) % CLUSTER_SLOTS;
}

/* ---- CLUSTER SLOTS: [[from, to, master, replica...]...], a server being [host, port, id, [name, value...]] */

struct reader {
    const struct buffer *nodes;
    size_t at;
    const char *fault;
};

static struct redis_node next(struct reader *r) { return redis_node_next(r->nodes, &r->at); }

static void skip(struct reader *r, int64_t n)
{
    for (; n > 0; n--) {
        struct redis_node node = next(r);
        if (node.type == REDIS_REPLY_ARRAY) n += node.number;
    }
}

/* The elements of the array that comes next; else a fault. */
static int64_t array(struct reader *r, int64_t at_least)
{
    struct redis_node node = next(r);
    if (node.type == REDIS_REPLY_ARRAY && node.number >= at_least) return node.number;
    r->fault = "an answer that is no list of slots";
    return 0;
}

static int64_t number(struct reader *r, int64_t max)
{
    struct redis_node node = next(r);
    if (node.type == REDIS_REPLY_INTEGER && node.number >= 0 && node.number <= max) return node.number;
    r->fault = "a number that is no slot, or no port";
    return 0;
}

static struct slice text(struct reader *r)
{
    struct redis_node node = next(r);
    if (node.type == REDIS_REPLY_STRING) return node.bytes;
    if (node.type != REDIS_REPLY_NIL) r->fault = "a host that is no string";
    return (struct slice){NULL, 0};
}

/* The address among what else is known of a server, for one that prefers a name and has none; or absent. */
static struct slice other_host(struct reader *r)
{
    struct slice ip = {NULL, 0};
    int64_t n = array(r, 0);
    for (; !r->fault && n > 1; n -= 2) {
        struct slice name = text(r), value = text(r);
        if (slice_eq(name, SLICE("ip"))) ip = value;
    }
    if (!r->fault) skip(r, n);
    return ip;
}

/* The server that comes next. False without a fault: it does not say where it is. */
static bool server(struct reader *r, const struct redis_address *asked, struct redis_address *out)
{
    int64_t parts = array(r, 2);
    if (r->fault) return false;
    struct slice host = text(r);
    int64_t port = r->fault ? 0 : number(r, 65535);
    bool unknown = slice_eq(host, SLICE("?"));
    if (!r->fault && unknown && parts > 3) {
        skip(r, 1);
        host = other_host(r);
        unknown = host.n == 0;
        parts -= 2;
    }
    if (r->fault) return false;
    skip(r, parts - 2);
    if (unknown) return false;
    if (host.n == 0) host = slice_of(asked->host);
    if (redis_address_set(out, host, (uint64_t)port)) return true;
    r->fault = "a server that is neither a name nor an address";
    return false;
}

/* Its number, new or old; or nobody, when there are too many. */
static uint16_t number_of(struct cluster_map *m, const struct redis_address *a)
{
    char where[REDIS_ADDRESS_TEXT];
    redis_address_print(a, where, sizeof where);
    uint64_t name = hash_seeded(slice_of(where));
    for (unsigned i = 0; i < m->masters; i++)
        if (m->name[i] == name && redis_address_eq(&m->master[i], a)) return (uint16_t)i;
    if (m->masters == CLUSTER_MASTERS_MAX) return CLUSTER_NOBODY;
    m->name[m->masters] = name;
    m->master[m->masters] = *a;
    return (uint16_t)m->masters++;
}

static void own(struct cluster_map *m, struct reader *r, int64_t from, int64_t to, uint16_t master)
{
    for (int64_t slot = from; slot <= to; slot++) {
        if (m->owner[slot] != CLUSTER_NOBODY) r->fault = "a slot with two masters";
        m->owner[slot] = master;
        m->covered++;
    }
}

static void read_range(struct cluster_map *m, struct reader *r, const struct redis_address *asked)
{
    struct redis_address address;
    int64_t parts = array(r, 2);
    if (r->fault) return;
    int64_t from = number(r, CLUSTER_SLOTS - 1), to = number(r, CLUSTER_SLOTS - 1);
    if (!r->fault && from > to) r->fault = "slots that end before they begin";
    if (r->fault || parts == 2) return;
    bool known = server(r, asked, &address);
    uint16_t master = known ? number_of(m, &address) : CLUSTER_NOBODY;
    if (r->fault) return;
    if (known && master == CLUSTER_NOBODY) r->fault = "more masters than a cluster may have";
    else if (known) own(m, r, from, to, master);
    skip(r, parts - 3);
}

const char *cluster_map_read(struct cluster_map *m, const struct buffer *nodes, const struct redis_address *asked)
{
    struct reader r = {.nodes = nodes};
    m->masters = m->covered = 0;
    for (size_t i = 0; i < CLUSTER_SLOTS; i++) m->owner[i] = CLUSTER_NOBODY;
    for (int64_t ranges = array(&r, 0); !r.fault && ranges > 0; ranges--) read_range(m, &r, asked);
    return r.fault;
}

/* ---- MOVED and ASK */

bool cluster_redirection_read(struct slice said, const struct redis_address *asked, unsigned *slot,
                              struct redis_address *to)
{
    uint64_t in = 0, port = 0;
    struct slice host = said, first = slice_cut(&host, ' ');
    if (!host.p || !units_uint(first, CLUSTER_SLOTS - 1, &in)) return false;
    struct slice last = redis_cut_last(&host, ':');
    if (!last.p || !units_uint(last, 65535, &port)) return false;
    if (host.n == 0) host = slice_of(asked->host);
    *slot = (unsigned)in;
    return redis_address_set(to, host, port);
}
