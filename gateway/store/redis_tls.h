/* store/redis_tls.h -- TLS on one socket that somebody else connects, polls and closes: a handshake, then bytes in and out.
 *
 * Nothing here blocks. What is read from the socket is given to OpenSSL in whole records, so it is always known whether something of what the
 * server has sent is still on its way through here. Private to store/redis_socket.c. */
#ifndef PERIGEE_STORE_REDIS_TLS_H
#define PERIGEE_STORE_REDIS_TLS_H

#include "store/redis_config.h"

#include <sys/types.h>

struct redis_tls_session;

/* A client's, with a server that is reached as `host` ("" on no TCP); reads the files of `tls` anew. NULL, and why. */
struct redis_tls_session *redis_tls_new(const struct redis_tls *tls, const char *host, char why[128]);
void redis_tls_free(struct redis_tls_session *t);

/* Goes on with the handshake on the connected socket. */
enum redis_tls_progress { TLS_WAITS, TLS_DONE, TLS_FAILED };
enum redis_tls_progress redis_tls_shake(struct redis_tls_session *t, int fd);

/* As recv and send go: how many bytes, 0 for none now, -1 when it has ended. */
ssize_t redis_tls_read(struct redis_tls_session *t, int fd, char *p, size_t n);
ssize_t redis_tls_write(struct redis_tls_session *t, int fd, const char *p, size_t n);

/* Nothing was asked: is nothing there? After this, what belongs to a record that has begun already is not read as an answer. */
bool redis_tls_is_quiet(struct redis_tls_session *t, int fd);

/* Something was taken from the socket that was not read yet; the rest of it may not have come. */
bool redis_tls_holds(const struct redis_tls_session *t);

/* Can something of it be read now? */
bool redis_tls_can_read(const struct redis_tls_session *t);

/* Sealed bytes wait for the socket to take them. */
bool redis_tls_must_write(const struct redis_tls_session *t);

/* Says goodbye, as far as the socket takes it. */
void redis_tls_end(struct redis_tls_session *t, int fd);

/* Why it has failed, or "". */
const char *redis_tls_fault(const struct redis_tls_session *t);

#endif
