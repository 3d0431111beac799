/* store/cluster_inner.h -- between the halves of a cluster: cluster.c has the servers and the map, cluster_detour.c the commands that went astray.
 * Private to store/cluster*.c. */
#ifndef PERIGEE_STORE_CLUSTER_INNER_H
#define PERIGEE_STORE_CLUSTER_INNER_H

#include "base/list.h"
#include "store/cluster.h"
#include "store/cluster_map.h"
#include "store/redis_error.h"
#include "store/redis_inner.h"

/* A server that we have a connection to, or try to. */
struct cluster_node {
    struct list link;
    struct cluster *cluster;
    struct redis_address address;
    struct redis *redis;
    unsigned slots;    /* that are its own */
    uint64_t named_us; /* when a server last sent us here */
    uint64_t round;    /* in which it was last asked for the map */
};

/* Commands that went astray and wait. */
struct cluster_detours {
    struct list waiting, due; /* due: while they are gone through */
    size_t bytes;
    uv_timer_t timer;
    uint64_t wakes_us;          /* when it does */
    uint64_t hopeless_until_us; /* the cluster was down for longer than a command can wait */
    struct counter *counters[REDIS_OUTCOMES];
};

struct cluster {
    uv_loop_t *loop;
    struct redis_config config; /* topology and addresses: of the seeds */
    struct redis_config node;   /* of one server, but for its address */
    char name[300];             /* for logs */
    struct roster *roster;      /* NULL: no near copies */
    struct metrics *metrics;
    bool closing;

    struct list nodes;
    unsigned nodes_n;
    bool known; /* a map has been read */
    struct cluster_node *owner[CLUSTER_SLOTS];
    unsigned covered;
    struct cluster_map *map; /* where the next one is read */

    uv_timer_t refresh;
    uint64_t due_us, begun_us; /* when the next one is asked for, and when the last one was */
    bool asking, doubts;       /* doubts: what is being asked for may be wrong already */
    struct cluster_node *asked;
    struct redis_command question;
    uint64_t round;
    unsigned seed;  /* the next of this round */
    bool told;      /* the log knows that nobody answers */
    uint64_t draws; /* of chance */

    struct cluster_detours detours;
    struct counter *up, *slots, *masters, *refreshes[2];

    int handles; /* not closed yet: the nodes' and our timers */
    void (*closed)(void *arg);
    void *closed_arg;
};

/* -- cluster.c */

/* The server there, newly opened if need be; NULL: there are too many. */
struct cluster_node *cluster_find(struct cluster *c, const struct redis_address *address);

/* A server says that this one has the slot. */
void cluster_learn(struct cluster *c, unsigned slot, struct cluster_node *node);

/* Who has it; NULL: nobody, as far as we know. */
struct cluster_node *cluster_owner(struct cluster *c, struct slice key);

/* What we know may be wrong. */
void cluster_ask_anew(struct cluster *c);

/* Is it up? Tells the metrics. */
void cluster_judge(struct cluster *c);

/* -- cluster_detour.c */

void cluster_detours_open(struct cluster *c);
void cluster_detours_close(struct cluster *c, uv_close_cb closed); /* ends them */

/* As struct redis_router has it; arg is the node. */
void cluster_on_astray(void *arg, const struct redis_slot *slot, const struct redis_reply *reply);

/* Does the cluster call itself down, and has for longer than a command can wait? */
bool cluster_is_hopeless(const struct cluster *c);

#endif
