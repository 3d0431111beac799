/* Slices: comparing, cutting, UTF-8 by counting, edit distance. */
#include "base/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define assert_slice(s, literal) assert_true(slice_eq((s), SLICE(literal)))

static void compares(void **state)
{
    assert_true(slice_eq(SLICE(""), (struct slice){NULL, 0}));
    assert_false(slice_eq(SLICE("a"), SLICE("b")));
    assert_true(slice_ieq(SLICE("Content-LENGTH"), SLICE("content-length")));
    assert_false(slice_ieq(SLICE("a"), SLICE("ab")));
    assert_false(slice_ieq(SLICE("[{@"), SLICE("{[`"))); /* 32 apart, and no letters */
    assert_true(slice_cmp(SLICE("a"), SLICE("b")) < 0);
    assert_true(slice_cmp(SLICE("b"), SLICE("a")) > 0);
    assert_true(slice_cmp(SLICE("a"), SLICE("ab")) < 0);
    assert_true(slice_cmp(SLICE("\xff"), SLICE("a")) > 0); /* bytes are unsigned */
    assert_int_equal(slice_cmp(SLICE(""), (struct slice){NULL, 0}), 0);
    assert_true(slice_starts(SLICE("abc"), SLICE("ab")));
    assert_true(slice_starts(SLICE("abc"), (struct slice){NULL, 0}));
    assert_false(slice_starts(SLICE("ab"), SLICE("abc")));
    assert_null(slice_of(NULL).p);
}

static void trims(void **state)
{
    assert_slice(slice_trim(SLICE(" \t a b\t ")), "a b");
    assert_slice(slice_trim(SLICE(" \t")), "");
    assert_slice(slice_trim(SLICE("\na\r")), "\na\r"); /* no other white space */
    assert_null(slice_trim((struct slice){NULL, 0}).p);
}

static void cuts(void **state)
{
    struct slice rest = SLICE("a,,b,");
    assert_slice(slice_cut(&rest, ','), "a");
    assert_slice(slice_cut(&rest, ','), "");
    assert_slice(slice_cut(&rest, ','), "b");
    assert_non_null(rest.p); /* after the last comma stands an empty part */
    assert_slice(slice_cut(&rest, ','), "");
    assert_null(rest.p);
    assert_null(slice_cut(&rest, ',').p);
    rest = SLICE("");
    assert_non_null(slice_cut(&rest, ',').p);
    assert_null(rest.p);
}

/* Counts the strings of n bytes, first byte first..255, that begin with a character of n bytes. */
static size_t characters_of(size_t n, unsigned first, const unsigned char *tails, size_t n_tails)
{
    size_t count = 0;
    for (unsigned a = first; a < 256; a++)
        for (unsigned b = 0; b < 256; b++)
            for (size_t c = 0; c < n_tails; c++)
                for (size_t d = 0; d < n_tails; d++) {
                    char text[] = {(char)a, (char)b, (char)tails[c], (char)tails[d]};
                    bool whole = slice_utf8_first(slice_from(text, n)) == n;
                    assert_true(!whole || slice_is_utf8(slice_from(text, n)));
                    assert_true(!whole || slice_utf8_first(slice_from(text, n - 1)) == 0);
                    count += whole;
                }
    return count;
}

/* Were one surrogate, one overlong form or one code above U+10FFFF let through, or one good one refused, no number
 * here would come out right. */
static void counts_characters(void **state)
{
    unsigned char edges[] = {0x7f, 0x80, 0xbf, 0xc0}; /* two of the four may end a character */
    assert_int_equal(characters_of(2, 0, edges, 1), 0x800 - 0x80);
    assert_int_equal(characters_of(3, 0, edges, 4) / 4, 2 * ((0x10000 - 0x800 - 0x800) / 64));
    assert_int_equal(characters_of(4, 0, edges, 4), 4 * (0x100000 / 64 / 64));
    for (int c = 0; c < 0x80; c++) assert_int_equal(slice_utf8_first(slice_from(&(char){(char)c}, 1)), 1);
    assert_int_equal(slice_utf8_first(SLICE("")), 0);
}

static void judges_utf8(void **state)
{
    assert_true(slice_is_utf8((struct slice){NULL, 0}));
    assert_true(slice_is_utf8(SLICE("sixteen is ASCII, then \xE2\x82\xAC and \xF0\x9F\x8C\x99.")));
    assert_false(slice_is_utf8(SLICE("\xED\xA0\x80")));
    assert_false(slice_is_utf8(SLICE("\xC0\x80")));
    for (size_t at = 0; at < 24; at++) { /* wherever it stands between the fast steps */
        char text[24];
        memset(text, 'a', sizeof text);
        text[at] = (char)0x80;
        assert_false(slice_is_utf8(slice_from(text, sizeof text)));
    }
}

static void finds_controls(void **state)
{
    assert_true(slice_control_first(SLICE("\x1f")));
    assert_true(slice_control_first(SLICE("\x7f")));
    assert_true(slice_control_first(SLICE("\xC2\x9B")));
    assert_false(slice_control_first(SLICE("\xC2\xA0")));
    assert_false(slice_control_first(SLICE("\xC2")));
    assert_false(slice_control_first(SLICE(" ")));
}

static void measures_distance(void **state)
{
    char long_one[65];
    memset(long_one, 'x', sizeof long_one);
    assert_int_equal(slice_distance(SLICE("Workplce"), SLICE("Workplace")), 1);
    assert_int_equal(slice_distance(SLICE("kitten"), SLICE("sitting")), 3);
    assert_int_equal(slice_distance(SLICE("ab"), SLICE("ba")), 1);
    assert_int_equal(slice_distance(SLICE("emial"), SLICE("email")), 1);
    assert_int_equal(slice_distance(SLICE("ca"), SLICE("abc")), 3); /* no edit inside a swap */
    assert_int_equal(slice_distance(SLICE(""), SLICE("abc")), 3);
    assert_int_equal(slice_distance(SLICE("abc"), SLICE("")), 3);
    assert_int_equal(slice_distance(SLICE(""), SLICE("")), 0);
    assert_int_equal(slice_distance(slice_from(long_one, 64), SLICE("")), 64);
    assert_true(slice_distance(slice_from(long_one, 65), SLICE("")) == SIZE_MAX);
    assert_true(slice_distance(SLICE(""), slice_from(long_one, 65)) == SIZE_MAX);
}

static void decodes_percent(void **state)
{
    static const struct {
        const char *in, *out;
        bool plus;
    } good[] = {{"", "", false},
                {"abc", "abc", false},
                {"a%20b", "a b", false},
                {"%41%7a", "Az", false},
                {"%e2%82%AC", "\xe2\x82\xac", false},
                {"a+b", "a+b", false},
                {"a+b%2B", "a b+", true}};
    static const char *const bad[] = {"%", "%4", "a%", "%g0", "%0g", "%%41", "% 1"};
    char out[64];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        size_t n = slice_percent_decode(slice_of(good[i].in), good[i].plus, out);
        assert_true(slice_eq((struct slice){out, n}, slice_of(good[i].out)));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(slice_percent_decode(slice_of(bad[i]), true, out), SIZE_MAX);
    assert_int_equal(slice_percent_decode(SLICE("%00"), false, out), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares),
        cmocka_unit_test(trims),
        cmocka_unit_test(cuts),
        cmocka_unit_test(counts_characters),
        cmocka_unit_test(judges_utf8),
        cmocka_unit_test(finds_controls),
        cmocka_unit_test(decodes_percent),
        cmocka_unit_test(measures_distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
