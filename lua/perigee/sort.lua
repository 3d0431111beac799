-- perigee.sort: table.sort for handlers, in Lua, so that the watchdog can stop it and a comparison may wait.
--
-- A stable merge sort: an inconsistent comparison gives some order, never an error or more than n log n steps.

require "perigee.where".ours()

local function less(a, b) return a < b end

-- Merges from[low .. middle] and from[middle + 1 .. high] into `to`.
local function merge(from, to, low, middle, high, before)
    local left, right = low, middle + 1
    for at = low, high do
        if left <= middle and (right > high or not before(from[right], from[left])) then
            to[at], left = from[left], left + 1
        else
            to[at], right = from[right], right + 1
        end
    end
end

return function(list, before)
    if type(list) ~= "table" then
        error(("bad argument #1 to 'sort' (table expected, got %s)"):format(type(list)), 2)
    end
    if before ~= nil and type(before) ~= "function" then
        error(("bad argument #2 to 'sort' (function expected, got %s)"):format(type(before)), 2)
    end
    before = before or less
    local n = #list
    local from, to = {}, {} -- the list itself changes only at the end: a comparison that raises leaves it as it was
    for i = 1, n do from[i] = list[i] end
    local width = 1
    while width < n do
        for low = 1, n, 2 * width do
            merge(from, to, low, math.min(low + width - 1, n), math.min(low + 2 * width - 1, n), before)
        end
        from, to = to, from
        width = 2 * width
    end
    for i = 1, n do list[i] = from[i] end
end
