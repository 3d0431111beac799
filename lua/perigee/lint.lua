-- perigee.lint: what is allowed but hardly meant. Warnings only; looked for when there is no error.

local findings = require "perigee.findings"
local suggest = require "perigee.suggest"

local quote = suggest.quote

local lint = {}

local function field_title(model, f) return ("model %s: %s `%s`"):format(quote(model.name), f.kind, f.name) end

local function at(described) return { file = described.file, line = described.line } end

local function loads(model) return model.from_miss or model.from_misses end

-- What is made and never ends.
local function kept_for_ever(model)
    if loads(model) and not model.options.expires_ms then
        findings.warn(at(model), "model %s: has a loader but no `expires`: what it loads is kept for ever", quote(model.name))
    end
    local what = model.kind == "form" and "form %s: cached_form_method" or "model %s: cached_method"
    for _, method in ipairs(model.methods) do
        if not method.options.expires_ms then
            findings.warn(at(method), what .. " `%s`: has no `expires`: its results are kept for ever", quote(model.name), method.method)
        end
    end
end

local function refers(model)
    for _, f in ipairs(model.fields) do
        if f.target then return true end
    end
end

-- Options that say how long something is of use, and how it is loaded anew.
local function freshness_without_effect(o, warn)
    if (o.jitter or 0) > 0 and not o.expires_ms then warn("jitter", "there is no `expires`") end
    if not o.soft_timeout_ms then return end
    if (o.stale_if_error_ms or 0) == 0 then
        warn("soft_timeout", "there is no `stale_if_error`: nothing else to answer with")
    elseif o.hard_timeout_ms and o.hard_timeout_ms <= o.soft_timeout_ms then
        warn("soft_timeout", "`hard_timeout` is over first")
    end
end

-- Options that are for loads, in the order they are told. (`stale_if_error` is for a Redis that is away, too.)
local OF_LOADS = {
    { "stale_while_revalidate", "stale_while_revalidate_ms" }, { "refresh", "refresh" }, { "soft_timeout", "soft_timeout_ms" },
    { "max_loads", "max_loads" },
}

local function no_effect(model)
    local o = model.options
    local makes = loads(model) or #model.methods > 0
    local runs = makes or model.on_save or o.validate or o.tags
    local function warn(option, lack)
        findings.warn(at(model), "model %s: option `%s` has no effect: %s", quote(model.name), option, lack)
    end
    for _, option in ipairs(OF_LOADS) do
        if not loads(model) and (o[option[2]] or 0) > 0 then warn(option[1], "the model has no loader") end
    end
    freshness_without_effect(loads(model) and o or { jitter = o.jitter, expires_ms = o.expires_ms }, warn)
    if o.negative_ms and not makes then warn("negative", "nothing is loaded") end
    if o.hard_timeout_ms and not runs then warn("hard_timeout", "there is no handler") end
    if o.jit ~= nil and not runs then warn("jit", "there is no handler") end
    if o.depth and not refers(model) then warn("depth", "there is no reference") end
end

local function method_no_effect(model, method)
    freshness_without_effect(method.options, function(option, lack)
        findings.warn(at(method), "%s %s: %s `%s`: option `%s` has no effect: %s", model.kind == "form" and "form" or "model",
            quote(model.name), model.kind == "form" and "cached_form_method" or "cached_method", method.method, option, lack)
    end)
end

-- A record that stays when what it cannot be read without has gone.
local function outlives(model, by_name)
    local life = model.options.expires_ms or math.huge
    for _, f in ipairs(model.fields) do
        local target = f.missing == "fail" and by_name[f.target]
        local rest = target and not loads(target) and target.options.expires_ms
        if rest and rest < life then
            findings.warn(at(f), "%s: `%s` expires earlier and has no loader: records that refer to it are `missing` from then on",
                field_title(model, f), target.name)
        end
    end
end

-- Models that need each other: each cycle is told once, at the first of its references in order of declaration.
local function needed_in_circles(models, by_name)
    local state = {} -- "open": on the way we came; "done"
    local way = {}
    local function visit(model)
        state[model] = "open"
        for _, f in ipairs(model.fields) do
            local target = f.kind == "reference" and f.required and f.missing == "fail" and by_name[f.target]
            if target then
                way[#way + 1] = { model = model, field = f }
                if state[target] == "open" then
                    local names, first = { target.name }, #way
                    while way[first].model ~= target do first = first - 1 end
                    for i = first + 1, #way do names[#names + 1] = way[i].model.name end
                    names[#names + 1] = target.name
                    findings.warn(at(way[first].field), "%s: required in a circle (%s): none of them can be read before all are there",
                        field_title(target, way[first].field), table.concat(names, " -> "))
                elseif not state[target] then
                    visit(target)
                end
                way[#way] = nil
            end
        end
        state[model] = "done"
    end
    for _, model in ipairs(models) do
        if not state[model] then visit(model) end
    end
end

-- `models`: descriptions of perigee.check that have no fault.
function lint.run(models)
    local by_name = {}
    for _, model in ipairs(models) do by_name[model.name] = model end
    for _, model in ipairs(models) do
        kept_for_ever(model)
        no_effect(model)
        for _, method in ipairs(model.methods) do method_no_effect(model, method) end
        outlives(model, by_name)
    end
    needed_in_circles(models, by_name)
end

return lint
