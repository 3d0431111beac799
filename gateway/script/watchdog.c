/* script/watchdog.c -- a timer, a signal, and a hook armed from its handler.
 *
 * What the handler touches is `struct watchdog` of its own thread, found through a thread-local pointer (a signal of a timer
 * that was deleted meanwhile finds NULL), and lua_sethook, which LuaJIT keeps safe to call at any instruction. It is armed again at
 * each tick: if a tick should fall into the few instructions where LuaJIT itself writes the hook mask, the next one repairs it. */
#include "script/watchdog.h"

#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define WATCHDOG_SIGNAL     (SIGRTMIN + 1)
#define WATCHDOG_IDLE_TICKS 40 /* 100 ms */
#define WATCHDOG_HOOK_TICK  2

static _Thread_local struct watchdog *volatile mine;

static void set_timer(struct watchdog *w, long us)
{
    struct itimerspec every = {.it_interval = {.tv_nsec = us * 1000}, .it_value = {.tv_nsec = us * 1000}};
    timer_settime(w->timer, 0, &every, NULL);
}

static void on_tick(int sig)
{
    struct watchdog *w = mine;
    if (!w) return;

    if (w->L) {
        w->idle = 0;
        if (++w->ticks < WATCHDOG_HOOK_TICK) return;
        w->hooked = 1;
        lua_sethook(w->L, w->hook, LUA_MASKCOUNT, 1);
    } else if (++w->idle >= WATCHDOG_IDLE_TICKS && w->ticking) {
        int saved = errno;
        set_timer(w, 0);
        errno = saved;
        w->ticking = 0;
    }
}

void watchdog_open(struct watchdog *w)
{
    assert(!mine && "one watchdog a thread");
    memset(w, 0, sizeof *w);
    mine = w;

    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = WATCHDOG_SIGNAL;
    event.sigev_notify_thread_id = (int)syscall(SYS_gettid);

    sigset_t set; /* threads may be started with everything blocked */
    sigemptyset(&set);
    sigaddset(&set, WATCHDOG_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);

    if (sigaction(WATCHDOG_SIGNAL, &action, NULL) != 0 || timer_create(CLOCK_MONOTONIC, &event, &w->timer) != 0) {
        log_error("no timer for the watchdog of handlers", LOG_TEXT("error", strerror(errno)));
        abort();
    }
}

void watchdog_close(struct watchdog *w)
{
    assert(mine == w && !w->L);
    timer_delete(w->timer);
    mine = NULL;
}

void watchdog_enter(struct watchdog *w, lua_State *L, lua_Hook hook)
{
    assert(mine == w && !w->L);
    w->hook = hook;
    w->ticks = 0;
    w->L = L; /* from here on the handler does not stop the timer */
    if (w->ticking) return;
    w->ticking = 1;
    set_timer(w, WATCHDOG_TICK_US);
}

void watchdog_leave(struct watchdog *w)
{
    lua_State *L = w->L;
    w->L = NULL; /* from here on the handler does not arm the hook */
    w->idle = 0;
    if (!w->hooked) return;
    w->hooked = 0;
    lua_sethook(L, NULL, 0, 0);
}
