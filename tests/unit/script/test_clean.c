/* A form's inputs through their `clean`: on a real loop, with real tasks. */
#include "script/clean.h"

#include "world.h"

struct cleaned {
    int calls;
    enum status status;
    char json[3][1024], refused[3][600]; /* in order of name */
    char detail[400], log[700];
};

static void on_cleaned(void *owner, const struct clean_result *r)
{
    struct cleaned *c = owner;
    c->calls++;
    c->status = r->status;
    snprintf(c->detail, sizeof c->detail, "%s", r->problem.detail);
    snprintf(c->log, sizeof c->log, "%.*s", SLICE_ARG(r->log));
    for (size_t i = 0; i < 3 && r->status == OK; i++) {
        snprintf(c->json[i], sizeof c->json[i], "%.*s", SLICE_ARG(r->json[i]));
        snprintf(c->refused[i], sizeof c->refused[i], "%.*s", SLICE_ARG(r->refused[i]));
    }
}

/* Inputs a (cleaned by `a`), b (cleaned by `b`) and c (as it is). */
static struct vm *load(struct world *w, const char *a, const char *b)
{
    char text[4096], findings[1024];
    snprintf(
        text, sizeof text,
        "form 'F' { a = input{ clean = function(v)\n%s end }, b = input{ clean = function(v)\n%s end }, c = input() }",
        a, b);
    struct vm *vm = world_load(w, text, findings, sizeof findings);
    if (!vm) fail_msg("%s", findings);
    return vm;
}

static struct cleaned clean_both(struct world *w, const char *a, const char *b)
{
    struct cleaned c = {0};
    struct vm *vm = load(w, a, b);
    const struct model *form = registry_find(vm_registry(vm), SLICE("F"));
    struct slice given[] = {SLICE("\"A\""), SLICE("\"B\""), SLICE("\"C\"")};
    assert_true(clean_needed(form));
    clean_start(vm, form, given, NULL, on_cleaned, &c);
    assert_int_equal(c.calls, 0);
    memset(given, 0, sizeof given);
    while (!c.calls) uv_run(&w->loop, UV_RUN_ONCE);
    assert_int_equal(c.calls, 1);
    vm_retire(vm);
    return c;
}

static void test_values(void **state)
{
    struct world *w = world_open();
    struct cleaned c = clean_both(w, "sleep(0.001) return v:lower()", "return { z = { 1, null }, a = v, b = {} }");
    assert_int_equal(c.status, OK);
    assert_string_equal(c.json[0], "\"a\"");
    assert_string_equal(c.json[1], "{\"a\":\"B\",\"b\":{},\"z\":[1,null]}"); /* canonical: members sorted */
    assert_string_equal(c.json[2], "\"C\"");
    assert_string_equal(clean_both(w, "return false", "return null").json[0], "false");
    assert_string_equal(clean_both(w, "return false", "return null").json[1], "null");
    world_close(w);
}

static void test_refusals(void **state)
{
    struct world *w = world_open();
    struct cleaned c = clean_both(w, "error 'no such user'", "return nil, 'too\\nshort \\255'");
    assert_int_equal(c.status, OK);
    assert_string_equal(c.refused[0], "no such user");
    assert_string_equal(c.refused[1], "too short ?");
    assert_string_equal(c.refused[2], "");
    assert_string_equal(c.json[0], "");
    assert_string_equal(c.json[2], "\"C\"");
    c = clean_both(w, "return assert(false, 'never')", "return v");
    assert_string_equal(c.refused[0], "never");
    assert_string_equal(c.json[1], "\"B\"");
    c = clean_both(w, "error(('\\195\\169'):rep(1000), 0)", "return");
    assert_int_equal(strlen(c.refused[0]), 500);
    assert_true(slice_is_utf8(slice_of(c.refused[0])));
    assert_string_equal(c.refused[1], "This value is not valid.");
    world_close(w);
}

static void assert_fails(struct world *w, const char *a, const char *log)
{
    struct cleaned c = clean_both(w, a, "return v");
    if (c.status != LOADER_ERROR) fail_msg("%s: %s %s", a, c.json[0], c.refused[0]);
    assert_non_null(strstr(c.detail, "`clean` of form `F` failed"));
    if (!strstr(c.log, log)) fail_msg("%s: %s", a, c.log);
    assert_null(strstr(c.detail, "secret"));
}

static void test_failures(void **state)
{
    struct world *w = world_open();
    assert_fails(w, "return v.secret.x", "test.lua:2: attempt to index field 'secret' (a nil value) | at test.lua:2");
    assert_fails(w, "return nosuchname", "test.lua:2: unknown name `nosuchname` | at test.lua:2");
    assert_fails(w, "error { secret = 1 }", "the handler raised a table value | at test.lua:2");
    assert_fails(w, "return error", "clean of `a`: a function is no JSON value");
    assert_fails(w, "return nil, 5", "the message of `clean` is a number");
    assert_fails(w, "local function f() return f() + 1 end return f()", "stack overflow");
    assert_fails(w, "local t = {} for i = 1, 1e8 do t[i] = ('x'):rep(1e5) .. i end", "not enough memory");
    struct cleaned c = clean_both(w, "while true do pcall(sleep, 0.05) end", "return v");
    assert_int_equal(c.status, LOADER_TIMEOUT);
    assert_string_equal(c.detail, "`clean` of form `F` took longer than 2000 ms");
    world_close(w);
}

/* Absent inputs are not cleaned, and what is not given is not there. */
static void test_absent(void **state)
{
    struct world *w = world_open();
    struct cleaned c = {0};
    struct vm *vm = load(w, "error 'called'", "return v .. v");
    struct slice given[] = {{NULL, 0}, SLICE("\"B\""), {NULL, 0}};
    clean_start(vm, registry_find(vm_registry(vm), SLICE("F")), given, NULL, on_cleaned, &c);
    while (!c.calls) uv_run(&w->loop, UV_RUN_ONCE);
    vm_retire(vm);
    assert_int_equal(c.status, OK);
    assert_string_equal(c.json[0], "");
    assert_string_equal(c.refused[0], "");
    assert_string_equal(c.json[1], "\"BB\"");
    world_close(w);
}

static void test_cancel(void **state)
{
    struct world *w = world_open();
    struct cleaned never = {0};
    struct vm *vm = load(w, "sleep(30)", "sleep(30)");
    struct slice given[] = {SLICE("\"A\""), SLICE("\"B\""), SLICE("\"C\"")};
    const struct model *form = registry_find(vm_registry(vm), SLICE("F"));
    clean_cancel(clean_start(vm, form, given, NULL, on_cleaned, &never));
    struct clean *parked = clean_start(vm, form, given, NULL, on_cleaned, &never);
    for (int i = 0; i < 5; i++) uv_run(&w->loop, UV_RUN_NOWAIT);
    vm_retire(vm);
    clean_cancel(parked);
    for (int i = 0; i < 5; i++) uv_run(&w->loop, UV_RUN_NOWAIT);
    assert_int_equal(never.calls, 0);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_refusals), cmocka_unit_test(test_failures),
        cmocka_unit_test(test_absent), cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
