/* serve/patch.c -- PATCH, from the request to its answer:
 *
 *     patch_record   query and body -> key, patch, terms                  now
 *       turn         behind the patches of this record that came before   now or later
 *       look         store_get ... looked; its condition is judged        now or later
 *       merge        record and patch -> the new text                     now
 *       vet          validate, tags, then on_save (vetting.h); sealed     now or later
 *       replace      store_replace ... replaced                           now or later
 *     patch_end      answered; the next one has the turn
 *
 * The store replaces only what was looked at. Whoever lost that race looks again: saves and other gateways make races; the patches of
 * one process take turns. Nothing is loaded for a patch: what is not there cannot be changed. Like any write it
 * bars the flight of its record, but only once there is something to replace. The client may leave; the patch goes on and
 * the exchange with it, as in save.c. */
#include "serve/patch.h"

#include "base/clock.h"
#include "model/merge.h"
#include "serve/condition.h"
#include "serve/groups.h"
#include "serve/life.h"
#include "serve/problem.h"
#include "serve/seal.h"
#include "serve/terms.h"
#include "serve/vetting.h"

#define NOT_THERE "nothing is kept under these keys, and a patch loads nothing"

#define ATTEMPTS_MAX 16
#define TURNS_MAX    256        /* patches of one record that wait */
#define TEXT_MAX     (2u << 20) /* what patches may let a record grow to; one that was larger before may stay as large */

_Static_assert(REDIS_HEAD >= ENVELOPE_HEADER, "time and tag must be among what tells two values apart");

/* What one look has come to; the first two are given back before the next one. */
struct attempt {
    struct arena arena;  /* of what follows */
    struct blob *old;    /* the record as it was found; one reference */
    struct envelope was; /* a view of it */
    struct stamp stamp;  /* what was known when that was judged: what is invalidated from then on, the patch is, too */
    struct buffer text;  /* what the patch makes of it */
    struct envelope_ref *refs;
    size_t n_refs;
    struct slice tags;
    uint64_t life_ms;    /* that on_save has said, or VET_EXPIRES_UNSET */
    struct blob *merged; /* sealed, to be stored; one reference */
    uint64_t until_ms;   /* ... until then */
};

/* One PATCH; lives in its exchange's arena. */
struct patch {
    struct exchange *ex;
    struct served *served;
    struct trail trail; /* of nobody but this request */
    struct record_key key;
    struct slice changes; /* the body, compact */
    struct terms terms;
    struct store_condition when;
    struct attempt attempt;
    struct vetting vetting;
    struct store_op op;
    struct flight_write fence;
    struct flight_waiter waiter; /* for its turn; later for a load that is storing the same record */
    unsigned attempts;
    bool waiting; /* holds a reference to its generation */
};

/* -- waiting -- */

static void patch_wait(struct patch *p)
{
    if (p->waiting) return;
    p->waiting = true;
    generation_ref(p->served->generation);
}

/* -- attempts -- */

static void attempt_begin(struct attempt *a, struct blob *old)
{
    *a = (struct attempt){.old = old, .tags = SLICE(""), .life_ms = VET_EXPIRES_UNSET};
    arena_init(&a->arena);
}

static void attempt_end(struct attempt *a)
{
    blob_unref(a->old);
    blob_unref(a->merged);
    buffer_deinit(&a->text);
    arena_deinit(&a->arena);
    *a = (struct attempt){.old = NULL};
}

/* -- the end -- */

/* The last thing done with p. `why` NULL: it is saved. */
static void patch_end(struct patch *p, const struct problem *why)
{
    struct exchange *ex = p->ex;
    struct served *served = p->served;
    struct serve *s = ex->owner;
    struct generation *generation = p->waiting ? served->generation : NULL;
    flight_turn_end(s->flights, p->key.stored);
    if (!why) {
        reply_begin(&ex->reply, p->terms.represent ? 200 : 204);
        groups_invalidate(&ex->reply, served->model);
        terms_answer(&p->terms, &ex->reply, p->attempt.merged);
    }
    attempt_end(&p->attempt);
    if (why) problem_reply(ex, served, OP_PATCH, why, &p->key);
    else serve_reply(ex, served, OP_PATCH, OUTCOME_SAVED);
    if (generation) generation_unref(generation);
}

/* -- replacing -- */

static void look(struct patch *p);

static void replaced(struct patch *p, enum status status)
{
    struct serve *s = p->ex->owner;
    struct problem why;
    flight_write_end(s->flights, &p->fence);
    if (status == OK) {
        patch_end(p, NULL);
        return;
    }
    attempt_end(&p->attempt);
    if (status == PRECONDITION_FAILED) {
        look(p);
        return;
    }
    problem_set(&why, status, NULL, status == MISSING ? NOT_THERE : "nothing is known to be saved");
    patch_end(p, &why);
}

static void on_replaced(struct store_op *op, enum status status, struct blob *value)
{
    replaced(container_of(op, struct patch, op), status);
}

static void on_flight_landed(struct flight_waiter *waiter, const struct flight_outcome *outcome)
{
    look(container_of(waiter, struct patch, waiter));
}

static void replace(struct patch *p)
{
    struct serve *s = p->ex->owner;
    struct attempt *a = &p->attempt;
    p->waiter.done = on_flight_landed;
    if (!flight_write_begin(s->flights, p->key.stored, &p->fence, &p->waiter)) {
        attempt_end(a); /* it is about to be outdated */
        patch_wait(p);
        return;
    }
    p->op.done = on_replaced;
    p->op.fenced = p->served->model->loads;
    enum status st =
        store_replace(s->store, p->key.stored, blob_slice(a->old), a->merged, a->until_ms, clock_wall_ms(), &p->op);
    if (st == PENDING) patch_wait(p);
    else replaced(p, st);
}

/* -- asking and sealing -- */

/* For as long as on_save says, or the request, or as the record has still to live. */
static void seal(struct patch *p)
{
    struct attempt *a = &p->attempt;
    uint64_t now_ms = clock_wall_ms();
    uint64_t life_ms = a->life_ms != VET_EXPIRES_UNSET ? a->life_ms : p->terms.life_ms;
    struct envelope e = {.kind = ENVELOPE_RECORD,
                         .stored_ms = now_ms,
                         .fresh_until_ms = a->was.fresh_until_ms,
                         .stale_until_ms = a->was.stale_until_ms,
                         .text = buffer_view(&a->text)};
    if (p->terms.has_life || a->life_ms != VET_EXPIRES_UNSET) life_begin(p->served->model, life_ms, now_ms, 0, &e);
    a->until_ms = e.stale_until_ms;
    struct seal_notes notes = {.tags = a->tags, .stamp = a->stamp};
    a->merged = seal_make(p->ex->owner, &e, a->refs, a->n_refs, &notes, p->key.stored);
}

static void ask(struct patch *p, enum vet_step step, vetting_done *done)
{
    struct problem why;
    p->vetting =
        (struct vetting){.serve = p->ex->owner, .served = p->served, .key = &p->key, .trail = &p->trail, .done = done};
    if (vetting_start(&p->vetting, step, buffer_view(&p->attempt.text), &why) == PENDING) patch_wait(p);
    else patch_end(p, &why);
}

static void on_written(struct vetting *v, const struct vet_result *result)
{
    struct patch *p = container_of(v, struct patch, vetting);
    if (result->status != OK) {
        patch_end(p, &result->problem);
        return;
    }
    p->attempt.life_ms = result->expires_ms;
    seal(p);
    replace(p);
}

/* The new text is good: on_save, where the model has it. */
static void write_through(struct patch *p)
{
    if (vet_saves(p->served->model)) {
        ask(p, VET_SAVE, on_written);
        return;
    }
    seal(p);
    replace(p);
}

static void on_vetted(struct vetting *v, const struct vet_result *result)
{
    struct patch *p = container_of(v, struct patch, vetting);
    if (result->status != OK) {
        patch_end(p, &result->problem);
        return;
    }
    p->attempt.tags = arena_dup(&p->attempt.arena, result->tags);
    write_through(p);
}

/* Asks the model's handlers about the new text, where it has any. */
static void vet(struct patch *p)
{
    if (vet_needed(p->served->model)) ask(p, VET_CHECK, on_vetted);
    else write_through(p);
}

/* -- merging -- */

/* Opens what was found: OK when it is a live record of ours. */
static enum status open_live(struct patch *p)
{
    struct attempt *a = &p->attempt;
    struct serve *s = p->ex->owner;
    a->stamp = store_stamp(s->store);
    enum status st = seal_open(s, p->served, a->old, p->key.stored, &a->was);
    bool live = st == OK && a->was.kind == ENVELOPE_RECORD && a->was.fresh_until_ms > clock_wall_ms();
    return st == OK && !live ? MISSING : st;
}

static enum status merge(struct patch *p, struct problem *why)
{
    struct attempt *a = &p->attempt;
    struct record_draft draft;
    enum status st;
    buffer_init(&a->text, a->was.text.n > TEXT_MAX ? a->was.text.n : TEXT_MAX);
    if (!merge_open(p->served->model, &a->was, &a->arena, &draft))
        st = problem_set(why, seal_damaged(p->ex->owner, p->served, p->key.stored, a->was.text.n), NULL, NOT_THERE);
    else if ((st = merge_patch(&p->key, p->changes, &a->arena, &draft, why)) == OK)
        st = codec_write(&p->key, &draft, &a->arena, &a->text, &a->refs, &a->n_refs, why);
    if (st == OK && a->text.overflow)
        st = problem_set(why, BODY_TOO_LARGE, NULL, "patches let no record grow beyond %u MiB", TEXT_MAX >> 20);
    return st;
}

/* -- looking -- */

/* The store has answered. Takes the blob. */
static void looked(struct patch *p, enum status status, struct blob *blob)
{
    struct problem why;
    attempt_begin(&p->attempt, blob);
    if (status == OK) status = open_live(p);
    problem_set(&why, status, NULL, status == MISSING ? NOT_THERE : "nothing was saved");
    if (status == OK && !condition_holds(&p->when, blob_slice(blob), clock_wall_ms()))
        status = condition_failed(&p->when, p->served->model, &why);
    if (status == OK) status = merge(p, &why);
    if (status == OK) vet(p);
    else patch_end(p, &why);
}

static void on_looked(struct store_op *op, enum status status, struct blob *blob)
{
    looked(container_of(op, struct patch, op), status, blob);
}

static void look(struct patch *p)
{
    struct serve *s = p->ex->owner;
    struct problem why;
    if (p->attempts++ == ATTEMPTS_MAX) {
        problem_set(&why, OVERLOADED, NULL, "the record has changed each of %d times; nothing was saved", ATTEMPTS_MAX);
        patch_end(p, &why);
        return;
    }
    p->op.done = on_looked;
    p->op.doubts = true;
    enum status st = store_get(s->store, p->key.stored, clock_wall_ms(), &p->op);
    if (st == PENDING) patch_wait(p);
    else looked(p, st, st == OK ? p->op.value : NULL);
}

/* -- the beginning -- */

/* All that can be said of the request before the record is seen. */
static enum status patch_read(struct patch *p, struct problem *why)
{
    const struct http_request *request = &p->ex->request;
    const struct model *m = p->served->model;
    struct arena *arena = &p->ex->arena;
    struct key_draft draft;
    struct query_option *option;
    struct json_member *member;
    size_t n;
    enum status st;
    key_draft_init(&draft);
    if ((st = condition_read(request, arena, &p->when, why)) != OK) return st;
    if ((st = terms_media(request, why)) != OK) return st;
    if ((st = key_parse_query(m, request->query, arena, &draft, &option, &n, why)) != OK) return st;
    if ((st = terms_read(request, OP_PATCH, option, n, &p->terms, why)) != OK) return st;
    if ((st = key_finish(m, &draft, arena, &p->key, why)) != OK) return st;
    if ((st = json_compact(request->body, arena, &p->changes, why)) != OK) return st;
    return json_members(p->changes, arena, &member, &n, why); /* it must be an object */
}

static void refuse(struct patch *p, const struct problem *why)
{
    problem_fill(p->ex, why, p->served->model, NULL);
    if (why->status == UNSUPPORTED_MEDIA) reply_header(&p->ex->reply, "Accept-Patch", SLICE(PATCH_MEDIA));
    serve_reply(p->ex, p->served, OP_PATCH, (enum outcome)why->status);
}

static void on_turn(struct flight_waiter *waiter, const struct flight_outcome *none)
{
    look(container_of(waiter, struct patch, waiter));
}

static void take_turn(struct patch *p)
{
    static const struct flight_line_bounds bounds = {.at_once = 1, .burst = TURNS_MAX, .standing = TURNS_MAX};
    struct serve *s = p->ex->owner;
    struct problem why;
    p->waiter.done = on_turn;
    switch (flight_turn_take(s->flights, p->key.stored, &bounds, &p->waiter)) {
    case TURN_NOW: look(p); break;
    case TURN_LATER: patch_wait(p); break;
    case TURN_NEVER:
        problem_set(&why, OVERLOADED, NULL, "too many patches of this record wait");
        refuse(p, &why);
        break;
    }
}

void patch_record(struct exchange *ex, struct served *served)
{
    struct problem why;
    struct patch *p = arena_zalloc(&ex->arena, sizeof *p);
    p->ex = ex;
    p->served = served;
    p->trail.request = ex->id;
    if (patch_read(p, &why) == OK) take_turn(p);
    else refuse(p, &why);
}
