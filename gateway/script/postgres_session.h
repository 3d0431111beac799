/* script/postgres_session.h -- one connection to a PostgreSQL server: made, and then one query at a time. Never blocks. Knows no Lua.
 *
 * To stop a query is to close its connection. libpq's own way to cancel blocks, on a connection of its own and for as long as
 * the server pleases, and what it sends may hit the statement after the one that was meant. A server (14 and later) is asked to
 * look every quarter of a second whether we are still there, and ends what nobody waits for. */
#ifndef PERIGEE_SCRIPT_POSTGRES_SESSION_H
#define PERIGEE_SCRIPT_POSTGRES_SESSION_H

#include "script/host_internal.h"
#include "script/postgres_pool.h"
#include "script/postgres_url.h"

struct postgres_session;

struct postgres_session_events {
    void (*ready)(void *arg);                 /* connected, or through with its query: takes one now */
    void (*lost)(void *arg, const char *why); /* it came to its end, and is freed; `why` is good for the call */
};

/* Starts to connect; keeps url. */
struct postgres_session *postgres_session_open(struct script_host *h, const struct postgres_url *url,
                                               const struct postgres_session_events *events, void *arg);

/* Is one that is ready still so, by all that has come from the server? */
bool postgres_session_alive(struct postgres_session *s);

/* Fills the second part of q before `ready` or `lost`. Only when ready, one at a time. */
void postgres_session_run(struct postgres_session *s, struct postgres_query *q);

/* Ends and frees it, whatever it does; nothing is called any more. */
void postgres_session_close(struct postgres_session *s);

#endif
