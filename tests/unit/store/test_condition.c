/* tests/unit/store/test_condition.c -- conditions on what stands in memory; and that of many threads one has it. */
#include "conditions.h"

#include "base/log.h"

#include <pthread.h>

static void memory_keeps_conditions(void **state)
{
    struct metrics *metrics = metrics_new();
    struct memory *memory = memory_new(1 << 20);
    struct store *s = store_new(memory, NULL, metrics);
    walk_conditions(s, NULL);
    store_free(s);
    memory_free(memory);
    metrics_free(metrics);
}

/* A record's tag is a number here; each thread raises it as often as it must, and none of the steps is lost. */
#define THREADS 4
#define STEPS   5000

static struct memory *shared;

static struct blob *numbered_value(uint64_t number)
{
    char tag[8];
    memcpy(tag, &number, sizeof tag);
    return value_of(0, -1, tag);
}

static void *step(void *arg)
{
    unsigned char previous[8];
    uint8_t n;
    for (unsigned i = 0; i < STEPS;) {
        struct blob *seen = memory_get(shared, SLICE("k"), TIME);
        uint64_t number;
        memcpy(&number, seen->p + 32, sizeof number);
        struct store_condition when = {.is = slice_from(seen->p + 32, CONDITION_TAG)};
        struct blob *next = numbered_value(number + 1);
        if (memory_put_when(shared, &when, SLICE("k"), next, CLOCK_NEVER, TIME, previous, &n) == OK) i++;
        blob_unref(next);
        blob_unref(seen);
    }
    return NULL;
}

static void of_many_threads_none_loses_a_step(void **state)
{
    pthread_t thread[THREADS];
    unsigned char previous[8];
    struct blob *first = numbered_value(0), *last = numbered_value((uint64_t)THREADS * STEPS);
    shared = memory_new(1 << 20);
    memory_put(shared, SLICE("k"), first, CLOCK_NEVER, TIME, previous);
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&thread[i], NULL, step, NULL), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    struct blob *seen = memory_get(shared, SLICE("k"), TIME);
    assert_true(slice_eq(blob_slice(seen), blob_slice(last)));
    blob_unref(seen);
    blob_unref(first);
    blob_unref(last);
    memory_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_keeps_conditions),
        cmocka_unit_test(of_many_threads_none_loses_a_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
