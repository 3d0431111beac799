/* script/http_origin.h -- whose turn it is: the servers that a worker's handlers ask, and the requests that wait for a place at one.
 *
 * A place is the right to have a request under way, and so at most a connection. An origin has 64, a worker 256; who finds none waits, in
 * order of asking, and origins that wait take turns, so that one that hangs does not stop the others. libcurl never queues. Knows no
 * libcurl and no time. */
#ifndef PERIGEE_SCRIPT_HTTP_ORIGIN_H
#define PERIGEE_SCRIPT_HTTP_ORIGIN_H

#include "base/list.h"
#include "base/map.h"
#include "script/http_retry.h"

#define HTTP_ORIGINS_MAX         256  /* remembered by a worker: their budgets and queues */
#define HTTP_REQUESTS_MAX        1024 /* of a worker: waiting for a place, under way, or between two attempts */
#define HTTP_ORIGIN_REQUESTS_MAX 512  /* of these, to one origin */
#define HTTP_PLACES_MAX          256
#define HTTP_ORIGIN_PLACES_MAX   64

struct http_origin {
    struct slice name; /* "https://users.internal:443"; behind the struct */
    unsigned requests, places;
    struct list waiting; /* for a place */
    struct list turn;    /* in origins->turns, when it could give one to somebody */
    struct http_budget budget;
};

struct http_origins {
    struct map by_name;
    struct list turns;
    unsigned requests, places;
};

void http_origins_init(struct http_origins *o);
void http_origins_deinit(struct http_origins *o); /* when no request is left */

/* One request more to the origin of that name; NULL, and why, when there are too many. Until http_origins_leave. */
struct http_origin *http_origins_enter(struct http_origins *o, struct slice name, const char **why);
void http_origins_leave(struct http_origins *o, struct http_origin *origin);

/* Waits in line for a place; list_remove(waiting) leaves the line. */
void http_origin_wait(struct http_origins *o, struct http_origin *origin, struct list *waiting);

/* Who gets a place now: the `waiting` of http_origin_wait, in no list any more; NULL when there is no place, or nobody to have it. */
struct list *http_origins_next(struct http_origins *o);
void http_origin_give_back(struct http_origins *o, struct http_origin *origin);

#endif
