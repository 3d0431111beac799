-- perigee.suggest: names in messages.

local core = require "perigee.core"

local suggest = {}

-- A name in backquotes, cut and cleaned so that it cannot spoil the message.
function suggest.quote(name)
    local text = tostring(name):gsub("[%c`]", "?")
    if #text > 80 then text = text:sub(1, 77) .. "..." end
    return "`" .. text .. "`"
end

-- " (did you mean `email`?)" for a name that is nearly one of `names`, else "".
function suggest.near(name, names)
    local nearest = type(name) == "string" and core.nearest(name, names)
    return nearest and (" (did you mean `%s`?)"):format(nearest) or ""
end

-- The string keys of a table, sorted.
function suggest.names(t)
    local names = {}
    for name in pairs(t) do
        if type(name) == "string" then names[#names + 1] = name end
    end
    table.sort(names)
    return names
end

return suggest
