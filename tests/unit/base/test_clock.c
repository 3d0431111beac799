/* Clocks and the HTTP date. */
#include "base/clock.h"

#include <string.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_date(uint64_t seconds, const char *expected)
{
    char out[30];
    clock_http_date(seconds * 1000 + 999, out); /* cut, not rounded */
    assert_string_equal(out, expected);
}

static void writes_dates(void **state)
{
    assert_date(784111777, "Sun, 06 Nov 1994 08:49:37 GMT"); /* RFC 9110's own */
    assert_date(0, "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_date(1709251199, "Thu, 29 Feb 2024 23:59:59 GMT");
    assert_date(2147483648, "Tue, 19 Jan 2038 03:14:08 GMT");
    assert_date(253402300799, "Fri, 31 Dec 9999 23:59:59 GMT");
    assert_date(253402300800, "Fri, 31 Dec 9999 23:59:59 GMT");
    char out[30];
    clock_http_date(UINT64_MAX, out);
    assert_string_equal(out, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void agrees_with_strftime(void **state)
{
    for (time_t s = 0; s < 253402300799; s += 86400 * 367 + 3671) {
        char expected[64], out[30];
        struct tm t;
        gmtime_r(&s, &t);
        strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &t);
        clock_http_date((uint64_t)s * 1000, out);
        assert_string_equal(out, expected);
    }
}

static void adds_without_wrapping(void **state)
{
    assert_true(clock_add(1, 2) == 3);
    assert_true(clock_add(CLOCK_NEVER, 1) == CLOCK_NEVER);
    assert_true(clock_add(1, CLOCK_NEVER) == CLOCK_NEVER);
    assert_true(clock_add(CLOCK_NEVER - 1, 5) == CLOCK_NEVER);
}

static void tells_the_time(void **state)
{
    uint64_t before = (uint64_t)time(NULL), now = clock_wall_ms() / 1000;
    assert_in_range(now + 1, before, before + 60); /* time() may lag by a tick */
    uint64_t first = clock_mono_us(), second = clock_mono_us();
    assert_true(second >= first);
}

static void approaches_by_a_tenth(void **state)
{
    assert_int_equal(clock_approach(1000, 1000, 50), 1000);
    assert_int_equal(clock_approach(1000, 1004, 50), 1004);
    assert_int_equal(clock_approach(1000, 1006, 50), 1005);
    assert_int_equal(clock_approach(1000, 994, 50), 995);
    assert_int_equal(clock_approach(1000, 996, 50), 996);
    assert_int_equal(clock_approach(-1000, 3600000, 100), -990);
    assert_int_equal(clock_approach(0, -3600000, 100), -10);
    assert_int_equal(clock_approach(1000, 2000, 0), 1000);
}

static void follows_the_system(void **state)
{
    uint64_t wall = clock_wall_ms(), date = clock_date_ms();
    assert_in_range(date - wall + 5, 0, 10);
    for (int i = 0; i < 3; i++) assert_in_range(clock_follow() + 5, 0, 10);
    assert_true(clock_wall_ms() >= wall);
}

static void goes_forward_when_told(void **state)
{
    uint64_t wall = clock_wall_ms();
    clock_forward(3600000);
    assert_in_range(clock_wall_ms() - wall, 3600000, 3600100);
    for (int i = 0; i < 3; i++) assert_in_range(clock_follow() + 5, 0, 10); /* and nothing brings it back */
    assert_in_range(clock_wall_ms() - wall, 3600000, 3600100);
}

static void a_timer_is_never_early(void **state)
{
    assert_int_equal(clock_ms_until(5000, 5000), 0);
    assert_int_equal(clock_ms_until(5000, 5001), 0);
    assert_int_equal(clock_ms_until(5001, 5000), 1);
    assert_int_equal(clock_ms_until(6001, 5000), 2);
    assert_true(clock_ms_until(UINT64_MAX, 0) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_dates),           cmocka_unit_test(agrees_with_strftime),
        cmocka_unit_test(adds_without_wrapping),  cmocka_unit_test(tells_the_time),
        cmocka_unit_test(approaches_by_a_tenth),  cmocka_unit_test(follows_the_system),
        cmocka_unit_test(goes_forward_when_told), cmocka_unit_test(a_timer_is_never_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
