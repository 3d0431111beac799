/* base/json.h -- writing JSON into a buffer. (Reading it is model/json.h.) */
#ifndef PERIGEE_BASE_JSON_H
#define PERIGEE_BASE_JSON_H

#include "base/buffer.h"

/* A JSON string with its quotes (RFC 8259 7): escapes quote, backslash and controls (C0, DEL and C1), passes other
 * valid UTF-8, and writes U+FFFD for each byte that is not UTF-8. All of it or, past the buffer's maximum, nothing. */
bool json_put_string(struct buffer *b, struct slice s);

/* A double in 15, 16 or 17 digits, the fewest that read back as the same bits, integers below 2^53 without a fraction
 * or an exponent ("1", "0.1", "1e+22", "-0"); NaN and infinities write nothing and return false. */
bool json_put_double(struct buffer *b, double v);

#endif
