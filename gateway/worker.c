/* worker.c -- a worker's life: start, letters, close. Everything it opens is closed in the opposite order:
 *
 *     open   loop, host, redis, store, flight port, serve, asks, http
 *     close  saves that wait for handlers (they are told), http (clients leave their flights), tick, loads (those that wait for them are
 *            told), asks (what saves or deletes is ended), serve, redis, host, port, letters; the loop ends when the last handle has
 *            closed */
#include "worker.h"

#include "base/clock.h"
#include "base/log.h"
#include "script/host.h"
#include "serve/ask.h"
#include "serve/problem.h"
#include "serve/serve.h"
#include "store/store.h"

#include <signal.h>
#include <stdlib.h>

#define TICK_MS 1000

struct worker {
    struct worker_config config;
    struct metrics *metrics;
    uv_thread_t thread;
    uv_sem_t started;
    _Atomic bool ended;

    uv_mutex_t lock; /* the letters */
    struct vm *next_vm;
    struct tokens *next_tokens; /* they come with next_vm */
    bool drain, close;

    uv_loop_t loop;
    uv_async_t letters;
    uv_timer_t tick;
    struct script_host *host;
    struct redis *redis; /* one of the two, or neither */
    struct cluster *cluster;
    struct store *store;
    struct flight_port *port;
    struct serve serve;
    struct asks *asks;
    struct http_server *http;
    struct counter *lua_bytes;
    bool closing;
};

/* -- closing -- */

static void on_host_closed(void *arg)
{
    struct worker *w = arg;
    flight_port_close(w->port);
    uv_close((uv_handle_t *)&w->letters, NULL);
}

static void on_redis_closed(void *arg)
{
    struct worker *w = arg;
    store_free(w->store);
    script_host_close(w->host, on_host_closed, w);
}

static void on_asks_closed(void *arg)
{
    struct worker *w = arg;
    serve_deinit(&w->serve);
    if (w->redis) redis_close(w->redis, on_redis_closed, w);
    else if (w->cluster) cluster_close(w->cluster, on_redis_closed, w);
    else on_redis_closed(w);
}

static void on_http_closed(void *arg)
{
    struct worker *w = arg;
    uv_close((uv_handle_t *)&w->tick, NULL); /* it looks at the models */
    serve_stop(&w->serve);
    asks_close(w->asks, on_asks_closed, w);
}

/* -- letters -- */

static void on_letters(uv_async_t *async)
{
    struct worker *w = container_of(async, struct worker, letters);
    uv_mutex_lock(&w->lock);
    struct vm *vm = w->next_vm;
    struct tokens *tokens = w->next_tokens;
    bool drain = w->drain, close = w->close;
    w->next_vm = NULL;
    w->next_tokens = NULL;
    w->drain = false;
    uv_mutex_unlock(&w->lock);
    if (vm && (w->closing || close)) {
        vm_free(vm);
        tokens_unref(tokens);
    } else if (vm) {
        vm_attach(vm, w->host);
        serve_swap(&w->serve, vm, tokens);
    }
    if (drain && !w->closing) http_server_drain(w->http);
    if (!close || w->closing) return;
    w->closing = true;
    serve_stop_saves(&w->serve);
    http_server_close(w->http, on_http_closed, w);
}

void worker_swap(struct worker *w, struct vm *vm, struct tokens *tokens)
{
    uv_mutex_lock(&w->lock);
    struct vm *unseen = w->next_vm;
    struct tokens *unseen_tokens = w->next_tokens;
    w->next_vm = vm;
    w->next_tokens = tokens ? tokens_ref(tokens) : NULL;
    uv_async_send(&w->letters);
    uv_mutex_unlock(&w->lock);
    if (unseen) vm_free(unseen);
    tokens_unref(unseen_tokens);
}

void worker_drain(struct worker *w)
{
    uv_mutex_lock(&w->lock);
    w->drain = true;
    uv_async_send(&w->letters);
    uv_mutex_unlock(&w->lock);
}

void worker_close(struct worker *w)
{
    uv_mutex_lock(&w->lock);
    w->close = true;
    uv_async_send(&w->letters); /* here: who has read the letter closes what we signal with */
    uv_mutex_unlock(&w->lock);
}

/* -- the thread -- */

static void on_tick(uv_timer_t *timer)
{
    struct worker *w = container_of(timer, struct worker, tick);
    counter_set(w->lua_bytes, (int64_t)vm_bytes(w->serve.now->vm));
    store_tick(w->store);
}

static struct http_config http_config_of(struct worker *w)
{
    const struct config *c = w->config.config;
    return (struct http_config){
        .limits = {.max_uri = c->max_uri, .max_headers = c->max_headers, .max_body = c->max_body},
        .header_timeout_ms = c->header_timeout,
        .body_timeout_ms = c->body_timeout,
        .idle_timeout_ms = c->idle_timeout,
        .send_timeout_ms = c->send_timeout,
        .client_bytes = c->client_bytes ? c->client_bytes / c->workers + 1 : 0,
        .max_requests = 0,
        .max_connections = (unsigned)c->max_connections,
        .open = w->config.open,
        .handler = serve_request,
        .refused = problem_refusal,
        .owner = &w->serve,
        .metrics = w->metrics,
    };
}

static void open_store(struct worker *w)
{
    const struct redis_config *redis = w->config.redis;
    if (redis && redis->topology == REDIS_CLUSTER) {
        w->cluster = cluster_open(&w->loop, redis, w->config.roster, w->metrics);
        w->store = store_new_cluster(w->cluster, w->metrics);
    } else {
        if (redis) w->redis = redis_open(&w->loop, redis, w->metrics);
        w->store = store_new(w->config.memory, w->redis, w->metrics);
    }
    store_set_near(w->store, w->config.near);
}

static void worker_open(struct worker *w)
{
    if (uv_loop_init(&w->loop) || uv_async_init(&w->loop, &w->letters, on_letters)) abort();
    uv_timer_init(&w->loop, &w->tick);
    w->lua_bytes = metrics_counter(w->metrics, METRIC_LUA_BYTES, NULL);
    w->host = script_host_open(&w->loop, w->metrics);
    script_host_divert_http(w->host, w->config.config->http_socket);
    open_store(w);
    store_set_epochs(w->store, w->config.epochs, w->config.epochs_key);
    w->port = flight_port_open(w->config.flights, &w->loop);
    vm_attach(w->next_vm, w->host);
    serve_init(&w->serve, w->next_vm, w->store, w->config.redis ? "redis" : "memory", w->port, w->metrics);
    w->next_vm = NULL;
    gate_set(&w->serve.gate, w->next_tokens);
    w->next_tokens = NULL;
    w->serve.compress.min = w->config.config->compress_min;
    w->serve.cors = (struct cors){w->config.config->cors_origin.item, w->config.config->cors_origin.n};
    w->asks = asks_open(&w->serve, &w->loop);
    script_host_set_gateway(w->host, asks_gateway(w->asks));
    struct http_config http = http_config_of(w);
    w->http = http_server_new(&w->loop, &http);
    for (size_t i = 0; i < w->config.n_fds; i++) {
        int error = http_server_listen(w->http, w->config.fds[i]);
        if (error) log_error("cannot accept", LOG_TEXT("error", uv_strerror(error)));
    }
    on_tick(&w->tick);
    uv_timer_start(&w->tick, on_tick, TICK_MS, TICK_MS);
}

/* The signals of the process are the gateway thread's to handle. */
static void block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void worker_main(void *arg)
{
    struct worker *w = arg;
    block_signals();
    worker_open(w);
    uv_sem_post(&w->started);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&w->loop)) log_error("a worker ended with open handles", LOG_NONE);
    atomic_store(&w->ended, true);
}

struct worker *worker_start(const struct worker_config *config, struct vm *vm)
{
    struct worker *w = calloc(1, sizeof *w);
    if (!w) abort();
    w->config = *config;
    w->metrics = metrics_new();
    w->next_vm = vm;
    w->next_tokens = config->tokens ? tokens_ref(config->tokens) : NULL;
    uv_mutex_init(&w->lock);
    uv_sem_init(&w->started, 0);
    if (uv_thread_create(&w->thread, worker_main, w)) abort();
    uv_sem_wait(&w->started);
    return w;
}

bool worker_ended(const struct worker *w) { return atomic_load(&w->ended); }

void worker_join(struct worker *w)
{
    uv_thread_join(&w->thread);
    if (w->next_vm) vm_free(w->next_vm);
    tokens_unref(w->next_tokens);
    metrics_free(w->metrics);
    uv_sem_destroy(&w->started);
    uv_mutex_destroy(&w->lock);
    free(w);
}

struct metrics *worker_metrics(struct worker *w) { return w->metrics; }
