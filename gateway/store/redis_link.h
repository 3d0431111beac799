/* store/redis_link.h -- one attempt to have a connection: from a host's name to a server that has let us in and is ready.
 *
 * Where there are sentinels it asks them who is master. Looks the name up, tries its addresses, first the one after that which was silent
 * last time, then greets: AUTH, SELECT, PING, and ROLE of whom sentinels have named. Only when all are answered well it is ready. Has no deadline of its own.
 *
 * Whom sentinels have named is asked for its role again before a command when that was a second ago, and after each READONLY: a master that has
 * been demoted ends the connection, before what follows is answered. Private to store/redis*.c, store/tracking.c and script/redis*.c. */
#ifndef PERIGEE_STORE_REDIS_LINK_H
#define PERIGEE_STORE_REDIS_LINK_H

#include "store/redis.h"
#include "store/redis_reply.h"

struct redis_link;

/* Why there is no connection: the sentence is good for the call. */
struct redis_loss {
    const char *why;
    bool refused_us;     /* our credentials were: do not hammer */
    bool wants_password; /* and was given none */
};

struct redis_link_events {
    void (*ready)(void *arg);                            /* now commands may be sent */
    void (*reply)(void *arg, struct redis_reply *reply); /* to the oldest of them */
    void (*lost)(void *arg, struct redis_loss loss);     /* it came to its end, and is freed */
    void (*changed)(void *arg, struct slice key);        /* as struct redis_pushes has both, or NULL */
    void (*hearing)(void *arg, bool hearing);
};

/* Starts an attempt; keeps config, puts sentinels there in another order, and counts there the addresses that were silent. NULL when it failed
 * at once: then nothing is called, and `why` says what it was. */
struct redis_link *redis_link_open(uv_loop_t *loop, struct redis_config *config, const struct redis_link_events *events,
                                   void *arg, char why[128]);

/* Ends and frees it; nothing is called any more. */
void redis_link_close(struct redis_link *l);

/* What it waits for when its time is over: a sentence for the log. */
const char *redis_link_late(const struct redis_link *l);

/* Queues a command: one that was put together before, or one out of its words; only when ready. */
void redis_link_send(struct redis_link *l, struct redis_question question, sds command);
void redis_link_ask(struct redis_link *l, struct redis_question question, int argc, const struct slice *argv);

/* As redis_socket_writes; only when ready. */
uint64_t redis_link_writes(const struct redis_link *l);

/* Bytes that the socket did not take yet; only when ready. */
size_t redis_link_unsent(const struct redis_link *l);

/* Answers what has arrived, without waiting for the loop to say so; only when ready. l may be gone after. */
void redis_link_read(struct redis_link *l);

/* Which server it is, where it may be another one with each attempt: whom sentinels have named. Else 0. */
uint64_t redis_link_server(const struct redis_link *l);

int redis_link_fd(const struct redis_link *l); /* its socket; only when ready */

#endif
