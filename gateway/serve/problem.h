/* serve/problem.h -- errors on the wire: application/problem+json (RFC 9457). */
#ifndef PERIGEE_SERVE_PROBLEM_H
#define PERIGEE_SERVE_PROBLEM_H

#include "base/status.h"
#include "http/connection.h"
#include "model/key.h"

/* Makes ex->reply this problem (status, headers, body) and sends it. `key` may be NULL: else its values are told. */
void problem_reply(struct exchange *ex, const struct problem *p, const struct model *model, const struct record_key *key);

/* The same for a request that never became an exchange (http_config.refused): fills `reply`. */
void problem_refusal(void *owner, enum status why, struct reply *reply);

#endif
