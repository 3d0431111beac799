/* config.h -- every setting of `perigee serve`: its flag, its environment variable, its key in a config file, its default and
 * what it means, one row each. Flag beats environment beats file beats default. */
#ifndef PERIGEE_CONFIG_H
#define PERIGEE_CONFIG_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"

#include <stdint.h>

#define CONFIG_LIST_MAX 16

struct config_list {
    const char *item[CONFIG_LIST_MAX];
    size_t n;
};

/* clang-format off */
/*    field           kind      flag                default            help */
#define CONFIG_MAP(X)                                                                                                      \
    X(listen,          LIST,     "listen",           "127.0.0.1:3633",  "address of the data plane: host:port or unix:/path; may be repeated") \
    X(admin,           TEXT,     "admin",            "127.0.0.1:3634",  "address of health, metrics, reload and a page; `off`") \
    X(store,           TEXT,     "store",            "memory:",         "memory:, redis://[user:pass@]host:port/db, redis+unix:///path, redis+sentinel://host,host/master; rediss for TLS") \
    X(prefix,          TEXT,     "prefix",           "perigee",         "first part of every stored key")                   \
    X(workers,         COUNT,    "workers",          "0",               "event loops; 0: as many as cores, at most 8")      \
    X(memory_bytes,    SIZE,     "memory-bytes",     "256MiB",          "bound of the memory store; unset, at most half of what the control group may use") \
    X(near_cache_bytes,SIZE,     "near-cache-bytes", "64MiB",           "bound of the near cache before Redis, in the same way; 0: off") \
    X(max_body,        SIZE,     "max-body",         "1MiB",            "largest request body")                             \
    X(compress_min,    SIZE,     "compress-min",     "1KiB",            "smallest answer that is sent in gzip to who takes it; 0: none") \
    X(cors_origin,     LIST,     "cors-origin",      "",                "origin of pages that may read answers, such as https://app.example, or *; may be repeated") \
    X(max_connections, COUNT,    "max-connections",  "10000",           "most client connections at once")                  \
    X(token_file,      TEXT,     "token-file",       "",                "bearer tokens, one a line")                        \
    X(redis_timeout,   DURATION, "redis-timeout",    "1s",              "deadline of a Redis command")                      \
    X(drain,           DURATION, "drain",            "10s",             "how long a stopping gateway waits for answers in flight") \
    X(header_timeout,  DURATION, "header-timeout",   "10s",             "for a request's head to arrive")                   \
    X(body_timeout,    DURATION, "body-timeout",     "30s",             "for a body to arrive, and for each 1 KiB a second of a longer one") \
    X(send_timeout,    DURATION, "send-timeout",     "30s",             "for a client to read something of its answer")     \
    X(client_bytes,    SIZE,     "client-bytes",     "128MiB",          "bound of bodies and answers that slow clients make us hold; unset, at most an eighth of the group's") \
    X(idle_timeout,    DURATION, "idle-timeout",     "75s",             "between the requests of a connection")             \
    X(max_headers,     SIZE,     "max-headers",      "16KiB",           "largest header block (and at most 64 fields)")     \
    X(max_uri,         SIZE,     "max-uri",          "8KiB",            "longest request target")                           \
    X(log,             TEXT,     "log",              "info",            "debug, info, warn or error")
/* clang-format on */

#define CONFIG_TYPE_TEXT     const char *
#define CONFIG_TYPE_LIST     struct config_list
#define CONFIG_TYPE_COUNT    uint64_t
#define CONFIG_TYPE_SIZE     uint64_t
#define CONFIG_TYPE_DURATION uint64_t /* milliseconds */

struct config {
#define X(field, kind, flag, fallback, help) CONFIG_TYPE_##kind field;
    CONFIG_MAP(X)
#undef X
    struct config_list dirs; /* schema folders; ./schemas when none is named */
    struct arena arena;      /* of all texts above */
    uint64_t memory_limit;   /* of the control group; UINT64_MAX: none */
    bool lowered;            /* bounds that nobody has set stand below their defaults, because of it */
    int control; /* of a gateway that `perigee test` starts: the connection its spec holds (control.h); else 0 */
    const char *http_socket; /* of the same: whom handlers ask over HTTP, whatever the address; NULL: those they name */
};

/* Reads the command line behind the verb (argv[0] is the first word), the environment and the file that --config or
 * PERIGEE_CONFIG names. Words that are no flags become `dirs`. MALFORMED_REQUEST: one sentence that names the flag, variable or
 * key, and the nearest valid one where it is unknown. Always followed by config_deinit. */
enum status config_read(struct config *c, int argc, char **argv, char **environment, struct problem *why);
void config_deinit(struct config *c);

/* Calls back with each setting, by its name in a config file, and its value as JSON: sizes in bytes, durations in seconds. `store` is what
 * is said of the store, whose URL may have a password in it. */
typedef void config_each(void *arg, struct slice name, struct slice json);
void config_walk(const struct config *c, struct slice store, config_each *each, void *arg);

/* The table of flags for `perigee help`. */
void config_help(struct buffer *out);

#endif
