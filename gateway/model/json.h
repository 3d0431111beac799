/* model/json.h -- strict JSON (RFC 8259) read once, its spelling kept. What is valid is cut into spans, without insignificant white
 * space, so that every number, escape and order stays as sent. */
#ifndef PERIGEE_MODEL_JSON_H
#define PERIGEE_MODEL_JSON_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"

#define JSON_DEPTH_MAX 64

enum json_kind { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_INTEGER, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_member {
    struct slice name;   /* decoded: any UTF-8, NUL too; in the arena or in the compact text */
    struct slice quoted; /* the name as it stands in the compact text */
    struct slice value;  /* compact text */
};

/* Checks that `text` is exactly one JSON value, at most JSON_DEPTH_MAX deep, valid UTF-8, no BOM, no lone surrogates, and
 * returns it without insignificant white space in *compact (in the arena, or `text` itself when there was none).
 * MALFORMED_JSON with "... at byte N" otherwise (N counted from 0 in `text`). Depth is judged before anything recurses or
 * allocates by it. */
enum status json_compact(struct slice text, struct arena *arena, struct slice *compact, struct problem *why);

/* The members of an object given as compact text; a name that comes twice counts once, with its last value, at its first
 * place. MALFORMED_REQUEST when it is valid JSON but no object. Members in the arena. */
enum status json_members(struct slice compact, struct arena *arena, struct json_member **members, size_t *n,
                         struct problem *why);

/* The elements of an array given as compact text; same rules. */
enum status json_elements(struct slice compact, struct arena *arena, struct slice **elements, size_t *n,
                          struct problem *why);

/* Walks the members of an object in compact text that we have written ourselves: nothing is allocated, nothing recurses, nothing outside
 * `object` is read. *at starts at 0. False behind the last member, and where the text is no object that one could go on in. A name is what
 * stands between its quotes, not unescaped (fields' names and `$ref` hold no escapes); a name that comes twice comes twice. */
bool json_cut(struct slice object, size_t *at, struct json_member *member);

/* Kind of a compact value, told by its first byte (and, for numbers, whether '.', 'e' or 'E' follows). */
enum json_kind json_kind(struct slice compact);
const char *json_kind_name(enum json_kind k); /* "a string", "an integer", ... */

/* The text of a JSON string (compact, with quotes): unescaped into the arena, or a part of `compact` where nothing is escaped. */
struct slice json_string(struct slice compact, struct arena *arena);

#endif
