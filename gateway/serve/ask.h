/* serve/ask.h -- answers what handlers ask (script/ask.h), by the same ways that serve requests: documents, saving, call, fetch, forget. */
#ifndef PERIGEE_SERVE_ASK_H
#define PERIGEE_SERVE_ASK_H

#include "script/ask.h"
#include "serve/serve.h"

#include <uv.h>

struct asks; /* one a worker: all questions that are under way */

struct asks *asks_open(struct serve *s, uv_loop_t *loop);

/* For script_host_set_gateway; lives until the end. */
const struct ask_gateway *asks_gateway(const struct asks *a);

/* After serve_stop: who asks from now on is refused. A save or delete that was begun goes on without its asker; `closed` is called later,
 * once, when the last has ended. */
void asks_close(struct asks *a, void (*closed)(void *arg), void *arg);

#endif
