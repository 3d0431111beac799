/* script/load_inner.h -- the inside of a load, for load.c, which knows one, and batch.c, which makes many in one call. */
#ifndef PERIGEE_SCRIPT_LOAD_INNER_H
#define PERIGEE_SCRIPT_LOAD_INNER_H

#include "script/load.h"
#include "script/run.h"

struct batch;

struct load {
    struct run run;      /* of its own; in a batch only its trail counts */
    struct batch *batch; /* NULL: it runs alone */
    unsigned place;      /* in the batch */
    struct record_key key;
    bool replaces;    /* there is an old one, with this text and origin */
    struct slice old; /* these and key in the arena */
    struct slice origin;
    load_done *done;
    void *owner;
    struct arena arena;
};

/* Pushes a table of the key's values by name: keys of a record; attributes or inputs, and arguments, of a method. */
void load_push_key(const struct load *load, lua_State *L);

/* Pushes text and origin of the old one, nil where there is none: two values. */
void load_push_old(const struct load *load, lua_State *L);

/* The load is over, as the end says: tells the owner, and frees it. */
void load_land(struct load *load, const struct run *run, struct run_end *end);

/* Enters a new load, whose run has its trail, into a call of from_misses that has not begun, or a new one. */
void batch_join(struct load *load, struct vm *vm);

/* The load is cancelled. May free a retired vm. */
void batch_leave(struct load *load);

#endif
