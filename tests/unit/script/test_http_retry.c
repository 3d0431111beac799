/* The rules, the back-off and the budget of retries: time and chance are arguments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "script/http_retry.h"

#define S    1000000u
#define NONE ((struct slice){NULL, 0})

static void test_rules(void **state)
{
    static const char *const idempotent[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}, *const other[] = {
                                                                                             "POST", "PATCH", "LOCK"};
    struct http_retry_rules r;
    http_retry_rules_init(&r);
    assert_false(http_retry_wanted(&r, "GET", 1, HTTP_REFUSED, 0));
    r.retries = 2;
    for (size_t i = 0; i < 5; i++) {
        assert_true(http_retry_wanted(&r, idempotent[i], 1, HTTP_RESET, 0));
        assert_true(http_retry_wanted(&r, idempotent[i], 2, HTTP_ANSWERED, 502));
        assert_false(http_retry_wanted(&r, idempotent[i], 3, HTTP_RESET, 0));
    }
    for (size_t i = 0; i < 3; i++) {
        assert_true(http_retry_wanted(&r, other[i], 1, HTTP_REFUSED, 0));
        assert_false(http_retry_wanted(&r, other[i], 1, HTTP_RESET, 0));
        assert_false(http_retry_wanted(&r, other[i], 1, HTTP_ANSWERED, 503));
    }
    assert_true(http_retry_wanted(&r, "GET", 1, HTTP_ANSWERED, 503));
    assert_true(http_retry_wanted(&r, "GET", 1, HTTP_ANSWERED, 504));
    assert_false(http_retry_wanted(&r, "GET", 1, HTTP_ANSWERED, 500));
    assert_false(http_retry_wanted(&r, "GET", 1, HTTP_ANSWERED, 200));
    assert_false(http_retry_wanted(&r, "GET", 1, HTTP_TIMED_OUT, 0));
    assert_false(http_retry_wanted(&r, "GET", 1, HTTP_FAILED, 503));

    struct http_retry_rules chosen = {
        .retries = 1, .chosen = true, .timeout = true, .statuses = {429}, .n_statuses = 1};
    assert_true(http_retry_wanted(&chosen, "POST", 1, HTTP_ANSWERED, 429));
    assert_true(http_retry_wanted(&chosen, "POST", 1, HTTP_TIMED_OUT, 0));
    assert_false(http_retry_wanted(&chosen, "GET", 1, HTTP_REFUSED, 0));
    assert_false(http_retry_wanted(&chosen, "GET", 1, HTTP_RESET, 0));
    assert_false(http_retry_wanted(&chosen, "GET", 1, HTTP_ANSWERED, 503));
}

static void test_delay(void **state)
{
    static const uint64_t most[] = {50000, 100000, 200000, 400000, 800000, 1000000, 1000000, 1000000, 1000000, 1000000};
    for (unsigned i = 0; i < HTTP_RETRIES_MAX; i++) {
        assert_int_equal(http_retry_delay_us(i + 1, NONE, 0), most[i]);
        assert_int_equal(http_retry_delay_us(i + 1, NONE, most[i] / 2), most[i] / 2);
        for (uint64_t chance = 1; chance; chance *= 3) {
            uint64_t delay = http_retry_delay_us(i + 1, NONE, chance);
            assert_in_range(delay, most[i] / 2, most[i]);
            if (chance > UINT64_MAX / 3) break;
        }
    }
}

static void test_retry_after(void **state)
{
    assert_int_equal(http_retry_delay_us(1, SLICE("3"), 0), 3 * S);
    assert_int_equal(http_retry_delay_us(1, SLICE("0"), 0), 50000);
    assert_int_equal(http_retry_delay_us(9, SLICE("1"), 0), 1 * S);
    assert_int_equal(http_retry_delay_us(1, SLICE("31536000"), 0), 31536000ull * S);
    assert_int_equal(http_retry_delay_us(1, SLICE("99999999999999999999"), 0), 50000);
    assert_int_equal(http_retry_delay_us(1, SLICE("Fri, 31 Dec 1999 23:59:59 GMT"), 0), 50000);
    assert_int_equal(http_retry_delay_us(1, SLICE(""), 0), 50000);
    assert_int_equal(http_retry_delay_us(1, SLICE("-1"), 0), 50000);
}

static unsigned take_all(struct http_budget *b, uint64_t now_us)
{
    unsigned n = 0;
    while (n < 10000 && http_budget_retry(b, now_us)) n++;
    return n;
}

static void test_budget(void **state)
{
    struct http_budget b = {0};
    uint64_t now = 1000 * (uint64_t)S;
    assert_int_equal(take_all(&b, now), 20);
    for (int i = 0; i < 4; i++) http_budget_request(&b, now);
    assert_int_equal(take_all(&b, now), 0);
    http_budget_request(&b, now);
    assert_int_equal(take_all(&b, now), 1); /* of the fifth request */
    for (int i = 0; i < 1000; i++) http_budget_request(&b, now + 9 * S);
    assert_int_equal(take_all(&b, now + 9 * S), 200);
    assert_int_equal(take_all(&b, now + 10 * S - 1), 0);
    assert_int_equal(take_all(&b, now + 10 * S),
                     20); /* what was taken in the first second is forgotten, and its requests are */
    assert_int_equal(take_all(&b, now + 18 * S), 0);
    assert_int_equal(take_all(&b, now + 19 * S), 0); /* 20 of second 10 are left: the floor */
    assert_int_equal(take_all(&b, now + 20 * S), 20);
    assert_int_equal(take_all(&b, now + 1000 * S), 20);
}

static void test_budget_at_the_start_of_a_clock(void **state)
{
    struct http_budget b = {0};
    assert_int_equal(take_all(&b, 0), 20);
    assert_int_equal(take_all(&b, 9 * S), 0);
    assert_int_equal(take_all(&b, 10 * S), 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_delay),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_budget_at_the_start_of_a_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
