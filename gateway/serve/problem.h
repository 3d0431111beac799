/* serve/problem.h -- errors on the wire: application/problem+json (RFC 9457). */
#ifndef PERIGEE_SERVE_PROBLEM_H
#define PERIGEE_SERVE_PROBLEM_H

#include "base/status.h"
#include "http/connection.h"
#include "model/key.h"
#include "serve/serve.h"

/* Makes ex->reply this problem: status line, headers, body, not to be cached; the caller may add headers. `model` and `key` may be
 * NULL, else the body tells their name and values. */
void problem_fill(struct exchange *ex, const struct problem *p, const struct model *model,
                  const struct record_key *key);

/* The same without Cache-Control, which is left to the caller. */
void problem_fill_cacheable(struct exchange *ex, const struct problem *p, const struct model *model,
                            const struct record_key *key);

/* problem_fill with one more member, whose length is the caller's to bound: "errors", what is wrong of each input of a form,
 * {"input":["message"]}; or what explains the answer (explain.h). */
void problem_fill_with(struct exchange *ex, const struct problem *p, const struct model *model,
                       const struct record_key *key, const char *member, struct slice json);

/* Fills and sends, counted under the problem's status. `served` and `key` may be NULL. */
void problem_reply(struct exchange *ex, struct served *served, enum operation op, const struct problem *p,
                   const struct record_key *key);

/* The same as one JSON object, where it stands among other things. */
void problem_put(struct buffer *b, const struct problem *p, const struct model *model, const struct record_key *key);

/* For a request that never became an exchange (http_config.refused). */
void problem_refusal(void *owner, enum status why, struct reply *reply);

#endif
