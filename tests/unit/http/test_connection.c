/* Connections over real sockets: order, framing of answers, deadlines, limits, clients that leave, drain and close. */
#include "client.h"
#include "http/inner.h"

#include <netinet/tcp.h>
#include <sys/resource.h>

/* -- answers -- */

static void answers_carry_what_they_must(void **state)
{
    struct bench *b = bench_start();
    struct client c = client_open(b);
    client_say(b, &c, "PUT /x" HOST "Content-Length: 3\r\n\r\nabc");
    until(b, has(&c, "PUT /x abc\n"));
    assert_true(has(&c, "HTTP/1.1 200 OK\r\nDate: "));
    assert_true(has(&c, " GMT\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nPUT"));
    assert_false(has(&c, "Connection:"));
    client_close(&c);
    bench_free(b);
}

static void some_answers_have_no_body(void **state)
{
    struct bench *b = bench_start();
    struct client c = client_open(b);
    client_say(b, &c,
               "HEAD /x" HOST "\r\nGET /status/204" HOST "\r\nGET /status/304" HOST "\r\nGET /status/404" HOST "\r\n");
    until(b, has(&c, "404 Not Found"));
    until(b, has(&c, "Content-Length: 4\r\n\r\nbody"));
    assert_true(has(&c, "Content-Length: 9\r\n\r\nHTTP/1.1 204"));
    assert_int_equal(count(&c, "Content-Length"), 2);
    assert_int_equal(count(&c, "body"), 1);
    client_close(&c);
    bench_free(b);
}

static void empty_answers_say_so(void **state)
{
    struct bench *b = bench_start();
    struct client c = client_open(b);
    client_say(b, &c, "HEAD /status/200" HOST "\r\n");
    until(b, has(&c, "Content-Length: 4\r\n\r\n"));
    client_close(&c);
    bench_free(b);
}

static void closes_as_asked(void **state)
{
    struct bench *b = bench_start();
    struct client old = client_open(b), kept = client_open(b), closing = client_open(b);
    client_say(b, &old, "GET /a HTTP/1.0\r\n\r\nGET /never HTTP/1.0\r\n\r\n");
    client_say(b, &kept, "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    client_say(b, &closing, "GET /a" HOST "Connection: close\r\n\r\nGET /never" HOST "\r\n");
    until(b, client_ended(&old) && client_ended(&closing) && has(&kept, "GET /a"));
    assert_true(has(&old, "\r\nConnection: close\r\n"));
    assert_true(has(&closing, "\r\nConnection: close\r\n"));
    assert_true(has(&kept, "\r\nConnection: keep-alive\r\n"));
    assert_false(kept.ended || old.reset || closing.reset);
    assert_int_equal(b->handled, 3);
    client_close(&old);
    client_close(&kept);
    client_close(&closing);
    bench_free(b);
}

static void ends_after_max_requests(void **state)
{
    struct bench *b = bench_new();
    b->config.max_requests = 2;
    bench_start_at(b, "127.0.0.1:0");
    struct client c = client_open(b);
    client_say(b, &c, "GET /a" HOST "\r\nGET /b" HOST "\r\nGET /c" HOST "\r\n");
    until(b, client_ended(&c));
    assert_int_equal(count(&c, "200 OK"), 2);
    assert_int_equal(count(&c, "Connection: close"), 1);
    client_close(&c);
    bench_free(b);
}

static void writes_many_pieces(void **state)
{
    struct bench *b = bench_start();
    struct client c = client_open(b);
    client_say(b, &c, "GET /a" HOST "\r\nGET /pieces" HOST "\r\nGET /b" HOST "\r\n");
    until(b, has(&c, "GET /b"));
    assert_int_equal(count(&c, "piece "), 3000);
    client_close(&c);
    bench_free(b);
}

static void speaks_over_unix_sockets(void **state)
{
    char address[64];
    snprintf(address, sizeof address, "unix:/tmp/perigee-test-%d.sock", (int)getpid());
    struct bench *b = bench_new();
    bench_start_at(b, address);
    struct client c = client_open(b);
    client_say(b, &c, "GET /x" HOST "Connection: close\r\n\r\n");
    until(b, client_ended(&c));
    assert_true(has(&c, "GET /x"));
    client_close(&c);
    bench_free(b);
}

static void sends_without_delay(void **state)
{
    struct bench *b = bench_start();
    struct client c = client_open(b);
    client_say(b, &c, "GET /hold" HOST "\r\n");
    until(b, b->n_held == 1);
    int fd, on = 0;
    socklen_t n = sizeof on;
    assert_int_equal(uv_fileno(&b->held[0]->connection->handle, &fd), 0);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &n), 0);
    assert_int_equal(on, 1);
    client_close(&c);
    bench_free(b);
}

static void idles_cheaply(void **state)
{
    size_t tcp = offsetof(struct http_connection, handle) + sizeof(uv_tcp_t);
    size_t unix_socket = offsetof(struct http_connection, handle) + sizeof(uv_pipe_t);
    assert_in_range(tcp, 1, 500);
    assert_in_range(unix_socket, 1, 500);
    struct bench *b = bench_start();
    struct client c = client_open(b);
    client_say(b, &c, "\r\n");
    client_say(b, &c, "GET /x" HOST "\r\n");
    client_say(b, &c, "\r\n");
    until(b, has(&c, "GET /x"));
    struct list *idle = &b->server->waiting[WAIT_IDLE];
    until(b, !list_empty(idle));
    assert_null(container_of(idle->next, struct http_connection, link)->turn);
    assert_int_equal(b->server->spares, 1);
    client_close(&c);
    bench_free(b);
}

/* -- order -- */

static void pipelines(const char *path, size_t n)
{
    struct bench *b = bench_start();
    struct client c = client_open(b);
    struct buffer all;
    buffer_init(&all, 1 << 20);
    for (size_t i = 0; i < n; i++) buffer_printf(&all, "GET %s/%zu" HOST "\r\n", path, i);
    client_send(b, &c, buffer_view(&all));
    until(b, count(&c, "200 OK") == n);
    const char *at = c.in.p;
    for (size_t i = 0; i < n; i++) {
        char line[64];
        snprintf(line, sizeof line, "GET %s/%zu \n", path, i);
        at = strstr(at, line);
        assert_non_null(at);
    }
    buffer_deinit(&all);
    client_close(&c);
    bench_free(b);
}

static void answers_pipelined_in_order(void **state) { pipelines("/now", 100); }
static void answers_pipelined_late_in_order(void **state) { pipelines("/later", 100); }
static void answers_thousands_pipelined(void **state) { pipelines("/now", 5000); }

static void one_client_does_not_hold_up_the_loop(void **state)
{
    struct bench *b = bench_start();
    struct client c = client_open(b);
    until(b, http_server_connections(b->server) == 1);
    struct buffer all;
    buffer_init(&all, 1 << 20);
    for (size_t i = 0; i < 1000; i++) buffer_printf(&all, "GET /x" HOST "\r\n");
    assert_int_equal(send(c.fd, all.p, all.n, 0), all.n); /* one read takes it in */
    until(b, b->handled > 0);
    assert_in_range(b->handled, 1, 300);
    until(b, count(&c, "200 OK") == 1000);
    buffer_deinit(&all);
    client_close(&c);
    bench_free(b);
}

static void answers_early_and_late_in_order(void **state)
{
    struct bench *b = bench_start();
    struct client c = client_open(b);
    client_say(b, &c, "GET /a" HOST "\r\nGET /hold" HOST "\r\nGET /b" HOST "\r\n");
    until(b, has(&c, "GET /a") && b->n_held == 1);
    assert_false(has(&c, "GET /hold"));
    assert_int_equal(b->handled, 2);
    answer_held(b);
    until(b, has(&c, "GET /b"));
    assert_true(strstr(c.in.p, "GET /hold") < strstr(c.in.p, "GET /b"));
    client_close(&c);
    bench_free(b);
}

/* What comes too early is kept up to a bound; then the client has to wait, and nothing is lost. */
static void stops_reading_when_too_early(void **state)
{
    struct bench *b = bench_start();
    struct client c = client_open(b);
    client_say(b, &c, "GET /hold" HOST "\r\n");
    until(b, b->n_held == 1);
    struct http_connection *connection = b->held[0]->connection;
    size_t n = 0;
    struct slice one = SLICE("PUT /x" HOST "Content-Length: 20\r\n\r\n01234567890123456789");
    while (!connection->paused) {
        client_send(b, &c, one);
        n++;
    }
    assert_int_equal(connection->backlog->bytes.n, BACKLOG_MOST);
    answer_held(b);
    until(b, count(&c, "PUT /x 0123") == n);
    assert_false(connection->paused);
    assert_null(connection->backlog);
    client_close(&c);
    bench_free(b);
}

static struct slice without_dates(struct client *c)
{
    for (char *p = c->in.p; p && (p = strstr(p, "Date: ")); p++) memset(p, '-', 35);
    return buffer_view(&c->in);
}

static void a_byte_at_a_time_is_the_same(void **state)
{
    static const char text[] =
        "GET /a" HOST "\r\nPUT /b" HOST "Content-Length: 3\r\n\r\nabc"
        "POST /c" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /d HTTP/1.0\r\n\r\n";
    struct bench *b = bench_start();
    struct client whole = client_open(b), slow = client_open(b);
    client_say(b, &whole, text);
    for (size_t i = 0; i < sizeof text - 1; i++) client_send(b, &slow, (struct slice){text + i, 1});
    until(b, client_ended(&whole) && client_ended(&slow));
    assert_true(slice_eq(without_dates(&whole), without_dates(&slow)));
    assert_int_equal(count(&slow, "200 OK"), 4);
    client_close(&whole);
    client_close(&slow);
    bench_free(b);
}

/* -- refusals -- */

static void refuses_in_the_words_of_the_owner(void **state)
{
    struct bench *b = bench_start();
    struct client c = client_open(b);
    client_say(b, &c, "GET /a" HOST "\r\nGET /b HTTP/1.1\r\n\r\nGET /c" HOST "\r\n");
    until(b, client_ended(&c));
    assert_true(has(&c, "GET /a"));
    assert_true(has(&c, "HTTP/1.1 400 Bad Request\r\n"));
    assert_true(
        has(&c, "Content-Type: text/x-refusal\r\nContent-Length: 17\r\nConnection: close\r\n\r\nmalformed-request"));
    assert_false(has(&c, "GET /c"));
    assert_int_equal(bench_metric(b, METRIC_HTTP_REFUSED, "malformed-request"), 1);
    client_close(&c);
    bench_free(b);
}

/* Whatever is wrong with it, once it is known to be one. */
static void refuses_a_head_without_a_body(void **state)
{
    struct bench *b = bench_start();
    struct client bad = client_open(b), other = client_open(b);
    client_say(b, &bad, "HEAD /a" HOST "X y: z\r\n\r\n");
    client_say(b, &other, "HEADS /a" HOST "\r\n");
    until(b, client_ended(&bad) && client_ended(&other));
    assert_true(has(&bad, "400 Bad Request\r\n") && has(&bad, "Content-Length: 17\r\nConnection: close\r\n\r\n"));
    assert_false(has(&bad, "malformed-request"));
    assert_true(has(&other, "\r\n\r\nnot-implemented"));
    client_close(&bad);
    client_close(&other);
    bench_free(b);
}

static void a_late_head_gets_no_body(void **state)
{
    struct bench *b = bench_new();
    b->config.header_timeout_ms = 100;
    bench_start_at(b, "127.0.0.1:0");
    struct client c = client_open(b);
    client_say(b, &c, "HEAD /a HTTP/1.1\r\n");
    until(b, client_ended(&c));
    assert_true(has(&c, "408 Request Timeout\r\n"));
    assert_false(has(&c, "request-timeout"));
    client_close(&c);
    bench_free(b);
}

/* The client sends on while the answer comes: it must not be lost in a reset. */
static void refuses_large_bodies_before_they_come(void **state)
{
    struct bench *b = bench_start();
    struct client c = client_open(b), chunked = client_open(b);
    client_say(b, &c, "PUT /x" HOST "Content-Length: 100001\r\n\r\n");
    client_say(b, &chunked, "PUT /x" HOST "Transfer-Encoding: chunked\r\n\r\n186a1\r\n");
    until(b, has(&c, "body-too-large") && has(&chunked, "body-too-large"));
    char body[100001] = "";
    client_send(b, &c, (struct slice){body, sizeof body});
    shutdown(c.fd, SHUT_WR);
    until(b, client_ended(&c));
    assert_false(c.reset);
    assert_true(has(&c, "413 Content Too Large"));
    assert_int_equal(b->handled, 0);
    client_close(&c);
    client_close(&chunked);
    bench_free(b);
}

/* Bytes that arrive behind a close would make it a reset, and a reset takes unread answers with it. */
static void the_refusal_arrives_though_the_client_sends_on(void **state)
{
    struct bench *b = bench_start();
    struct client c = client_open(b);
    client_say(b, &c, "PUT /x" HOST "Content-Length: 100001\r\n\r\n");
    until(b, bench_metric(b, METRIC_HTTP_REFUSED, "body-too-large") == 1);
    static const char body[20000];
    for (int i = 0; i < 3; i++) client_send(b, &c, (struct slice){body, sizeof body});
    until(b, has(&c, "413 Content Too Large"));
    assert_int_equal(send(c.fd, body, 1, MSG_NOSIGNAL), 1);
    shutdown(c.fd, SHUT_WR);
    until(b, client_ended(&c));
    assert_false(c.reset);
    client_close(&c);
    bench_free(b);
}

static void throws_away_only_so_much(void **state)
{
    struct bench *b = bench_start();
    struct client c = client_open(b);
    client_say(b, &c, "PUT /x" HOST "Content-Length: 100000000\r\n\r\n");
    until(b, has(&c, "body-too-large"));
    static char body[1 << 20];
    while (http_server_connections(b->server)) client_send(b, &c, (struct slice){body, sizeof body});
    client_close(&c);
    bench_free(b);
}

static void tells_to_continue(void **state)
{
    struct bench *b = bench_start();
    struct client c = client_open(b);
    client_say(b, &c, "GET /a" HOST "\r\nPUT /x" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    until(b, has(&c, "HTTP/1.1 100 Continue\r\n\r\n"));
    assert_true(strstr(c.in.p, "GET /a") < strstr(c.in.p, "100 Continue"));
    assert_int_equal(b->handled, 1);
    client_say(b, &c, "abc");
    until(b, has(&c, "PUT /x abc\n"));
    client_close(&c);
    bench_free(b);
}

/* -- deadlines -- */

static void gives_up_on_slow_heads(void **state)
{
    struct bench *b = bench_new();
    b->config.header_timeout_ms = 100;
    bench_start_at(b, "127.0.0.1:0");
    struct client silent = client_open(b), slow = client_open(b), again = client_open(b);
    client_say(b, &slow, "GET /a HTTP/1.1\r\nHo");
    client_say(b, &again, "GET /a" HOST "\r\n");
    until(b, has(&again, "GET /a"));
    client_say(b, &again, "GET /b");
    until(b, client_ended(&silent) && client_ended(&slow) && client_ended(&again));
    assert_int_equal(silent.in.n, 0);
    assert_true(has(&slow, "408 Request Timeout"));
    assert_true(has(&again, "408 Request Timeout"));
    assert_int_equal(bench_metric(b, METRIC_HTTP_REFUSED, "request-timeout"), 2);
    client_close(&silent);
    client_close(&slow);
    client_close(&again);
    bench_free(b);
}

static uint64_t head_deadline(struct bench *b)
{
    struct list *waiting = &b->server->waiting[WAIT_HEAD];
    until(b, !list_empty(waiting));
    return container_of(waiting->next, struct http_connection, link)->deadline;
}

static void each_head_has_its_own_deadline(void **state)
{
    struct bench *b = bench_start();
    struct client c = client_open(b);
    client_say(b, &c, "GET /a HTTP/1.1\r\n");
    uint64_t first = head_deadline(b), from = uv_now(&b->loop);
    until(b, uv_now(&b->loop) > from + 10);
    client_say(b, &c, "Host");
    assert_int_equal(head_deadline(b), first); /* a byte more buys no time */
    client_say(b, &c, ": a\r\n\r\nGET /b HTTP/1.1\r\n");
    until(b, has(&c, "GET /a"));
    assert_true(head_deadline(b) > first);
    client_close(&c);
    bench_free(b);
}

static void gives_up_on_slow_bodies(void **state)
{
    struct bench *b = bench_new();
    b->config.body_timeout_ms = 300;
    bench_start_at(b, "127.0.0.1:0");
    struct client stuck = client_open(b), steady = client_open(b);
    client_say(b, &stuck, "PUT /stuck" HOST "Content-Length: 100000\r\n\r\nab");
    client_say(b, &steady, "PUT /steady" HOST "Content-Length: 90000\r\n\r\n");
    static const char kilobyte[1000];
    uint64_t started = uv_hrtime();
    for (size_t sent = 0; sent < 90000; sent += 1000) { /* 90 kB in about 0.9 s */
        client_send(b, &steady, (struct slice){kilobyte, 1000});
        until(b, uv_hrtime() - started > sent * 10000);
    }
    until(b, has(&steady, "PUT /steady"));
    until(b, client_ended(&stuck));
    assert_true(has(&stuck, "408 Request Timeout"));
    client_close(&stuck);
    client_close(&steady);
    bench_free(b);
}

static void closes_idle_connections(void **state)
{
    struct bench *b = bench_new();
    b->config.idle_timeout_ms = 100;
    bench_start_at(b, "127.0.0.1:0");
    struct client idle = client_open(b), held = client_open(b);
    client_say(b, &idle, "GET /a" HOST "\r\n");
    client_say(b, &held, "GET /hold" HOST "\r\n");
    until(b, client_ended(&idle));
    assert_int_equal(count(&idle, "HTTP/1.1"), 1);
    assert_int_equal(b->n_held, 1);
    answer_held(b);
    until(b, has(&held, "GET /hold"));
    client_close(&idle);
    client_close(&held);
    bench_free(b);
}

/* -- clients that read slowly, or leave -- */

static void serves_slow_readers(void **state)
{
    struct bench *b = bench_start();
    struct client c = client_open(b);
    client_say(b, &c, "GET /big" HOST "\r\nGET /after" HOST "\r\n");
    until(b, b->handled == 1);
    for (int i = 0; i < 5; i++) uv_run(&b->loop, UV_RUN_ONCE);
    assert_int_equal(b->big->refs, 3);
    assert_int_equal(b->handled, 1); /* what follows waits until the answer is out */
    until(b, has(&c, "GET /after"));
    struct slice body = slice_of(strstr(c.in.p, "\r\n\r\n") + 4);
    assert_memory_equal(body.p, b->big->p, BIG_BYTES);
    client_close(&c);
    bench_free(b);
}

static void resets_readers_that_stopped(void **state)
{
    struct bench *b = bench_new();
    b->config.send_timeout_ms = 100;
    bench_start_at(b, "127.0.0.1:0");
    struct client c = client_open(b);
    client_say(b, &c, "GET /big" HOST "\r\nGET /big" HOST "\r\nGET /big" HOST "\r\nGET /big" HOST "\r\n");
    until(b, !http_server_connections(b->server));
    until(b, b->big->refs == 1);
    until(b, client_ended(&c));
    assert_true(c.reset);
    assert_int_equal(bench_metric(b, METRIC_HTTP_CUT, "send-timeout"), 1);
    client_close(&c);
    bench_free(b);
}

/* Of clients that do not read, those that began first go when the answers they wait for are too much; the newest never does. */
static void holds_only_so_much_for_readers(void **state)
{
    struct bench *b = bench_new();
    b->config.client_bytes = 2 * BIG_BYTES;
    bench_start_at(b, "127.0.0.1:0");
    struct client c[5];
    for (int i = 0; i < 5; i++) {
        c[i] = client_open(b);
        client_say(b, &c[i], "GET /big" HOST "\r\n");
        until(b, b->handled == (unsigned)i + 1);
        assert_in_range(b->server->held, 0, 3 * BIG_BYTES);
    }
    until(b, http_server_connections(b->server) == 3);
    assert_int_equal(bench_metric(b, METRIC_HTTP_CUT, "client-bytes"), 2);
    for (int i = 0; i < 5; i++) {
        until(b, client_ended(&c[i]) || c[i].in.n > BIG_BYTES);
        assert_int_equal(c[i].in.n > BIG_BYTES, i >= 2);
        assert_int_equal(c[i].reset, i < 2);
        client_close(&c[i]);
    }
    until(b, !http_server_connections(b->server));
    assert_int_equal(b->server->held, 0);
    bench_free(b);
}

static void holds_only_so_much_of_bodies(void **state)
{
    struct bench *b = bench_new();
    static const char most[60000];
    b->config.client_bytes = 100000;
    bench_start_at(b, "127.0.0.1:0");
    struct client c[4];
    for (int i = 0; i < 4; i++) {
        c[i] = client_open(b);
        client_say(b, &c[i], "PUT /x" HOST "Content-Length: 60001\r\n\r\n");
        client_send(b, &c[i], (struct slice){most, sizeof most});
        uint64_t from = uv_now(&b->loop);
        until(b, uv_now(&b->loop) > from); /* so that one has waited longer than the next */
    }
    until(b, client_ended(&c[0]) && client_ended(&c[1]));
    assert_true(has(&c[0], "503 Service Unavailable") && has(&c[1], "503 Service Unavailable"));
    assert_in_range(b->server->held, 1, 160000);
    for (int i = 2; i < 4; i++) {
        client_say(b, &c[i], "x");
        until(b, has(&c[i], "PUT /x"));
    }
    assert_int_equal(b->server->held, 0);
    assert_int_equal(bench_metric(b, METRIC_HTTP_REFUSED, "overloaded"), 2);
    for (int i = 0; i < 4; i++) client_close(&c[i]);
    bench_free(b);
}

/* Another connection's answer is one too many while this one's handler runs, which a moment ago was sending its body. */
static void whose_handler_runs_does_not_go(void **state)
{
    struct bench *b = bench_new();
    b->config.client_bytes = 1;
    b->config.limits.max_body = BIG_BYTES;
    bench_start_at(b, "127.0.0.1:0");
    struct client reader = client_open(b), sender = client_open(b);
    client_say(b, &reader, "PUT /hold" HOST "Content-Length: 2097152\r\n\r\n");
    client_send(b, &reader, (struct slice){b->big->p, BIG_BYTES});
    until(b, b->n_held == 1);
    client_say(b, &sender, "PUT /release" HOST "Content-Length: 4\r\n\r\nab");
    until(b, !list_empty(&b->server->waiting[WAIT_BODY]));
    client_say(b, &sender, "cd");
    until(b, has(&sender, "PUT /release abcd"));
    assert_true(b->server->held > 1);
    until(b, client_read(&reader) || reader.in.n > BIG_BYTES);
    until(b, has(&reader, "PUT /hold") && reader.in.n > BIG_BYTES);
    client_close(&reader);
    client_close(&sender);
    bench_free(b);
}

static void answers_whom_only_half_closes(void **state)
{
    struct bench *b = bench_start();
    struct client now = client_open(b), later = client_open(b), never = client_open(b);
    client_say(b, &now, "GET /a" HOST "\r\nGET /big" HOST "\r\n");
    client_say(b, &later, "GET /hold" HOST "\r\nGET /b" HOST "\r\n");
    client_say(b, &never, "GET /c");
    shutdown(now.fd, SHUT_WR);
    shutdown(later.fd, SHUT_WR);
    shutdown(never.fd, SHUT_WR);
    until(b, client_ended(&now) && client_ended(&never) && b->n_held == 1);
    assert_in_range(now.in.n, BIG_BYTES, BIG_BYTES + 1000);
    assert_int_equal(never.in.n, 0);
    assert_false(client_ended(&later));
    answer_held(b);
    until(b, client_ended(&later));
    assert_true(has(&later, "GET /hold") && has(&later, "GET /b"));
    assert_int_equal(b->gone, 0);
    client_close(&now);
    client_close(&later);
    client_close(&never);
    bench_free(b);
}

static void tells_the_handler_who_left(void **state)
{
    struct bench *b = bench_start();
    struct client c = client_open(b);
    client_say(b, &c, "GET /hold" HOST "\r\nGET /b" HOST "\r\n");
    until(b, b->n_held == 1);
    client_reset(&c);
    until(b, b->gone == 1);
    assert_int_equal(b->n_held, 0);
    until(b, !http_server_connections(b->server));
    bench_free(b);
}

static void a_handler_may_not_care_who_left(void **state)
{
    struct bench *b = bench_start();
    struct client c = client_open(b);
    client_say(b, &c, "GET /careless" HOST "\r\n");
    until(b, b->n_held == 1);
    client_reset(&c);
    until(b, !http_server_connections(b->server));
    answer_held(b); /* to nobody */
    assert_int_equal(b->gone, 0);
    bench_free(b);
}

static void frees_all_when_a_large_answer_is_cut(void **state)
{
    struct bench *b = bench_start();
    struct client c = client_open(b);
    client_say(b, &c, "GET /big" HOST "\r\nGET /big" HOST "\r\nGET /big" HOST "\r\n");
    until(b, client_read(&c));
    client_reset(&c);
    until(b, !http_server_connections(b->server));
    until(b, b->big->refs == 1);
    bench_free(b);
}

/* -- too many, and the end -- */

static void tells_surplus_connections_so(void **state)
{
    struct bench *b = bench_new();
    b->config.max_connections = 2;
    bench_start_at(b, "127.0.0.1:0");
    struct client first = client_open(b), second = client_open(b), third = client_open(b);
    client_say(b, &first, "GET /a" HOST "\r\n");
    client_say(b, &second, "GET /b" HOST "\r\n");
    client_say(b, &third, "GET /c" HOST "\r\n");
    until(b, has(&first, "GET /a") && has(&second, "GET /b") && client_ended(&third));
    assert_true(has(&third, "HTTP/1.1 503 Service Unavailable\r\n"));
    assert_true(has(&third, "Retry-After: 1\r\n") && has(&third, "Connection: close\r\n") && has(&third, "overloaded"));
    assert_false(third.reset);
    assert_int_equal(bench_metric(b, METRIC_HTTP_REFUSED, "overloaded"), 1);
    client_close(&third);
    client_close(&second);
    until(b, b->open == 1);
    assert_int_equal(bench_metric(b, METRIC_CONNECTIONS, NULL), 1);
    struct client fourth = client_open(b);
    client_say(b, &fourth, "GET /d" HOST "\r\n");
    until(b, has(&fourth, "GET /d"));
    client_close(&first);
    client_close(&fourth);
    bench_free(b);
}

static void survives_want_of_descriptors(void **state)
{
    struct bench *b = bench_start();
    struct client c = client_open(b);
    struct rlimit usual, none;
    getrlimit(RLIMIT_NOFILE, &usual);
    none = usual;
    none.rlim_cur = (rlim_t)c.fd + 1;
    int filler[64], n = 0; /* in case a lower number is free */
    setrlimit(RLIMIT_NOFILE, &none);
    while (n < 64 && (filler[n] = dup(c.fd)) >= 0) n++;
    until(b, b->server->accept_again);
    uint64_t again = b->server->accept_again;
    uv_run(&b->loop, UV_RUN_NOWAIT);
    assert_int_equal(b->server->accept_again, again); /* no attempt a turn */
    while (n) close(filler[--n]);
    setrlimit(RLIMIT_NOFILE, &usual);
    client_say(b, &c, "GET /x" HOST "\r\n");
    until(b, has(&c, "GET /x"));
    assert_int_equal(b->server->accept_again, 0);
    client_close(&c);
    bench_free(b);
}

static void drains(void **state)
{
    struct bench *b = bench_start();
    struct client idle = client_open(b), held = client_open(b), started = client_open(b), silent = client_open(b);
    struct client again = client_open(b);
    client_say(b, &idle, "GET /a" HOST "\r\n");
    client_say(b, &again, "GET /a" HOST "\r\n");
    client_say(b, &held, "GET /hold" HOST "\r\n");
    client_say(b, &started, "GET /started HTTP/1.1\r\n");
    until(b,
          has(&idle, "GET /a") && has(&again, "GET /a") && b->n_held == 1 && http_server_connections(b->server) == 5);
    struct client queued = client_open(b); /* in the kernel's queue, not accepted */
    static const char request[] = "GET /queued" HOST "\r\n";
    assert_int_equal(send(queued.fd, request, sizeof request - 1, 0), sizeof request - 1);
    assert_int_equal(send(again.fd, request, sizeof request - 1, 0), sizeof request - 1); /* sent, not read */
    http_server_drain(b->server);
    until(b, client_ended(&queued) && client_ended(&again));
    assert_true(has(&again, "GET /queued") && has(&again, "Connection: close") && !again.reset);
    assert_int_equal(connect_to(b->listener.address), -1);
    assert_true(has(&queued, "GET /queued") && has(&queued, "Connection: close"));
    client_say(b, &started, "Host: a\r\n\r\n");
    answer_held(b);
    until(b, client_ended(&held) && client_ended(&started) && client_ended(&silent) && client_ended(&idle));
    assert_true(has(&held, "GET /hold") && has(&held, "Connection: close"));
    assert_true(has(&started, "GET /started") && has(&started, "Connection: close"));
    until(b, !http_server_connections(b->server));
    client_close(&idle);
    client_close(&again);
    client_close(&held);
    client_close(&started);
    client_close(&silent);
    client_close(&queued);
    bench_free(b);
}

static void drains_whom_it_is_still_writing_to(void **state)
{
    struct bench *b = bench_start();
    struct client c = client_open(b);
    client_say(b, &c, "GET /big" HOST "\r\n");
    until(b, b->handled == 1);
    http_server_drain(b->server);
    until(b, client_ended(&c)); /* that it was the last answer could not be said any more */
    assert_in_range(c.in.n, BIG_BYTES, BIG_BYTES + 1000);
    assert_false(c.reset);
    client_close(&c);
    bench_free(b);
}

static void closes_with_requests_in_flight(void **state)
{
    struct bench *b = bench_start();
    struct client held = client_open(b), sending = client_open(b), careless = client_open(b);
    client_say(b, &held, "GET /hold" HOST "\r\n");
    client_say(b, &sending, "GET /big" HOST "\r\nGET /big" HOST "\r\nGET /big" HOST "\r\n");
    client_say(b, &careless, "GET /careless" HOST "\r\n");
    until(b, b->n_held == 2);
    bench_close_server(b);
    assert_int_equal(b->gone, 1);
    until(b, client_ended(&held) && client_ended(&careless));
    for (int i = 0; i < 3; i++) uv_run(&b->loop, UV_RUN_ONCE);
    assert_false(b->closed); /* one handler still holds an exchange */
    assert_int_equal(b->n_held, 1);
    answer_held(b);
    assert_false(b->closed);
    until(b, b->closed);
    client_close(&held);
    client_close(&sending);
    client_close(&careless);
    bench_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_carry_what_they_must),
        cmocka_unit_test(some_answers_have_no_body),
        cmocka_unit_test(empty_answers_say_so),
        cmocka_unit_test(closes_as_asked),
        cmocka_unit_test(ends_after_max_requests),
        cmocka_unit_test(writes_many_pieces),
        cmocka_unit_test(speaks_over_unix_sockets),
        cmocka_unit_test(sends_without_delay),
        cmocka_unit_test(idles_cheaply),
        cmocka_unit_test(answers_pipelined_in_order),
        cmocka_unit_test(answers_pipelined_late_in_order),
        cmocka_unit_test(answers_thousands_pipelined),
        cmocka_unit_test(one_client_does_not_hold_up_the_loop),
        cmocka_unit_test(answers_early_and_late_in_order),
        cmocka_unit_test(stops_reading_when_too_early),
        cmocka_unit_test(a_byte_at_a_time_is_the_same),
        cmocka_unit_test(refuses_in_the_words_of_the_owner),
        cmocka_unit_test(refuses_a_head_without_a_body),
        cmocka_unit_test(a_late_head_gets_no_body),
        cmocka_unit_test(refuses_large_bodies_before_they_come),
        cmocka_unit_test(the_refusal_arrives_though_the_client_sends_on),
        cmocka_unit_test(throws_away_only_so_much),
        cmocka_unit_test(tells_to_continue),
        cmocka_unit_test(gives_up_on_slow_heads),
        cmocka_unit_test(each_head_has_its_own_deadline),
        cmocka_unit_test(gives_up_on_slow_bodies),
        cmocka_unit_test(closes_idle_connections),
        cmocka_unit_test(serves_slow_readers),
        cmocka_unit_test(resets_readers_that_stopped),
        cmocka_unit_test(holds_only_so_much_for_readers),
        cmocka_unit_test(holds_only_so_much_of_bodies),
        cmocka_unit_test(whose_handler_runs_does_not_go),
        cmocka_unit_test(answers_whom_only_half_closes),
        cmocka_unit_test(tells_the_handler_who_left),
        cmocka_unit_test(a_handler_may_not_care_who_left),
        cmocka_unit_test(frees_all_when_a_large_answer_is_cut),
        cmocka_unit_test(tells_surplus_connections_so),
        cmocka_unit_test(survives_want_of_descriptors),
        cmocka_unit_test(drains),
        cmocka_unit_test(drains_whom_it_is_still_writing_to),
        cmocka_unit_test(closes_with_requests_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
