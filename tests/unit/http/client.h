/* tests/unit/http/client.h -- a server, a loop and clients in one thread. A test says what it waits for and turns the
 * loop until that is so; only a test that fails waits long. */
#ifndef PERIGEE_TESTS_HTTP_CLIENT_H
#define PERIGEE_TESTS_HTTP_CLIENT_H

#include "http/connection.h"
#include "http/listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_MS 10000
#define BIG_BYTES   (2 << 20)

struct bench {
    uv_loop_t loop;
    uv_timer_t turn; /* no turn of the loop takes long */
    uv_timer_t later;
    struct http_config config;
    struct http_server *server;
    struct listener listener;
    struct metrics *metrics;
    _Atomic unsigned open;
    struct exchange *held[256]; /* taken by the handler, not answered yet */
    size_t n_held;
    unsigned handled, gone;
    struct blob *big;
    bool closed;
};

struct client {
    int fd;
    struct buffer in;
    bool ended, reset;
};

/* -- the server's side -- */

static void echo(struct exchange *ex)
{
    const struct http_request *r = &ex->request;
    reply_begin(&ex->reply, 200);
    reply_header(&ex->reply, "Content-Type", SLICE("text/plain"));
    reply_body(&ex->reply, r->method_name, NULL);
    reply_body(&ex->reply, SLICE(" "), NULL);
    reply_body(&ex->reply, r->path, NULL);
    reply_body(&ex->reply, SLICE(" "), NULL);
    reply_body(&ex->reply, r->body, NULL);
    reply_body(&ex->reply, SLICE("\n"), NULL);
    exchange_reply(ex);
}

static void answer_held(struct bench *b)
{
    size_t n = b->n_held;
    b->n_held = 0;
    for (size_t i = 0; i < n; i++) echo(b->held[i]);
}

static void on_later(uv_timer_t *timer) { answer_held(timer->data); }

static void forget_held(struct exchange *ex)
{
    struct bench *b = ex->owner;
    b->gone++;
    size_t kept = 0;
    for (size_t i = 0; i < b->n_held; i++)
        if (b->held[i] != ex) b->held[kept++] = b->held[i];
    b->n_held = kept;
}

/* /later answers from a timer, /hold when the test says so, /careless likewise but without on_gone; /release answers them all first. */
static void handle(struct exchange *ex)
{
    struct bench *b = ex->owner;
    struct slice path = ex->request.path;
    b->handled++;
    bool later = slice_starts(path, SLICE("/later")), careless = slice_starts(path, SLICE("/careless"));
    if (later || careless || slice_starts(path, SLICE("/hold"))) {
        if (!careless) ex->on_gone = forget_held;
        b->held[b->n_held++] = ex;
        if (later) uv_timer_start(&b->later, on_later, 0, 0);
    } else if (slice_eq(path, SLICE("/release"))) {
        answer_held(b);
        echo(ex);
    } else if (slice_eq(path, SLICE("/big"))) {
        reply_begin(&ex->reply, 200);
        reply_body(&ex->reply, (struct slice){b->big->p, BIG_BYTES / 2}, blob_ref(b->big));
        reply_body(&ex->reply, (struct slice){b->big->p + BIG_BYTES / 2, BIG_BYTES / 2}, blob_ref(b->big));
        exchange_reply(ex);
    } else if (slice_eq(path, SLICE("/pieces"))) {
        reply_begin(&ex->reply, 200);
        for (int i = 0; i < 3000; i++) reply_body(&ex->reply, SLICE("piece "), NULL);
        exchange_reply(ex);
    } else if (slice_starts(path, SLICE("/status/"))) {
        reply_begin(&ex->reply, atoi(path.p + strlen("/status/")));
        reply_body(&ex->reply, SLICE("body"), NULL);
        exchange_reply(ex);
    } else {
        echo(ex);
    }
}

static void write_refusal(void *owner, enum status why, struct reply *reply)
{
    reply_header(reply, "Content-Type", SLICE("text/x-refusal"));
    reply_body(reply, slice_of(status_code(why)), NULL);
}

static void on_turn(uv_timer_t *timer) {}

/* -- the bench -- */

static struct bench *bench_new(void)
{
    signal(SIGPIPE, SIG_IGN);
    struct bench *b = calloc(1, sizeof *b);
    uv_loop_init(&b->loop);
    uv_timer_init(&b->loop, &b->turn);
    uv_timer_init(&b->loop, &b->later);
    b->later.data = b;
    uv_timer_start(&b->turn, on_turn, 2, 2);
    b->metrics = metrics_new();
    b->big = blob_new(BIG_BYTES);
    for (size_t i = 0; i < BIG_BYTES; i++) b->big->p[i] = (char)('a' + i % 23);
    b->config = (struct http_config){.limits = {.max_uri = 1000, .max_headers = 2000, .max_body = 100000},
                                     .header_timeout_ms = PATIENCE_MS,
                                     .body_timeout_ms = PATIENCE_MS,
                                     .idle_timeout_ms = PATIENCE_MS,
                                     .send_timeout_ms = PATIENCE_MS,
                                     .max_connections = 100,
                                     .open = &b->open,
                                     .handler = handle,
                                     .refused = write_refusal,
                                     .owner = b,
                                     .metrics = b->metrics};
    return b;
}

static void bench_start_at(struct bench *b, const char *address)
{
    b->server = http_server_new(&b->loop, &b->config);
    struct problem why;
    assert_int_equal(listener_bind(&b->listener, slice_of(address), 1, &why), OK);
    int little = 65536; /* so that large answers do not vanish in the kernel */
    setsockopt(b->listener.fd[0], SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    assert_int_equal(http_server_listen(b->server, b->listener.fd[0]), 0);
    b->listener.fd[0] = -1;
}

static struct bench *bench_start(void)
{
    struct bench *b = bench_new();
    bench_start_at(b, "127.0.0.1:0");
    return b;
}

/* Turns the loop until `condition`; fails when that takes too long. */
#define until(b, condition)                                                                                            \
    do {                                                                                                               \
        uint64_t until_ = uv_hrtime() + PATIENCE_MS * (uint64_t)1000000;                                               \
        while (!(condition)) {                                                                                         \
            uv_run(&(b)->loop, UV_RUN_ONCE);                                                                           \
            if (uv_hrtime() > until_) fail_msg("waited in vain for: %s", #condition);                                  \
        }                                                                                                              \
    } while (0)

static void on_server_closed(void *arg) { *(bool *)arg = true; }

static void bench_close_server(struct bench *b)
{
    http_server_close(b->server, on_server_closed, &b->closed);
    assert_false(b->closed);
}

static void bench_free(struct bench *b)
{
    if (!b->closed) {
        bench_close_server(b);
        until(b, b->closed);
    }
    assert_int_equal(b->open, 0);
    assert_int_equal(b->big->refs, 1);
    listener_close(&b->listener);
    uv_close((uv_handle_t *)&b->turn, NULL);
    uv_close((uv_handle_t *)&b->later, NULL);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&b->loop), 0);
    blob_unref(b->big);
    metrics_free(b->metrics);
    free(b);
}

static int64_t bench_metric(struct bench *b, enum metric_family family, const char *label)
{
    struct slice labels = slice_of(label);
    return metrics_counter(b->metrics, family, label ? &labels : NULL)->v;
}

/* -- a client -- */

static int connect_to(const char *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    bool is_unix = strncmp(address, "unix:", 5) == 0;
    int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (is_unix) strcpy(un.sun_path, address + 5);
    else in.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
    const struct sockaddr *to = is_unix ? (struct sockaddr *)&un : (struct sockaddr *)&in;
    if (connect(fd, to, is_unix ? sizeof un : sizeof in) == 0) return fd;
    close(fd);
    return -1;
}

static struct client client_open(struct bench *b)
{
    struct client c = {.fd = connect_to(b->listener.address)};
    assert_true(c.fd >= 0);
    buffer_init(&c.in, 64 << 20);
    return c;
}

static void client_close(struct client *c)
{
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    buffer_deinit(&c->in);
}

static void client_reset(struct client *c)
{
    struct linger at_once = {.l_onoff = 1};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    client_close(c);
}

/* Reads what is there; true when there was something. */
static bool client_read(struct client *c)
{
    if (c->ended) return false;
    char *to = buffer_reserve(&c->in, 65536);
    ssize_t n = recv(c->fd, to, 65535, MSG_DONTWAIT);
    if (n > 0) {
        c->in.n += (size_t)n;
        c->in.p[c->in.n] = '\0';
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    c->ended = true;
    c->reset = n < 0;
    return false;
}

static bool client_ended(struct client *c)
{
    while (client_read(c)) continue;
    return c->ended;
}

static size_t count(struct client *c, const char *what)
{
    while (client_read(c)) continue;
    struct slice rest = buffer_view(&c->in);
    size_t n = 0;
    for (const char *p; (p = memmem(rest.p, rest.n, what, strlen(what))); n++)
        rest = slice_skip(rest, (size_t)(p - rest.p) + strlen(what));
    return n;
}

static bool has(struct client *c, const char *what) { return count(c, what) > 0; }

/* Sends all, turning the loop while the socket is full. */
static void client_send(struct bench *b, struct client *c, struct slice s)
{
    while (s.n) {
        ssize_t n = send(c->fd, s.p, s.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return;
        if (n > 0) s = slice_skip(s, (size_t)n);
        uv_run(&b->loop, UV_RUN_NOWAIT);
    }
}

static void client_say(struct bench *b, struct client *c, const char *text) { client_send(b, c, slice_of(text)); }

#define HOST " HTTP/1.1\r\nHost: a\r\n"

#endif
