/* http/target.c -- request targets and hosts. */
#include "http/target.h"

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_hex(char c) { return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); }
static bool is_letter(char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }

static bool port_is_valid(struct slice port)
{
    if (port.n > 5) return false;
    unsigned number = 0;
    for (size_t i = 0; i < port.n; i++) {
        if (!is_digit(port.p[i])) return false;
        number = number * 10 + (unsigned)(port.p[i] - '0');
    }
    return number <= 65535;
}

/* "[::1]": returns its length, 0 when it is none. */
static size_t bracketed(struct slice s)
{
    size_t n = 1;
    while (n < s.n && (is_hex(s.p[n]) || s.p[n] == ':' || s.p[n] == '.')) n++;
    return n > 2 && n < s.n && s.p[n] == ']' ? n + 1 : 0;
}

/* The characters of reg-name (RFC 3986 3.2.2) but for the comma, which fronts take for a list. */
static size_t registered_name(struct slice s)
{
    size_t n = 0;
    while (n < s.n) {
        char c = s.p[n];
        if (c == '%') {
            if (s.n - n < 3 || !is_hex(s.p[n + 1]) || !is_hex(s.p[n + 2])) return 0;
            n += 3;
        } else if (is_letter(c) || is_digit(c) || c == '.' || (c && strchr("-_~!$&'()*+;=", c))) {
            n++;
        } else {
            break;
        }
    }
    return n;
}

bool host_is_valid(struct slice host)
{
    size_t n = host.n && host.p[0] == '[' ? bracketed(host) : registered_name(host);
    if (!n) return false;
    struct slice rest = slice_skip(host, n);
    return !rest.n || (rest.p[0] == ':' && port_is_valid(slice_skip(rest, 1)));
}

static void split_query(struct http_request *r, struct slice origin)
{
    struct slice rest = origin;
    struct slice path = slice_cut(&rest, '?');
    r->path = path.n ? path : SLICE("/"); /* "http://host?a=b" */
    r->query = rest;
}

/* "http://host:port" in front of the path: its length up to the host, 0 for another scheme or none. */
static size_t scheme(struct slice target)
{
    static const struct slice known[] = {{"http://", 7}, {"https://", 8}};
    for (size_t i = 0; i < 2; i++)
        if (target.n >= known[i].n && slice_ieq((struct slice){target.p, known[i].n}, known[i])) return known[i].n;
    return 0;
}

enum status target_split(struct http_request *r, struct slice target, struct slice *authority)
{
    *authority = r->query = (struct slice){NULL, 0};
    if (r->method == METHOD_CONNECT) {
        r->path = SLICE("");
        return host_is_valid(target) ? OK : MALFORMED_REQUEST;
    }
    if (slice_eq(target, SLICE("*"))) {
        r->path = target;
        if (r->method == METHOD_OPTIONS) return OK;
        return r->method == METHOD_OTHER ? NOT_IMPLEMENTED : MALFORMED_REQUEST; /* M-SEARCH * is well-formed */
    }
    if (target.n && target.p[0] == '/') {
        split_query(r, target);
        return OK;
    }
    size_t start = scheme(target);
    if (!start) return MALFORMED_REQUEST;
    target = slice_skip(target, start);
    size_t n = 0;
    while (n < target.n && target.p[n] != '/' && target.p[n] != '?') n++;
    *authority = (struct slice){target.p, n};
    split_query(r, slice_skip(target, n));
    return host_is_valid(*authority) ? OK : MALFORMED_REQUEST;
}
