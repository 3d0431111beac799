-- schemas/friends_spec.lua -- a look-up with an option.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"

describe("friends", function()
  local gw
  setup(function() gw = gateway.start { schemas = "schemas" } end)
  teardown(function() gw:finish() end)

  it("are those who have accepted, unless the others are asked for too", function()
    assert.equal('{"username":"bob","include_pending":false,"friends":["alice","carol"]}',
      check.status(gw:get "/models/FriendsLookup?username=bob", 200).body)
    assert.equal('{"username":"bob","include_pending":true,"friends":["alice","carol","dave"]}',
      check.status(gw:get "/models/FriendsLookup?username=bob&include_pending=true", 200).body)
    assert.is_true(check.cache_status(gw:get "/models/FriendsLookup?username=bob&include_pending=false").hit)
    check.problem(gw:get "/models/FriendsLookup?username=bob&include_pending=maybe", 400, "key-type")
  end)

  it("of someone who has none are an empty list", function()
    assert.equal("[]", check.status(gw:get "/models/FriendsLookup?username=dave", 200).body:match '"friends":(.*)}')
  end)

  it("of someone whom nobody knows are missing", function()
    check.problem(gw:get "/models/FriendsLookup?username=nobody", 404, "missing")
  end)
end)
