/* script/postgres_dial.h -- one attempt to connect to a PostgreSQL server, without blocking: names are looked up by libuv, since libpq
 * would wait for them. */
#ifndef PERIGEE_SCRIPT_POSTGRES_DIAL_H
#define PERIGEE_SCRIPT_POSTGRES_DIAL_H

#include "script/host_internal.h"
#include "script/libpq.h"
#include "script/postgres_url.h"

struct postgres_dial;

/* The attempt is over, and freed: a connection that the callee now owns, or NULL and why, which is good for the call. */
typedef void postgres_dialled(void *arg, PGconn *pg, const char *why);

/* Keeps url. Has no deadline of its own. */
struct postgres_dial *postgres_dial_start(struct script_host *h, const struct postgres_url *url, postgres_dialled *done,
                                          void *arg);
void postgres_dial_cancel(struct postgres_dial *d); /* `done` is not called */

/* libpq's explanation of what is wrong with the connection: of the last address it tried, the first line; the others guess. Never has a
 * password. */
void postgres_explain(const PGconn *pg, char *why, size_t max);

#endif
