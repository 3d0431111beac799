---@meta perigee
-- Types of Perigee's language for the Lua language server: put this folder on `workspace.library`.

---Seconds, or text such as `"250ms"` `"90s"` `"15m"` `"2h"` `"1d"`.
---@alias perigee.Duration number|string

---@alias perigee.KeyType "string"|"integer"|"number"|"boolean"|"any"
---@alias perigee.FieldType "any"|"string"|"integer"|"number"|"boolean"|"array"|"object"

---@class perigee.KeyAttributes
---@field type? perigee.KeyType `"string"` unless said
---@field default? string|number|boolean what a request that does not name the key means

---@class perigee.FieldAttributes
---@field type? perigee.FieldType `"any"` unless said
---@field required? boolean a record without it cannot be stored
---@field default? any what is stored when nothing was said

---@class perigee.Descriptor

---A part of the model's key.
---@param attributes? perigee.KeyAttributes
---@return perigee.Descriptor
function key(attributes) end

---A value of the model's records.
---@param attributes? perigee.FieldAttributes
---@return perigee.Descriptor
function field(attributes) end

---@class perigee.PackedAttributes
---@field required? boolean a record without it cannot be stored

---Any Lua value, by LuaJIT's own serializer. Only handlers can read and set it.
---@param attributes? perigee.PackedAttributes
---@return perigee.Descriptor
function packed(attributes) end

---@class perigee.ReferenceAttributes
---@field [1] string the model's name, or `"self"`
---@field missing? "fail"|"null" what a document is when there is no such record: `missing` itself (unless said), or null there
---@field required? boolean a record without it cannot be stored

---@class perigee.ReferencesAttributes
---@field [1] string the model's name, or `"self"`
---@field missing? "fail"|"null"|"skip" the same; `"skip"`: the list goes on without it
---@field required? boolean a record without it cannot be stored
---@field max? integer most members of the list; 1000 unless said

---A record of a model, by its key: `reference "Workplace"`.
---@param model string|perigee.ReferenceAttributes
---@return perigee.Descriptor
function reference(model) end

---Records of a model, by their keys.
---@param model string|perigee.ReferencesAttributes
---@return perigee.Descriptor
function references(model) end

---@class perigee.ArgumentAttributes
---@field type? perigee.KeyType `"any"` unless said
---@field default? string|number|boolean what a call without it means
---@field required? boolean false: a call may leave it out

---An argument of a cached method.
---@param attributes? perigee.ArgumentAttributes
---@return perigee.Descriptor
function arg(attributes) end

---@class perigee.CachedMethod
---@field [1] fun(self: perigee.Record, args: table<string, any>, ctx: perigee.Context): any
---@field on? string[] keys and fields that the result depends on; all keys unless said
---@field args? table<string, perigee.Descriptor> what `arg` makes
---@field expires? perigee.Duration how long a result is kept; for ever unless said
---@field jitter? number from 0 to 1: the part of `expires` that chance may take away
---@field stale_while_revalidate? perigee.Duration how long after its end a result is still answered while it is made anew
---@field stale_if_error? perigee.Duration ... where that fails or takes longer than `soft_timeout`
---@field negative? perigee.Duration how long a `missing` is remembered; as the model says unless said
---@field refresh? "xfetch"|"off"|number made anew before its end: by chance, the nearer and the slower the likelier; or after this part of its life
---@field soft_timeout? perigee.Duration how long a client waits for a call while there is a stale result
---@field hard_timeout? perigee.Duration after which a call is stopped; as the model says unless said
---@field max_loads? integer most calls at once; no bound unless said

---A function of a record whose results are kept by attributes and arguments.
---@param method perigee.CachedMethod
---@return perigee.Descriptor
function cached_method(method) end

---@class perigee.InputAttributes
---@field type? perigee.KeyType `"string"` unless said
---@field required? boolean
---@field default? string|number|boolean what a form without it means
---@field clean? fun(value: any): any, string? the cleaned value; or nil and a message; `error "message"` is that message too

---An input of a form.
---@param attributes? perigee.InputAttributes
---@return perigee.Descriptor
function input(attributes) end

---@class perigee.FormSelf
---@field cleaned_data table<string, any>

---@class perigee.CachedFormMethod
---@field [1] fun(self: perigee.FormSelf, args: table<string, any>, ctx: perigee.Context): any
---@field args? table<string, perigee.Descriptor> what `arg` makes
---@field expires? perigee.Duration how long a result is kept; for ever unless said
---@field jitter? number from 0 to 1: the part of `expires` that chance may take away
---@field stale_while_revalidate? perigee.Duration how long after its end a result is still answered while it is made anew
---@field stale_if_error? perigee.Duration ... where that fails or takes longer than `soft_timeout`
---@field negative? perigee.Duration how long a `missing` is remembered; not unless said
---@field refresh? "xfetch"|"off"|number made anew before its end: by chance, the nearer and the slower the likelier; or after this part of its life
---@field soft_timeout? perigee.Duration how long a client waits for a call while there is a stale result
---@field hard_timeout? perigee.Duration after which a call is stopped
---@field max_loads? integer most calls at once; no bound unless said

---A function of a form whose results are kept by cleaned inputs and arguments.
---@param method perigee.CachedFormMethod
---@return perigee.Descriptor
function cached_form_method(method) end

---@class perigee.Options
---@field expires? perigee.Duration how long a record is kept; for ever unless said
---@field jitter? number from 0 to 1: the part of `expires` that chance may take away
---@field stale_while_revalidate? perigee.Duration how long after its end a record is still answered while it is made anew
---@field stale_if_error? perigee.Duration ... where that fails or takes longer than `soft_timeout`
---@field negative? perigee.Duration how long a `missing` is remembered; not unless said
---@field refresh? "xfetch"|"off"|number made anew before its end: by chance, the nearer and the slower the likelier; or after this part of its life
---@field soft_timeout? perigee.Duration how long a client waits for a load while there is a stale record
---@field hard_timeout? perigee.Duration after which a load is stopped
---@field max_loads? integer most loads at once; no bound unless said
---@field version? integer raised when stored records are to be forgotten
---@field depth? integer how many levels of references a read resolves; 8 unless said
---@field jit? boolean handlers may be compiled: faster, but they cannot be stopped while they compute
---@field cache_groups? boolean tells HTTP caches in front which answers belong together, by model and tags (RFC 9875)
---@field validate? fun(self: perigee.Record): string?, string? nothing, or the field at fault and a message
---@field tags? fun(self: perigee.Record): string[]? the record's tags

---@class perigee.Context
---@field expires? perigee.Duration how long this record is kept; 0: answer, do not keep
---@field tag fun(name: string) adds a tag to this record
---@field stale any what is replaced: the old record, to be looked at, or a method's old result; nil where there is none
---@field etag? string what the last load has set it to; what this load has set it to is kept with the record, at most 1024 bytes
---@field not_modified fun(): perigee.Unmodified what a loader returns when the old record still holds: it is kept anew

---@class perigee.Unmodified

---What `from_misses` is given: what it says holds for each of the records.
---@class perigee.ContextOfMany
---@field expires? perigee.Duration how long these records are kept; 0: answer, do not keep
---@field tag fun(name: string) adds a tag to each of these records

---What `on_save` is given.
---@class perigee.ContextOfSave
---@field expires? perigee.Duration how long this record is kept, whatever the save says

---@class perigee.Missing

---Why something that was asked for was not done; as text "code: detail".
---@class perigee.Problem
---@field code string
---@field status integer
---@field detail string
---@field model? string
---@field path? string
---@field errors? table<string, string[]> of a form: what is wrong with which input

---@class perigee.SaveOptions
---@field expires? perigee.Duration this record's life
---@field cascade? boolean what it refers to is saved too, where it was changed
---@field if_match? string only where the stored record has this entity tag, or one of these, or is there at all: "*"

---@class perigee.Record
---@field save fun(self: perigee.Record, options?: perigee.SaveOptions): true?, perigee.Problem?
---@field delete fun(self: perigee.Record): true?, perigee.Problem?
---@field forget fun(self: perigee.Record, method: string, args?: table): true?, perigee.Problem?
---@field [string] any

---@class perigee.GetOptions
---@field depth? integer levels of references
---@field include? string|string[] only these references: "workplace", "mother.workplace"

---@class perigee.InvalidateOptions
---@field mode? "remove"|"expire" expire: what is stored is kept as a stale fallback

---What stands for a model inside handlers; called, it makes a new record.
---@class perigee.Class
---@field get fun(keys: table|perigee.Record, options?: perigee.GetOptions): perigee.Record?, perigee.Problem?
---@field get_many fun(keys: table[], options?: perigee.GetOptions): (perigee.Record|perigee.Missing)[]?, perigee.Problem?
---@field invalidate fun(keys: table|perigee.Record): true?, perigee.Problem?
---@field invalidate_all fun(options?: perigee.InvalidateOptions): true?, perigee.Problem? all records, and results of methods; of a form its results
---@overload fun(members: table<string, any>): perigee.Record

---@alias perigee.Loader fun(self: perigee.Record, ctx: perigee.Context): perigee.Missing|perigee.Unmodified|nil
---@alias perigee.LoaderOfMany fun(list: perigee.Record[], ctx: perigee.ContextOfMany): table<integer, perigee.Missing|perigee.Failed>?
---@alias perigee.Writer fun(self: perigee.Record, ctx: perigee.ContextOfSave)

---@class perigee.Model
---@field options? perigee.Options
---@field from_miss? perigee.Loader fills a record that is not in the cache
---@field from_misses? perigee.LoaderOfMany fills up to 100 of them in one call
---@field on_save? perigee.Writer writes a record through before it is stored; raises where it is not to be stored
---@field [string] perigee.Descriptor|perigee.Options|perigee.Loader|perigee.LoaderOfMany|perigee.Writer

---Declares a model: `model "User" { ... }`.
---@param name string
---@return fun(body: perigee.Model)
function model(name) end

---Declares a form: `form "Search" { ... }`.
---@param name string
---@return fun(body: table<string, perigee.Descriptor>)
function form(name) end

---What a loader returns when there is no such record.
---@type perigee.Missing
missing = nil

---@class perigee.Failed

---What `from_misses` returns, by position, for a record that could not be loaded; the log tells why.
---@param why string
---@return perigee.Failed
function failed(why) end

---JSON's null.
---@type lightuserdata
null = nil

---Marks a table as an array, so that it is `[]` also when it is empty.
---@generic T: table
---@param t? T
---@return T
function array(t) end

---A variable of the process's environment.
---@param name string
---@param default? string
---@return string?
function env(name, default) end

---Waits; the worker serves others meanwhile.
---@param seconds number
function sleep(seconds) end

---@class perigee.Log
---@overload fun(message: string, fields?: table<string, string|number|boolean>)
---@field debug fun(message: string, fields?: table<string, string|number|boolean>)
---@field info fun(message: string, fields?: table<string, string|number|boolean>)
---@field warn fun(message: string, fields?: table<string, string|number|boolean>)
---@field error fun(message: string, fields?: table<string, string|number|boolean>)
log = {}

---@class perigee.Response
---@field status integer
---@field headers table<string, string> names in lower case; found in any
---@field body string
---@field json fun(self: perigee.Response): any

---@class perigee.HttpOptions
---@field timeout? number|string for one attempt
---@field headers? table<string, string|number>
---@field body? string
---@field json? any
---@field method? string of http.request
---@field retries? integer attempts beyond the first, at most 10
---@field retry_on? ("refused"|"reset"|"timeout"|integer)[]
---@field follow? integer redirects, at most 5
---@field max_bytes? integer of the answer's body
---@field ca? string a file of trusted certificates

---@class perigee.Http
---@field get fun(url: string, options?: perigee.HttpOptions): perigee.Response
---@field post fun(url: string, options?: perigee.HttpOptions): perigee.Response
---@field put fun(url: string, options?: perigee.HttpOptions): perigee.Response
---@field delete fun(url: string, options?: perigee.HttpOptions): perigee.Response
---@field request fun(url: string, options?: perigee.HttpOptions): perigee.Response
http = {}

---@class perigee.Database
---@field query fun(self: perigee.Database, sql: string, ...): table[] the rows, by column name; `changes` when there are none to have
---@field exec fun(self: perigee.Database, sql: string, ...): table[] the same

---A SQLite database; opened at its first query.
---@param path string
---@return perigee.Database
function sqlite(path) end

---@class perigee.PostgresOptions
---@field timeout? perigee.Duration of a query; what is left of the handler's own time unless said
---@field connections? integer at most, for each worker; 8 unless said

---A PostgreSQL database; connected to at its first query.
---@param url string `"postgresql://user:password@host:5432/database"`
---@param options? perigee.PostgresOptions
---@return perigee.Database
function postgres(url, options) end

---@class perigee.RedisOptions
---@field timeout? perigee.Duration of a command; what is left of the handler's own time unless said

---@class perigee.Redis
---@field command fun(self: perigee.Redis, name: string, ...: string|number): any the reply: string, number, `null`, array

---Another Redis server; connected to at its first command.
---@param url string `"redis://user:password@host:6379/0"`, `"redis+unix:///path"`
---@param options? perigee.RedisOptions
---@return perigee.Redis
function redis(url, options) end

---Runs functions at once; returns the first result of each, in order. The first that raises ends the others, and is raised.
---@param ... fun(): any
---@return any ...
function parallel(...) end

---@class perigee.Tags: perigee.InvalidateOptions
---@field [integer] string

---Invalidates what carries one of these tags, of whatever model: `invalidate_tags{ "acme", mode = "expire" }`.
---@param tags perigee.Tags|string
---@return true?, perigee.Problem?
function invalidate_tags(tags) end
