-- tests/e2e/cascade_spec.lua -- records given inside a record, with `_cascade=1`: all of them are saved, or the one around them is not.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"

local models = [[
model "Town" { name = key(), mayor = field(), options = { expires = 100 } }
model "Workplace" { name = key(), phone = field{ type = "string" }, town = reference "Town", options = { expires = 300 } }
model "User" { username = key(), email = field{ type = "string", required = true }, level = field{ type = "integer", default = 3 }, workplace = reference "Workplace",
  mother = reference{ "self", missing = "null" }, friends = references{ "self", missing = "skip" } }
model "Checked" { id = key(), note = field(), next = reference "self", list = references "self",
  options = { validate = function(self)
    sleep(0.01)
    if self.note == "bad" then return "note", "is bad" end
    if self.note == "worse" then error "the handler's own words" end
  end } }
]]

for _, store in ipairs { "memory", "redis", "cluster" } do
  describe("a cascade on " .. store, function()
    local gw
    setup(function() gw = gateway.start { models = models, store = store } end)
    teardown(function() gw:finish() end)

    local function put(model, body, headers) return gw:put(("/models/%s?_cascade=1"):format(model), body, headers) end
    local function read(target) return check.status(gw:get(target .. "&_depth=0"), 200).body end
    local function absent(...)
      for _, target in ipairs { ... } do check.status(gw:get(target .. "&_depth=0"), 404) end
    end

    it("saves two levels below the record, each whole", function()
      check.status(gw:put("/models/Workplace", '{"name":"acme","phone":"old"}'), 201)
      local answer = check.status(put("User", '{"username":"bob","email":"b@x","workplace":{"phone":"1","name":"acme","town":{"mayor":"M","name":"rome"}}}',
        { Prefer = "return=representation" }), 201)
      assert.equal("/models/User?username=bob", answer.headers.location)
      assert.equal('{"username":"bob","email":"b@x","level":3,"workplace":{"name":"acme","$ref":"/models/Workplace?name=acme"}}', answer.body)
      assert.equal(answer.body, read "/models/User?username=bob")
      assert.equal('{"name":"acme","phone":"1","town":{"name":"rome","$ref":"/models/Town?name=rome"}}', read "/models/Workplace?name=acme")
      assert.equal('{"name":"rome","mayor":"M"}', read "/models/Town?name=rome")
      check.status(put("User", '{"username":"bob","email":"c@x","workplace":{"name":"acme","phone":"2"}}'), 204)
      assert.equal('{"name":"acme","phone":"2"}', read "/models/Workplace?name=acme")
      assert.equal('{"name":"rome","mayor":"M"}', read "/models/Town?name=rome")
    end)

    it("saves nothing for a target of which only the keys are given", function()
      check.status(put("User", '{"username":"keys","email":"b@x","workplace":{"name":"nowhere"},"friends":[{"username":"nobody","$ref":"/models/User?username=nobody"}]}'), 201)
      absent("/models/Workplace?name=nowhere", "/models/User?username=nobody")
    end)

    it("gives each record the life of its model, and the one asked for that of the request", function()
      check.status(gw:put("/models/User?_cascade=1&_expires=50", '{"username":"life","email":"x","workplace":{"name":"life","phone":"1","town":{"name":"life","mayor":"M"}}}'), 201)
      local function left(target) return check.cache_control(gw:get(target .. "&_depth=0"))["max-age"] end
      local user, place, town = left "/models/User?username=life", left "/models/Workplace?name=life", left "/models/Town?name=life"
      assert(user <= 50 and user > 20, user)
      assert(place <= 300 and place > 270, place)
      assert(town <= 100 and town > 70, town)
    end)

    it("saves lists, and defaults", function()
      check.status(put("User", '{"username":"list","email":"x","friends":[{"username":"f1","email":"1"},{"username":"f2"},{"username":"f3","email":"3","level":4}]}'), 201)
      assert.equal('{"username":"f1","email":"1","level":3}', read "/models/User?username=f1")
      assert.equal('{"username":"f3","email":"3","level":4}', read "/models/User?username=f3")
      absent "/models/User?username=f2"
    end)

    it("takes the same target twice when both say the same", function()
      check.status(put("User", '{"username":"twice","email":"x","mother":{"username":"same","email":"s","level":1},"friends":[{"level":1,"email":"s","username":"same"},{"username":"same"}]}'), 201)
      assert.equal('{"username":"same","email":"s","level":1}', read "/models/User?username=same")
    end)

    it("refuses the same target given in two ways", function()
      local body = '{"username":"clash","email":"x","mother":{"username":"two","email":"1"},"friends":[{"username":"two","email":"2"}]}'
      check.problem(put("User", body), 422, "reference-invalid")
      absent("/models/User?username=clash", "/models/User?username=two")
    end)

    it("may lead back to the record itself, but not say more of it", function()
      check.status(put("User", '{"username":"ring","email":"x","mother":{"username":"ring2","email":"y","mother":{"username":"ring"},"friends":[{"username":"ring2"}]}}'), 201)
      assert.equal('{"username":"ring2","email":"y","level":3,"mother":{"username":"ring","$ref":"/models/User?username=ring"},"friends":[{"username":"ring2","$ref":"/models/User?username=ring2"}]}',
        read "/models/User?username=ring2")
      check.problem(put("User", '{"username":"self","email":"x","mother":{"username":"self","email":"y"}}'), 422, "reference-invalid")
      check.problem(put("User", '{"username":"self","email":"x","mother":{"username":"m","email":"y","mother":{"username":"self","email":"x"}}}'), 422, "reference-invalid")
      absent("/models/User?username=self", "/models/User?username=m")
    end)

    it("saves records that refer to each other beside each other", function()
      check.status(put("User", '{"username":"beside","email":"x","friends":[{"username":"b1","email":"1","mother":{"username":"b2"}},{"username":"b2","email":"2","mother":{"username":"b1"}}]}'), 201)
      assert.equal('{"username":"b1","email":"1","level":3,"mother":{"username":"b2","$ref":"/models/User?username=b2"}}', read "/models/User?username=b1")
      assert.equal('{"username":"b2","email":"2","level":3,"mother":{"username":"b1","$ref":"/models/User?username=b1"}}', read "/models/User?username=b2")
    end)

    it("stores nothing at all when one of them is wrong, and says which", function()
      local function refused(body, status, code, path)
        assert.equal(path, check.problem(put("User", body), status, code).path)
        absent("/models/User?username=none", "/models/Workplace?name=wrong", "/models/Town?name=wrong", "/models/User?username=wrong", "/models/User?username=fine")
      end
      local deep = '{"username":"none","email":"x","workplace":{"name":"wrong","phone":"1","town":{"name":"wrong",%s}},"friends":[{"username":"fine","email":"x"}]}'
      refused(deep:format '"major":1', 422, "unknown-field", "workplace.town.major")
      refused('{"username":"none","email":"x","workplace":{"name":"wrong","phone":1,"town":{"name":"wrong","mayor":"M"}}}', 422, "field-type", "workplace.phone")
      refused('{"username":"none","email":"x","friends":[{"username":"fine","email":"x"},{"username":"wrong","level":1}]}', 422, "field-required", "friends[1].email")
      refused('{"username":"none","email":"x","mother":{"username":"fine","email":"x","mother":{"username":"wrong","level":1}}}', 422, "field-required", "mother.mother.email")
      refused('{"username":"none","mother":{"username":"fine","email":"x"}}', 422, "field-required", "email")
      refused('{"username":"none","email":"x","mother":{"username":"fine","email":"x","workplace":"wrong"}}', 422, "reference-invalid", "mother.workplace")
    end)

    it("asks the model of each before it stores any", function()
      local function refused(body, status, code, path)
        local problem = check.problem(put("Checked", body), status, code)
        assert.equal(path, problem.path)
        absent("/models/Checked?id=a", "/models/Checked?id=b", "/models/Checked?id=c")
        return problem.detail
      end
      check.says(refused('{"id":"a","next":{"id":"b","note":1},"list":[{"id":"c","note":"bad"}]}', 422, "field-type", "list[0].note"), "is bad")
      check.says(refused('{"id":"a","next":{"id":"b","note":1,"next":{"id":"c","note":"bad"}}}', 422, "field-type", "next.next.note"), "is bad")
      check.says(refused('{"id":"a","note":"bad","next":{"id":"b","note":1}}', 422, "field-type", "note"), "is bad")
      local detail = refused('{"id":"a","next":{"id":"b","note":"worse"}}', 502, "loader-error", "next")
      assert(not detail:find("own words", 1, true), detail)
      check.says(gw:log(), "the handler's own words")
      check.status(put("Checked", '{"id":"a","next":{"id":"b","note":1,"next":{"id":"c","note":2}}}'), 201)
      for _, id in ipairs { "a", "b", "c" } do gw:delete("/models/Checked?id=" .. id) end
    end)

    it("saves a thousand, and no more", function()
      local function list(n)
        local friends = {}
        for i = 1, n do friends[i] = ('{"username":"t%d","email":"%d"}'):format(i, i) end
        return '{"username":"thousand","email":"x","friends":[' .. table.concat(friends, ",") .. "]}"
      end
      check.problem(put("User", list(1001)), 422, "reference-invalid")
      absent("/models/User?username=thousand", "/models/User?username=t1")
      check.status(put("User", list(1000)), 201)
      assert.equal('{"username":"t1000","email":"1000","level":3}', read "/models/User?username=t1000")
    end)

    it("goes deep", function()
      local body = '{"username":"deep0","email":"x"}'
      for i = 1, 30 do body = ('{"username":"deep%d","email":"x","mother":%s}'):format(i, body) end
      check.status(put("User", body), 201)
      for i = 0, 30 do read("/models/User?username=deep" .. i) end
    end)

    it("is visible in what refers to its records at the next read", function()
      check.status(put("User", '{"username":"seen","email":"x","workplace":{"name":"seen","phone":"1"}}'), 201)
      assert.equal("1", check.document(gw:get "/models/User?username=seen").workplace.phone)
      check.status(put("User", '{"username":"other","email":"x","workplace":{"name":"seen","phone":"2"}}'), 201)
      assert.equal("2", check.document(gw:get "/models/User?username=seen").workplace.phone)
    end)
  end)
end

describe("a store that takes only some", function()
  local gw
  setup(function() gw = gateway.start { models = models, store = "redis" } end)
  teardown(function() gw:finish() end)

  local function only(pattern) gw.redis:command("ACL", "SETUSER", "default", "resetkeys", "~" .. pattern, unpack(pattern ~= "*" and { "~perigee:~epochs" } or {})) end
  local body = '{"username":"half","email":"x","mother":{"username":"above","email":"x","workplace":{"name":"below","phone":"1"}},"friends":[{"username":"aside","email":"x"}]}'
  local function keys(pattern)
    only "*"
    return gw.redis:command("KEYS", pattern)
  end

  it("keeps the record away when a target is not stored", function()
    only "perigee:User:*"
    local problem = check.problem(gw:put("/models/User?_cascade=1", body), 503, "store-unavailable")
    check.says(problem.detail, "it was not saved")
    assert.same({}, keys "*username=half")
    assert.same({}, keys "*username=above") -- it refers to what is not there
    assert.equal(1, #keys "*username=aside")
  end)

  it("says what may be there when the record is not", function()
    only "perigee:Workplace:*"
    check.says(check.problem(gw:put("/models/User?_cascade=1", '{"username":"half","email":"x","workplace":{"name":"inside","phone":"1"}}'), 503, "store-unavailable").detail,
      "nothing is known to be saved but the records inside it")
    assert.same({}, keys "*username=half")
    assert.equal(1, #keys "*name=inside")
    check.status(gw:put("/models/User?_cascade=1", body), 201)
  end)
end)
