/* serve/gather.h -- the records of one reading: each known by its key, however often it is met; looked up together with all others that are
 * wanted by then, near copies first and the rest in one batched read of the store; loaded, all at once, where the store has none. */
#ifndef PERIGEE_SERVE_GATHER_H
#define PERIGEE_SERVE_GATHER_H

#include "serve/fetch.h"

struct record {
    struct served *served;
    uint64_t hash;                /* of model and pairs */
    struct slice stored, pairs;   /* its key */
    const struct record_key *key; /* the same with its values; NULL: they are in the stub */
    struct slice stub;            /* of the reference that was met first */
    unsigned landings;            /* of its key's flights, before the store was asked */
    struct near_look near;        /* before it, too */
    bool wanted;                  /* or asked for already */

    /* once it is there */
    enum status status;            /* OK, MISSING or a failure */
    const struct problem *problem; /* of a failure */
    struct blob *blob;             /* of the record or negative, or NULL */
    struct envelope entry;         /* a view into blob, whose references fit the model */
    enum fetch_source source;
    enum fetch_cause cause;
    bool kept;
    uint64_t waited_us,
        load_us; /* for it, from the beginning of its level; of these, by its loader: only where gather->timed */

    struct record *next, *next_wanted; /* private */
    const struct reply *reply;         /* compose.c's: the last one that was given a reference to blob */
    unsigned mark;                     /* resolve.c's */
};

struct gather;
typedef void gather_done(struct gather *g);

/* Embed it; set the first part, the rest is cleared. */
struct gather {
    struct serve *serve;
    struct generation *generation;
    struct arena *arena;         /* lives until gather_finish; so do the texts that records were named by */
    const struct demand *demand; /* kept */
    uint64_t request;            /* for the log */
    const struct trail *trail;
    bool timed; /* somebody wants to know how long it took */
    gather_done *done;
    uint64_t began_us; /* its last start, where timed */

    /* private */
    struct record **slot; /* open addressing: by model and pairs */
    size_t slots, records;
    struct record *all, *wanted, *last_wanted;
    size_t n_wanted;
    struct look *looks;
    struct loading *loadings;
    size_t waiting; /* looks and loads under way */
};

/* The record of this key; kept until gather_finish. */
struct record *gather_root(struct gather *g, struct served *served, const struct record_key *key);

/* The record that a stub refers to. */
struct record *gather_target(struct gather *g, const struct model *target, struct slice pairs, struct slice stub);

/* It is to be read by the next gather_start, unless it has been. */
void gather_want(struct gather *g, struct record *record);

/* OK: all that was wanted is there; PENDING: it is when done is called. */
enum status gather_start(struct gather *g, uint64_t now_ms);

/* Gives back what they hold; cancels what is under way (done is not called then). */
void gather_finish(struct gather *g);

#endif
