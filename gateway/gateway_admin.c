/* gateway_admin.c -- what the admin plane asks of the gateway: is it ready, its metrics, its settings, its models. */
#include "base/log.h"
#include "gateway_inner.h"
#include "http/connection.h"
#include "libraries.h"
#include "serve/problem.h"
#include "store/cluster_map.h"

void gateway_print_store(const struct gateway *g, char *out, size_t n)
{
    if (g->uses_redis) redis_config_print(&g->redis, out, n);
    else snprintf(out, n, "memory:");
}

static int64_t gauge_of(struct worker *w, enum metric_family family)
{
    return atomic_load_explicit(&metrics_counter(worker_metrics(w), family, NULL)->v, memory_order_relaxed);
}

/* What this worker's store lacks. */
static void say_store(struct gateway *g, struct worker *w, struct buffer *failing)
{
    int64_t slots = g->redis.topology == REDIS_CLUSTER ? gauge_of(w, METRIC_CLUSTER_SLOTS) : 0;
    if (g->redis.topology != REDIS_CLUSTER) buffer_slice(failing, SLICE("store: Redis cannot be reached\n"));
    else if (slots == CLUSTER_SLOTS) buffer_slice(failing, SLICE("store: the Redis Cluster says it is down\n"));
    else
        buffer_printf(failing, "store: of %d slots of the Redis Cluster %d have a master that can be reached\n",
                      CLUSTER_SLOTS, (int)slots);
}

static bool ready(void *gateway, struct buffer *failing)
{
    struct gateway *g = gateway;
    if (g->draining) buffer_slice(failing, SLICE("drain: the gateway is shutting down\n"));
    if (!g->models) buffer_slice(failing, SLICE("models: there is none below the schema folders\n"));
    for (size_t i = 0; g->uses_redis && i < g->workers; i++) {
        if (gauge_of(g->worker[i], METRIC_STORE_UP)) continue;
        say_store(g, g->worker[i], failing);
        break;
    }
    return failing->n == 0;
}

static void set_near_metrics(struct gateway *g)
{
    struct memory_stats stats = {0};
    if (g->near) near_stats(g->near, &stats);
    counter_set(metrics_counter(g->metrics, METRIC_NEAR_BYTES, NULL), (int64_t)stats.bytes);
    counter_set(metrics_counter(g->metrics, METRIC_NEAR_RECORDS, NULL), (int64_t)stats.records);
    counter_set(metrics_counter(g->metrics, METRIC_NEAR_EVICTIONS, NULL), (int64_t)stats.evictions);
}

static void render_metrics(void *gateway, enum metrics_format format, struct buffer *out)
{
    struct gateway *g = gateway;
    struct memory_stats stats;
    struct metrics *sets[WORKERS_MAX + 2];
    size_t n = 0;
    memory_stats(g->memory, &stats);
    counter_set(metrics_counter(g->metrics, METRIC_MEMORY_BYTES, NULL), (int64_t)stats.bytes);
    counter_set(metrics_counter(g->metrics, METRIC_MEMORY_RECORDS, NULL), (int64_t)stats.records);
    counter_set(metrics_counter(g->metrics, METRIC_EVICTIONS, NULL), (int64_t)stats.evictions);
    counter_set(metrics_counter(g->metrics, METRIC_LOG_DROPPED, NULL), (int64_t)log_dropped());
    set_near_metrics(g);
    for (size_t i = 0; i < g->workers; i++) sets[n++] = worker_metrics(g->worker[i]);
    if (g->tracker) sets[n++] = tracker_metrics(g->tracker);
    sets[n++] = g->metrics;
    metrics_render(sets, n, format, out);
}

static void version(void *gateway, struct buffer *out) { libraries_put_json(out); }

static void settings(void *gateway, admin_setting *each, void *arg)
{
    struct gateway *g = gateway;
    char store[512];
    gateway_print_store(g, store, sizeof store);
    config_walk(&g->config, slice_of(store), each, arg);
}

static struct slice models(void *gateway, bool table)
{
    struct gateway *g = gateway;
    return buffer_view(table ? &g->inventory_table : &g->inventory);
}

void gateway_start_admin(struct gateway *g)
{
    if (!g->admin_listener.n) return;
    g->admin = (struct admin){.gateway = g,
                              .ready = ready,
                              .metrics = render_metrics,
                              .version = version,
                              .settings = settings,
                              .models = models,
                              .reload = gateway_reload};
    g->admin.gate = (struct gate){.tokens = g->tokens ? tokens_ref(g->tokens) : NULL, .metrics = g->metrics};
    struct http_config http = {.limits = {.max_uri = 8192, .max_headers = 16384, .max_body = 65536},
                               .header_timeout_ms = g->config.header_timeout,
                               .body_timeout_ms = 10000,
                               .idle_timeout_ms = g->config.idle_timeout,
                               .send_timeout_ms = 10000,
                               .max_connections = 256,
                               .open = &g->admin_open,
                               .handler = admin_request,
                               .refused = problem_refusal,
                               .owner = &g->admin};
    g->admin_http = http_server_new(&g->loop, &http);
    int error = http_server_listen(g->admin_http, g->admin_listener.fd[0]);
    g->admin_listener.fd[0] = -1;
    if (error) log_error("the admin plane cannot accept", LOG_TEXT("error", uv_strerror(error)));
}
