/* base/metrics.h -- counters, gauges and histograms, one set a worker, summed when read (Prometheus text 0.0.4, or OpenMetrics 1.0).
 *
 * The owner thread alone writes its set, with plain relaxed stores; any thread may render. A series is found once by its
 * labels (that takes a lock) and then kept by pointer: hot paths keep the pointer. Series are never removed, so label
 * values must come from a bounded set: models, operations, statuses -- never keys. */
#ifndef PERIGEE_BASE_METRICS_H
#define PERIGEE_BASE_METRICS_H

#include "base/buffer.h"

#include <stdatomic.h>
#include <stdint.h>

/* clang-format off */
#define METRIC_MAP(X)                                                                                                     \
    /* family                type       name                           labels                help */                      \
    X(METRIC_REQUESTS,       COUNTER,   "perigee_requests_total",      "model,op,outcome",   "Requests answered")         \
    X(METRIC_REQUEST_TIME,   HISTOGRAM, "perigee_request_seconds",     "op",                 "Time from request to answer") \
    X(METRIC_LOADS,          COUNTER,   "perigee_loads_total",         "model,result",       "Loader runs")               \
    X(METRIC_LOAD_TIME,      HISTOGRAM, "perigee_load_seconds",        "model",              "Time a loader took")        \
    X(METRIC_LOADS_INFLIGHT, GAUGE,     "perigee_loads_inflight",      "model",              "Loaders running now")       \
    X(METRIC_REFERENCES,     COUNTER,   "perigee_references_total",    "model,field,outcome","References resolved")       \
    X(METRIC_STORE_TIME,     HISTOGRAM, "perigee_store_seconds",       "command",            "Time a store command took") \
    X(METRIC_STORE_ERRORS,   COUNTER,   "perigee_store_errors_total",  "command,outcome",    "Store commands that failed") \
    X(METRIC_STORE_UP,       GAUGE_MIN, "perigee_store_up",            "",                   "1 when every worker reaches the store") \
    X(METRIC_REDIRECTIONS,   COUNTER,   "perigee_store_redirections_total","kind",           "Commands that a server of the cluster sent elsewhere, or back") \
    X(METRIC_CLUSTER_SLOTS,  GAUGE_MIN, "perigee_cluster_slots",       "",                   "Slots whose master is reached, by the worker with the fewest") \
    X(METRIC_CLUSTER_MASTERS,GAUGE_MIN, "perigee_cluster_masters",     "",                   "Masters with slots, as the worker with the fewest knows them") \
    X(METRIC_CLUSTER_REFRESHES,COUNTER, "perigee_cluster_refreshes_total","result",          "Times the servers were asked who has which slot") \
    X(METRIC_DAMAGED,        COUNTER,   "perigee_envelopes_damaged_total","model",           "Stored values that were no valid envelope") \
    X(METRIC_INVALIDATIONS,  COUNTER,   "perigee_invalidations_total", "kind,mode",          "Invalidations, by what they name") \
    X(METRIC_OUTDATED,       COUNTER,   "perigee_records_outdated_total","model,mode",       "Stored records read that an invalidation of their model or a tag had ended") \
    X(METRIC_NEAR_BYTES,     GAUGE,     "perigee_near_cache_bytes",    "",                   "Bytes held by the near cache") \
    X(METRIC_NEAR_RECORDS,   GAUGE,     "perigee_near_cache_records",  "",                   "Records held by the near cache") \
    X(METRIC_NEAR_EVICTIONS, COUNTER,   "perigee_near_cache_evictions_total","",             "Copies evicted to stay within the bound") \
    X(METRIC_NEAR_UP,        GAUGE,     "perigee_near_cache_up",       "",                   "1 while Redis tells of changes, so that copies are served") \
    X(METRIC_NEAR_LOOKUPS,   COUNTER,   "perigee_near_cache_lookups_total","outcome",        "Look-ups of near copies")   \
    X(METRIC_NEAR_INVALIDATIONS,COUNTER,"perigee_near_cache_invalidations_total","",         "Keys that Redis said have changed") \
    X(METRIC_NEAR_FLUSHES,   COUNTER,   "perigee_near_cache_flushes_total","why",            "Times all copies were dropped") \
    X(METRIC_MEMORY_BYTES,   GAUGE,     "perigee_memory_bytes",        "",                   "Bytes held by the memory store") \
    X(METRIC_MEMORY_RECORDS, GAUGE,     "perigee_memory_records",      "",                   "Records held by the memory store") \
    X(METRIC_EVICTIONS,      COUNTER,   "perigee_evictions_total",     "",                   "Records evicted to stay within the bound") \
    X(METRIC_CONNECTIONS,    GAUGE,     "perigee_connections",         "",                   "Open client connections")   \
    X(METRIC_HTTP_REFUSED,   COUNTER,   "perigee_http_refused_total",  "code",               "Requests refused before they reached a model") \
    X(METRIC_HTTP_CUT,       COUNTER,   "perigee_http_cut_total",      "why",                "Answers that slow clients did not get to their end") \
    X(METRIC_AUTH_FAILURES,  COUNTER,   "perigee_auth_failures_total", "reason",             "Requests that their token, or the lack of one, refused") \
    X(METRIC_LUA_BYTES,      GAUGE,     "perigee_lua_bytes",           "",                   "Memory of all Lua states")  \
    X(METRIC_UPSTREAM_TIME,  HISTOGRAM, "perigee_upstream_seconds",    "kind,outcome",       "Time handlers waited for sources") \
    X(METRIC_RELOADS,        COUNTER,   "perigee_reloads_total",       "result",             "Model reloads")             \
    X(METRIC_LOG_DROPPED,    COUNTER,   "perigee_log_dropped_total",   "",                   "Log lines dropped because stderr was full") \
    X(METRIC_BUILD,          GAUGE,     "perigee_build_info",          "version,luajit",     "Always 1")
/* clang-format on */

enum metric_family {
#define X(family, type, name, labels, help) family,
    METRIC_MAP(X)
#undef X
        METRIC_FAMILIES
};

#define METRIC_LABELS_MAX 3

struct metrics;

/* One value, of a counter or a gauge. */
struct counter {
    _Atomic int64_t v;
};

/* Buckets 50us 100us 250us 500us 1ms 2.5ms 5ms 10ms 25ms 50ms 100ms 250ms 500ms 1s 2.5s 5s 10s +Inf. */
#define HISTOGRAM_BUCKETS 18
struct histogram {
    _Atomic int64_t bucket[HISTOGRAM_BUCKETS]; /* not cumulative */
    _Atomic int64_t sum_us;
};

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);

/* Finds or makes the series; labels in the order of the family's names, as many as it has. Label values are copied.
 * The pointer stays valid as long as `m`. */
struct counter *metrics_counter(struct metrics *m, enum metric_family f, const struct slice *labels);
struct histogram *metrics_histogram(struct metrics *m, enum metric_family f, const struct slice *labels);

static inline void counter_add(struct counter *c, int64_t by)
{
    atomic_store_explicit(&c->v, atomic_load_explicit(&c->v, memory_order_relaxed) + by, memory_order_relaxed);
}
static inline void counter_set(struct counter *c, int64_t to)
{
    atomic_store_explicit(&c->v, to, memory_order_relaxed);
}

void histogram_add(struct histogram *h, uint64_t us);

enum metrics_format { METRICS_PROMETHEUS, METRICS_OPEN };

/* All sets summed (GAUGE_MIN: the least). Every family has HELP and TYPE, also before its first series, so that who scrapes learns all
 * names at once. Any thread. The name of each COUNTER ends in `_total`. */
void metrics_render(struct metrics *const *sets, size_t n, enum metrics_format format, struct buffer *out);

#endif
