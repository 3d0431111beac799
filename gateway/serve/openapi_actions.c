/* serve/openapi_actions.c -- what bodies the actions take, and what they answer. */
#include "serve/openapi_actions.h"

#include "serve/failures.h"
#include "serve/openapi_parts.h"
#include "serve/schema.h"

static bool has(const struct model *m, bool loaders) { return m->kind == MODEL_RECORD && (m->loads || !loaders); }

static bool any(const struct registry *r, bool loaders)
{
    for (size_t i = 0; i < r->models; i++)
        if (has(r->model[i], loaders)) return true;
    return false;
}

/* The model in examples. */
static const struct model *first(const struct registry *r, bool loaders)
{
    size_t i = 0;
    while (!has(r->model[i], loaders)) i++;
    return r->model[i];
}

bool openapi_has_records(const struct registry *r) { return any(r, false); }
bool openapi_has_loaders(const struct registry *r) { return any(r, true); }

void openapi_put_model_parameter(struct buffer *b, const struct registry *r, bool loaders)
{
    bool is_first = true;
    jot(b,
        "'parameters':[{'name':'model','in':'path','required':true,'description':'The name of a model%s.','schema':{"
        "'type':'string','enum':[",
        loaders ? " that loads what is missing" : "");
    for (size_t i = 0; i < r->models; i++) {
        if (!has(r->model[i], loaders)) continue;
        jot_comma(b, &is_first);
        jot(b, "'%.*s'", SLICE_ARG(r->model[i]->name));
    }
    jot(b, "]},'example':'%.*s'}]", SLICE_ARG(first(r, loaders)->name));
}

#define VIEW       "{" REF "parameters/_fields'}"
#define REFERENCES ",{" REF "parameters/_depth'},{" REF "parameters/_include'}"
#define TERMS      ",{" REF "parameters/_expires'},{" REF "parameters/Prefer'}"

static bool refers(const struct registry *r)
{
    for (size_t i = 0; i < r->models; i++)
        if (r->model[i]->refers) return true;
    return false;
}

/* One path with its one call, up to its responses: of one record's keys, or of many; `id` is the action's name with a capital, `parameters` members of the call. */
static void begin(struct buffer *b, const struct registry *r, const char *action, const char *id, bool of_many,
                  bool loaders, const char *text, const char *parameters)
{
    jot(b, ",'/models/{model}/_%s':{", action);
    openapi_put_model_parameter(b, r, loaders);
    jot(b,
        ",'post':{'operationId':'%s','tags':['" OPENAPI_TAG_ACTIONS "'],%s,%s'requestBody':{'required':true,'content':{"
        "'application/json':{'schema':{" REF "schemas/_%s'},'example':{%s",
        action, text, parameters, id, of_many ? "'get':[" : "'keys':");
    schema_put_key_example(b, first(r, loaders));
    jot(b, of_many ? "]}}}},'responses':{" : "}}}},'responses':{");
}

static void end(struct buffer *b, enum call_kind kind)
{
    failures_put_references(b, kind);
    jot(b, "}}}");
}

static void put_refresh(struct buffer *b, const struct registry *r)
{
    begin(
        b, r, "refresh", "Refresh", false, true,
        "'summary':'Load a record','description':'Whether it is there or not. With `wait` the answer is the record, as "
        "a read with no-cache answers it; without, it is loaded behind the answer.'",
        refers(r) ? "'parameters':[" VIEW REFERENCES "]," : "'parameters':[" VIEW "],");
    jot(b, "'200':{'description':'The record.'," RECORD_HEADERS ",'content':{'application/json':{'schema':{"
           "'type':'object'}}}},'202':{'description':'It is being loaded.'}");
    end(b, REFRESH);
}

#define INVALIDATED                                                                                                    \
    "'204':{'description':'They are not there any more, or only as a fallback.','headers':{" INVALIDATION "}}"

static void put_invalidate_tags(struct buffer *b)
{
    jot(b,
        ",'/_invalidate':{'post':{'operationId':'invalidateTags','tags':['" OPENAPI_TAG_ACTIONS
        "'],'summary':'Invalidate what carries a tag','description':'Records and results of all models that carry one "
        "of these tags, all together.','requestBody':{'required':true,'content':{'application/json':{'schema':{" REF
        "schemas/_InvalidateTags'},'example':{'tags':['acme']}}}},'responses':{" INVALIDATED);
    end(b, INVALIDATE_TAGS);
}

static void put_invalidate_form(struct buffer *b, const struct registry *r)
{
    bool is_first = true;
    struct slice example = {NULL, 0};
    jot(b, ",'/forms/{form}/_invalidate':{'parameters':[{'name':'form','in':'path','required':true,'description':'The "
           "name of a form.','schema':{'type':'string','enum':[");
    for (size_t i = 0; i < r->models; i++) {
        if (r->model[i]->kind != MODEL_FORM) continue;
        example = r->model[i]->name;
        jot_comma(b, &is_first);
        jot(b, "'%.*s'", SLICE_ARG(example));
    }
    jot(b, "]},'example':'%.*s'}],", SLICE_ARG(example));
    jot(b, "'post':{'operationId':'invalidateForm','tags':['" OPENAPI_TAG_ACTIONS
           "'],'summary':'Invalidate all results of a form','description':'Those of all its methods, "
           "together.','requestBody':{'required':true,'content':{"
           "'application/json':{'schema':{" REF
           "schemas/_InvalidateForm'},'example':{'all':true}}}},'responses':{" INVALIDATED);
    end(b, INVALIDATE_FORM);
}

static bool has_forms(const struct registry *r)
{
    for (size_t i = 0; i < r->models; i++)
        if (r->model[i]->kind == MODEL_FORM) return true;
    return false;
}

void openapi_put_actions(struct buffer *b, const struct registry *r)
{
    put_invalidate_tags(b);
    if (has_forms(r)) put_invalidate_form(b, r);
    if (!openapi_has_records(r)) return;
    begin(b, r, "touch", "Touch", false, false,
          "'summary':'Give a record a new life','description':'As if it had just been saved. Nothing is loaded.'", "");
    jot(b, "'204':{" REF "responses/saved'}");
    end(b, TOUCH);
    begin(b, r, "invalidate", "Invalidate", false, false,
          "'summary':'Invalidate a record, or all of the model','description':'Whether they are there or not. What is "
          "being loaded meanwhile is not kept. All of a model are its records, what is known to be missing, and the "
          "results of "
          "its methods.'",
          "");
    jot(b, INVALIDATED);
    end(b, INVALIDATE);
    if (openapi_has_loaders(r)) put_refresh(b, r);
    begin(b, r, "bulk", "Bulk", true, false,
          "'summary':'Read, save and delete many records','description':'Reads see what is there before the writes; "
          "deletes come after saves. Each has an end of its own.'",
          refers(r) ? "'parameters':[" VIEW REFERENCES TERMS ",{" REF "parameters/_cascade'}],"
                    : "'parameters':[" VIEW TERMS "],");
    jot(b, "'200':{'description':'What came of each, in its place.','headers':{'Cache-Control':{" REF
           "headers/Cache-Control'}," INVALIDATION "},'content':{'application/json':{'schema':{" REF
           "schemas/_Bulked'}}}}");
    end(b, BULK);
}

#define KEYS "'keys':{'type':'object','description':'The keys of the record.'}"

#define MODE                                                                                                           \
    "'mode':{'enum':['remove','expire'],'default':'remove','description':'expire: they are kept as a fallback, where " \
    "the "                                                                                                             \
    "model answers stale records.'}"
#define ALL "'all':{'const':true,'description':'All of the model.'}"

static const char schemas_of_all[] =
    ",'_InvalidateTags':{'title':'InvalidateTags','description':'Which tags.','type':'object','properties':{'tags':{"
    "'type':'array','minItems':1,'maxItems':100,'items':{'type':'string','minLength':1,'maxLength':256}}," MODE
    "},'required':['tags'],'additionalProperties':false}";

static const char schemas_of_forms[] = ",'_InvalidateForm':{'title':'InvalidateForm','description':'All results of the "
                                       "form.','type':'object','properties':"
                                       "{" ALL "," MODE "},'required':['all'],'additionalProperties':false}";

static const char schemas[] =
    ",'_Touch':{'title':'Touch','description':'Which record shall live on.','type':'object','properties':{" KEYS ","
    "'expires':{'type':['number','string'],'minimum':0,'description':'How long: seconds, or a number with ms, s, m, h "
    "or "
    "d. Otherwise as long as the model says.'}},'required':['keys'],'additionalProperties':false},"
    "'_Invalidate':{'title':'Invalidate','description':'Which record is not to be believed any more, or that none of "
    "the "
    "model is.','type':'object','properties':{" KEYS "," ALL "," MODE
    "},'oneOf':[{'required':['keys']},{'required':['all']}],'additionalProperties':false},"
    "'_Bulk':{'title':'Bulk','description':'At most 1000 records together.','type':'object','properties':{"
    "'get':{'type':'array','maxItems':1000,'items':{'type':'object'},'description':'The keys of each.'},"
    "'save':{'type':'array','maxItems':1000,'items':{'type':'object'},'description':'Records, with their keys.'},"
    "'delete':{'type':'array','maxItems':1000,'items':{'type':'object'},'description':'The keys of each.'}},"
    "'additionalProperties':false},"
    "'_Bulked':{'title':'Bulked','description':'What came of a bulk.','type':'object','properties':{"
    "'get':{'type':'array','maxItems':1000,'items':{" REF "schemas/_BulkItem'}},"
    "'save':{'type':'array','maxItems':1000,'items':{" REF "schemas/_BulkItem'}},"
    "'delete':{'type':'array','maxItems':1000,'items':{" REF "schemas/_BulkItem'}}},"
    "'required':['get','save','delete'],'additionalProperties':false},"
    "'_BulkItem':{'title':'BulkItem','description':'What came of one record.','type':'object','properties':{"
    "'status':{'type':'integer','description':'As of a request of its own.'},"
    "'etag':{'type':'string','description':'The strong entity tag.'},"
    "'value':{'type':'object','description':'The record.'},"
    "'problem':{" REF "schemas/_Problem'}},'required':['status'],'additionalProperties':false}";

static const char schemas_of_loaders[] =
    ",'_Refresh':{'title':'Refresh','description':'Which record shall be loaded.','type':'object','properties':{" KEYS
    ",'wait':{'type':'boolean','default':false,'description':'Is it answered?'}},'required':['keys'],"
    "'additionalProperties':false}";

void openapi_put_action_schemas(struct buffer *b, const struct registry *r)
{
    jot(b, schemas_of_all);
    if (has_forms(r)) jot(b, schemas_of_forms);
    if (openapi_has_records(r)) jot(b, schemas);
    if (openapi_has_loaders(r)) jot(b, schemas_of_loaders);
}

unsigned openapi_action_kinds(const struct registry *r)
{
    unsigned many = 1u << INVALIDATE_TAGS | (has_forms(r) ? 1u << INVALIDATE_FORM : 0);
    if (!openapi_has_records(r)) return many;
    return many | 1u << TOUCH | 1u << INVALIDATE | 1u << BULK | (openapi_has_loaders(r) ? 1u << REFRESH : 0);
}
