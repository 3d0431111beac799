/* serve/compress.c -- now, or on another thread. The exchange waits for that without an on_gone, so that it lives until it is answered, client
 * or not; the thread reads the reply, which nobody else touches meanwhile. */
#include "serve/compress.h"

#include "base/list.h"

#include <stdlib.h>

#define AT_ONCE 32768      /* bytes: about a third of a millisecond */
#define MOST    (1u << 30) /* zlib counts in 32 bits */

void compress_deinit(struct compress *c)
{
    gzip_free(c->gzip);
    c->gzip = NULL;
}

static bool is_worth_while(const struct compress *c, size_t bytes)
{
    return c->min && bytes >= c->min && bytes <= MOST;
}

bool compress_chosen(const struct compress *c, const struct exchange *ex, size_t bytes)
{
    return is_worth_while(c, bytes) && coding_wants_gzip(&ex->request);
}

void compress_vary(const struct compress *c, struct reply *reply, size_t bytes)
{
    if (is_worth_while(c, bytes)) reply_line(reply, SLICE("Vary: Accept-Encoding\r\n"));
}

void compress_mark(struct reply *reply)
{
    reply_line(reply, SLICE("Content-Encoding: gzip\r\n"));
    reply->gzip = true;
}

/* One answer on another thread; lives in its exchange's arena. */
struct compressing {
    uv_work_t work;
    struct exchange *ex;
    struct blob *body;
};

static void on_work(uv_work_t *work)
{
    struct compressing *c = container_of(work, struct compressing, work);
    struct gzip *g = gzip_new();
    c->body = gzip_body(g, &c->ex->reply);
    gzip_free(g);
}

static void finish(struct exchange *ex, struct blob *body)
{
    reply_replace_body(&ex->reply, body);
    exchange_reply(ex);
}

static void on_worked(uv_work_t *work, int status)
{
    struct compressing *c = container_of(work, struct compressing, work);
    finish(c->ex, c->body);
}

void compress_send(struct compress *c, struct exchange *ex, uv_loop_t *loop)
{
    if (!ex->reply.gzip) {
        exchange_reply(ex);
        return;
    }
    if (ex->reply.body_bytes <= AT_ONCE) {
        if (!c->gzip) c->gzip = gzip_new();
        finish(ex, gzip_body(c->gzip, &ex->reply));
        return;
    }
    struct compressing *work = arena_alloc(&ex->arena, sizeof *work);
    work->ex = ex;
    ex->on_gone = NULL;
    if (uv_queue_work(loop, &work->work, on_work, on_worked)) abort(); /* it fails only for a NULL callback */
}
