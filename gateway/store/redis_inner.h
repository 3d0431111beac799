/* store/redis_inner.h -- between the two halves of a Redis connection: redis.c has the order of questions and answers and the connection's life,
 * redis_command.c the commands themselves. Private to store/redis*.c. */
#ifndef PERIGEE_STORE_REDIS_INNER_H
#define PERIGEE_STORE_REDIS_INNER_H

#include "store/redis.h"
#include "store/redis_script.h"

enum redis_kind {
    REDIS_GET,
    REDIS_MGET,
    REDIS_PUT,
    REDIS_PUT_FENCED,
    REDIS_PUT_WHEN,
    REDIS_REPLACE,
    REDIS_DELETE,
    REDIS_DELETE_WHEN,
    REDIS_TAKE,
    REDIS_KEEP,
    REDIS_FILL,
    REDIS_DROP,
    REDIS_EPOCHS_ASK,
    REDIS_EPOCHS_READ,
    REDIS_EPOCHS_RAISE,
    REDIS_KINDS
};

/* What a conditional put is answered with where its condition does not hold: no record is as short. */
#define REDIS_REFUSED SLICE("!")

/* A place among the questions for a new command, or why there is none: STORE_UNAVAILABLE, OVERLOADED; then PENDING. */
enum status redis_ask(struct redis *r, enum redis_kind kind, struct redis_command *c, redis_done *done);

/* The next command of c's place: on its way, or held until the greeting is over. */
void redis_send(struct redis *r, struct redis_command *c, int argc, const struct slice *argv);

/* The same for a script. It goes by its hash where the server has been told the text on this connection; if it has forgotten it since, it is asked again,
 * whole, behind what was asked meanwhile and within the deadline. */
void redis_send_script(struct redis *r, struct redis_command *c, enum redis_script script, int argc,
                       const struct slice *argv);

/* As many values are expected of c's MGET. */
void redis_expect_values(struct redis_command *c, size_t n);

#endif
