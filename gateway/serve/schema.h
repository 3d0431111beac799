/* serve/schema.h -- records, and what methods are called with, told as JSON Schemas (2020-12) with examples. Pure: the same models
 * give the same bytes, on every worker and every gateway. */
#ifndef PERIGEE_SERVE_SCHEMA_H
#define PERIGEE_SERVE_SCHEMA_H

#include "base/buffer.h"
#include "model/registry.h"

/* printf of JSON in which ' stands for ", so that it can be read: jot(b, "{'name':'%s'}", name). For values that need no escape,
 * as the names of models, keys and fields do not. */
void jot(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts a comma before all but the first: `*first` becomes false. */
void jot_comma(struct buffer *b, bool *first);

/* The members of the object that is a record's schema, without its braces, with an example. A record that is saved may lack its keys
 * (the query may have them) and what has a default, and gives references by their keys. */
enum schema_of {
    SCHEMA_ALONE,     /* as it is read; other models' schemas are where this gateway serves them */
    SCHEMA_COMPONENT, /* the same within an OpenAPI document */
    SCHEMA_SAVE,
};
void schema_put_record(struct buffer *b, const struct model *m, enum schema_of what);

/* What a method can be called with, in order: attributes and arguments, and where attributes may come from the record the other keys
 * of that; or a form's inputs, and arguments. */
struct schema_parameter {
    const struct model *of; /* whose it is: the method's, or its model's or form's */
    const struct field *field;
    bool required;
};
#define SCHEMA_PARAMETERS_MAX (2 * MODEL_KEYS_MAX)
size_t schema_parameters(const struct model *method, struct schema_parameter list[SCHEMA_PARAMETERS_MAX]);

/* As schema_put_record: the object of them. */
void schema_put_parameters(struct buffer *b, const struct model *method);

/* "description":"Key: a string." */
void schema_put_description(struct buffer *b, const struct model *m, const struct field *f);

/* A value that this key, argument or field takes. */
void schema_put_example(struct buffer *b, const struct field *f);

/* An object of such values: the keys of a record. */
void schema_put_key_example(struct buffer *b, const struct model *m);

/* ,"default":... where there is one. */
void schema_put_default(struct buffer *b, const struct field *f);

/* Is it an error to leave this key, argument, input or field out? */
bool schema_must_be_given(const struct model *m, const struct field *f);

#endif
