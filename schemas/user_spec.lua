-- schemas/user_spec.lua -- people and workplaces.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"

describe("users", function()
  local gw
  setup(function() gw = gateway.start { schemas = "schemas" } end)
  teardown(function() gw:finish() end)

  it("are loaded, in the order of the model", function()
    local response = check.status(gw:get "/models/User?username=bob", 200)
    assert.equal(
      '{"username":"bob","region":"eu","email":"bob@example.org","full_name":"Bob Marsh","workplace":"Harbour Works"}', response.body)
    assert.equal("perigee; fwd=uri-miss; stored; ttl=900", response.headers["cache-status"])
  end)

  it("without a workplace have none", function()
    assert.is_nil(check.document(gw:get "/models/User?username=carol").workplace)
  end)

  it("that nobody knows are missing, until they are saved", function()
    check.problem(gw:get "/models/User?username=erin", 404, "missing")
    check.problem(gw:get "/models/User?username=bob&region=us", 404, "missing")
    check.status(gw:put("/models/User", '{"username":"erin","email":"erin@example.org"}'), 201)
    assert.same({ username = "erin", region = "eu", email = "erin@example.org" }, check.document(gw:get "/models/User?username=erin"))
    check.problem(gw:put("/models/User", '{"username":"erin"}'), 422, "field-required")
  end)

  it("work somewhere that can be looked up", function()
    local user = check.document(gw:get "/models/User?username=alice")
    local workplace = check.document(gw:get("/models/Workplace?name=" .. user.workplace:gsub(" ", "+")))
    assert.same({ name = "Northern Lights", phone = "+47 555 0199", address = "7 Aurora Lane, Tromso", employee_count = 12 }, workplace)
    check.problem(gw:get "/models/Workplace?name=Nowhere", 404, "missing")
  end)
end)
