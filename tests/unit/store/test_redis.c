/* tests/unit/store/test_redis.c -- store/redis.c against a scripted peer: order, deadlines, loss, and what it must not
 * believe. */
#include "support.h"

#include "base/log.h"
#include "store/pause.h"
#include "store/redis_epochs.h"
#include "store/redis_link.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

static unsigned sends; /* writes of the client: the peer's go through writev */

/* In the place of libc's. */
ssize_t send(int fd, const void *p, size_t n, int flags)
{
    sends++;
    return sendto(fd, p, n, flags, NULL, 0);
}

/* GET k -> "value of k"; a key that begins with "no" is missing. */
static void script_values(struct visit *v, int argc, struct slice *argv)
{
    if (!slice_eq(argv[0], SLICE("GET")) || slice_starts(argv[1], SLICE("no"))) {
        say_sane(v, argc, argv);
        return;
    }
    char value[128];
    say_bulk(v, slice_from(value, (size_t)snprintf(value, sizeof value, "value of %.*s", SLICE_ARG(argv[1]))));
}

/* No answer to GET silent. */
static void script_silent(struct visit *v, int argc, struct slice *argv)
{
    if (argc > 1 && slice_eq(argv[1], SLICE("silent"))) return;
    script_values(v, argc, argv);
}

static bool peer_has_none(void *peer) { return list_empty(&((struct peer *)peer)->visits); }

/* ---- the usual */

static void test_answers_belong_to_their_questions(void **state)
{
    struct world *w = world_up();
    struct ask a[4];
    w->peer.script = script_values;
    assert_int_equal(ask_get(w->redis, &a[0], "a"), PENDING);
    assert_int_equal(ask_get(w->redis, &a[1], "none"), PENDING);
    assert_int_equal(ask_put(w->redis, &a[2], "p", SLICE("v"), 500), PENDING);
    assert_int_equal(ask_delete(w->redis, &a[3], "d"), PENDING);
    assert_int_equal(wait_for(&w->loop, &a[3]), MISSING);
    assert_int_equal(a[0].status, OK);
    assert_value(&a[0], "value of a");
    assert_int_equal(a[1].status, MISSING);
    assert_null(a[1].value);
    assert_int_equal(a[2].status, OK);
    assert_int_equal(a[2].c.previous_n, 0);
    for (int i = 0; i < 4; i++) assert_int_equal(a[i].answers, 1);
    assert_string_equal(w->peer.seen, "PING|GET a|GET none|GETRANGE p|SET p|DEL d|");
    world_free(w);
}

static void test_one_tick_is_one_write(void **state)
{
    struct world *w = world_up();
    struct ask a[100];
    char key[16];
    w->peer.script = script_values;
    sends = 0;
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "k%d", i);
        ask_get(w->redis, &a[i], key);
    }
    assert_int_equal(sends, 0);
    assert_int_equal(wait_for(&w->loop, &a[99]), OK);
    assert_int_equal(sends, 1);
    for (int i = 0; i < 100; i++) {
        char value[32];
        snprintf(value, sizeof value, "value of k%d", i);
        assert_value(&a[i], value);
    }
    world_free(w);
}

struct asker {
    struct world *w;
    struct ask ask;
};

static void ask_in_prepare(uv_prepare_t *handle)
{
    struct asker *it = handle->data;
    uv_prepare_stop(handle);
    ask_get(it->w->redis, &it->ask, "k");
}

/* Our flush is a prepare handle, too: one started by another must not wait until something else wakes the loop. */
static void test_what_a_prepare_handle_asks_leaves_at_once(void **state)
{
    struct asker it = {.w = world_up(), .ask.status = PENDING};
    uv_prepare_t prepare;
    uv_prepare_init(&it.w->loop, &prepare);
    prepare.data = &it;
    uv_run(&it.w->loop, UV_RUN_NOWAIT);
    uv_prepare_start(&prepare, ask_in_prepare);
    uint64_t start = clock_mono_us();
    while (it.ask.status == PENDING) uv_run(&it.w->loop, UV_RUN_ONCE);
    assert_int_equal(it.ask.status, MISSING);
    assert_true(clock_mono_us() - start < 300000); /* the deadline would wake it at 400 ms */
    uv_close((uv_handle_t *)&prepare, NULL);
    world_free(it.w);
}

struct chain {
    struct ask ask;
    struct world *w;
    int left;
};

static void on_chain(struct redis_command *c, enum status status, struct blob *value)
{
    struct chain *chain = container_of(container_of(c, struct ask, c), struct chain, ask);
    assert_int_equal(status, MISSING);
    if (--chain->left > 0) {
        assert_int_equal(redis_get(chain->w->redis, SLICE("next"), c, on_chain), PENDING);
    } else {
        chain->ask.status = OK;
    }
}

static void test_a_callback_may_ask_again(void **state)
{
    struct world *w = world_up();
    struct chain chain = {.w = w, .left = 300, .ask.status = PENDING}; /* more than the ring has slots */
    redis_get(w->redis, SLICE("first"), &chain.ask.c, on_chain);
    assert_int_equal(wait_for(&w->loop, &chain.ask), OK);
    world_free(w);
}

static void test_a_cancelled_command_keeps_its_place(void **state)
{
    struct world *w = world_up();
    struct ask a[3];
    w->peer.script = script_values;
    ask_get(w->redis, &a[0], "a");
    ask_get(w->redis, &a[1], "b");
    ask_get(w->redis, &a[2], "c");
    redis_cancel(&a[1].c);
    ask_get(w->redis, &a[1], "d"); /* the struct is ours again */
    redis_cancel(&a[0].c);
    redis_cancel(&a[0].c); /* harmless */
    memset(&a[0], 0xee, sizeof a[0]);
    assert_int_equal(wait_for(&w->loop, &a[1]), OK);
    assert_value(&a[1], "value of d");
    assert_value(&a[2], "value of c");
    redis_cancel(&a[1].c); /* finished: harmless */
    assert_int_equal(a[1].answers, 1);
    world_free(w);
}

static void test_too_many_at_once_are_refused(void **state)
{
    struct world *w = world_new();
    struct ask a[5];
    w->config.max_inflight = 4;
    w->peer.script = script_silent;
    world_open(w);
    assert_true(run_until(&w->loop, is_up, w->redis, 5000));
    for (int i = 0; i < 4; i++) assert_int_equal(ask_get(w->redis, &a[i], "k"), PENDING);
    assert_int_equal(ask_get(w->redis, &a[4], "k"), OVERLOADED);
    redis_cancel(&a[0].c); /* its reply is still to come: no room yet */
    assert_int_equal(ask_get(w->redis, &a[4], "k"), OVERLOADED);
    assert_int_equal(wait_for(&w->loop, &a[3]), OK);
    assert_int_equal(ask_get(w->redis, &a[4], "k"), PENDING);
    assert_int_equal(wait_for(&w->loop, &a[4]), OK);
    for (int i = 1; i < 5; i++) assert_value(&a[i], "value of k");
    assert_int_equal(errors_of(w->metrics, "get", "overloaded"), 2);
    world_free(w);
}

static void script_deaf(struct visit *v, int argc, struct slice *argv)
{
    if (slice_eq(argv[0], SLICE("PING"))) {
        say(v, "+PONG\r\n");
    } else {
        uv_read_stop((uv_stream_t *)&v->pipe);
    }
}

static void test_bytes_that_wait_are_bounded(void **state)
{
    struct world *w = world_new();
    enum { N = 40 };
    static char megabyte[1 << 20];
    struct ask a[N];
    w->config.max_unsent = 8 << 20;
    w->peer.script = script_deaf;
    world_open(w);
    assert_true(run_until(&w->loop, is_up, w->redis, 5000));
    unsigned taken = 0;
    while (taken < N && ask_put(w->redis, &a[taken], "k", slice_from(megabyte, sizeof megabyte), 0) == PENDING) taken++;
    assert_in_range(taken, 8, 10);
    assert_int_equal(a[taken].status, OVERLOADED);
    struct ask along = {.status = PENDING}; /* the last one that was taken would else have been sent in vain */
    assert_int_equal(redis_epochs_ask(w->redis, SLICE("e"), 1, &along.c, on_answer), PENDING);
    assert_int_equal(wait_for(&w->loop, &a[taken - 1]), STORE_UNAVAILABLE);
    assert_int_equal(along.status, STORE_UNAVAILABLE);
    world_free(w);
}

/* ---- put */

static void script_previous(struct visit *v, int argc, struct slice *argv)
{
    if (slice_eq(argv[0], SLICE("GETRANGE"))) {
        say(v, slice_eq(argv[1], SLICE("list")) ? "-WRONGTYPE no\r\n" : "$8\r\nPERIGEE1\r\n");
    } else if (slice_eq(argv[0], SLICE("SET")) && slice_eq(argv[1], SLICE("full"))) {
        say(v, "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    } else {
        say_sane(v, argc, argv);
    }
}

static void test_put_tells_what_it_replaced(void **state)
{
    struct world *w = world_up();
    struct ask a;
    w->peer.script = script_previous;
    assert_int_equal(do_put(&w->loop, w->redis, &a, "k", "v", 0), OK);
    assert_int_equal(a.c.previous_n, 8);
    assert_memory_equal(a.c.previous, "PERIGEE1", 8);
    assert_int_equal(do_put(&w->loop, w->redis, &a, "list", "v", 0), OK);
    assert_int_equal(a.c.previous_n, 0);
    assert_int_equal(do_put(&w->loop, w->redis, &a, "full", "v", 0), STORE_UNAVAILABLE);
    assert_int_equal(w->peer.connections, 1);
    assert_true(redis_up(w->redis));
    world_free(w);
}

/* ---- greeting */

static void script_locked(struct visit *v, int argc, struct slice *argv)
{
    const char *refusal = v->peer->arg;
    if (slice_eq(argv[0], SLICE("AUTH")) && refusal) {
        say(v, refusal);
    } else {
        script_values(v, argc, argv);
    }
}

static void test_the_greeting_goes_first(void **state)
{
    struct world *w = world_new();
    struct ask a;
    strcpy(w->config.server.user, "bob");
    strcpy(w->config.server.password, "pw");
    w->config.database = 3;
    w->peer.script = script_values;
    world_open(w);
    assert_int_equal(ask_get(w->redis, &a, "early"), PENDING); /* waits for the first attempt */
    assert_false(redis_up(w->redis));
    assert_int_equal(wait_for(&w->loop, &a), OK);
    assert_true(redis_up(w->redis));
    assert_value(&a, "value of early");
    assert_string_equal(w->peer.seen, "AUTH bob|SELECT 3|PING|GET early|");
    world_free(w);
}

/* A link that is listened to: what is told once it is lost. */
struct ear {
    bool ready, lost;
    unsigned after;
};

static void on_ear_ready(void *arg) { ((struct ear *)arg)->ready = true; }
static void on_ear_reply(void *arg, struct redis_reply *reply) {}
static void on_ear_lost(void *arg, struct redis_loss loss) { ((struct ear *)arg)->lost = true; }
static void on_ear_changed(void *arg, struct slice key) {}
static void on_ear_hearing(void *arg, bool hearing) { ((struct ear *)arg)->after += ((struct ear *)arg)->lost; }

static void test_nothing_is_called_after_the_loss(void **state)
{
    static const struct redis_link_events events = {on_ear_ready, on_ear_reply, on_ear_lost, on_ear_changed,
                                                    on_ear_hearing};
    struct world *w = world_up();
    struct ear ear = {.ready = false};
    char why[128];
    assert_non_null(redis_link_open(&w->loop, &w->config, &events, &ear, why));
    assert_true(run_until(&w->loop, is_set, &ear.ready, 5000));
    peer_hang_up_all(&w->peer);
    assert_true(run_until(&w->loop, is_set, &ear.lost, 5000));
    assert_int_equal(ear.after, 0);
    world_free(w);
}

static void test_a_password_is_never_logged(void **state)
{
    struct world *w = world_new();
    FILE *log = tmpfile();
    int stderr_was = dup(2);
    assert_non_null(log);
    dup2(fileno(log), 2);
    log_set_level(SLICE("info"));
    strcpy(w->config.server.password, "hunter2");
    w->peer.script = script_locked;
    w->peer.arg = "-ERR unknown command `AUTH`, with args beginning with: `hunter2`\r\n";
    world_open(w);
    struct ask a;
    ask_get(w->redis, &a, "k");
    assert_int_equal(wait_for(&w->loop, &a), STORE_UNAVAILABLE);
    w->peer.arg = "-HUNTERhunter2\r\n";
    run_for(&w->loop, 1300); /* and it tries again, but not before a second is over */
    assert_int_equal(w->peer.connections, 2);
    assert_false(redis_up(w->redis));
    log_set_level(SLICE("error"));
    dup2(stderr_was, 2);
    close(stderr_was);
    char text[4096] = "";
    rewind(log);
    size_t n = fread(text, 1, sizeof text - 1, log);
    fclose(log);
    assert_true(n > 0);
    assert_non_null(strstr(text, "credentials refused"));
    assert_null(strstr(text, "hunter2"));
    unsigned lines = 0;
    for (char *p = text; (p = strchr(p, '\n')); p++) lines++;
    assert_int_equal(lines, 2); /* one for each reason */
    world_free(w);
}

static void script_loading(struct visit *v, int argc, struct slice *argv)
{
    if (v->peer->arg) {
        say(v, "-LOADING Redis is loading the dataset in memory\r\n");
    } else {
        script_values(v, argc, argv);
    }
}

static void test_a_loading_server_is_not_up_until_it_is(void **state)
{
    struct world *w = world_new();
    struct ask a;
    w->peer.script = script_loading;
    w->peer.arg = w;
    world_open(w);
    ask_get(w->redis, &a, "k");
    assert_int_equal(wait_for(&w->loop, &a), STORE_UNAVAILABLE);
    run_for(&w->loop, 1000);
    assert_false(redis_up(w->redis));
    assert_in_range(w->peer.connections, 3, 7); /* 100, 200, 400, 800 ms and jitter: no hammering */
    w->peer.arg = NULL;
    assert_true(run_until(&w->loop, is_up, w->redis, 3000));

    w->peer.arg = w; /* and once more, while it serves */
    ask_get(w->redis, &a, "k");
    assert_int_equal(wait_for(&w->loop, &a), STORE_UNAVAILABLE);
    assert_false(redis_up(w->redis));
    w->peer.arg = NULL;
    assert_true(run_until(&w->loop, is_up, w->redis, 7000));
    world_free(w);
}

static void script_mute(struct visit *v, int argc, struct slice *argv) {}

static void test_a_silent_first_connect_ends_at_its_deadline(void **state)
{
    struct world *w = world_new();
    struct ask a;
    w->peer.script = script_mute;
    w->config.timeout_ms = 200;
    uint64_t start = clock_mono_us();
    world_open(w);
    assert_int_equal(ask_get(w->redis, &a, "k"), PENDING);
    assert_int_equal(wait_for(&w->loop, &a), STORE_UNAVAILABLE);
    assert_in_range((clock_mono_us() - start) / 1000, 195, 1000);
    assert_int_equal(ask_get(w->redis, &a, "k"), STORE_UNAVAILABLE); /* at once now */
    run_until(&w->loop, never, NULL, 300);                           /* a second attempt runs */
    assert_int_equal(ask_get(w->redis, &a, "k"), STORE_UNAVAILABLE);
    world_free(w);
}

/* ---- loss */

static void test_silence_costs_one_deadline(void **state)
{
    struct world *w = world_up();
    struct ask a[3];
    w->peer.script = script_silent;
    uint64_t start = clock_mono_us();
    for (int i = 0; i < 3; i++) ask_get(w->redis, &a[i], "silent");
    assert_int_equal(wait_for(&w->loop, &a[0]), STORE_UNAVAILABLE);
    assert_in_range((clock_mono_us() - start) / 1000, 399, 2000);
    for (int i = 1; i < 3; i++) assert_int_equal(a[i].status, STORE_UNAVAILABLE);
    assert_false(redis_up(w->redis));
    assert_int_equal(ask_get(w->redis, &a[0], "k"), STORE_UNAVAILABLE);
    assert_int_equal(errors_of(w->metrics, "get", "timeout"), 3);
    assert_int_equal(errors_of(w->metrics, "get", "refused"), 1);
    run_until(&w->loop, peer_has_none, &w->peer, 1000);
    assert_int_equal(w->peer.hangups, 1);
    assert_true(run_until(&w->loop, is_up, w->redis, 3000));
    assert_int_equal(do_get(&w->loop, w->redis, &a[0], "k"), OK);
    assert_value(&a[0], "value of k");
    world_free(w);
}

static void test_the_deadline_is_the_oldest_ones(void **state)
{
    struct world *w = world_up();
    struct ask a, b;
    w->peer.script = script_silent;
    assert_int_equal(do_get(&w->loop, w->redis, &a, "k"), OK); /* arms the timer */
    assert_value(&a, "value of k");
    run_for(&w->loop, 250);
    uint64_t start = clock_mono_us();
    ask_get(w->redis, &b, "silent");
    assert_int_equal(wait_for(&w->loop, &b), STORE_UNAVAILABLE);
    assert_in_range((clock_mono_us() - start) / 1000, 399, 2000); /* not at the first one's */
    world_free(w);
}

static void test_a_loop_that_was_away_reads_before_it_judges(void **state)
{
    struct world *w = world_up();
    struct ask a;
    struct list *first = w->peer.visits.next;
    struct visit *v = container_of(first, struct visit, link);
    w->peer.script = script_silent;
    ask_get(w->redis, &a, "silent");
    run_for(&w->loop, 50);
    int fd;
    assert_int_equal(uv_fileno((uv_handle_t *)&v->pipe, &fd), 0);
    assert_int_equal(write(fd, "$2\r\nhi\r\n", 8), 8);
    usleep(500000); /* the loop is busy elsewhere, past the deadline */
    assert_int_equal(wait_for(&w->loop, &a), OK);
    assert_value(&a, "hi");
    assert_true(redis_up(w->redis));
    world_free(w);
}

static void test_a_lost_connection_fails_all_and_comes_back(void **state)
{
    struct world *w = world_up();
    struct ask a[3];
    w->peer.script = script_silent;
    ask_get(w->redis, &a[0], "silent");
    ask_put(w->redis, &a[1], "silent", SLICE("v"), 0);
    ask_delete(w->redis, &a[2], "silent");
    run_for(&w->loop, 50);
    uint64_t start = clock_mono_us();
    peer_hang_up_all(&w->peer);
    for (int i = 0; i < 3; i++) assert_int_equal(wait_for(&w->loop, &a[i]), STORE_UNAVAILABLE);
    assert_true((clock_mono_us() - start) / 1000 < 300); /* at once, not at the deadline */
    assert_int_equal(ask_get(w->redis, &a[0], "k"), STORE_UNAVAILABLE);
    assert_true(run_until(&w->loop, is_up, w->redis, 3000));
    for (int i = 1; i < 3; i++) assert_int_equal(a[i].answers, 1);
    world_free(w);
}

static void test_it_starts_before_the_server(void **state)
{
    struct world *w = world_new();
    struct ask a;
    uv_close((uv_handle_t *)&w->peer.server, NULL); /* unlinks the socket */
    uv_run(&w->loop, UV_RUN_DEFAULT);
    world_open(w);
    assert_int_equal(ask_get(w->redis, &a, "k"), STORE_UNAVAILABLE);
    run_for(&w->loop, 200);
    peer_listen(&w->peer, &w->loop);
    assert_true(run_until(&w->loop, is_up, w->redis, 3000));
    world_free(w);
}

static void greet_and_close(struct visit *v) { hang_up(v); }

static void test_reconnects_back_off(void **state)
{
    struct world *w = world_new();
    w->peer.greeted = greet_and_close;
    world_open(w);
    run_for(&w->loop, 5000);
    /* After 100, 400, 1600, 1900 ms, each less a tenth at most: at least 4 attempts within 5 s, at most 6. */
    assert_in_range(w->peer.connections, 4, 6);
    world_free(w);
}

/* However it is shaken: as often as a crowd may bear, and soon enough for who has come back. */
static void test_pauses(void **state)
{
    for (int crowd = 0; crowd < 100; crowd++) {
        struct pause *p = calloc(1, sizeof *p);
        uint64_t attempts = 0;
        for (uint64_t time = pause_next(p); time <= 30000; attempts++) {
            uint64_t pause = pause_next(p);
            assert_in_range(pause, 360, PAUSE_MAX_MS);
            time += pause;
        }
        assert_in_range(attempts, 17, 19); /* and the first */
        pause_reset(p);
        assert_in_range(pause_next(p), 90, PAUSE_MIN_MS);
        free(p);
    }
}

/* -- what its errors mean -- */

static const char *refusal; /* to everything but PING */

static void script_refusing(struct visit *v, int argc, struct slice *argv)
{
    if (refusal && !slice_eq(argv[0], SLICE("PING"))) say(v, refusal);
    else script_values(v, argc, argv);
}

/* One server of ours takes no writes: perhaps another has the name by now; but that is not asked again for each of them. */
static void test_a_replica_is_left_once(void **state)
{
    struct world *w = world_up();
    struct ask a;
    w->peer.script = script_refusing;
    refusal = "-READONLY You can't write against a read only replica.\r\n";
    assert_int_equal(do_put(&w->loop, w->redis, &a, "k", "v", 0), STORE_UNAVAILABLE);
    assert_false(redis_up(w->redis));
    assert_true(run_until(&w->loop, is_up, w->redis, 5000));
    assert_int_equal(w->peer.connections, 2);
    for (int i = 0; i < 5; i++) assert_int_equal(do_put(&w->loop, w->redis, &a, "k", "v", 0), STORE_UNAVAILABLE);
    assert_true(redis_up(w->redis));
    assert_int_equal(w->peer.connections, 2);
    refusal = NULL;
    assert_int_equal(do_put(&w->loop, w->redis, &a, "k", "v", 0), OK);
    assert_int_equal(errors_of(w->metrics, "put", "readonly"), 6);
    world_free(w);
}

static void test_a_busy_server_is_down(void **state)
{
    struct world *w = world_up();
    struct ask a;
    w->peer.script = script_refusing;
    refusal = "-BUSY Redis is busy running a script.\r\n";
    assert_int_equal(do_get(&w->loop, w->redis, &a, "k"), STORE_UNAVAILABLE);
    assert_false(redis_up(w->redis));
    refusal = NULL;
    assert_true(run_until(&w->loop, is_up, w->redis, 5000));
    assert_int_equal(errors_of(w->metrics, "get", "busy"), 1);
    world_free(w);
}

/* Answers one, hangs on the next, again and again: that is no reason to come back sooner each time. */
static void test_a_server_that_hangs_again_and_again(void **state)
{
    struct world *w = world_new();
    struct ask a;
    w->peer.script = script_silent;
    w->config.timeout_ms = 50;
    world_open(w);
    unsigned hung = 0;
    for (uint64_t start = clock_mono_us(); clock_mono_us() - start < 3000000;) {
        if (!run_until(&w->loop, is_up, w->redis, 500)) continue;
        assert_int_equal(do_get(&w->loop, w->redis, &a, "good"), OK);
        assert_value(&a, "value of good");
        assert_int_equal(do_get(&w->loop, w->redis, &a, "silent"), STORE_UNAVAILABLE);
        hung++;
    }
    assert_in_range(hung, 3, 5); /* 100, 400, 1600, 1900 ms apart */
    world_free(w);
}

/* ---- closing */

static void on_close_it(struct redis_command *c, enum status status, struct blob *value)
{
    struct chain *chain = container_of(container_of(c, struct ask, c), struct chain, ask);
    blob_unref(value);
    redis_close(chain->w->redis, world_on_closed, &chain->w->closed);
    assert_false(chain->w->closed);
}

static void close_inside_a_callback(bool at_loss)
{
    struct world *w = world_up();
    struct chain chain = {.w = w};
    struct ask later;
    w->peer.script = script_silent;
    redis_get(w->redis, at_loss ? SLICE("silent") : SLICE("k"), &chain.ask.c, on_close_it);
    ask_get(w->redis, &later, "later");
    if (at_loss) {
        uv_run(&w->loop, UV_RUN_NOWAIT);
        peer_hang_up_all(&w->peer);
    }
    assert_true(run_until(&w->loop, is_set, &w->closed, 3000));
    assert_int_equal(later.status, STORE_UNAVAILABLE);
    assert_int_equal(later.answers, 1);
    peer_stop(&w->peer);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    metrics_free(w->metrics);
    peer_remove(&w->peer);
    free(w);
}

static void test_close_inside_an_answer(void **state) { close_inside_a_callback(false); }

static void test_close_inside_a_loss(void **state) { close_inside_a_callback(true); }

static void test_close_ends_what_is_under_way(void **state)
{
    struct world *w = world_new();
    struct ask a[2];
    world_open(w);
    ask_get(w->redis, &a[0], "k"); /* held: the greeting is not over */
    ask_put(w->redis, &a[1], "k", SLICE("v"), 1);
    world_free(w);
    assert_int_equal(a[0].status, STORE_UNAVAILABLE);
    assert_int_equal(a[1].status, STORE_UNAVAILABLE);
    assert_int_equal(a[0].answers + a[1].answers, 2);
}

/* A name that has to be looked up; closed while that runs. */
static void test_close_while_the_name_is_looked_up(void **state)
{
    struct world *w = world_new();
    w->config.path[0] = '\0';
    strcpy(w->config.address[0].host, "localhost");
    w->config.address[0].port = 1;
    world_open(w);
    world_free(w);

    w = world_new();
    w->config.path[0] = '\0';
    strcpy(w->config.address[0].host, "localhost");
    w->config.address[0].port = 1; /* nobody there */
    world_open(w);
    struct ask a;
    ask_get(w->redis, &a, "k");
    assert_int_equal(wait_for(&w->loop, &a), STORE_UNAVAILABLE);
    world_free(w);
}

/* ---- what must not be believed */

static void script_extra(struct visit *v, int argc, struct slice *argv)
{
    script_values(v, argc, argv);
    if (argc > 1 && slice_eq(argv[1], SLICE("twice"))) say(v, "$5\r\nextra\r\n");
}

static void test_an_extra_reply_is_never_an_answer(void **state)
{
    struct world *w = world_up();
    struct ask a, b;
    w->peer.script = script_extra;
    assert_int_equal(do_get(&w->loop, w->redis, &a, "twice"), OK);
    assert_value(&a, "value of twice");
    if (ask_get(w->redis, &b, "b") == PENDING && wait_for(&w->loop, &b) == OK) assert_value(&b, "value of b");
    run_until(&w->loop, is_down, w->redis, 100);
    assert_true(run_until(&w->loop, is_up, w->redis, 3000));
    assert_int_equal(w->peer.connections, 2);
    assert_int_equal(do_get(&w->loop, w->redis, &b, "b"), OK);
    assert_value(&b, "value of b");
    world_free(w);
}

static void test_what_lies_there_before_the_question_is_no_answer(void **state)
{
    struct world *w = world_up();
    struct ask a;
    int fd;
    w->peer.script = script_silent;
    struct visit *v = container_of(w->peer.visits.next, struct visit, link);
    assert_int_equal(uv_fileno((uv_handle_t *)&v->pipe, &fd), 0);
    assert_int_equal(write(fd, "$4\r\nevil\r\n", 10), 10); /* the client's loop has not seen it yet */
    assert_int_equal(ask_get(w->redis, &a, "silent"), PENDING);
    assert_int_equal(wait_for(&w->loop, &a), STORE_UNAVAILABLE);
    assert_null(a.value);
    assert_int_equal(errors_of(w->metrics, "get", "lost"), 1);
    world_free(w);
}

static size_t resident(void)
{
    unsigned long size, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%lu %lu", &size, &pages) != 2) pages = 0;
    if (f) fclose(f);
    return pages * 4096;
}

/* A peer that answers with `head` and then, without end, with `body`. */
struct flood {
    const char *head;
    struct slice body;
    uint64_t sent;
};

static void flood_more(uv_write_t *write, int status)
{
    struct visit *v = write->data;
    struct flood *f = v->peer->arg;
    if (status || v->closing) {
        free(write);
        return;
    }
    f->sent += f->body.n;
    uv_buf_t buf = uv_buf_init((char *)f->body.p, (unsigned)f->body.n);
    uv_write(write, (uv_stream_t *)&v->pipe, &buf, 1, flood_more);
}

static void script_flood(struct visit *v, int argc, struct slice *argv)
{
    struct flood *f = v->peer->arg;
    if (!slice_eq(argv[0], SLICE("GET"))) {
        say_sane(v, argc, argv);
        return;
    }
    say(v, f->head);
    uv_write_t *write = malloc(sizeof *write);
    write->data = v;
    f->sent = 0;
    uv_buf_t buf = uv_buf_init((char *)f->body.p, (unsigned)f->body.n);
    uv_write(write, (uv_stream_t *)&v->pipe, &buf, 1, flood_more);
}

static void test_a_flood_is_dropped_at_the_cap(void **state)
{
    static char body[64 << 10], nested[64 << 10];
    memset(body, 'x', sizeof body);
    for (size_t i = 0; i < sizeof nested; i++) nested[i] = "*1\r\n"[i % 4];
    static char pushes[64 << 10];
    for (size_t i = 0; i < sizeof pushes; i++) pushes[i] = ">1\r\n"[i % 4];
    struct flood floods[] = {
        {"$1073741824\r\n", slice_from(body, sizeof body), 0}, /* 1 GiB, claimed and sent */
        {"$1048576\r\n", slice_from(body, sizeof body), 0},    /* over max_value + 64 KiB */
        {"+", slice_from(body, sizeof body), 0},               /* a line without an end */
        {"-ERR ", slice_from(body, sizeof body), 0},
        {"$", slice_from(body, sizeof body), 0},
        {"*1\r\n", slice_from(nested, sizeof nested), 0}, /* a million nested arrays */
        {">1\r\n", slice_from(pushes, sizeof pushes), 0},
    };
    for (size_t i = 0; i < sizeof floods / sizeof *floods; i++) {
        struct world *w = world_new();
        struct ask a;
        w->config.timeout_ms = 10000; /* it is the cap that ends it */
        w->peer.script = script_flood;
        w->peer.arg = &floods[i];
        world_open(w);
        assert_true(run_until(&w->loop, is_up, w->redis, 5000));
        size_t before = resident();
        uint64_t start = clock_mono_us();
        assert_int_equal(do_get(&w->loop, w->redis, &a, "k"), STORE_UNAVAILABLE);
        assert_true(clock_mono_us() - start < 5000000);
        if (!SANITIZED) assert_true(resident() < before + (8 << 20));
        run_until(&w->loop, peer_has_none, &w->peer, 1000);
        assert_true(floods[i].sent < 2 << 20); /* what the sockets buffer, and the cap */
        world_free(w);
    }
}

static void script_big(struct visit *v, int argc, struct slice *argv)
{
    static char body[(64 << 10) + 100];
    memset(body, 'x', sizeof body);
    if (slice_eq(argv[0], SLICE("GET"))) {
        say_bulk(v, slice_from(body, slice_eq(argv[1], SLICE("fits")) ? 64 << 10 : sizeof body));
    } else {
        say_sane(v, argc, argv);
    }
}

static void test_a_value_over_its_bound_is_missing(void **state)
{
    struct world *w = world_up();
    struct ask a;
    w->peer.script = script_big;
    assert_int_equal(do_get(&w->loop, w->redis, &a, "fits"), OK);
    assert_int_equal(a.value->n, 64 << 10);
    blob_unref(a.value);
    assert_int_equal(do_get(&w->loop, w->redis, &a, "big"), MISSING);
    assert_null(a.value);
    assert_int_equal(errors_of(w->metrics, "get", "too-long"), 1);
    assert_int_equal(w->peer.connections, 1);
    world_free(w);
}

/* Unique values, many at once, and connections that are cut in the middle of a reply. */
static unsigned dice;

static void script_cut(struct visit *v, int argc, struct slice *argv)
{
    dice = dice * 1664525 + 1013904223;
    if (slice_eq(argv[0], SLICE("GET")) && (dice >> 8) % 700 == 0) {
        say(v, "$12\r\nvalue");
        hang_up(v);
    } else {
        script_values(v, argc, argv);
    }
}

static void test_no_value_ever_meets_another_key(void **state)
{
    struct world *w = world_up();
    enum { BATCH = 100, ROUNDS = 200 };
    struct ask a[BATCH];
    char key[32], value[64];
    unsigned right = 0, lost = 0;
    w->peer.script = script_cut;
    for (unsigned round = 0; round < ROUNDS; round++) {
        assert_true(run_until(&w->loop, is_up, w->redis, 7000));
        for (unsigned i = 0; i < BATCH; i++) {
            snprintf(key, sizeof key, "%u", round * BATCH + i);
            assert_int_equal(ask_get(w->redis, &a[i], key), PENDING);
            if (i % 10 == 9) redis_cancel(&a[i].c);
            if (i % 25 == 24) uv_run(&w->loop, UV_RUN_NOWAIT);
            if (!redis_up(w->redis)) break; /* the rest of a[] is of the round before: answered */
        }
        for (unsigned i = 0; i < BATCH; i++) {
            if (i % 10 == 9) continue;
            if (wait_for(&w->loop, &a[i]) == STORE_UNAVAILABLE) {
                lost += a[i].answers;
            } else if (a[i].answers) {
                snprintf(value, sizeof value, "value of %u", round * BATCH + i);
                assert_int_equal(a[i].status, OK);
                assert_value(&a[i], value);
                right++;
            }
            a[i].answers = 0;
        }
    }
    assert_true(right > BATCH * ROUNDS / 2);
    assert_true(lost > 10);
    assert_true(w->peer.connections > 5);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_belong_to_their_questions),
        cmocka_unit_test(test_one_tick_is_one_write),
        cmocka_unit_test(test_what_a_prepare_handle_asks_leaves_at_once),
        cmocka_unit_test(test_a_callback_may_ask_again),
        cmocka_unit_test(test_a_cancelled_command_keeps_its_place),
        cmocka_unit_test(test_too_many_at_once_are_refused),
        cmocka_unit_test(test_bytes_that_wait_are_bounded),
        cmocka_unit_test(test_put_tells_what_it_replaced),
        cmocka_unit_test(test_the_greeting_goes_first),
        cmocka_unit_test(test_nothing_is_called_after_the_loss),
        cmocka_unit_test(test_a_password_is_never_logged),
        cmocka_unit_test(test_a_loading_server_is_not_up_until_it_is),
        cmocka_unit_test(test_a_silent_first_connect_ends_at_its_deadline),
        cmocka_unit_test(test_silence_costs_one_deadline),
        cmocka_unit_test(test_the_deadline_is_the_oldest_ones),
        cmocka_unit_test(test_a_loop_that_was_away_reads_before_it_judges),
        cmocka_unit_test(test_a_lost_connection_fails_all_and_comes_back),
        cmocka_unit_test(test_it_starts_before_the_server),
        cmocka_unit_test(test_reconnects_back_off),
        cmocka_unit_test(test_a_server_that_hangs_again_and_again),
        cmocka_unit_test(test_a_busy_server_is_down),
        cmocka_unit_test(test_a_replica_is_left_once),
        cmocka_unit_test(test_pauses),
        cmocka_unit_test(test_close_inside_an_answer),
        cmocka_unit_test(test_close_inside_a_loss),
        cmocka_unit_test(test_close_ends_what_is_under_way),
        cmocka_unit_test(test_close_while_the_name_is_looked_up),
        cmocka_unit_test(test_an_extra_reply_is_never_an_answer),
        cmocka_unit_test(test_what_lies_there_before_the_question_is_no_answer),
        cmocka_unit_test(test_a_flood_is_dropped_at_the_cap),
        cmocka_unit_test(test_a_value_over_its_bound_is_missing),
        cmocka_unit_test(test_no_value_ever_meets_another_key),
    };
    log_set_level(SLICE("error")); /* losses are what these tests are about */
    signal(SIGPIPE, SIG_IGN);      /* the peer's; the client needs no such help */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
