-- perigee.words: the words with which a schema file declares its models.
--
-- `key` and `field` return descriptors: what was said, where, and a rising number, because a Lua table forgets the order in
-- which its members were written. Nothing is judged here but what only the call can tell; perigee.check does the rest when
-- the model's table is complete.

local where = require "perigee.where"
local findings = require "perigee.findings"
local check = require "perigee.check"
local record = require "perigee.record"
local suggest = require "perigee.suggest"

where.ours()

local words = {}

local declared = {} -- name -> position of its declaration
local begun = {} -- every `model "Name"`, so that one without its table is found
local models = {} -- descriptions, in order of declaration
local loading = true
local sequence = 0

local function describe(kind)
    return function(...)
        local attributes, fault = ..., nil
        local given = select("#", ...)
        if given > 1 or given == 1 and (type(attributes) ~= "table" or check.is_descriptor(attributes)) then
            attributes, fault = nil, ("takes one table of attributes, as in `%s{ type = \"integer\" }`"):format(kind)
        end
        sequence = sequence + 1
        return check.descriptor {
            kind = kind, order = sequence, at = where.caller(), attributes = attributes or {}, fault = fault,
        }
    end
end

words.key = describe "key"
words.field = describe "field"

local function declare(name, at, body)
    local first = declared[name]
    if first then
        findings.add(at, "model %s is declared already (%s:%d)", suggest.quote(name), first.file, first.line)
        return
    end
    declared[name] = at
    record.declare(name, false)
    models[#models + 1] = check.model(name, at, body)
end

-- model "Name" { ... }
function words.model(name)
    if not loading then where.raise("models are declared while their file is loaded") end
    if type(name) ~= "string" then where.raise("`model` takes a name and a table: model \"User\" { id = key() }") end
    local at = where.caller()
    local declaration = { name = name, at = at }
    begun[#begun + 1] = declaration
    return function(body)
        declaration.finished = true
        declare(name, at, body)
    end
end

-- Words of the language that this version does not know yet. The finding stands at their line; they return something that can
-- stand wherever the word can, so that the rest of the file is judged too.
check.inert = setmetatable({}, { __call = function(self) return self end, __metatable = "not supported" })

for _, word in ipairs {
    "packed", "reference", "references", "cached_method", "arg", "form", "input", "cached_form_method",
} do
    words[word] = function()
        findings.add(where.caller(), "`%s` is not supported yet by this version", word)
        return check.inert
    end
end

-- Ends the time of declarations; returns the descriptions. `failed`: paths of files that did not run to their end.
local function finish(failed)
    loading = false
    for _, declaration in ipairs(begun) do
        if not declaration.finished and not failed[declaration.at.file] then check.model(declaration.name, declaration.at, nil) end
    end
    return models
end

return { table = words, finish = finish }
