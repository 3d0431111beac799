/* Records: a body read against its model, and the text that is stored. */
#include "support.h"

#include "model/codec.h"

static struct arena arena;
static struct problem why;

static struct model user;
static struct field fields[] = {
    FIELD("zeta", TYPE_ANY),
    KEY("username", TYPE_STRING),
    {.name = {"email", 5}, .kind = FIELD_VALUE, .type = TYPE_STRING, .required = true},
    {.name = {"age", 3}, .kind = FIELD_VALUE, .type = TYPE_INTEGER, .default_json = {"18", 2}},
    {.name = {"region", 6}, .kind = FIELD_KEY, .type = TYPE_STRING, .default_json = {"\"eu\"", 4}},
    FIELD("n", TYPE_NUMBER),
    FIELD("b", TYPE_BOOLEAN),
    FIELD("a", TYPE_ARRAY),
    FIELD("o", TYPE_OBJECT),
    {.name = {"prefs", 5}, .kind = FIELD_PACKED},
    {.name = {"mother", 6}, .kind = FIELD_REFERENCE, .target = &user},
    {.name = {"friends", 7}, .kind = FIELD_REFERENCES, .target = &user, .max = 3},
};

static int set_up(void **state)
{
    arena_init(&arena);
    model_of(&user, &arena, "User", fields, sizeof fields / sizeof *fields);
    return 0;
}

static int tear_down(void **state)
{
    arena_deinit(&arena);
    return 0;
}

/* A body, with a key from the query when there is one, all the way to the stored text. */
static enum status save(const char *username, const char *body, struct buffer *text)
{
    struct key_draft draft;
    struct record_draft record;
    struct record_key key;
    struct codec_reader reader = {.arena = &arena};
    struct envelope_ref *refs;
    size_t n_refs;
    enum status st = OK;
    memset(&why, 0, sizeof why);
    key_draft_init(&draft);
    codec_draft_init(&user, &arena, &record);
    if (username) st = key_set_text(&user, &draft, SLICE("username"), slice_of(username), &arena, &why);
    if (st == OK) st = codec_read(&user, slice_of(body), &draft, &reader, &record, &why);
    if (st == OK) st = key_finish(&user, &draft, &arena, &key, &why);
    if (st == OK) st = codec_write(&key, &record, &arena, text, &refs, &n_refs, &why);
    if (st != OK) return st;
    assert_null(refs);
    assert_int_equal(n_refs, 0);
    return OK;
}

static void assert_saved(const char *username, const char *body, const char *expected)
{
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    if (save(username, body, &text) != OK) fail_msg("%s: %s", body, why.detail);
    assert_bytes(buffer_view(&text), slice_of(expected), body, 0);
    buffer_deinit(&text);
}

static void assert_refused(const char *username, const char *body, enum status st, const char *path, const char *detail)
{
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    enum status given = save(username, body, &text);
    if (given != st) fail_msg("%s: %s: %s", body, status_code(given), why.detail);
    assert_int_equal(why.status, st);
    assert_string_equal(why.path, path);
    if (detail) assert_string_equal(why.detail, detail);
    buffer_deinit(&text);
}

static void members_stand_in_the_order_of_the_model(void **state)
{
    assert_saved(NULL, "{\"age\":3,\"email\":\"x\",\"username\":\"u\",\"zeta\":1}",
                 "{\"zeta\":1,\"username\":\"u\",\"email\":\"x\",\"age\":3,\"region\":\"eu\"}");
    assert_saved("u", "{\"email\":\"x\",\"region\":\"us\"}",
                 "{\"username\":\"u\",\"email\":\"x\",\"age\":18,\"region\":\"us\"}");
    assert_saved("u", " { \"email\" : \" x \" , \"a\" : [ 1 , { } ] } ",
                 "{\"username\":\"u\",\"email\":\" x \",\"age\":18,\"region\":\"eu\",\"a\":[1,{}]}");
}

static void values_are_spelled_as_they_came(void **state)
{
    static const char *const values[] = {
        "1.10", "-0",    "1e400", "12345678901234567890123",      "\"\\u00e9\\/\"",   "[]", "{}", "[[],{}]", "null",
        "true", "false", "\"\"",  "{\"b\":1,\"a\":{\"b\":null}}", "{\"a\":1,\"a\":2}"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        assert_saved("u", arena_printf(&arena, "{\"email\":\"x\",\"zeta\":%s}", values[i]).p,
                     arena_printf(&arena,
                                  "{\"zeta\":%s,\"username\":\"u\",\"email\":\"x\",\"age\":18,\"region\":\"eu\"}",
                                  values[i])
                         .p);
}

static void keys_are_in_canonical_form(void **state)
{
    assert_saved(NULL, "{\"username\":\"\\u0075\\/\",\"email\":\"x\"}",
                 "{\"username\":\"u/\",\"email\":\"x\",\"age\":18,\"region\":\"eu\"}");
    assert_saved("a\"b", "{\"email\":\"x\"}", "{\"username\":\"a\\\"b\",\"email\":\"x\",\"age\":18,\"region\":\"eu\"}");
}

static void null_is_null_and_unset_is_absent(void **state)
{
    assert_saved("u", "{\"email\":\"x\",\"zeta\":null,\"age\":null,\"o\":null}",
                 "{\"zeta\":null,\"username\":\"u\",\"email\":\"x\",\"age\":null,\"region\":\"eu\",\"o\":null}");
}

static void a_member_sent_twice_counts_with_its_last_value(void **state)
{
    assert_saved("u", "{\"email\":1,\"email\":\"x\",\"\\u0065mail\":\"y\"}",
                 "{\"username\":\"u\",\"email\":\"y\",\"age\":18,\"region\":\"eu\"}");
    assert_saved(NULL, "{\"username\":1,\"email\":\"x\",\"username\":\"u\"}",
                 "{\"username\":\"u\",\"email\":\"x\",\"age\":18,\"region\":\"eu\"}");
}

static void fields_take_their_type_and_no_other(void **state)
{
    static const struct {
        const char *field, *good, *type;
    } table[] = {{"email", "\"x\"", "a string"}, {"age", "12345678901234567890123", "an integer"},
                 {"n", "1.5", "a number"},       {"b", "true", "a boolean"},
                 {"a", "[1]", "an array"},       {"o", "{\"a\":1}", "an object"}};
    static const char *const given[] = {"a string", "an integer", "a number", "true", "an array", "an object"};
    for (size_t f = 0; f < 6; f++)
        for (size_t v = 0; v < 6; v++) {
            struct record_draft d;
            struct codec_reader reader = {.arena = &arena};
            const struct field *field = model_field(&user, slice_of(table[f].field));
            codec_draft_init(&user, &arena, &d);
            enum status st = codec_set(&user, &d, field, slice_of(table[v].good), &reader, &why);
            bool fits = f == v || (f == 2 && v == 1);
            assert_int_equal(st, fits ? OK : FIELD_TYPE);
            assert_true(fits == (d.value[model_index(&user, field)].p != NULL));
            if (fits) continue;
            assert_string_equal(why.path, table[f].field);
            assert_string_equal(why.detail, arena_printf(&arena, "field `%s` of model `User` takes %s, not %s",
                                                         table[f].field, table[f].type, given[v])
                                                .p);
        }
    assert_saved("u", "{\"email\":\"x\",\"b\":false}",
                 "{\"username\":\"u\",\"email\":\"x\",\"age\":18,\"region\":\"eu\",\"b\":false}");
}

static void required_fields_are_required(void **state)
{
    assert_refused("u", "{}", FIELD_REQUIRED, "email", "model `User` needs the field `email`");
    assert_refused("u", "{\"email\":null}", FIELD_REQUIRED, "email",
                   "field `email` of model `User` is required and cannot be null");
    fields[2].default_json = SLICE("\"nobody@example.org\"");
    assert_saved("u", "{}", "{\"username\":\"u\",\"email\":\"nobody@example.org\",\"age\":18,\"region\":\"eu\"}");
    fields[2].default_json = (struct slice){NULL, 0};
}

static void unknown_members_are_refused(void **state)
{
    assert_refused("u", "{\"emial\":\"x\"}", UNKNOWN_FIELD, "emial",
                   "model `User` has no field `emial` (did you mean `email`?)");
    assert_refused("u", "{\"usrname\":\"x\"}", UNKNOWN_FIELD, "usrname",
                   "model `User` has no field `usrname` (did you mean `username`?)");
    assert_refused("u", "{\"colour\":\"x\"}", UNKNOWN_FIELD, "colour", "model `User` has no field `colour`");
    assert_refused("u", "{\"\":1}", UNKNOWN_FIELD, "", NULL);
    assert_refused("u", "{\"email\\u0000\":1}", UNKNOWN_FIELD, "email", NULL);
    assert_refused("u", "{\"Email\":\"x\"}", UNKNOWN_FIELD, "Email", NULL);
    struct slice longer = arena_printf(&arena, "{\"%0500d\":1}", 7);
    assert_int_equal(save("u", longer.p, NULL), UNKNOWN_FIELD);
    assert_int_equal(strlen(why.path), 64);
}

static void keys_of_query_and_body_agree(void **state)
{
    assert_saved("u", "{\"username\":\"\\u0075\",\"email\":\"x\"}",
                 "{\"username\":\"u\",\"email\":\"x\",\"age\":18,\"region\":\"eu\"}");
    assert_refused("u", "{\"username\":\"v\",\"email\":\"x\"}", KEY_CONFLICT, "username", NULL);
    assert_refused(NULL, "{\"email\":\"x\"}", KEY_REQUIRED, "username", NULL);
    assert_refused(NULL, "{\"username\":7,\"email\":\"x\"}", KEY_TYPE, "username", NULL);
    assert_refused(NULL, "{\"username\":null,\"email\":\"x\"}", KEY_TYPE, "username", NULL);
}

static void a_body_is_one_object(void **state)
{
    static const char *const others[] = {"[]", "1", "null", "\"x\"", "true", "[{}]"};
    for (size_t i = 0; i < 6; i++) assert_refused("u", others[i], MALFORMED_REQUEST, "", NULL);
    assert_refused("u", "", MALFORMED_JSON, "", NULL);
    assert_refused("u", "{\"email\":\"x\"", MALFORMED_JSON, "", NULL);
    assert_refused("u", "{\"email\":\"x\"}{}", MALFORMED_JSON, "", NULL);
}

static void references_and_packed_fields_take_no_plain_value(void **state)
{
    assert_refused("u", "{\"prefs\":{}}", FIELD_TYPE, "prefs",
                   "field `prefs` of model `User` is packed: only a handler can set it");
    assert_refused("u", "{\"mother\":\"eve\"}", REFERENCE_INVALID, "mother",
                   "a reference takes an object of the keys of model `User`, not a string");
    assert_refused("u", "{\"friends\":{}}", REFERENCE_INVALID, "friends",
                   "field `friends` of model `User` takes an array of references, not an object");
    assert_refused("u", "{\"email\":\"x\",\"prefs\":null}", FIELD_TYPE, "prefs",
                   "field `prefs` of model `User` is packed: only a handler can set it");
}

/* Sets `prefs` as a handler's packed value. */
static enum status pack(const char *json)
{
    struct record_draft d;
    struct codec_reader reader = {.arena = &arena, .packed = true};
    const struct field *prefs = model_field(&user, SLICE("prefs"));
    codec_draft_init(&user, &arena, &d);
    enum status st = codec_set(&user, &d, prefs, slice_of(json), &reader, &why);
    if (st == OK) assert_bytes(d.value[model_index(&user, prefs)], slice_of(json), json, 0);
    return st;
}

static void handlers_set_packed_values(void **state)
{
    static const char *const good[] = {"{\"$packed\":\"\"}", "{\"$packed\":\"AA==\"}", "{\"$packed\":\"AAA=\"}",
                                       "{\"$packed\":\"az09AZ+/\"}", "null"};
    static const char *const bad[] = {"{}",
                                      "[]",
                                      "1",
                                      "\"AAAA\"",
                                      "{\"$packed\":1}",
                                      "{\"$packed\":null}",
                                      "{\"$packed\":\"A\"}",
                                      "{\"$packed\":\"AAA\"}",
                                      "{\"$packed\":\"A===\"}",
                                      "{\"$packed\":\"====\"}",
                                      "{\"$packed\":\"A=AA\"}",
                                      "{\"$packed\":\"AA-_\"}",
                                      "{\"$packed\":\"AA A\"}",
                                      "{\"$packed\":\"\\/AA=\"}",
                                      "{\"$packed\":\"AAAA\",\"a\":1}",
                                      "{\"a\":1,\"$packed\":\"AAAA\"}",
                                      "{\"$Packed\":\"AAAA\"}",
                                      "{\"\\u0024packed\":\"AAAA\"}"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) assert_int_equal(pack(good[i]), OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (pack(bad[i]) != FIELD_TYPE) fail_msg("%s", bad[i]);
        assert_string_equal(why.path, "prefs");
    }
    assert_string_equal(why.detail, "field `prefs` of model `User` takes a packed value, not an object");
}

static void text_that_does_not_fit_shows_in_the_buffer(void **state)
{
    struct buffer text;
    buffer_init(&text, 20);
    assert_int_equal(save("u", "{\"email\":\"xxxxxxxxxxxxxxxxxxxxxxxxx\"}", &text), OK);
    assert_true(text.overflow);
    buffer_deinit(&text);
}

/* -- what need not be written again -- */

static struct field plain_fields[] = {
    FIELD("zeta", TYPE_ANY),
    KEY("id", TYPE_NUMBER),
    {.name = {"age", 3}, .kind = FIELD_VALUE, .type = TYPE_INTEGER, .default_json = {"18", 2}},
    {.name = {"n", 1}, .kind = FIELD_VALUE, .type = TYPE_ANY, .required = true},
};

/* Never true for another text than the one that would be written. */
static bool is_written(const char *body)
{
    struct model plain;
    struct key_draft draft;
    struct record_draft record;
    struct record_key key;
    struct codec_reader reader = {.arena = &arena};
    struct envelope_ref *refs;
    struct buffer text;
    size_t n;
    model_of(&plain, &arena, "Plain", plain_fields, sizeof plain_fields / sizeof *plain_fields);
    key_draft_init(&draft);
    codec_draft_init(&plain, &arena, &record);
    assert_int_equal(codec_read(&plain, slice_of(body), &draft, &reader, &record, &why), OK);
    assert_int_equal(key_finish(&plain, &draft, &arena, &key, &why), OK);
    bool written = codec_is_written(&key, &record, reader.text);
    buffer_init(&text, SIZE_MAX);
    bool good = codec_write(&key, &record, &arena, &text, &refs, &n, &why) == OK;
    assert_int_equal(written, good && slice_eq(buffer_view(&text), reader.text));
    buffer_deinit(&text);
    return written;
}

static void a_text_that_is_good_need_not_be_written_again(void **state)
{
    assert_true(is_written("{\"zeta\":[1.10,{}],\"id\":1,\"age\":3,\"n\":\"\\u00e9\"}"));
    assert_true(is_written(" { \"id\" : 1 , \"age\" : null , \"n\" : [ 1 , 2 ] } "));
    assert_true(is_written("{\"id\":1,\"age\":18,\"n\":\"{\"}"));
    static const char *const others[] = {"{\"id\":1.0,\"age\":3,\"n\":1}",
                                         "{\"id\":1,\"n\":1}",
                                         "{\"id\":1,\"n\":1,\"age\":3}",
                                         "{\"age\":3,\"id\":1,\"n\":1}",
                                         "{\"id\":1,\"age\":3,\"n\":1,\"n\":1}",
                                         "{\"id\":1,\"age\":3,\"n\":1,\"n\":2}",
                                         "{\"id\":1,\"age\":3,\"age\":3,\"n\":1}",
                                         "{\"id\":1,\"id\":1,\"age\":3,\"n\":1}",
                                         "{\"\\u0069d\":1,\"age\":3,\"n\":1}",
                                         "{\"id\":1,\"age\":3}",
                                         "{\"zeta\":1,\"id\":1,\"zeta\":1,\"n\":1}"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (is_written(others[i])) fail_msg("%s", others[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(members_stand_in_the_order_of_the_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_are_spelled_as_they_came, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_are_in_canonical_form, set_up, tear_down),
        cmocka_unit_test_setup_teardown(null_is_null_and_unset_is_absent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_member_sent_twice_counts_with_its_last_value, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fields_take_their_type_and_no_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(required_fields_are_required, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_members_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_of_query_and_body_agree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_body_is_one_object, set_up, tear_down),
        cmocka_unit_test_setup_teardown(references_and_packed_fields_take_no_plain_value, set_up, tear_down),
        cmocka_unit_test_setup_teardown(handlers_set_packed_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_text_that_is_good_need_not_be_written_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(text_that_does_not_fit_shows_in_the_buffer, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
