/* store/redis_config.c -- the store's URL: read, checked, and printed without its secrets. */
#include "store/redis.h"

#include "base/units.h"

#include <stdio.h>

#define DEFAULT_PORT   6379
#define HOST_MAX       253 /* RFC 1035: what a name may have */
#define DATABASE_COUNT 65536

static enum status refuse(struct problem *why, const char *what)
{
    return problem_set(why, MALFORMED_REQUEST, "store", "%s", what);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Percent-decodes into out[n] as a C string; false when it does not fit, is badly escaped, or has control characters. */
static bool decode(struct slice s, char *out, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '%') {
            int high = i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1, low = high >= 0 ? hex_digit(s.p[i + 2]) : -1;
            if (low < 0) return false;
            c = (unsigned char)(high * 16 + low);
            i += 2;
        }
        if (c < 0x20 || c == 0x7f || at + 1 >= n) return false;
        out[at++] = (char)c;
    }
    out[at] = '\0';
    return true;
}

/* What stands behind the last `c`, which moves out of *s with it; absent, and *s as it was, without one. */
static struct slice cut_last(struct slice *s, char c)
{
    for (size_t i = s->n; i-- > 0;) {
        if (s->p[i] != c) continue;
        struct slice tail = slice_skip(*s, i + 1);
        s->n = i;
        return tail;
    }
    return (struct slice){NULL, 0};
}

/* Would a resolver read it as a number: 12, 0x7f? */
static bool is_number(struct slice label)
{
    bool hex = label.n > 1 && label.p[0] == '0' && (label.p[1] | 32) == 'x';
    for (size_t i = hex ? 2 : 0; i < label.n; i++) {
        int digit = hex_digit(label.p[i]);
        if (digit < 0 || (!hex && digit > 9)) return false;
    }
    return label.n > 0;
}

/* A name, or an address in its usual form: a host whose last label is a number must be all of a.b.c.d, so that
 * `2130706433` and `0x7f.1` mean nothing here. */
static bool host_is_sane(const char *host)
{
    struct slice rest = slice_of(host), last = {NULL, 0};
    if (rest.n == 0 || rest.n > HOST_MAX) return false;
    while (rest.p) {
        last = slice_cut(&rest, '.');
        if (last.n == 0 && rest.p) return false; /* an empty label */
        for (size_t i = 0; i < last.n; i++) {
            char c = last.p[i];
            bool fine =
                (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
            if (!fine) return false;
        }
    }
    struct sockaddr_in v4;
    return !is_number(last) || uv_ip4_addr(host, 0, &v4) == 0;
}

static enum status parse_host(struct slice s, struct redis_config *c, struct problem *why)
{
    struct slice port = {NULL, 0};
    if (slice_starts(s, SLICE("["))) {
        s = slice_skip(s, 1);
        struct slice tail = cut_last(&s, ']');
        if (!tail.p || (tail.n && tail.p[0] != ':'))
            return refuse(why, "an IPv6 address stands in brackets: redis://[::1]:6379");
        if (tail.n) port = slice_skip(tail, 1);
        struct sockaddr_in6 v6;
        if (!decode(s, c->host, sizeof c->host) || uv_ip6_addr(c->host, 0, &v6) != 0)
            return refuse(why, "the brackets hold no IPv6 address");
    } else {
        port = cut_last(&s, ':');
        if (!decode(s, c->host, sizeof c->host) || !host_is_sane(c->host))
            return refuse(why, "the host is neither a name nor an address like 10.0.0.1");
    }
    uint64_t number = DEFAULT_PORT;
    if (port.p && (!units_uint(port, 65535, &number) || number == 0))
        return refuse(why, "the port is not a number from 1 to 65535");
    c->port = (int)number;
    return OK;
}

static enum status parse_database(struct slice s, struct redis_config *c, struct problem *why)
{
    uint64_t number = 0;
    if (s.n && !units_uint(s, DATABASE_COUNT - 1, &number))
        return refuse(why, "the database is not a number: redis://host:6379/0");
    c->database = (int)number;
    return OK;
}

static enum status parse_credentials(struct slice s, struct redis_config *c, struct problem *why)
{
    struct slice user = slice_cut(&s, ':'); /* now s is the password */
    if (!s.p) return refuse(why, "credentials are written user:password@ or :password@");
    if (!decode(user, c->user, sizeof c->user) || !decode(s, c->password, sizeof c->password))
        return refuse(why, "the credentials are too long, badly percent-encoded, or have control characters");
    if (c->user[0] && !c->password[0]) return refuse(why, "a user without a password");
    return OK;
}

static enum status parse_tcp(struct slice s, struct redis_config *c, struct problem *why)
{
    struct slice database = s, before = slice_cut(&database, '/'), credentials = {NULL, 0};
    struct slice host = cut_last(&before, '@');
    if (host.p) {
        credentials = before;
    } else {
        host = before;
    }
    enum status st = OK;
    if (credentials.p) st = parse_credentials(credentials, c, why);
    if (st == OK) st = parse_host(host, c, why);
    if (st == OK) st = parse_database(database, c, why);
    return st;
}

static enum status parse_unix(struct slice s, struct redis_config *c, struct problem *why)
{
    struct slice query = s, path = slice_cut(&query, '?'), rest = path, authority = slice_cut(&rest, '/');
    if (!rest.p) return refuse(why, "a socket's path is absolute: redis+unix:///run/redis.sock");
    if (authority.n) {
        path = slice_skip(path, authority.n);
        struct slice credentials = authority, host = cut_last(&credentials, '@');
        if (!host.p || host.n) return refuse(why, "a socket's path is absolute: redis+unix:///run/redis.sock");
        enum status st = parse_credentials(credentials, c, why);
        if (st != OK) return st;
    }
    if (!decode(path, c->path, sizeof c->path))
        return refuse(why, "the socket's path is too long or badly percent-encoded");
    if (!query.p) return OK;
    if (!slice_starts(query, SLICE("db="))) return refuse(why, "the only option of redis+unix is ?db=N");
    return parse_database(slice_skip(query, 3), c, why);
}

enum status redis_config_parse(struct slice url, struct redis_config *c, struct problem *why)
{
    static const struct slice later[] = {SLICE("rediss:"), SLICE("redis+cluster:"), SLICE("redis+sentinel:")};
    static const struct slice tcp = SLICE("redis://"), local = SLICE("redis+unix://");

    memset(c->host, 0, sizeof c->host);
    memset(c->path, 0, sizeof c->path);
    memset(c->user, 0, sizeof c->user);
    memset(c->password, 0, sizeof c->password);
    c->port = c->database = 0;
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        if (slice_starts(url, later[i])) {
            return problem_set(why, MALFORMED_REQUEST, "store",
                               "%.*s is not served yet: redis:// and redis+unix:// are", SLICE_ARG(later[i]));
        }
    }
    if (slice_starts(url, tcp)) return parse_tcp(slice_skip(url, tcp.n), c, why);
    if (slice_starts(url, local)) return parse_unix(slice_skip(url, local.n), c, why);
    return refuse(why, "a store is redis://host:port/db or redis+unix:///path");
}

void redis_config_print(const struct redis_config *c, char *out, size_t n)
{
    bool v6 = strchr(c->host, ':') != NULL;
    if (c->path[0]) {
        snprintf(out, n, "redis+unix://%s", c->path);
    } else {
        snprintf(out, n, "redis://%s%s%s:%d/%d", v6 ? "[" : "", c->host, v6 ? "]" : "", c->port, c->database);
    }
}
