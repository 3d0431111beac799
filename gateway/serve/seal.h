/* serve/seal.h -- records sealed for one key, and opened only under it. A store in another process answers many questions on one
 * connection: should its answers ever slip by one, that must cost an error and never show one record under another's key. So what goes
 * there carries a check of its key, in a section of the envelope (docs/storage.md). */
#ifndef PERIGEE_SERVE_SEAL_H
#define PERIGEE_SERVE_SEAL_H

#include "model/envelope.h"
#include "serve/serve.h"

/* What stands beside a record's text. */
struct seal_notes {
    struct slice tags;   /* as SECTION_TAGS has them; empty: none */
    struct slice origin; /* the origin's validator; empty: none */
    uint32_t load_us;    /* how long the load took; 0: that is not kept */
    struct stamp stamp;  /* store_stamp when its loading began, or when it was saved (store/epochs.h) */
};

#define ORIGIN_MAX 1024

/* Seals *e (its sections are set here) for the record of this stored key. Returns a new reference. */
struct blob *seal_make(struct serve *s, struct envelope *e, const struct envelope_ref *refs, size_t n_refs,
                       const struct seal_notes *notes, struct slice key);

/* The record of an opened envelope once more, with the times and the notes that are given. Returns a new reference. */
struct blob *seal_again(struct serve *s, const struct envelope *old, struct envelope *times,
                        const struct seal_notes *notes, struct slice key);

/* What was noted of an opened envelope. */
struct seal_notes seal_notes_of(const struct envelope *e);

/* Counts and logs a stored value that is taken as missing, since it is no record of ours. Returns MISSING. */
enum status seal_damaged(struct serve *s, struct served *served, struct slice key, size_t bytes);

/* Opens what the store gave for this key, as a view into blob: OK; MISSING: no envelope of ours, or one that was invalidated by name; STORE_UNAVAILABLE:
 * another record's. All but OK is counted. One that was made to expire so has the times that this leaves it. */
enum status seal_open(struct serve *s, struct served *served, const struct blob *blob, struct slice key,
                      struct envelope *e);

/* The same once more for what was opened before, counting nothing: false where it has been invalidated since, or is no envelope of ours. */
bool seal_reopen(struct serve *s, struct served *served, const struct blob *blob, struct envelope *e);

/* Has something that was stamped so, with these tags, been invalidated by name since? */
bool seal_is_outdated(struct serve *s, const struct served *served, struct stamp stamp, struct slice tags);

#endif
