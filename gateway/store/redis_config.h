/* store/redis_config.h -- what a Redis URL says: which servers, as whom, and how they prove who they are.
 *
 *     redis://[user:pass@]host[:port][/db]                       one server
 *     redis+unix://[user:pass@]/path[?db=N]                      one server, on a socket
 *     redis+sentinel://[user:pass@]h[:p],h[:p].../master[/db]    whom the sentinels name
 *     redis+cluster://[user:pass@]h[:p],h[:p]...                 all that the first ones know
 *
 * With `rediss` for `redis` the three over TCP speak TLS. What else there is to say stands in the query; see redis_config.c. */
#ifndef PERIGEE_STORE_REDIS_CONFIG_H
#define PERIGEE_STORE_REDIS_CONFIG_H

#include "base/status.h"
#include "store/redis_address.h"

#define REDIS_ADDRESSES_MAX 16

enum redis_topology { REDIS_SINGLE, REDIS_SENTINEL, REDIS_CLUSTER };

struct redis_credentials {
    char user[128], password[256]; /* "" = none; never logged */
};

struct redis_tls {
    bool on;
    bool unverified;          /* ?verify=off: whoever answers is believed */
    char ca[256];             /* a file or a folder; "": those of the system */
    char cert[256], key[256]; /* files, for servers that want to know us; "": none */
    char server_name[256];    /* what their certificate is for; "": the host they are reached by */
};

struct redis_config {
    enum redis_topology topology;
    struct redis_address address[REDIS_ADDRESSES_MAX]; /* SINGLE: the server; else whom to ask first */
    unsigned addresses;                                /* 0 with path */
    char path[108];                                    /* unix socket, or "" */
    char master[128];                                  /* SENTINEL: its name there */
    struct redis_credentials server, sentinel;
    struct redis_tls tls; /* with all of them */
    int database;

    /* Limits, of which a URL knows nothing. */
    uint64_t timeout_ms;   /* deadline of a command and of a connect; 0: 1 s */
    size_t max_value;      /* reply cap: a value may have this many bytes; 0: 1 MiB */
    unsigned max_inflight; /* commands waiting for replies; beyond it OVERLOADED; 0: 1024 */
    size_t max_unsent;     /* bytes waiting for the socket, the last command's aside; beyond it OVERLOADED; 0: 64 MiB */

    unsigned silent; /* kept by redis_link: addresses of a name that were dialled until time was over */
};

/* Reads a URL; leaves the limits alone. MALFORMED_REQUEST with what was wrong, which shows nothing secret. */
enum status redis_config_parse(struct slice url, struct redis_config *config, struct problem *why);

/* The URL without credentials and files: for logs and the ready line. What does not fit is cut. */
void redis_config_print(const struct redis_config *c, char *out, size_t n);

#endif
