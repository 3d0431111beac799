-- tests/e2e/damage_spec.lua -- values in Redis whose frame is whole and whose contents are not ours: a miss, counted, and nothing that a gateway dies of
-- (docs/storage.md has the layout).
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"

local models = [[
model "Plain" { id = key(), v = field(), options = { expires = 600 } }
model "Work"  { name = key(), v = field(), from_miss = function(self) self.v = "loaded" end }
model "Ref"   { id = key(), work = reference{ "Work", missing = "null" } }
]]

local HEADER, LENGTHS = 52, 41 -- bytes; where the lengths of table, sections and text begin
local TAGS, ORIGIN = 2, 4

local function number_at(s, at, bytes)
  local n = 0
  for i = bytes - 1, 0, -1 do n = n * 256 + s:byte(at + i) end
  return n
end

local function number(n, bytes)
  local out = {}
  for i = 1, bytes do
    out[i] = string.char(n % 256)
    n = math.floor(n / 256)
  end
  return table.concat(out)
end

-- The value with its sections and its text as `change` gives them back.
local function rewritten(value, change)
  local refs, sections = number_at(value, LENGTHS, 4), number_at(value, LENGTHS + 4, 4)
  local from = HEADER + refs
  local new_sections, new_text = change(value:sub(from + 1, from + sections), value:sub(from + sections + 1))
  return value:sub(1, LENGTHS - 1) .. number(refs, 4) .. number(#new_sections, 4) .. number(#new_text, 4)
    .. value:sub(HEADER + 1, from) .. new_sections .. new_text
end

describe("a stored value", function()
  local gw
  setup(function() gw = gateway.start { models = models, store = "redis", fds = 20, args = { "--near-cache-bytes", "0" } } end)
  teardown(function() gw:finish() end)

  local function damage(pattern, change)
    local keys = gw.redis:command("KEYS", pattern)
    assert.equal(1, #keys)
    assert.equal("OK", gw.redis:command("SET", keys[1], rewritten(gw.redis:command("GET", keys[1]), change)))
  end

  local made = 0
  local function new_id()
    made = made + 1
    return "n" .. made
  end

  local function damaged(model) return gw:metric("perigee_envelopes_damaged_total", { model = model }) end

  local longer = {
    tags = { TAGS, ("\255" .. ("a"):rep(255)):rep(4096) },
    ["an origin's validator"] = { ORIGIN, ("b"):rep(20000) },
  }
  for what, section in pairs(longer) do
    it(("with %s longer than can be is a miss"):format(what), function()
      local id = new_id()
      check.status(gw:put("/models/Plain?id=" .. id, '{"v":1}'), 201)
      damage("*:Plain:*:id=" .. id, function(sections, text)
        return sections .. string.char(section[1]) .. number(#section[2], 3) .. section[2], text
      end)
      local before = damaged "Plain"
      check.problem(gw:request("POST", "/models/Plain/_touch", nil, ('{"keys":{"id":"%s"},"expires":500}'):format(id)), 404, "missing")
      assert(damaged "Plain" > before)
      check.problem(gw:get("/models/Plain?id=" .. id), 404, "missing")
    end)
  end

  it("whose text is cut off is none to conditions", function()
    local it = "/models/Plain?id=" .. new_id()
    check.status(gw:put(it, '{"v":1}'), 201)
    local key = gw.redis:command("KEYS", "*:Plain:*:id=n" .. made)[1]
    local function cut() gw.redis:command("SET", key, (gw.redis:command("GET", key):sub(1, -2))) end
    cut()
    check.problem(gw:put(it, '{"v":2}', { ["If-Match"] = "*" }), 412, "precondition-failed")
    check.status(gw:put(it, '{"v":2}', { ["If-None-Match"] = "*" }), 201)
    check.problem(gw:put(it, '{"v":3}', { ["If-None-Match"] = "*" }), 412, "precondition-failed")
    assert.equal(2, check.document(gw:get(it)).v)
    cut()
    check.problem(gw:delete(it, { ["If-Match"] = "*" }), 412, "precondition-failed")
  end)

  -- The key of a target that is missing is read out of what refers to it.
  local torn = {
    ["half a pair"] = [["\ud800"]], ["no whole character"] = [["\u1"]], ["no whole string"] = [["\u12345]],
    ["no JSON"] = [["a""b"]], ["another key"] = [["other"]],
  }
  for what, name in pairs(torn) do
    it("with a reference that is " .. what .. " has no target", function()
      local id, whole = new_id(), '"' .. ("x"):rep(#name - 2) .. '"'
      check.status(gw:put("/models/Ref?id=" .. id, ('{"work":{"name":%s}}'):format(whole)), 201)
      damage("*:Ref:*:id=" .. id, function(sections, text)
        local at = assert(text:find(whole, 1, true))
        return sections, text:sub(1, at - 1) .. name .. text:sub(at + #whole)
      end)
      local before = damaged "Work"
      assert.equal(('{"id":"%s","work":null}'):format(id), check.status(gw:get("/models/Ref?id=" .. id), 200).body)
      assert.equal(before + 1, damaged "Work")
    end)
  end
end)
