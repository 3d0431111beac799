/* serve/resolve.c -- documents read, breadth first:
 *
 *     documents_start   roots are the first level
 *       gather            the records of a level (gather.h)         now or later
 *       judge             failures, missing records, what their     now
 *                         edges say of that
 *       expand            the next level: what the records refer to now
 *       ... until a level is empty; then each document gets its tag */
#include "serve/resolve.h"

#include "base/clock.h"
#include "base/hash.h"

#include <endian.h>
#include <stdlib.h>

/* -- judging a level -- */

/* "friends[3].mother": the path to where the record stands. */
static struct slice path_of(const struct occurrence *o, struct arena *arena)
{
    if (!o->parent) return SLICE("");
    struct slice above = path_of(o->parent, arena);
    const char *dot = above.n ? "." : "";
    if (o->edge->kind == FIELD_REFERENCE)
        return arena_printf(arena, "%.*s%s%.*s", SLICE_ARG(above), dot, SLICE_ARG(o->edge->name));
    return arena_printf(arena, "%.*s%s%.*s[%u]", SLICE_ARG(above), dot, SLICE_ARG(o->edge->name), o->element);
}

/* The whole document ends in this status, because of what stands there. */
static void fail(struct resolve *r, struct document *doc, const struct occurrence *o, enum status status,
                 const char *detail)
{
    struct slice path = path_of(o, r->owner->arena);
    doc->status = problem_set(&doc->problem, status, path.p, "%s", detail);
    if (status != MISSING) doc->fresh = (struct freshness){.source = o->record->source, .cause = o->record->cause};
    doc->level = NULL;
    r->losses = true;
}

static void fail_missing(struct resolve *r, struct document *doc, const struct occurrence *o)
{
    doc->absent = !o->record->blob;
    fail(r, doc, o, MISSING, o->parent ? "the record that is referred to here is missing" : "");
}

/* No record stands here: what the edge says of that, or the one above it. */
static void lose(struct resolve *r, struct document *doc, struct occurrence *lost)
{
    const struct record *record = lost->record;
    bool unknown = r->owner->demand->mode == FETCH_LOOK && record->served->model->loads && !record->blob;
    struct occurrence *o = lost;
    r->losses = true;
    while (o->parent && (unknown || o->edge->missing == EDGE_FAIL)) o = o->parent;
    if (!o->parent) fail_missing(r, doc, lost);
    else o->place = o->edge->missing == EDGE_NULL ? PLACE_NULL : PLACE_DROPPED;
}

static bool is_lost(const struct resolve *r, const struct occurrence *o)
{
    if (!r->losses) return false;
    while (o && o->place == PLACE_SHOWN) o = o->parent;
    return o != NULL;
}

static void keep_least(uint64_t *least, uint64_t other)
{
    if (other < *least) *least = other;
}

/* The whole is as old as its oldest part, as long good as the first one to end, and from the store when all is. */
static void join_freshness(struct freshness *whole, const struct record *record)
{
    static const int weight[] = {[SOURCE_NEAR] = 0,    [SOURCE_STORE] = 1,     [SOURCE_STALE] = 2,
                                 [SOURCE_NOWHERE] = 3, [SOURCE_COLLAPSED] = 4, [SOURCE_LOADED] = 5};
    if (weight[record->source] > weight[whole->source]) whole->source = record->source;
    if (record->cause > whole->cause) whole->cause = record->cause;
    whole->stored &= record->kept;
    if (!record->blob) return;
    struct freshness one;
    fetch_set_times(&one, record->served->model, &record->entry);
    if (!whole->known) {
        whole->stored_ms = one.stored_ms;
        whole->fresh_until_ms = one.fresh_until_ms;
        whole->while_until_ms = one.while_until_ms;
        whole->error_until_ms = one.error_until_ms;
    }
    keep_least(&whole->stored_ms, one.stored_ms);
    keep_least(&whole->fresh_until_ms, one.fresh_until_ms);
    keep_least(&whole->while_until_ms, one.while_until_ms);
    keep_least(&whole->error_until_ms, one.error_until_ms);
    whole->known = true;
}

static void count(struct resolve *r, const struct occurrence *parent, const struct field *f, enum edge_outcome outcome)
{
    static const char *const label[] = {
#define X(outcome, label) label,
        EDGE_MAP(X)
#undef X
    };
    struct served *served = parent->record->served;
    const struct model *m = served->model;
    if (!served->references) served->references = calloc(m->fields * EDGE_OUTCOMES, sizeof *served->references);
    if (!served->references) abort();
    struct counter **counter = &served->references[model_index(m, f) * EDGE_OUTCOMES + outcome];
    if (!*counter) {
        struct slice labels[] = {m->name, f->name, slice_of(label[outcome])};
        *counter = metrics_counter(r->owner->serve->metrics, METRIC_REFERENCES, labels);
    }
    counter_add(*counter, 1);
}

static enum edge_outcome outcome_of(const struct record *record)
{
    if (record->status == MISSING) return EDGE_MISSING;
    if (record->status != OK) return EDGE_FAILED;
    return record->source == SOURCE_LOADED      ? EDGE_LOADED
           : record->source == SOURCE_COLLAPSED ? EDGE_COLLAPSED
                                                : EDGE_HIT;
}

/* All records of the level are read. A failure beats whatever is missing. */
static void judge(struct resolve *r, struct document *doc)
{
    const struct occurrence *failed = NULL;
    for (struct occurrence *o = doc->level; o; o = o->next) {
        const struct record *record = o->record;
        if (o->parent) count(r, o->parent, o->edge, outcome_of(record));
        if (!failed && record->status != OK && record->status != MISSING) failed = o;
    }
    if (failed) {
        fail(r, doc, failed, failed->record->status, failed->record->problem->detail);
        if (!failed->parent) doc->problem = *failed->record->problem;
        return;
    }
    for (struct occurrence *o = doc->level; o && doc->status == OK; o = o->next) {
        if (is_lost(r, o)) continue;
        join_freshness(&doc->fresh, o->record);
        if (o->record->status == MISSING) lose(r, doc, o);
    }
}

/* -- the next level -- */

static bool stands_above(const struct record *record, const struct occurrence *o)
{
    while (o && o->record != record) o = o->parent;
    return o != NULL;
}

/* How many records the document has, counted by marking them. */
static size_t distinct(struct resolve *r, const struct document *doc)
{
    size_t n = 0;
    r->marks++;
    for (struct occurrence *o = doc->root; o; o = o->next) {
        n += o->record->mark != r->marks;
        o->record->mark = r->marks;
    }
    return n;
}

/* Room for one more place below the root? */
static bool has_room(const struct resolve *r, const struct document *doc)
{
    return doc->occurrences < DOCUMENT_OCCURRENCES_MAX && r->occurrences < DOCUMENTS_OCCURRENCES_MAX;
}

/* One more place, whose record is to be read if it is not yet. */
static void add_place(struct resolve *r, struct document *doc, struct occurrence *parent, struct occurrence place)
{
    struct occurrence *o = &parent->child[parent->children++];
    *o = place;
    o->parent = parent;
    o->depth = (uint8_t)(parent->depth + 1);
    doc->last = doc->last->next = o;
    doc->occurrences++;
    r->occurrences++;
}

/* The places below one that stands. False: there are too many. */
static bool expand(struct resolve *r, struct document *doc, struct occurrence *o)
{
    const struct model *m = o->record->served->model;
    const struct envelope *e = &o->record->entry;
    struct envelope_ref ref;
    const struct field *last = NULL;
    uint16_t slot = 0, element = 0;
    for (size_t at = 0; envelope_next_ref(e, &at, &ref); slot++) {
        const struct field *f = model_field_at(m, ref.place);
        size_t field = model_index(m, f);
        struct occurrence place = {
            .edge = f, .offset = ref.offset, .length = ref.length, .slot = slot, .place = PLACE_SHOWN};
        element = f == last ? element + 1 : 0;
        last = f;
        if (!pick_below(o->fields, field, &place.fields) || !pick_below(o->include, field, &place.include)) continue;
        if (o->depth >= r->owner->view.depth) {
            count(r, o, f, EDGE_DEPTH);
            continue;
        }
        if (!has_room(r, doc)) return false;
        place.element = element;
        place.record = gather_target(&r->gather, f->target, ref.pairs, slice_from(e->text.p + ref.offset, ref.length));
        if (stands_above(place.record, o)) {
            count(r, o, f, EDGE_CYCLE);
            continue;
        }
        if (!o->child) o->child = arena_alloc(r->owner->arena, (size_t)(e->refs - slot) * sizeof *o->child);
        add_place(r, doc, o, place);
    }
    return true;
}

/* Finds the next level of a document. */
static void descend(struct resolve *r, struct document *doc)
{
    struct occurrence *end = doc->last, *at = doc->level;
    for (; at; at = at == end ? NULL : at->next) {
        if (is_lost(r, at)) continue;
        doc->bytes += at->record->entry.text.n;
        r->bytes += at->record->entry.text.n;
        if (r->bytes > DOCUMENTS_BYTES_MAX) {
            fail(r, doc, at, DEPTH_EXCEEDED, "the document has more than 64 MiB of text");
            return;
        }
        if (at->record->entry.refs == 0 || expand(r, doc, at)) continue;
        fail(r, doc, at, DEPTH_EXCEEDED, "records stand in too many places of the document");
        return;
    }
    doc->level = end->next;
    if (doc->level && doc->occurrences > DOCUMENT_RECORDS_MAX && distinct(r, doc) > DOCUMENT_RECORDS_MAX + 1)
        fail(r, doc, doc->level, DEPTH_EXCEEDED, "the document has more than 1000 records");
}

/* -- the end -- */

/* A tag made of three numbers, the same on every machine. */
static uint64_t mix(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t words[] = {htole64(a), htole64(b), htole64(c)};
    return hash_text(slice_from(words, sizeof words)); /* as records have theirs */
}

/* The record's own tag while nothing in it was replaced or left out. As deep as the document. */
static uint64_t tag_of(const struct occurrence *o)
{
    const uint64_t chosen = (uint64_t)1 << 32; /* is no number of a slot */
    uint64_t tag = o->record->entry.tag;
    for (size_t i = 0, n = o->fields ? o->record->served->model->fields : 0; i < n; i++)
        if (o->fields->field[i]) tag = mix(tag, chosen, i);
    for (size_t i = 0; i < o->children; i++) {
        const struct occurrence *c = &o->child[i];
        tag = mix(tag, c->slot, c->place == PLACE_SHOWN ? tag_of(c) : (uint64_t)c->place);
    }
    return tag;
}

/* Wants the records of the level. False: there is no level. */
static bool want_level(struct resolve *r)
{
    bool any = false;
    for (size_t i = 0; i < r->owner->n; i++) {
        for (struct occurrence *o = r->owner->document[i].level; o; o = o->next) {
            gather_want(&r->gather, o->record);
            any = true;
        }
    }
    return any;
}

static void finish_tags(const struct documents *d)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->document[i].status == OK) d->document[i].tag = tag_of(d->document[i].root);
}

/* All records of the level are read. */
static void end_level(struct resolve *r)
{
    if (r->level_us) r->level_us[r->levels++] = clock_mono_us() - r->gather.began_us;
    for (size_t i = 0; i < r->owner->n; i++) {
        struct document *doc = &r->owner->document[i];
        if (doc->level) judge(r, doc);
        if (doc->level) descend(r, doc);
    }
}

/* From a level to be read to one that has to wait, or to the end. */
static enum status go_on(struct resolve *r, uint64_t now_ms)
{
    struct documents *d = r->owner;
    while (want_level(r)) {
        if (gather_start(&r->gather, now_ms) == PENDING) return PENDING;
        end_level(r);
    }
    finish_tags(d);
    return OK;
}

static void on_gathered(struct gather *g)
{
    struct resolve *r = container_of(g, struct resolve, gather);
    struct documents *d = r->owner;
    end_level(r);
    if (go_on(r, clock_wall_ms()) == OK) d->done(d); /* d and r may be gone */
}

/* -- start and finish -- */

static void plant(struct resolve *r, struct document *doc)
{
    const struct documents *d = r->owner;
    doc->status = OK;
    doc->absent = false;
    doc->fresh = (struct freshness){.source = SOURCE_NEAR, .stored = true};
    doc->tag = doc->bytes = doc->occurrences = 0;
    doc->root = doc->level = doc->last = arena_alloc(d->arena, sizeof *doc->root);
    *doc->root = (struct occurrence){.record = gather_root(&r->gather, d->served, doc->key),
                                     .include = d->view.include,
                                     .fields = d->view.fields,
                                     .place = PLACE_SHOWN};
}

enum status documents_start(struct documents *d, uint64_t now_ms)
{
    struct resolve *r = d->resolve = arena_alloc(d->arena, sizeof *r);
    *r = (struct resolve){.owner = d,
                          .gather = {.serve = d->serve,
                                     .generation = d->served->generation,
                                     .arena = d->arena,
                                     .demand = d->demand,
                                     .request = d->request,
                                     .trail = d->trail,
                                     .timed = d->view.explain,
                                     .done = on_gathered}};
    if (d->view.explain) r->level_us = arena_alloc(d->arena, (DEPTH_MAX + 1) * sizeof *r->level_us);
    for (size_t i = 0; i < d->n; i++) plant(r, &d->document[i]);
    return go_on(r, now_ms);
}

void documents_finish(struct documents *d)
{
    if (d->resolve) gather_finish(&d->resolve->gather);
    d->resolve = NULL;
}
