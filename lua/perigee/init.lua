-- perigee: the Lua half, as script/vm.c starts it. Below it: loader runs the files, words and check turn what they say into
-- descriptions, lint doubts them, handlers calls what authors wrote, with what record
-- and models give them. C functions come by way of `perigee.core`.

local words = require "perigee.words"
local check = require "perigee.check"
local lint = require "perigee.lint"
local loader = require "perigee.loader"
local findings = require "perigee.findings"
local record = require "perigee.record"

local handlers = require "perigee.handlers"
require "perigee.models"

local perigee = { findings = findings, handlers = handlers }

-- Models and forms, each followed by its methods.
local function flat(models)
    local all = {}
    for _, model in ipairs(models) do
        all[#all + 1] = model
        for _, method in ipairs(model.methods) do all[#all + 1] = method end
    end
    return all
end

-- Adds the declaring words to `vocabulary`, runs the files, returns the descriptions of models, forms and methods.
function perigee.load(files, vocabulary)
    for name, word in pairs(words.table) do
        vocabulary[name] = word
    end
    vocabulary.failed = handlers.failed
    vocabulary.invalidate_tags = record.invalidate_tags
    vocabulary.table.sort = require "perigee.sort"
    vocabulary.string.gsub = require "perigee.gsub"
    vocabulary.string.format = require "perigee.format"
    function check.is_word(name) return vocabulary[name] ~= nil end
    local failed = loader.run(files, vocabulary)
    local models = words.finish(failed)
    if not findings.failed() then lint.run(models) end
    local all = flat(models)
    for _, described in ipairs(all) do
        handlers.define(described)
        if not described.owner then record.define(described) end
    end
    handlers.open(vocabulary.missing)
    if not findings.failed() then handlers.allow_jit() end
    record.ready()
    return all
end

return perigee
