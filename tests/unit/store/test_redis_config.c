/* tests/unit/store/test_redis_config.c -- the store's URL. */
#include "store/redis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct redis_config good(const char *url)
{
    struct redis_config c = {.timeout_ms = 7, .max_value = 8, .max_inflight = 9};
    struct problem why = {0};
    if (redis_config_parse(slice_of(url), &c, &why) != OK) fail_msg("%s: %s", url, why.detail);
    assert_int_equal(c.timeout_ms + c.max_value + c.max_inflight, 24); /* left alone */
    return c;
}

static void test_what_a_url_says(void **state)
{
    struct redis_config c = good("redis://cache.example:7000/3");
    assert_string_equal(c.host, "cache.example");
    assert_int_equal(c.port, 7000);
    assert_int_equal(c.database, 3);
    assert_string_equal(c.path, "");
    assert_string_equal(c.password, "");

    c = good("redis://localhost");
    assert_int_equal(c.port, 6379);
    assert_int_equal(c.database, 0);
    good("redis://localhost/");
    good("redis://3f2a91.local");
    good("redis://127.0.0.1:1");

    c = good("redis://bob:p%40ss%2Fword:x@h:1/2");
    assert_string_equal(c.user, "bob");
    assert_string_equal(c.password, "p@ss/word:x");
    assert_string_equal(c.host, "h");
    c = good("redis://:only@h");
    assert_string_equal(c.user, "");
    assert_string_equal(c.password, "only");

    c = good("redis://[::1]:6380/1");
    assert_string_equal(c.host, "::1");
    assert_int_equal(c.port, 6380);

    c = good("redis+unix:///run/redis.sock?db=5");
    assert_string_equal(c.path, "/run/redis.sock");
    assert_string_equal(c.host, "");
    assert_int_equal(c.database, 5);
    c = good("redis+unix://:pw@/run/a@b.sock");
    assert_string_equal(c.path, "/run/a@b.sock");
    assert_string_equal(c.password, "pw");
}

static void test_what_is_no_url_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "localhost:6379",
        "http://h",
        "redis:",
        "redis://",
        "redis:///1",
        "redis://h:",
        "redis://h:0",
        "redis://h:65536",
        "redis://h:6379x",
        "redis://h/x",
        "redis://h/-1",
        "redis://h/1/2",
        "redis://h/99999999999",
        "redis://user@h",
        "redis://user:@h",
        "redis://a b",
        "redis://h%00",
        "redis://h%0a",
        "redis://h%2",
        "redis://h%zz",
        "redis://a..b",
        "redis://2130706433",
        "redis://0x7f000001",
        "redis://127.1",
        "redis://0177.0.0.1.1",
        "redis://1.2.3.256",
        "redis://[::1",
        "redis://[::1]6379",
        "redis://[]",
        "redis://[localhost]",
        "redis://::1",
        "redis+unix://relative",
        "redis+unix://",
        "redis+unix:///s?db=x",
        "redis+unix:///s?x=1",
        "redis://h#1",
        "redis://h?x",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct redis_config c;
        struct problem why = {0};
        if (redis_config_parse(slice_of(bad[i]), &c, &why) != MALFORMED_REQUEST) fail_msg("taken: %s", bad[i]);
        assert_true(why.detail[0] != '\0');
    }
    char url[1024] = "redis://";
    memset(url + 8, 'a', 256);
    struct redis_config c;
    assert_int_equal(redis_config_parse(slice_of(url), &c, NULL), MALFORMED_REQUEST);
    memset(url + 8, 'a', 253);
    url[8 + 253] = '\0';
    assert_int_equal(redis_config_parse(slice_of(url), &c, NULL), OK);
    strcpy(url, "redis+unix:///");
    memset(url + 14, 'a', 200);
    assert_int_equal(redis_config_parse(slice_of(url), &c, NULL), MALFORMED_REQUEST);
}

static void test_what_comes_later_is_named(void **state)
{
    static const char *const later[] = {"rediss://h", "redis+cluster://h:1,h:2", "redis+sentinel://h:1/m"};
    for (size_t i = 0; i < 3; i++) {
        struct redis_config c;
        struct problem why = {0};
        assert_int_equal(redis_config_parse(slice_of(later[i]), &c, &why), MALFORMED_REQUEST);
        assert_non_null(strstr(why.detail, "not served yet"));
    }
}

static void test_print_shows_no_secret(void **state)
{
    char out[300];
    struct redis_config c = good("redis://bob:secret@h:1/2");
    redis_config_print(&c, out, sizeof out);
    assert_string_equal(out, "redis://h:1/2");
    c = good("redis://[::1]");
    redis_config_print(&c, out, sizeof out);
    assert_string_equal(out, "redis://[::1]:6379/0");
    c = good("redis+unix://:secret@/s");
    redis_config_print(&c, out, sizeof out);
    assert_string_equal(out, "redis+unix:///s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_url_says),
        cmocka_unit_test(test_what_is_no_url_is_refused),
        cmocka_unit_test(test_what_comes_later_is_named),
        cmocka_unit_test(test_print_shows_no_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
