/* tests/unit/store/test_cluster_map.c -- slots, and what servers say of who has them. */
#include "store/cluster_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "nodes.h"

static const struct redis_address asked = {.host = "10.0.0.9", .port = 7009};

/* ---- slots */

static void test_slots(void **state)
{
    static const struct {
        const char *key;
        unsigned slot;
    } known[] = {
        {"123456789", 0x31c3 % CLUSTER_SLOTS}, /* the check value of CRC-16/XMODEM */
        {"", 0},
        {"foo", 12182}, /* what redis-server says of these to CLUSTER KEYSLOT */
        {"bar", 5061},
        {"hello", 866},
        {"somekey", 11058},
        {"foo{hash_tag}", 2515},
        {"bar{hash_tag}", 2515},
        {"perigee:User:330c04514d1a29a3:region=eu&username=bob%20b.", 3569},
        {"{perigee:User:330c04514d1a29a3:region=eu&username=bob%20b.}:lease", 3569},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (cluster_slot(slice_of(known[i].key)) != known[i].slot)
            fail_msg("%s: %u", known[i].key, cluster_slot(slice_of(known[i].key)));
}

static void assert_same_slot(const char *a, const char *b)
{
    assert_int_equal(cluster_slot(slice_of(a)), cluster_slot(slice_of(b)));
}

static void test_hash_tags(void **state)
{
    assert_same_slot("{user1000}.following", "{user1000}.followers");
    assert_same_slot("{user1000}.following", "user1000");
    assert_same_slot("foo{{bar}}zap", "{bar");
    assert_same_slot("foo{bar}{zap}", "bar");
    unsigned empty_tag = cluster_slot(SLICE("foo{}{bar}")), open = cluster_slot(SLICE("foo{bar"));
    assert_int_equal(empty_tag, 8363); /* all of the key */
    assert_int_not_equal(open, cluster_slot(SLICE("bar")));
    assert_int_not_equal(cluster_slot(SLICE("}foo{")), cluster_slot(SLICE("foo")));
}

/* ---- CLUSTER SLOTS */

static const char *read_map(struct cluster_map *m, const char *reply)
{
    struct buffer nodes;
    buffer_init(&nodes, 1 << 20);
    write_nodes(&nodes, reply);
    const char *fault = cluster_map_read(m, &nodes, &asked);
    buffer_deinit(&nodes);
    return fault;
}

static void assert_master(const struct cluster_map *m, unsigned slot, const char *host, int port)
{
    assert_in_range(m->owner[slot], 0, m->masters - 1);
    assert_string_equal(m->master[m->owner[slot]].host, host);
    assert_int_equal(m->master[m->owner[slot]].port, port);
}

static void test_a_whole_cluster(void **state)
{
    struct cluster_map *m = malloc(sizeof *m);
    assert_null(read_map(m, "[3 [4 #0 #5460 [4 '10.0.0.1' #7001 'id' [0 [4 '10.0.0.4' #7004 'id' [0 "
                            "[3 #5461 #10922 [3 'two.example' #7002 'id' "
                            "[5 #10923 #16383 [2 '::1' #7003 [2 'x' #1 [2 'y' #2"));
    assert_int_equal(m->covered, CLUSTER_SLOTS);
    assert_int_equal(m->masters, 3);
    assert_master(m, 0, "10.0.0.1", 7001);
    assert_master(m, 5460, "10.0.0.1", 7001);
    assert_master(m, 5461, "two.example", 7002);
    assert_master(m, 16383, "::1", 7003);
    free(m);
}

static void test_a_cluster_in_pieces(void **state)
{
    struct cluster_map *m = malloc(sizeof *m);
    assert_null(read_map(m, "[4 [3 #0 #9 [2 'a' #1 [3 #20 #20 [2 'b' #2 [3 #21 #30 [2 'a' #1 [2 #31 #40"));
    assert_int_equal(m->covered, 10 + 1 + 10); /* the last has no master */
    assert_int_equal(m->masters, 2);
    assert_int_equal(m->owner[10], CLUSTER_NOBODY);
    assert_int_equal(m->owner[31], CLUSTER_NOBODY);
    assert_int_equal(m->owner[0], m->owner[30]);
    assert_null(read_map(m, "[0"));
    assert_int_equal(m->covered + m->masters, 0);
    free(m);
}

static void test_hosts_that_are_not_told(void **state)
{
    struct cluster_map *m = malloc(sizeof *m);
    assert_null(read_map(m, "[5 [3 #0 #0 [4 _ #7001 'id' [2 'ip' '10.0.0.1' "
                            "[3 #1 #1 [2 '' #7002 "
                            "[3 #2 #2 [4 '?' #7003 'id' [2 'ip' '10.0.0.3' "
                            "[3 #3 #3 [5 '?' #7004 'id' [3 'hostname' _ 'odd' [1 'more' "
                            "[3 #4 #4 [2 '?' #7005"));
    assert_master(m, 0, "10.0.0.9", 7001); /* whom we asked */
    assert_master(m, 1, "10.0.0.9", 7002);
    assert_master(m, 2, "10.0.0.3", 7003);
    assert_int_equal(m->owner[3], CLUSTER_NOBODY);
    assert_int_equal(m->owner[4], CLUSTER_NOBODY);
    assert_int_equal(m->covered, 3);
    free(m);
}

static void test_what_cannot_be_is_refused(void **state)
{
    static const char *const bad[] = {
        "#1",
        "_",
        "'x'",
        "[1 #1",
        "[1 [1 #1",
        "[1 [2 #1 'x'",
        "[1 [3 #-1 #1 [2 'a' #1",
        "[1 [3 #1 #16384 [2 'a' #1",
        "[1 [3 #2 #1 [2 'a' #1",
        "[1 [3 #1 #2 'a'",
        "[1 [3 #1 #2 [1 'a'",
        "[1 [3 #1 #2 [2 #1 'a'",
        "[1 [3 #1 #2 [2 'a' #65536",
        "[1 [3 #1 #2 [2 'a' #0",
        "[1 [3 #1 #2 [2 'a b' #1",
        "[1 [3 #1 #2 [2 '1.2.3' #1",
        "[1 [3 #1 #2 [4 '?' #1 'id' 'x'",
        "[1 [3 #1 #2 [4 '?' #1 'id' [2 'ip' [0",
        "[1 [3 #1 #2 [4 '?' #1 'id' [2 'ip' 'a b'",
        "[2 [3 #1 #9 [2 'a' #1 [3 #9 #12 [2 'b' #1", /* two masters */
        "[2 [3 #1 #9 [2 'a' #1 [3 #3 #3 [2 'a' #1",
    };
    struct cluster_map *m = malloc(sizeof *m);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!read_map(m, bad[i])) fail_msg("%s", bad[i]);
    free(m);
}

static void test_masters_are_bounded(void **state)
{
    struct cluster_map *m = malloc(sizeof *m);
    struct buffer text;
    buffer_init(&text, 1 << 20);
    buffer_printf(&text, "[%d", CLUSTER_MASTERS_MAX);
    for (int i = 0; i < CLUSTER_MASTERS_MAX; i++) buffer_printf(&text, " [3 #%d #%d [2 'a' #%d", i, i, i + 1);
    buffer_put(&text, "", 1);
    assert_null(read_map(m, text.p));
    assert_int_equal(m->masters, CLUSTER_MASTERS_MAX);
    text.n--;
    buffer_printf(&text, " [3 #%d #%d [2 'b' #1", CLUSTER_MASTERS_MAX, CLUSTER_MASTERS_MAX);
    buffer_put(&text, "", 1);
    text.p[3] = '0', text.p[4] = '1'; /* [1001 */
    assert_memory_equal(text.p, "[1001", 5);
    assert_non_null(read_map(m, text.p));
    buffer_deinit(&text);
    free(m);
}

/* ---- MOVED and ASK */

static void test_redirections(void **state)
{
    struct redis_address to;
    unsigned slot;
    assert_true(cluster_redirection_read(SLICE("3999 127.0.0.1:6381"), &asked, &slot, &to));
    assert_int_equal(slot, 3999);
    assert_string_equal(to.host, "127.0.0.1");
    assert_int_equal(to.port, 6381);
    assert_true(cluster_redirection_read(SLICE("0 ::1:6381"), &asked, &slot, &to));
    assert_string_equal(to.host, "::1");
    assert_true(cluster_redirection_read(SLICE("16383 node-1.example:1"), &asked, &slot, &to));
    assert_string_equal(to.host, "node-1.example");
    assert_true(cluster_redirection_read(SLICE("3999 :6381"), &asked, &slot, &to));
    assert_string_equal(to.host, asked.host);
    assert_int_equal(to.port, 6381);

    static const char *const bad[] = {
        "",          "3999",   "3999 ", "3999 a", "3999 a:",   "3999 a:0",   "3999 a:65536", "3999 ?:6381",
        "16384 a:1", "-1 a:1", "x a:1", " a:1",   "3999  a:1", "3999 a b:1", "3999 a:1 "};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (cluster_redirection_read(slice_of(bad[i]), &asked, &slot, &to)) fail_msg("%s", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_hash_tags),
        cmocka_unit_test(test_a_whole_cluster),
        cmocka_unit_test(test_a_cluster_in_pieces),
        cmocka_unit_test(test_hosts_that_are_not_told),
        cmocka_unit_test(test_what_cannot_be_is_refused),
        cmocka_unit_test(test_masters_are_bounded),
        cmocka_unit_test(test_redirections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
