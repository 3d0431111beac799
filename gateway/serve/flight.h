/* serve/flight.h -- single flight: however many ask for a missing record at once, on whichever workers, one loads and all get
 * what it brought.
 *
 * A flight belongs to the worker that leads it and is found by its stored key in a table that all workers share. Everyone who
 * wants the result, the leader's own request too, is a waiter with a port: its worker's letter-box. A flight lives until it lands,
 * also when every waiter has left. */
#ifndef PERIGEE_SERVE_FLIGHT_H
#define PERIGEE_SERVE_FLIGHT_H

#include "base/blob.h"
#include "base/list.h"
#include "base/status.h"
#include "serve/backoff.h"
#include "serve/waits.h"
#include "store/epochs.h"

#include <uv.h>

struct flights;     /* all flights of the process */
struct flight_port; /* one a worker */
struct flight;

/* What a flight brought; shared by its waiters, never changed after landing. */
struct flight_outcome {
    _Atomic unsigned refs;
    enum status status; /* OK, MISSING, or why it failed */
    struct blob *blob;  /* OK, MISSING: the sealed record or negative; one reference, owned by the outcome */
    bool stored;        /* it is kept; otherwise it is for these waiters only */
    bool found;         /* it stood in the store after all: nothing was loaded */
    uint64_t load_us;   /* how long the load took; 0: nothing was loaded */
    bool doubtful;      /* another gateway may have written the record since: who has joined on the way looks again */
    struct problem problem; /* when it failed */
    struct stamp stamp;     /* of what was loaded: when that began */
};

struct flight_outcome *flight_outcome_new(enum status status); /* returns a new reference */
void flight_outcome_unref(struct flight_outcome *o);

struct flight_waiter;

/* What was known of invalidations (moments of store/epochs.h) by who asks for a load. All zero: nothing. */
struct flight_era {
    uint64_t now;   /* the last moment of any */
    uint64_t since; /* the last one of all records of the model: no load that began before it will do */
};

/* The waiter is its owner's again; borrows the outcome for the call. NULL: the flight is late, and the waiter was content with what it
 * has. */
typedef void flight_done(struct flight_waiter *w, const struct flight_outcome *outcome);

/* Embed it; set the first part. */
struct flight_waiter {
    flight_done *done;
    bool content; /* has a stale record at hand: waits no longer than until the flight is late */
    struct flight_era era;
    bool at_the_end;  /* set by flight_join: the load is over, and what it has brought is being stored */
    struct list link; /* the rest is private */
    struct flight_port *port;
    struct flight *flight;
    struct flight_outcome *outcome;
    unsigned stripe;
    bool called; /* the letter lies in the box */
};

struct flights *flights_new(void);
void flights_free(struct flights *f); /* no flight may be left */

struct flight_port *flight_port_open(struct flights *f, uv_loop_t *loop);
void flight_port_close(struct flight_port *p); /* no waiter may be left; frees itself when its handle has closed */

/* The loop of the port's worker; the failures that all workers remember, and which of their loads wait for which. */
uv_loop_t *flight_loop(const struct flight_port *p);
struct backoff *flight_backoff(const struct flight_port *p);
struct waits *flight_waits(const struct flight_port *p);

/* How many flights and writes have ended in this key's stripe. Take it before a look-up in the store: when it has changed by the
 * time the look-up has missed, someone may just have stored the record, and what he stored must be found. */
unsigned flight_landings(struct flight_port *p, struct slice key);

enum flight_role {
    FLIGHT_LEAD, /* the caller's worker must load and call flight_land with *flight; the waiter waits too */
    FLIGHT_WAIT, /* someone loads already */
    FLIGHT_FULL, /* too many waiters or flights: OVERLOADED; the waiter waits for nothing */
    FLIGHT_LATE, /* someone has been loading for long, and the waiter is content; it waits for nothing */
};

#define FLIGHT_WAITERS_MAX 65536
#define FLIGHTS_MAX        65536

/* Joins or founds the flight of `key` (copied). */
enum flight_role flight_join(struct flight_port *p, struct slice key, struct flight_waiter *w, struct flight **flight);

/* Founds the flight of `key` for nobody who waits: a record is loaded behind an answer. NULL: someone loads already, or there are too
 * many. */
struct flight *flight_found(struct flight_port *p, struct slice key, struct flight_era era);

/* The leader says that it takes long: whoever is content with what it has is called now, and from now on does not wait. */
void flight_late(struct flight *f);

/* The waiter leaves; done will not be called. */
void flight_leave(struct flight_waiter *w);

/* What is done with records of one key, chained behind the first one that is in the stripe's map. Private. */
struct flight_link {
    struct slice key;
    struct flight_link *next;
};

/* A save or delete of one record, from before it is sent to the store until the store has answered. What was loaded without it must
 * not end on top of it: a load under way answers its waiters but does not store, nor does one that is founded meanwhile. */
struct flight_write {
    struct flight_link link; /* private, both */
    unsigned stripe;
};

/* Begins a write; keeps key until flight_write_end. False: a load is storing this record just now; `w` waits until it has landed,
 * and then the caller begins again. */
bool flight_write_begin(struct flight_port *p, struct slice key, struct flight_write *write, struct flight_waiter *w);

/* Whoever asks from now on starts anew, and who has looked in the store before looks again. Failures of loads are forgotten. */
void flight_write_end(struct flight_port *p, struct flight_write *write);

/* A leader that waits for another gateway watches the record: `waiter.done`, which it sets, is called on its own loop, without an outcome, soon after
 * flights_tell has named the key; and again, when it has said flight_watch_on. Keeps key until flight_watch_end. */
struct flight_watch {
    struct flight_waiter waiter;
    struct flight_link link; /* private */
};

void flight_watch_begin(struct flight_port *p, struct slice key, struct flight_watch *watch);
void flight_watch_on(struct flight_port *p, struct flight_watch *watch);
void flight_watch_end(struct flight_port *p, struct flight_watch *watch);

/* The record of this key may have changed, or its lease, by whatever process. Any thread; costs next to nothing while nobody watches. */
void flights_tell(struct flights *f, struct slice key);

/* Turns, on all workers together, in the order in which they are asked for. Those who read a record, change it and write it back take turns
 * at its key: without that, whoever is a little slower than the others would find the record changed every time. Loads take turns at
 * their model, of which there may be several at once. */
enum flight_turn {
    TURN_NOW,   /* it is the caller's turn, until flight_turn_end */
    TURN_LATER, /* w's done is called when it is, without an outcome */
    TURN_NEVER, /* too many wait: OVERLOADED */
};

/* How long a line may get. One that empties from time to time is a buffer of bursts, and may be long; one that stands is overload, and to wait in it
 * serves nobody: whoever comes must wait as long as it is, for ever. Queues of networks tell the two apart by the clock (CoDel); here turns are
 * counted, which holds for turns of any length. */
struct flight_line_bounds {
    unsigned at_once;  /* how many have the turn together */
    unsigned burst;    /* how many may wait */
    unsigned stands;   /* after so many turns in a row behind each of which somebody waited, the line stands, */
    unsigned standing; /* and so many may wait, until it is empty again */
};

/* Copies key. */
enum flight_turn flight_turn_take(struct flight_port *p, struct slice key, const struct flight_line_bounds *bounds,
                                  struct flight_waiter *w);
void flight_turn_end(struct flight_port *p, struct slice key);

/* Gives up waiting. A turn that has come meanwhile, and whose call has not, is ended. */
void flight_turn_leave(struct flight_port *p, struct slice key, struct flight_waiter *w);

/* The leader asks this before it stores; on true, writes wait until the flight has landed. */
bool flight_may_store(struct flight *f);

/* The leader's duty, once: ends the flight and posts the outcome to all waiters, whose done is called from their own loop's turn,
 * never within this call. Takes the outcome. */
void flight_land(struct flight *f, struct flight_outcome *outcome);

#endif
