/* Tasks: results, errors, waiting, cancelling, deadlines, turns. */
#include "world.h"

static int push_two(void *owner, lua_State *L)
{
    lua_pushliteral(L, "a");
    lua_pushinteger(L, 7);
    return 2;
}

static int raise_early(void *owner, lua_State *L) { return luaL_error(L, "no arguments today"); }

static void test_results(void **state)
{
    struct world *w = world_open();
    struct outcome o;
    struct vm *vm = world_vm(w, "local a, n = ... return a .. n, nil, {}");
    world_start(vm, 1000, push_two, &o);
    world_wait(w, &o);
    assert_ends(o, OK, "a7");
    assert_int_equal(o.results, 3);
    world_start(vm, 1000, raise_early, &o);
    world_wait(w, &o);
    assert_ends(o, LOADER_ERROR, "no arguments today");
    vm_retire(vm);

    o = world_run(w, 1000, "");
    assert_int_equal(o.status, OK);
    assert_int_equal(o.results, 0);
    world_close(w);
}

static void test_errors(void **state)
{
    struct world *w = world_open();
    assert_ends(world_run(w, 1000, "error 'why'"), LOADER_ERROR, "test.lua:1: why");
    assert_ends(world_run(w, 1000, "error({})"), LOADER_ERROR, "table");
    assert_ends(world_run(w, 1000, "sleep(0.001) error 'later'"), LOADER_ERROR, "later");
    assert_ends(world_run(w, 1000, "local ok, e = pcall(function() sleep(0.001) error 'in' end) return e"), OK, "in");
    assert_ends(world_run(w, 5000, "local function f() return f() + 1 end return f()"), LOADER_ERROR, "stack overflow");
    world_close(w);
}

static int push_yield(void *owner, lua_State *L)
{
    lua_getglobal(L, "coroutine");
    return 1;
}

/* What a sandboxed handler cannot do; the resume point holds anyway. */
static void test_wrong_yields(void **state)
{
    struct world *w = world_open();
    struct outcome o;
    struct vm *vm = world_vm(w, "local c = ... c.yield()");
    world_start(vm, 1000, push_yield, &o);
    world_wait(w, &o);
    assert_ends(o, LOADER_ERROR, "a handler must not yield");
    vm_retire(vm);

    vm = world_vm(w, "local c = ... local ok, e = c.resume(c.create(function() sleep(1) end)) return e");
    world_start(vm, 1000, push_yield, &o);
    world_wait(w, &o);
    assert_ends(o, OK, "sleep: cannot wait here: inside a coroutine of the handler's own");
    vm_retire(vm);
    world_close(w);
}

static void test_where_waiting_is_impossible(void **state)
{
    struct world *w = world_open();
    char findings[1024];
    assert_null(world_load(w, "sleep(1)\nmodel \"T\" { id = key() }", findings, sizeof findings));
    assert_non_null(strstr(findings, "sleep: cannot wait here: a schema file does no I/O while it is loaded"));

    assert_ends(
        world_run(w, 1000, "local t = setmetatable({}, {__index = function() sleep(0) return 5 end}) return t.x"), OK,
        "5"); /* LuaJIT yields through metamethods */
    world_close(w);
}

/* Callbacks of the libraries are called from Lua, so waiting in them is like waiting anywhere. */
static void test_callbacks_may_wait(void **state)
{
    struct world *w = world_open();
    assert_ends(world_run(w, 1000, "return (string.gsub('x', 'x', function() sleep(0) return 'y' end))"), OK, "y");
    assert_ends(
        world_run(w, 1000, "local t = {2, 1} table.sort(t, function(a, b) sleep(0) return a < b end) return t[1]"), OK,
        "1");
    world_close(w);
}

static void test_misuse(void **state)
{
    struct world *w = world_open();
    assert_ends(world_run(w, 1000, "sleep()"), LOADER_ERROR, "test.lua:1: sleep: expected a duration");
    assert_ends(world_run(w, 1000, "sleep 'soon'"), LOADER_ERROR, "got another string");
    assert_ends(world_run(w, 1000, "sleep(-1)"), LOADER_ERROR, "sleep: expected");
    assert_ends(world_run(w, 1000, "sleep(0/0)"), LOADER_ERROR, "sleep: expected");
    assert_ends(world_run(w, 1000, "sleep '1ms' return 'up'"), OK, "up");
    world_close(w);
}

/* --- an operation of the test's own ------------------------------------------------------------------------------- */

struct op {
    struct task *task;
    int cancelled;
};
static struct op the_op;

static void op_cancel(void *op) { ((struct op *)op)->cancelled++; }

static int word_op(lua_State *L)
{
    the_op.task = task_for_wait(L, "op");
    return task_park(L, op_cancel, &the_op);
}

static int push_op(void *owner, lua_State *L)
{
    task_push_word(L, word_op, 0);
    return 1;
}

static int op_values(void *op, lua_State *L)
{
    lua_pushnil(L);
    lua_pushliteral(L, "second");
    lua_pushnil(L);
    return 3;
}
static int op_nothing(void *op, lua_State *L) { return 0; }
static int op_raises(void *op, lua_State *L) { return luaL_error(L, "op: %s", "broken"); }
static int op_raises_table(void *op, lua_State *L)
{
    lua_newtable(L);
    return lua_error(L);
}
static int op_greedy(void *op, lua_State *L)
{
    while (lua_newuserdata(L, 8 << 20)) luaL_checkstack(L, 4, NULL);
    return 0;
}

static struct outcome run_op(struct world *w, const char *body, int (*results)(void *op, lua_State *L))
{
    struct outcome o;
    struct vm *vm = world_vm(w, body);
    memset(&the_op, 0, sizeof the_op);
    world_start(vm, 1000, push_op, &o);
    while (!the_op.task) uv_run(&w->loop, UV_RUN_NOWAIT);
    task_wake(the_op.task, results, &the_op);
    world_wait(w, &o);
    assert_int_equal(the_op.cancelled, 0);
    vm_retire(vm);
    return o;
}

static void test_wake(void **state)
{
    struct world *w = world_open();
    struct outcome o = run_op(w, "local op = ... return op()", op_values);
    assert_int_equal(o.results, 3);
    assert_int_equal(run_op(w, "local op = ... return op()", op_nothing).results, 0);
    assert_ends(run_op(w, "local op = ... local a, b = op() return b", op_values), OK, "second");
    assert_ends(run_op(w, "local op = ... op() return 'no'", op_raises), LOADER_ERROR, "test.lua:1: op: broken");
    assert_ends(run_op(w, "local op = ... local ok, e = pcall(op) return e", op_raises), OK, "op: broken");
    assert_ends(
        run_op(w, "local op = ... local ok, e = xpcall(op, function(e) return 'x' .. e end) return e", op_raises), OK,
        "op: broken");
    assert_ends(run_op(w, "local op = ... local ok, e = pcall(op) return type(e)", op_raises_table), OK, "table");
    assert_ends(run_op(w, "local op = ... local ok, e = pcall(op) return e", op_greedy), OK, "not enough memory");
    world_close(w);
}

/* --- many, and their ends ----------------------------------------------------------------------------------------- */

static void test_waits_overlap(void **state)
{
    struct world *w = world_open();
    struct outcome o[30];
    struct vm *vm = world_vm(w, "sleep(0.1) return 'up'");
    uint64_t began = clock_mono_us();
    for (int i = 0; i < 30; i++) world_start(vm, 5000, no_arguments, &o[i]);
    for (int i = 0; i < 30; i++) {
        world_wait(w, &o[i]);
        assert_ends(o[i], OK, "up");
        assert_true(o[i].at_us - began >= 100 * 1000);
    }
    assert_true(clock_mono_us() - began < 1500 * 1000); /* one after the other: 3 s */
    vm_retire(vm);
    world_close(w);
}

static void test_thousands_are_parked(void **state)
{
    enum { N = 5000 };
    struct world *w = world_open();
    struct outcome *o = calloc(N, sizeof *o);
    struct vm *vm = world_vm(w, "sleep(0.05) sleep(0.01)");
    for (int i = 0; i < N; i++) world_start(vm, 60000, no_arguments, &o[i]);
    for (int i = 0; i < N; i++) {
        world_wait(w, &o[i]);
        assert_int_equal(o[i].status, OK);
    }
    vm_retire(vm);
    free(o);
    world_close(w);
}

static void test_deadlines_fire_in_order(void **state)
{
    enum { N = 64 };
    struct world *w = world_open();
    struct outcome o[N];
    uint64_t deadline[N];
    struct vm *vm = world_vm(w, "sleep(60)");
    for (int i = 0; i < N; i++) {
        uint64_t ms = 20 + (unsigned)(i * 37 % N);
        deadline[i] = task_deadline(world_start(vm, ms, no_arguments, &o[i]));
    }
    for (int i = 0; i < N; i++) {
        world_wait(w, &o[i]);
        assert_int_equal(o[i].status, LOADER_TIMEOUT);
        assert_true(o[i].cut);
        assert_true(o[i].at_us >= deadline[i]);
        for (int j = 0; j < i; j++) /* never before one with an earlier deadline */
            if (deadline[i] < deadline[j]) assert_true(o[i].at_us <= o[j].at_us);
    }
    vm_retire(vm);
    world_close(w);
}

static void test_deadline_cancels_the_operation(void **state)
{
    struct world *w = world_open();
    struct outcome o;
    struct vm *vm = world_vm(w, "local op = ... pcall(op) return 'went on'");
    memset(&the_op, 0, sizeof the_op);
    world_start(vm, 20, push_op, &o);
    world_wait(w, &o);
    assert_int_equal(o.status, LOADER_TIMEOUT);
    assert_int_equal(the_op.cancelled, 1);

    world_start(vm, 0, push_op, &o); /* before it has begun */
    world_wait(w, &o);
    assert_int_equal(o.status, LOADER_TIMEOUT);
    vm_retire(vm);
    world_close(w);
}

static void test_cancel(void **state)
{
    struct world *w = world_open();
    struct outcome o;
    struct vm *vm = world_vm(w, "local op = ... if op then op() end while true do end");
    task_cancel(world_start(vm, 1000, push_op, &o)); /* ready */
    uv_run(&w->loop, UV_RUN_NOWAIT);
    assert_int_equal(o.calls, 0);

    memset(&the_op, 0, sizeof the_op);
    struct task *t = world_start(vm, 1000, push_op, &o); /* parked */
    while (!the_op.task) uv_run(&w->loop, UV_RUN_NOWAIT);
    task_cancel(t);
    assert_int_equal(the_op.cancelled, 1);
    assert_int_equal(o.calls, 0);

#ifndef UNDER_TSAN
    t = world_start(vm, 10000, no_arguments, &o); /* preempted */
    for (int i = 0; i < 10; i++) uv_run(&w->loop, UV_RUN_ONCE);
    task_cancel(t);
    assert_int_equal(o.calls, 0);
#endif

    t = world_start(vm, 1000, push_op, &o);
    vm_retire(vm); /* lives as long as its task */
    task_cancel(t);
    world_close(w);
}

/* --- turns -------------------------------------------------------------------------------------------------------- */

#ifndef UNDER_TSAN
static int beats;
static void on_beat(uv_timer_t *timer) { beats++; }

/* Twenty handlers that wake at once and compute: the loop's other work goes on between them. */
static void test_neighbours_are_served(void **state)
{
    struct world *w = world_open();
    struct outcome o[20];
    struct vm *vm = world_vm(w, "sleep(0.02) local t = os.clock() while os.clock() - t < 0.2 do end return 'done'");
    uv_timer_t timer;
    uv_timer_init(&w->loop, &timer);
    uv_timer_start(&timer, on_beat, 1, 1);
    for (int i = 0; i < 20; i++) world_start(vm, 30000, no_arguments, &o[i]);
    beats = 0;
    for (int i = 0; i < 20; i++) {
        world_wait(w, &o[i]);
        assert_ends(o[i], OK, "done");
    }
    assert_true(beats >=
                20); /* 0.2 s of processor time at least; run one after the other they would let it beat hardly ever */
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&w->loop, UV_RUN_NOWAIT);
    vm_retire(vm);
    world_close(w);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_wrong_yields),
        cmocka_unit_test(test_where_waiting_is_impossible),
        cmocka_unit_test(test_callbacks_may_wait),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_wake),
        cmocka_unit_test(test_waits_overlap),
        cmocka_unit_test(test_thousands_are_parked),
        cmocka_unit_test(test_deadlines_fire_in_order),
        cmocka_unit_test(test_deadline_cancels_the_operation),
        cmocka_unit_test(test_cancel),
#ifndef UNDER_TSAN
        cmocka_unit_test(test_neighbours_are_served),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
