/* serve/save.c -- writes:
 *
 *     save_put:     query and body -> key and record text (model/codec.h) -> sealed -> store ... answer
 *     save_delete:  query -> key -> store ... answer
 *
 * A write bars the flight of its record: what a loader brings after it is not stored (flight.h). The client may leave; the write goes
 * on and the exchange with it (no on_gone), since the bar must stand until the store has answered. */
#include "serve/save.h"

#include "base/clock.h"
#include "model/codec.h"
#include "serve/problem.h"
#include "serve/seal.h"
#include "serve/terms.h"

/* One write; lives in its exchange's arena. */
struct write {
    struct exchange *ex;
    struct served *served;
    enum operation op;
    struct record_key key;
    struct store_op store;
    struct blob *blob; /* what a PUT stores; one reference */
    uint64_t until_ms; /* ... and until when */
    struct flight_write fence;
    struct flight_waiter waiter; /* for a load that is storing the same record */
    struct terms terms;
    bool waiting; /* holds a reference to its generation */
};

/* -- what both share -- */

static void write_end(struct write *w, enum status status);
static void write_start(struct write *w);

static void on_written(struct store_op *op, enum status status, struct blob *value)
{
    write_end(container_of(op, struct write, store), status);
}

static void on_flight_landed(struct flight_waiter *waiter, const struct flight_outcome *outcome)
{
    write_start(container_of(waiter, struct write, waiter));
}

static void write_wait(struct write *w)
{
    if (w->waiting) return;
    w->waiting = true;
    generation_ref(w->served->generation);
}

static void write_start(struct write *w)
{
    struct serve *s = w->ex->owner;
    uint64_t now = clock_wall_ms();
    if (!flight_write_begin(s->flights, w->key.stored, &w->fence, &w->waiter)) {
        write_wait(w);
        return;
    }
    enum status st = w->op == OP_PUT ? store_put(s->store, w->key.stored, w->blob, w->until_ms, now, &w->store)
                                     : store_delete(s->store, w->key.stored, now, &w->store);
    if (st == PENDING) write_wait(w);
    else write_end(w, st);
}

static struct write *write_new(struct exchange *ex, struct served *served, enum operation op)
{
    struct write *w = arena_zalloc(&ex->arena, sizeof *w);
    w->ex = ex;
    w->served = served;
    w->op = op;
    w->store.done = on_written;
    w->waiter.done = on_flight_landed;
    return w;
}

/* -- PUT -- */

/* The whole request checked and turned into a sealed record. */
static enum status put_prepare(struct write *w, struct problem *why)
{
    const struct http_request *request = &w->ex->request;
    const struct model *m = w->served->model;
    struct arena *arena = &w->ex->arena;
    struct key_draft draft;
    struct record_draft record;
    struct query_option *option;
    size_t n_options;
    uint64_t now_ms = clock_wall_ms();
    enum status st;

    struct codec_reader reader = {.arena = arena};
    key_draft_init(&draft);
    codec_draft_init(m, arena, &record);
    if ((st = terms_unconditional(request, why)) != OK) return st;
    if ((st = terms_media(request, why)) != OK) return st;
    if ((st = key_parse_query(m, request->query, arena, &draft, &option, &n_options, why)) != OK) return st;
    if ((st = terms_read(request, option, n_options, &w->terms, why)) != OK) return st;
    if ((st = codec_read(m, request->body, &draft, &reader, &record, why)) != OK) return st;
    if ((st = key_finish(m, &draft, arena, &w->key, why)) != OK) return st;

    struct buffer text;
    struct envelope_ref *refs;
    size_t n_refs;
    buffer_init(&text, UINT32_MAX / 2);
    st = codec_write(&w->key, &record, arena, &text, &refs, &n_refs, why);
    if (st == OK) {
        w->until_ms = clock_add(now_ms, w->terms.has_life ? w->terms.life_ms : m->options.expires_ms);
        struct envelope e = {.kind = ENVELOPE_RECORD,
                             .stored_ms = now_ms,
                             .fresh_until_ms = w->until_ms,
                             .stale_until_ms = w->until_ms,
                             .text = buffer_view(&text)};
        w->blob = seal_make(w->ex->owner, &e, refs, n_refs, SLICE(""), w->key.stored);
    }
    buffer_deinit(&text);
    return st;
}

void save_put(struct exchange *ex, struct served *served)
{
    struct problem why;
    struct write *w = write_new(ex, served, OP_PUT);
    if (put_prepare(w, &why) != OK) {
        problem_reply(ex, served, OP_PUT, &why, NULL);
        return;
    }
    write_start(w);
}

static void put_answer(struct write *w)
{
    struct reply *reply = &w->ex->reply;
    bool was_there = envelope_is_record(slice_from(w->store.previous, w->store.previous_n));
    reply_begin(reply, !was_there ? 201 : w->terms.represent ? 200 : 204);
    if (!was_there) reply_header(reply, "Location", key_location(&w->key, &w->ex->arena));
    terms_answer(&w->terms, reply, w->blob);
}

/* -- DELETE -- */

void save_delete(struct exchange *ex, struct served *served)
{
    struct problem why;
    struct write *w = write_new(ex, served, OP_DELETE);
    if (terms_unconditional(&ex->request, &why) != OK ||
        route_key(&ex->request, served->model, &ex->arena, &w->key, &why) != OK) {
        problem_reply(ex, served, OP_DELETE, &why, NULL);
        return;
    }
    write_start(w);
}

/* -- the end of both -- */

static void write_end(struct write *w, enum status status)
{
    struct exchange *ex = w->ex;
    struct serve *s = ex->owner;
    struct served *served = w->served;
    flight_write_end(s->flights, &w->fence);
    struct generation *generation = w->waiting ? served->generation : NULL;
    enum operation op = w->op;
    enum outcome outcome = op == OP_PUT ? OUTCOME_SAVED : OUTCOME_DELETED;
    if (status == OK || (op == OP_DELETE && status == MISSING)) {
        if (op == OP_PUT) put_answer(w);
        else reply_begin(&ex->reply, 204);
    } else {
        struct problem why;
        problem_set(&why, status, NULL, "nothing is known to be %s", op == OP_PUT ? "saved" : "deleted");
        problem_fill(ex, &why, served->model, &w->key);
        outcome = (enum outcome)status;
    }
    blob_unref(w->blob);
    serve_reply(ex, served, op, outcome); /* w is gone */
    if (generation) generation_unref(generation);
}
