/* serve/route.c -- paths and methods. */
#include "serve/route.h"

#define ALLOW_RECORD "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"

const char *operation_label(enum operation op)
{
    static const char *const label[] = {
#define X(op, label) label,
        OPERATION_MAP(X)
#undef X
    };
    return label[op];
}

/* Decodes one segment; its bytes may be anything, so a decoded '/' or NUL is just a name that no model has. */
static bool decode_segment(struct slice raw, struct arena *arena, struct slice *out)
{
    char *p = arena_bytes(arena, raw.n + 1);
    size_t n = http_percent_decode(raw, false, p);
    *out = slice_from(p, n);
    return n != SIZE_MAX;
}

static enum status operation_of(const struct http_request *request, struct route *route, struct problem *why)
{
    switch (request->method) {
    case METHOD_GET: route->op = OP_GET; return OK;
    case METHOD_HEAD: route->op = OP_HEAD; return OK;
    case METHOD_PUT: route->op = OP_PUT; return OK;
    case METHOD_PATCH: route->op = OP_PATCH; return OK;
    case METHOD_DELETE: route->op = OP_DELETE; return OK;
    case METHOD_OPTIONS: route->op = OP_OPTIONS; return OK;
    default:
        return problem_set(why, METHOD_NOT_ALLOWED, NULL, "a record takes %s, not %.*s", route->allow,
                           SLICE_ARG(request->method_name));
    }
}

enum status route_request(const struct http_request *request, struct arena *arena, struct route *route,
                          struct problem *why)
{
    *route = (struct route){.op = OP_GET, .allow = ALLOW_RECORD};
    if (request->method == METHOD_OPTIONS && slice_eq(request->path, SLICE("*"))) {
        route->op = OP_OPTIONS;
        return OK;
    }
    if (request->method == METHOD_CONNECT) return operation_of(request, route, why); /* its target is no path */
    struct slice models = SLICE("/models/");
    struct slice name = slice_starts(request->path, models) ? slice_skip(request->path, models.n) : SLICE("");
    if (name.n == 0 || memchr(name.p, '/', name.n))
        return problem_set(why, NOT_FOUND, NULL, "records are at /models/NAME?key=value");
    if (!decode_segment(name, arena, &route->model))
        return problem_set(why, MALFORMED_REQUEST, NULL,
                           "the path has a '%%' that two hexadecimal digits do not follow");
    return operation_of(request, route, why);
}

enum status route_key(const struct http_request *request, const struct model *m, struct arena *arena,
                      struct record_key *key, struct problem *why)
{
    struct key_draft draft;
    struct query_option *option;
    size_t options;
    key_draft_init(&draft);
    enum status st = key_parse_query(m, request->query, arena, &draft, &option, &options, why);
    if (st != OK) return st;
    if (options)
        return problem_set(why, MALFORMED_REQUEST, NULL, "this operation knows no option `%.*s`",
                           SLICE_ARG(option[0].name));
    return key_finish(m, &draft, arena, key, why);
}
