/* Strict JSON, kept as it was spelled: what is refused and where, white space, cutting, names and strings. */
#include "support.h"

#include "model/json.h"

#include <math.h>
#include <pthread.h>
#include <time.h>

static struct arena arena;
static struct problem why;

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

static struct slice compacted(struct slice text)
{
    struct slice compact = {NULL, 0};
    if (json_compact(text, &arena, &compact, &why) != OK) fail_msg("%.200s: %s", text.p, why.detail);
    return compact;
}

/* -- white space -- */

static void only_white_space_between_tokens_goes(void **state)
{
    assert_slice(compacted(SLICE("\r\n { \"a\" :\t[ 1 , 2 ,\n{ \"b c\" : \" d  e \" } ] } \n")),
                 "{\"a\":[1,2,{\"b c\":\" d  e \"}]}");
    assert_slice(compacted(SLICE(" \"\\\\\\\" : , \" ")), "\"\\\\\\\" : , \"");
    assert_slice(compacted(SLICE("[ \"\\\\\" , \" \" ]")), "[\"\\\\\",\" \"]");
    assert_slice(compacted(SLICE(" 1.10 ")), "1.10");
    assert_slice(compacted(SLICE(" [ ] ")), "[]");
    assert_slice(compacted(SLICE("{ }")), "{}");
    assert_slice(compacted(SLICE("null\n")), "null");
}

static void compact_text_is_returned_as_it_is(void **state)
{
    static const struct slice texts[] = {
        {"{\"a b\":[1,2.50,null]}", 21}, {"\" \"", 3}, {"-0", 2}, {"\"\xC3\xA9\\u0000\"", 10}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct slice compact = compacted(texts[i]);
        assert_ptr_equal(compact.p, texts[i].p);
        assert_int_equal(compact.n, texts[i].n);
    }
    assert_int_equal(arena.used, 0);
}

static void every_spelling_stays(void **state)
{
    static const char *const values[] = {
        "9007199254740993",
        "12345678901234567890123",
        "1.10",
        "-0",
        "-0.0",
        "1e5",
        "1E5",
        "1E+5",
        "1e400",
        "-1e400",
        "1e-400",
        "18446744073709551616",
        "0.1000000000000000055511151231257827",
        "[]",
        "{}",
        "[[]]",
        "{\"a\":{}}",
        "[null]",
        "\"\"",
        "\"\\u00e9\"",
        "\"\\u0000\"",
        "\"a\\/b\"",
        "\"\\ud83d\\ude00\"",
        "{\"\":1}",
        "{\"__proto__\":1}",
        "{\"b\":1,\"a\":2}",
        "{\"a\":1,\"a\":2}",
        "\"\x7F\"",
        "\"\xF0\x9F\x98\x80\"",
        "\"\xEF\xBF\xBF\"",
        "\"\xEF\xBB\xBF\"",
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        assert_true(slice_eq(compacted(slice_of(values[i])), slice_of(values[i])));
        struct slice wide = arena_printf(&arena, " [ %s ]\n", values[i]),
                     narrow = arena_printf(&arena, "[%s]", values[i]);
        assert_true(slice_eq(compacted(wide), narrow));
    }
}

/* -- what is refused, and where -- */

static void assert_refused(struct slice text, int at)
{
    struct slice compact;
    char place[32];
    memset(&why, 0, sizeof why);
    if (json_compact(text, &arena, &compact, &why) != MALFORMED_JSON) fail_msg("accepted: %.*s", SLICE_ARG(text));
    assert_int_equal(why.status, MALFORMED_JSON);
    const char *said = strstr(why.detail, " at byte ");
    if (!said) fail_msg("%.*s: no place in `%s`", SLICE_ARG(text), why.detail);
    snprintf(place, sizeof place, " at byte %d", at);
    if (at >= 0 && strcmp(said, place) != 0) fail_msg("%.*s: %s, not%s", SLICE_ARG(text), why.detail, place);
}

static void what_is_no_json_is_refused_with_its_place(void **state)
{
    assert_refused(SLICE(""), 0);
    assert_refused((struct slice){NULL, 0}, 0);
    assert_refused(SLICE("{\"username\":}"), 12);
    assert_refused(SLICE("[1] x"), 4);
    assert_refused(SLICE("{}\0"), 2);
    assert_refused(SLICE("\xEF\xBB\xBF{}"), 0);
    assert_refused(SLICE("[\"\xFF\"]"), 2);
    static const struct slice texts[] = {
        {"  01", 4},
        {"[1,2,]", 6},
        {"{\"a\":1,}", 8},
        {" ", 1},
        {"{", 1},
        {"nope", 4},
        {"{'a':1}", 7},
        {"NaN", 3},
        {"Infinity", 8},
        {"-Infinity", 9},
        {"inf", 3},
        {"+1", 2},
        {"1.", 2},
        {".5", 2},
        {"0x1", 3},
        {"[1 2]", 5},
        {"{\"a\" 1}", 7},
        {"{1:1}", 5},
        {"[,1]", 4},
        {"[1,,2]", 6},
        {"]", 1},
        {"[1]]", 4},
        {"\"\n\"", 3},
        {"\"\0\"", 3},
        {"\"\x1f\"", 3},
        {"\"\\x41\"", 6},
        {"\"\\u12\"", 6},
        {"\"\\u12g4\"", 8},
        {"\"a", 2},
        {"\"\\\"", 3},
        {"\"\\ud800\"", 8},
        {"\"\\udc00\"", 8},
        {"\"\\udc00\\ud800\"", 14},
        {"\"\\ud800\\u0041\"", 14},
        {"{\"\\ud800\":1}", 12},
        {"\"\xC0\x80\"", 4},
        {"\"\xED\xA0\x80\"", 5},
        {"\"\xF4\x90\x80\x80\"", 6},
        {"\"\x80\"", 3},
        {"\"\xC3\"", 3},
        {"{}//", 4},
        {"/**/{}", 6},
        {"#\n{}", 4},
        {"\0{}", 3},
        {"\xFE\xFF\0{", 4},
        {"[1]\f", 4},
        {"\v1", 2},
        {"\xC2\xA0"
         "1",
         3},
        {"True", 4},
        {"nul", 3},
        {"truee", 5},
        {"1 2", 3},
        {"{\"a\":1 \"b\":2}", 13},
        {"\\", 1},
        {"[\\\"]", 4},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) assert_refused(texts[i], -1);
}

/* Strings are walked by blocks: what stands out is seen wherever in a block it stands, and however the blocks lie. */
static void every_place_of_a_string_is_looked_at(void **state)
{
    static const struct {
        struct slice inside;
        bool good;
    } things[] = {{{"\\n", 2}, true},
                  {{"\\u00e9", 6}, true},
                  {{"\xC3\xA9", 2}, true},
                  {{"\x7F", 1}, true},
                  {{"\\ud83d\\ude00", 12}, true},
                  {{"\xF0\x9F\x98\x80", 4}, true},
                  {{"\n", 1}, false},
                  {{"\0", 1}, false},
                  {{"\x1F", 1}, false},
                  {{"\xFF", 1}, false},
                  {{"\xC3", 1}, false},
                  {{"\xE2\x82", 2}, false},
                  {{"\\x", 2}, false},
                  {{"\\ud83d", 6}, false},
                  {{"\"", 1}, false}};
    char text[256];
    for (size_t i = 0; i < sizeof things / sizeof *things; i++) {
        for (size_t n = 0; n < 200; n++) {
            struct slice thing = things[i].inside, compact;
            size_t before = n < 100 ? n : 100, all = n + thing.n + 2; /* once at the end, once with more behind it */
            memset(text, 'x', sizeof text);
            text[0] = text[all - 1] = '"';
            memcpy(text + 1 + before, thing.p, thing.n);
            enum status st = json_compact(slice_from(text, all), &arena, &compact, &why);
            if (st != (things[i].good ? OK : MALFORMED_JSON)) fail_msg("%zu at %zu of %zu", i, before, n);
        }
    }
}

static struct slice nested(const char *open, const char *inside, const char *close, size_t depth)
{
    struct buffer b;
    buffer_init(&b, SIZE_MAX);
    for (size_t i = 0; i < depth; i++) buffer_slice(&b, slice_of(open));
    buffer_slice(&b, slice_of(inside));
    for (size_t i = 0; i < depth; i++) buffer_slice(&b, slice_of(close));
    struct slice text = arena_dup(&arena, buffer_view(&b));
    buffer_deinit(&b);
    return text;
}

static void nests_64_deep_and_no_deeper(void **state)
{
    static const size_t too_deep[] = {65, 66, 500, 20000, 5000000};
    compacted(nested("[", "", "]", 64));
    compacted(nested("{\"[[\":", "\"]]]\"", "}", 64));
    compacted(nested("[{\"a\":", "1", "}]", 32));
    compacted(nested("[[],", "1", "]", 63)); /* what closed is forgotten, what is open is not */
    assert_refused(nested("[[],", "1", "]", 64), 63 * 4 + 1);
    for (size_t i = 0; i < sizeof too_deep / sizeof *too_deep; i++) {
        assert_refused(nested("[", "", "]", too_deep[i]), 64);
        assert_refused(nested("{\"a\":", "1", "}", too_deep[i]), 64 * 5);
        assert_refused(nested("[", "", "", too_deep[i]), 64);
        arena_reset(&arena);
    }
    struct buffer wide; /* depth counts what is open at once */
    buffer_init(&wide, SIZE_MAX);
    buffer_char(&wide, '[');
    for (int i = 0; i < 1000; i++) buffer_slice(&wide, SLICE("[[]],"));
    buffer_slice(&wide, SLICE("1]"));
    compacted(buffer_view(&wide));
    buffer_deinit(&wide);
    assert_refused(SLICE("]]]]]]]]]]"), 0);
    assert_refused(nested("\\\"[", "", "", 100), -1); /* a backslash outside a string hides nothing */
}

/* -- what hostile texts cost -- */

/* Large texts, checked on a thread with a stack of 256 KiB. */
static void *large_texts(void *arg)
{
    struct arena *own = arg;
    struct problem own_why;
    struct slice compact;
    size_t n = 10000000;
    char *text = arena_bytes(own, n);
    enum status *st = arena_zalloc(own, 8 * sizeof *st);
    memset(text, '[', n);
    st[0] = json_compact(slice_from(text, n), own, &compact, &own_why);
    memset(text, '9', n);
    st[1] = json_compact(slice_from(text, n), own, &compact, &own_why);
    text[n - 9] = 'e';
    st[2] = json_compact(slice_from(text, n), own, &compact, &own_why);
    memset(text, '\\', n);
    text[0] = text[n - 1] = '"';
    st[3] = json_compact(slice_from(text, n), own, &compact, &own_why);
    for (size_t i = 1; i + 3 < n; i += 2) memcpy(text + i, "\\\"", 2);
    text[n - 3] = text[n - 2] = ' ';
    st[4] = json_compact(slice_from(text, n), own, &compact, &own_why);
    memset(text, ' ', n);
    text[n / 2] = '1';
    st[5] = json_compact(slice_from(text, n), own, &compact, &own_why);
    memset(text, '"', n);
    st[6] = json_compact(slice_from(text, n), own, &compact, &own_why);
    return st;
}

static void large_texts_cost_little_time_and_no_stack(void **state)
{
    pthread_attr_t attributes;
    pthread_t thread;
    void *result;
    clock_t start = clock();
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 << 10);
    assert_int_equal(pthread_create(&thread, &attributes, large_texts, &arena), 0);
    pthread_join(thread, &result);
    pthread_attr_destroy(&attributes);
    const enum status *st = result;
    assert_int_equal(st[0], MALFORMED_JSON);
    assert_int_equal(st[1], OK);
    assert_int_equal(st[2], OK);
    assert_int_equal(st[3], OK);
    assert_int_equal(st[4], OK);
    assert_int_equal(st[5], OK);
    assert_int_equal(st[6], MALFORMED_JSON);
    /* processor time of 70 MB; what is not linear would take hours */
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 7 * 0.25 * 8);
}

static void many_members_of_one_name_cost_little(void **state)
{
    struct buffer b;
    struct json_member *member;
    size_t n;
    clock_t start = clock();
    buffer_init(&b, SIZE_MAX);
    buffer_char(&b, '{');
    for (int i = 0; i < 100000; i++) buffer_printf(&b, "\"\":%d,\"%d\":0,", i, i);
    buffer_slice(&b, SLICE("\"z\":0}"));
    assert_int_equal(json_members(compacted(buffer_view(&b)), &arena, &member, &n, &why), OK);
    assert_int_equal(n, 100002);
    assert_slice(member[0].value, "99999");
    assert_slice(member[100000].name, "99999");
    buffer_deinit(&b);
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 5);
}

/* -- numbers -- */

static void doubles_keep_their_64_bits(void **state)
{
    uint64_t seed = 3;
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = chance(&seed);
        double v, back;
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v)) continue;
        struct slice text = arena_printf(&arena, " %.17g ", v), compact = compacted(text);
        back = strtod(arena_dup(&arena, compact).p, NULL);
        assert_memory_equal(&v, &back, sizeof v);
        arena_reset(&arena);
    }
}

/* -- cutting -- */

static void kinds_are_told_by_a_look(void **state)
{
    static const struct {
        const char *text;
        enum json_kind kind;
        const char *name;
    } table[] = {
        {"null", JSON_NULL, "null"},       {"false", JSON_FALSE, "false"},      {"true", JSON_TRUE, "true"},
        {"0", JSON_INTEGER, "an integer"}, {"-12", JSON_INTEGER, "an integer"}, {"1.0", JSON_NUMBER, "a number"},
        {"1e5", JSON_NUMBER, "a number"},  {"1E5", JSON_NUMBER, "a number"},    {"\"1\"", JSON_STRING, "a string"},
        {"[1.5]", JSON_ARRAY, "an array"}, {"{}", JSON_OBJECT, "an object"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(json_kind(slice_of(table[i].text)), table[i].kind);
        assert_string_equal(json_kind_name(table[i].kind), table[i].name);
    }
}

static void strings_are_unescaped(void **state)
{
    assert_slice(json_string(SLICE("\"\""), &arena), "");
    assert_slice(json_string(SLICE("\"plain\""), &arena), "plain");
    assert_slice(json_string(SLICE("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), &arena), "\"\\/\b\f\n\r\t");
    assert_slice(json_string(SLICE("\"a\\u0000b\""), &arena), "a\0b");
    assert_slice(json_string(SLICE("\"\\u007f\\u0080\\u07FF\\u0800\\uFFFF\\uffff\""), &arena),
                 "\x7f\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xEF\xBF\xBF");
    assert_slice(json_string(SLICE("\"\\ud83d\\ude00|\\uD800\\uDC00|\\uDBFF\\uDFFF\""), &arena),
                 "\xF0\x9F\x98\x80|\xF0\x90\x80\x80|\xF4\x8F\xBF\xBF");
    assert_slice(json_string(SLICE("\"\xC3\xA9\\u00e9\xF0\x9F\x98\x80\""), &arena), "\xC3\xA9\xC3\xA9\xF0\x9F\x98\x80");
}

static void members_keep_order_and_count_once(void **state)
{
    struct json_member *member;
    size_t n;
    assert_int_equal(json_members(SLICE("{}"), &arena, &member, &n, &why), OK);
    assert_int_equal(n, 0);
    assert_int_equal(
        json_members(
            SLICE("{\"z\":1,\"\\u0061\":[1,{\"b\":\"]}\"}],\"\":\"x,y\",\"a\":-1.5e3,\"q\\\"\":{},\"\\u0000\":null}"),
            &arena, &member, &n, &why),
        OK);
    assert_int_equal(n, 5);
    assert_slice(member[0].name, "z");
    assert_slice(member[0].value, "1");
    assert_slice(member[1].name, "a"); /* at its first place, with its last value */
    assert_slice(member[1].value, "-1.5e3");
    assert_slice(member[2].name, "");
    assert_slice(member[2].value, "\"x,y\"");
    assert_slice(member[3].name, "q\"");
    assert_slice(member[3].value, "{}");
    assert_slice(member[4].name, "\0");
    assert_slice(member[4].value, "null");
}

static void elements_are_cut_where_they_end(void **state)
{
    struct slice *element;
    size_t n;
    assert_int_equal(json_elements(SLICE("[]"), &arena, &element, &n, &why), OK);
    assert_int_equal(n, 0);
    assert_int_equal(
        json_elements(SLICE("[1,\"],[\",[[],[2]],{\"a\":[3]},true,null,\"\\\\\",-4e5]"), &arena, &element, &n, &why),
        OK);
    static const char *const expected[] = {"1",    "\"],[\"", "[[],[2]]", "{\"a\":[3]}",
                                           "true", "null",    "\"\\\\\"", "-4e5"};
    assert_int_equal(n, 8);
    for (size_t i = 0; i < n; i++) assert_true(slice_eq(element[i], slice_of(expected[i])));
    assert_int_equal(json_elements(SLICE("[[1]]"), &arena, &element, &n, &why), OK);
    assert_int_equal(n, 1);
    assert_slice(element[0], "[1]");
}

static void other_kinds_have_no_members_and_no_elements(void **state)
{
    static const char *const values[] = {"1", "null", "\"{}\"", "true", "[]", "{}"};
    for (size_t i = 0; i < 6; i++) {
        struct json_member *member;
        struct slice *element, value = slice_of(values[i]);
        size_t n;
        if (i != 5) assert_int_equal(json_members(value, &arena, &member, &n, &why), MALFORMED_REQUEST);
        if (i != 4) assert_int_equal(json_elements(value, &arena, &element, &n, &why), MALFORMED_REQUEST);
    }
    assert_string_equal(why.detail, "the JSON text is an object, not an array");
}

/* -- our own text -- */

static void members_are_cut_one_after_the_other(void **state)
{
    static const char *const expected[][2] = {
        {"a", "[1,{\"b\":2}]"}, {"b\\\"c", "\"x,}\\\\\""}, {"", "{}"}, {"a", "-1.5e3"}, {"n", "null"}};
    struct slice text = SLICE("{\"a\":[1,{\"b\":2}],\"b\\\"c\":\"x,}\\\\\",\"\":{},\"a\":-1.5e3,\"n\":null}");
    struct json_member member;
    size_t at = 0, n = 0;
    for (; json_cut(text, &at, &member); n++) {
        assert_in_range(n, 0, 4);
        assert_bytes(member.name, slice_of(expected[n][0]), __FILE__,
                     (int)n); /* as it stands, twice if it comes twice */
        assert_bytes(member.value, slice_of(expected[n][1]), __FILE__, (int)n);
        assert_true(member.quoted.p == member.name.p - 1 && member.quoted.n == member.name.n + 2);
    }
    assert_int_equal(n, 5);
    assert_int_equal(at, text.n - 1); /* the brace at the end */
    assert_false(json_cut(text, &at, &member));
}

/* How many members are cut out of a copy of the text that has not a byte more. */
static size_t count_cut(struct slice text)
{
    struct json_member member;
    size_t at = 0, n = 0;
    char *exact = malloc(text.n ? text.n : 1);
    memcpy(exact, text.p, text.n);
    while (json_cut(slice_from(exact, text.n), &at, &member)) n++;
    free(exact);
    return n;
}

static void cutting_stays_inside_the_text(void **state)
{
    static const char *const texts[] = {
        "",           "{",          "}",        "{}",        "[]",         "[1,2]",       "\"a\":1",
        "null",       "{\"",        "{\"\\",    "{\"\\\"",   "{\"a",       "{\"a\"",      "{\"a\":",
        "{\"a\":}",   "{\"a\":,",   "{\"a\":1", "{\"a\":\"", "{\"a\":\"}", "{\"a\":[}",   "{\"a\":{\"}}",
        "{\"a\" :1}", "{ \"a\":1}", "{a:1}",    "{x\":1}",   "{,\"a\":1}", "{\"a\":[[[[", "{\"a\":[\""};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (count_cut(slice_of(texts[i]))) fail_msg("%s", texts[i]);
    assert_int_equal(count_cut(SLICE("{\"a\":1,}")), 1);
    assert_int_equal(count_cut(SLICE("{\"a\":1,\"b\"}")), 1);
    assert_int_equal(count_cut(SLICE("{\"a\":1}]]]")), 1);

    struct slice whole = SLICE("{\"a\":[\"\\\\\"],\"b\":{\"c\":[{}]},\"d\":\"\\\"\"}");
    for (size_t n = 0; n < whole.n; n++) assert_in_range(count_cut(slice_from(whole.p, n)), 0, 2);
    assert_int_equal(count_cut(whole), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_white_space_between_tokens_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(compact_text_is_returned_as_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_spelling_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_json_is_refused_with_its_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_place_of_a_string_is_looked_at, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nests_64_deep_and_no_deeper, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_texts_cost_little_time_and_no_stack, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_members_of_one_name_cost_little, set_up, tear_down),
        cmocka_unit_test_setup_teardown(doubles_keep_their_64_bits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(kinds_are_told_by_a_look, set_up, tear_down),
        cmocka_unit_test_setup_teardown(strings_are_unescaped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(members_keep_order_and_count_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(elements_are_cut_where_they_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_kinds_have_no_members_and_no_elements, set_up, tear_down),
        cmocka_unit_test_setup_teardown(members_are_cut_one_after_the_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cutting_stays_inside_the_text, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
