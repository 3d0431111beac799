/* tests/unit/store/test_many.c -- many gets as one, out of memory and from a scripted peer: all values in their places, or none
 * at all, whatever the peer says. */
#include "many.h"

#include "base/log.h"

#include <signal.h>
#include <sys/socket.h>

static unsigned sends; /* writes of the client: the peer's go through writev */

/* In the place of libc's. */
ssize_t send(int fd, const void *p, size_t n, int flags)
{
    sends++;
    return sendto(fd, p, n, flags, NULL, 0);
}

/* A world with a store before its client. */
struct place {
    struct world *w;
    struct store *s;
};

static struct place place_open(struct world *w)
{
    world_open(w);
    return (struct place){w, store_new(NULL, w->redis, w->metrics)};
}

static struct place place_up(void (*script)(struct visit *v, int argc, struct slice *argv))
{
    struct world *w = world_new();
    w->peer.script = script;
    struct place p = place_open(w);
    assert_true(run_until(&w->loop, is_up, w->redis, 5000));
    return p;
}

static void place_close(struct place *p)
{
    world_free(p->w);
    store_free(p->s);
}

static void assert_serves(struct place *p)
{
    struct many *m = many_new(5, 2);
    assert_true(run_until(&p->w->loop, is_up, p->w->redis, 7000));
    p->w->peer.script = script_all_values;
    assert_int_equal(do_many(&p->w->loop, p->s, m), OK);
    assert_all_there(m);
    free(m);
}

/* ---- the usual */

static void test_memory_answers_now(void **state)
{
    struct memory *memory = memory_new(1 << 20);
    struct metrics *metrics = metrics_new();
    struct store *s = store_new(memory, NULL, metrics);
    struct many *m = many_new(STORE_MANY_MAX, 3);
    unsigned char previous[8];
    char value[40];
    for (size_t i = 0; i < m->op.n; i++) {
        if (m->name[i][0] != 'k') continue;
        struct blob *b = blob_copy(slice_from(value, (size_t)snprintf(value, sizeof value, "value of %s", m->name[i])));
        memory_put(memory, slice_of(m->name[i]), b, 6000, 4000, previous);
        blob_unref(b);
    }
    assert_int_equal(ask_many(s, m), OK);
    assert_all_there(m);
    m->op.n = 2;
    strcpy(m->name[1], m->name[0]); /* the same twice */
    assert_int_equal(ask_many(s, m), OK);
    assert_ptr_equal(m->value[0], m->value[1]);
    store_many_cancel(&m->op); /* finished: harmless, and the values stay */
    assert_all_there(m);
    m->op.n = 0;
    assert_int_equal(ask_many(s, m), OK);
    assert_int_equal(m->answers, 0);
    free(m);
    memory_free(memory);
    store_free(s);
    metrics_free(metrics);
}

static void test_one_command_for_a_level(void **state)
{
    struct place p = place_up(script_all_values);
    struct many *m = many_new(60, 4);
    strcpy(m->name[59], "k0"); /* twice the same */
    sends = 0;
    assert_int_equal(ask_many(p.s, m), PENDING);
    assert_int_equal(wait_for_many(&p.w->loop, m), OK);
    assert_all_there(m);
    assert_int_equal(m->answers, 1);
    assert_int_equal(sends, 1);
    assert_string_equal(p.w->peer.seen, "PING|MGET k0|");
    store_many_cancel(&m->op); /* finished: harmless */
    free(m);
    place_close(&p);
}

static void test_one_key_and_none(void **state)
{
    struct place p = place_up(script_all_values);
    struct many *m = many_new(1, 0);
    assert_int_equal(do_many(&p.w->loop, p.s, m), OK);
    assert_all_there(m);
    strcpy(m->name[0], "nothing");
    assert_int_equal(do_many(&p.w->loop, p.s, m), OK);
    assert_all_there(m);
    m->op.n = 0;
    assert_int_equal(ask_many(p.s, m), OK);
    assert_string_equal(p.w->peer.seen, "PING|GET k0|GET nothing|");
    free(m);
    place_close(&p);
}

static void test_a_thousand_keys_leave_in_one_write(void **state)
{
    struct place p = place_up(script_all_values);
    struct many *m = many_new(STORE_MANY_MAX, 9);
    sends = 0;
    assert_int_equal(do_many(&p.w->loop, p.s, m), OK);
    assert_all_there(m);
    assert_int_equal(m->answers, 1);
    assert_int_equal(sends, 1);
    assert_string_equal(p.w->peer.seen, "PING|MGET k0|MGET k256|MGET k512|MGET k768|");
    free(m);
    place_close(&p);
}

static void test_the_greeting_goes_first(void **state)
{
    struct world *w = world_new();
    w->peer.script = script_all_values;
    struct place p = place_open(w);
    struct many *m = many_new(300, 9);
    assert_int_equal(ask_many(p.s, m), PENDING);
    assert_false(redis_up(w->redis));
    assert_int_equal(wait_for_many(&w->loop, m), OK);
    assert_all_there(m);
    assert_string_equal(w->peer.seen, "PING|MGET k0|MGET k256|");
    free(m);
    place_close(&p);
}

static void test_a_reply_byte_by_byte(void **state)
{
    struct place p = place_up(script_all_values);
    struct many *m = many_new(260, 5);
    p.w->peer.trickling = true;
    p.w->config.timeout_ms = 10000;
    assert_int_equal(do_many(&p.w->loop, p.s, m), OK);
    assert_all_there(m);
    free(m);
    place_close(&p);
}

/* ---- what must not be believed */

static const char *raw; /* what the peer says to MGET */

static void script_raw(struct visit *v, int argc, struct slice *argv)
{
    if (slice_eq(argv[0], SLICE("MGET"))) {
        say(v, raw);
    } else {
        script_all_values(v, argc, argv);
    }
}

static void test_what_is_no_answer_to_three_keys(void **state)
{
    static const char *const replies[] = {
        "*0\r\n",
        "*-1\r\n",
        "*2\r\n$1\r\na\r\n$1\r\nb\r\n",
        "*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n",
        "*1024\r\n$1\r\na\r\n",
        "*1073741824\r\n",
        "*4294967299\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n", /* three, and 2^32 */
        "*-2\r\n",
        "*3\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n$1\r\nc\r\n",
        "*3\r\n$1\r\na\r\n*0\r\n$1\r\nc\r\n",
        "*3\r\n$1\r\na\r\n*-1\r\n$1\r\nc\r\n",
        "*3\r\n*3\r\n*3\r\n*3\r\n*3\r\n*3\r\n*3\r\n",
        "*3\r\n$1\r\na\r\n>1\r\n$1\r\nb\r\n$1\r\nc\r\n",
        "*3\r\n$1\r\na\r\n%1\r\n$1\r\nb\r\n$1\r\nc\r\n",
        "*3\r\n$1\r\na\r\n|1\r\n$1\r\nb\r\n$1\r\nc\r\n",
        "*3\r\n$1\r\na\r\n+OK\r\n$1\r\nc\r\n",
        "*3\r\n$1\r\na\r\n-ERR no\r\n$1\r\nc\r\n",
        "*3\r\n$1\r\na\r\n:1\r\n$1\r\nc\r\n",
        "*3\r\n$1\r\na\r\n,1.5\r\n$1\r\nc\r\n",
        "*3\r\n$1\r\na\r\n#t\r\n$1\r\nc\r\n",
        "*3\r\n$1\r\na\r\n(12\r\n$1\r\nc\r\n",
        "*3\r\n$1\r\na\r\n=5\r\ntxt:b\r\n$1\r\nc\r\n",
        "*3\r\n$1\r\na\r\n$1\r\nbb\r\n$1\r\nc\r\n", /* longer than it said */
        "*3\r\n$1\r\na\r\n$-2\r\n$1\r\nc\r\n",
        "*3\r\n$1\r\na\r\n?\r\n",
        "~3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
        "$1\r\na\r\n",
        "$-1\r\n",
        "_\r\n",
        ":3\r\n",
        "+OK\r\n",
        "%1\r\n$1\r\na\r\n$1\r\nb\r\n",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
    };
    for (size_t i = 0; i < 2 * sizeof replies / sizeof *replies; i++) {
        struct place p = place_up(script_raw);
        struct many *m = many_new(3, 0);
        struct ask behind;
        raw = replies[i / 2];
        p.w->peer.trickling = i % 2;
        ask_many(p.s, m);
        ask_get(p.w->redis, &behind, "kept");
        if (wait_for_many(&p.w->loop, m) != STORE_UNAVAILABLE) fail_msg("%s: %s", raw, status_code(m->status));
        assert_nothing_there(m);
        assert_int_equal(m->answers, 1);
        assert_int_equal(wait_for(&p.w->loop, &behind), STORE_UNAVAILABLE); /* it is with the connection */
        if (errors_of(p.w->metrics, "mget", "lost") != 1) fail_msg("%s: not by what it said", raw);
        p.w->peer.trickling = false;
        assert_serves(&p);
        assert_int_equal(p.w->peer.connections, 2);
        free(m);
        place_close(&p);
    }
}

/* And an array is no answer to one key. */
static void script_arrays(struct visit *v, int argc, struct slice *argv)
{
    if (slice_eq(argv[0], SLICE("GET"))) {
        say(v, "*1\r\n$1\r\na\r\n");
    } else {
        script_all_values(v, argc, argv);
    }
}

static void test_an_array_is_no_answer_to_a_get(void **state)
{
    struct place p = place_up(script_arrays);
    struct many *m = many_new(1, 0);
    assert_int_equal(do_many(&p.w->loop, p.s, m), STORE_UNAVAILABLE);
    assert_nothing_there(m);
    assert_serves(&p);
    free(m);
    place_close(&p);
}

static void test_pushes_are_no_answers(void **state)
{
    struct place p = place_up(script_raw);
    struct many *m = many_new(3, 0);
    raw = ">3\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\nx\r\n:1\r\n#t\r\n"
          "*3\r\n$11\r\nvalue of k0\r\n_\r\n$11\r\nvalue of k2\r\n"
          ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\ny\r\n";
    strcpy(m->name[1], "nothing");
    ask_many(p.s, m);
    strcpy(m->name[0], "k0");
    assert_int_equal(wait_for_many(&p.w->loop, m), OK);
    assert_all_there(m);
    assert_serves(&p);
    assert_int_equal(p.w->peer.connections, 1);
    free(m);
    place_close(&p);
}

/* A bulk string of 1 GiB behind a good value, claimed and sent. */
static struct slice flood_body;
static uint64_t flooded;

static void flood_more(uv_write_t *write, int status)
{
    struct visit *v = write->data;
    if (status || v->closing) {
        free(write);
        return;
    }
    flooded += flood_body.n;
    uv_buf_t buf = uv_buf_init((char *)flood_body.p, (unsigned)flood_body.n);
    uv_write(write, (uv_stream_t *)&v->pipe, &buf, 1, flood_more);
}

static void script_flood(struct visit *v, int argc, struct slice *argv)
{
    if (!slice_eq(argv[0], SLICE("MGET"))) {
        script_all_values(v, argc, argv);
        return;
    }
    say(v, "*3\r\n$1\r\na\r\n$1073741824\r\n");
    uv_write_t *write = malloc(sizeof *write);
    write->data = v;
    flood_more(write, 0);
}

static void test_a_flood_is_dropped_at_the_cap(void **state)
{
    static char body[64 << 10];
    struct world *w = world_new();
    struct many *m = many_new(3, 0);
    memset(body, 'x', sizeof body);
    flood_body = slice_from(body, sizeof body);
    w->peer.script = script_flood;
    w->config.timeout_ms = 10000; /* it is the cap that ends it */
    struct place p = place_open(w);
    assert_true(run_until(&w->loop, is_up, w->redis, 5000));
    assert_int_equal(do_many(&w->loop, p.s, m), STORE_UNAVAILABLE);
    assert_nothing_there(m);
    assert_int_equal(errors_of(w->metrics, "mget", "lost"), 1);
    assert_true(flooded < 2 << 20); /* what the sockets buffer, and the cap */
    assert_serves(&p);
    free(m);
    place_close(&p);
}

static char big[300 << 10];

static void script_big(struct visit *v, int argc, struct slice *argv)
{
    if (!slice_eq(argv[0], SLICE("MGET"))) {
        script_all_values(v, argc, argv);
        return;
    }
    say_array(v, argc - 1);
    for (int i = 1; i < argc; i++) {
        if (slice_starts(argv[i], SLICE("big"))) say_bulk(v, slice_from(big, sizeof big));
        else say_value_of(v, argv[i]);
    }
}

static void test_a_value_over_its_bound_is_missing(void **state)
{
    struct world *w = world_new();
    struct many *m = many_new(3, 0);
    strcpy(m->name[1], "big");
    w->peer.script = script_big;
    w->config.max_value = sizeof big - 1;
    struct place p = place_open(w);
    assert_int_equal(do_many(&w->loop, p.s, m), OK);
    assert_all_there(m);
    assert_int_equal(errors_of(w->metrics, "mget", "too-long"), 1);
    assert_serves(&p);
    assert_int_equal(w->peer.connections, 1);
    free(m);
    place_close(&p);
}

/* 256 values of 300 KiB: each may be, but not all. */
static void test_values_over_their_bound_together(void **state)
{
    struct world *w = world_new();
    struct many *m = many_new(REDIS_MANY_MAX + 10, 0);
    for (size_t i = 0; i < REDIS_MANY_MAX; i++) strcpy(m->name[i], "big");
    w->peer.script = script_big;
    w->config.max_value = sizeof big;
    w->config.timeout_ms = 20000;
    struct place p = place_open(w);
    assert_int_equal(do_many(&w->loop, p.s, m), DEPTH_EXCEEDED);
    assert_nothing_there(m);
    assert_int_equal(errors_of(w->metrics, "mget", "too-long"), 1);
    m->op.n = 200; /* these may */
    assert_int_equal(do_many(&w->loop, p.s, m), OK);
    for (size_t i = 0; i < m->op.n; i++) {
        assert_int_equal(m->value[i]->n, sizeof big);
        blob_unref(m->value[i]);
    }
    assert_serves(&p);
    assert_int_equal(w->peer.connections, 1);
    free(m);
    place_close(&p);
}

/* ---- failures */

static const char *bad_key,
    *bad_reply; /* what the peer says to the MGET that begins with this key; NULL: no word more */
static bool mute;

static void script_one_bad(struct visit *v, int argc, struct slice *argv)
{
    bool is_it = slice_eq(argv[0], SLICE("MGET")) && slice_eq(argv[1], slice_of(bad_key));
    if (slice_eq(argv[0], SLICE("PING"))) mute = false; /* a new connection */
    if (is_it && !bad_reply) mute = true;
    if (mute) return;
    if (is_it) {
        say(v, bad_reply);
    } else {
        script_all_values(v, argc, argv);
    }
}

static void test_an_error_fails_all_and_nothing_else(void **state)
{
    static const char *const first[] = {"k0", "k256", "k768"};
    static const char *const errors[] = {"-ERR no\r\n", "-WRONGTYPE no\r\n", "-NOPERM no\r\n"};
    static const char *const labels[] = {"error", "wrongtype", "noperm"};
    for (size_t i = 0; i < 9; i++) {
        struct place p = place_up(script_one_bad);
        struct many *m = many_new(STORE_MANY_MAX, 0);
        struct ask behind;
        bad_key = first[i / 3];
        bad_reply = errors[i % 3];
        ask_many(p.s, m);
        ask_get(p.w->redis, &behind, "kept");
        assert_int_equal(wait_for_many(&p.w->loop, m), STORE_UNAVAILABLE);
        assert_nothing_there(m);
        assert_int_equal(wait_for(&p.w->loop, &behind), OK);
        assert_value(&behind, "value of kept");
        assert_nothing_there(m); /* nor came later parts into it */
        assert_int_equal(m->answers, 1);
        assert_int_equal(errors_of(p.w->metrics, "mget", labels[i % 3]), 1);
        assert_serves(&p);
        assert_int_equal(p.w->peer.connections, 1);
        free(m);
        place_close(&p);
    }
}

static void test_a_server_that_loads_is_down(void **state)
{
    struct place p = place_up(script_one_bad);
    struct many *m = many_new(600, 0);
    bad_key = "k256";
    bad_reply = "-LOADING Redis is loading the dataset in memory\r\n";
    assert_int_equal(do_many(&p.w->loop, p.s, m), STORE_UNAVAILABLE);
    assert_nothing_there(m);
    assert_int_equal(m->answers, 1);
    assert_false(redis_up(p.w->redis));
    assert_int_equal(ask_many(p.s, m), STORE_UNAVAILABLE); /* refused */
    assert_nothing_there(m);
    store_many_cancel(&m->op); /* harmless */
    assert_int_equal(errors_of(p.w->metrics, "mget", "refused"), 1);
    assert_serves(&p);
    free(m);
    place_close(&p);
}

/* The connection ends after each byte of a good reply but the last. */
static size_t cut_at;

static void script_cut(struct visit *v, int argc, struct slice *argv)
{
    if (slice_eq(argv[0], SLICE("MGET"))) {
        say_bytes(v, raw, cut_at);
        say_end(v);
    } else {
        script_all_values(v, argc, argv);
    }
}

static void test_a_connection_cut_inside_an_array(void **state)
{
    raw = "*3\r\n$11\r\nvalue of k0\r\n$-1\r\n$11\r\nvalue of k2\r\n";
    for (cut_at = 0; cut_at < strlen(raw); cut_at++) {
        struct place p = place_up(script_cut);
        struct many *m = many_new(3, 0);
        assert_int_equal(do_many(&p.w->loop, p.s, m), STORE_UNAVAILABLE);
        assert_nothing_there(m);
        assert_int_equal(m->answers, 1);
        assert_int_equal(errors_of(p.w->metrics, "mget", "lost"), 1);
        if (cut_at % 10 == 0) assert_serves(&p);
        free(m);
        place_close(&p);
    }
}

static bool first_part_is_there(void *many) { return ((struct many *)many)->op.left == 3; }

static void test_silence_costs_one_deadline(void **state)
{
    struct place p = place_up(script_one_bad);
    struct many *m = many_new(STORE_MANY_MAX, 0);
    bad_key = "k256";
    bad_reply = NULL;
    uint64_t start = clock_mono_us();
    ask_many(p.s, m);
    assert_true(run_until(&p.w->loop, first_part_is_there, m, 300));
    assert_int_equal(wait_for_many(&p.w->loop, m), STORE_UNAVAILABLE);
    assert_in_range((clock_mono_us() - start) / 1000, 399, 2000);
    assert_nothing_there(m);
    assert_int_equal(m->answers, 1);
    assert_int_equal(errors_of(p.w->metrics, "mget", "timeout"), 3);
    assert_serves(&p);
    free(m);
    place_close(&p);
}

/* What was claimed and never comes. */
static void test_a_claim_costs_one_deadline(void **state)
{
    struct place p = place_up(script_one_bad);
    struct many *m = many_new(3, 0);
    bad_key = "k0";
    bad_reply = "*3\r\n$11\r\nvalue of k0\r\n$9223372036854775807\r\nb\r\n";
    assert_int_equal(do_many(&p.w->loop, p.s, m), STORE_UNAVAILABLE);
    assert_nothing_there(m);
    assert_int_equal(errors_of(p.w->metrics, "mget", "timeout"), 1);
    assert_serves(&p);
    free(m);
    place_close(&p);
}

static void test_too_many_at_once_are_refused(void **state)
{
    struct world *w = world_new();
    struct many *m = many_new(STORE_MANY_MAX, 0);
    struct ask behind;
    w->config.max_inflight = 4;
    w->peer.script = script_all_values;
    struct place p = place_open(w);
    assert_true(run_until(&w->loop, is_up, w->redis, 5000));
    ask_get(w->redis, &behind, "kept");
    assert_int_equal(ask_many(p.s, m), OVERLOADED); /* of four parts one has no room */
    assert_nothing_there(m);
    assert_int_equal(errors_of(w->metrics, "mget", "overloaded"), 1);
    m->op.n = 0; /* what was asked of it is dropped when it comes */
    assert_int_equal(wait_for(&w->loop, &behind), OK);
    assert_value(&behind, "value of kept");
    run_for(&w->loop, 20);
    assert_int_equal(m->answers, 0);
    m->op.n = STORE_MANY_MAX; /* now there is room */
    assert_int_equal(do_many(&w->loop, p.s, m), OK);
    assert_all_there(m);
    free(m);
    place_close(&p);
}

/* ---- leaving */

static void test_a_cancelled_one_calls_nobody(void **state)
{
    struct place p = place_up(script_all_values);
    struct many *m = many_new(STORE_MANY_MAX, 3), *next = many_new(STORE_MANY_MAX, 4);
    ask_many(p.s, m);
    ask_many(p.s, next);
    store_many_cancel(&m->op);
    store_many_cancel(&m->op); /* harmless */
    assert_nothing_there(m);
    memset(m, 0xee, sizeof *m);
    assert_int_equal(wait_for_many(&p.w->loop, next), OK);
    assert_all_there(next); /* the others keep their places */
    free(m);
    free(next);
    place_close(&p);
}

static void test_cancelled_when_half_is_there(void **state)
{
    struct place p = place_up(script_one_bad);
    struct many *m = many_new(STORE_MANY_MAX, 0);
    bad_key = "k256";
    bad_reply = NULL;
    ask_many(p.s, m);
    assert_true(run_until(&p.w->loop, first_part_is_there, m, 300));
    assert_non_null(m->value[0]);
    store_many_cancel(&m->op);
    assert_nothing_there(m);
    assert_true(run_until(&p.w->loop, is_down, p.w->redis, 2000)); /* its place had a deadline all the same */
    assert_int_equal(m->answers, 0);
    assert_serves(&p);
    free(m);
    place_close(&p);
}

static void test_closed_while_it_is_under_way(void **state)
{
    struct place p = place_up(script_one_bad);
    struct many *m = many_new(STORE_MANY_MAX, 0), *held = many_new(10, 0);
    bad_key = "k256";
    bad_reply = NULL;
    ask_many(p.s, m);
    assert_true(run_until(&p.w->loop, first_part_is_there, m, 300));
    place_close(&p);
    assert_int_equal(m->status, STORE_UNAVAILABLE);
    assert_nothing_there(m);
    assert_int_equal(m->answers, 1);

    p = place_open(world_new());
    ask_many(p.s, held); /* the greeting is not over */
    place_close(&p);
    assert_int_equal(held->status, STORE_UNAVAILABLE);
    assert_nothing_there(held);
    free(m);
    free(held);
}

struct last {
    struct many *m; /* NULL: answered and gone */
    struct place *p;
    enum status status;
    bool close;
};

static struct last last;

/* What done may do: it frees the operation, asks again, or closes everything. */
static void on_last(struct store_many *op, enum status status)
{
    last.status = status;
    for (size_t i = 0; i < op->n; i++) blob_unref(op->value[i]);
    free(last.m);
    last.m = NULL;
    if (last.close) redis_close(last.p->w->redis, world_on_closed, &last.p->w->closed);
}

static bool last_is_gone(void *arg) { return last.m == NULL; }

static void test_done_may_free_and_close(void **state)
{
    for (int i = 0; i < 4; i++) {
        struct place p = place_up(script_one_bad);
        bad_key = i & 1 ? "k256" : "none";
        bad_reply = "*0\r\n";
        last = (struct last){many_new(STORE_MANY_MAX, 0), &p, PENDING, i & 2};
        last.m->op.done = on_last;
        ask_many(p.s, last.m);
        assert_true(run_until(&p.w->loop, last_is_gone, NULL, 5000));
        assert_int_equal(last.status, i & 1 ? STORE_UNAVAILABLE : OK);
        if (last.close) {
            assert_true(run_until(&p.w->loop, is_set, &p.w->closed, 3000));
            p.w->closed = false;
            world_open(p.w); /* for place_close */
        }
        place_close(&p);
    }
}

/* Many at once of either kind, some cancelled, and connections cut in the middle of a reply: no value meets another key. */
static unsigned dice;

static unsigned roll(void) { return (dice = dice * 1664525 + 1013904223) >> 8; }

static void script_cuts(struct visit *v, int argc, struct slice *argv)
{
    if (slice_eq(argv[0], SLICE("MGET")) && roll() % 40 == 0) {
        say_array(v, argc - 1);
        for (int i = 1; i < argc / 2; i++) say_value_of(v, argv[i]);
        say(v, "$12\r\nvalue");
        hang_up(v);
    } else {
        script_all_values(v, argc, argv);
    }
}

static void test_no_value_ever_meets_another_key(void **state)
{
    enum { BATCH = 20, ROUNDS = 60 };
    struct place p = place_up(script_cuts);
    struct many *m[BATCH];
    unsigned right = 0, lost = 0;
    for (int i = 0; i < BATCH; i++) m[i] = many_new(0, 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        assert_true(run_until(&p.w->loop, is_up, p.w->redis, 7000));
        for (unsigned i = 0; i < BATCH; i++) {
            m[i]->op.n = roll() % 600;
            for (size_t k = 0; k < m[i]->op.n; k++)
                snprintf(m[i]->name[k], sizeof *m[i]->name, "%c%u", roll() % 8 ? 'k' : 'n', roll() % 100000);
            ask_many(p.s, m[i]);
            if (i % 7 == 6) uv_run(&p.w->loop, UV_RUN_NOWAIT);
            if (i % 5 == 4 && m[i]->status == PENDING) {
                store_many_cancel(&m[i]->op);
                m[i]->status = MISSING;
            }
        }
        for (unsigned i = 0; i < BATCH; i++) {
            enum status st = wait_for_many(&p.w->loop, m[i]);
            if (st == OK) {
                assert_all_there(m[i]);
                right++;
            } else {
                assert_nothing_there(m[i]);
                lost += st == STORE_UNAVAILABLE;
            }
        }
    }
    assert_true(right > BATCH * ROUNDS / 4);
    assert_true(lost > 10);
    assert_true(p.w->peer.connections > 5);
    for (int i = 0; i < BATCH; i++) free(m[i]);
    place_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_answers_now),
        cmocka_unit_test(test_one_command_for_a_level),
        cmocka_unit_test(test_one_key_and_none),
        cmocka_unit_test(test_a_thousand_keys_leave_in_one_write),
        cmocka_unit_test(test_the_greeting_goes_first),
        cmocka_unit_test(test_a_reply_byte_by_byte),
        cmocka_unit_test(test_what_is_no_answer_to_three_keys),
        cmocka_unit_test(test_an_array_is_no_answer_to_a_get),
        cmocka_unit_test(test_pushes_are_no_answers),
        cmocka_unit_test(test_a_flood_is_dropped_at_the_cap),
        cmocka_unit_test(test_a_value_over_its_bound_is_missing),
        cmocka_unit_test(test_values_over_their_bound_together),
        cmocka_unit_test(test_an_error_fails_all_and_nothing_else),
        cmocka_unit_test(test_a_server_that_loads_is_down),
        cmocka_unit_test(test_a_connection_cut_inside_an_array),
        cmocka_unit_test(test_silence_costs_one_deadline),
        cmocka_unit_test(test_a_claim_costs_one_deadline),
        cmocka_unit_test(test_too_many_at_once_are_refused),
        cmocka_unit_test(test_a_cancelled_one_calls_nobody),
        cmocka_unit_test(test_cancelled_when_half_is_there),
        cmocka_unit_test(test_closed_while_it_is_under_way),
        cmocka_unit_test(test_done_may_free_and_close),
        cmocka_unit_test(test_no_value_ever_meets_another_key),
    };
    log_set_level(SLICE("error")); /* losses are what these tests are about */
    signal(SIGPIPE, SIG_IGN);      /* the peer's; the client needs no such help */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
