/* `parallel`: what runs at once, what it gives, how it ends. */
#include "world.h"

#include "script/host_internal.h"

static void test_results(void **state)
{
    static const char *const bodies[][2] = {
        {"return parallel(function() return 'a' end, function() return 'b', 'c' end)", "a"},
        {"return select('#', parallel(function() end, function() return 1, 2 end, function() return nil end))", "3"},
        {"local a, b, c = parallel(function() end, function() return 1, 2 end, function() return false end) "
         "return tostring(a) .. b .. tostring(c)",
         "nil1false"},
        {"return 'none' .. select('#', parallel())", "none0"},
        {"local list = {} for i = 1, 64 do list[i] = function() sleep(0.0001 * (64 - i)) return i end end "
         "return table.concat({ parallel(unpack(list)) }, ' ')",
         "1 2 3 4 5 6 7 8 9 10 11 12"},
        {"local t = {} local x = parallel(function() return t end) return x == t and 'same' or 'other'", "same"},
        {"local function twice(n) if n == 0 then return 1 end "
         "local a, b = parallel(function() return twice(n - 1) end, function() sleep(0.001) return twice(n - 1) end) "
         "return a + b end return twice(6)",
         "64"},
        {"local function deep(n) if n == 0 then return 'bottom' end return (parallel(function() return deep(n - 1) "
         "end)) end "
         "return deep(1000)",
         "bottom"},
        {"local seen = '' parallel(function() seen = seen .. 1 sleep(0.01) seen = seen .. 3 end, "
         "function() seen = seen .. 2 sleep(0.05) seen = seen .. 4 end) return seen",
         "1234"},
        {"local n = 0 for i = 1, 200 do n = n + parallel(function() return 1 end) end return n", "200"},
        {"local ok, a = pcall(parallel, function() return 'in pcall' end) return a", "in pcall"},
        {"return parallel(function() local n = 0 for i = 1, 3e7 do n = n + 1 end return n end, "
         "function() return 'quick' end)",
         "30000000"},
    };
    struct world *w = world_open();
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        assert_ends(world_run(w, 20000, bodies[i][0]), OK, bodies[i][1]);
    assert_int_equal(w->host->branches, 0);
    world_close(w);
}

/* All have begun before the first of them ends: each waits for what only the next one does. */
static void test_at_once(void **state)
{
    struct world *w = world_open();
    assert_ends(world_runf(w, 10000,
                           "local begun, n = {}, 10 local list = {} "
                           "for i = 1, n do list[i] = function() begun[i] = true "
                           "while not begun[i %% n + 1] do sleep(0.001) end return i end end "
                           "return select('#', parallel(unpack(list)))"),
                OK, "10");
    world_close(w);
}

static void test_errors(void **state)
{
    static const char *const bodies[][2] = {
        {"local ok, e = pcall(parallel, function() error('boom') end) return e", "test.lua:1: boom"},
        {"local ok, e = pcall(parallel, function() sleep(0.001) error({code = 7}) end, function() sleep(100) end) "
         "return e.code",
         "7"},
        {"local ok, e = pcall(parallel, function() error(nil) end) return tostring(ok) .. tostring(e)", "falsenil"},
        {"local after = '' local ok, e = pcall(parallel, function() sleep(0.001) error('first', 0) end, "
         "function() pcall(sleep, 0.01) after = 'ran on' end) sleep(0.05) return e .. after .. '.'",
         "first."},
        {"local ok, e = pcall(parallel, function() error('one', 0) end, function() error('two', 0) end) return e",
         "one"},
        {"local ok, e = pcall(parallel, function() local ok, e = pcall(parallel, function() error('inner', 0) end) "
         "error(e .. '!', 0) end) "
         "return e",
         "inner!"},
        {"local ok, e = pcall(parallel, 1) return e", "parallel: argument 1 must be a function, got number"},
        {"local ok, e = pcall(parallel, function() end, nil) return e",
         "parallel: argument 2 must be a function, got nil"},
        {"local list = {} for i = 1, 65 do list[i] = sleep end local ok, e = pcall(parallel, unpack(list)) return e",
         "parallel: more than 64 functions"},
        {"local function bomb() local list = {} for i = 1, 64 do list[i] = bomb end parallel(unpack(list)) end "
         "local ok, e = pcall(bomb) return e",
         "parallel: more than 4096 at once"},
        {"local function deep(n) return (parallel(function() return deep(n + 1) end)) end local ok, e = pcall(deep, 1) "
         "return e",
         "parallel: more than 4096 at once"},
        {"local ok, e = pcall(parallel, function() local s = 'x' while true do s = s .. s end end) return e",
         "not enough memory"},
    };
    struct world *w = world_open();
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct outcome o = world_run(w, 20000, bodies[i][0]);
        if (o.status != OK || !strstr(o.text, bodies[i][1]))
            fail_msg("%s: %s: %s", bodies[i][0], status_code(o.status), o.text);
        assert_int_equal(w->host->branches, 0);
    }
    assert_ends(world_run(w, 5000, "parallel(function() return nil + 1 end)"), LOADER_ERROR,
                "test.lua:1: attempt to perform arithmetic");

    char findings[1024];
    assert_null(world_load(w, "\nparallel(function() end)", findings, sizeof findings));
    assert_non_null(strstr(findings, "test.lua:2: parallel: cannot wait here: a schema file does no I/O"));
    world_close(w);
}

static void test_deadline(void **state)
{
#ifndef UNDER_TSAN
    static const char *const bodies[] = {
        "parallel(function() sleep(100) end, function() sleep(200) end)",
        "pcall(parallel, function() pcall(sleep, 100) end, function() while true do pcall(error) end end) return 'went "
        "on'",
        "parallel(function() parallel(function() sleep(100) end, function() while true do end end) end, function() "
        "end)",
        "parallel(function() table.sort({3, 2, 1}, function() while true do end end) end, function() sleep(100) end)",
        "while true do pcall(parallel, function() sleep(0.001) error('x') end, function() sleep(100) end) end",
    };
    struct world *w = world_open();
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct outcome o = world_run(w, 60, bodies[i]);
        assert_int_equal(o.status, LOADER_TIMEOUT);
        assert_int_equal(w->host->branches, 0);
    }
    world_close(w);
#endif
}

static void test_cancel_in_every_state(void **state)
{
    static const char *const bodies[] = {
        "parallel(function() sleep(0.002) end, function() sleep(0.001) error('x') end)",
        "parallel(function() end, function() parallel(function() sleep(100) end, function() end) end)",
        "parallel(function() while true do pcall(error) end end, function() sleep(100) end)",
    };
    struct world *w = world_open();
    for (size_t b = 0; b < sizeof bodies / sizeof *bodies; b++) {
        for (int turns = 0; turns < 12; turns++) {
            struct outcome o;
            struct vm *vm = world_vm(w, bodies[b]);
            struct task *t = world_start(vm, 5000, no_arguments, &o);
            for (int i = 0; i < turns; i++) uv_run(&w->loop, UV_RUN_NOWAIT);
            if (!o.calls) task_cancel(t);
            vm_retire(vm);
            assert_int_equal(w->host->branches, 0);
        }
    }
    world_close(w);
}

/* A handler whose models were reloaded meanwhile still may; the vm goes when it has ended. */
static void test_retired_vm(void **state)
{
    struct world *w = world_open();
    for (int raises = 0; raises < 2; raises++) {
        struct outcome o;
        struct vm *vm = world_vm(
            w, raises ? "sleep(0.01) parallel(function() sleep(100) end, function() sleep(0.01) error('late') end)"
                      : "sleep(0.01) return (parallel(function() sleep(0.01) return 'late' end, function() end))");
        world_start(vm, 5000, no_arguments, &o);
        uv_run(&w->loop, UV_RUN_NOWAIT);
        vm_retire(vm);
        world_wait(w, &o);
        assert_ends(o, raises ? LOADER_ERROR : OK, "late");
    }
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_at_once),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_cancel_in_every_state),
        cmocka_unit_test(test_retired_vm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
