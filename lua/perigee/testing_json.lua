-- perigee.testing_json: JSON for specs. Not lua-cjson's, which reads `[]` and `{}` as one and the same: what a spec has read it can
-- save again.

local json = {}

json.null = setmetatable({}, { __tostring = function() return "null" end, __newindex = function() error("null has no members", 2) end })

local array = { __name = "array" }

-- Marks a table as an array, so that it is `[]` also when it is empty.
function json.array(t) return setmetatable(t or {}, array) end

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function quote(text)
    return '"' .. text:gsub('[%c"\\\127]', function(c) return ESCAPES[c] or ("\\u%04x"):format(c:byte()) end) .. '"'
end

-- In the shortest spelling that is read as the same number; a whole one in digits.
function json.number(value)
    if value == math.floor(value) and math.abs(value) < 2 ^ 53 then return ("%.0f"):format(value) end
    for digits = 14, 16 do
        local text = ("%." .. digits .. "g"):format(value)
        if tonumber(text) == value then return text end
    end
    return ("%.17g"):format(value)
end

local encode

local function encode_table(value, path)
    local parts = {}
    if getmetatable(value) == array or value[1] ~= nil then
        for name in pairs(value) do
            if type(name) ~= "number" then error(("JSON: `%s` is both a list and has the member `%s`"):format(path, tostring(name)), 0) end
        end
        for i = 1, #value do parts[i] = encode(value[i], ("%s[%d]"):format(path, i)) end
        return "[" .. table.concat(parts, ",") .. "]"
    end
    for name, member in pairs(value) do
        if type(name) ~= "string" then error(("JSON: `%s` has a hole, or a member that is no text"):format(path), 0) end
        parts[#parts + 1] = quote(name) .. ":" .. encode(member, path .. "." .. name)
    end
    table.sort(parts)
    return "{" .. table.concat(parts, ",") .. "}"
end

function encode(value, path)
    local kind = type(value)
    if value == json.null then return "null" end
    if #path > 1000 then error("JSON: nested without an end: " .. path:sub(1, 60), 0) end
    if kind == "table" then return encode_table(value, path) end
    if kind == "string" then return quote(value) end
    if kind == "boolean" then return tostring(value) end
    if kind ~= "number" or value ~= value or value == math.huge or value == -math.huge then
        error(("JSON: `%s` is %s"):format(path, kind == "number" and "no finite number" or "a " .. kind), 0)
    end
    return json.number(value)
end

function json.encode(value) return encode(value, "value") end

-- Reading: what a gateway has written, which is JSON.

local decode

local UNESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function utf8(code)
    if code < 0x80 then return string.char(code) end
    local bytes, first, room = "", 0xC0, 0x20 -- how the first byte begins, and what it has room for
    while true do
        bytes, code = string.char(0x80 + code % 64) .. bytes, math.floor(code / 64)
        if code < room then return string.char(first + code) .. bytes end
        first, room = first + room, room / 2
    end
end

-- At the quote that opens it -> the string, and what comes behind it.
local function decode_string(text, at)
    local from, parts = at + 1, {}
    while true do
        local stop = text:find('["\\]', from)
        if not stop then error("JSON: a string without an end", 0) end
        parts[#parts + 1] = text:sub(from, stop - 1)
        if text:byte(stop) == 34 then return table.concat(parts), stop + 1 end
        local c = text:sub(stop + 1, stop + 1)
        from = stop + 2
        if c == "u" then
            local code = tonumber(text:sub(from, from + 3), 16)
            from = from + 4
            local low = code >= 0xD800 and code < 0xDC00 and text:match("^\\u([dD][c-fC-F]%x%x)", from)
            if low then
                code = 0x10000 + (code - 0xD800) * 1024 + tonumber(low, 16) - 0xDC00
                from = from + 6
            end
            c = utf8(code)
        end
        parts[#parts + 1] = UNESCAPES[c] or c
    end
end

local function decode_array(text, at)
    local list = json.array()
    at = text:match("^%[%s*()", at)
    if text:byte(at) == 93 then return list, at + 1 end
    while true do
        local comma
        list[#list + 1], at = decode(text, at)
        comma, at = text:match("^%s*([,%]])%s*()", at)
        if comma ~= "," then return list, at end
    end
end

local function decode_object(text, at)
    local object = {}
    at = text:match("^{%s*()", at)
    if text:byte(at) == 125 then return object, at + 1 end
    while true do
        local name, comma
        name, at = decode_string(text, at)
        object[name], at = decode(text, text:match("^%s*:%s*()", at))
        comma, at = text:match("^%s*([,}])%s*()", at)
        if comma ~= "," then return object, at end
    end
end

local WORDS = { ["true"] = true, ["false"] = false, null = json.null }

function decode(text, at)
    local c = text:sub(at, at)
    if c == "{" then return decode_object(text, at) end
    if c == "[" then return decode_array(text, at) end
    if c == '"' then return decode_string(text, at) end
    local word, behind = text:match("^([%w+.-]+)()", at)
    if WORDS[word] ~= nil then return WORDS[word], behind end
    local number = tonumber(word)
    if not number then error("JSON: what is this? " .. text:sub(at, at + 20), 0) end
    return number, behind
end

function json.decode(text)
    local value = decode(text, text:match "^%s*()")
    return value
end

return json
