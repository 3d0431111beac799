/* script/vet.c -- validate and tags, or on_save, as a run of their own. */
#include "script/vet.h"

#include "script/convert.h"
#include "script/run.h"

#include <stdlib.h>

struct vet {
    struct run run;
    struct slice text; /* in the arena */
    vet_done *done;
    void *owner;
    struct arena arena;
};

static int push_record(struct run *run, lua_State *L);
static void vet_ended(struct run *run, struct run_end *end);

struct vet *vet_start(struct vm *vm, const struct model *m, enum vet_step step, struct slice text,
                      const struct trail *trail, vet_done *done, void *owner)
{
    struct vet *v = calloc(1, sizeof *v);
    if (!v) abort();
    v->done = done;
    v->owner = owner;
    arena_init(&v->arena);
    v->text = arena_dup(&v->arena, text);
    v->run = (struct run){
        .kind = step == VET_SAVE ? RUN_SAVE : RUN_VET, .vm = vm, .model = m, .push = push_record, .done = vet_ended};
    run_start(&v->run, trail);
    return v;
}

void vet_cancel(struct vet *v)
{
    run_cancel(&v->run);
    arena_deinit(&v->arena);
    free(v);
}

static int push_record(struct run *run, lua_State *L)
{
    convert_push_json(L, container_of(run, struct vet, run)->text);
    return 1;
}

static void vet_ended(struct run *run, struct run_end *end)
{
    struct vet *v = container_of(run, struct vet, run);
    struct vet_result result = {
        .status = end->status, .expires_ms = VET_EXPIRES_UNSET, .problem = end->problem, .log = buffer_view(&end->log)};
    if (end->status == OK) { /* stack, from end->first: nothing, life, tags */
        if (lua_isnumber(end->L, end->first + 1)) result.expires_ms = (uint64_t)lua_tonumber(end->L, end->first + 1);
        result.tags = run_text(end->L, end->first + 2);
    }

    vet_done *done = v->done;
    void *owner = v->owner;
    arena_deinit(&v->arena);
    free(v);
    done(owner, &result);
}
