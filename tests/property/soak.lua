-- tests/property/soak.lua -- what a long run leaves behind (make soak): a million loads that each fail in their own way, and a hundred thousand
-- keys that do not exist before a few that do. Prints what it measures; exit 1 where a bound is broken.
--
--   luajit tests/property/soak.lua [--loads 1000000] [--keys 100000]
local flood = require "tests.property.flood"
local gateway = require "tests.support.gateway"
local socket = require "socket"

local GROWTH_MIB = 16              -- what the resident memory may gain after the first tenth
local MEMORY_BYTES = 8 * 1024 ^ 2 -- of the store, before the keys that do not exist
local HOT_KEYS = 100

local function start(...)
  return gateway.start { models = flood.models, workers = 2, fds = 20, args = { "--log", "error", ... } }
end

local function verdict(what, ok, format, ...)
  print(("soak: %s %s %s"):format(what, format:format(...), ok and "ok" or "FAILED"))
  return ok
end

-- Loads that fail: what is held after each tenth.
local function failures(loads)
  local gw, tenth, began = start(), math.ceil(loads / 10), socket.gettime()
  local first, last, wrong = nil, nil, 0
  for i = 0, 9 do
    flood.ask(gw, tenth, function(k) return ("/models/Broken?id=n%d"):format(i * tenth + k) end, function(response)
      if response.status ~= 502 then wrong = wrong + 1 end
    end)
    last = flood.rss(gw)
    first = first or last
    print(("soak: %d failed loads, %.1f MiB, %d s"):format((i + 1) * tenth, last, socket.gettime() - began))
  end
  gw:finish()
  return verdict("failures", wrong == 0 and last - first <= GROWTH_MIB, "wrong=%d growth_mib=%.1f", wrong, last - first)
end

-- How many of so many reads of the hot keys were hits, with `cold` reads of keys that do not exist before each.
local function hit_rate(gw, reads, cold, name)
  local each, hits, missing = cold + 1, 0, 0
  flood.ask(gw, reads * each, function(i)
    if i % each == 0 then return "/models/Absent?id=hot" .. math.random(HOT_KEYS) end
    return ("/models/Absent?id=no%s%d"):format(name, i)
  end, function(response, i)
    if i % each ~= 0 then missing = missing + (response.status == 404 and 1 or 0)
    elseif response.headers["cache-status"]:find("; hit", 1, true) then hits = hits + 1 end
  end)
  assert(missing == reads * cold, "a key that does not exist does")
  return 100 * hits / reads
end

local function absent(keys)
  local gw = start("--memory-bytes", MEMORY_BYTES)
  local cold = 10
  hit_rate(gw, 10 * HOT_KEYS, 0, "")
  local before = hit_rate(gw, keys / cold, 0, "")
  local during = hit_rate(gw, keys / cold, cold, "x")
  local held = gw:metric "perigee_memory_bytes"
  gw:finish()
  return verdict("absent keys", held <= MEMORY_BYTES and before - during <= 5, "memory_bytes=%d of=%d hit_rate=%.1f%% before=%.1f%%", held,
    MEMORY_BYTES, during, before)
end

local options = { loads = 1000000, keys = 100000 }
for i = 1, #arg, 2 do
  local name = arg[i]:match "^%-%-(%l+)$"
  assert(options[name] and tonumber(arg[i + 1]), "what is " .. arg[i] .. "?")
  options[name] = tonumber(arg[i + 1])
end
local fine = failures(options.loads)
fine = absent(options.keys) and fine
os.exit(fine and 0 or 1)
