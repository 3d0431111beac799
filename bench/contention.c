/* bench/contention.c -- what a read of the memory store or the near cache costs when two workers read at once: one look and one release, of one
 * record, of 16, and of 10,000, by one thread and by two. `make scale` runs it; alone: build/release/bench_contention.
 *
 *     CPU     of the reading thread, nanoseconds a read
 *     waits   how often a thread went to sleep over a lock, for a million reads: the lock is held for a look-up, and who
 *             finds it taken sleeps
 *
 * Two threads want two cores: where something else takes one of them, they take turns, and meet less. */
#include "base/clock.h"
#include "store/memory.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum { READS = 2000000, RECORDS = 10000, ROUNDS = 5 };

static struct memory *memory;
static unsigned spread; /* how many records are read */

struct reader {
    pthread_t thread;
    unsigned seed;
    double ns, waits;
};

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double sleeps(void)
{
    struct rusage u;
    getrusage(RUSAGE_THREAD, &u);
    return (double)u.ru_nvcsw;
}

static char keys[RECORDS][64];

static void *read_all(void *arg)
{
    struct reader *r = arg;
    double began = cpu_ns(), slept = sleeps();
    for (unsigned i = 0; i < READS; i++) {
        r->seed = r->seed * 1664525 + 1013904223;
        uint32_t mark;
        struct blob *b = memory_look(memory, slice_of(keys[(r->seed >> 8) % spread]), 1, &mark);
        if (!b) abort();
        blob_unref(b);
    }
    r->ns = (cpu_ns() - began) / READS;
    r->waits = (sleeps() - slept) / READS * 1e6;
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(void)
{
    memory = memory_new(256ull << 20);
    for (unsigned i = 0; i < RECORDS; i++) {
        unsigned char previous[8];
        snprintf(keys[i], sizeof keys[i], "perigee:Record:0123456789abcdef:username=u%u", i);
        struct blob *b = blob_new_with_room(260, memory_room(memory, slice_of(keys[i])));
        memset(b->p, 'x', b->n);
        memory_put(memory, slice_of(keys[i]), b, CLOCK_NEVER, 1, previous);
        blob_unref(b);
    }
    static const unsigned spreads[] = {1, 16, RECORDS};
    for (unsigned s = 0; s < 3; s++) {
        double ns[3][ROUNDS], waits[3][ROUNDS];
        spread = spreads[s];
        for (int round = 0; round < ROUNDS; round++) {
            for (int threads = 1; threads <= 2; threads++) {
                struct reader r[2] = {{.seed = 1}, {.seed = 2}};
                for (int i = 0; i < threads; i++) pthread_create(&r[i].thread, NULL, read_all, &r[i]);
                for (int i = 0; i < threads; i++) pthread_join(r[i].thread, NULL);
                ns[threads][round] = (r[0].ns + (threads == 2 ? r[1].ns : r[0].ns)) / 2;
                waits[threads][round] = (r[0].waits + (threads == 2 ? r[1].waits : r[0].waits)) / 2;
            }
        }
        for (int threads = 1; threads <= 2; threads++) {
            qsort(ns[threads], ROUNDS, sizeof(double), by_size);
            qsort(waits[threads], ROUNDS, sizeof(double), by_size);
            printf("contention %5u records, %d thread%s %8.0f ns  %8.0f waits in a million\n", spread, threads,
                   threads == 1 ? ", " : "s,", ns[threads][ROUNDS / 2], waits[threads][ROUNDS / 2]);
        }
    }
    memory_free(memory);
    return 0;
}
