/* store/lease_key.c -- `{RECORD}:lease`, or `RECORD:lease` where the record's key has a hash tag of its own. */
#include "store/lease_key.h"

#include <assert.h>

static const struct slice suffix = {":lease", 6};

struct slice lease_key_of(struct slice record, struct lease_key *to)
{
    bool tagged = memchr(record.p, '{', record.n) != NULL;
    assert(record.n <= RECORD_KEY_MAX);
    char *end = to->text;
    if (!tagged) *end++ = '{';
    end = mempcpy(end, record.p, record.n);
    if (!tagged) *end++ = '}';
    end = mempcpy(end, suffix.p, suffix.n);
    return slice_from(to->text, (size_t)(end - to->text));
}

struct slice lease_key_record(struct slice key)
{
    const struct slice none = {NULL, 0};
    if (key.n <= suffix.n || memcmp(key.p + key.n - suffix.n, suffix.p, suffix.n) != 0) return none;
    struct slice record = slice_from(key.p, key.n - suffix.n);
    bool wrapped = record.p[0] == '{' && record.p[record.n - 1] == '}' && !memchr(record.p + 1, '{', record.n - 1);
    if (!wrapped) return record;
    return record.n > 2 ? slice_from(record.p + 1, record.n - 2) : none;
}
