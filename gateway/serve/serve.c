/* serve/serve.c -- the story of one request:
 *
 *     serve_request   bytes are a request already (http/)
 *       route           which model, which operation            now
 *       read            GET, HEAD
 *         key             which record                          now
 *         fetch           store, else one flight of its loader  now or later
 *         answer          record -> headers and slices          now
 *       save_put, save_delete (save.c), patch_record (patch.c)
 *       describe_answer: lists and schemas (describe.c)
 *     serve_reply     counted, written
 *
 * A request that waits keeps itself in its exchange's arena and a reference to its generation of models (in its fetch). */
#include "serve/serve.h"

#include "base/clock.h"
#include "serve/answer.h"
#include "serve/describe.h"
#include "serve/fetch.h"
#include "serve/fill.h"
#include "serve/method.h"
#include "serve/patch.h"
#include "serve/problem.h"
#include "serve/save.h"

#include <assert.h>
#include <stdlib.h>

/* -- generations -- */

static struct generation *generation_new(struct serve *s, struct vm *vm)
{
    const struct registry *registry = vm_registry(vm);
    struct generation *g = calloc(1, sizeof *g);
    if (!g) abort();
    g->refs = 1;
    list_append(&s->generations, &g->link);
    g->vm = vm;
    map_init(&g->models);
    g->served = calloc(registry->models + 1, sizeof *g->served);
    if (!g->served) abort();
    for (size_t i = 0; i < registry->models; i++) {
        struct served *served = calloc(1, sizeof *served);
        if (!served) abort();
        served->model = registry->model[i];
        served->generation = g;
        map_put(&g->models, served->model->name, served);
        g->served[i] = served;
    }
    return g;
}

struct generation *generation_of(const struct serve *s, const struct vm *vm)
{
    struct list *link = s->generations.prev;
    while (container_of(link, struct generation, link)->vm != vm) {
        link = link->prev;
        assert(link != &s->generations);
    }
    return container_of(link, struct generation, link);
}

struct generation *generation_ref(struct generation *g)
{
    g->refs++;
    return g;
}

void generation_unref(struct generation *g)
{
    if (--g->refs) return;
    list_remove(&g->link);
    size_t at = 0;
    for (struct served *served; (served = map_next(&g->models, &at));) {
        blob_unref(served->schema.text);
        free(served->references);
        free(served);
    }
    map_deinit(&g->models);
    free(g->served);
    blob_unref(g->list.text);
    blob_unref(g->openapi.text);
    vm_retire(g->vm);
    free(g);
}

void serve_init(struct serve *s, struct vm *vm, struct store *store, const char *store_detail,
                struct flight_port *flights, struct metrics *metrics)
{
    *s = (struct serve){.store = store, .store_detail = store_detail, .flights = flights, .metrics = metrics};
    list_init(&s->generations);
    list_init(&s->fills);
    s->now = generation_new(s, vm);
    for (int op = 0; op < OPERATIONS; op++) {
        struct slice label = slice_of(operation_label(op));
        s->request_time[op] = metrics_histogram(metrics, METRIC_REQUEST_TIME, &label);
    }
}

void serve_swap(struct serve *s, struct vm *vm)
{
    struct generation *old = s->now;
    s->now = generation_new(s, vm);
    generation_unref(old);
}

void serve_stop(struct serve *s) { fill_stop_all(s); }

void serve_deinit(struct serve *s) { generation_unref(s->now); }

/* -- counting -- */

static const char *outcome_label(enum outcome o)
{
    static const char *const label[] = {
#define X(outcome, label) label,
        OUTCOME_MAP(X)
#undef X
    };
    return o <= OUTCOME_STATUSES ? status_code((enum status)o) : label[o - OUTCOME_STATUSES - 1];
}

void serve_reply(struct exchange *ex, struct served *served, enum operation op, enum outcome outcome)
{
    struct serve *s = ex->owner;
    if (!served) served = &s->nobody;
    struct counter **counter = &served->requests[op][outcome];
    if (!*counter) {
        struct slice model = served->model ? served->model->name : SLICE("-");
        struct slice labels[] = {model, slice_of(operation_label(op)), slice_of(outcome_label(outcome))};
        *counter = metrics_counter(s->metrics, METRIC_REQUESTS, labels);
    }
    counter_add(*counter, 1);
    histogram_add(s->request_time[op], clock_mono_us() - ex->started_us);
    exchange_reply(ex);
}

/* -- reads -- */

/* One GET or HEAD; lives in its exchange's arena. */
struct read {
    struct exchange *ex;
    enum operation op;
    struct record_key key;
    struct fetch fetch;
    bool only_if_cached;
    bool waiting; /* holds a reference to its generation */
};

static void read_end(struct read *r, enum status status)
{
    struct exchange *ex = r->ex;
    struct fetch *f = &r->fetch;
    struct served *served = f->served;
    struct generation *generation = r->waiting ? served->generation : NULL;
    if (status == MISSING && r->only_if_cached && !f->blob)
        status = problem_set(&f->problem, NOT_CACHED, NULL, "only-if-cached was asked, and there is no copy");
    enum outcome outcome = (enum outcome)status;
    if (status == OK || status == MISSING) answer_fetch(ex, f, status, clock_wall_ms());
    else answer_failure(ex, f);
    if (status == OK)
        outcome = f->source == SOURCE_STORE    ? OUTCOME_HIT
                  : f->source == SOURCE_LOADED ? OUTCOME_LOADED
                                               : OUTCOME_COLLAPSED;
    fetch_finish(f);
    serve_reply(ex, served, r->op, outcome); /* r is gone */
    if (generation) generation_unref(generation);
}

static void on_read_fetched(struct fetch *f, enum status status)
{
    read_end(container_of(f, struct read, fetch), status);
}

/* The client has left: the flight, if there is one, goes on without us. */
static void on_read_gone(struct exchange *ex)
{
    struct read *r = ex->user;
    fetch_finish(&r->fetch);
    generation_unref(r->fetch.served->generation);
}

/* What the client's Cache-Control asks of us (RFC 9111 5.2.1). */
static enum fetch_mode read_mode(struct read *r)
{
    struct slice control = http_request_header(&r->ex->request, "cache-control");
    r->only_if_cached = cache_directive(control, "only-if-cached").p != NULL;
    if (r->op == OP_HEAD || r->only_if_cached) return FETCH_LOOK;
    return cache_directive(control, "no-cache").p ? FETCH_RELOAD : FETCH_LOAD;
}

static void read_start(struct exchange *ex, struct served *served, enum operation op)
{
    struct problem why;
    struct read *r = arena_alloc(&ex->arena, sizeof *r);
    *r = (struct read){.ex = ex, .op = op};
    if (route_key(&ex->request, served->model, &ex->arena, &r->key, &why) != OK) {
        problem_reply(ex, served, op, &why, NULL);
        return;
    }
    r->fetch = (struct fetch){.serve = ex->owner,
                              .served = served,
                              .key = &r->key,
                              .mode = read_mode(r),
                              .request = ex->id,
                              .done = on_read_fetched};
    enum status st = fetch_start(&r->fetch, clock_wall_ms());
    if (st != PENDING) {
        read_end(r, st);
        return;
    }
    r->waiting = true;
    generation_ref(served->generation);
    ex->user = r;
    ex->on_gone = on_read_gone;
}

/* -- requests -- */

static void options_reply(struct exchange *ex, struct served *served, const struct route *route)
{
    reply_begin(&ex->reply, 204);
    reply_header(&ex->reply, "Allow", slice_of(route->allow));
    if (strstr(route->allow, "PATCH")) reply_header(&ex->reply, "Accept-Patch", SLICE(PATCH_MEDIA));
    serve_reply(ex, served, OP_OPTIONS, (enum outcome)OK);
}

static void refuse(struct exchange *ex, const struct route *route, const struct problem *why)
{
    problem_fill(ex, why, NULL, NULL);
    if (why->status == METHOD_NOT_ALLOWED) reply_header(&ex->reply, "Allow", slice_of(route->allow));
    serve_reply(ex, NULL, route->op, (enum outcome)why->status);
}

static struct served *find_model(struct serve *s, const struct route *route, struct problem *why)
{
    enum model_kind kind = route->form ? MODEL_FORM : MODEL_RECORD;
    struct served *served = map_get(&s->now->models, route->model);
    if (served && served->model->kind != kind) served = NULL;
    if (!served) registry_unknown(vm_registry(s->now->vm), kind, route->model, why);
    return served && route->method.p ? method_find(served, route->method, why) : served;
}

void serve_request(struct exchange *ex)
{
    struct serve *s = ex->owner;
    struct route route;
    struct problem why;
    if (route_request(&ex->request, &ex->arena, &route, &why) != OK) {
        refuse(ex, &route, &why);
        return;
    }
    struct served *served = route.model.p ? find_model(s, &route, &why) : NULL;
    if (route.model.p && !served) {
        problem_reply(ex, NULL, route.op, &why, NULL);
        return;
    }
    switch (route.op) {
    case OP_GET:
    case OP_HEAD: read_start(ex, served, route.op); break;
    case OP_PUT: save_put(ex, served); break;
    case OP_PATCH: patch_record(ex, served); break;
    case OP_DELETE: save_delete(ex, served); break;
    case OP_LIST:
    case OP_SCHEMA:
    case OP_OPENAPI: describe_answer(ex, served, route.op); break;
    case OP_CALL:
    case OP_FORGET: method_answer(ex, served, route.op); break;
    case OP_OPTIONS:
    case OPERATIONS: options_reply(ex, served, &route); break;
    }
}
