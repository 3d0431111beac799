-- perigee.context: `ctx`, the second thing that handlers are given, and what they say by it.
--
--     context.of_load(old, etag, build)   of a loader or method. `old`: the text of the stored record or result that it replaces, or nil;
--                                         `etag`: what ctx.etag was then; build(value): what ctx.stale is of the value of that text
--     context.of_many()                   of from_misses
--     context.of_save()                   of on_save
--
-- Each returns ctx and the table of what is said: { tags = set, expires_ms =, origin = what ctx.etag was set to, etag = what it is,
-- old = there is an old one }.

local core = require "perigee.core"
local where = require "perigee.where"
local suggest = require "perigee.suggest"
local tags = require "perigee.tags"

where.ours()

local context = {}

local ETAG_MAX = 1024

-- What ctx.not_modified() gives.
local unmodified = setmetatable({}, { __tostring = function() return "not modified" end, __metatable = "not modified" })

function context.is_unmodified(value) return rawequal(value, unmodified) end

-- `get`: member -> function that reads it; `set`: member -> function that takes a new value.
local function object(get, set)
    local function no_such(name)
        where.raise("`ctx` has no member %s%s", suggest.quote(name), suggest.near(name, suggest.names(get)))
    end
    return setmetatable({}, {
        __index = function(_, name)
            if not get[name] then no_such(name) end
            return get[name]()
        end,
        __newindex = function(_, name, value)
            if not get[name] then no_such(name) end
            if not set[name] then where.raise("`ctx.%s` cannot be set", name) end
            set[name](value)
        end,
        __tostring = function() return "context" end,
        __metatable = "context",
    })
end

local function add_expires(get, set, said)
    local expires
    function get.expires() return expires end
    function set.expires(value)
        local ms = value ~= nil and core.duration(value) or nil
        if value ~= nil and not ms then
            where.raise("`ctx.expires` wants seconds, or text like \"90s\" \"15m\"; 0 = answer, do not keep")
        end
        expires, said.expires_ms = value, ms
    end
end

local function add_tag(get, set, said)
    local function tag(name)
        local fault = tags.add(said.tags, name)
        if fault then where.raise("`ctx.tag`: %s", fault) end
    end
    function get.tag() return tag end
    function set.tag() where.raise("`ctx.tag` is called: ctx.tag \"name\"") end
end

local function add_etag(get, set, said, etag)
    said.etag = etag
    function get.etag() return said.etag end
    function set.etag(value)
        if value ~= nil and (type(value) ~= "string" or #value > ETAG_MAX) then
            where.raise("`ctx.etag` wants text of at most %d bytes, or nil", ETAG_MAX)
        end
        said.etag, said.origin = value, value
    end
end

local function add_old(get, said, old, build)
    local built, value = false, nil
    function get.stale()
        if old ~= nil and not built then built, value = true, build(core.json(old)) end
        return value
    end
    local function not_modified()
        if old == nil then where.raise("`ctx.not_modified`: there is no old record: ctx.stale is nil") end
        return unmodified
    end
    function get.not_modified() return not_modified end
    said.old = old ~= nil
end

function context.of_load(old, etag, build)
    local get, set, said = {}, {}, { tags = {} }
    add_expires(get, set, said)
    add_tag(get, set, said)
    add_etag(get, set, said, etag)
    add_old(get, said, old, build)
    return object(get, set), said
end

function context.of_many()
    local get, set, said = {}, {}, { tags = {} }
    add_expires(get, set, said)
    add_tag(get, set, said)
    return object(get, set), said
end

function context.of_save()
    local get, set, said = {}, {}, {}
    add_expires(get, set, said)
    return object(get, set), said
end

return context
