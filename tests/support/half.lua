-- tests/support/half.lua -- the Lua half without the program around it: fresh modules for every test, over a stand-in for the
-- functions that C gives it.
local half = {}

package.path = "lua/?.lua;lua/?/init.lua;" .. package.path

-- perigee.core in plain Lua: exact where the tests look, simple elsewhere.
local function core()
  local units = { ms = 1, s = 1000, m = 60000, h = 3600000, d = 86400000 }
  local stand_in = { cjson = { null = "null" }, gsub = string.gsub, null = "null" }
  local array = { __metatable = "array" }

  function stand_in.array(t)
    return setmetatable(t or {}, array)
  end

  function stand_in.pack_fault(value)
    if type(value) == "function" then return "a function cannot be packed" end
  end

  function stand_in.base64(bytes)
    return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
  end

  function stand_in.unbase64(text)
    return (text:gsub("%x%x", function(c) return string.char(tonumber(c, 16)) end))
  end

  function stand_in.duration(value)
    if type(value) == "number" then return value >= 0 and value * 1000 or nil end
    local number, unit = tostring(value):match "^([%d.]+)(%a*)$"
    return number and units[unit == "" and "s" or unit] and tonumber(number) * units[unit == "" and "s" or unit]
  end

  -- One letter lost, added or changed at the end of a common beginning, or two swapped.
  function stand_in.nearest(name, names)
    for _, known in ipairs(names) do
      local same = 0
      while same < #name and name:byte(same + 1) == known:byte(same + 1) do same = same + 1 end
      local rest, known_rest = name:sub(same + 1), known:sub(same + 1)
      if rest:sub(2) == known_rest or rest == known_rest:sub(2) or rest:sub(2) == known_rest:sub(2)
        or rest:sub(3) == known_rest:sub(3) and rest:sub(1, 2):reverse() == known_rest:sub(1, 2) then
        return known
      end
    end
  end

  function stand_in.compile(text, name, environment)
    local chunk, fault = loadstring(text, name)
    if not chunk then return nil, fault end
    return setfenv(chunk, environment)
  end

  stand_in.run = xpcall

  function stand_in.json(text) -- of one flat object of texts
    local value = {}
    for name, member in text:gmatch '"([^"]*)":"([^"]*)"' do value[name] = member end
    return value
  end

  function stand_in.is_utf8(text)
    return not text:find "\255"
  end

  function stand_in.default_fault(_, described)
    local given = type(described.default)
    if described.type == "integer" and given ~= "number" then return "wants an integer, not a " .. given end
  end
  return stand_in
end

local function forget()
  for name in pairs(package.loaded) do
    if name:find "^perigee" then package.loaded[name] = nil end
  end
end

-- The Lua half, new.
function half.open()
  forget()
  package.loaded["perigee.core"] = core()
  return require "perigee"
end

local function vocabulary()
  local words = { missing = "missing", null = "null", table = { insert = table.insert }, string = { rep = string.rep } }
  for _, name in ipairs { "error", "pcall", "pairs", "ipairs", "type", "tostring", "setmetatable", "getmetatable", "rawget", "assert" } do
    words[name] = _G[name]
  end
  return words
end

-- Loads files given as { name = text }, in the order of their names; returns the descriptions by name, the findings as text, and
-- the half itself.
function half.load(texts)
  local perigee, files = half.open(), {}
  if type(texts) == "string" then texts = { models = texts } end
  for name, text in pairs(texts) do
    files[#files + 1] = { path = "schemas/" .. name:gsub("%.", "/") .. ".lua", module = name, text = text }
  end
  table.sort(files, function(a, b) return a.path < b.path end)
  local models = {}
  for _, description in ipairs(perigee.load(files, vocabulary())) do
    models[description.name] = description
  end
  return models, perigee.findings.render(), perigee
end

return half
