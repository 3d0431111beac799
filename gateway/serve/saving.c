/* serve/saving.c -- a body becomes records, and these become what is stored. A plain record, with nothing given inside it and nothing to ask
 * of its model, takes the straight way: read, written, sealed, stored.
 *
 * Of records given inside others (a cascade) each has a level: who refers to none of the others has level 0, and who refers to
 * one stands above it. A level is stored at once, and the next one only when all of it is there; so no stored record refers to one that
 * could not be stored. */
#include "serve/saving.h"

#include "base/clock.h"
#include "serve/condition.h"
#include "serve/life.h"
#include "serve/seal.h"

#define REMOTE_TEXT_MAX (7u << 20)

/* One record of it; the last is the one that was asked for. In the saving's arena. */
struct saving_record {
    struct saving *saving;
    struct served *served;
    const struct record_key *key;
    struct record_draft *draft;
    unsigned level;
    struct slice text; /* until it is sealed: what was sent, or written */
    struct buffer written;
    struct envelope_ref *refs;
    size_t n_refs;
    struct slice tags;
    uint64_t life_ms;   /* as life_begin takes it */
    struct blob *blob;  /* sealed; one reference */
    struct stamp stamp; /* sealed with it */
    uint64_t until_ms;  /* stored until then */
    bool was_there;     /* it has replaced one */
    struct store_op store;
    struct flight_write fence;
    struct flight_waiter waiter; /* for a load that is storing the same record */
};

static struct saving_record *last_of(const struct saving *s) { return &s->record[s->records - 1]; }

/* -- the end -- */

/* Gives back all but the result. Returns the status. */
static enum status settle(struct saving *s, enum status status)
{
    size_t given_back = s->records;
    if (status == OK) {
        const struct saving_record *last = &s->record[--given_back];
        s->blob = last->blob;
        s->was_there = last->was_there;
        s->saved = arena_alloc(s->arena, s->records * sizeof *s->saved);
        for (s->n_saved = 0; s->n_saved < s->records; s->n_saved++)
            s->saved[s->n_saved] = s->record[s->n_saved].served->model;
    }
    for (size_t i = 0; i < given_back; i++) {
        if (s->sealed) blob_unref(s->record[i].blob);
        else buffer_deinit(&s->record[i].written);
    }
    return status;
}

static void finish(struct saving *s, enum status status) { s->done(s, settle(s, status)); }

/* -- problems of records inside -- */

static bool names(const struct field *f, const struct draft_reference *reference, const struct record_key *key)
{
    return f->target == key->model && slice_eq(reference->pairs, key->pairs);
}

static void put_place(const struct saving_record *r, struct buffer *out);

/* If q refers to r: where r stands, seen from the record asked for. */
static bool put_place_below(const struct saving_record *q, const struct saving_record *r, struct buffer *out)
{
    const struct model *m = q->served->model;
    for (size_t i = 0; m->refers && i < m->fields; i++) {
        const struct field *f = &m->field[i];
        const struct draft_references *list = &q->draft->reference[i];
        for (size_t j = 0; field_refers(f) && j < list->n; j++) {
            if (!names(f, &list->at[j], r->key)) continue;
            put_place(q, out);
            buffer_printf(out, "%s%.*s", out->n ? "." : "", SLICE_ARG(f->name));
            if (f->kind == FIELD_REFERENCES) buffer_printf(out, "[%zu]", j);
            return true;
        }
    }
    return false;
}

/* "workplace", "friends[2].mother": where in the body the record was given, nothing for the one asked for. Who refers to a record comes
 * after it, so this ends. */
static void put_place(const struct saving_record *r, struct buffer *out)
{
    for (const struct saving_record *q = last_of(r->saving); q > r; q--)
        if (put_place_below(q, r, out)) return;
}

/* The problem is r's: its path becomes one of the whole body. */
static enum status fail(const struct saving_record *r, const struct problem *of_record)
{
    struct saving *s = r->saving;
    struct buffer path;
    buffer_init(&path, sizeof s->problem.path - 1);
    put_place(r, &path);
    if (of_record->path[0]) buffer_printf(&path, "%s%s", path.n ? "." : "", of_record->path);
    problem_set(&s->problem, of_record->status, arena_dup(s->arena, buffer_view(&path)).p, "%s", of_record->detail);
    buffer_deinit(&path);
    return of_record->status;
}

/* -- storing -- */

/* What is known when a record could not be stored: its level, and those above it. */
static void note_failure(const struct saving_record *r, enum status status)
{
    struct saving *s = r->saving;
    bool inside = r != last_of(s);
    if (s->status != OK) return;
    s->status = status;
    if (status == PRECONDITION_FAILED) {
        condition_failed(s->when, r->served->model, &s->problem);
        return;
    }
    problem_set(&s->problem, status, NULL, "%s",
                inside           ? "it was not saved; of the records inside it some may be"
                : s->records > 1 ? "nothing is known to be saved but the records inside it"
                                 : "nothing is known to be saved");
}

static enum status store_on(struct saving *s);

/* By the first bytes of what it has replaced; and not where there was to be none: what was replaced then had its life behind it. */
static bool is_there(const struct saving_record *r)
{
    const struct store_condition *when = r->saving->when;
    if (when && slice_eq(when->is_not, CONDITION_ANY)) return false;
    return r->store.replaced || envelope_is_record(slice_from(r->store.previous, r->store.previous_n));
}

/* -- stamps: a save begun after an invalidation had been answered stands, though the gateway that it was sent to may not have known of it yet. The
 * store has told of it together with the answer to the write; the record is stored once more, unless another has taken its place. */

static void on_restamped(struct store_op *op, enum status status, struct blob *value);

static enum status restamped(enum status status)
{
    return status == MISSING || status == PRECONDITION_FAILED ? OK : status;
}

static enum status restamp(struct saving_record *r)
{
    struct serve *serve = r->saving->serve;
    struct envelope e;
    if (!seal_is_outdated(serve, r->served, r->stamp, r->tags)) return OK;
    envelope_open(blob_slice(r->blob), &e); /* our own: it is whole */
    struct seal_notes notes = seal_notes_of(&e);
    notes.stamp = store_stamp(serve->store);
    struct envelope times = e;
    struct blob *next = seal_again(serve, &e, &times, &notes, r->key->stored);
    r->store.done = on_restamped;
    enum status st =
        store_replace(serve->store, r->key->stored, blob_slice(r->blob), next, r->until_ms, clock_wall_ms(), &r->store);
    blob_unref(next);
    return st == PENDING ? PENDING : restamped(st);
}

/* One record is stored, or not: later than store_level. */
static void stored_later(struct saving_record *r, enum status status)
{
    struct saving *s = r->saving;
    if (status != OK) note_failure(r, status);
    if (--s->waiting) return;
    status = store_on(s);
    if (status != PENDING) finish(s, status);
}

/* What its write was answered with ends here, or goes on with another one. */
static enum status written(struct saving_record *r, enum status status)
{
    if (status == OK) status = restamp(r);
    if (status != PENDING) flight_write_end(r->saving->serve->flights, &r->fence);
    return status;
}

static void on_stored(struct store_op *op, enum status status, struct blob *value)
{
    struct saving_record *r = container_of(op, struct saving_record, store);
    r->was_there = is_there(r);
    status = written(r, status);
    if (status != PENDING) stored_later(r, status);
}

static void on_restamped(struct store_op *op, enum status status, struct blob *value)
{
    struct saving_record *r = container_of(op, struct saving_record, store);
    flight_write_end(r->saving->serve->flights, &r->fence);
    stored_later(r, restamped(status));
}

static enum status store(struct saving_record *r);

static void on_flight_landed(struct flight_waiter *waiter, const struct flight_outcome *outcome)
{
    struct saving_record *r = container_of(waiter, struct saving_record, waiter);
    enum status st = store(r);
    if (st != PENDING) stored_later(r, st);
}

/* Bars the flight of the record until the store has answered; or begins again when the load that stores it just now has landed. */
static enum status store(struct saving_record *r)
{
    struct serve *serve = r->saving->serve;
    struct slice key = r->key->stored;
    r->store.done = on_stored;
    r->waiter.done = on_flight_landed;
    if (!flight_write_begin(serve->flights, key, &r->fence, &r->waiter)) return PENDING;
    r->store.fenced = r->served->model->loads;
    r->store.when = r->saving->when;
    enum status st = store_put(serve->store, key, r->blob, r->until_ms, clock_wall_ms(), &r->store);
    if (st == PENDING) return PENDING;
    r->was_there = is_there(r);
    return written(r, st);
}

/* Starts the writes of one level. */
static void store_level(struct saving *s)
{
    for (size_t i = 0; i < s->records; i++) {
        struct saving_record *r = &s->record[i];
        if (r->level != s->level) continue;
        enum status st = store(r);
        if (st == PENDING) s->waiting++;
        else if (st != OK) note_failure(r, st);
    }
}

/* Level by level, up to that of the record asked for. */
static enum status store_on(struct saving *s)
{
    while (s->status == OK && s->level <= last_of(s)->level) {
        store_level(s);
        s->level++;
        if (s->waiting) return PENDING;
    }
    return s->status;
}

/* -- levels -- */

#define LEVEL_UNKNOWN UINT32_MAX

static void find_level(struct saving_record *r, const struct map *all);

/* The record of the same body that this reference names, or NULL. */
static struct saving_record *target_of(const struct field *f, const struct draft_reference *reference,
                                       const struct map *all)
{
    struct slice prefix = f->target->key_prefix;
    struct buffer key;
    buffer_init(&key, prefix.n + reference->pairs.n);
    buffer_slice(&key, prefix);
    buffer_slice(&key, reference->pairs);
    struct saving_record *target = map_get(all, buffer_view(&key));
    buffer_deinit(&key);
    return target;
}

static void rise_above(struct saving_record *r, struct saving_record *target, const struct map *all)
{
    if (target->level == LEVEL_UNKNOWN) find_level(target, all);
    if (r->level <= target->level) r->level = target->level + 1;
}

/* Goes down along the references, as deep as there are records (CASCADE_MAX). In a ring one record must be stored before the one it refers to:
 * the one that was come to last. */
static void find_level(struct saving_record *r, const struct map *all)
{
    const struct model *m = r->served->model;
    r->level = 0;
    for (size_t i = 0; m->refers && i < m->fields; i++) {
        const struct draft_references *list = &r->draft->reference[i];
        for (size_t j = 0; field_refers(&m->field[i]) && j < list->n; j++) {
            struct saving_record *target = target_of(&m->field[i], &list->at[j], all);
            if (target) rise_above(r, target, all);
        }
    }
}

/* The record asked for comes out above all, since everything was given somewhere inside it. */
static void find_levels(struct saving *s)
{
    struct map all; /* by stored key */
    map_init(&all);
    for (size_t i = 0; i < s->records; i++) {
        s->record[i].level = LEVEL_UNKNOWN;
        map_put(&all, s->record[i].key->stored, &s->record[i]);
    }
    find_level(last_of(s), &all);
    map_deinit(&all);
}

/* -- asking and sealing -- */

static void seal(struct saving_record *r)
{
    struct serve *serve = r->saving->serve;
    struct envelope e = {.kind = ENVELOPE_RECORD, .text = r->text};
    life_begin(r->served->model, r->life_ms, clock_wall_ms(), serve_chance(serve), &e);
    r->until_ms = e.stale_until_ms;
    r->stamp = store_stamp(serve->store);
    struct seal_notes notes = {.tags = r->tags, .stamp = r->stamp};
    r->blob = seal_make(serve, &e, r->refs, r->n_refs, &notes, r->key->stored);
    buffer_deinit(&r->written);
}

static enum status ask_on(struct saving *s);

static void on_vetted(struct vetting *v, const struct vet_result *result)
{
    struct saving *s = container_of(v, struct saving, vetting);
    struct saving_record *r = &s->record[s->asked];
    enum status status = result->status;
    if (status == OK) {
        if (s->step == VET_CHECK) r->tags = arena_dup(s->arena, result->tags);
        else if (result->expires_ms != VET_EXPIRES_UNSET) r->life_ms = result->expires_ms;
        s->asked++;
        status = ask_on(s);
    } else if (status == OVERLOADED) {
        s->problem = result->problem;
    } else {
        fail(r, &result->problem);
    }
    if (status != PENDING) finish(s, status);
}

static enum status ask(struct saving_record *r)
{
    struct saving *s = r->saving;
    s->vetting =
        (struct vetting){.serve = s->serve, .served = r->served, .key = r->key, .trail = s->trail, .done = on_vetted};
    return vetting_start(&s->vetting, s->step, r->text, &s->problem);
}

/* -- looking: before a record is written through whose condition does not hold; the store judges again when all is done -- */

static enum status look_ends(struct saving_record *r, enum status status, struct blob *blob)
{
    struct saving *s = r->saving;
    struct slice there = blob ? blob_slice(blob) : (struct slice){NULL, 0};
    bool looked = status == OK || status == MISSING, holds = condition_holds(s->when, there, clock_wall_ms());
    blob_unref(blob);
    if (looked && holds) return ask(r);
    note_failure(r, looked ? PRECONDITION_FAILED : status);
    return s->status;
}

static void on_looked(struct store_op *op, enum status status, struct blob *blob)
{
    struct saving_record *r = container_of(op, struct saving_record, store);
    status = look_ends(r, status, blob);
    if (status != PENDING) finish(r->saving, status);
}

static enum status look(struct saving_record *r)
{
    r->store.done = on_looked;
    enum status st = store_get(r->saving->serve->store, r->key->stored, clock_wall_ms(), &r->store);
    return st == PENDING ? PENDING : look_ends(r, st, st == OK ? r->store.value : NULL);
}

/* -- all that is asked -- */

/* Goes to the next record whose model has handlers for this step; NULL: there is none. */
static struct saving_record *next_to_ask(struct saving *s)
{
    for (; s->asked < s->records; s->asked++) {
        struct saving_record *r = &s->record[s->asked];
        const struct model *m = r->served->model;
        if (s->step == VET_CHECK ? vet_needed(m) : vet_saves(m)) return r;
    }
    return NULL;
}

/* What the models say of their records, one after the other; then who writes them through, in the same order: targets first. Then all is
 * stored. */
static enum status ask_on(struct saving *s)
{
    struct saving_record *r = next_to_ask(s);
    if (!r && s->step == VET_CHECK) {
        s->step = VET_SAVE;
        s->asked = 0;
        r = next_to_ask(s);
        if (r && s->when) return look(r);
    }
    if (r) return ask(r);
    for (size_t i = 0; i < s->records; i++) seal(&s->record[i]);
    s->sealed = true;
    if (s->records > 1) find_levels(s);
    return store_on(s);
}

/* -- reading -- */

static void record_init(struct saving *s, struct saving_record *r, const struct record_key *key, struct record_draft *d)
{
    *r = (struct saving_record){.saving = s,
                                .served = served_of(s->served->generation, key->model),
                                .key = key,
                                .draft = d,
                                .tags = SLICE(""),
                                .life_ms = LIFE_UNSAID};
    buffer_init(&r->written, UINT32_MAX / 2);
}

/* The body becomes records: keys and drafts. */
static enum status read_body(struct saving *s)
{
    const struct model *m = s->served->model;
    struct codec_reader reader = {.arena = s->arena, .packed = s->packed, .cascade = s->cascade};
    struct record_draft *draft = arena_alloc(s->arena, sizeof *draft);
    codec_draft_init(m, s->arena, draft);
    enum status st = codec_read(m, s->body, &s->draft, &reader, draft, &s->problem);
    if (st == OK) st = key_finish(m, &s->draft, s->arena, &s->key, &s->problem);
    if (st != OK) {
        bool of_field = status_http(st) == 422; /* else it is the keys that are wrong, or it is no JSON */
        if (!of_field || !codec_names(m, reader.text, &s->draft, s->arena, &s->key)) s->key.model = NULL;
        return st;
    }
    s->text = reader.text;
    s->records = reader.targets + 1;
    s->record = arena_alloc(s->arena, s->records * sizeof *s->record);
    for (size_t i = 0; i < reader.targets; i++)
        record_init(s, &s->record[i], &reader.target[i].key, &reader.target[i].draft);
    record_init(s, last_of(s), &s->key, draft);
    if (s->has_life) last_of(s)->life_ms = s->life_ms;
    if (!s->when || s->records == 1) return OK;
    return problem_set(&s->problem, NOT_IMPLEMENTED, NULL,
                       "a conditional save takes no records inside the record: save those first, then refer to them");
}

/* Who may save the record need not be allowed to save those inside it. */
static enum status check_grant(struct saving *s)
{
    struct problem why;
    for (size_t i = 0; s->grant && i + 1 < s->records; i++) {
        struct slice model = s->record[i].served->model->name;
        if (!grant_lacks(s->grant, PERMIT_WRITE, model)) continue;
        grant_forbids(PERMIT_WRITE, model, &why);
        return fail(&s->record[i], &why);
    }
    return OK;
}

static enum status write_text(struct saving_record *r)
{
    struct problem why;
    struct saving *s = r->saving;
    if (r == last_of(s) && codec_is_written(r->key, r->draft, s->text)) {
        r->text = s->text;
        return OK;
    }
    if (r == last_of(s)) buffer_reserve(&r->written, s->text.n); /* most texts are no longer than what was sent */
    enum status st = codec_write(r->key, r->draft, s->arena, &r->written, &r->refs, &r->n_refs, &why);
    r->text = buffer_view(&r->written);
    return st == OK ? OK : fail(r, &why);
}

/* Bodies may be larger, since a bulk has many records. But Redis must give the record back in one answer, whose bytes are bounded, and take it
 * in one turn with what else is asked of it. */
static enum status check_size(const struct saving_record *r)
{
    struct problem why;
    if (r->text.n <= REMOTE_TEXT_MAX || !store_is_remote(r->saving->serve->store)) return OK;
    problem_set(&why, BODY_TOO_LARGE, NULL, "a record before Redis has at most %u MiB", REMOTE_TEXT_MAX >> 20);
    return fail(r, &why);
}

static enum status write_texts(struct saving *s)
{
    enum status st = OK;
    for (size_t i = 0; st == OK && i < s->records; i++) {
        st = write_text(&s->record[i]);
        if (st == OK) st = check_size(&s->record[i]);
    }
    return st;
}

/* The condition is of the one record. */
static enum status cleared(struct saving *s, enum status status)
{
    if (status == OK) return ask_on(s);
    note_failure(last_of(s), status);
    return s->status;
}

static void on_cleared(struct clearing *c, enum status status)
{
    struct saving *s = container_of(c, struct saving, clearing);
    status = cleared(s, status);
    if (status != PENDING) finish(s, status);
}

static enum status clear(struct saving *s)
{
    s->clearing =
        (struct clearing){.serve = s->serve, .served = s->served, .key = &s->key, .when = s->when, .done = on_cleared};
    enum status st = clearing_start(&s->clearing);
    return st == PENDING ? PENDING : cleared(s, st);
}

enum status saving_start(struct saving *s)
{
    s->blob = NULL;
    s->records = s->asked = s->waiting = 0;
    s->step = VET_CHECK;
    s->sealed = false;
    s->level = 0;
    s->status = OK;
    enum status st = read_body(s);
    if (st == OK) st = check_grant(s);
    if (st == OK) st = write_texts(s);
    if (st == OK) st = s->when ? clear(s) : ask_on(s);
    return st == PENDING ? PENDING : settle(s, st);
}
