-- perigee.check: from what a file says about a model or a form to descriptions that script/define.c can take as they are:
--
--     { name =, kind = "record" | "form", file =, line =, fields = { perigee.member's, ... }, options = perigee.options',
--       from_miss =, from_misses =, on_save =,
--       methods = { { name = "Home.geocode", kind = "method" | "form_method", method = "geocode", owner = "Home", handler =,
--                     fields = { what it is `on`, as keys; its arguments }, ... }, ... } }
--
-- Every fault becomes a finding and the search goes on.

local where = require "perigee.where"
local findings = require "perigee.findings"
local member = require "perigee.member"
local options = require "perigee.options"
local suggest = require "perigee.suggest"

where.ours()

local quote = suggest.quote

local check = {}

local KEYS_MAX, FIELDS_MAX = 16, 256

-- Whether a name is a word of the language; perigee.load knows the words.
function check.is_word() return false end

-- Names that records and forms keep for themselves.
local OWN = { save = true, delete = true, forget = true }

-- Descriptors by name, in order of declaration.
local function in_order(by_name)
    local list = {}
    for name, d in pairs(by_name) do list[#list + 1] = { name = name, d = d } end
    table.sort(list, function(a, b)
        if a.d.order ~= b.d.order then return a.d.order < b.d.order end
        return a.name < b.name
    end)
    return list
end

-- Methods.

local SCALARS = { string = true, integer = true, number = true, boolean = true, any = true }

-- The fields of `owner` that a method is `on`, as keys of its results.
local function attributes(owner, given, report)
    local described, seen = {}, {}
    local names = given
    if given == nil then
        names = {}
        for _, f in ipairs(owner.fields) do
            if f.kind == "key" then names[#names + 1] = f.name end
        end
    elseif type(given) ~= "table" or debug.getmetatable(given) then
        report("on", "`on` is a list of names of keys and fields, not %s", member.what(given))
        names = {}
    end
    for _, name in ipairs(names) do
        local field, known = nil, {}
        for i, f in ipairs(owner.fields) do
            known[i] = f.name
            if f.name == name then field = f end
        end
        if not field then
            report("on", "`on`: there is no key or field %s%s", quote(name), suggest.near(name, known))
        elseif seen[name] then
            report("on", "`on` names `%s` twice", name)
        elseif field.kind ~= "key" and field.kind ~= "field" or not SCALARS[field.type] then
            report("on", "`on`: `%s` is %s; a result is kept by keys and by fields of one value", name,
                field.kind == "field" and "of type " .. field.type or member.a(field.kind))
        else
            local is_key = field.kind == "key"
            described[#described + 1] = {
                name = name, kind = "key", type = field.type, required = is_key, default = is_key and field.default or nil,
                file = field.file, line = field.line,
            }
        end
        seen[name] = true
    end
    return described
end

-- A form's inputs, cleaned, as keys of a method's results.
local function cleaned_inputs(form)
    local described = {}
    for i, f in ipairs(form.fields) do
        described[i] = { name = f.name, kind = "key", type = "any", required = false, file = f.file, line = f.line }
    end
    return described
end

-- Appends the arguments to `fields`. `taken`: names that they cannot have -> why.
local function take_arguments(fields, given, of, title, taken, report)
    if given == nil then return end
    if type(given) ~= "table" or member.is_descriptor(given) then
        report("args", "`args` is a table of what `arg` makes, not %s", member.what(given))
        return
    end
    local descriptors = {}
    for name, d in pairs(given) do
        if type(name) ~= "string" then
            report("args", "`args` has a member without a name, at %s", quote(name))
        elseif not member.is_descriptor(d) or d.kind ~= "arg" then
            report("args", "`args`: %s is %s; arguments are made with `arg`", quote(name), member.what(d))
        else
            descriptors[name] = d
        end
    end
    for _, argument in ipairs(in_order(descriptors)) do
        if taken[argument.name] then
            findings.add(argument.d.at, "%s: arg %s: %s", title, quote(argument.name), taken[argument.name])
        end
        fields[#fields + 1] = member.describe(argument.name, argument.d, of, title, findings.add)
    end
end

local METHOD_MEMBERS, FORM_METHOD_MEMBERS = { on = true, args = true }, { args = true }
for name in pairs(options.OF_METHODS) do METHOD_MEMBERS[name], FORM_METHOD_MEMBERS[name] = true, true end

-- Fills in what the method does not say itself.
local function inherit(described, from)
    local own = described.options
    own.negative_ms = own.negative_ms or from.negative_ms
    own.hard_timeout_ms = own.hard_timeout_ms or from.hard_timeout_ms
    own.version, own.jit = from.version, from.jit
end

-- The method that descriptor d makes of `owner`, which is described but for its methods.
local function describe_method(owner, name, d)
    local form = owner.kind == "form"
    local title = ("%s %s: %s %s"):format(form and "form" or "model", quote(owner.name), d.kind, quote(name))
    local function report(attribute, format, ...)
        findings.add(where.member(d.at, attribute), "%s: " .. format, title, ...)
    end
    local fault = member.name_fault(name) or OWN[name] and "the name is that of a method of all records and forms"
    if fault then report(nil, "%s", fault) end
    if d.fault then report(nil, "%s", d.fault) end
    if not d.fault and type(d.positional) ~= "function" then
        report(nil, "has no function; it stands without a name: %s{ function(self, args) ... end }", d.kind)
    end
    member.unknown("attribute", d.attributes, form and FORM_METHOD_MEMBERS or METHOD_MEMBERS, report)

    local full = owner.name .. "." .. name
    local fields, taken = form and cleaned_inputs(owner) or attributes(owner, d.attributes.on, report), {}
    for _, f in ipairs(owner.fields) do
        if f.kind == "key" then taken[f.name] = "the name is that of a key" end
    end
    for _, f in ipairs(fields) do
        taken[f.name] = taken[f.name] or form and "the name is that of an input" or "the name is among `on`"
    end
    take_arguments(fields, d.attributes.args, full, title, taken, report)
    if #fields == 0 then report(nil, "depends on nothing: neither an attribute nor an argument") end
    if #fields > KEYS_MAX then
        report(nil, "has %d attributes and arguments; %d are allowed", #fields, KEYS_MAX)
    end
    local described = {
        name = full, kind = form and "form_method" or "method", method = name, owner = owner.name, file = d.at.file, line = d.at.line,
        fields = fields, options = options.take(d.attributes, options.OF_METHODS, report), handler = d.positional,
    }
    inherit(described, owner.options)
    return described
end

-- Models.

local HANDLERS = { from_miss = true, from_misses = true, on_save = true }
local MEMBERS = { key = true, field = true, packed = true, reference = true, references = true, cached_method = true }

-- Parts the members of a model's table into descriptors by name, those of methods and the others, and handlers by name.
local function members(body, report)
    local fields, methods, handlers = {}, {}, {}
    for name, value in pairs(body) do
        local kind = member.is_descriptor(value) and value.kind
        if type(name) ~= "string" then
            report(nil, "has a member without a name, at %s", quote(name))
        elseif kind == "cached_method" and name == "options" then
            report(name, "`options` is the table of the model's options and cannot be a cached_method")
        elseif HANDLERS[name] then
            handlers[name] = type(value) == "function" and value or nil
            if type(value) ~= "function" then report(name, "`%s` is a function, not %s", name, member.what(value)) end
        elseif kind == "cached_method" then
            methods[name] = value
        elseif MEMBERS[kind] and name ~= "options" then
            fields[name] = value
        elseif name ~= "options" then -- which perigee.options judges
            report(name, "member %s is %s; members are made with `key`, `field`, `packed`, `reference`, `references`, `cached_method`%s",
                quote(name), member.what(value), suggest.near(name, { "options", "from_miss", "from_misses", "on_save" }))
        end
    end
    return in_order(fields), in_order(methods), handlers
end

-- What both say of their name and table; whether the table can be read.
local function begin(name, body, report, example)
    local fault = member.name_fault(name) or check.is_word(name) and "the name is a word of the language"
    if fault then report(nil, "%s", fault) end
    if type(body) == "table" and not member.is_descriptor(body) then return true end
    report(nil, "takes a table, as in %s", example)
end

-- The description, or nil when there is nothing to describe. `at`: the position of its declaration.
function check.model(name, at, body)
    local title = "model " .. quote(name)
    local function report(place, format, ...)
        findings.add(where.member(at, place), "%s: " .. format, title, ...)
    end
    local function report_option(option, format, ...)
        local place = where.member(at, "options")
        local here = place.code and place.code:find "{" -- else they stand elsewhere
        findings.add(here and option and where.member(place, option) or place, "%s: " .. format, title, ...)
    end
    if not begin(name, body, report, "model \"User\" { id = key() }") then return nil end

    local described = { name = name, kind = "record", file = at.file, line = at.line, fields = {}, methods = {} }
    local fields, methods, handlers = members(body, report)
    local keys = 0
    for i, field in ipairs(fields) do
        if field.d.kind == "key" then keys = keys + 1 end
        if OWN[field.name] then
            findings.add(field.d.at, "%s: %s %s: the name is that of a method of records", title, field.d.kind, quote(field.name))
        end
        described.fields[i] = member.describe(field.name, field.d, name, title, findings.add)
    end
    if keys == 0 then report(nil, "has no key") end
    if keys > KEYS_MAX then report(nil, "has %d keys; %d are allowed", keys, KEYS_MAX) end
    if #fields > FIELDS_MAX then report(nil, "has %d keys and fields; %d are allowed", #fields, FIELDS_MAX) end

    described.options = options.of_model(body.options, report_option)
    for handler in pairs(HANDLERS) do described[handler] = handlers[handler] end
    for i, method in ipairs(methods) do
        described.methods[i] = describe_method(described, method.name, method.d)
    end
    return described
end

-- The same for a form: its fields are the inputs.
function check.form(name, at, body)
    local title = "form " .. quote(name)
    local function report(place, format, ...)
        findings.add(where.member(at, place), "%s: " .. format, title, ...)
    end
    if not begin(name, body, report, "form \"Search\" { text = input() }") then return nil end

    local inputs, methods = {}, {}
    for member_name, value in pairs(body) do
        local kind = member.is_descriptor(value) and value.kind
        if type(member_name) ~= "string" then
            report(nil, "has a member without a name, at %s", quote(member_name))
        elseif kind == "input" then
            inputs[member_name] = value
        elseif kind == "cached_form_method" then
            methods[member_name] = value
        else
            report(member_name, "member %s is %s; members are made with `input` and `cached_form_method`", quote(member_name),
                member.what(value))
        end
    end
    local described = { name = name, kind = "form", file = at.file, line = at.line, fields = {}, methods = {}, options = {} }
    for i, input in ipairs(in_order(inputs)) do
        if OWN[input.name] then
            findings.add(input.d.at, "%s: input %s: the name is that of a method of forms", title, quote(input.name))
        end
        described.fields[i] = member.describe(input.name, input.d, name, title, findings.add)
    end
    if #described.fields == 0 then report(nil, "has no input") end
    if #described.fields > KEYS_MAX then report(nil, "has %d inputs; %d are allowed", #described.fields, KEYS_MAX) end
    for i, method in ipairs(in_order(methods)) do
        described.methods[i] = describe_method(described, method.name, method.d)
    end
    return described
end

return check
