/* serve/openapi.c -- the document is written by a function a call, from a table of the ways in which each fails (failures.c) and the
 * parts that all share (openapi_parts.c). What it promises is told in words by docs/http.md, and held to it by
 * tests/e2e/describe_spec.lua. */
#include "serve/openapi.h"

#include "serve/failures.h"
#include "serve/openapi_actions.h"
#include "serve/openapi_parts.h"
#include "serve/schema.h"

/* -- kinds of calls -- */

/* Has it references, whose targets may be saved too, or handlers of its own that judge what is saved? */
static bool is_vetted(const struct model *m) { return m->refers || m->options.validate || m->options.tags; }

static enum call_kind get_kind(const struct model *m) { return m->refers ? DOCUMENT : m->loads ? LOAD : READ; }
static enum call_kind head_kind(const struct model *m) { return m->refers ? LOOK : READ; }
static enum call_kind save_kind(const struct model *m) { return is_vetted(m) ? VET_SAVE : SAVE; }
static enum call_kind patch_kind(const struct model *m) { return is_vetted(m) ? VET_PATCH : PATCH; }

static unsigned kinds_of(const struct model *m)
{
    switch (m->kind) {
    case MODEL_METHOD: return 1u << CALL | 1u << POST | 1u << FORGET;
    case MODEL_FORM_METHOD: return 1u << FORM_CALL | 1u << FORM_POST | 1u << FORM_FORGET;
    case MODEL_FORM: return 0;
    default:
        return 1u << get_kind(m) | 1u << head_kind(m) | 1u << save_kind(m) | 1u << patch_kind(m) | 1u << DELETE |
               1u << SCHEMA;
    }
}

/* -- the calls of a model -- */

#define CONDITIONS "{" REF "parameters/If-Match'},{" REF "parameters/If-None-Match.write'}"

#define CONTENT "'content':{'application/json':{'schema':{" REF "schemas/%.*s'}}}"

/* "METHOD":{... up to the first of its responses. `verb` before the model's name is the operationId. */
static void begin_call(struct buffer *b, const struct model *m, const char *method, const char *verb, const char *text)
{
    jot(b, "'%s':{'operationId':'%s%.*s','tags':['%.*s'],%s,", method, verb, SLICE_ARG(m->name), SLICE_ARG(m->name),
        text);
}

static void end_call(struct buffer *b, enum call_kind call)
{
    failures_put_references(b, call);
    jot(b, "}}");
}

/* The parameters of a read beside its keys: how much is answered, and what the client has already. */
static void put_read_parameters(struct buffer *b, const struct model *m)
{
    jot(b, "'parameters':[");
    if (m->refers) jot(b, "{" REF "parameters/_depth'},{" REF "parameters/_include'},");
    jot(b, "{" REF "parameters/_fields'},{" REF "parameters/_explain'},{" REF "parameters/If-None-Match'},{" REF
           "parameters/Cache-Control.read'}],");
}

static void put_get(struct buffer *b, const struct model *m)
{
    bool can_load = m->loads;
    begin_call(b, m, "get", "get",
               can_load
                   ? "'summary':'Read a record','description':'From the cache, or else by its loader: however many ask "
                     "at once, it runs once.'"
                   : "'summary':'Read a record','description':'From the cache.'");
    put_read_parameters(b, m);
    jot(b, "'responses':{'200':{'description':'The record.'," RECORD_HEADERS "," CONTENT "},", SLICE_ARG(m->name));
    jot(b, "'304':{" REF "responses/not-modified'}");
    end_call(b, get_kind(m));
}

static void put_head(struct buffer *b, const struct model *m)
{
    begin_call(b, m, "head", "head",
               "'summary':'Look for a record','description':'The headers of a read. Never starts a loader.'");
    put_read_parameters(b, m);
    jot(b, "'responses':{'200':{" REF "responses/found'},'304':{" REF "responses/not-modified'}");
    end_call(b, head_kind(m));
}

/* `of`: the schema that has it among its properties. */
static void put_parameter(struct buffer *b, struct slice of, const struct model *m, const struct field *f,
                          bool required)
{
    jot(b, "{'name':'%.*s','in':'query','required':%s,", SLICE_ARG(f->name), required ? "true" : "false");
    schema_put_description(b, m, f);
    jot(b, ",'schema':{" REF "schemas/%.*s/properties/%.*s'},'example':", SLICE_ARG(of), SLICE_ARG(f->name));
    schema_put_example(b, f);
    buffer_char(b, '}');
}

/* Its body may have the keys: so they are parameters again, none of them required. */
static void put_put(struct buffer *b, const struct model *m)
{
    begin_call(
        b, m, "put", "save",
        "'summary':'Save a record','description':'Replaces the whole of it. Keys stand in the query or in the body, "
        "or in both where they agree.'");
    jot(b, "'parameters':[");
    for (size_t i = 0; i < m->fields; i++) {
        if (m->field[i].kind != FIELD_KEY || m->field[i].default_json.p) continue;
        put_parameter(b, m->name, m, &m->field[i], false);
        buffer_char(b, ',');
    }
    if (m->refers) jot(b, "{" REF "parameters/_cascade'},");
    jot(b, CONDITIONS ",{" REF "parameters/_expires'},{" REF "parameters/Cache-Control.save'},{" REF
                      "parameters/Prefer'}],");
    jot(b, "'requestBody':{'required':true,'content':{'application/json':{'schema':{" REF "schemas/%.*s.save'}}}},",
        SLICE_ARG(m->name));
    jot(b,
        "'responses':{'200':{'description':'The record has been replaced. As it is now, because Prefer asked for it.',"
        "'headers':{'ETag':{" REF "headers/ETag'},'Preference-Applied':{" REF
        "headers/Preference-Applied'}," INVALIDATION "}," CONTENT "},",
        SLICE_ARG(m->name));
    /* Its schema is that of 200. It is not said here, since then tools insist on a body. */
    jot(b,
        "'201':{'description':'The record is new. It is in the body, as with 200, if Prefer asked for "
        "it.','headers':{'Location':{" REF "headers/Location'},'ETag':{" REF "headers/ETag'},'Preference-Applied':{" REF
        "headers/Preference-Applied'}," INVALIDATION "}},'204':{" REF "responses/saved'}");
    end_call(b, save_kind(m));
}

static void put_patch(struct buffer *b, const struct model *m)
{
    begin_call(b, m, "patch", "patch",
               "'summary':'Change a record','description':'A merge patch (RFC 7396), in one step: members of the body "
               "replace those of the record, null removes them, objects are merged. Nothing is loaded.'");
    jot(b, "'parameters':[" CONDITIONS ",{" REF "parameters/_expires'},{" REF "parameters/Cache-Control.save'},{" REF
           "parameters/Prefer'}],");
    jot(b, "'requestBody':{'required':true,'content':{'application/"
           "merge-patch+json':{'schema':{'type':'object'},'example':{}}}},");
    jot(b,
        "'responses':{'200':{'description':'The record has been changed. As it is now, because Prefer asked for it.',"
        "'headers':{'ETag':{" REF "headers/ETag'},'Preference-Applied':{" REF
        "headers/Preference-Applied'}," INVALIDATION "}," CONTENT "},'204':{" REF "responses/saved'}",
        SLICE_ARG(m->name));
    end_call(b, patch_kind(m));
}

static void put_delete(struct buffer *b, const struct model *m)
{
    begin_call(b, m, "delete", "delete", "'summary':'Delete a record','description':'Whether it is there or not.'");
    jot(b, "'parameters':[" CONDITIONS "],'responses':{'204':{" REF "responses/deleted'}");
    end_call(b, DELETE);
}

static void put_model(struct buffer *b, const struct model *m)
{
    bool first = true;
    jot(b, ",'/models/%.*s':{'parameters':[", SLICE_ARG(m->name));
    for (size_t i = 0; i < m->fields; i++) {
        const struct field *f = &m->field[i];
        if (f->kind != FIELD_KEY) continue;
        jot_comma(b, &first);
        put_parameter(b, m->name, m, f, !f->default_json.p);
    }
    jot(b, "],");
    put_get(b, m);
    buffer_char(b, ',');
    put_head(b, m);
    buffer_char(b, ',');
    put_put(b, m);
    buffer_char(b, ',');
    put_patch(b, m);
    buffer_char(b, ',');
    put_delete(b, m);
    buffer_char(b, '}');
}

/* -- the calls of a method -- */

#define MEDIA "{'schema':{" REF "schemas/%.*s'}}"

/* As begin_call, with the parameters in the query; `more` parameters end with a comma. */
static void begin_method(struct buffer *b, const struct model *m, const char *method, const char *verb,
                         const char *text, const char *more)
{
    struct schema_parameter p[SCHEMA_PARAMETERS_MAX];
    size_t n = schema_parameters(m, p);
    bool first = true;
    jot(b, "'%s':{'operationId':'%s%.*s','tags':['%.*s'],%s,'parameters':[", method, verb, SLICE_ARG(m->name),
        SLICE_ARG(m->owner->name), text);
    for (size_t i = 0; i < n; i++) {
        jot_comma(b, &first);
        put_parameter(b, m->name, p[i].of, p[i].field, p[i].required);
    }
    if (*more && !first) buffer_char(b, ',');
    jot(b, "%s],'responses':{", more);
}

static void put_result(struct buffer *b)
{
    jot(b, "'200':{'description':'The result.'," RECORD_HEADERS ",'content':{'application/json':{'schema':{}}}}");
}

static void put_post(struct buffer *b, const struct model *m, bool form)
{
    jot(b,
        "'post':{'operationId':'post%.*s','tags':['%.*s'],'summary':'Get a result','description':'As GET. Parameters "
        "stand in the body, in the query, or in both where they agree.','parameters':[{" REF
        "parameters/_explain'},{" REF "parameters/Cache-Control.read'}],",
        SLICE_ARG(m->name), SLICE_ARG(m->owner->name));
    jot(b,
        "'requestBody':{'required':true,'content':{'application/json':" MEDIA
        ",'application/x-www-form-urlencoded':" MEDIA "}},'responses':{",
        SLICE_ARG(m->name), SLICE_ARG(m->name));
    put_result(b);
    end_call(b, form ? FORM_POST : POST);
}

static void put_method(struct buffer *b, const struct model *m)
{
    static const char conditions[] =
        "{" REF "parameters/_explain'},{" REF "parameters/If-None-Match'},{" REF "parameters/Cache-Control.read'}";
    bool form = m->kind == MODEL_FORM_METHOD;
    struct slice name = model_method_name(m);
    jot(b, ",'/%s/%.*s/%.*s':{", form ? "forms" : "models", SLICE_ARG(m->owner->name), SLICE_ARG(name));
    begin_method(
        b, m, "get", "call",
        "'summary':'Get a result','description':'From the cache, or else made by the method: however many ask at "
        "once, it runs once.'",
        conditions);
    put_result(b);
    jot(b, ",'304':{" REF "responses/not-modified'}");
    end_call(b, form ? FORM_CALL : CALL);
    buffer_char(b, ',');
    begin_method(b, m, "head", "head",
                 "'summary':'Look for a result','description':'The headers of GET. Never runs the method.'",
                 conditions);
    jot(b, "'200':{" REF "responses/found'},'304':{" REF "responses/not-modified'}");
    end_call(b, form ? FORM_CALL : CALL);
    buffer_char(b, ',');
    put_post(b, m, form);
    buffer_char(b, ',');
    begin_method(b, m, "delete", "forget",
                 "'summary':'Forget a result','description':'Whether it is there or not. The next call makes it anew.'",
                 "");
    jot(b, "'204':{" REF "responses/forgotten'}");
    end_call(b, form ? FORM_FORGET : FORGET);
    buffer_char(b, '}');
}

/* -- the calls that describe -- */

/* A path with its one call; `parameters` end with a comma. */
static void put_description(struct buffer *b, const char *path, const char *id, const char *summary,
                            const char *media_type, const char *schema, enum call_kind call)
{
    jot(b,
        "'%s':{'get':{'operationId':'%s','tags':['" OPENAPI_TAG
        "'],'summary':'%s','description':'Changes when the models are "
        "reloaded.','parameters':[{" REF "parameters/If-None-Match'}],",
        path, id, summary);
    jot(b,
        "'responses':{'200':{'description':'The description.','headers':{'ETag':{" REF
        "headers/ETag'},'Cache-Control':{" REF "headers/Cache-Control'},'Vary':{" REF
        "headers/Vary'},'Content-Encoding':{" REF
        "headers/Content-Encoding'}},'content':{'%s':{'schema':{%s}}}},'304':{" REF "responses/not-modified'}",
        media_type, schema);
    end_call(b, call);
}

static void put_descriptions(struct buffer *b, const struct registry *r)
{
    put_description(b, "/models", "listModels", "List the models", "application/json", REF "schemas/_Models'", ANY);
    jot(b, "},");
    put_description(b, "/forms", "listForms", "List the forms", "application/json", REF "schemas/_Forms'", ANY);
    jot(b, "},");
    put_description(b, "/openapi.json", "describeGateway", "This document", "application/json", "'type':'object'", ANY);
    buffer_char(b, '}');
    if (!openapi_has_records(r)) return;
    buffer_char(b, ',');
    put_description(b, "/models/{model}/_schema", "describeModel", "The JSON Schema of a record",
                    "application/schema+json", "'type':'object'", SCHEMA);
    buffer_char(b, ',');
    openapi_put_model_parameter(b, r, false);
    buffer_char(b, '}');
}

/* -- the whole -- */

static void put_tag(struct buffer *b, const struct model *m)
{
    jot(b, ",{'name':'%.*s','description':'", SLICE_ARG(m->name));
    if (m->kind == MODEL_FORM) jot(b, "Methods of form %.*s", SLICE_ARG(m->name));
    else jot(b, "Records of model %.*s%s", SLICE_ARG(m->name), m->loads ? ", loaded when they are missing" : "");
    jot(b, ".'}");
}

static void put_schemas(struct buffer *b, const struct model *m)
{
    jot(b, ",'%.*s':{", SLICE_ARG(m->name));
    if (m->owner) {
        schema_put_parameters(b, m);
    } else {
        schema_put_record(b, m, SCHEMA_COMPONENT);
        jot(b, "},'%.*s.save':{", SLICE_ARG(m->name));
        schema_put_record(b, m, SCHEMA_SAVE);
    }
    buffer_char(b, '}');
}

void openapi_put(struct buffer *b, const struct registry *r)
{
    unsigned used = 1u << ANY | openapi_action_kinds(r); /* kinds of calls */
    bool refers = false, calls = false;
    jot(b, "{%s", openapi_information);
    for (size_t i = 0; i < r->models; i++)
        if (!r->model[i]->owner) put_tag(b, r->model[i]);
    if (openapi_has_records(r)) jot(b, ",{'name':'" OPENAPI_TAG_ACTIONS "','description':'Of any model.'}");
    jot(b, "],'paths':{");
    put_descriptions(b, r);
    openapi_put_actions(b, r);
    for (size_t i = 0; i < r->models; i++) {
        const struct model *m = r->model[i];
        used |= kinds_of(m);
        refers |= m->refers;
        calls |= m->owner != NULL;
        if (m->owner) put_method(b, m);
        else if (m->kind == MODEL_RECORD) put_model(b, m);
    }
    jot(b, "},'components':{'securitySchemes':{%s},'headers':{%s},'parameters':{%s%s},'examples':{", openapi_security,
        openapi_headers, openapi_parameters, refers ? openapi_parameters_of_references : "");
    failures_put_examples(b, used);
    jot(b, "},'responses':{%s%s", openapi_responses, calls ? openapi_responses_of_methods : "");
    failures_put_responses(b, used);
    jot(b, "},'schemas':{%s", openapi_schemas);
    for (size_t i = 0; i < r->models; i++)
        if (r->model[i]->kind != MODEL_FORM) put_schemas(b, r->model[i]);
    openapi_put_action_schemas(b, r);
    jot(b, "}}}");
}
