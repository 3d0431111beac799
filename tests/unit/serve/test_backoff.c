/* Failures remembered: when a key is left alone and for how long, what makes room for what, and what is forgotten. */
#include "serve/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <uv.h>

#include <cmocka.h>

#define KEY  SLICE("p:User:0:id=a")
#define NOW  1000000u
#define LAST 5000u /* the longest pause */

static struct backoff *backoff;

static int set_up(void **state)
{
    backoff = backoff_new();
    return 0;
}

static int tear_down(void **state)
{
    backoff_free(backoff);
    return 0;
}

static void fails(struct slice key, uint64_t now_ms, const char *words)
{
    struct problem why;
    problem_set(&why, LOADER_ERROR, "v", "%s", words);
    backoff_failed(backoff, key, 0, now_ms, &why);
}

static bool holds(struct slice key, uint64_t now_ms)
{
    struct problem why;
    return backoff_holds(backoff, key, 0, now_ms, &why);
}

/* How long it is left alone, from `now_ms` on. */
static uint64_t pause_of(struct slice key, uint64_t now_ms)
{
    uint64_t ms = 0;
    while (ms <= 2 * LAST && holds(key, now_ms + ms)) ms++;
    return ms;
}

static void pauses_grow(void **state)
{
    static const uint64_t pauses[] = {0, 100, 200, 400, 800, 1600, 3200, LAST, LAST};
    assert_false(holds(KEY, NOW));
    for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
        fails(KEY, NOW, "once more");
        assert_int_equal(pause_of(KEY, NOW), pauses[i]);
    }
    for (int i = 0; i < 1000; i++) fails(KEY, NOW, "and more");
    assert_int_equal(pause_of(KEY, NOW), LAST);
}

static void the_last_failure_is_told(void **state)
{
    struct problem why;
    fails(KEY, NOW, "the first");
    fails(KEY, NOW, "the second");
    assert_true(backoff_holds(backoff, KEY, 0, NOW, &why));
    assert_int_equal(why.status, LOADER_ERROR);
    assert_string_equal(why.detail, "the second");
    assert_string_equal(why.path, "v");
    assert_int_equal(why.retry_s, 1); /* 100 ms, in whole seconds */
    for (int i = 0; i < 10; i++) fails(KEY, NOW, "again");
    assert_true(backoff_holds(backoff, KEY, 0, NOW, &why));
    assert_int_equal(why.retry_s, 5);
    assert_true(backoff_holds(backoff, KEY, 0, NOW + 4000, &why));
    assert_int_equal(why.retry_s, 1);
}

static void what_is_forgotten_begins_anew(void **state)
{
    backoff_forget(backoff, KEY); /* nothing was known */
    for (int i = 0; i < 5; i++) fails(KEY, NOW, "x");
    fails(SLICE("other"), NOW, "x");
    fails(SLICE("other"), NOW, "x");
    backoff_forget(backoff, KEY);
    backoff_forget(backoff, KEY);
    assert_false(holds(KEY, NOW));
    assert_true(holds(SLICE("other"), NOW));
    fails(KEY, NOW, "x");
    assert_int_equal(pause_of(KEY, NOW), 0);
}

static struct slice numbered(unsigned i)
{
    static char text[32];
    return slice_from(text, (size_t)snprintf(text, sizeof text, "p:User:0:id=%u", i));
}

/* Twice, so that it is held. */
static void fail_twice(unsigned i)
{
    fails(numbered(i), NOW, "x");
    fails(numbered(i), NOW, "x");
}

static void the_oldest_makes_room(void **state)
{
    for (unsigned i = 0; i < BACKOFF_KEYS; i++) fail_twice(i);
    for (unsigned i = 0; i < BACKOFF_KEYS; i++) assert_true(holds(numbered(i), NOW));
    fails(numbered(0), NOW, "again"); /* by that it is the newest */
    fail_twice(BACKOFF_KEYS);
    assert_true(holds(numbered(0), NOW));
    assert_false(holds(numbered(1), NOW));
    for (unsigned i = 2; i <= BACKOFF_KEYS; i++) assert_true(holds(numbered(i), NOW));
    backoff_forget(backoff, numbered(7)); /* there is room now */
    fail_twice(BACKOFF_KEYS + 1);
    assert_true(holds(numbered(2), NOW));
    for (unsigned i = 0; i < 3 * BACKOFF_KEYS; i++) fail_twice(BACKOFF_KEYS + 2 + i);
    unsigned held = 0;
    for (unsigned i = 0; i < 5 * BACKOFF_KEYS; i++) held += holds(numbered(i), NOW);
    assert_int_equal(held, BACKOFF_KEYS);
}

static void a_key_is_copied_and_compared_whole(void **state)
{
    char key[] = "p:User:0:id=\0a";
    struct slice whole = slice_from(key, sizeof key - 1), shorter = slice_from(key, sizeof key - 2);
    fails(whole, NOW, "x");
    fails(whole, NOW, "x");
    assert_false(holds(shorter, NOW));
    key[sizeof key - 2] = 'b';
    assert_false(holds(whole, NOW));
    key[sizeof key - 2] = 'a';
    assert_true(holds(whole, NOW));
}

static void fail_and_forget(void *arg)
{
    unsigned first = *(unsigned *)arg;
    for (unsigned i = 0; i < 3000; i++) {
        char text[32];
        struct problem why = {.status = LOADER_ERROR};
        struct slice key = slice_from(text, (size_t)snprintf(text, sizeof text, "%u", (first + i) % 100));
        backoff_failed(backoff, key, 0, NOW, &why);
        backoff_holds(backoff, key, 0, NOW, &why);
        if (i % 3 == 0) backoff_forget(backoff, key);
    }
}

static void many_threads_share_it(void **state)
{
    uv_thread_t thread[4];
    unsigned first[4] = {0, 25, 50, 75};
    for (int i = 0; i < 4; i++) assert_int_equal(uv_thread_create(&thread[i], fail_and_forget, &first[i]), 0);
    for (int i = 0; i < 4; i++) uv_thread_join(&thread[i]);
    for (unsigned i = 0; i < 100; i++) {
        char text[32];
        backoff_forget(backoff, slice_from(text, (size_t)snprintf(text, sizeof text, "%u", i)));
    }
    assert_false(holds(SLICE("1"), NOW));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pauses_grow),           TEST(the_last_failure_is_told),           TEST(what_is_forgotten_begins_anew),
        TEST(the_oldest_makes_room), TEST(a_key_is_copied_and_compared_whole), TEST(many_threads_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
