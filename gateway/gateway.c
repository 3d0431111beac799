/* gateway.c -- the life of the process, on the main thread. What it serves is in gateway_models.c, what it tells in gateway_admin.c.
 *
 *     start   models compiled for every worker -> sockets bound -> workers -> admin plane -> "perigee ready ..."
 *     reload  SIGHUP, POST /admin/reload: read the tokens and compile aside for every worker; all good: swap, else keep
 *     drain   SIGTERM, SIGINT: accept no more; when the last client has its answer, or at --drain: close; a second signal exits
 *
 * Workers share memory, the near cache, flights and the count of connections; all else they own. Before a Redis store stands a tracker: the
 * thread that keeps the near cache right. */
#include "gateway.h"

#include "base/clock.h"
#include "base/log.h"
#include "gateway_inner.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define INVENTORY_MAX   (4 << 20)
#define REDIS_VALUE_MAX (16 << 20)
#define REDIS_INFLIGHT  8192
#define UNSENT_LEAST    ((size_t)8 << 20)
#define UNSENT_MOST     ((size_t)64 << 20)
#define SWEEP_MS        100
#define SWEEP_BUCKETS   2000
#define DRAIN_CHECK_MS  5
#define CLOCK_SET_MS    1000 /* less is how clocks are kept right */
#define SPARE_FDS       64   /* beside connections: loops, Redis, SQLite, upstreams */
#define CLUSTER_FDS     64 /* masters of a cluster, with each of which every worker and the tracker have a connection */

/* -- the end -- */

static void on_admin_closed(void *arg) {}

static bool all_ended(const struct gateway *g)
{
    for (size_t i = 0; i < g->workers; i++)
        if (!worker_ended(g->worker[i])) return false;
    return true;
}

/* Every few milliseconds: have all clients gone, or is the time up? Then have all workers ended? */
static void on_drain_check(uv_timer_t *timer)
{
    struct gateway *g = container_of(timer, struct gateway, drain);
    bool late = clock_mono_us() >= g->drain_until_us;
    if (!g->closing && (atomic_load(&g->open) == 0 || late)) {
        if (late) log_warn("drain time is up", LOG_NUMBER("connections", atomic_load(&g->open)));
        g->closing = true;
        for (size_t i = 0; i < g->workers; i++) worker_close(g->worker[i]);
    }
    if (!g->closing || !all_ended(g)) return;
    uv_timer_stop(&g->drain);
    uv_close((uv_handle_t *)&g->drain, NULL);
    uv_close((uv_handle_t *)&g->sweep, NULL);
    uv_close((uv_handle_t *)&g->on_term, NULL);
    uv_close((uv_handle_t *)&g->on_int, NULL);
    uv_close((uv_handle_t *)&g->on_hup, NULL);
    if (g->config.control) control_close(&g->control);
    if (g->admin_http) http_server_close(g->admin_http, on_admin_closed, g);
}

static void begin_drain(struct gateway *g)
{
    g->draining = true;
    g->drain_until_us = clock_mono_us() + g->config.drain * 1000;
    for (size_t i = 0; i < g->workers; i++) worker_drain(g->worker[i]);
    for (size_t i = 0; i < g->listeners; i++) listener_close(&g->listener[i]);
    uv_timer_start(&g->drain, on_drain_check, DRAIN_CHECK_MS, DRAIN_CHECK_MS);
}

static void on_stop_signal(uv_signal_t *handle, int signum)
{
    struct gateway *g = handle->data;
    if (g->draining) {
        log_warn("second signal: exiting now", LOG_NONE);
        _exit(1);
    }
    log_info("draining", LOG_NUMBER("signal", signum), LOG_NUMBER("connections", atomic_load(&g->open)));
    begin_drain(g);
}

/* The spec that this gateway was for is over. */
static void on_control_gone(struct control *control)
{
    struct gateway *g = container_of(control, struct gateway, control);
    if (!g->draining) begin_drain(g);
}

/* -- the start -- */

/* Says once that the system's clock was set. */
static void follow_clock(struct gateway *g)
{
    int64_t apart_ms = clock_follow();
    bool apart = apart_ms > CLOCK_SET_MS || apart_ms < -CLOCK_SET_MS;
    if (apart && !g->clock_apart)
        log_warn("the system's clock was set: the lives of records follow it slowly", LOG_NUMBER("by_ms", apart_ms));
    g->clock_apart = apart;
}

static void on_sweep(uv_timer_t *timer)
{
    struct gateway *g = container_of(timer, struct gateway, sweep);
    follow_clock(g);
    memory_sweep(g->memory, clock_wall_ms(), SWEEP_BUCKETS);
    if (g->near) near_sweep(g->near, clock_wall_ms(), SWEEP_BUCKETS);
}

static bool fail(const char *what, const char *detail)
{
    fprintf(stderr, "perigee: %s%s\n", what, detail);
    return false;
}

/* As many descriptors as connections need; where the system gives fewer, fewer connections. */
static bool reserve_descriptors(struct gateway *g)
{
    struct rlimit limit;
    unsigned masters = g->uses_redis && g->redis.topology == REDIS_CLUSTER ? CLUSTER_FDS : 0;
    uint64_t want = g->config.max_connections + SPARE_FDS + masters + (32 + masters) * g->config.workers;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return true;
    if (limit.rlim_cur < want) {
        limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= want) return true;
    uint64_t spare = want - g->config.max_connections;
    if (limit.rlim_cur < spare + 16)
        return fail("the limit of open files is too low: ", "raise it with ulimit -n 1024 or more");
    g->config.max_connections = limit.rlim_cur - spare;
    log_warn("fewer connections than asked for: the limit of open files is low",
             LOG_NUMBER("max_connections", g->config.max_connections), LOG_NUMBER("open_files", limit.rlim_cur));
    return true;
}

/* Tells what the control group has made of the bounds, and which of them it cannot keep. */
static void tell_bounds(const struct gateway *g)
{
    uint64_t store = g->uses_redis ? g->config.near_cache_bytes : g->config.memory_bytes;
    if (g->config.lowered)
        log_info("what nobody has set is bounded by the memory of the control group",
                 LOG_NUMBER("group", g->config.memory_limit), LOG_NUMBER("store", store),
                 LOG_NUMBER("clients", g->config.client_bytes));
    if (store > g->config.memory_limit || g->config.client_bytes > g->config.memory_limit - store)
        log_warn("the control group has less memory than the bounds together: when they are reached the kernel kills "
                 "this process",
                 LOG_NUMBER("group", g->config.memory_limit), LOG_NUMBER("store", store),
                 LOG_NUMBER("clients", g->config.client_bytes));
}

/* What Redis has not taken yet of what clients save is held for them, too. */
static size_t redis_unsent(const struct config *c)
{
    size_t part = c->client_bytes ? c->client_bytes / c->workers : UNSENT_MOST;
    return part < UNSENT_LEAST ? UNSENT_LEAST : part < UNSENT_MOST ? part : UNSENT_MOST;
}

static bool settle_config(struct gateway *g)
{
    struct problem why;
    struct slice store = slice_of(g->config.store);
    if (!log_set_level(slice_of(g->config.log)))
        return fail("--log wants debug, info, warn or error, not ", g->config.log);
    if (g->config.workers == 0) {
        unsigned cores = uv_available_parallelism();
        g->config.workers = cores > 8 ? 8 : cores;
    }
    g->uses_redis = !slice_eq(store, SLICE("memory:"));
    tell_bounds(g);
    if (!g->uses_redis) return true;
    if (redis_config_parse(store, &g->redis, &why) != OK) return fail("--store: ", why.detail);
    g->redis.timeout_ms = g->config.redis_timeout;
    g->redis.max_value = REDIS_VALUE_MAX;
    g->redis.max_inflight = REDIS_INFLIGHT;
    g->redis.max_unsent = redis_unsent(&g->config);
    return true;
}

static bool bind_all(struct gateway *g)
{
    struct problem why;
    for (size_t i = 0; i < g->config.listen.n; i++) {
        struct slice address = slice_of(g->config.listen.item[i]);
        if (listener_bind(&g->listener[i], address, g->config.workers, &why) != OK)
            return fail("--listen: ", why.detail);
        g->listeners++;
    }
    if (strcmp(g->config.admin, "off") == 0) return true;
    if (listener_bind(&g->admin_listener, slice_of(g->config.admin), 1, &why) != OK)
        return fail("--admin: ", why.detail);
    return true;
}

static void start_workers(struct gateway *g, struct vm **vm)
{
    for (size_t i = 0; i < g->config.workers; i++) {
        int fds[CONFIG_LIST_MAX];
        for (size_t l = 0; l < g->listeners; l++) {
            fds[l] = g->listener[l].fd[i];
            g->listener[l].fd[i] = -1;
        }
        struct worker_config config = {.config = &g->config,
                                       .redis = g->uses_redis ? &g->redis : NULL,
                                       .memory = g->memory,
                                       .near = g->near,
                                       .roster = g->tracker ? tracker_roster(g->tracker) : NULL,
                                       .epochs = g->epochs,
                                       .epochs_key = slice_of(g->epochs_key),
                                       .flights = g->flights,
                                       .tokens = g->tokens,
                                       .open = &g->open,
                                       .fds = fds,
                                       .n_fds = g->listeners};
        g->worker[g->workers++] = worker_start(&config, vm[i]);
    }
}

static void on_reload_signal(uv_signal_t *signal, int signum)
{
    struct gateway *g = container_of(signal, struct gateway, on_hup);
    struct buffer findings;
    buffer_init(&findings, FINDINGS_MAX);
    gateway_reload(g, &findings);
    buffer_deinit(&findings);
}

static void start_signals(struct gateway *g)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a log file may be as large as it may get: its lines are dropped and counted */
    uv_signal_init(&g->loop, &g->on_term);
    uv_signal_init(&g->loop, &g->on_int);
    uv_signal_init(&g->loop, &g->on_hup);
    g->on_term.data = g->on_int.data = g;
    uv_signal_start(&g->on_term, on_stop_signal, SIGTERM);
    uv_signal_start(&g->on_int, on_stop_signal, SIGINT);
    uv_signal_start(&g->on_hup, on_reload_signal, SIGHUP);
    uv_timer_init(&g->loop, &g->drain);
    uv_timer_init(&g->loop, &g->sweep);
    uv_timer_start(&g->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

static void say_ready(struct gateway *g)
{
    char store[512];
    gateway_print_store(g, store, sizeof store);
    printf("perigee ready listen=");
    for (size_t i = 0; i < g->listeners; i++) printf("%s%s", i ? "," : "", g->listener[i].address);
    printf(" admin=%s store=%s models=%zu\n", g->admin_listener.n ? g->admin_listener.address : "off", store,
           g->records);
    fflush(stdout);
}

static void on_changed(void *flights, struct slice record) { flights_tell(flights, record); }

static void start_near(struct gateway *g)
{
    if (!g->uses_redis || g->config.near_cache_bytes == 0) return;
    g->near = near_new(g->config.near_cache_bytes);
    near_watch(g->near, slice_of(g->epochs_key));
    near_listen(g->near, on_changed, g->flights);
    g->tracker = tracker_start(&g->redis, g->config.prefix, g->near);
}

static void gateway_run(struct gateway *g, struct vm **vm)
{
    struct slice build[] = {SLICE(PERIGEE_VERSION), slice_of(vm_engine())};
    if (uv_loop_init(&g->loop)) abort();
    start_signals(g);
    g->metrics = metrics_new();
    counter_set(metrics_counter(g->metrics, METRIC_BUILD, build), 1);
    g->memory = memory_new(g->config.memory_bytes);
    g->epochs = epochs_new();
    snprintf(g->epochs_key, sizeof g->epochs_key, "%s:~epochs", g->config.prefix);
    g->flights = flights_new();
    start_near(g);
    start_workers(g, vm);
    gateway_start_admin(g);
    if (g->config.control) control_open(&g->control, &g->loop, g->config.control, on_control_gone);
    say_ready(g);
    if (!g->config.control) gateway_load_libcurl(g); /* a spec's gateway waits for its spec */
    uv_run(&g->loop, UV_RUN_DEFAULT);
    if (g->admin_listener.n) listener_close(&g->admin_listener);
    for (size_t i = 0; i < g->workers; i++) worker_join(g->worker[i]);
    if (g->tracker) tracker_stop(g->tracker);
    near_free(g->near);
    gate_set(&g->admin.gate, NULL);
    flights_free(g->flights);
    memory_free(g->memory);
    epochs_free(g->epochs);
    metrics_free(g->metrics);
    uv_loop_close(&g->loop);
}

int gateway_serve(const struct config *config)
{
    struct gateway *g = calloc(1, sizeof *g);
    if (!g) abort();
    struct vm *vm[WORKERS_MAX];
    struct buffer findings;
    int exit_code = 2;
    g->config = *config;
    buffer_init(&findings, FINDINGS_MAX);
    buffer_init(&g->inventory, INVENTORY_MAX);
    buffer_init(&g->inventory_table, INVENTORY_MAX);
    if (settle_config(g) && reserve_descriptors(g)) {
        exit_code = gateway_prepare(g, vm, &g->tokens, &findings);
        bool compiled = exit_code == 0;
        if (compiled) gateway_log_findings(buffer_view(&findings), false); /* errors are for whoever types */
        else fwrite(buffer_view(&findings).p, 1, findings.n, stderr);
        if (compiled && bind_all(g)) {
            gateway_run(g, vm);
        } else if (compiled) {
            exit_code = 2;
            for (size_t i = 0; i < g->config.workers; i++) vm_free(vm[i]);
        }
    }
    if (exit_code) {
        for (size_t i = 0; i < g->listeners; i++) listener_close(&g->listener[i]);
    }
    tokens_unref(g->tokens);
    buffer_deinit(&findings);
    buffer_deinit(&g->inventory);
    buffer_deinit(&g->inventory_table);
    free(g);
    return exit_code;
}
