/* base/buffer.h -- a growing byte buffer that is born with its maximum.
 * A write that would pass the maximum writes nothing and sets `overflow`; nothing is written after it until a reset: so
 * a writer may put many parts and look once. Out of memory dies. */
#ifndef PERIGEE_BASE_BUFFER_H
#define PERIGEE_BASE_BUFFER_H

#include "base/slice.h"

#include <stdarg.h>
#include <stdint.h>

struct buffer {
    char *p;
    size_t n;   /* bytes used */
    size_t cap; /* bytes allocated */
    size_t max; /* bytes allowed */
    bool overflow;
};

void buffer_init(struct buffer *b, size_t max); /* allocates nothing yet */
void buffer_deinit(struct buffer *b);
void buffer_reset(struct buffer *b); /* n = 0, overflow off; keeps the memory */

bool buffer_put(struct buffer *b, const void *p, size_t n);
static inline bool buffer_slice(struct buffer *b, struct slice s) { return buffer_put(b, s.p, s.n); }
bool buffer_char(struct buffer *b, char c);
bool buffer_uint(struct buffer *b, uint64_t v);
bool buffer_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool buffer_vprintf(struct buffer *b, const char *format, va_list args);

/* Room for at least n more bytes: returns where they start, or NULL past the maximum (sets overflow).
 * The caller writes there and then adds to b->n. */
char *buffer_reserve(struct buffer *b, size_t n);

/* The bytes so far; valid until the next write. */
static inline struct slice buffer_view(const struct buffer *b) { return (struct slice){b->p ? b->p : "", b->n}; }

#endif
