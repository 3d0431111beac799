/* serve/serve.h -- READ FIRST. One worker's service: requests come in from http/, go down through route, fetch, flight and save
 * to the stores and the loaders, and come back as one reply. This file has the structs they share; serve.c tells the story. */
#ifndef PERIGEE_SERVE_SERVE_H
#define PERIGEE_SERVE_SERVE_H

#include "base/map.h"
#include "base/metrics.h"
#include "http/connection.h"
#include "script/vm.h"
#include "serve/access.h"
#include "serve/compress.h"
#include "serve/cors.h"
#include "serve/flight.h"
#include "serve/route.h"
#include "store/store.h"

/* How a request ended, for the metric: a status, or one of the good ends that OK is too coarse for. */
/* clang-format off */
#define OUTCOME_MAP(X)                   \
    X(OUTCOME_HIT,       "hit")          \
    X(OUTCOME_STALE,     "stale")        \
    X(OUTCOME_LOADED,    "loaded")       \
    X(OUTCOME_COLLAPSED, "collapsed")    \
    X(OUTCOME_SAVED,     "saved")        \
    X(OUTCOME_DELETED,   "deleted")
/* clang-format on */

enum outcome {
    OUTCOME_STATUSES = STATUS_COUNT - 1, /* the values below it are enum status */
#define X(outcome, label) outcome,
    OUTCOME_MAP(X)
#undef X
        OUTCOMES
};

/* A text about the models, made when it is first asked for (describe.h). */
struct description {
    struct blob *text; /* NULL: not yet */
    uint64_t tag;
};

/* One generation of models on one worker. Requests that wait hold a reference, so that a reload swaps the models under nobody:
 * the old vm is retired when its last request has been answered. */
struct generation {
    unsigned refs;
    struct list link; /* in serve->generations */
    struct vm *vm;
    struct map models;      /* name -> struct served * */
    struct served **served; /* the same by model->index */
    struct description list, openapi;
};

/* A model as this worker serves it: with its counters, found once. */
struct served {
    const struct model *model;
    struct generation *generation;
    struct description schema;
    struct counter *requests[OPERATIONS][OUTCOMES]; /* made at first use */
    struct counter **references;                    /* by field and enum edge_outcome (document.h); made at first use */
    struct counter *damaged;
    struct counter *outdated[2]; /* by enum epoch_mode */
    epoch_id epoch;              /* of its name, or its owner's: what invalidates all of it */
    struct counter *loads_inflight;
    struct counter *loads[STATUS_COUNT];
    struct histogram *load_time;
};

struct serve {
    struct generation *now;  /* what new requests see */
    struct list generations; /* all that live, the newest last */
    struct served nobody;    /* counts requests that name no model of ours */
    struct store *store;
    const char *store_detail; /* where a hit was found: "memory" or "redis" */
    struct flight_port *flights;
    struct list fills;    /* flights that this worker leads */
    struct list vettings; /* saves about which handlers are asked */
    bool stopping;        /* no handler is asked about a save any more */
    uint64_t chance;      /* state of serve_chance */
    struct gate gate;     /* who may ask */
    struct compress compress;
    struct cors cors;
    struct metrics *metrics;
    struct histogram *request_time[OPERATIONS];
};

/* Borrows all; takes vm (attached to this worker's host already). Asks for no tokens until gate_set(&s->gate, ...). */
void serve_init(struct serve *s, struct vm *vm, struct store *store, const char *store_detail,
                struct flight_port *flights, struct metrics *metrics);

/* New requests see `vm`'s models from now on, and are judged by these tokens (NULL: by none); takes both. */
void serve_swap(struct serve *s, struct vm *vm, struct tokens *tokens);

/* Before http/ closes, which waits for saves: those that handlers are asked about end in OVERLOADED, now and from now on. */
void serve_stop_saves(struct serve *s);

/* After it: ends the loads that are under way. Whoever waits for one gets OVERLOADED. */
void serve_stop(struct serve *s);

/* Nothing may be under way. */
void serve_deinit(struct serve *s);

/* http_config.handler: answers one request, now or later. ex->owner is the struct serve. */
void serve_request(struct exchange *ex);

/* Answers a POST with this record loaded anew, as GET does with no-cache; counted as OP_REFRESH. Keeps key and view until then: they lie in the
 * exchange's arena. */
struct view;
void serve_anew(struct exchange *ex, struct served *served, const struct record_key *key, const struct view *view);

/* The one way out: counts the answer in ex->reply and sends it. `served` NULL: no model. */
void serve_reply(struct exchange *ex, struct served *served, enum operation op, enum outcome outcome);

/* 64 random bits, good for jitter and not for secrets: SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators,
 * OOPSLA 2014). */
static inline uint64_t serve_chance(struct serve *s)
{
    uint64_t z = s->chance += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* The model as it is served in the same generation. */
static inline struct served *served_of(const struct generation *g, const struct model *m)
{
    return g->served[m->index];
}

/* The generation whose models these are; it lives. */
struct generation *generation_of(const struct serve *s, const struct vm *vm);
struct generation *generation_ref(struct generation *g);
void generation_unref(struct generation *g);

#endif
