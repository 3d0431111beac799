/* script/clean.h -- a form's inputs through the `clean` of each. */
#ifndef PERIGEE_SCRIPT_CLEAN_H
#define PERIGEE_SCRIPT_CLEAN_H

#include "model/key.h"
#include "script/trail.h"
#include "script/vm.h"

struct clean;

/* Valid during the callback only. Both arrays are by position in form->key[]. */
struct clean_result {
    enum status status; /* OK: every input was cleaned or refused; LOADER_ERROR, LOADER_TIMEOUT */
    const struct slice
        *json; /* OK: cleaned values, canonical JSON (members sorted); absent: not given, nil, or refused */
    const struct slice *refused; /* OK: why an input is refused, UTF-8; absent: it is not */
    struct problem problem;      /* for the client, of a failure */
    struct slice log;            /* for the log, of a failure */
};

typedef void clean_done(void *owner, const struct clean_result *result);

/* Does any input have a `clean`? */
bool clean_needed(const struct model *form);

/* Cleans the inputs that are given (json[] by position in form->key[]; copied; absent ones are left out). `done` is called later, exactly
 * once, never before clean_start has returned. */
struct clean *clean_start(struct vm *vm, const struct model *form, const struct slice *json, const struct trail *trail,
                          clean_done *done, void *owner);

/* Ends it without calling done. */
void clean_cancel(struct clean *c);

#endif
