/* model/codec.h -- a record between the world and the envelope: checks values against the model, writes the record's JSON
 * in the model's order, every value spelled as it came. */
#ifndef PERIGEE_MODEL_CODEC_H
#define PERIGEE_MODEL_CODEC_H

#include "base/buffer.h"
#include "model/envelope.h"
#include "model/json.h"
#include "model/key.h"

/* One reference that a draft holds: what stands for it in the record's text (the key's members, then `$ref`), and the target's key. */
struct draft_reference {
    struct slice stub, pairs;
};

/* The members of a reference field: one, or as many as the list has. */
struct draft_references {
    struct draft_reference *at;
    size_t n;
};

/* A record's values by field index. value[i]: compact JSON, absent = unset; of a reference field it only tells whether it is unset, "null", or
 * set ("[]" and "{}" stand for what reference[i] holds). Keys are filled from the record_key on writing. */
struct record_draft {
    struct slice *value;                /* model->fields of them */
    struct draft_references *reference; /* the same; NULL for a model that does not refer */
};

/* A record that was given inside another one, to be saved with it. */
struct codec_target {
    struct record_key key;
    struct record_draft draft;
};

/* What codec_read may take beside plain values, and what it gathers. */
struct codec_reader {
    struct arena *arena; /* all results lie in it, or in what is read */
    bool packed;         /* {"$packed":"..."} is taken: only from a handler, which has made it */
    bool cascade; /* references may carry fields: they are gathered in target[], each before the one it was given in */
    struct codec_target *target;
    size_t targets, cap;
    struct slice text; /* what was read, without insignificant white space */

    size_t given;                  /* private: how often a reference carried fields */
    const struct record_key *self; /* private: the record that is read, once codec_read knows it */
};

#define CASCADE_MAX 1000 /* times that references carry fields */

/* A draft with nothing set, in the arena. */
void codec_draft_init(const struct model *m, struct arena *arena, struct record_draft *d);

/* Reads the body of a save. Keys found in it join `key` (KEY_CONFLICT where they disagree); other members must be fields
 * (UNKNOWN_FIELD with the nearest name) of the right type (FIELD_TYPE), references that codec_set takes. A record that is given twice must be
 * given equally, and the one that is read not again (REFERENCE_INVALID); a reference that carries keys alone saves nothing. */
enum status codec_read(const struct model *m, struct slice body, struct key_draft *key, struct codec_reader *r,
                       struct record_draft *d, struct problem *why);

/* Which record codec_read met a fault in: the keys in its `text` joined to those that are known. False when they name none. */
bool codec_names(const struct model *m, struct slice text, const struct key_draft *known, struct arena *arena,
                 struct record_key *key);

/* UNKNOWN_FIELD, naming the nearest there is. */
enum status codec_unknown_field(const struct model *m, struct slice name, struct problem *why);

/* Sets one field from compact JSON, with the type check of codec_read; null is allowed for every field that is not
 * required (else FIELD_REQUIRED) nor packed (unless r->packed). FIELD_TYPE names field, wanted and given type. Borrows `json` for as long as the draft is used.
 * A reference takes an object of the target's keys, a list an array of such, both with or without `$ref`, which then must name the same
 * record; more members only where r->cascade is set; at most ENVELOPE_REFS_MAX a record; else
 * REFERENCE_INVALID with the path ("friends[2].username"). Faults of a
 * target's fields are those of a save of it, with such a path. `f` is no key. */
enum status codec_set(const struct model *m, struct record_draft *d, const struct field *f, struct slice json,
                      struct codec_reader *r, struct problem *why);

/* Fills defaults, checks `required` (FIELD_REQUIRED), and appends the record's JSON text to `out`: keys and set fields in
 * the order of declaration. Reference slots are reported in *refs (arena), their offsets counted from where the text starts.
 * Whether `out` overflowed is the caller's to see. */
enum status codec_write(const struct record_key *key, struct record_draft *d, struct arena *arena, struct buffer *out,
                        struct envelope_ref **refs, size_t *n_refs, struct problem *why);

/* Is `text`, that the draft was read from, what codec_write would write? So it is where the members stand in the model's order, each once and
 * each key in its one spelling, and no default is missing. Never for a model that refers. */
bool codec_is_written(const struct record_key *key, const struct record_draft *d, struct slice text);

#endif
