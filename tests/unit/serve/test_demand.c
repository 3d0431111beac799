/* What a request's Cache-Control comes to, and what of that suits a record. */
#include "base/clock.h"
#include "serve/demand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define NEVER CLOCK_NEVER

static struct demand read_lines(enum http_method method, const char *const *line, bool may_refresh)
{
    static struct http_request request;
    request.method = method;
    request.headers = 0;
    for (; *line; line++) {
        struct slice value = slice_of(*line), name = slice_cut(&value, ':');
        request.header[request.headers++] = (struct http_header){name, slice_trim(value)};
    }
    return demand_of(&request, may_refresh);
}

static struct demand get(const char *control)
{
    char line[400] = "Cache-Control:";
    strncat(line, control, sizeof line - 40);
    return read_lines(METHOD_GET, (const char *[]){line, NULL}, true);
}

/* A row for each way to say it; numbers are milliseconds. */
static void every_form_has_its_meaning(void **state)
{
    static const struct {
        const char *control;
        enum fetch_mode mode;
        bool only_if_cached, is_picky, takes_stale;
        uint64_t max_age, min_fresh, max_stale;
    } row[] = {
        {"", FETCH_LOAD, 0, 0, 0, NEVER, 0, 0},
        {"no-cache", FETCH_RELOAD, 0, 0, 0, NEVER, 0, 0},
        {"NO-Cache", FETCH_RELOAD, 0, 0, 0, NEVER, 0, 0},
        {"no-cache=\"set-cookie, x\"", FETCH_RELOAD, 0, 0, 0, NEVER, 0, 0},
        {" , ,no-cache ,", FETCH_RELOAD, 0, 0, 0, NEVER, 0, 0},
        {"no-store", FETCH_LOAD, 0, 0, 0, NEVER, 0, 0},
        {"x=\"no-cache\", y=\"a, no-cache\", z=\"\\\", no-cache\", no-transform", FETCH_LOAD, 0, 0, 0, NEVER, 0, 0},
        {"only-if-cached", FETCH_LOOK, 1, 0, 0, NEVER, 0, 0},
        {"only-if-cached, no-cache", FETCH_LOOK, 1, 1, 0, 0, 0, 0},
        {"only-if-cached, max-age=5", FETCH_LOOK, 1, 1, 0, 5000, 0, 0},
        {"only-if-cached, max-stale", FETCH_LOOK, 1, 1, 1, NEVER, 0, NEVER},
        {"max-age=60", FETCH_LOAD, 0, 1, 0, 60000, 0, 0},
        {"max-age=0", FETCH_LOAD, 0, 1, 0, 0, 0, 0},
        {"max-age=\"60\"", FETCH_LOAD, 0, 1, 0, 60000, 0, 0},
        {"max-age = 60", FETCH_LOAD, 0, 1, 0, 60000, 0, 0},
        {"max-age=4294967295", FETCH_LOAD, 0, 1, 0, 4294967295000, 0, 0},
        {"max-age=4294967296", FETCH_LOAD, 0, 1, 0, NEVER, 0, 0},
        {"max-age=99999999999999999999999999999999", FETCH_LOAD, 0, 1, 0, NEVER, 0, 0},
        {"max-age", FETCH_LOAD, 0, 0, 0, NEVER, 0, 0},
        {"max-age=", FETCH_LOAD, 0, 0, 0, NEVER, 0, 0},
        {"max-age=\"\"", FETCH_LOAD, 0, 0, 0, NEVER, 0, 0},
        {"max-age=-1", FETCH_LOAD, 0, 0, 0, NEVER, 0, 0},
        {"max-age=1.5", FETCH_LOAD, 0, 0, 0, NEVER, 0, 0},
        {"max-age=60s", FETCH_LOAD, 0, 0, 0, NEVER, 0, 0},
        {"max-age=0x10", FETCH_LOAD, 0, 0, 0, NEVER, 0, 0},
        {"max-age=\"60", FETCH_LOAD, 0, 0, 0, NEVER, 0, 0},
        {"max-age=60, max-age=30", FETCH_LOAD, 0, 1, 0, 30000, 0, 0},
        {"max-age=30, max-age=60", FETCH_LOAD, 0, 1, 0, 30000, 0, 0},
        {"max-age=soon, max-age=60", FETCH_LOAD, 0, 1, 0, 60000, 0, 0},
        {"min-fresh=10", FETCH_LOAD, 0, 1, 0, NEVER, 10000, 0},
        {"min-fresh=10, min-fresh=20", FETCH_LOAD, 0, 1, 0, NEVER, 20000, 0},
        {"min-fresh", FETCH_LOAD, 0, 0, 0, NEVER, 0, 0},
        {"min-fresh=9999999999", FETCH_LOAD, 0, 1, 0, NEVER, NEVER, 0},
        {"max-stale", FETCH_LOAD, 0, 1, 1, NEVER, 0, NEVER},
        {"max-stale=0", FETCH_LOAD, 0, 1, 1, NEVER, 0, 0},
        {"max-stale=60", FETCH_LOAD, 0, 1, 1, NEVER, 0, 60000},
        {"max-stale, max-stale=60", FETCH_LOAD, 0, 1, 1, NEVER, 0, 60000},
        {"max-stale=long", FETCH_LOAD, 0, 0, 0, NEVER, 0, 0},
        {"max-age=60, max-stale=5, min-fresh=1", FETCH_LOAD, 0, 1, 1, 60000, 1000, 5000},
        {"no-cache, max-age=60", FETCH_RELOAD, 0, 1, 0, 60000, 0, 0},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct demand d = get(row[i].control);
        bool same = d.mode == row[i].mode && d.only_if_cached == row[i].only_if_cached &&
                    d.is_picky == row[i].is_picky && d.takes_stale == row[i].takes_stale &&
                    d.max_age_ms == row[i].max_age && d.min_fresh_ms == row[i].min_fresh &&
                    d.max_stale_ms == row[i].max_stale;
        if (!same) fail_msg("%s", row[i].control);
    }
}

static void all_lines_count(void **state)
{
    struct demand d = read_lines(METHOD_GET,
                                 (const char *[]){"cache-control: max-age=9", "X: y", "CACHE-CONTROL: min-fresh=3",
                                                  "Cache-Control: only-if-cached", NULL},
                                 true);
    assert_true(d.only_if_cached && d.max_age_ms == 9000 && d.min_fresh_ms == 3000);
}

static enum fetch_mode mode_of(enum http_method method, const char *first, const char *second)
{
    return read_lines(method, (const char *[]){first, second, NULL}, true).mode;
}

static void pragma_counts_without_cache_control(void **state)
{
    assert_int_equal(mode_of(METHOD_GET, "Pragma: x, no-cache", NULL), FETCH_RELOAD);
    assert_int_equal(mode_of(METHOD_GET, "Pragma: no-cached", NULL), FETCH_LOAD);
    assert_int_equal(mode_of(METHOD_GET, "Pragma: no-cache", "Cache-Control: max-age=5"), FETCH_LOAD);
    assert_int_equal(mode_of(METHOD_GET, "Cache-Control:", "Pragma: no-cache"), FETCH_LOAD);
    assert_int_equal(mode_of(METHOD_HEAD, "Pragma: no-cache", NULL), FETCH_LOOK);
}

static void a_head_takes_what_is_there(void **state)
{
    struct demand d = read_lines(METHOD_HEAD, (const char *[]){"Cache-Control: no-cache, max-age=0", NULL}, true);
    assert_true(d.mode == FETCH_LOOK && !d.is_picky && !d.only_if_cached);
    d = read_lines(METHOD_HEAD, (const char *[]){"Cache-Control: only-if-cached, max-age=0", NULL}, true);
    assert_true(d.mode == FETCH_LOOK && d.is_picky && d.only_if_cached);
}

static void without_the_permission_nothing_is_loaded_before_its_time(void **state)
{
    const char *all[] = {"Cache-Control: max-age=0, min-fresh=5, max-stale=7", NULL};
    struct demand d = read_lines(METHOD_GET, all, false);
    assert_true(d.max_age_ms == NEVER && d.min_fresh_ms == 0 && d.max_stale_ms == 7000);
    assert_false(read_lines(METHOD_GET, (const char *[]){"Cache-Control: max-age=0", NULL}, false).is_picky);
    const char *look[] = {"Cache-Control: max-age=9, only-if-cached", NULL};
    assert_int_equal(read_lines(METHOD_GET, look, false).max_age_ms, 9000); /* loads nothing */
}

/* Stored at 1000 s, fresh for 100 s, stale for another 50 s. */
#define AT(s) (1000000 + (s)*1000)
static const struct envelope record = {.stored_ms = AT(0), .fresh_until_ms = AT(100), .stale_until_ms = AT(150)};

static enum use use_at(const char *control, bool loads, enum life life, uint64_t now_ms)
{
    struct model m = {.loads = loads};
    struct demand d = get(control);
    return demand_use(&d, &m, &record, life, now_ms);
}

static void fresh_ones_are_judged_by_age_and_by_what_is_left(void **state)
{
    assert_int_equal(use_at("", true, LIFE_FRESH, AT(99)), USE_NOW);
    assert_int_equal(use_at("max-age=10", true, LIFE_FRESH, AT(10) - 1), USE_NOW);
    assert_int_equal(use_at("max-age=10", true, LIFE_FRESH, AT(10)), USE_NOT);
    assert_int_equal(use_at("max-age=0", true, LIFE_FRESH, AT(0)), USE_NOT);
    assert_int_equal(use_at("max-age=99999999999", true, LIFE_FRESH, AT(99)), USE_NOW);
    assert_int_equal(use_at("min-fresh=60", true, LIFE_DUE, AT(40)), USE_NOW);
    assert_int_equal(use_at("min-fresh=60", true, LIFE_DUE, AT(40) + 1), USE_NOT);
    assert_int_equal(use_at("min-fresh=101", true, LIFE_FRESH, AT(0)), USE_NOT);
    assert_int_equal(use_at("max-stale=0", true, LIFE_FRESH, AT(99)), USE_NOW);
    assert_int_equal(use_at("max-age=10, max-stale=60", true, LIFE_FRESH, AT(50)), USE_NOT);
}

static void stale_ones_by_how_long_they_are(void **state)
{
    for (int life = LIFE_STALE_WHILE; life <= LIFE_STALE_ERROR; life++) {
        enum use unasked = life == LIFE_STALE_WHILE ? USE_NOW : USE_IF_NO_BETTER;
        assert_int_equal(use_at("", true, life, AT(120)), unasked);
        assert_int_equal(use_at("no-store", true, life, AT(120)), unasked);
        assert_int_equal(use_at("max-stale", true, life, AT(120)), USE_NOW);
        assert_int_equal(use_at("max-stale=20", true, life, AT(120)), USE_NOW);
        assert_int_equal(use_at("max-stale=20", true, life, AT(120) + 1), USE_NOT);
        assert_int_equal(use_at("max-stale=0", true, life, AT(100)), USE_NOW);
        assert_int_equal(use_at("max-stale=0", true, life, AT(100) + 1), USE_NOT);
        assert_int_equal(use_at("max-age=500", true, life, AT(120)), USE_NOT);
        assert_int_equal(use_at("min-fresh=0", true, life, AT(120)), USE_NOT);
        assert_int_equal(use_at("max-age=500, max-stale=30", true, life, AT(120)), USE_NOW);
        assert_int_equal(use_at("max-age=120, max-stale=30", true, life, AT(120)), USE_NOT);
        assert_int_equal(use_at("min-fresh=1, max-stale=30", true, life, AT(120)), USE_NOT);
    }
}

static void where_nobody_loads_there_is_nothing_better(void **state)
{
    assert_int_equal(use_at("max-age=0", false, LIFE_FRESH, AT(50)), USE_NOW);
    assert_int_equal(use_at("min-fresh=100", false, LIFE_FRESH, AT(50)), USE_NOW);
}

static void for_ever_is_fresh_enough(void **state)
{
    struct envelope e = {.stored_ms = AT(0), .fresh_until_ms = NEVER, .stale_until_ms = NEVER};
    struct demand d = get("min-fresh=99999999999999");
    assert_true(demand_takes(&d, &e, AT(5)));
    d = get("max-age=5");
    assert_false(demand_takes(&d, &e, AT(5)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_has_its_meaning),
        cmocka_unit_test(all_lines_count),
        cmocka_unit_test(pragma_counts_without_cache_control),
        cmocka_unit_test(a_head_takes_what_is_there),
        cmocka_unit_test(without_the_permission_nothing_is_loaded_before_its_time),
        cmocka_unit_test(fresh_ones_are_judged_by_age_and_by_what_is_left),
        cmocka_unit_test(stale_ones_by_how_long_they_are),
        cmocka_unit_test(where_nobody_loads_there_is_nothing_better),
        cmocka_unit_test(for_ever_is_fresh_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
