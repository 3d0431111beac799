/* serve/patch.h -- PATCH: a JSON merge patch (RFC 7396) of one record, as one step for all who see the store. */
#ifndef PERIGEE_SERVE_PATCH_H
#define PERIGEE_SERVE_PATCH_H

#include "serve/serve.h"

#define PATCH_MEDIA "application/merge-patch+json"

/* Answers the exchange, now or later. */
void patch_record(struct exchange *ex, struct served *served);

#endif
