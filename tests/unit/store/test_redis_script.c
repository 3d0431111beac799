/* tests/unit/store/test_redis_script.c -- scripts by their hash, before a scripted peer that knows them or has forgotten them: nothing is lost, no
 * answer meets another question, and no question gets more time than it had. */
#include "support.h"

#include "base/log.h"

#include <signal.h>

/* What the peer does with scripts, and has seen of them. */
static struct {
    bool forgetful; /* by hash: NOSCRIPT */
    bool stubborn;  /* whole: NOSCRIPT, too */
    bool silent;    /* whole, behind one by hash: no answer */
    unsigned whole, by_hash;
    char last[512];      /* all arguments of the last one, behind the script or its hash */
    struct visit *asked; /* who has asked by hash and waits; while `hold` */
    bool hold;
} peer;

static void note(int argc, struct slice *argv)
{
    size_t n = 0;
    peer.last[0] = '\0';
    for (int i = 2; i < argc && n < sizeof peer.last; i++)
        n += (size_t)snprintf(peer.last + n, sizeof peer.last - n, "%.*s|", SLICE_ARG(argv[i]));
}

#define NOSCRIPT "-NOSCRIPT No matching script. Please use EVAL.\r\n"

static void script(struct visit *v, int argc, struct slice *argv)
{
    if (slice_eq(argv[0], SLICE("EVALSHA"))) {
        assert_int_equal(argv[1].n, 40);
        peer.by_hash++;
        note(argc, argv);
        if (peer.hold) peer.asked = v;
        else say(v, peer.forgetful ? NOSCRIPT : ":1\r\n");
    } else if (slice_eq(argv[0], SLICE("EVAL"))) {
        peer.whole++;
        note(argc, argv);
        if (!peer.silent || peer.by_hash == 0) say(v, peer.stubborn ? NOSCRIPT : ":1\r\n");
    } else if (slice_eq(argv[0], SLICE("GET"))) {
        say_bulk(v, argv[1]);
    } else {
        say_sane(v, argc, argv);
    }
}

static struct world *up(void)
{
    struct world *w = world_up();
    memset(&peer, 0, sizeof peer);
    w->peer.script = script;
    return w;
}

static enum status ask_keep(struct redis *r, struct ask *a, const char *token)
{
    *a = (struct ask){.status = PENDING, .starting = true};
    a->status = redis_lease_keep(r, SLICE("lease"), slice_of(token), 3000, &a->c, on_answer);
    a->starting = false;
    return a->status;
}

/* The server has seen the script on this connection. */
static void tell(struct world *w)
{
    struct ask a;
    ask_keep(w->redis, &a, "first");
    assert_int_equal(wait_for(&w->loop, &a), OK);
    assert_int_equal(peer.whole, 1);
    assert_int_equal(peer.by_hash, 0);
}

static void test_a_script_is_told_once(void **state)
{
    struct world *w = up();
    struct ask a[3];
    for (int i = 0; i < 3; i++) ask_keep(w->redis, &a[i], "token"); /* not even when nothing has been answered yet */
    for (int i = 0; i < 3; i++) assert_int_equal(wait_for(&w->loop, &a[i]), OK);
    assert_int_equal(peer.whole, 1);
    assert_int_equal(peer.by_hash, 2);
    assert_string_equal(peer.last, "1|lease|token|3000|");
    peer_hang_up_all(&w->peer);
    assert_true(run_until(&w->loop, is_down, w->redis, 5000));
    assert_true(run_until(&w->loop, is_up, w->redis, 5000));
    ask_keep(w->redis, &a[0], "token"); /* another connection, perhaps another server */
    assert_int_equal(wait_for(&w->loop, &a[0]), OK);
    assert_int_equal(peer.whole, 2);
    world_free(w);
}

static void test_each_script_has_a_hash_of_its_own(void **state)
{
    struct world *w = up();
    struct ask a[2];
    tell(w);
    ask_replace(w->redis, &a[0], "k", SLICE("old"), SLICE("new"), 0);
    ask_keep(w->redis, &a[1], "token");
    assert_int_equal(wait_for(&w->loop, &a[1]), OK);
    assert_int_equal(a[0].status, OK);
    assert_int_equal(peer.whole, 2);
    assert_int_equal(peer.by_hash, 1);
    world_free(w);
}

static void test_what_is_forgotten_is_asked_again(void **state)
{
    struct world *w = up();
    struct ask keep, replace, get[3];
    tell(w);
    ask_replace(w->redis, &replace, "k", SLICE("old"), SLICE("x"), 0);
    wait_for(&w->loop, &replace);
    peer.forgetful = true;
    ask_get(w->redis, &get[0], "a");
    ask_keep(w->redis, &keep, "to\r\nken");
    ask_get(w->redis, &get[1], "b");
    ask_replace(w->redis, &replace, "k", SLICE("old"), SLICE("a new value"), 7000);
    ask_get(w->redis, &get[2], "c");
    assert_int_equal(wait_for(&w->loop, &replace), OK);
    assert_int_equal(keep.status, OK);
    assert_string_equal(peer.last, "2|k|k|old|3|a new value|7000|");
    assert_value(&get[0], "a");
    assert_value(&get[1], "b");
    assert_value(&get[2], "c");
    assert_int_equal(peer.by_hash, 2);
    assert_int_equal(peer.whole, 4);
    assert_int_equal(errors_of(w->metrics, "lease-keep", "noscript"), 1);
    assert_int_equal(errors_of(w->metrics, "lease-keep", "error"), 0);
    assert_int_equal(w->peer.connections, 1);
    world_free(w);
}

/* Where all places are taken, it has its own. */
static void test_a_full_ring_asks_again(void **state)
{
    struct world *w = world_new();
    struct ask keep[4], get;
    memset(&peer, 0, sizeof peer);
    w->peer.script = script;
    w->config.max_inflight = 4;
    world_open(w);
    assert_true(run_until(&w->loop, is_up, w->redis, 5000));
    tell(w);
    peer.forgetful = true;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++) assert_int_equal(ask_keep(w->redis, &keep[i], "token"), PENDING);
        assert_int_equal(ask_get(w->redis, &get, "k"), OVERLOADED);
        for (int i = 0; i < 4; i++) assert_int_equal(wait_for(&w->loop, &keep[i]), OK);
        assert_int_equal(do_get(&w->loop, w->redis, &get, "k"), OK);
        assert_value(&get, "k");
    }
    world_free(w);
}

static void test_it_is_asked_again_once(void **state)
{
    struct world *w = up();
    struct ask a, get;
    tell(w);
    peer.forgetful = peer.stubborn = true;
    ask_keep(w->redis, &a, "token");
    assert_int_equal(wait_for(&w->loop, &a), STORE_UNAVAILABLE);
    assert_int_equal(peer.by_hash, 1);
    assert_int_equal(peer.whole, 2);
    assert_int_equal(errors_of(w->metrics, "lease-keep", "noscript"), 2);
    assert_int_equal(do_get(&w->loop, w->redis, &get, "k"), OK);
    assert_value(&get, "k");
    world_free(w);
}

static void test_who_was_cancelled_is_asked_again_too(void **state)
{
    struct world *w = up();
    struct ask a, get;
    tell(w);
    peer.forgetful = true;
    ask_keep(w->redis, &a, "abandoned");
    redis_cancel(&a.c);
    assert_int_equal(do_get(&w->loop, w->redis, &get, "k"), OK);
    assert_value(&get, "k");
    assert_int_equal(do_get(&w->loop, w->redis, &get, "k"), OK); /* behind the second question */
    assert_value(&get, "k");
    assert_int_equal(peer.whole, 2);
    assert_string_equal(peer.last, "1|lease|abandoned|3000|");
    assert_int_equal(a.answers, 0);
    world_free(w);
}

static bool has_asked(void *arg) { return peer.asked != NULL; }

/* 400 ms from the first question on, though others have come between. */
static void test_its_time_runs_on(void **state)
{
    struct world *w = up();
    struct ask a, silent;
    tell(w);
    peer.hold = peer.silent = true;
    uint64_t start = clock_mono_us();
    ask_keep(w->redis, &a, "token");
    assert_true(run_until(&w->loop, has_asked, NULL, 5000));
    run_for(&w->loop, 250);
    peer.hold = false;
    say(peer.asked, NOSCRIPT);
    ask_replace(w->redis, &silent, "k", SLICE("old"), SLICE("new"), 0); /* 250 ms younger, and before it */
    assert_int_equal(wait_for(&w->loop, &a), STORE_UNAVAILABLE);
    uint64_t took = (clock_mono_us() - start) / 1000;
    assert_in_range(took, 395, 400 + 150);
    assert_int_equal(peer.whole, 3);
    assert_int_equal(silent.status, STORE_UNAVAILABLE);
    world_free(w);
}

static void test_a_loss_ends_who_waits_again(void **state)
{
    struct world *w = up();
    struct ask a;
    tell(w);
    peer.forgetful = peer.silent = true;
    ask_keep(w->redis, &a, "token");
    run_for(&w->loop, 50);
    assert_int_equal(peer.whole, 2);
    assert_int_equal(a.status, PENDING);
    peer_hang_up_all(&w->peer);
    assert_int_equal(wait_for(&w->loop, &a), STORE_UNAVAILABLE);
    assert_int_equal(a.answers, 1);
    world_free(w);
}

enum { MANY = 200, SIZE = 60000 };

static bool has_all(void *sent) { return peer.by_hash + peer.whole == *(unsigned *)sent; }

/* What is kept for a second question is bounded; what would be more goes whole. */
static void test_what_is_kept_is_bounded(void **state)
{
    struct world *w = world_new();
    static struct ask a[MANY];
    static char value[SIZE];
    memset(value, 'v', SIZE);
    memset(&peer, 0, sizeof peer);
    w->peer.script = script;
    w->config.timeout_ms = 20000;
    world_open(w);
    assert_true(run_until(&w->loop, is_up, w->redis, 5000));
    ask_replace(w->redis, &a[0], "k", SLICE("old"), SLICE("new"), 0);
    assert_int_equal(wait_for(&w->loop, &a[0]), OK);
    peer.hold = peer.silent = true;
    peer.whole = 0;
    peer.by_hash = 0;
    for (unsigned sent = 0; sent < MANY;) {
        assert_int_equal(ask_replace(w->redis, &a[sent++], "k", SLICE("old"), slice_from(value, SIZE), 0), PENDING);
        if (sent % 50 == 0) assert_true(run_until(&w->loop, has_all, &sent, 10000)); /* so that they leave */
    }
    assert_in_range(peer.by_hash, (8 << 20) / (SIZE + 200), (8 << 20) / SIZE + 1);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_script_is_told_once),
        cmocka_unit_test(test_each_script_has_a_hash_of_its_own),
        cmocka_unit_test(test_what_is_forgotten_is_asked_again),
        cmocka_unit_test(test_a_full_ring_asks_again),
        cmocka_unit_test(test_it_is_asked_again_once),
        cmocka_unit_test(test_who_was_cancelled_is_asked_again_too),
        cmocka_unit_test(test_its_time_runs_on),
        cmocka_unit_test(test_a_loss_ends_who_waits_again),
        cmocka_unit_test(test_what_is_kept_is_bounded),
    };
    log_set_level(SLICE("error"));
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
