/* serve/clear.h -- before a conditional write. The store judges a condition by the bytes that stand there (store/condition.h) and knows nothing of
 * what was invalidated by name, nor of damage behind the head; so a record that is none to conditions first gets the times that an invalidation leaves it,
 * or goes, if it is that one still. A write that is refused afterwards has taken nothing away. */
#ifndef PERIGEE_SERVE_CLEAR_H
#define PERIGEE_SERVE_CLEAR_H

#include "model/key.h"
#include "serve/serve.h"

struct clearing;

/* *c is the owner's again. */
typedef void clearing_done(struct clearing *c, enum status status);

/* Embed it; set the first part. It cannot be cancelled. */
struct clearing {
    struct serve *serve;
    struct served *served;
    const struct record_key *key;       /* kept until done */
    const struct store_condition *when; /* kept */
    clearing_done *done;

    struct store_op op; /* private */
};

/* OK: the store may judge; PRECONDITION_FAILED: it wants a record, and there is none; or a failure: now, or PENDING, and done later. */
enum status clearing_start(struct clearing *c);

#endif
