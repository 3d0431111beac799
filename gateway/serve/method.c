/* serve/method.c -- results of cached methods:
 *
 *     method_answer
 *       call     parameters -> key of the result (call.h)         now or later
 *       fetch    GET, HEAD, POST: found, or made by one flight    now or later ... answer
 *       forget   DELETE: gone from the store                      now or later ... answer
 *
 * A client may leave while its result is looked for; a flight goes on without it, and so does a DELETE, with its exchange (no on_gone). */
#include "serve/method.h"

#include "base/clock.h"
#include "serve/answer.h"
#include "serve/call.h"
#include "serve/forget.h"
#include "serve/groups.h"
#include "serve/problem.h"
#include "serve/terms.h"

#include <stdio.h>

/* -- finding -- */

static struct served *lookup(const struct served *owner, struct slice name)
{
    char full[2 * MODEL_NAME_MAX + 2];        /* "Home.geocode" */
    if (!model_name_valid(name)) return NULL; /* nor would "geocode\0x" be told from "geocode" here */
    int n = snprintf(full, sizeof full, "%.*s.%.*s", SLICE_ARG(owner->model->name), SLICE_ARG(name));
    return map_get(&owner->generation->models, slice_from(full, (size_t)n));
}

struct served *method_find(struct served *owner, struct slice name, struct problem *why)
{
    struct served *method = lookup(owner, name);
    if (method) return method;
    const struct model *m = owner->model;
    bool form = m->kind == MODEL_FORM;
    enum model_kind kind = form ? MODEL_FORM_METHOD : MODEL_METHOD;
    struct hint hint;
    problem_set(why, NOT_FOUND, NULL, "%s `%.*s` has no method `%.*s`%s", form ? "form" : "model", SLICE_ARG(m->name),
                SLICE_ARG(name), registry_hint(vm_registry(owner->generation->vm), kind, m, name, &hint));
    return NULL;
}

/* -- answering -- */

/* One request; lives in its exchange's arena. */
struct calling {
    struct exchange *ex;
    struct served *served;
    enum operation op;
    struct demand demand;
    struct trail trail; /* of nobody but this request */
    struct call call;
    struct fetch fetch;
    struct forget forget;
    bool fetched; /* fetch holds something, or is under way */
    bool waiting; /* holds a reference to its generation */
};

static void calling_drop(struct calling *c)
{
    call_finish(&c->call);
    if (c->fetched) fetch_finish(&c->fetch);
}

/* Sends what stands in ex->reply. */
static void calling_end(struct calling *c, enum outcome outcome)
{
    struct generation *generation = c->waiting ? c->served->generation : NULL;
    calling_drop(c);
    serve_reply(c->ex, c->served, c->op, outcome); /* c is gone */
    if (generation) generation_unref(generation);
}

static void on_calling_gone(struct exchange *ex)
{
    struct calling *c = ex->user;
    struct generation *generation = c->served->generation;
    calling_drop(c);
    generation_unref(generation);
}

/* Something is under way: it ends with the client only if it may. */
static void calling_wait(struct calling *c, bool cancellable)
{
    c->ex->user = c;
    c->ex->on_gone = cancellable ? on_calling_gone : NULL;
    if (c->waiting) return;
    c->waiting = true;
    generation_ref(c->served->generation);
}

/* -- DELETE -- */

static void forget_answer(struct calling *c, enum status status)
{
    struct exchange *ex = c->ex;
    struct problem why;
    if (status == OK) {
        reply_begin(&ex->reply, 204);
        groups_invalidate(&ex->reply, c->served->model);
    } else {
        problem_set(&why, status, NULL, "nothing is known to be forgotten");
        problem_fill(ex, &why, c->served->model, &c->call.key);
    }
    calling_end(c, status == OK ? OUTCOME_DELETED : (enum outcome)status);
}

static void on_forgotten(struct forget *f, enum status status)
{
    forget_answer(container_of(f, struct calling, forget), status);
}

static void forget(struct calling *c)
{
    c->forget = (struct forget){.serve = c->ex->owner, .key = &c->call.key, .done = on_forgotten};
    enum status status = forget_start(&c->forget);
    if (status == PENDING) calling_wait(c, false);
    else forget_answer(c, status);
}

/* -- GET, HEAD, POST -- */

static enum outcome outcome_of(const struct fetch *f, enum status status)
{
    if (status != OK) return (enum outcome)status;
    return fetch_outcome(f->source);
}

static void result_answer(struct calling *c, enum status status)
{
    struct fetch *f = &c->fetch;
    if (status == MISSING && c->demand.only_if_cached && !f->blob)
        status = problem_set(&f->problem, NOT_CACHED, NULL, "only-if-cached was asked, and there is no copy");
    if (c->call.explain) answer_explained(c->ex, f, status, clock_wall_ms());
    else if (status == OK || status == MISSING) answer_fetch(c->ex, f, status, clock_wall_ms());
    else answer_failure(c->ex, f);
    calling_end(c, outcome_of(f, status));
}

static void on_fetched(struct fetch *f, enum status status)
{
    result_answer(container_of(f, struct calling, fetch), status);
}

static void fetch(struct calling *c)
{
    c->fetched = true;
    c->fetch = (struct fetch){.serve = c->ex->owner,
                              .served = c->served,
                              .key = &c->call.key,
                              .demand = &c->demand,
                              .request = c->ex->id,
                              .done = on_fetched};
    enum status status = fetch_start(&c->fetch, clock_wall_ms());
    if (status == PENDING) calling_wait(c, true);
    else result_answer(c, status);
}

/* -- all of them -- */

static void called(struct calling *c, enum status status)
{
    struct problem *why = &c->call.problem;
    if (status == MISSING && c->demand.only_if_cached)
        status = problem_set(why, NOT_CACHED, NULL, "only-if-cached was asked, and the record it needs is not here");
    if (status == OK) {
        if (c->op == OP_FORGET) forget(c);
        else fetch(c);
        return;
    }
    if (status == FORM_INVALID) problem_fill_with(c->ex, why, c->served->model, NULL, "errors", c->call.errors);
    else problem_fill(c->ex, why, c->served->model, NULL);
    calling_end(c, (enum outcome)status);
}

static void on_called(struct call *call, enum status status)
{
    called(container_of(call, struct calling, call), status);
}

/* A POST is answered in full, whatever its client has already (RFC 9110 13.1.2). */
static void ignore_condition(struct http_request *r)
{
    for (size_t i = 0; i < r->headers; i++)
        if (slice_ieq(r->header[i].name, SLICE("if-none-match"))) r->header[i].name = SLICE("-");
}

static enum status read_body(const struct http_request *r, struct call *call, struct problem *why)
{
    struct slice type = http_request_header(r, "content-type");
    struct slice essence = slice_trim(slice_cut(&type, ';'));
    bool encoded = http_request_header(r, "content-encoding").p != NULL;
    if (r->body.n == 0) return OK;
    if (!encoded && slice_ieq(essence, SLICE("application/x-www-form-urlencoded"))) {
        call->form = r->body;
        return OK;
    }
    call->json = r->body;
    if (terms_media(r, why) == OK) return OK;
    return problem_set(why, UNSUPPORTED_MEDIA, NULL,
                       "a call takes application/json or application/x-www-form-urlencoded, without Content-Encoding");
}

/* What the request asks for beside its parameters. */
static enum status read_request(struct calling *c, const struct grant *grant, struct problem *why)
{
    struct http_request *r = &c->ex->request;
    if (c->op == OP_FORGET) return terms_unconditional(r, why);
    c->demand = demand_of(r, access_may_refresh(grant));
    if (r->method == METHOD_HEAD) c->op = OP_HEAD;
    if (r->method != METHOD_POST) return OK;
    ignore_condition(r);
    return read_body(r, &c->call, why);
}

void method_answer(struct exchange *ex, struct served *served, enum operation op, const struct grant *grant)
{
    struct problem why;
    struct calling *c = arena_zalloc(&ex->arena, sizeof *c);
    c->ex = ex;
    c->served = served;
    c->op = op;
    c->demand = demand_nothing;
    c->trail.request = ex->id;
    c->call = (struct call){.serve = ex->owner,
                            .served = served,
                            .arena = &ex->arena,
                            .query = ex->request.query,
                            .may_explain = op != OP_FORGET,
                            .demand = &c->demand,
                            .trail = &c->trail,
                            .done = on_called};
    if (read_request(c, grant, &why) != OK) {
        problem_reply(ex, served, op, &why, NULL);
        return;
    }
    enum status status = call_start(&c->call);
    if (status == PENDING) calling_wait(c, true);
    else called(c, status);
}
