/* model/model.h -- what a model is once it is loaded: names, keys, fields, options. Made by script/define.c from the Lua
 * table, then immutable. Pure: no uv, no Lua, no Redis.
 *
 * Cached methods and forms are described by the same struct, because their results are kept like records: by a key that is derived from
 * typed values of given names. A method `Home.geocode` has the attributes in `on` and its arguments for keys; a form has its inputs, and
 * is itself never stored; a form's method has the cleaned inputs and its arguments. */
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

enum model_kind { MODEL_RECORD, MODEL_METHOD, MODEL_FORM, MODEL_FORM_METHOD };

/* FIELD_ARGUMENT: an argument of a method or an input of a form. It is part of the key like FIELD_KEY. */
enum field_kind { FIELD_KEY, FIELD_VALUE, FIELD_PACKED, FIELD_REFERENCE, FIELD_REFERENCES, FIELD_ARGUMENT };

enum missing_policy { EDGE_FAIL, EDGE_NULL, EDGE_SKIP };

struct field {
    struct slice name;
    struct slice prefix; /* `"name":`, ready to be written */
    enum field_kind kind;
    enum value_type type;       /* of keys, arguments and values */
    uint16_t place;             /* in model->by_place */
    bool required;              /* of a record's key: always */
    bool cleaned;               /* an input with a `clean` of its own */
    struct slice default_json;  /* absent: none; for keys in canonical form */
    const struct model *target; /* references: the model they name; set before model_finish */
    enum missing_policy missing;
    uint32_t max; /* references: most members */
};

#define REFRESH_XFETCH 1.0

#define DEPTH_DEFAULT 8
#define DEPTH_MAX     64

struct model_options {
    uint64_t expires_ms;  /* CLOCK_NEVER: never */
    uint64_t negative_ms; /* how long a `missing` is remembered; 0: not */
    uint64_t
        stale_while_revalidate_ms; /* after its freshness a record is still answered, while it is loaded anew; 0: not */
    uint64_t stale_if_error_ms;    /* ... still answered where that fails; 0: not */
    double jitter;                 /* 0..1: the part of `expires` that chance may take away */
    double refresh; /* early loads: 0: none; below 1: when this part of the life is over; REFRESH_XFETCH */
    uint64_t
        soft_timeout_ms; /* a client with a stale record at hand waits no longer for a load; 0: for the load's end */
    unsigned max_loads;  /* at once, in this process; 0: no bound */
    uint64_t hard_timeout_ms; /* a load, waiting and computing; always set */
    uint32_t version;
    unsigned depth;    /* how many levels of references a read resolves unless it says otherwise */
    bool jit;          /* handlers may be compiled */
    bool cache_groups; /* HTTP caches are told of model and tags */
    bool validate, tags, on_save, from_misses; /* has such a handler */
};

struct model {
    struct slice name; /* of a method: "Home.geocode" */
    enum model_kind kind;
    const struct model *owner; /* of a method: the model or form that has it, else NULL */
    unsigned index;            /* place in its registry */
    bool refers;               /* has reference fields */
    struct field *field;       /* in the order of declaration */
    size_t fields;
    uint16_t key[MODEL_KEYS_MAX]; /* indices of the keys into field[], sorted by name */
    size_t keys;
    const struct field **by_place; /* the fields, sorted by name */
    struct model_options options;
    bool loads;              /* has a loader, or is a method: what is missing can be made */
    int handler;             /* script's handle of that handler, or -1 */
    char fingerprint[17];    /* 64 bits in hexadecimal and a NUL */
    struct slice key_prefix; /* "PREFIX:MODEL:FINGERPRINT:" */
    struct slice file;       /* where it was declared, for messages */
    int line;
};

/* Completes a model whose name, field[], options and `keys`-kind fields are filled in: sorts keys, builds by_place,
 * prefixes, fingerprint and key_prefix. Everything stays in `arena`. The caller has checked names; the field[] of every target is filled
 * in too.
 * The fingerprint covers names, kinds and types of the fields in order of name, name and keys of each reference's target,
 * and options.version: not their order, not required, default, policy or time options. */
void model_finish(struct model *m, struct slice prefix, struct arena *arena);

/* The field, or NULL. */
const struct field *model_field(const struct model *m, struct slice name);
static inline size_t model_index(const struct model *m, const struct field *f) { return (size_t)(f - m->field); }

/* The field of this place among the sorted names, or NULL. What is stored tells fields by their places, since these hold as long as the
 * fingerprint does, whatever the order of declaration. */
static inline const struct field *model_field_at(const struct model *m, size_t place)
{
    return place < m->fields ? m->by_place[place] : NULL;
}

/* Is its value part of the key? */
static inline bool field_is_key(const struct field *f) { return f->kind == FIELD_KEY || f->kind == FIELD_ARGUMENT; }

static inline bool field_refers(const struct field *f)
{
    return f->kind == FIELD_REFERENCE || f->kind == FIELD_REFERENCES;
}

/* The last part of a method's name: "geocode". */
struct slice model_method_name(const struct model *method);

/* The model or form that it belongs to, itself or its owner: what invalidates all of that invalidates this. */
struct slice model_group(const struct model *m);

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

/* The same as the end of a message: " (did you mean `username`?)", or nothing. The text stands in `hint`. */
struct hint {
    char text[MODEL_NAME_MAX + 24];
};
const char *nearest_hint(struct slice name, const struct slice *names, size_t n, struct hint *hint);

#endif
