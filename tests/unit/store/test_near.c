/* tests/unit/store/test_near.c -- near copies: told of changes by a scripted server, dropped in time, never kept when they may be old. The peer
 * serves both connections, that of the questions and that of the messages, on our loop, so each test says what comes before what. */
#include "support.h"

#include "base/log.h"
#include "store/store.h"
#include "store/tracking.h"

#include <signal.h>

#define NOW 5000

/* ---- client and peer */

struct near_world {
    struct world *w;
    struct near *near;
    struct tracking *tracking;
    struct store *store;
    bool closed;
};

/* What the peer does with the commands of tests below. */
static struct {
    struct visit *line;  /* the connection on which we tell of changes */
    struct visit *asked; /* a GET that is held */
    bool hold_gets, hold_tracking, silent, pinged;
    int hellos;
    const char *hello, *value;
} server;

static void say_get(struct visit *v) { server.value ? say_bulk(v, slice_of(server.value)) : say(v, "$-1\r\n"); }

static void script(struct visit *v, int argc, struct slice *argv)
{
    if (slice_eq(argv[0], SLICE("HELLO"))) {
        server.line = v;
        server.hellos++;
        assert_true(slice_eq(argv[1], SLICE("3")));
        say(v, server.hello);
    } else if (slice_eq(argv[0], SLICE("CLIENT"))) {
        static const char *const words[] = {"CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "p:", "PREFIX", "{p:"};
        assert_int_equal(argc, 8);
        for (int i = 0; i < argc; i++) assert_true(slice_eq(argv[i], slice_of(words[i])));
        if (!server.hold_tracking) say(v, "+OK\r\n");
    } else if (slice_eq(argv[0], SLICE("GET")) && server.hold_gets) {
        server.asked = v;
    } else if (slice_eq(argv[0], SLICE("GET"))) {
        say_get(v);
    } else if (slice_starts(argv[0], SLICE("EVAL"))) {
        say(v, ":1\r\n");
    } else if (server.silent && v == server.line) {
        server.pinged = true;
    } else {
        say_sane(v, argc, argv);
    }
}

#define HELLO                                                                                                          \
    "%4\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n$4\r\nnone\r\n_\r\n"                                    \
    "$7\r\nmodules\r\n*1\r\n%1\r\n$4\r\nname\r\n$2\r\nbf\r\n"

static bool is_on(void *arg)
{
    struct near_world *n = arg;
    return near_trusted(n->near, clock_mono_us());
}

static bool is_off(void *arg) { return !is_on(arg); }

static bool has_ended(void *arg) { return !near_is_whole(((struct near_world *)arg)->near); }

static struct near_world *near_world_new(void)
{
    struct near_world *n = calloc(1, sizeof *n);
    memset(&server, 0, sizeof server);
    server.hello = HELLO;
    n->w = world_new();
    n->w->peer.script = script;
    world_open(n->w);
    n->near = near_new(8 << 20);
    n->store = store_new(NULL, n->w->redis, n->w->metrics);
    store_set_near(n->store, n->near);
    n->tracking = tracking_open(&n->w->loop, &n->w->config, SLICE("p:"), n->near, n->w->metrics);
    return n;
}

static struct near_world *near_world_on(void)
{
    struct near_world *n = near_world_new();
    assert_true(run_until(&n->w->loop, is_on, n, 5000));
    assert_true(near_is_whole(n->near));
    assert_true(run_until(&n->w->loop, is_up, n->w->redis, 5000));
    return n;
}

static void near_world_free(struct near_world *n)
{
    tracking_close(n->tracking, world_on_closed, &n->closed);
    assert_false(n->closed);
    assert_true(is_off(n));
    store_free(n->store);
    world_free(n->w);
    assert_true(n->closed);
    near_free(n->near);
    free(n);
}

static int64_t count(struct near_world *n, enum metric_family family, const char *label)
{
    struct slice labels[] = {slice_of(label)};
    return atomic_load(&metrics_counter(n->w->metrics, family, label[0] ? labels : NULL)->v);
}

static int64_t flushes(struct near_world *n, const char *why) { return count(n, METRIC_NEAR_FLUSHES, why); }

/* ---- copies */

static void keep(struct near_world *n, const char *key)
{
    struct near_look look;
    struct blob *b = blob_copy(SLICE("value"));
    assert_true(run_until(&n->w->loop, is_on, n, 5000)); /* what has come is read */
    assert_null(store_look_near(n->store, slice_of(key), NOW, &look));
    store_keep_near(n->store, slice_of(key), &look, b, CLOCK_NEVER, NOW);
    blob_unref(b);
}

static bool has(struct near_world *n, const char *key)
{
    uint32_t mark;
    struct blob *b = near_look(n->near, slice_of(key), NOW, &mark);
    blob_unref(b);
    return b != NULL;
}

/* The same by the door of those who answer clients. */
static bool serves(struct near_world *n, const char *key)
{
    struct near_look look;
    if (!store_near_up(n->store)) return false;
    struct blob *b = store_look_near(n->store, slice_of(key), NOW, &look);
    assert_int_equal(look.hit, b != NULL);
    blob_unref(b);
    return b != NULL;
}

static uint64_t records(struct near_world *n)
{
    struct memory_stats s;
    near_stats(n->near, &s);
    return s.records;
}

static const char *awaited;

static bool is_gone(void *arg) { return !has(arg, awaited); }

/* Until the message has been read. */
static void await_gone(struct near_world *n, const char *key)
{
    awaited = key;
    assert_true(run_until(&n->w->loop, is_gone, n, 5000));
}

static void test_it_is_on_when_the_server_has_agreed(void **state)
{
    struct near_world *n = near_world_new();
    server.hold_tracking = true;
    assert_true(is_off(n));
    run_for(&n->w->loop, 100);
    assert_non_null(server.line); /* it has asked */
    assert_true(is_off(n));
    struct near_look look;
    struct blob *b = blob_copy(SLICE("value"));
    assert_false(store_near_up(n->store));
    assert_null(store_look_near(n->store, SLICE("p:a"), NOW, &look)); /* all the same */
    say(server.line, "+OK\r\n");
    assert_true(run_until(&n->w->loop, is_on, n, 5000));
    store_keep_near(n->store, SLICE("p:a"), &look, b, CLOCK_NEVER, NOW); /* asked too early */
    assert_false(has(n, "p:a"));
    blob_unref(b);
    keep(n, "p:a");
    assert_true(serves(n, "p:a"));
    assert_int_equal(count(n, METRIC_NEAR_UP, ""), 1);
    assert_in_range(count(n, METRIC_NEAR_LOOKUPS, "off"), 1, 100);
    assert_int_equal(count(n, METRIC_NEAR_LOOKUPS, "hit"), 1);
    near_world_free(n);
}

static void test_it_stays_on(void **state)
{
    struct near_world *n = near_world_on();
    keep(n, "p:a");
    for (int i = 0; i < 30; i++) { /* longer than it is trusted without a word of the server */
        run_for(&n->w->loop, NEAR_LAG_MS / 20);
        assert_true(run_until(&n->w->loop, is_on, n, 100 * (1 + SANITIZED)));
    }
    assert_true(has(n, "p:a"));
    assert_non_null(strstr(n->w->peer.seen, "CLIENT TRACKING|PING|PING|PING|"));
    assert_int_equal(flushes(n, "silent") + flushes(n, "lost"), 0);
    near_world_free(n);
}

static void test_a_message_counts_when_it_has_come(void **state)
{
    struct near_world *n = near_world_on();
    keep(n, "p:a");
    assert_true(serves(n, "p:a"));
    say(server.line, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\np"); /* not even whole */
    assert_true(has(n, "p:a"));
    assert_false(serves(n, "p:a")); /* not read yet */
    for (int i = 0; i < 20; i++) {
        run_for(&n->w->loop, 5);
        assert_true(has(n, "p:a"));
        assert_false(serves(n, "p:a")); /* read, and not understood yet */
    }
    say(server.line, ":b\r\n");
    assert_true(run_until(&n->w->loop, is_on, n, 5000));
    assert_true(serves(n, "p:a")); /* it was another one */
    near_world_free(n);
}

static void messages(bool trickling)
{
    struct near_world *n = near_world_on();
    n->w->peer.trickling = trickling;
    keep(n, "p:a");
    keep(n, "p:b");
    keep(n, "p:c");
    keep(n, "p:d");
    say(server.line, ">3\r\n$7\r\nmessage\r\n$3\r\np:b\r\n*2\r\n:1\r\n$3\r\np:b\r\n"); /* not of our kind */
    say(server.line, ">2\r\n$10\r\ninvalidate\r\n*0\r\n");
    say(server.line, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$9\r\np:nothing\r\n");
    say(server.line, ">2\r\n$10\r\ninvalidate\r\n*3\r\n$3\r\np:a\r\n$0\r\n\r\n$3\r\np:c\r\n");
    await_gone(n, "p:c");
    assert_false(has(n, "p:a"));
    assert_true(has(n, "p:b"));
    assert_true(has(n, "p:d"));
    assert_int_equal(count(n, METRIC_NEAR_INVALIDATIONS, ""), 4);
    say(server.line, ">2\r\n$10\r\ninvalidate\r\n_\r\n");
    await_gone(n, "p:d");
    assert_int_equal(records(n), 0);
    assert_true(run_until(&n->w->loop, is_on, n, 5000));
    assert_int_equal(flushes(n, "flushed"), 1);
    keep(n, "p:d");
    assert_true(has(n, "p:d"));
    assert_int_equal(n->w->peer.connections, 2);
    near_world_free(n);
}

static void test_messages_drop_what_they_name(void **state) { messages(false); }

static void test_messages_byte_by_byte(void **state) { messages(true); }

static void test_a_message_may_be_of_any_length(void **state)
{
    enum { KEYS = 100000 };
    struct near_world *n = near_world_on();
    struct buffer b;
    buffer_init(&b, 8 << 20);
    keep(n, "p:1");
    keep(n, "p:99999");
    keep(n, "p:100000");
    buffer_printf(&b, ">2\r\n$10\r\ninvalidate\r\n*%d\r\n", KEYS);
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        int length = snprintf(key, sizeof key, "p:%d", i);
        buffer_printf(&b, "$%d\r\n%s\r\n", length, key);
    }
    say_bytes(server.line, b.p, b.n);
    buffer_deinit(&b);
    await_gone(n, "p:99999");
    assert_false(has(n, "p:1"));
    assert_true(has(n, "p:100000"));
    assert_int_equal(count(n, METRIC_NEAR_INVALIDATIONS, ""), KEYS);
    assert_true(near_is_whole(n->near));
    near_world_free(n);
}

static void test_a_message_of_another_form_ends_the_connection(void **state)
{
    static const char *const forms[] = {
        ">2\r\n$10\r\ninvalidate\r\n$3\r\np:a\r\n",
        ">2\r\n$10\r\ninvalidate\r\n:1\r\n",
        ">2\r\n$10\r\ninvalidate\r\n%1\r\n$1\r\na\r\n$1\r\nb\r\n",
        ">2\r\n$10\r\ninvalidate\r\n*1\r\n*1\r\n$3\r\np:a\r\n",
        ">2\r\n$10\r\ninvalidate\r\n*1\r\n_\r\n",
        ">2\r\n$10\r\ninvalidate\r\n*1\r\n:7\r\n",
        ">2\r\n$10\r\ninvalidate\r\n*9999999\r\n",
        ">2\r\n$10\r\ninvalidate\r\n*1\r\n$9999999\r\np:a",
        "*2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\np:a\r\n",
        "+PONG\r\n+PONG\r\n+PONG\r\n",
        "!3\r\nERR\r\n",
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct near_world *n = near_world_on();
        keep(n, "p:a");
        struct visit *line = server.line;
        char more[128 << 10]; /* for what waits for the end of a string */
        memset(more, 'x', sizeof more);
        say(line, forms[i]);
        if (strstr(forms[i], "$9999999")) say_bytes(line, more, sizeof more);
        if (!run_until(&n->w->loop, has_ended, n, 900)) fail_msg("still on after %s", forms[i]);
        assert_false(serves(n, "p:a"));
        assert_int_equal(flushes(n, "lost"), 1);
        assert_true(run_until(&n->w->loop, is_on, n, 5000)); /* and begins anew */
        assert_false(has(n, "p:a"));
        near_world_free(n);
    }
}

/* What is there for who cannot reach the store, and for how long it may have been out of date; -1: nothing. */
static int64_t left(struct near_world *n, const char *key)
{
    uint64_t since_ms = 0;
    struct blob *b = store_look_left(n->store, slice_of(key), NOW, &since_ms);
    if (!b) return -1;
    blob_unref(b);
    assert_true(since_ms <= NOW);
    return (int64_t)(NOW - since_ms);
}

static void test_a_lost_connection_ends_it_until_it_is_empty(void **state)
{
    struct near_world *n = near_world_on();
    keep(n, "p:a");
    assert_int_equal(left(n, "p:a"), 0);
    hang_up(server.line);
    assert_true(run_until(&n->w->loop, has_ended, n, 900));
    assert_false(serves(n, "p:a"));
    assert_int_equal(left(n, "p:a"), 0); /* it was certain for a second more */
    assert_int_equal(left(n, "p:b"), -1);
    assert_int_equal(count(n, METRIC_NEAR_UP, ""), 0);
    assert_int_equal(flushes(n, "lost"), 1);
    assert_true(redis_up(n->w->redis)); /* the other connection is another one */
    assert_true(run_until(&n->w->loop, is_on, n, 5000));
    assert_false(has(n, "p:a"));
    assert_int_equal(left(n, "p:a"), -1);
    keep(n, "p:a");
    assert_true(has(n, "p:a"));
    near_world_free(n);
}

/* Found trusted just before the end, kept just after: nobody ever sees it. */
static void test_what_is_kept_while_it_is_off_is_never_served(void **state)
{
    struct near_world *n = near_world_on();
    uint32_t mark;
    struct blob *b = blob_copy(SLICE("value"));
    server.hold_tracking = true;
    hang_up(server.line);
    assert_true(run_until(&n->w->loop, has_ended, n, 900));
    assert_null(near_look(n->near, SLICE("p:a"), NOW, &mark));
    near_keep(n->near, SLICE("p:a"), b, CLOCK_NEVER, NOW, mark);
    blob_unref(b);
    assert_int_equal(records(n), 1);
    server.hold_tracking = false;
    assert_true(run_until(&n->w->loop, is_on, n, 8000));
    assert_false(has(n, "p:a"));
    near_world_free(n);
}

static void test_silence_ends_it(void **state)
{
    struct near_world *n = near_world_on();
    keep(n, "p:a");
    server.silent = true;
    uint64_t start = clock_mono_us();
    assert_true(run_until(&n->w->loop, is_off, n, 5000));
    assert_in_range(clock_mono_us() - start, 0, (NEAR_LAG_MS + 400 * (1 + SANITIZED)) * 1000);
    assert_true(run_until(&n->w->loop, has_ended, n, 5000));
    assert_int_equal(flushes(n, "silent"), 1);
    assert_false(serves(n, "p:a"));
    run_for(&n->w->loop, 100);
    assert_in_range(left(n, "p:a"), 50, 10000); /* more than a second after it was heard last */
    server.silent = false;
    assert_true(run_until(&n->w->loop, is_on, n, 5000));
    near_world_free(n);
}

/* It is we who were away: no copy is served before what has come meanwhile is read, and then nothing is lost. */
/* A server that falls silent is believed for a second after the last question that it has answered, though the answer came late. */
static void test_trust_counts_from_the_question(void **state)
{
    struct near_world *n = near_world_on();
    server.silent = true;
    assert_true(run_until(&n->w->loop, is_set, &server.pinged, 5000));
    uint64_t asked_us = clock_mono_us(); /* or before */
    run_for(&n->w->loop, 300);
    say(server.line, "+PONG\r\n");
    server.pinged = false;
    assert_true(run_until(&n->w->loop, is_set, &server.pinged, 5000)); /* heard, and the next one is on its way */
    assert_true(near_trusted(n->near, asked_us + 800000));
    assert_false(near_trusted(n->near, asked_us + NEAR_LAG_MS * 1000));
    near_world_free(n);
}

static void test_a_loop_that_was_away_serves_nothing_old(void **state)
{
    struct near_world *n = near_world_on();
    keep(n, "p:a");
    keep(n, "p:b");
    server.silent = true;
    assert_true(run_until(&n->w->loop, is_set, &server.pinged, 5000));
    server.silent = false;
    say(server.line, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\np:a\r\n");
    say(server.line, "+PONG\r\n");
    usleep((NEAR_LAG_MS + 300) * 1000);
    assert_true(is_off(n));
    assert_true(run_until(&n->w->loop, is_on, n, 5000));
    assert_false(has(n, "p:a"));
    assert_true(has(n, "p:b"));
    assert_int_equal(flushes(n, "silent") + flushes(n, "lost"), 0);
    near_world_free(n);
}

static void test_a_message_may_lie_there_when_a_ping_is_due(void **state)
{
    struct near_world *n = near_world_on();
    for (int i = 0; i < 3; i++) {
        keep(n, "p:a");
        say(server.line, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\np:a\r\n");
        usleep((NEAR_LAG_MS / 4 + 20) * 1000);
        await_gone(n, "p:a");
    }
    assert_int_equal(flushes(n, "lost"), 0);
    assert_int_equal(server.hellos, 1);
    near_world_free(n);
}

static void test_a_server_that_does_not_track_is_not_hammered(void **state)
{
    struct near_world *n = near_world_new();
    server.hello = "-ERR unknown command `HELLO`\r\n";
    run_for(&n->w->loop, 900);
    assert_int_equal(server.hellos, 1);
    assert_true(is_off(n));
    assert_false(near_is_whole(n->near));
    assert_true(redis_up(n->w->redis));
    near_world_free(n);
}

static void test_it_ends_in_every_state(void **state)
{
    near_world_free(near_world_new()); /* connecting */
    struct near_world *n = near_world_new();
    server.hold_tracking = true;
    run_for(&n->w->loop, 100); /* asking */
    near_world_free(n);
    n = near_world_on();
    hang_up(server.line);
    assert_true(run_until(&n->w->loop, has_ended, n, 900)); /* down */
    near_world_free(n);
}

/* ---- reads and writes */

struct op {
    struct store_op op;
    enum status status;
    struct blob *value;
};

static void on_done(struct store_op *op, enum status status, struct blob *value)
{
    struct op *o = container_of(op, struct op, op);
    o->status = status;
    o->value = value;
}

static bool is_done(void *op) { return ((struct op *)op)->status != PENDING; }

static bool is_held(void *none) { return server.asked != NULL; }

/* A read that Redis has been asked for, and has not answered. */
struct reading {
    struct near_look look;
    struct op o;
};

static void read_begin(struct near_world *n, struct reading *r)
{
    server.hold_gets = true;
    server.asked = NULL;
    server.value = "old";
    *r = (struct reading){.o.op.done = on_done};
    assert_true(run_until(&n->w->loop, is_on, n, 5000));
    assert_null(store_look_near(n->store, SLICE("p:k"), NOW, &r->look));
    r->o.status = store_get(n->store, SLICE("p:k"), NOW, &r->o.op);
    assert_int_equal(r->o.status, PENDING);
    assert_true(run_until(&n->w->loop, is_held, NULL, 5000));
}

/* The answer comes, and is kept if it may be. */
static void read_end(struct near_world *n, struct reading *r, uint64_t until_ms)
{
    say_get(server.asked);
    server.hold_gets = false;
    assert_true(run_until(&n->w->loop, is_done, &r->o, 5000));
    assert_int_equal(r->o.status, OK);
    store_keep_near(n->store, SLICE("p:k"), &r->look, r->o.value, until_ms, NOW);
    blob_unref(r->o.value);
}

static void test_an_answer_is_kept_until_its_end(void **state)
{
    struct near_world *n = near_world_on();
    struct reading r;
    struct near_look look;
    read_begin(n, &r);
    read_end(n, &r, NOW + 100);
    struct blob *b = store_look_near(n->store, SLICE("p:k"), NOW + 99, &look);
    assert_non_null(b);
    blob_unref(b);
    assert_null(store_look_near(n->store, SLICE("p:k"), NOW + 100, &look));
    read_begin(n, &r);
    read_end(n, &r, NOW); /* over already */
    assert_int_equal(records(n), 0);
    near_world_free(n);
}

static void test_an_answer_that_a_message_has_overtaken_is_not_kept(void **state)
{
    static const char *const message[] = {">2\r\n$10\r\ninvalidate\r\n*2\r\n$3\r\np:k\r\n$3\r\np:x\r\n",
                                          ">2\r\n$10\r\ninvalidate\r\n_\r\n"};
    for (int i = 0; i < 2; i++) {
        struct near_world *n = near_world_on();
        struct reading r;
        keep(n, "p:x");
        read_begin(n, &r);
        say(server.line, message[i]);
        await_gone(n, "p:x");
        read_end(n, &r, CLOCK_NEVER);
        assert_false(has(n, "p:k"));
        read_begin(n, &r); /* the next one is */
        read_end(n, &r, CLOCK_NEVER);
        assert_true(has(n, "p:k"));
        say(server.line, message[i]); /* the same in the other order */
        await_gone(n, "p:k");
        near_world_free(n);
    }
}

static void test_an_answer_from_before_a_loss_is_not_kept(void **state)
{
    struct near_world *n = near_world_on();
    struct reading r;
    n->w->config.timeout_ms = 10000; /* not of this one, which is open already */
    read_begin(n, &r);
    struct visit *asked = server.asked;
    hang_up(server.line);
    assert_true(run_until(&n->w->loop, has_ended, n, 900));
    assert_true(run_until(&n->w->loop, is_on, n, 5000));
    server.asked = asked;
    if (!is_done(&r.o)) read_end(n, &r, CLOCK_NEVER);
    assert_false(has(n, "p:k"));
    near_world_free(n);
}

static struct near_world *writing;

static void on_written(struct store_op *op, enum status status, struct blob *value)
{
    assert_false(has(writing, "p:k")); /* before anyone is told */
    on_done(op, status, value);
}

/* Each kind of write drops the copy, and what was asked for before its answer is not kept. */
static void test_our_own_writes_are_seen_at_once(void **state)
{
    static const char token[] = "0123456789abcdef0123456789abcdef";
    struct near_world *n = writing = near_world_on();
    struct blob *b = blob_copy(SLICE("new value"));
    for (int kind = 0; kind < 5; kind++) {
        struct reading r;
        struct op o = {.op.done = on_written};
        if (!has(n, "p:k")) keep(n, "p:k");
        keep(n, kind % 2 ? "p:odd" : "p:even");
        struct near_look before;
        near_forget(n->near, near_name(SLICE("p:k")));
        assert_null(store_look_near(n->store, SLICE("p:k"), NOW, &before));
        keep(n, "p:k");
        switch (kind) {
        case 0: o.status = store_put(n->store, SLICE("p:k"), b, CLOCK_NEVER, NOW, &o.op); break;
        case 1: o.status = store_put(n->store, SLICE("p:k"), b, NOW, NOW, &o.op); break;
        case 2: o.status = store_delete(n->store, SLICE("p:k"), NOW, &o.op); break;
        case 3: o.status = store_replace(n->store, SLICE("p:k"), SLICE("x"), b, CLOCK_NEVER, NOW, &o.op); break;
        case 4: o.status = store_lease_fill(n->store, SLICE("p:k"), token, b, CLOCK_NEVER, NOW, &o.op); break;
        }
        assert_int_equal(o.status, PENDING);
        assert_true(run_until(&n->w->loop, is_done, &o, 5000));
        assert_int_equal(o.status, kind == 2 ? MISSING : OK);
        store_keep_near(n->store, SLICE("p:k"), &before, b, CLOCK_NEVER, NOW);
        assert_false(has(n, "p:k"));
        assert_true(has(n, kind % 2 ? "p:odd" : "p:even"));
        near_forget(n->near, near_name(kind % 2 ? SLICE("p:odd") : SLICE("p:even")));
        read_begin(n, &r);
        read_end(n, &r, CLOCK_NEVER);
        assert_true(has(n, "p:k"));
    }
    blob_unref(b);
    near_world_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_on_when_the_server_has_agreed),
        cmocka_unit_test(test_it_stays_on),
        cmocka_unit_test(test_a_message_counts_when_it_has_come),
        cmocka_unit_test(test_messages_drop_what_they_name),
        cmocka_unit_test(test_messages_byte_by_byte),
        cmocka_unit_test(test_a_message_may_be_of_any_length),
        cmocka_unit_test(test_a_message_of_another_form_ends_the_connection),
        cmocka_unit_test(test_a_lost_connection_ends_it_until_it_is_empty),
        cmocka_unit_test(test_what_is_kept_while_it_is_off_is_never_served),
        cmocka_unit_test(test_silence_ends_it),
        cmocka_unit_test(test_trust_counts_from_the_question),
        cmocka_unit_test(test_a_loop_that_was_away_serves_nothing_old),
        cmocka_unit_test(test_a_message_may_lie_there_when_a_ping_is_due),
        cmocka_unit_test(test_a_server_that_does_not_track_is_not_hammered),
        cmocka_unit_test(test_it_ends_in_every_state),
        cmocka_unit_test(test_an_answer_is_kept_until_its_end),
        cmocka_unit_test(test_an_answer_that_a_message_has_overtaken_is_not_kept),
        cmocka_unit_test(test_an_answer_from_before_a_loss_is_not_kept),
        cmocka_unit_test(test_our_own_writes_are_seen_at_once),
    };
    log_set_level(SLICE("error"));
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
