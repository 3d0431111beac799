/* The table of epochs: what is judged removed or expired by which stamps and names, that it stays within its bound and forgets on the safe side,
 * and that nothing but a report is taken for one. */
#include "store/epochs.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW 1763852041226u /* ms */

static struct epochs *epochs;

static int set_up(void **state)
{
    epochs = epochs_new();
    return 0;
}

static int tear_down(void **state)
{
    epochs_free(epochs);
    return 0;
}

static void raise_one(enum epoch_kind kind, const char *name, enum epoch_mode mode, uint64_t now_ms)
{
    epochs_raise(epochs, mode, &(struct epoch_name){.kind = kind, .text = slice_of(name)}, 1, now_ms);
}

/* Of a record of model User with one tag. */
static struct epoch_verdict judge(struct stamp stamp, const char *tag)
{
    epoch_id name[] = {epoch_id_of(EPOCH_MODEL, SLICE("User")), epoch_id_of(EPOCH_TAG, slice_of(tag))};
    return epochs_judge(epochs, stamp, name, 2);
}

static bool take(const char *report)
{
    bool more;
    return epochs_take(epochs, epochs_now(epochs), slice_of(report), &more);
}

static void nothing_is_judged_before_anything_is_invalidated(void **state)
{
    struct stamp stamp = epochs_now(epochs);
    assert_int_equal(stamp.at, 0);
    assert_true(epochs_cover(epochs, stamp));
    assert_false(judge(stamp, "a").removed);
    assert_true(judge(stamp, "a").expired_ms == CLOCK_NEVER);
    assert_int_equal(epochs_last(epochs, epoch_id_of(EPOCH_MODEL, SLICE("User"))), 0);
}

static void what_is_older_is_removed_and_what_is_younger_is_not(void **state)
{
    struct stamp before = epochs_now(epochs);
    raise_one(EPOCH_MODEL, "User", EPOCH_REMOVE, NOW);
    struct stamp after = epochs_now(epochs);
    assert_true(after.at > before.at);
    assert_false(epochs_cover(epochs, before));
    assert_true(epochs_cover(epochs, after));
    assert_true(judge(before, "a").removed);
    assert_false(judge(after, "a").removed);
    raise_one(EPOCH_TAG, "a", EPOCH_REMOVE, NOW);
    assert_true(judge(after, "a").removed);
    assert_false(judge(after, "b").removed);
    assert_false(epochs_cover(epochs, after)); /* and so it is judged by its names */
}

static void a_model_and_a_tag_of_one_name_are_two(void **state)
{
    struct stamp before = epochs_now(epochs);
    raise_one(EPOCH_TAG, "User", EPOCH_REMOVE, NOW);
    assert_false(judge(before, "a").removed);
    raise_one(EPOCH_MODEL, "a", EPOCH_REMOVE, NOW);
    assert_false(judge(before, "a").removed);
}

static void what_expires_does_so_at_the_earlier_moment_of_its_names(void **state)
{
    struct stamp before = epochs_now(epochs);
    raise_one(EPOCH_TAG, "a", EPOCH_EXPIRE, NOW);
    struct stamp between = epochs_now(epochs);
    raise_one(EPOCH_MODEL, "User", EPOCH_EXPIRE, NOW + 5000);
    assert_true(judge(before, "a").expired_ms == NOW);
    assert_true(judge(before, "b").expired_ms == NOW + 5000);
    assert_true(judge(between, "a").expired_ms == NOW + 5000);
    assert_false(judge(before, "a").removed);
    raise_one(EPOCH_TAG, "a", EPOCH_REMOVE, NOW + 6000);
    assert_true(judge(before, "a").removed);
    assert_false(judge(before, "b").removed);
}

/* Only order counts: a clock that stands, or goes back, changes nothing. */
static void moments_rise_whatever_the_clock_does(void **state)
{
    raise_one(EPOCH_MODEL, "User", EPOCH_REMOVE, NOW);
    for (int i = 0; i < 100; i++) {
        struct stamp stamp = epochs_now(epochs);
        raise_one(EPOCH_MODEL, "User", EPOCH_REMOVE, i % 2 ? NOW : NOW - 3600 * 1000);
        assert_true(epochs_now(epochs).at > stamp.at);
        assert_true(judge(stamp, "a").removed);
        assert_false(judge(epochs_now(epochs), "a").removed);
    }
}

static void a_hundred_thousand_tags_stay_within_the_bound_and_none_comes_to_life(void **state)
{
    char name[32];
    struct stamp first = epochs_now(epochs), late = first;
    for (int i = 0; i < 100000; i++) {
        if (i == 99000) late = epochs_now(epochs);
        snprintf(name, sizeof name, "tag%d", i);
        raise_one(EPOCH_TAG, name, EPOCH_REMOVE, NOW + (uint64_t)i);
        assert_true(epochs_names(epochs) <= EPOCHS_MAX);
    }
    for (int i = 0; i < 100000; i += 997) {
        snprintf(name, sizeof name, "tag%d", i);
        assert_true(judge(first, name).removed);
    }
    assert_true(judge(first, "never").removed); /* by the floor: nobody can say any more */
    assert_false(judge(late, "never").removed);
    assert_false(judge(late, "tag5").removed);
    assert_true(judge(late, "tag99500").removed);
}

/* -- reports -- */

static void a_report_is_taken_in(void **state)
{
    bool more;
    assert_true(epochs_take(epochs, epochs_now(epochs), SLICE("00000000000000aa 1000 1000 0\n"), &more));
    assert_false(more);
    struct stamp old = epochs_now(epochs);
    assert_true(old.line == 0xaa && old.at == 1000);
    assert_true(take("00000000000000aa 5000 1000 0\n2000 17 remove:model:User\n5000 12 expire:tag:a\n"));
    struct stamp now = epochs_now(epochs);
    assert_int_equal(now.at, 5000);
    assert_true(judge(old, "b").removed);
    assert_false(judge(now, "a").removed);
    assert_true(judge((struct stamp){0xaa, 2000}, "a").expired_ms == 5);
    assert_true(judge((struct stamp){0xaa, 999}, "b").removed);   /* below the floor */
    assert_false(judge((struct stamp){0xaa, 9000}, "a").removed); /* of a gateway that knows more */
}

static void a_report_that_comes_late_takes_nothing_back(void **state)
{
    struct stamp asked = epochs_now(epochs);
    bool more;
    assert_true(take("00000000000000aa 5000 1000 0\n5000 17 remove:model:User\n"));
    assert_true(epochs_take(epochs, asked, SLICE("00000000000000aa 1000 1000 0\n"), &more));
    assert_int_equal(epochs_now(epochs).at, 5000);
    assert_true(judge((struct stamp){0xaa, 4999}, "a").removed);
}

/* A table that was lost, and begun anew. */
static void another_line_ends_all_that_was_stamped_under_the_old_one(void **state)
{
    bool more;
    take("00000000000000aa 5000 1000 0\n");
    struct stamp old = epochs_now(epochs);
    assert_true(take("00000000000000bb 3000 3000 0\n")); /* also when its clock stands behind */
    assert_int_equal(epochs_now(epochs).at, 3000);
    assert_false(epochs_cover(epochs, old));
    assert_true(judge(old, "a").removed);
    assert_true(judge((struct stamp){0, 0}, "a").removed);
    assert_false(judge(epochs_now(epochs), "a").removed);
    /* who had asked under the old line, and was answered before the new one began, changes nothing */
    assert_true(epochs_take(epochs, old, SLICE("00000000000000aa 6000 1000 0\n"), &more));
    assert_true(more);
    assert_true(epochs_now(epochs).line == 0xbb);
}

static void what_is_no_report_is_not_taken(void **state)
{
    static const char *const bad[] = {
        "",
        "00000000000000aa",
        "00000000000000aa 1000 1000\n",
        "00000000000000aa 1000 1000 2\n",
        "00000000000000aa 0 0 0\n",
        "00000000000000zz 1000 1000 0\n",
        "00000000000000aaa 1000 1000 0\n",
        "00000000000000aa -1 1000 0\n",
        "00000000000000aa 99999999999999999 1000 0\n",
        "00000000000000aa 1000 1000 0\nx",
        "00000000000000aa 1000 1000 0\n2000 17 remove:model:User",
        "00000000000000aa 1000 1000 0\n2000 99 remove:model:User\n",
        "00000000000000aa 1000 1000 0\n2000 16 remove:model:User\n",
        "00000000000000aa 1000 1000 0\n2000 17 forget:model:User\n",
        "00000000000000aa 1000 1000 0\n2000 17 remove:mudel:User\n",
        "00000000000000aa 1000 1000 0\n2000 13 remove:model:\n",
        "00000000000000aa 1000 1000 0\n2000 0 \n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(take(bad[i]));
        assert_int_equal(epochs_now(epochs).at, 0);
    }
    char many[64 + (EPOCHS_PAGE + 1) * 32], *end = many;
    end += sprintf(end, "00000000000000aa 1000 1000 0\n");
    for (int i = 0; i <= EPOCHS_PAGE; i++) end += sprintf(end, "2000 12 remove:tag:%c\n", 'a' + i % 26);
    assert_false(take(many));
}

static void names_may_have_any_byte(void **state)
{
    assert_true(take("00000000000000aa 3000 1000 0\n2000 15 remove:tag:a\n:b\n3000 12 remove:tag::\n"));
    assert_true(judge((struct stamp){0xaa, 1000}, "a\n:b").removed);
    assert_true(judge((struct stamp){0xaa, 1000}, ":").removed);
    assert_false(judge((struct stamp){0xaa, 1000}, "a").removed);
}

/* Pages of names that were never named before; of a server that keeps a floor below them, or of one that has none. */
static void take_pages(bool has_floor)
{
    uint64_t at = 1000;
    char report[64 + EPOCHS_PAGE * 40];
    for (int page = 0; page < 3 * EPOCHS_MAX / EPOCHS_PAGE; page++) {
        uint64_t floor = !has_floor ? 0 : at > EPOCHS_MAX + 1000 ? at - EPOCHS_MAX : 1000;
        char *end = report + sprintf(report, "00000000000000aa %llu %llu 1\n", (unsigned long long)at + EPOCHS_PAGE,
                                     (unsigned long long)floor);
        for (int i = 0; i < EPOCHS_PAGE; i++) {
            char member[32];
            int n = sprintf(member, "remove:tag:t%llu", (unsigned long long)++at);
            end += sprintf(end, "%llu %d %s\n", (unsigned long long)at, n, member);
        }
        assert_true(take(report));
        assert_true(epochs_names(epochs) <= 2 * EPOCHS_MAX + EPOCHS_PAGE);
    }
}

static void reports_of_a_full_table_stay_within_the_bound(void **state) { take_pages(true); }

static void reports_without_an_end_do_too_and_forget_on_the_safe_side(void **state)
{
    take_pages(false);
    assert_true(judge((struct stamp){0xaa, 2000}, "t1500").removed);
    assert_true(judge((struct stamp){0xaa, 2000}, "t2500").removed);
    struct stamp now = epochs_now(epochs);
    assert_false(judge(now, "t1500").removed);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_judged_before_anything_is_invalidated),
        TEST(what_is_older_is_removed_and_what_is_younger_is_not),
        TEST(a_model_and_a_tag_of_one_name_are_two),
        TEST(what_expires_does_so_at_the_earlier_moment_of_its_names),
        TEST(moments_rise_whatever_the_clock_does),
        TEST(a_hundred_thousand_tags_stay_within_the_bound_and_none_comes_to_life),
        TEST(a_report_is_taken_in),
        TEST(a_report_that_comes_late_takes_nothing_back),
        TEST(another_line_ends_all_that_was_stamped_under_the_old_one),
        TEST(what_is_no_report_is_not_taken),
        TEST(names_may_have_any_byte),
        TEST(reports_of_a_full_table_stay_within_the_bound),
        TEST(reports_without_an_end_do_too_and_forget_on_the_safe_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
