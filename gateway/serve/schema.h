/* serve/schema.h -- models told in JSON: the list of them, a JSON Schema (2020-12) of a record, an example of one. Pure: the same
 * models give the same bytes, on every worker and every gateway. */
#ifndef PERIGEE_SERVE_SCHEMA_H
#define PERIGEE_SERVE_SCHEMA_H

#include "base/buffer.h"
#include "model/registry.h"

/* printf of JSON in which ' stands for ", so that it can be read: jot(b, "{'name':'%s'}", name). For values that need no escape,
 * as the names of models, keys and fields do not. */
void jot(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts a comma before all but the first: `*first` becomes false. */
void jot_comma(struct buffer *b, bool *first);

/* {"models":[...],"links":{...}}: what GET /models answers. */
void schema_put_list(struct buffer *b, const struct registry *r);

/* The members of the object that is a record's schema, without its braces, with an example. A record that is saved may lack its keys
 * (the query may have them) and what has a default. */
enum schema_of { SCHEMA_RECORD, SCHEMA_SAVE };
void schema_put_record(struct buffer *b, const struct model *m, enum schema_of what);

/* "description":"Key: a string." */
void schema_put_description(struct buffer *b, const struct field *f);

/* A value that this key or field takes. */
void schema_put_example(struct buffer *b, const struct field *f);

#endif
