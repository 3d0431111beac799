/* serve/life.h -- the life of a record, from its storing to the end of its use:
 *
 *     stored      due for refresh     fresh until                         stale until
 *       |   FRESH       |      DUE         |   STALE_WHILE   |  STALE_ERROR    |   DEAD
 *       +---------------+------------------+-----------------+-----------------+-------->
 *
 * The stale parts begin together at `fresh until`; each is as long as the model's option says, and the longer one is what the store keeps the
 * record for. Pure: time and chance are arguments. */
#ifndef PERIGEE_SERVE_LIFE_H
#define PERIGEE_SERVE_LIFE_H

#include "model/envelope.h"
#include "model/model.h"

enum life {
    LIFE_FRESH,
    LIFE_DUE,         /* fresh; and it is time to load it anew, behind the answer */
    LIFE_STALE_WHILE, /* is answered at once, and loaded anew behind the answer */
    LIFE_STALE_ERROR, /* is loaded anew, and answered when that fails or takes too long */
    LIFE_DEAD,        /* may not be answered */
};

/* Sets the times of *e for a record that is stored at `now_ms`. `life_ms`: what a save or load has said of this record, kept exactly;
 * LIFE_UNSAID: the model's `expires`, less its jitter. No stale parts have a negative, and the records of a model without a loader, since
 * nothing could make them better. `chance` is any 64 random bits. */
#define LIFE_UNSAID (UINT64_MAX - 1)
void life_begin(const struct model *m, uint64_t life_ms, uint64_t now_ms, uint64_t chance, struct envelope *e);

/* Freshness ends at `at_ms`, if not before; from then on the record may be answered stale as the model allows, and no longer than it might have
 * been. */
void life_end(const struct model *m, uint64_t at_ms, struct envelope *e);

/* From `at_ms` on the store cannot be asked: it is fresh until then, if so long, and may be answered stale for `stale_if_error`, and no longer than it might have
 * been. A model needs no loader for that. */
void life_doubt(const struct model *m, uint64_t at_ms, struct envelope *e);

/* Where a stored record stands now. `load_us`: how long a load of it takes, for XFetch (Vattani, Chierichetti, Lowenstein: Optimal
 * Probabilistic Cache Stampede Prevention, VLDB 2015, beta = 1). */
enum life life_of(const struct model *m, const struct envelope *e, uint64_t load_us, uint64_t now_ms, uint64_t chance);

/* How long after the n-th failure in a row (n from 1) nobody tries again: one failure may be an accident, and the next one who asks tries at
 * once; from the second on it is 100 ms, doubling to 5 s. */
uint64_t life_backoff_ms(unsigned failures);

#endif
