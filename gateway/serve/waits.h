/* serve/waits.h -- which loads wait for which, on all workers together. A load that asks for a record waits for that record's load; when
 * that one waits, by way of however many others, for the first, none of them would ever end: whoever would close such a ring is
 * refused. Known by the hashes of their stored keys (script/trail.h). */
#ifndef PERIGEE_SERVE_WAITS_H
#define PERIGEE_SERVE_WAITS_H

#include "base/list.h"

#include <stdint.h>

struct waits; /* one a process */

/* Embed it. */
struct wait {
    struct list link; /* all of it is private */
    struct waits *waits;
    uint64_t from, to;
    struct wait *next; /* of those that a search has come to */
    unsigned seen;     /* by the search of this number */
};

struct waits *waits_new(void);
void waits_free(struct waits *w); /* nobody may wait */

/* `from` waits for `to` until wait_end. False: it would wait for itself, and does not begin. */
bool wait_begin(struct waits *all, struct wait *w, uint64_t from, uint64_t to);

void wait_end(struct wait *w); /* harmless when it does not wait; it was zeroed then, or has begun once */

#endif
