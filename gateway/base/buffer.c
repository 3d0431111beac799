/* base/buffer.c -- bytes that grow up to a maximum set at birth. */
#include "base/buffer.h"

#include "base/digits.h"

#include <stdio.h>
#include <stdlib.h>

#define FIRST_BYTES 64

void buffer_init(struct buffer *b, size_t max) { *b = (struct buffer){.max = max}; }

void buffer_deinit(struct buffer *b)
{
    free(b->p);
    buffer_init(b, b->max);
}

void buffer_reset(struct buffer *b)
{
    b->n = 0;
    b->overflow = false;
}

/* One byte more than cap is allocated, always: vsnprintf writes a NUL behind what it was asked for. */
static void grow(struct buffer *b, size_t need)
{
    size_t cap = b->cap < FIRST_BYTES / 2 ? FIRST_BYTES : b->cap * 2;
    if (cap > b->max) cap = b->max;
    if (cap < need) cap = need;
    b->p = realloc(b->p, cap + 1);
    if (!b->p) abort();
    b->cap = cap;
}

char *buffer_reserve(struct buffer *b, size_t n)
{
    if (b->overflow || n > b->max - b->n) {
        b->overflow = true;
        return NULL;
    }
    if (!b->p || n > b->cap - b->n) grow(b, b->n + n);
    return b->p + b->n;
}

bool buffer_put(struct buffer *b, const void *p, size_t n)
{
    char *to = buffer_reserve(b, n);
    if (!to) return false;
    if (n) memcpy(to, p, n);
    b->n += n;
    return true;
}

bool buffer_char(struct buffer *b, char c) { return buffer_put(b, &c, 1); }

bool buffer_uint(struct buffer *b, uint64_t v)
{
    struct digits room;
    return buffer_slice(b, digits_of(v, &room));
}

bool buffer_vprintf(struct buffer *b, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    char *to = buffer_reserve(b, 0);
    size_t room = (b->cap < b->max ? b->cap : b->max) - b->n;
    int n = to ? vsnprintf(to, room + 1, format, args) : -1;
    if (n >= 0 && (size_t)n > room) {
        to = buffer_reserve(b, (size_t)n);
        if (to) vsnprintf(to, (size_t)n + 1, format, again);
    }
    va_end(again);
    if (!to || n < 0) return false;
    b->n += (size_t)n;
    return true;
}

bool buffer_printf(struct buffer *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    bool ok = buffer_vprintf(b, format, args);
    va_end(args);
    return ok;
}
