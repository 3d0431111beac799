/* serve/condition.h -- what a write asks of the record that is there: If-Match and If-None-Match (RFC 9110 13.1), read into what the
 * store judges (store/condition.h). */
#ifndef PERIGEE_SERVE_CONDITION_H
#define PERIGEE_SERVE_CONDITION_H

#include "base/arena.h"
#include "http/request.h"
#include "model/model.h"
#include "store/condition.h"

/* A conditional write must never pass for an unconditional one. MALFORMED_REQUEST: no list of entity tags, and no `*`;
 * NOT_IMPLEMENTED: If-Unmodified-Since where there is no If-Match, which would beat it. Tags in the arena. */
enum status condition_read(const struct http_request *request, struct arena *arena, struct store_condition *when,
                           struct problem *why);

/* The value of one such header, all of its lines as one. A tag that no record of ours can have is left out, and so is a weak one unless
 * `weak` tags count. `name` is told where it is malformed. */
enum status condition_parse(const char *name, struct slice list, bool weak, struct arena *arena, struct slice *tags,
                            struct problem *why);

static inline bool condition_asks(const struct store_condition *when) { return when->is.p || when->is_not.p; }

/* For a write: NULL where nothing is asked. */
static inline const struct store_condition *condition_given(const struct store_condition *when)
{
    return condition_asks(when) ? when : NULL;
}

/* PRECONDITION_FAILED, and what may have been wrong. */
enum status condition_failed(const struct store_condition *when, const struct model *m, struct problem *why);

#endif
