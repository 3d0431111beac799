/* model/envelope.h -- the stored value: a header, a table of where references stand, optional sections, and the record's JSON
 * text. Little-endian, no padding, no alignment needed; docs/storage.md has the drawing, tests/golden the bytes.
 *
 *      0  4  magic 'P' 'G' 'E', format version 1
 *      4  1  kind: 0 record, 1 negative (known to be missing; no text), 2 method result
 *      5  1  flags: 0 (others: unknown envelope)
 *      6  2  number of references
 *      8  8  stored at, ms since 1970
 *     16  8  fresh until, ms since 1970; all ones: for ever
 *     24  8  useful (stale) until; all ones: for ever; never before `fresh until`
 *     32  8  tag of the text: hash_text(text)
 *     40  4  bytes of the reference table
 *     44  4  bytes of the sections
 *     48  4  bytes of the text
 *     52     reference table, sections, text; and then the end: no byte may be missing or left over
 *
 * A reference: 2 place of its field (model.h), 2 bytes of key, 4 offset in the text, 4 length in the text, then the target's pairs
 * (model/key.h). References stand in the order of their offsets, are not
 * empty and do not overlap; a negative has none.
 * A section: 1 type, 3 length, then its bytes; unknown types are skipped. */
#ifndef PERIGEE_MODEL_ENVELOPE_H
#define PERIGEE_MODEL_ENVELOPE_H

#include "base/arena.h"
#include "base/blob.h"

#include <stdint.h>

enum envelope_kind { ENVELOPE_RECORD = 0, ENVELOPE_NEGATIVE = 1, ENVELOPE_RESULT = 2 };

#define ENVELOPE_HEADER   52
#define ENVELOPE_REFS_MAX 1000

struct envelope_ref {
    uint16_t place;          /* of the field, model_field_at */
    uint32_t offset, length; /* of the slot in the text */
    struct slice pairs;      /* the target's key */
};

struct envelope {
    enum envelope_kind kind;
    uint16_t refs;
    uint64_t stored_ms, fresh_until_ms, stale_until_ms;
    uint64_t tag;
    struct slice table; /* the reference table; walk it with envelope_next_ref */
    struct slice sections;
    struct slice text; /* the record's JSON; empty for a negative */
    size_t room;       /* only for sealing: bytes to leave behind it, for the store (blob_new_with_room) */
};

/* A view into `bytes` (borrowed as long as the view is used). False for anything that is not a well-formed envelope of
 * this format: every length, order and offset is checked here, so that readers need not (the text is not hashed again). Never
 * reads outside `bytes`. */
bool envelope_open(struct slice bytes, struct envelope *e);

/* The bytes of the section of this type, absent when there is none. */
struct slice envelope_section(const struct envelope *e, uint8_t type);

#define SECTION_TAGS   2 /* each tag: 1 byte of length, then its text; sorted, none twice */
#define SECTION_LOAD   3 /* serve/seal.h: how long the load took */
#define SECTION_ORIGIN 4 /* serve/seal.h: the origin's validator */
#define SECTION_STAMP  5 /* serve/seal.h: what it knew of invalidations */
#define SECTION_KEY    6 /* serve/seal.h: a check of its key; 1 was another one */
#define TAGS_MAX       64
#define TAG_MAX        255

/* Walks the references: *at starts at 0; false at the end. */
bool envelope_next_ref(const struct envelope *e, size_t *at, struct envelope_ref *ref);

/* Builds the blob: times and kind from *e, `tag` computed, text and sections copied, refs written.
 * Returns a new reference. The caller has capped all sizes, and has kept the rules that envelope_open checks. */
struct blob *envelope_seal(const struct envelope *e, const struct envelope_ref *refs, size_t n_refs);

/* Of the first 8 bytes of a stored value: is it a record (or method result) of this format, not a negative? */
bool envelope_is_record(struct slice first_bytes);

#endif
