/* serve/action.h -- what POST /models/NAME/_ACTION is asked with: one JSON object of known members, and options in the query. Pure. */
#ifndef PERIGEE_SERVE_ACTION_H
#define PERIGEE_SERVE_ACTION_H

#include "http/request.h"
#include "model/json.h"
#include "model/key.h"

struct action_member {
    struct slice name;
    struct slice value; /* compact; absent: not given */
};

/* Reads the body; everything in the arena. UNSUPPORTED_MEDIA, MALFORMED_JSON, and MALFORMED_REQUEST: it is no object, or has a member that is not
 * among these; NOT_IMPLEMENTED: the request has conditions. */
enum status action_read(const struct http_request *request, struct arena *arena, struct action_member *member, size_t n,
                        struct problem *why);

/* The record that `keys` names. */
enum status action_key(const struct model *m, const struct action_member *keys, struct arena *arena,
                       struct record_key *key, struct problem *why);

/* The options in the query, where keys do not stand. */
enum status action_options(const struct model *m, struct slice query, struct arena *arena, struct query_option **option,
                           size_t *n, struct problem *why);

/* For an action that takes none. */
enum status action_no_query(struct slice query, struct problem *why);

/* true, false, or `otherwise` where it was not given. */
enum status action_flag(const struct action_member *member, bool otherwise, bool *flag, struct problem *why);

#endif
