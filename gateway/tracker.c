/* tracker.c -- a loop with one connection on it (store/tracking.h), or one to each master (store/roster.h), and a letter to end it. */
#include "tracker.h"

#include "base/buffer.h"
#include "base/log.h"
#include "store/tracking.h"

#include <signal.h>
#include <stdlib.h>

#define PREFIX_BYTES 256

struct tracker {
    const struct redis_config *config;
    struct near *near;
    struct buffer prefix;
    struct metrics *metrics;
    uv_thread_t thread;
    uv_loop_t loop;
    uv_async_t end;
    struct tracking *tracking; /* one of the two */
    struct roster *roster;
};

static void on_all_closed(void *arg)
{
    struct tracker *t = arg;
    uv_close((uv_handle_t *)&t->end, NULL);
}

static void on_end(uv_async_t *async)
{
    struct tracker *t = async->data;
    if (t->roster) roster_close(t->roster, on_all_closed, t);
    else tracking_close(t->tracking, on_all_closed, t);
}

static void tracker_main(void *arg)
{
    struct tracker *t = arg;
    sigset_t all;
    sigfillset(&all); /* they are the gateway thread's to handle */
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    uv_run(&t->loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&t->loop)) log_error("the tracker ended with open handles", LOG_NONE);
}

struct tracker *tracker_start(const struct redis_config *config, const char *prefix, struct near *near)
{
    struct tracker *t = calloc(1, sizeof *t);
    if (!t) abort();
    t->config = config;
    t->near = near;
    t->metrics = metrics_new();
    buffer_init(&t->prefix, PREFIX_BYTES);
    buffer_printf(&t->prefix, "%s:", prefix);
    if (uv_loop_init(&t->loop) || uv_async_init(&t->loop, &t->end, on_end)) abort();
    t->end.data = t;
    if (config->topology == REDIS_CLUSTER)
        t->roster = roster_open(&t->loop, config, buffer_view(&t->prefix), near, t->metrics);
    else t->tracking = tracking_open(&t->loop, config, buffer_view(&t->prefix), near, t->metrics);
    if (uv_thread_create(&t->thread, tracker_main, t)) abort();
    return t;
}

void tracker_stop(struct tracker *t)
{
    uv_async_send(&t->end);
    uv_thread_join(&t->thread);
    buffer_deinit(&t->prefix);
    metrics_free(t->metrics);
    free(t);
}

struct metrics *tracker_metrics(struct tracker *t) { return t->metrics; }

struct roster *tracker_roster(struct tracker *t) { return t->roster; }
