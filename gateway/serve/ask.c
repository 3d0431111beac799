/* serve/ask.c -- one question, in order of its life:
 *
 *     asks_begin   JSON -> keys, a body, parameters      now
 *       documents    get                                 now or later
 *       saving       save                                now or later
 *       forget       delete                              now or later
 *       invalidation invalidate_all, invalidate_tags     now or later
 *       call         method: its key                     now or later
 *         fetch        its result                        now or later
 *         forget       ... or no result any more         now or later
 *     settle       the answer waits for a turn of its own: whoever has called back may stand on a running handler
 *     on_idle      asker's done; give back
 *
 * An inquiry belongs to nobody: when its asker goes, a read ends at once, a write when the store has answered, since until then a bar
 * stands before the record's flight. It holds a reference to the generation of models that asks, which may be an older one than
 * requests see. */
#include "serve/ask.h"

#include "base/clock.h"
#include "serve/ask_text.h"
#include "serve/call.h"
#include "serve/condition.h"
#include "serve/forget.h"
#include "serve/invalidate.h"
#include "serve/saving.h"

#include <stdlib.h>

#define SLICE_US 5000 /* of a turn of the loop, before others are served */

struct asks {
    struct ask_gateway gateway;
    struct serve *serve;
    struct list all;   /* inquiries */
    struct list ready; /* those that have their answer */
    uv_idle_t idle;    /* runs while there are ready ones */
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

struct inquiry {
    struct asks *asks;
    struct ask *ask;         /* NULL: the asker has gone, or has been answered */
    struct list link, ready; /* in asks */
    struct generation *generation;
    struct served *served; /* NULL: of no model */
    struct arena arena;
    struct trail trail; /* the asker's: a copy, as a write may outlive it */
    bool writing;       /* saving or forget is under way */

    enum { PLAIN, DOCUMENTS, SAVING, CALL } holds; /* which of these is to be given back */
    union {
        struct documents documents;
        struct {
            struct saving saving;
            struct store_condition when;
        };
        struct call call;
    };
    struct fetch fetch;    /* of a call's result */
    struct record_key key; /* of a delete */
    struct forget forget;
    struct invalidation invalidation;
    struct epoch_name name; /* of a model */

    struct buffer text; /* of documents */
    struct ask_answer one;
};

/* -- the end -- */

static void on_asks_closed(uv_handle_t *handle)
{
    struct asks *s = container_of((uv_idle_t *)handle, struct asks, idle);
    s->closed(s->closed_arg);
    free(s);
}

static void close_when_empty(struct asks *s)
{
    if (s->closing && list_empty(&s->all)) uv_close((uv_handle_t *)&s->idle, on_asks_closed);
}

static void inquiry_free(struct inquiry *q)
{
    struct asks *s = q->asks;
    struct generation *generation = q->generation;
    if (q->holds == DOCUMENTS) documents_finish(&q->documents);
    if (q->holds == SAVING) blob_unref(q->saving.blob);
    if (q->holds == CALL) {
        fetch_finish(&q->fetch);
        call_finish(&q->call);
    }
    list_remove(&q->link);
    list_remove(&q->ready);
    buffer_deinit(&q->text);
    arena_deinit(&q->arena);
    free(q);
    generation_unref(generation);
    close_when_empty(s);
}

static void deliver(struct inquiry *q)
{
    struct ask *ask = q->ask;
    q->ask = NULL;
    ask->done(ask); /* ask is gone */
    inquiry_free(q);
}

/* Those that were ready before, as long as the slice lasts: each wakes a handler. What these ask in their turn waits for the next. */
static void on_idle(uv_idle_t *idle)
{
    struct asks *s = container_of(idle, struct asks, idle);
    uint64_t until_us = clock_mono_us() + SLICE_US;
    struct list now;
    list_init(&now);
    list_splice(&now, &s->ready);
    while (!list_empty(&now) && clock_mono_us() < until_us)
        deliver(container_of(list_shift(&now), struct inquiry, ready));
    list_splice(&now, &s->ready);
    list_splice(&s->ready, &now);
    if (list_empty(&s->ready)) uv_idle_stop(&s->idle);
}

static void settle(struct inquiry *q, const struct ask_answer *answer, size_t answers)
{
    q->writing = false;
    if (!q->ask) {
        inquiry_free(q);
        return;
    }
    q->ask->answer = answer;
    q->ask->answers = answers;
    list_append(&q->asks->ready, &q->ready);
    uv_idle_start(&q->asks->idle, on_idle);
}

static const struct slice no_text = {NULL, 0};

/* The one answer: `text` where it is OK; otherwise q->one.problem says why not. */
static void settle_one(struct inquiry *q, enum status status, struct slice text)
{
    q->one.status = q->one.problem.status = status;
    q->one.text = text;
    settle(q, &q->one, 1);
}

/* -- get -- */

static void on_documents(struct documents *d)
{
    struct inquiry *q = container_of(d, struct inquiry, documents);
    const struct ask_answer *answer = ask_write_answers(d, &q->text);
    if (!q->text.overflow) {
        settle(q, answer, d->n);
        return;
    }
    problem_set(&q->one.problem, DEPTH_EXCEEDED, NULL, "more than %u MiB", DOCUMENTS_BYTES_MAX >> 20);
    settle_one(q, DEPTH_EXCEEDED, no_text);
}

static enum status begin_get(struct inquiry *q)
{
    struct documents *d = &q->documents;
    *d = (struct documents){.serve = q->asks->serve,
                            .served = q->served,
                            .arena = &q->arena,
                            .demand = &demand_nothing,
                            .request = q->trail.request,
                            .trail = &q->trail,
                            .done = on_documents};
    enum status st = ask_read_documents(q->ask, d, &q->one.problem);
    if (st != OK) return st;
    q->holds = DOCUMENTS;
    if (documents_start(d, clock_wall_ms()) != PENDING) on_documents(d);
    return PENDING;
}

/* -- save, delete -- */

static void on_saved(struct saving *saving, enum status status)
{
    struct inquiry *q = container_of(saving, struct inquiry, saving);
    q->one.problem = saving->problem;
    settle_one(q, status, no_text);
}

static enum status begin_save(struct inquiry *q)
{
    q->when = (struct store_condition){{NULL, 0}, {NULL, 0}};
    if (q->ask->if_match.p) {
        enum status given =
            condition_parse("if_match", q->ask->if_match, false, &q->arena, &q->when.is, &q->one.problem);
        if (given != OK) return given;
    }
    q->saving = (struct saving){.serve = q->asks->serve,
                                .served = q->served,
                                .arena = &q->arena,
                                .body = arena_dup(&q->arena, q->ask->json), /* it may outlive its asker */
                                .packed = true,
                                .cascade = q->ask->cascade,
                                .has_life = q->ask->expires_ms != ASK_EXPIRES_UNSET,
                                .life_ms = q->ask->expires_ms,
                                .when = condition_given(&q->when),
                                .trail = &q->trail,
                                .done = on_saved};
    key_draft_init(&q->saving.draft);
    q->holds = SAVING;
    q->writing = true;
    enum status st = saving_start(&q->saving);
    if (st != PENDING) on_saved(&q->saving, st);
    return PENDING;
}

static void on_forgotten(struct forget *f, enum status status)
{
    struct inquiry *q = container_of(f, struct inquiry, forget);
    problem_set(&q->one.problem, status, NULL, "nothing is known to be deleted");
    settle_one(q, status, no_text);
}

static enum status begin_forget(struct inquiry *q, const struct record_key *key)
{
    q->forget = (struct forget){.serve = q->asks->serve, .key = key, .done = on_forgotten};
    q->writing = true;
    enum status st = forget_start(&q->forget);
    if (st != PENDING) on_forgotten(&q->forget, st);
    return PENDING;
}

static enum status begin_delete(struct inquiry *q)
{
    struct slice json = arena_dup(&q->arena, q->ask->json); /* the key points into it, and the asker may go */
    enum status st = ask_read_key(q->served->model, json, &q->arena, &q->key, &q->one.problem);
    return st == OK ? begin_forget(q, &q->key) : st;
}

/* -- invalidate many -- */

static void on_invalidated(struct invalidation *i, enum status status)
{
    struct inquiry *q = container_of(i, struct inquiry, invalidation);
    q->one.problem = i->problem;
    settle_one(q, status, no_text);
}

static enum status begin_invalidate(struct inquiry *q)
{
    struct invalidation *i = &q->invalidation;
    *i = (struct invalidation){.serve = q->asks->serve,
                               .mode = q->ask->expire ? EPOCH_EXPIRE : EPOCH_REMOVE,
                               .name = &q->name,
                               .n = 1,
                               .done = on_invalidated};
    enum status st = OK;
    if (q->served) q->name = (struct epoch_name){.kind = EPOCH_MODEL, .text = model_group(q->served->model)};
    else /* in a copy, as that of a delete */
        st = invalidation_read_tags(arena_dup(&q->arena, q->ask->json), &q->arena, &i->name, &i->n, &q->one.problem);
    if (st != OK) return st;
    q->writing = true;
    st = invalidation_start(i);
    if (st != PENDING) on_invalidated(i, st);
    return PENDING;
}

/* -- methods -- */

static void on_result(struct fetch *f, enum status status)
{
    struct inquiry *q = container_of(f, struct inquiry, fetch);
    q->one.problem = f->problem;
    settle_one(q, status, f->entry.text);
}

static enum status begin_fetch(struct inquiry *q)
{
    q->fetch = (struct fetch){.serve = q->asks->serve,
                              .served = q->served,
                              .key = &q->call.key,
                              .demand = &demand_nothing,
                              .request = q->trail.request,
                              .trail = &q->trail,
                              .done = on_result};
    enum status st = fetch_start(&q->fetch, clock_wall_ms());
    if (st != PENDING) on_result(&q->fetch, st);
    return PENDING;
}

static void on_called(struct call *c, enum status status)
{
    struct inquiry *q = container_of(c, struct inquiry, call);
    if (status == OK && q->ask->what == ASK_CALL) {
        begin_fetch(q);
    } else if (status == OK) {
        begin_forget(q, &c->key);
    } else {
        q->one.problem = c->problem;
        if (status == FORM_INVALID) q->one.errors = c->errors;
        settle_one(q, status, no_text);
    }
}

static enum status begin_call(struct inquiry *q)
{
    q->call = (struct call){.serve = q->asks->serve,
                            .served = q->served,
                            .arena = &q->arena,
                            .json = arena_dup(&q->arena, q->ask->json), /* as that of a delete */
                            .demand = &demand_nothing,
                            .trail = &q->trail,
                            .done = on_called};
    q->holds = CALL;
    enum status st = call_start(&q->call);
    if (st != PENDING) on_called(&q->call, st);
    return PENDING;
}

/* -- the gateway that handlers see -- */

static enum status begin(struct inquiry *q)
{
    if (q->ask->trail) q->trail = *q->ask->trail;
    if (q->asks->closing) return problem_set(&q->one.problem, OVERLOADED, NULL, "the gateway is shutting down");
    switch (q->ask->what) {
    case ASK_GET: return begin_get(q);
    case ASK_SAVE: return begin_save(q);
    case ASK_DELETE: return begin_delete(q);
    case ASK_INVALIDATE_ALL:
    case ASK_INVALIDATE_TAGS: return begin_invalidate(q);
    default: return begin_call(q);
    }
}

static void asks_begin(void *owner, struct ask *ask)
{
    struct asks *s = owner;
    struct inquiry *q = calloc(1, sizeof *q);
    if (!q) abort();
    q->asks = s;
    q->ask = ask;
    q->generation = generation_ref(generation_of(s->serve, ask->vm));
    q->served = ask->model ? served_of(q->generation, ask->model) : NULL;
    list_append(&s->all, &q->link);
    list_init(&q->ready);
    arena_init(&q->arena);
    buffer_init(&q->text, DOCUMENTS_BYTES_MAX);
    ask->operation = q;
    enum status st = begin(q); /* answers itself, now or later, or not at all: then the question was wrong */
    if (st != PENDING) settle_one(q, st, no_text);
}

static void asks_cancel(void *owner, struct ask *ask)
{
    struct inquiry *q = ask->operation;
    q->ask = NULL;
    if (!q->writing) inquiry_free(q);
}

/* -- life -- */

struct asks *asks_open(struct serve *serve, uv_loop_t *loop)
{
    struct asks *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->gateway = (struct ask_gateway){.owner = s, .start = asks_begin, .cancel = asks_cancel};
    s->serve = serve;
    list_init(&s->all);
    list_init(&s->ready);
    uv_idle_init(loop, &s->idle);
    return s;
}

const struct ask_gateway *asks_gateway(const struct asks *a) { return &a->gateway; }

void asks_close(struct asks *s, void (*closed)(void *arg), void *arg)
{
    s->closing = true;
    s->closed = closed;
    s->closed_arg = arg;
    close_when_empty(s);
}
