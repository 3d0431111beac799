/* store/epochs_sync.h -- keeps this process' table of epochs level with the one in Redis; one a worker.
 *
 * While the near cache's tracking is up it tells when the table in Redis has changed, and until then nobody asks. Otherwise whoever reads a
 * record asks in the same write for the last moment, and judges what he has read when both answers are there and the table is level. */
#ifndef PERIGEE_STORE_EPOCHS_SYNC_H
#define PERIGEE_STORE_EPOCHS_SYNC_H

#include "base/list.h"
#include "store/near.h"
#include "store/redis_epochs.h"
#include "store/servers.h"

struct epochs_sync;
struct epochs_wait;

/* OK: the table knows all that was invalidated when the wait began; or why not. *w is the owner's again. */
typedef void epochs_wait_done(struct epochs_wait *w, enum status status);

/* Embed it; set `done`. All zero before its first use. */
struct epochs_wait {
    epochs_wait_done *done;

    struct epochs_sync *sync; /* private, as what follows */
    struct redis_command redis;
    struct stamp asked;
    uint64_t news;
    struct list link; /* of those who wait for the report */
    bool busy;
};

/* Borrows all; key: of the table in Redis. near NULL: there is none. */
struct epochs_sync *epochs_sync_new(struct servers servers, struct near *near, struct epochs *epochs, struct slice key);
void epochs_sync_free(struct epochs_sync *s); /* after redis_close, or cluster_close, has called all back */

/* Is the table level, by all that has been heard? Only asked while near_trusted. */
bool epochs_are_level(const struct epochs_sync *s);

/* PENDING, and done later; or STORE_UNAVAILABLE, OVERLOADED. */
enum status epochs_wait_start(struct epochs_sync *s, struct epochs_wait *w);

/* Invalidates in Redis, and takes in what was invalidated there meanwhile: the same. At most EPOCHS_AT_ONCE names. Where done is not OK it is not known whether
 * anything was invalidated; if so, all of it. */
enum status epochs_raise_start(struct epochs_sync *s, enum epoch_mode mode, const struct epoch_name *name, size_t n,
                               struct epochs_wait *w);

/* done will not be called. Harmless on one that does not wait. */
void epochs_wait_cancel(struct epochs_wait *w);

/* Now and then: asks once, so that the table in Redis is begun before it is needed, and is no key that nobody has used for long. */
void epochs_sync_tick(struct epochs_sync *s);

#endif
