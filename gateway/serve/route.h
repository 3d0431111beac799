/* serve/route.h -- which operation a request asks for: method and path to an operation and the names of a model (or form) and its method,
 * query to a key. Pure. */
#ifndef PERIGEE_SERVE_ROUTE_H
#define PERIGEE_SERVE_ROUTE_H

#include "base/arena.h"
#include "base/status.h"
#include "http/request.h"
#include "model/key.h"

/* clang-format off */
#define OPERATION_MAP(X)           \
    X(OP_GET,        "get")        \
    X(OP_HEAD,       "head")       \
    X(OP_PUT,        "put")        \
    X(OP_PATCH,      "patch")      \
    X(OP_DELETE,     "delete")     \
    X(OP_OPTIONS,    "options")    \
    X(OP_CALL,       "call")       \
    X(OP_FORGET,     "forget")     \
    X(OP_TOUCH,      "touch")      \
    X(OP_REFRESH,    "refresh")    \
    X(OP_INVALIDATE, "invalidate") \
    X(OP_BULK,       "bulk")       \
    X(OP_LIST,       "list")       \
    X(OP_SCHEMA,     "schema")     \
    X(OP_OPENAPI,    "openapi")
/* clang-format on */

enum operation {
#define X(op, label) op,
    OPERATION_MAP(X)
#undef X
        OPERATIONS
};

const char *operation_label(enum operation op); /* "get": the metric label */

#define ROUTE_FORMS "/forms" /* an OP_LIST of this path is one of forms */

struct route {
    enum operation op;   /* a method's HEAD is an OP_CALL, as its GET */
    struct slice model;  /* decoded name in the arena, of a model or form; absent where the path names none */
    struct slice method; /* decoded name of one of its methods; absent: none */
    bool form;           /* the path is below /forms */
    const char *allow;   /* on METHOD_NOT_ALLOWED and for OP_OPTIONS: the Allow header's value */
};

/* OK; NOT_FOUND for a path nobody serves; METHOD_NOT_ALLOWED (with allow) for the method; MALFORMED_REQUEST for a bad escape, and for
 * a query where none is taken. */
enum status route_request(const struct http_request *request, struct arena *arena, struct route *route,
                          struct problem *why);

/* The record that the query names, for operations that take no option; everything in the arena. */
enum status route_key(const struct http_request *request, const struct model *m, struct arena *arena,
                      struct record_key *key, struct problem *why);

#endif
