/* base/slice.h -- a borrowed run of bytes: pointer and length, never NUL-terminated, never owned.
 * {NULL, 0} means "absent"; an empty but present slice has a non-NULL pointer. */
#ifndef PERIGEE_BASE_SLICE_H
#define PERIGEE_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *p;
    size_t n;
};

/* A slice over a string literal, usable in static initialisers. */
#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})

/* printf arguments for "%.*s". */
#define SLICE_ARG(s) (int)(s).n, (s).p

static inline struct slice slice_of(const char *cstr) { return (struct slice){cstr, cstr ? strlen(cstr) : 0}; }

static inline struct slice slice_from(const void *p, size_t n) { return (struct slice){p, n}; }

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII case-insensitive equality (HTTP tokens). */
bool slice_ieq(struct slice a, struct slice b);

/* Orders by bytes, then by length: <0, 0, >0. */
int slice_cmp(struct slice a, struct slice b);

static inline bool slice_starts(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

/* s without its first n bytes, n <= s.n. Skipping nothing of an absent slice leaves it absent. */
static inline struct slice slice_skip(struct slice s, size_t n) { return (struct slice){n ? s.p + n : s.p, s.n - n}; }

/* Removes spaces and tabs at both ends (HTTP optional white space). */
struct slice slice_trim(struct slice s);

/* The rest of a header's list from its next element on: white space and commas go, since empty elements do not count (RFC 9110 5.6.1.2). */
struct slice slice_next_element(struct slice list);

/* Cuts at the first `separator`: returns what stands before it and moves *rest behind it.
 * Without a separator returns all and makes *rest absent ({NULL,0}). Loop while rest->p. */
struct slice slice_cut(struct slice *rest, char separator);

/* What a hexadecimal digit stands for, of either case; -1: it is none. */
static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Percent-decodes: writes at most s.n bytes to `out`, which may be s.p, and returns how many; SIZE_MAX for a '%' that two hexadecimal
 * digits do not follow. With `plus_is_space` as HTML forms encode. */
size_t slice_percent_decode(struct slice s, bool plus_is_space, char *out);

/* True when the bytes are valid UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). */
bool slice_is_utf8(struct slice s);

/* Bytes of the UTF-8 character at the start of s (1 to 4); 0 when none stands there or s is empty. */
size_t slice_utf8_first(struct slice s);

/* True when s, not empty, starts with a control character: U+0000..U+001F, U+007F..U+009F. */
static inline bool slice_control_first(struct slice s)
{
    unsigned char c = (unsigned char)s.p[0], next = s.n > 1 ? (unsigned char)s.p[1] : 0;
    return c < 0x20 || c == 0x7f || (c == 0xC2 && next >= 0x80 && next <= 0x9F);
}

/* Edit distance (Levenshtein, insertions, deletions, substitutions and swaps of neighbours count 1) for
 * "did you mean"; strings over 64 bytes are taken as infinitely far (SIZE_MAX). */
size_t slice_distance(struct slice a, struct slice b);

#endif
