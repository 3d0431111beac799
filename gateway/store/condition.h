/* store/condition.h -- what must stand under a key for a write to be done, decided in the same step as the write: under memory's lock, in
 * Redis' script. It is told by the head of the value, the one thing that the store knows of what it keeps:
 *
 *      0  4  "PGE" and the format, 1         16  8  fresh until, ms since 1970, little-endian
 *      4  1  1: known to be missing          32  8  tag
 *
 * A value that begins so, is not known to be missing and still fresh is a record. Whatever else stands there counts as none. */
#ifndef PERIGEE_STORE_CONDITION_H
#define PERIGEE_STORE_CONDITION_H

#include "base/slice.h"

#include <stdint.h>

#define CONDITION_TAG 8 /* bytes of a tag */
#define CONDITION_ANY SLICE("*")

/* Each: absent: nothing is asked; CONDITION_ANY: any record; or tags, one behind the other as they are stored, of which it has one. */
struct store_condition {
    struct slice is;     /* such a record must be there */
    struct slice is_not; /* ... must not */
};

/* May the write be done where this value stands (absent: none does)? */
bool condition_holds(const struct store_condition *c, struct slice value, uint64_t now_ms);

#endif
