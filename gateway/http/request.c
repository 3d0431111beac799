/* http/request.c -- looking into a parsed request. */
#include "http/request.h"

struct slice http_request_header(const struct http_request *r, const char *name)
{
    struct slice wanted = slice_of(name);
    for (size_t i = 0; i < r->headers; i++)
        if (slice_ieq(r->header[i].name, wanted)) return r->header[i].value;
    return (struct slice){NULL, 0};
}
