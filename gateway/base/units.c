/* base/units.c -- numbers with units. Decimal arithmetic in integers: 0.1 is a tenth. */
#include "base/units.h"

#define CENTURY_MS (UINT64_C(36525) * 86400 * 1000)

/* Takes the digits at the start off *s; false when there are none or their number passes `max`. */
static bool take_digits(struct slice *s, uint64_t max, uint64_t *v)
{
    size_t n = 0;
    for (*v = 0; n < s->n && s->p[n] >= '0' && s->p[n] <= '9'; n++) {
        uint64_t digit = (uint64_t)(s->p[n] - '0');
        if (digit > max || *v > (max - digit) / 10) return false;
        *v = *v * 10 + digit;
    }
    *s = slice_skip(*s, n);
    return n > 0;
}

bool units_uint(struct slice text, uint64_t max, uint64_t *v)
{
    uint64_t number;
    if (!take_digits(&text, max, &number) || text.n) return false;
    *v = number;
    return true;
}

/* A decimal fraction, in billionths, rounded up. */
static bool take_fraction(struct slice *s, uint64_t *billionths)
{
    uint64_t place = 100000000;
    bool more = false;
    size_t n = 0;
    for (*billionths = 0; n < s->n && s->p[n] >= '0' && s->p[n] <= '9'; n++, place /= 10) {
        *billionths += place * (uint64_t)(s->p[n] - '0');
        if (place == 0 && s->p[n] != '0') more = true;
    }
    *billionths += more;
    *s = slice_skip(*s, n);
    return n > 0;
}

static bool duration_unit(struct slice s, uint64_t *ms)
{
    static const struct {
        struct slice name;
        uint64_t ms;
    } units[] = {{{"ms", 2}, 1},      {{"s", 1}, 1000},     {{"m", 1}, 60000},
                 {{"h", 1}, 3600000}, {{"d", 1}, 86400000}, {{"", 0}, 1000}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (!slice_eq(s, units[i].name)) continue;
        *ms = units[i].ms;
        return true;
    }
    return false;
}

bool units_duration(struct slice text, uint64_t *ms)
{
    uint64_t whole, billionths = 0, unit;
    if (!take_digits(&text, CENTURY_MS, &whole)) return false;
    if (text.n && text.p[0] == '.') {
        text = slice_skip(text, 1);
        if (!take_fraction(&text, &billionths)) return false;
    }
    if (!duration_unit(text, &unit) || whole > CENTURY_MS / unit) return false;
    uint64_t total = whole * unit + (billionths * unit + 999999999) / 1000000000;
    if (total > CENTURY_MS) return false;
    *ms = total;
    return true;
}

static bool size_unit(struct slice s, uint64_t *bytes)
{
    static const struct {
        struct slice name;
        uint64_t bytes;
    } units[] = {{{"", 0}, 1},          {{"k", 1}, 1 << 10},    {{"m", 1}, 1 << 20},   {{"g", 1}, 1 << 30},
                 {{"kib", 3}, 1 << 10}, {{"mib", 3}, 1 << 20},  {{"gib", 3}, 1 << 30}, {{"kb", 2}, 1000},
                 {{"mb", 2}, 1000000},  {{"gb", 2}, 1000000000}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (!slice_ieq(s, units[i].name)) continue;
        *bytes = units[i].bytes;
        return true;
    }
    return false;
}

bool units_size(struct slice text, uint64_t *bytes)
{
    const uint64_t max = UINT64_C(1) << 53;
    uint64_t number, unit;
    if (!take_digits(&text, max, &number)) return false;
    if (text.n > 1 && text.p[0] == ' ') text = slice_skip(text, 1);
    if (!size_unit(text, &unit) || number > max / unit) return false;
    *bytes = number * unit;
    return true;
}
