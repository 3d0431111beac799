/* model/model.h -- what a model is once it is loaded: names, keys, fields, options. Made by script/define.c from the Lua
 * table, then immutable. Pure: no uv, no Lua, no Redis. */
#ifndef PERIGEE_MODEL_MODEL_H
#define PERIGEE_MODEL_MODEL_H

#include "base/arena.h"
#include "base/map.h"
#include "base/status.h"

#include <stdint.h>

#define MODEL_KEYS_MAX   16
#define MODEL_FIELDS_MAX 256 /* keys included */
#define MODEL_NAME_MAX   64  /* bytes of a model's or field's name */

enum value_type { TYPE_ANY, TYPE_STRING, TYPE_INTEGER, TYPE_NUMBER, TYPE_BOOLEAN, TYPE_ARRAY, TYPE_OBJECT };

enum field_kind { FIELD_KEY, FIELD_VALUE, FIELD_PACKED, FIELD_REFERENCE, FIELD_REFERENCES };

enum missing_policy { EDGE_FAIL, EDGE_NULL, EDGE_SKIP };

struct field {
    struct slice name;
    struct slice prefix; /* `"name":`, ready to be written */
    enum field_kind kind;
    enum value_type type; /* of keys and values */
    bool required;
    struct slice default_json; /* absent: none; for keys in canonical form */
    struct slice target;       /* references: the model's name ("self" already replaced) */
    enum missing_policy missing;
    uint32_t max; /* references: most members */
};

struct model_options {
    uint64_t expires_ms;      /* CLOCK_NEVER: never */
    uint64_t negative_ms;     /* how long a `missing` is remembered; 0: not */
    uint64_t hard_timeout_ms; /* a load, waiting and computing; always set */
    uint32_t version;
    bool jit; /* handlers may be compiled */
};

struct model {
    struct slice name;
    struct field *field; /* in the order of declaration */
    size_t fields;
    uint16_t key[MODEL_KEYS_MAX]; /* indices of the keys into field[], sorted by name */
    size_t keys;
    struct map by_name; /* name -> struct field * */
    struct model_options options;
    int from_miss;           /* script's handle of the loader, or -1 */
    char fingerprint[17];    /* 64 bits in hexadecimal and a NUL */
    struct slice key_prefix; /* "PREFIX:MODEL:FINGERPRINT:" */
    struct slice file;       /* where it was declared, for messages */
    int line;
};

/* Completes a model whose name, field[], options and `keys`-kind fields are filled in: sorts keys, builds by_name,
 * prefixes, fingerprint and key_prefix. Everything stays in `arena` (by_name: model_deinit). The caller has checked names.
 * The fingerprint covers names, kinds, types and reference targets of the fields in order of name, and options.version:
 * not their order, not required, default, policy or time options. */
void model_finish(struct model *m, struct slice prefix, struct arena *arena);
void model_deinit(struct model *m);

/* The field, or NULL. */
const struct field *model_field(const struct model *m, struct slice name);
static inline size_t model_index(const struct model *m, const struct field *f) { return (size_t)(f - m->field); }

/* Where a field of kind key stands in m->key[] (and so in a key's values). */
size_t model_key_position(const struct model *m, const struct field *f);

/* The field's name as the NUL-terminated `path` of a problem; returns `path`. */
const char *field_path(const struct field *f, char path[MODEL_NAME_MAX + 1]);

/* "string", "integer", ... */
const char *value_type_name(enum value_type t);
bool value_type_parse(struct slice name, enum value_type *t);

/* [A-Za-z][A-Za-z0-9_]*, at most MODEL_NAME_MAX bytes. */
bool model_name_valid(struct slice name);

/* Out of `names` the one nearest to `name` that is near enough to be meant, or {NULL,0}: the same but for case, or at most three
 * edits apart and no more than a third of the longer. */
struct slice nearest_name(struct slice name, const struct slice *names, size_t n);

#endif
