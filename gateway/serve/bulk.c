/* serve/bulk.c -- a bulk, in order of its life:
 *
 *     bulk_answer   body -> items                                                now
 *       read          all documents together: a batched read a level (document.h)   now or later
 *       write         saves (saving.h), then deletes (forget.h), many at once       now or later
 *     bulk_end      the same three lists
 *
 * So reads see what was there before the writes. They are written into the reply, which keeps what they need, before anything is written to
 * the store: a bulk that reads too much fails as a whole and has changed nothing. From then on each item ends by itself. The client may
 * leave: a read ends with it, what is written goes on, and the exchange with it. What is done and what is said of it are about one struct, so they
 * are one file, though a long one. */
#include "serve/bulk.h"

#include "base/clock.h"
#include "base/json.h"
#include "serve/action.h"
#include "serve/answer.h"
#include "serve/ask_text.h"
#include "serve/forget.h"
#include "serve/groups.h"
#include "serve/problem.h"
#include "serve/saving.h"
#include "serve/terms.h"

#define AT_ONCE   64    /* writes under way */
#define CHUNK_MAX 65536 /* between two values in the reply */

/* One save or delete. */
struct bulk_write {
    struct bulk *bulk;
    enum status status;
    struct record_key key; /* of a delete */
    struct problem problem;
    union {
        struct saving saving;
        struct forget forget;
    };
};

/* One to read. */
struct bulk_read {
    struct document *document; /* NULL: its keys are wrong */
    struct record_key key;
    struct problem problem;
};

/* Lives in its exchange's arena. */
struct bulk {
    struct exchange *ex;
    struct served *served;
    struct trail trail;        /* of nobody but this request */
    struct terms terms;        /* of each save */
    const struct grant *grant; /* NULL: everything is permitted */
    struct tokens *tokens;     /* keep it */
    struct demand demand;      /* of each read */
    struct bulk_read *read;
    size_t reads;
    struct documents documents;
    struct slice *body; /* of the saves, then keys of the deletes */
    struct bulk_write *write;
    size_t saves, writes; /* the saves come first */
    size_t next, running;
    bool waiting; /* holds a reference to its generation */
};

static void bulk_wait(struct bulk *b, void (*on_gone)(struct exchange *ex))
{
    b->ex->user = b;
    b->ex->on_gone = on_gone;
    if (b->waiting) return;
    b->waiting = true;
    generation_ref(b->served->generation);
}

/* -- the answer -- */

/* What has been written so far goes into the reply. */
static void flush(struct bulk *b, struct buffer *text)
{
    reply_body(&b->ex->reply, arena_dup(&b->ex->arena, buffer_view(text)), NULL);
    text->n = 0;
}

/* `key` names the record once its keys could be read: then it has its model. */
static void put_problem(struct bulk *b, struct buffer *text, enum status status, const struct problem *problem,
                        const struct record_key *key)
{
    struct problem p = *problem;
    p.status = status;
    buffer_printf(text, "{\"status\":%d,\"problem\":", status_http(status));
    problem_put(text, &p, b->served->model, key->model ? key : NULL);
}

static void put_tag(struct buffer *text, int http, uint64_t tag)
{
    char etag[19];
    answer_etag(tag, etag);
    buffer_printf(text, "{\"status\":%d,\"etag\":", http);
    json_put_string(text, slice_of(etag));
}

static void put_read(struct bulk *b, struct bulk_read *r, struct buffer *text)
{
    struct document *doc = r->document;
    if (!doc) {
        put_problem(b, text, r->problem.status, &r->problem, &r->key);
    } else if (doc->status != OK) {
        bool uncached = doc->status == MISSING && b->demand.only_if_cached && doc->absent;
        put_problem(b, text, uncached ? NOT_CACHED : doc->status, &doc->problem, &r->key);
    } else {
        put_tag(text, 200, doc->tag);
        buffer_slice(text, SLICE(",\"value\":"));
        flush(b, text);
        compose_reply(&b->documents, doc, &b->ex->reply);
    }
    buffer_char(text, '}');
}

static void put_save(struct bulk *b, struct bulk_write *w, struct buffer *text)
{
    const struct saving *s = &w->saving;
    struct envelope e;
    if (w->status != OK) {
        put_problem(b, text, w->status, &w->problem, &s->key);
    } else {
        envelope_open(blob_slice(s->blob), &e); /* our own: it is whole */
        put_tag(text, !s->was_there ? 201 : b->terms.represent ? 200 : 204, e.tag);
        if (b->terms.represent) {
            buffer_slice(text, SLICE(",\"value\":"));
            flush(b, text);
            reply_body(&b->ex->reply, e.text, blob_ref(s->blob));
        }
        blob_unref(s->blob);
    }
    buffer_char(text, '}');
}

static void put_delete(struct bulk *b, struct bulk_write *w, struct buffer *text)
{
    if (w->status == OK) buffer_slice(text, SLICE("{\"status\":204"));
    else put_problem(b, text, w->status, &w->problem, &w->key);
    buffer_char(text, '}');
}

/* Before the next item: a comma, and room. */
static void put_comma(struct bulk *b, struct buffer *text, size_t i)
{
    if (i) buffer_char(text, ',');
    if (text->n > CHUNK_MAX / 2) flush(b, text);
}

static void put_reads(struct bulk *b)
{
    struct buffer text;
    buffer_init(&text, CHUNK_MAX);
    reply_begin(&b->ex->reply, 200);
    reply_header(&b->ex->reply, "Content-Type", SLICE("application/json"));
    reply_header(&b->ex->reply, "Cache-Control", SLICE("no-store"));
    buffer_slice(&text, SLICE("{\"get\":["));
    for (size_t i = 0; i < b->reads; i++) {
        put_comma(b, &text, i);
        put_read(b, &b->read[i], &text);
    }
    flush(b, &text);
    buffer_deinit(&text);
}

static void put_writes(struct bulk *b)
{
    struct buffer text;
    buffer_init(&text, CHUNK_MAX);
    buffer_slice(&text, SLICE("],\"save\":["));
    for (size_t i = 0; i < b->saves; i++) {
        put_comma(b, &text, i);
        put_save(b, &b->write[i], &text);
    }
    buffer_slice(&text, SLICE("],\"delete\":["));
    for (size_t i = b->saves; i < b->writes; i++) {
        put_comma(b, &text, i - b->saves);
        put_delete(b, &b->write[i], &text);
    }
    buffer_slice(&text, SLICE("]}"));
    flush(b, &text);
    buffer_deinit(&text);
}

/* Of all models something of which was written: those of a cascade, too. */
static void tell_groups(struct bulk *b)
{
    size_t most = b->writes, n = 0;
    for (size_t i = 0; i < b->saves; i++)
        if (b->write[i].status == OK) most += b->write[i].saving.n_saved;
    const struct model **written = arena_alloc(&b->ex->arena, most * sizeof *written);
    for (size_t i = 0; i < b->writes; i++) {
        const struct bulk_write *w = &b->write[i];
        if (w->status != OK) continue;
        if (i >= b->saves) written[n++] = b->served->model;
        for (size_t k = 0; i < b->saves && k < w->saving.n_saved; k++) written[n++] = w->saving.saved[k];
    }
    groups_invalidate_all(&b->ex->reply, written, n);
}

/* The last thing done with b. */
static void bulk_end(struct bulk *b)
{
    struct served *served = b->served;
    struct generation *generation = b->waiting ? served->generation : NULL;
    const struct compress *c = &((struct serve *)b->ex->owner)->compress;
    struct reply *reply = &b->ex->reply;
    tokens_unref(b->tokens);
    tell_groups(b);
    put_writes(b);
    compress_vary(c, reply, reply->body_bytes);
    if (compress_chosen(c, b->ex, reply->body_bytes)) compress_mark(reply);
    serve_reply(b->ex, served, OP_BULK, (enum outcome)OK);
    if (generation) generation_unref(generation);
}

/* The same, where nothing was written. */
static void bulk_fail(struct bulk *b, const struct problem *why)
{
    struct served *served = b->served;
    struct generation *generation = b->waiting ? served->generation : NULL;
    tokens_unref(b->tokens);
    problem_reply(b->ex, served, OP_BULK, why, NULL);
    if (generation) generation_unref(generation);
}

/* -- writing -- */

static void write_on(struct bulk *b);

static void ended(struct bulk_write *w, enum status status)
{
    w->status = status;
    w->bulk->running--;
}

static void on_saved(struct saving *s, enum status status)
{
    struct bulk_write *w = container_of(s, struct bulk_write, saving);
    w->problem = s->problem;
    ended(w, status);
    write_on(w->bulk);
}

static enum status save(struct bulk_write *w, struct slice body)
{
    struct bulk *b = w->bulk;
    struct saving *s = &w->saving;
    *s = (struct saving){.serve = b->ex->owner,
                         .served = b->served,
                         .arena = &b->ex->arena,
                         .body = body,
                         .cascade = b->terms.cascade,
                         .has_life = b->terms.has_life,
                         .life_ms = b->terms.life_ms,
                         .grant = b->grant,
                         .trail = &b->trail,
                         .done = on_saved};
    key_draft_init(&s->draft);
    enum status st = saving_start(s);
    if (st != PENDING) w->problem = s->problem;
    return st;
}

static void on_deleted(struct forget *f, enum status status)
{
    struct bulk_write *w = container_of(f, struct bulk_write, forget);
    ended(w, status);
    write_on(w->bulk);
}

static enum status erase(struct bulk_write *w, struct slice keys)
{
    struct bulk *b = w->bulk;
    enum status st = ask_read_key(b->served->model, keys, &b->ex->arena, &w->key, &w->problem);
    if (st != OK) return st;
    problem_set(&w->problem, STORE_UNAVAILABLE, NULL, "nothing is known to be deleted");
    w->forget = (struct forget){.serve = b->ex->owner, .key = &w->key, .done = on_deleted};
    return forget_start(&w->forget);
}

/* Starts what may be under way together; deletes wait until everything is saved. */
static void write_on(struct bulk *b)
{
    while (b->next < b->writes && b->running < AT_ONCE && (b->next != b->saves || b->running == 0)) {
        size_t i = b->next++;
        struct bulk_write *w = &b->write[i];
        w->bulk = b;
        b->running++;
        enum status st = i < b->saves ? save(w, b->body[i]) : erase(w, b->body[i]);
        if (st != PENDING) ended(w, st);
    }
    if (b->running == 0) bulk_end(b);
    else bulk_wait(b, NULL);
}

/* -- reading -- */

static bool is_too_much(const struct bulk *b)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < b->documents.n; i++) bytes += b->documents.document[i].bytes;
    return bytes > DOCUMENTS_BYTES_MAX;
}

static void read_end(struct bulk *b)
{
    struct problem why;
    bool fits = !is_too_much(b);
    if (fits) put_reads(b);
    documents_finish(&b->documents);
    if (fits) {
        write_on(b);
        return;
    }
    problem_set(&why, DEPTH_EXCEEDED, "get", "the documents have more than %u MiB together; nothing was changed",
                DOCUMENTS_BYTES_MAX >> 20);
    bulk_fail(b, &why);
}

static void on_documents(struct documents *d) { read_end(container_of(d, struct bulk, documents)); }

static void on_gone(struct exchange *ex)
{
    struct bulk *b = ex->user;
    documents_finish(&b->documents);
    tokens_unref(b->tokens);
    generation_unref(b->served->generation);
}

static void read_start(struct bulk *b)
{
    if (documents_start(&b->documents, clock_wall_ms()) == PENDING) bulk_wait(b, on_gone);
    else read_end(b);
}

/* -- the beginning -- */

static enum status elements(const struct action_member *list, struct arena *arena, struct slice **element, size_t *n,
                            struct problem *why)
{
    *n = 0;
    if (!list->value.p) return OK;
    if (json_kind(list->value) == JSON_ARRAY) return json_elements(list->value, arena, element, n, why);
    return problem_set(why, MALFORMED_REQUEST, NULL, "`%.*s` is an array", SLICE_ARG(list->name));
}

static void begin_reads(struct bulk *b, const struct slice *keys, size_t n)
{
    struct arena *arena = &b->ex->arena;
    struct document *doc = arena_zalloc(arena, (n + 1) * sizeof *doc);
    b->read = arena_zalloc(arena, (n + 1) * sizeof *b->read);
    b->reads = n;
    b->documents.document = doc;
    for (size_t i = 0; i < n; i++) {
        struct bulk_read *r = &b->read[i];
        bool right = ask_read_key(b->served->model, keys[i], arena, &r->key, &r->problem) == OK;
        r->document = right ? doc : NULL;
        if (right) *doc++ = (struct document){.key = &r->key};
    }
    b->documents.n = (size_t)(doc - b->documents.document);
}

/* What _depth and its like say goes for the reads, _expires and its like for the saves. */
static enum status read_options(struct bulk *b, struct problem *why)
{
    const struct model *m = b->served->model;
    struct arena *arena = &b->ex->arena;
    struct view *view = &b->documents.view;
    struct query_option *option;
    size_t n, rest = 0;
    *view = view_default(m);
    enum status st = action_options(m, b->ex->request.query, arena, &option, &n, why);
    for (size_t i = 0; st == OK && i < n; i++) {
        bool taken;
        st = view_option(m, &option[i], arena, view, &taken, why);
        if (!taken) option[rest++] = option[i];
    }
    if (!m->refers) view->depth = 0;
    return st == OK ? terms_read(&b->ex->request, OP_PUT, option, rest, &b->terms, why) : st;
}

static enum status read_body(struct bulk *b, struct problem *why)
{
    struct action_member list[] = {{SLICE("get"), {NULL, 0}}, {SLICE("save"), {NULL, 0}}, {SLICE("delete"), {NULL, 0}}};
    struct arena *arena = &b->ex->arena;
    struct slice *part[3];
    size_t n[3];
    enum status st = action_read(&b->ex->request, arena, list, 3, why);
    for (int i = 0; st == OK && i < 3; i++) st = elements(&list[i], arena, &part[i], &n[i], why);
    if (st != OK) return st;
    if (n[0] + n[1] + n[2] > BULK_MAX)
        return problem_set(why, MALFORMED_REQUEST, NULL, "a bulk takes at most %d records", BULK_MAX);
    begin_reads(b, part[0], n[0]);
    b->saves = n[1];
    b->writes = n[1] + n[2];
    b->body = arena_alloc(arena, (b->writes + 1) * sizeof *b->body);
    b->write = arena_zalloc(arena, (b->writes + 1) * sizeof *b->write);
    for (size_t i = 0; i < n[1]; i++) b->body[i] = part[1][i];
    for (size_t i = 0; i < n[2]; i++) b->body[n[1] + i] = part[2][i];
    return OK;
}

static enum status permitted(struct bulk *b)
{
    struct gate *gate = &((struct serve *)b->ex->owner)->gate;
    unsigned reading = b->reads ? access_of_read(&b->ex->request) : 0, writing = b->writes ? PERMIT_WRITE : 0;
    if (!b->grant) return OK;
    return gate_permit(gate, b->ex, b->grant,
                       &(struct need){.permissions = reading | writing, .model = b->served->model->name});
}

void bulk_answer(struct exchange *ex, struct served *served, const struct grant *grant)
{
    struct problem why;
    struct bulk *b = arena_zalloc(&ex->arena, sizeof *b);
    b->ex = ex;
    b->served = served;
    b->grant = grant;
    b->trail.request = ex->id;
    b->demand = demand_of(&ex->request, access_may_refresh(grant));
    b->documents = (struct documents){.serve = ex->owner,
                                      .served = served,
                                      .arena = &ex->arena,
                                      .demand = &b->demand,
                                      .request = ex->id,
                                      .done = on_documents};
    if (read_options(b, &why) != OK || read_body(b, &why) != OK) {
        bulk_fail(b, &why);
    } else if (permitted(b) != OK) {
        serve_reply(ex, served, OP_BULK, (enum outcome)FORBIDDEN);
    } else {
        if (grant) b->tokens = tokens_ref(((struct serve *)ex->owner)->gate.tokens);
        read_start(b);
    }
}
