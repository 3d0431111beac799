/* serve/compress.h -- answers in gzip, for who would have them so: chosen before the head is made, since tag and headers tell of it; done when
 * the whole is there, large ones on a thread of uv's pool, so that no other request of the worker waits. */
#ifndef PERIGEE_SERVE_COMPRESS_H
#define PERIGEE_SERVE_COMPRESS_H

#include "http/coding.h"
#include "http/connection.h"

/* One a worker. */
struct compress {
    uint64_t min;      /* bytes of a body, from which on it is worth while; 0: never */
    struct gzip *gzip; /* made at first use */
};

void compress_deinit(struct compress *c);

/* Shall an answer of so many bytes be compressed? The same answers differ by this and by nothing else: Vary says so. */
bool compress_chosen(const struct compress *c, const struct exchange *ex, size_t bytes);

/* Adds Vary where such an answer depends on Accept-Encoding. */
void compress_vary(const struct compress *c, struct reply *reply, size_t bytes);

/* Adds Content-Encoding: the body, once it is there, is to be compressed. */
void compress_mark(struct reply *reply);

/* exchange_reply, compressed where it was marked so. */
void compress_send(struct compress *c, struct exchange *ex, uv_loop_t *loop);

#endif
