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

enum { TEXT, PAIR, WHOLE, REAL, FLAG, ANY, REFERS, CALL, FORM_CALL, MODELS };
static struct model models[MODELS];

static struct field refers_fields[] = {KEY("name", TYPE_STRING),
                                       {.name = {"mother", 6}, .kind = FIELD_REFERENCE, .target = &models[REFERS]},
                                       {.name = {"work", 4}, .kind = FIELD_REFERENCES, .target = &models[PAIR]}};
static struct field call_fields[] = {
    {.name = {"unit", 4}, .kind = FIELD_ARGUMENT},
    {.name = {"precision", 9}, .kind = FIELD_ARGUMENT, .type = TYPE_INTEGER, .default_json = {"5", 1}},
    {.name = {"address", 7}, .kind = FIELD_KEY, .type = TYPE_STRING, .required = true}};
static struct field form_call_fields[] = {{.name = {"username", 8}, .kind = FIELD_KEY},
                                          {.name = {"deep", 4}, .kind = FIELD_ARGUMENT, .type = TYPE_BOOLEAN}};

static int set_up(void **state)
{
    arena_init(&arena);
    model_of(&models[TEXT], &arena, "Text", text_fields, 2);
    model_of(&models[PAIR], &arena, "Pair", pair_fields, 3);
    model_of(&models[WHOLE], &arena, "Whole", whole_fields, 1);
    model_of(&models[REAL], &arena, "Real", real_fields, 1);
    model_of(&models[FLAG], &arena, "Flag", flag_fields, 1);
    model_of(&models[ANY], &arena, "Any", any_fields, 1);
    model_of(&models[REFERS], &arena, "Refers", refers_fields, 3);
    models[CALL] =
        (struct model){.kind = MODEL_METHOD, .name = SLICE("Home.geocode"), .field = call_fields, .fields = 3};
    models[FORM_CALL] = (struct model){
        .kind = MODEL_FORM_METHOD, .name = SLICE("Lookup.friends"), .field = form_call_fields, .fields = 2};
    model_finish(&models[CALL], SLICE("perigee"), &arena);
    model_finish(&models[FORM_CALL], SLICE("perigee"), &arena);
    return 0;
}

static int tear_down(void **state)
{
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
        if (m->kind != MODEL_RECORD) continue;
        assert_int_equal(of_query(m, query, &key), OK);
        query = key_location(&key, &arena);
        assert_true(slice_starts(query, SLICE("/models/")));
        query = slice_skip(query, strlen("/models/"));
        assert_ptr_equal(model_named(slice_cut(&query, '?')), m);
        assert_int_equal(of_query(m, query, &again), OK);
        assert_true(slice_eq(key.stored, again.stored));
        assert_true(key_at_location(m, key_location(&key, &arena), &arena, &again));
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
    assert_says(&models[TEXT], "name", MALFORMED_REQUEST, "", "the parameter `name` is not name=value");
    assert_says(&models[TEXT], "name=%zz", MALFORMED_REQUEST, "",
                "the parameter `name=%zz` is not percent-encoded UTF-8");
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

/* -- methods and forms -- */

static struct field home_fields[] = {KEY("address", TYPE_STRING), FIELD("owner", TYPE_STRING)};
static struct field geocode_fields[] = {
    {.name = {"address", 7}, .kind = FIELD_KEY, .type = TYPE_STRING, .required = true},
    {.name = {"owner", 5}, .kind = FIELD_KEY, .type = TYPE_STRING},
    {.name = {"precision", 9}, .kind = FIELD_ARGUMENT, .type = TYPE_INTEGER, .default_json = {"5", 1}},
    {.name = {"unit", 4}, .kind = FIELD_ARGUMENT, .required = true},
    {.name = {"hint", 4}, .kind = FIELD_ARGUMENT},
};
static struct field form_fields[] = {
    {.name = {"username", 8}, .kind = FIELD_ARGUMENT, .type = TYPE_STRING, .required = true},
    {.name = {"limit", 5}, .kind = FIELD_ARGUMENT, .type = TYPE_INTEGER},
};
static struct field friends_fields[] = {
    {.name = {"username", 8}, .kind = FIELD_KEY},
    {.name = {"limit", 5}, .kind = FIELD_KEY},
    {.name = {"deep", 4}, .kind = FIELD_ARGUMENT, .type = TYPE_BOOLEAN},
};

enum { HOME, GEOCODE, FORM, FRIENDS, SHAPES };
static struct model shapes[SHAPES];

static void shape_of(int which, enum model_kind kind, const char *name, int owner, struct field *field, size_t fields)
{
    struct model *m = &shapes[which];
    *m = (struct model){.kind = kind,
                        .name = slice_of(name),
                        .owner = owner == which ? NULL : &shapes[owner],
                        .field = field,
                        .fields = fields,
                        .handler = -1};
    model_finish(m, SLICE("perigee"), &arena);
}

static int set_up_shapes(void **state)
{
    arena_init(&arena);
    shape_of(HOME, MODEL_RECORD, "Home", HOME, home_fields, 2);
    shape_of(GEOCODE, MODEL_METHOD, "Home.geocode", HOME, geocode_fields, 5);
    shape_of(FORM, MODEL_FORM, "Lookup", FORM, form_fields, 2);
    shape_of(FRIENDS, MODEL_FORM_METHOD, "Lookup.friends", FORM, friends_fields, 3);
    return 0;
}

static int tear_down_shapes(void **state)
{
    arena_deinit(&arena);
    return 0;
}

static void assert_pairs(const struct model *m, const char *query, const char *pairs)
{
    struct record_key key;
    if (of_query(m, slice_of(query), &key) != OK) fail_msg("%s: %s", query, why.detail);
    assert_bytes(key.pairs, slice_of(pairs), query, 0);
    assert_int_equal(key.stored.n, m->key_prefix.n + key.pairs.n);
}

static void what_is_optional_and_absent_has_no_pair(void **state)
{
    const struct model *m = &shapes[GEOCODE];
    assert_pairs(m, "address=a&unit=m", "address=a&precision=5&unit=%22m%22"); /* a default is a value */
    assert_pairs(m, "address=a&unit=m&precision=5", "address=a&precision=5&unit=%22m%22");
    assert_pairs(m, "address=a&unit=7&owner=&hint=", "address=a&hint=%22%22&owner=&precision=5&unit=7");
    assert_pairs(&shapes[FRIENDS], "", "");
    assert_pairs(&shapes[FRIENDS], "deep=true", "deep=true");

    struct record_key key, copy;
    assert_int_equal(of_query(m, SLICE("address=a&unit=m"), &key), OK);
    copy = key_copy(&key, &arena);
    for (size_t i = 0; i < m->keys; i++) {
        assert_true((key.json[i].p == NULL) == (copy.json[i].p == NULL));
        assert_true(slice_eq(key.json[i], copy.json[i]));
    }
    assert_true(slice_eq(copy.pairs, key.pairs));
}

/* Sets one argument of GEOCODE beside those that are needed. */
static enum status with(const char *name, const char *json, struct key_draft *d, struct record_key *key)
{
    const struct model *m = &shapes[GEOCODE];
    size_t at = model_key_position(m, model_field(m, slice_of(name)));
    key_draft_init(d);
    d->json[model_key_position(m, &geocode_fields[0])] = SLICE("\"a\"");
    if (strcmp(name, "unit") != 0) d->json[model_key_position(m, &geocode_fields[3])] = SLICE("\"m\"");
    enum status st = key_set_json(m, d, at, slice_of(json), &arena, &why);
    return st == OK ? key_finish(m, d, &arena, key, &why) : st;
}

static void null_is_absent_where_that_may_be(void **state)
{
    struct key_draft d;
    struct record_key key;
    assert_int_equal(with("hint", "null", &d, &key), OK);
    assert_slice(key.pairs, "address=a&precision=5&unit=%22m%22");
    assert_int_equal(with("owner", "null", &d, &key), OK);
    assert_slice(key.pairs, "address=a&precision=5&unit=%22m%22");
    assert_int_equal(with("precision", "null", &d, &key), OK); /* its default */
    assert_slice(key.pairs, "address=a&precision=5&unit=%22m%22");
    assert_int_equal(with("hint", "\"\"", &d, &key), OK);
    assert_slice(key.pairs, "address=a&hint=%22%22&precision=5&unit=%22m%22");
    assert_int_equal(with("hint", "\"null\"", &d, &key), OK);
    assert_slice(key.pairs, "address=a&hint=%22null%22&precision=5&unit=%22m%22");
    assert_int_equal(with("unit", "null", &d, &key), KEY_TYPE);
    assert_int_equal(with("hint", "[]", &d, &key), KEY_TYPE);

    key_draft_init(&d); /* a record's key is whole, whatever its fields say */
    assert_int_equal(key_set_json(&shapes[HOME], &d, 0, SLICE("null"), &arena, &why), KEY_TYPE);
    assert_int_equal(key_finish(&shapes[HOME], &d, &arena, &key, &why), KEY_REQUIRED);
}

static void values_of_a_forms_method_are_taken_as_they_are(void **state)
{
    static const char *const values[] = {"[1,{\"a\":null}]", "{\"a\":[]}", "\"x\"", "7", "false"};
    static const char *const pairs[] = {"username=%5B1%2C%7B%22a%22%3Anull%7D%5D", "username=%7B%22a%22%3A%5B%5D%7D",
                                        "username=%22x%22", "username=7", "username=false"};
    const struct model *m = &shapes[FRIENDS];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct key_draft d;
        struct record_key key;
        key_draft_init(&d);
        key_set_canonical(&d, model_key_position(m, &friends_fields[0]), slice_of(values[i]));
        assert_int_equal(key_finish(m, &d, &arena, &key, &why), OK);
        assert_bytes(key.pairs, slice_of(pairs[i]), values[i], 0);
    }
}

static void messages_use_the_word_of_the_shape(void **state)
{
    assert_says(&shapes[GEOCODE], "address=a", KEY_REQUIRED, "unit", "method `Home.geocode` needs the argument `unit`");
    assert_says(&shapes[GEOCODE], "unit=m", KEY_REQUIRED, "address", "method `Home.geocode` needs the key `address`");
    assert_says(&shapes[GEOCODE], "precision=high", KEY_TYPE, "precision",
                "argument `precision` of method `Home.geocode` takes an integer of 64 bits, not `high`");
    assert_says(&shapes[GEOCODE], "precison=1", UNKNOWN_KEY, "precison",
                "method `Home.geocode` has no argument `precison` (did you mean `precision`?)");
    assert_says(&shapes[GEOCODE], "adress=1", UNKNOWN_KEY, "adress",
                "method `Home.geocode` has no argument `adress` (did you mean `address`?)");
    assert_says(&shapes[GEOCODE], "hint=1&hint=1", MALFORMED_REQUEST, "hint", "argument `hint` is given twice");
    assert_says(&shapes[FORM], "", KEY_REQUIRED, "username", "form `Lookup` needs the input `username`");
    assert_says(&shapes[FORM], "limit=x", KEY_TYPE, "limit",
                "input `limit` of form `Lookup` takes an integer of 64 bits, not `x`");
    assert_says(&shapes[FORM], "usrname=x", UNKNOWN_KEY, "usrname",
                "form `Lookup` has no input `usrname` (did you mean `username`?)");
    assert_says(&shapes[FRIENDS], "deep=1", KEY_TYPE, "deep",
                "argument `deep` of method `Lookup.friends` takes true or false, not `1`");
}

/* -- locations -- */

static void results_have_locations(void **state)
{
    struct record_key key, again;
    assert_int_equal(of_query(&shapes[GEOCODE], SLICE("unit=m&address=a+b"), &key), OK);
    assert_slice(key_location(&key, &arena), "/models/Home/geocode?address=a%20b&precision=5&unit=%22m%22");
    assert_true(key_at_location(&shapes[GEOCODE], key_location(&key, &arena), &arena, &again));
    assert_true(slice_eq(key.stored, again.stored));
    assert_int_equal(of_query(&shapes[FRIENDS], SLICE("username=Bob&deep=true"), &key), OK);
    assert_slice(key_location(&key, &arena), "/forms/Lookup/friends?username=%22Bob%22&deep=true");
    assert_int_equal(of_query(&shapes[FRIENDS], SLICE(""), &key), OK);
    assert_slice(key_location(&key, &arena), "/forms/Lookup/friends");
    assert_true(key_at_location(&shapes[FRIENDS], SLICE("/forms/Lookup/friends"), &arena, &again));
    assert_true(slice_eq(key.stored, again.stored));
    assert_false(key_at_location(&shapes[FRIENDS], SLICE("/forms/Lookup.friends"), &arena, &again));
    assert_false(key_at_location(&shapes[FRIENDS], SLICE("/models/Lookup/friends"), &arena, &again));
    assert_false(key_at_location(&shapes[HOME], SLICE("/models/Home/geocode?address=a"), &arena, &again));
}

static void a_location_is_a_path_and_the_keys(void **state)
{
    static const char *const good[] = {"/models/Home?address=a%2Fb", "/models/Home?address=a/b",
                                       "/models/Home?%61ddress=a%2fb"};
    static const char *const bad[] = {"",
                                      "/",
                                      "/models",
                                      "/models/",
                                      "/models/Home",
                                      "/models/Home?",
                                      "/models/Home?addres=a",
                                      "/models/Home?owner=a",
                                      "/models/Home?address",
                                      "/models/Home?address=a&",
                                      "/models/Home?address=a&_depth=0",
                                      "/models/Home?address=%FF",
                                      "/models/Home/?address=a",
                                      "/models/home?address=a",
                                      "/models/Homes?address=a",
                                      "/models/Hom?address=a",
                                      "models/Home?address=a",
                                      " /models/Home?address=a",
                                      "/forms/Home?address=a",
                                      "//h/models/Home?address=a",
                                      "?address=a"};
    struct record_key key;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (!key_at_location(&shapes[HOME], slice_of(good[i]), &arena, &key)) fail_msg("%s", good[i]);
        assert_slice(key.pairs, "address=a%2Fb");
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (key_at_location(&shapes[HOME], slice_of(bad[i]), &arena, &key)) fail_msg("%s", bad[i]);
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
        cmocka_unit_test_setup_teardown(what_is_optional_and_absent_has_no_pair, set_up_shapes, tear_down_shapes),
        cmocka_unit_test_setup_teardown(null_is_absent_where_that_may_be, set_up_shapes, tear_down_shapes),
        cmocka_unit_test_setup_teardown(values_of_a_forms_method_are_taken_as_they_are, set_up_shapes,
                                        tear_down_shapes),
        cmocka_unit_test_setup_teardown(messages_use_the_word_of_the_shape, set_up_shapes, tear_down_shapes),
        cmocka_unit_test_setup_teardown(results_have_locations, set_up_shapes, tear_down_shapes),
        cmocka_unit_test_setup_teardown(a_location_is_a_path_and_the_keys, set_up_shapes, tear_down_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
