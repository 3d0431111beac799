/* script/host_internal.h -- the inside of a host, for the files of this folder that wait: tasks, http, databases, sleep.
 *
 * A host owns the handles all tasks of a worker share: one timer for every deadline and sleep (a heap; thousands of parked tasks
 * cost no handle), and a check with an idle that give runnable tasks their turns between two polls of the loop. */
#ifndef PERIGEE_SCRIPT_HOST_INTERNAL_H
#define PERIGEE_SCRIPT_HOST_INTERNAL_H

#include "base/arena.h"
#include "base/list.h"
#include "script/host.h"
#include "script/watchdog.h"

#define HOST_SLICE_US 5000 /* Lua gets no more of a phase of the loop before others are served */

/* A moment on clock_mono_us. Embedded in what waits for it. */
struct host_timer {
    uint64_t at_us;
    size_t place; /* in the heap, counted from 1; 0: not set */
    void (*fire)(struct host_timer *timer);
};

/* Kinds and outcomes of perigee_upstream_seconds. */
enum upstream_kind { UPSTREAM_HTTP, UPSTREAM_SQLITE, UPSTREAM_POSTGRES, UPSTREAM_REDIS, UPSTREAM_KINDS };
enum upstream_outcome { UPSTREAM_OK, UPSTREAM_ERROR, UPSTREAM_TIMEOUT, UPSTREAM_CANCELLED, UPSTREAM_OUTCOMES };

struct script_host {
    uv_loop_t *loop;
    struct metrics *metrics;
    struct histogram *upstream[UPSTREAM_KINDS][UPSTREAM_OUTCOMES]; /* found at first use */
    struct watchdog watchdog;

    uv_timer_t timer; /* set for heap[1] */
    struct host_timer **heap;
    size_t timers, heap_cap;

    uv_check_t check; /* runs the ready ones */
    uv_idle_t idle;   /* keeps the poll from blocking while there are any */
    struct list ready;
    uint64_t spent_us; /* by Lua in this phase of the loop */

    const struct ask_gateway *gateway; /* NULL: there is nobody to ask */
    struct http_client *http;          /* this and the next three: NULL until a handler asks for the first time */
    struct sqlite_pools *sqlite;
    struct postgres_pools *postgres;
    struct redis_client *redis;
    const char *http_socket; /* where all requests over HTTP go; NULL: to where they say */
    struct arena scratch;    /* of a C function that Lua calls, for one call: no leak when it raises */
    size_t branches;         /* tasks that `parallel` has started */

    size_t open; /* handles, and work in the thread pool, that script_host_close waits for */
    void (*closed)(void *arg);
    void *closed_arg;
};

/* One member of host->ready: `run` gives it its turn. It is in no list then. */
struct host_turn {
    struct list link;
    void (*run)(struct host_turn *turn);
};

void host_timer_init(struct host_timer *timer, void (*fire)(struct host_timer *timer));
void host_timer_set(struct script_host *h, struct host_timer *timer, uint64_t at_us); /* CLOCK_NEVER: stops it */
void host_timer_stop(struct script_host *h, struct host_timer *timer);

void host_turn_init(struct host_turn *turn, void (*run)(struct host_turn *turn));
void host_turn_ask(struct script_host *h, struct host_turn *turn); /* after the next poll, in order of asking */
void host_turn_stop(struct host_turn *turn);

void host_upstream(struct script_host *h, enum upstream_kind kind, enum upstream_outcome outcome, uint64_t us);

/* What must have ended before the host is gone: a handle that was opened, a close callback that has run. */
void host_hold(struct script_host *h);
void host_release(struct script_host *h); /* may free h */

#endif
