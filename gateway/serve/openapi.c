/* serve/openapi.c -- the document is written from a table of the ways in which each call fails, a function a call, and the parts
 * that all models share. What it promises is told in words by docs/http.md, and held to it by tests/e2e/describe_spec.lua. */
#include "serve/openapi.h"

#define REF "'$ref':'#/components/"

/* -- how calls fail -- */

/* clang-format off */
#define ANY_REQUEST MALFORMED_REQUEST, REQUEST_TIMEOUT, BODY_TOO_LARGE, URI_TOO_LONG, EXPECTATION_FAILED, \
                    HEADERS_TOO_LARGE, NOT_IMPLEMENTED, OVERLOADED, VERSION_UNSUPPORTED
#define ANY_RECORD  ANY_REQUEST, KEY_REQUIRED, KEY_TYPE, UNKNOWN_KEY, STORE_UNAVAILABLE

#define END       OK
#define CODES_MAX 24

enum call { ANY, READ, LOAD, SAVE, PATCH, DELETE, SCHEMA, CALLS };

static const struct problems {
    const char *name;
    enum status code[CODES_MAX]; /* up to END */
} problems[CALLS] = {
    [ANY]    = {"any",    {ANY_REQUEST, END}},
    [READ]   = {"read",   {ANY_RECORD, MISSING, NOT_CACHED, END}},
    [LOAD]   = {"load",   {ANY_RECORD, MISSING, NOT_CACHED, LOADER_ERROR, LOADER_TIMEOUT, END}},
    [SAVE]   = {"save",   {ANY_RECORD, MALFORMED_JSON, KEY_CONFLICT, UNSUPPORTED_MEDIA, UNKNOWN_FIELD, FIELD_TYPE,
                           FIELD_REQUIRED, END}},
    [PATCH]  = {"patch",  {ANY_RECORD, MISSING, MALFORMED_JSON, KEY_CONFLICT, UNSUPPORTED_MEDIA, UNKNOWN_FIELD,
                           FIELD_TYPE, FIELD_REQUIRED, END}},
    [DELETE] = {"delete", {ANY_RECORD, END}},
    [SCHEMA] = {"schema", {ANY_REQUEST, UNKNOWN_MODEL, END}},
};
/* clang-format on */

/* Those of p's codes that answer this HTTP status; how many. */
static size_t codes_of(const struct problems *p, int http, enum status code[CODES_MAX])
{
    size_t n = 0;
    for (const enum status *c = p->code; *c != END; c++)
        if (status_http(*c) == http) code[n++] = *c;
    return n;
}

/* Calls that fail alike share the response of the first of them. */
static const struct problems *response_of(const struct problems *p, int http)
{
    enum status mine[CODES_MAX], its[CODES_MAX];
    size_t n = codes_of(p, http, mine);
    const struct problems *q = problems;
    while (codes_of(q, http, its) != n || memcmp(mine, its, n * sizeof *mine) != 0) q++;
    return q;
}

/* Calls `put` for each HTTP status that is among p's codes, once. */
static void for_each_http(struct buffer *b, const struct problems *p,
                          void (*put)(struct buffer *b, const struct problems *p, int http))
{
    bool done[600] = {false};
    for (const enum status *c = p->code; *c != END; c++) {
        int http = status_http(*c);
        if (!done[http]) put(b, p, http);
        done[http] = true;
    }
}

static void put_problem_ref(struct buffer *b, const struct problems *p, int http)
{
    jot(b, ",'%d':{" REF "responses/%s.%d'}", http, response_of(p, http)->name, http);
}

/* One response for all of p's codes of this HTTP status. */
static void put_problem(struct buffer *b, const struct problems *p, int http)
{
    enum status code[CODES_MAX];
    size_t n = codes_of(p, http, code);
    if (response_of(p, http) != p) return;
    jot(b, ",'%s.%d':{'description':'", p->name, http);
    for (size_t i = 0; i < n; i++) jot(b, "%s%s: %s", i ? "; " : "", status_code(code[i]), status_title(code[i]));
    jot(b, "','headers':{'Cache-Control':{" REF "headers/Cache-Control'}%s},",
        http == 503 ? ",'Retry-After':{" REF "headers/Retry-After'}" : "");
    jot(b, "'content':{'application/problem+json':{'schema':{'allOf':[{" REF "schemas/_Problem'},");
    jot(b, "{'type':'object','properties':{'status':{'const':%d},'code':{'enum':[", http);
    for (size_t i = 0; i < n; i++) jot(b, "%s'%s'", i ? "," : "", status_code(code[i]));
    jot(b, "]}}}]},'examples':{");
    for (size_t i = 0; i < n; i++)
        jot(b, "%s'%s':{" REF "examples/%s'}", i ? "," : "", status_code(code[i]), status_code(code[i]));
    jot(b, "}}}}");
}

static bool is_told(enum status code)
{
    for (size_t i = 0; i < CALLS; i++)
        for (const enum status *c = problems[i].code; *c != END; c++)
            if (*c == code) return true;
    return false;
}

static void put_problem_examples(struct buffer *b)
{
    bool first = true;
    for (int i = 0; i < STATUS_COUNT; i++) {
        enum status s = (enum status)i;
        if (!is_told(s)) continue;
        jot_comma(b, &first);
        jot(b, "'%s':{'summary':'%s','value':{'type':'urn:perigee:problem:%s','code':'%s','title':'%s','status':%d,",
            status_code(s), status_title(s), status_code(s), status_code(s), status_title(s), status_http(s));
        jot(b, "'request':'00000000000000a7'}}");
    }
}

/* -- the calls of a model -- */

#define RECORD_HEADERS                                                                                                 \
    "'headers':{'ETag':{" REF "headers/ETag'},'Age':{" REF "headers/Age'},'Cache-Control':{" REF                       \
    "headers/Cache-Control'},'Cache-Status':{" REF "headers/Cache-Status'}}"
#define CONTENT "'content':{'application/json':{'schema':{" REF "schemas/%.*s'}}}"

/* "METHOD":{... up to the first of its responses. `verb` before the model's name is the operationId. */
static void begin_call(struct buffer *b, const struct model *m, const char *method, const char *verb, const char *text)
{
    jot(b, "'%s':{'operationId':'%s%.*s','tags':['%.*s'],%s,", method, verb, SLICE_ARG(m->name), SLICE_ARG(m->name),
        text);
}

static void end_call(struct buffer *b, enum call call)
{
    for_each_http(b, &problems[call], put_problem_ref);
    jot(b, "}}");
}

static void put_get(struct buffer *b, const struct model *m)
{
    bool can_load = m->loads;
    begin_call(b, m, "get", "get",
               can_load
                   ? "'summary':'Read a record','description':'From the cache, or else by its loader: however many ask "
                     "at once, it runs once.'"
                   : "'summary':'Read a record','description':'From the cache.'");
    jot(b, "'parameters':[{" REF "parameters/If-None-Match'},{" REF "parameters/Cache-Control.read'}],");
    jot(b, "'responses':{'200':{'description':'The record.'," RECORD_HEADERS "," CONTENT "},", SLICE_ARG(m->name));
    jot(b, "'304':{" REF "responses/not-modified'}");
    end_call(b, can_load ? LOAD : READ);
}

static void put_head(struct buffer *b, const struct model *m)
{
    begin_call(b, m, "head", "head",
               "'summary':'Look for a record','description':'The headers of a read. Never starts a loader.'");
    jot(b, "'parameters':[{" REF "parameters/If-None-Match'},{" REF "parameters/Cache-Control.read'}],");
    jot(b, "'responses':{'200':{" REF "responses/found'},'304':{" REF "responses/not-modified'}");
    end_call(b, READ);
}

static void put_key(struct buffer *b, const struct model *m, const struct field *f, bool required)
{
    jot(b, "{'name':'%.*s','in':'query','required':%s,", SLICE_ARG(f->name), required ? "true" : "false");
    schema_put_description(b, f);
    jot(b, ",'schema':{" REF "schemas/%.*s/properties/%.*s'},'example':", SLICE_ARG(m->name), SLICE_ARG(f->name));
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
        put_key(b, m, &m->field[i], false);
        buffer_char(b, ',');
    }
    jot(b, "{" REF "parameters/_expires'},{" REF "parameters/Cache-Control.save'},{" REF "parameters/Prefer'}],");
    jot(b, "'requestBody':{'required':true,'content':{'application/json':{'schema':{" REF "schemas/%.*s.save'}}}},",
        SLICE_ARG(m->name));
    jot(b,
        "'responses':{'200':{'description':'The record has been replaced. As it is now, because Prefer asked for it.',"
        "'headers':{'ETag':{" REF "headers/ETag'},'Preference-Applied':{" REF "headers/Preference-Applied'}}," CONTENT
        "},",
        SLICE_ARG(m->name));
    jot(b,
        "'201':{'description':'The record is new. It is in the body if Prefer asked for "
        "it.','headers':{'Location':{" REF "headers/Location'},'ETag':{" REF "headers/ETag'},'Preference-Applied':{" REF
        "headers/Preference-Applied'}}," CONTENT "},'204':{" REF "responses/saved'}",
        SLICE_ARG(m->name));
    end_call(b, SAVE);
}

static void put_patch(struct buffer *b, const struct model *m)
{
    begin_call(b, m, "patch", "patch",
               "'summary':'Change a record','description':'A merge patch (RFC 7396), in one step: members of the body "
               "replace those of the record, null removes them, objects are merged. Nothing is loaded.'");
    jot(b, "'parameters':[{" REF "parameters/_expires'},{" REF "parameters/Cache-Control.save'},{" REF
           "parameters/Prefer'}],");
    jot(b, "'requestBody':{'required':true,'content':{'application/"
           "merge-patch+json':{'schema':{'type':'object'},'example':{}}}},");
    jot(b,
        "'responses':{'200':{'description':'The record has been changed. As it is now, because Prefer asked for it.',"
        "'headers':{'ETag':{" REF "headers/ETag'},'Preference-Applied':{" REF "headers/Preference-Applied'}}," CONTENT
        "},'204':{" REF "responses/saved'}",
        SLICE_ARG(m->name));
    end_call(b, PATCH);
}

static void put_delete(struct buffer *b, const struct model *m)
{
    begin_call(b, m, "delete", "delete", "'summary':'Delete a record','description':'Whether it is there or not.'");
    jot(b, "'responses':{'204':{" REF "responses/deleted'}");
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
        put_key(b, m, f, !f->default_json.p);
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

/* -- the calls that describe -- */

#define TAG "About this gateway"

/* A path with its one call; `parameters` end with a comma. */
static void put_description(struct buffer *b, const char *path, const char *id, const char *summary,
                            const char *media_type, const char *schema, enum call call)
{
    jot(b,
        "'%s':{'get':{'operationId':'%s','tags':['" TAG "'],'summary':'%s','description':'Changes when the models are "
        "reloaded.','parameters':[{" REF "parameters/If-None-Match'}],",
        path, id, summary);
    jot(b,
        "'responses':{'200':{'description':'The description.','headers':{'ETag':{" REF
        "headers/ETag'},'Cache-Control':{" REF "headers/Cache-Control'}},'content':{'%s':{'schema':{%s}}}},'304':{" REF
        "responses/not-modified'}",
        media_type, schema);
    end_call(b, call);
}

static void put_descriptions(struct buffer *b, const struct registry *r)
{
    put_description(b, "/models", "listModels", "List the models", "application/json", REF "schemas/_Models'", ANY);
    jot(b, "},");
    put_description(b, "/openapi.json", "describeGateway", "This document", "application/json", "'type':'object'", ANY);
    buffer_char(b, '}');
    if (r->models == 0) return;
    buffer_char(b, ',');
    put_description(b, "/models/{model}/_schema", "describeModel", "The JSON Schema of a record",
                    "application/schema+json", "'type':'object'", SCHEMA);
    jot(b, ",'parameters':[{'name':'model','in':'path','required':true,'description':'The name of a model.',"
           "'schema':{'type':'string','enum':[");
    for (size_t i = 0; i < r->models; i++) jot(b, "%s'%.*s'", i ? "," : "", SLICE_ARG(r->model[i]->name));
    jot(b, "]}}]}");
}

/* -- what all share -- */

static const char information[] =
    "'openapi':'3.1.0','info':{'title':'Perigee','version':'" PERIGEE_VERSION "','summary':'A cache gateway',"
    "'description':'The records of the models that this gateway has loaded. Keys are query parameters, parsed to their "
    "types and never "
    "converted; names that begin with an underscore are options. JSON is kept as it was saved: the spelling of every "
    "number, integers "
    "of any length. Every error is a problem (RFC 9457). Every path answers OPTIONS with 204 and Allow, HEAD where it "
    "answers GET, and methods "
    "that it does not "
    "take with 405 (method-not-allowed) and Allow; a path that is not here is 404 (not-found or unknown-model).'},"
    "'servers':[{'url':'/','description':'This gateway'}],'security':[],'tags':[{'name':'" TAG
    "','description':'Its models, for "
    "programs.'}";

static const char headers[] =
    "'ETag':{'description':'The strong entity tag.','schema':{'type':'string'},'example':'\\\"0d3a52ac4d1e7b90\\\"'},"
    "'Age':{'description':'Seconds since the record was stored.','schema':{'type':'integer','minimum':0},'example':42},"
    "'Cache-Control':{'description':'What is left of its life, as max-age; no-store where the answer is not kept; "
    "no-cache for "
    "descriptions.','schema':{'type':'string'},'example':'max-age=258'},"
    "'Cache-Status':{'description':'Where the answer came from (RFC 9211).','schema':{'type':'string'},"
    "'example':'perigee; hit; ttl=258; detail=memory'},"
    "'Location':{'description':'Where the record is read.','schema':{'type':'string','format':'uri-reference'}},"
    "'Preference-Applied':{'description':'The preference that was followed (RFC 7240).','schema':{'type':'string'},"
    "'example':'return=representation'},"
    "'Retry-After':{'description':'Seconds until another try is worth "
    "it.','schema':{'type':'integer','minimum':0},'example':1}";

static const char parameters[] =
    "'If-None-Match':{'name':'If-None-Match','in':'header','description':'Entity tags that the client has, or *: 304 "
    "when the answer "
    "has one of them.','schema':{'type':'string'},'example':'\\\"0d3a52ac4d1e7b90\\\"'},"
    "'Cache-Control.read':{'name':'Cache-Control','in':'header','description':'only-if-cached: 504 (not-cached) "
    "instead of a load. "
    "no-cache: load without looking, when the model has a "
    "loader.','schema':{'type':'string'},'example':'only-if-cached'},"
    "'Cache-Control.save':{'name':'Cache-Control','in':'header','description':'max-age: seconds that this record is "
    "kept; _expires "
    "beats it, and it beats what the model says.','schema':{'type':'string'},'example':'max-age=60'},"
    "'_expires':{'name':'_expires','in':'query','description':'How long this record is kept: seconds, or a number with "
    "ms, s, m, h or "
    "d.','schema':{'type':'string','pattern':'^[0-9]+([.][0-9]+)?(ms|s|m|h|d)?$'},'example':'90s'},"
    "'Prefer':{'name':'Prefer','in':'header','description':'return=representation: answer with the record (RFC 7240).',"
    "'schema':{'type':'string'},'example':'return=representation'}";

static const char responses[] =
    "'found':{'description':'The record is there.'," RECORD_HEADERS "},"
    "'not-modified':{'description':'The client has it already.'," RECORD_HEADERS "},"
    "'saved':{'description':'The record is saved.','headers':{'ETag':{" REF "headers/ETag'}}},"
    "'deleted':{'description':'The record is not there, whether it was or not.'}";

static const char schemas[] =
    "'_Problem':{'title':'Problem','description':'What went wrong (RFC 9457).','type':'object','properties':{"
    "'type':{'type':'string','description':'urn:perigee:problem: and the code.'},"
    "'code':{'type':'string','description':'The kind of problem, for programs.'},"
    "'title':{'type':'string','description':'The kind of problem, for people.'},"
    "'status':{'type':'integer','description':'The HTTP status.'},"
    "'detail':{'type':'string','description':'What was wrong this time.'},"
    "'path':{'type':'string','description':'The key, field or option concerned.'},"
    "'model':{'type':'string','description':'The model concerned.'},"
    "'keys':{'type':'object','description':'The keys of the record concerned.'},"
    "'request':{'type':'string','pattern':'^[0-9a-f]{16}$','description':'The number under which the log speaks of the "
    "request.'}},"
    "'required':['type','code','title','status']},"
    "'_Field':{'title':'Field','description':'A key or a field of a model.','type':'object','properties':{"
    "'name':{'type':'string'},'type':{'enum':['any','string','integer','number','boolean','array','object']},"
    "'required':{'type':'boolean','description':'Must it be given?'},"
    "'default':{'description':'What is taken when it is not.'}},'required':['name','type','required']},"
    "'_Models':{'title':'Models','description':'The models, in the order in which they were declared.','type':'object',"
    "'properties':{'models':{'type':'array','items':{'type':'object','properties':{'name':{'type':'string'},"
    "'keys':{'type':'array','items':{" REF "schemas/_Field'}},'fields':{'type':'array','items':{" REF
    "schemas/_Field'}},"
    "'loader':{'type':'boolean','description':'Are missing records loaded?'},'links':{'type':'object','properties':{"
    "'record':{'type':'string','description':'A URI template (RFC "
    "6570).'},'schema':{'type':'string','format':'uri-reference'}},"
    "'required':['record','schema']}},'required':['name','keys','fields','loader','links']}},"
    "'links':{'type':'object','properties':{'self':{'type':'string','format':'uri-reference'},"
    "'openapi':{'type':'string','format':'uri-reference'}},'required':['self','openapi']}},'required':['models','links'"
    "]}";

static void put_tag(struct buffer *b, const struct model *m)
{
    jot(b, ",{'name':'%.*s','description':'Records of model %.*s%s.'}", SLICE_ARG(m->name), SLICE_ARG(m->name),
        m->loads ? ", loaded when they are missing" : "");
}

static void put_schemas(struct buffer *b, const struct model *m)
{
    jot(b, ",'%.*s':{", SLICE_ARG(m->name));
    schema_put_record(b, m, SCHEMA_RECORD);
    jot(b, "},'%.*s.save':{", SLICE_ARG(m->name));
    schema_put_record(b, m, SCHEMA_SAVE);
    buffer_char(b, '}');
}

void openapi_put(struct buffer *b, const struct registry *r)
{
    jot(b, "{%s", information);
    for (size_t i = 0; i < r->models; i++) put_tag(b, r->model[i]);
    jot(b, "],'paths':{");
    put_descriptions(b, r);
    for (size_t i = 0; i < r->models; i++) put_model(b, r->model[i]);
    jot(b, "},'components':{'headers':{%s},'parameters':{%s},'examples':{", headers, parameters);
    put_problem_examples(b);
    jot(b, "},'responses':{%s", responses);
    for (size_t i = 0; i < CALLS; i++) for_each_http(b, &problems[i], put_problem);
    jot(b, "},'schemas':{%s", schemas);
    for (size_t i = 0; i < r->models; i++) put_schemas(b, r->model[i]);
    jot(b, "}}}");
}
