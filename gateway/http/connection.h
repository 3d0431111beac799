/* http/connection.h -- client connections of one event loop: accept, read, hand a whole request up, write the answer,
 * keep alive; every wait has a deadline, every queue a bound. Requests of one connection are answered in order, one at a time.
 *
 * An exchange is one request and its answer. The handler gets it once, complete with body, and must call exchange_reply exactly
 * once, now or later. When the client resets the connection first, `on_gone` is called (once, if set): after it the exchange is
 * the connection's again and exchange_reply must not be called. Without on_gone the handler never learns, answers as ever,
 * and the answer goes nowhere. A client that only half-closes still gets its answer.
 *
 * The process must ignore SIGPIPE.
 */
#ifndef PERIGEE_HTTP_CONNECTION_H
#define PERIGEE_HTTP_CONNECTION_H

#include "base/arena.h"
#include "base/metrics.h"
#include "base/status.h"
#include "http/parse.h"
#include "http/reply.h"
#include "http/request.h"

#include <stdatomic.h>
#include <uv.h>

struct http_server;
struct http_connection;

struct exchange {
    struct http_request request;
    struct reply reply;
    struct arena arena;                   /* all that lives as long as this exchange */
    uint64_t started_us;                  /* clock_mono_us when the request was complete */
    uint64_t id;                          /* unique in the process; in logs and problem bodies */
    void *owner;                          /* http_config.owner */
    void (*on_gone)(struct exchange *ex); /* set by the handler when it answers later; NULL: nothing to undo */
    void *user;                           /* the handler's */
    struct http_connection *connection;   /* private */
};

typedef void exchange_handler(struct exchange *ex);

/* Answers a request that was refused before it became one (bad syntax, too large, timeout): fills `reply`, which is
 * begun with the right status. Must not keep anything. NULL: an empty body. */
typedef void refusal_writer(void *owner, enum status why, struct reply *reply);

struct http_config {
    struct http_parse_limits limits;
    uint64_t header_timeout_ms; /* from the first byte (or the accept) to the end of the head; then 408 and close */
    uint64_t body_timeout_ms;   /* between the head and the end of the body, at a minimum of 1 KiB/s beyond it */
    uint64_t idle_timeout_ms;   /* between requests; then close */
    uint64_t send_timeout_ms;   /* without progress of a write; then reset */
    size_t
        client_bytes; /* of bodies under way and answers unsent, beside one of either; then the slowest go. 0 = no limit */
    unsigned max_requests;    /* a connection, then Connection: close; 0 = no limit */
    unsigned max_connections; /* of all servers that share `open`; beyond it: 503, Retry-After: 1, close */
    _Atomic unsigned *open;   /* shared count; must outlive the server */
    exchange_handler *handler;
    refusal_writer *refused;
    void *owner;
    struct metrics *metrics; /* counts connections and refusals; may be NULL */
};

/* Borrows the loop; copies the config. Never fails. */
struct http_server *http_server_new(uv_loop_t *loop, const struct http_config *config);

/* Accepts from a bound, listening or not yet listening socket (TCP or unix); takes the descriptor.
 * Returns 0 or a negative uv error (then the descriptor is closed). */
int http_server_listen(struct http_server *s, int fd);

/* Stops accepting and makes every answer from now on the last of its connection. Who asks nothing more is closed soon. */
void http_server_drain(struct http_server *s);

/* Open connections of this server. */
unsigned http_server_connections(const struct http_server *s);

/* Closes everything at once (exchanges in flight get on_gone); `closed` is called, later and once, when no handle is
 * left and no handler without on_gone still owes an answer; the server is gone by then. */
void http_server_close(struct http_server *s, void (*closed)(void *arg), void *arg);

/* Sends ex->reply and ends the exchange; neither may be touched after. May be called from within the handler. */
void exchange_reply(struct exchange *ex);

#endif
