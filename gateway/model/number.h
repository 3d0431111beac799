/* model/number.h -- numbers as text: JSON's grammar, and one spelling for all spellings of a value. Exact: nothing is rounded, so
 * numbers that differ stay different however many digits they have. */
#ifndef PERIGEE_MODEL_NUMBER_H
#define PERIGEE_MODEL_NUMBER_H

#include "base/arena.h"

/* Is the text one number by RFC 8259 6? */
bool number_valid(struct slice text);

/* A valid number as ECMAScript's Number::toString lays it out, with all its digits: 1.0, 1e0 and 10e-1 are "1"; -0 is "0";
 * 1e21 is "1e+21". In the arena. Absent when a double cannot hold its magnitude: it would be infinite, or 0 without being 0. */
struct slice number_canonical(struct slice valid, struct arena *arena);

/* A valid number without fraction and exponent: is it within 64 bits signed? */
bool number_fits_int64(struct slice integer);

#endif
