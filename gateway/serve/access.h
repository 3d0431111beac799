/* serve/access.h -- may this request do what it asks? Its token is looked up in the set that is in force, and what the token gives is
 * compared with what the operation needs (RFC 6750: Authorization: Bearer TOKEN, and nowhere else). Where no token file was named there is
 * no set, and everybody may do everything. */
#ifndef PERIGEE_SERVE_ACCESS_H
#define PERIGEE_SERVE_ACCESS_H

#include "http/connection.h"
#include "serve/route.h"
#include "serve/tokens.h"

/* Why a request was refused, for the metric. */
/* clang-format off */
#define ACCESS_MAP(X)                   \
    X(ACCESS_MISSING,   "missing")      \
    X(ACCESS_MALFORMED, "malformed")    \
    X(ACCESS_UNKNOWN,   "unknown")      \
    X(ACCESS_FORBIDDEN, "forbidden")
/* clang-format on */

enum access_reason {
#define X(reason, label) reason,
    ACCESS_MAP(X)
#undef X
        ACCESS_REASONS
};

/* What a request needs beside a token that is known. */
struct need {
    unsigned permissions; /* bits of enum permission: all of these */
    struct slice model;   /* of this model or form; absent: it is of none */
    bool everywhere;      /* of all models: no token for some of them will do */
};

/* What an operation needs. `route` NULL: a path that leads nowhere, and only a token. */
struct need access_need(const struct http_request *request, const struct route *route);

unsigned access_of_read(const struct http_request *request); /* what reading needs, as its head asks for it */

struct refusal {
    enum access_reason reason;
    struct problem problem;
    const struct grant *grant;  /* ACCESS_FORBIDDEN: whose token it was */
    enum permission permission; /* ACCESS_FORBIDDEN: the one it lacks, for this model or at all */
};

/* OK and the grant; or UNAUTHORIZED, FORBIDDEN, or MALFORMED_REQUEST for more than one token. Pure. */
enum status access_check(const struct tokens *tokens, const struct http_request *request, const struct need *need,
                         const struct grant **grant, struct refusal *refusal);

/* May who has this grant make a loader work before its time? NULL: there are no tokens. */
bool access_may_refresh(const struct grant *grant);

/* Takes from a permitted request what it must not have: a write is not answered with the record where the token does not read. */
void access_curb(const struct grant *grant, struct http_request *request);

/* The door of one plane, on one thread. */
struct gate {
    struct tokens *tokens; /* one reference; NULL: the door stands open */
    struct metrics *metrics;
    struct counter *failures[ACCESS_REASONS]; /* made at first use */
};

/* From now on these tokens count; takes the reference. */
void gate_set(struct gate *g, struct tokens *tokens);

/* access_check, and gate_refuse where it is not OK. The gate must have tokens. */
enum status gate_check(struct gate *g, struct exchange *ex, const struct need *need, const struct grant **grant);

/* The same for what shows only later, in a body: a grant that gate_check gave. */
enum status gate_permit(struct gate *g, struct exchange *ex, const struct grant *grant, const struct need *need);

/* Counts a refusal, logs it where a known token was used, and makes ex->reply its problem. */
void gate_refuse(struct gate *g, struct exchange *ex, const struct refusal *r);

#endif
