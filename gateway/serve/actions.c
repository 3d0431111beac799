/* serve/actions.c -- actions on one record:
 *
 *     action_touch        renewed: another life (renew.h)                              now or later ... 204
 *     action_invalidate   deleted (forget.h), or renewed: its freshness ends           now or later ... 204
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
#include "serve/life.h"
#include "serve/problem.h"
#include "serve/renew.h"
#include "serve/view.h"

/* One touch or invalidation; lives in its exchange's arena. */
struct action {
    struct exchange *ex;
    struct served *served;
    enum operation op;
    struct record_key key;
    struct renew renew;
    struct forget forget;
    bool waiting; /* holds a reference to its generation */
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
    generation_ref(a->served->generation);
}

/* The last thing done with a. `why` NULL: it is done, and the reply says so. */
static void action_end(struct action *a, enum outcome outcome, const struct problem *why)
{
    struct served *served = a->served;
    struct generation *generation = a->waiting ? served->generation : NULL;
    if (why) problem_reply(a->ex, served, a->op, why, &a->key);
    else serve_reply(a->ex, served, a->op, outcome);
    if (generation) generation_unref(generation);
}

/* -- touch -- */

static void touched(struct action *a, enum status status)
{
    struct problem missing = {.status = MISSING};
    char etag[19];
    if (status == OK) {
        answer_etag(a->renew.tag, etag);
        reply_begin(&a->ex->reply, 204);
        reply_header(&a->ex->reply, "ETag", slice_of(etag));
    }
    action_end(a, OUTCOME_SAVED, status == OK ? NULL : status == MISSING ? &missing : &a->renew.problem);
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
    if (status == OK) reply_begin(&a->ex->reply, 204);
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

static enum status read_mode(struct slice json, bool *expire, struct problem *why)
{
    *expire = slice_eq(json, SLICE("\"expire\""));
    if (!json.p || *expire || slice_eq(json, SLICE("\"remove\""))) return OK;
    return problem_set(why, MALFORMED_REQUEST, "mode", "`mode` takes \"remove\" or \"expire\"");
}

static void invalidate_record(struct exchange *ex, struct served *served)
{
    struct action_member member[] = {{SLICE("keys"), {NULL, 0}}, {SLICE("mode"), {NULL, 0}}, {SLICE("all"), {NULL, 0}}};
    struct action *a = action_new(ex, served, OP_INVALIDATE);
    struct problem why;
    bool expire, all;
    enum status st = action_no_query(ex->request.query, &why);
    if (st == OK) st = action_read(&ex->request, &ex->arena, member, 3, &why);
    if (st == OK) st = read_mode(member[1].value, &expire, &why);
    if (st == OK) st = action_flag(&member[2], false, &all, &why);
    if (st == OK && all)
        st = problem_set(&why, NOT_IMPLEMENTED, "all",
                         "a whole model cannot be invalidated at once: name records by `keys`");
    if (st == OK) st = action_key(served->model, &member[0], &ex->arena, &a->key, &why);
    if (st != OK) problem_reply(ex, served, OP_INVALIDATE, &why, NULL);
    else if (expire && falls_back(served->model)) expire_record(a);
    else remove_record(a);
}

static void invalidate_tags(struct exchange *ex)
{
    struct action_member tags = {SLICE("tags"), {NULL, 0}};
    struct problem why;
    enum status st = action_no_query(ex->request.query, &why);
    if (st == OK) st = action_read(&ex->request, &ex->arena, &tags, 1, &why);
    if (st == OK && (!tags.value.p || json_kind(tags.value) != JSON_ARRAY))
        st = problem_set(&why, MALFORMED_REQUEST, "tags", "`tags` is an array of texts");
    if (st == OK)
        problem_set(&why, NOT_IMPLEMENTED, "tags",
                    "records cannot be invalidated by their tags: POST /models/NAME/_invalidate takes `keys`");
    problem_reply(ex, NULL, OP_INVALIDATE, &why, NULL);
}

void action_invalidate(struct exchange *ex, struct served *served)
{
    if (served) invalidate_record(ex, served);
    else invalidate_tags(ex);
}

/* -- refresh -- */

/* By one flight, behind the answer; what has failed before is tried again. Who loads already need not be told. */
static void load_behind(struct exchange *ex, struct served *served, const struct record_key *key)
{
    struct serve *s = ex->owner;
    backoff_forget(flight_backoff(s->flights), key->stored);
    struct flight *flight = flight_found(s->flights, key->stored);
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
