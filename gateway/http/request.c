/* http/request.c -- looking into a parsed request. */
#include "http/request.h"

struct slice http_request_header(const struct http_request *r, const char *name)
{
    struct slice wanted = slice_of(name);
    for (size_t i = 0; i < r->headers; i++)
        if (slice_ieq(r->header[i].name, wanted)) return r->header[i].value;
    return (struct slice){NULL, 0};
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

size_t http_percent_decode(struct slice in, bool plus_is_space, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '+' && plus_is_space) c = ' ';
        if (c == '%') {
            if (in.n - i < 3) return SIZE_MAX;
            int high = hex_digit(in.p[i + 1]), low = hex_digit(in.p[i + 2]);
            if (high < 0 || low < 0) return SIZE_MAX;
            c = (char)(high << 4 | low);
            i += 2;
        }
        out[n++] = c;
    }
    return n;
}
