/* Many loads in one call of from_misses: who shares a call, and that each load has its own end. */
#include "script/load.h"

#include "script/ask.h"
#include "under_tsan.h"
#include "world.h"

#define MANY 250

struct loaded {
    int calls;
    enum status status;
    char text[128], detail[200], path[64], log[700];
    uint64_t expires_ms;
    struct load *load;
    struct loaded *cancels; /* when this one is told */
    struct record_key *starts;
    struct vm *vm;
};

struct bench {
    struct world *world;
    struct vm *vm;
    const struct model *model;
    struct arena arena;
    struct loaded loaded[MANY];
    struct ask_gateway gateway;
    struct ask *ask; /* that was asked last */
};

static void on_loaded(void *owner, const struct load_result *r)
{
    struct loaded *l = owner;
    l->calls++;
    l->load = NULL;
    l->status = r->status;
    l->expires_ms = r->expires_ms;
    snprintf(l->text, sizeof l->text, "%.*s", SLICE_ARG(r->text));
    snprintf(l->log, sizeof l->log, "%.*s", SLICE_ARG(r->log));
    snprintf(l->detail, sizeof l->detail, "%s", r->problem.detail);
    snprintf(l->path, sizeof l->path, "%s", r->problem.path);
    if (l->cancels) {
        load_cancel(l->cancels->load);
        l->cancels->load = NULL;
    }
    if (l->starts) l->load = load_start(l->vm, l->starts, NULL, NULL, on_loaded, l);
    l->starts = NULL;
}

static struct bench *bench_open(const char *text)
{
    struct bench *b = calloc(1, sizeof *b);
    char findings[1024];
    b->world = world_open();
    b->vm = world_load(b->world, text, findings, sizeof findings);
    if (!b->vm) fail_msg("%s", findings);
    b->model = registry_find(vm_registry(b->vm), SLICE("M"));
    arena_init(&b->arena);
    return b;
}

/* The vm frees itself when its last task has ended, else handles are left. */
static void bench_close(struct bench *b)
{
    assert_int_equal(b->vm->n_tasks, 0);
    assert_int_equal(lua_gettop(b->vm->L), 0);
    assert_true(list_empty(&b->vm->batches));
    vm_retire(b->vm);
    world_close(b->world);
    arena_deinit(&b->arena);
    free(b);
}

static struct record_key key(struct bench *b, int id)
{
    struct key_draft draft;
    struct record_key key;
    struct problem why;
    char text[16];
    snprintf(text, sizeof text, "%d", id);
    key_draft_init(&draft);
    struct slice value = arena_dup(&b->arena, slice_of(text));
    assert_int_equal(key_set_text(b->model, &draft, SLICE("id"), value, &b->arena, &why), OK);
    assert_int_equal(key_finish(b->model, &draft, &b->arena, &key, &why), OK);
    return key;
}

static struct loaded *start_with(struct bench *b, int id, const struct envelope *old, const struct trail *trail)
{
    struct record_key k = key(b, id);
    struct loaded *l = &b->loaded[id];
    memset(l, 0, sizeof *l);
    l->load = load_start(b->vm, &k, old, trail, on_loaded, l);
    assert_int_equal(l->calls, 0);
    return l;
}

static struct loaded *start(struct bench *b, int id) { return start_with(b, id, NULL, NULL); }

static void cancel(struct loaded *l)
{
    load_cancel(l->load);
    l->load = NULL;
}

/* Until none of the first n is under way. */
static void wait_all(struct bench *b, int n)
{
    for (int i = 0; i < n; i++)
        while (b->loaded[i].load) uv_run(&b->world->loop, UV_RUN_ONCE);
}

#define assert_text(l, wanted)                                                                                         \
    do {                                                                                                               \
        assert_int_equal((l)->calls, 1);                                                                               \
        if ((l)->status != OK) fail_msg("%s: %s", (l)->detail, (l)->log);                                              \
        assert_string_equal((l)->text, wanted);                                                                        \
    } while (0)

/* Its v is [the number of the call, how many it was for, its position]. */
#define COUNTING                                                                                                       \
    "local calls = 0\n"                                                                                                \
    "local function each(list)\n"                                                                                      \
    "  calls = calls + 1\n"                                                                                            \
    "  for i, item in ipairs(list) do item.v = { calls, #list, i } end\n"                                              \
    "end\n"                                                                                                            \
    "model 'M' { id = key{ type = 'integer' }, v = field(), r = reference{ 'self', missing = 'null' },\n"

static void assert_counts(struct bench *b, int id, int call, int size, int position)
{
    char text[64];
    snprintf(text, sizeof text, "{\"id\":%d,\"v\":[%d,%d,%d]}", id, call, size, position);
    assert_text(&b->loaded[id], text);
}

static void test_sizes(void **state)
{
    static const int sizes[] = {1, 2, 100, 101, MANY};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        struct bench *b = bench_open(COUNTING "options = { expires = 1, hard_timeout = 20 },\n"
                                              "from_misses = function(list) sleep(0) each(list) end }");
        int n = sizes[s];
        for (int i = 0; i < n; i++) start(b, i);
        uint64_t batch = load_batch(b->loaded[0].load);
        assert_true(batch != 0);
        for (int i = 0; i < n; i++) assert_int_equal(load_batch(b->loaded[i].load) == batch, i < LOAD_TOGETHER_MAX);
        wait_all(b, n);
        for (int i = 0; i < n; i++) {
            int call = i / LOAD_TOGETHER_MAX, rest = n - call * LOAD_TOGETHER_MAX;
            assert_counts(b, i, call + 1, rest < LOAD_TOGETHER_MAX ? rest : LOAD_TOGETHER_MAX,
                          i % LOAD_TOGETHER_MAX + 1);
        }
        bench_close(b);
    }
}

/* Who comes when the call has begun has the next one. */
static void test_later_ones(void **state)
{
    struct bench *b = bench_open(COUNTING "options = { expires = 1, hard_timeout = 20 },\n"
                                          "from_misses = function(list) each(list) sleep(0.01) end }");
    start(b, 0);
    start(b, 1);
    while (!list_empty(&b->vm->batches)) uv_run(&b->world->loop, UV_RUN_NOWAIT);
    start(b, 2);
    assert_true(load_batch(b->loaded[2].load) != load_batch(b->loaded[0].load));
    wait_all(b, 3);
    assert_counts(b, 0, 1, 2, 1);
    assert_counts(b, 1, 1, 2, 2);
    assert_counts(b, 2, 2, 1, 1);
    bench_close(b);
}

static void test_models_apart(void **state)
{
    struct bench *b = bench_open(COUNTING "options = { expires = 1, hard_timeout = 20 }, from_misses = each }\n"
                                          "model 'N' { id = key{ type = 'integer' }, v = field(),\n"
                                          "  options = { expires = 1 }, from_misses = each }");
    const struct model *m = b->model, *n = registry_find(vm_registry(b->vm), SLICE("N"));
    for (int i = 0; i < 6; i++) {
        b->model = i % 2 ? n : m;
        start(b, i);
    }
    wait_all(b, 6);
    for (int i = 0; i < 6; i++) assert_counts(b, i, i % 2 + 1, 3, i / 2 + 1);
    bench_close(b);
}

static void test_cancel(void **state)
{
    struct bench *b = bench_open(COUNTING "options = { expires = 1, hard_timeout = 20 },\n"
                                          "from_misses = function(list) each(list) sleep(0.01) end }");
    for (int i = 0; i < 5; i++) start(b, i); /* before it has begun: the others move up */
    cancel(&b->loaded[0]);
    cancel(&b->loaded[3]);
    wait_all(b, 5);
    assert_counts(b, 1, 1, 3, 1);
    assert_counts(b, 2, 1, 3, 2);
    assert_counts(b, 4, 1, 3, 3);

    for (int i = 0; i < 4; i++) start(b, i); /* while it waits: their results are dropped */
    while (!list_empty(&b->vm->batches)) uv_run(&b->world->loop, UV_RUN_NOWAIT);
    cancel(&b->loaded[0]);
    cancel(&b->loaded[2]);
    wait_all(b, 4);
    assert_counts(b, 1, 2, 4, 2);
    assert_counts(b, 3, 2, 4, 4);

    for (int round = 0; round < 2; round++) { /* all: the task ends with the last */
        for (int i = 0; i < 3; i++) start(b, i);
        for (int i = 0; round && i < 5; i++) uv_run(&b->world->loop, UV_RUN_NOWAIT);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(b->vm->n_tasks, 1);
            cancel(&b->loaded[i]);
        }
        assert_int_equal(b->vm->n_tasks, 0);
    }
    start(b, 5); /* in a call of its own */
    wait_all(b, 6);
    assert_counts(b, 5, 4, 1, 1);

    for (int i = 0; i < 4; i++) start(b, i); /* the first to be told ends two others; one begins anew */
    struct record_key again = key(b, 3);
    b->loaded[0].cancels = &b->loaded[1];
    b->loaded[2].starts = &again;
    b->loaded[2].vm = b->vm;
    wait_all(b, 4);
    assert_int_equal(b->loaded[1].calls, 0);
    assert_int_equal(b->loaded[2].calls, 2);
    assert_string_equal(b->loaded[2].text, "{\"id\":3,\"v\":[6,1,1]}");
    assert_counts(b, 3, 5, 4, 4);
    bench_close(b);
}

/* A retired vm goes with its last batch. */
static void test_retired(void **state)
{
    struct bench *b = bench_open(COUNTING "options = { expires = 1, hard_timeout = 20 }, from_misses = each }");
    for (int i = 0; i < 3; i++) start(b, i);
    vm_retire(b->vm);
    wait_all(b, 3);
    assert_counts(b, 2, 1, 3, 3);
    world_close(b->world);
    arena_deinit(&b->arena);
    free(b);
}

static void assert_failure(const struct loaded *l, const char *detail, const char *path, const char *log)
{
    assert_int_equal(l->calls, 1);
    assert_int_equal(l->status, LOADER_ERROR);
    assert_string_equal(l->detail, detail);
    assert_string_equal(l->path, path);
    if (!strstr(l->log, log)) fail_msg("%s", l->log);
}

static void test_each_its_own(void **state)
{
    struct bench *b =
        bench_open(COUNTING "options = { expires = 1, hard_timeout = 20, validate = function(self)\n"
                            "  if self.id == 6 then error 'secret' end if self.id == 7 then return 'v', 'seven' end\n"
                            "  if self.id == 8 then error { secret = 1 } end end },\n"
                            "from_misses = function(list, ctx)\n"
                            "  ctx.expires = 5\n"
                            "  list[4].v = 0 / 0\n"
                            "  list[5].v = ('x'):rep(2^20)\n"
                            "  list[6].r = { id = 9 }\n"
                            "  list[10].r = list[8]\n"
                            "  return { [2] = missing, [3] = failed 'the row is \\195\\169 secret' }\n"
                            "end }");
    for (int i = 0; i < 10; i++) start(b, i);
    wait_all(b, 10);
    assert_text(&b->loaded[0], "{\"id\":0}");
    assert_true(b->loaded[0].expires_ms == 5000);
    assert_int_equal(b->loaded[1].status, MISSING);
    assert_true(b->loaded[1].expires_ms == 5000);
    assert_failure(&b->loaded[2], "the loader of model `M` failed", "", "the row is \xc3\xa9 secret");
    assert_failure(&b->loaded[3], "the loader of model `M` failed: it set field `v` to what JSON cannot say", "v",
                   "field `v`: NaN");
    assert_failure(&b->loaded[4], "the loader of model `M` failed: it set field `v` to what JSON cannot say", "v",
                   "1 MiB");
    assert_text(&b->loaded[5], "{\"id\":5,\"r\":{\"id\":9,\"$ref\":\"/models/M?id=9\"}}");
    assert_failure(&b->loaded[6], "the loader of model `M` failed", "", "test.lua:8: secret | at test.lua:8");
    assert_failure(&b->loaded[7], "the loader of model `M` failed: `validate` has refused field `v`", "v",
                   "validate: field `v`: seven");
    assert_failure(&b->loaded[8], "the loader of model `M` failed", "", "raised a table value | at test.lua:9");
    assert_text(&b->loaded[9], "{\"id\":9,\"r\":{\"id\":7,\"$ref\":\"/models/M?id=7\"}}");
    bench_close(b);
}

/* What the whole call comes to is told to each. */
static void test_all_alike(void **state)
{
    struct bench *b =
        bench_open(COUNTING "options = { expires = 1, hard_timeout = 0.2 }, from_misses = function(list)\n"
                            "  if list[1].id == 0 then error 'secret' end\n"
                            "  if list[1].id == 1 then return { 5 } end\n"
                            "  if list[1].id == 2 then sleep(30) end\n"
                            "  if list[1].id == 3 then while true do end end\n"
                            "  if list[1].id == 4 then error {} end\n"
                            "  if list[1].id == 5 then error(setmetatable({}, { __tostring = error })) end\n"
                            "  for _, item in ipairs(list) do item.w = 1 end end }");
    static const char *const details[] = {
        "the loader of model `M` failed",
        "the loader of model `M` failed: it returned something else than a table of `missing` and `failed`",
        "the loader of model `M` took longer than 200 ms",
        "the loader of model `M` took longer than 200 ms",
        "the loader of model `M` failed",
        "the loader of model `M` failed",
        "the loader of model `M` failed",
    };
    static const char *const logs[] = {
        "test.lua:8: secret | at test.lua:8",
        "from_misses returned a table with a number at 1; it returns nothing, or",
        "stopped after 200 ms, while it waited",
        "stopped after 200 ms | at test.lua:11",
        "the handler raised a table value | at test.lua:12",
        "the handler raised a table value | at test.lua:13",
        "test.lua:14: model `M` has no key or field `w`",
    };
    for (int first = 0; first < 7; first++) {
#ifdef UNDER_TSAN
        if (first == 3) continue; /* it would compute for ever */
#endif
        start(b, first);
        start(b, 10);
        wait_all(b, 11);
        for (int i = first; i <= 10; i += 10 - first) {
            const struct loaded *l = &b->loaded[i];
            assert_int_equal(l->calls, 1);
            assert_int_equal(l->status, first == 2 || first == 3 ? LOADER_TIMEOUT : LOADER_ERROR);
            assert_string_equal(l->detail, details[first]);
            if (!strstr(l->log, logs[first])) fail_msg("%s", l->log);
        }
    }
    bench_close(b);
}

/* Its time may be over before it has had its first turn. */
static void test_late_before_its_turn(void **state)
{
    struct bench *b = bench_open(COUNTING "options = { expires = 1, hard_timeout = '1ms' }, from_misses = each }");
    start(b, 0);
    start(b, 1);
    uint64_t since = clock_mono_us();
    while (clock_mono_us() < since + 5000) continue;
    wait_all(b, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(b->loaded[i].calls, 1);
        assert_int_equal(b->loaded[i].status, LOADER_TIMEOUT);
    }
    bench_close(b);
}

static void test_both(void **state)
{
    struct bench *b = bench_open(
        COUNTING "options = { expires = 1, hard_timeout = 20 }, from_misses = each, from_miss = function(self, ctx)\n"
                 "  if self.id == 1 then return missing end\n"
                 "  if self.id == 2 then error 'alone' end\n"
                 "  if self.id == 3 then return ctx.not_modified() end\n"
                 "  self.v = ctx.stale and ctx.stale.v or 'alone' end }");
    struct envelope old = {.text = SLICE("{\"id\":0,\"v\":\"old\"}")};
    start(b, 0);
    wait_all(b, 1);
    assert_text(&b->loaded[0], "{\"id\":0,\"v\":\"alone\"}");
    start_with(b, 0, &old, NULL);
    wait_all(b, 1);
    assert_text(&b->loaded[0], "{\"id\":0,\"v\":\"old\"}");
    start(b, 1);
    wait_all(b, 2);
    assert_int_equal(b->loaded[1].status, MISSING);
    start(b, 2);
    wait_all(b, 3);
    assert_failure(&b->loaded[2], "the loader of model `M` failed", "", "test.lua:9: alone | at test.lua:9");
    start(b, 3);
    wait_all(b, 4);
    assert_failure(&b->loaded[3], "the loader of model `M` failed", "", "there is no old record");
    start_with(b, 3, &old, NULL);
    wait_all(b, 4);
    assert_text(&b->loaded[3], ""); /* it holds */
    start(b, 0);
    start_with(b, 1, &old, NULL);
    wait_all(b, 2);
    assert_counts(b, 0, 1, 2, 1);
    assert_counts(b, 1, 1, 2, 2);
    start(b, 0); /* two come, one stays */
    cancel(start(b, 1));
    wait_all(b, 2);
    assert_text(&b->loaded[0], "{\"id\":0,\"v\":\"alone\"}");
    bench_close(b);
}

/* --- trails ------------------------------------------------------------------------------------------------------- */

static void take_ask(void *owner, struct ask *a) { ((struct bench *)owner)->ask = a; }
static void leave_ask(void *owner, struct ask *a) { ((struct bench *)owner)->ask = NULL; }

static struct trail asked_trail(struct bench *b, int n)
{
    b->ask = NULL;
    while (!b->ask) uv_run(&b->world->loop, UV_RUN_ONCE);
    struct trail trail = *b->ask->trail;
    for (int i = 0; i < n; i++) cancel(&b->loaded[i]);
    assert_null(b->ask);
    return trail;
}

static void test_trails(void **state)
{
    struct bench *b = bench_open(COUNTING "options = { expires = 1, hard_timeout = 20 },\n"
                                          "from_misses = function(list) M.get{ id = 99 } end }");
    b->gateway = (struct ask_gateway){.owner = b, .start = take_ask, .cancel = leave_ask};
    script_host_set_gateway(b->world->host, &b->gateway);

    struct trail alone = {.request = 7, .n = 3, .load = {1, 2, 3}};
    start_with(b, 0, NULL, &alone);
    uint64_t batch = load_batch(b->loaded[0].load);
    struct trail t = asked_trail(b, 1);
    assert_true(t.request == 7 && t.batch == batch && t.n == 3 && !memcmp(t.load, alone.load, 3 * sizeof *t.load));

    struct trail other = {.request = 8, .n = 1, .load = {4}}; /* the longest way, then who else is loaded */
    start_with(b, 0, NULL, &other);
    start_with(b, 1, NULL, &alone);
    start(b, 2);
    t = asked_trail(b, 3);
    assert_true(t.request == 8 && t.n == 4 && trail_has(&t, 3) && trail_has(&t, 4) && trail_has(&t, 1));

    for (int i = 0; i < 50; i++) { /* there is room for what they ask for */
        other.load[0] = 100 + (uint64_t)i;
        start_with(b, i, NULL, &other);
    }
    t = asked_trail(b, 50);
    assert_true(t.n == TRAIL_MAX / 2 && trail_has(&t, 100) && trail_has(&t, 101) && !trail_has(&t, 149));

    struct trail full = {.n = TRAIL_MAX}; /* what is full stays full */
    start_with(b, 0, NULL, &other);
    start_with(b, 1, NULL, &full);
    assert_int_equal(asked_trail(b, 2).n, TRAIL_MAX);
    assert_int_equal(trail_with(&t, 5).batch, 0);
    bench_close(b);
}

/* Memory ends at any point of a call: its loads fail, together or one by one; nothing leaks (LSan), and the next call succeeds. */
static void test_out_of_memory(void **state)
{
    struct bench *b = bench_open(COUNTING "options = { expires = 1, hard_timeout = 20,\n"
                                          "  validate = function(self) local s = ('x'):rep(200) .. self.id end },\n"
                                          "from_misses = function(list) sleep(0) each(list) return { missing } end }");
    size_t max = b->vm->config.memory_max;
    int good = 0, bad = 0, apart = 0;
    for (size_t room = 0; room < 40000; room += 96) {
        lua_gc(b->vm->L, LUA_GCCOLLECT, 0);
        b->vm->config.memory_max = b->vm->bytes + room;
        for (int i = 0; i < 3; i++) start(b, i);
        wait_all(b, 3);
        for (int i = 0; i < 3; i++) assert_int_equal(b->loaded[i].calls, 1);
        bool failed = b->loaded[0].status == LOADER_ERROR, other = b->loaded[2].status == LOADER_ERROR;
        assert_true(failed || b->loaded[0].status == MISSING);
        assert_true(other || b->loaded[2].status == OK);
        *(failed && other ? &bad : failed || other ? &apart : &good) += 1;
    }
    assert_in_range(good, 10, 410);
    assert_in_range(bad, 10, 410);
    b->vm->config.memory_max = max;
    start(b, 0);
    start(b, 1);
    wait_all(b, 2);
    assert_int_equal(b->loaded[0].status, MISSING);
    assert_int_equal(b->loaded[1].status, OK);
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),         cmocka_unit_test(test_later_ones),
        cmocka_unit_test(test_models_apart),  cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_retired),       cmocka_unit_test(test_each_its_own),
        cmocka_unit_test(test_all_alike),     cmocka_unit_test(test_late_before_its_turn),
        cmocka_unit_test(test_both),          cmocka_unit_test(test_trails),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
