/* A server of the test's own, on the client's loop: what it answers is written down here byte by byte, and it counts what it is asked. */
#ifndef PERIGEE_TESTS_TEST_HTTP_SERVER_H
#define PERIGEE_TESTS_TEST_HTTP_SERVER_H

#include "world.h"

#include "script/host_internal.h"

#include <arpa/inet.h>
#include <unistd.h>

/* What a request for `path` gets. NULL reply: nothing, ever. */
static const struct route {
    const char *path, *reply;
    bool close; /* after it */
} routes[] = {
    {"/hello", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One: 1\r\nX-Two:  a \r\nx-two: b\r\n\r\nhello", false},
    {"/json",
     "HTTP/1.1 200 OK\r\nContent-Length: 55\r\n\r\n{ \"name\": \"bob\", \"big\": 9007199254740993, \"none\": null}",
     false},
    {"/badjson", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"a\": 1,}", false},
    {"/missing", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", false},
    {"/chunked",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: t\r\n\r\n",
     false},
    {"/interim", "HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
    {"/redirect", "HTTP/1.1 302 Found\r\nLocation: /hello\r\nContent-Length: 0\r\n\r\n", false},
    {"/loop", "HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n", false},
    {"/tofile", "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n", false},
    {"/toftp", "HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/x\r\nContent-Length: 0\r\n\r\n", false},
    {"/short", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nonly this", true},
    {"/empty", "", true},
    {"/hint", "HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n", true},
    {"/half", "HTTP/1.1 200 OK\r\nX-One: 1\r\nX-T", true},
    {"/garbage", "SSH-2.0-OpenSSH\r\nwhat\r\n\r\n", true},
    {"/close", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", true},
    {"/never", NULL, false},
    {"/br", "HTTP/1.1 200 OK\r\nContent-Encoding: rot13\r\nContent-Length: 5\r\n\r\nhello", false},
    {"/badgzip", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", false},
    {"/see", "HTTP/1.1 303 See Other\r\nLocation: /hello\r\nContent-Length: 0\r\n\r\n", false},
    {"/drip", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nonly", false},
};

/* 4000 times "x". */
static const char gzipped[] = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xed\xc1\x31\x01\x00\x00\x00\xc2\xa0\xda"
                              "\x8b\x6f\x0c\x1f\xa0\x00\x00\x00\x80\xb7\x01\x48\x9f\xba\xec\xa0\x0f\x00\x00";

struct server {
    uv_tcp_t tcp;
    int port, connections, requests, open;
    char seen[4096]; /* the last request */
};

struct peer {
    uv_tcp_t tcp;
    struct server *server;
    char text[4096];
    size_t n;
    char *big; /* generated reply */
};

struct answer {
    uv_write_t write;
    struct peer *peer;
    char *own;
    bool close;
};

static struct server server;

static void on_peer_closed(uv_handle_t *handle)
{
    server.open--;
    free(container_of((uv_tcp_t *)handle, struct peer, tcp));
}

static void peer_close(struct peer *peer)
{
    if (!uv_is_closing((uv_handle_t *)&peer->tcp)) uv_close((uv_handle_t *)&peer->tcp, on_peer_closed);
}

static void on_answered(uv_write_t *write, int status)
{
    struct answer *a = container_of(write, struct answer, write);
    if (a->close) peer_close(a->peer);
    free(a->own);
    free(a);
}

static void answer(struct peer *peer, const char *text, size_t n, char *own, bool close)
{
    struct answer *a = calloc(1, sizeof *a);
    *a = (struct answer){.peer = peer, .own = own, .close = close};
    uv_buf_t bytes = uv_buf_init((char *)text, (unsigned)n);
    uv_write(&a->write, (uv_stream_t *)&peer->tcp, &bytes, 1, on_answered);
}

/* The first N requests get nothing but the end of the connection, or a status and what Retry-After says; then comes their number. */
static void serve_flaky(struct peer *peer, unsigned long n, const char *how)
{
    char text[128], body[16];
    int status = 0, after = 0;
    if (server.requests <= (int)n && strcmp(how, "reset") == 0) {
        peer_close(peer);
        return;
    }
    sscanf(how, "%d,%d", &status, &after);
    snprintf(body, sizeof body, "%d", server.requests);
    int head = snprintf(text, sizeof text, "HTTP/1.1 %d X\r\nRetry-After: %d\r\nContent-Length: %zu\r\n\r\n%s",
                        server.requests <= (int)n ? status : 200, after, strlen(body), body);
    char *own = strdup(text);
    answer(peer, own, (size_t)head, own, false);
}

/* /bytes/N: a body of N; /flaky/N/HOW; /gone; /gzip; /echo: the request itself; the rest from the table. */
static void serve(struct peer *peer)
{
    char path[128];
    unsigned long n;
    server.requests++;
    snprintf(server.seen, sizeof server.seen, "%s", peer->text);
    sscanf(peer->text, "%*s %127[^ ?]", path);
    if (sscanf(path, "/bytes/%lu", &n) == 1) {
        char *own = malloc(n + 100);
        int head = sprintf(own, "HTTP/1.1 200 OK\r\nContent-Length: %lu\r\n\r\n", n);
        memset(own + head, 'x', n);
        answer(peer, own, (size_t)head + n, own, false);
        return;
    }
    char how[32];
    if (sscanf(path, "/flaky/%lu/%31s", &n, how) == 2) {
        serve_flaky(peer, n, how);
        return;
    }
    if (strcmp(path, "/gone") == 0) { /* and so is the server */
        uv_close((uv_handle_t *)&server.tcp, NULL);
        peer_close(peer);
        return;
    }
    if (strcmp(path, "/gzip") == 0) {
        char *own = malloc(1024);
        int head = sprintf(own, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
                           sizeof gzipped - 1);
        memcpy(own + head, gzipped, sizeof gzipped - 1);
        answer(peer, own, (size_t)head + sizeof gzipped - 1, own, false);
        return;
    }
    if (strcmp(path, "/heads") == 0) {
        char *own = malloc(1 << 17);
        int at = sprintf(own, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
        while (at < 1 << 16) at += sprintf(own + at, "X-%d: %01000d\r\n", at, 0);
        at += sprintf(own + at, "\r\n");
        answer(peer, own, (size_t)at, own, false);
        return;
    }
    if (strcmp(path, "/echo") == 0) {
        char *own = malloc(8192);
        int head = sprintf(own, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", peer->n);
        memcpy(own + head, peer->text, peer->n);
        answer(peer, own, (size_t)head + peer->n, own, false);
        return;
    }
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (strcmp(routes[i].path, path) != 0) continue;
        if (routes[i].reply) answer(peer, routes[i].reply, strlen(routes[i].reply), NULL, routes[i].close);
        return;
    }
    fail_msg("no route for %s", path);
}

static bool is_whole(const struct peer *peer)
{
    const char *end = strstr(peer->text, "\r\n\r\n"), *length = strstr(peer->text, "Content-Length: ");
    size_t body = length && length < end ? strtoul(length + 16, NULL, 10) : 0;
    return end && peer->n >= (size_t)(end + 4 - peer->text) + body;
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *bytes)
{
    struct peer *peer = container_of((uv_tcp_t *)handle, struct peer, tcp);
    *bytes = uv_buf_init(peer->text + peer->n, (unsigned)(sizeof peer->text - 1 - peer->n));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    struct peer *peer = container_of((uv_tcp_t *)stream, struct peer, tcp);
    if (n < 0) {
        peer_close(peer);
        return;
    }
    peer->n += (size_t)n;
    peer->text[peer->n] = 0;
    if (!is_whole(peer)) return;
    serve(peer);
    peer->n = 0;
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct peer *peer = calloc(1, sizeof *peer);
    server.connections++;
    server.open++;
    uv_tcp_init(stream->loop, &peer->tcp);
    uv_accept(stream, (uv_stream_t *)&peer->tcp);
    uv_read_start((uv_stream_t *)&peer->tcp, on_alloc, on_read);
}

/* On a port of its choice (0), or on this one. */
static inline void listen_on(struct world *w, int port)
{
    memset(&server, 0, sizeof server);
    uv_tcp_init(&w->loop, &server.tcp);
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", port, &address);
    assert_int_equal(uv_tcp_bind(&server.tcp, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&server.tcp, 256, on_connection), 0);
    int n = sizeof address;
    uv_tcp_getsockname(&server.tcp, (struct sockaddr *)&address, &n);
    server.port = ntohs(address.sin_port);
}

static inline struct world *open_all(void)
{
    struct world *w = world_open();
    listen_on(w, 0);
    return w;
}

/* The host first: the server's peers end when the client closes its kept connections. */
static inline void close_all(struct world *w)
{
    if (!uv_is_closing((uv_handle_t *)&server.tcp)) uv_close((uv_handle_t *)&server.tcp, NULL);
    world_close(w);
    assert_int_equal(server.open, 0);
}

#define run(w, ...)    world_runf(w, 5000, __VA_ARGS__)
#define URL            "http://127.0.0.1:%d"
#define ERROR_OF(call) "local ok, e = pcall(function() return " call " end) return ok and 'no error' or e"

/* A port where nobody listens. */
static inline int dead_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, n), 0);
    getsockname(fd, (struct sockaddr *)&address, &n);
    close(fd);
    return ntohs(address.sin_port);
}

/* The samples of kind http and that outcome. */
static inline long observed(struct world *w, const char *outcome)
{
    char series[128];
    struct buffer text;
    snprintf(series, sizeof series, "perigee_upstream_seconds_count{kind=\"http\",outcome=\"%s\"} ", outcome);
    buffer_init(&text, 1 << 20);
    metrics_render(&w->metrics, 1, METRICS_PROMETHEUS, &text);
    buffer_char(&text, 0);
    const char *at = strstr(text.p, series);
    long n = at ? strtol(at + strlen(series), NULL, 10) : 0;
    buffer_deinit(&text);
    return n;
}

#endif
