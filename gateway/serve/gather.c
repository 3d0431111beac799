/* serve/gather.c -- records by the level:
 *
 *     gather_start   near copies                       now
 *                    one look for all others wanted    now or later
 *       looked         found, or else
 *         load           one flight each               now or later
 *       settle         there, or known not to be
 *
 * Everything lies in the owner's arena, so nothing here is freed but references to blobs. */
#include "serve/gather.h"

#include "base/clock.h"
#include "base/hash.h"
#include "model/json.h"
#include "serve/seal.h"

#define SLOTS_FIRST 16 /* of the table of records, a power of two */

/* A look in the store for many records. */
struct look {
    struct store_many many;
    struct gather *gather;
    struct record **record;
    struct slice *key; /* of the same */
    bool waiting;
    struct look *next;
};

struct loading {
    struct fetch fetch;
    struct gather *gather;
    struct record *record;
    struct loading *next;
};

/* -- records by key -- */

static uint64_t hash_of(const struct served *served, struct slice pairs)
{
    return hash_seeded(pairs) + served->model->index;
}

static size_t slot_of(const struct gather *g, uint64_t hash, const struct served *served, struct slice pairs)
{
    size_t mask = g->slots - 1, i = hash & mask;
    for (struct record *at; (at = g->slot[i]); i = (i + 1) & mask)
        if (at->hash == hash && at->served == served && slice_eq(at->pairs, pairs)) break;
    return i;
}

static void grow(struct gather *g)
{
    g->slots = g->slots ? g->slots * 2 : SLOTS_FIRST;
    g->slot = arena_zalloc(g->arena, g->slots * sizeof *g->slot);
    for (struct record *record = g->all; record; record = record->next)
        g->slot[slot_of(g, record->hash, record->served, record->pairs)] = record;
}

/* Where the record of this key stands in the table, or may be put. */
static struct record **find(struct gather *g, uint64_t hash, const struct served *served, struct slice pairs)
{
    if (g->records * 4 >= g->slots * 3) grow(g);
    return &g->slot[slot_of(g, hash, served, pairs)];
}

static struct record *add_record(struct gather *g, struct record **slot, struct record record)
{
    *slot = arena_alloc(g->arena, sizeof **slot);
    **slot = record;
    (*slot)->next = g->all;
    g->all = *slot;
    g->records++;
    return *slot;
}

struct record *gather_root(struct gather *g, struct served *served, const struct record_key *key)
{
    uint64_t hash = hash_of(served, key->pairs);
    struct record **slot = find(g, hash, served, key->pairs);
    if (*slot) return *slot;
    return add_record(
        g, slot,
        (struct record){.served = served, .hash = hash, .stored = key->stored, .pairs = key->pairs, .key = key});
}

struct record *gather_target(struct gather *g, const struct model *target, struct slice pairs, struct slice stub)
{
    struct served *served = served_of(g->generation, target);
    uint64_t hash = hash_of(served, pairs);
    struct record **slot = find(g, hash, served, pairs);
    if (*slot) return *slot;
    struct slice prefix = target->key_prefix;
    size_t n = prefix.n + pairs.n;
    char *stored = arena_bytes(g->arena, n), *tail = mempcpy(stored, prefix.p, prefix.n);
    memcpy(tail, pairs.p, pairs.n);
    return add_record(
        g, slot,
        (struct record){.served = served, .hash = hash, .stored = {stored, n}, .pairs = {tail, pairs.n}, .stub = stub});
}

void gather_want(struct gather *g, struct record *record)
{
    if (record->wanted) return;
    record->wanted = true;
    if (g->wanted) g->last_wanted->next_wanted = record;
    else g->wanted = record;
    g->last_wanted = record;
    g->n_wanted++;
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
    size_t behind = 0; /* the end of the stub before */
    const struct field *last = NULL;
    for (size_t at = 0; envelope_next_ref(e, &at, &ref);) {
        const struct field *f = model_field_at(m, ref.place);
        if (!f || !field_refers(f) || ref.pairs.n == 0) return false;
        size_t end = ref.offset + (size_t)ref.length;
        bool goes_on = f->kind == FIELD_REFERENCES && f == last && ref.offset == behind + 1;
        if (goes_on ? text.p[behind] != ',' : !stands_behind(text, ref.offset, f)) return false;
        if (text.p[ref.offset] != '{' || text.p[end - 1] != '}') return false;
        behind = end;
        last = f;
    }
    return true;
}

static bool is_sound(struct gather *g, const struct record *record, const struct blob *blob)
{
    if (references_fit(record->served->model, &record->entry)) return true;
    seal_damaged(g->serve, record->served, record->stored, blob->n);
    return false;
}

/* What there is of the record, a view into which is record->entry. Takes the blob. */
static void settle(struct gather *g, struct record *record, enum fetch_source source, bool kept, enum status status,
                   struct blob *blob)
{
    if (g->timed) record->waited_us = clock_mono_us() - g->began_us;
    record->source = source;
    record->kept = kept;
    record->status = blob && record->entry.kind == ENVELOPE_NEGATIVE ? MISSING : status;
    record->blob = blob;
}

/* There is nothing, and nobody makes it. */
static void settle_without(struct gather *g, struct record *record, enum status status)
{
    settle(g, record, SOURCE_NOWHERE, false, status, NULL);
    if (status == MISSING) return;
    struct problem *why = arena_alloc(g->arena, sizeof *why);
    if (status == DEPTH_EXCEEDED) problem_set(why, status, NULL, "its records are too many bytes");
    else fetch_nothing(status, why);
    record->problem = why;
}

/* -- loading -- */

/* The key's values stand in the stub, which a store has given back: nobody has judged yet whether it is JSON. False: they are not what the stored key
 * was made of. */
static bool key_of_stub(struct gather *g, const struct record *record, struct record_key *key)
{
    const struct model *m = record->served->model;
    struct arena *arena = g->arena;
    struct key_draft draft;
    struct json_member member;
    struct slice stub;
    key_draft_init(&draft);
    if (json_compact(record->stub, arena, &stub, NULL) != OK) return false;
    for (size_t at = 0; json_cut(stub, &at, &member);) {
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
    record->cause = l->fetch.cause;
    record->problem = &l->fetch.problem;
    record->load_us = l->fetch.load_us;
    if (status == OK && !is_sound(l->gather, record, blob)) {
        blob_unref(blob);
        settle(l->gather, record, l->fetch.source, false, MISSING, NULL);
        return;
    }
    settle(l->gather, record, l->fetch.source, l->fetch.stored, status, blob);
}

/* One look or load less is under way. `g` may be gone then. */
static void ended(struct gather *g)
{
    if (--g->waiting == 0) g->done(g);
}

static void on_loaded(struct fetch *f, enum status status)
{
    struct loading *l = container_of(f, struct loading, fetch);
    struct gather *g = l->gather;
    loaded(l, status);
    ended(g);
}

/* The record's key with its values. False, and it is settled as missing, where its stub is damaged. */
static bool has_key(struct gather *g, struct record *record)
{
    if (record->key) return true;
    struct record_key *key = arena_alloc(g->arena, sizeof *key);
    if (key_of_stub(g, record, key)) {
        record->key = key;
        return true;
    }
    seal_damaged(g->serve, record->served, record->stored, record->stub.n);
    return false;
}

/* Takes the blob `old`, which may be NULL. */
static void load(struct gather *g, struct record *record, struct blob *old, enum use use)
{
    struct loading *l = arena_alloc(g->arena, sizeof *l);
    if (!has_key(g, record)) {
        blob_unref(old);
        settle_without(g, record, MISSING);
        return;
    }
    l->fetch = (struct fetch){.serve = g->serve,
                              .served = record->served,
                              .key = record->key,
                              .demand = g->demand,
                              .request = g->request,
                              .trail = g->trail,
                              .old = old,
                              .use = use,
                              .done = on_loaded};
    l->gather = g;
    l->record = record;
    l->next = g->loadings;
    g->loadings = l;
    enum status status = fetch_load(&l->fetch, record->landings);
    if (status == PENDING) g->waiting++;
    else loaded(l, status);
}

/* It is answered as it is, and loaded behind the answer. */
static void refresh(struct gather *g, struct record *record)
{
    if (has_key(g, record)) fetch_refresh(g->serve, record->served, record->key, g->request, record->blob);
}

/* -- looking -- */

/* The store is away. Does a copy that is left of the time before settle it? */
static bool take_left(struct gather *g, struct record *record, uint64_t now_ms)
{
    const struct model *m = record->served->model;
    struct blob *left = fetch_open_left(g->serve, record->served, record->stored, now_ms, &record->entry);
    if (!left) return false;
    if (!is_sound(g, record, left) || demand_use(g->demand, m, &record->entry, LIFE_STALE_ERROR, now_ms) == USE_NOT) {
        blob_unref(left);
        return false;
    }
    settle(g, record, SOURCE_STALE, true, OK, left);
    return true;
}

/* Takes the blob. */
static void looked(struct gather *g, struct record *record, enum status status, struct blob *blob, uint64_t now_ms)
{
    const struct model *m = record->served->model;
    bool loads = m->loads && g->demand->mode != FETCH_LOOK;
    struct blob *old = NULL;
    enum use use = USE_NOT;
    if (status == STORE_UNAVAILABLE && take_left(g, record, now_ms)) return;
    if (status == MISSING && !blob) store_drop_near(g->serve->store, record->stored, &record->near);
    if (blob) {
        enum life life;
        status =
            fetch_open(g->serve, record->served, record->stored, blob, now_ms, &record->near, &record->entry, &life);
        if (status == OK && !is_sound(g, record, blob)) status = MISSING;
        if (status == OK) use = demand_use(g->demand, m, &record->entry, life, now_ms);
        if (status == OK && use == USE_NOW) {
            settle(g, record, fetch_found_source(life, &record->near), true, OK, blob);
            if (life != LIFE_FRESH && g->demand->mode == FETCH_LOAD) refresh(g, record);
            return;
        }
        if (status == OK && loads) old = blob;
        else blob_unref(blob);
        if (status == OK) status = MISSING;
    }
    if (loads && (status == MISSING || status == STORE_UNAVAILABLE)) load(g, record, old, use);
    else settle_without(g, record, status);
}

static void look_ended(struct look *look, enum status status, uint64_t now_ms)
{
    struct store_many *many = &look->many;
    for (size_t i = 0; i < many->n; i++)
        looked(look->gather, look->record[i], status == OK ? MISSING : status, many->value[i], now_ms);
}

static void on_looked(struct store_many *many, enum status status)
{
    struct look *look = container_of(many, struct look, many);
    struct gather *g = look->gather;
    look->waiting = false;
    look_ended(look, status, clock_wall_ms());
    ended(g);
}

static struct look *look_new(struct gather *g)
{
    struct arena *arena = g->arena;
    size_t n = g->n_wanted < STORE_MANY_MAX ? g->n_wanted : STORE_MANY_MAX;
    struct look *look = arena_alloc(arena, sizeof *look);
    look->gather = g;
    look->waiting = false;
    look->record = arena_alloc(arena, n * sizeof *look->record);
    look->many.key = look->key = arena_alloc(arena, n * sizeof *look->key);
    look->many.value = arena_zalloc(arena, n * sizeof *look->many.value);
    look->many.n = 0;
    look->many.level = false;
    look->many.done = on_looked;
    look->next = g->looks;
    g->looks = look;
    return look;
}

static void look_add(struct look *look, struct record *record)
{
    look->record[look->many.n] = record;
    look->key[look->many.n++] = record->stored;
}

static void look_start(struct look *look, uint64_t now_ms)
{
    struct gather *g = look->gather;
    enum status status = store_get_many(g->serve->store, now_ms, &look->many);
    look->waiting = status == PENDING;
    if (look->waiting) g->waiting++;
    else look_ended(look, status, now_ms);
}

/* -- all that is wanted -- */

/* Takes the near copy of a record; or puts it into the look that is being made, which starts when it is full. */
static struct look *want(struct gather *g, struct look *look, struct record *record, bool near, uint64_t now_ms)
{
    bool loads = record->served->model->loads;
    if (loads) record->landings = flight_landings(g->serve->flights, record->stored);
    if (loads && g->demand->mode == FETCH_RELOAD) {
        load(g, record, NULL, USE_NOT);
        return look;
    }
    struct blob *copy = NULL;
    if (near) copy = store_look_near(g->serve->store, record->stored, now_ms, &record->near);
    else store_mark_near(g->serve->store, record->stored, now_ms, &record->near);
    if (copy) {
        looked(g, record, OK, copy, now_ms);
        return look;
    }
    if (!look) look = look_new(g);
    look->many.level = near;
    look_add(look, record);
    if (look->many.n < STORE_MANY_MAX) return look;
    look_start(look, now_ms);
    return NULL;
}

enum status gather_start(struct gather *g, uint64_t now_ms)
{
    if (g->timed) g->began_us = clock_mono_us();
    struct look *look = NULL;
    bool near = g->demand->mode != FETCH_RELOAD && store_near_up(g->serve->store);
    for (struct record *record = g->wanted; record; record = record->next_wanted)
        look = want(g, look, record, near, now_ms);
    if (look) look_start(look, now_ms);
    g->wanted = NULL;
    g->n_wanted = 0;
    return g->waiting ? PENDING : OK;
}

void gather_finish(struct gather *g)
{
    for (struct look *look = g->looks; look; look = look->next)
        if (look->waiting) store_many_cancel(&look->many);
    for (struct loading *l = g->loadings; l; l = l->next) fetch_finish(&l->fetch);
    for (struct record *record = g->all; record; record = record->next) blob_unref(record->blob);
    g->all = NULL;
}
