/* Our patterns against Lua's own: the same results and the same refusals, for chosen and for random cases; and the bound. */
#include "script/pattern.h"

#include <lauxlib.h>
#include <lualib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

/* ours: our four functions; theirs: Lua's. same(name, ...) raises when they differ. */
static const char comparison[] =
    "local ours, theirs = ...\n"
    "local function told(f, ...)\n"
    "  local results = { pcall(f, ...) }\n"
    "  for i = 1, #results do results[i] = tostring(results[i]):gsub('^.-:%d+: ', '') end\n"
    "  return #results .. ': ' .. table.concat(results, ' | ')\n"
    "end\n"
    "local function all(lib)\n"
    "  return function(s, p)\n"
    "    local list = {}\n"
    "    for a, b, c in lib.gmatch(s, p) do\n"
    "      list[#list + 1] = tostring(a) .. ',' .. tostring(b) .. ',' .. tostring(c)\n"
    "      if #list > 100 then break end\n"
    "    end\n"
    "    return table.concat(list, ';')\n"
    "  end\n"
    "end\n"
    "function same(name, ...)\n"
    "  local a = told(name == 'gmatch' and all(ours) or ours[name], ...)\n"
    "  local b = told(name == 'gmatch' and all(theirs) or theirs[name], ...)\n"
    "  if a ~= b then\n"
    "    local given = {}\n"
    "    for i = 1, select('#', ...) do given[i] = ('%q'):format(tostring((select(i, ...)))):gsub('%z', 'NUL') end\n"
    "    error(('%s(%s)\\n  ours   %s\\n  theirs %s'):format(name, table.concat(given, ', '), (a:gsub('%z', 'NUL')), "
    "(b:gsub('%z', 'NUL'))), 0)\n"
    "  end\n"
    "end\n"
    "function same_all(s, p)\n"
    "  same('find', s, p) same('match', s, p) same('gmatch', s, p)\n"
    "  same('gsub', s, p, '<%0>') same('gsub', s, p, '%1') same('gsub', s, p, function(a, b) return b end, 2)\n"
    "end\n";

static int open_state(void **state)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    assert_int_equal(luaL_loadstring(L, comparison), 0);
    lua_newtable(L); /* stack: comparison, ours */
    pattern_open(L);
    lua_pushcfunction(L, pattern_matches);
    lua_setfield(L, -2, "matches");
    lua_pushvalue(L, -1);
    lua_setglobal(L, "core");
    if (luaL_dostring(L, "package.path = '" SOURCE_DIR "/lua/?.lua'\n"
                         "package.loaded['perigee.core'] = { matches = core.matches, gsub = core.gsub }\n"
                         "core.gsub = require 'perigee.gsub'"))
        fail_msg("%s", lua_tostring(L, -1));
    lua_pushvalue(L, -1);
    lua_setglobal(L, "ours");
    lua_getglobal(L, "string");
    lua_call(L, 2, 0);
    *state = L;
    return 0;
}

static int close_state(void **state)
{
    lua_close(*state);
    return 0;
}

static void run(lua_State *L, const char *chunk)
{
    if (luaL_dostring(L, chunk)) fail_msg("%s", lua_tostring(L, -1));
}

static void test_chosen(void **state)
{
    run(*state, "local patterns = { '', 'a', '.', '%a+', '%a*', '%a-', '%a?b', '(%a)(%d)', '()%a()', '(a*(.)%w(%s*))', "
                "'^a', '^', '$',\n"
                "  'a$', '^$', '^a*$', '%$', '$a', '[abc]', '[^abc]', '[a-c]+', '[]]', '[^]]', '[%]x]', '[a%-z]', "
                "'[a-]', '[-a]', '[%a-z]',\n"
                "  '%bxy', '%b()', '%b\\'\\'', '%f[%w]%w+', '%f[%z]', '%f[^%w]', '(.)%1', '(.-)%1', '((a)(b))', "
                "'%s*(.-)%s*$', '.-b', '.-.-b',\n"
                "  '%x%x', '%u%l', '%p', '%c', '%z', '%g+', '%W', '%A', '%D+', '%S', '[%s%d]', '[^%s]+', '%%', '%.', "
                "'(a)|(b)',\n"
                "  'x*', '-', 'a-', '%d?%d?', '[a-z]+-?[0-9]*', '%a^', 'a^b', '*', '+a', '?', '()', '()()',\n"
                "  '%', '[', '[a', '[^', '[]', '[%', '[a-', '(', ')', '(a', 'a)', '%b', '%bx', '%f', '%fa', '%1', "
                "'(%1)', '%2', '(()%2)' }\n"
                "local texts = { '', 'a', 'b', 'aaa', 'abc', 'a1 b2', 'hello world', '  trim me  ', 'x(y(z))y', "
                "'(a(b)c)', 'THE (quick) fox',\n"
                "  'aXb', 'a\\0b', '\\0', '%$.-', 'ab12', 'xxyy', \"'q'\", 'a^b', 'key = value', '[x]', 'aab-12', "
                "'a]b', '\\255\\254' }\n"
                "for _, s in ipairs(texts) do for _, p in ipairs(patterns) do same_all(s, p) end end");
}

static void test_arguments(void **state)
{
    run(*state, "for _, init in ipairs { 1, 2, 3, 4, 5, 99, 0, -1, -2, -3, -99 } do\n"
                "  for _, p in ipairs { 'b', '^b', '.', '', '()', 'c$' } do\n"
                "    same('find', 'abc', p, init) same('match', 'abc', p, init) same('find', 'abc', p, init, true)\n"
                "  end\n"
                "end\n"
                "same('find', 'a.b', '.', 1, true) same('find', 'a+b', '+b', 1, true) same('find', 12345, 34) "
                "same('match', 12345, '3(.)')\n"
                "for _, n in ipairs { 0, 1, 2, 3, 99, -1 } do same('gsub', 'aaaa', 'a', 'b', n) same('gsub', 'aaaa', "
                "'', '-', n) end\n"
                "for _, r in ipairs { '', 'x', '%0%0', '%%', '%1', '%2', '%9', '%a', 12, '\\0' } do same('gsub', "
                "'abab', '(a)', r) end\n"
                "same('gsub', 'a b c', '%a', { a = 'x', b = false, c = 3 }) same('gsub', 'a b', '%a', { a = {} })\n"
                "same('gsub', 'a b', '%a', setmetatable({}, { __index = function(_, k) return k .. k end }))\n"
                "same('gsub', 'abc', '%w', function(c) if c == 'b' then return nil end return c:upper() end)\n"
                "same('gsub', 'abc', '%w', function() return true end) same('gsub', 'abc', '%w', function() error "
                "'raised' end)\n"
                "same('gsub', 'abc', '^a', 'x') same('gsub', 'abc', '^b', 'x') same('gsub', 'hello', '', '-') "
                "same('gsub', 'abc', 'b*', 'x')");
    run(*state,
        "for _, bad in ipairs { {}, true } do assert(not pcall(ours.gsub, 'a', 'a', bad) or type(bad) == 'table') end\n"
        "assert(not pcall(ours.find)) assert(not pcall(ours.find, 'a')) assert(not pcall(ours.gmatch, 'a'))\n"
        "assert(not pcall(ours.gsub, 'a', 'a')) assert(not pcall(ours.match, {}, 'a'))");
}

static void test_random(void **state)
{
    run(*state, "math.randomseed(7)\n"
                "local pieces = { 'a', 'b', '.', '%a', '%d', '[ab]', '[^a]', '%s', '*', '+', '-', '?', '(', ')', '()', "
                "'%1', '^', '$',\n"
                "  '%b()', '%f[a]', '%', '[', ']', '1', ' ' }\n"
                "local letters = { 'a', 'b', '1', ' ', '(', ')' }\n"
                "for i = 1, 30000 do\n"
                "  local p, s = {}, {}\n"
                "  for j = 1, math.random(7) do p[j] = pieces[math.random(#pieces)] end\n"
                "  for j = 1, math.random(12) do s[j] = letters[math.random(#letters)] end\n"
                "  same_all(table.concat(s), table.concat(p))\n"
                "end");
}

/* What would take minutes or hours raises soon. */
static void test_bound(void **state)
{
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    run(*state, "local long = ('a'):rep(20000)\n"
                "for _, p in ipairs { '.-.-.-b', '.*.*.*b', '(.-)(.-)(.-)b', '.-.-%1', '%f[b].*.*', ('a*'):rep(30) .. "
                "'b', '(.*)%1b' } do\n"
                "  for _, f in ipairs { 'find', 'match', 'gsub' } do\n"
                "    local ok, fault = pcall(ours[f], long, p, f == 'gsub' and '' or nil)\n"
                "    assert(ok or fault:find 'too complex' or fault:find 'invalid capture', fault)\n"
                "  end\n"
                "end\n"
                "assert(not pcall(ours.find, long, '.-.-.-b'))\n"
                "assert(not pcall(ours.find, long, '[' .. ('b'):rep(60000) .. ']+'))\n"
                "assert(not pcall(ours.find, long, '%f[' .. ('b'):rep(60000) .. ']'))\n"
                "assert(ours.find(('a'):rep(2^20) .. 'b', ('a'):rep(2^19) .. 'b', 1, true) == 2^19 + 1)\n" /* linear */
                "assert(not ours.find(('a'):rep(2^20), ('a'):rep(2^19) .. 'b', 1, true))\n"
                "assert(ours.gsub(('ab '):rep(100000), 'a', 'x') == ('xb '):rep(100000))\n"
                "assert(ours.match((' '):rep(1000) .. 'x' .. (' '):rep(1000), '^%s*(.-)%s*$') == 'x')");
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true(end.tv_sec - begin.tv_sec < 60);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_state, close_state)
    const struct CMUnitTest tests[] = {TEST(test_chosen), TEST(test_arguments), TEST(test_random), TEST(test_bound)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
