/* model/json_valid.h -- is it JSON? A quick yes for what is, which is nearly all that comes: one walk that copies and keeps nothing. What
 * it refuses is given to yyjson, which says what is wrong with it and where (model/json.c). */
#ifndef PERIGEE_MODEL_JSON_VALID_H
#define PERIGEE_MODEL_JSON_VALID_H

#include "base/slice.h"

/* Exactly one value by RFC 8259, no deeper than JSON_DEPTH_MAX, in UTF-8, without BOM and lone surrogates? If so, *blanks is how much white
 * space stands outside its strings. */
bool json_valid(struct slice text, size_t *blanks);

#endif
