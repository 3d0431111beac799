/* serve/invalidate.h -- all records of models, or all that carry tags, invalidated at once, whoever asks for it: their names' epochs are raised
 * (store/epochs.h), and every read judges by them. Nothing is looked for, and it costs the same for one record and for millions. */
#ifndef PERIGEE_SERVE_INVALIDATE_H
#define PERIGEE_SERVE_INVALIDATE_H

#include "model/json.h"
#include "serve/serve.h"

struct invalidation;

/* The result is in *i; it is the owner's again. */
typedef void invalidation_done(struct invalidation *i, enum status status);

/* Embed it; set the first part. It cannot be cancelled. */
struct invalidation {
    struct serve *serve;
    enum epoch_mode mode;
    const struct epoch_name *name; /* kept until done */
    size_t n;
    invalidation_done *done;

    struct problem problem; /* unless OK */

    struct store_op op; /* private */
};

/* OK: whoever asks from now on, of this gateway and of others that reach the store, gets nothing that was stored, or began to be loaded, before; or why that is
 * not known: now, or PENDING, and done later. */
enum status invalidation_start(struct invalidation *i);

/* Reads a JSON array of tags: 1 to EPOCHS_AT_ONCE of 1 to EPOCHS_NAME_MAX bytes. Everything in the arena. */
enum status invalidation_read_tags(struct slice json, struct arena *arena, const struct epoch_name **name, size_t *n,
                                   struct problem *why);

/* "remove", "expire" as a JSON text; absent: remove. */
enum status invalidation_read_mode(struct slice json, enum epoch_mode *mode, struct problem *why);

/* For the metric: `kind` is "record", "model" or "tag". */
void invalidation_count(struct serve *s, struct slice kind, enum epoch_mode mode, size_t n);

#endif
