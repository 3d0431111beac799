/* store/redis_inner.h -- between the parts of a Redis connection: redis_command.c has what is asked, redis_ring.c the order of who waits, redis.c the answers
 * and the connection's life. Private to store/redis*.c and store/cluster*.c. */
#ifndef PERIGEE_STORE_REDIS_INNER_H
#define PERIGEE_STORE_REDIS_INNER_H

#include "store/redis.h"
#include "store/redis_reply.h"
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
    REDIS_SLOTS,
    REDIS_ASKING,
    REDIS_KINDS
};

/* What a conditional put is answered with where its condition does not hold: no record is as short. */
#define REDIS_REFUSED SLICE("!")

#define REDIS_SLOT_COMMANDS 2 /* of one place, at most */

/* A command's place: in the ring of a connection (redis_ring.h), or with a router while another server is looked for. */
struct redis_slot {
    struct redis_command *command; /* NULL: cancelled */
    uint64_t started_us;
    enum redis_kind kind;
    uint16_t values;         /* an MGET's */
    uint8_t queued, replied; /* of its commands */
    bool by_hash;            /* a script that the server may have forgotten */
    enum redis_script script;
    bool astray;                   /* a server did not answer it */
    uint8_t hops, pauses;          /* how many servers have named another, and how often it has waited */
    sds held[REDIS_SLOT_COMMANDS]; /* what waits for the greeting, or may have to be asked again */
};

/* Who knows other servers that can answer in a server's place: a cluster (store/cluster.c). With one, every command is a single one, and its bytes are
 * kept until it is answered. Neither function may close the connection. */
struct redis_router {
    /* The server says that another has the key, or none just now. The slot and its bytes are the router's; c->slot still points to where it was. */
    void (*astray)(void *arg, const struct redis_slot *slot, const struct redis_reply *reply);
    void (*turned)(void *arg, bool up); /* up, or down before its commands fail */
};

/* As redis_open; keeps router. perigee_store_up is the router's to tell. */
struct redis *redis_open_routed(uv_loop_t *loop, const struct redis_config *config, const struct redis_router *router,
                                void *arg, struct metrics *metrics);

bool redis_is_routed(const struct redis *r);
bool redis_is_connecting(const struct redis *r); /* for the first time */
bool redis_is_idle(const struct redis *r);       /* no answer is awaited */

/* Asks this server for what has gone astray, from the beginning and in what time is left; `asking`: as one who was sent here by ASK. PENDING: the place and
 * its bytes are taken. Else STORE_UNAVAILABLE or OVERLOADED. */
enum status redis_take(struct redis *r, const struct redis_slot *slot, bool asking);

/* CLUSTER SLOTS. Ends OK with what the server says, the nodes of redis_node.h, as value. */
enum status redis_slots(struct redis *r, struct redis_command *c, redis_done *done);

/* A place among the questions for a new command, or why there is none: STORE_UNAVAILABLE (also without a server), OVERLOADED; then PENDING. */
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
