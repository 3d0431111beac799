/* store/redis_address.c -- hosts and ports, read strictly: what a resolver would read as something else is refused. */
#include "store/redis_address.h"

#include "base/units.h"

#include <stdio.h>
#include <strings.h>
#include <uv.h>

#define HOST_MAX 253 /* RFC 1035: what a name may have */

struct slice redis_cut_last(struct slice *s, char c)
{
    for (size_t i = s->n; i-- > 0;) {
        if (s->p[i] != c) continue;
        struct slice tail = slice_skip(*s, i + 1);
        s->n = i;
        return tail;
    }
    return (struct slice){NULL, 0};
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_letter(char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }

/* Would a resolver read it as a number: 12, 0x7f? */
static bool is_number(struct slice label)
{
    bool hex = label.n > 1 && label.p[0] == '0' && (label.p[1] | 32) == 'x';
    for (size_t i = hex ? 2 : 0; i < label.n; i++) {
        bool fine = is_digit(label.p[i]) || (hex && (label.p[i] | 32) >= 'a' && (label.p[i] | 32) <= 'f');
        if (!fine) return false;
    }
    return label.n > 0;
}

static bool is_ip4(const char *host)
{
    struct sockaddr_in v4;
    return uv_ip4_addr(host, 0, &v4) == 0;
}

static bool is_ip6(const char *host)
{
    struct sockaddr_in6 v6;
    return uv_ip6_addr(host, 0, &v6) == 0;
}

bool redis_host_is_ip(const char *host) { return is_ip4(host) || is_ip6(host); }

/* A name, or an IPv4 address in its usual form: a host whose last label is a number must be all of a.b.c.d, so that
 * `2130706433` and `0x7f.1` mean nothing here. */
static bool is_name_or_ip4(const char *host)
{
    struct slice rest = slice_of(host), last = {NULL, 0};
    if (rest.n == 0 || rest.n > HOST_MAX) return false;
    while (rest.p) {
        last = slice_cut(&rest, '.');
        if (last.n == 0 && rest.p) return false; /* an empty label */
        for (size_t i = 0; i < last.n; i++) {
            char c = last.p[i];
            if (!is_letter(c) && !is_digit(c) && c != '-' && c != '_') return false;
        }
    }
    return !is_number(last) || is_ip4(host);
}

static bool copy_host(struct redis_address *a, struct slice host)
{
    if (host.n >= sizeof a->host || memchr(host.p, '\0', host.n)) return false;
    memcpy(a->host, host.p, host.n);
    a->host[host.n] = '\0';
    return true;
}

bool redis_address_set(struct redis_address *a, struct slice host, uint64_t port)
{
    a->port = (int)port;
    return host.p && copy_host(a, host) && (is_name_or_ip4(a->host) || is_ip6(a->host)) && port > 0 && port <= 65535;
}

const char *redis_address_parse(struct redis_address *a, struct slice text, int default_port)
{
    struct slice port = {NULL, 0};
    if (slice_starts(text, SLICE("["))) {
        text = slice_skip(text, 1);
        struct slice tail = redis_cut_last(&text, ']');
        if (!tail.p || (tail.n && tail.p[0] != ':')) return "an IPv6 address stands in brackets: [::1]:6379";
        if (tail.n) port = slice_skip(tail, 1);
        if (!copy_host(a, text) || !is_ip6(a->host)) return "the brackets hold no IPv6 address";
    } else {
        port = redis_cut_last(&text, ':');
        if (!copy_host(a, text) || !is_name_or_ip4(a->host))
            return "the host is neither a name nor an address like 10.0.0.1";
    }
    uint64_t number = (uint64_t)default_port;
    if (port.p && (!units_uint(port, 65535, &number) || number == 0)) return "the port is not a number from 1 to 65535";
    a->port = (int)number;
    return NULL;
}

bool redis_address_eq(const struct redis_address *a, const struct redis_address *b)
{
    return a->port == b->port && strcasecmp(a->host, b->host) == 0;
}

void redis_address_print(const struct redis_address *a, char *out, size_t n)
{
    bool v6 = strchr(a->host, ':') != NULL;
    snprintf(out, n, "%s%s%s:%d", v6 ? "[" : "", a->host, v6 ? "]" : "", a->port);
}
