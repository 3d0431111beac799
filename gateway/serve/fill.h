/* serve/fill.h -- leading a flight: run the loader, seal what it brought, store it, land. Goes on without its clients. */
#ifndef PERIGEE_SERVE_FILL_H
#define PERIGEE_SERVE_FILL_H

#include "model/key.h"
#include "script/trail.h"
#include "serve/serve.h"

enum fill_look {
    FILL_HAS_LOOKED, /* the store has just been asked */
    FILL_LOOK_AGAIN, /* it was asked, but may know more by now: a flight of the same stripe has ended since */
    FILL_BLIND,      /* load whatever stands there */
};

/* The model loads. Copies the key; holds a reference to the model's generation until it lands. `request` is the id that the
 * log names; `trail`, copied, is that of who asks. `old`: what was found and shall be replaced, or NULL; takes a reference of its own. */
void fill_start(struct serve *s, struct served *served, const struct record_key *key, uint64_t request,
                const struct trail *trail, struct flight *flight, struct blob *old, enum fill_look look);

/* Cancels all of this worker's loads and lands their flights with OVERLOADED. */
void fill_stop_all(struct serve *s);

#endif
