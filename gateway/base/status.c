/* base/status.c -- the table of base/status.h as functions, and problems made safe to show. */
#include "base/status.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

static const struct {
    int http;
    const char *code, *title;
} status_table[STATUS_COUNT] = {
#define X(name, http, code, title) [name] = {http, code, title},
    STATUS_MAP(X)
#undef X
};

int status_http(enum status s)
{
    assert(s < STATUS_COUNT);
    return status_table[s].http;
}

const char *status_code(enum status s)
{
    assert(s < STATUS_COUNT);
    return status_table[s].code;
}

const char *status_title(enum status s)
{
    assert(s < STATUS_COUNT);
    return status_table[s].title;
}

/* Copies as much of `text` as fits with its NUL, whole characters only, in place too. */
static void put_clean(char *out, size_t size, struct slice text)
{
    size_t used = 0;
    while (text.n) {
        size_t length = slice_utf8_first(text);
        bool show = length && !slice_control_first(text);
        size_t adds = show ? length : 1;
        if (used + adds >= size) break;
        if (show) memmove(out + used, text.p, length);
        else out[used] = '?';
        used += adds;
        text = slice_skip(text, length ? length : 1);
    }
    out[used] = '\0';
}

enum status problem_set(struct problem *p, enum status status, const char *path, const char *format, ...)
{
    if (!p) return status;
    /* A character longer than the detail, so that one that crosses its end is seen whole, and left out whole.
     * The text goes through here also because the arguments may point into *p. */
    char text[sizeof p->detail + 4];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    p->status = status;
    p->retry_s = 0;
    put_clean(p->path, sizeof p->path, slice_of(path ? path : ""));
    put_clean(p->detail, sizeof p->detail, slice_of(text));
    return status;
}
