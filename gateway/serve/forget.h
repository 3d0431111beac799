/* serve/forget.h -- a stored record or result deleted, whoever asks for it. A load that began before must not end on top of the delete: the
 * flight of the key is barred (flight.h) from before the store is asked until it has answered. */
#ifndef PERIGEE_SERVE_FORGET_H
#define PERIGEE_SERVE_FORGET_H

#include "model/key.h"
#include "serve/clear.h"

struct forget;

/* *f is the owner's again. */
typedef void forget_done(struct forget *f, enum status status);

/* Embed it; set the first part. While it is under way the owner holds a reference to its generation. It cannot be cancelled: the bar
 * must stand until the store has answered. */
struct forget {
    struct serve *serve;
    const struct record_key *key; /* kept until done */
    forget_done *done;
    const struct store_condition *when; /* kept; NULL: always */
    struct served *served;              /* with a condition */

    struct flight_write fence; /* the rest is private */
    struct clearing clearing;
    struct flight_waiter waiter;
    struct store_op store;
};

/* OK, whether it was there or not, PRECONDITION_FAILED when the condition did not hold, or why nothing is known to be deleted: now; or
 * PENDING, and done later. */
enum status forget_start(struct forget *f);

#endif
