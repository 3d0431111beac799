/* model/codec.h -- a record between the world and the envelope: checks values against the model, writes the record's JSON
 * in the model's order, every value spelled as it came. */
#ifndef PERIGEE_MODEL_CODEC_H
#define PERIGEE_MODEL_CODEC_H

#include "base/buffer.h"
#include "model/envelope.h"
#include "model/json.h"
#include "model/key.h"

/* A record's values, compact JSON by field index; absent = unset. Keys are filled from the record_key on writing. */
struct record_draft {
    struct slice *value; /* model->fields of them */
};

/* A draft with nothing set, in the arena. */
void codec_draft_init(const struct model *m, struct arena *arena, struct record_draft *d);

/* Reads the body of a save. Keys found in it join `key` (KEY_CONFLICT where they disagree); other members must be fields
 * (UNKNOWN_FIELD with the nearest name) of the right type (FIELD_TYPE). The draft's slices lie in the arena or in `body`. */
enum status codec_read(const struct model *m, struct slice body, struct key_draft *key, struct arena *arena,
                       struct record_draft *d, struct problem *why);

/* UNKNOWN_FIELD, naming the nearest there is. */
enum status codec_unknown_field(const struct model *m, struct slice name, struct problem *why);

/* Sets one field from compact JSON, with the type check of codec_read; null is allowed for every field that is not
 * required (else FIELD_REQUIRED). FIELD_TYPE names field, wanted and given type. Borrows `json` for as long as the draft is used.
 * References and packed fields take no value this way: REFERENCE_INVALID, FIELD_TYPE. `f` is no key. */
enum status codec_set(const struct model *m, struct record_draft *d, const struct field *f, struct slice json,
                      struct problem *why);

/* Fills defaults, checks `required` (FIELD_REQUIRED), and appends the record's JSON text to `out`: keys and set fields in
 * the order of declaration. Reference slots are reported in *refs (arena). Whether `out` overflowed is the caller's to see. */
enum status codec_write(const struct record_key *key, struct record_draft *d, struct arena *arena, struct buffer *out,
                        struct envelope_ref **refs, size_t *n_refs, struct problem *why);

#endif
