/* tests/unit/store/test_redis_search.c -- what sentinels say, and whom it leads to: each reply read by itself, and then sentinels on ports of their own,
 * some of which are away, silent, or know nothing. */
#include "store/redis_search.h"
#include "store/redis_sentinel.h"
#include "support.h"

#include "base/log.h"

#include "nodes.h"

#include <signal.h>

/* ---- replies */

static void test_the_master(void **state)
{
    static const struct {
        const char *reply, *address; /* NULL: none */
    } cases[] = {
        {"[2 '10.0.0.1' '6379'", "10.0.0.1:6379"},
        {"[2 'redis.internal' '1'", "redis.internal:1"},
        {"[2 '::1' '65535'", "[::1]:65535"},
        {"_", NULL},
        {"'10.0.0.1:6379'", NULL},
        {"#6379", NULL},
        {"[0", NULL},
        {"[1 '10.0.0.1'", NULL},
        {"[3 '10.0.0.1' '6379' '6380'", NULL},
        {"[2 '10.0.0.1' #6379", NULL},
        {"[2 _ _", NULL},
        {"[2 [1 '10.0.0.1' '6379'", NULL},
        {"[2 '' '6379'", NULL},
        {"[2 '10.0.0.1' ''", NULL},
        {"[2 '10.0.0.1' '0'", NULL},
        {"[2 '10.0.0.1' '65536'", NULL},
        {"[2 '10.0.0.1' '-1'", NULL},
        {"[2 '10.0.0.1' '6379 '", NULL},
        {"[2 'a host' '6379'", NULL},
        {"[2 'a\r\nb' '6379'", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer nodes;
        struct redis_address a;
        char text[REDIS_ADDRESS_TEXT] = "";
        buffer_init(&nodes, 1 << 16);
        write_nodes(&nodes, cases[i].reply);
        bool good = sentinel_read_master(&nodes, &a);
        if (good) redis_address_print(&a, text, sizeof text);
        buffer_deinit(&nodes);
        if (good != !!cases[i].address || (good && strcmp(text, cases[i].address) != 0))
            fail_msg("%s: %s", cases[i].reply, text);
    }
}

static void assert_others(const char *reply, const char *expected)
{
    struct buffer nodes;
    struct redis_address named[REDIS_ADDRESSES_MAX];
    char all[REDIS_ADDRESSES_MAX * 32] = "", one[REDIS_ADDRESS_TEXT];
    buffer_init(&nodes, 1 << 16);
    write_nodes(&nodes, reply);
    unsigned n = sentinel_read_others(&nodes, named);
    buffer_deinit(&nodes);
    for (unsigned i = 0; i < n; i++) {
        assert_false(named[i].learned);
        redis_address_print(&named[i], one, sizeof one);
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? " " : "", one);
    }
    if (strcmp(all, expected) != 0) fail_msg("%s: %s", reply, all);
}

static void test_the_others(void **state)
{
    assert_others("_", "");
    assert_others("[0", "");
    assert_others("'no list'", "");
    assert_others("[2 [6 'name' 'a' 'ip' '10.0.0.1' 'port' '1' [4 'port' '2' 'ip' 'b.internal'",
                  "10.0.0.1:1 b.internal:2");
    assert_others("[3 [2 'ip' '10.0.0.1' [4 'ip' '' 'port' '1' [4 'ip' '10.0.0.2' 'port' '2'",
                  "10.0.0.2:2"); /* some have none */
    assert_others("[2 [4 'ip' '10.0.0.1' 'port' '1' 'not a list'", "10.0.0.1:1");
    assert_others("[2 [5 'ip' '10.0.0.1' 'port' '1' 'odd' [4 'ip' '10.0.0.2' 'port' '2'", "");
    assert_others("[1 [4 'ip' [1 'x' 'port' '1'", "");
    assert_others("[1 [6 'ip' '10.0.0.1' 'ip' '10.0.0.2' 'port' '2'", "10.0.0.2:2");
    char many[8192] = "[40 ", *end = many + strlen(many);
    for (int i = 1; i <= 40; i++) end += sprintf(end, "[4 'ip' '10.0.0.1' 'port' '%d' ", i);
    assert_others(many,
                  "10.0.0.1:1 10.0.0.1:2 10.0.0.1:3 10.0.0.1:4 10.0.0.1:5 10.0.0.1:6 10.0.0.1:7 10.0.0.1:8 10.0.0.1:9 "
                  "10.0.0.1:10 10.0.0.1:11 10.0.0.1:12 10.0.0.1:13 10.0.0.1:14 10.0.0.1:15 10.0.0.1:16");
}

/* ---- the list */

static struct redis_address at(int port, bool learned)
{
    return (struct redis_address){.host = "10.0.0.1", .port = port, .learned = learned};
}

static void assert_ports(const struct redis_config *c, const char *expected)
{
    char all[128] = "";
    for (unsigned i = 0; i < c->addresses; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%d%s", i ? " " : "", c->address[i].port,
                 c->address[i].learned ? "+" : "");
    assert_string_equal(all, expected);
}

static void test_the_list_learns_and_forgets(void **state)
{
    struct redis_config c = {.addresses = 2, .address = {at(1, false), at(2, false)}};
    sentinel_learn(&c, (struct redis_address[]){at(2, false), at(3, false), at(4, false), at(3, false)}, 4);
    assert_ports(&c, "1 2 3+ 4+");
    sentinel_learn(&c, (struct redis_address[]){at(4, false)}, 1); /* the third is no sentinel any more */
    assert_ports(&c, "1 2 4+");
    sentinel_learn(&c, NULL, 0); /* those of the URL stay, whoever names nobody */
    assert_ports(&c, "1 2");
    c = (struct redis_config){.addresses = 2, .address = {at(9, true), at(1, false)}};
    sentinel_learn(&c, NULL, 0); /* and so does who has answered */
    assert_ports(&c, "9+ 1");
    struct redis_address many[REDIS_ADDRESSES_MAX];
    for (int i = 0; i < REDIS_ADDRESSES_MAX; i++) many[i] = at(100 + i, false);
    sentinel_learn(&c, many, REDIS_ADDRESSES_MAX);
    assert_int_equal(c.addresses, REDIS_ADDRESSES_MAX);
    assert_int_equal(c.address[REDIS_ADDRESSES_MAX - 1].port, 100 + REDIS_ADDRESSES_MAX - 3);
}

/* ---- sentinels on ports */

enum { SENTINELS = 3 };

/* What one says: whom it names as master (0: nobody; -1: nothing at all) and as another sentinel. */
struct says {
    int master, other;
    const char *password; /* that it wants */
};

struct town {
    uv_loop_t loop;
    struct peer peer[SENTINELS];
    struct says says[SENTINELS];
    struct redis_config config;
    struct redis_search *search;
    unsigned found, failed;
    int master;
    bool close_when_found;
    char why[128];
};

static void say_address(struct visit *v, int port, const char *before, const char *between)
{
    char text[160], number[12];
    snprintf(number, sizeof number, "%d", port);
    snprintf(text, sizeof text, "%s$9\r\n127.0.0.1\r\n%s$%zu\r\n%s\r\n", before, between, strlen(number), number);
    say(v, text);
}

static void sentinel(struct visit *v, int argc, struct slice *argv)
{
    const struct says *says = v->peer->arg;
    if (says->master < 0) return;
    if (slice_eq(argv[0], SLICE("AUTH"))) {
        bool good = says->password && slice_eq(argv[argc - 1], slice_of(says->password));
        say(v, good ? "+OK\r\n" : "-WRONGPASS no\r\n");
    } else if (slice_eq(argv[0], SLICE("PING"))) {
        say(v, says->password && !strstr(v->peer->seen, "AUTH") ? "-NOAUTH Authentication required.\r\n" : "+PONG\r\n");
    } else if (slice_eq(argv[1], SLICE("get-master-addr-by-name"))) {
        if (says->master) say_address(v, says->master, "*2\r\n", "");
        else say(v, "*-1\r\n");
    } else if (says->other) {
        say_address(v, says->other, "*1\r\n*4\r\n$2\r\nip\r\n", "$4\r\nport\r\n");
    } else {
        say(v, "*0\r\n");
    }
}

static void on_found(void *arg, const struct redis_address *master, const char *why)
{
    struct town *t = arg;
    if (master) {
        t->found++;
        t->master = master->port;
        if (!t->close_when_found) return;
        redis_search_close(t->search);
    } else {
        t->failed++;
        snprintf(t->why, sizeof t->why, "%s", why);
    }
    t->search = NULL;
}

/* The first `known` of them stand in the URL. */
static struct town *town_new(unsigned known)
{
    struct town *t = calloc(1, sizeof *t);
    uv_loop_init(&t->loop);
    t->config = (struct redis_config){.topology = REDIS_SENTINEL, .timeout_ms = 400, .addresses = known};
    snprintf(t->config.master, sizeof t->config.master, "mymaster");
    for (int i = 0; i < SENTINELS; i++) {
        peer_listen_on_port(&t->peer[i], &t->loop);
        t->peer[i].script = sentinel;
        t->peer[i].arg = &t->says[i];
        t->config.address[i] = (struct redis_address){.host = "127.0.0.1", .port = t->peer[i].port};
    }
    return t;
}

static void search(struct town *t)
{
    t->search = redis_search_open(&t->loop, &t->config, on_found, t, t->why);
    assert_true(t->search && t->found + t->failed == 0); /* never before it has returned */
}

static bool is_over(void *arg)
{
    const struct town *t = arg;
    return t->found + t->failed > 0;
}

static bool is_found_again(void *arg) { return ((struct town *)arg)->found == 2; }

static void town_free(struct town *t)
{
    if (t->search) redis_search_close(t->search);
    for (int i = 0; i < SENTINELS; i++)
        if (!uv_is_closing((uv_handle_t *)&t->peer[i].tcp)) peer_stop(&t->peer[i]);
    uv_run(&t->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&t->loop), 0); /* no handle is open */
    free(t);
}

static void test_the_first_that_knows_is_believed(void **state)
{
    struct town *t = town_new(3);
    t->says[0] = (struct says){.master = 0}; /* knows no such master */
    t->says[1] = (struct says){.master = 7001};
    t->says[2] = (struct says){.master = 7002};
    int first = t->config.address[0].port, second = t->config.address[1].port;
    search(t);
    assert_true(run_until(&t->loop, is_over, t, 5000));
    assert_int_equal(t->master, 7001);
    assert_int_equal(t->config.address[0].port, second); /* it is asked first from now on, */
    assert_int_equal(t->config.address[2].port, first);  /* and who did not know last */
    assert_int_equal(t->peer[2].connections, 0);
    town_free(t);
}

static void test_who_is_away_or_silent_is_passed_by(void **state)
{
    struct town *t = town_new(3);
    peer_stop(&t->peer[0]); /* refuses connections */
    t->says[1].master = -1;
    t->says[2].master = 7002;
    uint64_t began = clock_mono_us();
    run_for(&t->loop, 5);
    search(t);
    assert_true(run_until(&t->loop, is_over, t, 5000));
    assert_int_equal(t->master, 7002);
    assert_true(clock_mono_us() - began >= 90000); /* a quarter of the deadline was the second one's */
    town_free(t);
}

static void test_where_nobody_knows_it_ends(void **state)
{
    struct town *t = town_new(2);
    peer_stop(&t->peer[1]);
    search(t);
    assert_true(run_until(&t->loop, is_over, t, 5000));
    assert_int_equal(t->failed, 1);
    assert_int_equal(t->found, 0);
    assert_non_null(strstr(t->why, "sentinel 127.0.0.1:")); /* the last one that was asked */
    assert_null(t->search);
    town_free(t);

    t = town_new(1);
    search(t);
    assert_true(run_until(&t->loop, is_over, t, 5000));
    assert_non_null(strstr(t->why, "knows no such master"));
    town_free(t);
}

static void test_it_asks_on_and_tells_only_news(void **state)
{
    struct town *t = town_new(1);
    t->says[0].master = 7001;
    search(t);
    assert_true(run_until(&t->loop, is_over, t, 5000));
    unsigned asked = t->peer[0].commands;
    run_for(&t->loop, 700); /* it is asked again twice a second */
    assert_true(t->peer[0].commands > asked);
    assert_int_equal(t->peer[0].connections, 1);
    assert_int_equal(t->found, 1);
    t->says[0].master = 7009;
    assert_true(run_until(&t->loop, is_found_again, t, 5000));
    assert_int_equal(t->master, 7009);
    t->says[0].master = 0; /* that nobody knows any more is no news */
    run_for(&t->loop, 700);
    assert_true(t->search && t->found == 2 && t->failed == 0);
    town_free(t);
}

static void test_others_that_were_named_are_asked_when_those_of_the_url_are_gone(void **state)
{
    struct town *t = town_new(1);
    t->says[0] = (struct says){.master = 7001, .other = t->peer[1].port};
    t->says[1] = (struct says){.master = 7002};
    search(t);
    assert_true(run_until(&t->loop, is_over, t, 5000));
    assert_int_equal(t->config.addresses, 2);
    assert_true(t->config.address[1].learned);
    peer_stop(&t->peer[0]);
    assert_true(run_until(&t->loop, is_found_again, t, 5000));
    assert_int_equal(t->master, 7002);
    assert_int_equal(t->config.address[0].port, t->peer[1].port);
    assert_int_equal(t->config.addresses, 2); /* the one of the URL is not forgotten */
    town_free(t);
}

static void test_one_that_wants_a_password_gets_that_of_the_servers_when_it_asks(void **state)
{
    struct town *t = town_new(1);
    t->says[0] = (struct says){.master = 7001, .password = "secret"};
    snprintf(t->config.server.password, sizeof t->config.server.password, "secret");
    search(t);
    assert_true(run_until(&t->loop, is_over, t, 5000));
    assert_int_equal(t->master, 7001);
    assert_int_equal(t->peer[0].connections, 2); /* the first time without one */
    town_free(t);

    t = town_new(1);
    t->says[0] = (struct says){.master = 7001, .password = "secret"};
    snprintf(t->config.server.password, sizeof t->config.server.password, "wrong");
    search(t);
    assert_true(run_until(&t->loop, is_over, t, 5000));
    assert_int_equal(t->failed, 1);
    assert_int_equal(t->peer[0].connections, 2); /* not once more */
    assert_null(strstr(t->why, "wrong"));
    town_free(t);
}

static void test_it_may_be_closed_at_any_time(void **state)
{
    struct town *t = town_new(1);
    t->says[0].master = 7001;
    t->close_when_found = true;
    search(t);
    assert_true(run_until(&t->loop, is_over, t, 5000));
    town_free(t);

    t = town_new(1);
    t->says[0].master = -1;
    search(t);
    run_for(&t->loop, 20); /* connected, without an answer */
    town_free(t);

    t = town_new(1);
    search(t);
    town_free(t); /* at once */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_master),
        cmocka_unit_test(test_the_others),
        cmocka_unit_test(test_the_list_learns_and_forgets),
        cmocka_unit_test(test_the_first_that_knows_is_believed),
        cmocka_unit_test(test_who_is_away_or_silent_is_passed_by),
        cmocka_unit_test(test_where_nobody_knows_it_ends),
        cmocka_unit_test(test_it_asks_on_and_tells_only_news),
        cmocka_unit_test(test_others_that_were_named_are_asked_when_those_of_the_url_are_gone),
        cmocka_unit_test(test_one_that_wants_a_password_gets_that_of_the_servers_when_it_asks),
        cmocka_unit_test(test_it_may_be_closed_at_any_time),
    };
    log_set_level(SLICE("error"));
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
