-- perigee.gsub: string.gsub for handlers. Where it calls functions it is Lua, so that the watchdog can stop them and they may wait.

local core = require "perigee.core"

local where = require "perigee.where"

where.ours()

local function is_text(value)
    return type(value) == "string" or type(value) == "number"
end

-- Replaces at most `most` matches by what `f` makes of their captures.
local function replace(text, pattern, f, most)
    text = tostring(text)
    local parts, rest, done = {}, 1, 0
    local function take(first, last, ...)
        if not first then return false end
        local value = f(...)
        if not value then
            value = text:sub(first, last)
        elseif not is_text(value) then
            where.raise("invalid replacement value (a %s)", type(value))
        end
        parts[#parts + 1] = text:sub(rest, first - 1)
        parts[#parts + 1] = value
        rest, done = last + 1, done + 1
        return true
    end
    local next_match = core.matches(text, pattern)
    while done < most and take(next_match()) do end
    parts[#parts + 1] = text:sub(rest)
    return table.concat(parts), done
end

return function(text, pattern, by, most)
    local is_call = type(by) == "function" or type(by) == "table" and debug.getmetatable(by)
    if not is_call or not is_text(text) or not is_text(pattern) or most ~= nil and not tonumber(most) then
        return core.gsub(text, pattern, by, most) -- also to complain
    end
    local f = by
    if type(by) == "table" then f = function(name) return by[name] end end
    return replace(text, pattern, f, tonumber(most) or #tostring(text) + 1)
end
