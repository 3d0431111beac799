/* store/redis_epochs.h -- the table of epochs.h in Redis: one sorted set under one key, so that it is there as a whole or lost as a whole, and
 * several names are invalidated together or not at all. Its members, by their moments:
 *
 *     !floor              what is stamped before it counts as removed
 *     remove:model:User   expire:tag:acme   ...
 *     ~LINE               the line, 16 hexadecimal digits; always the last, since its moment is the latest
 *
 * So one small question about one member tells whether the line is still the same and what its last moment is. */
#ifndef PERIGEE_STORE_REDIS_EPOCHS_H
#define PERIGEE_STORE_REDIS_EPOCHS_H

#include "store/epochs.h"
#include "store/redis.h"

/* The last moment of this line: OK with its digits, MISSING when there is no such line any more. */
enum status redis_epochs_ask(struct redis *r, struct slice key, uint64_t line, struct redis_command *c,
                             redis_done *done);
bool redis_epochs_is(const struct blob *digits, uint64_t at);

/* Invalidates these names (n may be 0), begins a table under `fresh` where there is none, and reports what came after `asked`: OK with
 * what epochs_take wants. */
enum status redis_epochs_raise(struct redis *r, struct slice key, uint64_t fresh, struct stamp asked,
                               enum epoch_mode mode, const struct epoch_name *name, size_t n, struct redis_command *c,
                               redis_done *done);

#endif
