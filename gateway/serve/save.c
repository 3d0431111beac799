/* serve/save.c -- writes:
 *
 *     save_put:     query and body -> key and record text (model/codec.h) -> sealed -> store ... answer
 *     save_delete:  query -> key -> store ... answer
 *
 * A write bars the flight of its record: what a loader brings after it is not stored (flight.h). The client may leave; the write goes
 * on and the exchange with it (no on_gone), since the bar must stand until the store has answered. */
#include "serve/save.h"

#include "base/clock.h"
#include "base/units.h"
#include "model/codec.h"
#include "serve/answer.h"
#include "serve/problem.h"
#include "serve/seal.h"

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
    bool represent;              /* the answer repeats the record: Prefer: return=representation (RFC 7240) */
    bool waiting;                /* holds a reference to its generation */
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

/* Conditional writes must never pass for unconditional ones. */
static enum status refuse_conditions(const struct http_request *request, struct problem *why)
{
    static const char *const header[] = {"if-match", "if-none-match", "if-unmodified-since"};
    for (size_t i = 0; i < sizeof header / sizeof *header; i++)
        if (http_request_header(request, header[i]).p)
            return problem_set(why, NOT_IMPLEMENTED, NULL, "conditional writes (%s) are not served", header[i]);
    return OK;
}

/* -- PUT -- */

static enum status check_media(const struct http_request *request, struct problem *why)
{
    if (http_request_header(request, "content-encoding").p)
        return problem_set(why, UNSUPPORTED_MEDIA, NULL, "the body must come without Content-Encoding");
    struct slice type = http_request_header(request, "content-type");
    if (!type.p) return OK;
    struct slice essence = slice_trim(slice_cut(&type, ';'));
    bool suffix = essence.n > 5 && slice_ieq(slice_skip(essence, essence.n - 5), SLICE("+json"));
    if (suffix || slice_ieq(essence, SLICE("application/json"))) return OK;
    return problem_set(why, UNSUPPORTED_MEDIA, NULL, "a record is application/json, not %.*s", SLICE_ARG(essence));
}

static bool preference(struct slice prefer, const char *name, const char *value)
{
    while (prefer.p) {
        struct slice one = slice_trim(slice_cut(&prefer, ','));
        struct slice pair = slice_trim(slice_cut(&one, ';'));
        struct slice key = slice_trim(slice_cut(&pair, '='));
        if (slice_ieq(key, slice_of(name)) && pair.p && slice_ieq(slice_trim(pair), slice_of(value))) return true;
    }
    return false;
}

/* The life of this record: `_expires` beats the request's max-age beats the model's. */
static enum status read_life(const struct http_request *request, const struct query_option *option, size_t n,
                             uint64_t *life_ms, struct problem *why)
{
    struct slice max_age = cache_directive(http_request_header(request, "cache-control"), "max-age");
    uint64_t seconds;
    if (max_age.p) {
        if (!units_uint(max_age, UINT32_MAX, &seconds))
            return problem_set(why, MALFORMED_REQUEST, NULL, "Cache-Control: max-age takes a number of seconds");
        *life_ms = seconds * 1000;
    }
    for (size_t i = 0; i < n; i++) {
        if (!slice_eq(option[i].name, SLICE("_expires")))
            return problem_set(why, MALFORMED_REQUEST, NULL, "a save knows no option `%.*s` (it knows `_expires`)",
                               SLICE_ARG(option[i].name));
        if (!units_duration(option[i].value, life_ms))
            return problem_set(why, MALFORMED_REQUEST, "_expires", "_expires takes seconds or a duration such as 15m");
    }
    return OK;
}

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
    uint64_t now_ms = clock_wall_ms(), life_ms = m->options.expires_ms;
    enum status st;

    key_draft_init(&draft);
    codec_draft_init(m, arena, &record);
    if ((st = refuse_conditions(request, why)) != OK) return st;
    if ((st = check_media(request, why)) != OK) return st;
    if ((st = key_parse_query(m, request->query, arena, &draft, &option, &n_options, why)) != OK) return st;
    if ((st = read_life(request, option, n_options, &life_ms, why)) != OK) return st;
    if ((st = codec_read(m, request->body, &draft, arena, &record, why)) != OK) return st;
    if ((st = key_finish(m, &draft, arena, &w->key, why)) != OK) return st;

    struct buffer text;
    struct envelope_ref *refs;
    size_t n_refs;
    buffer_init(&text, UINT32_MAX / 2);
    st = codec_write(&w->key, &record, arena, &text, &refs, &n_refs, why);
    if (st == OK) {
        w->until_ms = clock_add(now_ms, life_ms);
        struct envelope e = {.kind = ENVELOPE_RECORD,
                             .stored_ms = now_ms,
                             .fresh_until_ms = w->until_ms,
                             .stale_until_ms = w->until_ms,
                             .text = buffer_view(&text)};
        w->blob = seal_make(w->ex->owner, &e, refs, n_refs, w->key.stored);
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
    w->represent = preference(http_request_header(&ex->request, "prefer"), "return", "representation");
    write_start(w);
}

static void put_answer(struct write *w)
{
    struct reply *reply = &w->ex->reply;
    struct envelope e;
    char etag[19];
    bool was_there = envelope_is_record(slice_from(w->store.previous, w->store.previous_n));
    envelope_open(blob_slice(w->blob), &e);
    answer_etag(e.tag, etag);
    reply_begin(reply, !was_there ? 201 : w->represent ? 200 : 204);
    if (!was_there) reply_header(reply, "Location", key_location(&w->key, &w->ex->arena));
    reply_header(reply, "ETag", slice_of(etag));
    if (!w->represent) return;
    reply_header(reply, "Preference-Applied", SLICE("return=representation"));
    reply_header(reply, "Content-Type", SLICE("application/json"));
    reply_body(reply, e.text, blob_ref(w->blob));
}

/* -- DELETE -- */

void save_delete(struct exchange *ex, struct served *served)
{
    struct problem why;
    struct write *w = write_new(ex, served, OP_DELETE);
    if (refuse_conditions(&ex->request, &why) != OK ||
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
