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

---@class perigee.Options
---@field expires? perigee.Duration how long a record is kept; for ever unless said
---@field negative? perigee.Duration how long a `missing` is remembered; not unless said
---@field hard_timeout? perigee.Duration after which a load is stopped
---@field version? integer raised when stored records are to be forgotten
---@field jit? boolean handlers may be compiled: faster, but they cannot be stopped while they compute

---@class perigee.Context
---@field expires? perigee.Duration how long this record is kept; 0: answer, do not keep

---@class perigee.Missing

---@alias perigee.Loader fun(self: table, ctx: perigee.Context): perigee.Missing?

---@class perigee.Model
---@field options? perigee.Options
---@field from_miss? perigee.Loader fills a record that is not in the cache
---@field [string] perigee.Descriptor|perigee.Options|perigee.Loader

---Declares a model: `model "User" { ... }`.
---@param name string
---@return fun(body: perigee.Model)
function model(name) end

---What a loader returns when there is no such record.
---@type perigee.Missing
missing = nil

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
---@field debug fun(message: string, fields?: table<string, string|number|boolean>)
---@field info fun(message: string, fields?: table<string, string|number|boolean>)
---@field warn fun(message: string, fields?: table<string, string|number|boolean>)
---@field error fun(message: string, fields?: table<string, string|number|boolean>)
log = {}

---@class perigee.Response
---@field status integer
---@field headers table<string, string>
---@field body string
---@field json fun(self: perigee.Response): any

---@class perigee.Http
---@field get fun(url: string, options?: table): perigee.Response
---@field post fun(url: string, options?: table): perigee.Response
---@field put fun(url: string, options?: table): perigee.Response
---@field delete fun(url: string, options?: table): perigee.Response
---@field request fun(url: string, options?: table): perigee.Response
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
