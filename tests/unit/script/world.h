/* A loop, a host and vms made of one handler, for the tests of tasks and of the words that wait. */
#ifndef PERIGEE_TESTS_WORLD_H
#define PERIGEE_TESTS_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "script/task.h"
#include "script/vm_internal.h"
#include "under_tsan.h"

#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct world {
    uv_loop_t loop;
    struct metrics *metrics;
    struct script_host *host;
    bool closed;
};

static inline struct world *world_open(void)
{
    struct world *w = calloc(1, sizeof *w);
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&w->loop);
    w->metrics = metrics_new();
    w->host = script_host_open(&w->loop, w->metrics);
    return w;
}

static inline void world_closed(void *arg) { ((struct world *)arg)->closed = true; }

/* Fails when a handle is left on the loop. */
static inline void world_close(struct world *w)
{
    script_host_close(w->host, world_closed, w);
    assert_false(w->closed);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_true(w->closed);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    metrics_free(w->metrics);
    free(w);
}

/* A vm of one file; NULL, and its findings, when it does not load. */
static inline struct vm *world_load(struct world *w, const char *text, char *findings, size_t max)
{
    struct source file = {SLICE("test.lua"), SLICE("test"), slice_of(text)};
    struct sources sources = {.file = &file, .files = 1};
    struct vm_config config = {.prefix = SLICE("t"), .hard_timeout_ms = 2000, .memory_max = 64 << 20};
    struct buffer found;
    buffer_init(&found, 1 << 16);
    struct vm *vm = vm_new(&config, &sources, &found);
    snprintf(findings, max, "%.*s", SLICE_ARG(buffer_view(&found)));
    buffer_deinit(&found);
    if (vm) vm_attach(vm, w->host);
    return vm;
}

/* A vm whose handler is `function(...) BODY end`. */
static inline struct vm *world_vm(struct world *w, const char *body)
{
    char text[1 << 14], findings[1024];
    snprintf(text, sizeof text, "model \"T\" { id = key(), from_miss = function(...) %s end }", body);
    struct vm *vm = world_load(w, text, findings, sizeof findings);
    if (!vm) fail_msg("%s", findings);
    return vm;
}

struct outcome {
    int calls;
    enum status status;
    bool cut; /* L was NULL */
    int results;
    char trace[512]; /* after a failure */
    char text[512];  /* the first result, or the error */
    uint64_t at_us;
};

static inline void outcome_done(void *owner, enum status status, lua_State *L, int first)
{
    struct outcome *o = owner;
    o->calls++;
    o->status = status;
    o->at_us = clock_mono_us();
    o->cut = !L;
    if (!L) return;
    if (status != OK) {
        lua_State *main = vm_of(L)->L; /* the handler's own stack may be full */
        luaL_traceback(main, L, NULL, 0);
        snprintf(o->trace, sizeof o->trace, "%s", lua_tostring(main, -1));
        lua_pop(main, 1);
    }
    int at = status == OK ? first : lua_gettop(L);
    o->results = lua_gettop(L) - first + 1;
    if (at == 0) return; /* it has left nothing to look at */
    if (lua_type(L, at) == LUA_TBOOLEAN)
        snprintf(o->text, sizeof o->text, "%s", lua_toboolean(L, at) ? "true" : "false");
    else snprintf(o->text, sizeof o->text, "%s", lua_tostring(L, at) ? lua_tostring(L, at) : luaL_typename(L, at));
}

static inline int no_arguments(void *owner, lua_State *L) { return 0; }

static inline struct task *world_start(struct vm *vm, uint64_t ms, task_arguments *arguments, struct outcome *o)
{
    memset(o, 0, sizeof *o);
    const struct model *m = registry_find(vm_registry(vm), SLICE("T"));
    struct task *t = task_start(vm, m->handler, clock_add(clock_mono_us(), ms * 1000), arguments, outcome_done, o);
    assert_int_equal(o->calls, 0);
    return t;
}

static inline void world_wait(struct world *w, struct outcome *o)
{
    while (!o->calls) uv_run(&w->loop, UV_RUN_ONCE);
    assert_int_equal(o->calls, 1);
}

/* Runs `body` to its end in a vm of its own. */
static inline struct outcome world_run(struct world *w, uint64_t ms, const char *body)
{
    struct outcome o;
    struct vm *vm = world_vm(w, body);
    world_start(vm, ms, no_arguments, &o);
    world_wait(w, &o);
    vm_retire(vm);
    return o;
}

/* The same, printf-like. */
static inline struct outcome world_runf(struct world *w, uint64_t ms, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static inline struct outcome world_runf(struct world *w, uint64_t ms, const char *format, ...)
{
    char body[1 << 13];
    va_list args;
    va_start(args, format);
    vsnprintf(body, sizeof body, format, args);
    va_end(args);
    return world_run(w, ms, body);
}

#define assert_ends(o, wanted, words)                                                                                  \
    do {                                                                                                               \
        struct outcome o_ = (o);                                                                                       \
        if (o_.status != (wanted) || !strstr(o_.text, (words)))                                                        \
            fail_msg("ended %s: %s", status_code(o_.status), o_.text);                                                 \
    } while (0)

#endif
