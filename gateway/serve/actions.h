/* serve/actions.h -- POST /models/NAME/_touch, _invalidate and _refresh: what is done to one stored record beside reading and writing it. */
#ifndef PERIGEE_SERVE_ACTIONS_H
#define PERIGEE_SERVE_ACTIONS_H

#include "serve/serve.h"

/* Each answers the exchange, now or later. */
void action_touch(struct exchange *ex, struct served *served);
void action_invalidate(struct exchange *ex, struct served *served /* NULL: of all models, by tags */);
void action_refresh(struct exchange *ex, struct served *served);

#endif
