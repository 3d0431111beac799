-- perigee.format: string.format for handlers. A table that words itself (`__tostring`) is asked here, in Lua, so that the watchdog can
-- stop it and it may wait.

require "perigee.where".ours()

local format, gmatch = string.format, string.gmatch

-- The same call with the tables among the `%s` made text.
local function worded(text, ...)
    local given, at = { ... }, 0
    for letter in gmatch(text, "%%[-+ #0]*%d*%.?%d*(.)") do
        if letter ~= "%" then at = at + 1 end
        if letter == "s" and type(given[at]) == "table" then given[at] = tostring(given[at]) end
    end
    return format(text, unpack(given, 1, select("#", ...)))
end

return function(text, ...)
    for i = 1, select("#", ...) do
        if type((select(i, ...))) == "table" and type(text) == "string" then return worded(text, ...) end
    end
    return format(text, ...)
end
