/* serve/failures.c -- a table of problem codes by call, and what OpenAPI wants of it: a reference for each status of a call, the
 * responses they lead to (calls that fail alike share one), an example of each problem. */
#include "serve/failures.h"

#include "base/status.h"
#include "serve/openapi_parts.h"
#include "serve/schema.h"

/* clang-format off */
#define ANY_REQUEST MALFORMED_REQUEST, REQUEST_TIMEOUT, BODY_TOO_LARGE, URI_TOO_LONG, EXPECTATION_FAILED, \
                    HEADERS_TOO_LARGE, NOT_IMPLEMENTED, OVERLOADED, VERSION_UNSUPPORTED, UNAUTHORIZED, FORBIDDEN
#define ANY_RECORD  ANY_REQUEST, KEY_REQUIRED, KEY_TYPE, UNKNOWN_KEY, STORE_UNAVAILABLE

#define ANY_SAVE    ANY_RECORD, MALFORMED_JSON, KEY_CONFLICT, UNSUPPORTED_MEDIA, UNKNOWN_FIELD, FIELD_TYPE, \
                    FIELD_REQUIRED, PRECONDITION_FAILED
#define ANY_LOAD    LOADER_ERROR, LOADER_TIMEOUT
#define ANY_CALL    ANY_RECORD, ANY_LOAD, MISSING, FIELD_TYPE
#define ANY_POST    ANY_CALL, MALFORMED_JSON, KEY_CONFLICT, UNSUPPORTED_MEDIA

#define ANY_ACTION  MALFORMED_JSON, UNSUPPORTED_MEDIA, UNKNOWN_MODEL

#define END       OK
#define CODES_MAX 32

static const struct problems {
    const char *name;
    enum status code[CODES_MAX]; /* up to END */
} problems[CALLS] = {
    [ANY]         = {"any",         {ANY_REQUEST, END}},
    [READ]        = {"read",        {ANY_RECORD, MISSING, NOT_CACHED, UNKNOWN_FIELD, END}},
    [LOAD]        = {"load",        {ANY_RECORD, MISSING, NOT_CACHED, UNKNOWN_FIELD, ANY_LOAD, END}},
    [LOOK]        = {"look",        {ANY_RECORD, MISSING, NOT_CACHED, UNKNOWN_FIELD, DEPTH_EXCEEDED, END}},
    [DOCUMENT]    = {"document",    {ANY_RECORD, MISSING, NOT_CACHED, UNKNOWN_FIELD, DEPTH_EXCEEDED, ANY_LOAD, END}},
    [SAVE]        = {"save",        {ANY_SAVE, END}},
    [VET_SAVE]    = {"vet-save",    {ANY_SAVE, REFERENCE_INVALID, ANY_LOAD, END}},
    [PATCH]       = {"patch",       {ANY_SAVE, MISSING, END}},
    [VET_PATCH]   = {"vet-patch",   {ANY_SAVE, MISSING, REFERENCE_INVALID, ANY_LOAD, END}},
    [DELETE]      = {"delete",      {ANY_RECORD, PRECONDITION_FAILED, END}},
    [SCHEMA]      = {"schema",      {ANY_REQUEST, UNKNOWN_MODEL, END}},
    [CALL]        = {"call",        {ANY_CALL, NOT_CACHED, END}},
    [POST]        = {"post",        {ANY_POST, NOT_CACHED, END}},
    [FORGET]      = {"forget",      {ANY_CALL, END}},
    [FORM_CALL]   = {"form-call",   {ANY_CALL, NOT_CACHED, FORM_INVALID, END}},
    [FORM_POST]   = {"form-post",   {ANY_POST, NOT_CACHED, FORM_INVALID, END}},
    [FORM_FORGET] = {"form-forget", {ANY_CALL, FORM_INVALID, END}},
    [TOUCH]       = {"touch",       {ANY_RECORD, ANY_ACTION, MISSING, END}},
    [INVALIDATE]  = {"invalidate",  {ANY_RECORD, ANY_ACTION, END}},
    [INVALIDATE_FORM] = {"invalidate-form", {ANY_REQUEST, MALFORMED_JSON, UNSUPPORTED_MEDIA, NOT_FOUND, STORE_UNAVAILABLE, END}},
    [INVALIDATE_TAGS] = {"invalidate-tags", {ANY_REQUEST, MALFORMED_JSON, UNSUPPORTED_MEDIA, STORE_UNAVAILABLE, END}},
    [REFRESH]     = {"refresh",     {ANY_RECORD, ANY_ACTION, MISSING, NOT_FOUND, UNKNOWN_FIELD, DEPTH_EXCEEDED, ANY_LOAD, END}},
    [BULK]        = {"bulk",        {ANY_REQUEST, ANY_ACTION, KEY_TYPE, UNKNOWN_KEY, UNKNOWN_FIELD, DEPTH_EXCEEDED, END}},
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
static void for_each_http(struct buffer *b, const struct problems *p, unsigned used,
                          void (*put)(struct buffer *b, const struct problems *p, int http, unsigned used))
{
    bool done[600] = {false};
    for (const enum status *c = p->code; *c != END; c++) {
        int http = status_http(*c);
        if (!done[http]) put(b, p, http, used);
        done[http] = true;
    }
}

static void put_problem_ref(struct buffer *b, const struct problems *p, int http, unsigned used)
{
    jot(b, ",'%d':{" REF "responses/%s.%d'}", http, response_of(p, http)->name, http);
}

/* Does a call that there is lead to this response? */
static bool is_used(const struct problems *p, int http, unsigned used)
{
    enum status code[CODES_MAX];
    for (unsigned i = 0; i < CALLS; i++)
        if (used & 1u << i && codes_of(&problems[i], http, code) && response_of(&problems[i], http) == p) return true;
    return false;
}

/* What may come with a problem of this status, beside Cache-Control. */
static void put_headers(struct buffer *b, int http)
{
    bool of_records = http == 404 || http == 422 || http == 502 || http == 503 || http == 504;
    jot(b, "'headers':{'Cache-Control':{" REF "headers/Cache-Control'}");
    if (of_records) jot(b, ",'Age':{" REF "headers/Age'},'Cache-Status':{" REF "headers/Cache-Status'}");
    if (http == 404) jot(b, ",'Cache-Groups':{" REF "headers/Cache-Groups'}");
    if (http >= 502 && http <= 504) jot(b, ",'Retry-After':{" REF "headers/Retry-After'}");
    if (http == 401 || http == 403) jot(b, ",'WWW-Authenticate':{" REF "headers/WWW-Authenticate'}");
    if (http == 415) jot(b, ",'Accept-Patch':{" REF "headers/Accept-Patch'}");
    jot(b, "},");
}

/* One response for all of p's codes of this HTTP status. */
static void put_problem(struct buffer *b, const struct problems *p, int http, unsigned used)
{
    enum status code[CODES_MAX];
    size_t n = codes_of(p, http, code);
    if (!is_used(p, http, used)) return;
    jot(b, ",'%s.%d':{'description':'", p->name, http);
    for (size_t i = 0; i < n; i++) jot(b, "%s%s: %s", i ? "; " : "", status_code(code[i]), status_title(code[i]));
    jot(b, "',");
    put_headers(b, http);
    jot(b, "'content':{'application/problem+json':{'schema':{'allOf':[{" REF "schemas/_Problem'},");
    jot(b, "{'type':'object','properties':{'status':{'const':%d},'code':{'enum':[", http);
    for (size_t i = 0; i < n; i++) jot(b, "%s'%s'", i ? "," : "", status_code(code[i]));
    jot(b, "]}}}]},'examples':{");
    for (size_t i = 0; i < n; i++)
        jot(b, "%s'%s':{" REF "examples/%s'}", i ? "," : "", status_code(code[i]), status_code(code[i]));
    jot(b, "}}}}");
}

static bool is_told(enum status code, unsigned used)
{
    for (unsigned i = 0; i < CALLS; i++)
        for (const enum status *c = problems[i].code; *c != END; c++)
            if (*c == code && used & 1u << i) return true;
    return false;
}

void failures_put_examples(struct buffer *b, unsigned used)
{
    bool first = true;
    for (int i = 0; i < STATUS_COUNT; i++) {
        enum status s = (enum status)i;
        if (!is_told(s, used)) continue;
        jot_comma(b, &first);
        jot(b, "'%s':{'summary':'%s','value':{'type':'urn:perigee:problem:%s','code':'%s','title':'%s','status':%d,",
            status_code(s), status_title(s), status_code(s), status_code(s), status_title(s), status_http(s));
        jot(b, "'detail':'%s','request':'00000000000000a7'}}", status_title(s));
    }
}

void failures_put_references(struct buffer *b, enum call_kind call)
{
    for_each_http(b, &problems[call], 0, put_problem_ref);
}

void failures_put_responses(struct buffer *b, unsigned used)
{
    for (size_t i = 0; i < CALLS; i++) for_each_http(b, &problems[i], used, put_problem);
}
