/* script/vet.h -- what a model says of a record before it is saved: options.validate and options.tags. */
#ifndef PERIGEE_SCRIPT_VET_H
#define PERIGEE_SCRIPT_VET_H

#include "model/model.h"
#include "script/trail.h"
#include "script/vm.h"

struct vet;

/* Valid during the callback only. */
struct vet_result {
    enum status status; /* OK; FIELD_TYPE: validate has refused it; LOADER_ERROR, LOADER_TIMEOUT: a handler failed */
    struct slice tags;  /* OK: as envelope section SECTION_TAGS has them; empty: none */
    struct problem problem; /* for the client: validate's field and message; of a failure nothing but the model */
    struct slice log;       /* for the log, of a failure */
};

typedef void vet_done(void *owner, const struct vet_result *result);

static inline bool vet_needed(const struct model *m) { return m->options.validate || m->options.tags; }

/* Runs the handlers that the model has for a record of this text (compact JSON as codec_write makes it; copied) in a task of their own.
 * `done` is called later, exactly once, never before vet_start has returned. */
struct vet *vet_start(struct vm *vm, const struct model *m, struct slice text, const struct trail *trail,
                      vet_done *done, void *owner);

/* Ends it without calling done. */
void vet_cancel(struct vet *v);

#endif
