/* A fill, at each of its stages: what it lands with, who is told, and that nothing stays behind where it is stopped there. Store and loader
 * are stand-ins, which answer when the test says; flights and leases are real. Long, as there are many stages. */
#include "serve/fill.h"

#include "base/clock.h"
#include "script/load.h"
#include "serve/life.h"
#include "serve/seal.h"

#include "lease_store.h"

#define WAITERS 3

/* -- stand-ins -- */

static struct {
    load_done *done;
    void *owner;
    unsigned starts, cancelled;
    bool runs;
} loader;

struct load *load_start(struct vm *vm, const struct record_key *key, const struct envelope *old,
                        const struct trail *trail, load_done *done, void *owner)
{
    loader.done = done;
    loader.owner = owner;
    loader.starts++;
    loader.runs = true;
    return (struct load *)&loader;
}

uint64_t load_batch(const struct load *load) { return 0; }

void load_cancel(struct load *load)
{
    assert_true(loader.runs);
    loader.runs = false;
    loader.cancelled++;
}

static void loader_ends(const struct load_result *r)
{
    assert_true(loader.runs);
    loader.runs = false;
    loader.done(loader.owner, r);
}

static void loader_brings(const char *text)
{
    loader_ends(&(struct load_result){.status = OK, .text = slice_of(text), .expires_ms = LOAD_EXPIRES_UNSET});
}

struct generation *generation_ref(struct generation *g)
{
    g->refs++;
    return g;
}

void generation_unref(struct generation *g) { g->refs--; }

/* -- the bench -- */

static struct field of_item[] = {{.name = {"id", 2}, .kind = FIELD_KEY, .type = TYPE_STRING}};
static struct model item;
static uv_loop_t loop;
static struct arena arena;
static struct serve serve;
static struct flights *flights;
static struct generation generation;
static struct served served;
static struct record_key key;

static struct waiter {
    struct flight_waiter waiter;
    unsigned calls;
    enum status status;
    bool stored, found, doubtful;
    char text[64];
} waiter[WAITERS];

static void on_landed(struct flight_waiter *w, const struct flight_outcome *o)
{
    struct waiter *me = container_of(w, struct waiter, waiter);
    struct envelope e;
    me->calls++;
    me->status = o->status;
    me->stored = o->stored;
    me->found = o->found;
    me->doubtful = o->doubtful;
    if (!o->blob) return;
    assert_true(envelope_open(blob_slice(o->blob), &e));
    snprintf(me->text, sizeof me->text, "%.*s", SLICE_ARG(e.text));
}

static struct record_key key_of(const char *id)
{
    struct record_key k;
    struct key_draft draft;
    key_draft_init(&draft);
    assert_int_equal(key_set_text(&item, &draft, SLICE("id"), slice_of(id), &arena, NULL), OK);
    assert_int_equal(key_finish(&item, &draft, &arena, &k, NULL), OK);
    return k;
}

static int set_up(void **state)
{
    uv_loop_init(&loop);
    arena_init(&arena);
    told_reset();
    memset(&loader, 0, sizeof loader);
    memset(waiter, 0, sizeof waiter);
    item = (struct model){.name = SLICE("Item"),
                          .kind = MODEL_RECORD,
                          .loads = true,
                          .field = of_item,
                          .fields = 1,
                          .options = {.expires_ms = 1000, .negative_ms = 500, .hard_timeout_ms = 10000}};
    model_finish(&item, SLICE("t"), &arena);
    flights = flights_new();
    serve = (struct serve){.flights = flight_port_open(flights, &loop), .metrics = metrics_new()};
    list_init(&serve.fills);
    served = (struct served){.model = &item, .generation = &generation};
    generation = (struct generation){.refs = 1};
    key = key_of("a");
    return 0;
}

static int tear_down(void **state)
{
    while (is_under_way(DROP)) store_answers(DROP, OK, NULL); /* farewells */
    flight_port_close(serve.flights);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(told.n, 0);
    assert_int_equal(generation.refs, 1);
    assert_false(loader.runs);
    assert_true(list_empty(&serve.fills));
    flights_free(flights); /* asserts that no flight and no turn is left */
    metrics_free(serve.metrics);
    arena_deinit(&arena);
    blob_unref(told.found);
    blob_unref(told.stored);
    return 0;
}

/* The first one leads, the others join; the fill is started. */
static struct flight *start_with(struct blob *old, enum fill_look look)
{
    struct flight *flight, *none;
    for (int i = 0; i < WAITERS; i++) {
        waiter[i].waiter.done = on_landed;
        enum flight_role role = flight_join(serve.flights, key.stored, &waiter[i].waiter, i ? &none : &flight);
        assert_int_equal(role, i ? FLIGHT_WAIT : FLIGHT_LEAD);
    }
    fill_start(&serve, &served, &key, 7, NULL, flight, old, look);
    return flight;
}

static struct flight *start(void) { return start_with(NULL, FILL_HAS_LOOKED); }

static void start_and_lease(void)
{
    start();
    await_asked(&loop, TAKE, 1);
    store_answers(TAKE, MISSING, NULL);
    assert_int_equal(loader.starts, 1);
}

/* All have been told, once, and the same. */
static void assert_told(enum status status, bool stored)
{
    for (int i = 0; i < 100 && !waiter[WAITERS - 1].calls; i++) uv_run(&loop, UV_RUN_NOWAIT);
    for (int i = 0; i < WAITERS; i++) {
        assert_int_equal(waiter[i].calls, 1);
        assert_int_equal(waiter[i].status, status);
        assert_int_equal(waiter[i].stored, stored);
    }
}

static void stop(void)
{
    fill_stop_all(&serve);
    assert_told(OVERLOADED, false);
    assert_false(waiter[0].doubtful);
}

static struct blob *sealed(const char *text, uint64_t life_ms)
{
    uint64_t now = clock_wall_ms();
    struct envelope e = {.kind = ENVELOPE_RECORD, .text = slice_of(text)};
    life_begin(&item, life_ms, now, 0, &e);
    return seal_make(&serve, &e, NULL, 0, &(struct seal_notes){.load_us = 0}, key.stored);
}

/* -- to the end -- */

static void loaded_and_stored(void **state)
{
    start_and_lease();
    loader_brings("{\"id\":\"a\"}");
    assert_int_equal(waiter[0].calls, 0);
    store_answers(FILL, OK, NULL);
    assert_told(OK, true);
    assert_string_equal(waiter[0].text, "{\"id\":\"a\"}");
    assert_false(waiter[0].doubtful);
    assert_non_null(told.stored);
}

static void in_this_process_without_a_lease(void **state)
{
    told.local = true;
    told.answer[PUT] = OK;
    start();
    assert_int_equal(loader.starts, 1);
    loader_brings("{}");
    assert_told(OK, true);
    assert_int_equal(told.asked[TAKE], 0);
}

static void missing_is_stored(void **state)
{
    start_and_lease();
    loader_ends(&(struct load_result){.status = MISSING, .expires_ms = LOAD_EXPIRES_UNSET});
    store_answers(FILL, OK, NULL);
    assert_told(MISSING, true);
}

static void a_failure_is_remembered(void **state)
{
    struct load_result failure = {.status = LOADER_ERROR, .log = SLICE("why")};
    struct problem why;
    struct backoff *backoff = flight_backoff(serve.flights);
    problem_set(&failure.problem, LOADER_ERROR, NULL, "the loader failed");
    start_and_lease();
    backoff_failed(backoff, key.stored, 0, clock_mono_us() / 1000, &failure.problem);
    loader_ends(&failure);
    assert_told(LOADER_ERROR, false);
    assert_int_equal(told.asked[FILL], 0);
    assert_int_equal(told.asked[DROP], 1); /* for whoever waits for the lease */
    assert_true(backoff_holds(backoff, key.stored, 0, clock_mono_us() / 1000, &why));
}

static void found_after_all(void **state)
{
    start();
    await_asked(&loop, TAKE, 1);
    store_answers(TAKE, OK, sealed("{\"v\":1}", 1000));
    assert_told(OK, true);
    assert_true(waiter[0].found);
    assert_true(waiter[0].doubtful); /* by now it may be another one */
    assert_string_equal(waiter[0].text, "{\"v\":1}");
    assert_int_equal(loader.starts, 0);
}

static void what_is_found_is_over(void **state)
{
    start();
    await_asked(&loop, TAKE, 1);
    store_answers(TAKE, OK, sealed("{\"v\":1}", 0));
    await_asked(&loop, TAKE, 2);
    store_answers(TAKE, MISSING, NULL);
    loader_brings("{}");
    store_answers(FILL, OK, NULL);
    assert_told(OK, true);
}

static void what_is_found_is_no_record(void **state)
{
    start();
    await_asked(&loop, TAKE, 1);
    store_answers(TAKE, OK, blob_copy(SLICE("no envelope")));
    await_asked(&loop, TAKE, 2);
    assert_string_equal(told.known, "no envelope");
    store_answers(TAKE, MISSING, NULL);
    loader_brings("{}");
    store_answers(FILL, OK, NULL);
    assert_told(OK, true);
}

static void it_looks_again_in_this_process(void **state)
{
    told.local = true;
    told.answer[GET] = OK;
    told.found = sealed("{\"v\":1}", 1000);
    start_with(NULL, FILL_LOOK_AGAIN);
    assert_told(OK, true);
    assert_false(waiter[0].doubtful); /* flights bar writes here */
    assert_int_equal(loader.starts, 0);
}

/* -- fences -- */

static void a_write_elsewhere_has_taken_the_lease(void **state)
{
    start_and_lease();
    loader_brings("{}");
    store_answers(FILL, PRECONDITION_FAILED, NULL);
    assert_told(OK, false);
    assert_true(waiter[0].doubtful);
}

static void a_write_here_bars_it(void **state)
{
    struct flight_write write;
    struct flight_waiter writer;
    start_and_lease();
    assert_true(flight_write_begin(serve.flights, key.stored, &write, &writer));
    flight_write_end(serve.flights, &write);
    loader_brings("{}");
    assert_told(OK, false);
    assert_true(waiter[0].doubtful); /* of writes elsewhere nothing is known */
    assert_int_equal(told.asked[FILL], 0);
}

static void what_is_not_kept_asks_of_writes_too(void **state)
{
    static const enum status answers[] = {OK, PRECONDITION_FAILED};
    for (int i = 0; i < 2; i++) {
        start();
        await_asked(&loop, TAKE, (unsigned)i + 1);
        store_answers(TAKE, MISSING, NULL);
        loader_ends(&(struct load_result){.status = OK, .text = SLICE("{}"), .expires_ms = 0});
        store_answers(DROP, answers[i], NULL);
        assert_told(OK, false);
        assert_int_equal(waiter[0].doubtful, answers[i] != OK);
        memset(waiter, 0, sizeof waiter);
    }
    assert_int_equal(told.asked[FILL], 0);
}

static void who_joins_while_it_stores_is_marked(void **state)
{
    struct waiter late = {.waiter.done = on_landed};
    struct flight *none;
    start_and_lease();
    loader_brings("{}");
    assert_int_equal(flight_join(serve.flights, key.stored, &late.waiter, &none), FLIGHT_WAIT);
    assert_true(late.waiter.at_the_end);
    assert_false(waiter[1].waiter.at_the_end);
    store_answers(FILL, OK, NULL);
    assert_told(OK, true);
    assert_int_equal(late.calls, 1);
}

static void without_a_store_nothing_is_stored(void **state)
{
    start();
    await_asked(&loop, TAKE, 1);
    store_answers(TAKE, STORE_UNAVAILABLE, NULL);
    loader_brings("{}");
    assert_told(OK, false);
    assert_int_equal(told.asked[FILL], 0);
}

/* -- stopped at each stage -- */

static void stopped_before_it_asks_for_its_lease(void **state)
{
    start();
    stop();
    assert_int_equal(told.asked[TAKE], 0);
}

static void stopped_while_it_asks_for_its_lease(void **state)
{
    start();
    await_asked(&loop, TAKE, 1);
    stop();
    assert_int_equal(told.cancelled, 1);
}

static void stopped_while_another_has_the_lease(void **state)
{
    start();
    await_asked(&loop, TAKE, 1);
    store_answers(TAKE, PRECONDITION_FAILED, NULL);
    stop();
    assert_int_equal(told.asked[DROP], 0);
}

static void stopped_while_it_loads(void **state)
{
    start_and_lease();
    stop();
    assert_int_equal(loader.cancelled, 1);
    assert_int_equal(told.asked[DROP], 1);
}

static void stopped_while_it_stores(void **state)
{
    start_and_lease();
    loader_brings("{}");
    stop();
    assert_int_equal(told.cancelled, 1);
}

static void stopped_while_it_gives_its_lease_back(void **state)
{
    start_and_lease();
    loader_ends(&(struct load_result){.status = OK, .text = SLICE("{}"), .expires_ms = 0});
    stop();
    assert_int_equal(told.cancelled, 1);
}

static void stopped_while_it_looks_or_stores_in_this_process(void **state)
{
    told.local = true;
    start_with(NULL, FILL_LOOK_AGAIN);
    stop();
    memset(waiter, 0, sizeof waiter);
    start();
    loader_brings("{}");
    assert_true(is_under_way(PUT));
    stop();
    assert_int_equal(told.cancelled, 2);
}

static void stopped_with_an_old_record_and_a_late_timer(void **state)
{
    struct blob *old = sealed("{}", 1000);
    item.options.soft_timeout_ms = 1;
    start_with(old, FILL_HAS_LOOKED);
    blob_unref(old);
    await_asked(&loop, TAKE, 1);
    stop();
}

static const struct flight_line_bounds one = {.at_once = 1, .burst = 64, .stands = 8, .standing = 3};

static void stopped_in_the_queue(void **state)
{
    struct flight_waiter other;
    struct slice name = item.name;
    item.options.max_loads = 1;
    assert_int_equal(flight_turn_take(serve.flights, name, &one, &other), TURN_NOW);
    start();
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(told.asked[TAKE], 0);
    stop();
    flight_turn_end(serve.flights, name);
}

/* Its turn has come, but the letter that says so has not been read. */
static void stopped_when_its_turn_comes(void **state)
{
    struct flight_waiter other;
    struct slice name = item.name;
    item.options.max_loads = 1;
    assert_int_equal(flight_turn_take(serve.flights, name, &one, &other), TURN_NOW);
    start();
    flight_turn_end(serve.flights, name);
    stop();
}

static void stopped_with_a_turn(void **state)
{
    item.options.max_loads = 1;
    start_and_lease();
    stop();
}

static void a_queue_has_an_end(void **state)
{
    struct flight_waiter busy[65];
    struct slice name = item.name;
    item.options.max_loads = 1;
    for (int i = 0; i < 65; i++)
        assert_int_equal(flight_turn_take(serve.flights, name, &one, &busy[i]), i ? TURN_LATER : TURN_NOW);
    start();
    assert_told(OVERLOADED, false);
    for (int i = 1; i < 65; i++) flight_turn_leave(serve.flights, name, &busy[i]);
    flight_turn_end(serve.flights, name);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(loaded_and_stored),
        TEST(in_this_process_without_a_lease),
        TEST(missing_is_stored),
        TEST(a_failure_is_remembered),
        TEST(found_after_all),
        TEST(what_is_found_is_over),
        TEST(what_is_found_is_no_record),
        TEST(it_looks_again_in_this_process),
        TEST(a_write_elsewhere_has_taken_the_lease),
        TEST(a_write_here_bars_it),
        TEST(what_is_not_kept_asks_of_writes_too),
        TEST(who_joins_while_it_stores_is_marked),
        TEST(without_a_store_nothing_is_stored),
        TEST(stopped_before_it_asks_for_its_lease),
        TEST(stopped_while_it_asks_for_its_lease),
        TEST(stopped_while_another_has_the_lease),
        TEST(stopped_while_it_loads),
        TEST(stopped_while_it_stores),
        TEST(stopped_while_it_gives_its_lease_back),
        TEST(stopped_while_it_looks_or_stores_in_this_process),
        TEST(stopped_with_an_old_record_and_a_late_timer),
        TEST(stopped_in_the_queue),
        TEST(stopped_when_its_turn_comes),
        TEST(stopped_with_a_turn),
        TEST(a_queue_has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
