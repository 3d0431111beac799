/* serve/actions.c -- actions on one record, and one on many:
 *
 *     action_touch        renewed: another life (renew.h)                              now or later ... 204
 *     action_invalidate   deleted (forget.h), or renewed: its freshness ends           now or later ... 204
 *                         of a model or tags: their epochs (invalidate.h)          now or later ... 204
 *     action_refresh      read as GET reads with no-cache (serve.c)                    now or later ... 200
 *                         or loaded in the background (fill.h)                         now ... 202
 *
 * As with any write the client may leave and the action goes on, with the exchange. */
#include "serve/actions.h"

#include "base/units.h"
#include "serve/action.h"
#include "serve/answer.h"
#include "serve/fill.h"
#include "serve/forget.h"
#include "serve/groups.h"
#include "serve/invalidate.h"
#include "serve/life.h"
#include "serve/problem.h"
#include "serve/renew.h"
#include "serve/view.h"

/* One touch or invalidation (served NULL: by tags); lives in its exchange's arena. */
struct action {
    struct exchange *ex;
    struct served *served;
    enum operation op;
    struct record_key key;
    struct renew renew;
    struct forget forget;
    struct invalidation all;
    bool waiting; /* holds a reference to its generation, if there is a model */
};

static struct action *action_new(struct exchange *ex, struct served *served, enum operation op)
{
    struct action *a = arena_zalloc(&ex->arena, sizeof *a);
    a->ex = ex;
    a->served = served;
    a->op = op;
    return a;
}

/* Where what was begun goes on. */
static void action_wait(struct action *a)
{
    if (a->waiting) return;
    a->waiting = true;
    if (a->served) generation_ref(a->served->generation);
}

/* The last thing done with a. `why` NULL: it is done, and the reply says so. */
static void action_end(struct action *a, enum outcome outcome, const struct problem *why)
{
    struct served *served = a->served;
    struct generation *generation = a->waiting && served ? served->generation : NULL;
    if (why) problem_reply(a->ex, served, a->op, why, a->key.model ? &a->key : NULL);
    else serve_reply(a->ex, served, a->op, outcome);
    if (generation) generation_unref(generation);
}

/* -- touch -- */

static void touched(struct action *a, enum status status)
{
    char etag[19];
    if (status == OK) {
        answer_etag(a->renew.tag, etag);
        reply_begin(&a->ex->reply, 204);
        reply_header(&a->ex->reply, "ETag", slice_of(etag));
    }
    if (status == MISSING)
        problem_set(&a->renew.problem, status, NULL,
                    "nothing fresh is kept under these keys, and a touch loads nothing");
    action_end(a, OUTCOME_SAVED, status == OK ? NULL : &a->renew.problem);
}

static void on_touched(struct renew *r, enum status status) { touched(container_of(r, struct action, renew), status); }

/* Seconds, or a text such as "15m". */
static enum status read_life(struct slice json, struct arena *arena, uint64_t *life_ms, struct problem *why)
{
    *life_ms = LIFE_UNSAID;
    if (!json.p) return OK;
    struct slice text = json_kind(json) == JSON_STRING ? json_string(json, arena) : json;
    if (units_duration(text, life_ms)) return OK;
    return problem_set(why, MALFORMED_REQUEST, "expires", "`expires` takes seconds, or a duration such as \"15m\"");
}

void action_touch(struct exchange *ex, struct served *served)
{
    struct action_member member[] = {{SLICE("keys"), {NULL, 0}}, {SLICE("expires"), {NULL, 0}}};
    struct action *a = action_new(ex, served, OP_TOUCH);
    struct renew *r = &a->renew;
    struct problem why;
    *r = (struct renew){.serve = ex->owner, .served = served, .key = &a->key, .to = RENEW_LIFE, .done = on_touched};
    enum status st = action_no_query(ex->request.query, &why);
    if (st == OK) st = action_read(&ex->request, &ex->arena, member, 2, &why);
    if (st == OK) st = action_key(served->model, &member[0], &ex->arena, &a->key, &why);
    if (st == OK) st = read_life(member[1].value, &ex->arena, &r->life_ms, &why);
    if (st != OK) {
        problem_reply(ex, served, OP_TOUCH, &why, NULL);
        return;
    }
    st = renew_start(r);
    if (st == PENDING) action_wait(a);
    else touched(a, st);
}

/* -- invalidate -- */

static void invalidated(struct action *a, enum status status, const struct problem *why)
{
    struct reply *reply = &a->ex->reply;
    const struct serve *s = a->ex->owner;
    if (status == OK) {
        reply_begin(reply, 204);
        if (a->served) groups_invalidate(reply, a->served->model);
        else groups_invalidate_tags(reply, s->now, a->all.name, a->all.n);
    }
    action_end(a, OUTCOME_DELETED, status == OK ? NULL : why);
}

static void removed(struct action *a, enum status status)
{
    struct problem why;
    problem_set(&why, status, NULL, "nothing is known to be invalidated");
    invalidated(a, status, &why);
}

static void on_removed(struct forget *f, enum status status)
{
    removed(container_of(f, struct action, forget), status);
}

static void remove_record(struct action *a)
{
    a->forget = (struct forget){.serve = a->ex->owner, .key = &a->key, .done = on_removed};
    enum status st = forget_start(&a->forget);
    if (st == PENDING) action_wait(a);
    else removed(a, st);
}

/* Where there is nothing to fall back on, there may be a load under way, which began too early: a delete bars it. */
static void expired(struct action *a, enum status status)
{
    if (status == MISSING) remove_record(a);
    else invalidated(a, status, &a->renew.problem);
}

static void on_expired(struct renew *r, enum status status) { expired(container_of(r, struct action, renew), status); }

static void expire_record(struct action *a)
{
    a->renew =
        (struct renew){.serve = a->ex->owner, .served = a->served, .key = &a->key, .to = RENEW_END, .done = on_expired};
    enum status st = renew_start(&a->renew);
    if (st == PENDING) action_wait(a);
    else expired(a, st);
}

/* Does the model answer stale records at all? */
static bool falls_back(const struct model *m)
{
    return m->loads && (m->options.stale_while_revalidate_ms || m->options.stale_if_error_ms);
}

/* -- of many -- */

static void on_all_invalidated(struct invalidation *i, enum status status)
{
    invalidated(container_of(i, struct action, all), status, &i->problem);
}

/* `name` lies in the arena. */
static void invalidate_all(struct action *a, enum epoch_mode mode, const struct epoch_name *name, size_t n)
{
    a->all =
        (struct invalidation){.serve = a->ex->owner, .mode = mode, .name = name, .n = n, .done = on_all_invalidated};
    enum status st = invalidation_start(&a->all);
    if (st == PENDING) action_wait(a);
    else on_all_invalidated(&a->all, st);
}

static void invalidate_model(struct action *a, enum epoch_mode mode)
{
    struct epoch_name *name = arena_alloc(&a->ex->arena, sizeof *name);
    *name = (struct epoch_name){.kind = EPOCH_MODEL, .text = arena_dup(&a->ex->arena, model_group(a->served->model))};
    invalidate_all(a, mode, name, 1);
}

static void invalidate_one(struct action *a, enum epoch_mode mode)
{
    bool expires = mode == EPOCH_EXPIRE && falls_back(a->served->model);
    invalidation_count(a->ex->owner, SLICE("record"), mode, 1);
    if (expires) expire_record(a);
    else remove_record(a);
}

static void invalidate_model_or_record(struct exchange *ex, struct served *served)
{
    struct action_member member[] = {{SLICE("keys"), {NULL, 0}}, {SLICE("mode"), {NULL, 0}}, {SLICE("all"), {NULL, 0}}};
    struct action *a = action_new(ex, served, OP_INVALIDATE);
    struct problem why;
    enum epoch_mode mode;
    bool all;
    enum status st = action_no_query(ex->request.query, &why);
    if (st == OK) st = action_read(&ex->request, &ex->arena, member, 3, &why);
    if (st == OK) st = invalidation_read_mode(member[1].value, &mode, &why);
    if (st == OK) st = action_flag(&member[2], false, &all, &why);
    if (st == OK && all && member[0].value.p)
        st = problem_set(&why, MALFORMED_REQUEST, "all", "`all` is for the whole model, `keys` for one record of it");
    if (st == OK && !all && served->model->kind == MODEL_FORM)
        st = problem_set(&why, MALFORMED_REQUEST, "all",
                         "of a form `all` results are invalidated; DELETE /forms/NAME/METHOD takes one");
    if (st == OK && !all) st = action_key(served->model, &member[0], &ex->arena, &a->key, &why);
    if (st != OK) problem_reply(ex, served, OP_INVALIDATE, &why, NULL);
    else if (all) invalidate_model(a, mode);
    else invalidate_one(a, mode);
}

static void invalidate_tags(struct exchange *ex)
{
    struct action_member member[] = {{SLICE("tags"), {NULL, 0}}, {SLICE("mode"), {NULL, 0}}};
    const struct epoch_name *name;
    size_t n;
    enum epoch_mode mode;
    struct problem why;
    enum status st = action_no_query(ex->request.query, &why);
    if (st == OK) st = action_read(&ex->request, &ex->arena, member, 2, &why);
    if (st == OK) st = invalidation_read_mode(member[1].value, &mode, &why);
    if (st == OK) st = invalidation_read_tags(member[0].value, &ex->arena, &name, &n, &why);
    if (st != OK) problem_reply(ex, NULL, OP_INVALIDATE, &why, NULL);
    else invalidate_all(action_new(ex, NULL, OP_INVALIDATE), mode, name, n);
}

void action_invalidate(struct exchange *ex, struct served *served)
{
    if (served) invalidate_model_or_record(ex, served);
    else invalidate_tags(ex);
}

/* -- refresh -- */

/* By one flight, behind the answer; what has failed before is tried again. Who loads already need not be told. */
static void load_behind(struct exchange *ex, struct served *served, const struct record_key *key)
{
    struct serve *s = ex->owner;
    backoff_forget(flight_backoff(s->flights), key->stored);
    struct flight *flight = flight_found(s->flights, key->stored, fetch_era(s, served));
    if (flight) fill_start(s, served, key, ex->id, NULL, flight, NULL, FILL_BLIND);
    reply_begin(&ex->reply, 202);
    serve_reply(ex, served, OP_REFRESH, (enum outcome)OK);
}

/* How much of the document is answered. */
static enum status read_view(const struct exchange *ex, const struct model *m, struct arena *arena, struct view *view,
                             struct problem *why)
{
    struct query_option *option;
    size_t n = 0;
    bool taken = true;
    *view = view_default(m);
    enum status st = action_options(m, ex->request.query, arena, &option, &n, why);
    for (size_t i = 0; st == OK && i < n; i++) {
        st = view_option(m, &option[i], arena, view, &taken, why);
        if (!taken)
            st = problem_set(why, MALFORMED_REQUEST, NULL, "a refresh knows no option `%.*s`",
                             SLICE_ARG(option[i].name));
    }
    if (!m->refers) view->depth = 0;
    return st;
}

void action_refresh(struct exchange *ex, struct served *served)
{
    struct action_member member[] = {{SLICE("keys"), {NULL, 0}}, {SLICE("wait"), {NULL, 0}}};
    struct arena *arena = &ex->arena;
    struct record_key *key = arena_alloc(arena, sizeof *key);
    const struct model *m = served->model;
    struct problem why;
    struct view view;
    bool wait;
    enum status st = OK;
    if (!m->loads)
        st = problem_set(&why, NOT_FOUND, NULL, "model `%.*s` has no loader: there is nothing to refresh from",
                         SLICE_ARG(m->name));
    if (st == OK) st = read_view(ex, m, arena, &view, &why);
    if (st == OK) st = action_read(&ex->request, arena, member, 2, &why);
    if (st == OK) st = action_flag(&member[1], false, &wait, &why);
    if (st == OK) st = action_key(m, &member[0], arena, key, &why);
    if (st != OK) problem_reply(ex, served, OP_REFRESH, &why, NULL);
    else if (wait) serve_anew(ex, served, key, &view);
    else load_behind(ex, served, key);
}
