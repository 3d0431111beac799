/* serve/cors.h -- which pages of other origins may read answers in a browser (the CORS protocol of the Fetch standard). Off where no origin is
 * named. Never with credentials that a browser adds by itself, cookies and the like: a page that has a token sends it in Authorization. */
#ifndef PERIGEE_SERVE_CORS_H
#define PERIGEE_SERVE_CORS_H

#include "http/connection.h"

/* Borrows the origins: "https://app.example", or "*" alone for all. */
struct cors {
    const char *const *origin;
    size_t n; /* 0: off */
};

/* Is this an origin as browsers send it, or "*"? */
bool cors_origin_is_valid(struct slice origin);

/* A browser asks what a page may do, before it does that? It brings no token, so ask this first. */
bool cors_is_preflight(const struct http_request *request);

/* Begins the answer to it: the same for every path, so that it tells nothing of what is here. */
void cors_preflight(const struct cors *c, struct exchange *ex);

/* Adds to an answer of any kind what lets the page read it, and its headers. */
void cors_permit(const struct cors *c, struct exchange *ex);

#endif
