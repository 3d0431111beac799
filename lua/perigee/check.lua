-- perigee.check: from what a file says about a model to a description that script/define.c can take as it is.
--
--     { name =, file =, line =, fields = { { name =, kind =, type =, required =, default =, file =, line = }, ... },
--       options = { expires_ms =, negative_ms =, hard_timeout_ms =, version =, jit = }, from_miss = }
--
-- Every fault becomes a finding and the search goes on. Values of `default` are judged in C, which owns the types.

local core = require "perigee.core"
local where = require "perigee.where"
local findings = require "perigee.findings"
local suggest = require "perigee.suggest"

where.ours()

local quote = suggest.quote

local check = {}

local KEYS_MAX, FIELDS_MAX, NAME_MAX = 16, 256, 64

local LATER = "%s is not supported yet by this version"

-- Descriptors: made by the words, known by their metatable.

local descriptor = { __metatable = "descriptor" }

function check.descriptor(d)
    return setmetatable(d, descriptor)
end

function check.is_descriptor(value)
    return type(value) == "table" and debug.getmetatable(value) == descriptor
end

-- Whether a name is a word of the language; perigee.load knows the words.
function check.is_word() return false end

-- What is wrong with a name, or nil.
local function name_fault(name)
    if name:sub(1, 1) == "_" then return "names that begin with `_` are reserved" end
    if not name:find "^%a[%w_]*$" then return "a name has letters, digits and `_`, and begins with a letter" end
    if #name > NAME_MAX then return ("a name has at most %d bytes"):format(NAME_MAX) end
end

-- Reports the members of `given` that are not in `known`; those in `later` are of the language, but not of this version.
-- `report_member` takes the member's name first.
local function unknown_members(what, given, known, later, report_member)
    local strange = {}
    for name in pairs(given) do
        if known[name] == nil then strange[#strange + 1] = name end
    end
    table.sort(strange, function(a, b) return tostring(a) < tostring(b) end)
    for _, name in ipairs(strange) do
        if later[name] then
            report_member(name, what .. " " .. LATER, quote(name))
        else
            report_member(name, "unknown %s %s%s", what, quote(name), suggest.near(name, suggest.names(known)))
        end
    end
end

-- Keys and fields.

local TYPES = {
    key = { "string", "integer", "number", "boolean", "any" },
    field = { "any", "string", "integer", "number", "boolean", "array", "object" },
}
local DEFAULT_TYPE = { key = "string", field = "any" }
local ATTRIBUTES = {
    key = { type = true, default = true },
    field = { type = true, default = true, required = true },
}

-- Names that records keep for themselves.
local METHODS = { save = true, delete = true }

local function has(list, value)
    for _, item in ipairs(list) do
        if item == value then return true end
    end
    return false
end

local function describe_field(model, name, d)
    local function report(format, ...)
        findings.add(d.at, "model %s: %s %s: " .. format, quote(model), d.kind, quote(name), ...)
    end
    local fault = name_fault(name) or METHODS[name] and "the name is that of a method of records"
    if fault then report("%s", fault) end
    if d.fault then report("%s", d.fault) end

    local given, types = d.attributes, TYPES[d.kind]
    unknown_members("attribute", given, ATTRIBUTES[d.kind], {}, function(_, ...) report(...) end)
    if given.type ~= nil and not has(types, given.type) then
        report("unknown type %s%s; a %s is one of %s", quote(given.type), suggest.near(given.type, types), d.kind,
            table.concat(types, ", "))
    end
    if d.kind == "field" and given.required ~= nil and type(given.required) ~= "boolean" then
        report("attribute `required` is true or false, not a %s", type(given.required))
    end
    local described = {
        name = name, kind = d.kind, type = given.type or DEFAULT_TYPE[d.kind], required = given.required == true,
        default = given.default, file = d.at.file, line = d.at.line,
    }
    if given.default ~= nil and not fault and has(types, described.type) then
        local wrong = core.default_fault(model, described)
        if wrong then report("attribute `default`: %s", wrong) end
    end
    return described
end

-- Options.

-- A rule returns the value to keep, or nil and what it wanted.
local function duration(least)
    return function(value)
        local ms = core.duration(value)
        if ms and ms >= least then return ms end
        return nil, ("wants a duration%s: seconds, or text such as \"90s\" \"15m\" \"2h\" \"1d\""):format(
            least > 0 and " above 0" or "")
    end
end

local function version(value)
    if type(value) == "number" and value >= 0 and value < 2 ^ 32 and value == math.floor(value) then return value end
    return nil, "wants a whole number from 0 to 4294967295"
end

local function switch(value)
    if type(value) == "boolean" then return value end
    return nil, "is true or false"
end

local OPTIONS = { -- name -> member of the description, rule
    expires = { "expires_ms", duration(0) },
    negative = { "negative_ms", duration(0) },
    hard_timeout = { "hard_timeout_ms", duration(1) },
    version = { "version", version },
    jit = { "jit", switch },
}
local OPTIONS_LATER = {
    jitter = true, stale_while_revalidate = true, stale_if_error = true, refresh = true, soft_timeout = true, max_loads = true,
    depth = true, tags = true, validate = true,
}

-- `report_option` takes the option's name first, nil for what is wrong with all of them.
local function describe_options(given, report_option)
    local described = {}
    if given == nil then return described end
    if check.is_descriptor(given) then
        report_option(nil, "`options` is the table of the model's options and cannot be a %s", given.kind)
    elseif type(given) ~= "table" then
        report_option(nil, "`options` is a table, not a %s", type(given))
    else
        unknown_members("option", given, OPTIONS, OPTIONS_LATER, report_option)
        for _, name in ipairs(suggest.names(OPTIONS)) do
            local member, rule = OPTIONS[name][1], OPTIONS[name][2]
            if given[name] ~= nil then
                local value, fault = rule(given[name])
                if fault then report_option(name, "option `%s` %s", name, fault) end
                described[member] = value
            end
        end
    end
    return described
end

-- Models.

local HANDLERS = { from_miss = true }
local HANDLERS_LATER = { from_misses = true, on_save = true }

-- Parts the members of a model's table into descriptors, in order of declaration, and handlers by name.
local function members(body, report_member)
    local described, handlers = {}, {}
    for name, value in pairs(body) do
        if type(name) ~= "string" then
            report_member(nil, "has a member without a name, at %s", quote(name))
        elseif HANDLERS_LATER[name] then
            report_member(name, LATER, quote(name))
        elseif HANDLERS[name] then
            handlers[name] = type(value) == "function" and value or nil
            if type(value) ~= "function" then
                report_member(name, "`%s` is a function, not a %s", name, check.is_descriptor(value) and value.kind or type(value))
            end
        elseif check.is_descriptor(value) and name ~= "options" then
            described[#described + 1] = { name = name, d = value }
        elseif name ~= "options" and value ~= check.inert then
            report_member(name, "member %s is a %s; members are made with `key` and `field`%s", quote(name), type(value),
                suggest.near(name, { "options", "from_miss" }))
        end
    end
    table.sort(described, function(a, b)
        if a.d.order ~= b.d.order then return a.d.order < b.d.order end
        return a.name < b.name
    end)
    return described, handlers
end

-- The description, or nil when there is nothing to describe. `at`: the position of its declaration.
function check.model(name, at, body)
    local function report(format, ...)
        findings.add(at, "model %s: " .. format, quote(name), ...)
    end
    local function report_member(member, format, ...)
        findings.add(where.member(at, member), "model %s: " .. format, quote(name), ...)
    end
    local function report_option(option, format, ...)
        local place = where.member(at, "options")
        local here = place.code and place.code:find "{" -- else they stand elsewhere
        findings.add(here and option and where.member(place, option) or place, "model %s: " .. format, quote(name), ...)
    end
    local fault = name_fault(name) or check.is_word(name) and "the name is a word of the language"
    if fault then report("%s", fault) end
    if type(body) ~= "table" or check.is_descriptor(body) then
        report("takes a table, as in model \"User\" { id = key() }")
        return nil
    end

    local described, handlers = members(body, report_member)
    local fields, keys = {}, 0
    for i, member in ipairs(described) do
        if member.d.kind == "key" then keys = keys + 1 end
        fields[i] = describe_field(name, member.name, member.d)
    end
    if keys == 0 then report("has no key") end
    if keys > KEYS_MAX then report("has %d keys; %d are allowed", keys, KEYS_MAX) end
    if #fields > FIELDS_MAX then report("has %d keys and fields; %d are allowed", #fields, FIELDS_MAX) end

    local options = describe_options(body.options, report_option)
    if handlers.from_miss and not (type(body.options) == "table" and body.options.expires) then
        findings.warn(at, "model %s: has a loader but no `expires`: what it loads is kept for ever", quote(name))
    end
    return {
        name = name, file = at.file, line = at.line, fields = fields, options = options, from_miss = handlers.from_miss,
    }
end

return check
