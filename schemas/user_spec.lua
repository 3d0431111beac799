-- schemas/user_spec.lua -- people, workplaces and parents.
local testing = require "perigee.testing"

local User, Workplace = testing.model "User", testing.model "Workplace"

describe("users", function()
  it("are loaded with where they work and who their parents are, in the order of the model", function()
    local _, answer = User.get{ username = "bob" }
    assert.equal('{"username":"bob","region":"eu","email":"bob@example.org","full_name":"Bob Marsh","workplace":'
      .. '{"name":"Harbour Works","phone":"+354 555 0100","address":"1 Quay Street, Reykjavik","employee_count":140},"mother":'
      .. '{"username":"carol","region":"eu","email":"carol@example.org","full_name":"Carol Moss"},"father":null}', answer.body)
    assert.equal("perigee; fwd=uri-miss; stored; ttl=5", answer.headers["cache-status"]) -- nobody knows his father: for 5 s
    assert.is_truthy(Workplace.stored{ name = "Harbour Works" })
    assert.equal(3, testing.loads "User") -- his father too
  end)

  it("are stored with the keys of those", function()
    local alice, answer = User.get({ username = "alice" }, { depth = 0 })
    assert.equal("perigee; fwd=uri-miss; stored; ttl=900", answer.headers["cache-status"])
    assert.same({ name = "Northern Lights", ["$ref"] = "/models/Workplace?name=Northern%20Lights" }, alice.workplace)
    assert.same({ username = "carol", region = "eu", ["$ref"] = "/models/User?username=carol&region=eu" }, alice.mother)
    assert.is_nil(alice.father)
    assert.same(alice, User.stored{ username = "alice" })
    assert.problem("not-cached", Workplace.stored{ name = "Northern Lights" })
  end)

  it("without a workplace have none", function()
    assert.is_nil(User.get{ username = "carol" }.workplace)
  end)

  it("at a workplace that nobody knows are missing, until it is saved", function()
    assert(User.save{ username = "ida", email = "ida@example.org", workplace = { name = "Moonbase" } })
    local problem = assert.problem("missing", User.get{ username = "ida" })
    assert.equal("workplace", problem.path)
    assert(Workplace.save{ name = "Moonbase", employee_count = 3 })
    assert.equal(3, User.get{ username = "ida" }.workplace.employee_count)
  end)

  it("that nobody knows are missing, until they are saved", function()
    assert.problem("missing", User.get{ username = "erin" })
    assert.problem("missing", User.get{ username = "bob", region = "us" })
    assert(User.save{ username = "erin", email = "erin@example.org" })
    assert.same({ username = "erin", region = "eu", email = "erin@example.org" }, (User.get{ username = "erin" }))
    assert.problem("field-required", User.save{ username = "erin" })
    local problem = assert.problem("field-type", User.save{ username = "erin", email = "erin" })
    assert.equal("email", problem.path)
  end)

  it("are loaded once, however many ask at once", function()
    local function ask() return User.get({ username = "carol" }) end
    for _, answer in ipairs(testing.at_once(ask, ask, ask, ask)) do assert.equal("Carol Moss", answer[1].full_name) end
    assert.equal(1, testing.loads "User")
  end)

  it("may be each other's parents", function()
    assert(User.save({
      username = "x", email = "x@example.org",
      mother = { username = "y", email = "y@example.org", father = { username = "x" } },
    }, { cascade = true }))
    assert.same({ username = "x", region = "eu", ["$ref"] = "/models/User?username=x&region=eu" },
      User.get{ username = "x" }.mother.father)
    assert(User.save{ username = "z", email = "z@example.org", mother = { username = "nobody" } })
    assert.equal(testing.null, User.get{ username = "z" }.mother)
  end)
end)
