/* serve/answer.c -- the headers of a read tell only what is true of this record now. */
#include "serve/answer.h"

#include "base/clock.h"
#include "base/digits.h"
#include "base/hash.h"
#include "serve/explain.h"
#include "serve/groups.h"
#include "serve/problem.h"

#define GZIP_TAG "-gzip\""
#define YEAR_S   31536000 /* the longest freshness anyone should claim (RFC 2616 14.21); said of what never expires */

void answer_etag(uint64_t tag, char out[19])
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(tag >> (56 - 8 * i));
    out[0] = out[17] = '"';
    hash_hex(bytes, sizeof bytes, out + 1);
    out[18] = '\0';
}

/* Also of the compressed answer. */
static bool is_tag(struct slice tag, struct slice want)
{
    struct slice coding = {GZIP_TAG, sizeof GZIP_TAG - 1}; /* with the quote at the end */
    if (tag.n == want.n) return slice_eq(tag, want);
    return tag.n == want.n - 1 + coding.n && slice_starts(tag, slice_from(want.p, want.n - 1)) &&
           slice_eq(slice_skip(tag, want.n - 1), coding);
}

bool answer_etag_listed(struct slice header, const char *etag, bool weak)
{
    struct slice want = slice_of(etag);
    struct slice rest = slice_trim(header);
    if (slice_eq(rest, SLICE("*"))) return true;
    for (;;) { /* entity tags may hold commas: walk by quotes, not by commas */
        rest = slice_next_element(rest);
        bool is_weak = slice_starts(rest, SLICE("W/"));
        if (is_weak) rest = slice_skip(rest, 2);
        if (rest.n == 0 || rest.p[0] != '"') return false;
        const char *end = memchr(rest.p + 1, '"', rest.n - 1);
        if (!end) return false;
        struct slice tag = slice_from(rest.p, (size_t)(end - rest.p) + 1);
        if ((weak || !is_weak) && is_tag(tag, want)) return true;
        rest = slice_trim(slice_skip(rest, tag.n));
        if (rest.n == 0 || rest.p[0] != ',') return false;
    }
}

/* Several lines are one list (RFC 9110 5.3). */
bool answer_is_known(const struct http_request *request, const char *etag)
{
    static const struct slice name = {"if-none-match", 13};
    for (size_t i = 0; i < request->headers; i++) {
        const struct http_header *h = &request->header[i];
        if (h->name.n == name.n && slice_ieq(h->name, name) && answer_etag_listed(h->value, etag, true)) return true;
    }
    return false;
}

/* Seconds left, rounded up, so that a record that is still good never claims 0. */
static uint64_t left_s(uint64_t fresh_until_ms, uint64_t now_ms)
{
    if (fresh_until_ms == CLOCK_NEVER) return YEAR_S;
    return fresh_until_ms > now_ms ? (fresh_until_ms - now_ms + 999) / 1000 : 0;
}

/* A header line being put together, of words that are all ours; printf, or a look at each byte, would cost more than all the rest of a
 * hit. The longest is under 140 bytes. */
struct line {
    char text[160];
    size_t n;
};

static inline void put(struct line *l, struct slice s)
{
    memcpy(l->text + l->n, s.p, s.n);
    l->n += s.n;
}

static void put_number(struct line *l, uint64_t number)
{
    struct digits room;
    put(l, digits_of(number, &room));
}

static void tell(struct reply *reply, struct line *l)
{
    put(l, SLICE("\r\n"));
    reply_line(reply, slice_from(l->text, l->n));
}

/* RFC 9211: where it was found, or why a handler was asked and what became of that; of a record that is found how long it is fresh, and below 0
 * how long ago it was. `status` is that of the answer. Where nobody was asked and something is not there, there is only its code. */
static void put_cache_status(struct exchange *ex, const struct freshness *fresh, enum status status, uint64_t left,
                             uint64_t now_ms)
{
    const struct serve *s = ex->owner;
    bool stale = fresh->source == SOURCE_STALE, near = fresh->source == SOURCE_NEAR;
    bool found = fresh->source == SOURCE_STORE || near || stale;
    bool asked = fresh->source == SOURCE_LOADED || fresh->source == SOURCE_COLLAPSED;
    bool stored = fresh->source == SOURCE_LOADED && fresh->stored;
    bool failed = status != OK && status != MISSING;
    struct line v = {.n = 0};
    put(&v, SLICE("Cache-Status: "));
    put(&v, found                           ? SLICE("perigee; hit")
            : !asked                        ? SLICE("perigee")
            : fresh->cause == CAUSE_REQUEST ? SLICE("perigee; fwd=request")
            : fresh->cause == CAUSE_STALE   ? SLICE("perigee; fwd=stale")
                                            : SLICE("perigee; fwd=uri-miss"));
    if (fresh->source == SOURCE_COLLAPSED) put(&v, SLICE("; collapsed"));
    if (stored) put(&v, SLICE("; stored"));
    if ((found || stored) && fresh->fresh_until_ms != CLOCK_NEVER) {
        uint64_t past = stale ? left_s(now_ms, fresh->fresh_until_ms) : 0;
        put(&v, stale ? SLICE("; ttl=-") : SLICE("; ttl="));
        put_number(&v, !stale ? left : past ? past : 1); /* stale in the very millisecond in which it expired */
    }
    if (found || failed || !asked) {
        put(&v, SLICE("; detail="));
        enum status code = status == OK ? MISSING : status; /* of a part of the document */
        put(&v, !found  ? slice_of(status_code(code))
                : stale ? SLICE("stale")
                : near  ? SLICE("near")
                        : slice_of(s->store_detail));
    }
    tell(&ex->reply, &v);
}

/* A time after its freshness in which the answer may still be used, if there is any left (RFC 5861). */
static void put_stale_part(struct line *v, struct slice name, const struct freshness *fresh, uint64_t until_ms,
                           uint64_t now_ms)
{
    uint64_t from_ms = now_ms > fresh->fresh_until_ms ? now_ms : fresh->fresh_until_ms;
    if (until_ms == CLOCK_NEVER || until_ms < from_ms + 1000) return;
    put(v, name);
    put_number(v, (until_ms - from_ms) / 1000);
}

static void put_age(struct exchange *ex, const struct freshness *fresh, uint64_t now_ms)
{
    if (!fresh->known) return;
    struct line age = {.n = 0};
    put(&age, SLICE("Age: "));
    put_number(&age, now_ms > fresh->stored_ms ? (now_ms - fresh->stored_ms) / 1000 : 0);
    tell(&ex->reply, &age);
}

/* Age, Cache-Control and Cache-Status; an answer that was not kept must not be kept by others either, and what a token is needed for not by
 * those who share: not every cache keeps off by itself what came with Authorization (RFC 9111 3.5). */
static void put_freshness(struct exchange *ex, const struct freshness *fresh, enum status status, uint64_t now_ms)
{
    const struct serve *s = ex->owner;
    struct reply *reply = &ex->reply;
    bool kept = fresh->known && fresh->stored;
    uint64_t left = kept ? left_s(fresh->fresh_until_ms, now_ms) : 0;
    put_age(ex, fresh, now_ms);
    if (kept) {
        struct line life = {.n = 0};
        put(&life, s->gate.tokens ? SLICE("Cache-Control: private, max-age=") : SLICE("Cache-Control: max-age="));
        put_number(&life, left);
        put_stale_part(&life, SLICE(", stale-while-revalidate="), fresh, fresh->while_until_ms, now_ms);
        put_stale_part(&life, SLICE(", stale-if-error="), fresh, fresh->error_until_ms, now_ms);
        tell(reply, &life);
    } else {
        reply_line(reply, SLICE("Cache-Control: no-store\r\n"));
    }
    put_cache_status(ex, fresh, status, left, now_ms);
}

/* Strong tags of the same record differ by coding (RFC 9110 8.8.3.3): "0d3a52ac4d1e7b90" and "0d3a52ac4d1e7b90-gzip". */
bool answer_begin(struct exchange *ex, uint64_t tag, size_t bytes)
{
    const struct serve *s = ex->owner;
    char etag[19 + sizeof GZIP_TAG] = "";
    answer_etag(tag, etag);
    bool unchanged = answer_is_known(&ex->request, etag);
    bool gzip = compress_chosen(&s->compress, ex, bytes);
    if (gzip) memcpy(etag + 17, GZIP_TAG, sizeof GZIP_TAG);
    reply_begin(&ex->reply, unchanged ? 304 : 200);
    struct line line = {.n = 0};
    put(&line, SLICE("ETag: "));
    put(&line, slice_of(etag));
    tell(&ex->reply, &line);
    compress_vary(&s->compress, &ex->reply, bytes);
    if (gzip && !unchanged) compress_mark(&ex->reply);
    return !unchanged;
}

static bool answer_found(struct exchange *ex, uint64_t tag, size_t bytes, const struct freshness *fresh,
                         uint64_t now_ms)
{
    bool changed = answer_begin(ex, tag, bytes);
    put_freshness(ex, fresh, OK, now_ms);
    if (changed) reply_line(&ex->reply, SLICE("Content-Type: application/json\r\n"));
    return changed;
}

static void answer_problem(struct exchange *ex, const struct problem *p, const struct model *model,
                           const struct record_key *key, const struct freshness *fresh, uint64_t now_ms)
{
    problem_fill_cacheable(ex, p, model, key);
    put_freshness(ex, fresh, p->status, now_ms);
}

/* -- explained -- */

/* Without an entity tag, and nobody is to keep it: it tells of this one answer. */
static void put_provenance(struct exchange *ex, const struct freshness *fresh, enum status status, uint64_t now_ms)
{
    bool kept = fresh->known && fresh->stored;
    put_age(ex, fresh, now_ms);
    put_cache_status(ex, fresh, status, kept ? left_s(fresh->fresh_until_ms, now_ms) : 0, now_ms);
}

static void begin_explained(struct exchange *ex, const struct freshness *fresh, uint64_t now_ms)
{
    reply_begin(&ex->reply, 200);
    reply_header(&ex->reply, "Cache-Control", SLICE("no-store"));
    put_provenance(ex, fresh, OK, now_ms);
    reply_header(&ex->reply, "Content-Type", SLICE("application/json"));
}

static void answer_explained_problem(struct exchange *ex, const struct problem *p, const struct model *model,
                                     const struct record_key *key, const struct freshness *fresh, struct slice why,
                                     uint64_t now_ms)
{
    problem_fill_with(ex, p, model, key, EXPLAIN_MEMBER, why);
    put_provenance(ex, fresh, p->status, now_ms);
}

void answer_explained(struct exchange *ex, struct fetch *f, enum status status, uint64_t now_ms)
{
    struct freshness fresh = fetch_freshness(f);
    struct slice why = explain_fetch(ex, f, status, now_ms);
    if (status == MISSING) problem_set(&f->problem, MISSING, NULL, "%s", "");
    if (status != OK) {
        answer_explained_problem(ex, &f->problem, f->served->model, f->key, &fresh, why, now_ms);
        return;
    }
    begin_explained(ex, &fresh, now_ms);
    reply_body(&ex->reply, SLICE("{\"value\":"), NULL);
    reply_body(&ex->reply, f->entry.text, f->blob);
    f->blob = NULL;
    reply_body(&ex->reply, SLICE(",\"" EXPLAIN_MEMBER "\":"), NULL);
    reply_body(&ex->reply, why, NULL);
    reply_body(&ex->reply, SLICE("}"), NULL);
}

/* The document's text is put together by itself, so that its closing brace can stand behind one more member. */
static void answer_explained_document(struct exchange *ex, const struct documents *d, const struct document *doc,
                                      uint64_t now_ms)
{
    struct slice why = explain_document(ex, d, doc, now_ms);
    if (doc->status != OK) {
        answer_explained_problem(ex, &doc->problem, d->served->model, doc->key, &doc->fresh, why, now_ms);
        return;
    }
    struct buffer b;
    begin_explained(ex, &doc->fresh, now_ms);
    buffer_init(&b, doc->bytes + why.n + sizeof ",\"" EXPLAIN_MEMBER "\":}");
    compose_text(d, doc, &b);
    b.n--;
    buffer_slice(&b, b.p[b.n - 1] == '{' ? SLICE("\"" EXPLAIN_MEMBER "\":") : SLICE(",\"" EXPLAIN_MEMBER "\":"));
    buffer_slice(&b, why);
    buffer_char(&b, '}');
    reply_body(&ex->reply, arena_dup(&ex->arena, buffer_view(&b)), NULL);
    buffer_deinit(&b);
}

/* -- one record or result -- */

void answer_fetch(struct exchange *ex, struct fetch *f, enum status status, uint64_t now_ms)
{
    struct freshness fresh = fetch_freshness(f);
    bool has_body = status != MISSING && answer_found(ex, f->entry.tag, f->entry.text.n, &fresh, now_ms);
    if (status == MISSING)
        answer_problem(ex, &(struct problem){.status = MISSING}, f->served->model, f->key, &fresh, now_ms);
    groups_tell_record(&ex->reply, f->served->model, f->blob ? &f->entry : NULL);
    if (has_body) {
        reply_body(&ex->reply, f->entry.text, f->blob);
        f->blob = NULL;
    }
}

void answer_failure(struct exchange *ex, const struct fetch *f)
{
    struct freshness fresh = fetch_freshness(f);
    answer_problem(ex, &f->problem, f->served->model, f->key, &fresh, 0);
}

/* -- a document -- */

static void answer_plain_document(struct exchange *ex, const struct documents *d, const struct document *doc,
                                  uint64_t now_ms)
{
    bool has_body = doc->status == OK && answer_found(ex, doc->tag, doc->bytes, &doc->fresh, now_ms);
    if (doc->status != OK) answer_problem(ex, &doc->problem, d->served->model, doc->key, &doc->fresh, now_ms);
    if (doc->status == OK || doc->status == MISSING) groups_tell_document(&ex->reply, doc);
    if (has_body) compose_reply(d, doc, &ex->reply);
}

void answer_document(struct exchange *ex, const struct documents *d, const struct document *doc, uint64_t now_ms)
{
    if (d->view.explain) answer_explained_document(ex, d, doc, now_ms);
    else answer_plain_document(ex, d, doc, now_ms);
}
