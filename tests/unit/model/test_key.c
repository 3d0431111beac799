/* Keys: from text and JSON to the stored key, and the ways in which they are none. */
#include "support.h"

#include "model/json.h"
#include "model/key.h"

static struct arena arena;
static struct problem why;

static struct field text_fields[] = {KEY("name", TYPE_STRING), FIELD("value", TYPE_ANY)};
static struct field pair_fields[] = {
    {.name = {"b", 1}, .kind = FIELD_KEY, .type = TYPE_STRING, .default_json = {"\"eu\"", 4}},
    KEY("a", TYPE_STRING),
    FIELD("value", TYPE_ANY)};
static struct field whole_fields[] = {KEY("id", TYPE_INTEGER)};
static struct field real_fields[] = {KEY("x", TYPE_NUMBER)};
static struct field flag_fields[] = {KEY("on", TYPE_BOOLEAN)};
static struct field any_fields[] = {KEY("id", TYPE_ANY)};

enum { TEXT, PAIR, WHOLE, REAL, FLAG, ANY, MODELS };
static struct model models[MODELS];

static int set_up(void **state)
{
    arena_init(&arena);
    model_of(&models[TEXT], &arena, "Text", text_fields, 2);
    model_of(&models[PAIR], &arena, "Pair", pair_fields, 3);
    model_of(&models[WHOLE], &arena, "Whole", whole_fields, 1);
    model_of(&models[REAL], &arena, "Real", real_fields, 1);
    model_of(&models[FLAG], &arena, "Flag", flag_fields, 1);
    model_of(&models[ANY], &arena, "Any", any_fields, 1);
    return 0;
}

static int tear_down(void **state)
{
    for (size_t i = 0; i < MODELS; i++) model_deinit(&models[i]);
    arena_deinit(&arena);
    return 0;
}

static enum status of_query(const struct model *m, struct slice query, struct record_key *key)
{
    struct key_draft draft;
    struct query_option *option;
    size_t options;
    key_draft_init(&draft);
    enum status st = key_parse_query(m, query, &arena, &draft, &option, &options, &why);
    return st == OK ? key_finish(m, &draft, &arena, key, &why) : st;
}

static enum status of_json(const struct model *m, struct slice json, struct record_key *key)
{
    struct key_draft draft;
    key_draft_init(&draft);
    enum status st = key_set_json(m, &draft, 0, json, &arena, &why);
    return st == OK ? key_finish(m, &draft, &arena, key, &why) : st;
}

static const struct model *model_named(struct slice name)
{
    for (size_t i = 0; i < MODELS; i++)
        if (slice_eq(models[i].name, name)) return &models[i];
    fail_msg("no model %.*s", SLICE_ARG(name));
    return NULL;
}

/* -- the table -- */

static void check_row(struct slice target, struct slice expected)
{
    struct record_key key;
    struct slice query = target;
    const struct model *m = model_named(slice_cut(&query, '?'));
    enum status st = of_query(m, query, &key);
    if (expected.p[0] == '!') {
        if (!slice_eq(slice_of(status_code(st)), slice_skip(expected, 1)))
            fail_msg("%.*s: %s, not %.*s", SLICE_ARG(target), status_code(st), SLICE_ARG(expected));
        assert_int_equal(why.status, st);
        assert_true(why.detail[0]);
        return;
    }
    if (st != OK) fail_msg("%.*s: %s", SLICE_ARG(target), why.detail);
    assert_bytes(key.stored, expected, "keys.txt", 0);
    assert_true(key.pairs.p + key.pairs.n == key.stored.p + key.stored.n);
    assert_true(slice_starts(key.stored, m->key_prefix));
    assert_int_equal(m->key_prefix.n + key.pairs.n, key.stored.n);
}

static void stored_keys_are_as_in_the_golden_table(void **state)
{
    struct slice rest = golden_read("keys.txt", &arena);
    size_t rows = 0;
    while (rest.p) {
        struct slice expected = slice_cut(&rest, '\n'), target;
        if (expected.n == 0 || expected.p[0] == '#') continue;
        target = slice_cut(&expected, ' ');
        check_row(target, expected);
        rows++;
    }
    assert_true(rows > 100);
}

static void the_location_of_a_key_leads_back_to_it(void **state)
{
    struct slice rest = golden_read("keys.txt", &arena);
    while (rest.p) {
        struct slice expected = slice_cut(&rest, '\n'), target;
        if (expected.n == 0 || expected.p[0] == '#') continue;
        target = slice_cut(&expected, ' ');
        if (expected.p[0] == '!') continue;
        struct record_key key, again;
        struct slice query = target;
        const struct model *m = model_named(slice_cut(&query, '?'));
        assert_int_equal(of_query(m, query, &key), OK);
        query = key_location(&key, &arena);
        assert_true(slice_starts(query, SLICE("/models/")));
        query = slice_skip(query, strlen("/models/"));
        assert_ptr_equal(model_named(slice_cut(&query, '?')), m);
        assert_int_equal(of_query(m, query, &again), OK);
        assert_true(slice_eq(key.stored, again.stored));
    }
}

static void locations_read_well(void **state)
{
    struct record_key key;
    assert_int_equal(of_query(&models[TEXT], SLICE("name=a+b%2F%C3%A9"), &key), OK);
    assert_slice(key_location(&key, &arena), "/models/Text?name=a%20b%2F%C3%A9");
    assert_int_equal(of_query(&models[PAIR], SLICE("a=1"), &key), OK);
    assert_slice(key_location(&key, &arena), "/models/Pair?b=eu&a=1"); /* in order of declaration */
    assert_int_equal(of_query(&models[ANY], SLICE("id=word"), &key), OK);
    assert_slice(key_location(&key, &arena), "/models/Any?id=%22word%22");
    assert_int_equal(of_query(&models[TEXT], arena_printf(&arena, "name=%0300d", 1), &key), OK);
    assert_int_equal(key_location(&key, &arena).n, strlen("/models/Text?name=") + 300); /* the whole of a hashed key */
}

/* -- JSON -- */

static void json_and_query_meet(void **state)
{
    static const struct {
        int model;
        const char *json, *query;
    } table[] = {
        {TEXT, "\"bob\"", "name=bob"},
        {TEXT, "\"\\u0062ob\"", "name=bob"},
        {TEXT, "\"a\\/b\"", "name=a/b"},
        {TEXT, "\"\\u00e9\"", "name=%C3%A9"},
        {TEXT, "\"\xC3\xA9\"", "name=%C3%A9"},
        {TEXT, "\"\\u0000\"", "name=%00"},
        {TEXT, "\"\"", "name="},
        {TEXT, "\"42\"", "name=42"},
        {TEXT, "\"\x7f\"", "name=%7F"},
        {WHOLE, "42", "id=42"},
        {WHOLE, "-0", "id=0"},
        {REAL, "1", "x=1.0"},
        {REAL, "15e-1", "x=1.5"},
        {FLAG, "true", "on=true"},
        {FLAG, "false", "on=false"},
        {ANY, "42", "id=42"},
        {ANY, "4.2e1", "id=42"},
        {ANY, "\"42\"", "id=%2242%22"},
        {ANY, "\"w\"", "id=w"},
        {ANY, "true", "id=true"},
        {ANY, "\"true\"", "id=%22true%22"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct record_key one, two;
        assert_int_equal(of_json(&models[table[i].model], slice_of(table[i].json), &one), OK);
        assert_int_equal(of_query(&models[table[i].model], slice_of(table[i].query), &two), OK);
        assert_bytes(one.stored, two.stored, table[i].query, 0);
        assert_bytes(one.json[0], two.json[0], table[i].query, 0);
    }
}

static void nothing_is_converted(void **state)
{
    static const char *const wrong[MODELS][9] = {
        [TEXT] = {"1", "1.5", "true", "null", "[]", "{\"a\":1}"},
        [WHOLE] = {"\"1\"", "1.5", "1.0", "1e3", "true", "null", "[]", "{}", "9223372036854775808"},
        [REAL] = {"\"1\"", "true", "null", "[]", "{}", "1e999", "1e-999"},
        [FLAG] = {"\"true\"", "1", "0", "null", "[]", "{}"},
        [ANY] = {"null", "[]", "{}", "1e999"},
    };
    for (int m = 0; m < MODELS; m++)
        for (size_t i = 0; i < 9 && wrong[m][i]; i++) {
            struct record_key key;
            if (of_json(&models[m], slice_of(wrong[m][i]), &key) != KEY_TYPE) fail_msg("%d: %s", m, wrong[m][i]);
            assert_string_equal(why.path, m == TEXT ? "name" : m == REAL ? "x" : m == FLAG ? "on" : "id");
        }
}

static void a_long_number_costs_little(void **state)
{
    size_t n = 1 << 20;
    struct record_key key;
    char *digits = arena_bytes(&arena, n);
    memset(digits, '9', n);
    assert_int_equal(of_json(&models[REAL], slice_from(digits, n), &key), KEY_TYPE);
    assert_int_equal(of_json(&models[WHOLE], slice_from(digits, n), &key), KEY_TYPE);
    assert_int_equal(of_json(&models[ANY], slice_from(digits, n), &key), KEY_TYPE);
    digits[1] = '.';
    assert_int_equal(of_json(&models[REAL], slice_from(digits, n), &key), OK);
    assert_int_equal(key.pairs.n, 1 + 64); /* hashed */
}

static void a_draft_takes_a_key_twice_only_if_it_agrees(void **state)
{
    struct key_draft d;
    key_draft_init(&d);
    assert_int_equal(key_set_text(&models[REAL], &d, SLICE("x"), SLICE("1.50"), &arena, &why), OK);
    assert_int_equal(key_set_json(&models[REAL], &d, 0, SLICE("15e-1"), &arena, &why), OK);
    assert_int_equal(key_set_json(&models[REAL], &d, 0, SLICE("1.6"), &arena, &why), KEY_CONFLICT);
    assert_string_equal(why.path, "x");
    assert_slice(d.json[0], "1.5");
    assert_int_equal(key_set_text(&models[REAL], &d, SLICE("x"), SLICE("1.5"), &arena, &why), MALFORMED_REQUEST);
}

/* -- queries -- */

static void options_are_collected_in_order(void **state)
{
    struct key_draft d;
    struct query_option *option;
    size_t n;
    key_draft_init(&d);
    assert_int_equal(
        key_parse_query(&models[TEXT], SLICE("_b=1&name=x&_a=%41+&_b=&_=%00"), &arena, &d, &option, &n, &why), OK);
    assert_int_equal(n, 4);
    assert_slice(option[0].name, "_b");
    assert_slice(option[0].value, "1");
    assert_slice(option[1].name, "_a");
    assert_slice(option[1].value, "A ");
    assert_slice(option[2].name, "_b");
    assert_slice(option[2].value, "");
    assert_slice(option[3].name, "_");
    assert_slice(option[3].value, "\0");
    assert_slice(d.json[0], "\"x\"");

    key_draft_init(&d);
    assert_int_equal(key_parse_query(&models[TEXT], (struct slice){NULL, 0}, &arena, &d, &option, &n, &why), OK);
    assert_int_equal(n, 0);
}

static void a_query_has_64_parameters_at_most(void **state)
{
    struct key_draft d;
    struct query_option *option;
    struct buffer b;
    size_t n;
    buffer_init(&b, SIZE_MAX);
    for (int i = 0; i < 64; i++) buffer_printf(&b, "%s_x=%d", i ? "&" : "", i);
    key_draft_init(&d);
    assert_int_equal(key_parse_query(&models[TEXT], buffer_view(&b), &arena, &d, &option, &n, &why), OK);
    assert_int_equal(n, 64);
    buffer_slice(&b, SLICE("&_x=64"));
    assert_int_equal(key_parse_query(&models[TEXT], buffer_view(&b), &arena, &d, &option, &n, &why), MALFORMED_REQUEST);
    buffer_deinit(&b);
}

static void an_escape_ends_where_the_query_ends(void **state)
{
    struct record_key key;
    assert_int_equal(of_query(&models[TEXT], slice_from("name=%41", 8), &key), OK);
    assert_int_equal(of_query(&models[TEXT], slice_from("name=%41", 7), &key), MALFORMED_REQUEST);
    assert_int_equal(of_query(&models[TEXT], slice_from("name=%41", 6), &key), MALFORMED_REQUEST);
    assert_int_equal(of_query(&models[TEXT], SLICE("name=%4&_x=1"), &key), MALFORMED_REQUEST);
}

static void bytes_that_are_no_text_are_no_key(void **state)
{
    struct key_draft d;
    key_draft_init(&d);
    assert_int_equal(key_set_text(&models[TEXT], &d, SLICE("name"), SLICE("\xFF"), &arena, &why), KEY_TYPE);
    assert_int_equal(key_set_text(&models[ANY], &d, SLICE("id"), SLICE("a\xC3"), &arena, &why), KEY_TYPE);
    assert_null(d.json[0].p);
}

/* -- messages -- */

static void assert_says(const struct model *m, const char *query, enum status st, const char *path, const char *detail)
{
    struct record_key key;
    assert_int_equal(of_query(m, slice_of(query), &key), st);
    assert_string_equal(why.path, path);
    assert_string_equal(why.detail, detail);
}

static void messages_are_sentences(void **state)
{
    struct record_key key;
    assert_says(&models[TEXT], "", KEY_REQUIRED, "name", "model `Text` needs the key `name`");
    assert_says(&models[TEXT], "nmae=x", UNKNOWN_KEY, "nmae", "model `Text` has no key `nmae` (did you mean `name`?)");
    assert_says(&models[TEXT], "zebra=x", UNKNOWN_KEY, "zebra", "model `Text` has no key `zebra`");
    assert_says(&models[TEXT], "value=x", UNKNOWN_KEY, "value", "`value` is a field of model `Text`, not a key");
    assert_says(&models[TEXT], "name=a&name=b", MALFORMED_REQUEST, "name", "key `name` is given twice");
    assert_says(&models[TEXT], "name", MALFORMED_REQUEST, "", "the query's parameter `name` is not name=value");
    assert_says(&models[TEXT], "name=%zz", MALFORMED_REQUEST, "",
                "the query's parameter `name=%zz` is not percent-encoded UTF-8");
    assert_says(&models[WHOLE], "id=ten", KEY_TYPE, "id",
                "key `id` of model `Whole` takes an integer of 64 bits, not `ten`");
    assert_says(&models[REAL], "x=1e999", KEY_TYPE, "x",
                "key `x` of model `Real` takes a number that a double can hold, not `1e999`");
    assert_says(&models[FLAG], "on=1", KEY_TYPE, "on", "key `on` of model `Flag` takes true or false, not `1`");
    assert_says(&models[ANY], "id=null", KEY_TYPE, "id",
                "key `id` of model `Any` takes a string, a number or a boolean, not `null`");
    of_json(&models[TEXT], SLICE("[1]"), &key);
    assert_string_equal(why.detail, "key `name` of model `Text` takes a string, not an array");
    of_json(&models[WHOLE], SLICE("1.5"), &key);
    assert_string_equal(why.detail, "key `id` of model `Whole` takes an integer of 64 bits, not `1.5`");
}

static void what_a_stranger_sends_is_cut_in_messages(void **state)
{
    struct record_key key;
    struct slice query = arena_printf(&arena, "%03000d=x", 1);
    assert_int_equal(of_query(&models[TEXT], query, &key), UNKNOWN_KEY);
    assert_int_equal(strlen(why.path), 64);
    query = arena_printf(&arena, "id=%03000d", 1);
    assert_int_equal(of_query(&models[WHOLE], query, &key), KEY_TYPE);
    assert_true(why.detail[strlen(why.detail) - 1] == '`');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stored_keys_are_as_in_the_golden_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_location_of_a_key_leads_back_to_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(locations_read_well, set_up, tear_down),
        cmocka_unit_test_setup_teardown(json_and_query_meet, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_converted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_number_costs_little, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_draft_takes_a_key_twice_only_if_it_agrees, set_up, tear_down),
        cmocka_unit_test_setup_teardown(options_are_collected_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_query_has_64_parameters_at_most, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_escape_ends_where_the_query_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bytes_that_are_no_text_are_no_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(messages_are_sentences, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_stranger_sends_is_cut_in_messages, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
