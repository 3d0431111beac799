/* script/load.h -- run what makes a missing record or result: a model's from_miss, a cached method, a form's method. */
#ifndef PERIGEE_SCRIPT_LOAD_H
#define PERIGEE_SCRIPT_LOAD_H

#include "model/codec.h"
#include "model/key.h"
#include "script/trail.h"
#include "script/vm.h"

struct load;

#define LOAD_EXPIRES_UNSET UINT64_MAX

/* What a load came to; valid during the callback only. */
struct load_result {
    enum status status; /* OK, MISSING, LOADER_ERROR, LOADER_TIMEOUT */
    struct slice text;  /* OK: the record's JSON, or the method's result */
    struct envelope_ref *refs;
    size_t n_refs;
    struct slice tags;      /* as envelope section SECTION_TAGS has them; empty: none */
    uint64_t expires_ms;    /* what ctx.expires said; 0: do not keep; LOAD_EXPIRES_UNSET: the model's */
    struct problem problem; /* for the client: names model and field at most, never the handler's words */
    struct slice log;       /* for the log: message and traceback, at most 640 bytes */
};

typedef void load_done(void *owner, const struct load_result *result);

/* Starts the handler of key->model (a MODEL_RECORD with a loader, a MODEL_METHOD, a MODEL_FORM_METHOD) in a coroutine of its own, then
 * for a record its `validate` and `tags`; `done` is called later, exactly once, never before load_start has returned, also after the deadline
 * (hard_timeout of the model). Copies what it needs of key and trail. */
struct load *load_start(struct vm *vm, const struct record_key *key, const struct trail *trail, load_done *done,
                        void *owner);

/* Ends the load without calling done: what it waits for is cancelled. */
void load_cancel(struct load *load);

#endif
