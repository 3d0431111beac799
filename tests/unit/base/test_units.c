/* Durations, sizes and numbers as people write them. */
#include "base/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_duration(const char *text, uint64_t expected)
{
    uint64_t ms = 0;
    if (!units_duration(slice_of(text), &ms) || ms != expected) fail_msg("%s gave %llu", text, (unsigned long long)ms);
}

static void reads_durations(void **state)
{
    assert_duration("250ms", 250);
    assert_duration("90s", 90000);
    assert_duration("15m", 900000);
    assert_duration("2h", 7200000);
    assert_duration("1d", 86400000);
    assert_duration("1.5h", 5400000);
    assert_duration("60", 60000);
    assert_duration("0.1", 100);
    assert_duration("0", 0);
    assert_duration("0s", 0);
    assert_duration("0.0ms", 0);
    assert_duration("0.29", 290); /* 289 in binary arithmetic */
    assert_duration("1.0000000000000000000000000001", 1001);
    assert_duration("0.4ms", 1);
    assert_duration("0.0000000000001d", 1);
    assert_duration("36525d", UINT64_C(3155760000000));
    assert_duration("3155760000000ms", UINT64_C(3155760000000));
}

static void refuses_other_durations(void **state)
{
    static const char *const wrong[] = {"",
                                        "s",
                                        "-1",
                                        "-1s",
                                        "+1",
                                        "1 s",
                                        " 1",
                                        "1s ",
                                        "1S",
                                        "1.",
                                        ".5",
                                        "1.s",
                                        "1e3",
                                        "1w",
                                        "1h30m",
                                        "0x10",
                                        "1,5",
                                        "1..5",
                                        "inf",
                                        "nan",
                                        "1mss",
                                        "36526d",
                                        "36525.1d",
                                        "3155760001",
                                        "99999999999999999999",
                                        "18446744073709551616",
                                        "3155760000000.5ms"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint64_t ms = 77;
        if (units_duration(slice_of(wrong[i]), &ms) || ms != 77) fail_msg("took '%s'", wrong[i]);
    }
    uint64_t ms;
    assert_false(units_duration(SLICE("1\0"), &ms));
    assert_false(units_duration((struct slice){NULL, 0}, &ms));
}

static void assert_size(const char *text, uint64_t expected)
{
    uint64_t bytes = 0;
    if (!units_size(slice_of(text), &bytes) || bytes != expected)
        fail_msg("%s gave %llu", text, (unsigned long long)bytes);
}

static void reads_sizes(void **state)
{
    assert_size("64MiB", 64 << 20);
    assert_size("1 GiB", 1 << 30);
    assert_size("512KiB", 512 << 10);
    assert_size("1048576", 1048576);
    assert_size("10MB", 10000000);
    assert_size("3kb", 3000);
    assert_size("2GB", 2000000000);
    assert_size("1k", 1024);
    assert_size("1M", 1 << 20);
    assert_size("4g", UINT64_C(4) << 30);
    assert_size("0", 0);
    assert_size("64mib", 64 << 20);
    assert_size("9007199254740992", UINT64_C(1) << 53);
    assert_size("8388608GiB", UINT64_C(1) << 53);
}

static void refuses_other_sizes(void **state)
{
    static const char *const wrong[] = {"",
                                        "MiB",
                                        "-1",
                                        "1.5GiB",
                                        "1  MiB",
                                        "1 ",
                                        " 1",
                                        "1MiBs",
                                        "1T",
                                        "1B",
                                        "1Ki",
                                        "1MiB ",
                                        "9007199254740993",
                                        "8388609GiB",
                                        "18446744073709551617",
                                        "1e6",
                                        "0x1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint64_t bytes = 77;
        if (units_size(slice_of(wrong[i]), &bytes) || bytes != 77) fail_msg("took '%s'", wrong[i]);
    }
}

static void reads_numbers(void **state)
{
    uint64_t v = 77;
    assert_true(units_uint(SLICE("0"), 0, &v) && v == 0);
    assert_true(units_uint(SLICE("007"), 7, &v) && v == 7);
    assert_true(units_uint(SLICE("18446744073709551615"), UINT64_MAX, &v) && v == UINT64_MAX);
    assert_true(units_uint(SLICE("65535"), 65535, &v) && v == 65535);
    v = 77;
    assert_false(units_uint(SLICE("18446744073709551616"), UINT64_MAX, &v));
    assert_false(units_uint(SLICE("99999999999999999999999"), UINT64_MAX, &v));
    assert_false(units_uint(SLICE("65536"), 65535, &v));
    assert_false(units_uint(SLICE("8"), 7, &v));
    assert_false(units_uint(SLICE(""), 7, &v));
    assert_false(units_uint(SLICE("+1"), 7, &v));
    assert_false(units_uint(SLICE("-0"), 7, &v));
    assert_false(units_uint(SLICE("1 "), 7, &v));
    assert_false(units_uint(SLICE("1a"), 7, &v));
    assert_true(v == 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_durations),     cmocka_unit_test(refuses_other_durations), cmocka_unit_test(reads_sizes),
        cmocka_unit_test(refuses_other_sizes), cmocka_unit_test(reads_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
