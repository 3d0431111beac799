/* script/batch.c -- many loads of one model in one call of from_misses.
 *
 * A batch is a run that is started with its first load. Its task has its first turn after the loop's next poll; until then, and
 * while there is room, other loads join it. When it begins, their keys are pushed as a list; when it ends, its results are those of the
 * loads in the same order. A load that is cancelled leaves its place empty, and the last one ends the run. */
#include "script/load_inner.h"

#include "base/hash.h"
#include "script/explain.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdlib.h>

#define TRAIL_SHARE                                                                                                    \
    (TRAIL_MAX / 2) /* of a trail, at most for the loads of the batch; what is asked for needs room, too */
#define RESULTS 6   /* of one load, at most (lua/perigee/handlers.lua) */

struct batch {
    struct run run;
    struct list open; /* in vm->batches, as long as it takes loads */
    uint64_t id;
    struct load *load[LOAD_TOGETHER_MAX]; /* NULL: cancelled, or landed */
    unsigned n, left;                     /* places taken; loads that are there */
    bool ended;                           /* the run has, and its loads land */
};

uint64_t load_batch(const struct load *load) { return load->batch ? load->batch->id : 0; }

/* --- start -------------------------------------------------------------------------------------------------------- */

static int push_list(struct run *run, lua_State *L);
static void batch_ended(struct run *run, struct run_end *end);

static struct batch *batch_start(struct vm *vm, const struct model *m)
{
    struct batch *b = calloc(1, sizeof *b);
    if (!b) abort();
    struct {
        uint64_t vm, serial;
    } name = {(uintptr_t)vm, vm->batches_made++};
    b->id = hash_fixed(slice_from((const char *)&name, sizeof name));
    list_append(&vm->batches, &b->open);
    b->run = (struct run){.kind = RUN_LOADS, .vm = vm, .model = m, .push = push_list, .done = batch_ended};
    run_start(&b->run, NULL);
    return b;
}

static struct batch *open_batch(struct vm *vm, const struct model *m)
{
    for (struct list *link = vm->batches.next; link != &vm->batches; link = link->next) {
        struct batch *b = container_of(link, struct batch, open);
        if (b->run.model == m) return b;
    }
    return batch_start(vm, m);
}

void batch_join(struct load *load, struct vm *vm)
{
    struct batch *b = open_batch(vm, load->key.model);
    load->batch = b;
    load->place = b->n++;
    b->load[load->place] = load;
    b->left++;
    if (b->n == LOAD_TOGETHER_MAX) list_remove(&b->open);
}

void batch_leave(struct load *load)
{
    struct batch *b = load->batch;
    b->load[load->place] = NULL;
    b->left--;
    if (b->left > 0 || b->ended) return;
    list_remove(&b->open);
    run_cancel(&b->run);
    free(b);
}

/* --- the call ----------------------------------------------------------------------------------------------------- */

/* Closes the gaps that cancelled loads have left: places are positions of the list now. */
static void close_ranks(struct batch *b)
{
    unsigned n = 0;
    for (unsigned i = 0; i < b->n; i++) {
        if (!b->load[i]) continue;
        b->load[n] = b->load[i];
        b->load[n]->place = n;
        n++;
    }
    b->n = n;
}

/* The longest trail that leads to one of the loads, and then the loads themselves, as far as its share goes. */
static void join_trails(struct batch *b)
{
    const struct trail *longest = &b->load[0]->run.trail;
    for (unsigned i = 1; i < b->n; i++)
        if (b->load[i]->run.trail.n > longest->n) longest = &b->load[i]->run.trail;
    struct trail *joined = &b->run.trail;
    *joined = *longest;
    joined->request = b->load[0]->run.trail.request;
    joined->batch = b->id;
    for (unsigned i = 0; i < b->n && joined->n < TRAIL_SHARE; i++) {
        const struct trail *t = &b->load[i]->run.trail;
        if (t->n > 0 && !trail_has(joined, t->load[t->n - 1])) joined->load[joined->n++] = t->load[t->n - 1];
    }
}

/* The list of keys; and the old record, for one that is left to from_miss. */
static int push_list(struct run *run, lua_State *L)
{
    struct batch *b = container_of(run, struct batch, run);
    list_remove(&b->open);
    close_ranks(b);
    join_trails(b);
    lua_createtable(L, (int)b->n, 0); /* stack: list */
    for (unsigned i = 0; i < b->n; i++) {
        load_push_key(b->load[i], L);
        lua_rawseti(L, -2, (int)i + 1);
    }
    if (b->n > 1) return 1;
    load_push_old(b->load[0], L);
    return 3;
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* The call has failed, and each load with it. */
static void land_alike(const struct batch *b, struct load *load, const struct run_end *end)
{
    struct run_end one = *end;
    buffer_init(&one.log, EXPLAIN_MAX);
    buffer_slice(&one.log, buffer_view(&end->log));
    load_land(load, &b->run, &one);
    buffer_deinit(&one.log);
}

/* What the list of results at end->first has for the load. */
static void land_one(const struct batch *b, struct load *load, const struct run_end *end)
{
    lua_State *L = end->L;
    int position = (int)load->place + 1;
    struct run_end one = {.L = L, .first = end->first + 2};
    buffer_init(&one.log, EXPLAIN_MAX);
    lua_settop(L, end->first);
    lua_rawgeti(L, end->first, position); /* stack: results, those of this load */
    for (int value = 1; value <= RESULTS; value++) lua_rawgeti(L, end->first + 1, value);
    run_read(&b->run, &one);
    load_land(load, &b->run, &one);
    buffer_deinit(&one.log);
}

/* Whoever is told may cancel loads of the same batch, and start others. */
static void batch_ended(struct run *run, struct run_end *end)
{
    struct batch *b = container_of(run, struct batch, run);
    list_remove(&b->open); /* its deadline has come before its turn */
    b->ended = true;
    if (end->status == OK && !lua_checkstack(end->L, 2 * RESULTS + LUA_MINSTACK)) abort();
    for (unsigned i = 0; i < b->n; i++) {
        struct load *load = b->load[i];
        b->load[i] = NULL;
        if (!load) continue;
        if (end->status == OK) land_one(b, load, end);
        else land_alike(b, load, end);
    }
    free(b);
}
