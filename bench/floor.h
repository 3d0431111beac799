/* bench/floor.h -- what the floor programs share. A floor is the least that a libuv program can do for the same answers as
 * Perigee: no parser, no checks, no timeouts, no freshness. What Perigee costs above it is what its promises cost.
 *
 * Each program is one page: it says what an `answer` is, and calls floor_run. Towards Redis all commands of one loop turn leave in
 * one write, and each bulk that comes back goes to the client that asked for it, in order. */
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define READ_MAX 65536
#define PIECES   64
#define HEAD     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n"

struct client {
    uv_tcp_t tcp;
    char *request; /* the part of a request that has come, when it is not whole yet */
    size_t n;
    void *state; /* the program's own */
};

static uv_loop_t loop;
static uv_tcp_t server;
static char read_buffer[READ_MAX];

/* The program's: one whole request, `name` its user, `body` what follows the head. */
static void answer(struct client *c, char *name, char *body, size_t n);

/* -- answers -- */

static void send_pieces(struct client *c, uv_buf_t *piece, unsigned n) /* the first is kept for the head */
{
    char head[128];
    size_t body = 0;
    for (unsigned i = 1; i < n; i++) body += piece[i].len;
    piece[0] = uv_buf_init(head, (unsigned)snprintf(head, sizeof head, HEAD, body));
    ssize_t sent = uv_try_write((uv_stream_t *)&c->tcp, piece, n);
    assert(sent == (ssize_t)(piece[0].len + body)); /* the bench's bodies fit a socket buffer */
    (void)sent;
}

static inline void send_body(struct client *c, char *body, size_t n)
{
    send_pieces(c, (uv_buf_t[]){{0}, uv_buf_init(body, (unsigned)n)}, 2);
}

/* -- Redis -- */

#ifdef FLOOR_REDIS

#define OUT_MAX (8 << 20)

/* The program's: one bulk, or the status that stands for it, in the order of `ask`. The bytes are gone afterwards. */
static void on_value(struct client *c, char *text, size_t n);

static uv_tcp_t redis;
static uv_prepare_t flush;
static uv_write_t flushing;
static bool busy;
static char *out, *leaving;
static size_t out_n;
static char *in;
static size_t in_n, in_cap;
static struct client *waiting[65536]; /* one for each bulk awaited; NULL: has left */
static unsigned first, last;

static char *ask(struct client *c, unsigned bulks) /* returns where the command is to be written; then asked() */
{
    while (bulks--) waiting[last++ % 65536] = c;
    return out + out_n;
}

static void asked(char *end)
{
    out_n = (size_t)(end - out);
    assert(out_n < OUT_MAX - (1 << 16));
}

static void on_flushed(uv_write_t *w, int status) { busy = false; }

static void on_flush(uv_prepare_t *h)
{
    if (!out_n || busy) return;
    uv_buf_t b = uv_buf_init(out, (unsigned)out_n);
    ssize_t sent = uv_try_write((uv_stream_t *)&redis, &b, 1);
    if (sent < (ssize_t)out_n) { /* the rest while the next turn's commands gather */
        if (sent < 0) sent = 0;
        b = uv_buf_init(out + sent, (unsigned)(out_n - (size_t)sent));
        busy = !uv_write(&flushing, (uv_stream_t *)&redis, &b, 1, on_flushed);
        char *swap = out;
        out = leaving;
        leaving = swap;
    }
    out_n = 0;
}

static void lend_reply(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
    if (in_cap - in_n < READ_MAX) in = realloc(in, in_cap = in_cap * 2 + READ_MAX);
    *b = uv_buf_init(in + in_n, READ_MAX);
}

static void on_reply(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    assert(n >= 0);
    in_n += (size_t)n;
    size_t at = 0;
    for (;;) {
        char *line = memchr(in + at, '\n', in_n - at);
        if (!line) break;
        size_t head = (size_t)(line + 1 - in), bytes = 0, end = head;
        if (in[at] == '$') {
            bytes = strtoul(in + at + 1, NULL, 10);
            end = head + bytes + 2;
            if (end > in_n) break;
        }
        if (in[at] != '*') { /* the elements of an array come as if they had been asked for one by one */
            assert(in[at] == '$' || in[at] == '+');
            struct client *c = waiting[first++ % 65536];
            if (c) on_value(c, in + head, bytes);
        }
        at = end;
    }
    memmove(in, in + at, in_n - at);
    in_n -= at;
}

static void on_redis(uv_connect_t *r, int status)
{
    assert(status == 0);
    uv_tcp_nodelay(&redis, 1);
    uv_read_start((uv_stream_t *)&redis, lend_reply, on_reply);
    uv_prepare_init(&loop, &flush);
    uv_prepare_start(&flush, on_flush);
}

static void floor_redis(int port)
{
    static uv_connect_t connect;
    struct sockaddr_in address;
    out = malloc(OUT_MAX);
    leaving = malloc(OUT_MAX);
    uv_tcp_init(&loop, &redis);
    uv_ip4_addr("127.0.0.1", port, &address);
    uv_tcp_connect(&connect, &redis, (struct sockaddr *)&address, on_redis);
}

static void forget_client(struct client *c)
{
    for (unsigned i = first; i != last; i++)
        if (waiting[i % 65536] == c) waiting[i % 65536] = NULL;
}

#else

static void forget_client(struct client *c) {}

#endif

/* -- requests -- */

static void lend_buffer(uv_handle_t *h, size_t suggested, uv_buf_t *b) { *b = uv_buf_init(read_buffer, READ_MAX - 1); }

static void on_closed(uv_handle_t *h)
{
    free(((struct client *)h)->request);
    free(h);
}

/* Bytes of the first request in `text`, or 0 while it is not whole. */
static size_t whole(char *text, size_t n, size_t *head)
{
    char *end = memmem(text, n, "\r\n\r\n", 4);
    if (!end) return 0;
    *head = (size_t)(end - text) + 4;
    char *length = text[0] == 'P' ? strcasestr(text, "\r\nContent-Length:") : NULL;
    size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    return *head + body <= n ? *head + body : 0;
}

static void on_request(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct client *c = (struct client *)s;
    if (n < 0) {
        forget_client(c);
        uv_close((uv_handle_t *)s, on_closed);
        return;
    }
    char *text = b->base;
    size_t left = (size_t)n, head, used;
    if (c->n) {
        c->request = realloc(c->request, c->n + left + 1);
        memcpy(c->request + c->n, text, left);
        left += c->n;
        text = c->request;
    }
    text[left] = '\0';
    for (; left && (used = whole(text, left, &head)); text += used, left -= used) {
        char name[32] = "", *user = strstr(text, "username=");
        if (user) sscanf(user + 9, "%31[a-z0-9]", name);
        answer(c, name, text + head, used - head);
    }
    if (left && text != c->request) {
        c->request = realloc(c->request, left + 1);
        memmove(c->request, text, left);
    }
    c->n = left;
}

static void on_connection(uv_stream_t *s, int status)
{
    struct client *c = calloc(1, sizeof *c);
    uv_tcp_init(&loop, &c->tcp);
    uv_accept(s, (uv_stream_t *)&c->tcp);
    uv_tcp_nodelay(&c->tcp, 1);
    uv_read_start((uv_stream_t *)&c->tcp, lend_buffer, on_request);
}

static int floor_run(int port)
{
    struct sockaddr_in address;
    int fd, on = 1;
    uv_tcp_init_ex(&loop, &server, AF_INET);
    uv_fileno((uv_handle_t *)&server, &fd);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on); /* another floor may stand beside it, as workers do */
    uv_ip4_addr("127.0.0.1", port, &address);
    if (uv_tcp_bind(&server, (struct sockaddr *)&address, 0) || uv_listen((uv_stream_t *)&server, 1024, on_connection))
        return 1;
    return uv_run(&loop, UV_RUN_DEFAULT);
}
