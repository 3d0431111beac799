/* script/http_transfer.h -- one attempt of an exchange in libcurl's terms: what is set on its handle, what the callbacks keep of the
 * answer, what libcurl's code means at the end. Knows no loop; http_client.c owns handles and time. */
#ifndef PERIGEE_SCRIPT_HTTP_TRANSFER_H
#define PERIGEE_SCRIPT_HTTP_TRANSFER_H

#include "script/http_client.h"

/* Before the first attempt of one that goes to the host's http_socket: there nobody speaks TLS, so https becomes a header that tells it. */
void http_transfer_divert(struct http_exchange *x);

/* Sets up x->easy, a handle without options; nothing is left of the attempt before. */
void http_transfer_prepare(struct http_exchange *x);

/* How it ended: fills status or failure. x->easy is still there. */
enum http_ending http_transfer_end(struct http_exchange *x, CURLcode code);

/* The answer's first field of that name, in lower case or not; absent when there is none. */
struct slice http_transfer_field(const struct http_exchange *x, struct slice name);

/* Adds n bytes that x holds to the sum of all; false where that would pass HTTP_BYTES_MAX. */
bool http_transfer_count(struct http_exchange *x, size_t n);

#endif
