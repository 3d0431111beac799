/* base/metrics.c -- series found by their labels, summed over the workers, written for Prometheus.
 *
 * A set is a map from `family byte + label text` to its series. The text is already what the output says
 * between the braces, so that rendering copies it, and equal labels of two workers are equal bytes. */
#include "base/metrics.h"

#include "base/arena.h"
#include "base/map.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

enum metric_type { COUNTER, GAUGE, GAUGE_MIN, HISTOGRAM };

static const struct {
    enum metric_type type;
    struct slice name, labels, help;
} family_table[METRIC_FAMILIES] = {
#define X(family, type, name, labels, help)                                                                            \
    [family] = {type, {name, sizeof name - 1}, {labels, sizeof labels - 1}, {help, sizeof help - 1}},
    METRIC_MAP(X)
#undef X
};

static const char *const type_name[] = {"counter", "gauge", "gauge", "histogram"};

static const struct {
    uint64_t us;
    const char *le;
} bucket_table[HISTOGRAM_BUCKETS] = {
    {50, "0.00005"}, {100, "0.0001"}, {250, "0.00025"}, {500, "0.0005"}, {1000, "0.001"},  {2500, "0.0025"},
    {5000, "0.005"}, {10000, "0.01"}, {25000, "0.025"}, {50000, "0.05"}, {100000, "0.1"},  {250000, "0.25"},
    {500000, "0.5"}, {1000000, "1"},  {2500000, "2.5"}, {5000000, "5"},  {10000000, "10"}, {UINT64_MAX, "+Inf"},
};

struct series {
    enum metric_family family;
    struct slice labels; /* model="User",op="get" */
    union {
        struct counter counter;
        struct histogram histogram;
    };
};

struct metrics {
    pthread_mutex_t lock; /* guards the map and the arena; values need none */
    struct map map;
    struct arena arena;
};

struct metrics *metrics_new(void)
{
    struct metrics *m = calloc(1, sizeof *m);
    if (!m) abort();
    pthread_mutex_init(&m->lock, NULL);
    map_init(&m->map);
    arena_init(&m->arena);
    return m;
}

void metrics_free(struct metrics *m)
{
    if (!m) return;
    map_deinit(&m->map);
    arena_deinit(&m->arena);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static void put_label_value(struct buffer *b, struct slice s)
{
    while (s.n) {
        size_t length = slice_utf8_first(s);
        if (s.p[0] == '\n') buffer_slice(b, SLICE("\\n"));
        else if (length == 0 || slice_control_first(s)) buffer_slice(b, SLICE("\xEF\xBF\xBD"));
        else {
            if (s.p[0] == '"' || s.p[0] == '\\') buffer_char(b, '\\');
            buffer_put(b, s.p, length);
        }
        s = slice_skip(s, length ? length : 1);
    }
}

static void put_labels(struct buffer *b, struct slice names, const struct slice *values)
{
    while (names.n) {
        buffer_slice(b, slice_cut(&names, ','));
        buffer_slice(b, SLICE("=\""));
        put_label_value(b, *values++);
        buffer_slice(b, names.p ? SLICE("\",") : SLICE("\""));
    }
}

static struct series *find_or_make(struct metrics *m, enum metric_family f, const struct slice *labels)
{
    struct buffer key;
    buffer_init(&key, SIZE_MAX / 2);
    buffer_char(&key, (char)f);
    put_labels(&key, family_table[f].labels, labels);
    pthread_mutex_lock(&m->lock);
    struct series *s = map_get(&m->map, buffer_view(&key));
    if (!s) {
        struct slice kept = arena_dup(&m->arena, buffer_view(&key));
        s = arena_zalloc(&m->arena, sizeof *s);
        s->family = f;
        s->labels = slice_skip(kept, 1);
        map_put(&m->map, kept, s);
    }
    pthread_mutex_unlock(&m->lock);
    buffer_deinit(&key);
    return s;
}

struct counter *metrics_counter(struct metrics *m, enum metric_family f, const struct slice *labels)
{
    assert(f < METRIC_FAMILIES && family_table[f].type != HISTOGRAM);
    return &find_or_make(m, f, labels)->counter;
}

struct histogram *metrics_histogram(struct metrics *m, enum metric_family f, const struct slice *labels)
{
    assert(f < METRIC_FAMILIES && family_table[f].type == HISTOGRAM);
    return &find_or_make(m, f, labels)->histogram;
}

static void add(_Atomic int64_t *to, int64_t by)
{
    atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + by, memory_order_relaxed);
}

void histogram_add(struct histogram *h, uint64_t us)
{
    size_t i = 0;
    while (us > bucket_table[i].us) i++;
    add(&h->bucket[i], 1);
    add(&h->sum_us, (int64_t)us);
}

/* Every series of every set, by family and labels, so that those to be summed stand side by side. */
struct collection {
    struct series **at;
    size_t n;
};

static int compare(const struct series *x, const struct series *y)
{
    if (x->family != y->family) return x->family < y->family ? -1 : 1;
    return slice_cmp(x->labels, y->labels);
}

static int compare_places(const void *a, const void *b)
{
    return compare(*(struct series *const *)a, *(struct series *const *)b);
}

static struct collection collect(struct metrics *const *sets, size_t n)
{
    struct collection c = {0};
    for (size_t i = 0; i < n; i++) {
        pthread_mutex_lock(&sets[i]->lock);
        c.at = realloc(c.at, (c.n + sets[i]->map.n + 1) * sizeof *c.at);
        if (!c.at) abort();
        size_t at = 0;
        for (struct series *s; (s = map_next(&sets[i]->map, &at));) c.at[c.n++] = s;
        pthread_mutex_unlock(&sets[i]->lock);
    }
    if (c.n) qsort(c.at, c.n, sizeof *c.at, compare_places);
    return c;
}

static int64_t value_of(_Atomic int64_t *v) { return atomic_load_explicit(v, memory_order_relaxed); }

static void put_name(struct buffer *out, const struct series *s, const char *suffix)
{
    buffer_slice(out, family_table[s->family].name);
    buffer_slice(out, slice_of(suffix));
}

static void put_braced(struct buffer *out, struct slice labels)
{
    if (labels.n) buffer_printf(out, "{%.*s}", SLICE_ARG(labels));
}

static void render_value(struct series *const *same, size_t n, struct buffer *out)
{
    bool least = family_table[same[0]->family].type == GAUGE_MIN;
    int64_t total = value_of(&same[0]->counter.v);
    for (size_t i = 1; i < n; i++) {
        int64_t v = value_of(&same[i]->counter.v);
        total = !least ? total + v : v < total ? v : total;
    }
    put_name(out, same[0], "");
    put_braced(out, same[0]->labels);
    buffer_printf(out, " %lld\n", (long long)total);
}

/* The count is the sum of the buckets just read, and not a third number that could disagree with them. */
static void render_histogram(struct series *const *same, size_t n, struct buffer *out)
{
    struct slice labels = same[0]->labels;
    int64_t count = 0, sum_us = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        for (size_t j = 0; j < n; j++) count += value_of(&same[j]->histogram.bucket[i]);
        put_name(out, same[0], "_bucket");
        buffer_printf(out, "{%.*s%sle=\"%s\"} %lld\n", SLICE_ARG(labels), labels.n ? "," : "", bucket_table[i].le,
                      (long long)count);
    }
    for (size_t j = 0; j < n; j++) sum_us += value_of(&same[j]->histogram.sum_us);
    put_name(out, same[0], "_sum");
    put_braced(out, labels);
    buffer_printf(out, " %lld.%06lld\n", (long long)(sum_us / 1000000), (long long)(sum_us % 1000000));
    put_name(out, same[0], "_count");
    put_braced(out, labels);
    buffer_printf(out, " %lld\n", (long long)count);
}

/* In OpenMetrics `_total` belongs to the series of a counter, not to its family. */
static void put_head(struct buffer *out, enum metric_family f, enum metrics_format format)
{
    struct slice name = family_table[f].name, help = family_table[f].help, total = SLICE("_total");
    if (format == METRICS_OPEN && family_table[f].type == COUNTER) name.n -= total.n;
    buffer_printf(out, "# HELP %.*s %.*s\n", SLICE_ARG(name), SLICE_ARG(help));
    buffer_printf(out, "# TYPE %.*s %s\n", SLICE_ARG(name), type_name[family_table[f].type]);
}

void metrics_render(struct metrics *const *sets, size_t n, enum metrics_format format, struct buffer *out)
{
    struct collection all = collect(sets, n);
    size_t at = 0;
    for (enum metric_family f = 0; f < METRIC_FAMILIES; f++) {
        put_head(out, f, format);
        for (size_t same; at < all.n && all.at[at]->family == f; at += same) {
            struct series *const *first = all.at + at;
            for (same = 1; at + same < all.n && compare(first[0], first[same]) == 0;) same++;
            if (family_table[f].type == HISTOGRAM) render_histogram(first, same, out);
            else render_value(first, same, out);
        }
    }
    if (format == METRICS_OPEN) buffer_slice(out, SLICE("# EOF\n"));
    free(all.at);
}
