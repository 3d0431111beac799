/* serve/access.c -- what a request may do. The challenges in WWW-Authenticate are those of RFC 6750 3: nothing but the scheme for who has
 * brought no token, the error for who has. */
#include "serve/access.h"

#include "base/log.h"
#include "serve/demand.h"
#include "serve/problem.h"

#include <inttypes.h>
#include <stdio.h>

/* -- what is needed -- */

/* "no-cache" makes the loader work, whatever is stored. */
unsigned access_of_read(const struct http_request *request)
{
    return demand_of(request, true).mode == FETCH_RELOAD ? PERMIT_READ | PERMIT_REFRESH : PERMIT_READ;
}

/* Every operation has its row, so that the compiler asks about a new one. */
static unsigned permissions_of(enum operation op, const struct http_request *request)
{
    switch (op) {
    case OP_GET:
    case OP_HEAD:
    case OP_CALL: return access_of_read(request);
    case OP_PUT:
    case OP_PATCH:
    case OP_DELETE:
    case OP_FORGET:
    case OP_TOUCH:
    case OP_INVALIDATE: return PERMIT_WRITE;
    case OP_REFRESH: return PERMIT_READ | PERMIT_REFRESH;
    case OP_LIST:
    case OP_SCHEMA:
    case OP_OPENAPI: return PERMIT_READ;
    case OP_BULK: /* its body says: bulk.c asks again */
    case OP_OPTIONS:
    case OPERATIONS: break;
    }
    return 0;
}

struct need access_need(const struct http_request *request, const struct route *route)
{
    struct need need = {0};
    if (!route) return need;
    need.permissions = permissions_of(route->op, request);
    if (need.permissions) need.model = route->model;
    need.everywhere = route->op == OP_INVALIDATE && !route->model.p; /* a tag may stand on records of any */
    return need;
}

/* -- the header -- */

/* The token, or absent with the reason. Other schemes count as none: their clients do not know yet what is wanted. */
static struct slice token_of(const struct http_request *request, enum access_reason *reason)
{
    struct slice absent = {NULL, 0}, rest = absent;
    size_t headers = 0;
    for (size_t i = 0; i < request->headers; i++) {
        if (!slice_ieq(request->header[i].name, SLICE("authorization"))) continue;
        rest = request->header[i].value;
        headers++;
    }
    struct slice scheme = slice_cut(&rest, ' '), token = slice_trim(rest);
    bool is_bearer = slice_ieq(scheme, SLICE("bearer"));
    *reason = headers > 1 ? ACCESS_MALFORMED : is_bearer ? ACCESS_UNKNOWN : ACCESS_MISSING;
    return headers == 1 && is_bearer && token_is_valid(token) ? token : absent;
}

/* -- the check -- */

static enum status refuse(struct refusal *r, enum access_reason reason)
{
    static const struct {
        enum status status;
        const char *detail;
    } of[] = {
        [ACCESS_MISSING] = {UNAUTHORIZED, "this gateway wants Authorization: Bearer TOKEN"},
        [ACCESS_MALFORMED] = {MALFORMED_REQUEST, "there is more than one Authorization header"},
        [ACCESS_UNKNOWN] = {UNAUTHORIZED, "this token is not known"},
    };
    r->reason = reason;
    return problem_set(&r->problem, of[reason].status, NULL, "%s", of[reason].detail);
}

static enum status permit(const struct grant *g, const struct need *need, struct refusal *r)
{
    r->reason = ACCESS_FORBIDDEN;
    r->grant = g;
    r->permission = grant_lacks(g, need->permissions, need->model);
    if (r->permission) return grant_forbids(r->permission, need->model, &r->problem);
    if (!need->everywhere || g->n == 0) return OK;
    r->permission = (enum permission)need->permissions;
    return problem_set(&r->problem, FORBIDDEN, NULL,
                       "the token does not permit `%s` for every model, and tags are of all",
                       permission_label(r->permission));
}

enum status access_check(const struct tokens *tokens, const struct http_request *request, const struct need *need,
                         const struct grant **grant, struct refusal *refusal)
{
    struct slice token = token_of(request, &refusal->reason);
    if (!token.p) return refuse(refusal, refusal->reason);
    const struct grant *g = tokens_find(tokens, token);
    if (!g) return refuse(refusal, ACCESS_UNKNOWN);
    enum status st = permit(g, need, refusal);
    if (st == OK) *grant = g;
    return st;
}

bool access_may_refresh(const struct grant *grant) { return !grant || grant->permits & PERMIT_REFRESH; }

/* RFC 7240 lets a server pass over a preference. */
void access_curb(const struct grant *grant, struct http_request *request)
{
    if (grant->permits & PERMIT_READ) return;
    for (size_t i = 0; i < request->headers; i++)
        if (slice_ieq(request->header[i].name, SLICE("prefer"))) request->header[i].name = SLICE("-");
}

/* -- the gate -- */

void gate_set(struct gate *g, struct tokens *tokens)
{
    tokens_unref(g->tokens);
    g->tokens = tokens;
}

static void count(struct gate *g, enum access_reason reason)
{
    static const struct slice label[] = {
#define X(reason, label) {label, sizeof label - 1},
        ACCESS_MAP(X)
#undef X
    };
    if (!g->failures[reason]) g->failures[reason] = metrics_counter(g->metrics, METRIC_AUTH_FAILURES, &label[reason]);
    counter_add(g->failures[reason], 1);
}

/* Only of known tokens: strangers must not fill the log. */
static void log_forbidden(const struct exchange *ex, const struct refusal *r)
{
    char request[17];
    snprintf(request, sizeof request, "%016" PRIx64, ex->id);
    log_warn("request forbidden", LOG_SLICE("token", r->grant->name), LOG_TEXT("request", request),
             LOG_TEXT("detail", r->problem.detail));
}

static void challenge(struct reply *reply, const struct refusal *r)
{
    switch (r->reason) {
    case ACCESS_MISSING: reply_header(reply, "WWW-Authenticate", SLICE("Bearer realm=\"perigee\"")); break;
    case ACCESS_MALFORMED:
        reply_header(reply, "WWW-Authenticate", SLICE("Bearer realm=\"perigee\", error=\"invalid_request\""));
        break;
    case ACCESS_UNKNOWN:
        reply_header(reply, "WWW-Authenticate", SLICE("Bearer realm=\"perigee\", error=\"invalid_token\""));
        break;
    case ACCESS_FORBIDDEN:
        reply_headerf(reply, "WWW-Authenticate", "Bearer realm=\"perigee\", error=\"insufficient_scope\", scope=\"%s\"",
                      permission_label(r->permission));
        break;
    case ACCESS_REASONS: break;
    }
}

void gate_refuse(struct gate *g, struct exchange *ex, const struct refusal *r)
{
    count(g, r->reason);
    if (r->reason == ACCESS_FORBIDDEN) log_forbidden(ex, r);
    problem_fill(ex, &r->problem, NULL, NULL);
    challenge(&ex->reply, r);
}

enum status gate_check(struct gate *g, struct exchange *ex, const struct need *need, const struct grant **grant)
{
    struct refusal r;
    enum status st = access_check(g->tokens, &ex->request, need, grant, &r);
    if (st != OK) gate_refuse(g, ex, &r);
    return st;
}

enum status gate_permit(struct gate *g, struct exchange *ex, const struct grant *grant, const struct need *need)
{
    struct refusal r;
    enum status st = permit(grant, need, &r);
    if (st != OK) gate_refuse(g, ex, &r);
    return st;
}
