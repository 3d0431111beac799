/* script/vet.h -- what a model says of a record before it is saved: options.validate and options.tags, then on_save. */
#ifndef PERIGEE_SCRIPT_VET_H
#define PERIGEE_SCRIPT_VET_H

#include "model/model.h"
#include "script/trail.h"
#include "script/vm.h"

struct vet;

enum vet_step {
    VET_CHECK, /* validate and tags: of each record of a save */
    VET_SAVE,  /* on_save: when all of them are good, before any is stored */
};

#define VET_EXPIRES_UNSET UINT64_MAX

/* Valid during the callback only. */
struct vet_result {
    enum status status;  /* OK; FIELD_TYPE: validate has refused it; LOADER_ERROR, LOADER_TIMEOUT: a handler failed */
    struct slice tags;   /* OK of VET_CHECK: as envelope section SECTION_TAGS has them; empty: none */
    uint64_t expires_ms; /* OK of VET_SAVE: the life that ctx.expires said, or VET_EXPIRES_UNSET */
    struct problem problem; /* for the client: validate's field and message; of a failure nothing but the model */
    struct slice log;       /* for the log, of a failure */
};

typedef void vet_done(void *owner, const struct vet_result *result);

static inline bool vet_needed(const struct model *m) { return m->options.validate || m->options.tags; }

static inline bool vet_saves(const struct model *m) { return m->options.on_save; }

/* Runs the handlers that the model has for this step of a record of this text (compact JSON as codec_write makes it; copied) in a task of their own.
 * `done` is called later, exactly once, never before vet_start has returned. */
struct vet *vet_start(struct vm *vm, const struct model *m, enum vet_step step, struct slice text,
                      const struct trail *trail, vet_done *done, void *owner);

/* Ends it without calling done. */
void vet_cancel(struct vet *v);

#endif
