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

static void test_handlers(void **state)
{
    struct vm *vm = vm_of_text("model 'Many' { id = key(), from_misses = function() end, options = { expires = 1 } }\n"
                               "model 'Both' { id = key(), from_misses = function() end, from_miss = function() end,\n"
                               "  options = { expires = 1 } }\n"
                               "model 'Saves' { id = key(), on_save = function() end }");
    const struct model *many = registry_find(vm_registry(vm), SLICE("Many"));
    const struct model *both = registry_find(vm_registry(vm), SLICE("Both"));
    const struct model *saves = registry_find(vm_registry(vm), SLICE("Saves"));
    assert_true(many->loads && many->handler >= 0 && many->options.from_misses && !many->options.on_save);
    assert_true(both->loads && both->handler >= 0 && both->options.from_misses && !both->options.on_save);
    assert_true(!saves->loads && saves->handler < 0 && !saves->options.from_misses && saves->options.on_save);
    vm_free(vm);
}

static void test_options(void **state)
{
    struct vm *vm = vm_of_text(
        "model 'Plain' { id = key() }\n"
        "model 'Set' { id = key(), from_miss = function() end, options = { expires = '1.5h', negative = 0.25,\n"
        "  hard_timeout = '2s', version = 4294967295, jit = true, jitter = 0.25, stale_while_revalidate = '1m',\n"
        "  stale_if_error = '1d', refresh = 'xfetch', soft_timeout = 0.1, max_loads = 32 } }\n"
        "model 'Brief' { id = key(), options = { expires = 0, negative = 0.0001 } }");
    const struct model_options *plain = &registry_find(vm_registry(vm), SLICE("Plain"))->options;
    assert_true(plain->expires_ms == CLOCK_NEVER);
    assert_int_equal(plain->negative_ms, 0);
    assert_int_equal(plain->hard_timeout_ms, 1000);
    assert_int_equal(plain->version, 0);
    assert_false(plain->jit);
    assert_true(plain->jitter == 0 && plain->refresh == 0);
    assert_int_equal(plain->stale_while_revalidate_ms + plain->stale_if_error_ms + plain->soft_timeout_ms, 0);
    assert_int_equal(plain->max_loads, 0);
    const struct model *set = registry_find(vm_registry(vm), SLICE("Set"));
    assert_int_equal(set->options.expires_ms, 5400000);
    assert_int_equal(set->options.negative_ms, 250);
    assert_int_equal(set->options.hard_timeout_ms, 2000);
    assert_true(set->options.version == 4294967295u);
    assert_true(set->options.jit);
    assert_true(set->options.jitter == 0.25 && set->options.refresh == REFRESH_XFETCH);
    assert_int_equal(set->options.stale_while_revalidate_ms, 60000);
    assert_int_equal(set->options.stale_if_error_ms, 86400000);
    assert_int_equal(set->options.soft_timeout_ms, 100);
    assert_int_equal(set->options.max_loads, 32);
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

static const struct model *find(struct vm *vm, const char *name)
{
    const struct model *m = registry_find(vm_registry(vm), slice_of(name));
    if (!m) fail_msg("there is no %s", name);
    return m;
}

/* What a reference names may be declared in any file, before or after. */
static void test_references(void **state)
{
    struct sources s = texts((const char *const[]){
        "a.lua",
        "model 'User' { id = key(), prefs = packed{ required = true }, workplace = reference 'Workplace',\n"
        "  mother = reference{ 'self', missing = 'null', required = true },\n"
        "  friends = references{ 'self', missing = 'skip', max = 7 }, places = references 'Workplace',\n"
        "  options = { depth = 3, validate = function() end, tags = function() end } }",
        "b.lua", "model 'Workplace' { name = key{ type = 'integer' } }", NULL});
    struct buffer findings;
    struct vm *vm = vm_from_sources(&s, &findings);
    assert_int_equal(findings.n, 0);
    buffer_deinit(&findings);
    const struct model *user = find(vm, "User"), *workplace = find(vm, "Workplace");
    assert_field(user, 1, "prefs", FIELD_PACKED, TYPE_ANY);
    assert_true(user->field[1].required);
    assert_field(user, 2, "workplace", FIELD_REFERENCE, TYPE_ANY);
    assert_ptr_equal(user->field[2].target, workplace);
    assert_int_equal(user->field[2].missing, EDGE_FAIL);
    assert_ptr_equal(user->field[3].target, user);
    assert_int_equal(user->field[3].missing, EDGE_NULL);
    assert_true(user->field[3].required);
    assert_field(user, 4, "friends", FIELD_REFERENCES, TYPE_ANY);
    assert_int_equal(user->field[4].missing, EDGE_SKIP);
    assert_int_equal(user->field[4].max, 7);
    assert_int_equal(user->field[5].max, 1000);
    assert_true(user->refers);
    assert_false(workplace->refers);
    assert_int_equal(user->options.depth, 3);
    assert_true(user->options.validate && user->options.tags);
    assert_int_equal(workplace->options.depth, DEPTH_DEFAULT);
    assert_false(workplace->options.validate || workplace->options.tags);
    assert_false(user->loads || user->options.from_misses || user->options.on_save);
    assert_false(user->loads);
    vm_free(vm);
}

static void test_methods(void **state)
{
    struct vm *vm = vm_of_text("model 'Home' { address = key(), zip = key{ type = 'integer', default = 1 }, country = "
                               "field{ type = 'string' },\n"
                               "  geocode = cached_method{ on = { 'country', 'zip' }, expires = '1h', function() end,\n"
                               "    args = { precision = arg{ type = 'number', default = 5.0 }, may = arg{ required = "
                               "false }, must = arg() } },\n"
                               "  options = { negative = 3, hard_timeout = 4, version = 9 } }\n"
                               "model 'After' { id = key() }");
    const struct model *home = find(vm, "Home"), *m = find(vm, "Home.geocode");
    assert_int_equal(m->kind, MODEL_METHOD);
    assert_int_equal(home->kind, MODEL_RECORD);
    assert_ptr_equal(m->owner, home);
    assert_null(home->owner);
    assert_true(slice_eq(model_method_name(m), SLICE("geocode")));
    assert_int_equal(m->keys, 5);
    assert_field(m, 0, "country", FIELD_KEY, TYPE_STRING);
    assert_false(m->field[0].required);
    assert_field(m, 1, "zip", FIELD_KEY, TYPE_INTEGER);
    assert_true(m->field[1].required);
    assert_true(slice_eq(m->field[1].default_json, SLICE("1")));
    assert_field(m, 2, "precision", FIELD_ARGUMENT, TYPE_NUMBER);
    assert_field(m, 3, "may", FIELD_ARGUMENT, TYPE_ANY);
    assert_field(m, 4, "must", FIELD_ARGUMENT, TYPE_ANY);
    assert_true(slice_eq(m->field[2].default_json, SLICE("5"))); /* canonical */
    assert_false(m->field[3].required);
    assert_true(m->field[4].required);
    assert_true(m->loads && m->handler >= 0);
    assert_false(home->loads);
    assert_int_equal(m->options.expires_ms, 3600000);
    assert_int_equal(m->options.negative_ms, 3000);
    assert_int_equal(m->options.hard_timeout_ms, 4000);
    assert_int_equal(m->options.version, 9);
    assert_true(slice_starts(m->key_prefix, SLICE("test:Home.geocode:")));
    assert_int_equal(find(vm, "After")->index, 2);
    vm_free(vm);
}

static void test_forms(void **state)
{
    struct vm *vm = vm_of_text("form 'F' { name = input{ required = true, clean = function(v) return v end },\n"
                               "  page = input{ type = 'integer', default = 1 },\n"
                               "  m = cached_form_method{ expires = 1, args = { n = arg() }, function() end } }");
    const struct model *form = find(vm, "F"), *m = find(vm, "F.m");
    assert_int_equal(form->kind, MODEL_FORM);
    assert_field(form, 0, "name", FIELD_ARGUMENT, TYPE_STRING);
    assert_true(form->field[0].required && form->field[0].cleaned);
    assert_false(form->field[1].required || form->field[1].cleaned);
    assert_true(slice_eq(form->field[1].default_json, SLICE("1")));
    assert_false(form->loads);
    assert_int_equal(m->kind, MODEL_FORM_METHOD);
    assert_ptr_equal(m->owner, form);
    assert_field(m, 0, "name", FIELD_KEY, TYPE_ANY);
    assert_field(m, 1, "page", FIELD_KEY, TYPE_ANY);
    assert_field(m, 2, "n", FIELD_ARGUMENT, TYPE_ANY);
    assert_false(m->field[0].required);
    assert_true(m->loads);
    vm_free(vm);
}

static void test_wrong_defaults_of_arguments(void **state)
{
    assert_finds("model 'A' { id = key(),\n m = cached_method{ function() end, args = {\n"
                 "  n = arg{ type = 'integer', default = 1.5 } } } }",
                 "m.lua:3: model `A`: cached_method `m`: arg `n`: attribute `default`: argument `n` of method `A.m`");
    assert_finds("form 'F' {\n  n = input{ type = 'integer', default = 'x' } }",
                 "m.lua:2: form `F`: input `n`: attribute `default`: input `n` of form `F`");
}

/* A target's keys are part of what a record relies on. */
static void test_fingerprint_of_targets(void **state)
{
    struct vm *one = vm_of_text("model 'A' { id = key(), b = reference 'B' }\nmodel 'B' { x = key(), v = field() }");
    struct vm *same = vm_of_text("model 'B' { x = key() }\nmodel 'A' { id = key(), b = reference 'B' }");
    struct vm *other =
        vm_of_text("model 'A' { id = key(), b = reference 'B' }\nmodel 'B' { x = key{ type = 'integer' } }");
    assert_string_equal(find(one, "A")->fingerprint, find(same, "A")->fingerprint);
    assert_string_not_equal(find(one, "A")->fingerprint, find(other, "A")->fingerprint);
    vm_free(one);
    vm_free(same);
    vm_free(other);
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
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_handlers),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_wrong_defaults),
        cmocka_unit_test(test_fingerprint),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_wrong_defaults_of_arguments),
        cmocka_unit_test(test_fingerprint_of_targets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
