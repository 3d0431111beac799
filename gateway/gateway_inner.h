/* gateway_inner.h -- the inside of the gateway, for gateway.c, which is its life, and its other two files. All on the main thread. */
#ifndef PERIGEE_GATEWAY_INNER_H
#define PERIGEE_GATEWAY_INNER_H

#include "config.h"
#include "control.h"
#include "http/listener.h"
#include "serve/admin.h"
#include "tracker.h"
#include "worker.h"

#define WORKERS_MAX  256
#define FINDINGS_MAX (1 << 20)

struct gateway {
    struct config config;
    uv_loop_t loop;
    uv_signal_t on_term, on_int, on_hup;
    uv_timer_t sweep, drain;
    struct control control; /* where config.control is set */
    struct admin admin;
    struct http_server *admin_http;
    _Atomic unsigned admin_open, open;

    struct redis_config redis;
    bool uses_redis;
    struct memory *memory;
    struct epochs *epochs;
    char epochs_key[280];
    struct near *near; /* both, or neither */
    struct tracker *tracker;
    struct flights *flights;
    struct listener listener[CONFIG_LIST_MAX], admin_listener;
    size_t listeners;
    struct worker *worker[WORKERS_MAX];
    size_t workers;
    size_t models, records;                   /* models of all kinds, and those that have records */
    bool asks_http;                           /* their files speak of http.get and its like */
    struct buffer inventory, inventory_table; /* of them (inventory.h) */
    struct tokens *tokens;                    /* in force; NULL: there is no token file */
    struct metrics *metrics;                  /* what belongs to no worker */
    bool draining, closing;
    bool clock_apart; /* from the system's: it was set, and is being followed */
    uint64_t drain_until_us;
};

/* -- gateway_models.c -- */

/* Reads the token file, if there is one, and then compiles. 0; else findings say why, nothing is left, and this is the exit code of
 * who starts so: 1 for the models, 2 for the tokens. */
int gateway_prepare(struct gateway *g, struct vm **vm, struct tokens **tokens, struct buffer *findings);

/* Prepares, and swaps when all is good; findings say what is wrong, and are logged. As struct admin wants it. */
bool gateway_reload(void *gateway, struct buffer *findings);

void gateway_load_libcurl(const struct gateway *g);
void gateway_log_findings(struct slice findings, bool failed);

/* -- gateway_admin.c -- */

void gateway_start_admin(struct gateway *g);
void gateway_print_store(const struct gateway *g, char *out, size_t n); /* without its credentials */

#endif
