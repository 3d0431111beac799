/* tests/unit/store/test_eviction.c -- is what the memory store throws out what is wanted least? Traces run through the real one and through
 * an exact LRU beside it, which has the same bytes and pays the same for a record. What is missed is put in, as a loader would. It prints
 * the table that stands in docs/performance.md; the traces are the same in every run. */
#include "store/memory.h"

#include "base/clock.h"
#include "sanitized.h"

#include <malloc.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define BOUND    (4ull << 20)
#define RECORDS  50000 /* that are asked for by chance; behind them those of scans */
#define IDS      1000000
#define REQUESTS 300000
#define WARM     100000 /* not counted: at first all miss */

/* -- an exact LRU -- */

struct lru {
    unsigned *newer, *older; /* by id; 0 is the ring's anchor */
    bool *held;
    uint64_t bytes;
};

static struct lru lru_new(void)
{
    struct lru l = {.newer = calloc(IDS + 1, sizeof(unsigned)), .older = calloc(IDS + 1, sizeof(unsigned))};
    l.held = calloc(IDS + 1, sizeof *l.held);
    return l;
}

static void lru_free(struct lru *l)
{
    free(l->newer);
    free(l->older);
    free(l->held);
}

/* As test_memory.c has it: a blob of this many bytes. */
static unsigned size_of(unsigned id) { return 150 + id * 2654435761u % 500; }

/* What the memory store pays: the blob's block with the entry in it, and its part of the buckets. */
static uint64_t cost_of(unsigned id)
{
    static uint64_t room, of_buckets = 11;
    if (!room) {
        struct memory *m = memory_new(BOUND);
        room = memory_room(m, SLICE("p:M:000000"));
        memory_free(m);
    }
    return (8 + size_of(id) + 7 + room + 8 + 15) / 16 * 16 + of_buckets;
}

static void lru_unlink(struct lru *l, unsigned id)
{
    l->newer[l->older[id]] = l->newer[id];
    l->older[l->newer[id]] = l->older[id];
}

static void lru_link(struct lru *l, unsigned id)
{
    l->older[id] = l->older[0];
    l->newer[id] = 0;
    l->newer[l->older[0]] = id;
    l->older[0] = id;
}

static bool lru_ask(struct lru *l, unsigned id)
{
    bool hit = l->held[++id];
    if (hit) lru_unlink(l, id);
    else l->bytes += cost_of(id - 1);
    l->held[id] = true;
    lru_link(l, id);
    while (l->bytes > BOUND) {
        unsigned oldest = l->newer[0];
        lru_unlink(l, oldest);
        l->held[oldest] = false;
        l->bytes -= cost_of(oldest - 1);
    }
    return hit;
}

/* -- ours -- */

static bool memory_ask(struct memory *m, unsigned id)
{
    char text[16];
    unsigned char previous[8];
    struct slice key = slice_from(text, (size_t)snprintf(text, sizeof text, "p:M:%06u", id));
    struct blob *b = memory_get(m, key, 1);
    blob_unref(b);
    if (b) return true;
    b = blob_new_with_room(size_of(id), memory_room(m, key));
    memory_put(m, key, b, CLOCK_NEVER, 1, previous);
    blob_unref(b);
    return false;
}

/* -- traces -- */

struct trace {
    unsigned (*next)(struct trace *, unsigned i);
    double skew;   /* of Zipf */
    unsigned span; /* of a loop */
    uint64_t seed;
    unsigned scanned;
    double *sum; /* Zipf: up to each rank */
};

static uint64_t chance(struct trace *t) /* xorshift64* */
{
    t->seed ^= t->seed >> 12;
    t->seed ^= t->seed << 25;
    t->seed ^= t->seed >> 27;
    return t->seed * 2685821657736338717ull;
}

static double share(struct trace *t) { return (double)(chance(t) >> 11) / (double)(1ull << 53); }

static unsigned zipf(struct trace *t, unsigned i)
{
    if (!t->sum) {
        double sum = 0;
        t->sum = calloc(RECORDS, sizeof *t->sum);
        for (unsigned k = 0; k < RECORDS; k++) t->sum[k] = sum += pow(k + 1, -t->skew);
    }
    double at = share(t) * t->sum[RECORDS - 1];
    unsigned low = 0, high = RECORDS - 1;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (t->sum[middle] < at) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Of each 50,000 requests, 20,000 in a row go to records that nobody asks for again. */
static unsigned zipf_and_scans(struct trace *t, unsigned i)
{
    return i % 50000 < 20000 ? RECORDS + t->scanned++ : zipf(t, i);
}

/* The same, one by one: every other request. */
static unsigned zipf_and_once(struct trace *t, unsigned i) { return i % 2 ? RECORDS + t->scanned++ : zipf(t, i); }

static unsigned loop(struct trace *t, unsigned i) { return i % t->span; }

/* 9 of 10 go to 2,000 records, which are others after 50,000 requests. */
static unsigned shifting(struct trace *t, unsigned i)
{
    unsigned hot = i / 50000 * 2000;
    return share(t) < 0.9 ? hot + (unsigned)(share(t) * 2000) : (unsigned)(share(t) * RECORDS);
}

/* Zipf whose popular ones are others after 100,000 requests. */
static unsigned zipf_shifting(struct trace *t, unsigned i) { return (zipf(t, i) + i / 100000 * 7919) % RECORDS; }

struct rates {
    double ours, lru; /* hits, per cent */
};

static struct rates run(const char *name, struct trace t)
{
    struct memory *m = memory_new(BOUND);
    struct lru l = lru_new();
    unsigned hits = 0, lru_hits = 0;
    t.seed = 88172645463325252ull;
    for (unsigned i = 0; i < REQUESTS; i++) {
        unsigned id = t.next(&t, i);
        bool hit = memory_ask(m, id), lru_hit = lru_ask(&l, id);
        hits += i >= WARM && hit;
        lru_hits += i >= WARM && lru_hit;
    }
    struct rates r = {100.0 * hits / (REQUESTS - WARM), 100.0 * lru_hits / (REQUESTS - WARM)};
    printf("%-44s %5.1f %% %8.1f %%\n", name, r.ours, r.lru);
    free(t.sum);
    lru_free(&l);
    memory_free(m);
    return r;
}

static void test_what_is_popular_stays(void **state)
{
    if (SANITIZED) skip(); /* another allocator: other bytes */
    static const double skews[] = {0.6, 0.8, 1.0, 1.2};
    for (size_t i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "Zipf, exponent %.1f", skews[i]);
        struct rates r = run(name, (struct trace){.next = zipf, .skew = skews[i]});
        assert_true(r.ours >= r.lru - 1);
        if (skews[i] <= 1) assert_true(r.ours >= r.lru + 2);
    }
}

static void test_scans_and_loops_flush_nothing(void **state)
{
    if (SANITIZED) skip();
    struct rates r = run("Zipf 1.0, and scans", (struct trace){.next = zipf_and_scans, .skew = 1.0});
    assert_true(r.ours >= r.lru + 4);
    r = run("Zipf 0.8, and scans", (struct trace){.next = zipf_and_scans, .skew = 0.8});
    assert_true(r.ours >= r.lru + 4);
    r = run("Zipf 1.0, every other asked for once", (struct trace){.next = zipf_and_once, .skew = 1.0});
    assert_true(r.ours >= r.lru + 4);
    r = run("a loop over 1.2 times of what fits", (struct trace){.next = loop, .span = 10300});
    assert_true(r.ours >= 30);
}

static void test_what_becomes_popular_moves_in(void **state)
{
    if (SANITIZED) skip();
    struct rates r = run("a hot set that is another now and then", (struct trace){.next = shifting});
    assert_true(r.ours >= r.lru - 3);
    r = run("Zipf 0.8, others popular now and then", (struct trace){.next = zipf_shifting, .skew = 0.8});
    assert_true(r.ours >= r.lru - 2);
    r = run("Zipf 1.0, others popular now and then", (struct trace){.next = zipf_shifting, .skew = 1.0});
    assert_true(r.ours >= r.lru - 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_popular_stays),
        cmocka_unit_test(test_scans_and_loops_flush_nothing),
        cmocka_unit_test(test_what_becomes_popular_moves_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
