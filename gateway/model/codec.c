/* model/codec.c -- values checked where they enter a draft, written in the model's order where they leave it. */
#include "model/codec.h"

#include "model/reference.h"

#include <assert.h>

#define SHOWN_MAX 64 /* bytes of a stranger's name in a message */

void codec_draft_init(const struct model *m, struct arena *arena, struct record_draft *d)
{
    d->value = arena_zalloc(arena, m->fields * sizeof *d->value);
    d->reference = m->refers ? arena_zalloc(arena, m->fields * sizeof *d->reference) : NULL;
}

/* -- values -- */

static const struct {
    const char *name;
    unsigned kinds; /* one bit for each enum json_kind that is of the type */
} type[] = {
    [TYPE_ANY] = {"any value", ~0u},
    [TYPE_STRING] = {"a string", 1u << JSON_STRING},
    [TYPE_INTEGER] = {"an integer", 1u << JSON_INTEGER},
    [TYPE_NUMBER] = {"a number", 1u << JSON_INTEGER | 1u << JSON_NUMBER},
    [TYPE_BOOLEAN] = {"a boolean", 1u << JSON_FALSE | 1u << JSON_TRUE},
    [TYPE_ARRAY] = {"an array", 1u << JSON_ARRAY},
    [TYPE_OBJECT] = {"an object", 1u << JSON_OBJECT},
};

/* RFC 4648 4, with its padding. */
static bool is_base64(struct slice s)
{
    size_t n = s.n;
    if (n % 4) return false;
    for (int padding = 0; padding < 2 && n && s.p[n - 1] == '='; padding++) n--;
    for (size_t i = 0; i < n; i++) {
        char c = s.p[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/'))
            return false;
    }
    return true;
}

/* {"$packed":"..."} */
static bool is_packed(struct slice json)
{
    struct json_member member;
    size_t at = 0;
    return json_cut(json, &at, &member) && at == json.n - 1 && slice_eq(member.name, SLICE("$packed")) &&
           json_kind(member.value) == JSON_STRING && is_base64(slice_from(member.value.p + 1, member.value.n - 2));
}

static enum status only_for_handlers(const struct model *m, const struct field *f, struct problem *why)
{
    char path[MODEL_NAME_MAX + 1];
    return problem_set(why, FIELD_TYPE, field_path(f, path),
                       "field `%s` of model `%.*s` is packed: only a handler can set it", path, SLICE_ARG(m->name));
}

static enum status set_packed(const struct model *m, struct record_draft *d, const struct field *f, struct slice json,
                              struct codec_reader *r, struct problem *why)
{
    char path[MODEL_NAME_MAX + 1];
    if (!r->packed) return only_for_handlers(m, f, why);
    if (!is_packed(json))
        return problem_set(why, FIELD_TYPE, field_path(f, path),
                           "field `%s` of model `%.*s` takes a packed value, not %s", path, SLICE_ARG(m->name),
                           json_kind_name(json_kind(json)));
    d->value[model_index(m, f)] = json;
    return OK;
}

static enum status set_null(const struct model *m, struct record_draft *d, const struct field *f, struct slice json,
                            struct codec_reader *r, struct problem *why)
{
    char path[MODEL_NAME_MAX + 1];
    if (f->required)
        return problem_set(why, FIELD_REQUIRED, field_path(f, path),
                           "field `%s` of model `%.*s` is required and cannot be null", path, SLICE_ARG(m->name));
    if (f->kind == FIELD_PACKED && !r->packed) return only_for_handlers(m, f, why);
    d->value[model_index(m, f)] = json;
    if (m->refers) d->reference[model_index(m, f)].n = 0;
    return OK;
}

enum status codec_set(const struct model *m, struct record_draft *d, const struct field *f, struct slice json,
                      struct codec_reader *r, struct problem *why)
{
    enum json_kind kind = json_kind(json);
    char path[MODEL_NAME_MAX + 1];
    if (kind == JSON_NULL) return set_null(m, d, f, json, r, why);
    if (field_refers(f)) return reference_set(m, d, f, json, r, why);
    if (f->kind == FIELD_PACKED) return set_packed(m, d, f, json, r, why);
    if (!(type[f->type].kinds & 1u << kind))
        return problem_set(why, FIELD_TYPE, field_path(f, path), "field `%s` of model `%.*s` takes %s, not %s", path,
                           SLICE_ARG(m->name), type[f->type].name, json_kind_name(kind));
    d->value[model_index(m, f)] = json;
    return OK;
}

/* -- reading -- */

enum status codec_unknown_field(const struct model *m, struct slice name, struct problem *why)
{
    struct slice names[MODEL_FIELDS_MAX];
    for (size_t i = 0; i < m->fields; i++) names[i] = m->field[i].name;
    struct hint hint;
    char path[SHOWN_MAX + 1] = "";
    memcpy(path, name.p, name.n < SHOWN_MAX ? name.n : SHOWN_MAX);
    return problem_set(why, UNKNOWN_FIELD, path, "model `%.*s` has no field `%s`%s", SLICE_ARG(m->name), path,
                       nearest_hint(name, names, m->fields, &hint));
}

/* The key of the record that is read, before any of its fields is. */
static enum status find_self(const struct model *m, const struct json_member *member, size_t n,
                             const struct key_draft *known, struct codec_reader *r, struct record_key *self,
                             struct problem *why)
{
    struct key_draft keys = *known;
    enum status st = OK;
    for (size_t i = 0; st == OK && i < n; i++) {
        const struct field *f = model_field(m, member[i].name);
        if (f && f->kind == FIELD_KEY)
            st = key_set_json(m, &keys, model_key_position(m, f), member[i].value, r->arena, why);
    }
    return st == OK ? key_finish(m, &keys, r->arena, self, why) : st;
}

/* Fields are mostly given in the order of the model; *next is the one behind the last that was. */
static const struct field *field_named(const struct model *m, struct slice name, size_t *next)
{
    const struct field *f =
        *next < m->fields && slice_eq(m->field[*next].name, name) ? &m->field[*next] : model_field(m, name);
    if (f) *next = model_index(m, f) + 1;
    return f;
}

enum status codec_read(const struct model *m, struct slice body, struct key_draft *key, struct codec_reader *r,
                       struct record_draft *d, struct problem *why)
{
    struct json_member *member;
    struct record_key self;
    size_t n;
    enum status st = json_compact(body, r->arena, &r->text, why);
    if (st == OK) st = json_members(r->text, r->arena, &member, &n, why);
    if (st == OK && r->cascade && (st = find_self(m, member, n, key, r, &self, why)) == OK) r->self = &self;
    for (size_t i = 0, next = 0; st == OK && i < n; i++) {
        const struct field *f = field_named(m, member[i].name, &next);
        if (!f) st = codec_unknown_field(m, member[i].name, why);
        else if (f->kind == FIELD_KEY)
            st = key_set_json(m, key, model_key_position(m, f), member[i].value, r->arena, why);
        else st = codec_set(m, d, f, member[i].value, r, why);
    }
    r->self = NULL;
    return st;
}

bool codec_names(const struct model *m, struct slice text, const struct key_draft *known, struct arena *arena,
                 struct record_key *key)
{
    struct json_member *member;
    struct codec_reader r = {.arena = arena};
    size_t n;
    return json_members(text, arena, &member, &n, NULL) == OK && find_self(m, member, n, known, &r, key, NULL) == OK;
}

/* -- writing -- */

/* The value of field f, absent when it has none; FIELD_REQUIRED when it must have one. */
static enum status value_of(const struct record_key *key, const struct record_draft *d, const struct field *f,
                            struct slice *json, struct problem *why)
{
    const struct model *m = key->model;
    char path[MODEL_NAME_MAX + 1];
    if (f->kind == FIELD_KEY) {
        *json = key->json[model_key_position(m, f)];
        return OK;
    }
    *json = d->value[model_index(m, f)];
    if (!json->p) *json = f->default_json;
    if (json->p || !f->required) return OK;
    return problem_set(why, FIELD_REQUIRED, field_path(f, path), "model `%.*s` needs the field `%s`",
                       SLICE_ARG(m->name), path);
}

/* The stubs of a field, which begin in the text where `out` ends now; the text begins at `start`. */
static struct envelope_ref *put_references(struct buffer *out, size_t start, const struct field *f,
                                           const struct draft_references *list, struct envelope_ref *slot)
{
    bool many = f->kind == FIELD_REFERENCES;
    if (many) buffer_char(out, '[');
    for (size_t k = 0; k < list->n; k++) {
        const struct draft_reference *one = &list->at[k];
        if (k) buffer_char(out, ',');
        *slot++ = (struct envelope_ref){.place = f->place,
                                        .offset = (uint32_t)(out->n - start),
                                        .length = (uint32_t)one->stub.n,
                                        .pairs = one->pairs};
        buffer_slice(out, one->stub);
    }
    if (many) buffer_char(out, ']');
    return slot;
}

/* Room for all slots; NULL when there are none. */
static struct envelope_ref *make_slots(const struct model *m, const struct record_draft *d, struct arena *arena)
{
    size_t n = m->refers ? references_held(m, d, NULL) : 0;
    assert(n <= ENVELOPE_REFS_MAX); /* reference_set takes no more */
    return n ? arena_alloc(arena, n * sizeof(struct envelope_ref)) : NULL;
}

enum status codec_write(const struct record_key *key, struct record_draft *d, struct arena *arena, struct buffer *out,
                        struct envelope_ref **refs, size_t *n_refs, struct problem *why)
{
    const struct model *m = key->model;
    struct envelope_ref *slot = *refs = make_slots(m, d, arena);
    size_t start = out->n;
    bool first = true;
    buffer_char(out, '{');
    for (size_t i = 0; i < m->fields; i++) {
        const struct field *f = &m->field[i];
        struct slice json;
        enum status st = value_of(key, d, f, &json, why);
        if (st != OK) return st;
        if (!json.p) continue;
        if (!first) buffer_char(out, ',');
        buffer_slice(out, f->prefix);
        if (field_refers(f) && json_kind(json) != JSON_NULL)
            slot = put_references(out, start, f, &d->reference[i], slot);
        else buffer_slice(out, json);
        first = false;
    }
    buffer_char(out, '}');
    *n_refs = (size_t)(slot - *refs);
    return OK;
}

/* -- written already -- */

/* Moves *rest behind what it begins with; a value that was cut out of it is known by where it stands. */
static bool take_same(struct slice *rest, struct slice wanted)
{
    bool same = wanted.p == rest->p ? wanted.n <= rest->n : slice_starts(*rest, wanted);
    if (same) *rest = slice_skip(*rest, wanted.n);
    return same;
}

bool codec_is_written(const struct record_key *key, const struct record_draft *d, struct slice text)
{
    const struct model *m = key->model;
    struct slice rest = text, before = SLICE("{");
    for (size_t i = 0; i < m->fields && !m->refers; i++) {
        struct slice json;
        if (value_of(key, d, &m->field[i], &json, NULL) != OK) return false;
        if (!json.p) continue;
        if (!take_same(&rest, before) || !take_same(&rest, m->field[i].prefix) || !take_same(&rest, json)) return false;
        before = SLICE(",");
    }
    return !m->refers && slice_eq(rest, SLICE("}"));
}
