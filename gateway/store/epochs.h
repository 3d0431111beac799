/* store/epochs.h -- what has been invalidated by name, not by key: all records of a model, all that carry a tag.
 *
 * Nothing stored is touched by such an invalidation. It has a moment, later than all before, which is noted with each of its names: the
 * name's epoch. Whatever is stored carries a stamp: the last moment that was known when its loading began, or when it was saved. A record
 * whose stamp is before the epoch of one of its names has been invalidated; that is judged whenever one is read.
 *
 * Moments are those of one line, a random number that is made with the table, so that a table that was lost (evicted, flushed) and begun
 * anew lets nothing live that was stored under the old one: a stamp of another line is before everything. They are microseconds since 1970 where the
 * clock that makes them goes on, and one more than the last where it does not; only their order decides.
 *
 * At most EPOCHS_MAX names are known one by one. Beyond it the oldest goes, and its moment is the floor: what is stamped before that counts as
 * removed, whatever its names.
 *
 * One table a process, shared by all workers; a copy of that in Redis where records are there (redis_epochs.h). */
#ifndef PERIGEE_STORE_EPOCHS_H
#define PERIGEE_STORE_EPOCHS_H

#include "base/slice.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EPOCHS_MAX      16384
#define EPOCHS_AT_ONCE  100 /* names of one invalidation */
#define EPOCHS_NAME_MAX 256 /* bytes of one */
#define EPOCHS_PAGE     512 /* names that one report of Redis has */

enum epoch_kind { EPOCH_MODEL, EPOCH_TAG };

enum epoch_mode {
    EPOCH_REMOVE, /* what is older is as good as not there */
    EPOCH_EXPIRE, /* ... is no longer fresh, and good as a stale fallback from that moment on */
};

struct epoch_name {
    enum epoch_kind kind;
    struct slice text; /* not empty */
};

/* A name in the table of this process: a hash, since two names that meet there cost no more than an invalidation too much. */
typedef uint64_t epoch_id;
epoch_id epoch_id_of(enum epoch_kind kind, struct slice text);

struct stamp {
    uint64_t line, at; /* at 0: of the time before the table */
};

/* The part that every read looks at. */
struct epochs {
    _Atomic uint64_t line, at, heard;
    struct epoch_table *table;
};

struct epochs *epochs_new(void);
void epochs_free(struct epochs *e);

/* The last moment that is known, for a stamp. For records in this process there is none until something is invalidated. Any thread, as all below. */
struct stamp epochs_now(struct epochs *e);

/* Was nothing at all invalidated since? Costs next to nothing, and answers for most of what is read. */
static inline bool epochs_cover(const struct epochs *e, struct stamp stamp);

/* Invalidates, where records are in this process: from now on it is known. */
void epochs_raise(struct epochs *e, enum epoch_mode mode, const struct epoch_name *name, size_t n, uint64_t now_ms);

struct epoch_verdict {
    bool removed;
    uint64_t expired_ms; /* wall time; CLOCK_NEVER: not at all */
};

/* Of what carries this stamp and these names. */
struct epoch_verdict epochs_judge(struct epochs *e, struct stamp stamp, const epoch_id *name, size_t n);

/* The last moment at which anything of this name was invalidated; 0: never. */
uint64_t epochs_last(struct epochs *e, epoch_id name);

size_t epochs_names(struct epochs *e);

/* The line first: when it has changed, its moment has, too (epochs.c). */
static inline bool epochs_cover(const struct epochs *e, struct stamp stamp)
{
    uint64_t line = atomic_load_explicit(&e->line, memory_order_acquire);
    return stamp.line == line && stamp.at >= atomic_load_explicit(&e->at, memory_order_acquire);
}

/* -- a copy of the table in Redis -- */

/* Takes in what Redis has reported to who asked for what came after `asked`. False: it is no such report, and nothing has changed. *more: there
 * is more to ask for. */
bool epochs_take(struct epochs *e, struct stamp asked, struct slice report, bool *more);

/* How much of the news (near.h) had come when the table was last known to be that of Redis. */
uint64_t epochs_heard(const struct epochs *e);
void epochs_hear(struct epochs *e, uint64_t news);

#endif
