/* http/coding.h -- content codings: would a client have gzip, and a reply's body in it (RFC 9110 8.4, 12.5.3; RFC 1952). */
#ifndef PERIGEE_HTTP_CODING_H
#define PERIGEE_HTTP_CODING_H

#include "http/reply.h"
#include "http/request.h"

/* Does Accept-Encoding take gzip, and like it no less than what is not encoded? Who says nothing gets nothing encoded, and so does HTTP/1.0. */
bool coding_wants_gzip(const struct http_request *request);

/* Memory to compress with, for one thread at a time: 260 KiB. */
struct gzip;
struct gzip *gzip_new(void);
void gzip_free(struct gzip *g); /* NULL is fine */

/* The body as one gzip member; returns a new reference. Reads the reply only: another thread may do so while nobody writes it. */
struct blob *gzip_body(struct gzip *g, const struct reply *reply);

#endif
