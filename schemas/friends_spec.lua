-- schemas/friends_spec.lua -- a form, what it cleans, and what it caches.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"

describe("friends", function()
  local gw
  setup(function() gw = gateway.start { schemas = "schemas" } end)
  teardown(function() gw:finish() end)

  local function friends(query) return gw:get("/forms/FriendsLookup/get_friends_list?" .. query) end

  it("are those who have accepted, unless the others are asked for too", function()
    assert.equal('["alice","carol"]', check.status(friends "username=bob", 200).body)
    assert.equal('["alice","carol","dave"]', check.status(friends "username=bob&include_pending=true", 200).body)
    assert.is_true(check.cache_status(friends "username=bob&include_pending=false").hit)
    check.problem(friends "username=bob&include_pending=maybe", 400, "key-type")
  end)

  it("are found however the name is typed", function()
    assert.equal('["bob"]', check.status(friends "username=%20Alice%20", 200).body)
    assert.is_true(check.cache_status(friends "username=alice").hit)
    local urlencoded = { ["Content-Type"] = "application/x-www-form-urlencoded" }
    local posted = gw:request("POST", "/forms/FriendsLookup/get_friends_list", urlencoded, "username=ALICE")
    assert.is_true(check.cache_status(check.status(posted, 200)).hit)
  end)

  it("of someone who has none are an empty list", function()
    assert.equal("[]", check.status(friends "username=dave", 200).body)
  end)

  it("of someone whom nobody knows, or of nobody, are a mistake that is told", function()
    assert.same({ username = { "Nobody is called so." } }, check.problem(friends "username=erin", 422, "form-invalid").errors)
    assert.same({ username = { "This field is required." } }, check.problem(friends "username=", 422, "form-invalid").errors)
  end)
end)
