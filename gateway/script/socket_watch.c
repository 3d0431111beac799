/* script/socket_watch.c -- a poll handle with an owner that may be gone before it. */
#include "script/socket_watch.h"

#include <assert.h>
#include <stdlib.h>

struct socket_watch {
    uv_poll_t poll;
    struct script_host *host;
    int events; /* watched for */
    void (*ready)(void *arg, int events);
    void *arg;
};

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct socket_watch *w = container_of(poll, struct socket_watch, poll);
    if (status < 0) w->events = 0; /* libuv has stopped the handle */
    w->ready(w->arg, status < 0 ? UV_READABLE : events);
}

struct socket_watch *socket_watch_open(struct script_host *h, int fd, void (*ready)(void *arg, int events), void *arg)
{
    struct socket_watch *w = malloc(sizeof *w);
    if (!w) abort();
    *w = (struct socket_watch){.host = h, .ready = ready, .arg = arg};
    int code = uv_poll_init_socket(h->loop, &w->poll, fd);
    assert(code == 0 && "a socket that nobody else watches");
    (void)code;
    host_hold(h);
    return w;
}

void socket_watch_for(struct socket_watch *w, int events)
{
    if (events == w->events) return;
    w->events = events;
    uv_poll_start(&w->poll, events, on_poll);
}

static void on_closed(uv_handle_t *handle)
{
    struct socket_watch *w = container_of((uv_poll_t *)handle, struct socket_watch, poll);
    struct script_host *h = w->host;
    free(w);
    host_release(h);
}

void socket_watch_close(struct socket_watch *w)
{
    if (w) uv_close((uv_handle_t *)&w->poll, on_closed);
}
