/* base/clock.c -- the kernel's two clocks, and the one date format HTTP writes. */
#include "base/clock.h"

#include <string.h>
#include <time.h>

#define YEAR_9999_END_S UINT64_C(253402300799) /* the last second the format has room for */

uint64_t clock_wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t clock_mono_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
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
