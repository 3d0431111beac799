/* The life of a record: its parts, early refresh, jitter, back-off. */
#include "serve/life.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW 1000000u

static const struct model_options plain = {.expires_ms = 10000};

static struct model loading(const struct model_options *o) { return (struct model){.loads = true, .options = *o}; }

static struct envelope begun(const struct model_options *o, uint64_t life_ms, uint64_t chance)
{
    struct envelope e = {.kind = ENVELOPE_RECORD};
    struct model m = loading(o);
    life_begin(&m, life_ms, NOW, chance, &e);
    return e;
}

static enum life stands(const struct model_options *o, const struct envelope *e, uint64_t load_us, uint64_t now_ms,
                        uint64_t chance)
{
    struct model m = loading(o);
    return life_of(&m, e, load_us, now_ms, chance);
}

static enum life at(const struct model_options *o, const struct envelope *e, uint64_t now_ms)
{
    return stands(o, e, 0, now_ms, 0);
}

static void without_a_loader_nothing_is_stale_or_due(void **state)
{
    struct model m = {
        .options = {.expires_ms = 10000, .stale_while_revalidate_ms = 2000, .stale_if_error_ms = 5000, .refresh = 0.5}};
    struct envelope e = {.kind = ENVELOPE_RECORD};
    life_begin(&m, LIFE_UNSAID, NOW, 0, &e);
    assert_int_equal(e.stale_until_ms, NOW + 10000);
    assert_int_equal(life_of(&m, &e, 0, NOW + 9999, 0), LIFE_FRESH);
    e.stale_until_ms += 5000; /* it had one when it was stored */
    assert_int_equal(life_of(&m, &e, 0, NOW + 10000, 0), LIFE_DEAD);
}

static void what_is_in_doubt_is_stale_from_then_on_with_or_without_a_loader(void **state)
{
    struct model m = {.options = {.expires_ms = 10000, .stale_if_error_ms = 5000}};
    for (int loads = 0; loads < 2; loads++) {
        struct envelope e = {.kind = ENVELOPE_RECORD}, whole;
        m.loads = loads;
        life_begin(&m, LIFE_UNSAID, NOW, 0, &e);
        whole = e;
        life_doubt(&m, NOW + 2000, &e);
        assert_int_equal(e.fresh_until_ms, NOW + 2000);
        assert_int_equal(e.stale_until_ms, NOW + 7000);
        e = whole;
        life_doubt(&m, NOW + 8000, &e);
        assert_int_equal(e.stale_until_ms, loads ? NOW + 13000 : NOW + 10000); /* no longer than it was to be kept */
        e = whole;
        life_doubt(&m, NOW + 12000, &e);
        assert_int_equal(e.fresh_until_ms, NOW + 10000);
        assert_int_equal(e.stale_until_ms, whole.stale_until_ms);
    }
}

static void a_plain_record_is_fresh_and_then_dead(void **state)
{
    struct envelope e = begun(&plain, LIFE_UNSAID, 0);
    assert_int_equal(e.stored_ms, NOW);
    assert_int_equal(e.stale_until_ms, NOW + 10000);
    assert_int_equal(at(&plain, &e, NOW), LIFE_FRESH);
    assert_int_equal(at(&plain, &e, NOW + 9999), LIFE_FRESH);
    assert_int_equal(at(&plain, &e, NOW + 10000), LIFE_DEAD);
}

static void both_stale_parts_begin_where_freshness_ends(void **state)
{
    struct model_options o = {.expires_ms = 10000, .stale_while_revalidate_ms = 2000, .stale_if_error_ms = 5000};
    struct envelope e = begun(&o, LIFE_UNSAID, 0);
    assert_int_equal(e.fresh_until_ms, NOW + 10000);
    assert_int_equal(e.stale_until_ms, NOW + 15000);
    assert_int_equal(at(&o, &e, NOW + 10000), LIFE_STALE_WHILE);
    assert_int_equal(at(&o, &e, NOW + 11999), LIFE_STALE_WHILE);
    assert_int_equal(at(&o, &e, NOW + 12000), LIFE_STALE_ERROR);
    assert_int_equal(at(&o, &e, NOW + 14999), LIFE_STALE_ERROR);
    assert_int_equal(at(&o, &e, NOW + 15000), LIFE_DEAD);
}

static void options_that_have_shrunk_since_count(void **state)
{
    struct model_options then = {.expires_ms = 10000, .stale_if_error_ms = 5000};
    struct model_options now = {.expires_ms = 10000, .stale_if_error_ms = 1000};
    struct envelope e = begun(&then, LIFE_UNSAID, 0);
    assert_int_equal(at(&now, &e, NOW + 10999), LIFE_STALE_ERROR);
    assert_int_equal(at(&now, &e, NOW + 11000), LIFE_DEAD);
}

static void a_negative_is_never_stale(void **state)
{
    struct model_options o = {.expires_ms = 10000, .stale_if_error_ms = 5000, .refresh = 0.1};
    struct envelope e = {.kind = ENVELOPE_NEGATIVE};
    struct model m = loading(&o);
    life_begin(&m, 1000, NOW, 0, &e);
    assert_int_equal(e.stale_until_ms, NOW + 1000);
    assert_int_equal(at(&o, &e, NOW + 999), LIFE_FRESH);
    assert_int_equal(at(&o, &e, NOW + 1000), LIFE_DEAD);
}

static void never_stays_never(void **state)
{
    struct model_options o = {.expires_ms = CLOCK_NEVER, .stale_if_error_ms = 5000, .jitter = 0.5, .refresh = 0.5};
    struct envelope e = begun(&o, LIFE_UNSAID, UINT64_MAX);
    assert_true(e.fresh_until_ms == CLOCK_NEVER && e.stale_until_ms == CLOCK_NEVER);
    assert_int_equal(stands(&o, &e, UINT64_MAX / 2, NOW, 0), LIFE_FRESH);
}

static void jitter_takes_away_what_chance_says_and_of_the_models_life_only(void **state)
{
    struct model_options o = {.expires_ms = 10000, .jitter = 0.1};
    assert_int_equal(begun(&o, LIFE_UNSAID, 0).fresh_until_ms, NOW + 10000);
    assert_int_equal(begun(&o, LIFE_UNSAID, UINT64_MAX).fresh_until_ms, NOW + 9000);
    assert_int_equal(begun(&o, LIFE_UNSAID, UINT64_MAX / 2).fresh_until_ms, NOW + 9500);
    assert_int_equal(begun(&o, 10000, UINT64_MAX).fresh_until_ms, NOW + 10000);
}

static void a_fraction_of_the_life_makes_it_due(void **state)
{
    struct model_options o = {.expires_ms = 10000, .refresh = 0.8};
    struct envelope e = begun(&o, LIFE_UNSAID, 0);
    assert_int_equal(at(&o, &e, NOW + 7999), LIFE_FRESH);
    assert_int_equal(at(&o, &e, NOW + 8000), LIFE_DUE);
    assert_int_equal(at(&o, &e, NOW + 9999), LIFE_DUE);
    assert_int_equal(at(&o, &e, NOW + 10000), LIFE_DEAD);
}

/* With 1 s loads, 1 s before the end, 1/e of the readers refresh; 5 s before it, e^-5. */
static void xfetch_is_due_as_often_as_the_paper_says(void **state)
{
    struct model_options o = {.expires_ms = 10000, .refresh = REFRESH_XFETCH};
    struct envelope e = begun(&o, LIFE_UNSAID, 0);
    unsigned near = 0, far = 0, none = 0;
    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t chance = UINT64_MAX / 10000 * i;
        near += stands(&o, &e, 1000000, NOW + 9000, chance) == LIFE_DUE;
        far += stands(&o, &e, 1000000, NOW + 5000, chance) == LIFE_DUE;
        none += stands(&o, &e, 0, NOW + 9999, chance) == LIFE_DUE;
    }
    assert_in_range(near, 3678, 3680);
    assert_in_range(far, 66, 69);
    assert_int_equal(none, 0);
}

static void failures_double_the_wait_up_to_a_bound(void **state)
{
    assert_int_equal(life_backoff_ms(1), 0);
    assert_int_equal(life_backoff_ms(2), 100);
    assert_int_equal(life_backoff_ms(3), 200);
    assert_int_equal(life_backoff_ms(7), 3200);
    assert_int_equal(life_backoff_ms(8), 5000);
    assert_int_equal(life_backoff_ms(UINT32_MAX), 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_in_doubt_is_stale_from_then_on_with_or_without_a_loader),
        cmocka_unit_test(a_plain_record_is_fresh_and_then_dead),
        cmocka_unit_test(both_stale_parts_begin_where_freshness_ends),
        cmocka_unit_test(options_that_have_shrunk_since_count),
        cmocka_unit_test(a_negative_is_never_stale),
        cmocka_unit_test(without_a_loader_nothing_is_stale_or_due),
        cmocka_unit_test(never_stays_never),
        cmocka_unit_test(jitter_takes_away_what_chance_says_and_of_the_models_life_only),
        cmocka_unit_test(a_fraction_of_the_life_makes_it_due),
        cmocka_unit_test(xfetch_is_due_as_often_as_the_paper_says),
        cmocka_unit_test(failures_double_the_wait_up_to_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
