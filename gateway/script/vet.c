/* script/vet.c -- validate and tags as a run of their own. */
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

static void push_record(struct run *run, lua_State *L);
static void vet_ended(struct run *run, struct run_end *end);

struct vet *vet_start(struct vm *vm, const struct model *m, struct slice text, const struct trail *trail,
                      vet_done *done, void *owner)
{
    struct vet *v = calloc(1, sizeof *v);
    if (!v) abort();
    v->done = done;
    v->owner = owner;
    arena_init(&v->arena);
    v->text = arena_dup(&v->arena, text);
    v->run = (struct run){.kind = RUN_VET, .vm = vm, .model = m, .push = push_record, .done = vet_ended};
    run_start(&v->run, trail);
    return v;
}

void vet_cancel(struct vet *v)
{
    run_cancel(&v->run);
    arena_deinit(&v->arena);
    free(v);
}

static void push_record(struct run *run, lua_State *L)
{
    convert_push_json(L, container_of(run, struct vet, run)->text);
}

static void vet_ended(struct run *run, struct run_end *end)
{
    struct vet *v = container_of(run, struct vet, run);
    struct vet_result result = {.status = end->status, .problem = end->problem, .log = buffer_view(&end->log)};
    if (end->status == OK) result.tags = run_text(end->L, end->first + 2); /* beside the places of fields and life */

    vet_done *done = v->done;
    void *owner = v->owner;
    arena_deinit(&v->arena);
    free(v);
    done(owner, &result);
}
