/* store/lease_key.h -- the key of a record's lease. It is of the same slot, since all of the record's key is its hash tag, or has one. Pure. */
#ifndef PERIGEE_STORE_LEASE_KEY_H
#define PERIGEE_STORE_LEASE_KEY_H

#include "base/slice.h"

#define RECORD_KEY_MAX 640 /* prefix, names, fingerprint and pairs have bounds of their own */

struct lease_key {
    char text[RECORD_KEY_MAX + 16];
};

/* A view into *to. */
struct slice lease_key_of(struct slice record, struct lease_key *to);

/* Whose lease has this key: a view into it. Absent: it is the key of no lease. */
struct slice lease_key_record(struct slice key);

#endif
