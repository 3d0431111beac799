-- perigee.options: the options of models and methods, checked, in the units of C:
--
--     { expires_ms =, jitter =, stale_while_revalidate_ms =, stale_if_error_ms =, negative_ms =,
--       refresh =, 0: none; 1: XFetch; between them: a part of the life
--       soft_timeout_ms =, hard_timeout_ms =, max_loads =,
--       version =, depth =, jit =, validate =, tags = }                      of models only

local core = require "perigee.core"
local member = require "perigee.member"
local suggest = require "perigee.suggest"

local options = {}

-- A rule returns the value to keep, or nil and what it wanted.
local function duration(least)
    return function(value)
        local ms = core.duration(value)
        if ms and ms >= least then return ms end
        return nil, ("wants a duration%s: seconds, or text such as \"90s\" \"15m\" \"2h\" \"1d\""):format(
            least > 0 and " above 0" or "")
    end
end

local function whole(least, most)
    return function(value)
        if type(value) == "number" and value >= least and value <= most and value == math.floor(value) then return value end
        return nil, ("wants a whole number from %d to %.0f"):format(least, most)
    end
end

local function part(value)
    if type(value) == "number" and value >= 0 and value <= 1 then return value end
    return nil, "wants a number from 0 to 1"
end

local REFRESH = { off = 0, xfetch = 1 }

local function refresh(value)
    if REFRESH[value] then return REFRESH[value] end
    if type(value) == "number" and value > 0 and value < 1 then return value end
    return nil, ("is \"xfetch\", \"off\", or the part of the life after which a record is loaded anew, above 0 and below 1%s"):format(
        suggest.near(value, suggest.names(REFRESH)))
end

local function switch(value)
    if type(value) == "boolean" then return value end
    return nil, "is true or false"
end

local function handler(value)
    if type(value) == "function" then return value end
    return nil, "is a function, not " .. member.what(value)
end

-- name -> member of the description, rule
options.OF_METHODS = {
    expires = { "expires_ms", duration(0) },
    jitter = { "jitter", part },
    stale_while_revalidate = { "stale_while_revalidate_ms", duration(0) },
    stale_if_error = { "stale_if_error_ms", duration(0) },
    negative = { "negative_ms", duration(0) },
    refresh = { "refresh", refresh },
    soft_timeout = { "soft_timeout_ms", duration(1) },
    hard_timeout = { "hard_timeout_ms", duration(1) },
    max_loads = { "max_loads", whole(1, 1000000) },
}
options.OF_MODELS = {
    version = { "version", whole(0, 4294967295) },
    depth = { "depth", whole(0, 64) },
    jit = { "jit", switch },
    cache_groups = { "cache_groups", switch },
    validate = { "validate", handler },
    tags = { "tags", handler },
}
for name, rule in pairs(options.OF_METHODS) do options.OF_MODELS[name] = rule end

-- Checks those of the members of `given` that are in `rules`. `report` takes the option's name first.
function options.take(given, rules, report)
    local described = {}
    for _, name in ipairs(suggest.names(rules)) do
        local place, rule = rules[name][1], rules[name][2]
        if given[name] ~= nil then
            local value, fault = rule(given[name])
            if fault then report(name, "option `%s` %s", name, fault) end
            described[place] = value
        end
    end
    return described
end

-- The `options` of a model. `report` takes the option's name first, nil for what is wrong with all of them.
function options.of_model(given, report)
    if given == nil then return {} end
    if member.is_descriptor(given) then
        report(nil, "`options` is the table of the model's options and cannot be a %s", given.kind)
    elseif type(given) ~= "table" then
        report(nil, "`options` is a table, not a %s", type(given))
    else
        member.unknown("option", given, options.OF_MODELS, report)
        return options.take(given, options.OF_MODELS, report)
    end
    return {}
end

return options
