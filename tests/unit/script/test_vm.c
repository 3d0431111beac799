/* A vm's life: what it finds in files, what it holds, when it goes; and the config file's table. */
#include "script/vm_internal.h"

#include "texts.h"

#include "base/clock.h"

#include <lauxlib.h>
#include <unistd.h>

static void assert_finds(const char *text, const char *expected)
{
    char *found = findings_of_text(text);
    if (!strstr(found, expected)) fail_msg("%s\n  is not found in\n%s\n  said of\n%s", expected, found, text);
    free(found);
}

static void test_models(void **state)
{
    struct vm *vm = vm_of_text("model 'A' { id = key(), v = field() }\nmodel 'B' { id = key() }");
    const struct registry *r = vm_registry(vm);
    assert_int_equal(r->models, 2);
    assert_true(slice_eq(r->model[0]->name, SLICE("A")));
    assert_true(slice_eq(r->model[1]->name, SLICE("B")));
    assert_int_equal(r->model[1]->line, 2);
    assert_true(slice_eq(r->model[1]->file, SLICE("m.lua")));
    assert_in_range(vm_bytes(vm), 100000, 4u << 20);
    vm_free(vm);
}

static void test_no_files(void **state)
{
    struct vm *vm = vm_of_text("");
    assert_int_equal(vm_registry(vm)->models, 0);
    vm_free(vm);
}

static void test_findings(void **state)
{
    assert_finds("model 'A' {\n  id = key(),\n  v = field{ tpye = 'x' },\n}",
                 "m.lua:3: model `A`: field `v`: unknown attribute `tpye` (did you mean `type`?)\n");
    assert_finds("\nfeild()", "m.lua:2: unknown name `feild` (did you mean `field`?)\n");
    assert_finds("\nx = = 1", "m.lua:2: unexpected symbol near '='\n");
    assert_finds("\33LJ\2", "m.lua:1: attempt to load chunk with wrong mode\n");
    assert_finds("model 'A' { id = key(), options = { expires = '15 parsecs' } }",
                 "m.lua:1: model `A`: option `expires` wants");
    assert_finds("\nmodel 'A' { id = key(), from_miss = function() end }", "m.lua:2: warning: model `A`");
    assert_finds("\nsleep(1)", "m.lua:2: ");
    assert_finds("\nerror()", "m.lua:2: raised a nil value as an error");
    assert_finds("\nerror(setmetatable({}, { __tostring = function() error 'x' end }))",
                 "m.lua:2: raised a table value");
    assert_finds("\nerror(('x'):rep(2^20))", "m.lua:2: xxxx");
    assert_finds("\n\nlocal function f() return f() + 1 end f()", "stack overflow");
    assert_finds("\nlocal t = {} for i = 1, 1e8 do t[i] = {} end", "not enough memory");
    assert_finds("\nlocal t = {} for i = 1, 1e8 do t[i] = {} end\nmodel 'A' { id = key() }", "m.lua:");
}

static void test_all_files(void **state)
{
    struct sources s = texts(
        (const char *const[]){"a.lua", "oops()", "b.lua", "model 'B' {}", "c.lua", "\nmodel 'C' { id = key() }", NULL});
    struct buffer findings;
    assert_null(vm_from_sources(&s, &findings));
    assert_true(
        slice_eq(buffer_view(&findings), SLICE("a.lua:1: unknown name `oops`\nb.lua:1: model `B`: has no key\n")));
    buffer_deinit(&findings);
}

static void test_long_paths(void **state)
{
    struct sources s = texts((const char *const[]){
        "a/very/long/path/that/lua/itself/would/shorten/in/its/messages/because/it/has/only/sixty/bytes/m.lua",
        "\nx = = 1", NULL});
    struct buffer findings;
    assert_null(vm_from_sources(&s, &findings));
    assert_true(
        slice_eq(buffer_view(&findings), SLICE("a/very/long/path/that/lua/itself/would/shorten/in/its/messages/because/"
                                               "it/has/only/sixty/bytes/m.lua:2: unexpected symbol near '='\n")));
    buffer_deinit(&findings);
}

/* A file that never ends is stopped, also when it catches what stops it, or handles it with what never ends either; the other
 * files are judged nevertheless. */
static void test_endless_file(void **state)
{
    struct sources s = texts((const char *const[]){
        "a.lua", "\nlocal function f() while true do end end while true do xpcall(f, f) pcall(f) end", "b.lua",
        "oops()", NULL});
    struct buffer findings;
    uint64_t began = clock_mono_us();
    assert_null(vm_from_sources(&s, &findings));
    assert_true(clock_mono_us() - began < 60000000);
    assert_non_null(strstr(buffer_view(&findings).p, "a.lua:2: the file runs longer than"));
    assert_non_null(strstr(buffer_view(&findings).p, "b.lua:1: unknown name `oops`"));
    buffer_deinit(&findings);
}

static void test_memory_cap(void **state)
{
    struct vm *vm = vm_of_text("function fill() local t = {} for i = 1, 1e8 do t[i] = {} end end\n"
                               "model 'A' { id = key(), options = { expires = 1 }, from_miss = fill }");
    lua_State *L = vm->L;
    vm->capped = true;
    lua_rawgeti(L, LUA_REGISTRYINDEX, vm_registry(vm)->model[0]->handler);
    assert_int_equal(lua_pcall(L, 0, 0, 0), LUA_ERRMEM);
    vm->capped = false;
    lua_settop(L, 0);
    assert_true(vm_bytes(vm) <= 64u << 20);
    assert_true(vm->failed);
    vm_task_begin(vm);
    vm_task_end(vm); /* sweeps */
    assert_true(vm_bytes(vm) < 4u << 20);
    assert_false(vm->failed);
    vm_free(vm);
}

/* LSan sees what is not given back, ASan what is touched after. */
static void test_retire(void **state)
{
    vm_retire(vm_of_text("model 'A' { id = key() }"));
    struct vm *vm = vm_of_text("model 'A' { id = key() }");
    vm_task_begin(vm);
    vm_task_begin(vm);
    vm_retire(vm);
    vm_task_end(vm);
    assert_int_equal(vm_registry(vm)->models, 1);
    vm_task_end(vm);
}

static void test_many(void **state)
{
    for (int i = 0; i < 20; i++) vm_free(vm_of_text("model 'A' { id = key(), from_miss = function() end }"));
}

/* --- the config file ---------------------------------------------------------------------------------------------- */

static char table_path[] = "/tmp/perigee-table-XXXXXX";

static void collect(void *arg, struct slice name, struct slice value)
{
    struct buffer *b = arg;
    buffer_printf(b, "%.*s=%.*s;", SLICE_ARG(name), SLICE_ARG(value));
}

static enum status read_text(const char *text, struct buffer *out, struct problem *why)
{
    strcpy(table_path + sizeof table_path - 7, "XXXXXX");
    int fd = mkstemp(table_path);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    buffer_reset(out);
    enum status status = vm_read_table(table_path, collect, out, why);
    unlink(table_path);
    return status;
}

static void test_read_table(void **state)
{
    static const struct {
        const char *text, *says;
    } good[] = {
        {"return { workers = 2 }", "workers=2;"},
        {"return { log = 'debug' }", "log=debug;"},
        {"return { big = 2^40 }", "big=1099511627776;"},
        {"return { drain = 0.5 }", "drain=0.5;"},
        {"return { off = false }", "off=false;"},
        {"return { listen = { 'a', 'b' } }", "listen=a;listen=b;"},
        {"local n = 0 for i = 1, 10 do n = n + i end return { n = n }", "n=55;"},
        {"return {}", ""},
    };
    struct buffer out;
    struct problem why;
    buffer_init(&out, 1024);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(read_text(good[i].text, &out, &why), OK);
        assert_true(slice_eq(buffer_view(&out), slice_of(good[i].says)));
    }
    buffer_deinit(&out);
}

static void test_read_table_refuses(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"\nreturn { a = = 1 }", ":2: unexpected symbol"},
        {"return 1", ":1: the file must return a table"},
        {"", ":1: the file must return a table"},
        {"return { 1 }", ":1: an entry without a name"},
        {"return { a = { b = { 1 } } , c = function() end }", "values are text, numbers, booleans"},
        {"\nreturn { a = os.getenv 'HOME' }", ":2: attempt to index global 'os'"},
        {"\nwhile true do end", ":2: the file does not end"},
        {"local s = 'x' while true do s = s .. s end", "not enough memory"},
        {"\33LJ\2", "wrong mode"},
    };
    struct buffer out;
    struct problem why;
    buffer_init(&out, 1024);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(read_text(bad[i].text, &out, &why), MALFORMED_REQUEST);
        if (!strstr(why.detail, bad[i].says)) fail_msg("%s: %s", bad[i].text, why.detail);
    }
    assert_int_equal(vm_read_table("/nowhere/config.lua", collect, &out, &why), MALFORMED_REQUEST);
    assert_non_null(strstr(why.detail, "/nowhere/config.lua"));
    buffer_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_no_files),
        cmocka_unit_test(test_findings),
        cmocka_unit_test(test_all_files),
        cmocka_unit_test(test_long_paths),
        cmocka_unit_test(test_endless_file),
        cmocka_unit_test(test_memory_cap),
        cmocka_unit_test(test_retire),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_read_table),
        cmocka_unit_test(test_read_table_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
