-- perigee.handlers: calls what authors have written, once for each run that script/run.c starts, and returns to it what came of it:
--
--     "done", the fields or the result, life in ms or nil, tags as perigee.tags tells them
--     "missing", nil, life
--     "invalid", field, message                    validate has refused a record that is to be saved
--     "failed", field or nil, words for the client, words for the log
--     "raised", what, the author's lines           an error that was caught on its way
--
-- What a handler raises is not caught here otherwise: script/explain.c looks at its stack.

local core = require "perigee.core"
local where = require "perigee.where"
local record = require "perigee.record"
local suggest = require "perigee.suggest"
local tags = require "perigee.tags"

where.ours()

local handlers = {}

local described = {} -- of models, forms and methods, by name
local missing -- the value

-- Makes a description known.
function handlers.define(description)
    described[description.name] = description
end

-- Handlers of models that ask for it may be compiled; all other code of this state stays interpreted.
function handlers.allow_jit()
    for _, d in pairs(described) do
        local o = d.options
        local own = { from_miss = d.from_miss, handler = d.handler, validate = o.validate, tags = o.tags }
        for _, handler in pairs(o.jit and own or {}) do
            jit.on()
            jit.on(handler, true)
        end
    end
end

function handlers.open(the_missing) missing = the_missing end

-- What a handler is given.

local CONTEXT = { "expires", "tag" }

local function no_such_context(name)
    where.raise("`ctx` has no member %s%s", suggest.quote(name), suggest.near(name, CONTEXT))
end

-- Returns the context and the table of what is said to it: `expires_ms`, `tags`.
local function context()
    local said, expires = { tags = {} }, nil
    local function tag(name)
        local fault = tags.add(said.tags, name)
        if fault then where.raise("`ctx.tag`: %s", fault) end
    end
    local ctx = setmetatable({}, {
        __index = function(_, name)
            if name == "tag" then return tag end
            if name ~= "expires" then no_such_context(name) end
            return expires
        end,
        __newindex = function(_, name, value)
            if name == "tag" then where.raise("`ctx.tag` is called: ctx.tag \"name\"") end
            if name ~= "expires" then no_such_context(name) end
            local ms = value ~= nil and core.duration(value) or nil
            if value ~= nil and not ms then
                where.raise("`ctx.expires` wants seconds, or text like \"90s\" \"15m\"; 0 = answer, do not keep")
            end
            expires, said.expires_ms = value, ms
        end,
        __tostring = function() return "context" end,
        __metatable = "context",
    })
    return ctx, said
end

-- `values` behind a table that cannot be changed and knows its names.
local function read_only(values, fields, kind, what)
    local names = {}
    for _, f in ipairs(fields) do
        if f.kind == kind then names[#names + 1] = f.name end
    end
    local known = {}
    for _, name in ipairs(names) do known[name] = true end
    return setmetatable({}, {
        __index = function(_, name)
            if not known[name] then where.raise("%s has no member %s%s", what, suggest.quote(name), suggest.near(name, names)) end
            return values[name]
        end,
        __newindex = function() where.raise("%s cannot be changed", what) end,
        __tostring = function() return what end,
        __metatable = "read-only",
    })
end

-- What a record's model says of it.

-- From what validate has returned: "invalid", field and message, or "failed"; nil: nothing is wrong.
local function judged(d, field, message)
    if field == nil then return nil end
    local known = {}
    for i, f in ipairs(d.fields) do known[i] = f.name end
    local fault = "no field of the model: " .. suggest.quote(field) .. suggest.near(field, known)
    if type(field) ~= "string" then fault = "a " .. type(field) end
    for _, name in ipairs(known) do
        if name == field and (message == nil or type(message) == "string") then return "invalid", field, message or "is not valid" end
        if name == field then fault = "a message that is a " .. type(message) end
    end
    return "failed", nil, "`validate` returned something else than a field and a message",
        "validate returned " .. fault .. "; it returns nothing, or a field's name and a message"
end

-- Adds what options.tags says; "failed" and why, or nil.
local function take_tags(set, list)
    local fault
    if list ~= nil and (type(list) ~= "table" or debug.getmetatable(list) and debug.getmetatable(list).__metatable ~= "array") then
        fault = "a list of texts, not a " .. type(list)
    end
    local all = 0
    for _ in pairs(not fault and list or {}) do all = all + 1 end
    if all ~= #(not fault and list or {}) then fault = "a list of texts has no holes and no names" end
    for _, tag in ipairs(not fault and list or {}) do fault = fault or tags.add(set, tag) end
    if fault then return "failed", nil, "`tags` returned something else than tags", "tags: " .. fault end
end

-- validate and tags, on a record that cannot be changed: nil, or what is wrong.
local function vet(d, self, set)
    if d.options.validate then
        local outcome, field, words, log = judged(d, d.options.validate(self))
        if outcome then return outcome, field, words, log end
    end
    if d.options.tags then return take_tags(set, (d.options.tags(self))) end
end

-- One function for each kind of run.

local function filled(d, self, said, ...)
    local results, result = select("#", ...), (...)
    if results > 1 then
        return "failed", nil, "it returned several values",
            ("from_miss returned %d values; it sets fields of `self`, or returns `missing`"):format(results)
    elseif rawequal(result, missing) then
        return "missing", nil, said.expires_ms
    elseif result ~= nil then
        return "failed", nil, "it returned something else than `missing`",
            ("from_miss returned a %s; it sets fields of `self`, or returns `missing`"):format(type(result))
    end
    local lost, model = record.unsaved(self)
    if lost then
        return "failed", lost, ("field `%s` refers to a `%s` that was not saved"):format(lost, model),
            ("field `%s` refers to a new `%s` whose fields nobody has saved: save it, or give its keys only"):format(lost, model)
    end
    local outcome, field, words, log
    if d.options.validate or d.options.tags then outcome, field, words, log = vet(d, record.view(self), said.tags) end
    if outcome == "invalid" then
        return "failed", field, ("`validate` has refused field `%s`"):format(field), ("validate: field `%s`: %s"):format(field, words)
    elseif outcome then
        return outcome, field, words, log
    end
    local values, name, fault = record.values(self)
    if not values then
        return "failed", name, ("it set field `%s` to what cannot be kept"):format(name), ("field `%s`: %s"):format(name, fault)
    end
    return "done", values, said.expires_ms, tags.section(said.tags)
end

-- A record is missing: its model's from_miss.
function handlers.load(name, keys)
    local d = described[name]
    local self = record.loading(name, keys)
    local ctx, said = context()
    return filled(d, self, said, d.from_miss(self, ctx))
end

local function made(said, ...)
    local results, result = select("#", ...), (...)
    if results > 1 then
        return "failed", nil, "it returned several values", ("it returned %d values; it returns one, or `missing`"):format(results)
    elseif rawequal(result, missing) then
        return "missing", nil, said.expires_ms
    end
    return "done", result, said.expires_ms, tags.section(said.tags)
end

-- A method's result is missing. `values`: attributes, or a form's cleaned inputs; and arguments.
function handlers.method(name, values)
    local d = described[name]
    local args = read_only(values, d.fields, "argument", "`args`")
    local ctx, said = context()
    local self
    if d.kind == "method" then
        self = record.attributed(d, values)
    else
        local cleaned = read_only(values, d.fields, "key", "`self.cleaned_data`")
        self = read_only({ cleaned_data = cleaned }, { { name = "cleaned_data", kind = "key" } }, "key", "`self`")
    end
    return made(said, d.handler(self, args, ctx))
end

-- A record is to be saved: validate and tags. `document`: its JSON.
function handlers.vet(name, document)
    local set = {}
    local outcome, field, words, log = vet(described[name], record.stored(name, document), set)
    if outcome then return outcome, field, words, log end
    return "done", nil, nil, tags.section(set)
end

-- What a `clean` has raised: `text` when its author meant it for the client, that is by error or assert.
local function caught(err)
    local raiser, caller = debug.getinfo(2, "f"), debug.getinfo(3, "S")
    local meant = raiser and (raiser.func == error or raiser.func == assert) and caller
        and (caller.what == "C" or where.is_author(caller)) -- else a word of ours has raised it
    if meant and type(err) == "string" then return { text = where.without_position(err) } end
    return { err = err, lines = where.authors() }
end

-- Appends what one input's clean came to: true, or what it raised.
local function take_cleaned(f, values, refused, ok, value, message)
    if not ok then
        if type(value) ~= "table" then return value, "" end -- out of memory goes past `caught`
        refused[f.name] = value.text
        return value.err, value.lines
    elseif value ~= nil then
        values[f.name] = value
    elseif message == nil or type(message) == "string" then
        refused[f.name] = message or "This value is not valid."
    else
        return ("the message of `clean` is a %s"):format(type(message)), ""
    end
end

-- A form's inputs, of those that are given and have a `clean`: cleaned values, and messages where there is none.
function handlers.clean(name, given)
    local d, values, refused = described[name], {}, {}
    for _, f in ipairs(d.fields) do
        if f.clean and given[f.name] ~= nil then
            local err, lines = take_cleaned(f, values, refused, xpcall(f.clean, caught, given[f.name]))
            if lines then return "raised", err, lines end
        end
    end
    return "done", values, refused
end

return handlers
