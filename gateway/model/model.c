/* model/model.c -- completes a model: all that can be worked out when it is loaded, so that no request needs to. */
#include "model/model.h"

#include "base/buffer.h"
#include "base/hash.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const kind_name[] = {[FIELD_KEY] = "key",
                                        [FIELD_VALUE] = "value",
                                        [FIELD_PACKED] = "packed",
                                        [FIELD_REFERENCE] = "reference",
                                        [FIELD_REFERENCES] = "references",
                                        [FIELD_ARGUMENT] = "argument"};

static const char *const type_name[] = {
    [TYPE_ANY] = "any",         [TYPE_STRING] = "string", [TYPE_INTEGER] = "integer", [TYPE_NUMBER] = "number",
    [TYPE_BOOLEAN] = "boolean", [TYPE_ARRAY] = "array",   [TYPE_OBJECT] = "object"};
#define TYPES (sizeof type_name / sizeof *type_name)

const char *value_type_name(enum value_type t) { return type_name[t]; }

bool value_type_parse(struct slice name, enum value_type *t)
{
    for (size_t i = 0; i < TYPES; i++)
        if (slice_eq(name, slice_of(type_name[i]))) {
            *t = (enum value_type)i;
            return true;
        }
    return false;
}

bool model_name_valid(struct slice name)
{
    if (name.n == 0 || name.n > MODEL_NAME_MAX || !isalpha((unsigned char)name.p[0])) return false;
    for (size_t i = 1; i < name.n; i++)
        if (!isalnum((unsigned char)name.p[i]) && name.p[i] != '_') return false;
    return true;
}

/* -- completing -- */

static int by_name(const void *a, const void *b)
{
    return slice_cmp((*(const struct field *const *)a)->name, (*(const struct field *const *)b)->name);
}

static void sort_fields(const struct model *m, const struct field **sorted)
{
    for (size_t i = 0; i < m->fields; i++) sorted[i] = &m->field[i];
    qsort(sorted, m->fields, sizeof *sorted, by_name);
}

static void find_places(struct model *m, struct arena *arena)
{
    m->by_place = arena_alloc(arena, m->fields * sizeof *m->by_place);
    sort_fields(m, m->by_place);
    for (size_t i = 0; i < m->fields; i++) m->field[model_index(m, m->by_place[i])].place = (uint16_t)i;
}

static void find_keys(struct model *m)
{
    m->keys = 0;
    for (size_t i = 0; i < m->fields; i++) {
        if (!field_is_key(m->by_place[i])) continue;
        assert(m->keys < MODEL_KEYS_MAX);
        m->key[m->keys++] = (uint16_t)model_index(m, m->by_place[i]);
    }
}

/* " Workplace(name string)": what a stored reference relies on. */
static void describe_target(const struct model *target, struct buffer *out)
{
    const struct field *sorted[MODEL_FIELDS_MAX];
    const char *before = "(";
    sort_fields(target, sorted);
    buffer_printf(out, " %.*s", SLICE_ARG(target->name));
    for (size_t i = 0; i < target->fields; i++) {
        if (!field_is_key(sorted[i])) continue;
        buffer_printf(out, "%s%.*s %s", before, SLICE_ARG(sorted[i]->name), type_name[sorted[i]->type]);
        before = ",";
    }
    buffer_char(out, ')');
}

/* One line for the version, one for each field in order of name; docs/storage.md. */
static void describe(const struct model *m, struct buffer *out)
{
    buffer_printf(out, "version %u\n", (unsigned)m->options.version);
    for (size_t i = 0; i < m->fields; i++) {
        const struct field *f = m->by_place[i];
        buffer_printf(out, "%.*s %s %s", SLICE_ARG(f->name), kind_name[f->kind], type_name[f->type]);
        if (f->target) describe_target(f->target, out);
        else buffer_char(out, ' ');
        buffer_char(out, '\n');
    }
}

static void put_fingerprint(struct model *m)
{
    struct buffer text;
    unsigned char digest[32];
    buffer_init(&text, MODEL_FIELDS_MAX * (size_t)(MODEL_KEYS_MAX + 2) * (MODEL_NAME_MAX + 32));
    describe(m, &text);
    assert(!text.overflow);
    hash_sha256(buffer_view(&text), digest);
    hash_hex(digest, 8, m->fingerprint);
    m->fingerprint[16] = '\0';
    buffer_deinit(&text);
}

void model_finish(struct model *m, struct slice prefix, struct arena *arena)
{
    assert(m->fields <= MODEL_FIELDS_MAX);
    for (size_t i = 0; i < m->fields; i++) {
        struct field *f = &m->field[i];
        f->prefix = arena_printf(arena, "\"%.*s\":", SLICE_ARG(f->name));
        if (field_refers(f)) m->refers = true;
    }
    find_places(m, arena);
    find_keys(m);
    put_fingerprint(m);
    m->key_prefix = arena_printf(arena, "%.*s:%.*s:%s:", SLICE_ARG(prefix), SLICE_ARG(m->name), m->fingerprint);
}

/* -- looking -- */

const struct field *model_field(const struct model *m, struct slice name)
{
    for (size_t from = 0, to = m->fields; from < to;) {
        size_t middle = (from + to) / 2;
        int order = slice_cmp(name, m->by_place[middle]->name);
        if (order == 0) return m->by_place[middle];
        if (order < 0) to = middle;
        else from = middle + 1;
    }
    return NULL;
}

struct slice model_method_name(const struct model *method)
{
    assert(method->owner);
    return slice_skip(method->name, method->owner->name.n + 1);
}

struct slice model_group(const struct model *m) { return m->owner ? m->owner->name : m->name; }

size_t model_key_position(const struct model *m, const struct field *f)
{
    size_t index = model_index(m, f), at = 0;
    while (at < m->keys && m->key[at] != index) at++;
    assert(at < m->keys);
    return at;
}

const char *field_path(const struct field *f, char path[MODEL_NAME_MAX + 1])
{
    size_t n = f->name.n < MODEL_NAME_MAX ? f->name.n : MODEL_NAME_MAX;
    memcpy(path, f->name.p, n);
    path[n] = '\0';
    return path;
}

/* -- did you mean -- */

#define EDITS_MAX 3

/* A third of the longer name may be wrong, three characters at most. */
static size_t edits_allowed(struct slice a, struct slice b)
{
    size_t third = (a.n > b.n ? a.n : b.n) / 3;
    return third < EDITS_MAX ? third : EDITS_MAX;
}

struct slice nearest_name(struct slice name, const struct slice *names, size_t n)
{
    struct slice nearest = {NULL, 0};
    size_t least = EDITS_MAX + 1;
    for (size_t i = 0; i < n; i++) {
        size_t edits = slice_ieq(name, names[i]) ? 0 : slice_distance(name, names[i]);
        if (edits >= least || edits > edits_allowed(name, names[i])) continue;
        least = edits;
        nearest = names[i];
    }
    return nearest;
}

const char *nearest_hint(struct slice name, const struct slice *names, size_t n, struct hint *hint)
{
    struct slice near = nearest_name(name, names, n);
    hint->text[0] = '\0';
    if (near.p) snprintf(hint->text, sizeof hint->text, " (did you mean `%.*s`?)", SLICE_ARG(near));
    return hint->text;
}
