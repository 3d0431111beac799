/* serve/fill.h -- leading a flight: run the loader, seal what it brought, store it, land. Goes on without its clients. */
#ifndef PERIGEE_SERVE_FILL_H
#define PERIGEE_SERVE_FILL_H

#include "model/key.h"
#include "script/trail.h"
#include "serve/serve.h"

/* The model has a loader. Copies the key; holds a reference to the model's generation until it lands. `request` is the id that the
 * log names; `trail`, copied, is that of who asks. With `look_again` the store is asked once more first, since a flight of the same stripe has just ended. */
void fill_start(struct serve *s, struct served *served, const struct record_key *key, uint64_t request,
                const struct trail *trail, struct flight *flight, bool look_again);

/* Cancels all of this worker's loads and lands their flights with OVERLOADED. */
void fill_stop_all(struct serve *s);

#endif
