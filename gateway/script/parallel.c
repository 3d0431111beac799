/* script/parallel.c -- `parallel(f, g, ...)`: each function runs as a task of its own, while the caller's is parked.
 *
 * The branches have the caller's deadline. Who ends last, or raises first, asks for a turn of the loop, and the caller goes on
 * from there: never from inside the end of a branch. When the caller is stopped first, its branches are. */
#include "script/parallel.h"

#include "script/host_internal.h"
#include "script/task.h"
#include "script/vm_internal.h"

#include <lauxlib.h>
#include <stdlib.h>

#define FUNCTIONS_MAX 64
#define BRANCHES_MAX  4096 /* a worker; bounds how deep they stand within each other, too */

struct branch {
    struct parallel *whole;
    struct task *task; /* NULL: has ended */
};

struct parallel {
    struct vm *vm;
    struct task *caller;
    struct host_turn turn;
    int results; /* registry reference to a table: the results by position, or the error at 0 */
    bool failed;
    int n, running;
    struct branch branch[];
};

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void release(struct parallel *p)
{
    host_turn_stop(&p->turn);
    luaL_unref(p->vm->L, LUA_REGISTRYINDEX, p->results);
    free(p);
}

static void end_branch(struct branch *b)
{
    b->task = NULL;
    b->whole->running--;
    b->whole->vm->host->branches--;
}

/* All that still run; the host outlives the vm that the last task of a reloaded one may take with it. */
static void cancel_branches(struct parallel *p)
{
    for (int i = 0; i < p->n; i++) {
        struct task *task = p->branch[i].task;
        if (!task) continue;
        end_branch(&p->branch[i]);
        task_cancel(task);
    }
}

static void parallel_cancel(void *op)
{
    struct parallel *p = op;
    cancel_branches(p);
    release(p);
}

/* true and the results, or false and the error */
static int push_results(void *op, lua_State *L)
{
    struct parallel *p = op; /* on_turn has made room: nothing here can raise */
    int first = p->failed ? 0 : 1, last = p->failed ? 0 : p->n, n = 1;
    lua_pushboolean(L, !p->failed);
    lua_rawgeti(L, LUA_REGISTRYINDEX, p->results);
    int table = lua_gettop(L);
    for (int i = first; i <= last; i++, n++) lua_rawgeti(L, table, i);
    lua_remove(L, table);
    release(p);
    return n;
}

static void on_turn(struct host_turn *turn)
{
    struct parallel *p = container_of(turn, struct parallel, turn);
    if (!lua_checkstack(p->vm->L, FUNCTIONS_MAX + LUA_MINSTACK)) abort(); /* of the main thread, which is empty */
    task_wake(p->caller, push_results, p);
}

/* task_done */
static void on_branch_done(void *owner, enum status status, lua_State *L, int first)
{
    struct branch *b = owner;
    struct parallel *p = b->whole;
    lua_State *main = p->vm->L;
    int at = (int)(b - p->branch) + 1;
    end_branch(b);
    if (status == LOADER_TIMEOUT) return; /* the caller's own deadline is the same, and ends it now */
    p->failed = status != OK;

    lua_rawgeti(main, LUA_REGISTRYINDEX, p->results);
    if (p->failed) {
        task_take_error(L, main);
    } else {
        lua_settop(L, first); /* nil where there is none */
        lua_xmove(L, main, 1);
    }
    lua_rawseti(main, -2, p->failed ? 0 : at);
    lua_pop(main, 1);
    if (p->failed) cancel_branches(p);
    if (p->running == 0) host_turn_ask(p->vm->host, &p->turn);
}

/* --- start -------------------------------------------------------------------------------------------------------- */

static int no_arguments(void *owner, lua_State *L) { return 0; }

/* Pops the function at the top of L. */
static void start_branch(struct parallel *p, struct branch *b, lua_State *L)
{
    int handler = luaL_ref(L, LUA_REGISTRYINDEX);
    b->whole = p;
    b->task = task_start(p->vm, handler, task_deadline(p->caller), no_arguments, on_branch_done, b);
    luaL_unref(L, LUA_REGISTRYINDEX, handler); /* the task has it now */
    task_set_trail(b->task, task_trail(p->caller));
    p->running++;
    p->vm->host->branches++;
}

/* parallel(f, g, ...) */
static int word_parallel(lua_State *L) /* stack: functions */
{
    struct task *task = task_for_wait(L, "parallel");
    struct vm *vm = vm_of(L);
    int n = lua_gettop(L);
    if (n > FUNCTIONS_MAX) task_raise(L, "parallel: more than %d functions", FUNCTIONS_MAX);
    for (int i = 1; i <= n; i++)
        if (!lua_isfunction(L, i))
            task_raise(L, "parallel: argument %d must be a function, got %s", i, luaL_typename(L, i));
    if (vm->host->branches + (size_t)n > BRANCHES_MAX) task_raise(L, "parallel: more than %d at once", BRANCHES_MAX);
    if (n == 0) {
        lua_pushboolean(L, 1);
        return 1;
    }
    luaL_checkstack(L, LUA_MINSTACK, NULL);

    struct parallel *p = calloc(1, sizeof *p + (size_t)n * sizeof *p->branch);
    if (!p) abort();
    bool capped = vm->capped; /* from here on nothing raises */
    vm->capped = false;
    p->vm = vm;
    p->caller = task;
    p->n = n;
    host_turn_init(&p->turn, on_turn);
    lua_createtable(L, n, 1);
    p->results = luaL_ref(L, LUA_REGISTRYINDEX);
    for (int i = 0; i < n; i++) {
        lua_pushvalue(L, i + 1);
        start_branch(p, &p->branch[i], L);
    }
    vm->capped = capped;
    return task_park(L, parallel_cancel, p);
}

/* What a branch raised is raised as it is: it has its place already, or is no text at all. */
static const char parallel_text[] = "local word, error = ...\n"
                                    "local function settle(good, ...)\n"
                                    "  if good ~= true then error((...), 0) end\n"
                                    "  return ...\n"
                                    "end\n"
                                    "return function(...) return settle(word(...)) end\n";

void parallel_open(lua_State *L) /* stack: words */
{
    if (luaL_loadbuffer(L, parallel_text, sizeof parallel_text - 1, "=[parallel]") != 0) lua_error(L);
    lua_pushcfunction(L, word_parallel);
    lua_getglobal(L, "error");
    lua_call(L, 2, 1);
    lua_setfield(L, -2, "parallel");
}
