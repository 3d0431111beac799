/* What a schema file can reach, and what it cannot. Each case is a file that raises when it is disappointed. */
#include "script/sandbox.h"

#include "texts.h"

#include "base/clock.h"

/* The files run without an error. */
static void assert_content(const char *const *pairs)
{
    struct sources s = texts(pairs);
    struct buffer findings;
    struct vm *vm = vm_from_sources(&s, &findings);
    if (!vm || findings.n) fail_msg("%.*s", (int)findings.n, findings.p);
    buffer_deinit(&findings);
    vm_free(vm);
}

#define ASSERT_RUNS(text) assert_content((const char *const[]){"m.lua", (text), NULL})

static const char helpers[] = "function raises(says, f, ...)\n"
                              "  local ok, fault = pcall(f, ...)\n"
                              "  if ok or not tostring(fault):find(says, 1, true) then error('wanted ' .. says .. ', "
                              "got ' .. tostring(fault), 2) end\n"
                              "end\n";

static void assert_runs_with_helpers(const char *text)
{
    char all[8192];
    snprintf(all, sizeof all, "%s%s", helpers, text);
    ASSERT_RUNS(all);
}

static void test_absent(void **state)
{
    assert_runs_with_helpers(
        "for _, name in ipairs { 'io', 'package', 'debug', 'ffi', 'jit', 'coroutine', 'load', 'loadstring', "
        "'loadfile', 'dofile', 'module',\n"
        "  'getfenv', 'setfenv', 'collectgarbage', 'newproxy', 'rawset', 'print', 'gcinfo' } do\n"
        "  raises('`' .. name .. '` is not available to models', function() return _G[name] end)\n"
        "  if rawget(_G, name) then error(name) end\n"
        "end\n"
        "for _, name in ipairs { 'execute', 'exit', 'getenv', 'remove', 'rename', 'tmpname', 'setlocale' } do\n"
        "  if os[name] then error(name) end\n"
        "end\n"
        "if string.dump or string.gfind or math.randomseed or table.foreach or table.getn then error 'library' end\n"
        "for _, name in ipairs { 'ffi', 'jit', 'os', 'io', 'debug', 'package', 'socket', 'lfs', 'jit.util', "
        "'string.buffer', 'table.new',\n"
        "  'cjson.safe', 'perigee.core', 'perigee.words', '../m', '/etc/passwd', '' } do\n"
        "  raises('no module', require, name)\n"
        "end");
}

static void test_present(void **state)
{
    ASSERT_RUNS(
        "assert(string.format('%d %s %q', 1, 'x', 'y') == '1 x \"y\"')\n"
        "assert(('abc'):upper():rep(2, '-') == 'ABC-ABC' and ('abc'):sub(2) == 'bc' and #('x'):reverse() == 1)\n"
        "assert(('k=v'):match '(%w)=(%w)' == 'k' and ('a b'):gsub(' ', '_') == 'a_b' and ('abc'):find 'c' == 3)\n"
        "local t = { 3, 1, 2 } table.sort(t) assert(table.concat(t, ',') == '1,2,3')\n"
        "table.sort(t, function(a, b) return a > b end) table.insert(t, 0) assert(table.remove(t, 1) == 3 and #t == "
        "3)\n"
        "assert(math.floor(1.5) == 1 and math.max(1, 2) == 2 and math.huge > 1 and bit.band(6, 3) == 2)\n"
        "assert(type(os.time()) == 'number' and os.date('!%Y', 0) == '1970' and os.clock() >= 0 and os.difftime(2, 1) "
        "== 1)\n"
        "assert(select('#', unpack { 1, 2 }) == 2 and tonumber '7' == 7 and tostring(nil) == 'nil' and type(next) == "
        "'function')\n"
        "assert(rawequal(t, t) and rawget({ a = 1 }, 'a') == 1 and getmetatable(setmetatable({}, { __metatable = 1 })) "
        "== 1)\n"
        "local ok, fault = pcall(error, 'x', 0) assert(not ok and fault == 'x')\n"
        "assert(select(2, xpcall(function() error('x', 0) end, function(e) return e .. 'y' end)) == 'xy')\n"
        "assert(tostring(missing) == 'missing' and missing ~= null and missing == missing and type(null) == "
        "'userdata')\n"
        "assert(#array { 1 } == 1 and getmetatable(array()) == 'array' and type(array()) == 'table')\n"
        "assert(type(log.info) == 'function' and type(http.get) == 'function' and type(sqlite) == 'function' and "
        "type(sleep) == 'function')\n"
        "assert(1LL + 1 == 2LL and tostring(2LL ^ 2) == '4LL')");
}

static void test_env(void **state)
{
    setenv("PERIGEE_TEST_ENV", "value", 1);
    unsetenv("PERIGEE_TEST_NONE");
    ASSERT_RUNS("assert(env 'PERIGEE_TEST_ENV' == 'value' and env('PERIGEE_TEST_ENV', 'other') == 'value')\n"
                "assert(env 'PERIGEE_TEST_NONE' == nil and env('PERIGEE_TEST_NONE', 'other') == 'other')");
}

static void test_cjson(void **state)
{
    assert_runs_with_helpers(
        "local cjson = require 'cjson'\n"
        "assert(cjson.null == null and cjson == cjson and cjson.encode_max_depth == nil and cjson.new == nil)\n"
        "assert(cjson.encode { a = { 1, null } } == '{\"a\":[1,null]}' and cjson.encode({}) == '{}' and "
        "cjson.encode(array()) == '[]')\n"
        "assert(cjson.encode('x') == '\"x\"' and cjson.encode(12LL) == '12' and cjson.encode(nil) == 'null')\n"
        "local t = cjson.decode '{\"a\":[1,null,\"x\"]}' assert(t.a[1] == 1 and t.a[2] == null and t.a[3] == 'x')\n"
        "raises('a function is no JSON value at .f', cjson.encode, { f = error })\n"
        "raises('larger than 1 MiB', function() local t = 1 for i = 1, 50 do t = { t, t } end cjson.encode(t) end)\n"
        "raises('larger than 1 MiB', cjson.decode, (' '):rep(2 ^ 20 + 1))\n"
        "raises('Expected', cjson.decode, 'nonsense')\n"
        "raises('bad argument', cjson.decode)\n"
        "raises('bad argument', cjson.encode)\n"
        "cjson.encode = nil assert(require('cjson').encode)");
}

static void test_bounds(void **state)
{
    uint64_t began = clock_mono_us();
    assert_runs_with_helpers("raises('larger than 16 MiB', string.rep, 'x', 2 ^ 31)\n"
                             "raises('larger than 16 MiB', string.rep, 'xx', 2 ^ 23 + 1)\n"
                             "raises('larger than 16 MiB', string.rep, '', 2 ^ 24, 'xx')\n"
                             "raises('larger than 16 MiB', function() return ('x'):rep(1e300) end)\n"
                             "assert(#string.rep('x', 2 ^ 24) == 2 ^ 24 and string.rep('x', -1) == '' and "
                             "string.rep('x', 3, ',') == 'x,x,x')\n"
                             "raises('bad argument #2 to', string.rep, 'x')\n"
                             "raises('too complex', function() return ('a'):rep(20000):find '.-.-.-b' end)\n"
                             "raises('not enough memory', function() local t = {} for i = 1, 1e8 do t[i] = i end end)\n"
                             "raises('not enough memory', function() local s = 'x' while true do s = s .. s end end)\n"
                             "raises('', function() local function f() return f() + 1 end return f() end)");
    assert_true(clock_mono_us() - began < 20000000);
}

static void test_strings_are_locked(void **state)
{
    assert_runs_with_helpers(
        "assert(getmetatable '' == 'string')\n"
        "raises('', function() getmetatable('').__index = nil end)\n"
        "raises('', setmetatable, 'x', {})\n"
        "raises('', setmetatable, _G, {})\n"
        "assert(getmetatable(_G) == 'environment' and getmetatable(missing) == 'missing')\n"
        "assert(getmetatable(key()) == 'descriptor' and getmetatable(null) == nil and getmetatable(1LL) == 'ffi')\n"
        "raises('keeps its meaning', function() pairs = nil end)\n"
        "raises('keeps its meaning', function() _G.string = {} end)\n"
        "raises('keeps its meaning', function() _G._G = {} end)");
}

/* What one file does to the libraries, another does not see; nor do strings. */
static void test_files_are_apart(void **state)
{
    assert_content((const char *const[]){
        "a.lua",
        "string.evil, string.rep, table.insert, math.floor, bit.band, http.get, log.info, os.time = 1\n"
        "require('cjson').decode = nil require('perigee').key = nil require('perigee').http.get = nil\n"
        "mine = 1 _G.mine_too = 1\n",
        "b.lua",
        "assert(not string.evil and string.rep and table.insert and math.floor and bit.band and http.get and log.info "
        "and os.time)\n"
        "assert(('x').evil == nil and ('x'):rep(2) == 'xx')\n"
        "assert(require('cjson').decode and require('perigee').key and require('perigee').http.get)\n"
        "assert(not rawget(_G, 'mine') and not rawget(_G, 'mine_too'))\n"
        "assert(not pcall(function() return mine end))",
        NULL});
}

static void test_log(void **state)
{
    assert_runs_with_helpers("log.debug 'unheard'\n"
                             "log.debug('unheard', { a = 'x', b = 1, c = 1.5, d = true, e = -0.25, f = 2.5 })\n"
                             "raises('bad argument', log.info)\n"
                             "raises('bad argument', log.info, 'x', 1)\n"
                             "raises('name of a field', log.info, 'x', { [1] = 1 })\n"
                             "raises('name of a field', log.info, 'x', { ['a b'] = 1 })\n"
                             "raises('field `a` is a table', log.info, 'x', { a = {} })\n"
                             "raises('more than 8 fields', log.info, 'x', { a = 1, b = 1, c = 1, d = 1, e = 1, f = 1, "
                             "g = 1, h = 1, i = 1 })");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_absent), cmocka_unit_test(test_present),
        cmocka_unit_test(test_env),    cmocka_unit_test(test_cjson),
        cmocka_unit_test(test_bounds), cmocka_unit_test(test_strings_are_locked),
        cmocka_unit_test(test_log),    cmocka_unit_test(test_files_are_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
