/* serve/bulk.h -- POST /models/NAME/_bulk: many records of a model read, saved and deleted by one request, each with an end of its own. */
#ifndef PERIGEE_SERVE_BULK_H
#define PERIGEE_SERVE_BULK_H

#include "serve/serve.h"

#define BULK_MAX 1000 /* records that one request may name */

/* Answers the exchange, now or later. `grant`: what the token gives; NULL: everything. */
void bulk_answer(struct exchange *ex, struct served *served, const struct grant *grant);

#endif
