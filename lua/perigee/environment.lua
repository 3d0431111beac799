-- perigee.environment: the globals of one schema file.
--
-- Each file gets its own table with its own copies of the libraries: what it writes there reaches no other file. Reading a name
-- that is not there raises, so that a misspelt word is found.

local where = require "perigee.where"
local suggest = require "perigee.suggest"
local words = require "perigee.words"

where.ours()

-- Lua's own names that models do without; docs/models.md says why.
local WITHHELD = {}
for _, name in ipairs {
    "io", "package", "module", "debug", "ffi", "jit", "coroutine", "load", "loadstring", "loadfile", "dofile", "getfenv",
    "setfenv", "collectgarbage", "newproxy", "rawset", "print", "gcinfo",
} do
    WITHHELD[name] = true
end

-- Words of the language that this version lacks inside handlers.
local LATER = { postgres = true, redis = true, parallel = true, invalidate_tags = true, failed = true }

-- A copy of the plain tables in `value`; what has a metatable is shared, because nobody can change it.
local function copy(value)
    if type(value) ~= "table" or debug.getmetatable(value) then return value end
    local result = {}
    for name, member in pairs(value) do
        result[name] = copy(member)
    end
    return result
end

local function unknown(globals, name)
    if WITHHELD[name] then where.raise("`%s` is not available to models", name) end
    if LATER[name] then where.raise("`%s` is not supported yet by this version", name) end
    if words.is_model(name) then
        where.raise("model `%s`: using a model inside a handler is not supported yet by this version", name)
    end
    where.raise("unknown name %s%s", suggest.quote(name), suggest.near(name, suggest.names(globals)))
end

local environment = { copy = copy }

-- A new environment with its copy of `vocabulary`.
function environment.new(vocabulary)
    local globals = copy(vocabulary)
    globals._G = globals
    return setmetatable(globals, { __index = unknown, __metatable = "environment" })
end

return environment
