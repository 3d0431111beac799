/* model/key.h -- from key values to the stored key (docs/storage.md):
 *
 *     PREFIX:MODEL:FINGERPRINT:name=value&name=value
 *
 * Names sorted; values percent-encoded but for A-Z a-z 0-9 - . _ ~. A string is its text; integers, numbers and booleans are
 * their canonical JSON; for type `any` every value is its canonical JSON, a string with its quotes, so that 42 and "42" differ.
 * Over 256 bytes the pairs become '#' and their SHA-256 in hexadecimal. So different key sets never meet (injective), and equal
 * ones always do (canonical). Pure. */
#ifndef PERIGEE_MODEL_KEY_H
#define PERIGEE_MODEL_KEY_H

#include "model/model.h"

#define KEY_PAIRS_MAX 256

/* Key values being gathered. json[i] belongs to model->key[i], in canonical JSON; absent until set (and for good, where an
 * argument is optional). */
struct key_draft {
    struct slice json[MODEL_KEYS_MAX];
};

/* A complete key. */
struct record_key {
    const struct model *model;
    struct slice
        json[MODEL_KEYS_MAX]; /* as in the draft, with defaults; absent: an optional argument that was not given */
    struct slice pairs;       /* "name=value&..." or "#<hex>" */
    struct slice stored;      /* the whole stored key; `pairs` is its tail */
};

void key_draft_init(struct key_draft *d);

/* Takes one value from a query: `text` is percent-decoded. Parsed to the key's type: string as it is (valid UTF-8),
 * integer: JSON's grammar (no leading zeros, no plus), within 64 bits signed; number: JSON's grammar, of a magnitude a double can
 * hold (model/number.h); boolean: true | false; any: JSON when it is a number, true, false or a quoted string, otherwise the text
 * as a string; `null` is refused. UNKNOWN_KEY (with the nearest name), KEY_TYPE, or MALFORMED_REQUEST when the name came
 * before. What the draft then holds lies in the arena or in `text`. */
enum status key_set_text(const struct model *m, struct key_draft *d, struct slice name, struct slice text,
                         struct arena *arena, struct problem *why);

/* Takes one value from JSON (compact text). `null` for what is optional leaves it absent. KEY_TYPE when it is not of the key's type: an integer key takes an integer
 * literal only, a number key any number, an `any` key a string, number or boolean; nothing is converted. KEY_CONFLICT when the
 * draft holds another value. What the draft then holds lies in the arena or in `json`. */
enum status key_set_json(const struct model *m, struct key_draft *d, size_t key_index, struct slice json,
                         struct arena *arena, struct problem *why);

/* Takes one value that is in canonical form already, of whatever kind: of a form's method, whose `any` keys are what its form has made of the
 * inputs. Borrows `json` for as long as the draft is used. */
void key_set_canonical(struct key_draft *d, size_t key_index, struct slice json);

/* Applies defaults and derives the stored key into the arena. KEY_REQUIRED names the key that is missing. What is optional and absent has
 * no pair. After a failure key->model is NULL. */
enum status key_finish(const struct model *m, const struct key_draft *d, struct arena *arena, struct record_key *key,
                       struct problem *why);

/* One name=value, decoded. */
struct query_option {
    struct slice name, value;
};

/* Takes the first parameter off *rest, which is absent behind the last; `index` tells how many came before. Encoded as HTML forms are ('+' is
 * a space); what is decoded lies in the arena or in *rest. MALFORMED_REQUEST for an empty parameter, one without '=', a bad escape,
 * bytes that are not UTF-8, and the 65th. */
enum status key_take_parameter(struct slice *rest, size_t index, struct arena *arena, struct query_option *out,
                               struct problem *why);

/* All of a query string: names that begin with '_' are collected as options (in the arena or in `query`, order kept), the rest are keys. */
enum status key_parse_query(const struct model *m, struct slice query, struct arena *arena, struct key_draft *d,
                            struct query_option **options, size_t *n_options, struct problem *why);

/* The path and query under which the record or result is read: "/models/User?username=bob" (for Location and $ref),
 * "/models/Home/geocode?precision=5", "/forms/FriendsLookup/get_friends_list?username=bob".
 * Names in order of declaration; a string value of type `any` stands in quotes. */
struct slice key_location(const struct record_key *key, struct arena *arena);

/* Reads such a path and query (a `$ref`): the record of model m that it names, in any spelling of its query. False for anything else, options
 * in the query too. */
bool key_at_location(const struct model *m, struct slice location, struct arena *arena, struct record_key *key);

/* The same key with all its texts in this arena. */
struct record_key key_copy(const struct record_key *key, struct arena *arena);

#endif
