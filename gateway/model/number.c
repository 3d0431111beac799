/* model/number.c -- a number is taken apart into a sign, digits without zeros at the ends, and the place of the point, and laid
 * out again: value = 0.DIGITS * 10^point. */
#include "model/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static size_t count_digits(struct slice s)
{
    size_t n = 0;
    while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9') n++;
    return n;
}

/* Moves *s behind its first byte when that is one of `set`. */
static bool take_one(struct slice *s, const char *set)
{
    if (s->n == 0 || s->p[0] == '\0' || !strchr(set, s->p[0])) return false;
    *s = slice_skip(*s, 1);
    return true;
}

static struct slice take_digits(struct slice *s)
{
    struct slice digits = {s->p, count_digits(*s)};
    *s = slice_skip(*s, digits.n);
    return digits;
}

bool number_valid(struct slice s)
{
    take_one(&s, "-");
    struct slice whole = take_digits(&s);
    if (whole.n == 0 || (whole.n > 1 && whole.p[0] == '0')) return false;
    if (take_one(&s, ".") && take_digits(&s).n == 0) return false;
    if (take_one(&s, "eE")) {
        take_one(&s, "+-");
        if (take_digits(&s).n == 0) return false;
    }
    return s.n == 0;
}

/* -- one spelling -- */

#define EXPONENT_MOST    1000000000000 /* beyond this only the sign matters; no text is long enough to make up for it */
#define POINT_MOST       310           /* doubles end between 10^308 and 10^309 */
#define POINT_LEAST      (-330)        /* and begin above 10^-324 */
#define POSITIONAL_MOST  21            /* as ECMAScript: longer whole numbers get an exponent */
#define POSITIONAL_LEAST (-6)

struct decimal {
    bool negative;
    struct slice digits; /* none: zero */
    int64_t point;
};

static int64_t read_exponent(struct slice s)
{
    int64_t e = 0;
    bool negative = s.n && s.p[0] == '-';
    take_one(&s, "+-");
    for (size_t i = 0; i < s.n && e < EXPONENT_MOST; i++) e = e * 10 + (s.p[i] - '0');
    return negative ? -e : e;
}

static struct decimal take_apart(struct slice s, struct arena *arena)
{
    struct decimal d = {.negative = take_one(&s, "-")};
    struct slice whole = take_digits(&s), fraction = {"", 0};
    if (take_one(&s, ".")) fraction = take_digits(&s);
    if (take_one(&s, "eE")) d.point = read_exponent(s);
    d.point += (int64_t)whole.n;

    char *digits = arena_bytes(arena, whole.n + fraction.n);
    memcpy(digits, whole.p, whole.n);
    memcpy(digits + whole.n, fraction.p, fraction.n);
    d.digits = slice_from(digits, whole.n + fraction.n);
    while (d.digits.n && d.digits.p[0] == '0') {
        d.digits = slice_skip(d.digits, 1);
        d.point--;
    }
    while (d.digits.n && d.digits.p[d.digits.n - 1] == '0') d.digits.n--;
    return d;
}

static char *put_zeros(char *out, int64_t n) { return (char *)memset(out, '0', (size_t)n) + n; }

static char *put_digits(char *out, struct slice digits) { return mempcpy(out, digits.p, digits.n); }

/* Lays `d`, not zero, out with a NUL behind it; returns the end. */
static char *lay_out(char *out, const struct decimal *d)
{
    int64_t n = (int64_t)d->digits.n, point = d->point;
    if (d->negative) *out++ = '-';
    if (point <= POSITIONAL_LEAST || point > POSITIONAL_MOST) { /* d.ddde+x */
        *out++ = d->digits.p[0];
        if (n > 1) *out++ = '.';
        out = put_digits(out, slice_skip(d->digits, 1));
        return out + sprintf(out, "e%+d", (int)(point - 1));
    }
    if (point <= 0) { /* 0.000ddd */
        out = mempcpy(out, "0.", 2);
        out = put_digits(put_zeros(out, -point), d->digits);
    } else if (point < n) { /* dd.ddd */
        out = put_digits(out, slice_from(d->digits.p, (size_t)point));
        *out++ = '.';
        out = put_digits(out, slice_skip(d->digits, (size_t)point));
    } else { /* ddd000 */
        out = put_zeros(put_digits(out, d->digits), point - n);
    }
    *out = '\0';
    return out;
}

struct slice number_canonical(struct slice valid, struct arena *arena)
{
    struct slice none = {NULL, 0};
    struct decimal d = take_apart(valid, arena);
    if (d.digits.n == 0) return SLICE("0");
    if (d.point > POINT_MOST || d.point < POINT_LEAST) return none;
    char *text = arena_bytes(arena, d.digits.n + 32);
    char *end = lay_out(text, &d);
    double v = strtod(text, NULL);
    return isfinite(v) && v != 0 ? slice_from(text, (size_t)(end - text)) : none;
}

bool number_fits_int64(struct slice integer)
{
    struct slice least = SLICE("9223372036854775808"), most = SLICE("9223372036854775807");
    struct slice bound = take_one(&integer, "-") ? least : most;
    return integer.n < bound.n || (integer.n == bound.n && slice_cmp(integer, bound) <= 0);
}
