/* base/clock.c -- the kernel's clocks, and the one date format HTTP writes.
 *
 * The lives of records are told in milliseconds since 1970, because other gateways and later processes read them. But the system's clock may be
 * set at any time. So it is read once, and from then on time is that of the clock nobody can set plus an offset, which clock_follow
 * changes little by little. */
#include "base/clock.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define YEAR_9999_END_S UINT64_C(253402300799) /* the last second the format has room for */

#define NEARER_PART 10 /* of the time that passes: by so much clock_wall_ms may run faster or slower than it should */

static _Atomic int64_t offset_us; /* from the time since boot to that since 1970; 0: not known yet */
static uint64_t followed_us;      /* when clock_follow was last called, since boot */
static int64_t ahead_us;          /* of the system's clock, by clock_forward */

static uint64_t read_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t boot_us(void) { return read_us(CLOCK_BOOTTIME); } /* goes on while the machine sleeps */

uint64_t clock_date_ms(void) { return read_us(CLOCK_REALTIME) / 1000; }

uint64_t clock_mono_us(void) { return read_us(CLOCK_MONOTONIC); }

static int64_t offset_now(void) { return (int64_t)(read_us(CLOCK_REALTIME) - boot_us()); }

/* Threads that come here together agree on one. */
static int64_t offset_first(void)
{
    int64_t known = 0, offset = offset_now();
    return atomic_compare_exchange_strong(&offset_us, &known, offset) ? offset : known;
}

uint64_t clock_wall_ms(void)
{
    int64_t offset = atomic_load_explicit(&offset_us, memory_order_relaxed);
    if (!offset) offset = offset_first();
    return (boot_us() + (uint64_t)offset) / 1000;
}

int64_t clock_approach(int64_t offset, int64_t target, uint64_t elapsed)
{
    int64_t most = (int64_t)(elapsed / NEARER_PART);
    if (target > offset) return target - offset > most ? offset + most : target;
    return offset - target > most ? offset - most : target;
}

int64_t clock_follow(void)
{
    uint64_t now = boot_us(), elapsed = followed_us ? now - followed_us : 0;
    int64_t offset = atomic_load_explicit(&offset_us, memory_order_relaxed), target = offset_now() + ahead_us;
    followed_us = now;
    if (!offset) offset = offset_first();
    offset = clock_approach(offset, target, elapsed);
    atomic_store_explicit(&offset_us, offset, memory_order_relaxed);
    return (target - offset) / 1000;
}

void clock_forward(uint64_t ms)
{
    clock_wall_ms(); /* so that the offset is known */
    ahead_us += (int64_t)ms * 1000;
    atomic_fetch_add(&offset_us, (int64_t)ms * 1000);
}

static void put_two(char *out, int v)
{
    out[0] = (char)('0' + v / 10);
    out[1] = (char)('0' + v % 10);
}

/* By hand and not by strftime: names must be English whatever the locale. */
void clock_http_date(uint64_t wall_ms, char out[30])
{
    uint64_t s = wall_ms / 1000;
    time_t seconds = (time_t)(s < YEAR_9999_END_S ? s : YEAR_9999_END_S);
    struct tm t;
    gmtime_r(&seconds, &t);
    memcpy(out, "Day, 00 Mon 0000 00:00:00 GMT", 30);
    memcpy(out, &"SunMonTueWedThuFriSat"[t.tm_wday * 3], 3);
    put_two(out + 5, t.tm_mday);
    memcpy(out + 8, &"JanFebMarAprMayJunJulAugSepOctNovDec"[t.tm_mon * 3], 3);
    put_two(out + 12, (t.tm_year + 1900) / 100);
    put_two(out + 14, (t.tm_year + 1900) % 100);
    put_two(out + 17, t.tm_hour);
    put_two(out + 20, t.tm_min);
    put_two(out + 23, t.tm_sec);
}
