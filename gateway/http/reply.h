/* http/reply.h -- an answer: status, header lines, and a body in slices that are never joined.
 *
 *     reply_begin(&ex->reply, 200);
 *     reply_header(&ex->reply, "ETag", etag);
 *     reply_body(&ex->reply, blob_slice(b), b);         // takes the reference
 *     exchange_reply(ex);                               // http/connection.h: once, ends the exchange
 */
#ifndef PERIGEE_HTTP_REPLY_H
#define PERIGEE_HTTP_REPLY_H

#include "base/arena.h"
#include "base/blob.h"
#include "base/buffer.h"

#include <stdint.h>

struct reply_piece {
    struct slice bytes;
    struct blob *blob; /* one reference, given back when the bytes are sent; NULL: the arena's or static */
};

struct reply {
    struct arena *arena;
    int status;
    bool close; /* close the connection after this answer */
    bool gzip;  /* the body is to be compressed before it is sent (coding.h), which is its owner's to do */
    bool head;  /* an answer to HEAD: Content-Length of the body, and no body */
    struct buffer head_lines; /* "Name: value\r\n"...; in `first`, then in the arena: to be read, not to be grown */
    struct reply_piece *piece;
    size_t pieces, cap;
    size_t body_bytes;
    char first[256]; /* room in which head_lines starts (most answers fit) -- private */
};

void reply_init(struct reply *r, struct arena *arena);
void reply_deinit(struct reply *r); /* gives back blobs not yet sent */

void reply_begin(struct reply *r, int status); /* forgets all that was said before */

/* Adds a header line. The value is copied; bytes below 0x20 other than HTAB, and 0x7f, become '?', so that no value can
 * split the answer. Content-Length, Date and Connection are the connection's and must not be given. */
void reply_header(struct reply *r, const char *name, struct slice value);

/* Adds a whole line, with its CRLF, that is ours and not a stranger's: as it is. */
void reply_line(struct reply *r, struct slice line);

void reply_headerf(struct reply *r, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Adds bytes to the body. With a blob: takes that reference. Without: the bytes must live in the exchange's arena or be
 * static. Empty slices are fine. */
void reply_body(struct reply *r, struct slice bytes, struct blob *blob);

/* These bytes become the body, whole; takes the reference. */
void reply_replace_body(struct reply *r, struct blob *body);

const char *http_reason(int status); /* "Not Found" */

#endif
