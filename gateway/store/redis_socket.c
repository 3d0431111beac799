/* store/redis_socket.c -- the seam between hiredis and libuv.
 *
 * Lives: redis_socket_open -> on_connect -> (shake) -> (redis_socket_send -> on_flush)* -> on_reply* -> on_cleanup -> on_closed. hiredis owns
 * its context and frees it; on_cleanup is the moment when it begins to do so, and from there `ac` is NULL. The handles
 * outlive it until libuv closes them.
 *
 * hiredis asks for writability after each command. We flush from a prepare handle instead, once before the loop waits, and
 * poll for writability only while connecting or after a short write.
 *
 * TLS (redis_tls.h) stands below hiredis' read and write, and before them while hands are shaken: until that is over nobody is told that
 * the socket is open, so nothing is ever sent in clear. Reading, writing and watching are about one context, so they are one file, though a long one. */
#include "store/redis_socket.h"

#include "base/list.h"
#include "store/redis_format.h"
#include "store/redis_tls.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <hiredis/alloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define READS_MAX 8 /* before other sockets get their turn */
/* hiredis moves to the front what lies behind a reply that has been taken. Of short replies many come with one read, and to move them costs more than to
 * read twice; of a long one the more comes with one read the better. */
#define READ_LEAST 16384 /* room for one */
#define READ_MOST  32768 /* for the rest of a long one */
#define LONG       8192  /* is what has so much of it here already */
#define READER_KEPT                                                                                                    \
    131072 /* of the reader's buffer between replies: hiredis' 16 KiB would be allocated anew for each larger one */

struct redis_socket {
    redisAsyncContext *ac; /* NULL from on_cleanup on */
    const struct redis_socket_events *events;
    void *arg;
    struct redis_judge judge;
    struct redis_tls_session *tls; /* NULL: in clear */
    redisContextFuncs funcs;       /* hiredis' own, with our read and write */
    ssize_t (*plain_read)(redisContext *, char *, size_t);
    size_t reply_max;
    uv_poll_t poll;
    uv_prepare_t flush;
    uv_idle_t awake; /* on with flush: what another prepare handle asks must not wait out a whole poll */
    int watched;     /* what poll is started for */
    int handles;     /* not closed yet */
    unsigned unsent; /* questions in the output buffer */
    size_t sent;     /* of its first bytes, which stand there still */
    uint64_t writes;
    bool connected, opened, flushing, closing;
    bool more; /* the last read filled its buffer, or TLS has more than went into it */
};

static struct redis_socket *socket_of(redisContext *c) { return container_of(c, redisAsyncContext, c)->data; }

static ssize_t fail(redisContext *c, int err, const char *why)
{
    c->err = err;
    snprintf(c->errstr, sizeof c->errstr, "%s", why);
    return -1;
}

/* Room behind what the reader has, for READ_LEAST bytes or more. */
static size_t make_room(redisReader *r)
{
    if (r->len == 0 && sdsavail(r->buf) > READER_KEPT) {
        sdsfree(r->buf);
        r->buf = sdsempty();
        r->pos = 0;
    }
    if (r->buf && sdsavail(r->buf) < READ_LEAST) r->buf = sdsMakeRoomFor(r->buf, READ_MOST);
    if (!r->buf) abort(); /* out of memory */
    size_t room = sdsavail(r->buf), most = r->len - r->pos < LONG ? READ_LEAST : READ_MOST;
    return room < most ? room : most;
}

static ssize_t read_over_tls(struct redis_socket *s, char *p, size_t n)
{
    redisContext *c = &s->ac->c;
    ssize_t got = redis_tls_read(s->tls, c->fd, p, n);
    s->more = got > 0 && redis_tls_can_read(s->tls);
    return got < 0 ? fail(c, REDIS_ERR_IO, redis_tls_fault(s->tls)) : got;
}

/* Reads on only while the reply begun so far is within its cap: the reader buffers no more than that and one read.
 *
 * hiredis reads into a buffer of its own and copies that behind what the reader has. We read to that place at once, and tell hiredis of
 * nothing that it would have to copy. */
static ssize_t read_bounded(redisContext *c, char *unused, size_t unused_n)
{
    struct redis_socket *s = socket_of(c);
    redisReader *r = c->reader;
    s->more = false;
    if (r->len - r->pos > s->reply_max) return fail(c, REDIS_ERR_PROTOCOL, "a reply too long");
    size_t n = make_room(r);
    ssize_t got = s->tls ? read_over_tls(s, r->buf + r->len, n) : s->plain_read(c, r->buf + r->len, n);
    if (got < 0) return got;
    if (!s->tls) s->more = got == (ssize_t)n;
    sdsIncrLen(r->buf, (int)got);
    r->len = sdslen(r->buf);
    return 0;
}

/* Does nothing lie there? */
static bool is_quiet(struct redis_socket *s)
{
    char first;
    if (s->tls) return redis_tls_is_quiet(s->tls, s->ac->c.fd);
    return recv(s->ac->c.fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1;
}

static ssize_t send_in_clear(struct redis_socket *s, redisContext *c)
{
    ssize_t n = send(c->fd, c->obuf + s->sent, sdslen(c->obuf) - s->sent, MSG_NOSIGNAL);
    if (n >= 0) return n;
    if (errno == EAGAIN || errno == EINTR) return 0;
    return fail(c, REDIS_ERR_IO, uv_strerror(uv_translate_sys_error(errno)));
}

static ssize_t send_over_tls(struct redis_socket *s, redisContext *c)
{
    ssize_t n = redis_tls_write(s->tls, c->fd, c->obuf + s->sent, sdslen(c->obuf) - s->sent);
    return n < 0 ? fail(c, REDIS_ERR_IO, redis_tls_fault(s->tls)) : n;
}

/* So many bytes more are sent; returns how many may be dropped. hiredis moves to the front what is left, each time: of many large values, of which the
 * socket takes a little at a time, that would be all of them for each little. So it hears of what is sent when that is half of all. */
static ssize_t drop_sent(struct redis_socket *s, redisContext *c, size_t n)
{
    s->sent += n;
    if (s->sent < sdslen(c->obuf) - s->sent) return 0;
    n = s->sent;
    s->sent = 0;
    return (ssize_t)n;
}

/* As hiredis does it, but no SIGPIPE; and when nothing is asked, nothing may lie there as an answer: what came after the
 * last look would else be taken for the reply to what is sent now. Where messages may come unasked, one may lie there. */
static ssize_t write_quietly(redisContext *c)
{
    struct redis_socket *s = socket_of(c);
    if (s->judge.outstanding == 0 && !s->judge.pushes.changed && !is_quiet(s))
        return fail(c, REDIS_ERR_PROTOCOL, s->tls ? redis_tls_fault(s->tls) : "a reply without a question");
    s->writes++;
    s->judge.outstanding += s->unsent;
    s->unsent = 0;
    ssize_t n = s->tls ? send_over_tls(s, c) : send_in_clear(s, c);
    return n < 0 ? n : drop_sent(s, c, (size_t)n);
}

static bool has_part_of_a_reply(const struct redis_socket *s)
{
    return s->ac->c.reader->len > s->ac->c.reader->pos || (s->tls && redis_tls_holds(s->tls));
}

static void read_once(struct redis_socket *s)
{
    struct redis_pushes pushes = s->judge.pushes;
    bool tells = pushes.hearing && !s->closing;
    if (tells) pushes.hearing(pushes.arg, true);
    redisAsyncHandleRead(s->ac);
    if (tells && s->ac && !s->closing) pushes.hearing(pushes.arg, has_part_of_a_reply(s));
}

static void on_awake(uv_idle_t *handle);

static void read_some(struct redis_socket *s, int times)
{
    do {
        read_once(s);
    } while (s->ac && s->more && --times > 0);
    if (s->ac && s->tls && s->more) uv_idle_start(&s->awake, on_awake); /* no poll tells of what TLS has */
}

static void on_poll(uv_poll_t *handle, int status, int events);

static void watch(struct redis_socket *s, int events)
{
    if (events == s->watched) return;
    s->watched = events;
    if (events) {
        uv_poll_start(&s->poll, events, on_poll);
    } else {
        uv_poll_stop(&s->poll);
    }
}

/* One step of the handshake. */
static void shake(struct redis_socket *s)
{
    enum redis_tls_progress progress = redis_tls_shake(s->tls, s->ac->c.fd);
    if (progress == TLS_FAILED) {
        redisAsyncHandleRead(s->ac); /* reads that it has ended */
    } else if (progress == TLS_DONE && !redis_tls_must_write(s->tls)) {
        watch(s, UV_READABLE);
        s->opened = true;
        s->events->opened(s->arg);
    } else {
        watch(s, UV_READABLE | (redis_tls_must_write(s->tls) ? UV_WRITABLE : 0));
    }
}

static bool is_shaking(const struct redis_socket *s) { return s->ac && s->connected && !s->opened && !s->closing; }

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct redis_socket *s = container_of(handle, struct redis_socket, poll);
    if (status < 0) { /* an error waits on the socket: let hiredis meet it */
        events = s->watched;
        s->watched = 0; /* libuv stopped the handle */
    }
    if ((events & UV_WRITABLE) && !is_shaking(s)) redisAsyncHandleWrite(s->ac);
    if (is_shaking(s)) shake(s);
    else if (s->ac && (events & UV_READABLE)) read_some(s, READS_MAX);
    if (s->ac && status < 0 && !s->watched) uv_poll_start(&s->poll, s->watched = events, on_poll);
}

static void on_flush(uv_prepare_t *handle)
{
    struct redis_socket *s = container_of(handle, struct redis_socket, flush);
    uv_prepare_stop(handle);
    if (!s->more) uv_idle_stop(&s->awake);
    if (redis_socket_unsent(s) == 0) return;
    s->flushing = true;
    redisAsyncHandleWrite(s->ac);
    s->flushing = false;
}

static void on_awake(uv_idle_t *handle)
{
    struct redis_socket *s = container_of(handle, struct redis_socket, awake);
    if (!uv_is_active((uv_handle_t *)&s->flush)) uv_idle_stop(handle);
    if (s->more) read_some(s, READS_MAX);
}

/* The hooks through which hiredis says what it waits for. */
static void add_read(void *data)
{
    struct redis_socket *s = data;
    watch(s, s->watched | UV_READABLE);
}

static void del_read(void *data)
{
    struct redis_socket *s = data;
    watch(s, s->watched & ~UV_READABLE);
}

static void add_write(void *data)
{
    struct redis_socket *s = data;
    bool socket_is_full = s->flushing || (s->watched & UV_WRITABLE);
    if (!s->connected || socket_is_full) {
        watch(s, s->watched | UV_WRITABLE);
    } else {
        uv_prepare_start(&s->flush, on_flush);
        uv_idle_start(&s->awake, on_awake);
    }
}

static void del_write(void *data)
{
    struct redis_socket *s = data;
    watch(s, s->watched & ~UV_WRITABLE);
}

static void on_closed(uv_handle_t *handle)
{
    struct redis_socket *s = handle->data;
    if (--s->handles > 0) return;
    redis_tls_free(s->tls);
    free(s);
}

static void on_cleanup(void *data)
{
    struct redis_socket *s = data;
    const char *why = s->judge.misfit ? s->judge.misfit : s->ac->c.errstr;
    uv_close((uv_handle_t *)&s->poll, on_closed);
    uv_close((uv_handle_t *)&s->flush, on_closed);
    uv_close((uv_handle_t *)&s->awake, on_closed);
    if (s->tls) redis_tls_end(s->tls, s->ac->c.fd);
    s->ac = NULL;
    if (!s->closing) s->events->lost(s->arg, why);
}

static void on_connect(redisAsyncContext *ac, int status)
{
    struct redis_socket *s = ac->data;
    if (status != REDIS_OK) return; /* on_cleanup comes */
    s->connected = true;
    s->opened = !s->tls;
    if (s->opened && !s->closing) s->events->opened(s->arg);
}

static void on_reply(redisAsyncContext *ac, void *reply, void *question)
{
    struct redis_socket *s = ac->data;
    if (!reply) return; /* hiredis empties its queue as it frees the context: the owner knows by `lost`, or closed it */
    s->judge.outstanding--;
    if (!s->closing) s->events->reply(s->arg, reply);
}

/* Lets hiredis work on our loop and under our judge. */
static void attach(struct redis_socket *s, uv_loop_t *loop, redisAsyncContext *ac, const struct redis_socket_options *o)
{
    s->ac = ac;
    s->plain_read = ac->c.funcs->read;
    s->funcs = *ac->c.funcs;
    s->funcs.read = read_bounded;
    s->funcs.write = write_quietly;
    ac->c.funcs = &s->funcs;
    ac->data = s;
    redis_judge_attach(&s->judge, ac, o->max_value, o->pushes);
    ac->c.reader->maxbuf = READER_KEPT;

    uv_poll_init(loop, &s->poll, ac->c.fd);
    uv_prepare_init(loop, &s->flush);
    uv_idle_init(loop, &s->awake);
    s->poll.data = s->flush.data = s->awake.data = s;
    s->handles = 3;
    ac->ev.data = s;
    ac->ev.addRead = add_read;
    ac->ev.delRead = del_read;
    ac->ev.addWrite = add_write;
    ac->ev.delWrite = del_write;
    ac->ev.cleanup = on_cleanup;
    redisAsyncSetConnectCallbackNC(ac, on_connect);
}

struct redis_socket *redis_socket_open(uv_loop_t *loop, const struct redis_socket_options *o, char why[128])
{
    redisOptions options = {0};
    struct redis_tls_session *tls = NULL;
    bool wants_tls = o->tls && o->tls->on;
    if (wants_tls && !(tls = redis_tls_new(o->tls, o->host, why))) return NULL;
    if (o->ip) {
        REDIS_OPTIONS_SET_TCP(&options, o->ip, o->port);
    } else {
        REDIS_OPTIONS_SET_UNIX(&options, o->path);
    }
    redisAsyncContext *ac = redisAsyncConnectWithOptions(&options);
    if (!ac) abort(); /* out of memory */
    if (ac->err) {
        snprintf(why, 128, "%s", ac->errstr);
        redisAsyncFree(ac);
        redis_tls_free(tls);
        return NULL;
    }
    fcntl(ac->c.fd, F_SETFD, FD_CLOEXEC);
    if (o->ip) redisEnableKeepAlive(&ac->c);

    struct redis_socket *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->tls = tls;
    s->events = o->events;
    s->arg = o->arg;
    s->reply_max = o->max_value + REPLY_SLACK;
    attach(s, loop, ac, o);
    return s;
}

void redis_socket_close(struct redis_socket *s)
{
    assert(s->ac && !s->closing);
    s->closing = true;
    redisAsyncFree(s->ac); /* inside one of its callbacks: when that has returned */
}

void redis_socket_send(struct redis_socket *s, struct redis_question question, const char *command, size_t n)
{
    int queued = redisAsyncFormattedCommand(s->ac, on_reply, question_pack(question), command, n);
    assert(queued == REDIS_OK);
    (void)queued;
    s->unsent++;
}

/* As redisAsyncFormattedCommand does it for most commands; but that takes each apart first, to see whether it is one of the others. */
static void expect_reply(redisAsyncContext *ac, struct redis_question question)
{
    redisCallback *callback = hi_malloc(sizeof *callback);
    if (!callback) abort();
    *callback = (redisCallback){.fn = on_reply, .privdata = question_pack(question)};
    if (ac->replies.head) ac->replies.tail->next = callback;
    else ac->replies.head = callback;
    ac->replies.tail = callback;
}

void redis_socket_ask(struct redis_socket *s, struct redis_question question, int argc, const struct slice *argv)
{
    redisContext *c = &s->ac->c;
    assert(!(c->flags & (REDIS_DISCONNECTING | REDIS_FREEING)));
    c->obuf = redis_format_append(c->obuf, argc, argv);
    expect_reply(s->ac, question);
    add_write(s);
    s->unsent++;
}

bool redis_socket_is_shaking(const struct redis_socket *s) { return is_shaking(s); }

int redis_socket_fd(const struct redis_socket *s) { return s->ac->c.fd; }

uint64_t redis_socket_writes(const struct redis_socket *s) { return s->writes; }

size_t redis_socket_unsent(const struct redis_socket *s) { return sdslen(s->ac->c.obuf) - s->sent; }

void redis_socket_read(struct redis_socket *s) { read_some(s, 4 * READS_MAX); }
