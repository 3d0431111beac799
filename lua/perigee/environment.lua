-- perigee.environment: the globals of one schema file.
--
-- Each file writes its globals into a table of its own, before which stand its own copies of the words and libraries: what it
-- does there reaches no other file. The words keep their meaning, and reading a name that is not there raises, so that a
-- misspelt word is found.

local where = require "perigee.where"
local suggest = require "perigee.suggest"
local record = require "perigee.record"

where.ours()

-- Lua's own names that models do without; docs/models.md says why.
local WITHHELD = {}
for _, name in ipairs {
    "io", "package", "module", "debug", "ffi", "jit", "coroutine", "load", "loadstring", "loadfile", "dofile", "getfenv",
    "setfenv", "collectgarbage", "newproxy", "rawset", "print", "gcinfo",
} do
    WITHHELD[name] = true
end

-- A copy of the plain tables in `value`; what has a metatable is shared, because nobody can change it.
local function copy(value)
    if type(value) ~= "table" or debug.getmetatable(value) then return value end
    local result = {}
    for name, member in pairs(value) do
        result[name] = copy(member)
    end
    return result
end

local function unknown(vocabulary, name)
    local class = record.class(name)
    if class then return class end
    if WITHHELD[name] then where.raise("`%s` is not available to models", name) end
    local known = suggest.names(vocabulary)
    for _, declared in ipairs(record.names()) do known[#known + 1] = declared end
    where.raise("unknown name %s%s", suggest.quote(name), suggest.near(name, known))
end

local environment = { copy = copy }

-- log("text"): log.info, by whoever asks for no level.
local function make_callable(log)
    local info = log.info
    setmetatable(log, { __call = function(_, ...) return info(...) end, __metatable = "log" })
end

-- A new environment with its copy of `words_and_libraries`.
function environment.new(words_and_libraries)
    local vocabulary = copy(words_and_libraries)
    if vocabulary.log then make_callable(vocabulary.log) end
    local globals = {}
    vocabulary._G = globals
    setmetatable(vocabulary, { __index = unknown })
    return setmetatable(globals, {
        __index = vocabulary,
        __newindex = function(_, name, value)
            if rawget(vocabulary, name) ~= nil then
                where.raise("%s is a word of the language and keeps its meaning", suggest.quote(name))
            end
            if record.class(name) then where.raise("%s keeps its meaning (write `local`)", tostring(record.class(name))) end
            rawset(globals, name, value)
        end,
        __metatable = "environment",
    })
end

return environment
