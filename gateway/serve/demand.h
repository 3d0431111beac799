/* serve/demand.h -- how far a read is to look, and what of that it takes: the request's Cache-Control (RFC 9111 5.2.1), or its Pragma
 * where it has none. Pure. */
#ifndef PERIGEE_SERVE_DEMAND_H
#define PERIGEE_SERVE_DEMAND_H

#include "http/request.h"
#include "model/envelope.h"
#include "serve/life.h"

enum fetch_mode {
    FETCH_LOAD,   /* look, then load */
    FETCH_LOOK,   /* look only: HEAD, only-if-cached */
    FETCH_RELOAD, /* load without looking: no-cache (a model without a loader is looked up) */
};

struct demand {
    enum fetch_mode mode;
    bool only_if_cached;
    bool is_picky;         /* not everything that is of use will do: what is found is to be judged */
    bool takes_stale;      /* the rest is of a picky one: max-stale is there */
    uint64_t max_stale_ms; /* then this is how far beyond its freshness; CLOCK_NEVER: however far */
    uint64_t max_age_ms;   /* younger than this; CLOCK_NEVER: any age */
    uint64_t min_fresh_ms; /* fresh for so much longer */
};

/* Of who takes all that the model answers; of who wants it loaded now. */
extern const struct demand demand_nothing, demand_anew;

/* What the client asks. HEAD looks only, and takes all that is there, unless only-if-cached makes it the head of such a GET. `may_refresh`:
 * else max-age and min-fresh, which can make a loader work before its time, are passed over. */
struct demand demand_of(const struct http_request *request, bool may_refresh);

/* What a record, result or negative is good for that is in this life, LIFE_DEAD excluded. */
enum use {
    USE_NOW,          /* answer it */
    USE_IF_NO_BETTER, /* load a better one, and answer it where that fails or takes too long */
    USE_NOT,          /* load a better one, or fail */
};

/* Where nobody loads there is nothing better to have. */
enum use demand_use(const struct demand *demand, const struct model *m, const struct envelope *e, enum life life,
                    uint64_t now_ms);

/* Does it take this one? */
bool demand_takes(const struct demand *demand, const struct envelope *e, uint64_t now_ms);

/* Takes one directive off the front of a Cache-Control header; an argument comes without its quotes, and is absent where there is none.
 * False: there are no more. */
bool demand_directive(struct slice *rest, struct slice *name, struct slice *argument);

#endif
