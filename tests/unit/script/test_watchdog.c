/* Handlers that do not come back: all of them end at their deadline, and the loop's other work goes on meanwhile. */
#include "world.h"

#include "script/watchdog.h"

#include <lualib.h>
#include <time.h>

#ifndef UNDER_TSAN

#define DEADLINE_MS 150
#define PATIENCE_MS 3000 /* for a loaded machine; the deadline must come long before */

/* --- the watchdog alone ------------------------------------------------------------------------------------------- */

static int hooks;
static void on_hook(lua_State *L, lua_Debug *event)
{
    if (++hooks == 3) luaL_error(L, "third");
}

static void test_hook_and_idle(void **state)
{
    struct watchdog w;
    watchdog_open(&w);
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    assert_int_equal(luaL_dostring(L, "jit.off()"), 0);

    assert_int_equal(luaL_loadstring(L, "while true do end"), 0);
    watchdog_enter(&w, L, on_hook);
    assert_true(w.ticking);
    assert_int_equal(lua_pcall(L, 0, 0, 0), LUA_ERRRUN);
    watchdog_leave(&w);
    assert_int_equal(hooks, 3);
    assert_null(lua_gethook(L));

    hooks = 0; /* short runs are left alone */
    assert_int_equal(luaL_loadstring(L, "local n = 0 for i = 1, 100 do n = n + i end"), 0);
    for (int i = 0; i < 1000; i++) {
        lua_pushvalue(L, -1);
        watchdog_enter(&w, L, on_hook);
        assert_int_equal(lua_pcall(L, 0, 0, 0), 0);
        watchdog_leave(&w);
    }
    assert_int_equal(hooks, 0);

    struct timespec nap = {.tv_nsec = 10000000}; /* a signal ends it early */
    for (int i = 0; i < 10000 && w.ticking; i++) nanosleep(&nap, NULL);
    assert_false(w.ticking);
    lua_close(L);
    watchdog_close(&w);
}

/* --- runaway handlers --------------------------------------------------------------------------------------------- */

static int beats;
static void on_beat(uv_timer_t *timer) { beats++; }

static int push_true(void *owner, lua_State *L)
{
    lua_pushboolean(L, 1);
    return 1;
}

/* Runs it against a timer of 1 ms on the same loop, then another handler in the same vm. */
static void runs_away(struct world *w, const char *body, bool preempted)
{
    struct outcome o;
    uv_timer_t timer;
    uv_timer_init(&w->loop, &timer);
    uv_timer_start(&timer, on_beat, 1, 1);
    char whole[1 << 12];
    snprintf(whole, sizeof whole, "if ... then return 'fine ' .. #string.rep('x', 1000) end %s", body);
    struct vm *vm = world_vm(w, whole);

    beats = 0;
    uint64_t began = clock_mono_us();
    world_start(vm, DEADLINE_MS, no_arguments, &o);
    world_wait(w, &o);
    uint64_t ms = (clock_mono_us() - began) / 1000;
    if (o.status != LOADER_TIMEOUT) fail_msg("%s: ended %s: %s", body, status_code(o.status), o.text);
    if (ms < DEADLINE_MS || ms > PATIENCE_MS) fail_msg("%s: ended after %d ms", body, (int)ms);
    if (preempted && beats < 5) fail_msg("%s: neighbours were served %d times", body, beats);

    assert_null(lua_gethook(vm->L)); /* and the vm is as good as new */
    world_start(vm, 20000, push_true, &o);
    world_wait(w, &o);
    assert_ends(o, OK, "fine 1000");
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&w->loop, UV_RUN_NOWAIT);
    vm_retire(vm);
}

static void test_runaways(void **state)
{
    static const char *const bodies[] = {
        "while true do end",
        "while true do pcall(error) end",
        "repeat pcall(function() while true do end end) until false",
        "repeat xpcall(function() while true do end end, function() while true do end end) until false",
        "while true do pcall(pcall, pcall, error) end",
        "local function deep(n) if n == 0 then while true do end end pcall(deep, n - 1) while true do end end "
        "deep(100)",
        "local s = '' while true do s = s .. 'x' if #s > 10000 then s = '' end end",
        "while true do local s = string.rep('ab', 100000) end",
        "local t = {} while true do t[#t + 1] = 1 if #t > 1000 then t = {} end end",
        "local x = setmetatable({}, {__index = function() while true do end end}).x",
        "local x = setmetatable({}, {__concat = function() while true do end end}) .. 'x'",
        "for _ in function() while true do end end do end",
        "local t = {} for i = 1, 1000 do t[i] = i % 7 end while true do table.sort(t, function(a, b) return a < b end) "
        "end",
        "sleep(0.001) while true do end",
        "while true do sleep(0) end",
        "while true do pcall(sleep, 0) end",
        "while true do local ok, e = pcall(sleep, 'never') end",
    };
    struct world *w = world_open();
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) runs_away(w, bodies[i], true);
    world_close(w);
}

/* In a callback of a C function it cannot be left, only ended. */
static void test_runaways_inside_c(void **state)
{
    static const char *const bodies[] = {
        "string.gsub('a', 'a', function() while true do end end)",
        "string.gsub('a', 'a', function() repeat pcall(function() while true do end end) until false end)",
        "local function f() while true do end end string.gsub('a', 'a', function() xpcall(f, f) end) while true do end",
        "while true do pcall(string.gsub, 'a', 'a', function() while true do end end) end",
    };
    struct world *w = world_open();
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) runs_away(w, bodies[i], false);
    world_close(w);
}

/* A preempted handler goes on where it was. */
static void test_preemption_is_invisible(void **state)
{
    struct world *w = world_open();
    assert_ends(world_run(w, 20000, "local n = 0 for i = 1, 2e7 do n = n + i % 3 end return n"), OK, "20000001");
    assert_ends(
        world_run(w, 20000,
                  "return select(2, pcall(function() local n = 0 for i = 1, 2e7 do n = n + 1 end return n end))"),
        OK, "20000000");
    assert_ends(world_run(w, 20000,
                          "local t, out = {}, {} for i = 1, 2e5 do t[i] = (i * 7919) % 200003 end "
                          "table.sort(t, function(a, b) return a < b end) "
                          "for i = 2, #t do assert(t[i - 1] < t[i]) end return 'sorted'"),
                OK, "sorted");
    world_close(w);
}

static void test_deep_recursion_is_an_error(void **state)
{
    struct world *w = world_open();
    assert_ends(world_run(w, 10000, "local function f(n) return 1 + f(n + 1) end return f(1)"), LOADER_ERROR,
                "overflow");
    assert_ends(world_run(w, 10000, "local function f() return {f()} end return f()"), LOADER_ERROR, "overflow");
    assert_ends(world_run(w, 10000, "local t = {} while true do t[#t + 1] = string.rep('x', 1000) .. #t end"),
                LOADER_ERROR, "not enough memory");
    world_close(w);
}

/* Wherever its slices end, also where the stack has no room left: ending it needs none. */
static void test_runaways_on_a_full_stack(void **state)
{
    struct world *w = world_open();
    for (unsigned i = 0; i < 25; i++) {
        struct outcome o =
            world_run(w, 15 + i, "local function f() pcall(f) return f() end while true do pcall(f) end");
        assert_int_equal(o.status, LOADER_TIMEOUT);
    }
    world_close(w);
}

/* Whoever has to find the loop is told where it is. */
static void test_traceback(void **state)
{
    struct world *w = world_open();
    struct outcome o = world_run(w, 50, "local function spin()\n\n while true do end end\n spin()");
    assert_int_equal(o.status, LOADER_TIMEOUT);
    assert_non_null(strstr(o.trace, "in function 'spin'"));
    assert_non_null(strstr(o.trace, "test.lua:4: in function"));
    world_close(w);
}

/* Two that never end and one that only waits: each meets its own deadline. */
static void test_together(void **state)
{
    struct world *w = world_open();
    struct outcome a, b, c;
    struct vm *vm = world_vm(w, "while true do end");
    world_start(vm, 100, no_arguments, &a);
    world_start(vm, 200, no_arguments, &b);
    struct vm *other = world_vm(w, "sleep(0.02) return 'short'");
    world_start(other, 20000, no_arguments, &c);
    world_wait(w, &c);
    assert_ends(c, OK, "short");
    assert_int_equal(a.calls + b.calls, 0); /* 20 ms have passed, not 100 */
    world_wait(w, &a);
    world_wait(w, &b);
    assert_int_equal(a.status, LOADER_TIMEOUT);
    assert_int_equal(b.status, LOADER_TIMEOUT);
    vm_retire(vm);
    vm_retire(other);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hook_and_idle),
        cmocka_unit_test(test_runaways),
        cmocka_unit_test(test_runaways_inside_c),
        cmocka_unit_test(test_preemption_is_invisible),
        cmocka_unit_test(test_deep_recursion_is_an_error),
        cmocka_unit_test(test_runaways_on_a_full_stack),
        cmocka_unit_test(test_traceback),
        cmocka_unit_test(test_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else
int main(void) { return 0; }
#endif
