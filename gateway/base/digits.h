/* base/digits.h -- numbers as text, without printf, which would cost more than the rest of an answer's head. */
#ifndef PERIGEE_BASE_DIGITS_H
#define PERIGEE_BASE_DIGITS_H

#include "base/slice.h"

#include <stdint.h>

struct digits {
    char text[20]; /* as many as 64 bits have at most */
};

/* In decimal. The text lies in *room. */
static inline struct slice digits_of(uint64_t number, struct digits *room)
{
    char *end = room->text + sizeof room->text, *p = end;
    do *--p = (char)('0' + number % 10);
    while (number /= 10);
    return slice_from(p, (size_t)(end - p));
}

#endif
