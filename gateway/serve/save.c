/* serve/save.c -- writes:
 *
 *     save_put:     query -> keys and terms; body -> saved (saving.h) ... answer
 *     save_delete:  query -> key -> deleted (forget.h) ... answer
 *
 * The client may leave; the write goes on and the exchange with it (no on_gone), since what has begun to be stored cannot be called
 * back. */
#include "serve/save.h"

#include "serve/condition.h"
#include "serve/forget.h"
#include "serve/groups.h"
#include "serve/problem.h"
#include "serve/saving.h"
#include "serve/terms.h"

/* -- PUT -- */

/* One PUT; lives in its exchange's arena. */
struct put {
    struct exchange *ex;
    struct trail trail; /* of nobody but this request */
    struct terms terms;
    struct store_condition when;
    struct saving saving;
    bool waiting; /* holds a reference to its generation */
};

/* The last thing done with p. */
static void put_end(struct put *p, enum status status)
{
    struct exchange *ex = p->ex;
    struct saving *s = &p->saving;
    struct served *served = s->served;
    struct generation *generation = p->waiting ? served->generation : NULL;
    if (status == OK) {
        reply_begin(&ex->reply, !s->was_there ? 201 : p->terms.represent ? 200 : 204);
        if (!s->was_there) reply_header(&ex->reply, "Location", key_location(&s->key, &ex->arena));
        groups_invalidate_all(&ex->reply, s->saved, s->n_saved);
        terms_answer(&p->terms, &ex->reply, s->blob);
        blob_unref(s->blob);
        serve_reply(ex, served, OP_PUT, OUTCOME_SAVED);
    } else if (status == FORBIDDEN) {
        gate_refuse(&s->serve->gate, ex, &(struct refusal){ACCESS_FORBIDDEN, s->problem, s->grant, PERMIT_WRITE});
        serve_reply(ex, served, OP_PUT, (enum outcome)FORBIDDEN);
    } else {
        problem_reply(ex, served, OP_PUT, &s->problem, s->key.model ? &s->key : NULL);
    }
    if (generation) generation_unref(generation);
}

static void on_saved(struct saving *s, enum status status) { put_end(container_of(s, struct put, saving), status); }

/* All that the head of the request says. */
static enum status put_read(struct put *p, struct problem *why)
{
    const struct http_request *request = &p->ex->request;
    struct saving *s = &p->saving;
    struct query_option *option;
    size_t n;
    enum status st;
    key_draft_init(&s->draft);
    if ((st = condition_read(request, s->arena, &p->when, why)) != OK) return st;
    if ((st = terms_media(request, why)) != OK) return st;
    if ((st = key_parse_query(s->served->model, request->query, s->arena, &s->draft, &option, &n, why)) != OK)
        return st;
    if ((st = terms_read(request, OP_PUT, option, n, &p->terms, why)) != OK) return st;
    s->cascade = p->terms.cascade;
    s->has_life = p->terms.has_life;
    s->life_ms = p->terms.life_ms;
    s->when = condition_given(&p->when);
    return OK;
}

void save_put(struct exchange *ex, struct served *served, const struct grant *grant)
{
    struct put *p = arena_alloc(&ex->arena, sizeof *p);
    struct saving *s = &p->saving;
    p->ex = ex;
    p->waiting = false;
    s->serve = ex->owner;
    s->served = served;
    s->arena = &ex->arena;
    s->body = ex->request.body;
    s->packed = false;
    p->trail = (struct trail){.request = ex->id};
    s->trail = &p->trail;
    s->grant = grant;
    s->done = on_saved;
    s->key.model = NULL;
    enum status st = put_read(p, &s->problem);
    if (st == OK) st = saving_start(s);
    if (st != PENDING) {
        put_end(p, st);
        return;
    }
    p->waiting = true;
    generation_ref(served->generation);
}

/* -- DELETE -- */

/* One DELETE; lives in its exchange's arena. */
struct removal {
    struct exchange *ex;
    struct served *served;
    struct record_key key;
    struct store_condition when;
    struct forget forget;
    bool waiting; /* holds a reference to its generation */
};

/* The last thing done with r. */
static void removal_end(struct removal *r, enum status status)
{
    struct exchange *ex = r->ex;
    struct served *served = r->served;
    struct generation *generation = r->waiting ? served->generation : NULL;
    struct problem why;
    if (status == OK) {
        reply_begin(&ex->reply, 204);
        groups_invalidate(&ex->reply, served->model);
        serve_reply(ex, served, OP_DELETE, OUTCOME_DELETED);
    } else {
        problem_set(&why, status, NULL, "nothing is known to be deleted");
        if (status == PRECONDITION_FAILED) condition_failed(&r->when, served->model, &why);
        problem_reply(ex, served, OP_DELETE, &why, &r->key);
    }
    if (generation) generation_unref(generation);
}

static void on_deleted(struct forget *f, enum status status)
{
    removal_end(container_of(f, struct removal, forget), status);
}

void save_delete(struct exchange *ex, struct served *served)
{
    struct problem why;
    struct removal *r = arena_alloc(&ex->arena, sizeof *r);
    if (condition_read(&ex->request, &ex->arena, &r->when, &why) != OK ||
        route_key(&ex->request, served->model, &ex->arena, &r->key, &why) != OK) {
        problem_reply(ex, served, OP_DELETE, &why, NULL);
        return;
    }
    r->ex = ex;
    r->served = served;
    r->waiting = false;
    r->forget = (struct forget){
        .serve = ex->owner, .key = &r->key, .when = condition_given(&r->when), .served = served, .done = on_deleted};
    enum status st = forget_start(&r->forget);
    if (st != PENDING) {
        removal_end(r, st);
        return;
    }
    r->waiting = true;
    generation_ref(served->generation);
}
