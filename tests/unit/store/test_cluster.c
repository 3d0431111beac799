/* tests/unit/store/test_cluster.c -- store/cluster*.c among scripted servers: to whom a command goes, who else is asked, and how long. */
#include "many.h"

#include "base/log.h"
#include "store/cluster_inner.h"

#include <netinet/in.h>
#include <signal.h>

enum { SERVERS = 3, DEADLINE_MS = 400 };

/* "foo" has slot 12182, "bar" 5061, "hello" 866: so the third, the first and the first server have them. */
#define FOO 12182

struct scene;

struct server {
    struct peer peer;
    struct scene *scene;
    int number;
    /* What to say to a command with a key; NULL, or false: the value. */
    bool (*script)(struct server *s, struct visit *v, int argc, struct slice *argv);
    const char *said; /* what `script` says */
    unsigned times;   /* how often it says so, of those left */
    bool asking;      /* ASKING was the last that was said */
    unsigned maps;    /* how often it was asked for one */
};

struct scene {
    uv_loop_t loop;
    struct metrics *metrics;
    struct redis_config config;
    struct cluster *cluster;
    struct server server[SERVERS];
    int owner[3];    /* of the thirds of all slots: a server's number, or -1 */
    const char *map; /* said in place of the true one */
    bool closed;
};

static void say_format(struct visit *v, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    say(v, text);
}

static void say_map(struct visit *v, struct scene *s)
{
    int n = 0;
    for (int i = 0; i < 3; i++) n += s->owner[i] >= 0;
    if (s->map) {
        say(v, s->map);
        return;
    }
    say_array(v, n);
    for (int i = 0; i < 3; i++) {
        if (s->owner[i] < 0) continue;
        int from = i * 5461, to = i == 2 ? 16383 : from + 5460;
        say_format(v, "*3\r\n:%d\r\n:%d\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n", from, to,
                   s->server[s->owner[i]].peer.port);
    }
}

static void script(struct visit *v, int argc, struct slice *argv)
{
    struct server *s = v->peer->arg;
    bool asking = s->asking;
    s->asking = slice_eq(argv[0], SLICE("ASKING"));
    if (slice_eq(argv[0], SLICE("CLUSTER"))) {
        s->maps++;
        say_map(v, s->scene);
    } else if (s->asking || slice_eq(argv[0], SLICE("PING"))) {
        say_sane(v, argc, argv);
    } else {
        s->asking = asking;
        bool said = s->script && s->script(s, v, argc, argv);
        s->asking = false;
        if (said) return;
        if (slice_eq(argv[0], SLICE("GET"))) say_format(v, "$7\r\nserver%d\r\n", s->number);
        else if (slice_starts(argv[0], SLICE("EVAL"))) say(v, "$0\r\n\r\n");
        else say_sane(v, argc, argv);
    }
}

static struct scene *scene_new(void)
{
    struct scene *s = calloc(1, sizeof *s);
    uv_loop_init(&s->loop);
    s->metrics = metrics_new();
    s->config = (struct redis_config){.topology = REDIS_CLUSTER,
                                      .addresses = SERVERS,
                                      .timeout_ms = DEADLINE_MS,
                                      .max_value = 64 << 10,
                                      .max_inflight = 256};
    for (int i = 0; i < SERVERS; i++) {
        struct server *server = &s->server[i];
        *server = (struct server){.scene = s, .number = i, .peer = {.port = 0, .script = script, .arg = server}};
        peer_listen_on_port(&server->peer, &s->loop);
        redis_address_set(&s->config.address[i], SLICE("127.0.0.1"), (uint64_t)server->peer.port);
        s->owner[i] = i;
    }
    return s;
}

static void scene_open(struct scene *s) { s->cluster = cluster_open(&s->loop, &s->config, NULL, s->metrics); }

static bool is_whole(void *scene) { return cluster_up(((struct scene *)scene)->cluster); }

static struct scene *scene_up(void)
{
    struct scene *s = scene_new();
    scene_open(s);
    assert_true(run_until(&s->loop, is_whole, s, 5000));
    return s;
}

static void scene_free(struct scene *s)
{
    cluster_close(s->cluster, world_on_closed, &s->closed);
    assert_false(s->closed);
    for (int i = 0; i < SERVERS; i++)
        if (s->server[i].peer.port) peer_stop(&s->server[i].peer);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    assert_true(s->closed);
    assert_int_equal(uv_loop_close(&s->loop), 0);
    metrics_free(s->metrics);
    free(s);
}

static int64_t redirections(struct scene *s, const char *kind)
{
    struct slice label = slice_of(kind);
    return atomic_load(&metrics_counter(s->metrics, METRIC_REDIRECTIONS, &label)->v);
}

static int64_t gauge(struct scene *s, enum metric_family family)
{
    return atomic_load(&metrics_counter(s->metrics, family, NULL)->v);
}

static enum status start_get(struct scene *s, struct ask *a, const char *key)
{
    return ask_get(cluster_node(s->cluster, slice_of(key)), a, key);
}

static enum status get(struct scene *s, struct ask *a, const char *key)
{
    start_get(s, a, key);
    return wait_for(&s->loop, a);
}

static enum status put(struct scene *s, struct ask *a, const char *key)
{
    ask_put(cluster_node(s->cluster, slice_of(key)), a, key, SLICE("v"), 0);
    return wait_for(&s->loop, a);
}

static void assert_from(struct scene *s, const char *key, int server)
{
    char wanted[16];
    struct ask a;
    snprintf(wanted, sizeof wanted, "server%d", server);
    assert_int_equal(get(s, &a, key), OK);
    assert_value(&a, wanted);
    assert_int_equal(a.answers, 1);
}

/* What the server has seen of commands with keys since the last time. */
static void assert_seen(struct scene *s, int server, const char *wanted)
{
    char seen[sizeof s->server->peer.seen] = "";
    for (char *word = strtok(s->server[server].peer.seen, "|"); word; word = strtok(NULL, "|")) {
        if (strncmp(word, "PING", 4) == 0 || strncmp(word, "CLUSTER", 7) == 0) continue;
        char *space = strncmp(word, "EVAL", 4) == 0 ? strchr(word, ' ') : NULL;
        if (space) *space = '\0';
        strcat(strcat(seen, word), "|");
    }
    s->server[server].peer.seen[0] = '\0';
    assert_string_equal(seen, wanted);
}

/* Says `said`, so often. */
static bool say_so(struct server *s, struct visit *v, int argc, struct slice *argv)
{
    if (s->times == 0) return false;
    s->times--;
    say(v, s->said);
    return true;
}

static void let_say(struct server *s, const char *said, unsigned times)
{
    s->script = say_so;
    s->said = said;
    s->times = times;
}

/* Sends commands to another server: to the one whose number `times` is. */
static bool send_on(struct server *s, struct visit *v, int argc, struct slice *argv)
{
    say_format(v, "-%s %d 127.0.0.1:%d\r\n", s->said, FOO, s->scene->server[s->times].peer.port);
    return true;
}

static void let_send_on(struct server *s, const char *how, int to)
{
    s->script = send_on;
    s->said = how;
    s->times = (unsigned)to;
}

/* ---- the map */

static void test_each_key_has_its_server(void **state)
{
    struct scene *s = scene_up();
    assert_from(s, "foo", 2);
    assert_from(s, "hello", 0);
    assert_from(s, "{bar}.other", 0);
    struct ask a;
    assert_int_equal(put(s, &a, "foo"), OK);
    assert_seen(s, 0, "GET hello|GET {bar}.other|");
    assert_seen(s, 1, "");
    assert_seen(s, 2, "GET foo|EVAL|"); /* one command, so that all of it goes to one server */
    assert_int_equal(gauge(s, METRIC_CLUSTER_SLOTS), CLUSTER_SLOTS);
    assert_int_equal(gauge(s, METRIC_CLUSTER_MASTERS), 3);
    assert_int_equal(gauge(s, METRIC_STORE_UP), 1);
    assert_int_equal(s->server[0].maps + s->server[1].maps + s->server[2].maps, 1);
    scene_free(s);
}

static void test_what_is_asked_first_waits_for_the_greeting(void **state)
{
    struct scene *s = scene_new();
    let_send_on(&s->server[0], "MOVED", 2);
    scene_open(s);
    assert_from(s, "foo", 2);
    scene_free(s);
}

static void test_seeds_are_asked_one_after_the_other(void **state)
{
    struct scene *s = scene_new();
    peer_stop(&s->server[0].peer); /* nobody there */
    s->server[0].peer.port = 0;
    s->owner[0] = 1;
    scene_open(s);
    uint64_t start = clock_mono_us();
    assert_true(run_until(&s->loop, is_whole, s, 5000));
    assert_true(clock_mono_us() - start < 900000); /* at once */
    assert_from(s, "hello", 1);
    scene_free(s);
}

static void test_a_map_that_cannot_be_is_refused(void **state)
{
    static const char *const bad[] = {
        "*0\r\n",
        ":1\r\n",
        "-ERR This instance has cluster support disabled\r\n",
        "*2\r\n*3\r\n:0\r\n:9\r\n*2\r\n$1\r\na\r\n:1\r\n*3\r\n:9\r\n:9\r\n*2\r\n$1\r\nb\r\n:1\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct scene *s = scene_new();
        struct ask a;
        s->map = bad[i];
        scene_open(s);
        run_for(&s->loop, 300);
        assert_false(cluster_up(s->cluster));
        assert_int_equal(s->server[0].maps + s->server[1].maps + s->server[2].maps, SERVERS); /* no storm */
        assert_int_equal(start_get(s, &a, "foo"), STORE_UNAVAILABLE);
        s->map = NULL;
        assert_true(run_until(&s->loop, is_whole, s, 5000));
        assert_from(s, "foo", 2);
        scene_free(s);
    }
}

static void test_a_slot_that_nobody_has(void **state)
{
    struct scene *s = scene_new();
    struct ask a;
    s->owner[2] = -1;
    scene_open(s);
    run_for(&s->loop, 200);
    assert_false(cluster_up(s->cluster));
    assert_int_equal(gauge(s, METRIC_CLUSTER_SLOTS), 2 * 5461);
    assert_from(s, "hello", 0);
    assert_int_equal(start_get(s, &a, "foo"), STORE_UNAVAILABLE);
    s->owner[2] = 1;
    assert_true(run_until(&s->loop, is_whole, s, 3000)); /* that it was asked for made us look */
    assert_from(s, "foo", 1);
    scene_free(s);
}

static bool has_let_go(void *scene) { return ((struct scene *)scene)->cluster->nodes_n == 2; }

static void test_a_server_is_lost_and_another_has_its_slots(void **state)
{
    struct scene *s = scene_up();
    struct ask a;
    s->server[2].script = say_so; /* nothing */
    s->server[2].times = 1;
    s->server[2].said = "";
    start_get(s, &a, "foo");
    run_for(&s->loop, 20);
    peer_stop(&s->server[2].peer);
    s->server[2].peer.port = 0;
    assert_int_equal(wait_for(&s->loop, &a), STORE_UNAVAILABLE);
    run_until(&s->loop, never, NULL, 20);
    assert_false(cluster_up(s->cluster));
    assert_int_equal(start_get(s, &a, "foo"), STORE_UNAVAILABLE); /* at once */
    assert_from(s, "hello", 0);
    s->owner[2] = 1;
    assert_true(run_until(&s->loop, is_whole, s, 3000));
    assert_from(s, "foo", 1);
    assert_int_equal(s->cluster->nodes_n, 2); /* it was let go */
    assert_in_range(s->server[0].maps + s->server[1].maps + s->server[2].maps, 2, 4);
    scene_free(s);
}

/* Who is asked for in vain is looked for each second, however rarely the dead one is tried. */
static void test_the_map_is_asked_for_as_long_as_commands_fail(void **state)
{
    struct scene *s = scene_up();
    struct ask a;
    peer_stop(&s->server[2].peer);
    run_for(&s->loop, 2300); /* it was tried three times, and is left alone for nearly two seconds now */
    s->owner[2] = 1;
    uint64_t start = clock_mono_us();
    assert_int_equal(start_get(s, &a, "foo"), STORE_UNAVAILABLE);
    assert_true(run_until(&s->loop, is_whole, s, 5000));
    assert_true(clock_mono_us() - start < 1200000);
    s->server[2].peer.port = 0;
    scene_free(s);
}

/* One that a server has just sent us to is kept, but not when it is dead: the near cache would wait for it. */
static void test_a_server_is_lost_that_was_just_named(void **state)
{
    struct scene *s = scene_new();
    s->owner[2] = 1;
    scene_open(s);
    assert_true(run_until(&s->loop, is_whole, s, 5000));
    let_send_on(&s->server[1], "MOVED", 2);
    s->owner[2] = 2;
    assert_from(s, "foo", 2);
    assert_int_equal(s->cluster->nodes_n, 3);
    s->server[1].script = NULL;
    peer_stop(&s->server[2].peer);
    s->server[2].peer.port = 0;
    s->owner[2] = 1;
    assert_true(run_until(&s->loop, is_whole, s, 5000) && run_until(&s->loop, has_let_go, s, 3000));
    assert_from(s, "foo", 1);
    scene_free(s);
}

/* ---- MOVED and ASK */

static void test_moved(void **state)
{
    struct scene *s = scene_up();
    let_send_on(&s->server[2], "MOVED", 1);
    assert_from(s, "foo", 1);
    assert_from(s, "foo", 1); /* straight */
    assert_seen(s, 2, "GET foo|");
    assert_seen(s, 1, "GET foo|GET foo|");
    assert_int_equal(redirections(s, "moved"), 1);
    assert_true(cluster_up(s->cluster));
    run_for(&s->loop, 1200); /* that is news: the map is asked for, which says otherwise */
    assert_int_equal(s->server[0].maps + s->server[1].maps + s->server[2].maps, 2);
    assert_from(s, "foo", 1);
    assert_int_equal(redirections(s, "moved"), 2);
    scene_free(s);
}

static void test_moved_to_a_server_that_is_new(void **state)
{
    struct scene *s = scene_new();
    s->config.addresses = 1;
    s->owner[2] = 0;
    scene_open(s);
    assert_true(run_until(&s->loop, is_whole, s, 5000));
    let_send_on(&s->server[0], "MOVED", 2);
    assert_from(s, "foo", 2);
    assert_int_equal(s->server[2].peer.connections, 1);
    scene_free(s);
}

/* As a server that is being given the slot. */
static bool importing(struct server *s, struct visit *v, int argc, struct slice *argv)
{
    if (s->asking) return false;
    say_format(v, "-MOVED %d 127.0.0.1:%d\r\n", FOO, s->scene->server[2].peer.port);
    return true;
}

static void test_ask(void **state)
{
    struct scene *s = scene_up();
    struct ask a[2];
    let_send_on(&s->server[2], "ASK", 1);
    s->server[1].script = importing;
    start_get(s, &a[0], "foo");
    start_get(s, &a[1], "foo");
    assert_int_equal(wait_for(&s->loop, &a[1]), OK);
    assert_value(&a[0], "server1");
    assert_value(&a[1], "server1");
    assert_from(s, "foo", 1);
    assert_seen(s, 2, "GET foo|GET foo|GET foo|"); /* it still has the slot */
    assert_seen(s, 1, "ASKING|GET foo|ASKING|GET foo|ASKING|GET foo|");
    assert_int_equal(redirections(s, "ask"), 3);
    assert_int_equal(redirections(s, "moved"), 0);
    scene_free(s);
}

static bool forgetful(struct server *s, struct visit *v, int argc, struct slice *argv)
{
    if (!slice_eq(argv[0], SLICE("EVALSHA"))) return false;
    say(v, "-NOSCRIPT No matching script.\r\n");
    return true;
}

/* A script goes by its hash to a server that has never seen it. */
static void test_a_script_follows(void **state)
{
    struct scene *s = scene_up();
    struct ask a;
    assert_int_equal(put(s, &a, "foo"), OK);
    let_send_on(&s->server[2], "MOVED", 1);
    s->server[1].script = forgetful;
    assert_int_equal(put(s, &a, "foo"), OK);
    assert_int_equal(put(s, &a, "foo"), OK);
    assert_seen(s, 2, "EVAL|EVALSHA|");
    assert_seen(s, 1, "EVALSHA|EVAL|EVAL|");
    assert_int_equal(a.answers, 1);
    scene_free(s);
}

static void test_a_circle_ends(void **state)
{
    struct scene *s = scene_up();
    struct ask a;
    let_send_on(&s->server[2], "MOVED", 1);
    let_send_on(&s->server[1], "MOVED", 2);
    assert_int_equal(get(s, &a, "foo"), STORE_UNAVAILABLE);
    assert_int_equal(a.answers, 1);
    assert_seen(s, 2, "GET foo|GET foo|GET foo|");
    assert_seen(s, 1, "GET foo|GET foo|GET foo|");
    assert_from(s, "hello", 0);
    scene_free(s);
}

static void test_redirections_that_lead_nowhere(void **state)
{
    static const char *const bad[] = {"-MOVED\r\n", "-MOVED 12182\r\n", "-MOVED 12182 ?:1\r\n", "-ASK 99999 a:1\r\n",
                                      "-MOVED x\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct scene *s = scene_up();
        let_say(&s->server[2], bad[i], 2);
        assert_from(s, "foo", 2); /* the third time */
        assert_seen(s, 2, "GET foo|GET foo|GET foo|");
        scene_free(s);
    }
}

/* Who is sent to a server that does not answer ends by his own deadline; others who wait there wait on. */
static void test_a_deadline_travels(void **state)
{
    struct scene *s = scene_up();
    struct ask a, other;
    let_say(&s->server[2], "-TRYAGAIN later\r\n", 100);
    let_say(&s->server[0], "", 100);
    start_get(s, &a, "foo");
    run_for(&s->loop, DEADLINE_MS / 2);
    let_send_on(&s->server[2], "MOVED", 0);
    uint64_t start = clock_mono_us();
    run_for(&s->loop, 80); /* it has gone over by now */
    start_get(s, &other, "hello");
    assert_int_equal(wait_for(&s->loop, &a), STORE_UNAVAILABLE);
    assert_true(clock_mono_us() - start < DEADLINE_MS * 1000 * 3 / 4);
    assert_int_equal(other.status, PENDING);
    assert_int_equal(s->server[0].peer.connections, 1);
    assert_int_equal(errors_of(s->metrics, "get", "timeout"), 1);
    assert_int_equal(wait_for(&s->loop, &other), STORE_UNAVAILABLE); /* now it is the server's fault */
    scene_free(s);
}

static void say_nothing(struct visit *v, int argc, struct slice *argv) {}

/* The same where the server does not even greet. */
static void test_a_deadline_travels_to_a_server_that_is_new(void **state)
{
    struct scene *s = scene_new();
    struct ask a;
    s->config.addresses = 1;
    s->owner[2] = 0;
    s->server[2].peer.script = say_nothing;
    scene_open(s);
    assert_true(run_until(&s->loop, is_whole, s, 5000));
    let_say(&s->server[0], "-TRYAGAIN later\r\n", 100);
    start_get(s, &a, "foo");
    run_for(&s->loop, DEADLINE_MS / 2);
    let_send_on(&s->server[0], "MOVED", 2);
    uint64_t start = clock_mono_us();
    assert_int_equal(wait_for(&s->loop, &a), STORE_UNAVAILABLE);
    assert_true(clock_mono_us() - start < DEADLINE_MS * 1000 * 3 / 4);
    assert_int_equal(a.answers, 1);
    assert_int_equal(s->server[2].peer.connections, 1);
    scene_free(s);
}

/* ---- a little later */

static void test_tryagain(void **state)
{
    struct scene *s = scene_up();
    let_say(&s->server[2], "-TRYAGAIN Multiple keys request during rehashing of slot\r\n", 4);
    assert_from(s, "foo", 2);
    assert_int_equal(redirections(s, "tryagain"), 4);
    assert_seen(s, 2, "GET foo|GET foo|GET foo|GET foo|GET foo|");
    scene_free(s);
}

static void test_a_cluster_that_is_down_for_a_moment(void **state)
{
    struct scene *s = scene_up();
    struct ask a[20];
    let_say(&s->server[2], "-CLUSTERDOWN The cluster is down\r\n", 60);
    for (int i = 0; i < 20; i++) start_get(s, &a[i], "foo");
    for (int i = 0; i < 20; i++) {
        assert_int_equal(wait_for(&s->loop, &a[i]), OK);
        assert_value(&a[i], "server2");
        assert_int_equal(a[i].answers, 1);
    }
    assert_int_equal(redirections(s, "clusterdown"), 60);
    scene_free(s);
}

static void test_a_cluster_that_stays_down(void **state)
{
    struct scene *s = scene_up();
    struct ask a;
    let_say(&s->server[2], "-CLUSTERDOWN Hash slot not served\r\n", 100000);
    uint64_t start = clock_mono_us();
    assert_int_equal(get(s, &a, "foo"), STORE_UNAVAILABLE);
    assert_in_range(clock_mono_us() - start, DEADLINE_MS * 900, DEADLINE_MS * 2000);
    assert_in_range(redirections(s, "clusterdown"), 5, 20); /* pauses grow */
    assert_false(cluster_up(s->cluster));
    int64_t before = redirections(s, "clusterdown");
    for (int i = 0; i < 100; i++) assert_int_equal(get(s, &a, "foo"), STORE_UNAVAILABLE);
    assert_int_equal(redirections(s, "clusterdown"), before + 100); /* each was asked once */
    assert_true(clock_mono_us() - start < DEADLINE_MS * 1000 * 3);  /* and nobody waited */
    assert_in_range(s->server[0].maps + s->server[1].maps + s->server[2].maps, 1, 3);
    s->server[2].times = 0;
    assert_from(s, "foo", 2);
    assert_true(run_until(&s->loop, is_whole, s, 4000));
    scene_free(s);
}

static void test_what_was_cancelled_while_it_waits(void **state)
{
    struct scene *s = scene_up();
    struct ask a, b;
    let_say(&s->server[2], "-TRYAGAIN later\r\n", 1000000);
    start_get(s, &a, "foo");
    ask_put(cluster_node(s->cluster, SLICE("foo")), &b, "foo", SLICE("v"), 0);
    run_for(&s->loop, 20);
    redis_cancel(&a.c);
    redis_cancel(&b.c);
    memset(&a, 0xee, sizeof a);
    memset(&b, 0xee, sizeof b);
    run_for(&s->loop, 150); /* what was sent is answered, and no pause is longer */
    s->server[2].peer.seen[0] = '\0';
    run_for(&s->loop, 150);
    assert_null(strstr(s->server[2].peer.seen, "GET foo|"));
    assert_non_null(strstr(s->server[2].peer.seen, "EVAL ")); /* its owner may count on a write */
    scene_free(s);
}

static void test_close_ends_what_is_under_way(void **state)
{
    struct scene *s = scene_up();
    struct ask waits, silent, lost;
    let_say(&s->server[2], "-TRYAGAIN later\r\n", 100000);
    let_say(&s->server[0], "", 100000);
    start_get(s, &waits, "foo");
    start_get(s, &silent, "hello");
    run_for(&s->loop, 30);
    start_get(s, &lost, "foo");
    scene_free(s);
    assert_int_equal(waits.status, STORE_UNAVAILABLE);
    assert_int_equal(silent.status, STORE_UNAVAILABLE);
    assert_int_equal(lost.status, STORE_UNAVAILABLE);
    assert_int_equal(waits.answers + silent.answers + lost.answers, 3);
}

static void test_close_before_it_has_begun(void **state)
{
    struct scene *s = scene_new();
    scene_open(s);
    scene_free(s);
}

/* ---- many */

static void test_many_keys_of_many_servers(void **state)
{
    struct scene *s = scene_up();
    struct store *store = store_new_cluster(s->cluster, s->metrics);
    struct many *m = many_new(200, 0);
    assert_int_equal(do_many(&s->loop, store, m), OK);
    for (size_t i = 0; i < m->op.n; i++) {
        char wanted[16];
        unsigned slot = cluster_slot(slice_of(m->name[i]));
        snprintf(wanted, sizeof wanted, "server%u", slot / 5461 > 2 ? 2 : slot / 5461);
        assert_true(slice_eq(blob_slice(m->value[i]), slice_of(wanted)));
        blob_unref(m->value[i]);
    }
    assert_int_equal(m->answers, 1);
    for (int i = 0; i < SERVERS; i++) assert_int_equal(s->server[i].peer.connections, 1);

    let_say(&s->server[1], "-ERR no\r\n", 1); /* one fails: all do */
    assert_int_equal(do_many(&s->loop, store, m), STORE_UNAVAILABLE);
    assert_nothing_there(m);
    let_say(&s->server[1], "-TRYAGAIN later\r\n", 1000000);
    ask_many(store, m);
    run_for(&s->loop, 20);
    store_many_cancel(&m->op); /* some have come, some wait */
    assert_nothing_there(m);
    run_for(&s->loop, 20);
    assert_int_equal(m->answers, 0);
    m->op.n = 1;
    s->server[1].times = 0;
    assert_int_equal(do_many(&s->loop, store, m), OK);
    blob_unref(m->value[0]);
    free(m);
    store_free(store);
    scene_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_key_has_its_server),
        cmocka_unit_test(test_what_is_asked_first_waits_for_the_greeting),
        cmocka_unit_test(test_seeds_are_asked_one_after_the_other),
        cmocka_unit_test(test_a_map_that_cannot_be_is_refused),
        cmocka_unit_test(test_a_slot_that_nobody_has),
        cmocka_unit_test(test_a_server_is_lost_and_another_has_its_slots),
        cmocka_unit_test(test_the_map_is_asked_for_as_long_as_commands_fail),
        cmocka_unit_test(test_a_server_is_lost_that_was_just_named),
        cmocka_unit_test(test_moved),
        cmocka_unit_test(test_moved_to_a_server_that_is_new),
        cmocka_unit_test(test_ask),
        cmocka_unit_test(test_a_script_follows),
        cmocka_unit_test(test_a_circle_ends),
        cmocka_unit_test(test_redirections_that_lead_nowhere),
        cmocka_unit_test(test_a_deadline_travels),
        cmocka_unit_test(test_a_deadline_travels_to_a_server_that_is_new),
        cmocka_unit_test(test_tryagain),
        cmocka_unit_test(test_a_cluster_that_is_down_for_a_moment),
        cmocka_unit_test(test_a_cluster_that_stays_down),
        cmocka_unit_test(test_what_was_cancelled_while_it_waits),
        cmocka_unit_test(test_close_ends_what_is_under_way),
        cmocka_unit_test(test_close_before_it_has_begun),
        cmocka_unit_test(test_many_keys_of_many_servers),
    };
    signal(SIGPIPE, SIG_IGN);
    log_set_level(SLICE("error"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
