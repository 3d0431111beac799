-- perigee.lint: what is allowed but hardly meant. Warnings only; looked for when there is no error.

local findings = require "perigee.findings"
local suggest = require "perigee.suggest"

local quote = suggest.quote

local lint = {}

local function field_title(model, f) return ("model %s: %s `%s`"):format(quote(model.name), f.kind, f.name) end

local function at(described) return { file = described.file, line = described.line } end

-- What is made and never ends.
local function kept_for_ever(model)
    if model.from_miss and not model.options.expires_ms then
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

local function no_effect(model)
    local o = model.options
    local makes = model.from_miss or #model.methods > 0
    local runs = makes or o.validate or o.tags
    local function warn(option, lack)
        findings.warn(at(model), "model %s: option `%s` has no effect: %s", quote(model.name), option, lack)
    end
    if o.negative_ms and not makes then warn("negative", "nothing is loaded") end
    if o.hard_timeout_ms and not runs then warn("hard_timeout", "there is no handler") end
    if o.jit ~= nil and not runs then warn("jit", "there is no handler") end
    if o.depth and not refers(model) then warn("depth", "there is no reference") end
end

-- A record that stays when what it cannot be read without has gone.
local function outlives(model, by_name)
    local life = model.options.expires_ms or math.huge
    for _, f in ipairs(model.fields) do
        local target = f.missing == "fail" and by_name[f.target]
        local rest = target and not target.from_miss and target.options.expires_ms
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
        outlives(model, by_name)
    end
    needed_in_circles(models, by_name)
end

return lint
