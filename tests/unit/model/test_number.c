/* Numbers as text: the grammar, and one spelling for every value. */
#include "support.h"

#include "model/number.h"

#include <math.h>

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

static void the_grammar_is_json(void **state)
{
    static const char *const good[] = {
        "0",   "-0",  "1",    "-1",   "10",    "1.0", "0.5",    "-0.50",
        "1e1", "1E1", "1e+1", "1e-1", "1e007", "0e0", "1.5e-3", "123456789012345678901234567890"};
    static const char *const bad[] = {"",    "-",   "+1",  "01",  "-01",   "00",    ".5", "1.", "1.e1",
                                      "e1",  "1e",  "1e+", "1e-", "0x10",  "1_0",   " 1", "1 ", "1,0",
                                      "NaN", "inf", "--1", "1-",  "1e1.5", "1e1e1", "1f", "١",  "1\n"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!number_valid(slice_of(good[i]))) fail_msg("%s is a number", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (number_valid(slice_of(bad[i]))) fail_msg("%s is no number", bad[i]);
    assert_false(number_valid(SLICE("1\0")));
    assert_false(number_valid(SLICE("\0")));
    assert_false(number_valid((struct slice){NULL, 0}));
}

static void a_value_has_one_spelling(void **state)
{
    static const char *const table[][2] = {
        {"0", "0"},
        {"-0", "0"},
        {"0.0", "0"},
        {"-0.00e5", "0"},
        {"0e999999999999999999999", "0"},
        {"1", "1"},
        {"1.0", "1"},
        {"1e0", "1"},
        {"10e-1", "1"},
        {"0.1e1", "1"},
        {"0.001e+003", "1"},
        {"-1.00", "-1"},
        {"1.50", "1.5"},
        {"15e-1", "1.5"},
        {"100", "100"},
        {"1e2", "100"},
        {"1E2", "100"},
        {"-120e-1", "-12"},
        {"123456789012345678901", "123456789012345678901"}, /* 21 digits */
        {"1234567890123456789012", "1.234567890123456789012e+21"},
        {"1e20", "100000000000000000000"},
        {"1e21", "1e+21"},
        {"1e22", "1e+22"},
        {"-1.5e300", "-1.5e+300"},
        {"0.000001", "0.000001"},
        {"0.0000001", "1e-7"},
        {"1e-7", "1e-7"},
        {"0.000000125", "1.25e-7"},
        {"9007199254740993", "9007199254740993"}, /* nothing is rounded */
        {"0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"},
        {"1.7976931348623157e308", "1.7976931348623157e+308"},
        {"5e-324", "5e-324"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_bytes(number_canonical(slice_of(table[i][0]), &arena), slice_of(table[i][1]), table[i][0], 0);
}

static void what_a_double_cannot_hold_has_none(void **state)
{
    static const char *const table[] = {"1e999",
                                        "-1e999",
                                        "1e309",
                                        "1.8e308",
                                        "1e400",
                                        "1e-400",
                                        "-1e-400",
                                        "2e-324",
                                        "1e4294967296",
                                        "1e-4294967296",
                                        "1e999999999999999999999999",
                                        "1e-999999999999999999999999"};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_null(number_canonical(slice_of(table[i]), &arena).p);
}

static void spellings_that_spread_a_value_out_meet(void **state)
{
    size_t zeros = 1000000; /* 0.000...01e1000001 and 1000...0e-1000000 are 1 */
    struct buffer b;
    buffer_init(&b, 2 * zeros);
    buffer_slice(&b, SLICE("0."));
    memset(buffer_reserve(&b, zeros), '0', zeros);
    b.n += zeros;
    buffer_slice(&b, SLICE("1e1000001"));
    assert_slice(number_canonical(buffer_view(&b), &arena), "1");
    buffer_reset(&b);
    buffer_slice(&b, SLICE("1"));
    memset(buffer_reserve(&b, zeros), '0', zeros);
    b.n += zeros;
    buffer_slice(&b, SLICE("e-1000000"));
    assert_slice(number_canonical(buffer_view(&b), &arena), "1");
    buffer_deinit(&b);
}

/* Doubles of all sizes, in three spellings each. */
static void random_doubles_survive_and_their_spellings_meet(void **state)
{
    uint64_t seed = 7;
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = chance(&seed);
        double v;
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v) || v == 0) continue;
        struct slice scientific = arena_printf(&arena, "%.16e", v), positional = arena_printf(&arena, "%.400f", v);
        struct slice one = number_canonical(scientific, &arena), two = number_canonical(one, &arena);
        assert_true(one.p && number_valid(one));
        assert_true(strtod(one.p, NULL) == v);
        assert_true(slice_eq(one, two)); /* a canonical spelling is its own */
        if (fabs(v) > 1e-200) assert_true(strtod(number_canonical(positional, &arena).p, NULL) == v);
        arena_reset(&arena);
    }
}

/* m * 10^e for small m: equal values meet, others do not. */
static void small_decimals_meet_exactly_when_equal(void **state)
{
    enum { MOST = 40, EXPONENTS = 7 };
    struct slice text[MOST * EXPONENTS];
    long value[MOST * EXPONENTS];
    size_t n = 0;
    for (int m = 0; m < MOST; m++) {
        long v = m;
        for (int e = 0; e < EXPONENTS; e++, v *= 10, n++) {
            value[n] = v;
            text[n] = number_canonical(arena_printf(&arena, "%d.0e%d", m, e - 3), &arena);
        }
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) assert_int_equal(slice_eq(text[i], text[j]), value[i] == value[j]);
}

static void sixty_four_bits_end_where_they_end(void **state)
{
    static const char *const in[] = {"0", "-0", "9223372036854775807", "-9223372036854775808", "999999999999999999"};
    static const char *const out[] = {"9223372036854775808", "-9223372036854775809", "10000000000000000000",
                                      "-10000000000000000000", "99999999999999999999999999999999"};
    for (size_t i = 0; i < sizeof in / sizeof *in; i++) assert_true(number_fits_int64(slice_of(in[i])));
    for (size_t i = 0; i < sizeof out / sizeof *out; i++) assert_false(number_fits_int64(slice_of(out[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_grammar_is_json, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_value_has_one_spelling, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_double_cannot_hold_has_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(spellings_that_spread_a_value_out_meet, set_up, tear_down),
        cmocka_unit_test_setup_teardown(random_doubles_survive_and_their_spellings_meet, set_up, tear_down),
        cmocka_unit_test_setup_teardown(small_decimals_meet_exactly_when_equal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sixty_four_bits_end_where_they_end, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
