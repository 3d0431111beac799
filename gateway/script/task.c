/* script/task.c -- coroutines: started, parked, woken, preempted, stopped.
 *
 * In order of a task's life. task_resume is the only place in the program that enters a handler:
 *
 *     task_start --> READY --on_turn--> RUNNING --task_park--> PARKED --task_wake--> RUNNING ... --> finish --> done
 *                      ^                  |                                                             ^
 *                      +--- preempted ----+                  deadline, in READY and in PARKED: cut -----+
 *
 * A new coroutine for each task: making one (0.3 us) costs less than keeping a list of used ones in order. */
#include "script/task.h"

#include "base/clock.h"
#include "script/host_internal.h"
#include "script/vm_internal.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#define HOOK_EVERY 1000 /* instructions between two looks at a run that cannot be preempted */

struct task {
    struct vm *vm;
    lua_State *L; /* the coroutine */
    int anchor;   /* registry reference that keeps it */
    struct list in_vm;

    enum { READY, RUNNING, PARKED } state;
    struct host_turn turn;    /* READY */
    int n_values;             /* READY: what the resume hands over; on top of L */
    bool begun;               /* has had its arguments */
    void (*cancel)(void *op); /* PARKED: ends what it waits for */
    void *op;

    struct host_timer deadline;
    task_arguments *arguments;
    task_done *done;
    void *owner;
    const struct trail *trail;
    bool preempted;     /* RUNNING: left by the hook */
    bool stopped;       /* RUNNING: past its deadline the hook has raised */
    lua_Alloc allocate; /* while stopped: the state's own */
};

/* What tells the Lua function around a word that the wake was a failure: an address no handler can have. */
static char failed_wake;

/* --- end ---------------------------------------------------------------------------------------------------------- */

static void release(struct task *t)
{
    struct vm *vm = t->vm;
    host_timer_stop(vm->host, &t->deadline);
    host_turn_stop(&t->turn);
    list_remove(&t->in_vm);
    luaL_unref(vm->L, LUA_REGISTRYINDEX, t->anchor);
    free(t);
    vm_task_end(vm); /* may free vm */
}

static void finish(struct task *t, enum status status, lua_State *L)
{
    host_timer_stop(t->vm->host, &t->deadline);
    host_turn_stop(&t->turn);
    t->done(t->owner, status, L, 1);
    release(t);
}

void task_take_error(lua_State *L, lua_State *main)
{
    bool is_below = lua_gettop(L) <= 0; /* the frame in which memory has ended: there LuaJIT may leave it */
    if (is_below) lua_pushliteral(main, "not enough memory");
    else lua_xmove(L, main, 1);
}

static void stop_waiting(struct task *t)
{
    if (t->state == PARKED) t->cancel(t->op);
    t->cancel = NULL;
}

/* Ends a task that does not run, wherever it stands: its coroutine is dropped. One that was computing is shown to `done`: a
 * traceback tells where. Nothing is pushed on it: its stack may be full. */
static void cut(struct task *t)
{
    bool computing = t->state == READY && t->preempted;
    stop_waiting(t);
    finish(t, LOADER_TIMEOUT, computing ? t->L : NULL);
}

static void on_deadline(struct host_timer *timer) { cut(container_of(timer, struct task, deadline)); }

void task_cancel(struct task *t)
{
    assert(t->state != RUNNING);
    stop_waiting(t);
    release(t);
}

/* --- the watchdog's hook ------------------------------------------------------------------------------------------ */

static void *refuse(void *ud, void *p, size_t old, size_t n)
{
    struct vm *vm = ud;
    return n > old ? NULL : vm->running->allocate(ud, p, old, n);
}

/* An error that meets pcall only. An ordinary one would first call the message handler of xpcall, with hooks off: one that
 * loops would never end. "Not enough memory" calls no handler, so for the rest of this run there is none. */
static void raise_past_handlers(struct task *t, lua_State *L)
{
    void *ud;
    lua_Alloc allocate = lua_getallocf(L, &ud);
    if (allocate != refuse) t->allocate = allocate;
    t->stopped = true;
    lua_setallocf(L, refuse, ud);
    lua_sethook(L, lua_gethook(L), LUA_MASKCOUNT, 1); /* again at every instruction, until the task is dead */
    lua_newuserdata(L, 1);
}

/* The run has lasted its slice. Where the coroutine can be left it is left, and goes on after the loop's other work, or, past its
 * deadline, never: no pcall sees anything. Inside a callback of a C function, or a coroutine of the handler's own, it
 * cannot: there it goes on until the deadline, and then an error takes it out to where it can be left. */
static void on_slice_over(lua_State *L, lua_Debug *event)
{
    struct task *t = vm_of(L)->running;
    if (L == t->L && lua_isyieldable(L)) {
        t->preempted = true;
        lua_yield(L, 0);
    } else if (t->stopped || clock_mono_us() >= t->deadline.at_us) {
        raise_past_handlers(t, L);
    } else {
        lua_sethook(L, on_slice_over, LUA_MASKCOUNT, HOOK_EVERY);
    }
}

/* --- running ------------------------------------------------------------------------------------------------------ */

/* Everything of models runs between these two, with the memory cap on; between two runs our own Lua calls never fail. */
static uint64_t enter(struct task *t)
{
    struct vm *vm = t->vm;
    assert(!vm->running && "a task was resumed from within another");
    t->state = RUNNING;
    t->preempted = false;
    vm->running = t;
    watchdog_enter(&vm->host->watchdog, t->L, on_slice_over);
    return clock_mono_us();
}

static void leave(struct task *t, uint64_t since_us)
{
    struct vm *vm = t->vm;
    watchdog_leave(&vm->host->watchdog);
    if (t->stopped) lua_setallocf(vm->L, t->allocate, vm);
    vm->running = NULL;
    vm->host->spent_us += clock_mono_us() - since_us;
}

static enum status failure(const struct task *t)
{
    return t->stopped || clock_mono_us() >= t->deadline.at_us ? LOADER_TIMEOUT : LOADER_ERROR;
}

static void task_resume(struct task *t)
{
    if (clock_mono_us() >= t->deadline.at_us) { /* its timer is about to say the same */
        cut(t);
        return;
    }
    uint64_t since = enter(t);
    t->vm->capped = true;
    int outcome = lua_resume(t->L, t->n_values);
    t->vm->capped = false;
    t->n_values = 0;
    leave(t, since);

    if (outcome == 0) {
        finish(t, OK, t->L);
    } else if (outcome != LUA_YIELD) {
        finish(t, failure(t), t->L);
    } else if (t->state == PARKED) {
        return; /* until task_wake, its deadline, or task_cancel */
    } else if (!t->preempted) {
        lua_settop(t->L, 0); /* room for one more, however deep it stands */
        lua_pushliteral(t->L, "a handler must not yield: coroutine.yield was called outside a coroutine of its own");
        finish(t, LOADER_ERROR, t->L);
    } else if (clock_mono_us() >= t->deadline.at_us) {
        t->state = READY;
        cut(t);
    } else {
        t->state = READY;
        host_turn_ask(t->vm->host, &t->turn);
    }
}

/* A C function of one's choice, called so that what it raises is caught. */
struct protected_call {
    int (*push)(void *arg, lua_State *L);
    void *arg;
};

static int call_protected(lua_State *L) /* stack: call */
{
    struct protected_call *call = lua_touserdata(L, 1);
    lua_settop(L, 0);
    return call->push(call->arg, L);
}

/* Leaves on L what `push` returns, and true; or the error value, and false. */
static bool push_protected(struct vm *vm, lua_State *L, int (*push)(void *arg, lua_State *L), void *arg)
{
    struct protected_call call = {push, arg};
    lua_pushcfunction(L, call_protected);
    lua_pushlightuserdata(L, &call);
    vm->capped = true;
    int outcome = lua_pcall(L, 1, LUA_MULTRET, 0);
    vm->capped = false;
    return outcome == 0;
}

static void on_turn(struct host_turn *turn)
{
    struct task *t = container_of(turn, struct task, turn);
    if (!t->begun) { /* stack of t->L: handler */
        t->begun = true;
        uint64_t since = enter(t);
        bool ok = push_protected(t->vm, t->L, t->arguments, t->owner);
        leave(t, since);
        if (!ok) {
            finish(t, failure(t), t->L);
            return;
        }
        t->n_values = lua_gettop(t->L) - 1;
    }
    task_resume(t);
}

struct task *task_start(struct vm *vm, int handler, uint64_t deadline_us, task_arguments *arguments, task_done *done,
                        void *owner)
{
    struct task *t = calloc(1, sizeof *t);
    if (!t) abort();
    t->vm = vm;
    t->arguments = arguments;
    t->done = done;
    t->owner = owner;

    bool capped = vm->capped; /* a task may start another: parallel */
    vm->capped = false;
    t->L = lua_newthread(vm->L);
    t->anchor = luaL_ref(vm->L, LUA_REGISTRYINDEX);
    lua_rawgeti(t->L, LUA_REGISTRYINDEX, handler);
    vm->capped = capped;

    vm_task_begin(vm);
    list_append(&vm->tasks, &t->in_vm);
    host_turn_init(&t->turn, on_turn);
    host_turn_ask(vm->host, &t->turn);
    host_timer_init(&t->deadline, on_deadline);
    t->deadline.at_us = deadline_us;
    host_timer_set(vm->host, &t->deadline, deadline_us);
    return t;
}

void task_set_trail(struct task *t, const struct trail *trail) { t->trail = trail; }
const struct trail *task_trail(const struct task *t) { return t->trail; }

/* --- waiting ------------------------------------------------------------------------------------------------------ */

struct task *task_current(lua_State *L)
{
    struct task *t = vm_of(L)->running;
    return t && t->L == L && lua_isyieldable(L) ? t : NULL;
}

uint64_t task_deadline(const struct task *t) { return t->deadline.at_us; }
struct script_host *task_host(const struct task *t) { return t->vm->host; }

const char *task_cannot_wait(lua_State *L)
{
    const struct task *running = vm_of(L)->running;
    if (task_current(L)) return NULL;
    return !running          ? "a schema file does no I/O while it is loaded"
           : running->L != L ? "inside a coroutine of the handler's own"
                             : "inside a callback of a C function, such as table.sort's or string.gsub's";
}

struct task *task_for_wait(lua_State *L, const char *word)
{
    const char *why = task_cannot_wait(L);
    if (why) task_raise(L, "%s: cannot wait here: %s", word, why);
    return task_current(L);
}

int task_park(lua_State *L, void (*cancel)(void *op), void *op)
{
    struct task *t = task_current(L);
    assert(t && "parking is only for the task that task_current has found");
    t->state = PARKED;
    t->cancel = cancel;
    t->op = op;
    return lua_yield(L, 0);
}

/* Runs `results` on the main thread (the coroutine is suspended in the middle of a call) and moves what it pushed. */
static void hand_over(struct task *t, int (*results)(void *op, lua_State *L), void *op)
{
    lua_State *L = t->vm->L;
    int base = lua_gettop(L);
    bool ok = push_protected(t->vm, L, results, op);
    t->n_values = lua_gettop(L) - base;
    if (!ok) {
        lua_pushlightuserdata(L, &failed_wake);
        lua_insert(L, -2);
        t->n_values++;
    }
    if (!lua_checkstack(t->L, t->n_values)) abort();
    lua_xmove(L, t->L, t->n_values);
}

void task_wake(struct task *t, int (*results)(void *op, lua_State *L), void *op)
{
    assert(t->state == PARKED && !t->vm->running);
    struct script_host *h = t->vm->host;
    t->cancel = NULL;
    t->state = READY;
    uint64_t since = clock_mono_us();
    hand_over(t, results, op);
    h->spent_us += clock_mono_us() - since;
    if (h->spent_us < HOST_SLICE_US) task_resume(t);
    else host_turn_ask(h, &t->turn);
}

/* --- words -------------------------------------------------------------------------------------------------------- */

static const char word_text[] = "local word, failed, error, select = ...\n"
                                "local function settle(...)\n"
                                "  if (...) == failed then error(select(2, ...), 2) end\n"
                                "  return ...\n"
                                "end\n"
                                "return function(...) return settle(word(...)) end\n";

void task_push_word(lua_State *L, lua_CFunction word, int n) /* stack: n upvalues */
{
    lua_pushcclosure(L, word, n);
    if (luaL_loadbuffer(L, word_text, sizeof word_text - 1, "=[word]") != 0) lua_error(L);
    lua_insert(L, -2);
    lua_pushlightuserdata(L, &failed_wake);
    lua_getglobal(L, "error");
    lua_getglobal(L, "select");
    lua_call(L, 4, 1);
}

int task_raise(lua_State *L, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    luaL_where(L, 2); /* 0: the word, 1: the function around it */
    lua_pushstring(L, text);
    lua_concat(L, 2);
    return lua_error(L);
}
