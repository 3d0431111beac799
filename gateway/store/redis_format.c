/* store/redis_format.c -- words to bytes, in one pass over room that is made before. */
#include "store/redis_format.h"

#include "base/digits.h"

#include <assert.h>
#include <stdlib.h>

#define COUNT_MAX 23 /* bytes of a count: its kind, its digits, the line's end */

/* "*3\r\n" or "$5\r\n"; returns where it ends. */
static char *put_count(char *to, char kind, size_t n)
{
    struct digits room;
    struct slice digits = digits_of(n, &room);
    *to++ = kind;
    to = mempcpy(to, digits.p, digits.n);
    return mempcpy(to, "\r\n", 2);
}

sds redis_format_append(sds to, int argc, const struct slice *argv)
{
    assert(argc <= REDIS_ARGUMENTS);
    size_t room = COUNT_MAX;
    for (int i = 0; i < argc; i++) room += COUNT_MAX + argv[i].n + 2;
    to = sdsMakeRoomFor(to, room);
    if (!to) abort(); /* out of memory */
    char *start = to + sdslen(to), *end = put_count(start, '*', (size_t)argc);
    for (int i = 0; i < argc; i++) {
        end = put_count(end, '$', argv[i].n);
        if (argv[i].n) end = mempcpy(end, argv[i].p, argv[i].n);
        end = mempcpy(end, "\r\n", 2);
    }
    sdsIncrLen(to, (int)(end - start));
    return to;
}

sds redis_format(int argc, const struct slice *argv) { return redis_format_append(sdsempty(), argc, argv); }
