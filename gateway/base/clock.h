/* base/clock.h -- the two times. Only the outermost layer reads clocks; all else takes time as an argument. */
#ifndef PERIGEE_BASE_CLOCK_H
#define PERIGEE_BASE_CLOCK_H

#include <stdint.h>

#define CLOCK_NEVER UINT64_MAX /* a moment that does not come */

uint64_t clock_wall_ms(void); /* milliseconds since 1970: what is stored and sent */
uint64_t clock_mono_us(void); /* microseconds since some start: durations and deadlines */

/* a + b, saturating at CLOCK_NEVER; CLOCK_NEVER + anything = CLOCK_NEVER. */
static inline uint64_t clock_add(uint64_t a, uint64_t b) { return a > CLOCK_NEVER - b ? CLOCK_NEVER : a + b; }

/* IMF-fixdate (RFC 9110 5.6.7), 29 characters and a NUL: "Sun, 06 Nov 1994 08:49:37 GMT". */
void clock_http_date(uint64_t wall_ms, char out[30]);

#endif
