/* serve/schema.c -- a model's declaration as others may read it. What is said here of values is what model/key.c and model/codec.c
 * check; the tests save every example. */
#include "serve/schema.h"

#define EXAMPLE_MAX 64 /* bytes of a default that makes a good example */

void jot(struct buffer *b, const char *format, ...)
{
    size_t at = b->n;
    va_list args;
    va_start(args, format);
    buffer_vprintf(b, format, args);
    va_end(args);
    for (; at < b->n; at++)
        if (b->p[at] == '\'') b->p[at] = '"';
}

void jot_comma(struct buffer *b, bool *first)
{
    if (!*first) buffer_char(b, ',');
    *first = false;
}

/* -- values -- */

static const struct value {
    const char *key, *field; /* in words */
    const char *type;        /* of JSON Schema */
    const char *key_also, *field_also;
    const char *example;
} value[] = {
    [TYPE_ANY] = {"a string, a number or a boolean (in a query: in JSON; other text is a string)", "any JSON value",
                  NULL, ",'oneOf':[{'type':'string'},{'type':'number'},{'type':'boolean'}]", "", "'text'"},
    [TYPE_STRING] = {"a string", "a string", "string", "", "", "'text'"},
    [TYPE_INTEGER] = {"an integer of 64 bits", "an integer of any length", "integer", ",'format':'int64'", "", "1"},
    [TYPE_NUMBER] = {"a number that a double can hold", "a number of any precision", "number", "", "", "1.5"},
    [TYPE_BOOLEAN] = {"true or false", "true or false", "boolean", "", "", "true"},
    [TYPE_ARRAY] = {"", "an array", "array", "", ",'items':{}", "[]"},
    [TYPE_OBJECT] = {"", "an object", "object", "", "", "{}"},
};

/* A field that is not required may be null. */
static bool may_be_null(const struct field *f) { return f->kind != FIELD_KEY && !f->required; }

void schema_put_description(struct buffer *b, const struct field *f)
{
    bool is_key = f->kind == FIELD_KEY;
    const struct value *v = &value[f->type];
    jot(b, "'description':'%s: %s%s%s%s.'", is_key ? "Key" : "Field", is_key ? v->key : v->field,
        f->required ? "; required" : "", may_be_null(f) && v->type ? ", or null" : "",
        f->default_json.p ? "; its default is taken when it is left out" : "");
}

static void put_type(struct buffer *b, const struct field *f)
{
    const struct value *v = &value[f->type];
    if (v->type) jot(b, may_be_null(f) ? ",'type':['%s','null']" : ",'type':'%s'", v->type);
    else if (f->required) jot(b, ",'not':{'type':'null'}");
    jot(b, "%s", f->kind == FIELD_KEY ? v->key_also : v->field_also);
}

static void put_property(struct buffer *b, const struct field *f)
{
    buffer_char(b, '{');
    schema_put_description(b, f);
    put_type(b, f);
    if (f->default_json.p) {
        jot(b, ",'default':");
        buffer_slice(b, f->default_json);
    }
    buffer_char(b, '}');
}

/* -- records -- */

static bool must_be_there(const struct field *f, enum schema_of what)
{
    if (what == SCHEMA_RECORD) return f->kind == FIELD_KEY || f->required;
    return f->kind != FIELD_KEY && f->required && !f->default_json.p;
}

static void put_required(struct buffer *b, const struct model *m, enum schema_of what)
{
    bool first = true;
    jot(b, ",'required':[");
    for (size_t i = 0; i < m->fields; i++) {
        if (!must_be_there(&m->field[i], what)) continue;
        jot_comma(b, &first);
        jot(b, "'%.*s'", SLICE_ARG(m->field[i].name));
    }
    buffer_char(b, ']');
}

void schema_put_example(struct buffer *b, const struct field *f)
{
    if (f->default_json.p && f->default_json.n <= EXAMPLE_MAX) buffer_slice(b, f->default_json);
    else jot(b, "%s", value[f->type].example);
}

static void put_example(struct buffer *b, const struct model *m)
{
    bool first = true;
    buffer_char(b, '{');
    for (size_t i = 0; i < m->fields; i++) {
        if (m->field[i].kind != FIELD_KEY && m->field[i].kind != FIELD_VALUE) continue;
        jot_comma(b, &first);
        buffer_slice(b, m->field[i].prefix);
        schema_put_example(b, &m->field[i]);
    }
    buffer_char(b, '}');
}

void schema_put_record(struct buffer *b, const struct model *m, enum schema_of what)
{
    jot(b, "'title':'%.*s','description':'A record of model %.*s%s','type':'object','properties':{", SLICE_ARG(m->name),
        SLICE_ARG(m->name),
        what == SCHEMA_SAVE ? " to be saved. Keys that the query gives may be left out."
                            : ". Numbers stand as they were saved, every digit of them: read them with a parser that "
                              "keeps long ones.");
    for (size_t i = 0; i < m->fields; i++) {
        if (i) buffer_char(b, ',');
        buffer_slice(b, m->field[i].prefix);
        put_property(b, &m->field[i]);
    }
    buffer_char(b, '}');
    put_required(b, m, what);
    jot(b, ",'additionalProperties':false,'examples':[");
    put_example(b, m);
    buffer_char(b, ']');
}

/* -- the list -- */

static void put_listed_field(struct buffer *b, const struct field *f)
{
    bool required = f->kind == FIELD_KEY ? !f->default_json.p : f->required;
    jot(b, "{'name':'%.*s','type':'%s','required':%s", SLICE_ARG(f->name), value_type_name(f->type),
        required ? "true" : "false");
    if (f->default_json.p) {
        jot(b, ",'default':");
        buffer_slice(b, f->default_json);
    }
    buffer_char(b, '}');
}

static void put_listed_fields(struct buffer *b, const struct model *m, bool keys)
{
    bool first = true;
    jot(b, ",'%s':[", keys ? "keys" : "fields");
    for (size_t i = 0; i < m->fields; i++) {
        if ((m->field[i].kind == FIELD_KEY) != keys) continue;
        jot_comma(b, &first);
        put_listed_field(b, &m->field[i]);
    }
    buffer_char(b, ']');
}

/* `record` is a template (RFC 6570) that makes a record's address of its keys. */
static void put_links(struct buffer *b, const struct model *m)
{
    jot(b, ",'links':{'record':'/models/%.*s", SLICE_ARG(m->name));
    for (size_t i = 0, n = 0; i < m->fields; i++)
        if (m->field[i].kind == FIELD_KEY) jot(b, "%s%.*s", n++ ? "," : "{?", SLICE_ARG(m->field[i].name));
    jot(b, "}','schema':'/models/%.*s/_schema'}", SLICE_ARG(m->name));
}

void schema_put_list(struct buffer *b, const struct registry *r)
{
    jot(b, "{'models':[");
    for (size_t i = 0; i < r->models; i++) {
        const struct model *m = r->model[i];
        if (i) buffer_char(b, ',');
        jot(b, "{'name':'%.*s'", SLICE_ARG(m->name));
        put_listed_fields(b, m, true);
        put_listed_fields(b, m, false);
        jot(b, ",'loader':%s", m->loads ? "true" : "false");
        put_links(b, m);
        buffer_char(b, '}');
    }
    jot(b, "],'links':{'self':'/models','openapi':'/openapi.json'}}");
}
