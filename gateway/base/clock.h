/* base/clock.h -- the times. Only the outermost layer reads clocks; all else takes time as an argument. */
#ifndef PERIGEE_BASE_CLOCK_H
#define PERIGEE_BASE_CLOCK_H

#include <stdint.h>

#define CLOCK_NEVER UINT64_MAX /* a moment that does not come */

uint64_t clock_wall_ms(void); /* milliseconds since 1970, for the lives of records: never jumps, never goes back */
uint64_t clock_date_ms(void); /* the same as the system has it now: for people */
uint64_t clock_mono_us(void); /* microseconds since some start: durations and deadlines */

/* To be called by one thread, several times a second: brings clock_wall_ms nearer to the system's clock, by a tenth of the time since the last
 * call at most, so that a clock that somebody sets neither ends all lives at once nor stops them. Returns the milliseconds that are left
 * (negative: the system's is behind). */
int64_t clock_follow(void);

/* From now on clock_wall_ms is later by so much, and clock_follow keeps it so. For the thread of clock_follow, and only in tests of models. */
void clock_forward(uint64_t ms);

/* How far an offset that is to become `target` may go in so much time; all in one unit. */
int64_t clock_approach(int64_t offset, int64_t target, uint64_t elapsed);

/* a + b, saturating at CLOCK_NEVER; CLOCK_NEVER + anything = CLOCK_NEVER. */
static inline uint64_t clock_add(uint64_t a, uint64_t b) { return a > CLOCK_NEVER - b ? CLOCK_NEVER : a + b; }

/* For a timer that is to fire at due_us of clock_mono_us, and not before: in how many milliseconds; 0: it is over. */
static inline uint64_t clock_ms_until(uint64_t due_us, uint64_t now_us)
{
    return due_us > now_us ? (due_us - now_us) / 1000 + 1 : 0;
}

/* IMF-fixdate (RFC 9110 5.6.7), 29 characters and a NUL: "Sun, 06 Nov 1994 08:49:37 GMT". */
void clock_http_date(uint64_t wall_ms, char out[30]);

#endif
