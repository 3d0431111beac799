-- perigee.record: what a handler gets: `self`, the record being loaded, and `ctx`, the load itself.
--
-- Both are empty tables before which a metatable stands, so that a misspelt member raises at the author's line instead of being
-- forgotten. The values lie in tables of their own, which script/load.c reads when the handler has ended.

local core = require "perigee.core"
local where = require "perigee.where"
local suggest = require "perigee.suggest"

where.ours()

local quote = suggest.quote

local record = {}

local shapes = {} -- model -> { name =, kind = { member -> "key" | "field" }, names = { ... } }

-- Makes a described model known.
function record.define(model)
    local shape = { name = model.name, kind = {}, names = {} }
    for i, f in ipairs(model.fields) do
        shape.kind[f.name] = f.kind
        shape.names[i] = f.name
    end
    shapes[model.name] = shape
end

local function no_such(shape, name)
    where.raise("model `%s` has no key or field %s%s", shape.name, quote(name), suggest.near(name, shape.names))
end

-- Returns the record and the table that holds its fields.
local function new(shape, keys)
    local fields = {}
    local self = setmetatable({}, {
        __index = function(_, name)
            local kind = shape.kind[name]
            if kind == "field" then return fields[name] end
            if kind == "key" then return keys[name] end
            no_such(shape, name)
        end,
        __newindex = function(_, name, value)
            local kind = shape.kind[name]
            if kind == "key" then where.raise("model `%s`: key `%s` cannot be changed", shape.name, name) end
            if not kind then no_such(shape, name) end
            fields[name] = value
        end,
        __tostring = function() return "record of `" .. shape.name .. "`" end,
        __metatable = "record",
    })
    return self, fields
end

local CONTEXT = { "expires" }

local function no_such_context(name)
    if name == "tag" then where.raise("`ctx.tag` is not supported yet by this version") end
    where.raise("`ctx` has no member %s%s", quote(name), suggest.near(name, CONTEXT))
end

-- Returns the context and the table that holds the answer: `expires_ms`.
local function context()
    local answer, said = {}, nil
    local ctx = setmetatable({}, {
        __index = function(_, name)
            if name ~= "expires" then no_such_context(name) end
            return said
        end,
        __newindex = function(_, name, value)
            if name ~= "expires" then no_such_context(name) end
            local ms = value ~= nil and core.duration(value) or nil
            if value ~= nil and not ms then
                where.raise("`ctx.expires` wants seconds, or text like \"90s\" \"15m\"; 0 = answer, do not keep")
            end
            said, answer.expires_ms = value, ms
        end,
        __tostring = function() return "context" end,
        __metatable = "context",
    })
    return ctx, answer
end

-- A load begins: self, ctx, and the two tables behind them.
function record.enter(model, keys)
    local self, fields = new(shapes[model], keys)
    local ctx, answer = context()
    return self, ctx, fields, answer
end

return record
