/* store/redis_search.h -- who is master: asks sentinels, one after the other, until one knows; and then again and again, since an old master
 * that was handed over takes writes for ten seconds more, which are lost.
 *
 * The one that knew stands first in the config's list from then on, one that failed last, and those that it names beside itself
 * behind those of the URL: so the next question goes to whom is likely to answer. Private to store/redis_link.c. */
#ifndef PERIGEE_STORE_REDIS_SEARCH_H
#define PERIGEE_STORE_REDIS_SEARCH_H

#include "store/redis_config.h"

#include <uv.h>

struct redis_search;

/* A master, the first one or another than before; or NULL, and why: none was found, and the search is gone. Both are good for the call. */
typedef void redis_search_found(void *arg, const struct redis_address *master, const char *why);

/* Begins; keeps config, and changes the order of its addresses. NULL when none could be asked: then nothing is called, and `why` says why. */
struct redis_search *redis_search_open(uv_loop_t *loop, struct redis_config *config, redis_search_found *found,
                                       void *arg, char why[128]);

/* Ends it; nothing is called any more. */
void redis_search_close(struct redis_search *s);

#endif
