-- tests/e2e/save_spec.lua -- what a save takes where a record refers to others, what it keeps of them, and what it refuses.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"

local models = [[
model "Workplace" { name = key(), phone = field() }
model "User" { username = key(), region = key{ default = "eu" }, note = field(), workplace = reference "Workplace",
  mother = reference{ "self", missing = "null" }, friends = references{ "self", missing = "skip", max = 5 }, fans = references "Workplace" }
model "Badge" { id = key{ type = "integer" }, owner = reference{ "User", required = true }, note = field() }
model "Door" { id = key(), badge = reference "Badge" }
model "Odd" { id = key{ type = "any" }, like = reference "self" }
model "Bag" { id = key(), note = field(), things = packed(), from_miss = function(self) self.note, self.things = "loaded", { 1, nil, true, x = "y" } end }
]]

local merge = { ["Content-Type"] = "application/merge-patch+json" }
local back = { Prefer = "return=representation" }

-- How a user without anything else is stored.
local function stub(name, region)
  region = region or "eu"
  return ('{"username":"%s","region":"%s","$ref":"/models/User?username=%s&region=%s"}'):format(name, region, name, region)
end

local function workplace(name) return ('{"name":"%s","$ref":"/models/Workplace?name=%s"}'):format(name, name) end

for _, store in ipairs { "memory", "redis", "cluster" } do
  describe("references in a save on " .. store, function()
    local gw
    setup(function() gw = gateway.start { models = models, store = store } end)
    teardown(function() gw:finish() end)

    -- What is stored when this is put.
    local function stored(model, body)
      local answer = gw:put("/models/" .. model, body, back)
      if answer.status ~= 200 then check.status(answer, 201) end
      return answer.body
    end

    local function refused(model, body, path)
      local problem = check.problem(gw:put("/models/" .. model, body), 422, "reference-invalid")
      assert.equal(path, problem.path)
      return problem.detail
    end

    it("are kept as keys and where the record is found", function()
      assert.equal('{"username":"a","region":"eu","workplace":' .. workplace "acme" .. "}", stored("User", '{"workplace":{"name":"acme"},"username":"a"}'))
      assert.equal('{"username":"a","region":"us","mother":' .. stub "m" .. "}", stored("User", '{"username":"a","region":"us","mother":{"username":"m"}}'))
      assert.equal('{"username":"a","region":"eu","mother":' .. stub("m", "us") .. "}", stored("User", '{"username":"a","mother":{"region":"us","username":"m"}}'))
      assert.equal('{"username":"a","region":"eu","mother":' .. stub "a" .. "}", stored("User", '{"username":"a","mother":{"username":"a"}}'))
      assert.equal('{"id":1,"owner":' .. stub "o" .. "}", stored("Badge", '{"id":1,"owner":{"username":"o"}}'))
      assert.equal('{"id":"d","badge":{"id":-7,"$ref":"/models/Badge?id=-7"}}', stored("Door", '{"id":"d","badge":{"id":-7}}'))
    end)

    it("may be null, or left out, or be no one in a list", function()
      assert.equal('{"username":"a","region":"eu","workplace":null,"mother":null}', stored("User", '{"username":"a","workplace":null,"mother":null}'))
      assert.equal('{"username":"a","region":"eu"}', stored("User", '{"username":"a"}'))
      assert.equal('{"username":"a","region":"eu","friends":[]}', stored("User", '{"username":"a","friends":[ ]}'))
      assert.equal('{"username":"a","region":"eu","friends":null}', stored("User", '{"username":"a","friends":null}'))
    end)

    it("keep the order of a list, and who is in it twice", function()
      assert.equal('{"username":"a","region":"eu","friends":[' .. stub "c" .. "," .. stub "b" .. "," .. stub "c" .. "]}",
        stored("User", '{"username":"a","friends":[{"username":"c"},{"username":"b"},{"username":"c"}]}'))
    end)

    it("take their own $ref, however it is spelled", function()
      for _, ref in ipairs { "/models/User?username=m&region=eu", "/models/User?region=eu&username=m", "/models/User?username=%6d", "/models/User?username=m" } do
        assert.equal('{"username":"a","region":"eu","mother":' .. stub "m" .. "}",
          stored("User", ('{"username":"a","mother":{"$ref":"%s","username":"m"}}'):format(ref)))
      end
    end)

    it("refuse a $ref that names another record, or none", function()
      for _, ref in ipairs { '"/models/User?username=x"', '"/models/User?username=m&region=us"', '"/models/Workplace?name=m"', '"/models/User"', '"username=m"',
        '"/models/User?username=m&x=1"', '"/models/Nobody?username=m"', '"/models/User?username=%zz"', '"http://x/models/User?username=m"', '""', "7", "null", "{}" } do
        local detail = refused("User", ('{"username":"refused","mother":{"username":"m","$ref":%s}}'):format(ref), "mother.$ref")
        check.says(detail, "$ref")
      end
    end)

    it("refuse what is no key of the target", function()
      refused("User", '{"username":"refused","mother":"m"}', "mother")
      refused("User", '{"username":"refused","mother":["m"]}', "mother")
      refused("User", '{"username":"refused","mother":1}', "mother")
      check.says(refused("User", '{"username":"refused","mother":{}}', "mother.username"), "username")
      check.says(refused("User", '{"username":"refused","mother":{"region":"eu"}}', "mother.username"), "username")
      refused("User", '{"username":"refused","mother":{"username":7}}', "mother.username")
      refused("User", '{"username":"refused","mother":{"username":null}}', "mother.username")
      refused("Door", '{"id":"refused","badge":{"id":"1"}}', "badge.id")
      refused("Door", '{"id":"refused","badge":{"id":1.0}}', "badge.id")
      check.status(gw:get "/models/User?username=refused", 404)
      check.status(gw:get "/models/Door?id=refused", 404)
    end)

    it("refuse more than keys, and say what takes it", function()
      check.says(refused("User", '{"username":"refused","workplace":{"name":"acme","phone":"1"}}', "workplace.phone"), "_cascade=1", "phone")
      check.says(refused("User", '{"username":"refused","friends":[{"username":"b"},{"username":"c","note":null}]}', "friends[1].note"), "_cascade=1")
      check.says(refused("User", '{"username":"refused","workplace":{"name":"acme","fone":"1"}}', "workplace.fone"), "_cascade=1")
      local problem = check.problem(gw:put("/models/User?_cascade=0", '{"username":"refused","workplace":{"name":"acme","phone":"1"}}'), 422, "reference-invalid")
      check.says(problem.detail, "_cascade=1")
      check.status(gw:get "/models/User?username=refused", 404)
      check.status(gw:get "/models/Workplace?name=acme", 404)
    end)

    it("refuse lists that are none, and name the place in them", function()
      refused("User", '{"username":"refused","friends":{"username":"b"}}', "friends")
      refused("User", '{"username":"refused","friends":"b"}', "friends")
      refused("User", '{"username":"refused","friends":[{"username":"b"},null]}', "friends[1]")
      refused("User", '{"username":"refused","friends":[[]]}', "friends[0]")
      refused("User", '{"username":"refused","friends":[{"username":"b"},{"username":"c"},{"username":true}]}', "friends[2].username")
    end)

    it("refuse a list that is too long", function()
      local function list(n, of) return "[" .. of .. ("," .. of):rep(n - 1) .. "]" end
      stored("User", '{"username":"five","friends":' .. list(5, '{"username":"b"}') .. "}")
      check.says(refused("User", '{"username":"refused","friends":' .. list(6, '{"username":"b"}') .. "}", "friends"), "5")
      stored("User", '{"username":"many","fans":' .. list(1000, '{"name":"b"}') .. "}")
      check.says(refused("User", '{"username":"refused","fans":' .. list(1001, '{"name":"b"}') .. "}", "fans"), "1000")
      check.problem(gw:put("/models/User", '{"username":"refused","workplace":{"name":"x"},"fans":' .. list(1000, '{"name":"b"}') .. "}"), 422, "reference-invalid")
      check.status(gw:get "/models/User?username=refused", 404)
    end)

    it("that are required must be there", function()
      assert.equal("owner", check.problem(gw:put("/models/Badge", '{"id":2}'), 422, "field-required").path)
      assert.equal("owner", check.problem(gw:put("/models/Badge", '{"id":2,"owner":null}'), 422, "field-required").path)
      check.status(gw:get "/models/Badge?id=2", 404)
    end)

    it("read with _depth=0 can be saved back as they are", function()
      local body = '{"username":"round","region":"eu","note":[1.0],"workplace":' .. workplace "acme" .. ',"mother":null,"friends":[' .. stub "b" .. "," .. stub("c", "us") .. "]}"
      check.status(gw:put("/models/User", body), 201)
      local read = check.status(gw:get "/models/User?username=round&_depth=0", 200)
      assert.equal(body, read.body)
      local again = check.status(gw:put("/models/User", read.body), 204)
      assert.equal(body, check.status(gw:get "/models/User?username=round&_depth=0", 200).body)
      assert.equal(read.headers.etag, again.headers.etag)
    end)

    it("keep keys of any type and any text apart", function()
      for _, key in ipairs { "42", '"42"', "true", '"true"', '"/?&=%+ #\\u00e9"', '""', "1.5" } do
        local body = stored("Odd", ('{"id":1,"like":{"id":%s}}'):format(key))
        assert.equal(body, stored("Odd", body))
        local id = body:match '"like":{"id":(.-),"%$ref"'
        assert.equal(key:gsub("\\u00e9", "\195\169"), (id:gsub("\\u00e9", "\195\169")))
      end
      check.problem(gw:put("/models/Odd", '{"id":1,"like":{"id":42,"$ref":"/models/Odd?id=%2242%22"}}'), 422, "reference-invalid")
    end)

    it("and a record that is put anew forgets those it had", function()
      stored("User", '{"username":"anew","mother":{"username":"m"},"friends":[{"username":"b"}]}')
      assert.equal('{"username":"anew","region":"eu","note":1}', stored("User", '{"username":"anew","note":1}'))
    end)

    it("knows _cascade with 0 and 1, and no other option but _expires", function()
      check.status(gw:put("/models/Workplace?_cascade=1", '{"name":"plain"}'), 201)
      check.status(gw:put("/models/Workplace?_cascade=0&_expires=60", '{"name":"plain"}'), 204)
      for _, value in ipairs { "", "2", "true", "yes" } do
        assert.equal("_cascade", check.problem(gw:put("/models/Workplace?_cascade=" .. value, '{"name":"plain"}'), 400, "malformed-request").path)
      end
      for _, twice in ipairs { "_cascade=1&_cascade=1", "_expires=60&_expires=1" } do
        check.says(check.problem(gw:put("/models/Workplace?" .. twice, '{"name":"plain"}'), 400, "malformed-request").detail, twice:match "^[^=]+", "given twice")
      end
      check.says(check.problem(gw:put("/models/Workplace?_casacde=1", '{"name":"plain"}'), 400, "malformed-request").detail, "`_cascade`")
      check.says(check.problem(gw:request("PATCH", "/models/Workplace?name=plain&_cascade=1", merge, "{}"), 400, "malformed-request").detail, "_cascade")
      check.problem(gw:delete "/models/Workplace?name=plain&_cascade=1", 400, "malformed-request")
    end)

    describe("packed fields", function()
      it("are not taken from outside", function()
        for _, value in ipairs { '{"$packed":"AQ=="}', "{}", "1", '"x"', "[]", "null" } do
          assert.equal("things", check.problem(gw:put("/models/Bag", ('{"id":"refused","things":%s}'):format(value)), 422, "field-type").path)
        end
        assert.equal('{"id":"free","note":"x"}', stored("Bag", '{"id":"free","note":"x"}'))
      end)

      it("stay through a patch of others, and cannot be patched but away", function()
        local loaded = check.document(gw:get "/models/Bag?id=b")
        assert.is_string(loaded.things["$packed"])
        check.status(gw:request("PATCH", "/models/Bag?id=b", merge, '{"note":"patched"}'), 204)
        local patched = check.document(gw:get "/models/Bag?id=b")
        assert.same({ id = "b", note = "patched", things = loaded.things }, patched)
        for _, value in ipairs { '{"$packed":"AQ=="}', "1", "{}" } do
          assert.equal("things", check.problem(gw:request("PATCH", "/models/Bag?id=b", merge, ('{"things":%s}'):format(value)), 422, "field-type").path)
        end
        assert.same(patched, check.document(gw:get "/models/Bag?id=b"))
        check.status(gw:request("PATCH", "/models/Bag?id=b", merge, '{"things":null}'), 204)
        assert.same({ id = "b", note = "patched" }, check.document(gw:get "/models/Bag?id=b"))
      end)
    end)
  end)
end

describe("models of another generation", function()
  local function with(version, key)
    return ([[
model "Target" { %s = key(), note = field() }
model "Refers" { id = key(), to = reference "Target", options = { version = %d } } ]]):format(key, version)
  end

  it("never read each other's records", function()
    local gw = gateway.start { models = with(1, "name"), store = "redis", args = { "--log", "info" } }
    local body = '{"id":"a","to":{"name":"t","$ref":"/models/Target?name=t"}}'
    local function seen() return gw:get "/models/Refers?id=a&_depth=0" end
    local function become(models)
      gateway.write_models(gw.schemas, models)
      check.status(gw:admin("/admin/reload", "POST"), 200)
    end
    check.status(gw:put("/models/Refers", body), 201)
    assert.equal(body, check.status(seen(), 200).body)
    become(with(2, "name"))
    check.status(seen(), 404)
    become(with(1, "title")) -- keys of the target are part of it
    check.status(seen(), 404)
    become(with(1, "name"))
    assert.equal(body, check.status(seen(), 200).body)
    gw:finish()
  end)
end)
