/* A lease, from its first question to its end, and ended at each moment between. The store is a stand-in, which answers when the test says. */
#include "serve/lease.h"

#include "base/clock.h"

#include "lease_store.h"

#include <string.h>

#define KEY SLICE("p:User:0:id=a")

static uv_loop_t loop;
static struct lease lease;

static struct {
    unsigned dones, fills, closes;
    enum lease_outcome outcome;
    enum status filled;
    struct blob *found; /* one reference */
    bool again;         /* what is found will not do */
} heard;

static void on_done(struct lease *l, enum lease_outcome outcome, struct blob *found)
{
    heard.dones++;
    heard.outcome = outcome;
    assert_int_equal(found != NULL, outcome == LEASE_FOUND);
    blob_unref(heard.found);
    heard.found = found;
    if (outcome == LEASE_FOUND && heard.again) lease_again(l, blob_slice(found));
}

static void on_filled(struct lease *l, enum status status)
{
    heard.fills++;
    heard.filled = status;
}

static void on_closed(struct lease *l) { heard.closes++; }

static int set_up(void **state)
{
    uv_loop_init(&loop);
    told_reset();
    memset(&heard, 0, sizeof heard);
    lease = (struct lease){.key = KEY, .done = on_done, .filled = on_filled};
    return 0;
}

/* Every test has ended its lease by now, and nothing of it may be left but the farewell. */
static int tear_down(void **state)
{
    assert_int_equal(heard.closes, 0); /* never before lease_end has returned */
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(heard.closes, 1);
    assert_int_equal(uv_loop_close(&loop), 0);
    while (is_under_way(DROP)) store_answers(DROP, OK, NULL);
    assert_int_equal(told.n, 0);
    blob_unref(heard.found);
    blob_unref(told.found);
    blob_unref(told.stored);
    return 0;
}

static void start(struct slice known)
{
    lease_start(&lease, &loop, known, clock_mono_us() + 10000000);
    assert_int_equal(told.asked[TAKE], 0);
    await_asked(&loop, TAKE, 1);
}

static void start_and_get_it(void)
{
    start(SLICE(""));
    store_answers(TAKE, MISSING, NULL);
    assert_int_equal(heard.dones, 1);
    assert_int_equal(heard.outcome, LEASE_OURS);
}

static void end(void) { lease_end(&lease, on_closed); }

/* -- what asking comes to -- */

static void ours_and_filled(void **state)
{
    struct blob *value = blob_copy(SLICE("record"));
    start_and_get_it();
    assert_int_equal(lease_fill(&lease, value, 2, 1), PENDING);
    assert_int_equal(heard.fills, 0);
    store_answers(FILL, OK, NULL);
    assert_int_equal(heard.fills, 1);
    assert_int_equal(heard.filled, OK);
    assert_true(slice_eq(blob_slice(told.stored), SLICE("record")));
    blob_unref(value);
    end();
    assert_int_equal(told.asked[DROP], 0); /* filling has ended it */
}

static void ours_and_yielded(void **state)
{
    start_and_get_it();
    assert_int_equal(lease_yield(&lease), PENDING);
    store_answers(DROP, PRECONDITION_FAILED, NULL);
    assert_int_equal(heard.fills, 1);
    assert_int_equal(heard.filled, PRECONDITION_FAILED);
    end();
    assert_int_equal(told.asked[DROP], 1);
    assert_int_equal(told.asked[FILL], 0);
}

static void found(void **state)
{
    start(SLICE("old"));
    assert_string_equal(told.known, "old");
    store_answers(TAKE, OK, blob_copy(SLICE("new")));
    assert_int_equal(heard.outcome, LEASE_FOUND);
    assert_true(slice_eq(blob_slice(heard.found), SLICE("new")));
    end();
    assert_int_equal(told.asked[DROP], 0); /* it was never ours */
}

static void what_is_found_will_not_do(void **state)
{
    heard.again = true;
    start(SLICE(""));
    assert_string_equal(told.known, "");
    store_answers(TAKE, OK, blob_copy(SLICE("stale")));
    await_asked(&loop, TAKE, 2);
    assert_string_equal(told.known, "stale");
    store_answers(TAKE, MISSING, NULL);
    assert_int_equal(heard.dones, 2);
    assert_int_equal(heard.outcome, LEASE_OURS);
    end();
}

static void nobody_looks(void **state)
{
    start((struct slice){NULL, 0});
    assert_string_equal(told.known, "-");
    store_answers(TAKE, MISSING, NULL);
    assert_int_equal(heard.outcome, LEASE_OURS);
    end();
}

static void busy_and_asked_again_until_it_is_ours(void **state)
{
    start(SLICE(""));
    for (unsigned i = 1; i <= 5; i++) {
        store_answers(TAKE, PRECONDITION_FAILED, NULL);
        assert_int_equal(heard.dones, 0);
        await_asked(&loop, TAKE, i + 1);
    }
    store_answers(TAKE, MISSING, NULL);
    assert_int_equal(heard.outcome, LEASE_OURS);
    end();
}

/* 5 ms, then a sixteenth of the time waited, at most 50 ms: near the end of short loads, and no flood in long ones. */
static void waits_grow(void **state)
{
    uint64_t began_us = clock_mono_us(), due_ms = 0;
    start(SLICE(""));
    for (unsigned i = 1; due_ms < 50; i++) {
        store_answers(TAKE, PRECONDITION_FAILED, NULL);
        due_ms = uv_timer_get_due_in(&lease.timer);
        assert_true(due_ms <= 50);
        assert_true(due_ms <= 5 || due_ms <= (clock_mono_us() - began_us) / 1000 / 16);
        assert_true(i <= 90); /* some 16 of the first kind, some 40 that grow; timers may be early by a millisecond */
        await_asked(&loop, TAKE, i + 1);
    }
    assert_true(clock_mono_us() - began_us >= 800000);
    end();
}

/* Where the store tells of changes nobody asks without a cause, but now and then, and when the time is over. */
static void news_are_waited_for(void **state)
{
    told.hears = true;
    start(SLICE(""));
    lease_news(&lease); /* the question is under way: its answer may be older than this */
    store_answers(TAKE, PRECONDITION_FAILED, NULL);
    assert_int_equal(uv_timer_get_due_in(&lease.timer), 0);
    await_asked(&loop, TAKE, 2);
    store_answers(TAKE, PRECONDITION_FAILED, NULL);
    assert_in_range(uv_timer_get_due_in(&lease.timer), 400, 500);
    lease_news(&lease);
    lease_news(&lease);
    assert_int_equal(told.asked[TAKE], 2); /* never from within */
    await_asked(&loop, TAKE, 3);
    store_answers(TAKE, OK, blob_copy(SLICE("brought")));
    assert_int_equal(heard.outcome, LEASE_FOUND);
    end();
}

static void a_holder_that_brings_nothing_is_heard_of_too(void **state)
{
    told.hears = true;
    start(SLICE(""));
    store_answers(TAKE, PRECONDITION_FAILED, NULL);
    lease_news(&lease); /* its lease is gone */
    await_asked(&loop, TAKE, 2);
    store_answers(TAKE, MISSING, NULL);
    assert_int_equal(heard.outcome, LEASE_OURS);
    lease_news(&lease); /* of its own */
    assert_int_equal(uv_timer_get_due_in(&lease.timer) > 500, 1);
    end();
}

static void who_waits_for_news_is_not_late(void **state)
{
    told.hears = true;
    uint64_t began_us = clock_mono_us();
    lease_start(&lease, &loop, SLICE(""), began_us + 60000);
    await_asked(&loop, TAKE, 1);
    store_answers(TAKE, PRECONDITION_FAILED, NULL);
    assert_in_range(uv_timer_get_due_in(&lease.timer), 1, 61);
    for (unsigned i = 2; heard.dones == 0; i++) {
        assert_true(i <= 4); /* timers may be early by a millisecond */
        await_asked(&loop, TAKE, i);
        store_answers(TAKE, PRECONDITION_FAILED, NULL);
    }
    assert_true(clock_mono_us() - began_us >= 60000);
    assert_int_equal(heard.outcome, LEASE_LATE);
    end();
}

static void busy_for_too_long(void **state)
{
    lease_start(&lease, &loop, SLICE(""), clock_mono_us());
    await_asked(&loop, TAKE, 1);
    store_answers(TAKE, PRECONDITION_FAILED, NULL);
    assert_int_equal(heard.dones, 1);
    assert_int_equal(heard.outcome, LEASE_LATE);
    end();
    assert_int_equal(told.asked[DROP], 0);
}

static void alone(void **state)
{
    start(SLICE(""));
    store_answers(TAKE, STORE_UNAVAILABLE, NULL);
    assert_int_equal(heard.outcome, LEASE_ALONE);
    end();
    assert_int_equal(told.asked[DROP], 1); /* the store may have given it before its answer was lost */
}

static void a_store_that_answers_at_once(void **state)
{
    told.answer[TAKE] = MISSING;
    told.answer[FILL] = OK;
    lease_start(&lease, &loop, SLICE(""), clock_mono_us());
    assert_int_equal(heard.dones, 0); /* never before it has returned */
    await_asked(&loop, TAKE, 1);
    assert_int_equal(heard.outcome, LEASE_OURS);
    struct blob *value = blob_copy(SLICE("record"));
    assert_int_equal(lease_fill(&lease, value, 2, 1), OK);
    assert_int_equal(heard.fills, 0); /* by return value, then */
    blob_unref(value);
    end();
}

static void tokens_are_of_their_own(void **state)
{
    char before[LEASE_TOKEN + 1];
    start(SLICE(""));
    memcpy(before, told.token, sizeof before);
    assert_int_equal(strspn(before, "0123456789abcdef"), LEASE_TOKEN);
    store_answers(TAKE, PRECONDITION_FAILED, NULL);
    await_asked(&loop, TAKE, 2);
    assert_string_equal(told.token, before); /* the same for as long as it asks */
    end();
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(heard.closes, 1);
    heard.closes = told.asked[TAKE] = 0;
    start(SLICE(""));
    assert_string_not_equal(told.token, before);
    end();
}

/* -- keeping -- */

static void kept_while_the_load_runs(void **state)
{
    start_and_get_it();
    uint64_t due_ms = uv_timer_get_due_in(&lease.timer);
    assert_true(due_ms > 0 && due_ms <= LEASE_MS / 3);
    await_asked(&loop, KEEP, 1);
    store_answers(KEEP, OK, NULL);
    assert_true(uv_is_active((uv_handle_t *)&lease.timer));
    await_asked(&loop, KEEP, 2);
    store_answers(KEEP, PRECONDITION_FAILED, NULL); /* lost: not asked for again */
    assert_false(uv_is_active((uv_handle_t *)&lease.timer));
    struct blob *value = blob_copy(SLICE("record"));
    lease_fill(&lease, value, 2, 1); /* the store decides */
    store_answers(FILL, PRECONDITION_FAILED, NULL);
    assert_int_equal(heard.filled, PRECONDITION_FAILED);
    assert_int_equal(heard.dones, 1);
    blob_unref(value);
    end();
}

static void filled_while_it_is_being_kept(void **state)
{
    start_and_get_it();
    await_asked(&loop, KEEP, 1);
    struct blob *value = blob_copy(SLICE("record"));
    lease_fill(&lease, value, 2, 1);
    assert_int_equal(told.cancelled, 1);
    assert_false(is_under_way(KEEP));
    store_answers(FILL, OK, NULL);
    assert_int_equal(heard.filled, OK);
    blob_unref(value);
    end();
}

/* -- ended at each moment -- */

static void ended_before_it_has_asked(void **state)
{
    lease_start(&lease, &loop, SLICE(""), clock_mono_us() + 1000000);
    end();
    assert_int_equal(told.asked[TAKE], 0);
}

static void ended_while_it_asks(void **state)
{
    start(SLICE(""));
    end();
    assert_int_equal(told.cancelled, 1);
    assert_int_equal(heard.dones, 0);
}

static void ended_while_it_waits_to_ask_again(void **state)
{
    start(SLICE(""));
    store_answers(TAKE, PRECONDITION_FAILED, NULL);
    end();
    assert_int_equal(heard.dones, 0);
    assert_int_equal(told.asked[DROP], 0);
}

/* Whoever waits for it elsewhere shall not wait until it runs out; the farewell outlives the lease. */
static void ended_while_it_is_ours(void **state)
{
    start_and_get_it();
    end();
    assert_int_equal(told.asked[DROP], 1);
}

static void ended_while_it_is_being_kept(void **state)
{
    start_and_get_it();
    await_asked(&loop, KEEP, 1);
    end();
    assert_int_equal(told.cancelled, 1);
    assert_int_equal(told.asked[DROP], 1);
}

static void ended_while_it_fills(void **state)
{
    struct blob *value = blob_copy(SLICE("record"));
    start_and_get_it();
    lease_fill(&lease, value, 2, 1);
    end();
    assert_int_equal(told.cancelled, 1);
    assert_int_equal(told.asked[DROP], 0);
    assert_int_equal(heard.fills, 0);
    blob_unref(value);
}

static void ended_while_it_yields(void **state)
{
    start_and_get_it();
    lease_yield(&lease);
    end();
    assert_int_equal(told.cancelled, 1);
    assert_int_equal(heard.fills, 0);
}

static void ended_where_the_farewell_is_answered_at_once(void **state)
{
    start_and_get_it();
    told.answer[DROP] = STORE_UNAVAILABLE;
    end();
    assert_int_equal(told.asked[DROP], 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ours_and_filled),
        TEST(ours_and_yielded),
        TEST(found),
        TEST(what_is_found_will_not_do),
        TEST(nobody_looks),
        TEST(busy_and_asked_again_until_it_is_ours),
        TEST(waits_grow),
        TEST(news_are_waited_for),
        TEST(a_holder_that_brings_nothing_is_heard_of_too),
        TEST(who_waits_for_news_is_not_late),
        TEST(busy_for_too_long),
        TEST(alone),
        TEST(a_store_that_answers_at_once),
        TEST(tokens_are_of_their_own),
        TEST(kept_while_the_load_runs),
        TEST(filled_while_it_is_being_kept),
        TEST(ended_before_it_has_asked),
        TEST(ended_while_it_asks),
        TEST(ended_while_it_waits_to_ask_again),
        TEST(ended_while_it_is_ours),
        TEST(ended_while_it_is_being_kept),
        TEST(ended_while_it_fills),
        TEST(ended_while_it_yields),
        TEST(ended_where_the_farewell_is_answered_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
