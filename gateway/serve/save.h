/* serve/save.h -- writes: PUT and DELETE of one record. */
#ifndef PERIGEE_SERVE_SAVE_H
#define PERIGEE_SERVE_SAVE_H

#include "serve/serve.h"

/* Each answers the exchange, now or later. */
void save_put(struct exchange *ex, struct served *served, const struct grant *grant);
void save_delete(struct exchange *ex, struct served *served);

#endif
