/* script/run.h -- one run of what an author wrote: a task that calls a function of the Lua half (lua/perigee/handlers.lua), and what came
 * of it. load.c, vet.c and clean.c say what goes in, and read what comes out. */
#ifndef PERIGEE_SCRIPT_RUN_H
#define PERIGEE_SCRIPT_RUN_H

#include "base/buffer.h"
#include "model/model.h"
#include "script/trail.h"
#include "script/vm_internal.h"

struct run;

/* How it ended; valid during the callback only. Everything may be pushed on L: nothing raises now. */
struct run_end {
    enum status status; /* OK; MISSING; FIELD_TYPE: validate has refused the record; LOADER_ERROR; LOADER_TIMEOUT */
    lua_State *L;       /* OK, MISSING: the function's results, but for its first, stand from `first` on */
    int first;
    struct problem problem; /* otherwise: for the client */
    struct buffer log;      /* of a failure: at most EXPLAIN_MAX bytes */
};

/* Embed it. */
struct run {
    enum run_kind kind;
    struct vm *vm;
    const struct model *model;
    struct trail trail;
    int (*push)(struct run *r,
                lua_State *L); /* what the function is called with after the model's name; returns how many
                                                 values; may raise */
    void (*done)(struct run *r, struct run_end *end); /* later, once; the run is the owner's again */
    struct task *task;
};

/* Starts it; kind, vm, model, push and done are set. At the model's hard_timeout it ends. */
void run_start(struct run *r, const struct trail *trail);

/* Reads into *end what the results at end->first say, end->L and end->first being set and its log empty: for who finds the ends of
 * several things in one result. */
void run_read(const struct run *r, struct run_end *end);

/* Ends it without calling done. May free a retired vm. */
void run_cancel(struct run *r);

/* Turns an end into a LOADER_ERROR: `field` and `what` (both may be NULL) for the client. What the log says is for the caller to append. */
void run_fail(const struct run *r, struct run_end *end, const char *field, const char *what);

/* The text at this place of L, as long as it stands there; absent when there is none. */
struct slice run_text(lua_State *L, int index);

#endif
