/* JSON to Lua and back: exact, and refused where JSON has no word for it. */
#include "script/convert.h"

#include "model/json.h"

#include <lauxlib.h>
#include <lualib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static int open_state(void **state)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    convert_open(L);
    lua_pushcfunction(L, convert_array);
    lua_setglobal(L, "array");
    lua_pushlightuserdata(L, NULL);
    lua_setglobal(L, "null");
    *state = L;
    return 0;
}

static int close_state(void **state)
{
    lua_close(*state);
    return 0;
}

/* The value at the top as JSON; popped. */
static void assert_written(lua_State *L, const char *expected)
{
    struct buffer out;
    struct problem why = {.detail = ""};
    buffer_init(&out, 4u << 20);
    int top = lua_gettop(L);
    enum status status = convert_write_json(L, -1, &out, &why);
    if (status != OK) fail_msg("%s: %s", expected, why.detail);
    if (!slice_eq(buffer_view(&out), slice_of(expected))) fail_msg("%.*s is not %s", (int)out.n, out.p, expected);
    assert_int_equal(lua_gettop(L), top);
    buffer_deinit(&out);
    lua_pop(L, 1);
}

static void assert_round(lua_State *L, const char *json, const char *expected)
{
    int top = lua_gettop(L);
    convert_push_json(L, slice_of(json));
    assert_int_equal(lua_gettop(L), top + 1);
    assert_written(L, expected);
}

static void test_same_bytes(void **state)
{
    static const char *const same[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "-1",
        "0.1",
        "\"\"",
        "\"a\\u0000b\"",
        "[]",
        "{}",
        "[[]]",
        "[{}]",
        "[null,null]",
        "{\"\":1}",
        "{\"a\":[],\"b\":{}}",
        "9007199254740991",
        "9007199254740992",
        "9007199254740993",
        "-9007199254740993",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "123456789012345678901234567890123456789012345678901234567890",
        "{\"__proto__\":1,\"constructor\":{\"\\u0000\":[18446744073709551615,null]}}",
        "\"\xc3\xa9\xf0\x9f\x98\x80\"",
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) assert_round(*state, same[i], same[i]);
}

static void test_same_value(void **state)
{
    assert_round(*state, "1.0", "1");
    assert_round(*state, "1e2", "100");
    assert_round(*state, "{\"b\":1,\"a\":2}", "{\"a\":2,\"b\":1}"); /* by name */
    assert_round(*state, "{\"a\":1,\"a\":2}", "{\"a\":2}");
    assert_round(*state, "\"\\u00e9\\/\\ud83d\\ude00\"", "\"\xc3\xa9/\xf0\x9f\x98\x80\"");
    assert_round(*state, "1.50e-300", "1.5e-300");
    assert_round(*state, "1e400", "1e400"); /* no double holds it: kept as it was spelled */
    assert_round(*state, "-1e400", "-1e400");
}

static void test_types(void **state)
{
    lua_State *L = *state;
    static const struct {
        const char *json, *check;
    } cases[] = {
        {"1", "return type(v) == 'number'"},
        {"9007199254740993", "return v == 9007199254740993LL and tostring(v) == '9007199254740993LL'"},
        {"-9007199254740993", "return v == -9007199254740993LL"},
        {"-9223372036854775808", "return tostring(v) == '-9223372036854775808LL'"},
        {"18446744073709551615", "return v == 18446744073709551615ULL"},
        {"18446744073709551616", "return tostring(v) == '18446744073709551616' and getmetatable(v) == 'number'"},
        {"null", "return v == null and type(v) == 'userdata'"},
        {"[1,2]", "return #v == 2 and getmetatable(v) == 'array'"},
        {"{\"a\":{\"b\":[]}}", "return #v.a.b == 0 and getmetatable(v.a) == nil"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        convert_push_json(L, slice_of(cases[i].json));
        lua_setglobal(L, "v");
        if (luaL_dostring(L, cases[i].check)) fail_msg("%s", lua_tostring(L, -1));
        if (!lua_toboolean(L, -1)) fail_msg("%s: %s", cases[i].json, cases[i].check);
        lua_pop(L, 1);
    }
}

static void test_lua_values(void **state)
{
    lua_State *L = *state;
    static const struct {
        const char *lua, *json;
    } cases[] = {
        {"{}", "{}"},
        {"array{}", "[]"},
        {"array()", "[]"},
        {"array{1,2}", "[1,2]"},
        {"{1,2,3}", "[1,2,3]"},
        {"{a=1,b={1,{c=null}}}", "{\"a\":1,\"b\":[1,{\"c\":null}]}"},
        {"1e15", "1000000000000000"},
        {"2^53", "9007199254740992"},
        {"1e300", "1e+300"},
        {"12LL", "12"},
        {"-12LL", "-12"},
        {"12ULL", "12"},
        {"'\\0\\1\"\\\\'", "\"\\u0000\\u0001\\\"\\\\\""},
        {"(function() local shared = {1} return {shared, shared} end)()", "[[1],[1]]"},
        {"setmetatable({}, nil)", "{}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char chunk[256];
        snprintf(chunk, sizeof chunk, "return %s", cases[i].lua);
        if (luaL_dostring(L, chunk)) fail_msg("%s", lua_tostring(L, -1));
        assert_written(L, cases[i].json);
    }
}

static void assert_refused(lua_State *L, const char *lua, const char *path, const char *says)
{
    char chunk[256];
    struct buffer out;
    struct problem why = {.detail = ""};
    snprintf(chunk, sizeof chunk, "return %s", lua);
    if (luaL_dostring(L, chunk)) fail_msg("%s", lua_tostring(L, -1));
    buffer_init(&out, 4u << 20);
    buffer_put(&out, "before", 6);
    int top = lua_gettop(L);
    assert_int_equal(convert_write_json(L, -1, &out, &why), FIELD_TYPE);
    assert_int_equal(lua_gettop(L), top);
    if (!strstr(why.detail, says)) fail_msg("%s: %s", lua, why.detail);
    assert_string_equal(why.path, path);
    assert_true(slice_eq(buffer_view(&out), SLICE("before"))); /* as it was */
    assert_false(out.overflow);
    assert_int_equal(convert_write_json(L, -1, &out, NULL), FIELD_TYPE);
    buffer_deinit(&out);
    lua_pop(L, 1);
}

static void test_refused(void **state)
{
    lua_State *L = *state;
    assert_refused(L, "0/0", "", "NaN");
    assert_refused(L, "{ a = { 1, 1/0 } }", ".a[2]", "infinity");
    assert_refused(L, "print", "", "a function");
    assert_refused(L, "{ { f = print } }", "[1].f", "a function");
    assert_refused(L, "coroutine.create(print)", "", "a thread");
    assert_refused(L, "io.stdout", "", "a userdata");
    assert_refused(L, "newproxy(true)", "", "a userdata");
    assert_refused(L, "require('ffi').new('int[1]')", "", "a C value");
    assert_refused(L, "'\\255'", "", "UTF-8");
    assert_refused(L, "{ ['\\255'] = 1 }", ".\?", "UTF-8");
    assert_refused(L, "{ 1, nil, 3 }", "", "holes");
    assert_refused(L, "{ [2] = 1 }", "", "holes");
    assert_refused(L, "{ [0] = 1 }", "", "holes");
    assert_refused(L, "{ [1.5] = 1 }", "", "holes");
    assert_refused(L, "{ [true] = 1 }", "", "holes");
    assert_refused(L, "{ 1, a = 2 }", "", "names and positions");
    assert_refused(L, "array{ a = 2 }", "", "names and positions");
    assert_refused(L, "array{ [3] = 2 }", "", "holes");
    assert_refused(L, "setmetatable({}, {})", "", "a metatable");
    assert_refused(L, "setmetatable({}, { __index = error, __len = error, __pairs = error })", "", "a metatable");
    assert_refused(L, "(function() local t = {} t.x = { t } return t end)()", ".x[1]", "contains itself");
    assert_refused(L, "('x'):rep(2^20)", "", "1 MiB");
    assert_refused(L, "(function() local t = {} for i = 1, 2^18 do t[i] = 1234567 end return t end)()", "[131073]",
                   "1 MiB");
    assert_refused(L, "(function() local t = {} for i = 1, 2^19 + 1 do t[i] = 1 end return t end)()", "",
                   "1 MiB"); /* by its length */
    assert_refused(L, "{ x = (function() local t = {} for i = 1, 2^19 + 1 do t[i / 2] = {} end return t end)() }", ".x",
                   "1 MiB");
    assert_refused(L, "(function() local t = {} for i = 1, 2^19 do t['k' .. i] = 1 end return t end)()", "", "1 MiB");
}

/* Shared tables double at every level; what stops that is the size of the text. */
static void test_shared_tables(void **state)
{
    lua_State *L = *state;
    struct buffer out;
    struct problem why;
    buffer_init(&out, 4u << 20);
    if (luaL_dostring(L, "local t = 1 for i = 1, 40 do t = { t, t } end return t")) fail_msg("Lua");
    assert_int_equal(convert_write_json(L, -1, &out, &why), FIELD_TYPE);
    assert_non_null(strstr(why.detail, "1 MiB"));
    assert_memory_equal(why.path, "[1]", 3);
    buffer_deinit(&out);
}

static void test_depth(void **state)
{
    lua_State *L = *state;
    char deep[2 * JSON_DEPTH_MAX + 1];
    size_t n = JSON_DEPTH_MAX - 1;
    memset(deep, '[', n);
    memset(deep + n, ']', n);
    deep[2 * n] = 0;
    assert_round(L, deep, deep);
    if (luaL_dostring(L, "local t = array{} for i = 1, 63 do t = array{ t } end return t")) fail_msg("Lua");
    struct buffer out;
    struct problem why;
    buffer_init(&out, 1024);
    assert_int_equal(convert_write_json(L, -1, &out, &why), FIELD_TYPE);
    assert_non_null(strstr(why.detail, "deep"));
    buffer_deinit(&out);
}

static void test_buffer_too_small(void **state)
{
    lua_State *L = *state;
    struct buffer out;
    buffer_init(&out, 8);
    lua_pushliteral(L, "123456789");
    assert_int_equal(convert_write_json(L, -1, &out, NULL), FIELD_TYPE);
    assert_int_equal(out.n, 0);
    assert_false(out.overflow);
    buffer_deinit(&out);
}

/* Pushes a value in a state that runs out of memory at any point: it raises, and what it held is given back (LSan). */
static void *starve(void *ud, void *p, size_t old, size_t n)
{
    size_t *left = ud;
    if (n == 0) {
        free(p);
        return NULL;
    }
    if (n > old && *left != SIZE_MAX && (*left)-- == 0) {
        *left = 0;
        return NULL;
    }
    return realloc(p, n);
}

static int push_one(lua_State *L)
{
    convert_push_json(L, SLICE("{\"a\":[1,2,{\"b\":\"text that is new\"}],\"n\":123456789012345678901234567890}"));
    return 1;
}

static void test_out_of_memory(void **state)
{
    size_t left = SIZE_MAX, failures = 0;
    lua_State *L = lua_newstate(starve, &left);
    luaL_openlibs(L);
    convert_open(L);
    for (size_t n = 0; n < 200; n++) {
        left = n;
        failures += lua_cpcall(L, push_one, NULL) != 0;
        left = SIZE_MAX;
        lua_settop(L, 0);
        lua_gc(L, LUA_GCCOLLECT, 0);
    }
    assert_in_range(failures, 5, 199);
    lua_close(L);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_state, close_state)
    const struct CMUnitTest tests[] = {
        TEST(test_same_bytes), TEST(test_same_value),       TEST(test_types),
        TEST(test_lua_values), TEST(test_refused),          TEST(test_shared_tables),
        TEST(test_depth),      TEST(test_buffer_too_small), cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
