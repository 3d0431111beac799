/* Who may wait for whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "serve/waits.h"

static int setup(void **state)
{
    *state = waits_new();
    return 0;
}

static int teardown(void **state)
{
    waits_free(*state);
    return 0;
}

static void test_nobody_waits_for_itself(void **state)
{
    struct wait w;
    assert_false(wait_begin(*state, &w, 1, 1));
    wait_end(&w);
}

static void test_a_ring_is_refused_and_free_again(void **state)
{
    struct wait a, b, c, d;
    assert_true(wait_begin(*state, &a, 1, 2));
    assert_true(wait_begin(*state, &b, 2, 3));
    assert_false(wait_begin(*state, &c, 3, 1));
    assert_true(wait_begin(*state, &d, 3, 4));
    wait_end(&b);
    assert_true(wait_begin(*state, &c, 3, 1));
    assert_false(wait_begin(*state, &b, 2, 3));
    wait_end(&a);
    wait_end(&c);
    wait_end(&c);
    wait_end(&d);
}

/* Of one bucket; and found by two ways. */
static void test_a_diamond_is_no_ring(void **state)
{
    struct wait w[5];
    assert_true(wait_begin(*state, &w[0], 1, 257));
    assert_true(wait_begin(*state, &w[1], 1, 513));
    assert_true(wait_begin(*state, &w[2], 257, 769));
    assert_true(wait_begin(*state, &w[3], 513, 769));
    assert_false(wait_begin(*state, &w[4], 769, 1));
    assert_true(wait_begin(*state, &w[4], 2, 769));
    for (int i = 0; i < 5; i++) wait_end(&w[i]);
}

static void test_the_same_twice(void **state)
{
    struct wait a, b, c;
    assert_true(wait_begin(*state, &a, 1, 2));
    assert_true(wait_begin(*state, &b, 1, 2));
    wait_end(&a);
    assert_false(wait_begin(*state, &c, 2, 1));
    wait_end(&b);
    assert_true(wait_begin(*state, &c, 2, 1));
    wait_end(&c);
}

static void test_a_long_way(void **state)
{
    static struct wait w[1000];
    for (uint64_t i = 0; i < 999; i++) assert_true(wait_begin(*state, &w[i], i, i + 1));
    assert_false(wait_begin(*state, &w[999], 999, 0));
    for (int i = 0; i < 999; i++) wait_end(&w[i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_nobody_waits_for_itself),
        TEST(test_a_ring_is_refused_and_free_again),
        TEST(test_a_diamond_is_no_ring),
        TEST(test_the_same_twice),
        TEST(test_a_long_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
