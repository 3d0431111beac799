---@meta perigee.testing
-- Types of `require "perigee.testing"`, for the specs that `perigee test` runs (docs/testing.md).

---@class perigee.testing.Cache the parts of Cache-Status
---@field hit? true
---@field fwd? "uri-miss"|"request"|"stale"|"miss"|"method"
---@field stored? true
---@field collapsed? true
---@field ttl? integer
---@field detail? string

---@class perigee.testing.Answer
---@field status integer
---@field headers table<string, string> names in lower case; found in any
---@field body string
---@field json? any
---@field cache perigee.testing.Cache
---@field age? number
---@field etag? string

---@class perigee.testing.Problem: perigee.Problem
---@field keys? table
---@field answer perigee.testing.Answer
---@field log? string of a failure: what the gateway has logged

---@class perigee.testing.Reading
---@field depth? integer
---@field include? string|string[]
---@field fields? string|string[]
---@field fresh? boolean loads now
---@field if_none_match? string

---@class perigee.testing.Writing
---@field expires? number|string
---@field cascade? boolean
---@field if_match? string
---@field if_none_match? string

---A form; any other name calls one of its methods.
---@class perigee.testing.Form
---@field invalidate_all fun(mode?: "remove"|"expire"): true?, perigee.testing.Answer|perigee.testing.Problem
---@field [string] fun(parameters: table): any, perigee.testing.Answer|perigee.testing.Problem

---A model; any other name calls one of its methods.
---@class perigee.testing.Model
---@field get fun(keys: table, options?: perigee.testing.Reading): table?, perigee.testing.Answer|perigee.testing.Problem
---@field stored fun(keys: table): table?, perigee.testing.Answer|perigee.testing.Problem
---@field save fun(record: table, options?: perigee.testing.Writing): true?, perigee.testing.Answer|perigee.testing.Problem
---@field patch fun(keys: table, changes: table, options?: perigee.testing.Writing): true?, perigee.testing.Answer|perigee.testing.Problem
---@field delete fun(keys: table, options?: perigee.testing.Writing): true?, perigee.testing.Answer|perigee.testing.Problem
---@field touch fun(keys: table, expires: number|string): true?, perigee.testing.Answer|perigee.testing.Problem
---@field refresh fun(keys: table): true?, perigee.testing.Answer|perigee.testing.Problem
---@field invalidate fun(keys: table, mode?: "remove"|"expire"): true?, perigee.testing.Answer|perigee.testing.Problem
---@field invalidate_all fun(mode?: "remove"|"expire"): true?, perigee.testing.Answer|perigee.testing.Problem
---@field [string] fun(keys: table, arguments?: table): any, perigee.testing.Answer|perigee.testing.Problem

---@class perigee.testing.Request
---@field method string
---@field url string
---@field headers table<string, string> names in lower case; found in any
---@field body string

---@class perigee.testing.Told
---@field status? integer 200 unless said
---@field headers? table<string, string>
---@field body? string
---@field json? any
---@field after? number seconds

local testing = {}

---JSON's null.
testing.null = {}

---Marks a table as an array, so that it is `[]` also when it is empty.
---@generic T: table
---@param t? T
---@return T
function testing.array(t) end

---@param name string
---@return perigee.testing.Model
function testing.model(name) end

---@param name string
---@return perigee.testing.Form
function testing.form(name) end

---What who asks for the address is answered from now on.
---@param address string `"http://host/path"`, `"POST http://host/path"`, `"http://host/*"`
---@param answer perigee.testing.Told|"reset"|"hang"|fun(request: perigee.testing.Request): perigee.testing.Told|"reset"|"hang"
function testing.http(address, answer) end

---The requests that came to an address, or all.
---@param address? string
---@return perigee.testing.Request[]
function testing.asked(address) end

---Sets the clock forward.
---@param duration number|string
function testing.forward(duration) end

---What `env` tells the models; before the first question.
---@param variables table<string, string|number>
function testing.env(variables) end

---How often the loader of a model, or the function of "Home.geocode", has run.
---@param name string
---@return integer
function testing.loads(name) end

---@param name string
---@param labels? table<string, string>
---@return number
function testing.metric(name, labels) end

---@param tags string|string[]
---@param mode? "remove"|"expire"
---@return true?, perigee.testing.Answer|perigee.testing.Problem
function testing.invalidate_tags(tags, mode) end

---Runs functions as clients that ask at once.
---@param ... fun(): ...
---@return table[] results of each, `{ n =, ... }`
function testing.at_once(...) end

---@param method string
---@param target string
---@param headers? table<string, string|number>
---@param body? string|table
---@return perigee.testing.Answer
function testing.request(method, target, headers, body) end

---What the gateway has logged.
---@return string
function testing.log() end

---Another gateway, no fakes, no variables.
function testing.reset() end

return testing
