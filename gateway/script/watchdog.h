/* script/watchdog.h -- interrupts Lua that does not come back by itself.
 *
 * A POSIX timer signals the worker's own thread every few milliseconds, but only while Lua is being run: watchdog_enter is
 * two stores as long as the timer ticks, and the timer stops by itself after a tenth of a second without Lua. (Arming and disarming it around
 * each resume would cost twenty times the resume.) The second tick that finds the same run arms a debug hook, from the
 * signal handler, the way luajit.c's own Ctrl-C does; what to do then is the hook's affair.
 *
 * One a thread. */
#ifndef PERIGEE_SCRIPT_WATCHDOG_H
#define PERIGEE_SCRIPT_WATCHDOG_H

#include <lua.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>

#define WATCHDOG_TICK_US 2500

struct watchdog {
    timer_t timer;
    lua_State *volatile L; /* runs now, or NULL */
    lua_Hook volatile hook;
    volatile sig_atomic_t ticks;   /* since watchdog_enter */
    volatile sig_atomic_t idle;    /* ticks that found nothing running */
    volatile sig_atomic_t ticking; /* the timer is armed */
    volatile sig_atomic_t hooked;  /* the hook was armed during this run */
};

/* Dies when the kernel grants no timer. Open and close on the thread that runs Lua; w must not move in between. */
void watchdog_open(struct watchdog *w);
void watchdog_close(struct watchdog *w);

/* Between these two `hook` is called, with the event LUA_HOOKCOUNT, once the run has lasted 2.5 to 5 ms (then again and again: at
 * least every tick). After watchdog_leave no hook is set. */
void watchdog_enter(struct watchdog *w, lua_State *L, lua_Hook hook);
void watchdog_leave(struct watchdog *w);

#endif
