/* http/connection.c -- one client, from accept to close.
 *
 * Bytes read go straight into the parser as long as it may have them: not while the handler holds a request, not
 * while answers wait for a slow reader. What comes meanwhile is kept in the backlog. Requests that are answered within
 * the handler's call follow each other in one loop, and their answers leave together at its end. */
#include "http/inner.h"

#include "base/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURN_MOST    256    /* requests of one connection before the others have their turn */
#define DISCARD_MOST 262144 /* bytes thrown away behind the last answer */
#define BODY_RATE    1024   /* bytes a second that keep a long body alive */

/* -- the end -- */

/* The client is gone while the handler works: it is told, or, when nothing would need undoing, it answers to nobody. */
static void abandon(struct turn *t)
{
    t->exchange.connection = NULL;
    if (t->exchange.on_gone) {
        t->exchange.on_gone(&t->exchange);
        turn_give_back(t);
    } else {
        t->server->orphans++;
    }
}

static void drop_backlog(struct http_connection *c)
{
    if (!c->backlog) return;
    buffer_deinit(&c->backlog->bytes);
    free(c->backlog);
    c->backlog = NULL;
}

static void on_closed(uv_handle_t *handle)
{
    struct http_connection *c = container_of(handle, struct http_connection, handle);
    struct http_server *s = c->server;
    free(c);
    server_handle_closed(s);
}

/* Answers that are being written stay until their callback, which comes before on_closed. */
void connection_close(struct http_connection *c)
{
    if (c->closing) return;
    c->closing = true;
    list_remove(&c->link);
    hold_bytes(c, 0);
    server_connection_closing(c);
    drop_backlog(c);
    uv_close(&c->handle, on_closed);
    if (!c->writing) send_drop(c);
    struct turn *t = c->turn;
    c->turn = NULL;
    if (!t) return;
    if (t->with_handler) abandon(t);
    else turn_give_back(t);
}

/* -- waiting -- */

static void await(struct http_connection *c, enum wait wait)
{
    if (c->wait == wait && !c->renew) return;
    c->wait = (uint8_t)wait;
    c->renew = false;
    c->deadline = clock_add(uv_now(c->server->loop), c->server->patience[wait]);
    list_remove(&c->link);
    list_append(&c->server->waiting[wait], &c->link);
    if (wait == WAIT_RESUME) server_resume_soon(c->server);
}

static enum wait wait_of(const struct http_connection *c)
{
    if (c->lingering) return WAIT_LINGER;
    if (c->writing) return WAIT_SEND;
    if (c->turn && c->turn->with_handler) return WAIT_HANDLER;
    if (c->backlog) return WAIT_RESUME;
    bool started = c->turn && http_parser_started(&c->turn->parser); /* blank lines buy no time */
    if (started) return http_parser_in_body(&c->turn->parser) ? WAIT_BODY : WAIT_HEAD;
    return c->requests ? WAIT_IDLE : WAIT_HEAD;
}

/* What it makes us keep while we wait for it. */
static size_t bytes_held(const struct http_connection *c, enum wait wait)
{
    if (wait == WAIT_SEND) return c->stream.write_queue_size;
    return wait == WAIT_BODY && c->turn->parser.body ? c->turn->parser.body->n : 0;
}

void connection_settle(struct http_connection *c)
{
    if (c->closing) return;
    enum wait wait = wait_of(c);
    bool for_client = wait == WAIT_IDLE || wait == WAIT_HEAD || wait == WAIT_BODY;
    if (for_client && c->ended) {
        connection_close(c);
        return;
    }
    await(c, wait);
    hold_bytes(c, bytes_held(c, wait));
}

/* -- refusing -- */

static void refuse(struct http_connection *c, enum status why)
{
    struct http_server *s = c->server;
    struct turn *t = c->turn;
    struct reply *reply = &t->exchange.reply;
    server_count_refusal(s, why);
    reply_begin(reply, status_http(why));
    if (s->config.refused) s->config.refused(s->config.owner, why, reply);
    reply->close = true;
    reply->head = http_parser_is_head(&t->parser);
    send_queue(t);
}

static bool still_sending(struct http_connection *c)
{
    struct turn *t = c->answered;
    size_t left = c->stream.write_queue_size;
    bool progress = left < t->progress;
    t->progress = left;
    return progress;
}

static bool fast_enough(struct http_connection *c)
{
    struct turn *t = c->turn;
    size_t got = t->parser.body ? t->parser.body->n : 0, before = t->progress;
    t->progress = got;
    return got - before >= c->server->config.body_timeout_ms * BODY_RATE / 1000;
}

/* Not an end that a client could take for that of its answer. */
static void cut(struct http_connection *c, enum cut why)
{
    struct linger at_once = {.l_onoff = 1};
    uv_os_fd_t fd;
    hold_count_cut(c->server, why);
    if (c->handle.type == UV_TCP && !uv_fileno(&c->handle, &fd))
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    connection_close(c);
}

void connection_shed(struct http_connection *c)
{
    if (c->wait == WAIT_SEND) {
        cut(c, CUT_CLIENT_BYTES);
        return;
    }
    refuse(c, OVERLOADED);
    send_flush(c);
    connection_settle(c);
}

void connection_expire(struct http_connection *c)
{
    bool goes_on = (c->wait == WAIT_SEND && still_sending(c)) || (c->wait == WAIT_BODY && fast_enough(c));
    bool late = (c->wait == WAIT_HEAD && c->turn) || c->wait == WAIT_BODY;
    if (goes_on) {
        c->renew = true;
    } else if (late) {
        refuse(c, REQUEST_TIMEOUT);
        send_flush(c);
    } else if (c->wait == WAIT_SEND) {
        cut(c, CUT_SEND_TIMEOUT);
    } else {
        connection_close(c);
    }
    connection_settle(c);
}

/* -- taking requests -- */

void exchange_reply(struct exchange *ex)
{
    struct turn *t = container_of(ex, struct turn, exchange);
    struct http_connection *c = ex->connection;
    assert(t->with_handler);
    t->with_handler = false;
    if (!c) {
        struct http_server *s = t->server;
        turn_give_back(t);
        server_orphan_answered(s);
        return;
    }
    send_queue(t);
    if (c->taking) return; /* many answers leave at once, when all that was read is parsed */
    send_flush(c);
    connection_settle(c);
}

static void hand_up(struct http_connection *c)
{
    struct turn *t = c->turn;
    struct exchange *ex = &t->exchange;
    c->requests++;
    c->renew = true;
    t->with_handler = true;
    ex->started_us = clock_mono_us();
    ex->reply.head = ex->request.method == METHOD_HEAD;
    c->server->config.handler(ex);
}

static bool may_take(const struct http_connection *c)
{
    return !c->closing && !c->writing && !c->last && !(c->turn && c->turn->with_handler);
}

/* Parses and hands up as much of `in` as may be now; returns the rest that is to be kept. */
static struct slice take(struct http_connection *c, struct slice in)
{
    c->taking = true;
    for (unsigned requests = 0; in.n && may_take(c) && requests < TURN_MOST;) {
        if (!c->turn) c->turn = turn_take(c->server, c);
        size_t used;
        enum http_parse_event event = http_parser_feed(&c->turn->parser, in, &used);
        in = slice_skip(in, used);
        if (event == PARSE_HEAD && !in.n) send_continue(c);
        if (event == PARSE_COMPLETE) hand_up(c), requests++;
        if (event == PARSE_REFUSED) refuse(c, c->turn->parser.refusal);
        if (c->slices >= GATHER_MOST || c->bytes >= GATHER_BYTES) send_flush(c);
    }
    c->taking = false;
    send_flush(c);
    bool blank = !c->closing && c->turn && !c->turn->with_handler && http_parser_untouched(&c->turn->parser);
    if (blank) {
        turn_give_back(c->turn);
        c->turn = NULL;
    }
    return c->closing || c->last ? (struct slice){NULL, 0} : in;
}

/* -- reading -- */

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static size_t kept(const struct http_connection *c) { return c->backlog ? c->backlog->bytes.n - c->backlog->start : 0; }

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct http_connection *c = container_of(handle, struct http_connection, handle);
    *buf = (uv_buf_t){c->server->read_buffer, c->lingering ? READ_BYTES : BACKLOG_MOST - kept(c)};
}

static void keep(struct http_connection *c, struct slice bytes)
{
    if (!bytes.n) return;
    if (!c->backlog) {
        c->backlog = malloc(sizeof *c->backlog);
        if (!c->backlog) abort();
        c->backlog->start = 0;
        buffer_init(&c->backlog->bytes, BACKLOG_MOST);
    }
    struct buffer *b = &c->backlog->bytes;
    if (c->backlog->start) {
        b->n -= c->backlog->start;
        memmove(b->p, b->p + c->backlog->start, b->n);
        c->backlog->start = 0;
    }
    bool fits = buffer_slice(b, bytes);
    assert(fits); /* no read brings more than on_alloc gave */
    (void)fits;
    if (b->n < BACKLOG_MOST) return;
    uv_read_stop(&c->stream);
    c->paused = true;
}

static void read_on(struct http_connection *c)
{
    if (!c->paused || c->ended) return;
    c->paused = false;
    if (uv_read_start(&c->stream, on_alloc, on_read)) connection_close(c);
}

void connection_go_on(struct http_connection *c)
{
    if (!c->backlog || !may_take(c)) {
        connection_settle(c);
        return;
    }
    struct slice in = slice_skip(buffer_view(&c->backlog->bytes), c->backlog->start);
    struct slice rest = take(c, in);
    if (c->closing) return;
    if (rest.n) {
        c->backlog->start += in.n - rest.n;
    } else {
        drop_backlog(c);
        read_on(c);
    }
    connection_settle(c);
}

void connection_discard(struct http_connection *c)
{
    drop_backlog(c);
    read_on(c);
}

/* libuv tells the end of a stream also where a reset has come close behind the last bytes. */
static bool was_reset(const struct http_connection *c)
{
    uv_os_fd_t fd;
    int error = 0;
    socklen_t n = sizeof error;
    return !uv_fileno(&c->handle, &fd) && !getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) && error;
}

static void on_end(struct http_connection *c, ssize_t error)
{
    if (error != UV_EOF || c->lingering || was_reset(c)) {
        connection_close(c);
        return;
    }
    c->ended = true;
    uv_read_stop(&c->stream);
    connection_settle(c);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct http_connection *c = container_of(stream, struct http_connection, stream);
    if (n < 0) {
        on_end(c, n);
        return;
    }
    struct slice in = {buf->base, (size_t)n};
    if (c->lingering) {
        c->discarded += (unsigned)n;
        if (c->discarded > DISCARD_MOST) connection_close(c);
        return;
    }
    if (!in.n || c->last) return;
    keep(c, c->backlog ? in : take(c, in));
    connection_settle(c);
}

/* -- the beginning -- */

static int open_handle(struct http_connection *c, int fd, bool is_unix)
{
    uv_loop_t *loop = c->server->loop;
    if (!is_unix) {
        uv_tcp_init(loop, &c->tcp);
        return uv_tcp_open(&c->tcp, fd);
    }
    uv_pipe_init(loop, &c->pipe, 0);
    return uv_pipe_open(&c->pipe, fd);
}

void connection_open(struct http_server *s, int fd, bool is_unix, bool surplus)
{
    size_t size = offsetof(struct http_connection, handle) + (is_unix ? sizeof(uv_pipe_t) : sizeof(uv_tcp_t));
    struct http_connection *c = malloc(size);
    if (!c) abort();
    memset(c, 0, offsetof(struct http_connection, handle));
    c->server = s;
    c->surplus = surplus;
    list_init(&c->link);
    int error = open_handle(c, fd, is_unix);
    if (error) close(fd);
    await(c, WAIT_HEAD); /* also while the first byte is awaited */
    if (!error) error = uv_read_start(&c->stream, on_alloc, on_read);
    if (error) connection_close(c);
    else if (surplus) send_surplus(c);
    connection_settle(c);
}
