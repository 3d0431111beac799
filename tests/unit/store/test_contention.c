/* tests/unit/store/test_contention.c -- two workers at the same few keys of one memory store, as near copies and as records, at its bound, while a third
 * thread tells of changes: what is found is whole, belongs to its key, and is never older than what had been told before the look. For
 * ThreadSanitizer as well; what it costs is measured by bench/contention.c. */
#include "store/memory.h"

#include "base/clock.h"
#include "base/hash.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define BOUND (1ull << 20)
#define NOW   1000000
#define HOT   8
#define COLD  2000
#define TURNS 20000
#define BYTES 2000 /* so that not all cold ones fit */

/* What another store holds: a version for each hot key, which goes up; and up to which all have been told. */
static struct {
    struct memory *copies;
    _Atomic unsigned version[HOT], told[HOT];
    _Atomic bool done;
    _Atomic unsigned hits, old, wrong;
} shared;

struct value {
    unsigned key, version, again; /* and at the end the version once more */
};

static struct slice name_of(char out[32], unsigned key)
{
    return slice_from(out, (size_t)snprintf(out, 32, "p:M:0:id=%u", key));
}

static struct blob *made(struct slice name, unsigned key, unsigned version)
{
    struct value v = {key, version, version};
    struct blob *b = blob_new_with_room(BYTES, version % 2 ? memory_room(shared.copies, name) : 0);
    memset(b->p, 0, BYTES);
    memcpy(b->p, &v, sizeof v);
    memcpy(b->p + BYTES - sizeof version, &version, sizeof version);
    return b;
}

static void judge(struct blob *b, unsigned key, unsigned told)
{
    struct value v;
    unsigned end;
    memcpy(&v, b->p, sizeof v);
    memcpy(&end, b->p + BYTES - sizeof end, sizeof end);
    shared.hits++;
    shared.wrong += v.key != key || v.again != v.version || end != v.version;
    shared.old += v.version < told;
}

/* A read as with a near cache: look, else ask the other store and keep what it said, unless it was forgotten meanwhile. */
static void read_near(unsigned key)
{
    char text[32];
    struct slice name = name_of(text, key);
    unsigned told = key < HOT ? atomic_load(&shared.told[key]) : 0;
    uint32_t mark;
    struct blob *b = memory_look(shared.copies, name, NOW, &mark);
    if (b) {
        judge(b, key, told);
    } else {
        b = made(name, key, key < HOT ? atomic_load(&shared.version[key]) : 0);
        memory_keep(shared.copies, name, b, CLOCK_NEVER, NOW, mark);
    }
    blob_unref(b);
}

static void *reader(void *arg)
{
    uint32_t seed = (uint32_t)(uintptr_t)arg;
    for (unsigned i = 0; i < TURNS; i++) {
        seed = seed * 1664525 + 1013904223;
        read_near(seed >> 28 ? (seed >> 16) % HOT : HOT + (seed >> 8) % COLD);
    }
    return NULL;
}

static void *teller(void *arg)
{
    char text[32];
    for (unsigned i = 0; !atomic_load(&shared.done); i++) {
        unsigned key = i % HOT, version = atomic_fetch_add(&shared.version[key], 1) + 1;
        memory_forget(shared.copies, hash_seeded(name_of(text, key)));
        atomic_store(&shared.told[key], version);
        if (i % 500 == 0) memory_sweep(shared.copies, NOW, 100);
        if (i % 5000 == 0) memory_forget_all(shared.copies);
    }
    return NULL;
}

static void test_no_copy_is_old_or_torn(void **state)
{
    pthread_t two[2], third;
    shared.copies = memory_new(BOUND);
    pthread_create(&third, NULL, teller, NULL);
    for (uintptr_t i = 0; i < 2; i++) pthread_create(&two[i], NULL, reader, (void *)(i + 1));
    for (int i = 0; i < 2; i++) pthread_join(two[i], NULL);
    atomic_store(&shared.done, true);
    pthread_join(third, NULL);
    struct memory_stats s;
    memory_stats(shared.copies, &s);
    assert_int_equal(shared.wrong, 0);
    assert_int_equal(shared.old, 0);
    assert_true(shared.hits > 0);
    assert_true(s.bytes <= BOUND);
    memory_free(shared.copies);
}

/* Each adds one to a hot record by comparing and replacing, others are put and deleted beside it until some are evicted: no addition is lost, and
 * the hot one is not evicted. */
static void *adder(void *arg)
{
    static const struct slice hot = SLICE("p:M:0:id=hot");
    uint32_t seed = (uint32_t)(uintptr_t)arg;
    char text[32];
    unsigned char previous[8];
    for (unsigned i = 0; i < TURNS / 4; i++) {
        enum status st;
        do {
            struct blob *old = memory_get(shared.copies, hot, NOW);
            unsigned n;
            memcpy(&n, old->p, sizeof n);
            n++;
            struct blob *b = blob_new_with_room(sizeof n, memory_room(shared.copies, hot));
            memcpy(b->p, &n, sizeof n);
            st = memory_replace(shared.copies, hot, blob_slice(old), b, CLOCK_NEVER, NOW);
            blob_unref(old);
            blob_unref(b);
        } while (st == PRECONDITION_FAILED);
        assert_int_equal(st, OK);
        seed = seed * 1664525 + 1013904223;
        struct slice name = name_of(text, (seed >> 8) % COLD);
        struct blob *b = made(name, 0, i);
        if (seed >> 29) memory_put(shared.copies, name, b, CLOCK_NEVER, NOW, previous);
        else memory_delete(shared.copies, NULL, name, NOW);
        blob_unref(b);
    }
    return NULL;
}

static void test_no_addition_is_lost(void **state)
{
    pthread_t two[2];
    unsigned n = 0;
    unsigned char previous[8];
    shared.copies = memory_new(BOUND);
    struct blob *zero = blob_copy(slice_from(&n, sizeof n));
    memory_put(shared.copies, SLICE("p:M:0:id=hot"), zero, CLOCK_NEVER, NOW, previous);
    blob_unref(zero);
    for (uintptr_t i = 0; i < 2; i++) pthread_create(&two[i], NULL, adder, (void *)(i + 1));
    for (int i = 0; i < 2; i++) pthread_join(two[i], NULL);
    struct memory_stats s;
    memory_stats(shared.copies, &s);
    struct blob *b = memory_get(shared.copies, SLICE("p:M:0:id=hot"), NOW);
    memcpy(&n, b->p, sizeof n);
    assert_int_equal(n, 2 * (TURNS / 4));
    assert_true(s.evictions > 0);
    assert_true(s.bytes <= BOUND);
    blob_unref(b);
    memory_free(shared.copies);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_copy_is_old_or_torn),
        cmocka_unit_test(test_no_addition_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
