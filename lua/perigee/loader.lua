-- perigee.loader: runs the schema files, each once, each in its own environment, and answers their `require`.

local core = require "perigee.core"
local where = require "perigee.where"
local findings = require "perigee.findings"
local suggest = require "perigee.suggest"
local environment = require "perigee.environment"

where.ours()

local loader = {}

local vocabulary -- the words every environment begins with
local modules = {} -- name -> file

local paths = {} -- of all files -> true

-- The position that stands before a message of Lua's own, and the rest; or `fallback` and the whole. A long path stands there
-- shortened to "...its/end.lua", and then the running file is meant.
local function placed(message, path, fallback)
    local source, line, text = message:match "^(.-):(%d+): (.*)$"
    if source and (paths[source] or source:find "^%.%.%.") then
        return { file = paths[source] and source or path, line = tonumber(line) }, text
    end
    return fallback or { file = path, line = 1 }, message
end

-- The message handler of a file's run: keeps where the author was when the error carries no position itself.
local function explain(err)
    local at = where.caller()
    if type(err) == "string" then return { text = err, at = at } end
    return { text = ("raised a %s value as an error"):format(type(err)), at = at }
end

-- Runs a file unless it has run; a fault becomes one finding.
local function run(file)
    if file.state then return end
    file.state = "running"
    local chunk, fault = core.compile(file.text, "@" .. file.path, environment.new(vocabulary))
    if not chunk then
        file.state = "failed"
        local at, text = placed(fault, file.path)
        findings.add(at, "%s", text)
        return
    end
    local ok, result = core.run(chunk, explain)
    if ok then
        file.state, file.value = "done", result == nil or result
        return
    end
    file.state = "failed"
    if type(result) ~= "table" then result = { text = tostring(result) } end -- out of memory goes past `explain`
    local at, text = placed(result.text, file.path, result.at)
    findings.add(at, "%s", text)
end

-- `require` as models know it.
local function require_module(name)
    if type(name) ~= "string" then where.raise("`require` takes the name of a module") end
    if name == "perigee" then return environment.copy(vocabulary) end
    if name == "cjson" then return environment.copy(core.cjson) end
    local file = modules[name]
    if not file then
        local known = suggest.names(modules)
        known[#known + 1], known[#known + 2] = "perigee", "cjson"
        where.raise("no module %s below the schema folder%s", suggest.quote(name), suggest.near(name, known))
    end
    if file.state == "running" then where.raise("module `%s` requires itself, by way of others or directly", name) end
    run(file)
    if file.state == "failed" then where.raise("module `%s` could not be loaded", name) end
    return file.value
end

-- files = { { path =, module =, text = }, ... }; words = what every environment holds. Returns the set of paths that failed.
function loader.run(files, words)
    vocabulary = words
    vocabulary.require = require_module
    for _, file in ipairs(files) do
        paths[file.path] = true
        where.keep(file.path, file.text)
        modules[file.module] = modules[file.module] or file
    end
    local failed = {}
    for _, file in ipairs(files) do
        run(file)
        failed[file.path] = file.state == "failed" or nil
    end
    return failed
end

return loader
