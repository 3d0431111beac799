-- perigee.record: the objects that handlers hold: records, forms with their inputs, and the values `User`, `FriendsLookup` that stand
-- for models and forms.
--
-- An object is an empty table, so that a misspelt member raises at the author's line instead of being forgotten. Its metatable is
-- its own and carries what is behind it (perigee.shapes); nobody but us gets at it. Over 400 lines, because how a record is read, changed
-- and written for JSON rests on the same few rules of what stands in its state.
--
-- perigee.models lets them act, by filling in:
--
--     record.statics[name] = function(class, ...)     what User.name(...) calls; class: the value `User`. form_statics: the same of forms
--     record.methods[name] = function(self, ...)      what record:name(...) and form:name(...) call
--     record.call = function(self, method, args)      what record:geocode{...} and form:get_friends_list{...} call
--
-- and with these (what they raise is raised at the author's line):
--
--     record.kind(value)               "record", "form", "class"; nil for anything else
--     record.model(value)              the name of its model or form
--     record.class(name)               the value that stands for it in handlers; nil when there is none of this name
--     record.new(name, members)        User{...}: a new record, or a form with its inputs
--     record.wrap(name, value)         the record of a document, pushed by convert_push_json; takes the table. What holds
--                                      `$ref` is bare: it has its keys, and reading more of it raises
--     record.keys(self)                its keys, a table for JSON
--     record.take_keys(name, given)    the keys that an author's table names, with defaults; raises where there is anything else
--     record.plain(self, cascade)      the whole record, a table for JSON: references as keys, or whole where they hold changes
--                                      and `cascade` is set (without it such a reference raises); packed fields as {"$packed":...}
--     record.told(value)               a method's result, a value for JSON: each record in it as it was got, with the records that it
--                                      refers to, `args` and the like as tables, `missing` as null
--     record.read_only(values, meta)   an empty table that reads as `values` through the metatable meta; record.told knows it
--     record.attributes(self, method)  what the method is called with: keys and the fields it is `on`, as far as they are known; a
--                                      form's inputs
--     record.saved(self, cascade)      it holds no changes any more; with `cascade` nor do those it refers to

local core = require "perigee.core"
local where = require "perigee.where"
local shapes = require "perigee.shapes"
local suggest = require "perigee.suggest"
local pack = require "perigee.pack"

where.ours()

local quote, shape_of, state_of = suggest.quote, shapes.of, shapes.state
local title, no_such, take_keys = shapes.title, shapes.no_such, shapes.take_keys

local record = { statics = {}, form_statics = {}, methods = {} }

function record.call()
    where.raise("there is no gateway to call")
end

local classes = {} -- by name
local loading = true

-- Makes a described model or form known.
function record.define(described)
    state_of(classes[described.name]).shape = shapes.define(described)
end

-- From here on handlers run.
function record.ready() loading = false end

-- Objects.

local index, new_index -- of records

local function is_record(state) return state and state.__index == index end

local function to_string(self)
    return ("record of `%s`"):format(state_of(self).shape.name)
end

-- `state` holds at least shape and values.
local function object(state)
    state.__index, state.__newindex, state.__tostring, state.__metatable = index, new_index, to_string, "record"
    return shapes.object(state)
end

function record.kind(value)
    local state = state_of(value)
    return state and state.__metatable
end

function record.model(value)
    return state_of(value).shape.name
end

-- References.

function record.take_keys(name, given)
    if type(given) ~= "table" or debug.getmetatable(given) then
        where.raise("`%s`: the keys are a table, not a %s", name, state_of(given) and "record" or type(given))
    end
    return take_keys(shape_of(name), given, ("model `%s`"):format(name))
end

local function referred(shape, what, value)
    local state = state_of(value)
    if is_record(state) then
        if state.shape ~= shape then where.raise("%s refers to `%s`, not to `%s`", what, shape.name, state.shape.name) end
        return value
    end
    if type(value) ~= "table" or debug.getmetatable(value) then
        where.raise("%s takes a record of `%s`, a table of its keys, or null, not a %s", what, shape.name,
            value == pack.null and "null" or type(value))
    end
    return object { shape = shape, values = take_keys(shape, value, what), bare = true }
end

local function is_list(value)
    local meta = type(value) == "table" and debug.getmetatable(value)
    return meta == nil or meta and meta.__metatable == "array"
end

-- The value of a reference field as it is kept. A list stays the author's table: what is added to it later is judged at the end.
local function refer(shape, name, value)
    local f = shape.described[name]
    local target = shape_of(f.target)
    local what = ("%s: %s `%s`"):format(title(shape), f.kind, name)
    if value == nil or value == pack.null then return value end
    if f.kind == "reference" then return referred(target, what, value) end
    if not is_list(value) then
        where.raise("%s takes a list of records of `%s`, of tables of their keys, or null, not a %s", what, target.name,
            is_record(state_of(value)) and "record" or type(value))
    end
    for i, item in ipairs(value) do
        value[i] = referred(target, ("%s[%d]`"):format(what:sub(1, -2), i), item)
    end
    return value
end

-- Records.

local function call_method(shape, name)
    return function(self, args)
        local state = state_of(self)
        if not state or state.shape ~= shape then where.raise("call it with a colon: record:%s{ ... }", name) end
        return record.call(self, name, args)
    end
end

function index(self, name)
    local state = debug.getmetatable(self)
    local shape, values = state.shape, state.values
    local kind = shape.kind[name]
    if state.only and not state.only[name] then
        where.raise("method `%s` has no attribute %s: it is not among `on`%s", state.method, quote(name),
            suggest.near(name, suggest.names(state.only)))
    end
    if not kind then
        if record.methods[name] then return record.methods[name] end
        if not shape.methods[name] then no_such(shape, name) end
        return call_method(shape, name)
    end
    local value = values[name]
    if value == nil and state.bare and kind ~= "key" then
        where.raise("only the keys of this `%s` are known, not %s: get it first", shape.name, quote(name))
    end
    if kind ~= "packed" or not state.sealed or not state.sealed[name] then return value end
    value = pack.open(value)
    if value == nil then where.raise("model `%s`: packed field `%s` cannot be decoded", shape.name, name) end
    values[name], state.sealed[name] = value, nil
    return value
end

function new_index(self, name, value)
    local state = debug.getmetatable(self)
    local shape = state.shape
    local kind = shape.kind[name]
    if kind == "key" then where.raise("model `%s`: key `%s` cannot be changed", shape.name, name) end
    if not kind then no_such(shape, name) end
    if state.frozen then where.raise("%s cannot be changed %s", quote(name), state.frozen) end
    if state.bare then where.raise("only the keys of this `%s` are known: get it first, then set %s", shape.name, quote(name)) end
    if shape.described[name].target then value = refer(shape, name, value) end
    if state.sealed then state.sealed[name] = nil end
    state.values[name], state.changed = value, true
end

-- User{...}
local function new(shape, members)
    if type(members) ~= "table" or debug.getmetatable(members) then
        where.raise("`%s` takes a table of keys and fields, not a %s", shape.name, state_of(members) and "record" or type(members))
    end
    local keys, fields = {}, {}
    for name, value in pairs(members) do
        if not shape.kind[name] then no_such(shape, name) end
        if shape.kind[name] == "key" then keys[name] = value else fields[name] = value end
    end
    local self = object { shape = shape, values = take_keys(shape, keys, title(shape)) }
    for name, value in pairs(fields) do self[name] = value end
    return self
end

-- FriendsLookup{...}
local function new_form(shape, inputs)
    if type(inputs) ~= "table" or debug.getmetatable(inputs) then
        where.raise("form `%s` takes a table of inputs, not a %s", shape.name, type(inputs))
    end
    local values = {}
    for name, value in pairs(inputs) do
        if not shape.kind[name] then no_such(shape, name) end
        values[name] = value
    end
    return shapes.object {
        shape = shape, values = values, __metatable = "form",
        __index = function(_, name)
            if shape.kind[name] then return values[name] end
            if shape.methods[name] then return call_method(shape, name) end
            if name == "forget" and record.methods.forget then return record.methods.forget end
            no_such(shape, name)
        end,
        __newindex = function() where.raise("form `%s`: inputs are given when it is made", shape.name) end,
        __tostring = function() return ("form `%s`"):format(shape.name) end,
    }
end

function record.new(name, members)
    local shape = shape_of(name)
    return (shape.form and new_form or new)(shape, members)
end

-- In the place of `value`, which is null or what a document has for a reference to a record of `shape`.
local function wrap(shape, value)
    if type(value) ~= "table" then return value end
    local bare, sealed = value["$ref"] ~= nil, {}
    value["$ref"] = nil
    for name, member in pairs(value) do
        local f = shape.described[name]
        if f.kind == "packed" then
            sealed[name] = type(member) == "table" or nil
        elseif f.kind == "reference" then
            value[name] = wrap(shape_of(f.target), member)
        elseif f.kind == "references" and type(member) == "table" then
            for i = 1, #member do member[i] = wrap(shape_of(f.target), member[i]) end
        end
    end
    return object { shape = shape, values = value, bare = bare, sealed = sealed }
end

function record.wrap(name, value) return wrap(shape_of(name), value) end

-- What JSON says of them.

function record.keys(self)
    local state, keys = state_of(self), {}
    for _, name in ipairs(state.shape.keys) do keys[name] = state.values[name] end
    return keys
end

-- Calls f(target, field) for each record that this one refers to, in order of declaration.
local function each_reference(state, f)
    for _, name in ipairs(state.shape.names) do
        local kind, value = state.shape.kind[name], state.values[name]
        if value ~= nil and value ~= pack.null and kind == "reference" then f(value, name) end
        for _, item in ipairs(kind == "references" and type(value) == "table" and value or {}) do
            if is_record(state_of(item)) then f(item, name) end
        end
    end
end

-- Whether a record, or one it refers to, was changed and not saved.
local function holds_changes(self, seen)
    local state, found = state_of(self), false
    if seen[state] then return false end
    seen[state] = true
    if state.changed then return true end
    each_reference(state, function(target) found = found or holds_changes(target, seen) end)
    return found
end

local plain

-- A reference for JSON, or nil and what is wrong with it. `open`: states of the records that are being written around it, or false:
-- keys only.
local function plain_reference(target, open)
    if not open or open[state_of(target)] or not holds_changes(target, {}) then return record.keys(target) end
    local values, name, fault = plain(state_of(target), open)
    return values, fault and ("holds a record whose field `%s` %s"):format(name, fault)
end

-- One field for JSON, or nil and what is wrong with it.
local function plain_field(state, name, value, open)
    local kind, target = state.shape.kind[name], state.shape.described[name].target
    if value == pack.null then return value end
    if kind == "packed" then
        if state.sealed and state.sealed[name] then return value end
        return pack.seal(value)
    elseif kind == "reference" then
        return plain_reference(value, open)
    elseif kind ~= "references" then
        return value
    end
    local list, n = core.array {}, 0
    for _ in pairs(value) do n = n + 1 end
    if n ~= #value then return nil, "is no list" end
    for i, item in ipairs(value) do -- an item was added since the list was set
        if not is_record(state_of(item)) then
            item = referred(shape_of(target), ("model `%s`: references `%s[%d]`"):format(state.shape.name, name, i), item)
        elseif state_of(item).shape.name ~= target then
            return nil, ("[%d] is no record of `%s`"):format(i, target)
        end
        local fault
        list[i], fault = plain_reference(item, open)
        if fault then return nil, fault end
    end
    return list
end

-- All for JSON, or nil, the field at fault, and what is wrong with it.
function plain(state, open)
    local values = {}
    if open then open[state] = true end
    for name, value in pairs(state.values) do
        local text, fault = plain_field(state, name, value, open)
        if fault then return nil, name, fault end
        values[name] = text
    end
    if open then open[state] = nil end
    return values
end

-- The same for the end of a load: the table, or nil, field and fault.
function record.values(self) return plain(state_of(self), false) end

-- The first field that refers to another record with changes which nobody has saved or will save, and that record's model; or nil.
function record.unsaved(self)
    local field, model
    each_reference(state_of(self), function(target, name)
        local state = state_of(target)
        if not field and target ~= self and state.changed and not state.loading then field, model = name, state.shape.name end
    end)
    return field, model
end

function record.plain(self, cascade)
    local state = state_of(self)
    if state.bare then where.raise("only the keys of this `%s` are known: get it first", state.shape.name) end
    local field, model = record.unsaved(self)
    if field and not cascade then
        where.raise("model `%s`: `%s` holds a `%s` that is not saved: save it first, or with save{ cascade = true }",
            state.shape.name, field, model)
    end
    local values, name, fault = plain(state, cascade and {} or false)
    if not values then where.raise("model `%s`: field `%s` %s", state.shape.name, name, fault) end
    return values
end

-- What is read by others than JSON, told to JSON.

local TOLD_DEPTH = 64 -- more than JSON may have: what lies deeper, such as a table within itself, is refused where it is written
local missing -- the value

function record.open(the_missing) missing = the_missing end

local behind = setmetatable({}, { __mode = "k" }) -- of what is read-only: its values

function record.read_only(values, meta)
    local self = setmetatable({}, meta)
    behind[self] = values
    return self
end

local told

local function told_reference(target, open)
    local state = state_of(target)
    if state.bare or open[state] then return record.keys(target) end
    return told(target, 1, open)
end

local function told_record(state, open)
    local values = {}
    open[state] = true
    for name, value in pairs(state.values) do
        local kind = state.shape.kind[name]
        if state.only and not state.only[name] then -- what a method was called with beside its attributes
            value = nil
        elseif kind == "reference" and value ~= pack.null then
            value = told_reference(value, open)
        elseif kind == "references" and value ~= pack.null then
            local list = core.array {}
            for i, item in ipairs(value) do list[i] = is_record(state_of(item)) and told_reference(item, open) or item end
            value = list
        elseif kind == "packed" and not (state.sealed and state.sealed[name]) then
            value = pack.seal(value) or value
        end
        values[name] = value
    end
    open[state] = nil
    return values
end

-- The value itself where there is nothing to tell otherwise; else a copy. The author's tables stay as they are.
function told(value, depth, open)
    if rawequal(value, missing) then return pack.null end
    if type(value) ~= "table" or depth > TOLD_DEPTH then return value end
    local state = state_of(value)
    if is_record(state) then return told_record(state, open) end
    value = behind[value] or value
    local meta = debug.getmetatable(value)
    if meta and meta.__metatable ~= "array" then return value end
    local copy
    for name, item in next, value do
        local other = told(item, depth + 1, open)
        if not rawequal(other, item) and not copy then
            copy = {}
            for known, same in next, value do copy[known] = same end
            debug.setmetatable(copy, meta)
        end
        if copy then copy[name] = other end
    end
    return copy or value
end

function record.told(value) return told(value, 1, {}) end

local function saved(self, seen)
    local state = state_of(self)
    if seen[state] then return end
    seen[state], state.changed = true, nil
    each_reference(state, function(target) saved(target, seen) end)
end

function record.saved(self, cascade)
    state_of(self).changed = nil
    if cascade then saved(self, {}) end
end

function record.attributes(self, method)
    local state = state_of(self)
    local described, given = state.shape.methods[method], {}
    if not described then no_such(state.shape, method) end
    if state.shape.form then
        for name, value in pairs(state.values) do given[name] = value end
        return given
    end
    for _, f in ipairs(described.fields) do
        if f.kind == "key" then given[f.name] = state.values[f.name] end
    end
    for _, name in ipairs(state.shape.keys) do given[name] = state.values[name] end
    return given
end

-- Classes.

-- The class of what a file declares: it may be kept at once, and used when all files have run.
function record.declare(name, form)
    local functions, word = {}, (form and "form " or "model ") .. quote(name)
    classes[name] = shapes.object {
        __metatable = "class",
        __call = function(_, members)
            if loading then where.raise("%s is used inside handlers, not while files are loaded", word) end
            return record.new(name, members)
        end,
        __index = function(class, member)
            local statics = form and record.form_statics or record.statics
            local static = statics[member]
            if not static then
                where.raise("%s has no function %s%s", word, quote(member), suggest.near(member, suggest.names(statics)))
            end
            if loading then where.raise("%s is used inside handlers, not while files are loaded", word) end
            functions[member] = functions[member] or function(...) return static(class, ...) end
            return functions[member]
        end,
        __newindex = function() where.raise("%s cannot be changed", word) end,
        __tostring = function() return word end,
    }
end

function record.class(name) return classes[name] end

-- Of all models and forms.
function record.names() return suggest.names(classes) end

-- For perigee.handlers.

-- The record that a loader fills; takes the table of keys.
function record.loading(name, keys)
    return object { shape = shape_of(name), values = keys, loading = true }
end

-- Whether a field was set since.
function record.is_changed(self) return state_of(self).changed end

-- A copy of all plain tables in `value`; `done`: copies that are made.
local function copy(value, done)
    if type(value) ~= "table" or state_of(value) then return value end
    if done[value] then return done[value] end
    local result = {}
    done[value] = result
    for name, item in pairs(value) do result[name] = copy(item, done) end
    return debug.setmetatable(result, debug.getmetatable(value)) and result
end

-- The record that a loader has filled as it will be kept, with defaults: to be looked at, so that nothing changes any more.
function record.view(self)
    local state, values, done = state_of(self), {}, {}
    for name, f in pairs(state.shape.described) do
        local value = state.values[name]
        if value == nil then value = f.default end
        values[name] = copy(value, done)
    end
    return object { shape = state.shape, values = values, frozen = "here" }
end

-- A record as its stored text has it, to be looked at. `frozen`: where it cannot be changed.
function record.stored(name, value, frozen)
    local self = wrap(shape_of(name), value)
    state_of(self).frozen = frozen
    return self
end

-- What the method described by d sees of its record.
function record.attributed(d, values)
    local only = {}
    for _, f in ipairs(d.fields) do
        if f.kind == "key" then only[f.name] = true end
    end
    return object { shape = shape_of(d.owner), values = values, only = only, method = d.method, frozen = "in a method" }
end

return record
