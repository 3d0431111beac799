/* script/load.h -- run what makes a missing record or result: a model's from_miss or from_misses, a cached method, a form's method. */
#ifndef PERIGEE_SCRIPT_LOAD_H
#define PERIGEE_SCRIPT_LOAD_H

#include "model/codec.h"
#include "model/key.h"
#include "script/trail.h"
#include "script/vm.h"

struct load;

#define LOAD_TOGETHER_MAX 100  /* records that one call of from_misses loads */
#define LOAD_ORIGIN_MAX   1024 /* bytes of ctx.etag */

#define LOAD_EXPIRES_UNSET UINT64_MAX

/* What a load came to; valid during the callback only. */
struct load_result {
    enum status status; /* OK, MISSING, LOADER_ERROR, LOADER_TIMEOUT */
    bool unmodified;    /* OK: the old one holds, its text, references and tags; there are none here */
    struct slice text;  /* OK: the record's JSON, or the method's result */
    struct envelope_ref *refs;
    size_t n_refs;
    struct slice tags;      /* as envelope section SECTION_TAGS has them; empty: none */
    struct slice origin;    /* OK: what ctx.etag was set to (unmodified: what it is); empty: nothing */
    uint64_t expires_ms;    /* what ctx.expires said; 0: do not keep; LOAD_EXPIRES_UNSET: the model's */
    struct problem problem; /* for the client: names model and field at most, never the handler's words */
    struct slice log;       /* for the log: message and traceback, at most 640 bytes */
};

typedef void load_done(void *owner, const struct load_result *result);

/* Starts the handler of key->model (a MODEL_RECORD with a loader, a MODEL_METHOD, a MODEL_FORM_METHOD) in a coroutine of its own, then
 * for a record its `validate` and `tags`; `done` is called later, exactly once, never before load_start has returned, also after the deadline
 * (hard_timeout of the model). `old`: the record or result that it replaces, which the handler sees as ctx.stale, or NULL. The trail ends with this
 * load. Copies what it needs of key, old and trail.
 *
 * Loads of a model with from_misses that are started before the loop has polled again are made in one call, up to
 * LOAD_TOGETHER_MAX; one alone is left to from_miss, where there is one, too. Each has its own end. */
struct load *load_start(struct vm *vm, const struct record_key *key, const struct envelope *old,
                        const struct trail *trail, load_done *done, void *owner);

/* By what all loads of the same call are known in a trail (struct trail, `batch`), none else in the process; 0: it is made alone. What the
 * handler waits for, all of them wait for. */
uint64_t load_batch(const struct load *load);

/* Ends the load without calling done: what it waits for is cancelled, when no other load of the same call is left. */
void load_cancel(struct load *load);

#endif
