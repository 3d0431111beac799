-- perigee.models: what handlers do with other records: `User.get`, `User.get_many`, `User.invalidate`, `User.invalidate_all`,
-- `invalidate_tags`, `record:save`, `record:delete`, the methods of models and forms, and `:forget`. Each is one question to the gateway
-- (script/ask.c), on which the task waits.
--
-- What may happen to correct code comes back as nil and a problem; a call that can never be right raises at its author's line.

local core = require "perigee.core"
local where = require "perigee.where"
local suggest = require "perigee.suggest"
local record = require "perigee.record"

where.ours()

local MANY_MAX, DEPTH_MAX = 1000, 64

-- Codes of problems that only a wrong name in the call can have.
local MISUSE = { ["unknown-key"] = true, ["key-required"] = true, ["unknown-field"] = true, ["malformed-request"] = true }

-- true and the answer, or nil and a problem.
local function ask(word, question, name, value, ...)
    local ok, answer = core.ask(question, name, value, ...)
    if ok ~= true and ok ~= nil then where.raise("%s: %s", word, answer) end
    if ok == nil and MISUSE[answer.code] then where.raise("%s: %s", word, answer.detail) end
    return ok, answer
end

-- The options of a call, each through its rule: rule(value) -> what is kept, or nil and what it wanted.
local function options(word, given, rules)
    local kept = {}
    if given == nil then return kept end
    if type(given) ~= "table" or debug.getmetatable(given) then
        where.raise("%s: the options are a table, not a %s", word, type(given))
    end
    for name, value in pairs(given) do
        local rule = rules[name]
        if not rule then
            where.raise("%s: unknown option %s%s", word, suggest.quote(name), suggest.near(name, suggest.names(rules)))
        end
        local fault
        kept[name], fault = rule(value)
        if fault then where.raise("%s: option `%s` %s", word, name, fault) end
    end
    return kept
end

-- Reading.

local function depth(value)
    if type(value) == "number" and value >= 0 and value == math.floor(value) then return math.min(value, DEPTH_MAX) end
    return nil, "wants a whole number"
end

local function include(value)
    if type(value) == "string" then return value end
    if type(value) ~= "table" or debug.getmetatable(value) or #value == 0 then return nil, "wants a path, or a list of paths" end
    for _, path in ipairs(value) do
        if type(path) ~= "string" then return nil, "wants paths, not a " .. type(path) end
    end
    return table.concat(value, ",")
end

local READING = { depth = depth, include = include }

-- The keys that `given` names: a table of them, or a record of the same model.
local function keys_of(word, name, given)
    if record.kind(given) ~= "record" then return record.take_keys(name, given) end
    if record.model(given) ~= name then where.raise("%s: got a record of `%s`", word, record.model(given)) end
    return record.keys(given)
end

-- User.get(keys, { depth =, include = }) -> the record; nil and a problem
function record.statics.get(class, given, options_given)
    local name = record.model(class)
    local word = name .. ".get"
    local said = options(word, options_given, READING)
    local ok, answer = ask(word, "get", name, keys_of(word, name, given), said.depth, said.include)
    if not ok then return nil, answer end
    return record.wrap(name, answer)
end

-- User.get_many({ keys, ... }, options) -> the records in this order, `missing` for those that are not there; nil and a problem
function record.statics.get_many(class, list, options_given)
    local name = record.model(class)
    local word = name .. ".get_many"
    local said = options(word, options_given, READING)
    if type(list) ~= "table" or record.kind(list) then where.raise("%s: takes a list of keys", word) end
    if #list > MANY_MAX then where.raise("%s: %d records at once; %d are allowed", word, #list, MANY_MAX) end
    local keys = core.array {}
    for i, given in ipairs(list) do keys[i] = keys_of(word, name, given) end
    for position in pairs(list) do
        if keys[position] == nil then where.raise("%s: takes a list of keys, without holes", word) end
    end
    local ok, answer = ask(word, "get_many", name, keys, said.depth, said.include)
    if not ok then return nil, answer end
    for i, value in ipairs(answer) do
        if type(value) == "table" then answer[i] = record.wrap(name, value) end
    end
    return answer
end

-- Writing.

local function duration(value)
    local ms = core.duration(value)
    if ms then return ms end
    return nil, "wants seconds, or text like \"90s\" \"15m\""
end

local function switch(value)
    if type(value) == "boolean" then return value end
    return nil, "is true or false"
end

local function tags(value)
    if type(value) == "string" then return value end
    return nil, "wants an entity tag, as a text with its quotes, or \"*\""
end

local SAVING = { expires = duration, cascade = switch, if_match = tags }

-- A function of records, which it names in what it raises.
local function method(name, act)
    record.methods[name] = function(self, ...)
        if record.kind(self) ~= "record" then where.raise("call it with a colon: record:%s()", name) end
        return act(self, record.model(self), record.model(self) .. ":" .. name, ...)
    end
end

-- user:save{ expires =, cascade =, if_match = } -> true; nil and a problem
method("save", function(self, name, word, options_given)
    local said = options(word, options_given, SAVING)
    local ok, problem = ask(word, "save", name, record.plain(self, said.cascade), said.expires, said.cascade, said.if_match)
    if not ok then return nil, problem end
    record.saved(self, said.cascade)
    return true
end)

-- user:delete() -> true, whether it was there or not; nil and a problem
method("delete", function(self, name, word) return ask(word, "delete", name, record.keys(self)) end)

-- User.invalidate(keys): the same, without a record
function record.statics.invalidate(class, given)
    local name = record.model(class)
    local word = name .. ".invalidate"
    return ask(word, "delete", name, keys_of(word, name, given))
end

-- Invalidating many.

local function mode(value)
    if value == "remove" or value == "expire" then return value == "expire" end
    return nil, "is \"remove\" or \"expire\""
end

local INVALIDATING = { mode = mode }

-- User.invalidate_all{ mode = "expire" }: all records of the model and results of its methods; of a form all of its results
-- -> true; nil and a problem
function record.statics.invalidate_all(class, options_given)
    local name = record.model(class)
    local word = name .. ".invalidate_all"
    local said = options(word, options_given, INVALIDATING)
    return ask(word, "invalidate_all", name, true, nil, said.mode)
end

record.form_statics.invalidate_all = record.statics.invalidate_all

local TAGS_MAX, TAG_MAX = 100, 256

-- The word invalidate_tags{ "tag", ..., mode = "expire" }: what carries one of them, of whatever model -> true; nil and a problem
function record.invalidate_tags(given)
    local word = "invalidate_tags"
    if type(given) == "string" then given = { given } end
    if type(given) ~= "table" or debug.getmetatable(given) then where.raise("%s: takes a list of tags", word) end
    local list, more = core.array {}, {}
    for name, value in pairs(given) do
        if type(name) ~= "number" then more[name] = value end
    end
    local said = options(word, more, INVALIDATING)
    for i, tag in ipairs(given) do
        if type(tag) ~= "string" or tag == "" or #tag > TAG_MAX or not core.is_utf8(tag) then
            where.raise("%s: a tag is UTF-8 text of 1 to %d bytes", word, TAG_MAX)
        end
        list[i] = tag
    end
    if #list == 0 or #list > TAGS_MAX then where.raise("%s: takes 1 to %d tags, not %d", word, TAGS_MAX, #list) end
    return ask(word, "invalidate_tags", nil, list, nil, said.mode)
end

-- Methods.

-- What the method is called with: the attributes that self has, and the arguments.
local function parameters(word, self, name, args)
    if args ~= nil and (type(args) ~= "table" or debug.getmetatable(args)) then
        where.raise("%s: the arguments are a table, not a %s", word, type(args))
    end
    local all = record.attributes(self, name)
    for argument, value in pairs(args or {}) do
        if all[argument] ~= nil then where.raise("%s: %s is no argument", word, suggest.quote(argument)) end
        all[argument] = value
    end
    return all
end

-- home:geocode{ precision = 5 } -> its result, null where that is null; nil and a problem
function record.call(self, name, args)
    local word = record.model(self) .. ":" .. name
    local ok, answer = ask(word, "call", record.model(self) .. "." .. name, parameters(word, self, name, args))
    if not ok then return nil, answer end
    return answer
end

-- home:forget("geocode", { precision = 5 }) -> true; nil and a problem
function record.methods.forget(self, name, args)
    local kind = record.kind(self)
    if kind ~= "record" and kind ~= "form" then where.raise "call it with a colon: record:forget(\"method\", { ... })" end
    local word = record.model(self) .. ":forget"
    if type(name) ~= "string" then where.raise("%s: takes the name of a method, and its arguments", word) end
    return ask(word, "forget", record.model(self) .. "." .. name, parameters(word, self, name, args))
end
