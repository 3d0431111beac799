-- schemas/home_spec.lua -- homes, who lives there, and where they lie.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"

describe("homes", function()
  local gw
  setup(function() gw = gateway.start { schemas = "schemas" } end)
  teardown(function() gw:finish() end)

  local function place(address, precision)
    return gw:get("/models/Home/geocode" .. http.query { address = address, precision = precision })
  end

  it("are found by their town", function()
    assert.same({ town = "reykjavik", latitude = 64.1466, longitude = -21.9414 }, check.document(place "12 Quay Street, Reykjavik"))
    assert.equal("nuuk", check.document(place "Aqqusinersuaq 4,  NUUK ").town)
  end)

  it("are found as exactly as was asked, once for each", function()
    assert.same({ town = "tromso", latitude = 69.65, longitude = 18.96 }, check.document(place("1 Aurora Lane, Tromso", 2)))
    assert.equal(18.9554, check.document(place "1 Aurora Lane, Tromso").longitude)
    assert.is_true(check.cache_status(place("1 Aurora Lane, Tromso", 4)).hit)
    check.problem(place("1 Aurora Lane, Tromso", 1.5), 400, "key-type")
  end)

  it("have another place next door", function()
    assert.not_equal(check.document(place "1 Aurora Lane, Tromso").longitude, check.document(place "2 Aurora Lane, Tromso").longitude)
  end)

  it("in towns that nobody knows are missing", function()
    for _, address in ipairs { "1 Main Street, Atlantis", "", ",", "Reykjavik, Atlantis" } do
      check.problem(place(address), 404, "missing")
      assert.is_true(check.cache_status(place(address)).hit)
    end
  end)

  it("are saved with those who live there, and read without those who have gone", function()
    local home = "/models/Home" .. http.query { address = "1 Quay Street, Reykjavik" }
    check.problem(gw:get(home), 404, "missing")
    check.status(gw:put(home, '{"residents":[{"username":"carol"},{"username":"dave"}]}'), 201)
    local residents = check.document(gw:get(home)).residents
    assert.equal(1, #residents)
    assert.equal("Carol Moss", residents[1].full_name)
  end)
end)
