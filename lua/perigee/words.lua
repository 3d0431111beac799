-- perigee.words: the words with which a schema file declares its models and forms.
--
-- `key`, `field` and their like return descriptors: what was said, where, and a rising number, because a Lua table forgets the order in
-- which its members were written. Nothing is judged here but what only the call can tell; perigee.check does the rest when
-- the table of the model or form is complete.

local where = require "perigee.where"
local findings = require "perigee.findings"
local check = require "perigee.check"
local member = require "perigee.member"
local record = require "perigee.record"
local suggest = require "perigee.suggest"

where.ours()

local words = {}

local declared = {} -- name -> position of its declaration
local begun = {} -- every `model "Name"`, `form "Name"`, so that one without its table is found
local models = {} -- descriptions, in order of declaration
local loading = true
local sequence = 0

local function descriptor(kind, attributes, positional, fault)
    sequence = sequence + 1
    return member.descriptor {
        kind = kind, order = sequence, at = where.caller(), attributes = attributes or {}, positional = positional, fault = fault,
    }
end

local function is_table(value)
    return type(value) == "table" and not member.is_descriptor(value)
end

-- A word that takes attributes by name.
local function named(kind, example)
    return function(...)
        local given = select("#", ...)
        if given == 0 or given == 1 and is_table(...) then return descriptor(kind, (...)) end
        return descriptor(kind, nil, nil, ("takes one table of attributes, as in `%s`"):format(example))
    end
end

-- A word that also takes one value without a name: alone where it is text, or as the first of the table.
local function positioned(kind, example)
    return function(...)
        local given = ...
        if select("#", ...) == 1 and type(given) == "string" then return descriptor(kind, nil, given) end
        if select("#", ...) ~= 1 or not is_table(given) then
            return descriptor(kind, nil, nil, ("is written as in `%s`"):format(example))
        end
        local attributes = {}
        for name, value in pairs(given) do
            if name ~= 1 then attributes[name] = value end
        end
        return descriptor(kind, attributes, given[1])
    end
end

words.key = named("key", "key{ type = \"integer\" }")
words.field = named("field", "field{ type = \"integer\" }")
words.packed = named("packed", "packed{ required = true }")
words.arg = named("arg", "arg{ type = \"integer\" }")
words.input = named("input", "input{ type = \"integer\" }")
words.reference = positioned("reference", "reference \"User\"` or `reference{ \"User\", missing = \"null\" }")
words.references = positioned("references", "references \"User\"` or `references{ \"User\", missing = \"skip\" }")
words.cached_method = positioned("cached_method", "cached_method{ expires = \"1h\", function(self, args) ... end }")
words.cached_form_method = positioned("cached_form_method", "cached_form_method{ expires = \"1h\", function(self, args) ... end }")

local function declare(kind, name, at, body)
    local first = declared[name]
    if first then
        findings.add(at, "%s %s is declared already (%s:%d)", kind, suggest.quote(name), first.file, first.line)
        return
    end
    declared[name] = at
    record.declare(name, kind == "form")
    models[#models + 1] = check[kind](name, at, body)
end

-- model "Name" { ... }, form "Name" { ... }
local function declaring(kind, example)
    return function(name)
        if not loading then where.raise("%ss are declared while their file is loaded", kind) end
        if type(name) ~= "string" then where.raise("`%s` takes a name and a table: %s", kind, example) end
        local at = where.caller()
        local declaration = { kind = kind, name = name, at = at }
        begun[#begun + 1] = declaration
        return function(body)
            declaration.finished = true
            declare(kind, name, at, body)
        end
    end
end

words.model = declaring("model", "model \"User\" { id = key() }")
words.form = declaring("form", "form \"Search\" { text = input() }")

-- What a reference names must be a model, in whatever file; nearest names are those of models.
local function check_targets()
    local records = {}
    for _, model in ipairs(models) do records[model.name] = model.kind == "record" or nil end
    for _, model in ipairs(models) do
        for _, f in ipairs(model.fields) do
            if f.target and not records[f.target] then
                findings.add({ file = f.file, line = f.line }, "model %s: %s `%s`: %s %s%s", suggest.quote(model.name), f.kind, f.name,
                    declared[f.target] and "no model, but a form:" or "unknown model", suggest.quote(f.target),
                    suggest.near(f.target, suggest.names(records)))
            end
        end
    end
end

-- Ends the time of declarations; returns the descriptions. `failed`: paths of files that did not run to their end.
local function finish(failed)
    loading = false
    for _, declaration in ipairs(begun) do
        if not declaration.finished and not failed[declaration.at.file] then
            check[declaration.kind](declaration.name, declaration.at, nil)
        end
    end
    if next(failed) == nil then check_targets() end -- else models may be missing for that reason
    return models
end

return { table = words, finish = finish }
