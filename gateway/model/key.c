/* model/key.c -- a key's way: text of a query or JSON of a body -> canonical JSON (one spelling for each value) -> the stored key.
 * Canonical first, so that equal keys meet; encoded so that nothing in a value can pass for a separator, so that others never do. */
#include "model/key.h"

#include "base/buffer.h"
#include "base/hash.h"
#include "base/json.h"
#include "model/json.h"
#include "model/number.h"

#include <stdint.h>

#define PARAMETERS_MAX 64
#define SHOWN_MAX      64 /* bytes of a stranger's text in a message */
#define DIGEST         32

static const struct slice none = {NULL, 0};

void key_draft_init(struct key_draft *d) { *d = (struct key_draft){0}; }

/* -- canonical values -- */

static bool is_plain(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < ' ' || s.p[i] > '~' || s.p[i] == '"' || s.p[i] == '\\') return false;
    return true;
}

/* The text as a JSON string, in the one spelling that base/json.h gives it. */
static struct slice quoted(struct slice text, struct arena *arena)
{
    if (is_plain(text)) {
        char *copy = arena_bytes(arena, text.n + 2);
        copy[0] = copy[text.n + 1] = '"';
        memcpy(copy + 1, text.p, text.n);
        return slice_from(copy, text.n + 2);
    }
    struct buffer b;
    buffer_init(&b, SIZE_MAX); /* what limits the text limits this */
    json_put_string(&b, text);
    struct slice copy = arena_dup(arena, buffer_view(&b));
    buffer_deinit(&b);
    return copy;
}

static struct slice canonical_integer(struct slice literal)
{
    if (slice_eq(literal, SLICE("-0"))) return SLICE("0");
    return number_fits_int64(literal) ? literal : none;
}

/* Absent when the value is not of the type. */
static struct slice canonical(enum value_type type, struct slice json, struct arena *arena)
{
    enum json_kind kind = json_kind(json);
    if (kind == JSON_STRING && (type == TYPE_STRING || type == TYPE_ANY))
        return quoted(json_string(json, arena), arena);
    if ((kind == JSON_TRUE || kind == JSON_FALSE) && (type == TYPE_BOOLEAN || type == TYPE_ANY)) return json;
    if (kind == JSON_INTEGER && type == TYPE_INTEGER) return canonical_integer(json);
    if ((kind == JSON_INTEGER || kind == JSON_NUMBER) && (type == TYPE_NUMBER || type == TYPE_ANY))
        return number_canonical(json, arena);
    return none;
}

static bool is_json_string(struct slice text, struct arena *arena)
{
    bool in_quotes = text.n >= 2 && text.p[0] == '"' && text.p[text.n - 1] == '"';
    return in_quotes && json_compact(text, arena, &text, NULL) == OK;
}

/* The same for the text of a query, which is JSON for some types and a bare string for others. */
static struct slice canonical_text(enum value_type type, struct slice text, struct arena *arena)
{
    bool is_boolean = slice_eq(text, SLICE("true")) || slice_eq(text, SLICE("false"));
    if (!slice_is_utf8(text)) return none;
    if (type == TYPE_STRING) return quoted(text, arena);
    if (is_boolean || number_valid(text)) return canonical(type, text, arena);
    if (type != TYPE_ANY || slice_eq(text, SLICE("null"))) return none;
    return is_json_string(text, arena) ? canonical(type, text, arena) : quoted(text, arena);
}

/* -- gathering -- */

static struct slice shown(struct slice s) { return s.n > SHOWN_MAX ? slice_from(s.p, SHOWN_MAX) : s; }

static const struct field *key_field(const struct model *m, size_t position) { return &m->field[m->key[position]]; }

/* Whatever has no value may be left out of a result's key; a record's key is whole. */
static bool is_optional(const struct model *m, const struct field *f)
{
    return m->kind != MODEL_RECORD && !f->required;
}

/* What messages call a part of the key, and whose it is. */
static const char *word(const struct model *m, enum field_kind kind)
{
    if (kind == FIELD_KEY) return "key";
    return m->kind == MODEL_FORM ? "input" : "argument";
}

static const char *owner_word(const struct model *m)
{
    static const char *const name[] = {
        [MODEL_RECORD] = "model", [MODEL_METHOD] = "method", [MODEL_FORM] = "form", [MODEL_FORM_METHOD] = "method"};
    return name[m->kind];
}

static const char *wanted(enum value_type type)
{
    switch (type) {
    case TYPE_STRING: return "a string";
    case TYPE_INTEGER: return "an integer of 64 bits";
    case TYPE_NUMBER: return "a number that a double can hold";
    case TYPE_BOOLEAN: return "true or false";
    default: return "a string, a number or a boolean";
    }
}

/* `given` stands in the message between two of `quote`. */
static enum status wrong_type(const struct model *m, const struct field *f, const char *quote, struct slice given,
                              struct problem *why)
{
    char path[MODEL_NAME_MAX + 1];
    given = shown(given);
    return problem_set(why, KEY_TYPE, field_path(f, path), "%s `%s` of %s `%.*s` takes %s, not %s%.*s%s",
                       word(m, f->kind), path, owner_word(m), SLICE_ARG(m->name), wanted(f->type), quote,
                       SLICE_ARG(given), quote);
}

static enum status unknown_key(const struct model *m, struct slice name, struct problem *why)
{
    struct slice names[MODEL_KEYS_MAX], given = shown(name);
    for (size_t i = 0; i < m->keys; i++) names[i] = key_field(m, i)->name;
    struct hint hint;
    char path[SHOWN_MAX + 1] = "";
    memcpy(path, given.p, given.n);
    if (model_field(m, name))
        return problem_set(why, UNKNOWN_KEY, path, "`%s` is a field of model `%.*s`, not a key", path,
                           SLICE_ARG(m->name));
    return problem_set(why, UNKNOWN_KEY, path, "%s `%.*s` has no %s `%s`%s", owner_word(m), SLICE_ARG(m->name),
                       word(m, m->kind == MODEL_RECORD ? FIELD_KEY : FIELD_ARGUMENT), path,
                       nearest_hint(name, names, m->keys, &hint));
}

enum status key_set_text(const struct model *m, struct key_draft *d, struct slice name, struct slice text,
                         struct arena *arena, struct problem *why)
{
    const struct field *f = model_field(m, name);
    char path[MODEL_NAME_MAX + 1];
    if (!f || !field_is_key(f)) return unknown_key(m, name, why);
    struct slice *json = &d->json[model_key_position(m, f)];
    if (json->p)
        return problem_set(why, MALFORMED_REQUEST, field_path(f, path), "%s `%s` is given twice", word(m, f->kind),
                           path);
    *json = canonical_text(f->type, text, arena);
    return json->p ? OK : wrong_type(m, f, "`", text, why);
}

enum status key_set_json(const struct model *m, struct key_draft *d, size_t key_index, struct slice json,
                         struct arena *arena, struct problem *why)
{
    const struct field *f = key_field(m, key_index);
    enum json_kind kind = json_kind(json);
    if (kind == JSON_NULL && is_optional(m, f)) return OK;
    struct slice *known = &d->json[key_index], value = canonical(f->type, json, arena);
    char path[MODEL_NAME_MAX + 1];
    if (!value.p && (kind == JSON_INTEGER || kind == JSON_NUMBER)) return wrong_type(m, f, "`", json, why);
    if (!value.p) return wrong_type(m, f, "", slice_of(json_kind_name(kind)), why);
    if (known->p && !slice_eq(*known, value))
        return problem_set(why, KEY_CONFLICT, field_path(f, path), "%s `%s` is given twice, with different values",
                           word(m, f->kind), path);
    *known = value;
    return OK;
}

void key_set_canonical(struct key_draft *d, size_t key_index, struct slice json) { d->json[key_index] = json; }

/* -- the query -- */

/* As HTML forms encode. False for a bad escape and for bytes that are not UTF-8. */
static bool form_decode(struct slice *s, struct arena *arena)
{
    if (memchr(s->p, '%', s->n) || memchr(s->p, '+', s->n)) {
        char *text = arena_bytes(arena, s->n);
        *s = slice_from(text, slice_percent_decode(*s, true, text));
    }
    return s->n != SIZE_MAX && slice_is_utf8(*s);
}

enum status key_take_parameter(struct slice *rest, size_t index, struct arena *arena, struct query_option *out,
                               struct problem *why)
{
    struct slice value = slice_cut(rest, '&'), given = shown(value), name = slice_cut(&value, '=');
    if (index == PARAMETERS_MAX)
        return problem_set(why, MALFORMED_REQUEST, NULL, "more than %d parameters are given", PARAMETERS_MAX);
    if (!value.p)
        return problem_set(why, MALFORMED_REQUEST, NULL, "the parameter `%.*s` is not name=value", SLICE_ARG(given));
    *out = (struct query_option){name, value};
    if (form_decode(&out->name, arena) && form_decode(&out->value, arena)) return OK;
    return problem_set(why, MALFORMED_REQUEST, NULL, "the parameter `%.*s` is not percent-encoded UTF-8",
                       SLICE_ARG(given));
}

enum status key_parse_query(const struct model *m, struct slice query, struct arena *arena, struct key_draft *d,
                            struct query_option **options, size_t *n_options, struct problem *why)
{
    struct slice rest = query.n ? query : none;
    struct query_option *option = NULL;
    *n_options = 0;
    for (size_t i = 0; rest.p; i++) {
        struct query_option one;
        enum status st = key_take_parameter(&rest, i, arena, &one, why);
        if (st != OK) return st;
        if (slice_starts(one.name, SLICE("_"))) {
            if (!option) option = arena_alloc(arena, PARAMETERS_MAX * sizeof *option);
            option[(*n_options)++] = one;
        } else if ((st = key_set_text(m, d, one.name, one.value, arena, why)) != OK) {
            return st;
        }
    }
    *options = option;
    return OK;
}

/* -- encoding -- */

struct pairs {
    struct slice name[MODEL_KEYS_MAX], value[MODEL_KEYS_MAX];
    size_t n, encoded; /* bytes of all, written out */
};

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

static size_t encoded_size(struct slice s)
{
    size_t n = s.n;
    for (size_t i = 0; i < s.n; i++) n += is_unreserved(s.p[i]) ? 0 : 2;
    return n;
}

static char *encode(char *out, struct slice s)
{
    static const char digit[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (is_unreserved(s.p[i])) {
            *out++ = s.p[i];
            continue;
        }
        *out++ = '%';
        *out++ = digit[c >> 4];
        *out++ = digit[c & 15];
    }
    return out;
}

/* A string is its text, except for type `any`, where the quotes tell it from a number. */
static void add_pair(struct pairs *pairs, const struct field *f, struct slice json, struct arena *arena)
{
    struct slice value = f->type == TYPE_STRING ? json_string(json, arena) : json;
    pairs->encoded += (pairs->n > 0) + f->name.n + 1 + encoded_size(value);
    pairs->name[pairs->n] = f->name;
    pairs->value[pairs->n++] = value;
}

static char *put_pairs(char *out, const struct pairs *pairs)
{
    for (size_t i = 0; i < pairs->n; i++) {
        if (i) *out++ = '&';
        out = mempcpy(out, pairs->name[i].p, pairs->name[i].n);
        *out++ = '=';
        out = encode(out, pairs->value[i]);
    }
    return out;
}

static char *put_digest(char *out, const struct pairs *pairs, struct arena *arena)
{
    unsigned char digest[DIGEST];
    char *all = arena_bytes(arena, pairs->encoded);
    put_pairs(all, pairs);
    hash_sha256(slice_from(all, pairs->encoded), digest);
    *out++ = '#';
    hash_hex(digest, DIGEST, out);
    return out + 2 * DIGEST;
}

enum status key_finish(const struct model *m, const struct key_draft *d, struct arena *arena, struct record_key *key,
                       struct problem *why)
{
    struct pairs pairs = {.n = 0};
    *key = (struct record_key){.model = m};
    for (size_t i = 0; i < m->keys; i++) {
        const struct field *f = key_field(m, i);
        char path[MODEL_NAME_MAX + 1];
        key->json[i] = d->json[i].p ? d->json[i] : f->default_json;
        if (!key->json[i].p && is_optional(m, f)) continue;
        if (!key->json[i].p) {
            key->model = NULL;
            return problem_set(why, KEY_REQUIRED, field_path(f, path), "%s `%.*s` needs the %s `%s`", owner_word(m),
                               SLICE_ARG(m->name), word(m, f->kind), path);
        }
        add_pair(&pairs, f, key->json[i], arena);
    }
    bool fits = pairs.encoded <= KEY_PAIRS_MAX;
    char *stored = arena_bytes(arena, m->key_prefix.n + (fits ? pairs.encoded : 1 + 2 * DIGEST));
    char *tail = mempcpy(stored, m->key_prefix.p, m->key_prefix.n);
    char *end = fits ? put_pairs(tail, &pairs) : put_digest(tail, &pairs, arena);
    key->stored = slice_from(stored, (size_t)(end - stored));
    key->pairs = slice_from(tail, (size_t)(end - tail));
    return OK;
}

/* -- locations -- */

#define ROOT_MAX 8 /* bytes of "/models/" */

/* "/models/User", "/models/Home/geocode", "/forms/FriendsLookup/get_friends_list" */
static char *put_path(char *out, const struct model *m)
{
    const struct model *owner = m->owner ? m->owner : m;
    struct slice root = owner->kind == MODEL_FORM ? SLICE("/forms/") : SLICE("/models/");
    char *name = mempcpy(out, root.p, root.n), *end = mempcpy(name, m->name.p, m->name.n);
    if (m->owner) name[owner->name.n] = '/'; /* for the point between the two names */
    return end;
}

struct slice key_location(const struct record_key *key, struct arena *arena)
{
    const struct model *m = key->model;
    struct pairs pairs = {.n = 0};
    for (size_t i = 0; i < m->fields; i++) {
        const struct field *f = &m->field[i];
        if (!field_is_key(f)) continue;
        struct slice json = key->json[model_key_position(m, f)];
        if (json.p) add_pair(&pairs, f, json, arena);
    }
    char *text = arena_bytes(arena, ROOT_MAX + m->name.n + 1 + pairs.encoded), *out = put_path(text, m);
    if (pairs.n) *out++ = '?';
    out = put_pairs(out, &pairs);
    return slice_from(text, (size_t)(out - text));
}

bool key_at_location(const struct model *m, struct slice location, struct arena *arena, struct record_key *key)
{
    char *path = arena_bytes(arena, ROOT_MAX + m->name.n);
    struct slice wanted_path = {path, (size_t)(put_path(path, m) - path)};
    struct slice query = location, given_path = slice_cut(&query, '?');
    struct key_draft draft;
    struct query_option *option;
    size_t options;
    key_draft_init(&draft);
    return slice_eq(given_path, wanted_path) &&
           key_parse_query(m, query, arena, &draft, &option, &options, NULL) == OK && options == 0 &&
           key_finish(m, &draft, arena, key, NULL) == OK;
}

struct record_key key_copy(const struct record_key *key, struct arena *arena)
{
    struct record_key copy = {.model = key->model, .stored = arena_dup(arena, key->stored)};
    copy.pairs = slice_skip(copy.stored, copy.stored.n - key->pairs.n);
    for (size_t i = 0; i < key->model->keys; i++) copy.json[i] = arena_dup(arena, key->json[i]);
    return copy;
}
