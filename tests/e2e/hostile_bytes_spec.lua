-- tests/e2e/hostile_bytes_spec.lua -- what escapes mean, to the byte; and that no byte of a stranger, a model's author or an upstream can
-- end a header line, begin a log line or move a terminal's cursor, whichever way it came in.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local cjson = require "cjson"

local models = [[
model "Note" { id = key(), text = field(), options = {
  validate = function(self) if self.text == "odd" then return "text", "refused: " .. self.id end end } }
model "Other" { id = key(), note = reference "Note", list = references{ "Note", missing = "skip" } }
model "Fails" { id = key(), v = field(), options = { expires = 60 }, from_miss = function(self) error("failed: " .. self.id) end }
model "Tells" { id = key(), v = field(), options = { expires = 60 },
  from_miss = function(self) log.warn("told " .. self.id, { id = self.id }) self.v = self.id end }
model "Breaks" { id = key(), v = field(), options = { expires = 60 },
  from_miss = function(self) error("broken: " .. string.char(tonumber(self.id)) .. " end") end }
model "Home" { address = key(), echo = cached_method{ args = { word = arg{ default = "x" } },
  function(self, args) if args.word == "fail" then error(self.address) end return { self.address, args.word } end } }
form "Find" { name = input{ required = true, clean = function(v) if #v ~= 1 then error("not one: " .. v, 0) end return v end },
  people = cached_form_method{ function(self) return self.cleaned_data.name end } }
]]

-- What stands in a query, and the key it names; false: 400 malformed-request.
local escapes = {
  ["%00"] = "\0", ["a%00b"] = "a\0b", ["%2F"] = "/", ["%2f"] = "/", ["/"] = "/", ["%252F"] = "%2F", ["%25"] = "%", ["%2500"] = "%00", ["%41"] = "A",
  ["+"] = " ", ["%20"] = " ", ["%2B"] = "+", ["%2b"] = "+", ["a+b%2Bc%20d"] = "a b+c d", ["%26"] = "&", ["%3D"] = "=", ["="] = "=", ["a=b"] = "a=b",
  ["%23"] = "#", ["?"] = "?", ["%3F"] = "?", [";"] = ";", ["%3B"] = ";", ["a;id=b"] = "a;id=b", [","] = ",", ["~"] = "~", ["%7E"] = "~", ["%0D%0A"] = "\r\n",
  ["%0d%0aSet-Cookie:%20a=b"] = "\r\nSet-Cookie: a=b", ["%7F"] = "\127", ["%C3%A9"] = "\195\169", ["%c3%A9"] = "\195\169", ["e%CC%81"] = "e\204\129",
  ["%E2%82%AC"] = "\226\130\172", ["%F0%9F%98%80"] = "\240\159\152\128", ["%F4%8F%BF%BF"] = "\244\143\191\191", ["%EF%BB%BF"] = "\239\187\191", ["%C2%80"] = "\194\128",
  ["%"] = false, ["%4"] = false, ["a%"] = false, ["%%"] = false, ["%zz"] = false, ["%4z"] = false, ["%z4"] = false, ["% 1"] = false, ["%u0041"] = false, ["%-1"] = false,
  ["%+1"] = false, ["%0x"] = false, ["%25%"] = false, -- half an escape is none
  ["%80"] = false, ["%FF"] = false, ["%C3"] = false, ["%C3A"] = false, ["%E2%82"] = false, ["%F0%9F%98"] = false, -- bytes that are no character
  ["%C0%80"] = false, ["%C0%AF"] = false, ["%C1%BF"] = false, ["%E0%80%AF"] = false, ["%F0%80%80%AF"] = false, -- longer than need be
  ["%ED%A0%80"] = false, ["%ED%BF%BF"] = false, ["%F4%90%80%80"] = false, ["%F5%80%80%80"] = false, ["%FE%BF%BF%BF%BF%BF"] = false, -- beyond Unicode
}

local function hex(byte) return ("%%%02X"):format(byte) end

-- No header line of it has a byte but visible ASCII and spaces, and its body is JSON without raw control characters.
local function check_clean(response, of)
  assert(response, of)
  assert(not response.head:gsub("\r\n", ""):find "[^ -~]", ("%s: %q"):format(of, response.head))
  assert(not response.body:find "[%z\1-\31\127]", ("%s: %q"):format(of, response.body))
  assert(not response.body:find "\194[\128-\159]", ("%s: %q"):format(of, response.body))
  if response.body ~= "" then cjson.decode(response.body) end
  return response
end

describe("bytes", function()
  local gw
  setup(function() gw = gateway.start { models = models } end)
  teardown(function() gw:finish() end)

  -- So much is logged, a line each, and nothing of it raw.
  local function check_log()
    local log = gw:log()
    assert(not log:gsub("\n", ""):find "[%z\1-\31\127]", "raw in the log")
    assert(not log:find "\194[\128-\159]", "raw in the log")
    return gw:log_events()
  end

  it("escaped in a query are the key that stands beside them", function()
    for text, key in pairs(escapes) do
      local response = check_clean(gw:get("/models/Note?id=" .. text), text)
      if key then assert.equal(key, check.problem(response, 404, "missing").keys.id) else check.problem(response, 400, "malformed-request") end
    end
    for text, key in pairs(escapes) do
      local response = check_clean(gw:request("POST", "/forms/Find/people", { ["Content-Type"] = "application/x-www-form-urlencoded" }, "name=" .. text), text)
      if not key then check.problem(response, 400, "malformed-request")
      elseif #key == 1 then assert.equal(key, cjson.decode("[" .. check.status(response, 200).body .. "]")[1])
      else check.problem(response, 422, "form-invalid") end
    end
  end)

  it("escaped in a path are a name, and '+' there is a plus", function()
    check.problem(gw:get "/models/No%74e?id=1", 404, "missing")
    check.says(check.problem(gw:get "/models/No+te?id=1", 404, "unknown-model").detail, "`No+te`")
    for text, key in pairs(escapes) do
      if not text:find "[?#/ ]" then
        local response = check_clean(gw:get("/models/" .. text .. "?id=1"), text)
        assert(response.status == 404 or response.status == 400 and not key, text .. ": " .. response.status)
      end
    end
  end)

  it("of any value come back in no header and no body raw", function()
    local function each(byte)
      local escape, of = hex(byte), "byte " .. byte
      local function clean(...) return check_clean(gw:request(...), of) end
      local saved = clean("PUT", "/models/Note?id=a" .. escape .. "b", {}, '{"text":"x"}')
      if saved.status == 201 then
        check.status(clean("GET", saved.headers.location), 200)
        check.status(clean("PUT", "/models/Other?id=o", {}, cjson.encode { note = { id = "a" .. string.char(byte) .. "b" } }), byte == 0 and 201 or 204)
        check.says(clean("GET", "/models/Other?id=o&_depth=0").body, "$ref")
      end
      clean("PUT", "/models/Note?id=" .. escape, {}, '{"text":"odd"}')
      clean("PUT", "/models/Note?id=1", {}, '{"te' .. ("\\u%04x"):format(byte) .. 'xt":1}')
      clean("GET", "/models/Note?id" .. escape .. "=1")
      clean("GET", "/models/Note?id=1&_fields=" .. escape)
      clean("GET", "/models/Note?id=1&_include=a" .. escape .. "b")
      clean("GET", "/models/Note" .. escape .. "?id=1")
      clean("GET", "/models/Note/_to" .. escape .. "uch")
      clean("GET", "/models/Home/ec" .. escape .. "ho?address=1")
      clean("GET", "/models/Home/echo?address=a" .. escape .. "&word=fail")
      clean("GET", "/forms/Find/people?name=aa" .. escape)
      clean("GET", "/forms/Fi" .. escape .. "nd/people")
      clean("GET", "/no" .. escape .. "where")
      clean("GET", "/models/Fails?id=a" .. escape)
      clean("GET", "/models/Tells?id=a" .. escape)
      clean("GET", "/models/Breaks?id=" .. byte)
    end
    for byte = 0, 255 do each(byte) end
    assert(#check_log() > 256)
  end)

  it("over 127 in header lines do nothing", function()
    for _, name in ipairs { "If-None-Match", "If-Match", "Cache-Control", "Accept", "Prefer", "Content-Type", "User-Agent", "Authorization", "X-Request-Id", "Range" } do
      for _, value in ipairs { "\128", "caf\195\169", '"\255"', ("\255"):rep(1000), "\t\160" } do
        check_clean(gw:request("PUT", "/models/Note?id=headers", { [name] = value }, '{"text":"x"}'), name)
        check_clean(gw:get("/models/Note?id=headers", { [name] = value }), name)
      end
    end
    check_log()
  end)

  it("of a handler's words make one line of log each", function()
    local before = #check_log()
    check.status(gw:get("/models/Tells?id=" .. http.escape '\n{"level":"error","message":"forged"}\r\n\27[2J'), 200)
    local events = check_log()
    assert.equal(before + 1, #events)
    assert.equal("warn", events[#events].level)
    check.says(events[#events].message, "forged")
  end)
end)
