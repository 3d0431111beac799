/* serve/terms.h -- what a write asks beside the record itself: media type, the record's life, and how it wants to be answered; PUT and PATCH
 * read the same terms. */
#ifndef PERIGEE_SERVE_TERMS_H
#define PERIGEE_SERVE_TERMS_H

#include "http/reply.h"
#include "http/request.h"
#include "model/key.h"
#include "serve/route.h"

struct terms {
    bool has_life;
    uint64_t life_ms; /* what the request says: `_expires` beats Cache-Control: max-age */
    bool cascade;     /* records inside the record are saved too: `_cascade=1` */
    bool represent;   /* the answer repeats the record: Prefer: return=representation (RFC 7240) */
    bool minimal;     /* or it was asked not to, as it does by itself: return=minimal */
};

/* For operations that take no condition (serve/condition.h), which must never be passed over: NOT_IMPLEMENTED. */
enum status terms_unconditional(const struct http_request *request, struct problem *why);

/* The body is JSON as far as its headers say, else UNSUPPORTED_MEDIA. */
enum status terms_media(const struct http_request *request, struct problem *why);

/* Reads the rest; `option` is what key_parse_query has left. OP_PUT knows `_cascade`, OP_PATCH does not. */
enum status terms_read(const struct http_request *request, enum operation op, const struct query_option *option,
                       size_t n, struct terms *terms, struct problem *why);

/* Completes the answer to a write of this sealed record: its tag, and the record where that was asked. */
void terms_answer(const struct terms *terms, struct reply *reply, struct blob *blob);

#endif
