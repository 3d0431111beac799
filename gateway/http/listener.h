/* http/listener.h -- addresses to listen on: parsing, binding, printing. One socket a worker, sharing a port by
 * SO_REUSEPORT; a unix socket is bound once and its descriptor duplicated. */
#ifndef PERIGEE_HTTP_LISTENER_H
#define PERIGEE_HTTP_LISTENER_H

#include "base/slice.h"
#include "base/status.h"

struct listener {
    char address[256]; /* as bound: "127.0.0.1:3633" (the real port, also for :0), "[::1]:80", "unix:/path" */
    bool is_unix;
    int *fd; /* n bound sockets, each to be taken by one http_server_listen; -1 once taken */
    size_t n;
};

/* Binds `address` n times: "host:port", ":port" (127.0.0.1), "[v6]:port", "unix:/path" (mode 0660, set before anyone can
 * connect; a stale socket file that nobody answers on is replaced, any other file is not). Host is a numeric address or
 * "localhost". A port that anyone listens on already is refused, although SO_REUSEPORT would allow it.
 * MALFORMED_REQUEST for an address that cannot be read, STORE_UNAVAILABLE never; INTERNAL with the system's words when it
 * cannot be bound. */
enum status listener_bind(struct listener *l, struct slice address, size_t n, struct problem *why);

/* Closes what was not taken; removes a unix socket's file. */
void listener_close(struct listener *l);

#endif
