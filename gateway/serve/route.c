/* serve/route.c -- paths and methods. */
#include "serve/route.h"

#define ALLOW_RECORD      "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"
#define ALLOW_CALL        "GET, HEAD, POST, DELETE, OPTIONS"
#define ALLOW_DESCRIPTION "GET, HEAD, OPTIONS"
#define ALLOW_ACTION      "POST, OPTIONS"

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
    size_t n = slice_percent_decode(raw, false, p);
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

/* A HEAD of a call is one like GET: method.c tells them apart. */
static enum status call_of(const struct http_request *request, struct route *route, struct problem *why)
{
    route->allow = ALLOW_CALL;
    switch (request->method) {
    case METHOD_GET:
    case METHOD_HEAD:
    case METHOD_POST: route->op = OP_CALL; return OK;
    case METHOD_DELETE: route->op = OP_FORGET; return OK;
    case METHOD_OPTIONS: route->op = OP_OPTIONS; return OK;
    default:
        return problem_set(why, METHOD_NOT_ALLOWED, NULL, "a method takes %s, not %.*s", route->allow,
                           SLICE_ARG(request->method_name));
    }
}

/* What is only read, and takes no query: `op` for GET and HEAD. */
static enum status describe(const struct http_request *request, enum operation op, struct route *route,
                            struct problem *why)
{
    route->op = request->method == METHOD_OPTIONS ? OP_OPTIONS : op;
    route->allow = ALLOW_DESCRIPTION;
    switch (request->method) {
    case METHOD_OPTIONS: return OK;
    case METHOD_GET:
    case METHOD_HEAD: break;
    default:
        return problem_set(why, METHOD_NOT_ALLOWED, NULL, "a description takes %s, not %.*s", route->allow,
                           SLICE_ARG(request->method_name));
    }
    if (request->query.n) return problem_set(why, MALFORMED_REQUEST, NULL, "a description takes no query");
    return OK;
}

static enum status act(const struct http_request *request, enum operation op, struct route *route, struct problem *why)
{
    route->op = request->method == METHOD_OPTIONS ? OP_OPTIONS : op;
    route->allow = ALLOW_ACTION;
    if (request->method == METHOD_POST || request->method == METHOD_OPTIONS) return OK;
    return problem_set(why, METHOD_NOT_ALLOWED, NULL, "an action takes %s, not %.*s", route->allow,
                       SLICE_ARG(request->method_name));
}

/* What follows a model's name and begins with '_'. */
static enum status action(const struct http_request *request, struct slice name, struct route *route,
                          struct problem *why)
{
    static const struct slice actions[] = {
        {"_schema", 7}, {"_touch", 6}, {"_refresh", 8}, {"_invalidate", 11}, {"_bulk", 5}};
    static const enum operation op[] = {OP_SCHEMA, OP_TOUCH, OP_REFRESH, OP_INVALIDATE, OP_BULK};
    const size_t n = sizeof actions / sizeof *actions;
    for (size_t i = 0; i < n; i++) {
        if (!slice_eq(name, actions[i])) continue;
        return op[i] == OP_SCHEMA ? describe(request, OP_SCHEMA, route, why) : act(request, op[i], route, why);
    }
    struct hint hint;
    return problem_set(why, NOT_FOUND, NULL, "models have no action `%.*s`%s", SLICE_ARG(name),
                       nearest_hint(name, actions, n, &hint));
}

static enum status bad_escape(struct problem *why)
{
    return problem_set(why, MALFORMED_REQUEST, NULL, "the path has a '%%' that two hexadecimal digits do not follow");
}

static bool has_slash(struct slice s) { return s.n && memchr(s.p, '/', s.n); }

/* Behind "/models/": NAME, NAME/METHOD or NAME/_ACTION. */
static enum status below_models(const struct http_request *request, struct slice path, struct arena *arena,
                                struct route *route, struct problem *why)
{
    struct slice rest = path, name = slice_cut(&rest, '/'), last;
    bool is_record = !rest.p, too_long = has_slash(rest);
    if (!decode_segment(name, arena, &name) || (!is_record && !decode_segment(rest, arena, &last)))
        return bad_escape(why);
    if (is_record) last = name;
    bool is_action = slice_starts(last, SLICE("_"));
    if (too_long || name.n == 0 || last.n == 0 || (is_record && is_action))
        return problem_set(why, NOT_FOUND, NULL,
                           "records are at /models/NAME?key=value, methods at /models/NAME/METHOD, actions at "
                           "/models/NAME/_ACTION");
    route->model = name;
    if (is_record) return operation_of(request, route, why);
    if (is_action) return action(request, last, route, why);
    route->method = last;
    return call_of(request, route, why);
}

/* Behind "/forms/": NAME/METHOD or NAME/_invalidate. */
static enum status below_forms(const struct http_request *request, struct slice path, struct arena *arena,
                               struct route *route, struct problem *why)
{
    struct slice method = path, name = slice_cut(&method, '/');
    bool has_both = name.n && method.n;
    if (!has_both || has_slash(method))
        return problem_set(why, NOT_FOUND, NULL,
                           "a form's methods are at /forms/NAME/METHOD, its one action at /forms/NAME/_invalidate");
    if (!decode_segment(name, arena, &route->model) || !decode_segment(method, arena, &route->method))
        return bad_escape(why);
    route->form = true;
    if (slice_eq(route->method, SLICE("_invalidate"))) {
        route->method = (struct slice){NULL, 0};
        return act(request, OP_INVALIDATE, route, why);
    }
    return call_of(request, route, why);
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
    if (slice_eq(request->path, SLICE("/models")) || slice_eq(request->path, SLICE(ROUTE_FORMS)))
        return describe(request, OP_LIST, route, why);
    if (slice_eq(request->path, SLICE("/_invalidate"))) return act(request, OP_INVALIDATE, route, why);
    if (slice_eq(request->path, SLICE("/openapi.json"))) return describe(request, OP_OPENAPI, route, why);
    if (slice_starts(request->path, SLICE("/models/")))
        return below_models(request, slice_skip(request->path, strlen("/models/")), arena, route, why);
    if (slice_starts(request->path, SLICE(ROUTE_FORMS "/")))
        return below_forms(request, slice_skip(request->path, strlen(ROUTE_FORMS "/")), arena, route, why);
    return problem_set(why, NOT_FOUND, NULL,
                       "there are /models/NAME?key=value, /models/NAME/METHOD, /forms/NAME/METHOD, /models, /forms and "
                       "/openapi.json");
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
