-- schemas/friends_spec.lua -- a form, what it cleans, and what it caches.
local testing = require "perigee.testing"

local FriendsLookup = testing.form "FriendsLookup"

describe("friends", function()
  it("are those who have accepted, unless the others are asked for too", function()
    assert.same({ "alice", "carol" }, (FriendsLookup.get_friends_list{ username = "bob" }))
    assert.same({ "alice", "carol", "dave" }, (FriendsLookup.get_friends_list{ username = "bob", include_pending = true }))
    local _, answer = FriendsLookup.get_friends_list{ username = "bob", include_pending = false }
    assert.is_true(answer.cache.hit)
    assert.problem("key-type", FriendsLookup.get_friends_list{ username = "bob", include_pending = "maybe" })
  end)

  it("are found however the name is typed, and once for all of these", function()
    assert.same({ "bob" }, (FriendsLookup.get_friends_list{ username = " Alice " }))
    assert.is_true(select(2, FriendsLookup.get_friends_list{ username = "alice" }).cache.hit)
    local posted = testing.request("POST", "/forms/FriendsLookup/get_friends_list",
      { ["Content-Type"] = "application/x-www-form-urlencoded" }, "username=ALICE")
    assert.is_true(posted.cache.hit)
    assert.equal(1, testing.loads "FriendsLookup.get_friends_list")
  end)

  it("of someone who has none are an empty list", function()
    assert.equal("[]", select(2, FriendsLookup.get_friends_list{ username = "dave" }).body)
  end)

  it("of someone whom nobody knows, or of nobody, are a mistake that is told", function()
    local problem = assert.problem("form-invalid", FriendsLookup.get_friends_list{ username = "erin" })
    assert.same({ username = { "Nobody is called so." } }, problem.errors)
    problem = assert.problem("form-invalid", FriendsLookup.get_friends_list{ username = "" })
    assert.same({ username = { "This field is required." } }, problem.errors)
    assert.equal(0, testing.loads "FriendsLookup.get_friends_list")
  end)

  it("are looked up anew after a quarter of an hour", function()
    FriendsLookup.get_friends_list{ username = "bob" }
    testing.forward "14m"
    assert.is_true(select(2, FriendsLookup.get_friends_list{ username = "bob" }).cache.hit)
    testing.forward "2m"
    assert.is_nil(select(2, FriendsLookup.get_friends_list{ username = "bob" }).cache.hit)
  end)
end)
