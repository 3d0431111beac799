-- perigee.where: the line of the model's author, whichever of our own functions noticed a fault.
--
-- Our files announce themselves with `where.ours()`; the author is in the nearest Lua frame outside them.

local where = {}

local ours = {}

-- The file that calls this belongs to the trusted half.
function where.ours()
    ours[debug.getinfo(2, "S").source] = true
end

where.ours()

-- The author's position, { file =, line = }; nil when only we are on the stack.
function where.caller()
    for level = 2, 250 do
        local frame = debug.getinfo(level, "Sl")
        if not frame then return nil end
        if frame.what ~= "C" and not ours[frame.source] then
            return { file = (frame.source:gsub("^[@=]", "")), line = frame.currentline }
        end
    end
end

-- Raises at the author's line.
function where.raise(format, ...)
    local at = where.caller()
    local message = format:format(...)
    error(at and ("%s:%d: %s"):format(at.file, at.line, message) or message, 0)
end

return where
