/* From Lua tables to struct model: names, order, types, defaults, options. */
#include "script/define.h"

#include "texts.h"

#include "base/clock.h"

static void assert_finds(const char *text, const char *expected)
{
    char *found = findings_of_text(text);
    if (!strstr(found, expected)) fail_msg("%s\n  is not found in\n%s\n  said of\n%s", expected, found, text);
    free(found);
}

static void assert_field(const struct model *m, size_t i, const char *name, enum field_kind kind, enum value_type type)
{
    assert_true(i < m->fields);
    assert_true(slice_eq(m->field[i].name, slice_of(name)));
    assert_int_equal(m->field[i].kind, kind);
    assert_int_equal(m->field[i].type, type);
}

static void test_fields(void **state)
{
    struct vm *vm =
        vm_of_text("model 'User' {\n"
                   "  zeta = key(), alpha = key{ type = 'integer' }, k3 = key{ type = 'any' },\n"
                   "  email = field{ type = 'string', required = true }, v = field(),\n"
                   "  n = field{ type = 'number' }, b = field{ type = 'boolean' }, l = field{ type = 'array' },\n"
                   "  o = field{ type = 'object' } }");
    const struct model *m = registry_find(vm_registry(vm), SLICE("User"));
    assert_int_equal(m->fields, 9);
    assert_int_equal(m->keys, 3);
    assert_field(m, 0, "zeta", FIELD_KEY, TYPE_STRING);
    assert_field(m, 1, "alpha", FIELD_KEY, TYPE_INTEGER);
    assert_field(m, 2, "k3", FIELD_KEY, TYPE_ANY);
    assert_field(m, 3, "email", FIELD_VALUE, TYPE_STRING);
    assert_field(m, 4, "v", FIELD_VALUE, TYPE_ANY);
    assert_field(m, 5, "n", FIELD_VALUE, TYPE_NUMBER);
    assert_field(m, 6, "b", FIELD_VALUE, TYPE_BOOLEAN);
    assert_field(m, 7, "l", FIELD_VALUE, TYPE_ARRAY);
    assert_field(m, 8, "o", FIELD_VALUE, TYPE_OBJECT);
    assert_true(m->field[3].required);
    assert_false(m->field[4].required);
    assert_int_equal(m->key[0], 1); /* by name: alpha, k3, zeta */
    assert_int_equal(m->handler, -1);
    assert_true(slice_starts(m->key_prefix, SLICE("test:User:")));
    vm_free(vm);
}

static void test_options(void **state)
{
    struct vm *vm = vm_of_text(
        "model 'Plain' { id = key() }\n"
        "model 'Set' { id = key(), from_miss = function() end, options = { expires = '1.5h', negative = 0.25,\n"
        "  hard_timeout = '2s', version = 4294967295, jit = true } }\n"
        "model 'Brief' { id = key(), options = { expires = 0, negative = 0.0001 } }");
    const struct model_options *plain = &registry_find(vm_registry(vm), SLICE("Plain"))->options;
    assert_true(plain->expires_ms == CLOCK_NEVER);
    assert_int_equal(plain->negative_ms, 0);
    assert_int_equal(plain->hard_timeout_ms, 1000);
    assert_int_equal(plain->version, 0);
    assert_false(plain->jit);
    const struct model *set = registry_find(vm_registry(vm), SLICE("Set"));
    assert_int_equal(set->options.expires_ms, 5400000);
    assert_int_equal(set->options.negative_ms, 250);
    assert_int_equal(set->options.hard_timeout_ms, 2000);
    assert_true(set->options.version == 4294967295u);
    assert_true(set->options.jit);
    assert_true(set->handler > 0);
    const struct model_options *brief = &registry_find(vm_registry(vm), SLICE("Brief"))->options;
    assert_int_equal(brief->expires_ms, 0);
    assert_int_equal(brief->negative_ms, 1); /* a little time is not none */
    vm_free(vm);
}

static void test_defaults(void **state)
{
    struct vm *vm =
        vm_of_text("model 'A' { s = key{ default = 'eu' }, i = key{ type = 'integer', default = 9007199254740993LL },\n"
                   "  any = key{ type = 'any', default = '42' }, list = field{ type = 'array', default = array {} },\n"
                   "  deep = field{ default = { b = { 1, null }, a = 'x' } }, none = field{ default = null },\n"
                   "  no = field{ type = 'boolean', default = false }, unset = field() }");
    static const char *const expected[] = {
        "\"eu\"", "9007199254740993", "\"42\"", "[]", "{\"a\":\"x\",\"b\":[1,null]}", "null", "false"};
    const struct model *m = registry_find(vm_registry(vm), SLICE("A"));
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct slice json = m->field[i].default_json;
        if (!slice_eq(json, slice_of(expected[i]))) fail_msg("%.*s is not %s", (int)json.n, json.p, expected[i]);
    }
    assert_null(m->field[7].default_json.p);
    vm_free(vm);
}

static void test_wrong_defaults(void **state)
{
    assert_finds("model 'A' {\n  id = key{ type = 'integer', default = 'one' },\n}",
                 "m.lua:2: model `A`: key `id`: attribute `default`: ");
    assert_finds("model 'A' {\n  id = key{ default = 1 },\n}", "m.lua:2: model `A`: key `id`: attribute `default`: ");
    assert_finds("model 'A' {\n  id = key{ default = null },\n}", "m.lua:2: ");
    assert_finds("model 'A' {\n  id = key{ type = 'any', default = {} },\n}", "m.lua:2: ");
    assert_finds("model 'A' {\n  id = key(),\n  n = field{ type = 'integer', default = 1.5 },\n}",
                 "m.lua:3: model `A`: field `n`: ");
    assert_finds("model 'A' {\n  id = key(),\n  n = field{ default = print },\n}", "m.lua:3: `print` is not available");
    assert_finds("model 'A' {\n  id = key(),\n  n = field{ default = error },\n}",
                 "m.lua:3: model `A`: field `n`: attribute `default`: a function");
    assert_finds("model 'A' {\n  id = key(),\n  n = field{ default = 0/0 },\n}", "m.lua:3: ");
    assert_finds("model 'A' {\n  id = key(),\n  n = field{ required = true, default = null },\n}", "m.lua:3: ");
}

/* The same declaration gives the same fingerprint in every state; another version, another one. */
static void test_fingerprint(void **state)
{
    struct vm *one = vm_of_text("model 'A' { id = key(), v = field() }");
    struct vm *same = vm_of_text("model 'A' { v = field{ default = 1 }, id = key() }");
    struct vm *other = vm_of_text("model 'A' { id = key(), v = field(), options = { version = 1 } }");
    const char *print = vm_registry(one)->model[0]->fingerprint;
    assert_string_equal(print, vm_registry(same)->model[0]->fingerprint);
    assert_string_not_equal(print, vm_registry(other)->model[0]->fingerprint);
    vm_free(one);
    vm_free(same);
    vm_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),         cmocka_unit_test(test_options),     cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_wrong_defaults), cmocka_unit_test(test_fingerprint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
