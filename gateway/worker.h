/* worker.h -- one thread with its own loop, Lua state, store connections, counters and listening sockets. The gateway's thread
 * starts it, sends it letters, and joins it. */
#ifndef PERIGEE_WORKER_H
#define PERIGEE_WORKER_H

#include "base/metrics.h"
#include "config.h"
#include "http/connection.h"
#include "script/vm.h"
#include "serve/flight.h"
#include "serve/tokens.h"
#include "store/epochs.h"
#include "store/memory.h"
#include "store/near.h"
#include "store/redis.h"
#include "store/roster.h"

struct worker;

struct worker_config {
    const struct config *config;
    const struct redis_config *redis; /* NULL: records live in `memory` */
    struct memory *memory;
    struct near *near;     /* NULL: no copies of what Redis holds */
    struct roster *roster; /* with a near cache before a cluster: whom the workers ask */
    struct epochs *epochs;
    struct slice epochs_key; /* of them in Redis */
    struct flights *flights;
    struct tokens *tokens;  /* who may ask, at first; NULL: everybody */
    _Atomic unsigned *open; /* client connections of all workers */
    const int *fds;         /* sockets to accept from; taken */
    size_t n_fds;
};

/* Starts the thread and returns when it accepts connections. Takes vm (not attached yet). */
struct worker *worker_start(const struct worker_config *config, struct vm *vm);

/* Letters; any thread. */
void worker_swap(struct worker *w, struct vm *vm,
                 struct tokens *tokens); /* serve these models to these tokens from now on; takes vm, and its own
                                          * reference to tokens (NULL: none are asked for) */
void worker_drain(struct worker *w);     /* accept no more, close what idles */
void worker_close(struct worker *w);     /* end now; what is in flight is cut off */

bool worker_ended(const struct worker *w); /* after worker_close: joining will not wait */
void worker_join(struct worker *w);        /* waits, then frees */

struct metrics *worker_metrics(struct worker *w); /* lives until the join */

#endif
