/* model/reference.c -- what a reference is given as, and the stub that is stored for it.
 *
 * What it carries beside keys is a record of its own, which is read as the body was, by codec_set again: as deep as the JSON text nests, which
 * is JSON_DEPTH_MAX. A fault that is found inside gets its path on the way out, a part from each level. */
#include "model/reference.h"

#include <stdio.h>

#define SHOWN_MAX 64 /* bytes of a stranger's name in a message */

/* -- stubs -- */

/* `{"username":"x","$ref":"/models/User?username=x"}` */
static struct slice make_stub(const struct record_key *key, struct arena *arena)
{
    const struct slice ref = SLICE("\"$ref\":\"");
    const struct model *m = key->model;
    struct slice location = key_location(key, arena);
    size_t room = ref.n + location.n + 3; /* braces and the last quote */
    for (size_t i = 0; i < m->keys; i++) room += m->field[m->key[i]].prefix.n + key->json[i].n + 1;
    char *text = arena_bytes(arena, room), *out = text;
    *out++ = '{';
    for (size_t i = 0; i < m->fields; i++) {
        const struct field *f = &m->field[i];
        if (f->kind != FIELD_KEY) continue;
        struct slice json = key->json[model_key_position(m, f)];
        out = mempcpy(mempcpy(out, f->prefix.p, f->prefix.n), json.p, json.n);
        *out++ = ',';
    }
    out = mempcpy(mempcpy(out, ref.p, ref.n), location.p, location.n); /* of which no byte needs an escape */
    out = mempcpy(out, "\"}", 2);
    return slice_from(text, (size_t)(out - text));
}

static enum status check_location(const struct record_key *key, struct slice json, struct arena *arena,
                                  struct problem *why)
{
    struct record_key named;
    if (json_kind(json) == JSON_STRING && key_at_location(key->model, json_string(json, arena), arena, &named) &&
        slice_eq(named.stored, key->stored))
        return OK;
    return problem_set(why, REFERENCE_INVALID, "$ref",
                       "`$ref` does not name the record of model `%.*s` whose keys stand beside it",
                       SLICE_ARG(key->model->name));
}

/* -- records inside -- */

/* One reference while it is read. */
struct reference_reader {
    const struct model *target;
    struct key_draft keys;
    struct slice location;     /* of `$ref`; absent: not given */
    bool carries;              /* more than keys: */
    struct record_draft draft; /* its fields */
};

static enum status refuse_field(const struct model *target, struct slice name, struct problem *why)
{
    char path[SHOWN_MAX + 1] = "";
    memcpy(path, name.p, name.n < SHOWN_MAX ? name.n : SHOWN_MAX);
    return problem_set(why, REFERENCE_INVALID, path,
                       "`%s` is no key of model `%.*s`: a reference takes keys, and more only with `_cascade=1`, which "
                       "saves its target too",
                       path, SLICE_ARG(target->name));
}

static enum status take_member(struct reference_reader *g, const struct json_member *member, struct codec_reader *r,
                               struct problem *why)
{
    const struct model *target = g->target;
    const struct field *f = model_field(target, member->name);
    if (f && f->kind == FIELD_KEY)
        return key_set_json(target, &g->keys, model_key_position(target, f), member->value, r->arena, why);
    if (slice_eq(member->name, SLICE("$ref"))) {
        g->location = member->value;
        return OK;
    }
    if (!r->cascade) return refuse_field(target, member->name, why);
    if (!f) return codec_unknown_field(target, member->name, why);
    if (!g->carries) {
        if (r->given++ == CASCADE_MAX)
            return problem_set(why, REFERENCE_INVALID, NULL, "more than %d references carry fields", CASCADE_MAX);
        codec_draft_init(target, r->arena, &g->draft);
        g->carries = true;
    }
    return codec_set(target, &g->draft, f, member->value, r, why);
}

static bool same_references(const struct draft_references *a, const struct draft_references *b)
{
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++)
        if (!slice_eq(a->at[i].pairs, b->at[i].pairs)) return false;
    return true;
}

static bool same_fields(const struct model *m, const struct record_draft *a, const struct record_draft *b)
{
    for (size_t i = 0; i < m->fields; i++) {
        if (!slice_eq(a->value[i], b->value[i])) return false;
        if (m->refers && !same_references(&a->reference[i], &b->reference[i])) return false;
    }
    return true;
}

/* Keeps a record that was given inside, unless it is there already. */
static enum status gather(struct codec_reader *r, const struct codec_target *t, struct problem *why)
{
    const struct model *m = t->key.model;
    if (r->self && slice_eq(r->self->stored, t->key.stored))
        return problem_set(why, REFERENCE_INVALID, NULL, "the record that is saved is given again inside itself");
    for (size_t i = 0; i < r->targets; i++) {
        if (!slice_eq(r->target[i].key.stored, t->key.stored)) continue;
        if (same_fields(m, &r->target[i].draft, &t->draft)) return OK;
        return problem_set(why, REFERENCE_INVALID, NULL,
                           "the same record of model `%.*s` is given twice, with different fields", SLICE_ARG(m->name));
    }
    if (r->targets == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 8;
        struct codec_target *larger = arena_alloc(r->arena, r->cap * sizeof *larger);
        if (r->targets) memcpy(larger, r->target, r->targets * sizeof *larger);
        r->target = larger;
    }
    r->target[r->targets++] = *t;
    return OK;
}

static enum status read_reference(const struct model *target, struct slice json, struct codec_reader *r,
                                  struct draft_reference *out, struct problem *why)
{
    struct reference_reader g = {.target = target};
    struct codec_target t;
    struct json_member *member;
    size_t n;
    if (json_kind(json) != JSON_OBJECT)
        return problem_set(why, REFERENCE_INVALID, NULL,
                           "a reference takes an object of the keys of model `%.*s`, not %s", SLICE_ARG(target->name),
                           json_kind_name(json_kind(json)));
    enum status st = json_members(json, r->arena, &member, &n, why);
    for (size_t i = 0; st == OK && i < n; i++) st = take_member(&g, &member[i], r, why);
    if (st == OK) st = key_finish(target, &g.keys, r->arena, &t.key, why);
    if (st == OK && g.location.p) st = check_location(&t.key, g.location, r->arena, why);
    t.draft = g.draft;
    if (st == OK && g.carries) st = gather(r, &t, why);
    if (st == OK) *out = (struct draft_reference){make_stub(&t.key, r->arena), t.key.pairs};
    return st;
}

enum status reference_stub(const struct model *target, struct slice json, struct arena *arena,
                           struct draft_reference *out, struct problem *why)
{
    return read_reference(target, json, &(struct codec_reader){.arena = arena}, out, why);
}

/* -- reference fields -- */

/* What is wrong inside the reference at `where`. A fault of its keys is the reference's. */
static enum status fault_within(const char *where, enum status st, struct problem *why)
{
    bool of_field = st == FIELD_TYPE || st == FIELD_REQUIRED || st == UNKNOWN_FIELD;
    struct problem inside;
    char path[sizeof inside.path];
    if (!of_field) st = REFERENCE_INVALID;
    if (!why) return st;
    inside = *why;
    snprintf(path, sizeof path, "%s%s%s", where, inside.path[0] ? "." : "", inside.path);
    return problem_set(why, st, path, "%s", inside.detail);
}

size_t references_held(const struct model *m, const struct record_draft *d, const struct field *but)
{
    size_t n = 0;
    for (size_t i = 0; i < m->fields; i++)
        if (&m->field[i] != but) n += d->reference[i].n;
    return n;
}

static enum status check_count(const struct model *m, const struct record_draft *d, const struct field *f, size_t n,
                               struct problem *why)
{
    char path[MODEL_NAME_MAX + 1];
    if (f->kind == FIELD_REFERENCES && n > f->max)
        return problem_set(why, REFERENCE_INVALID, field_path(f, path),
                           "field `%s` of model `%.*s` takes %u references at most, not %zu", path, SLICE_ARG(m->name),
                           (unsigned)f->max, n);
    if (n + references_held(m, d, f) > ENVELOPE_REFS_MAX)
        return problem_set(why, REFERENCE_INVALID, field_path(f, path), "a record has %d references at most",
                           ENVELOPE_REFS_MAX);
    return OK;
}

enum status reference_set(const struct model *m, struct record_draft *d, const struct field *f, struct slice json,
                          struct codec_reader *r, struct problem *why)
{
    struct slice *element = &json;
    struct draft_references list = {.n = 1};
    bool many = f->kind == FIELD_REFERENCES;
    char name[MODEL_NAME_MAX + 1], where[MODEL_NAME_MAX + 32];
    field_path(f, name);
    if (many && json_kind(json) != JSON_ARRAY)
        return problem_set(why, REFERENCE_INVALID, name,
                           "field `%s` of model `%.*s` takes an array of references, not %s", name, SLICE_ARG(m->name),
                           json_kind_name(json_kind(json)));
    if (many) json_elements(json, r->arena, &element, &list.n, NULL);
    enum status st = check_count(m, d, f, list.n, why);
    if (st != OK) return st;
    list.at = arena_alloc(r->arena, list.n * sizeof *list.at);
    for (size_t i = 0; i < list.n; i++) {
        st = read_reference(f->target, element[i], r, &list.at[i], why);
        if (st == OK) continue;
        snprintf(where, sizeof where, many ? "%s[%zu]" : "%s", name, i);
        return fault_within(where, st, why);
    }
    d->value[model_index(m, f)] = many ? SLICE("[]") : SLICE("{}");
    d->reference[model_index(m, f)] = list;
    return OK;
}
