/* serve/explain.c -- written when all is over, from what the reading has left: the records and the places where they stand. A record is told
 * of whole at the first of its places; at the others only that it stands there again. */
#include "serve/explain.h"

#include "base/clock.h"
#include "base/json.h"
#include "serve/resolve.h"
#include "serve/seal.h"

#define EXPLAIN_BYTES_MAX (8u << 20)

/* What is told of one record or result. */
struct told {
    const struct serve *serve;
    const struct model *model;
    struct slice key;
    enum status status;
    const struct problem *problem; /* of a failure */
    const struct envelope *entry;  /* NULL: there is none */
    enum fetch_source source;
    bool kept;
    uint64_t waited_us, load_us;
};

static bool is_failure(enum status status) { return status != OK && status != MISSING; }

static const char *source_name(const struct serve *s, enum fetch_source source)
{
    switch (source) {
    case SOURCE_NEAR: return "near";
    case SOURCE_STORE: return s->store_detail;
    case SOURCE_STALE: return "stale";
    case SOURCE_LOADED: return "loaded";
    case SOURCE_COLLAPSED: return "collapsed";
    case SOURCE_NOWHERE: break;
    }
    return "nowhere";
}

/* "ms":1.234 of 1234: what is counted in thousands, as a decimal. */
static void put_thousandths(struct buffer *b, const char *member, uint64_t n)
{
    buffer_printf(b, "\"%s\":%llu.%03u", member, (unsigned long long)(n / 1000), (unsigned)(n % 1000));
}

static void put_name(struct buffer *b, const char *member, struct slice text)
{
    buffer_printf(b, "\"%s\":", member);
    json_put_string(b, text);
}

static void put_times(struct buffer *b, const struct envelope *e, uint64_t now_ms)
{
    buffer_char(b, ',');
    put_thousandths(b, "age", now_ms > e->stored_ms ? now_ms - e->stored_ms : 0);
    if (e->fresh_until_ms == CLOCK_NEVER) return;
    bool over = e->fresh_until_ms < now_ms;
    buffer_printf(b, ",\"ttl\":%s", over ? "-" : "");
    uint64_t left = over ? now_ms - e->fresh_until_ms : e->fresh_until_ms - now_ms;
    buffer_printf(b, "%llu.%03u", (unsigned long long)(left / 1000), (unsigned)(left % 1000));
}

static void put_tags(struct buffer *b, struct slice tags)
{
    const char *before = ",\"tags\":[";
    for (size_t n; tags.n; tags = slice_skip(tags, n + 1), before = ",") {
        n = (unsigned char)tags.p[0];
        if (n >= tags.n) break; /* what a store has given back may be cut */
        buffer_slice(b, slice_of(before));
        json_put_string(b, slice_from(tags.p + 1, n));
    }
    if (*before == ',' && before[1] == '\0') buffer_char(b, ']');
}

/* The members of one node, without braces. */
static void put_told(struct buffer *b, const struct told *t, uint64_t now_ms)
{
    bool failed = is_failure(t->status);
    put_name(b, "model", t->model->name);
    buffer_char(b, ',');
    put_name(b, "key", t->key);
    buffer_printf(b, ",\"status\":\"%s\",\"found\":\"%s\",", status_code(t->status),
                  source_name(t->serve, failed ? SOURCE_NOWHERE : t->source));
    put_thousandths(b, "ms", t->waited_us);
    if (failed && t->problem) {
        buffer_char(b, ',');
        put_name(b, "detail", slice_of(t->problem->detail));
    }
    struct seal_notes notes = {.tags = {NULL, 0}};
    if (t->entry) notes = seal_notes_of(t->entry);
    uint64_t load_us = t->load_us ? t->load_us : notes.load_us;
    if (load_us) {
        buffer_char(b, ',');
        put_thousandths(b, "load_ms", load_us);
    }
    if (!t->entry) return;
    put_times(b, t->entry, now_ms);
    buffer_printf(b, ",\"stored\":%s,\"bytes\":%zu", t->kept ? "true" : "false", t->entry->text.n);
    put_tags(b, notes.tags);
}

/* -- a document -- */

static struct told record_told(const struct documents *d, const struct record *record)
{
    return (struct told){.serve = d->serve,
                         .model = record->served->model,
                         .key = record->stored,
                         .status = record->status,
                         .problem = record->problem,
                         .entry = record->blob ? &record->entry : NULL,
                         .source = record->source,
                         .kept = record->kept,
                         .waited_us = record->waited_us,
                         .load_us = record->load_us};
}

static void put_node(struct buffer *b, const struct documents *d, const struct occurrence *o, unsigned mark,
                     uint64_t now_ms);

/* ,"references":{"friends[3]":{...}}: those whose records were read. */
static void put_references(struct buffer *b, const struct documents *d, const struct occurrence *o, unsigned mark,
                           uint64_t now_ms)
{
    const char *before = ",\"references\":{";
    for (size_t i = 0; i < o->children; i++) {
        const struct occurrence *c = &o->child[i];
        if (!c->record->wanted) continue; /* the document had failed by then */
        buffer_printf(b, "%s\"%.*s", before, SLICE_ARG(c->edge->name));
        if (c->edge->kind == FIELD_REFERENCES) buffer_printf(b, "[%u]", c->element);
        buffer_slice(b, SLICE("\":"));
        put_node(b, d, c, mark, now_ms);
        before = ",";
    }
    if (before[1] == '\0') buffer_char(b, '}');
}

/* As deep as the document. */
static void put_node(struct buffer *b, const struct documents *d, const struct occurrence *o, unsigned mark,
                     uint64_t now_ms)
{
    struct record *record = o->record;
    bool again = record->mark == mark;
    record->mark = mark;
    buffer_char(b, '{');
    if (again) {
        put_name(b, "model", record->served->model->name);
        buffer_char(b, ',');
        put_name(b, "key", record->stored);
        buffer_slice(b, SLICE(",\"again\":true"));
    } else {
        struct told told = record_told(d, record);
        put_told(b, &told, now_ms);
    }
    put_references(b, d, o, mark, now_ms);
    buffer_char(b, '}');
}

/* {"records":3,"ms":0.412,"found":{"redis":2,"loaded":1}}: the records that were first met at this depth. */
static void put_level(struct buffer *b, const struct documents *d, const struct document *doc, unsigned depth,
                      unsigned mark)
{
    size_t records = 0, found[SOURCE_NOWHERE + 1] = {0};
    for (const struct occurrence *o = doc->root; o; o = o->next) {
        if (o->depth != depth || o->record->mark == mark) continue;
        o->record->mark = mark;
        records++;
        found[is_failure(o->record->status) ? SOURCE_NOWHERE : o->record->source]++;
    }
    buffer_printf(b, "{\"records\":%zu,", records);
    put_thousandths(b, "ms", d->resolve->level_us[depth]);
    buffer_slice(b, SLICE(",\"found\":{"));
    const char *comma = "";
    for (int source = 0; source <= SOURCE_NOWHERE; source++) {
        if (!found[source]) continue;
        buffer_printf(b, "%s\"%s\":%zu", comma, source_name(d->serve, (enum fetch_source)source), found[source]);
        comma = ",";
    }
    buffer_slice(b, SLICE("}}"));
}

static void begin(struct buffer *b, const struct exchange *ex)
{
    buffer_init(b, EXPLAIN_BYTES_MAX);
    buffer_char(b, '{');
    put_thousandths(b, "ms", clock_mono_us() - ex->started_us);
}

static struct slice end(struct buffer *b, struct exchange *ex)
{
    buffer_char(b, '}');
    struct slice text = arena_dup(&ex->arena, buffer_view(b));
    buffer_deinit(b);
    return text;
}

struct slice explain_document(struct exchange *ex, const struct documents *d, const struct document *doc,
                              uint64_t now_ms)
{
    struct resolve *r = d->resolve;
    struct buffer b;
    begin(&b, ex);
    r->marks++;
    for (unsigned depth = 0; depth < r->levels; depth++) {
        buffer_slice(&b, depth ? SLICE(",") : SLICE(",\"levels\":["));
        put_level(&b, d, doc, depth, r->marks);
    }
    buffer_slice(&b, SLICE("],\"tree\":"));
    size_t before = b.n;
    put_node(&b, d, doc->root, ++r->marks, now_ms);
    if (b.overflow) { /* of very many records with very many tags: without the tree, rather than half of it */
        b.n = before;
        b.overflow = false;
        buffer_slice(&b, SLICE("null"));
    }
    return end(&b, ex);
}

/* -- a result -- */

struct slice explain_fetch(struct exchange *ex, const struct fetch *f, enum status status, uint64_t now_ms)
{
    struct told told = {.serve = f->serve,
                        .model = f->served->model,
                        .key = f->key->stored,
                        .status = status,
                        .problem = &f->problem,
                        .entry = f->blob ? &f->entry : NULL,
                        .source = f->source,
                        .kept = f->stored,
                        .waited_us = clock_mono_us() - ex->started_us,
                        .load_us = f->load_us};
    struct buffer b;
    begin(&b, ex);
    buffer_slice(&b, SLICE(",\"tree\":{"));
    put_told(&b, &told, now_ms);
    buffer_char(&b, '}');
    return end(&b, ex);
}
