/* model/codec.c -- values checked where they enter a draft, written in the model's order where they leave it. */
#include "model/codec.h"

#define SHOWN_MAX 64 /* bytes of a stranger's name in a message */

void codec_draft_init(const struct model *m, struct arena *arena, struct record_draft *d)
{
    d->value = arena_zalloc(arena, m->fields * sizeof *d->value);
    d->reference = m->refers ? arena_zalloc(arena, m->fields * sizeof *d->reference) : NULL;
}

/* -- one value -- */

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

enum status codec_set(const struct model *m, struct record_draft *d, const struct field *f, struct slice json,
                      struct codec_reader *r, struct problem *why)
{
    enum json_kind kind = json_kind(json);
    char path[MODEL_NAME_MAX + 1];
    field_path(f, path);
    if (f->kind == FIELD_PACKED)
        return problem_set(why, FIELD_TYPE, path, "field `%s` of model `%.*s` is packed: only a handler can set it",
                           path, SLICE_ARG(m->name));
    if (f->kind != FIELD_VALUE)
        return problem_set(why, REFERENCE_INVALID, path,
                           "field `%s` of model `%.*s` is a reference and takes no plain value", path,
                           SLICE_ARG(m->name));
    if (kind == JSON_NULL && f->required)
        return problem_set(why, FIELD_REQUIRED, path, "field `%s` of model `%.*s` is required and cannot be null", path,
                           SLICE_ARG(m->name));
    if (kind != JSON_NULL && !(type[f->type].kinds & 1u << kind))
        return problem_set(why, FIELD_TYPE, path, "field `%s` of model `%.*s` takes %s, not %s", path,
                           SLICE_ARG(m->name), type[f->type].name, json_kind_name(kind));
    d->value[model_index(m, f)] = json;
    return OK;
}

/* -- reading -- */

enum status codec_unknown_field(const struct model *m, struct slice name, struct problem *why)
{
    struct slice names[MODEL_FIELDS_MAX];
    for (size_t i = 0; i < m->fields; i++) names[i] = m->field[i].name;
    struct slice near = nearest_name(name, names, m->fields);
    char path[SHOWN_MAX + 1] = "";
    memcpy(path, name.p, name.n < SHOWN_MAX ? name.n : SHOWN_MAX);
    return problem_set(why, UNKNOWN_FIELD, path, "model `%.*s` has no field `%s`%s%.*s%s", SLICE_ARG(m->name), path,
                       near.p ? " (did you mean `" : "", SLICE_ARG(near), near.p ? "`?)" : "");
}

enum status codec_read(const struct model *m, struct slice body, struct key_draft *key, struct codec_reader *r,
                       struct record_draft *d, struct problem *why)
{
    struct json_member *member;
    struct slice compact;
    size_t n;
    enum status st = json_compact(body, r->arena, &compact, why);
    if (st == OK) st = json_members(compact, r->arena, &member, &n, why);
    for (size_t i = 0; st == OK && i < n; i++) {
        const struct field *f = model_field(m, member[i].name);
        if (!f) st = codec_unknown_field(m, member[i].name, why);
        else if (f->kind == FIELD_KEY)
            st = key_set_json(m, key, model_key_position(m, f), member[i].value, r->arena, why);
        else st = codec_set(m, d, f, member[i].value, r, why);
    }
    return st;
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

enum status codec_write(const struct record_key *key, struct record_draft *d, struct arena *arena, struct buffer *out,
                        struct envelope_ref **refs, size_t *n_refs, struct problem *why)
{
    const struct model *m = key->model;
    bool first = true;
    buffer_char(out, '{');
    for (size_t i = 0; i < m->fields; i++) {
        struct slice json;
        enum status st = value_of(key, d, &m->field[i], &json, why);
        if (st != OK) return st;
        if (!json.p) continue;
        if (!first) buffer_char(out, ',');
        buffer_slice(out, m->field[i].prefix);
        buffer_slice(out, json);
        first = false;
    }
    buffer_char(out, '}');
    *refs = NULL; /* only reference fields have slots, and none of them takes a value yet */
    *n_refs = 0;
    return OK;
}
