-- perigee: the Lua half, as script/vm.c starts it. Below it: loader runs the files, words and check turn what they say into
-- descriptions, record is what handlers see. C functions come by way of `perigee.core`.

local words = require "perigee.words"
local check = require "perigee.check"
local loader = require "perigee.loader"
local findings = require "perigee.findings"
local record = require "perigee.record"

if package.preload["perigee.models"] then require "perigee.models" end

local perigee = { findings = findings, enter = record.enter }

-- Adds the declaring words to `vocabulary`, runs the files, returns the models' descriptions.
function perigee.load(files, vocabulary)
    for name, word in pairs(words.table) do
        vocabulary[name] = word
    end
    vocabulary.table.sort = require "perigee.sort"
    vocabulary.string.gsub = require "perigee.gsub"
    vocabulary.string.format = require "perigee.format"
    function check.is_word(name) return vocabulary[name] ~= nil end
    local failed = loader.run(files, vocabulary)
    local models = words.finish(failed)
    for _, model in ipairs(models) do
        record.define(model)
    end
    record.ready()
    return models
end

return perigee
