/* script/host.h -- what handlers reach through a worker: its loop, the HTTP client with its kept-alive connections, the
 * SQLite pool, the watchdog, metrics. Outlives reloads: one a worker, shared by the vm before and after. */
#ifndef PERIGEE_SCRIPT_HOST_H
#define PERIGEE_SCRIPT_HOST_H

#include "base/metrics.h"

#include <uv.h>

struct script_host;
struct ask_gateway;

/* Borrows loop and metrics. Call on the thread that will run the loop: the watchdog signals that thread. */
struct script_host *script_host_open(uv_loop_t *loop, struct metrics *metrics);

/* Whom handlers ask for records (script/ask.h); borrowed. Without one they are told that there is nobody to ask. */
void script_host_set_gateway(struct script_host *h, const struct ask_gateway *gateway);

/* All HTTP requests of handlers go to this unix socket, for tests of models; borrowed. NULL, as at first: to where they say. */
void script_host_divert_http(struct script_host *h, const char *socket);

/* After all vms are gone; `closed` is called later, once, when no handle is left on the loop. */
void script_host_close(struct script_host *h, void (*closed)(void *arg), void *arg);

#endif
