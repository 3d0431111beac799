/* serve/problem.c -- errors on the wire. Nothing is told but what struct problem holds, the model's name, the keys the client itself has
 * sent, and what a form has to say to it of its inputs: no other words of a handler, no path of this machine. */
#include "serve/problem.h"

#include "base/json.h"

#define PROBLEM_BYTES_MAX 16384

static void put_member(struct buffer *b, const char *name, struct slice text)
{
    buffer_char(b, ',');
    json_put_string(b, slice_of(name));
    buffer_char(b, ':');
    json_put_string(b, text);
}

static void put_keys(struct buffer *b, const struct record_key *key)
{
    size_t before = b->n;
    bool first = true;
    buffer_slice(b, SLICE(",\"keys\":{"));
    for (size_t i = 0; i < key->model->keys; i++) {
        if (!key->json[i].p) continue; /* an optional argument that was not given */
        if (!first) buffer_char(b, ',');
        first = false;
        buffer_slice(b, key->model->field[key->model->key[i]].prefix);
        buffer_slice(b, key->json[i]);
    }
    buffer_char(b, '}');
    if (b->overflow) { /* keys of many kilobytes: the problem is told without them */
        b->n = before;
        b->overflow = false;
    }
}

/* What is told where whoever met the problem had no more to say. */
static const char *plain_detail(enum status status)
{
    switch (status) {
    case MISSING: return "nothing is kept under these keys, and nothing could be loaded";
    case MALFORMED_REQUEST: return "the request line, a header field or the body's framing is not as HTTP/1.1 wants it";
    case BODY_TOO_LARGE: return "the body has more bytes than --max-body allows";
    case URI_TOO_LONG: return "the request target has more bytes than --max-uri allows";
    case HEADERS_TOO_LARGE: return "the header fields have more bytes than --max-headers allows, or are more than 64";
    case REQUEST_TIMEOUT: return "the head did not arrive within --header-timeout, or the body within --body-timeout";
    case EXPECTATION_FAILED: return "of all that Expect may ask, only 100-continue is known here";
    case VERSION_UNSUPPORTED: return "HTTP/1.1 and HTTP/1.0 are spoken here";
    case OVERLOADED:
        return "more connections than --max-connections, or more bytes of slow clients than --client-bytes";
    case NOT_IMPLEMENTED: return "the method, or the transfer coding of the body, is not known here";
    default: return status_title(status);
    }
}

static void put_problem(struct buffer *b, const struct problem *p, const struct model *model,
                        const struct record_key *key)
{
    const char *code = status_code(p->status);
    buffer_printf(b, "{\"type\":\"urn:perigee:problem:%s\",\"code\":\"%s\"", code, code);
    put_member(b, "title", slice_of(status_title(p->status)));
    buffer_printf(b, ",\"status\":%d", status_http(p->status));
    put_member(b, "detail", slice_of(p->detail[0] ? p->detail : plain_detail(p->status)));
    if (p->path[0]) put_member(b, "path", slice_of(p->path));
    if (model) put_member(b, "model", model->name);
    if (key) put_keys(b, key);
}

static void fill(struct reply *reply, const struct problem *p, const struct buffer *body)
{
    unsigned retry_s = p->retry_s ? p->retry_s : reply->status == 503;
    reply_header(reply, "Content-Type", SLICE("application/problem+json"));
    if (retry_s) reply_headerf(reply, "Retry-After", "%u", retry_s);
    reply_body(reply, arena_dup(reply->arena, buffer_view(body)), NULL);
}

/* By heuristics a cache may keep a 404, 405, 414 or 501 that does not forbid it (RFC 9110 15.1). */
static void forbid_caching(struct reply *reply) { reply_header(reply, "Cache-Control", SLICE("no-store")); }

void problem_fill(struct exchange *ex, const struct problem *p, const struct model *model, const struct record_key *key)
{
    problem_fill_cacheable(ex, p, model, key);
    forbid_caching(&ex->reply);
}

static void fill_problem(struct exchange *ex, const struct problem *p, const struct model *model,
                         const struct record_key *key, const char *member, struct slice json)
{
    struct buffer b;
    buffer_init(&b, PROBLEM_BYTES_MAX + json.n);
    put_problem(&b, p, model, key);
    if (json.p) {
        buffer_printf(&b, ",\"%s\":", member);
        buffer_slice(&b, json);
    }
    buffer_printf(&b, ",\"request\":\"%016llx\"}", (unsigned long long)ex->id);
    reply_begin(&ex->reply, status_http(p->status));
    fill(&ex->reply, p, &b);
    buffer_deinit(&b);
}

void problem_fill_cacheable(struct exchange *ex, const struct problem *p, const struct model *model,
                            const struct record_key *key)
{
    fill_problem(ex, p, model, key, "", (struct slice){NULL, 0});
}

void problem_reply(struct exchange *ex, struct served *served, enum operation op, const struct problem *p,
                   const struct record_key *key)
{
    problem_fill(ex, p, served ? served->model : NULL, key);
    serve_reply(ex, served, op, (enum outcome)p->status);
}

void problem_fill_with(struct exchange *ex, const struct problem *p, const struct model *model,
                       const struct record_key *key, const char *member, struct slice json)
{
    fill_problem(ex, p, model, key, member, json);
    forbid_caching(&ex->reply);
}

void problem_put(struct buffer *b, const struct problem *p, const struct model *model, const struct record_key *key)
{
    put_problem(b, p, model, key);
    buffer_char(b, '}');
}

void problem_refusal(void *owner, enum status why, struct reply *reply)
{
    struct problem p = {.status = why};
    struct buffer b;
    buffer_init(&b, PROBLEM_BYTES_MAX);
    problem_put(&b, &p, NULL, NULL);
    fill(reply, &p, &b);
    forbid_caching(reply);
    buffer_deinit(&b);
}
