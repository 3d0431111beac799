/* script/socket_watch.h -- a socket that a library owns, watched on the worker's loop. Close it before the library closes the
 * socket. */
#ifndef PERIGEE_SCRIPT_SOCKET_WATCH_H
#define PERIGEE_SCRIPT_SOCKET_WATCH_H

#include "script/host_internal.h"

struct socket_watch;

/* Watches for nothing yet. `ready` gets the events that have come; after an error it gets UV_READABLE, so that a read finds it. */
struct socket_watch *socket_watch_open(struct script_host *h, int fd, void (*ready)(void *arg, int events), void *arg);
void socket_watch_for(struct socket_watch *w, int events); /* UV_READABLE, UV_WRITABLE, both */
void socket_watch_close(struct socket_watch *w);           /* NULL is fine; holds the host until the handle is closed */

#endif
