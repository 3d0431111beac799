-- schemas/user_spec.lua -- people, workplaces and parents.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local cjson = require "cjson"

describe("users", function()
  local gw
  setup(function() gw = gateway.start { schemas = "schemas" } end)
  teardown(function() gw:finish() end)

  it("are loaded with where they work and who their parents are, in the order of the model", function()
    local response = check.status(gw:get "/models/User?username=bob", 200)
    assert.equal('{"username":"bob","region":"eu","email":"bob@example.org","full_name":"Bob Marsh","workplace":'
      .. '{"name":"Harbour Works","phone":"+354 555 0100","address":"1 Quay Street, Reykjavik","employee_count":140},"mother":'
      .. '{"username":"carol","region":"eu","email":"carol@example.org","full_name":"Carol Moss"},"father":null}', response.body)
    assert.equal("perigee; fwd=uri-miss; stored; ttl=5", response.headers["cache-status"]) -- nobody knows his father: for 5 s
    assert.is_true(check.cache_status(gw:get "/models/Workplace?name=Harbour+Works").hit)
  end)

  it("are stored with the keys of those", function()
    assert.equal("perigee; fwd=uri-miss; stored; ttl=900", gw:get("/models/User?username=alice&_depth=0").headers["cache-status"])
    local alice = check.document(gw:get "/models/User?username=alice&_depth=0")
    assert.same({ name = "Northern Lights", ["$ref"] = "/models/Workplace?name=Northern%20Lights" }, alice.workplace)
    assert.same({ username = "carol", region = "eu", ["$ref"] = "/models/User?username=carol&region=eu" }, alice.mother)
    assert.is_nil(alice.father)
  end)

  it("without a workplace have none", function()
    assert.is_nil(check.document(gw:get "/models/User?username=carol").workplace)
  end)

  it("at a workplace that nobody knows are missing, until it is saved", function()
    check.status(gw:put("/models/User", '{"username":"ida","email":"ida@example.org","workplace":{"name":"Moonbase"}}'), 201)
    assert.equal("workplace", check.problem(gw:get "/models/User?username=ida", 404, "missing").path)
    check.status(gw:put("/models/Workplace", '{"name":"Moonbase","employee_count":3}'), 201)
    assert.equal(3, check.document(gw:get "/models/User?username=ida").workplace.employee_count)
  end)

  it("that nobody knows are missing, until they are saved", function()
    check.problem(gw:get "/models/User?username=erin", 404, "missing")
    check.problem(gw:get "/models/User?username=bob&region=us", 404, "missing")
    check.status(gw:put("/models/User", '{"username":"erin","email":"erin@example.org"}'), 201)
    assert.same({ username = "erin", region = "eu", email = "erin@example.org" }, check.document(gw:get "/models/User?username=erin"))
    check.problem(gw:put("/models/User", '{"username":"erin"}'), 422, "field-required")
    assert.equal("email", check.problem(gw:put("/models/User", '{"username":"erin","email":"erin"}'), 422, "field-type").path)
  end)

  it("may be each other's parents", function()
    check.status(gw:put("/models/User?_cascade=1", '{"username":"x","email":"x@example.org","mother":{"username":"y","email":"y@example.org",'
      .. '"father":{"username":"x"}}}'), 201)
    local x = check.document(gw:get "/models/User?username=x")
    assert.same({ username = "x", region = "eu", ["$ref"] = "/models/User?username=x&region=eu" }, x.mother.father)
    check.status(gw:put("/models/User", '{"username":"z","email":"z@example.org","mother":{"username":"nobody"}}'), 201)
    assert.equal(cjson.null, check.document(gw:get "/models/User?username=z").mother)
  end)
end)
