/* Places at origins, and the lines before them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "script/http_origin.h"

#include <stdio.h>

static struct http_origin *enter(struct http_origins *o, const char *name)
{
    const char *why;
    struct http_origin *origin = http_origins_enter(o, slice_of(name), &why);
    if (!origin) fail_msg("%s: %s", name, why);
    return origin;
}

static void test_first_come_first_served(void **state)
{
    enum { N = 70 };
    struct http_origins o;
    struct list line[N];
    http_origins_init(&o);
    struct http_origin *a = enter(&o, "http://a:80");
    for (int i = 0; i < N; i++) {
        if (i) assert_ptr_equal(enter(&o, "http://a:80"), a);
        list_init(&line[i]);
        http_origin_wait(&o, a, &line[i]);
    }
    for (int i = 0; i < HTTP_ORIGIN_PLACES_MAX; i++) assert_ptr_equal(http_origins_next(&o), &line[i]);
    assert_null(http_origins_next(&o));

    list_remove(&line[64]); /* leaves the line */
    http_origin_give_back(&o, a);
    assert_ptr_equal(http_origins_next(&o), &line[65]);
    assert_null(http_origins_next(&o));
    for (int i = 66; i < N; i++) list_remove(&line[i]);
    http_origin_give_back(&o, a);
    assert_null(http_origins_next(&o));
    for (int i = 0; i < HTTP_ORIGIN_PLACES_MAX - 1; i++) http_origin_give_back(&o, a);
    for (int i = 0; i < N; i++) http_origins_leave(&o, a);
    assert_int_equal(o.places, 0);
    http_origins_deinit(&o);
}

/* All places are taken; two lines wait, one of them very long: they take turns. */
static void test_origins_take_turns(void **state)
{
    enum { N = 100 };
    struct http_origins o;
    struct http_origin *full[4], *busy, *other;
    struct list taken[4][HTTP_ORIGIN_PLACES_MAX], busy_line[N], other_line[2];
    char name[32];
    http_origins_init(&o);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "http://full:%d", i);
        for (int j = 0; j < HTTP_ORIGIN_PLACES_MAX; j++) {
            full[i] = enter(&o, name);
            list_init(&taken[i][j]);
            http_origin_wait(&o, full[i], &taken[i][j]);
            assert_ptr_equal(http_origins_next(&o), &taken[i][j]);
        }
    }
    for (int i = 0; i < N; i++) {
        busy = enter(&o, "http://busy:80");
        list_init(&busy_line[i]);
        http_origin_wait(&o, busy, &busy_line[i]);
    }
    for (int i = 0; i < 2; i++) {
        other = enter(&o, "http://other:80");
        list_init(&other_line[i]);
        http_origin_wait(&o, other, &other_line[i]);
    }
    assert_null(http_origins_next(&o));
    struct list *wanted[] = {&busy_line[0],  &other_line[0], &busy_line[1],
                             &other_line[1], &busy_line[2],  &busy_line[3]};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        http_origin_give_back(&o, full[0]);
        assert_ptr_equal(http_origins_next(&o), wanted[i]);
        assert_null(http_origins_next(&o));
    }
    for (int i = 4; i < N; i++) list_remove(&busy_line[i]);
    for (int i = 0; i < 4; i++) http_origin_give_back(&o, busy);
    for (int i = 0; i < 2; i++) http_origin_give_back(&o, other);
    for (int i = 0; i < 4; i++)
        for (int j = i ? 0 : 6; j < HTTP_ORIGIN_PLACES_MAX; j++) http_origin_give_back(&o, full[i]);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < HTTP_ORIGIN_PLACES_MAX; j++) http_origins_leave(&o, full[i]);
    for (int i = 0; i < N; i++) http_origins_leave(&o, busy);
    for (int i = 0; i < 2; i++) http_origins_leave(&o, other);
    assert_int_equal(o.places, 0);
    assert_int_equal(o.requests, 0);
    http_origins_deinit(&o);
}

/* One whose places are taken is passed over, however long its line. */
static void test_a_full_origin_stops_no_other(void **state)
{
    struct http_origins o;
    struct list line[100], one;
    struct http_origin *hung = NULL;
    http_origins_init(&o);
    for (int i = 0; i < 100; i++) {
        hung = enter(&o, "http://hung:80");
        list_init(&line[i]);
        http_origin_wait(&o, hung, &line[i]);
    }
    for (int i = 0; i < HTTP_ORIGIN_PLACES_MAX; i++) assert_non_null(http_origins_next(&o));
    struct http_origin *well = enter(&o, "http://well:80");
    list_init(&one);
    http_origin_wait(&o, well, &one);
    assert_ptr_equal(http_origins_next(&o), &one);
    assert_null(http_origins_next(&o));

    http_origin_give_back(&o, well);
    http_origins_leave(&o, well);
    for (int i = HTTP_ORIGIN_PLACES_MAX; i < 100; i++) list_remove(&line[i]);
    for (int i = 0; i < HTTP_ORIGIN_PLACES_MAX; i++) http_origin_give_back(&o, hung);
    for (int i = 0; i < 100; i++) http_origins_leave(&o, hung);
    http_origins_deinit(&o);
}

static void test_bounds(void **state)
{
    struct http_origins o;
    const char *why;
    char name[32];
    http_origins_init(&o);
    struct http_origin *a = NULL, *b = NULL;
    for (int i = 0; i < HTTP_ORIGIN_REQUESTS_MAX; i++) a = enter(&o, "http://a:80");
    assert_null(http_origins_enter(&o, SLICE("http://a:80"), &why));
    assert_string_equal(why, "more than 512 requests to one server at once");
    for (int i = HTTP_ORIGIN_REQUESTS_MAX; i < HTTP_REQUESTS_MAX; i++) b = enter(&o, "http://b:80");
    assert_null(http_origins_enter(&o, SLICE("http://c:80"), &why));
    assert_string_equal(why, "more than 1024 requests at once");
    for (int i = 0; i < HTTP_ORIGIN_REQUESTS_MAX; i++) http_origins_leave(&o, a);
    for (int i = HTTP_ORIGIN_REQUESTS_MAX; i < HTTP_REQUESTS_MAX; i++) http_origins_leave(&o, b);

    struct http_origin *origins[HTTP_ORIGINS_MAX]; /* a and b make room */
    for (int i = 0; i < HTTP_ORIGINS_MAX; i++) {
        snprintf(name, sizeof name, "http://n:%d", i);
        origins[i] = enter(&o, name);
    }
    assert_null(http_origins_enter(&o, SLICE("http://c:80"), &why));
    assert_string_equal(why, "requests to more than 256 servers at once");
    assert_ptr_equal(enter(&o, "http://n:7"), origins[7]);
    http_origins_leave(&o, origins[7]);
    for (int i = 0; i < HTTP_ORIGINS_MAX; i++) http_origins_leave(&o, origins[i]);
    http_origins_deinit(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_come_first_served),
        cmocka_unit_test(test_origins_take_turns),
        cmocka_unit_test(test_a_full_origin_stops_no_other),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
