-- perigee.member: what the words key, field, packed, reference, references, arg and input say of one member, checked attribute by
-- attribute, becomes a description:
--
--     { name =, kind =, type =, required =, default =, file =, line =,     kind: "argument" for arg and input
--       target =, missing =, max =,                                        of references
--       clean = }                                                          of inputs
--
-- Values of `default` are judged in C, which owns the types.

local core = require "perigee.core"
local where = require "perigee.where"
local suggest = require "perigee.suggest"

where.ours()

local quote = suggest.quote

local member = {}

local NAME_MAX, REFERENCES_MAX = 64, 1000

-- Descriptors: made by the words, known by their metatable.

local descriptor = { __metatable = "descriptor" }

function member.descriptor(d)
    return setmetatable(d, descriptor)
end

function member.is_descriptor(value)
    return type(value) == "table" and debug.getmetatable(value) == descriptor
end

-- "a function", "an input": what stands where something else should.
function member.what(value)
    return member.a(member.is_descriptor(value) and value.kind or type(value))
end

function member.a(noun)
    return (noun:find "^[aeiou]" and "an " or "a ") .. noun
end

-- What is wrong with a name, or nil.
function member.name_fault(name)
    if name:sub(1, 1) == "_" then return "names that begin with `_` are reserved" end
    if not name:find "^%a[%w_]*$" then return "a name has letters, digits and `_`, and begins with a letter" end
    if #name > NAME_MAX then return ("a name has at most %d bytes"):format(NAME_MAX) end
end

-- Reports the members of `given` that are not in `known`. `report_member` takes the member's name first.
function member.unknown(what, given, known, report_member)
    local strange = {}
    for name in pairs(given) do
        if known[name] == nil then strange[#strange + 1] = name end
    end
    table.sort(strange, function(a, b) return tostring(a) < tostring(b) end)
    for _, name in ipairs(strange) do
        report_member(name, "unknown %s %s%s", what, quote(name), suggest.near(name, suggest.names(known)))
    end
end

-- Rules: each returns what is wrong with an attribute's value, or nil. `default` is judged when all others are known.

local function has(list, value)
    for _, item in ipairs(list) do
        if item == value then return true end
    end
    return false
end

local function switch(value)
    if type(value) ~= "boolean" then return "is true or false, not " .. member.what(value) end
end

local function one_of(...)
    local list = { ... }
    return function(value)
        if not has(list, value) then
            return ("is one of \"%s\", not %s%s"):format(table.concat(list, "\", \""), quote(value), suggest.near(value, list))
        end
    end
end

local function max(value)
    if type(value) ~= "number" or value < 1 or value > REFERENCES_MAX or value ~= math.floor(value) then
        return ("is a whole number from 1 to %d"):format(REFERENCES_MAX)
    end
end

local function clean(value)
    if type(value) ~= "function" then return "is a function, not " .. member.what(value) end
end

local function any() end

local KEY_TYPES = { "string", "integer", "number", "boolean", "any" }
local FIELD_TYPES = { "any", "string", "integer", "number", "boolean", "array", "object" }

-- What a word takes: types, the first of which is meant when none is given, and attributes with their rules.
local WORDS = {
    key = { types = KEY_TYPES, type = "string", attributes = { type = any, default = any } },
    field = { types = FIELD_TYPES, type = "any", attributes = { type = any, default = any, required = switch } },
    packed = { attributes = { required = switch } },
    reference = { refers = true, attributes = { required = switch, missing = one_of("fail", "null") } },
    references = { refers = true, attributes = { required = switch, missing = one_of("fail", "null", "skip"), max = max } },
    arg = { types = KEY_TYPES, type = "any", attributes = { type = any, default = any, required = switch } },
    input = { types = KEY_TYPES, type = "string", attributes = { type = any, default = any, required = switch, clean = clean } },
}

-- The model that a reference names; whether there is one is known when all files have run.
local function target(d, of, report)
    if type(d.positional) == "string" then return d.positional == "self" and of or d.positional end
    if not d.fault then report("names no model, as in %s \"User\"", d.kind) end
end

local function is_required(kind, given)
    if kind == "arg" then return given.default == nil and given.required ~= false end
    return given.required == true
end

-- The description of member `name`, which descriptor d makes. `of`: the name of its model, method or form, which messages call `title`.
function member.describe(name, d, of, title, report_to)
    local function report(format, ...)
        report_to(d.at, "%s: %s %s: " .. format, title, d.kind, quote(name), ...)
    end
    local word, given = WORDS[d.kind], d.attributes
    local fault = member.name_fault(name)
    if fault then report("%s", fault) end
    if d.fault then report("%s", d.fault) end
    member.unknown("attribute", given, word.attributes, function(_, ...) report(...) end)
    for _, attribute in ipairs(suggest.names(word.attributes)) do
        local wrong = given[attribute] ~= nil and word.attributes[attribute](given[attribute])
        if wrong then report("attribute `%s` %s", attribute, wrong) end
    end
    if word.types and given.type ~= nil and not has(word.types, given.type) then
        report("unknown type %s%s; %s is one of %s", quote(given.type), suggest.near(given.type, word.types), member.a(d.kind),
            table.concat(word.types, ", "))
    end
    local argument = d.kind == "arg" or d.kind == "input"
    local described = {
        name = name, kind = argument and "argument" or d.kind, type = given.type or word.type or "any",
        required = is_required(d.kind, given), default = given.default, clean = given.clean, file = d.at.file, line = d.at.line,
    }
    if word.refers then
        described.target, described.missing = target(d, of, report), given.missing or "fail"
        described.max = d.kind == "references" and (given.max or REFERENCES_MAX) or nil
    end
    if word.types and given.default ~= nil and not fault and has(word.types, described.type) then
        local wrong = core.default_fault(of, described)
        if wrong then report("attribute `default`: %s", wrong) end
    end
    return described
end

return member
