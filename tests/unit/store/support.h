/* tests/unit/store/support.h -- what the tests of store/redis*.c share: a loop, questions that remember their answers, and
 * a scripted peer on the same loop. One thread, so a test says what happens in which order; waits are for a condition, with
 * a limit only so that a broken build ends. */
#ifndef PERIGEE_TESTS_STORE_SUPPORT_H
#define PERIGEE_TESTS_STORE_SUPPORT_H

#include "base/buffer.h"
#include "base/clock.h"
#include "base/list.h"
#include "store/redis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* ---- waiting */

static inline void support_tick(uv_timer_t *timer) {}

static inline void support_free(uv_handle_t *handle) { free(handle); }

/* Runs the loop until condition(arg), at most `ms`; says whether it came true. */
static inline bool run_until(uv_loop_t *loop, bool (*condition)(void *), void *arg, unsigned ms)
{
    uv_timer_t *ticker = malloc(sizeof *ticker);
    uint64_t end = clock_mono_us() + ms * 1000ull;
    uv_timer_init(loop, ticker);
    uv_timer_start(ticker, support_tick, 2, 2);
    while (!condition(arg) && clock_mono_us() < end) uv_run(loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)ticker, support_free);
    return condition(arg);
}

static inline bool never(void *arg) { return false; }

static inline void run_for(uv_loop_t *loop, unsigned ms) { run_until(loop, never, NULL, ms); }

static inline bool is_set(void *flag) { return *(bool *)flag; }

static inline bool is_up(void *redis) { return redis_up(redis); }

static inline bool is_down(void *redis) { return !redis_up(redis); }

/* ---- questions */

struct ask {
    struct redis_command c;
    enum status status; /* PENDING until answered */
    struct blob *value;
    int answers;
    bool starting; /* inside the start function: no answer may come */
};

static inline void on_answer(struct redis_command *c, enum status status, struct blob *value)
{
    struct ask *a = container_of(c, struct ask, c);
    assert_false(a->starting);
    a->status = status;
    a->value = value;
    a->answers++;
}

static inline enum status ask_get(struct redis *r, struct ask *a, const char *key)
{
    *a = (struct ask){.status = PENDING, .starting = true};
    a->status = redis_get(r, slice_of(key), &a->c, on_answer);
    a->starting = false;
    return a->status;
}

static const struct slice no_lease = {NULL, 0};

static inline enum status ask_put(struct redis *r, struct ask *a, const char *key, struct slice value, uint64_t ttl_ms)
{
    *a = (struct ask){.status = PENDING, .starting = true};
    a->status = redis_put(r, slice_of(key), no_lease, value, ttl_ms, &a->c, on_answer);
    a->starting = false;
    return a->status;
}

static inline enum status ask_replace(struct redis *r, struct ask *a, const char *key, struct slice expected,
                                      struct slice value, uint64_t ttl_ms)
{
    *a = (struct ask){.status = PENDING, .starting = true};
    a->status = redis_replace(r, slice_of(key), no_lease, expected, value, ttl_ms, &a->c, on_answer);
    a->starting = false;
    return a->status;
}

static inline enum status ask_delete(struct redis *r, struct ask *a, const char *key)
{
    *a = (struct ask){.status = PENDING, .starting = true};
    a->status = redis_delete(r, slice_of(key), no_lease, &a->c, on_answer);
    a->starting = false;
    return a->status;
}

static inline bool is_answered(void *ask) { return ((struct ask *)ask)->status != PENDING; }

/* Waits for the answer and gives its status; the value stays in a->value. */
static inline enum status wait_for(uv_loop_t *loop, struct ask *a)
{
    run_until(loop, is_answered, a, 20000);
    return a->status;
}

static inline enum status do_get(uv_loop_t *loop, struct redis *r, struct ask *a, const char *key)
{
    ask_get(r, a, key);
    return wait_for(loop, a);
}

static inline enum status do_put(uv_loop_t *loop, struct redis *r, struct ask *a, const char *key, const char *value,
                                 uint64_t ttl_ms)
{
    ask_put(r, a, key, slice_of(value), ttl_ms);
    return wait_for(loop, a);
}

/* The value is exactly this; gives it back. */
static inline void assert_value(struct ask *a, const char *expected)
{
    assert_non_null(a->value);
    assert_int_equal(a->value->n, strlen(expected));
    assert_memory_equal(a->value->p, expected, a->value->n);
    blob_unref(a->value);
    a->value = NULL;
}

/* ---- a scripted peer */

struct peer;

enum { PEER_ARGUMENTS = 300 }; /* of a command */

/* One connection at the peer. */
struct visit {
    struct list link;
    struct peer *peer;
    union {
        uv_pipe_t pipe;
        uv_tcp_t tcp;
    };
    unsigned number;    /* 1 is the first connection */
    bool closing, last; /* last: say no more after what is said */
    uv_shutdown_t shutdown;
    char in[256 << 10]; /* questions not answered yet */
    size_t in_n;
    struct buffer out; /* what trickles out, a byte each turn of the loop */
    size_t out_at;
    uv_idle_t trickle;
    uint64_t trickled_ms; /* when the last byte went */
    int handles;
};

struct peer {
    union {
        uv_pipe_t server;
        uv_tcp_t tcp;
    };
    int port; /* of 127.0.0.1; 0: it is a socket below dir */
    char dir[64], path[96];
    struct list visits;
    unsigned connections, commands, hangups; /* hangups: the client closed first */
    bool trickling;                          /* send byte by byte, */
    unsigned every_ms;                       /* one in this time; 0: one a turn of the loop */
    char seen[4096];                         /* the names of commands and their first arguments: "PING|GET a|" */
    /* What to say to a command; NULL: a sane empty server. */
    void (*script)(struct visit *v, int argc, struct slice *argv);
    void (*greeted)(struct visit *v); /* on connect, or NULL */
    void *arg;
};

static inline void visit_closed(uv_handle_t *handle)
{
    struct visit *v = handle->data;
    if (--v->handles) return;
    list_remove(&v->link);
    buffer_deinit(&v->out);
    free(v);
}

static inline void hang_up(struct visit *v)
{
    if (v->closing) return;
    v->closing = true;
    uv_close((uv_handle_t *)&v->pipe, visit_closed);
    uv_close((uv_handle_t *)&v->trickle, visit_closed);
}

/* Ends our half when all that was said is sent. */
static inline void say_end(struct visit *v)
{
    v->last = true;
    if (v->out_at == v->out.n) uv_shutdown(&v->shutdown, (uv_stream_t *)&v->pipe, NULL);
}

static inline void said(uv_write_t *write, int status) { free(write); }

static inline void trickle(uv_idle_t *idle)
{
    struct visit *v = idle->data;
    if (uv_now(idle->loop) < v->trickled_ms + v->peer->every_ms) return;
    v->trickled_ms = uv_now(idle->loop);
    uv_buf_t one = uv_buf_init(v->out.p + v->out_at, 1);
    if (v->out_at < v->out.n && uv_try_write((uv_stream_t *)&v->pipe, &one, 1) == 1) v->out_at++;
    if (v->out_at < v->out.n) return;
    uv_idle_stop(idle);
    if (v->last) uv_shutdown(&v->shutdown, (uv_stream_t *)&v->pipe, NULL);
}

static inline void say_bytes(struct visit *v, const char *p, size_t n)
{
    if (v->closing || n == 0) return;
    if (v->peer->trickling) {
        assert_true(buffer_put(&v->out, p, n));
        uv_idle_start(&v->trickle, trickle);
        return;
    }
    uv_write_t *write = malloc(sizeof *write + n);
    memcpy(write + 1, p, n);
    uv_buf_t buf = uv_buf_init((char *)(write + 1), (unsigned)n);
    uv_write(write, (uv_stream_t *)&v->pipe, &buf, 1, said);
}

static inline void say(struct visit *v, const char *text) { say_bytes(v, text, strlen(text)); }

static inline void say_bulk(struct visit *v, struct slice s)
{
    struct buffer b;
    buffer_init(&b, s.n + 64);
    buffer_printf(&b, "$%zu\r\n", s.n);
    buffer_slice(&b, s);
    buffer_slice(&b, SLICE("\r\n"));
    say_bytes(v, b.p, b.n);
    buffer_deinit(&b);
}

static inline void say_array(struct visit *v, int n)
{
    char head[24];
    snprintf(head, sizeof head, "*%d\r\n", n);
    say(v, head);
}

/* What a server without a single key says. */
static inline void say_sane(struct visit *v, int argc, struct slice *argv)
{
    if (slice_eq(argv[0], SLICE("PING"))) {
        say(v, "+PONG\r\n");
    } else if (slice_eq(argv[0], SLICE("GET"))) {
        say(v, "$-1\r\n");
    } else if (slice_eq(argv[0], SLICE("MGET"))) {
        say_array(v, argc - 1);
        for (int i = 1; i < argc; i++) say(v, "$-1\r\n");
    } else if (slice_eq(argv[0], SLICE("GETRANGE"))) {
        say(v, "$0\r\n\r\n");
    } else if (slice_eq(argv[0], SLICE("DEL"))) {
        say(v, ":0\r\n");
    } else {
        say(v, "+OK\r\n");
    }
}

static inline void peer_note(struct peer *p, int argc, struct slice *argv)
{
    size_t n = strlen(p->seen);
    if (n + argv[0].n + 80 > sizeof p->seen) return;
    snprintf(p->seen + n, sizeof p->seen - n, "%.*s%s%.*s|", SLICE_ARG(argv[0]), argc > 1 ? " " : "",
             argc > 1 ? (int)argv[1].n : 0, argc > 1 ? argv[1].p : "");
}

/* One whole command of what came, if there is one: how many bytes it takes. */
static inline size_t peer_parse(struct slice in, int *argc, struct slice argv[PEER_ARGUMENTS])
{
    const char *p = in.p, *end = in.p + in.n;
    char *after;
    if (in.n < 4 || !memchr(p, '\n', in.n)) return 0;
    *argc = (int)strtol(p + 1, &after, 10);
    assert_in_range(*argc, 1, PEER_ARGUMENTS);
    p = after + 2;
    for (int i = 0; i < *argc; i++) {
        if (p >= end || !memchr(p, '\n', (size_t)(end - p))) return 0;
        size_t n = strtoul(p + 1, &after, 10);
        p = after + 2;
        if ((size_t)(end - p) < n + 2) return 0;
        argv[i] = slice_from(p, n);
        p += n + 2;
    }
    return (size_t)(p - in.p);
}

static inline void visit_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct visit *v = stream->data;
    if (n < 0) {
        v->peer->hangups++;
        hang_up(v);
        return;
    }
    v->in_n += (size_t)n;
    struct slice in = slice_from(v->in, v->in_n), argv[PEER_ARGUMENTS];
    int argc;
    for (size_t used; !v->closing && (used = peer_parse(in, &argc, argv)) > 0; in = slice_skip(in, used)) {
        v->peer->commands++;
        peer_note(v->peer, argc, argv);
        (v->peer->script ? v->peer->script : say_sane)(v, argc, argv);
    }
    memmove(v->in, in.p, in.n);
    v->in_n = in.n;
}

static inline void visit_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct visit *v = handle->data;
    *buf = uv_buf_init(v->in + v->in_n, (unsigned)(sizeof v->in - v->in_n));
}

static inline void peer_on_connection(uv_stream_t *server, int status)
{
    struct peer *p = server->data;
    struct visit *v = calloc(1, sizeof *v);
    v->peer = p;
    v->number = ++p->connections;
    v->handles = 2;
    buffer_init(&v->out, 16 << 20);
    if (p->port) uv_tcp_init(server->loop, &v->tcp);
    else uv_pipe_init(server->loop, &v->pipe, 0);
    uv_idle_init(server->loop, &v->trickle);
    v->pipe.data = v->trickle.data = v;
    list_append(&p->visits, &v->link);
    uv_accept(server, (uv_stream_t *)&v->pipe);
    uv_read_start((uv_stream_t *)&v->pipe, visit_room, visit_read);
    if (p->greeted) p->greeted(v);
}

static inline void peer_place(struct peer *p)
{
    strcpy(p->dir, "/tmp/perigee-store-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->path, sizeof p->path, "%s/s", p->dir);
}

static inline void peer_listen(struct peer *p, uv_loop_t *loop)
{
    list_init(&p->visits);
    uv_pipe_init(loop, &p->server, 0);
    p->server.data = p;
    assert_int_equal(uv_pipe_bind(&p->server, p->path), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&p->server, 64, peer_on_connection), 0);
}

/* On a free port instead. */
static inline void peer_listen_on_port(struct peer *p, uv_loop_t *loop)
{
    struct sockaddr_in address;
    int n = sizeof address;
    list_init(&p->visits);
    uv_ip4_addr("127.0.0.1", p->port, &address);
    uv_tcp_init(loop, &p->tcp);
    p->tcp.data = p;
    assert_int_equal(uv_tcp_bind(&p->tcp, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&p->tcp, 64, peer_on_connection), 0);
    uv_tcp_getsockname(&p->tcp, (struct sockaddr *)&address, &n);
    p->port = ntohs(address.sin_port);
}

static inline void peer_hang_up_all(struct peer *p)
{
    for (struct list *l = p->visits.next; l != &p->visits; l = l->next) hang_up(container_of(l, struct visit, link));
}

static inline void peer_stop(struct peer *p)
{
    peer_hang_up_all(p);
    uv_close((uv_handle_t *)&p->server, NULL); /* libuv unlinks the socket */
}

static inline void peer_remove(struct peer *p)
{
    unlink(p->path);
    assert_int_equal(rmdir(p->dir), 0);
}

/* ---- client and peer together */

struct world {
    uv_loop_t loop;
    struct metrics *metrics;
    struct redis_config config;
    struct redis *redis;
    struct peer peer;
    bool closed;
};

static inline void world_on_closed(void *arg) { *(bool *)arg = true; }

static inline struct redis_config config_for(const char *path)
{
    struct redis_config c = {.timeout_ms = 400, .max_value = 64 << 10, .max_inflight = 256};
    snprintf(c.path, sizeof c.path, "%s", path);
    return c;
}

/* A loop and a listening peer; change w->config and w->peer, then world_open. */
static inline struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof *w);
    uv_loop_init(&w->loop);
    w->metrics = metrics_new();
    peer_place(&w->peer);
    peer_listen(&w->peer, &w->loop);
    w->config = config_for(w->peer.path);
    return w;
}

static inline void world_open(struct world *w) { w->redis = redis_open(&w->loop, &w->config, w->metrics); }

static inline struct world *world_up(void)
{
    struct world *w = world_new();
    world_open(w);
    assert_true(run_until(&w->loop, is_up, w->redis, 5000));
    return w;
}

/* Closes all; fails when a handle stays open. */
static inline void world_free(struct world *w)
{
    redis_close(w->redis, world_on_closed, &w->closed);
    assert_false(w->closed);
    peer_stop(&w->peer);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_true(w->closed);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    metrics_free(w->metrics);
    peer_remove(&w->peer);
    free(w);
}

static inline int64_t errors_of(struct metrics *m, const char *command, const char *outcome)
{
    struct slice labels[] = {slice_of(command), slice_of(outcome)};
    return atomic_load(&metrics_counter(m, METRIC_STORE_ERRORS, labels)->v);
}

#endif
