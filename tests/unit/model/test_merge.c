/* Merge patches: the examples of RFC 7396, what keeps its spelling, and what a model refuses. */
#include "support.h"

#include "model/merge.h"

static struct arena arena;
static struct problem why;

static struct model model;
static struct field fields[] = {
    FIELD("v", TYPE_ANY),
    KEY("id", TYPE_STRING),
    {.name = {"email", 5}, .kind = FIELD_VALUE, .type = TYPE_STRING, .required = true},
    {.name = {"age", 3}, .kind = FIELD_VALUE, .type = TYPE_INTEGER, .default_json = {"18", 2}},
    KEY("n", TYPE_INTEGER),
    FIELD("o", TYPE_OBJECT),
    {.name = {"prefs", 5}, .kind = FIELD_PACKED},
    {.name = {"mother", 6}, .kind = FIELD_REFERENCE, .target = &model},
};
static struct record_key key;

static int set_up(void **state)
{
    struct key_draft draft;
    arena_init(&arena);
    model_of(&model, &arena, "User", fields, sizeof fields / sizeof *fields);
    key_draft_init(&draft);
    assert_int_equal(key_set_text(&model, &draft, SLICE("id"), SLICE("u"), &arena, NULL), OK);
    assert_int_equal(key_set_text(&model, &draft, SLICE("n"), SLICE("7"), &arena, NULL), OK);
    assert_int_equal(key_finish(&model, &draft, &arena, &key, NULL), OK);
    return 0;
}

static int tear_down(void **state)
{
    arena_deinit(&arena);
    return 0;
}

/* Patches the text of a record, all the way to the text that is stored. */
static enum status patch(struct slice text, struct slice changes, struct buffer *out)
{
    struct record_draft draft;
    struct envelope_ref *refs;
    size_t n_refs;
    memset(&why, 0, sizeof why);
    assert_true(merge_open(&model, &(struct envelope){.text = text}, &arena, &draft));
    enum status st = merge_patch(&key, changes, &arena, &draft, &why);
    return st == OK ? codec_write(&key, &draft, &arena, out, &refs, &n_refs, &why) : st;
}

static void assert_patched_slices(struct slice text, struct slice changes, struct slice wanted)
{
    struct buffer out;
    buffer_init(&out, SIZE_MAX);
    if (patch(text, changes, &out) != OK) fail_msg("%.*s: %s", SLICE_ARG(changes), why.detail);
    assert_bytes(buffer_view(&out), wanted, changes.p, 0);
    buffer_deinit(&out);
}

static void assert_patched(const char *text, const char *changes, const char *wanted)
{
    assert_patched_slices(slice_of(text), slice_of(changes), slice_of(wanted));
}

static void assert_refused(const char *changes, enum status st, const char *path)
{
    struct buffer out;
    buffer_init(&out, SIZE_MAX);
    enum status given = patch(SLICE("{\"id\":\"u\",\"email\":\"e\",\"age\":1,\"n\":7}"), slice_of(changes), &out);
    if (given != st) fail_msg("%s: %s: %s", changes, status_code(given), why.detail);
    assert_int_equal(why.status, st);
    assert_string_equal(why.path, path);
    assert_true(why.detail[0]);
    buffer_deinit(&out);
}

/* RFC 7396, appendix A. */
static const struct {
    const char *original, *patch, *result;
} examples[] = {
    {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
    {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
    {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
    {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
    {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
    {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
    {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
    {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
    {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
    {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
    {"{\"a\":\"foo\"}", "null", "null"},
    {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
    {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
    {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
    {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
};

static void the_examples_of_the_rfc(void **state)
{
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        struct slice merged = merge_value(slice_of(examples[i].original), slice_of(examples[i].patch), &arena);
        assert_bytes(merged, slice_of(examples[i].result), __FILE__, (int)i);
        /* And as a field's value, where null removes the field. */
        const char *wanted =
            strcmp(examples[i].result, "null") == 0
                ? "{\"id\":\"u\",\"email\":\"e\",\"age\":1,\"n\":7}"
                : arena_printf(&arena, "{\"v\":%s,\"id\":\"u\",\"email\":\"e\",\"age\":1,\"n\":7}", examples[i].result)
                      .p;
        assert_patched(
            arena_printf(&arena, "{\"v\":%s,\"id\":\"u\",\"email\":\"e\",\"age\":1,\"n\":7}", examples[i].original).p,
            arena_printf(&arena, "{\"v\":%s}", examples[i].patch).p, wanted);
    }
}

static void what_is_not_named_keeps_its_bytes(void **state)
{
    static const char *const values[] = {"1.10",
                                         "-0",
                                         "1e400",
                                         "12345678901234567890123",
                                         "\"\\u00e9\\/\"",
                                         "{\"\\u0061\":1e0,\"b\":[ ],\"c\":{\"a\":1,\"a\":2}}",
                                         "null"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        const char *wanted = i == 5 ? "{\"\\u0061\":1e0,\"b\":[],\"c\":{\"a\":1,\"a\":2}}" : values[i];
        wanted = arena_printf(&arena, "{\"v\":%s,\"id\":\"u\",\"email\":\"e\",\"age\":1,\"n\":7}", wanted).p;
        assert_patched(arena_printf(&arena, "{\"v\":%s,\"id\":\"u\",\"email\":\"x\",\"age\":1,\"n\":7}", values[i]).p,
                       "{\"email\":\"e\"}", wanted);
        assert_patched(wanted, "{}", wanted);
    }
}

static void nested_members_stay_in_place_with_their_names_as_they_were(void **state)
{
    assert_slice(merge_value(SLICE("{\"\\u00e9\":1.0,\"b\":2,\"c\":{\"x\":1.50}}"),
                             SLICE("{\"z\":-0,\"c\":{\"y\":1E2},\"\xc3\xa9\":3.00}"), &arena),
                 "{\"\\u00e9\":3.00,\"b\":2,\"c\":{\"x\":1.50,\"y\":1E2},\"z\":-0}");
    assert_slice(merge_value(SLICE("{\"a\":1,\"b\":2,\"c\":3}"), SLICE("{\"a\":null,\"c\":null}"), &arena),
                 "{\"b\":2}");
    assert_slice(merge_value(SLICE("{\"a\":1,\"a\":2}"), SLICE("{\"b\":1,\"b\":{\"n\":null}}"), &arena),
                 "{\"a\":2,\"b\":{}}"); /* a name that comes twice counts with its last value */
    assert_slice(merge_value(SLICE("{\"\":1,\"\\u0000\":2}"), SLICE("{\"\\u0000\":null,\"\":[null]}"), &arena),
                 "{\"\":[null]}"); /* null in an array is a value */
    assert_slice(merge_value((struct slice){NULL, 0}, SLICE("{\"a\":{\"b\":null,\"c\":1}}"), &arena),
                 "{\"a\":{\"c\":1}}");
    assert_slice(merge_value(SLICE("{}"), SLICE("{}"), &arena), "{}");
}

static void many_members_and_deep_ones(void **state)
{
    enum { N = 20000 };
    struct buffer target, changes, wanted;
    buffer_init(&target, SIZE_MAX);
    buffer_init(&changes, SIZE_MAX);
    buffer_init(&wanted, SIZE_MAX);
    for (int i = 0; i < N; i++) {
        buffer_printf(&target, "%c\"%d\":%d", i ? ',' : '{', i, i);
        buffer_printf(&changes, "%c\"%d\":%s", i ? ',' : '{', N - i, i % 2 ? "null" : "0"); /* odd places: removed */
    }
    buffer_printf(&wanted, "{\"0\":0");
    for (int i = 2; i < N; i += 2) buffer_printf(&wanted, ",\"%d\":0", i);
    buffer_printf(&wanted, ",\"%d\":0}", N);
    buffer_char(&target, '}');
    buffer_char(&changes, '}');
    assert_bytes(merge_value(buffer_view(&target), buffer_view(&changes), &arena), buffer_view(&wanted), __FILE__, 0);

    buffer_reset(&target);
    buffer_reset(&changes);
    for (int i = 0; i < JSON_DEPTH_MAX - 1; i++) buffer_printf(&target, "{\"a\":");
    for (int i = 0; i < JSON_DEPTH_MAX - 1; i++) buffer_printf(&changes, "{\"a\":");
    buffer_printf(&target, "{\"old\":1}");
    buffer_printf(&changes, "{\"new\":2}");
    for (int i = 0; i < JSON_DEPTH_MAX - 1; i++) buffer_char(&target, '}');
    for (int i = 0; i < JSON_DEPTH_MAX - 1; i++) buffer_char(&changes, '}');
    struct slice merged = merge_value(buffer_view(&target), buffer_view(&changes), &arena), compact;
    assert_int_equal(merged.n, target.n + strlen(",\"new\":2"));
    assert_int_equal(json_compact(merged, &arena, &compact, NULL), OK); /* no deeper than before */
    buffer_deinit(&target);
    buffer_deinit(&changes);
    buffer_deinit(&wanted);
}

static void fields_are_set_removed_and_put_in_order(void **state)
{
    assert_patched("{\"id\":\"u\",\"email\":\"e\",\"age\":1,\"n\":7}",
                   "{\"o\":{\"x\":null,\"y\":1},\"v\":[null],\"age\":2}",
                   "{\"v\":[null],\"id\":\"u\",\"email\":\"e\",\"age\":2,\"n\":7,\"o\":{\"y\":1}}");
    assert_patched("{\"v\":1,\"id\":\"u\",\"email\":\"e\",\"age\":1,\"n\":7}", "{\"v\":null,\"o\":null}",
                   "{\"id\":\"u\",\"email\":\"e\",\"age\":1,\"n\":7}");
    assert_patched("{\"id\":\"u\",\"email\":\"e\",\"age\":1,\"n\":7}", "{\"age\":null}",
                   "{\"id\":\"u\",\"email\":\"e\",\"age\":18,\"n\":7}"); /* its default */
    assert_patched("{\"id\":\"u\",\"email\":\"e\",\"age\":1,\"n\":7}", "{\"id\":\"\\u0075\",\"n\":7,\"email\":\"f\"}",
                   "{\"id\":\"u\",\"email\":\"f\",\"age\":1,\"n\":7}");
    assert_patched("{\"id\":\"u\",\"email\":\"e\",\"age\":1,\"n\":7,\"prefs\":{\"$packed\":\"AA==\"}}", "{\"v\":1}",
                   "{\"v\":1,\"id\":\"u\",\"email\":\"e\",\"age\":1,\"n\":7,\"prefs\":{\"$packed\":\"AA==\"}}");
    assert_patched("{\"id\":\"u\",\"email\":\"e\",\"age\":1,\"n\":7,\"prefs\":{\"$packed\":\"AA==\"}}",
                   "{\"prefs\":null}", "{\"id\":\"u\",\"email\":\"e\",\"age\":1,\"n\":7}");
}

static void what_the_model_refuses(void **state)
{
    assert_refused("{\"email\":null}", FIELD_REQUIRED, "email");
    assert_refused("{\"id\":null}", KEY_CONFLICT, "id");
    assert_refused("{\"id\":\"other\"}", KEY_CONFLICT, "id");
    assert_refused("{\"n\":8}", KEY_CONFLICT, "n");
    assert_refused("{\"n\":\"7\"}", KEY_TYPE, "n");
    assert_refused("{\"emial\":\"x\"}", UNKNOWN_FIELD, "emial");
    assert_refused("{\"nothing\":null}", UNKNOWN_FIELD, "nothing");
    assert_refused("{\"email\":1}", FIELD_TYPE, "email");
    assert_refused("{\"email\":{\"a\":null}}", FIELD_TYPE, "email");
    assert_refused("{\"age\":1.5}", FIELD_TYPE, "age");
    assert_refused("{\"o\":[]}", FIELD_TYPE, "o");
    assert_refused("{\"prefs\":{}}", FIELD_TYPE, "prefs");
    assert_refused("{\"mother\":{\"id\":\"x\"}}", REFERENCE_INVALID, "mother.n");
    assert_refused("[]", MALFORMED_REQUEST, "");
    assert_refused("null", MALFORMED_REQUEST, "");
}

static void what_is_required_must_have_been_there(void **state)
{
    struct buffer out;
    buffer_init(&out, SIZE_MAX);
    assert_int_equal(patch(SLICE("{\"id\":\"u\",\"n\":7}"), SLICE("{\"v\":1}"), &out), FIELD_REQUIRED);
    buffer_deinit(&out);
}

static void only_records_are_opened(void **state)
{
    static const char *const texts[] = {
        "",          "{", "[]", "null", "{\"id\":\"u\"", "{\"v\"", "{\"v\":1}}", "{\"other\":1}", "{\"v\":\"\xff\"}",
        "{\"v\":01}"};
    struct record_draft draft;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false(merge_open(&model, &(struct envelope){.text = slice_of(texts[i])}, &arena, &draft));
    assert_true(merge_open(&model, &(struct envelope){.text = SLICE(" {\"v\" : 1} ")}, &arena, &draft));
    assert_slice(draft.value[0], "1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_examples_of_the_rfc, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_named_keeps_its_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nested_members_stay_in_place_with_their_names_as_they_were, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_members_and_deep_ones, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fields_are_set_removed_and_put_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_model_refuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_required_must_have_been_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_records_are_opened, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
