/* What may be packed, and base64: by way of the Lua half, as records use it. */
#include "world.h"

/* The handler gets { seal =, open = } of perigee.pack and the functions of C for it. */
static int push_pack(void *owner, lua_State *L)
{
    lua_getglobal(L, "require");
    lua_pushstring(L, "perigee.pack");
    lua_call(L, 1, 1);
    lua_getglobal(L, "require");
    lua_pushstring(L, "perigee.core");
    lua_call(L, 1, 1);
    return 2;
}

static void check(struct world *w, const char *body, const char *text)
{
    struct outcome o;
    char whole[4096];
    snprintf(whole, sizeof whole, "local pack, core = ... %s", body);
    struct vm *vm = world_vm(w, whole);
    world_start(vm, 5000, push_pack, &o);
    world_wait(w, &o);
    vm_retire(vm);
    if (o.status != OK || strcmp(o.text, text) != 0) fail_msg("%s: %s: %s", body, status_code(o.status), o.text);
}

static void test_round_trip(void **state)
{
    struct world *w = world_open();
    check(w, "return pack.open(pack.seal('bytes\\0\\255'))", "bytes");
    check(w, "return #pack.open(pack.seal('bytes\\0\\255'))", "7");
    check(w, "return pack.open(pack.seal(1.5))", "1.5");
    check(w, "return tostring(pack.open(pack.seal(9007199254740993LL)))", "9007199254740993LL");
    check(w, "return tostring(pack.open(pack.seal(18446744073709551615ULL)))", "18446744073709551615ULL");
    check(w, "return pack.open(pack.seal { [3] = true, [{}] = 1, [true] = { x = 'deep' } })[true].x", "deep");
    check(w, "return pack.open(pack.seal { 1, nil, 3 })[3]", "3");
    check(w, "return tostring(pack.open(pack.seal { null })[1])", "userdata: NULL");
    check(w, "return getmetatable(pack.open(pack.seal { array() })[1])", "array"); /* [] stays [] */
    check(w, "return tostring(getmetatable(pack.open(pack.seal { {} })[1]))", "nil");
    check(w, "local a = {} return #pack.open(pack.seal { a, a })", "2");
    world_close(w);
}

static void test_faults(void **state)
{
    struct world *w = world_open();
    check(w, "return select(2, pack.seal(error))", "a function cannot be packed");
    check(w, "return select(2, pack.seal { x = { missing } })", "a userdata cannot be packed");
    check(w, "return select(2, pack.seal { [error] = 1 })", "a function cannot be packed");
    check(w, "return select(2, pack.seal { setmetatable({}, {}) })", "a table with a metatable cannot be packed");
    check(w, "local t = {} t[1] = t return select(2, pack.seal(t))",
          "nested too deep, or a table that contains itself");
    check(w, "local t = {} for i = 1, 60 do t = { t } end local _, fault = pack.seal(t) return tostring(fault)", "nil");
    check(w, "local t = {} for i = 1, 60 do t = { t, t } end return select(2, pack.seal(t))", "too large to be packed");
    check(w, "return select(2, pack.seal(T))", "a table with a metatable cannot be packed");
    world_close(w);
}

static void test_base64(void **state)
{
    struct world *w = world_open();
    check(w, "return core.base64('') .. core.base64('f') .. core.base64('fo') .. core.base64('foo')", "Zg==Zm8=Zm9v");
    check(w, "return core.base64('\\251\\255\\0')", "+/8A");
    check(w, "return core.unbase64('Zm9vYg==') .. core.unbase64('Zm8=') .. core.unbase64('')", "foobfo");
    check(
        w,
        "for n = 0, 300 do local s = {} for i = 1, n do s[i] = string.char((i * 7 + n) % 256) end s = table.concat(s)\n"
        "if core.unbase64(core.base64(s)) ~= s then error(n) end end return 'same'",
        "same");
    for (const char *const *wrong = (const char *const[]){"Z", "Zg", "Zg=", "=Zg=", "Z===", "Zm8=Zm8=", "Zm9\\\\0",
                                                          "Zm-_", "Zm9v\\n", "Z\\195\\1699", NULL};
         *wrong; wrong++) {
        char body[128];
        snprintf(body, sizeof body, "return tostring(core.unbase64('%s'))", *wrong);
        check(w, body, "nil");
    }
    world_close(w);
}

/* What a store gives back is not believed. */
static void test_damaged(void **state)
{
    struct world *w = world_open();
    check(w,
          "local good = pack.seal { 1, { x = 'text' }, 2.5 }['$packed'] local n = 0\n"
          "for i = 1, #good do for _, c in ipairs { 'A', '/', 'z' } do\n"
          "  pack.open { ['$packed'] = good:sub(1, i - 1) .. c .. good:sub(i + 1) } n = n + 1 end\n"
          "  pack.open { ['$packed'] = good:sub(1, i) } end return n > 0 and 'lives'",
          "lives");
    check(w, "return tostring(pack.open { ['$packed'] = pack.seal('x')['$packed']:gsub('=', '') })", "nil");
    check(w, "return tostring(pack.open { ['$packed'] = core.base64 '' })", "nil");
    check(w, "return tostring(pack.open 'x') .. tostring(pack.open { ['$packed'] = 1 })", "nilnil");
    check(w,
          "return tostring(pack.open { ['$packed'] = core.base64(core.unbase64(pack.seal(true)['$packed']) .. 'x') })",
          "nil"); /* bytes are left over */
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
