/* http/send.c -- from reply to bytes.
 *
 * Answers queue in the connection in the order of their requests. A flush gathers all of them, a head and its body's
 * slices each, into one vector and tries to write it at once; what the socket does not take goes on as one uv_write,
 * with the turns kept until it is done. Bodies are never copied. */
#include "http/inner.h"

#include "base/clock.h"
#include "base/digits.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>

#define OTHER_LINES 224 /* bytes of a head at most, beside its own lines: status, date, length, connection */

/* -- the head of an answer -- */

static struct slice date_now(struct http_server *s)
{
    uint64_t now = uv_now(s->loop);
    if (now >= s->date_until) {
        uint64_t wall = clock_date_ms();
        clock_http_date(wall, s->date);
        s->date_until = now + 1000 - wall % 1000;
    }
    return (struct slice){s->date, 29};
}

static inline char *put(char *to, struct slice s)
{
    if (s.n) memcpy(to, s.p, s.n);
    return to + s.n;
}

static char *put_number(char *to, size_t v)
{
    struct digits room;
    return put(to, digits_of(v, &room));
}

static char *put_status_line(char *to, int status)
{
    if (status == 200) return put(to, SLICE("HTTP/1.1 200 OK\r\n")); /* nearly every answer's */
    to = put_number(put(to, SLICE("HTTP/1.1 ")), (size_t)status);
    to = put(put(to, SLICE(" ")), slice_of(http_reason(status)));
    return put(to, SLICE("\r\n"));
}

static bool has_length(int status) { return status >= 200 && status != 204 && status != 304; }

static struct slice head_of(struct turn *t)
{
    const struct reply *r = &t->exchange.reply;
    char *start = arena_bytes(&t->exchange.arena, r->head_lines.n + OTHER_LINES),
         *p = put_status_line(start, r->status);
    p = put(p, SLICE("Date: "));
    p = put(p, date_now(t->server));
    p = put(p, SLICE("\r\n"));
    p = put(p, buffer_view(&r->head_lines));
    if (has_length(r->status)) {
        p = put(p, SLICE("Content-Length: "));
        p = put_number(p, r->body_bytes);
        p = put(p, SLICE("\r\n"));
    }
    if (t->last) p = put(p, SLICE("Connection: close\r\n"));
    else if (!t->exchange.request.minor) p = put(p, SLICE("Connection: keep-alive\r\n"));
    p = put(p, SLICE("\r\n"));
    return (struct slice){start, (size_t)(p - start)};
}

static size_t body_slices(const struct turn *t)
{
    const struct reply *r = &t->exchange.reply;
    return r->head || !has_length(r->status) ? 0 : r->pieces;
}

static bool is_last(const struct turn *t)
{
    const struct http_server *s = t->server;
    const struct http_connection *c = t->exchange.connection;
    return t->exchange.reply.close || !t->exchange.request.keep_alive || s->draining ||
           (s->config.max_requests && c->requests >= s->config.max_requests);
}

void send_queue(struct turn *t)
{
    struct http_connection *c = t->exchange.connection;
    assert(c->turn == t && t->exchange.reply.status >= 200);
    c->turn = NULL;
    t->last = is_last(t);
    t->head = head_of(t);
    t->next = NULL;
    if (c->answered) c->newest->next = t;
    else c->answered = t;
    c->newest = t;
    c->last = t->last;
    size_t slices = body_slices(t);
    c->slices += 1 + slices;
    c->bytes += t->head.n + (slices ? t->exchange.reply.body_bytes : 0);
}

/* -- out -- */

/* The last answer is with the kernel. Closing now could reset the connection under what the client still sends, and
 * the reset would overtake the answer: so only our direction ends here. */
static void linger(struct http_connection *c)
{
    uv_os_fd_t fd;
    if (c->ended || uv_fileno(&c->handle, &fd) || shutdown(fd, SHUT_WR)) {
        connection_close(c);
        return;
    }
    c->lingering = true;
    connection_discard(c);
}

/* Gives back the answers up to `end`, which are sent. May close the connection. */
static void sent(struct http_connection *c, struct turn *end)
{
    bool last;
    struct turn *t;
    do {
        t = c->answered;
        c->answered = t->next;
        last = t->last;
        turn_give_back(t);
    } while (t != end);
    if (last) linger(c);
}

void send_drop(struct http_connection *c)
{
    for (struct turn *t; (t = c->answered);) {
        c->answered = t->next;
        turn_give_back(t);
    }
}

static void on_written(uv_write_t *write, int status)
{
    struct turn *end = container_of(write, struct turn, write);
    struct http_connection *c = end->exchange.connection;
    c->writing = false;
    if (c->closing) {
        send_drop(c);
        return;
    }
    if (status) {
        connection_close(c);
        return;
    }
    sent(c, end);
    send_flush(c);
    connection_go_on(c);
}

static void fill_vector(const struct http_connection *c, uv_buf_t *to)
{
    for (const struct turn *t = c->answered; t; t = t->next) {
        *to++ = (uv_buf_t){(char *)t->head.p, t->head.n};
        for (size_t i = 0, n = body_slices(t); i < n; i++) {
            struct slice bytes = t->exchange.reply.piece[i].bytes;
            *to++ = (uv_buf_t){(char *)bytes.p, bytes.n};
        }
    }
}

static void write_rest(struct http_connection *c, uv_buf_t *vector, size_t n, size_t done)
{
    while (done >= vector->len) {
        done -= vector->len;
        vector++;
        n--;
    }
    vector->base += done;
    vector->len -= done;
    c->writing = c->renew = true;
    if (uv_write(&c->newest->write, &c->stream, vector, (unsigned)n, on_written)) {
        c->writing = false;
        connection_close(c);
        return;
    }
    c->answered->progress = c->stream.write_queue_size;
}

void send_flush(struct http_connection *c)
{
    if (!c->answered || c->writing || c->closing) return;
    size_t n = c->slices, bytes = c->bytes;
    uv_buf_t few[GATHER_MOST], *vector = few;
    if (n > GATHER_MOST) vector = arena_alloc(&c->newest->exchange.arena, n * sizeof *vector);
    fill_vector(c, vector);
    c->slices = c->bytes = 0;
    int done = uv_try_write(&c->stream, vector, (unsigned)n);
    if (done == UV_EAGAIN) done = 0;
    if (done < 0) connection_close(c);
    else if ((size_t)done == bytes) sent(c, c->newest);
    else write_rest(c, vector, n, (size_t)done);
}

void send_continue(struct http_connection *c)
{
    static char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    uv_buf_t line = {text, sizeof text - 1};
    send_flush(c);
    if (c->closing || c->writing) return; /* a client that does not read does not get it, and will send or give up */
    int done = uv_try_write(&c->stream, &line, 1);
    if (done != UV_EAGAIN && done != (int)line.len) connection_close(c);
}

/* -- one connection too many -- */

/* The same bytes for all: made once, as the handler's side words it. */
static struct slice surplus_answer(struct http_server *s)
{
    if (s->surplus_answer.p) return s->surplus_answer;
    struct arena arena;
    struct reply reply;
    struct buffer text;
    arena_init(&arena);
    reply_init(&reply, &arena);
    reply_begin(&reply, status_http(OVERLOADED));
    if (s->config.refused) s->config.refused(s->config.owner, OVERLOADED, &reply);
    struct slice lines = buffer_view(&reply.head_lines);
    bool told_when = lines.n && memmem(lines.p, lines.n, "Retry-After:", 12);
    buffer_init(&text, SIZE_MAX);
    buffer_printf(&text, "HTTP/1.1 %d %s\r\n%.*s%sContent-Length: %zu\r\nConnection: close\r\n\r\n", reply.status,
                  http_reason(reply.status), SLICE_ARG(lines), told_when ? "" : "Retry-After: 1\r\n", reply.body_bytes);
    for (size_t i = 0; i < reply.pieces; i++) buffer_slice(&text, reply.piece[i].bytes);
    s->surplus_answer = buffer_view(&text);
    reply_deinit(&reply);
    arena_deinit(&arena);
    return s->surplus_answer;
}

void send_surplus(struct http_connection *c)
{
    struct slice text = surplus_answer(c->server);
    uv_buf_t vector = {(char *)text.p, text.n};
    server_count_refusal(c->server, OVERLOADED);
    if (uv_try_write(&c->stream, &vector, 1) == (int)text.n) linger(c);
    else connection_close(c);
}
