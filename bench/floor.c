/* bench/floor.c -- the floor: the least a libuv program can do for the same answers. No parser, no checks, no timeouts, no
 * freshness; what Perigee costs above it is what its promises cost.
 *
 *     floor memory PORT BODY_BYTES             GET ...username=uN  ->  record N out of an array
 *     floor redis  PORT REDIS_PORT PREFIX      GET ...username=uN  ->  the value of PREFIX + "uN" in Redis, behind its first 64
 *                                              bytes; all GETs of one loop turn leave in one write
 */
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define RECORDS  10000
#define SKIP     64 /* what an envelope has before the text */
#define READ_MAX 65536
#define HEAD     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n"

struct client {
    uv_tcp_t tcp;
};

static uv_loop_t loop;
static uv_tcp_t server;
static char read_buffer[READ_MAX];

static void lend_buffer(uv_handle_t *h, size_t suggested, uv_buf_t *b) { *b = uv_buf_init(read_buffer, READ_MAX); }

static void on_closed(uv_handle_t *h) { free(h); }

static struct client *waiting[65536]; /* for Redis, in the order of their questions; NULL: has left */
static unsigned first, last;

static void send_body(struct client *c, char *body, size_t n)
{
    char head[128];
    uv_buf_t piece[2] = {uv_buf_init(head, (unsigned)snprintf(head, sizeof head, HEAD, n)),
                         uv_buf_init(body, (unsigned)n)};
    ssize_t sent = uv_try_write((uv_stream_t *)&c->tcp, piece, 2);
    assert(sent == (ssize_t)(piece[0].len + n)); /* the bench's bodies fit a socket buffer */
    (void)sent;
}

/* -- memory -- */

static char *record[RECORDS];
static size_t record_bytes;

static void answer_from_memory(struct client *c, const char *name)
{
    send_body(c, record[atoi(name + 1) % RECORDS], record_bytes);
}

/* -- redis -- */

static uv_tcp_t redis;
static uv_prepare_t flush;
static const char *prefix;
static char out[1 << 20];
static size_t out_n;
static char *in;
static size_t in_n, in_cap;

static void answer_from_redis(struct client *c, const char *name)
{
    int key = (int)strlen(prefix) + (int)strlen(name);
    out_n += (size_t)sprintf(out + out_n, "*2\r\n$3\r\nGET\r\n$%d\r\n%s%s\r\n", key, prefix, name);
    waiting[last++ % 65536] = c;
}

static void on_flush(uv_prepare_t *h)
{
    if (!out_n) return;
    uv_buf_t b = uv_buf_init(out, (unsigned)out_n);
    ssize_t sent = uv_try_write((uv_stream_t *)&redis, &b, 1);
    assert(sent == (ssize_t)out_n);
    (void)sent;
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
        size_t bytes = strtoul(in + at + 1, NULL, 10), head = (size_t)(line + 1 - in);
        if (in_n - head < bytes + 2) break;
        struct client *c = waiting[first++ % 65536];
        if (c) send_body(c, in + head + SKIP, bytes - SKIP);
        at = head + bytes + 2;
    }
    memmove(in, in + at, in_n - at);
    in_n -= at;
}

/* -- both -- */

static void (*answer)(struct client *c, const char *name);

static void on_request(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    if (n < 0) {
        for (unsigned i = first; i != last; i++)
            if (waiting[i % 65536] == (struct client *)s) waiting[i % 65536] = NULL;
        uv_close((uv_handle_t *)s, on_closed);
        return;
    }
    b->base[n < READ_MAX ? n : READ_MAX - 1] = '\0';
    for (char *at = b->base; (at = strstr(at, "username=")); at++) {
        char name[32];
        sscanf(at + 9, "%31[a-z0-9]", name);
        answer((struct client *)s, name);
    }
}

static void on_connection(uv_stream_t *s, int status)
{
    struct client *c = calloc(1, sizeof *c);
    uv_tcp_init(&loop, &c->tcp);
    uv_accept(s, (uv_stream_t *)&c->tcp);
    uv_tcp_nodelay(&c->tcp, 1);
    uv_read_start((uv_stream_t *)&c->tcp, lend_buffer, on_request);
}

static void on_redis(uv_connect_t *r, int status)
{
    assert(status == 0);
    uv_tcp_nodelay(&redis, 1);
    uv_read_start((uv_stream_t *)&redis, lend_reply, on_reply);
    uv_prepare_init(&loop, &flush);
    uv_prepare_start(&flush, on_flush);
}

int main(int argc, char **argv)
{
    if (argc < 4) return 2;
    struct sockaddr_in address;
    uv_loop_init(&loop);
    if (strcmp(argv[1], "memory") == 0) {
        record_bytes = strtoul(argv[3], NULL, 10);
        for (int i = 0; i < RECORDS; i++) record[i] = memset(malloc(record_bytes), 'x', record_bytes);
        answer = answer_from_memory;
    } else {
        static uv_connect_t connect;
        prefix = argv[4];
        uv_tcp_init(&loop, &redis);
        uv_ip4_addr("127.0.0.1", atoi(argv[3]), &address);
        uv_tcp_connect(&connect, &redis, (struct sockaddr *)&address, on_redis);
        answer = answer_from_redis;
    }
    uv_tcp_init(&loop, &server);
    uv_ip4_addr("127.0.0.1", atoi(argv[2]), &address);
    if (uv_tcp_bind(&server, (struct sockaddr *)&address, 0) || uv_listen((uv_stream_t *)&server, 1024, on_connection))
        return 1;
    return uv_run(&loop, UV_RUN_DEFAULT);
}
