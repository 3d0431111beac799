/* control.c -- reads the lines of a spec, and answers each with one. */
#include "control.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/units.h"

#include <stdlib.h>

static void answer(struct control *c, struct slice text)
{
    uv_buf_t buf = uv_buf_init((char *)text.p, (unsigned)text.n);
    uv_try_write((uv_stream_t *)&c->pipe, &buf, 1); /* a few bytes, which the spec waits for: there is room */
}

static void obey(struct control *c, struct slice line)
{
    struct slice forward = SLICE("forward ");
    uint64_t ms;
    bool good = slice_starts(line, forward) && units_duration(slice_skip(line, forward.n), &ms);
    if (good) clock_forward(ms);
    answer(c, good ? SLICE("ok\n") : SLICE("what?\n"));
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct control *c = handle->data;
    *buf =
        uv_buf_init(c->line + c->n, (unsigned)(sizeof c->line - c->n)); /* none left: read says ENOBUFS, and it ends */
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct control *c = stream->data;
    if (n < 0) {
        uv_read_stop(stream);
        c->gone(c);
        return;
    }
    c->n += (size_t)n;
    struct slice rest = slice_from(c->line, c->n);
    while (memchr(rest.p, '\n', rest.n)) obey(c, slice_cut(&rest, '\n'));
    memmove(c->line, rest.p, rest.n);
    c->n = rest.n;
}

void control_open(struct control *c, uv_loop_t *loop, int fd, void (*gone)(struct control *c))
{
    *c = (struct control){.gone = gone};
    if (uv_pipe_init(loop, &c->pipe, 0) || uv_pipe_open(&c->pipe, fd)) abort();
    c->pipe.data = c;
    uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read);
}

void control_close(struct control *c) { uv_close((uv_handle_t *)&c->pipe, NULL); }
