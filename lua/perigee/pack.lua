-- perigee.pack: packed fields: any Lua value as bytes of LuaJIT's own serializer, and those as {"$packed":"<base64>"}.

local core = require "perigee.core"
local buffer = require "string.buffer"

local pack = { null = core.null }

-- The mark of `array` survives; other metatables are refused by core.pack_fault.
local options = { metatable = { debug.getmetatable(core.array {}) } }

-- The value for JSON, or nil and what is wrong with it.
function pack.seal(value)
    local fault = core.pack_fault(value)
    if fault then return nil, fault end
    return { ["$packed"] = core.base64(buffer.new(options):encode(value):tostring()) }
end

-- The value again, or nil when that is no sealed one.
function pack.open(sealed)
    local text = type(sealed) == "table" and sealed["$packed"]
    local bytes = type(text) == "string" and core.unbase64(text)
    if not bytes then return nil end
    local rest = buffer.new(options):set(bytes)
    local ok, value = pcall(rest.decode, rest)
    if not ok or #rest > 0 then return nil end
    return value
end

return pack
