/* tests/unit/store/test_redis_ring.c -- places in order, round and round, and what is held in them. */
#include "store/redis_ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

enum { SIZE = 5 };

static void append(struct redis_ring *ring, struct redis_command *c, uint64_t started_us)
{
    redis_ring_append(ring, &(struct redis_slot){.command = c, .started_us = started_us});
}

/* A ring of odd size that has been full and empty many times: first come, first gone, and each command knows its place. */
static void test_order_is_kept_all_the_way_round(void **state)
{
    struct redis_ring ring;
    struct redis_command c[SIZE] = {{0}};
    uint64_t came = 0, gone = 0;
    redis_ring_init(&ring, SIZE);
    for (int round = 0; round < 100; round++) {
        unsigned n = (unsigned)round % SIZE + 1;
        while (ring.n < n) append(&ring, &c[came % SIZE], came), came++;
        for (unsigned i = 0; i < n; i++) {
            assert_int_equal(redis_ring_at(&ring, i)->started_us, gone + i);
            assert_ptr_equal(c[(gone + i) % SIZE].slot, redis_ring_at(&ring, i));
        }
        for (unsigned keep = n / 2; ring.n > keep; gone++) assert_int_equal(redis_ring_shift(&ring).started_us, gone);
    }
    while (ring.n > 0) redis_ring_shift(&ring);
    redis_ring_deinit(&ring);
}

static void test_the_oldest_may_stand_anywhere(void **state)
{
    static const uint64_t started[SIZE] = {30, 10, 20, 10, 40};
    struct redis_ring ring;
    redis_ring_init(&ring, SIZE);
    for (int i = 0; i < 3; i++) append(&ring, NULL, 0);
    for (int i = 0; i < 3; i++) redis_ring_shift(&ring); /* so that it goes over the end */
    for (int i = 0; i < SIZE; i++) append(&ring, NULL, started[i]);
    assert_ptr_equal(redis_ring_oldest(&ring), redis_ring_at(&ring, 1));
    while (ring.n > 0) redis_ring_shift(&ring);
    redis_ring_deinit(&ring);
}

static enum status told;

static void on_done(struct redis_command *c, enum status status, struct blob *value) { told = status; }

/* Bytes are counted while they are in the ring, wherever they go from there. */
static void test_what_is_held_is_counted(void **state)
{
    struct redis_ring ring;
    struct redis_command c = {.done = on_done};
    redis_ring_init(&ring, SIZE);
    append(&ring, &c, 0);
    redis_ring_hold(&ring, redis_ring_front(&ring), 0, sdsnew("GET a"));
    redis_ring_hold(&ring, redis_ring_front(&ring), 1, sdsnew("SET a b"));
    assert_int_equal(ring.held_bytes, 12);
    sds out = redis_ring_let_out(&ring, redis_ring_front(&ring), 0);
    assert_string_equal(out, "GET a");
    assert_int_equal(ring.held_bytes, 7);
    sdsfree(out);
    struct redis_slot left = redis_ring_shift(&ring);
    assert_int_equal(ring.held_bytes, 0);
    assert_null(redis_ring_append(&ring, &left)->held[1]); /* it is the caller's */
    redis_ring_shift(&ring);
    redis_slot_end(&left, OVERLOADED, NULL);
    assert_int_equal(told, OVERLOADED);
    assert_null(c.slot);
    redis_slot_end(&(struct redis_slot){.command = NULL}, OK, blob_copy(SLICE("nobody waits for it")));
    redis_ring_deinit(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_is_kept_all_the_way_round),
        cmocka_unit_test(test_the_oldest_may_stand_anywhere),
        cmocka_unit_test(test_what_is_held_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
