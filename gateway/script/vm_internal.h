/* script/vm_internal.h -- the inside of a vm, for the files of this folder only.
 *
 * vm.c makes and ends it; define.c fills the registry; task.c counts its tasks here and resumes them; run.c starts them.
 *
 * Memory: the state allocates through a counter with a cap (config.memory_max). The cap holds only while `capped` is set, and
 * that is while code of the models runs: task.c sets it around lua_resume, vm.c around the run of the sources. So a greedy
 * handler fails with "not enough memory", and our own Lua calls between two resumes never do: they need no pcall for it.
 *
 * Libraries: `void NAME_open(lua_State *L)` is called once by vm_new, before any source is compiled, with the table of words on
 * top of the stack; it adds its words (`http`, `sqlite`, `sleep`, ...) to that table and leaves the stack as it was. Every schema
 * file gets its own deep copy of the plain tables in it, so a library keeps its state elsewhere (registry, upvalues, vm->host).
 * Metatables that handlers can meet set `__metatable`. Words that wait raise when task_current(L) is NULL (load time). */
#ifndef PERIGEE_SCRIPT_VM_INTERNAL_H
#define PERIGEE_SCRIPT_VM_INTERNAL_H

#include "base/list.h"
#include "script/vm.h"

#include <lua.h>

struct task;

/* What the functions of perigee.handlers are for (script/run.h). */
enum run_kind { RUN_LOAD, RUN_LOADS, RUN_METHOD, RUN_VET, RUN_SAVE, RUN_CLEAN, RUN_KINDS };

struct vm {
    lua_State *L;             /* the main thread: nothing runs on it but loading; handlers run in coroutines of it */
    struct script_host *host; /* NULL until vm_attach */
    struct vm_config config;  /* prefix lies in the registry's arena */
    struct registry registry;

    size_t bytes;  /* the Lua state holds now */
    size_t swept;  /* what it held after the last full collection */
    bool capped;   /* memory_max holds now */
    bool failed;   /* memory_max was met since the last collection */
    bool stopping; /* api.c: a file that runs too long is being ended; while `capped` there is no memory */

    struct list tasks;    /* task.c: all that live, parked or runnable */
    size_t n_tasks;       /* counted by vm_task_begin, vm_task_end */
    struct task *running; /* task.c: the one being resumed, or NULL */
    bool retired;

    struct list batches; /* batch.c: calls of from_misses that have not begun and have room */
    uint64_t batches_made;

    int run[RUN_KINDS];  /* registry references to the functions of perigee.handlers */
    const void *missing; /* address of the userdata that is the value `missing` */
};

/* The vm that owns this state, from any of its threads. Never NULL in a state made by vm_new. */
struct vm *vm_of(lua_State *L);

/* A task begins to live; the vm lives as long as it does. */
void vm_task_begin(struct vm *vm);

/* A task has ended and its coroutine is released. May free a retired vm: touch neither vm nor L after. Never call it from
 * inside a resume. */
void vm_task_end(struct vm *vm);

#endif
