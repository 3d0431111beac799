/* script/task.h -- coroutines: the only place that resumes Lua.
 *
 * A handler runs as a task. A C function that must wait starts its operation and ends with `return task_park(...)`; when the
 * operation is done it calls task_wake, and the task goes on from the loop's turn, through the one resume point. If the task is
 * stopped first (deadline, cancelled), its cancel hook is called and the operation must not wake it any more.
 *
 * The watchdog: a task that computes longer than a slice (5 ms) is preempted -- a signal arms a debug hook, the hook yields --
 * and goes on after the loop has served its neighbours; past its deadline the hook raises at every instruction until the task is
 * dead, so that no pcall can swallow it. Handlers run with the JIT off for that reason (a compiled loop never sees the hook). */
#ifndef PERIGEE_SCRIPT_TASK_H
#define PERIGEE_SCRIPT_TASK_H

#include "base/status.h"
#include "script/trail.h"
#include "script/vm.h"

#include <lua.h>

struct task;

/* How a task ended. On OK, `L` holds its results from `first` to the top; on LOADER_ERROR the error value is at the top; on
 * LOADER_TIMEOUT L is there to see where the handler stood, or NULL when it had not begun or was waiting. Runs on the loop, never inside task_start. The task is freed when it returns. */
typedef void task_done(void *owner, enum status status, lua_State *L, int first);

/* Pushes the error value of a task that has ended in LOADER_ERROR, whose stack may be full, on the state's main thread. */
void task_take_error(lua_State *L, lua_State *main);

/* Pushes the handler's arguments on L and returns how many; may raise (the task then ends in LOADER_ERROR). */
typedef int task_arguments(void *owner, lua_State *L);

/* `handler`: a registry reference to a function. `deadline_us`: on clock_mono_us. The first resume happens on the loop, later. */
struct task *task_start(struct vm *vm, int handler, uint64_t deadline_us, task_arguments *arguments, task_done *done,
                        void *owner);

/* The loads that have led to this task; borrowed for as long as it lives. Until it is set there are none. What the task asks of the
 * gateway (ask.h) goes on from there. */
void task_set_trail(struct task *t, const struct trail *trail);
const struct trail *task_trail(const struct task *t);

/* Ends it without calling done. */
void task_cancel(struct task *t);

/* The task that runs on L and may wait now, or NULL: load time, a coroutine of the handler's own making, or a callback of a C
 * function (table.sort, string.gsub) that cannot be left and entered again. */
struct task *task_current(lua_State *L);

/* Why task_current gives NULL, in words; NULL when it does not. */
const char *task_cannot_wait(lua_State *L);

/* The same, but raises "WORD: cannot wait here: ..." instead of returning NULL: the first paragraph of every word that waits. */
struct task *task_for_wait(lua_State *L, const char *word);

/* Pushes `word`, with n upvalues taken from the stack, as handlers call it. Every word whose `results` (below) can raise must
 * be pushed so: Lua gives a C function no way to raise after a yield, hence a small Lua function around it does. Misuse
 * found before parking is raised with task_raise, which knows of that function. */
void task_push_word(lua_State *L, lua_CFunction word, int n);

/* Raises at the line that called the word. */
int task_raise(lua_State *L, const char *format, ...) __attribute__((format(printf, 2, 3)));

uint64_t task_deadline(const struct task *t);
struct script_host *task_host(const struct task *t);

/* Parks the running task, which task_current has found: `return task_park(L, cancel, op);`. */
int task_park(lua_State *L, void (*cancel)(void *op), void *op);

/* Lets a parked task go on: `results(op, L)` pushes what the parked call returns (or raises with lua_error) and must give back
 * the operation. Safe from any callback on the loop. `results` runs within the call, on a thread of the same state; the resume
 * too, or in one of the loop's next turns when woken tasks have had this turn's slice already. */
void task_wake(struct task *t, int (*results)(void *op, lua_State *L), void *op);

#endif
