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
    assert_string_equal(c.address[0].host, "cache.example");
    assert_int_equal(c.address[0].port, 7000);
    assert_int_equal(c.database, 3);
    assert_string_equal(c.path, "");
    assert_string_equal(c.server.password, "");

    c = good("redis://localhost");
    assert_int_equal(c.address[0].port, 6379);
    assert_int_equal(c.database, 0);
    good("redis://localhost/");
    good("redis://3f2a91.local");
    good("redis://127.0.0.1:1");

    c = good("redis://bob:p%40ss%2Fword:x@h:1/2");
    assert_string_equal(c.server.user, "bob");
    assert_string_equal(c.server.password, "p@ss/word:x");
    assert_string_equal(c.address[0].host, "h");
    c = good("redis://:only@h");
    assert_string_equal(c.server.user, "");
    assert_string_equal(c.server.password, "only");

    c = good("redis://[::1]:6380/1");
    assert_string_equal(c.address[0].host, "::1");
    assert_int_equal(c.address[0].port, 6380);

    c = good("redis+unix:///run/redis.sock?db=5");
    assert_string_equal(c.path, "/run/redis.sock");
    assert_int_equal(c.addresses, 0);
    assert_int_equal(c.database, 5);
    c = good("redis+unix://:pw@/run/a@b.sock");
    assert_string_equal(c.path, "/run/a@b.sock");
    assert_string_equal(c.server.password, "pw");
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
        "redis://h?x=1",
        "redis://h?",
        "redis://h,i",
        "redis://h?ca=/x",
        "redis://h?verify=off",
        "redis://h?db=1",
        "redis://h/1?sentinel_user=x",
        "redis+unix:///s?ca=/x",
        "redis+unix:///s?db=1&db=2",
        "rediss://",
        "rediss://h?",
        "rediss://h?ca",
        "rediss://h?ca=",
        "rediss://h?ca=%zz",
        "rediss://h?ca=/a%00b",
        "rediss://h?CA=/x",
        "rediss://h?ca=/x&",
        "rediss://h?ca=/x&ca=/y",
        "rediss://h?ca=/x&verify=off",
        "rediss://h?cert=/x",
        "rediss://h?key=/x",
        "rediss://h?verify=no",
        "rediss://h?verify=",
        "rediss://h?server_name=a%20b",
        "rediss://h?server_name=127.1",
        "rediss+unix:///s",
        "redis+sentinel://h",
        "redis+sentinel://h/",
        "redis+sentinel://h//0",
        "redis+sentinel://h/m/x",
        "redis+sentinel://h/m/1/2",
        "redis+sentinel://h/my%20master",
        "redis+sentinel://h/a@b",
        "redis+sentinel:///m",
        "redis+sentinel://,/m",
        "redis+sentinel://h,/m",
        "redis+sentinel://h,,i/m",
        "redis+sentinel://h:x/m",
        "redis+sentinel://u@h/m",
        "redis+sentinel://h/m?sentinel_user=u",
        "redis+sentinel://h/m?sentinel_password=",
        "redis+sentinel://h/m?ca=/x",
        "redis+cluster://",
        "redis+cluster://h/1",
        "redis+cluster://h/x",
        "redis+cluster://h,",
        "redis+cluster://h?sentinel_password=x",
        "redis+clustr://h",
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

static void test_many_servers(void **state)
{
    struct redis_config c = good("redis+sentinel://bob:pw@a:1,[::1]:2,10.0.0.1/my.master-1_x/3");
    assert_int_equal(c.topology, REDIS_SENTINEL);
    assert_int_equal(c.addresses, 3);
    assert_string_equal(c.address[1].host, "::1");
    assert_int_equal(c.address[1].port, 2);
    assert_string_equal(c.address[2].host, "10.0.0.1");
    assert_int_equal(c.address[2].port, 26379);
    assert_string_equal(c.master, "my.master-1_x");
    assert_int_equal(c.database, 3);
    assert_string_equal(c.server.user, "bob");
    assert_string_equal(c.sentinel.user, "");
    assert_false(c.tls.on);

    c = good("redis+sentinel://h/m?sentinel_user=s&sentinel_password=p%26w");
    assert_string_equal(c.sentinel.user, "s");
    assert_string_equal(c.sentinel.password, "p&w");
    assert_string_equal(c.server.password, "");

    c = good("redis+cluster://:pw@a,b:7001/0");
    assert_int_equal(c.topology, REDIS_CLUSTER);
    assert_int_equal(c.addresses, 2);
    assert_int_equal(c.address[0].port, 6379);
    assert_string_equal(c.server.password, "pw");
    good("redis+cluster://a/");
}

static void test_as_many_as_there_is_room_for(void **state)
{
    char url[256] = "redis+cluster://h0";
    for (int i = 1; i < REDIS_ADDRESSES_MAX; i++) snprintf(url + strlen(url), 8, ",h%d", i);
    assert_int_equal(good(url).addresses, REDIS_ADDRESSES_MAX);
    strcat(url, ",h");
    struct redis_config c;
    assert_int_equal(redis_config_parse(slice_of(url), &c, NULL), MALFORMED_REQUEST);
}

static void test_tls(void **state)
{
    struct redis_config c = good("rediss://h");
    assert_true(c.tls.on);
    assert_false(c.tls.unverified);
    assert_int_equal(c.address[0].port, 6379);
    c = good("rediss+cluster://:p@a,b?ca=/etc/my%20ca.pem&cert=/c.pem&key=/k.pem&server_name=redis.internal&verify=on");
    assert_int_equal(c.topology, REDIS_CLUSTER);
    assert_true(c.tls.on);
    assert_string_equal(c.tls.ca, "/etc/my ca.pem");
    assert_string_equal(c.tls.cert, "/c.pem");
    assert_string_equal(c.tls.key, "/k.pem");
    assert_string_equal(c.tls.server_name, "redis.internal");
    c = good("rediss+sentinel://a,b/m/1?verify=off&sentinel_password=x&server_name=::1");
    assert_true(c.tls.on && c.tls.unverified);
    assert_string_equal(c.sentinel.password, "x");
    assert_string_equal(c.tls.server_name, "::1");
}

static const char *fault_of(const char *url)
{
    static struct problem why;
    struct redis_config c;
    assert_int_equal(redis_config_parse(slice_of(url), &c, &why), MALFORMED_REQUEST);
    return why.detail;
}

static void test_an_unknown_option_is_answered_with_the_nearest(void **state)
{
    assert_string_equal(fault_of("rediss://h?cafile=/x"), "unknown option `cafile` (did you mean `ca`?)");
    assert_string_equal(fault_of("rediss://h?verfy=off"), "unknown option `verfy` (did you mean `verify`?)");
    assert_string_equal(fault_of("rediss://h?server_nam=x"),
                        "unknown option `server_nam` (did you mean `server_name`?)");
    assert_string_equal(fault_of("redis://h?cert=x"), "the option `cert` is for rediss:// and its kin");
    assert_string_equal(fault_of("rediss://h?db=1"), "the option `db` is for redis+unix://");
}

static void test_no_fault_shows_a_secret(void **state)
{
    static const char *const bad[] = {
        "redis://u:12?SECRET@h",
        "redis://u:12/SECRET@h",
        "redis+sentinel://u:12?SECRET@h/m",
        "redis+sentinel://u:1/SECRET@h",
        "rediss://u:SECRET@h:x?ca=/y",
        "redis://SECRET@h",
        "redis+unix://u:SECRET@x/s",
        "redis+sentinel://u:SECRET@h/m?sentinel_passwort=SECRET",
        "redis+cluster://u:SECRET@h/1",
        "redis+sentinel://h/m?sentinel_password=SECRET%00",
        "redis+sentinel://h/m?sentinel_password=a&SECRET=b",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (strstr(fault_of(bad[i]), "SECRET")) fail_msg("%s: %s", bad[i], fault_of(bad[i]));
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
    c = good("redis+sentinel://bob:secret@a,[::1]:2/m/3?sentinel_user=u&sentinel_password=secret");
    redis_config_print(&c, out, sizeof out);
    assert_string_equal(out, "redis+sentinel://a:26379,[::1]:2/m/3");
    c = good("rediss+cluster://:secret@a,b:1?ca=/c&key=/secret&cert=/x");
    redis_config_print(&c, out, sizeof out);
    assert_string_equal(out, "rediss+cluster://a:6379,b:1");
    c = good("rediss://h?verify=off");
    redis_config_print(&c, out, sizeof out);
    assert_string_equal(out, "rediss://h:6379/0?verify=off");
    redis_config_print(&c, out, 12);
    assert_string_equal(out, "rediss://h:");
    redis_config_print(&c, out, 4);
    assert_string_equal(out, "red");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_url_says),
        cmocka_unit_test(test_what_is_no_url_is_refused),
        cmocka_unit_test(test_many_servers),
        cmocka_unit_test(test_as_many_as_there_is_room_for),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_an_unknown_option_is_answered_with_the_nearest),
        cmocka_unit_test(test_no_fault_shows_a_secret),
        cmocka_unit_test(test_print_shows_no_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
