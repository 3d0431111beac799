/* store/redis_config.c -- a Redis URL: read, checked, and printed without its secrets. Scheme, credentials, servers, what stands behind them, and
 * last the query, so that a secret with a `?` in it is found to be no server before any of it is taken for an option's name. */
#include "store/redis_config.h"

#include "base/units.h"

#include <stdarg.h>
#include <stdio.h>

#define SERVER_PORT    6379
#define SENTINEL_PORT  26379
#define DATABASE_COUNT 65536

static const struct scheme {
    const char *text;
    enum redis_topology topology;
    bool tls, local;
} schemes[] = {
    {"redis://", REDIS_SINGLE, false, false},
    {"rediss://", REDIS_SINGLE, true, false},
    {"redis+unix://", REDIS_SINGLE, false, true},
    {"redis+sentinel://", REDIS_SENTINEL, false, false},
    {"rediss+sentinel://", REDIS_SENTINEL, true, false},
    {"redis+cluster://", REDIS_CLUSTER, false, false},
    {"rediss+cluster://", REDIS_CLUSTER, true, false},
};

static enum status refuse(struct problem *why, const char *what)
{
    return problem_set(why, MALFORMED_REQUEST, "store", "%s", what);
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

/* ---- in front of the query */

static enum status parse_credentials(struct slice s, struct redis_credentials *c, struct problem *why)
{
    struct slice user = slice_cut(&s, ':'); /* now s is the password */
    if (!s.p) return refuse(why, "credentials are written user:password@ or :password@");
    if (!decode(user, c->user, sizeof c->user) || !decode(s, c->password, sizeof c->password))
        return refuse(why, "the credentials are too long, badly percent-encoded, or have control characters");
    if (c->user[0] && !c->password[0]) return refuse(why, "a user without a password");
    return OK;
}

static enum status parse_database(struct slice s, struct redis_config *c, struct problem *why)
{
    uint64_t number = 0;
    if (s.n && !units_uint(s, DATABASE_COUNT - 1, &number))
        return refuse(why, "the database is not a number: redis://host:6379/0");
    if (number && c->topology == REDIS_CLUSTER) return refuse(why, "a cluster has no database but 0");
    c->database = (int)number;
    return OK;
}

/* The name of a group in a sentinel's file: what Redis itself takes there. */
static enum status parse_master(struct slice s, struct redis_config *c, struct problem *why)
{
    bool good = s.n > 0 && s.n < sizeof c->master;
    for (size_t i = 0; i < s.n && good; i++) {
        char l = s.p[i] | 32;
        good = (l >= 'a' && l <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] && strchr("._-", s.p[i]));
    }
    if (!good)
        return refuse(why, "behind the sentinels stands the master's name (letters, digits, . _ -): "
                           "redis+sentinel://host:26379,host:26379/mymaster/0");
    memcpy(c->master, s.p, s.n);
    return OK;
}

static enum status parse_addresses(struct slice s, struct redis_config *c, struct problem *why)
{
    while (s.p) {
        struct slice one = slice_cut(&s, ',');
        if (s.p && c->topology == REDIS_SINGLE)
            return refuse(why, "that is more than one server: redis+cluster:// and redis+sentinel:// take several");
        if (c->addresses == REDIS_ADDRESSES_MAX) return refuse(why, "more than 16 servers; a few of them will do");
        int port = c->topology == REDIS_SENTINEL ? SENTINEL_PORT : SERVER_PORT;
        const char *fault = redis_address_parse(&c->address[c->addresses++], one, port);
        if (fault) return refuse(why, fault);
    }
    return OK;
}

static enum status parse_tcp(struct slice s, struct redis_config *c, struct problem *why)
{
    struct slice behind = s, before = slice_cut(&behind, '/'), credentials = {NULL, 0};
    struct slice servers = redis_cut_last(&before, '@');
    if (servers.p) {
        credentials = before;
    } else {
        servers = before;
    }
    enum status st = OK;
    if (credentials.p) st = parse_credentials(credentials, &c->server, why);
    if (st == OK) st = parse_addresses(servers, c, why);
    if (st == OK && c->topology == REDIS_SENTINEL) st = parse_master(slice_cut(&behind, '/'), c, why);
    if (st == OK) st = parse_database(behind, c, why);
    return st;
}

static enum status parse_unix(struct slice path, struct redis_config *c, struct problem *why)
{
    struct slice rest = path, authority = slice_cut(&rest, '/');
    if (!rest.p) return refuse(why, "a socket's path is absolute: redis+unix:///run/redis.sock");
    if (authority.n) {
        path = slice_skip(path, authority.n);
        struct slice credentials = authority, host = redis_cut_last(&credentials, '@');
        if (!host.p || host.n) return refuse(why, "a socket's path is absolute: redis+unix:///run/redis.sock");
        enum status st = parse_credentials(credentials, &c->server, why);
        if (st != OK) return st;
    }
    return decode(path, c->path, sizeof c->path)
               ? OK
               : refuse(why, "the socket's path is too long or badly percent-encoded");
}

/* ---- the query */

enum scope { OF_TLS, OF_SENTINEL, OF_UNIX };

static const char *const scopes[] = {
    [OF_TLS] = "rediss:// and its kin", [OF_SENTINEL] = "redis+sentinel://", [OF_UNIX] = "redis+unix://"};

#define TEXT(field) offsetof(struct redis_config, field), sizeof((struct redis_config *)0)->field

static const struct parameter {
    const char *name;
    enum scope scope;
    size_t at, size; /* of a text; verify and db have none */
} parameters[] = {
    {"ca", OF_TLS, TEXT(tls.ca)},
    {"cert", OF_TLS, TEXT(tls.cert)},
    {"key", OF_TLS, TEXT(tls.key)},
    {"server_name", OF_TLS, TEXT(tls.server_name)},
    {"verify", OF_TLS, 0, 0},
    {"sentinel_user", OF_SENTINEL, TEXT(sentinel.user)},
    {"sentinel_password", OF_SENTINEL, TEXT(sentinel.password)},
    {"db", OF_UNIX, 0, 0},
};

#define PARAMETERS (sizeof parameters / sizeof *parameters)

static enum status unknown_parameter(struct slice name, struct problem *why)
{
    size_t nearest = 0, least = SIZE_MAX;
    for (size_t i = 0; i < name.n || i == 0; i++) { /* it may be the rest of a password */
        bool fine = name.n && ((name.p[i] >= 'a' && name.p[i] <= 'z') || name.p[i] == '_');
        if (!fine) return refuse(why, "options are written ?name=value&name=value, and a ? in a password %3F");
    }
    for (size_t i = 0; i < PARAMETERS; i++) {
        size_t edits = slice_distance(name, slice_of(parameters[i].name));
        if (edits < least) nearest = i, least = edits;
    }
    return problem_set(why, MALFORMED_REQUEST, "store", "unknown option `%.*s` (did you mean `%s`?)",
                       (int)(name.n < 40 ? name.n : 40), name.p, parameters[nearest].name);
}

static bool is_for(enum scope scope, const struct redis_config *c)
{
    return scope == OF_TLS ? c->tls.on : scope == OF_SENTINEL ? c->topology == REDIS_SENTINEL : c->path[0];
}

static enum status parse_parameter(const struct parameter *p, struct slice value, struct redis_config *c,
                                   struct problem *why)
{
    if (!is_for(p->scope, c))
        return problem_set(why, MALFORMED_REQUEST, "store", "the option `%s` is for %s", p->name, scopes[p->scope]);
    if (p->scope == OF_UNIX) return parse_database(value, c, why);
    if (p->size == 0) { /* verify */
        c->tls.unverified = slice_eq(value, SLICE("off"));
        return c->tls.unverified || slice_eq(value, SLICE("on")) ? OK : refuse(why, "`verify` is on or off");
    }
    return value.n && decode(value, (char *)c + p->at, p->size)
               ? OK
               : problem_set(why, MALFORMED_REQUEST, "store",
                             "the option `%s` is empty, too long, badly percent-encoded, or has control characters",
                             p->name);
}

/* What only all of them together can get wrong. */
static enum status check_parameters(const struct redis_config *c, struct problem *why)
{
    const struct redis_tls *tls = &c->tls;
    struct redis_address named;
    if (!tls->cert[0] != !tls->key[0]) return refuse(why, "`cert` and `key` go together");
    if (tls->unverified && tls->ca[0]) return refuse(why, "`ca` says whom to believe, and `verify=off` everybody");
    if (tls->server_name[0] && !redis_address_set(&named, slice_of(tls->server_name), SERVER_PORT))
        return refuse(why, "`server_name` is neither a name nor an address");
    if (c->sentinel.user[0] && !c->sentinel.password[0]) return refuse(why, "`sentinel_user` without a password");
    return OK;
}

static enum status parse_query(struct slice query, struct redis_config *c, struct problem *why)
{
    unsigned given = 0;
    enum status st = OK;
    while (query.p && st == OK) {
        struct slice value = slice_cut(&query, '&'), name = slice_cut(&value, '=');
        size_t i = 0;
        while (i < PARAMETERS && !slice_eq(name, slice_of(parameters[i].name))) i++;
        if (i == PARAMETERS) return unknown_parameter(name, why);
        if (given & 1u << i)
            return problem_set(why, MALFORMED_REQUEST, "store", "the option `%s` stands there twice",
                               parameters[i].name);
        given |= 1u << i;
        st = parse_parameter(&parameters[i], value, c, why);
    }
    return st == OK ? check_parameters(c, why) : st;
}

/* ---- the whole */

enum status redis_config_parse(struct slice url, struct redis_config *c, struct problem *why)
{
    const struct scheme *scheme = NULL;
    memset(c, 0, offsetof(struct redis_config, timeout_ms));
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes && !scheme; i++) {
        if (slice_starts(url, slice_of(schemes[i].text))) scheme = &schemes[i];
    }
    if (!scheme)
        return refuse(why, "a store is redis://host:port/db, redis+unix:///path, redis+sentinel://host,host/master or "
                           "redis+cluster://host,host; with rediss instead of redis it speaks TLS");
    c->topology = scheme->topology;
    c->tls.on = scheme->tls;
    struct slice query = slice_skip(url, strlen(scheme->text)), before = slice_cut(&query, '?');
    enum status st = scheme->local ? parse_unix(before, c, why) : parse_tcp(before, c, why);
    return st == OK ? parse_query(query, c, why) : st;
}

/* Appends to out[n], from *at on. */
static void add(char *out, size_t n, size_t *at, const char *format, ...) __attribute__((format(printf, 4, 5)));

static void add(char *out, size_t n, size_t *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(out + *at, n - *at, format, args);
    va_end(args);
    *at = *at + (size_t)wanted < n ? *at + (size_t)wanted : n - 1;
}

void redis_config_print(const struct redis_config *c, char *out, size_t n)
{
    static const char *const kinds[] = {
        [REDIS_SINGLE] = "", [REDIS_SENTINEL] = "+sentinel", [REDIS_CLUSTER] = "+cluster"};
    size_t at = 0;
    if (c->path[0]) {
        add(out, n, &at, "redis+unix://%s", c->path);
        return;
    }
    add(out, n, &at, "redis%s%s://", c->tls.on ? "s" : "", kinds[c->topology]);
    for (unsigned i = 0; i < c->addresses; i++) {
        char address[REDIS_ADDRESS_TEXT];
        redis_address_print(&c->address[i], address, sizeof address);
        add(out, n, &at, "%s%s", i ? "," : "", address);
    }
    if (c->topology == REDIS_SENTINEL) add(out, n, &at, "/%s", c->master);
    if (c->topology != REDIS_CLUSTER) add(out, n, &at, "/%d", c->database);
    if (c->tls.unverified) add(out, n, &at, "?verify=off");
}
