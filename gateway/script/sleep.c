/* script/sleep.c -- `sleep(seconds)`: an operation that is nothing but a timer. */
#include "script/sleep.h"

#include "base/clock.h"
#include "script/duration.h"
#include "script/host_internal.h"
#include "script/task.h"

#include <lauxlib.h>
#include <stdlib.h>

struct nap {
    struct task *task;
    struct host_timer timer;
};

static void nap_cancel(void *op)
{
    struct nap *nap = op;
    host_timer_stop(task_host(nap->task), &nap->timer);
    free(nap);
}

static int nap_results(void *op, lua_State *L)
{
    free(op);
    return 0;
}

static void on_nap_over(struct host_timer *timer)
{
    struct nap *nap = container_of(timer, struct nap, timer);
    task_wake(nap->task, nap_results, nap);
}

static int word_sleep(lua_State *L) /* stack: duration */
{
    struct task *task = task_for_wait(L, "sleep");
    uint64_t us = duration_check(L, 1, "sleep");

    struct nap *nap = malloc(sizeof *nap);
    if (!nap) abort();
    nap->task = task;
    host_timer_init(&nap->timer, on_nap_over);
    host_timer_set(task_host(task), &nap->timer, clock_add(clock_mono_us(), us));
    return task_park(L, nap_cancel, nap);
}

void sleep_open(lua_State *L) /* stack: words */
{
    task_push_word(L, word_sleep, 0);
    lua_setfield(L, -2, "sleep");
}
