/* Models: names, what model_finish works out, what a fingerprint covers, and which name was meant. */
#include "support.h"

static struct arena arena;

static int set_up(void **state)
{
    arena_init(&arena);
    return 0;
}

static int tear_down(void **state)
{
    arena_deinit(&arena);
    return 0;
}

static void names_are_ascii_words(void **state)
{
    char longest[MODEL_NAME_MAX + 1];
    memset(longest, 'x', sizeof longest);
    assert_true(model_name_valid(SLICE("User")));
    assert_true(model_name_valid(SLICE("a")));
    assert_true(model_name_valid(SLICE("full_name_2")));
    assert_true(model_name_valid(slice_from(longest, MODEL_NAME_MAX)));
    assert_false(model_name_valid(slice_from(longest, MODEL_NAME_MAX + 1)));
    static const char *const bad[] = {"",    "_a",  "1a", "a b", "a-b",  "a.b", "a:b",
                                      "a=b", "a&b", "é",  "aé",  "$ref", "a/b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(model_name_valid(slice_of(bad[i])));
    assert_false(model_name_valid(SLICE("a\0b")));
}

static void types_have_names(void **state)
{
    for (enum value_type t = TYPE_ANY; t <= TYPE_OBJECT; t++) {
        enum value_type parsed;
        assert_true(value_type_parse(slice_of(value_type_name(t)), &parsed));
        assert_int_equal(parsed, t);
    }
    enum value_type untouched = TYPE_ARRAY;
    assert_false(value_type_parse(SLICE("strng"), &untouched));
    assert_false(value_type_parse(SLICE(""), &untouched));
    assert_int_equal(untouched, TYPE_ARRAY);
}

static void finish_sorts_keys_and_finds_fields(void **state)
{
    struct field field[] = {KEY("username", TYPE_STRING), FIELD("email", TYPE_STRING), KEY("region", TYPE_STRING),
                            KEY("Zone", TYPE_INTEGER)};
    struct model m;
    model_of(&m, &arena, "User", field, 4);
    assert_int_equal(m.keys, 3);
    assert_int_equal(m.key[0], 3); /* by bytes: capitals first */
    assert_int_equal(m.key[1], 2);
    assert_int_equal(m.key[2], 0);
    for (size_t i = 0; i < 3; i++) assert_int_equal(model_key_position(&m, &field[m.key[i]]), i);
    assert_ptr_equal(model_field(&m, SLICE("email")), &field[1]);
    assert_null(model_field(&m, SLICE("emai")));
    assert_null(model_field(&m, SLICE("")));
    assert_slice(field[1].prefix, "\"email\":");
    static const int sorted[] = {3, 1, 2, 0};
    for (uint16_t i = 0; i < 4; i++) {
        assert_ptr_equal(model_field_at(&m, i), &field[sorted[i]]);
        assert_int_equal(field[sorted[i]].place, i);
    }
    assert_null(model_field_at(&m, 4));
    assert_null(model_field_at(&m, UINT16_MAX));

    char path[MODEL_NAME_MAX + 1];
    assert_string_equal(field_path(&field[1], path), "email");
}

static void a_model_may_have_all_it_may_have(void **state)
{
    struct field field[MODEL_FIELDS_MAX];
    struct model m;
    for (size_t i = 0; i < MODEL_FIELDS_MAX; i++) {
        struct slice name = arena_printf(&arena, "f%0*zu", MODEL_NAME_MAX - 1, MODEL_FIELDS_MAX - i);
        field[i] = (struct field){.name = name, .kind = FIELD_KEY};
        if (i >= MODEL_KEYS_MAX) field[i] = (struct field){.name = name, .kind = FIELD_REFERENCES, .target = &m};
    }
    model_of(&m, &arena, "Huge", field, MODEL_FIELDS_MAX);
    assert_int_equal(m.keys, MODEL_KEYS_MAX);
    assert_int_equal(m.key[0], MODEL_KEYS_MAX - 1);
    for (size_t i = 0; i < MODEL_FIELDS_MAX; i++) assert_ptr_equal(model_field(&m, field[i].name), &field[i]);
}

/* -- fingerprints -- */

static struct field person_keys[] = {KEY("username", TYPE_STRING), KEY("region", TYPE_STRING), FIELD("x", TYPE_ANY)};
static struct model person = {.name = {"Person", 6}, .field = person_keys, .fields = 3};
static const struct model nobody = {.name = {"Nobody", 6}, .field = person_keys, .fields = 3};

static const struct field fields[] = {
    KEY("username", TYPE_STRING),
    FIELD("email", TYPE_STRING),
    FIELD("prefs", TYPE_ANY),
    {.name = {"mother", 6}, .kind = FIELD_REFERENCE, .target = &person},
};
enum { FIELDS = sizeof fields / sizeof *fields };

static void print_of(const struct field *source, uint32_t version, char out[17])
{
    struct field copy[FIELDS];
    struct model m = {.name = SLICE("User"), .field = copy, .fields = FIELDS, .options = {.version = version}};
    memcpy(copy, source, sizeof copy);
    model_finish(&m, SLICE("perigee"), &arena);
    memcpy(out, m.fingerprint, 17);
}

/* printf 'version 3\nemail value string \nmother reference any Person(region string,username string)\nprefs value any \nusername key string \n' |
 *   sha256sum */
static void a_fingerprint_is_what_the_documentation_says(void **state)
{
    char print[17];
    print_of(fields, 3, print);
    assert_string_equal(print, "61b381e891e84879");

    struct field copy[FIELDS];
    struct model m = {.name = SLICE("User"), .field = copy, .fields = FIELDS, .options = {.version = 3}};
    memcpy(copy, fields, sizeof copy);
    model_finish(&m, SLICE("eu:perigee"), &arena);
    assert_slice(m.key_prefix, "eu:perigee:User:61b381e891e84879:");
}

static void a_fingerprint_covers_the_shape_and_nothing_else(void **state)
{
    char print[17], other[17];
    struct field copy[FIELDS];
    print_of(fields, 0, print);

    print_of(fields, 1, other); /* the version */
    assert_string_not_equal(print, other);

#define CHANGED(change, same)                                                                                          \
    do {                                                                                                               \
        memcpy(copy, fields, sizeof copy);                                                                             \
        change;                                                                                                        \
        print_of(copy, 0, other);                                                                                      \
        assert_int_equal(strcmp(print, other) == 0, same);                                                             \
    } while (0)
    CHANGED(copy[1].name = SLICE("mail"), false);
    CHANGED(copy[1].type = TYPE_INTEGER, false);
    CHANGED(copy[1].kind = FIELD_KEY, false);
    CHANGED(copy[2].kind = FIELD_PACKED, false);
    CHANGED(copy[3].target = &nobody, false);
    CHANGED(copy[3].kind = FIELD_REFERENCES, false);
    CHANGED((copy[0] = fields[1], copy[1] = fields[0]), true);
    CHANGED(copy[1].required = true, true);
    CHANGED(copy[1].default_json = SLICE("\"x\""), true);
    CHANGED(copy[3].missing = EDGE_NULL, true);
    CHANGED(copy[3].max = 7, true);
    CHANGED(person.options.version = 7, true);
    CHANGED(person_keys[2].name = SLICE("y"), true); /* of a target the keys count, and nothing else */
    CHANGED(person_keys[0].default_json = SLICE("\"x\""), true);
    CHANGED((person_keys[0].name = SLICE("region"), person_keys[1].name = SLICE("username")), true);
    CHANGED(person_keys[1].type = TYPE_INTEGER, false);
    person_keys[1].type = TYPE_STRING;
    CHANGED(person_keys[1].name = SLICE("name"), false);
    person_keys[1].name = SLICE("username");
    CHANGED(person_keys[1].kind = FIELD_VALUE, false);
    person_keys[1].kind = FIELD_KEY;
    CHANGED(person_keys[2].kind = FIELD_KEY, false);
    person_keys[2].kind = FIELD_VALUE;
    CHANGED((void)0, true);
#undef CHANGED
}

/* -- did you mean -- */

static void assert_near(const char *name, const char *expected)
{
    static const struct slice names[] = {{"username", 8}, {"email", 5}, {"full_name", 9},
                                         {"age", 3},      {"x", 1},     {"id", 2}};
    struct slice near = nearest_name(slice_of(name), names, sizeof names / sizeof *names);
    if (!expected) {
        if (near.p) fail_msg("`%s` is not near to `%.*s`", name, SLICE_ARG(near));
        return;
    }
    assert_bytes(near, slice_of(expected), __FILE__, __LINE__);
}

static void the_nearest_name_is_one_that_may_be_meant(void **state)
{
    assert_near("usernme", "username");
    assert_near("ful_name", "full_name");
    assert_near("fulname", "full_name");
    assert_near("emial", "email");
    assert_near("EMAIL", "email");
    assert_near("FullName", "full_name");
    assert_near("Full_Name", "full_name");
    assert_near("ag", "age");
    assert_near("y", NULL); /* everything is one letter away from `x` */
    assert_near("if", NULL);
    assert_near("", NULL);
    assert_near("nothing", NULL);
    assert_near("user_name_of_this_person_in_the_directory_of_people_of_this_company", NULL);
    assert_null(nearest_name(SLICE("a"), NULL, 0).p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_are_ascii_words, set_up, tear_down),
        cmocka_unit_test_setup_teardown(types_have_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(finish_sorts_keys_and_finds_fields, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_model_may_have_all_it_may_have, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_fingerprint_is_what_the_documentation_says, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_fingerprint_covers_the_shape_and_nothing_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_nearest_name_is_one_that_may_be_meant, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
