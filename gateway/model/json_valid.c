/* model/json_valid.c -- from the front to the end, without recursion: a container that is open is one bit, which says whether it is an
 * object. Each function takes where to begin, and returns what is behind the thing it is named after; NULL: it does not stand there. */
#include "model/json_valid.h"

#include "model/json.h"

#include <endian.h>
#include <stdint.h>

_Static_assert(JSON_DEPTH_MAX <= 64, "a bit for each container that is open");

struct nesting {
    uint64_t objects; /* a bit for each open container, the innermost lowest */
    unsigned depth;
    bool opened; /* the innermost has nothing in it yet */
    size_t blanks;
};

/* -- single bytes -- */

static bool is_digit(char c) { return (unsigned char)(c - '0') < 10; }

static bool is_blank(char c) { return c <= ' ' && (c == ' ' || c == '\n' || c == '\t' || c == '\r'); }

static bool stands(const char *p, const char *end, char c) { return p < end && *p == c; }

static inline const char *behind_blanks(const char *p, const char *end, size_t *blanks)
{
    const char *first = p;
    if (p < end && !is_blank(*p)) return p; /* the most of the time */
    while (p < end && is_blank(*p)) p++;
    *blanks += (size_t)(p - first);
    return p;
}

/* -- strings -- */

typedef signed char sixteen __attribute__((vector_size(16)));

/* As bytes are signed, those beyond ASCII are below 0, and so below the space, as control characters are. */
static bool is_plain(char c) { return (signed char)c >= ' ' && c != '"' && c != '\\'; }

/* All ones for each of the sixteen at p that is not plain. */
static inline sixteen special_of(const char *p)
{
    sixteen bytes;
    memcpy(&bytes, p, sizeof bytes);
    return (bytes < ' ') | (bytes == '"') | (bytes == '\\');
}

/* The first byte that is all ones; 16: none. */
static inline size_t first_of(sixteen special)
{
    uint64_t half[2];
    memcpy(half, &special, sizeof half);
    if (half[0]) return (size_t)__builtin_ctzll(le64toh(half[0])) / 8;
    return half[1] ? 8 + (size_t)__builtin_ctzll(le64toh(half[1])) / 8 : 16;
}

/* By sixteen, and by 64 where they go on for long. */
static inline const char *behind_plain(const char *p, const char *end)
{
    while (end - p >= 16) {
        size_t plain = first_of(special_of(p));
        p += plain;
        if (plain < 16) return p;
        while (end - p >= 64 &&
               first_of(special_of(p) | special_of(p + 16) | special_of(p + 32) | special_of(p + 48)) == 16)
            p += 64;
    }
    while (p < end && is_plain(*p)) p++;
    return p;
}

/* The four digits of \uXXXX. */
static const char *behind_unit(const char *p, const char *end, unsigned *unit)
{
    *unit = 0;
    if (end - p < 4) return NULL;
    for (int i = 0; i < 4; i++) {
        int value = hex_digit(*p++);
        if (value < 0) return NULL;
        *unit = *unit << 4 | (unsigned)value;
    }
    return p;
}

/* What stands behind "\u". Surrogates come as a high one and then a low one. */
static const char *behind_code(const char *p, const char *end)
{
    unsigned unit;
    p = behind_unit(p, end, &unit);
    if (!p || unit < 0xD800 || unit > 0xDFFF) return p;
    if (unit > 0xDBFF || end - p < 2 || p[0] != '\\' || p[1] != 'u') return NULL;
    p = behind_unit(p + 2, end, &unit);
    return p && unit >= 0xDC00 && unit <= 0xDFFF ? p : NULL;
}

static const char *behind_escape(const char *p, const char *end)
{
    if (end - p < 2) return NULL;
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't': return p + 2;
    case 'u': return behind_code(p + 2, end);
    default: return NULL;
    }
}

/* Characters beyond ASCII, as many as stand here; most are of two bytes. A control character is none. */
static const char *behind_wide(const char *p, const char *end)
{
    if ((signed char)*p >= 0) return NULL;
    do {
        bool of_two = (unsigned char)*p >= 0xC2 && (unsigned char)*p <= 0xDF && end - p > 1 && (p[1] & 0xC0) == 0x80;
        size_t length = of_two ? 2 : slice_utf8_first(slice_from(p, (size_t)(end - p)));
        if (length == 0) return NULL;
        p += length;
    } while (p < end && (signed char)*p < 0);
    return p;
}

static const char *behind_string(const char *p, const char *end)
{
    if (!stands(p, end, '"')) return NULL;
    p = behind_plain(p + 1, end);
    while (p < end && *p != '"') {
        p = *p == '\\' ? behind_escape(p, end) : behind_wide(p, end);
        if (!p) return NULL;
        p = behind_plain(p, end);
    }
    return p < end ? p + 1 : NULL;
}

/* -- other values -- */

static const char *behind_digits(const char *p, const char *end)
{
    const char *first = p;
    while (p < end && is_digit(*p)) p++;
    return p > first ? p : NULL;
}

static const char *behind_exponent(const char *p, const char *end)
{
    p++;
    if (stands(p, end, '+') || stands(p, end, '-')) p++;
    return behind_digits(p, end);
}

static const char *behind_number(const char *p, const char *end)
{
    if (*p == '-') p++;
    p = stands(p, end, '0') ? p + 1 : behind_digits(p, end);
    if (p && stands(p, end, '.')) p = behind_digits(p + 1, end);
    return p && (stands(p, end, 'e') || stands(p, end, 'E')) ? behind_exponent(p, end) : p;
}

static const char *behind_word(const char *p, const char *end, struct slice word)
{
    return slice_starts(slice_from(p, (size_t)(end - p)), word) ? p + word.n : NULL;
}

static const char *behind_opening(const char *p, struct nesting *n, bool is_object)
{
    if (n->depth == JSON_DEPTH_MAX) return NULL;
    n->depth++;
    n->objects = n->objects << 1 | is_object;
    n->opened = true;
    return p + 1;
}

/* A value; of a container only its first byte. */
static inline const char *behind_value(const char *p, const char *end, struct nesting *n)
{
    p = behind_blanks(p, end, &n->blanks);
    if (p == end) return NULL;
    switch (*p) {
    case '"': return behind_string(p, end);
    case '{': return behind_opening(p, n, true);
    case '[': return behind_opening(p, n, false);
    case 't': return behind_word(p, end, SLICE("true"));
    case 'f': return behind_word(p, end, SLICE("false"));
    case 'n': return behind_word(p, end, SLICE("null"));
    default: return behind_number(p, end);
    }
}

/* -- containers -- */

static inline const char *behind_name(const char *p, const char *end, struct nesting *n)
{
    p = behind_string(behind_blanks(p, end, &n->blanks), end);
    if (!p) return NULL;
    p = behind_blanks(p, end, &n->blanks);
    return stands(p, end, ':') ? p + 1 : NULL;
}

/* The end of the innermost container, or what it has next. */
static inline const char *behind_next(const char *p, const char *end, struct nesting *n)
{
    bool in_object = n->objects & 1, first = n->opened;
    p = behind_blanks(p, end, &n->blanks);
    n->opened = false;
    if (stands(p, end, in_object ? '}' : ']')) {
        n->depth--;
        n->objects >>= 1;
        return p + 1;
    }
    if (!first && !stands(p, end, ',')) return NULL;
    if (!first) p++;
    if (in_object) p = behind_name(p, end, n);
    return p ? behind_value(p, end, n) : NULL;
}

bool json_valid(struct slice text, size_t *blanks)
{
    struct nesting n = {.depth = 0};
    const char *end = text.p + text.n, *p = behind_value(text.p, end, &n);
    while (p && n.depth > 0) p = behind_next(p, end, &n);
    if (p) p = behind_blanks(p, end, &n.blanks);
    *blanks = n.blanks;
    return p == end;
}
