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
                  NULL, ",'anyOf':[{'type':'string'},{'type':'number'},{'type':'boolean'}]", "", "'text'"},
    [TYPE_STRING] = {"a string", "a string", "string", "", "", "'text'"},
    [TYPE_INTEGER] = {"an integer of 64 bits", "an integer of any length", "integer", ",'format':'int64'", "", "1"},
    [TYPE_NUMBER] = {"a number that a double can hold", "a number of any precision", "number", "", "", "1.5"},
    [TYPE_BOOLEAN] = {"true or false", "true or false", "boolean", "", "", "true"},
    [TYPE_ARRAY] = {"", "an array", "array", "", ",'items':{}", "[]"},
    [TYPE_OBJECT] = {"", "an object", "object", "", "", "{}"},
};

/* A field that is not required may be null, and so may a reference be whose target has gone. */
static bool may_be_null(const struct field *f)
{
    return !field_is_key(f) && (!f->required || (f->kind == FIELD_REFERENCE && f->missing == EDGE_NULL));
}

static const char *word_of(const struct model *m, const struct field *f)
{
    if (f->kind == FIELD_ARGUMENT) return m->kind == MODEL_FORM ? "Input" : "Argument";
    if (f->kind == FIELD_KEY) return m->kind == MODEL_METHOD ? "Attribute" : "Key";
    return "Field";
}

bool schema_must_be_given(const struct model *m, const struct field *f)
{
    bool always = f->kind == FIELD_KEY && m->kind == MODEL_RECORD;
    return (f->required || always) && !f->default_json.p;
}

static void put_what(struct buffer *b, const struct field *f)
{
    const struct value *v = &value[f->type];
    switch (f->kind) {
    case FIELD_REFERENCE: jot(b, "a record of model %.*s", SLICE_ARG(f->target->name)); break;
    case FIELD_REFERENCES: jot(b, "records of model %.*s", SLICE_ARG(f->target->name)); break;
    case FIELD_PACKED: jot(b, "a value that only handlers can set"); break;
    default: jot(b, "%s", field_is_key(f) ? v->key : v->field);
    }
}

void schema_put_description(struct buffer *b, const struct model *m, const struct field *f)
{
    bool record_key = f->kind == FIELD_KEY && m->kind == MODEL_RECORD;
    bool says_null = may_be_null(f) && (f->kind != FIELD_VALUE || value[f->type].type);
    jot(b, "'description':'%s: ", word_of(m, f));
    put_what(b, f);
    if (f->required && !record_key) jot(b, "; required");
    if (says_null) jot(b, ", or null");
    if (f->default_json.p) jot(b, "; its default is taken when it is left out");
    else if (m->kind == MODEL_METHOD && f->kind == FIELD_KEY && !f->required)
        jot(b, "; that of the record is taken when it is left out");
    jot(b, ".'");
}

static void put_type(struct buffer *b, const struct field *f)
{
    const struct value *v = &value[f->type];
    if (v->type) jot(b, may_be_null(f) ? ",'type':['%s','null']" : ",'type':'%s'", v->type);
    else if (f->required && !field_is_key(f)) jot(b, ",'not':{'type':'null'}");
    jot(b, "%s", field_is_key(f) ? v->key_also : v->field_also);
}

void schema_put_default(struct buffer *b, const struct field *f)
{
    if (!f->default_json.p) return;
    jot(b, ",'default':");
    buffer_slice(b, f->default_json);
}

/* A key, argument or plain field. */
static void put_plain(struct buffer *b, const struct model *m, const struct field *f)
{
    buffer_char(b, '{');
    schema_put_description(b, m, f);
    put_type(b, f);
    schema_put_default(b, f);
    buffer_char(b, '}');
}

void schema_put_example(struct buffer *b, const struct field *f)
{
    if (f->default_json.p && f->default_json.n <= EXAMPLE_MAX) buffer_slice(b, f->default_json);
    else jot(b, "%s", value[f->type].example);
}

/* -- references -- */

/* The keys of a record, and where it is read: what stands for one that is not resolved, and how one is given to be saved. */
static void put_stub(struct buffer *b, const struct model *target, bool save)
{
    bool first = true;
    jot(b, "'type':'object','properties':{");
    for (size_t i = 0; i < target->fields; i++) {
        const struct field *f = &target->field[i];
        if (f->kind != FIELD_KEY) continue;
        buffer_slice(b, f->prefix);
        put_plain(b, target, f);
        buffer_char(b, ',');
    }
    jot(b, "'$ref':{'description':'Where it is read%s.','type':'string','format':'uri-reference'}},'required':[",
        save ? "; may be left out" : "");
    for (size_t i = 0; i < target->fields; i++) {
        const struct field *f = &target->field[i];
        if (f->kind != FIELD_KEY || (save && f->default_json.p)) continue;
        jot_comma(b, &first);
        jot(b, "'%.*s'", SLICE_ARG(f->name));
    }
    if (!save) jot(b, "%s'$ref'],'additionalProperties':false", first ? "" : ",");
    else buffer_char(b, ']');
}

/* One target, as it is read: the document, or what stands for it beyond a depth or in a cycle. */
static void put_target(struct buffer *b, const struct field *f, enum schema_of what, bool null)
{
    const char *before = what == SCHEMA_ALONE ? "/models/" : "#/components/schemas/";
    const char *after = what == SCHEMA_ALONE ? "/_schema" : "";
    jot(b, "'oneOf':[{'$ref':'%s%.*s%s'},{", before, SLICE_ARG(f->target->name), after);
    put_stub(b, f->target, false);
    jot(b, "}%s]", null ? ",{'type':'null'}" : "");
}

/* ... as it is saved. */
static void put_given(struct buffer *b, const struct field *f, bool null)
{
    if (null) jot(b, "'oneOf':[{");
    put_stub(b, f->target, true);
    if (null) jot(b, "},{'type':'null'}]");
}

static void put_reference(struct buffer *b, const struct field *f, enum schema_of what)
{
    buffer_char(b, ',');
    if (what == SCHEMA_SAVE) put_given(b, f, !f->required);
    else put_target(b, f, what, may_be_null(f));
}

static void put_references(struct buffer *b, const struct field *f, enum schema_of what)
{
    jot(b, may_be_null(f) ? ",'type':['array','null']" : ",'type':'array'");
    jot(b, ",'maxItems':%u,'items':{", (unsigned)f->max);
    if (what == SCHEMA_SAVE) put_given(b, f, false);
    else put_target(b, f, what, f->missing == EDGE_NULL);
    buffer_char(b, '}');
}

static void put_packed(struct buffer *b, const struct field *f)
{
    jot(b,
        ",'readOnly':true,'type':%s,'properties':{'$packed':{'description':'Its bytes.','type':'string',"
        "'contentEncoding':'base64'}},'required':['$packed'],'additionalProperties':false",
        may_be_null(f) ? "['object','null']" : "'object'");
}

/* -- records -- */

static bool is_told(const struct field *f, enum schema_of what)
{
    return what != SCHEMA_SAVE || f->kind != FIELD_PACKED;
}

static void put_property(struct buffer *b, const struct model *m, const struct field *f, enum schema_of what)
{
    if (!field_refers(f) && f->kind != FIELD_PACKED) {
        put_plain(b, m, f);
        return;
    }
    buffer_char(b, '{');
    schema_put_description(b, m, f);
    if (f->kind == FIELD_PACKED) put_packed(b, f);
    else if (f->kind == FIELD_REFERENCE) put_reference(b, f, what);
    else put_references(b, f, what);
    buffer_char(b, '}');
}

static bool must_be_there(const struct field *f, enum schema_of what)
{
    if (what != SCHEMA_SAVE) return f->kind == FIELD_KEY || f->required;
    return f->kind != FIELD_KEY && f->required && !f->default_json.p;
}

static void put_required(struct buffer *b, const struct model *m, enum schema_of what)
{
    bool first = true;
    jot(b, ",'required':[");
    for (size_t i = 0; i < m->fields; i++) {
        if (!is_told(&m->field[i], what) || !must_be_there(&m->field[i], what)) continue;
        jot_comma(b, &first);
        jot(b, "'%.*s'", SLICE_ARG(m->field[i].name));
    }
    buffer_char(b, ']');
}

void schema_put_key_example(struct buffer *b, const struct model *target)
{
    bool first = true;
    buffer_char(b, '{');
    for (size_t i = 0; i < target->fields; i++) {
        if (target->field[i].kind != FIELD_KEY) continue;
        jot_comma(b, &first);
        buffer_slice(b, target->field[i].prefix);
        schema_put_example(b, &target->field[i]);
    }
    buffer_char(b, '}');
}

static void put_field_example(struct buffer *b, const struct field *f)
{
    if (!field_refers(f)) {
        schema_put_example(b, f);
        return;
    }
    if (f->kind == FIELD_REFERENCES) buffer_char(b, '[');
    schema_put_key_example(b, f->target);
    if (f->kind == FIELD_REFERENCES) buffer_char(b, ']');
}

static void put_example(struct buffer *b, const struct model *m, enum schema_of what)
{
    bool first = true;
    buffer_char(b, '{');
    for (size_t i = 0; i < m->fields; i++) {
        const struct field *f = &m->field[i];
        if (f->kind == FIELD_PACKED || (field_refers(f) && what != SCHEMA_SAVE)) continue;
        jot_comma(b, &first);
        buffer_slice(b, f->prefix);
        put_field_example(b, f);
    }
    buffer_char(b, '}');
}

/* One that is read has references resolved, without end where models refer to each other: then there is no example. */
static bool has_example(const struct model *m, enum schema_of what)
{
    for (size_t i = 0; i < m->fields; i++) {
        const struct field *f = &m->field[i];
        if (f->required && (f->kind == FIELD_PACKED || (field_refers(f) && what != SCHEMA_SAVE))) return false;
    }
    return true;
}

void schema_put_record(struct buffer *b, const struct model *m, enum schema_of what)
{
    bool first = true;
    jot(b, "'title':'%.*s','description':'A record of model %.*s%s','type':'object','properties':{", SLICE_ARG(m->name),
        SLICE_ARG(m->name),
        what == SCHEMA_SAVE ? " to be saved. Keys that the query gives may be left out."
                            : ". Numbers stand as they were saved, every digit of them: read them with a parser that "
                              "keeps long ones.");
    for (size_t i = 0; i < m->fields; i++) {
        const struct field *f = &m->field[i];
        if (!is_told(f, what)) continue;
        jot_comma(b, &first);
        buffer_slice(b, f->prefix);
        put_property(b, m, f, what);
    }
    if (what == SCHEMA_COMPONENT) jot(b, ",'$explain':{'$ref':'#/components/schemas/_Explain'}");
    buffer_char(b, '}');
    put_required(b, m, what);
    jot(b, ",'additionalProperties':false");
    if (!has_example(m, what)) return;
    jot(b, ",'examples':[");
    put_example(b, m, what);
    buffer_char(b, ']');
}

/* -- calls -- */

static size_t add_keys(const struct model *m, struct schema_parameter *list, size_t n)
{
    for (size_t i = 0; i < m->fields; i++)
        if (field_is_key(&m->field[i]))
            list[n++] = (struct schema_parameter){m, &m->field[i], schema_must_be_given(m, &m->field[i])};
    return n;
}

static size_t add_arguments(const struct model *m, struct schema_parameter *list, size_t n)
{
    for (size_t i = 0; i < m->fields; i++)
        if (m->field[i].kind == FIELD_ARGUMENT)
            list[n++] = (struct schema_parameter){m, &m->field[i], schema_must_be_given(m, &m->field[i])};
    return n;
}

/* The keys of the record that are no parameters yet: they matter where an attribute is left to the record. */
static size_t add_record_keys(const struct model *method, struct schema_parameter *list, size_t n)
{
    const struct model *m = method->owner;
    bool reads_record = false;
    for (size_t i = 0; i < method->fields; i++) {
        const struct field *f = &method->field[i];
        if (f->kind == FIELD_KEY && !field_is_key(model_field(m, f->name))) reads_record = true;
    }
    for (size_t i = 0; reads_record && i < m->fields; i++)
        if (m->field[i].kind == FIELD_KEY && !model_field(method, m->field[i].name))
            list[n++] = (struct schema_parameter){m, &m->field[i], false};
    return n;
}

size_t schema_parameters(const struct model *method, struct schema_parameter list[SCHEMA_PARAMETERS_MAX])
{
    if (method->kind == MODEL_FORM_METHOD) return add_arguments(method, list, add_keys(method->owner, list, 0));
    return add_record_keys(method, list, add_keys(method, list, 0));
}

void schema_put_parameters(struct buffer *b, const struct model *method)
{
    struct schema_parameter p[SCHEMA_PARAMETERS_MAX];
    size_t n = schema_parameters(method, p);
    bool first = true;
    jot(b, "'title':'%.*s','description':'What %.*s is called with.','type':'object','properties':{",
        SLICE_ARG(method->name), SLICE_ARG(method->name));
    for (size_t i = 0; i < n; i++) {
        if (i) buffer_char(b, ',');
        buffer_slice(b, p[i].field->prefix);
        put_plain(b, p[i].of, p[i].field);
    }
    jot(b, "},'required':[");
    for (size_t i = 0; i < n; i++) {
        if (!p[i].required) continue;
        jot_comma(b, &first);
        jot(b, "'%.*s'", SLICE_ARG(p[i].field->name));
    }
    jot(b, "],'additionalProperties':false,'examples':[{");
    for (size_t i = 0; i < n; i++) {
        if (i) buffer_char(b, ',');
        buffer_slice(b, p[i].field->prefix);
        schema_put_example(b, p[i].field);
    }
    jot(b, "}]");
}
