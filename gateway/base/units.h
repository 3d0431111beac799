/* base/units.h -- durations and sizes as people write them. */
#ifndef PERIGEE_BASE_UNITS_H
#define PERIGEE_BASE_UNITS_H

#include "base/slice.h"

#include <stdint.h>

/* "250ms" "90s" "15m" "2h" "1d" "1.5h", or bare seconds ("60", "0.1") -> milliseconds. False for anything else,
 * negative values, and more than 100 years. Parts of a millisecond round up: what is not zero stays so. */
bool units_duration(struct slice text, uint64_t *ms);

/* "64MiB" "1 GiB" "512KiB" "1048576" "10MB" (MB = 10^6, MiB = 2^20; K/M/G alone are binary; case does not matter)
 * -> bytes. False for anything else and above 2^53. */
bool units_size(struct slice text, uint64_t *bytes);

/* Decimal digits only, no sign, at most `max`. */
bool units_uint(struct slice text, uint64_t max, uint64_t *v);

#endif
