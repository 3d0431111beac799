/* script/postgres_value.h -- PostgreSQL's text of a value, and what it means here: by its type's number (OID). Knows no Lua.
 *
 * Rows are kept as cells, one after the other in a buffer. A cell of an array is followed by its elements' cells. */
#ifndef PERIGEE_SCRIPT_POSTGRES_VALUE_H
#define PERIGEE_SCRIPT_POSTGRES_VALUE_H

#include "base/arena.h"
#include "base/buffer.h"

#include <stdint.h>

enum postgres_kind {
    POSTGRES_NULL,
    POSTGRES_TRUE,
    POSTGRES_FALSE,
    POSTGRES_NUMBER, /* exact: integers, numeric */
    POSTGRES_FLOAT,
    POSTGRES_TEXT, /* or bytes */
    POSTGRES_JSON,
    POSTGRES_ARRAY,
};

struct postgres_cell {
    enum postgres_kind kind;
    struct slice text; /* followed by a NUL */
    uint32_t elements; /* of an array: so many cells follow */
};

/* Appends a value of `type` as the server wrote it, followed by a NUL. False when the buffer is full. */
bool postgres_put(struct buffer *cells, unsigned type, struct slice text);
bool postgres_put_null(struct buffer *cells);

/* The cell at *at, which moves on. */
struct postgres_cell postgres_next(const struct buffer *cells, size_t *at);

/* What db:query was given for a `$1`. */
struct postgres_argument {
    struct slice text; /* absent: NULL; else followed by a NUL */
    bool is_string;    /* Lua's own bytes */
    bool is_json;      /* of a table */
};

/* How it is sent for a parameter of `type`: its bytes, as they are when *binary, else followed by a NUL and without others.
 * Absent when it cannot be. */
struct slice postgres_argument_for(const struct postgres_argument *a, unsigned type, struct arena *arena, bool *binary);

#endif
