-- schemas/home_spec.lua -- homes, who lives there, and where they lie.
local testing = require "perigee.testing"

local Home = testing.model "Home"

describe("homes", function()
  it("are found by their town", function()
    assert.same({ town = "reykjavik", latitude = 64.1466, longitude = -21.9414 }, (Home.geocode{ address = "12 Quay Street, Reykjavik" }))
    assert.equal("nuuk", Home.geocode{ address = "Aqqusinersuaq 4,  NUUK " }.town)
  end)

  it("are found as exactly as was asked, once for each", function()
    assert.same({ town = "tromso", latitude = 69.65, longitude = 18.96 }, (Home.geocode{ address = "1 Aurora Lane, Tromso", precision = 2 }))
    assert.equal(18.9554, Home.geocode{ address = "1 Aurora Lane, Tromso" }.longitude)
    assert.equal(2, testing.loads "Home.geocode")
    assert.is_true(select(2, Home.geocode{ address = "1 Aurora Lane, Tromso", precision = 4 }).cache.hit)
    assert.problem("key-type", Home.geocode{ address = "1 Aurora Lane, Tromso", precision = 1.5 })
  end)

  it("have another place next door", function()
    assert.not_equal(Home.geocode{ address = "1 Aurora Lane, Tromso" }.longitude, Home.geocode{ address = "2 Aurora Lane, Tromso" }.longitude)
  end)

  it("in towns that nobody knows are missing, and remembered so for a minute", function()
    for _, address in ipairs { "1 Main Street, Atlantis", "", ",", "Reykjavik, Atlantis" } do
      assert.problem("missing", Home.geocode{ address = address })
      local _, again = Home.geocode{ address = address }
      assert.is_true(again.answer.cache.hit)
    end
    assert.equal(4, testing.loads "Home.geocode")
    testing.forward "61s"
    Home.geocode{ address = "" }
    assert.equal(5, testing.loads "Home.geocode")
  end)

  it("are saved with those who live there, and read without those who have gone", function()
    local keys = { address = "1 Quay Street, Reykjavik" }
    assert.problem("missing", Home.get(keys))
    assert(Home.save{ address = keys.address, residents = { { username = "carol" }, { username = "dave" } } })
    local residents = Home.get(keys).residents
    assert.equal(1, #residents)
    assert.equal("Carol Moss", residents[1].full_name)
    assert.equal(2, #Home.stored(keys).residents)
  end)
end)
