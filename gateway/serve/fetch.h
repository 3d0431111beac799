/* serve/fetch.h -- one record by its key: from the store, or else from one flight of its loader. */
#ifndef PERIGEE_SERVE_FETCH_H
#define PERIGEE_SERVE_FETCH_H

#include "model/envelope.h"
#include "model/key.h"
#include "script/trail.h"
#include "serve/demand.h"
#include "serve/serve.h"
#include "serve/waits.h"

struct fetch;

/* The result is in *f; the owner reads it, then calls fetch_finish. */
typedef void fetch_done(struct fetch *f, enum status status);

enum fetch_source {
    SOURCE_NEAR,      /* found: a near copy */
    SOURCE_STORE,     /* found */
    SOURCE_STALE,     /* found; it should be newer, but it will do */
    SOURCE_LOADED,    /* this fetch led the load */
    SOURCE_COLLAPSED, /* another one did */
    SOURCE_NOWHERE,   /* not found, nobody asked to load */
};

/* Why it was loaded, that is, why nothing that was found would do. */
enum fetch_cause {
    CAUSE_REQUEST, /* something would, but for what the client demands; or it said not to look */
    CAUSE_STALE,   /* something was, but old */
    CAUSE_MISS,
};

/* What can be told of where an answer came from and how long it holds. */
struct freshness {
    enum fetch_source source;
    enum fetch_cause cause; /* of what was loaded */
    bool known;             /* the times are those of a record, or of a negative */
    bool stored;            /* it stands in the store, or does so now */
    uint64_t stored_ms, fresh_until_ms;
    uint64_t while_until_ms, error_until_ms; /* how long it may be used while it is loaded anew, and where that fails */
};

/* Embed it; set the first seven. While it is under way the owner holds a reference to served->generation. */
struct fetch {
    struct serve *serve;
    struct served *served;
    const struct record_key *key; /* kept until fetch_finish */
    const struct demand *demand;  /* kept likewise */
    uint64_t request;             /* the exchange's id: the log names it where a load fails */
    const struct trail *trail;    /* of the handler that asks; NULL: a client does */
    fetch_done *done;

    /* the result */
    uint64_t now_ms;       /* when it was judged last, which is when what is told of it is true: wall time */
    struct blob *blob;     /* OK: the record; MISSING: the negative, or NULL */
    struct envelope entry; /* a view into blob */
    enum fetch_source source;
    enum fetch_cause cause;
    bool stored;            /* a loaded record was kept */
    uint64_t load_us;       /* how long the load took that this fetch waited for; 0: none */
    struct problem problem; /* for failures */

    struct blob *old; /* what was found and would not do: given to fetch_load, one reference */
    enum use use;     /* ... and what it is good for still */

    /* private */
    struct store_op op;
    struct near_look near;
    struct flight_waiter waiter;
    struct wait wait; /* of the load that asks for this one */
    unsigned landings;
    bool waiting_for_store, waiting_for_flight, led, again;
};

/* OK, MISSING, or a failure now; or PENDING, and done later. `now_ms` is wall time. */
enum status fetch_start(struct fetch *f, uint64_t now_ms);

/* For owners who look in the store themselves, for many records at once; they take flight_landings of each key before that. */

/* What the store gave for this key, as a view into blob: OK for a record, result or negative that is of use still, *life tells of what use
 * (never LIFE_DEAD); MISSING for what is over or no envelope of ours; STORE_UNAVAILABLE for another record. What is OK is kept near, if it
 * is not from there; `near` is the look before. */
enum status fetch_open(struct serve *s, struct served *served, struct slice key, struct blob *blob, uint64_t now_ms,
                       const struct near_look *near, struct envelope *e, enum life *life);

/* The store is away: what was kept near of this key, if the model has stale_if_error and that has not run out since the record was last known to be
 * fresh: a reference, with a view into it whose freshness is over; or NULL. Nothing better can be stored, so it is answered before a loader is asked. */
struct blob *fetch_open_left(struct serve *s, struct served *served, struct slice key, uint64_t now_ms,
                             struct envelope *e);

/* Has a record loaded anew behind an answer, if nobody does so already. Borrows `old`, which was found. */
void fetch_refresh(struct serve *s, struct served *served, const struct record_key *key, uint64_t request,
                   struct blob *old);

/* What is known of invalidations now, for who asks for a load. */
struct flight_era fetch_era(const struct serve *s, const struct served *served);

/* The store had nothing that holds: what that makes of it, MISSING or a failure, where nobody can load. */
enum status fetch_nothing(enum status looked, struct problem *why);

/* Goes on with the load of what was not found, or would not do: PENDING, a failure, or OK where the old one must do. The model loads. */
enum status fetch_load(struct fetch *f, unsigned landings);

/* Where it was found; or is it stale? */
static inline enum fetch_source fetch_found_source(enum life life, const struct near_look *near)
{
    if (life == LIFE_STALE_WHILE || life == LIFE_STALE_ERROR) return SOURCE_STALE;
    return near->hit ? SOURCE_NEAR : SOURCE_STORE;
}

/* What a request came to that found, or was brought, a record: for the metric. */
enum outcome fetch_outcome(enum fetch_source source);

struct freshness fetch_freshness(const struct fetch *f);

/* Sets the four times of *fresh to those of this entry. */
void fetch_set_times(struct freshness *fresh, const struct model *m, const struct envelope *e);

/* Gives back what the fetch holds; cancels it when it is under way (done is not called then). */
void fetch_finish(struct fetch *f);

#endif
