/* serve/serve.c -- the story of one request:
 *
 *     serve_request   bytes are a request already (http/)
 *       route           which model, which operation            now
 *       gate_check      may it? (access.c)                      now
 *       read            GET, HEAD
 *         view            which record, how much of it          now
 *         demand          how far to look, what of that will do now
 *         fetch           store, else one flight of its loader  now or later
 *         or documents    the same, and all it refers to        now or later
 *         answer          record -> headers and slices          now
 *       save_put, save_delete (save.c), patch_record (patch.c)
 *       action_touch, _invalidate, _refresh (actions.c), bulk_answer (bulk.c)
 *       describe_answer: lists and schemas (describe.c)
 *     serve_reply     counted, written
 *
 * A request that waits keeps itself in its exchange's arena and a reference to its generation of models (in its fetch). */
#include "serve/serve.h"

#include "base/clock.h"
#include "base/hash.h"
#include "serve/actions.h"
#include "serve/answer.h"
#include "serve/bulk.h"
#include "serve/describe.h"
#include "serve/document.h"
#include "serve/fetch.h"
#include "serve/fill.h"
#include "serve/method.h"
#include "serve/patch.h"
#include "serve/problem.h"
#include "serve/save.h"
#include "serve/terms.h"
#include "serve/vetting.h"

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
        served->epoch = epoch_id_of(EPOCH_MODEL, model_group(served->model));
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
    s->gate.metrics = metrics;
    uint64_t seed[] = {clock_mono_us(), (uintptr_t)s};
    s->chance = hash_seeded(slice_from(seed, sizeof seed));
    list_init(&s->generations);
    list_init(&s->fills);
    list_init(&s->vettings);
    s->now = generation_new(s, vm);
    for (int op = 0; op < OPERATIONS; op++) {
        struct slice label = slice_of(operation_label(op));
        s->request_time[op] = metrics_histogram(metrics, METRIC_REQUEST_TIME, &label);
    }
}

void serve_swap(struct serve *s, struct vm *vm, struct tokens *tokens)
{
    gate_set(&s->gate, tokens);
    struct generation *old = s->now;
    s->now = generation_new(s, vm);
    generation_unref(old);
}

void serve_stop_saves(struct serve *s) { vetting_stop_all(s); }

void serve_stop(struct serve *s) { fill_stop_all(s); }

void serve_deinit(struct serve *s)
{
    gate_set(&s->gate, NULL);
    compress_deinit(&s->compress);
    generation_unref(s->now);
}

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
    if (s->cors.n) cors_permit(&s->cors, ex);
    compress_send(&s->compress, ex, flight_loop(s->flights));
}

/* -- reads -- */

/* A GET or HEAD; lives in its exchange's arena. */
struct read {
    struct exchange *ex;
    enum operation op;
    const struct record_key *key;
    struct demand demand;
    bool waiting; /* holds a reference to its generation */
};

/* Of a record as it is stored. */
struct record_read {
    struct read read;
    struct fetch fetch;
};

/* Of a record with what it refers to, or of a part of one. */
struct document_read {
    struct read read;
    struct documents documents;
    struct document document;
};

static enum status not_cached(struct problem *why, const char *path)
{
    return problem_set(why, NOT_CACHED, path, "only-if-cached was asked, and there is no copy");
}

static enum outcome read_outcome(enum status status, enum fetch_source source)
{
    return status == OK ? fetch_outcome(source) : (enum outcome)status;
}

/* The answer is in the exchange's reply. `r` is gone then. */
static void read_end(struct read *r, struct served *served, enum outcome outcome)
{
    struct generation *generation = r->waiting ? served->generation : NULL;
    serve_reply(r->ex, served, r->op, outcome);
    if (generation) generation_unref(generation);
}

static void read_wait(struct read *r, struct served *served, void (*on_gone)(struct exchange *ex))
{
    r->waiting = true;
    generation_ref(served->generation);
    r->ex->user = r;
    r->ex->on_gone = on_gone;
}

/* -- of a record -- */

static void on_record_read(struct fetch *f, enum status status)
{
    struct record_read *r = container_of(f, struct record_read, fetch);
    if (status == MISSING && r->read.demand.only_if_cached && !f->blob) status = not_cached(&f->problem, NULL);
    if (status == OK || status == MISSING) answer_fetch(r->read.ex, f, status, f->now_ms);
    else answer_failure(r->read.ex, f);
    fetch_finish(f);
    read_end(&r->read, f->served, read_outcome(status, f->source));
}

/* The client has left: the flight, if there is one, goes on without us. */
static void on_record_read_gone(struct exchange *ex)
{
    struct record_read *r = ex->user;
    fetch_finish(&r->fetch);
    generation_unref(r->fetch.served->generation);
}

static void read_record(struct read read, struct served *served)
{
    struct exchange *ex = read.ex;
    struct record_read *r = arena_alloc(&ex->arena, sizeof *r);
    r->read = read;
    r->fetch = (struct fetch){.serve = ex->owner,
                              .served = served,
                              .key = read.key,
                              .demand = &r->read.demand,
                              .request = ex->id,
                              .done = on_record_read};
    enum status st = fetch_start(&r->fetch, clock_wall_ms());
    if (st == PENDING) read_wait(&r->read, served, on_record_read_gone);
    else on_record_read(&r->fetch, st);
}

/* -- of a document -- */

static void on_document_read(struct documents *d)
{
    struct document_read *r = container_of(d, struct document_read, documents);
    struct document *doc = &r->document;
    if (doc->status == MISSING && r->read.demand.only_if_cached && doc->absent) {
        doc->status = not_cached(&doc->problem, doc->problem.path);
        doc->fresh.known = false;
    }
    answer_document(r->read.ex, d, doc, clock_wall_ms());
    documents_finish(d);
    read_end(&r->read, d->served, read_outcome(doc->status, doc->fresh.source));
}

static void on_document_read_gone(struct exchange *ex)
{
    struct document_read *r = ex->user;
    documents_finish(&r->documents);
    generation_unref(r->documents.served->generation);
}

static void read_document(struct read read, struct served *served, struct view view)
{
    struct exchange *ex = read.ex;
    struct document_read *r = arena_alloc(&ex->arena, sizeof *r);
    r->read = read;
    r->document.key = read.key;
    r->documents = (struct documents){.serve = ex->owner,
                                      .served = served,
                                      .arena = &ex->arena,
                                      .view = view,
                                      .demand = &r->read.demand,
                                      .request = ex->id,
                                      .document = &r->document,
                                      .n = 1,
                                      .done = on_document_read};
    if (documents_start(&r->documents, clock_wall_ms()) == PENDING) read_wait(&r->read, served, on_document_read_gone);
    else on_document_read(&r->documents);
}

/* -- both -- */

static void read_start(struct exchange *ex, struct served *served, enum operation op, const struct grant *grant)
{
    struct problem why;
    struct view view;
    struct record_key *key = arena_alloc(&ex->arena, sizeof *key);
    if (view_query(served->model, ex->request.query, &ex->arena, key, &view, &why) != OK) {
        problem_reply(ex, served, op, &why, NULL);
        return;
    }
    struct read read = {.ex = ex, .op = op, .key = key, .demand = demand_of(&ex->request, access_may_refresh(grant))};
    if (view_is_record(&view)) read_record(read, served);
    else read_document(read, served, view);
}

void serve_anew(struct exchange *ex, struct served *served, const struct record_key *key, const struct view *view)
{
    struct read read = {.ex = ex, .op = OP_REFRESH, .key = key, .demand = demand_anew};
    if (view_is_record(view)) read_record(read, served);
    else read_document(read, served, *view);
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

/* Its token permits it; what that gives is left in *grant. Otherwise it is answered: of what is here, only to those who may know. */
static bool admitted(struct exchange *ex, const struct route *route, bool routed, const struct grant **grant)
{
    struct serve *s = ex->owner;
    struct need need = access_need(&ex->request, routed ? route : NULL);
    enum status status = gate_check(&s->gate, ex, &need, grant);
    if (status == OK) access_curb(*grant, &ex->request);
    else serve_reply(ex, NULL, route->op, (enum outcome)status);
    return status == OK;
}

void serve_request(struct exchange *ex)
{
    struct serve *s = ex->owner;
    struct route route;
    struct problem why;
    const struct grant *grant = NULL; /* lives until the next reload: not for what waits */
    bool routed = route_request(&ex->request, &ex->arena, &route, &why) == OK;
    if (s->cors.n && cors_is_preflight(&ex->request)) {
        cors_preflight(&s->cors, ex);
        serve_reply(ex, NULL, OP_OPTIONS, (enum outcome)OK);
        return;
    }
    if (s->gate.tokens && !admitted(ex, &route, routed, &grant)) return;
    if (!routed) {
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
    case OP_HEAD: read_start(ex, served, route.op, grant); break;
    case OP_PUT: save_put(ex, served, grant); break;
    case OP_PATCH: patch_record(ex, served); break;
    case OP_DELETE: save_delete(ex, served); break;
    case OP_TOUCH: action_touch(ex, served); break;
    case OP_INVALIDATE: action_invalidate(ex, served); break;
    case OP_REFRESH: action_refresh(ex, served); break;
    case OP_BULK: bulk_answer(ex, served, grant); break;
    case OP_LIST:
    case OP_SCHEMA:
    case OP_OPENAPI: describe_answer(ex, served, route.op); break;
    case OP_CALL:
    case OP_FORGET: method_answer(ex, served, route.op, grant); break;
    case OP_OPTIONS:
    case OPERATIONS: options_reply(ex, served, &route); break;
    }
}
