/* http/server.c -- all connections of one loop: accepting them, lending them turns, their deadlines, drain and close.
 *
 * Descriptors are accepted here and not by uv_listen, because libuv cannot be told to stop: out of descriptors it
 * would turn in circles, or drop clients. Here accepting pauses, and clients wait in the kernel's queue.
 *
 * There is no timer a connection. Each wait is as long for one connection as for the next, so a list a kind of wait
 * is in order of deadlines by itself, and one tick looks at the front of each. */
#include "http/inner.h"

#include "base/clock.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_MS      200
#define RETRY_MS     100 /* after an accept that failed */
#define LINGER_MS    1000
#define LAST_CALL_MS 300 /* for an idle connection, when draining, to ask once more */
#define ACCEPT_MOST  64  /* in one go, before connections are read */
#define SPARES_MOST  64  /* turns kept for the next requests */
#define SURPLUS_MOST 64  /* connections that may wait for their 503; more are closed without a word */
#define LISTEN_QUEUE 1024

struct acceptor {
    struct list link;
    struct http_server *server;
    uv_poll_t poll;
    int fd;
    bool is_unix;
};

/* -- turns -- */

struct turn *turn_take(struct http_server *s, struct http_connection *c)
{
    struct turn *t = s->spare;
    if (t) {
        s->spare = t->next;
        s->spares--;
    } else {
        t = malloc(sizeof *t);
        if (!t) abort();
        t->server = s;
        arena_init(&t->exchange.arena);
        http_parser_init(&t->parser, &s->config.limits);
    }
    struct exchange *ex = &t->exchange;
    ex->id = s->next_id++;
    ex->owner = s->config.owner;
    ex->on_gone = NULL;
    ex->user = NULL;
    ex->connection = c;
    reply_init(&ex->reply, &ex->arena);
    http_parser_begin(&t->parser, &ex->request, &ex->arena);
    t->progress = 0;
    t->with_handler = t->last = false;
    return t;
}

void turn_give_back(struct turn *t)
{
    struct http_server *s = t->server;
    reply_deinit(&t->exchange.reply);
    http_parser_done(&t->parser);
    if (s->spares < SPARES_MOST) {
        arena_reset(&t->exchange.arena);
        t->next = s->spare;
        s->spare = t;
        s->spares++;
    } else {
        arena_deinit(&t->exchange.arena);
        free(t);
    }
}

/* -- counting -- */

void server_count_refusal(struct http_server *s, enum status why)
{
    if (!s->config.metrics) return;
    struct slice code = slice_of(status_code(why));
    if (!s->refused_metric[why])
        s->refused_metric[why] = metrics_counter(s->config.metrics, METRIC_HTTP_REFUSED, &code);
    counter_add(s->refused_metric[why], 1);
}

unsigned http_server_connections(const struct http_server *s) { return s->connections; }

/* -- the end -- */

static void end(struct http_server *s)
{
    void (*closed)(void *arg) = s->closed;
    void *arg = s->closed_arg;
    for (struct turn *t; (t = s->spare);) {
        s->spare = t->next;
        arena_deinit(&t->exchange.arena);
        free(t);
    }
    free((char *)s->surplus_answer.p);
    free(s);
    closed(arg);
}

void server_handle_closed(struct http_server *s)
{
    if (--s->handles == 0) end(s);
}

static void on_tick_closed(uv_handle_t *handle)
{
    server_handle_closed(container_of(handle, struct http_server, tick));
}

static void on_resume_closed(uv_handle_t *handle)
{
    server_handle_closed(container_of(handle, struct http_server, resume));
}

/* The last handle stays open until no handler holds an exchange any more. */
static void close_last_handle(struct http_server *s)
{
    if (s->closing && !s->orphans) uv_close((uv_handle_t *)&s->resume, on_resume_closed);
}

void server_orphan_answered(struct http_server *s)
{
    s->orphans--;
    close_last_handle(s);
}

/* -- accepting -- */

static void on_acceptor_closed(uv_handle_t *handle)
{
    struct acceptor *a = container_of((uv_poll_t *)handle, struct acceptor, poll);
    struct http_server *s = a->server;
    free(a);
    server_handle_closed(s);
}

static void acceptor_close(struct acceptor *a)
{
    list_remove(&a->link);
    uv_close((uv_handle_t *)&a->poll, on_acceptor_closed);
    close(a->fd);
}

static void tick_as_needed(struct http_server *s);

void server_connection_closing(struct http_connection *c)
{
    struct http_server *s = c->server;
    s->connections--;
    if (c->surplus) s->surplus--;
    atomic_fetch_sub(s->config.open, 1);
    if (s->open_metric) counter_add(s->open_metric, -1);
    tick_as_needed(s);
}

static void admit(struct http_server *s, int fd, bool is_unix)
{
    bool surplus = atomic_fetch_add(s->config.open, 1) >= s->config.max_connections;
    if (surplus && s->surplus == SURPLUS_MOST) {
        atomic_fetch_sub(s->config.open, 1);
        server_count_refusal(s, OVERLOADED);
        close(fd);
        return;
    }
    s->connections++;
    s->handles++;
    if (surplus) s->surplus++;
    if (s->open_metric) counter_add(s->open_metric, 1);
    tick_as_needed(s);
    connection_open(s, fd, is_unix, surplus);
}

static bool worth_a_retry(int error) { return error == EINTR || error == ECONNABORTED || error == EPROTO; }

/* Accepts up to `most`; false when that failed for want of something. */
static bool accept_some(struct acceptor *a, unsigned most)
{
    while (most--) {
        int fd = accept4(a->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) admit(a->server, fd, a->is_unix);
        else if (errno == EAGAIN || errno == EWOULDBLOCK) return true;
        else if (!worth_a_retry(errno)) return false;
    }
    return true;
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
    struct acceptor *a = container_of(poll, struct acceptor, poll);
    struct http_server *s = a->server;
    if (!status && accept_some(a, ACCEPT_MOST)) return;
    log_warn("cannot accept, pausing", LOG_TEXT("error", status ? uv_strerror(status) : strerror(errno)));
    uv_poll_stop(poll);
    s->accept_again = uv_now(s->loop) + RETRY_MS;
    tick_as_needed(s);
}

static void accept_on(struct http_server *s)
{
    s->accept_again = 0;
    for (struct list *l = s->acceptors.next; l != &s->acceptors; l = l->next) {
        struct acceptor *a = container_of(l, struct acceptor, link);
        uv_poll_start(&a->poll, UV_READABLE, on_acceptable);
    }
}

int http_server_listen(struct http_server *s, int fd)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int on = 1;
    struct acceptor *a = malloc(sizeof *a);
    if (!a) abort();
    *a = (struct acceptor){.server = s, .fd = fd};
    int error = getsockname(fd, (struct sockaddr *)&address, &length) || listen(fd, LISTEN_QUEUE) ? -errno : 0;
    if (!error) error = uv_poll_init(s->loop, &a->poll, fd);
    if (error) {
        close(fd);
        free(a);
        return error;
    }
    a->is_unix = address.ss_family == AF_UNIX;
    if (!a->is_unix) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted sockets inherit it */
    list_append(&s->acceptors, &a->link);
    s->handles++;
    error = uv_poll_start(&a->poll, UV_READABLE, on_acceptable);
    if (error) acceptor_close(a);
    return error;
}

/* -- time -- */

static void expire(struct http_server *s, enum wait wait, uint64_t now)
{
    struct list *waiting = &s->waiting[wait];
    while (!list_empty(waiting)) {
        struct http_connection *c = container_of(waiting->next, struct http_connection, link);
        if (c->deadline > now) break;
        connection_expire(c); /* takes it out, or puts it at the end */
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct http_server *s = container_of(timer, struct http_server, tick);
    uint64_t now = uv_now(s->loop);
    for (enum wait wait = WAIT_IDLE; wait < WAITS; wait++) expire(s, wait, now);
    if (s->accept_again && now >= s->accept_again) accept_on(s);
    tick_as_needed(s);
}

/* The tick runs while there is something to look at. */
static void tick_as_needed(struct http_server *s)
{
    bool needed = !s->closing && (s->connections || s->accept_again);
    bool runs = uv_is_active((uv_handle_t *)&s->tick);
    if (needed && !runs) uv_timer_start(&s->tick, on_tick, TICK_MS, TICK_MS);
    if (!needed && runs) uv_timer_stop(&s->tick);
}

static void on_resume(uv_idle_t *idle)
{
    struct http_server *s = container_of(idle, struct http_server, resume);
    struct list now;
    list_init(&now);
    list_splice(&now, &s->waiting[WAIT_RESUME]);
    while (!list_empty(&now)) {
        struct http_connection *c = container_of(now.next, struct http_connection, link);
        c->renew = true; /* wherever it waits next, it is not in `now` */
        connection_go_on(c);
    }
    if (list_empty(&s->waiting[WAIT_RESUME])) uv_idle_stop(idle);
}

void server_resume_soon(struct http_server *s) { uv_idle_start(&s->resume, on_resume); }

/* -- the server -- */

/* Exchange ids count up from a different start in each server of the process. */
static uint64_t first_id(void)
{
    static _Atomic uint64_t servers;
    return (atomic_fetch_add(&servers, 1) << 48) + 1;
}

struct http_server *http_server_new(uv_loop_t *loop, const struct http_config *config)
{
    struct http_server *s = malloc(sizeof *s);
    if (!s) abort();
    memset(s, 0, offsetof(struct http_server, read_buffer));
    s->loop = loop;
    s->config = *config;
    s->next_id = first_id();
    for (int wait = 0; wait < WAITS; wait++) list_init(&s->waiting[wait]);
    list_init(&s->acceptors);
    s->patience[WAIT_HANDLER] = s->patience[WAIT_RESUME] = CLOCK_NEVER;
    s->patience[WAIT_IDLE] = config->idle_timeout_ms;
    s->patience[WAIT_HEAD] = config->header_timeout_ms;
    s->patience[WAIT_BODY] = config->body_timeout_ms;
    s->patience[WAIT_SEND] = config->send_timeout_ms;
    s->patience[WAIT_LINGER] = LINGER_MS;
    for (int wait = 0; wait < WAITS; wait++) s->patience[wait] += !s->patience[wait]; /* a tick must get past each */
    uv_timer_init(loop, &s->tick);
    uv_idle_init(loop, &s->resume);
    s->handles = 2;
    if (config->metrics) s->open_metric = metrics_counter(config->metrics, METRIC_CONNECTIONS, NULL);
    return s;
}

/* Gives those who wait so a last while, beginning now. */
static void wait_no_longer_than(struct http_server *s, enum wait wait, uint64_t ms)
{
    struct list waiting;
    list_init(&waiting);
    list_splice(&waiting, &s->waiting[wait]);
    if (s->patience[wait] > ms) s->patience[wait] = ms;
    while (!list_empty(&waiting)) {
        struct http_connection *c = container_of(waiting.next, struct http_connection, link);
        c->renew = true;
        connection_settle(c);
    }
}

/* Whoever waits in the kernel's queue is let in first. A connection that is idle, or waits for its first request, may have sent it
 * already: it gets a last while, and hears that this answer is the last. */
void http_server_drain(struct http_server *s)
{
    for (struct acceptor *a; !list_empty(&s->acceptors); acceptor_close(a)) {
        a = container_of(s->acceptors.next, struct acceptor, link);
        accept_some(a, LISTEN_QUEUE);
    }
    s->draining = true;
    s->accept_again = 0;
    wait_no_longer_than(s, WAIT_HEAD, LINGER_MS);
    wait_no_longer_than(s, WAIT_IDLE, LAST_CALL_MS);
}

void http_server_close(struct http_server *s, void (*closed)(void *arg), void *arg)
{
    assert(!s->closing);
    s->closed = closed;
    s->closed_arg = arg;
    while (!list_empty(&s->acceptors)) acceptor_close(container_of(s->acceptors.next, struct acceptor, link));
    for (int wait = 0; wait < WAITS; wait++)
        while (!list_empty(&s->waiting[wait]))
            connection_close(container_of(s->waiting[wait].next, struct http_connection, link));
    s->closing = true;
    uv_close((uv_handle_t *)&s->tick, on_tick_closed);
    close_last_handle(s);
}
