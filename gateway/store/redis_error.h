/* store/redis_error.h -- how a command can fail, and what a server means by its error replies.
 * Private to store/redis*.c. */
#ifndef PERIGEE_STORE_REDIS_ERROR_H
#define PERIGEE_STORE_REDIS_ERROR_H

#include <stdbool.h>

/* The first part is ours, the second the server's word in lower case, where we know it. */
enum redis_outcome {
    OUTCOME_REFUSED,    /* not sent: there is no connection */
    OUTCOME_OVERLOADED, /* not sent: too many wait */
    OUTCOME_TIMEOUT,
    OUTCOME_LOST,
    OUTCOME_TOO_LONG,
    OUTCOME_ERROR, /* a word that is not below */
    OUTCOME_NOSCRIPT,
    OUTCOME_WRONGTYPE,
    OUTCOME_LOADING,
    OUTCOME_BUSY,
    OUTCOME_MASTERDOWN,
    OUTCOME_NOAUTH,
    OUTCOME_DENIED,
    OUTCOME_READONLY,
    OUTCOME_OOM,
    OUTCOME_MISCONF,
    OUTCOME_NOREPLICAS,
    OUTCOME_NOPERM,
    OUTCOME_MOVED, /* from here on: of a cluster */
    OUTCOME_ASK,
    OUTCOME_TRYAGAIN,
    OUTCOME_CLUSTERDOWN,
    REDIS_OUTCOMES
};

/* As a metric's label. */
const char *redis_outcome_label(enum redis_outcome outcome);

/* Of the first word of an error reply. */
enum redis_outcome redis_outcome_of(const char *word);

/* Does it say that the server as a whole does not serve us now? Then so will the next command be answered. */
bool redis_outcome_is_down(enum redis_outcome outcome);

/* Does it say that another server of its cluster has the key, or none just now? */
bool redis_outcome_is_astray(enum redis_outcome outcome);

#endif
