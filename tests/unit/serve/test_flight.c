/* Single flight across loops: founding, joining, leaving, superseding, landing, and many threads at once. */
#include "serve/flight.h"

#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define KEY SLICE("perigee:User:0123456789abcdef:username=bob")

struct client {
    struct flight_waiter waiter;
    int answers;
    enum status status;
    bool has_blob;
};

static void on_answer(struct flight_waiter *w, const struct flight_outcome *o)
{
    struct client *c = container_of(w, struct client, waiter);
    c->answers++;
    c->status = o->status;
    c->has_blob = o->blob != NULL;
}

static enum flight_role join(struct flight_port *p, struct slice key, struct client *c, struct flight **f)
{
    *c = (struct client){.waiter.done = on_answer};
    return flight_join(p, key, &c->waiter, f);
}

struct bench {
    uv_loop_t loop;
    struct flights *flights;
    struct flight_port *port;
};

static void bench_open(struct bench *b)
{
    uv_loop_init(&b->loop);
    b->flights = flights_new();
    b->port = flight_port_open(b->flights, &b->loop);
}

static void bench_close(struct bench *b)
{
    flight_port_close(b->port);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&b->loop), 0);
    flights_free(b->flights);
}

static void deliver(struct bench *b) { uv_run(&b->loop, UV_RUN_NOWAIT); }

static void one_leads_and_all_get_the_outcome(void **state)
{
    struct bench b;
    struct client c[3];
    struct flight *f, *other;
    bench_open(&b);
    unsigned landings = flight_landings(b.port, KEY);
    assert_int_equal(join(b.port, KEY, &c[0], &f), FLIGHT_LEAD);
    assert_int_equal(join(b.port, KEY, &c[1], &other), FLIGHT_WAIT);
    assert_null(other);
    assert_int_equal(join(b.port, KEY, &c[2], &other), FLIGHT_WAIT);
    assert_int_equal(flight_landings(b.port, KEY), landings);
    struct flight_outcome *o = flight_outcome_new(OK);
    o->blob = blob_copy(SLICE("record"));
    flight_land(f, o);
    assert_int_equal(c[0].answers, 0); /* never within the call */
    deliver(&b);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(c[i].answers, 1);
        assert_int_equal(c[i].status, OK);
        assert_true(c[i].has_blob);
    }
    assert_int_not_equal(flight_landings(b.port, KEY), landings);
    assert_int_equal(join(b.port, KEY, &c[0], &f), FLIGHT_LEAD); /* it has ended: the next one founds anew */
    flight_land(f, flight_outcome_new(MISSING));
    deliver(&b);
    bench_close(&b);
}

struct watcher {
    struct flight_watch watch;
    struct flight_port *port;
    unsigned heard;
    bool asks_on;
};

static void on_news(struct flight_waiter *w, const struct flight_outcome *none)
{
    struct watcher *watcher = container_of(w, struct watcher, watch.waiter);
    assert_null(none);
    watcher->heard++;
    if (watcher->asks_on) flight_watch_on(watcher->port, &watcher->watch);
}

static void watch(struct bench *b, struct watcher *w, struct slice key)
{
    *w = (struct watcher){.watch.waiter.done = on_news, .port = b->port, .asks_on = true};
    flight_watch_begin(b->port, key, &w->watch);
}

static void who_watches_a_key_is_told_of_it(void **state)
{
    struct bench b;
    struct watcher one, other, elsewhere;
    bench_open(&b);
    flights_tell(b.flights, KEY); /* nobody watches */
    watch(&b, &one, KEY);
    watch(&b, &other, KEY);
    watch(&b, &elsewhere, SLICE("perigee:User:0123456789abcdef:username=eve"));
    flights_tell(b.flights, KEY);
    flights_tell(b.flights, KEY);
    assert_int_equal(one.heard, 0); /* never within the call */
    deliver(&b);
    assert_int_equal(one.heard, 1); /* however often, until it has been read */
    assert_int_equal(other.heard, 1);
    assert_int_equal(elsewhere.heard, 0);
    one.asks_on = false;
    flights_tell(b.flights, KEY);
    deliver(&b);
    flights_tell(b.flights, KEY);
    deliver(&b);
    assert_int_equal(one.heard, 2); /* it has not asked on */
    assert_int_equal(other.heard, 3);
    flight_watch_on(b.port, &one.watch);
    flights_tell(b.flights, KEY);
    flight_watch_end(b.port, &other.watch); /* its letter lies in the box */
    deliver(&b);
    assert_int_equal(one.heard, 3);
    assert_int_equal(other.heard, 3);
    flight_watch_on(b.port, &one.watch);
    flight_watch_end(b.port, &one.watch);
    flight_watch_end(b.port, &elsewhere.watch);
    flights_tell(b.flights, KEY);
    deliver(&b);
    bench_close(&b);
}

static void who_leaves_is_not_called(void **state)
{
    struct bench b;
    struct client early, late, stays;
    struct flight *f, *other;
    bench_open(&b);
    join(b.port, KEY, &early, &f);
    join(b.port, KEY, &late, &other);
    join(b.port, KEY, &stays, &other);
    flight_leave(&early.waiter); /* the leader's own client: the flight goes on */
    flight_land(f, flight_outcome_new(LOADER_ERROR));
    flight_leave(&late.waiter); /* landed, its letter not read yet */
    flight_leave(&late.waiter); /* twice is harmless */
    deliver(&b);
    assert_int_equal(early.answers, 0);
    assert_int_equal(late.answers, 0);
    assert_int_equal(stays.answers, 1);
    assert_int_equal(stays.status, LOADER_ERROR);
    bench_close(&b);
}

static void a_write_bars_the_load_before_it(void **state)
{
    struct bench b;
    struct client before, after, joins, writer;
    struct flight *first, *second, *none;
    struct flight_write write;
    bench_open(&b);
    join(b.port, KEY, &before, &first);
    unsigned landings = flight_landings(b.port, KEY);
    assert_true(flight_write_begin(b.port, KEY, &write, &writer.waiter));
    assert_false(flight_may_store(first));
    flight_write_end(b.port, &write);
    assert_int_not_equal(flight_landings(b.port, KEY), landings); /* who has looked before looks again */
    assert_int_equal(join(b.port, KEY, &after, &second), FLIGHT_LEAD);
    flight_land(first, flight_outcome_new(OK));
    deliver(&b);
    assert_int_equal(before.answers, 1);
    assert_int_equal(after.answers, 0);
    assert_int_equal(join(b.port, KEY, &joins, &none), FLIGHT_WAIT); /* landing the first left the second findable */
    assert_true(flight_may_store(second));
    flight_land(second, flight_outcome_new(OK));
    deliver(&b);
    assert_int_equal(after.answers, 1);
    assert_int_equal(joins.answers, 1);
    bench_close(&b);
}

static void a_write_bars_the_load_beside_it(void **state)
{
    struct bench b;
    struct client beside, joins, after, writer;
    struct flight *f, *none, *anew;
    struct flight_write one, two, three;
    bench_open(&b);
    assert_true(flight_write_begin(b.port, KEY, &one, &writer.waiter));
    assert_true(flight_write_begin(b.port, KEY, &two, &writer.waiter));
    assert_true(flight_write_begin(b.port, KEY, &three, &writer.waiter));
    flight_write_end(b.port, &one); /* the first of the chain, then its end */
    flight_write_end(b.port, &two);
    assert_int_equal(join(b.port, KEY, &beside, &f), FLIGHT_LEAD);
    assert_int_equal(join(b.port, KEY, &joins, &none), FLIGHT_WAIT);
    assert_false(flight_may_store(f));
    flight_write_end(b.port, &three);
    assert_int_equal(join(b.port, KEY, &after, &anew), FLIGHT_LEAD);
    assert_false(flight_may_store(f));
    assert_true(flight_may_store(anew));
    flight_land(f, flight_outcome_new(OK));
    flight_land(anew, flight_outcome_new(OK));
    deliver(&b);
    assert_int_equal(beside.answers + joins.answers + after.answers, 3);
    bench_close(&b);
}

static void a_write_waits_for_a_load_that_stores(void **state)
{
    struct bench b;
    struct client loads, writer = {.waiter.done = on_answer}, leaves = {.waiter.done = on_answer};
    struct flight *f;
    struct flight_write write, other;
    bench_open(&b);
    join(b.port, KEY, &loads, &f);
    assert_true(flight_may_store(f));
    assert_false(flight_write_begin(b.port, KEY, &write, &writer.waiter));
    assert_false(flight_write_begin(b.port, KEY, &other, &leaves.waiter));
    flight_leave(&leaves.waiter);
    flight_land(f, flight_outcome_new(OK));
    deliver(&b);
    assert_int_equal(loads.answers, 1);
    assert_int_equal(writer.answers, 1);
    assert_int_equal(leaves.answers, 0);
    assert_true(flight_write_begin(b.port, KEY, &write, &writer.waiter));
    flight_write_end(b.port, &write);
    bench_close(&b);
}

/* -- threads: every client is answered exactly once, and no key has two flights at a time -- */

#define THREADS 4
#define ROUNDS  4000
#define KEYS    3

static _Atomic int in_flight[KEYS], doubles, founded, answered, left;

struct worker {
    uv_thread_t thread;
    uv_loop_t loop;
    uv_timer_t timer;
    struct flights *flights;
    struct flight_port *port;
    unsigned seed;
    int rounds, waiting;
    struct {
        struct flight *flight;
        int key;
    } leads[8];
    int n_leads;
};

struct member {
    struct flight_waiter waiter;
    struct worker *worker;
};

static void on_member_answer(struct flight_waiter *w, const struct flight_outcome *o)
{
    struct member *m = container_of(w, struct member, waiter);
    m->worker->waiting--;
    answered++;
    free(m);
}

static void land_all(struct worker *w)
{
    while (w->n_leads) {
        w->n_leads--;
        in_flight[w->leads[w->n_leads].key]--;
        flight_land(w->leads[w->n_leads].flight, flight_outcome_new(OK));
    }
}

static void on_turn(uv_timer_t *timer)
{
    struct worker *w = container_of(timer, struct worker, timer);
    for (int i = 0; i < 4 && w->rounds; i++, w->rounds--) {
        int key = rand_r(&w->seed) % KEYS;
        char name[] = "key-0";
        name[4] = (char)('0' + key);
        struct member *m = calloc(1, sizeof *m);
        m->worker = w;
        m->waiter.done = on_member_answer;
        struct flight *f;
        if (flight_join(w->port, slice_of(name), &m->waiter, &f) == FLIGHT_LEAD) {
            if (in_flight[key]++ != 0) doubles++;
            founded++;
            w->leads[w->n_leads].flight = f;
            w->leads[w->n_leads++].key = key;
        }
        if (rand_r(&w->seed) % 8 == 0) {
            flight_leave(&m->waiter);
            left++;
            free(m);
        } else {
            w->waiting++;
        }
    }
    land_all(w);
    if (w->rounds || w->waiting) return;
    uv_close((uv_handle_t *)&w->timer, NULL);
    flight_port_close(w->port);
}

static void worker_main(void *arg)
{
    struct worker *w = arg;
    uv_timer_start(&w->timer, on_turn, 0, 1);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    uv_loop_close(&w->loop);
}

static void many_threads(void **state)
{
    struct flights *flights = flights_new();
    struct worker w[THREADS] = {0};
    for (unsigned i = 0; i < THREADS; i++) {
        w[i].flights = flights;
        w[i].rounds = ROUNDS / 4;
        w[i].seed = i + 1;
        uv_loop_init(&w[i].loop);
        uv_timer_init(&w[i].loop, &w[i].timer);
        w[i].port = flight_port_open(flights, &w[i].loop);
    }
    for (int i = 0; i < THREADS; i++) uv_thread_create(&w[i].thread, worker_main, &w[i]);
    for (int i = 0; i < THREADS; i++) uv_thread_join(&w[i].thread);
    assert_int_equal(answered + left, THREADS * (ROUNDS / 4));
    assert_int_equal(doubles, 0);
    assert_true(founded > 0);
    flights_free(flights);
}

struct turner {
    struct flight_waiter waiter;
    int turns;
};

static void on_own_turn(struct flight_waiter *w, const struct flight_outcome *none)
{
    assert_null(none);
    container_of(w, struct turner, waiter)->turns++;
}

enum { PLACES = 256 };
static const struct flight_line_bounds bounds = {.at_once = 1, .burst = PLACES, .standing = PLACES};

static enum flight_turn take_turn_within(const struct flight_line_bounds *within, struct flight_port *p,
                                         struct turner *t)
{
    *t = (struct turner){.waiter.done = on_own_turn};
    return flight_turn_take(p, KEY, within, &t->waiter);
}

static enum flight_turn take_turn(struct flight_port *p, struct slice key, struct turner *t)
{
    *t = (struct turner){.waiter.done = on_own_turn};
    return flight_turn_take(p, key, &bounds, &t->waiter);
}

static void turns_come_in_order(void **state)
{
    struct bench b;
    struct turner t[4], other;
    bench_open(&b);
    assert_int_equal(take_turn(b.port, KEY, &t[0]), TURN_NOW);
    for (int i = 1; i < 4; i++) assert_int_equal(take_turn(b.port, KEY, &t[i]), TURN_LATER);
    assert_int_equal(take_turn(b.port, SLICE("another key"), &other), TURN_NOW);
    flight_turn_end(b.port, SLICE("another key"));
    deliver(&b);
    for (int i = 0; i < 4; i++) {
        for (int k = 1; k < 4; k++) assert_int_equal(t[k].turns, k <= i);
        flight_turn_end(b.port, KEY);
        if (i < 3) assert_int_equal(t[i + 1].turns, 0); /* never within the call */
        deliver(&b);
    }
    assert_int_equal(take_turn(b.port, KEY, &t[0]), TURN_NOW); /* the line has ended */
    flight_turn_end(b.port, KEY);
    bench_close(&b);
}

static void a_line_has_an_end(void **state)
{
    static struct turner t[PLACES + 1];
    struct bench b;
    struct turner surplus;
    bench_open(&b);
    for (int i = 0; i <= PLACES; i++) assert_int_equal(take_turn(b.port, KEY, &t[i]), i ? TURN_LATER : TURN_NOW);
    assert_int_equal(take_turn(b.port, KEY, &surplus), TURN_NEVER);
    flight_turn_end(b.port, KEY);
    assert_int_equal(take_turn(b.port, KEY, &surplus), TURN_LATER);
    for (int i = 0; i <= PLACES; i++) {
        deliver(&b);
        flight_turn_end(b.port, KEY);
    }
    assert_int_equal(surplus.turns, 1);
    assert_int_equal(t[PLACES].turns, 1);
    bench_close(&b);
}

/* A burst has many places; when somebody has waited behind each of `stands` turns there are few, until nobody waits. */
static void a_line_that_stands_is_short(void **state)
{
    static const struct flight_line_bounds within = {.at_once = 1, .burst = 8, .stands = 5, .standing = 2};
    struct bench b;
    struct turner t[9], more[2], surplus;
    bench_open(&b);
    for (int i = 0; i < 9; i++) assert_int_equal(take_turn_within(&within, b.port, &t[i]), i ? TURN_LATER : TURN_NOW);
    assert_int_equal(take_turn_within(&within, b.port, &surplus), TURN_NEVER);
    for (int i = 0; i < 4; i++, deliver(&b)) flight_turn_end(b.port, KEY);
    assert_int_equal(take_turn_within(&within, b.port, &more[0]), TURN_LATER); /* four have passed, four wait */
    for (int i = 0; i < 2; i++, deliver(&b)) flight_turn_end(b.port, KEY);
    assert_int_equal(take_turn_within(&within, b.port, &surplus), TURN_NEVER); /* six have, three wait */
    for (int i = 0; i < 2; i++, deliver(&b)) flight_turn_end(b.port, KEY);
    assert_int_equal(take_turn_within(&within, b.port, &more[1]),
                     TURN_LATER); /* it still stands: one waits, and one more may */
    assert_int_equal(take_turn_within(&within, b.port, &surplus), TURN_NEVER);
    for (int i = 0; i < 2; i++, deliver(&b)) flight_turn_end(b.port, KEY);
    assert_int_equal(more[0].turns + more[1].turns, 2);
    for (int i = 0; i < 8; i++)
        assert_int_equal(take_turn_within(&within, b.port, &t[i]), TURN_LATER); /* nobody waited */
    for (int i = 0; i < 8; i++) flight_turn_leave(b.port, KEY, &t[i].waiter);
    flight_turn_end(b.port, KEY);
    bench_close(&b);
}

/* As a reload may have it: who has the turn keeps it, and the next are called as the last bound says. */
static void a_line_goes_by_its_last_bound(void **state)
{
    static const struct flight_line_bounds three = {.at_once = 3, .burst = PLACES, .standing = PLACES};
    struct bench b;
    struct turner t[7];
    bench_open(&b);
    for (int i = 0; i < 3; i++) assert_int_equal(take_turn_within(&three, b.port, &t[i]), TURN_NOW);
    for (int i = 3; i < 6; i++) assert_int_equal(take_turn(b.port, KEY, &t[i]), TURN_LATER);
    for (int i = 0; i < 2; i++, deliver(&b)) flight_turn_end(b.port, KEY);
    assert_int_equal(t[3].turns, 0);
    flight_turn_end(b.port, KEY);
    deliver(&b);
    assert_int_equal(t[3].turns, 1);
    assert_int_equal(t[4].turns, 0);
    assert_int_equal(take_turn_within(&three, b.port, &t[6]), TURN_LATER); /* nobody is overtaken */
    deliver(&b);
    assert_int_equal(t[4].turns + t[5].turns, 2);
    for (int i = 0; i < 4; i++, deliver(&b)) flight_turn_end(b.port, KEY);
    assert_int_equal(t[6].turns, 1);
    assert_int_equal(take_turn(b.port, KEY, &t[0]), TURN_NOW); /* the line has ended */
    flight_turn_end(b.port, KEY);
    bench_close(&b);
}

/* Loops on threads of their own add to a number that nothing else protects. */
enum { TURN_THREADS = 4, TURNS = 2000 };

struct turning {
    struct bench bench; /* its flights are shared */
    struct turner turner;
    struct flights *shared;
    unsigned *number, had;
};

static void turning_next(struct turning *t);

static void turning_add(struct turning *t)
{
    *t->number += 1;
    t->had++;
    flight_turn_end(t->bench.port, KEY);
}

static void on_turning(struct flight_waiter *w, const struct flight_outcome *none)
{
    struct turning *t = container_of(container_of(w, struct turner, waiter), struct turning, turner);
    turning_add(t);
    turning_next(t);
}

static void turning_next(struct turning *t)
{
    while (t->had < TURNS) {
        t->turner.waiter.done = on_turning;
        enum flight_turn turn = flight_turn_take(t->bench.port, KEY, &bounds, &t->turner.waiter);
        assert_int_not_equal(turn, TURN_NEVER);
        if (turn == TURN_LATER) return;
        turning_add(t);
    }
}

static void turning_run(void *arg)
{
    struct turning *t = arg;
    uv_loop_init(&t->bench.loop);
    t->bench.port = flight_port_open(t->shared, &t->bench.loop);
    turning_next(t);
    while (t->had < TURNS) uv_run(&t->bench.loop, UV_RUN_ONCE);
    flight_port_close(t->bench.port);
    uv_run(&t->bench.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&t->bench.loop), 0);
}

static void one_at_a_time_across_threads(void **state)
{
    struct flights *shared = flights_new();
    struct turning t[TURN_THREADS] = {0};
    uv_thread_t thread[TURN_THREADS];
    unsigned number = 0;
    for (int i = 0; i < TURN_THREADS; i++) {
        t[i] = (struct turning){.shared = shared, .number = &number};
        uv_thread_create(&thread[i], turning_run, &t[i]);
    }
    for (int i = 0; i < TURN_THREADS; i++) uv_thread_join(&thread[i]);
    assert_int_equal(number, TURN_THREADS * TURNS);
    flights_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_leads_and_all_get_the_outcome),
        cmocka_unit_test(who_watches_a_key_is_told_of_it),
        cmocka_unit_test(who_leaves_is_not_called),
        cmocka_unit_test(a_write_bars_the_load_before_it),
        cmocka_unit_test(a_write_bars_the_load_beside_it),
        cmocka_unit_test(a_write_waits_for_a_load_that_stores),
        cmocka_unit_test(many_threads),
        cmocka_unit_test(turns_come_in_order),
        cmocka_unit_test(a_line_goes_by_its_last_bound),

        cmocka_unit_test(a_line_has_an_end),
        cmocka_unit_test(a_line_that_stands_is_short),
        cmocka_unit_test(one_at_a_time_across_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
