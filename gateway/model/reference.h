/* model/reference.h -- references on their way into a draft: an object of the target's keys, perhaps with `$ref`, and in a cascade with the
 * target's fields, becomes the stub that is stored. A part of model/codec.h. */
#ifndef PERIGEE_MODEL_REFERENCE_H
#define PERIGEE_MODEL_REFERENCE_H

#include "model/codec.h"

/* codec_set for a reference field and what is not null. Also caps how many a record holds. */
enum status reference_set(const struct model *m, struct record_draft *d, const struct field *f, struct slice json,
                          struct codec_reader *r, struct problem *why);

/* Reads one reference that carries keys alone; out->stub is the one spelling of it. */
enum status reference_stub(const struct model *target, struct slice json, struct arena *arena,
                           struct draft_reference *out, struct problem *why);

/* How many references the fields hold, `but` (may be NULL) not counted. For a model that refers. */
size_t references_held(const struct model *m, const struct record_draft *d, const struct field *but);

#endif
