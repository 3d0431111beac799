/* serve/renew.h -- a stored record gets another life and keeps all else: what POST _touch asks for, and _invalidate that keeps it as a
 * fallback. Compared and replaced in one step, so that no write in between is undone; loads that began before it store nothing. */
#ifndef PERIGEE_SERVE_RENEW_H
#define PERIGEE_SERVE_RENEW_H

#include "model/key.h"
#include "serve/serve.h"

struct renew;

/* *r is the owner's again. */
typedef void renew_done(struct renew *r, enum status status);

enum renew_to {
    RENEW_LIFE, /* a new life, from now on, for a record that is fresh */
    RENEW_END, /* its freshness ends now; it may be answered stale as long as it might have been, and the model allows */
};

/* Embed it; set the first part. While it is under way the owner holds a reference to served->generation. It cannot be cancelled. */
struct renew {
    struct serve *serve;
    struct served *served;
    const struct record_key *key; /* kept until done */
    enum renew_to to;
    uint64_t life_ms; /* RENEW_LIFE: as life_begin takes it */
    renew_done *done;

    uint64_t tag;           /* OK: the record's, which is what it was */
    struct problem problem; /* unless OK or MISSING */

    struct store_op op; /* the rest is private */
    struct flight_write fence;
    struct flight_waiter waiter;
    struct blob *old, *next; /* as found, and as it shall be; one reference each */
    uint64_t until_ms;
    unsigned attempts;
};

/* OK; MISSING: there is no such record, or only that it is missing is known; or a failure: now, or PENDING, and done later. */
enum status renew_start(struct renew *r);

#endif
