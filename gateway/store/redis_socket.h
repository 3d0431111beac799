/* store/redis_socket.h -- one connection to one address, from connect to its end: hiredis' asynchronous context on libuv, in clear or over TLS.
 *
 * What is sent in one turn of the loop leaves in one write, just before the loop waits again. Replies come in the order of
 * the questions, each to `reply`; when the connection ends by itself, `lost` is called once and that was the last call.
 * Private to store/redis*.c. */
#ifndef PERIGEE_STORE_REDIS_SOCKET_H
#define PERIGEE_STORE_REDIS_SOCKET_H

#include "store/redis_reply.h"

#include <uv.h>

struct redis_socket;

struct redis_socket_events {
    void (*opened)(void *arg); /* connected, and over TLS sure of whom we speak with; send the greeting here */
    void (*reply)(void *arg, struct redis_reply *reply);
    void (*lost)(void *arg, const char *why); /* the socket frees itself; `why` is good for the call */
};

struct redis_socket_options {
    const char *ip; /* a numeric address, or NULL: path */
    int port;
    const char *path;
    const struct redis_tls *tls; /* NULL, or not on: in clear */
    const char *host;            /* of TLS: whom ip is to be */
    size_t max_value;            /* a reply of this many bytes and REPLY_SLACK more ends the connection */
    const struct redis_socket_events *events;
    void *arg;
    struct redis_pushes pushes;
};

#define REPLY_SLACK (64u << 10)

/* Starts to connect. NULL when it failed at once: then `why` says so, and nothing is called. */
struct redis_socket *redis_socket_open(uv_loop_t *loop, const struct redis_socket_options *options, char why[128]);

/* Ends it; nothing is called any more. Frees itself when the loop comes round. */
void redis_socket_close(struct redis_socket *s);

/* Queues a command: one that is formatted already and may be any, or one out of its words that is none to subscribe or to monitor. */
void redis_socket_send(struct redis_socket *s, struct redis_question question, const char *command, size_t n);
void redis_socket_ask(struct redis_socket *s, struct redis_question question, int argc, const struct slice *argv);

/* Over TLS: connected, and not opened yet. */
bool redis_socket_is_shaking(const struct redis_socket *s);

int redis_socket_fd(const struct redis_socket *s);

/* How many writes there were: what was queued since the last one leaves together, behind it. */
uint64_t redis_socket_writes(const struct redis_socket *s);

/* Bytes that the socket did not take yet. */
size_t redis_socket_unsent(const struct redis_socket *s);

/* Reads what has arrived, without waiting for the loop to say so; only when opened. */
void redis_socket_read(struct redis_socket *s);

#endif
