/* script/postgres_url.h -- where a PostgreSQL server is, as libpq's URL says it; nothing of it may stand in a message. */
#ifndef PERIGEE_SCRIPT_POSTGRES_URL_H
#define PERIGEE_SCRIPT_POSTGRES_URL_H

#include "base/arena.h"

#define POSTGRES_URL_MAX   4096
#define POSTGRES_WORDS_MAX 64 /* of libpq's connection parameters */

struct postgres_url {
    struct slice text;
    const char *host; /* a name, an address, or the folder of a socket */
    const char *name[POSTGRES_WORDS_MAX], *value[POSTGRES_WORDS_MAX]; /* what to tell libpq beside host and hostaddr */
    size_t words;
    bool is_known; /* nothing has to be looked up: a socket, or hostaddr was given */
};

/* Reads it, into the arena; needs libpq. NULL, or what is wrong with it. */
const char *postgres_url_parse(struct slice text, struct arena *arena, struct postgres_url *url);

#endif
