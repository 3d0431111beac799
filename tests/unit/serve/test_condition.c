/* Lists of entity tags: which bytes they ask for, and what is none. */
#include "serve/condition.h"

#include "serve/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

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

#define A       "\"0123456789abcdef\""
#define B       "\"fedcba9876543210\""
#define BYTES_A "\xef\xcd\xab\x89\x67\x45\x23\x01"
#define BYTES_B "\x10\x32\x54\x76\x98\xba\xdc\xfe"

static void tags_become_their_bytes(void **state)
{
    static const struct {
        const char *list, *strong, *weak;
    } row[] = {
        {"*", "*", "*"},
        {" * ", "*", "*"},
        {A, BYTES_A, BYTES_A},
        {A "," B, BYTES_A BYTES_B, BYTES_A BYTES_B},
        {" , ," A ",,\t" B ", ", BYTES_A BYTES_B, BYTES_A BYTES_B},
        {"  " B "\t , " A " ", BYTES_B BYTES_A, BYTES_B BYTES_A},
        {"W/" A, "", BYTES_A},
        {"W/" A ", " B, BYTES_B, BYTES_A BYTES_B},
        {"\"\"", "", ""},
        {"\"*\"", "", ""},
        {"\"a,b\", " A, BYTES_A, BYTES_A},
        {"\"0123456789ABCDEF\"", "", ""},
        {"\"0123456789abcde\"", "", ""},
        {"\"0123456789abcdef0\"", "", ""},
        {"\"g123456789abcdef\"", "", ""},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        for (int weak = 0; weak < 2; weak++) {
            struct slice tags, wanted = slice_of(weak ? row[i].weak : row[i].strong);
            enum status st = condition_parse("If-Match", slice_of(row[i].list), weak, &arena, &tags, &why);
            if (st != OK || !tags.p || !slice_eq(tags, wanted)) fail_msg("%s: %s", row[i].list, status_code(st));
        }
    }
}

static void what_is_no_list_is_malformed(void **state)
{
    static const char *const list[] = {
        "",   " ",   "x",  "**",  "*,*",  ",",     ", ,",  A "*",  A B,      A " " B,
        "\"", "\"x", "W/", "W/*", "w/" A, "W /" A, "*," A, A ",*", "W/W/" A, "0123456789abcdef"};
    struct slice tags;
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        enum status st = condition_parse("If-None-Match", slice_of(list[i]), true, &arena, &tags, &why);
        if (st != MALFORMED_REQUEST) fail_msg("'%s': %s", list[i], status_code(st));
        assert_non_null(strstr(why.detail, "If-None-Match"));
    }
}

/* What is asked for by the tag that an answer tells holds of the very envelope. */
static void a_told_tag_names_its_envelope(void **state)
{
    struct envelope e = {.fresh_until_ms = 1000, .stale_until_ms = 1000, .text = SLICE("{\"a\":1}")}, opened;
    struct store_condition when = {.is = {NULL, 0}};
    char etag[19];
    struct blob *b = envelope_seal(&e, NULL, 0);
    assert_true(envelope_open(blob_slice(b), &opened));
    answer_etag(opened.tag, etag);
    assert_int_equal(condition_parse("If-Match", slice_of(etag), false, &arena, &when.is, &why), OK);
    assert_true(condition_holds(&when, blob_slice(b), 999));
    assert_false(condition_holds(&when, blob_slice(b), 1000));
    blob_unref(b);
    e.kind = ENVELOPE_NEGATIVE;
    e.text = SLICE("");
    b = envelope_seal(&e, NULL, 0);
    when.is = CONDITION_ANY;
    assert_false(condition_holds(&when, blob_slice(b), 0));
    blob_unref(b);
}

static struct http_request request_of(const char *const (*header)[2], size_t n)
{
    struct http_request r = {.headers = n};
    for (size_t i = 0; i < n; i++) r.header[i] = (struct http_header){slice_of(header[i][0]), slice_of(header[i][1])};
    return r;
}
#define REQUEST(...)                                                                                                   \
    request_of((const char *const[][2]){__VA_ARGS__}, sizeof((const char *const[][2]){__VA_ARGS__}) / 16)

static void all_lines_count(void **state)
{
    struct store_condition when;
    struct http_request r = REQUEST({"IF-match", A}, {"If", B}, {"If-None-Match", "\"x\""}, {"if-match", B});
    assert_int_equal(condition_read(&r, &arena, &when, &why), OK);
    assert_true(slice_eq(when.is, SLICE(BYTES_A BYTES_B)));
    assert_true(when.is_not.p && when.is_not.n == 0);
    r = REQUEST({"If-Match", A}, {"If-Match", ""});
    assert_int_equal(condition_read(&r, &arena, &when, &why), OK);
    assert_true(slice_eq(when.is, SLICE(BYTES_A)));
    r = REQUEST({"If-Match", ""}, {"If-Match", ""});
    assert_int_equal(condition_read(&r, &arena, &when, &why), MALFORMED_REQUEST);
    r = REQUEST({"Host", "a"});
    assert_int_equal(condition_read(&r, &arena, &when, &why), OK);
    assert_null(condition_given(&when));
}

static void a_date_is_beaten_or_refused(void **state)
{
    struct store_condition when;
    struct http_request r = REQUEST({"If-Unmodified-Since", "x"});
    assert_int_equal(condition_read(&r, &arena, &when, &why), NOT_IMPLEMENTED);
    r = REQUEST({"If-Unmodified-Since", "x"}, {"If-None-Match", "*"});
    assert_int_equal(condition_read(&r, &arena, &when, &why), NOT_IMPLEMENTED);
    r = REQUEST({"If-Unmodified-Since", "x"}, {"If-Match", "*"});
    assert_int_equal(condition_read(&r, &arena, &when, &why), OK);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(tags_become_their_bytes), TEST(what_is_no_list_is_malformed), TEST(a_told_tag_names_its_envelope),
        TEST(all_lines_count),         TEST(a_date_is_beaten_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
