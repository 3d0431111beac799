-- perigee.handlers: calls what authors have written, once for each run that script/run.c starts, and returns to it what came of it:
--
--     "done", the fields or the result, life in ms or nil, tags as perigee.tags tells them, the origin's validator or nil,
--         whether the old record holds (then there are no fields)
--     "missing", nil, life in ms or nil, tags
--     "invalid", field, message                    validate has refused a record that is to be saved
--     "failed", field or nil, words for the client, words for the log
--     "raised", what, the author's lines           an error that was caught on its way
--
-- or, of a call for many, "done" and a list of tables that hold the same for each.
--
-- What a handler raises is not caught here otherwise: script/explain.c looks at its stack.

local where = require "perigee.where"
local record = require "perigee.record"
local suggest = require "perigee.suggest"
local tags = require "perigee.tags"
local context = require "perigee.context"

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
        local own = {
            from_miss = d.from_miss, from_misses = d.from_misses, on_save = d.on_save, handler = d.handler, validate = o.validate,
            tags = o.tags,
        }
        for _, handler in pairs(o.jit and own or {}) do
            jit.on()
            jit.on(handler, true)
        end
    end
end

function handlers.open(the_missing)
    missing = the_missing
    record.open(the_missing)
end

-- What a handler is given.

-- `values` behind a table that cannot be changed and knows its names.
local function read_only(values, fields, kind, what)
    local names = {}
    for _, f in ipairs(fields) do
        if f.kind == kind then names[#names + 1] = f.name end
    end
    local known, told = {}, {}
    for _, name in ipairs(names) do known[name], told[name] = true, values[name] end
    return record.read_only(told, {
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

-- From the record that a loader has filled: "done" and the rest, or what is wrong with it.
local function kept(d, self, said)
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
    return "done", values, said.expires_ms, tags.section(said.tags), said.origin
end

local function unmodified(said)
    return "done", nil, said.expires_ms, "", said.etag, true
end

local function filled(d, self, said, ...)
    local results, result = select("#", ...), (...)
    if results > 1 then
        return "failed", nil, "it returned several values",
            ("from_miss returned %d values; it sets fields of `self`, or returns `missing`"):format(results)
    elseif rawequal(result, missing) then
        return "missing", nil, said.expires_ms, tags.section(said.tags)
    elseif said.old and context.is_unmodified(result) then
        if not record.is_changed(self) then return unmodified(said) end
        return "failed", nil, "it set fields of a record that was not modified",
            "from_miss set fields of `self` and returned ctx.not_modified(), by which the old ones stay"
    elseif result ~= nil then
        return "failed", nil, "it returned something else than `missing`",
            ("from_miss returned a %s; it sets fields of `self`, or returns `missing`"):format(type(result))
    end
    return kept(d, self, said)
end

-- A record is missing, or its time is over: its model's from_miss. `old`, `etag`: as perigee.context takes them.
function handlers.load(name, keys, old, etag)
    local d = described[name]
    local self = record.loading(name, keys)
    local ctx, said = context.of_load(old, etag, function(value) return record.stored(name, value, "in `ctx.stale`") end)
    return filled(d, self, said, d.from_miss(self, ctx))
end

-- Many at once.

local reasons = setmetatable({}, { __mode = "k" }) -- of what `failed` has made
local FAILED = { __tostring = function(self) return "failed: " .. reasons[self] end, __metatable = "failed" }

-- failed "why": what from_misses returns for a record that could not be loaded
function handlers.failed(why)
    if type(why) ~= "string" then where.raise("`failed` takes a text: failed \"why\"") end
    local object = setmetatable({}, FAILED)
    reasons[object] = why
    return object
end

-- What is wrong with the table that from_misses has returned for n records, or nil.
local function list_fault(result, n)
    local meta = type(result) == "table" and debug.getmetatable(result)
    if type(result) ~= "table" or meta and meta.__metatable ~= "array" then return "a " .. type(result) end
    for at, item in pairs(result) do
        if type(at) ~= "number" or at < 1 or at > n or at ~= math.floor(at) then
            return ("a table with a member at %s, for %d records"):format(suggest.quote(at), n)
        elseif not rawequal(item, missing) and not reasons[item] then
            return ("a table with a %s at %d"):format(type(item), at)
        end
    end
end

local function raised(err) return { err = err, lines = where.authors() } end

-- What came of one record; a fault of its own, or of what its model says of it, is not that of the others.
local function settled(ok, outcome, ...)
    if ok then return { outcome, ... } end
    if type(outcome) ~= "table" then outcome = { err = outcome, lines = "" } end -- out of memory goes past `raised`
    return { "raised", outcome.err, outcome.lines }
end

local function one_of_many(d, self, result, said)
    if rawequal(result, missing) then return { "missing", nil, said.expires_ms, tags.section(said.tags) } end
    if result then return { "failed", nil, nil, reasons[result] } end
    local own = { tags = {}, expires_ms = said.expires_ms }
    for tag in pairs(said.tags) do own.tags[tag] = true end
    return settled(xpcall(kept, raised, d, self, own))
end

local function all_filled(d, list, said, ...)
    local results, result = select("#", ...), (...)
    local fault = results > 1 and ("%d values"):format(results) or result ~= nil and list_fault(result, #list)
    if fault then
        return "failed", nil, "it returned something else than a table of `missing` and `failed`",
            ("from_misses returned %s; it returns nothing, or a table by position of `missing` and `failed \"why\"`"):format(fault)
    end
    local settlements = {}
    for i, self in ipairs(list) do settlements[i] = one_of_many(d, self, result and result[i], said) end
    return "done", settlements
end

-- Records are missing: their model's from_misses, or its from_miss for one alone, where it has both.
function handlers.load_many(name, list_of_keys, old, etag)
    local d = described[name]
    if #list_of_keys == 1 and d.from_miss then return "done", { { handlers.load(name, list_of_keys[1], old, etag) } } end
    local list, given = {}, {}
    for i, keys in ipairs(list_of_keys) do
        list[i] = record.loading(name, keys)
        given[i] = list[i] -- the handler may change the list it has
    end
    local ctx, said = context.of_many()
    return all_filled(d, list, said, d.from_misses(given, ctx))
end

local function made(said, ...)
    local results, result = select("#", ...), (...)
    if results > 1 then
        return "failed", nil, "it returned several values", ("it returned %d values; it returns one, or `missing`"):format(results)
    elseif rawequal(result, missing) then
        return "missing", nil, said.expires_ms, tags.section(said.tags)
    elseif said.old and context.is_unmodified(result) then
        return unmodified(said)
    end
    return "done", record.told(result), said.expires_ms, tags.section(said.tags), said.origin
end

-- A method's result is missing, or its time is over. `values`: attributes, or a form's cleaned inputs; and arguments.
function handlers.method(name, values, old, etag)
    local d = described[name]
    local args = read_only(values, d.fields, "argument", "`args`")
    local ctx, said = context.of_load(old, etag, function(value) return value end)
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
    local outcome, field, words, log = vet(described[name], record.stored(name, document, "here"), set)
    if outcome then return outcome, field, words, log end
    return "done", nil, nil, tags.section(set)
end

local function written(said, ...)
    if select("#", ...) > 1 or (...) ~= nil then
        return "failed", nil, "it returned something",
            ("on_save returned a %s; it returns nothing, and raises where the record is not to be stored"):format(type((...)))
    end
    return "done", nil, said.expires_ms, ""
end

-- It is about to be stored: on_save.
function handlers.save(name, document)
    local ctx, said = context.of_save()
    return written(said, described[name].on_save(record.stored(name, document, "in `on_save`"), ctx))
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
