/* serve/resolve.c -- documents read, breadth first:
 *
 *     documents_start   roots are the first level
 *       read_level        one batched look for all records not seen before   now or later
 *         on_looked         what was not found is loaded, all at once        now or later
 *       judge             failures, missing records, what their edges say    now
 *       expand            the next level: what the records refer to          now
 *       ... until a level is empty; then each document gets its tag
 *
 * A record is known by its model and key and read once, for all documents of one reading. Everything lies in the owner's arena, so
 * nothing here is freed but references to blobs. It is one story with one state, so it stands in one file, though a long one. */
#include "serve/resolve.h"

#include "base/clock.h"
#include "base/hash.h"
#include "model/json.h"
#include "serve/seal.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>

#define SLOTS_FIRST 16 /* of the table of records, a power of two */

/* A look in the store for many records. */
struct look {
    struct store_many many;
    struct resolve *resolve;
    struct record **record;
    struct slice *key; /* of the same */
    bool waiting;
    struct look *next;
};

struct loading {
    struct fetch fetch;
    struct record_key key;
    struct resolve *resolve;
    struct record *record;
    struct loading *next;
};

struct resolve {
    struct documents *owner;
    struct record **slot; /* open addressing: by model and pairs */
    size_t slots, records;
    struct record *all;
    struct look *looks;
    struct loading *loadings;
    size_t unread;  /* records that nobody has asked for yet */
    size_t waiting; /* looks and loads under way */
    size_t occurrences;
    uint64_t bytes;
    unsigned marks;
    bool losses; /* has any reference been lost? */
};

/* -- records by key -- */

static size_t slot_of(const struct resolve *r, const struct served *served, struct slice pairs)
{
    size_t mask = r->slots - 1, i = (hash_seeded(pairs) + served->model->index) & mask;
    while (r->slot[i] && !(r->slot[i]->served == served && slice_eq(r->slot[i]->pairs, pairs))) i = (i + 1) & mask;
    return i;
}

static void grow(struct resolve *r)
{
    r->slots = r->slots ? r->slots * 2 : SLOTS_FIRST;
    r->slot = arena_zalloc(r->owner->arena, r->slots * sizeof *r->slot);
    for (struct record *record = r->all; record; record = record->next)
        r->slot[slot_of(r, record->served, record->pairs)] = record;
}

/* Where the record of this key stands in the table, or may be put. */
static struct record **find(struct resolve *r, const struct served *served, struct slice pairs)
{
    if (r->records * 4 >= r->slots * 3) grow(r);
    return &r->slot[slot_of(r, served, pairs)];
}

static struct record *add_record(struct resolve *r, struct record **slot, struct record record)
{
    *slot = arena_alloc(r->owner->arena, sizeof **slot);
    **slot = record;
    (*slot)->next = r->all;
    r->all = *slot;
    r->records++;
    r->unread++;
    return *slot;
}

static struct record *root_record(struct resolve *r, const struct record_key *key)
{
    struct served *served = r->owner->served;
    struct record **slot = find(r, served, key->pairs);
    if (*slot) return *slot;
    return add_record(r, slot,
                      (struct record){.served = served, .stored = key->stored, .pairs = key->pairs, .key = key});
}

static struct record *target_record(struct resolve *r, const struct model *target, struct slice pairs,
                                    struct slice stub)
{
    struct served *served = served_of(r->owner->served->generation, target);
    struct record **slot = find(r, served, pairs);
    if (*slot) return *slot;
    struct slice prefix = target->key_prefix;
    char *stored = arena_bytes(r->owner->arena, prefix.n + pairs.n), *tail = mempcpy(stored, prefix.p, prefix.n);
    memcpy(tail, pairs.p, pairs.n);
    return add_record(
        r, slot,
        (struct record){
            .served = served, .stored = {stored, prefix.n + pairs.n}, .pairs = {tail, pairs.n}, .stub = stub});
}

/* -- one record read -- */

/* Does the name of the field stand before its first stub, as codec.c writes it? */
static bool stands_behind(struct slice text, size_t offset, const struct field *f)
{
    size_t bracket = f->kind == FIELD_REFERENCES;
    if (offset < f->prefix.n + bracket) return false;
    return (!bracket || text.p[offset - 1] == '[') &&
           memcmp(text.p + offset - bracket - f->prefix.n, f->prefix.p, f->prefix.n) == 0;
}

/* Do the references of what a store has given back fit its text and the model? */
static bool references_fit(const struct model *m, const struct envelope *e)
{
    struct slice text = e->text;
    struct envelope_ref ref;
    size_t behind = 0, last = SIZE_MAX; /* of the stub before: where it ends, its field */
    for (size_t at = 0; envelope_next_ref(e, &at, &ref);) {
        if (ref.field >= m->fields || !field_refers(&m->field[ref.field]) || ref.pairs.n == 0) return false;
        const struct field *f = &m->field[ref.field];
        size_t end = ref.offset + (size_t)ref.length;
        bool goes_on = f->kind == FIELD_REFERENCES && ref.field == last && ref.offset == behind + 1;
        if (goes_on ? text.p[behind] != ',' : !stands_behind(text, ref.offset, f)) return false;
        if (text.p[ref.offset] != '{' || text.p[end - 1] != '}') return false;
        behind = end;
        last = ref.field;
    }
    return true;
}

static bool is_sound(struct resolve *r, const struct record *record, const struct blob *blob)
{
    if (references_fit(record->served->model, &record->entry)) return true;
    seal_damaged(r->owner->serve, record->served, record->stored, blob->n);
    return false;
}

/* What there is of the record, a view into which is record->entry. Takes the blob. */
static void settle(struct record *record, enum fetch_source source, bool kept, enum status status, struct blob *blob)
{
    record->source = source;
    record->kept = kept;
    record->status = blob && record->entry.kind == ENVELOPE_NEGATIVE ? MISSING : status;
    record->blob = blob;
}

/* There is nothing, and nobody makes it. */
static void settle_without(struct resolve *r, struct record *record, enum status status)
{
    settle(record, SOURCE_NOWHERE, false, status, NULL);
    if (status == MISSING) return;
    struct problem *why = arena_alloc(r->owner->arena, sizeof *why);
    if (status == DEPTH_EXCEEDED) problem_set(why, status, NULL, "its records are too many bytes");
    else fetch_nothing(status, why);
    record->problem = why;
}

/* -- loading -- */

/* The key's values stand in the stub. False: they are not what the stored key was made of. */
static bool key_of_stub(struct resolve *r, const struct record *record, struct record_key *key)
{
    const struct model *m = record->served->model;
    struct arena *arena = r->owner->arena;
    struct key_draft draft;
    struct json_member member;
    key_draft_init(&draft);
    for (size_t at = 0; json_cut(record->stub, &at, &member);) {
        const struct field *f = model_field(m, member.name);
        if (!f || !field_is_key(f)) continue; /* `$ref` */
        if (key_set_json(m, &draft, model_key_position(m, f), member.value, arena, NULL) != OK) return false;
    }
    return key_finish(m, &draft, arena, key, NULL) == OK && slice_eq(key->stored, record->stored);
}

static void loaded(struct loading *l, enum status status)
{
    struct record *record = l->record;
    struct blob *blob = l->fetch.blob;
    l->fetch.blob = NULL;
    record->entry = l->fetch.entry;
    record->problem = &l->fetch.problem;
    if (status == OK && !is_sound(l->resolve, record, blob)) {
        blob_unref(blob);
        settle(record, l->fetch.source, false, MISSING, NULL);
        return;
    }
    settle(record, l->fetch.source, l->fetch.stored, status, blob);
}

static void go_on_later(struct resolve *r);

static void on_loaded(struct fetch *f, enum status status)
{
    struct loading *l = container_of(f, struct loading, fetch);
    struct resolve *r = l->resolve;
    loaded(l, status);
    r->waiting--;
    go_on_later(r); /* r may be gone */
}

static void load(struct resolve *r, struct record *record)
{
    const struct documents *d = r->owner;
    struct loading *l = arena_alloc(d->arena, sizeof *l);
    if (!record->key) {
        if (!key_of_stub(r, record, &l->key)) {
            seal_damaged(d->serve, record->served, record->stored, record->stub.n);
            settle_without(r, record, MISSING);
            return;
        }
        record->key = &l->key;
    }
    l->fetch = (struct fetch){.serve = d->serve,
                              .served = record->served,
                              .key = record->key,
                              .mode = d->mode,
                              .request = d->request,
                              .trail = d->trail,
                              .done = on_loaded};
    l->resolve = r;
    l->record = record;
    l->next = r->loadings;
    r->loadings = l;
    enum status status = fetch_load(&l->fetch, record->landings);
    if (status == PENDING) r->waiting++;
    else loaded(l, status);
}

/* -- looking -- */

/* Takes the blob. */
static void looked(struct resolve *r, struct record *record, enum status status, struct blob *blob, uint64_t now_ms)
{
    const struct documents *d = r->owner;
    if (blob) {
        status = fetch_open(d->serve, record->served, record->stored, blob, now_ms, &record->entry);
        if (status == OK && !is_sound(r, record, blob)) status = MISSING;
        if (status == OK) {
            settle(record, SOURCE_STORE, true, OK, blob);
            return;
        }
        blob_unref(blob);
    }
    bool loads = record->served->model->loads && d->mode != FETCH_LOOK;
    if (loads && (status == MISSING || status == STORE_UNAVAILABLE)) load(r, record);
    else settle_without(r, record, status);
}

static void look_ended(struct look *look, enum status status, uint64_t now_ms)
{
    struct store_many *many = &look->many;
    for (size_t i = 0; i < many->n; i++)
        looked(look->resolve, look->record[i], status == OK ? MISSING : status, many->value[i], now_ms);
}

static void on_looked(struct store_many *many, enum status status)
{
    struct look *look = container_of(many, struct look, many);
    struct resolve *r = look->resolve;
    look->waiting = false;
    look_ended(look, status, clock_wall_ms());
    r->waiting--;
    go_on_later(r); /* r may be gone */
}

static struct look *look_new(struct resolve *r, size_t n)
{
    struct arena *arena = r->owner->arena;
    if (n > STORE_MANY_MAX) n = STORE_MANY_MAX;
    struct look *look = arena_alloc(arena, sizeof *look);
    look->resolve = r;
    look->waiting = false;
    look->record = arena_alloc(arena, n * sizeof *look->record);
    look->many.key = look->key = arena_alloc(arena, n * sizeof *look->key);
    look->many.value = arena_zalloc(arena, n * sizeof *look->many.value);
    look->many.n = 0;
    look->many.done = on_looked;
    look->next = r->looks;
    r->looks = look;
    return look;
}

static void look_add(struct look *look, struct record *record)
{
    look->record[look->many.n] = record;
    look->key[look->many.n++] = record->stored;
}

static void look_start(struct look *look, uint64_t now_ms)
{
    struct resolve *r = look->resolve;
    enum status status = store_get_many(r->owner->serve->store, now_ms, &look->many);
    look->waiting = status == PENDING;
    if (look->waiting) r->waiting++;
    else look_ended(look, status, now_ms);
}

/* Asks for every record of the level that nobody has asked for. */
static void read_level(struct resolve *r, uint64_t now_ms)
{
    const struct documents *d = r->owner;
    struct look *look = NULL;
    for (size_t i = 0; i < d->n; i++) {
        for (struct occurrence *o = d->document[i].level; o; o = o->next) {
            struct record *record = o->record;
            if (record->asked) continue;
            record->asked = true;
            r->unread--;
            if (record->served->model->loads) record->landings = flight_landings(d->serve->flights, record->stored);
            if (record->served->model->loads && d->mode == FETCH_RELOAD) {
                load(r, record);
                continue;
            }
            if (!look) look = look_new(r, r->unread + 1);
            look_add(look, record);
            if (look->many.n < STORE_MANY_MAX) continue;
            look_start(look, now_ms);
            look = NULL;
        }
    }
    if (look) look_start(look, now_ms);
}

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
    if (status != MISSING) doc->fresh = (struct freshness){.mode = r->owner->mode, .source = SOURCE_NOWHERE};
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
    bool unknown = r->owner->mode == FETCH_LOOK && record->served->model->loads && !record->blob;
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

/* The whole is as old as its oldest part, as long good as the first one to end, and from the store when all is. */
static void join_freshness(struct freshness *whole, const struct record *record)
{
    static const int weight[] = {[SOURCE_STORE] = 0, [SOURCE_NOWHERE] = 1, [SOURCE_COLLAPSED] = 2, [SOURCE_LOADED] = 3};
    const struct envelope *e = &record->entry;
    if (weight[record->source] > weight[whole->source]) whole->source = record->source;
    whole->stored &= record->kept;
    if (!record->blob) return;
    if (!whole->known || e->stored_ms < whole->stored_ms) whole->stored_ms = e->stored_ms;
    if (!whole->known || e->fresh_until_ms < whole->fresh_until_ms) whole->fresh_until_ms = e->fresh_until_ms;
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
    return record->source == SOURCE_STORE ? EDGE_HIT : record->source == SOURCE_LOADED ? EDGE_LOADED : EDGE_COLLAPSED;
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
    uint16_t slot = 0, element = 0, field = UINT16_MAX;
    for (size_t at = 0; envelope_next_ref(e, &at, &ref); slot++) {
        const struct field *f = &m->field[ref.field];
        struct occurrence place = {
            .edge = f, .offset = ref.offset, .length = ref.length, .slot = slot, .place = PLACE_SHOWN};
        element = ref.field == field ? element + 1 : 0;
        field = ref.field;
        if (!pick_below(o->fields, field, &place.fields) || !pick_below(o->include, field, &place.include)) continue;
        if (o->depth >= r->owner->view.depth) {
            count(r, o, f, EDGE_DEPTH);
            continue;
        }
        if (!has_room(r, doc)) return false;
        place.element = element;
        place.record = target_record(r, f->target, ref.pairs, slice_from(e->text.p + ref.offset, ref.length));
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
    return hash_fixed(slice_from(words, sizeof words));
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

static bool has_level(const struct documents *d)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->document[i].level) return true;
    return false;
}

/* From a level that is read to the next that has to wait, or to the end. */
static enum status go_on(struct resolve *r, uint64_t now_ms)
{
    struct documents *d = r->owner;
    while (r->waiting == 0) {
        for (size_t i = 0; i < d->n; i++) {
            struct document *doc = &d->document[i];
            if (doc->level) judge(r, doc);
            if (doc->level) descend(r, doc);
        }
        if (!has_level(d)) {
            for (size_t i = 0; i < d->n; i++)
                if (d->document[i].status == OK) d->document[i].tag = tag_of(d->document[i].root);
            return OK;
        }
        read_level(r, now_ms);
    }
    return PENDING;
}

static void go_on_later(struct resolve *r)
{
    struct documents *d = r->owner;
    if (go_on(r, clock_wall_ms()) == OK) d->done(d);
}

/* -- start and finish -- */

static void plant(struct resolve *r, struct document *doc)
{
    const struct documents *d = r->owner;
    doc->status = OK;
    doc->absent = false;
    doc->fresh = (struct freshness){.mode = d->mode, .source = SOURCE_STORE, .stored = true};
    doc->tag = doc->bytes = doc->occurrences = 0;
    doc->root = doc->level = doc->last = arena_alloc(d->arena, sizeof *doc->root);
    *doc->root = (struct occurrence){
        .record = root_record(r, doc->key), .include = d->view.include, .fields = d->view.fields, .place = PLACE_SHOWN};
}

enum status documents_start(struct documents *d, uint64_t now_ms)
{
    struct resolve *r = d->resolve = arena_alloc(d->arena, sizeof *r);
    *r = (struct resolve){.owner = d};
    for (size_t i = 0; i < d->n; i++) plant(r, &d->document[i]);
    read_level(r, now_ms);
    return go_on(r, now_ms);
}

void documents_finish(struct documents *d)
{
    struct resolve *r = d->resolve;
    if (!r) return;
    for (struct look *look = r->looks; look; look = look->next)
        if (look->waiting) store_many_cancel(&look->many);
    for (struct loading *l = r->loadings; l; l = l->next) fetch_finish(&l->fetch);
    for (struct record *record = r->all; record; record = record->next) blob_unref(record->blob);
    d->resolve = NULL;
}
