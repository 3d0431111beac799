-- tests/e2e/json_spec.lua -- JSON comes back as it was sent: spelling, order, emptiness, nullness; and what is no JSON goes nowhere.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local process = require "tests.support.process"
local cjson = require "cjson"
local socket = require "socket"

local models = [[
model "Doc" { id = key(), v = field(), w = field() }
model "Ordered" { zeta = field(), id = key(), alpha = field(), middle = field{ default = "m" } }
model "Typed" {
  id = key(), s = field{ type = "string" }, i = field{ type = "integer" }, n = field{ type = "number" }, b = field{ type = "boolean" },
  a = field{ type = "array" }, o = field{ type = "object" },
}
]]

local data = (os.getenv "PERIGEE_TEST_DATA" or "../shared/data") .. "/json"

-- Those open cases of JSONTestSuite that are taken: numbers too large for any machine, kept as spelled. Lone surrogates, bad UTF-8, marks
-- and 500 arrays are refused.
local open_cases_taken = {
  "number_double_huge_neg_exp", "number_huge_exp", "number_neg_int_huge_exp", "number_pos_double_huge_exp", "number_real_neg_overflow",
  "number_real_pos_overflow", "number_real_underflow", "number_too_big_neg_int", "number_too_big_pos_int", "number_very_big_negative_int",
}

-- The names of the files in a folder, sorted; nil when it is not there.
local function files(folder)
  local names = {}
  local pipe = io.popen("ls " .. process.quote(folder) .. " 2>/dev/null")
  for name in pipe:lines() do names[#names + 1] = name end
  pipe:close()
  return #names > 0 and names or nil
end

for _, store in ipairs { "memory", "redis" } do
  describe("JSON on " .. store, function()
    local gw
    setup(function() gw = gateway.start { models = models, store = store, args = { "--max-body", "1MiB" } } end)
    teardown(function() gw:finish() end)

    -- Saves a value and returns the text it comes back as.
    local function there_and_back(value)
      local response = gw:put("/models/Doc", ('{"id":"x","v":%s}'):format(value))
      if response.status ~= 201 and response.status ~= 204 then check.status(response, "2xx for " .. value:sub(1, 80)) end
      return check.status(gw:get "/models/Doc?id=x", 200).body:match '^{"id":"x","v":(.*)}$'
    end

    it("values come back spelled as sent", function()
      for _, value in ipairs {
        "9007199254740993", "12345678901234567890123", "1.10", "-0", "0", "-0.0", "1e5", "1E5", "1E+5", "1e-5", "1.0", "100000000000000000000",
        "-9223372036854775808", "18446744073709551615", "0.1", "3.141592653589793238462643383279", "1e400", "-1e400", "1e-400",
        "[]", "{}", "[[]]", "[{}]", '{"a":[]}', '{"a":{}}', "[[],{},null]", "null", "true", "false", '""', "[null]", '{"a":null}',
        [["\u00e9"]], [["\u0000"]], [["a\/b"]], [["a/b"]], [["\ud83d\ude00"]], [["\n\t\b\f\r\"\\"]], '"\195\169"', '"\240\159\152\128"', '"\127"',
        '{"b":1,"a":2}', '{"z":{"y":{"x":[1,2,{"w":"v"}]}}}', [[{"":1}]], [[{"__proto__":1,"constructor":2}]], [[{"\u0061":1}]],
        '{"9007199254740993":1.10}', '[1,"1",1.0,"1.0"]',
      } do
        assert.equal(value, there_and_back(value))
      end
    end)

    it("only insignificant white space may go", function()
      assert.equal('{"a":[1,2,{"b c":" d  e "}]}', there_and_back '\r\n { "a" :\t[ 1 , 2 ,\n{ "b c" : " d  e " } ] } \n')
      assert.equal([["\\\" : , "]], there_and_back [[ "\\\" : , " ]])
    end)

    it("members stand in the order of the model", function()
      check.status(gw:put("/models/Ordered", '{"middle":3,"alpha":2,"id":"o","zeta":1}'), 201)
      assert.equal('{"zeta":1,"id":"o","alpha":2,"middle":3}', gw:get("/models/Ordered?id=o").body)
      check.status(gw:put("/models/Ordered?id=o", '{"alpha":2}'), 204)
      assert.equal('{"id":"o","alpha":2,"middle":"m"}', gw:get("/models/Ordered?id=o").body)
    end)

    it("null is null, unset is absent", function()
      check.status(gw:put("/models/Ordered", '{"id":"n","zeta":null,"middle":null}'), 201)
      assert.equal('{"zeta":null,"id":"n","middle":null}', gw:get("/models/Ordered?id=n").body)
      check.status(gw:put("/models/Doc", '{"id":"n"}'), 201)
      assert.equal('{"id":"n"}', gw:get("/models/Doc?id=n").body)
    end)

    it("a save replaces the whole record", function()
      check.status(gw:put("/models/Doc", '{"id":"r","v":1,"w":2}'), 201)
      check.status(gw:put("/models/Doc", '{"id":"r","w":3}'), 204)
      assert.equal('{"id":"r","w":3}', gw:get("/models/Doc?id=r").body)
    end)

    it("a member sent twice counts once", function()
      check.status(gw:put("/models/Doc", '{"id":"d","v":1,"v":2}'), 201)
      assert.equal('{"id":"d","v":2}', gw:get("/models/Doc?id=d").body)
    end)

    it("an escaped member name is the name", function()
      check.status(gw:put("/models/Doc", [[{"\u0069d":"e","\u0076":1}]]), 201)
      assert.equal('{"id":"e","v":1}', gw:get("/models/Doc?id=e").body)
    end)

    it("fields take their type and no other", function()
      local good = { s = '"x"', i = "12345678901234567890123", n = "1.5", b = "true", a = "[1]", o = '{"a":1}' }
      for name, value in pairs(good) do
        check.status(gw:put("/models/Typed?id=" .. name, ('{"%s":%s}'):format(name, value)), 201)
        assert.equal(('{"id":"%s","%s":%s}'):format(name, name, value), gw:get("/models/Typed?id=" .. name).body)
        check.status(gw:put("/models/Typed?id=" .. name, ('{"%s":null}'):format(name)), 204)
        for other, wrong in pairs(good) do
          if other ~= name and not (name == "n" and other == "i") then
            local problem = check.problem(gw:put("/models/Typed?id=" .. name, ('{"%s":%s}'):format(name, wrong)), 422, "field-type")
            assert.equal(name, problem.path)
          end
        end
      end
    end)

    it("nests 64 deep and no deeper", function()
      local function nested(n) return ("["):rep(n) .. ("]"):rep(n) end
      assert.equal(nested(63), there_and_back(nested(63))) -- and the record around it
      for _, depth in ipairs { 64, 65, 500, 20000 } do
        check.problem(gw:put("/models/Doc", ('{"id":"x","v":%s}'):format(nested(depth))), 400, "malformed-json")
        check.problem(gw:put("/models/Doc", ('{"id":"x","v":%s}'):format(('{"a":'):rep(depth) .. "1" .. ("}"):rep(depth))), 400, "malformed-json")
        check.problem(gw:put("/models/Doc", nested(depth + 1)), 400, "malformed-json")
      end
      check.problem(gw:put("/models/Doc", '{"id":"x","v":' .. ("["):rep(500000)), 400, "malformed-json")
    end)

    it("long numbers cost little and are kept", function()
      local start = socket.gettime()
      for _, value in ipairs { ("9"):rep(900000), "0." .. ("1"):rep(900000), "1e999999999", "1e-999999999", "-" .. ("1"):rep(900000) } do
        assert.is_true(there_and_back(value) == value)
      end
      assert.is_true(socket.gettime() - start < 2 * gateway.patience)
    end)

    it("what is no JSON is told with its place", function()
      local problem = check.problem(gw:put("/models/Doc", '{"id":"x","v":tru}'), 400, "malformed-json")
      assert.truthy(problem.detail:match "at byte 1[47]", problem.detail)
      for _, body in ipairs {
        "", " ", "{", "nope", '{"id":"x"', '{"id":"x",}', '{"id":"x"}}', "{'id':'x'}", '{"id":"x","v":01}', '{"id":"x","v":NaN}', '{"id":"x","v":+1}',
        '{"id":"x","v":"\0"}', '{"id":"x","v":"\31"}', '\0{"id":"x"}', '{"id":"x"}\0', '{"id":"x","v":"\\ud800"}', '{"id":"x","v":"\\udc00\\ud800"}',
        '{"id":"x","v":"\255"}', '{"id":"x","v":"\237\160\128"}', '{"id":"x","v":"\192\128"}', '\239\187\191{"id":"x"}', '{"id":"x","v":"\\x41"}',
        '{"id":"x"}//', '/**/{"id":"x"}', '{"\\ud800":1,"id":"x"}',
      } do
        problem = check.problem(gw:put("/models/Doc", body), 400, "malformed-json")
        assert.truthy(problem.detail and problem.detail:match "at byte %d+", body .. ": " .. tostring(problem.detail))
      end
    end)

    it("JSON that is no object is no record", function()
      for _, body in ipairs { "[]", "1", "null", '"x"', "true" } do check.status(gw:put("/models/Doc?id=x", body), 400) end
    end)

    it("passes JSONTestSuite", function()
      local names = files(data .. "/JSONTestSuite/test_parsing")
      if not names then return pending("no " .. data) end
      local ran = { y = 0, n = 0, i = 0 }
      for _, name in ipairs(names) do
        local text = process.read(data .. "/JSONTestSuite/test_parsing/" .. name)
        local response = gw:put("/models/Doc", '{"id":"x","v":' .. text .. "}")
        local kind = name:sub(1, 1)
        ran[kind] = ran[kind] + 1
        if kind == "y" then
          assert(response.status == 201 or response.status == 204, name .. " " .. response.status .. " " .. response.body)
          assert(gw:get("/models/Doc?id=x").status == 200, name)
        elseif kind == "n" then
          assert(response.status == 400, name .. " " .. response.status)
          assert(check.problem(response, 400, "malformed-json").detail:match "at byte %d+", name)
        else
          assert(response.status == 201 or response.status == 204 or response.status == 400, name .. " " .. response.status)
        end
      end
      assert.same({ y = 95, n = 188, i = 35 }, ran)
    end)

    -- The suite's texts as they are. Those that are JSON are hardly ever records; they are told what is wrong with them as records.
    it("passes JSONTestSuite with whole bodies", function()
      local names = files(data .. "/JSONTestSuite/test_parsing")
      if not names then return pending("no " .. data) end
      local taken, ran = {}, 0
      for _, name in ipairs(names) do
        local response = gw:put("/models/Doc?id=x", process.read(data .. "/JSONTestSuite/test_parsing/" .. name))
        local code = response.status >= 400 and cjson.decode(response.body).code
        local is_json = code ~= "malformed-json"
        local kind, case = name:match "^(%l)_(.*)%.json$"
        if not is_json then assert(check.problem(response, 400, "malformed-json").detail:match "at byte %d+", name)
        elseif code then assert(code == "malformed-request" or code == "unknown-field", name .. " " .. code)
        else check.status(response, name:match "empty" and response.status or 204) end
        if kind ~= "i" then assert(is_json == (kind == "y"), name)
        elseif is_json then taken[#taken + 1] = case end
        ran = ran + 1
      end
      assert.equal(318, ran)
      assert.same(open_cases_taken, taken)
    end)

    it("decides the open cases of JSONTestSuite always the same way", function()
      if not files(data .. "/JSONTestSuite/test_parsing") then return pending("no " .. data) end
      local accepted = {}
      for _, name in ipairs(files(data .. "/JSONTestSuite/test_parsing")) do
        if name:sub(1, 1) == "i" then
          local response = gw:put("/models/Doc", '{"id":"x","v":' .. process.read(data .. "/JSONTestSuite/test_parsing/" .. name) .. "}")
          if response.status < 300 then accepted[#accepted + 1] = name:match "^i_(.*)%.json$" end
        end
      end
      assert.same(open_cases_taken, accepted)
    end)

    it("gives documents back byte for byte", function()
      local names = files(data .. "/roundtrip")
      if not names then return pending("no " .. data) end
      local n = 0
      for _, name in ipairs(names) do
        local text = process.read(data .. "/roundtrip/" .. name):gsub("%s+$", "")
        assert.equal(text, there_and_back(text))
        n = n + 1
      end
      assert.equal(27, n)
    end)

    it("keeps the numbers of JSONTestSuite's transformations as they are", function()
      local names = files(data .. "/JSONTestSuite/test_transform")
      if not names then return pending("no " .. data) end
      for _, name in ipairs(names) do
        local text = process.read(data .. "/JSONTestSuite/test_transform/" .. name):gsub("%s+$", "")
        if name:match "^number" then assert.equal(text, there_and_back(text)) end
      end
    end)

  end)
end

-- 250 ms for 10 MiB, of the processor's time, which no neighbour on this machine adds to.
describe("hostile JSON of megabytes", function()
  local gw
  setup(function() gw = gateway.start { models = models, args = { "--max-body", "64MiB" } } end)
  teardown(function() gw:finish() end)

  local function cpu_seconds()
    local stat = process.read(("/proc/%d/stat"):format(gw.process.pid)):match "%) (.*)"
    local fields = {}
    for field in stat:gmatch "%S+" do fields[#fields + 1] = field end
    return (fields[12] + fields[13]) / 100
  end

  local function costs(what, body, judge)
    local before = cpu_seconds()
    local response = gw:put("/models/Doc?id=x", body)
    local took = cpu_seconds() - before
    judge(response)
    local limit = 0.25 * math.ceil(#body / (10 * 2 ^ 20)) * gateway.patience + 0.05
    assert(took <= limit, ("%s: %.2f s, not %.2f"):format(what, took, limit))
  end

  local function refused(response) assert.truthy(check.problem(response, 400, "malformed-json").detail:match "at byte %d+") end

  it("that nests too deep is refused at once", function()
    for _, n in ipairs { 65, 1000, 100000, 5000000 } do
      costs("arrays", ("["):rep(n), refused)
      costs("closed arrays", ("["):rep(n) .. ("]"):rep(n), refused)
      costs("a field of arrays", '{"v":' .. ("["):rep(n) .. ("]"):rep(n) .. "}", refused)
      costs("objects", ('{"":'):rep(n) .. "1" .. ("}"):rep(n), refused)
    end
  end)

  it("that has long numbers, many members or many repeated ones is read in time", function()
    local function taken(response) assert(response.status == 201 or response.status == 204 or response.status == 413, response.body) end
    local many, same = {}, {}
    for i = 1, 500000 do many[i], same[i] = ('"%d":%d'):format(i, i), '"v":1' end
    costs("digits", '{"v":' .. ("9"):rep(10 * 2 ^ 20) .. "}", taken)
    costs("a fraction", '{"v":0.' .. ("9"):rep(10 * 2 ^ 20) .. "}", taken)
    costs("an exponent", '{"v":1e' .. ("9"):rep(10 * 2 ^ 20) .. "}", taken)
    costs("members", '{"v":{' .. table.concat(many, ",") .. "}}", taken)
    costs("one member, repeated", "{" .. table.concat(same, ",") .. "}", taken)
    costs("one member, repeated inside", '{"v":{' .. table.concat(same, ",") .. "}}", taken)
    costs("white space", (" "):rep(10 * 2 ^ 20) .. '{"v":1}', taken)
    costs("escapes", '{"v":"' .. ([[\u00e9]]):rep(1700000) .. '"}', taken)
  end)
end)
