/* base/slice.c -- comparing, cutting and judging borrowed bytes. */
#include "base/slice.h"

#include <stdint.h>

static unsigned char lower(char c) { return c >= 'A' && c <= 'Z' ? c | 0x20 : c; }

bool slice_ieq(struct slice a, struct slice b)
{
    if (a.n != b.n) return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i])) return false;
    return true;
}

int slice_cmp(struct slice a, struct slice b)
{
    size_t common = a.n < b.n ? a.n : b.n;
    int order = common ? memcmp(a.p, b.p, common) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

struct slice slice_trim(struct slice s)
{
    while (s.n && is_blank(s.p[0])) s = slice_skip(s, 1);
    while (s.n && is_blank(s.p[s.n - 1])) s.n--;
    return s;
}

struct slice slice_next_element(struct slice list)
{
    while (list.n && (is_blank(list.p[0]) || list.p[0] == ',')) list = slice_skip(list, 1);
    return list;
}

struct slice slice_cut(struct slice *rest, char separator)
{
    struct slice all = *rest;
    const char *at = all.n ? memchr(all.p, separator, all.n) : NULL;
    if (!at) {
        *rest = (struct slice){NULL, 0};
        return all;
    }
    size_t before = (size_t)(at - all.p);
    *rest = slice_skip(all, before + 1);
    return (struct slice){all.p, before};
}

/* The second byte carries all of RFC 3629's special cases: overlong forms (E0, F0), surrogates (ED), the end
 * (F4). */
size_t slice_utf8_first(struct slice s)
{
    const unsigned char *u = (const unsigned char *)s.p;
    if (s.n == 0) return 0;
    if (u[0] < 0x80) return 1;
    size_t length = u[0] >= 0xC2 && u[0] <= 0xDF   ? 2
                    : u[0] >= 0xE0 && u[0] <= 0xEF ? 3
                    : u[0] >= 0xF0 && u[0] <= 0xF4 ? 4
                                                   : 0;
    if (length == 0 || s.n < length) return 0;
    unsigned char least = u[0] == 0xE0 ? 0xA0 : u[0] == 0xF0 ? 0x90 : 0x80;
    unsigned char most = u[0] == 0xED ? 0x9F : u[0] == 0xF4 ? 0x8F : 0xBF;
    if (u[1] < least || u[1] > most) return 0;
    for (size_t i = 2; i < length; i++)
        if ((u[i] & 0xC0) != 0x80) return 0;
    return length;
}

/* Eight bytes at once where all of them are ASCII. */
static struct slice skip_ascii(struct slice s)
{
    uint64_t eight;
    while (s.n >= sizeof eight) {
        memcpy(&eight, s.p, sizeof eight);
        if (eight & UINT64_C(0x8080808080808080)) break;
        s = slice_skip(s, sizeof eight);
    }
    return s;
}

bool slice_is_utf8(struct slice s)
{
    for (s = skip_ascii(s); s.n; s = skip_ascii(s)) {
        size_t length = slice_utf8_first(s);
        if (length == 0) return false;
        s = slice_skip(s, length);
    }
    return true;
}

size_t slice_percent_decode(struct slice s, bool plus_is_space, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '+' && plus_is_space) c = ' ';
        if (c == '%') {
            if (s.n - i < 3) return SIZE_MAX;
            int high = hex_digit(s.p[i + 1]), low = hex_digit(s.p[i + 2]);
            if (high < 0 || low < 0) return SIZE_MAX;
            c = (char)(high << 4 | low);
            i += 2;
        }
        out[n++] = c;
    }
    return n;
}

#define DISTANCE_MAX 64

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* Optimal string alignment: the Levenshtein table, three rows of it at a time, with the swap looking two rows
 * back. */
size_t slice_distance(struct slice a, struct slice b)
{
    if (a.n > DISTANCE_MAX || b.n > DISTANCE_MAX) return SIZE_MAX;
    size_t rows[3][DISTANCE_MAX + 1];
    size_t *older = rows[0], *old = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b.n; j++) row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t *recycled = older;
        older = old;
        old = row;
        row = recycled;
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            row[j] = smaller(smaller(old[j], row[j - 1]) + 1, old[j - 1] + (a.p[i - 1] != b.p[j - 1]));
            bool swapped = i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1];
            if (swapped) row[j] = smaller(row[j], older[j - 2] + 1);
        }
    }
    return row[b.n];
}
