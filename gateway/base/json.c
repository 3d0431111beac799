/* base/json.c -- strings and numbers as JSON has them. */
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Bytes at the start that stand in a JSON string as they are, one by one. */
static size_t plain_bytes(struct slice s)
{
    size_t n = 0;
    while (n < s.n && s.p[n] >= 0x20 && s.p[n] < 0x7f && s.p[n] != '"' && s.p[n] != '\\') n++;
    return n;
}

static void put_escape(struct buffer *b, unsigned code)
{
    switch (code) {
    case '"': buffer_slice(b, SLICE("\\\"")); return;
    case '\\': buffer_slice(b, SLICE("\\\\")); return;
    case '\b': buffer_slice(b, SLICE("\\b")); return;
    case '\f': buffer_slice(b, SLICE("\\f")); return;
    case '\n': buffer_slice(b, SLICE("\\n")); return;
    case '\r': buffer_slice(b, SLICE("\\r")); return;
    case '\t': buffer_slice(b, SLICE("\\t")); return;
    default: buffer_printf(b, "\\u%04x", code);
    }
}

/* Writes what plain_bytes stopped at; returns its bytes. */
static size_t put_special(struct buffer *b, struct slice s)
{
    size_t length = slice_utf8_first(s);
    if (length == 0) {
        buffer_slice(b, SLICE("\xEF\xBF\xBD"));
        return 1;
    }
    if (length > 1 && !slice_control_first(s)) buffer_put(b, s.p, length);
    else put_escape(b, (unsigned char)s.p[length - 1]); /* C2 80..9F are U+0080..U+009F: the second byte is the code */
    return length;
}

bool json_put_string(struct buffer *b, struct slice s)
{
    size_t before = b->n;
    buffer_char(b, '"');
    while (s.n && !b->overflow) {
        size_t plain = plain_bytes(s);
        buffer_put(b, s.p, plain);
        s = slice_skip(s, plain);
        if (s.n) s = slice_skip(s, put_special(b, s));
    }
    buffer_char(b, '"');
    if (b->overflow) b->n = before; /* all or nothing */
    return !b->overflow;
}

/* The program never leaves the C locale, so that the point is a point. */
bool json_put_double(struct buffer *b, double v)
{
    if (!isfinite(v)) return false;
    if (v == 0 && signbit(v)) return buffer_slice(b, SLICE("-0"));
    if (fabs(v) < 0x1p53 && v == trunc(v)) return buffer_printf(b, "%lld", (long long)v);
    char text[32];
    for (int digits = 15; digits <= 17; digits++) { /* 15 always survive a double, 17 always tell it apart */
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    return buffer_slice(b, slice_of(text));
}
