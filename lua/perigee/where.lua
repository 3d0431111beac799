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

-- Whether a frame of the stack is of a model's author: neither ours nor C's, nor of the little chunks that C brings along.
function where.is_author(frame)
    return frame.source:sub(1, 1) == "@" and not ours[frame.source]
end

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

-- The author's lines that have led here, innermost first: " | at users.lua:7 in f, users.lua:12".
function where.authors()
    local lines = {}
    for level = 2, 250 do
        local frame = debug.getinfo(level, "Snl")
        if not frame or #lines == 10 then break end
        if where.is_author(frame) then
            lines[#lines + 1] = ("%s:%d%s"):format(frame.short_src, frame.currentline, frame.name and " in " .. frame.name or "")
        end
    end
    return #lines > 0 and " | at " .. table.concat(lines, ", ") or ""
end

-- A message without the position that `error` has put before it: that of an author's line on the stack.
function where.without_position(message)
    for level = 2, 250 do
        local frame = debug.getinfo(level, "Sl")
        if not frame then return message end
        local position = ("%s:%d: "):format(frame.short_src, frame.currentline)
        if message:sub(1, #position) == position then return message:sub(#position + 1) end
    end
    return message
end

local texts = {} -- of schema files, by path

function where.keep(path, text)
    texts[path] = text
end

-- The position of the member `name` in the table of a declaration at `at`. Lua keeps no lines for the members of a table, so this
-- reads the text: the first line from there on, before the next model's or form's, that gives the name a value. Else `at`.
function where.member(at, name)
    if type(name) ~= "string" or not name:find "^[%a_][%w_]*$" then return at end
    local line = 0
    for row in (texts[at.file] or ""):gmatch "([^\n]*)\n?" do
        line = line + 1
        if line > at.line and (row:find "^model%f[%W]" or row:find "^form%f[%W]") then return at end
        local code = row:gsub("%-%-.*", "") .. " "
        if line >= at.line and code:find("%f[%w_.]" .. name .. "%s*=[^=]") then return { file = at.file, line = line, code = code } end
    end
    return at
end

-- Raises at the author's line.
function where.raise(format, ...)
    local at = where.caller()
    local message = format:format(...)
    error(at and ("%s:%d: %s"):format(at.file, at.line, message) or message, 0)
end

return where
