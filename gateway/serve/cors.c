/* serve/cors.c -- origins are compared byte by byte, as browsers spell them: lower case, without a default port. */
#include "serve/cors.h"

#include <ctype.h>

static bool is_any(const struct cors *c) { return c->n == 1 && c->origin[0][0] == '*'; }

bool cors_origin_is_valid(struct slice origin)
{
    struct slice rest = origin, scheme = slice_cut(&rest, ':');
    if (slice_eq(origin, SLICE("*"))) return true;
    bool http = slice_eq(scheme, SLICE("http")) || slice_eq(scheme, SLICE("https"));
    if (!http || !rest.p || !slice_starts(rest, SLICE("//")) || rest.n == 2) return false;
    rest = slice_skip(rest, 2);
    for (size_t i = 0; i < rest.n; i++) {
        unsigned char ch = (unsigned char)rest.p[i];
        if (!islower(ch) && !isdigit(ch) && !memchr("-._:[]", ch, 6)) return false;
    }
    return rest.p[rest.n - 1] != ':';
}

/* The page's origin, if it is one of ours; else absent. */
static struct slice permitted(const struct cors *c, const struct http_request *request)
{
    struct slice origin = http_request_header(request, "origin");
    for (size_t i = 0; origin.p && i < c->n; i++)
        if (slice_eq(origin, slice_of(c->origin[i]))) return origin;
    return (struct slice){NULL, 0};
}

bool cors_is_preflight(const struct http_request *request)
{
    return request->method == METHOD_OPTIONS && http_request_header(request, "origin").p &&
           http_request_header(request, "access-control-request-method").p;
}

void cors_preflight(const struct cors *c, struct exchange *ex)
{
    reply_begin(&ex->reply, 204);
    if (!is_any(c) && !permitted(c, &ex->request).p) return;
    reply_line(&ex->reply, SLICE("Access-Control-Allow-Methods: GET, HEAD, POST, PUT, PATCH, DELETE\r\n"
                                 "Access-Control-Allow-Headers: Authorization, Content-Type, Cache-Control, Pragma, "
                                 "If-Match, If-None-Match, Prefer\r\n"
                                 "Access-Control-Max-Age: 600\r\n"));
}

void cors_permit(const struct cors *c, struct exchange *ex)
{
    struct slice origin = is_any(c) ? SLICE("*") : permitted(c, &ex->request);
    if (!is_any(c)) reply_line(&ex->reply, SLICE("Vary: Origin\r\n"));
    if (!origin.p) return;
    reply_header(&ex->reply, "Access-Control-Allow-Origin", origin);
    reply_line(&ex->reply, SLICE("Access-Control-Expose-Headers: ETag, Age, Cache-Status, Location, Retry-After, "
                                 "Preference-Applied, WWW-Authenticate, Allow, Accept-Patch\r\n"));
}
