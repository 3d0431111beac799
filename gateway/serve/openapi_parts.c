/* serve/openapi_parts.c -- the texts that no model changes, as jot reads them. */
#include "serve/openapi_parts.h"

const char openapi_information[] =
    "'openapi':'3.1.0','info':{'title':'Perigee','version':'" PERIGEE_VERSION "','summary':'A cache gateway',"
    "'description':'The records of the models that this gateway has loaded. Keys are query parameters, parsed to their "
    "types and never "
    "converted; names that begin with an underscore are options. JSON is kept as it was saved: the spelling of every "
    "number, integers "
    "of any length. Every error is a problem (RFC 9457). Every path answers OPTIONS with 204 and Allow, HEAD where it "
    "answers GET, and methods "
    "that it does not "
    "take with 405 (method-not-allowed) and Allow; a path that is not here is 404 (not-found or unknown-model). Where "
    "the gateway has a token file, every call needs a token.'},"
    "'servers':[{'url':'/','description':'This gateway'}],'security':[{'bearer':[]},{}],'tags':[{'name':'" OPENAPI_TAG
    "','description':'Its models, for "
    "programs.'}";

const char openapi_security[] =
    "'bearer':{'type':'http','scheme':'bearer','description':'A token out of the token file of the gateway. It permits "
    "some of read, write and refresh (no-cache), for all models or for some.'}";

const char openapi_headers[] =
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

const char openapi_parameters[] =
    "'If-None-Match':{'name':'If-None-Match','in':'header','description':'Entity tags that the client has, or *: 304 "
    "when the answer "
    "has one of them.','schema':{'type':'string'},'example':'\\\"0d3a52ac4d1e7b90\\\"'},"
    "'If-Match':{'name':'If-Match','in':'header','description':'Entity tags of which the record must have one, or *: "
    "it "
    "must be there; "
    "otherwise 412 and nothing changes. They are tags of the record as it is stored: those of a save, or of a read "
    "that "
    "resolves no "
    "references.','schema':{'type':'string'},'example':'\\\"0d3a52ac4d1e7b90\\\"'},"
    "'If-None-Match.write':{'name':'If-None-Match','in':'header','description':'Entity tags of which the record must "
    "have none, or *: "
    "it must not be there; otherwise 412 and nothing changes.','schema':{'type':'string'},'example':'*'},"
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
    "'_fields':{'name':'_fields','in':'query','description':'Only these members are answered: paths of names, with "
    "commas "
    "between them. The answer then lacks others, required ones too.','schema':{'type':'string'}},"
    "'Prefer':{'name':'Prefer','in':'header','description':'return=representation: answer with the record (RFC 7240).',"
    "'schema':{'type':'string'},'example':'return=representation'}";

const char openapi_parameters_of_references[] =
    ",'_depth':{'name':'_depth','in':'query','description':'How many levels of references are resolved; 0: none, they "
    "stay "
    "keys with a $ref. More than 64 is taken as 64.','schema':{'type':'integer','minimum':0},'example':2},"
    "'_include':{'name':'_include','in':'query','description':'Only these references are resolved: paths of names, "
    "with "
    "commas between them.','schema':{'type':'string'}},"
    "'_cascade':{'name':'_cascade','in':'query','description':'1: records that are given inside this one are saved "
    "with "
    "it.','schema':{'enum':[0,1]},'example':1}";

const char openapi_responses[] =
    "'found':{'description':'The record is there.'," RECORD_HEADERS "},"
    "'not-modified':{'description':'The client has it already.'," RECORD_HEADERS "},"
    "'saved':{'description':'The record is saved.','headers':{'ETag':{" REF "headers/ETag'}}},"
    "'deleted':{'description':'The record is not there, whether it was or not.'}";

const char openapi_responses_of_methods[] =
    ",'forgotten':{'description':'The result is not there, whether it was or not.'}";

const char openapi_schemas[] =
    "'_Problem':{'title':'Problem','description':'What went wrong (RFC 9457).','type':'object','properties':{"
    "'type':{'type':'string','description':'urn:perigee:problem: and the code.'},"
    "'code':{'type':'string','description':'The kind of problem, for programs.'},"
    "'title':{'type':'string','description':'The kind of problem, for people.'},"
    "'status':{'type':'integer','description':'The HTTP status.'},"
    "'detail':{'type':'string','description':'What was wrong this time.'},"
    "'path':{'type':'string','description':'The key, field or option concerned.'},"
    "'model':{'type':'string','description':'The model concerned.'},"
    "'keys':{'type':'object','description':'The keys of the record concerned.'},"
    "'errors':{'type':'object','description':'What is wrong with which input (form-invalid).','additionalProperties':"
    "{'type':'array','items':{'type':'string'}}},"
    "'request':{'type':'string','pattern':'^[0-9a-f]{16}$','description':'The number under which the log speaks of the "
    "request.'}},"
    "'required':['type','code','title','status']},"
    "'_Field':{'title':'Field','description':'A key or a field of a model.','type':'object','properties':{"
    "'name':{'type':'string'},'type':{'enum':['any','string','integer','number','boolean','array','object','packed',"
    "'reference','references']},"
    "'required':{'type':'boolean','description':'Must it be given?'},"
    "'default':{'description':'What is taken when it is not.'},"
    "'model':{'type':'string','description':'To whose records it refers.'},"
    "'missing':{'enum':['fail','null','skip'],'description':'What becomes of a reference whose target is missing.'},"
    "'max':{'type':'integer','minimum':0,'description':'How many references it may have.'}},"
    "'required':['name','type','required']},"
    "'_Method':{'title':'Method','description':'A cached method of a model or a form.','type':'object','properties':{"
    "'name':{'type':'string'},"
    "'attributes':{'type':'array','description':'What it needs of a record.','items':{" REF "schemas/_Field'}},"
    "'arguments':{'type':'array','items':{" REF "schemas/_Field'}},"
    "'links':{'type':'object','properties':{'call':{'type':'string','description':'A URI template (RFC 6570).'}},"
    "'required':['call']}},'required':['name','arguments','links']},"
    "'_Models':{'title':'Models','description':'The models, in the order in which they were declared.','type':'object',"
    "'properties':{'models':{'type':'array','items':{'type':'object','properties':{'name':{'type':'string'},"
    "'keys':{'type':'array','items':{" REF "schemas/_Field'}},'fields':{'type':'array','items':{" REF
    "schemas/_Field'}},'methods':{'type':'array','items':{" REF "schemas/_Method'}},"
    "'loader':{'type':'boolean','description':'Are missing records loaded?'},'links':{'type':'object','properties':{"
    "'record':{'type':'string','description':'A URI template (RFC "
    "6570).'},'schema':{'type':'string','format':'uri-reference'},'bulk':{'type':'string','format':'uri-reference'},"
    "'touch':{'type':'string','format':'uri-reference'},'invalidate':{'type':'string','format':'uri-reference'},"
    "'refresh':{'type':'string','format':'uri-reference'}},"
    "'required':['record','schema','bulk','touch','invalidate']}},'required':['name','keys','fields','methods','loader'"
    ",'links']}},"
    "'links':{" REF "schemas/_Links'}},'required':['models','links']},"
    "'_Forms':{'title':'Forms','description':'The forms, in the order in which they were declared.','type':'object',"
    "'properties':{'forms':{'type':'array','items':{'type':'object','properties':{'name':{'type':'string'},"
    "'inputs':{'type':'array','items':{" REF "schemas/_Field'}},'methods':{'type':'array','items':{" REF
    "schemas/_Method'}}},'required':['name','inputs','methods']}},"
    "'links':{" REF "schemas/_Links'}},'required':['forms','links']},"
    "'_Links':{'title':'Links','description':'Where the descriptions are.','type':'object','properties':{"
    "'self':{'type':'string','format':'uri-reference'},'models':{'type':'string','format':'uri-reference'},"
    "'forms':{'type':'string','format':'uri-reference'},'openapi':{'type':'string','format':'uri-reference'}},"
    "'required':['self','openapi']}";
