-- perigee.shapes: what is behind the objects that handlers hold (perigee.record).
--
-- The shape of a model or form: { name =, form =, kind = { member -> kind }, names = { ... }, keys = { ... },
-- described = { member -> perigee.member's }, methods = { name -> perigee.check's } }.
-- The state of an object is its metatable: what its members do, `shape` and `values`.

local where = require "perigee.where"
local suggest = require "perigee.suggest"

where.ours()

local quote = suggest.quote

local shapes, all = {}, {} -- by name

function shapes.of(name) return all[name] end

-- Makes a described model or form known.
function shapes.define(described)
    local new = {
        name = described.name, form = described.kind == "form", kind = {}, names = {}, keys = {}, described = {}, methods = {},
    }
    for i, f in ipairs(described.fields) do
        new.kind[f.name], new.names[i], new.described[f.name] = f.kind, f.name, f
        if f.kind == "key" then new.keys[#new.keys + 1] = f.name end
    end
    for _, method in ipairs(described.methods) do
        new.methods[method.method] = method
    end
    all[described.name] = new
    return new
end

local MARK = {} -- nobody else can make a state

-- A new object of this state.
function shapes.object(state)
    state[MARK] = true
    return setmetatable({}, state)
end

-- The state of an object of ours; nil for anything else.
function shapes.state(value)
    local state = type(value) == "table" and debug.getmetatable(value)
    return state and rawget(state, MARK) and state or nil
end

function shapes.title(of) return (of.form and "form " or "model ") .. quote(of.name) end

function shapes.no_such(of, name)
    local known = {}
    for i, member in ipairs(of.names) do known[i] = member end
    for method in pairs(of.methods) do known[#known + 1] = method end
    where.raise("%s has no %s %s%s", shapes.title(of), of.form and "input or method" or "key or field", quote(name),
        suggest.near(name, known))
end

-- The keys in `given`, with defaults; raises, speaking of `what`, when one is missing or another member is there.
function shapes.take_keys(of, given, what)
    local keys = {}
    for name in pairs(given) do
        if of.kind[name] ~= "key" then
            where.raise("%s: %s is no key of `%s`%s", what, quote(name), of.name, suggest.near(name, of.keys))
        end
    end
    for _, name in ipairs(of.keys) do
        keys[name] = given[name]
        if keys[name] == nil then keys[name] = of.described[name].default end
        if keys[name] == nil then where.raise("%s: key `%s` of `%s` is missing", what, name, of.name) end
    end
    return keys
end

return shapes
