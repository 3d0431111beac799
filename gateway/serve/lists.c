/* serve/lists.c -- a list entry is short: names, types and addresses; schema.c and openapi.c say the rest. */
#include "serve/lists.h"

#include "serve/schema.h"

/* -- fields -- */

static void put_listed_type(struct buffer *b, const struct field *f)
{
    static const char *const policy[] = {[EDGE_FAIL] = "fail", [EDGE_NULL] = "null", [EDGE_SKIP] = "skip"};
    if (f->kind == FIELD_PACKED) jot(b, "'type':'packed'");
    else if (!field_refers(f)) jot(b, "'type':'%s'", value_type_name(f->type));
    else
        jot(b, "'type':'%s','model':'%.*s','missing':'%s'", f->kind == FIELD_REFERENCE ? "reference" : "references",
            SLICE_ARG(f->target->name), policy[f->missing]);
    if (f->kind == FIELD_REFERENCES) jot(b, ",'max':%u", (unsigned)f->max);
}

static void put_listed_field(struct buffer *b, const struct model *m, const struct field *f)
{
    bool required = field_is_key(f) ? schema_must_be_given(m, f) : f->required;
    jot(b, "{'name':'%.*s',", SLICE_ARG(f->name));
    put_listed_type(b, f);
    jot(b, ",'required':%s", required ? "true" : "false");
    schema_put_default(b, f);
    buffer_char(b, '}');
}

/* ,"MEMBER":[...]: m's fields of these kinds. */
static void put_listed_fields(struct buffer *b, const struct model *m, const char *member, unsigned kinds)
{
    bool first = true;
    jot(b, ",'%s':[", member);
    for (size_t i = 0; i < m->fields; i++) {
        if (!(kinds & 1u << m->field[i].kind)) continue;
        jot_comma(b, &first);
        put_listed_field(b, m, &m->field[i]);
    }
    buffer_char(b, ']');
}

/* -- methods -- */

/* `call` is a template (RFC 6570) that makes an address of parameters. */
static void put_listed_method(struct buffer *b, const struct model *method)
{
    struct schema_parameter p[SCHEMA_PARAMETERS_MAX];
    size_t n = schema_parameters(method, p);
    struct slice name = model_method_name(method), owner = method->owner->name;
    bool form = method->kind == MODEL_FORM_METHOD;
    jot(b, "{'name':'%.*s'", SLICE_ARG(name));
    if (!form) put_listed_fields(b, method, "attributes", 1u << FIELD_KEY);
    put_listed_fields(b, method, "arguments", 1u << FIELD_ARGUMENT);
    jot(b, ",'links':{'call':'/%s/%.*s/%.*s", form ? "forms" : "models", SLICE_ARG(owner), SLICE_ARG(name));
    for (size_t i = 0; i < n; i++) jot(b, "%s%.*s", i ? "," : "{?", SLICE_ARG(p[i].field->name));
    jot(b, "%s'}}", n ? "}" : "");
}

static void put_listed_methods(struct buffer *b, const struct registry *r, const struct model *owner)
{
    bool first = true;
    jot(b, ",'methods':[");
    for (size_t i = 0; i < r->models; i++) {
        if (r->model[i]->owner != owner) continue;
        jot_comma(b, &first);
        put_listed_method(b, r->model[i]);
    }
    buffer_char(b, ']');
}

/* -- models and forms -- */

static void put_action(struct buffer *b, const struct model *m, const char *action)
{
    jot(b, ",'%s':'/models/%.*s/_%s'", action, SLICE_ARG(m->name), action);
}

/* `record` is a template, too, that makes a record's address of its keys. */
static void put_links(struct buffer *b, const struct model *m)
{
    jot(b, ",'links':{'record':'/models/%.*s", SLICE_ARG(m->name));
    for (size_t i = 0, n = 0; i < m->fields; i++)
        if (m->field[i].kind == FIELD_KEY) jot(b, "%s%.*s", n++ ? "," : "{?", SLICE_ARG(m->field[i].name));
    buffer_slice(b, SLICE("}\""));
    put_action(b, m, "schema");
    put_action(b, m, "bulk");
    put_action(b, m, "touch");
    put_action(b, m, "invalidate");
    if (m->loads) put_action(b, m, "refresh");
    buffer_char(b, '}');
}

void lists_put_models(struct buffer *b, const struct registry *r)
{
    bool first = true;
    jot(b, "{'models':[");
    for (size_t i = 0; i < r->models; i++) {
        const struct model *m = r->model[i];
        if (m->kind != MODEL_RECORD) continue;
        jot_comma(b, &first);
        jot(b, "{'name':'%.*s'", SLICE_ARG(m->name));
        put_listed_fields(b, m, "keys", 1u << FIELD_KEY);
        put_listed_fields(b, m, "fields", ~(1u << FIELD_KEY));
        put_listed_methods(b, r, m);
        jot(b, ",'loader':%s", m->loads ? "true" : "false");
        put_links(b, m);
        buffer_char(b, '}');
    }
    jot(b, "],'links':{'self':'/models','forms':'/forms','openapi':'/openapi.json'}}");
}

void lists_put_forms(struct buffer *b, const struct registry *r)
{
    bool first = true;
    jot(b, "{'forms':[");
    for (size_t i = 0; i < r->models; i++) {
        const struct model *m = r->model[i];
        if (m->kind != MODEL_FORM) continue;
        jot_comma(b, &first);
        jot(b, "{'name':'%.*s'", SLICE_ARG(m->name));
        put_listed_fields(b, m, "inputs", 1u << FIELD_ARGUMENT);
        put_listed_methods(b, r, m);
        buffer_char(b, '}');
    }
    jot(b, "],'links':{'self':'/forms','models':'/models','openapi':'/openapi.json'}}");
}
