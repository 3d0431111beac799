/* A handler whose memory ends at any of its allocations: the load fails, or the handler has caught it and goes on; the worker lives, nothing
 * leaks, and the next load is as good as the first. */
#include "world.h"

#include "base/log.h"
#include "script/load.h"

#define ALLOCATIONS_MAX 5000

static const char models[] =
    "model 'Other' { id = key(), v = field() }\n"
    "model 'M' { id = key(), s = field(), list = field(), p = packed(), other = reference 'Other', others = references "
    "'Other',\n"
    "  options = { expires = 60, hard_timeout = 20, tags = function(self) return { 'id:' .. self.id } end,\n"
    "    validate = function(self) if #self.s > 1000 then return 's', 'too long' end end },\n"
    "  from_miss = function(self, ctx)\n"
    "    local parts = {}\n"
    "    for i = 1, 50 do parts[i] = ('%d:%s'):format(i, ('x'):rep(i)) end\n"
    "    table.sort(parts, function(a, b) return a > b end)\n"
    "    self.s = table.concat(parts, ','):gsub('x+', function(x) return #x end):sub(1, 100)\n"
    "    self.list = require 'cjson'.decode '[1,{\"a\":[true,null,\"text\"]},12345678901234567890]'\n"
    "    self.p = { [0.5] = { 'deep', { 9007199254740993LL } } }\n"
    "    self.other = Other{ id = 'o' }\n"
    "    self.others = { { id = 'a' }, Other{ id = 'b' } }\n"
    "    pcall(function() return ('y'):rep(2000) .. self.s end)\n"
    "    sleep(0)\n"
    "    ctx.tag 'late'\n"
    "    ctx.expires = '30s'\n"
    "  end }\n";

/* Fails the `left`-th allocation of a handler. */
static struct {
    struct vm *vm;
    lua_Alloc allocate;
    void *ud;
    long left, failed;
} short_of;

static void *allocate(void *ud, void *p, size_t old, size_t n)
{
    if (short_of.vm->capped && n > old && --short_of.left == 0) {
        short_of.failed++;
        return NULL;
    }
    return short_of.allocate(short_of.ud, p, old, n);
}

struct ending {
    int calls;
    enum status status;
};

static void on_done(void *owner, const struct load_result *result)
{
    struct ending *o = owner;
    o->calls++;
    o->status = result->status;
}

static enum status load(struct world *w, struct vm *vm)
{
    struct arena arena;
    struct key_draft draft;
    struct record_key key;
    struct ending o = {0};
    const struct model *m = registry_find(vm_registry(vm), SLICE("M"));
    arena_init(&arena);
    key_draft_init(&draft);
    draft.json[0] = SLICE("\"1\"");
    assert_int_equal(key_finish(m, &draft, &arena, &key, NULL), OK);
    load_start(vm, &key, NULL, NULL, on_done, &o);
    while (!o.calls) uv_run(&w->loop, UV_RUN_ONCE);
    assert_int_equal(o.calls, 1);
    arena_deinit(&arena);
    return o.status;
}

static void test_any_allocation_may_fail(void **state)
{
    char findings[1000] = "";
    struct world *w = world_open();
    struct vm *vm = world_load(w, models, findings, sizeof findings);
    if (!vm) fail_msg("%s", findings);
    assert_int_equal(load(w, vm), OK);
    short_of.vm = vm;
    short_of.left = 0;
    short_of.allocate = lua_getallocf(vm->L, &short_of.ud);
    lua_setallocf(vm->L, allocate, vm);
    long good = 0, bad = 0;
    for (long n = 1; n <= ALLOCATIONS_MAX; n++) {
        long failed = short_of.failed;
        int top = lua_gettop(vm->L);
        short_of.left = n;
        enum status st = load(w, vm);
        assert_int_equal(lua_gettop(vm->L), top);
        if (st != OK && st != LOADER_ERROR) fail_msg("allocation %ld: %s", n, status_code(st));
        if (failed == short_of.failed) { /* it has fewer */
            assert_int_equal(st, OK);
            break;
        }
        good += st == OK;
        bad += st == LOADER_ERROR;
        short_of.left = 0;
        if (n % 50 == 0) assert_int_equal(load(w, vm), OK);
    }
    assert_true(bad > 100);
    assert_true(good > 0); /* what pcall has caught */
    lua_setallocf(vm->L, short_of.allocate, short_of.ud);
    lua_gc(vm->L, LUA_GCCOLLECT, 0);
    assert_int_equal(load(w, vm), OK);
    vm_retire(vm);
    world_close(w);
}

/* At the end of the stack each word of C that writes JSON raises, on the way back from there one after the other. The handler's memory has its bound
 * after that as before, and nothing is held. */
static void test_bound_holds_at_the_end_of_the_stack(void **state)
{
    struct world *w = world_open();
    struct outcome o;
    struct vm *vm = world_vm(w, "local cjson = require 'cjson'\n"
                                "local list, many = {}, {}\n"
                                "for i = 1, 100 do many[i] = i end\n"
                                "local function deep()\n"
                                "  local ok, enough = pcall(deep, unpack(many))\n"
                                "  return ok and enough or pcall(cjson.encode, list)\n"
                                "end\n"
                                "deep()\n"
                                "return #('x'):rep(6 * 2^20)");
    vm->config.memory_max = vm->bytes + (4 << 20);
    world_start(vm, 10000, no_arguments, &o);
    world_wait(w, &o);
    assert_ends(o, LOADER_ERROR, "not enough memory");
    vm_retire(vm);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_allocation_may_fail),
        cmocka_unit_test(test_bound_holds_at_the_end_of_the_stack),
    };
    log_set_level(SLICE("error"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
