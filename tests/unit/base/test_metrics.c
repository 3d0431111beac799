/* Metrics: the text to the byte, sums over workers, escapes. */
#include "base/metrics.h"

#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct buffer out;

static const char *all_of(struct metrics *const *sets, size_t n, enum metrics_format format)
{
    buffer_reset(&out);
    metrics_render(sets, n, format, &out);
    assert_true(buffer_char(&out, '\0'));
    return out.p;
}

/* The families that have a series: the text without heads behind which no series comes. */
static const char *series_of(struct metrics *const *sets, size_t n, enum metrics_format format)
{
    char *to = (char *)all_of(sets, n, format), *head = NULL;
    for (char *line = out.p, *next; *line; line = next) {
        next = strchr(line, '\n') + 1;
        size_t length = (size_t)(next - line);
        if (!strncmp(line, "# HELP", 6)) {
            if (head) to = head;
            head = to;
        } else if (strncmp(line, "# TYPE", 6)) {
            if (head && line[0] == '#') to = head;
            head = NULL;
        }
        memmove(to, line, length);
        to += length;
    }
    *(head ? head : to) = '\0';
    return out.p;
}

static const char *rendered(struct metrics *const *sets, size_t n) { return series_of(sets, n, METRICS_PROMETHEUS); }

static void nothing_has_no_series(void **state)
{
    struct metrics *m = metrics_new();
    assert_string_equal(rendered(NULL, 0), "");
    assert_string_equal(rendered(&m, 1), "");
    metrics_free(m);
    metrics_free(NULL);
}

static void names_every_family_before_its_first_series(void **state)
{
    const char *text = all_of(NULL, 0, METRICS_PROMETHEUS);
#define X(family, type, name, labels, help) assert_non_null(strstr(text, "# TYPE " name " "));
    METRIC_MAP(X)
#undef X
}

static void finds_the_same_series_again(void **state)
{
    struct metrics *m = metrics_new();
    char model[] = "User";
    struct slice labels[] = {slice_of(model), SLICE("store")};
    struct counter *c = metrics_counter(m, METRIC_LOADS, labels);
    model[0] = 'x'; /* the label was copied */
    assert_ptr_not_equal(metrics_counter(m, METRIC_LOADS, labels), c);
    model[0] = 'U';
    assert_ptr_equal(metrics_counter(m, METRIC_LOADS, labels), c);
    assert_ptr_not_equal(metrics_counter(m, METRIC_RELOADS, labels), c);
    metrics_free(m);
}

static void sums_over_workers(void **state)
{
    struct metrics *sets[] = {metrics_new(), metrics_new()};
    for (size_t i = 0; i < 2; i++) {
        counter_add(metrics_counter(sets[i], METRIC_RELOADS, (struct slice[]){SLICE("ok")}), (int64_t)i + 2);
        counter_set(metrics_counter(sets[i], METRIC_CONNECTIONS, NULL), 10);
        counter_set(metrics_counter(sets[i], METRIC_STORE_UP, NULL), i == 0);
    }
    counter_add(metrics_counter(sets[1], METRIC_RELOADS, (struct slice[]){SLICE("error")}), 1);
    assert_string_equal(rendered(sets, 2), "# HELP perigee_store_up 1 when every worker reaches the store\n"
                                           "# TYPE perigee_store_up gauge\n"
                                           "perigee_store_up 0\n"
                                           "# HELP perigee_connections Open client connections\n"
                                           "# TYPE perigee_connections gauge\n"
                                           "perigee_connections 20\n"
                                           "# HELP perigee_reloads_total Model reloads\n"
                                           "# TYPE perigee_reloads_total counter\n"
                                           "perigee_reloads_total{result=\"error\"} 1\n"
                                           "perigee_reloads_total{result=\"ok\"} 5\n");
    metrics_free(sets[0]);
    metrics_free(sets[1]);
}

static void tells_openmetrics(void **state)
{
    struct metrics *m = metrics_new();
    struct slice ok[] = {SLICE("ok")};
    counter_add(metrics_counter(m, METRIC_RELOADS, ok), 5);
    counter_set(metrics_counter(m, METRIC_CONNECTIONS, NULL), 2);
    assert_string_equal(series_of(&m, 1, METRICS_OPEN), "# HELP perigee_connections Open client connections\n"
                                                        "# TYPE perigee_connections gauge\n"
                                                        "perigee_connections 2\n"
                                                        "# HELP perigee_reloads Model reloads\n"
                                                        "# TYPE perigee_reloads counter\n"
                                                        "perigee_reloads_total{result=\"ok\"} 5\n"
                                                        "# EOF\n");
    metrics_free(m);
}

static void writes_histograms(void **state)
{
    struct metrics *sets[] = {metrics_new(), metrics_new()};
    struct slice op[] = {SLICE("get")};
    struct histogram *h = metrics_histogram(sets[0], METRIC_REQUEST_TIME, op);
    histogram_add(h, 0);
    histogram_add(h, 50); /* le: less or equal */
    histogram_add(h, 51);
    histogram_add(h, 10000000);
    histogram_add(metrics_histogram(sets[1], METRIC_REQUEST_TIME, op), 10000001);
    assert_string_equal(rendered(sets, 2), "# HELP perigee_request_seconds Time from request to answer\n"
                                           "# TYPE perigee_request_seconds histogram\n"
                                           "perigee_request_seconds_bucket{op=\"get\",le=\"0.00005\"} 2\n"
                                           "perigee_request_seconds_bucket{op=\"get\",le=\"0.0001\"} 3\n"
                                           "perigee_request_seconds_bucket{op=\"get\",le=\"0.00025\"} 3\n"
                                           "perigee_request_seconds_bucket{op=\"get\",le=\"0.0005\"} 3\n"
                                           "perigee_request_seconds_bucket{op=\"get\",le=\"0.001\"} 3\n"
                                           "perigee_request_seconds_bucket{op=\"get\",le=\"0.0025\"} 3\n"
                                           "perigee_request_seconds_bucket{op=\"get\",le=\"0.005\"} 3\n"
                                           "perigee_request_seconds_bucket{op=\"get\",le=\"0.01\"} 3\n"
                                           "perigee_request_seconds_bucket{op=\"get\",le=\"0.025\"} 3\n"
                                           "perigee_request_seconds_bucket{op=\"get\",le=\"0.05\"} 3\n"
                                           "perigee_request_seconds_bucket{op=\"get\",le=\"0.1\"} 3\n"
                                           "perigee_request_seconds_bucket{op=\"get\",le=\"0.25\"} 3\n"
                                           "perigee_request_seconds_bucket{op=\"get\",le=\"0.5\"} 3\n"
                                           "perigee_request_seconds_bucket{op=\"get\",le=\"1\"} 3\n"
                                           "perigee_request_seconds_bucket{op=\"get\",le=\"2.5\"} 3\n"
                                           "perigee_request_seconds_bucket{op=\"get\",le=\"5\"} 3\n"
                                           "perigee_request_seconds_bucket{op=\"get\",le=\"10\"} 4\n"
                                           "perigee_request_seconds_bucket{op=\"get\",le=\"+Inf\"} 5\n"
                                           "perigee_request_seconds_sum{op=\"get\"} 20.000102\n"
                                           "perigee_request_seconds_count{op=\"get\"} 5\n");
    metrics_free(sets[0]);
    metrics_free(sets[1]);
}

static void escapes_labels(void **state)
{
    struct metrics *m = metrics_new();
    struct slice labels[] = {SLICE("a\"b\\c\nd\xff\0\xC3\xBC"), SLICE("")};
    counter_set(metrics_counter(m, METRIC_BUILD, labels), -1);
    assert_non_null(strstr(rendered(&m, 1),
                           "\nperigee_build_info{version=\"a\\\"b\\\\c\\nd\xEF\xBF\xBD\xEF\xBF\xBD\xC3\xBC\","
                           "luajit=\"\"} -1\n"));
    metrics_free(m);
}

/* Were the labels not escaped in the key, these two would be one series. */
static void labels_do_not_run_together(void **state)
{
    struct metrics *m = metrics_new();
    struct slice one[] = {SLICE("a\",luajit=\"b"), SLICE("c")}, two[] = {SLICE("a"), SLICE("b\",luajit=\"c")};
    assert_ptr_not_equal(metrics_counter(m, METRIC_BUILD, one), metrics_counter(m, METRIC_BUILD, two));
    metrics_free(m);
}

static void tells_each_family_once(void **state)
{
    static const char *const names[] = {
#define X(family, type, name, labels, help) name,
        METRIC_MAP(X)
#undef X
    };
    static const char *const labels_of[] = {
#define X(family, type, name, labels, help) labels,
        METRIC_MAP(X)
#undef X
    };
#define X(family, type, name, labels, help) IS_##type,
#define IS_COUNTER                          0
#define IS_GAUGE                            0
#define IS_GAUGE_MIN                        0
#define IS_HISTOGRAM                        1
    static const int is_histogram[] = {METRIC_MAP(X)};
#undef X
    struct metrics *m = metrics_new();
    for (int f = 0; f < METRIC_FAMILIES; f++)
        for (int i = 0; i < 3; i++) {
            struct slice labels[METRIC_LABELS_MAX] = {SLICE("x"), SLICE("y"), slice_of(&"abc"[i])};
            if (is_histogram[f]) histogram_add(metrics_histogram(m, f, labels), 1);
            else counter_add(metrics_counter(m, f, labels), 1);
        }
    const char *text = rendered(&m, 1);
    for (int f = 0; f < METRIC_FAMILIES; f++) {
        char type_line[128];
        snprintf(type_line, sizeof type_line, "# TYPE %s ", names[f]);
        const char *first = strstr(text, type_line);
        assert_non_null(first);
        assert_null(strstr(first + 1, type_line));
        size_t commas = 0;
        for (const char *p = labels_of[f]; *p; p++) commas += *p == ',';
        assert_true(commas < METRIC_LABELS_MAX);
    }
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_has_no_series),
        cmocka_unit_test(names_every_family_before_its_first_series),
        cmocka_unit_test(finds_the_same_series_again),
        cmocka_unit_test(sums_over_workers),
        cmocka_unit_test(tells_openmetrics),
        cmocka_unit_test(writes_histograms),
        cmocka_unit_test(escapes_labels),
        cmocka_unit_test(labels_do_not_run_together),
        cmocka_unit_test(tells_each_family_once),
    };
    buffer_init(&out, 1 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buffer_deinit(&out);
    return failed;
}
