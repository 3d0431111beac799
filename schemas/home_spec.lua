-- schemas/home_spec.lua -- addresses and where they lie.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"

describe("homes", function()
  local gw
  setup(function() gw = gateway.start { schemas = "schemas" } end)
  teardown(function() gw:finish() end)

  local function home(address) return gw:get("/models/Home" .. http.query { address = address }) end

  it("are found by their town", function()
    local found = check.document(home "12 Quay Street, Reykjavik")
    assert.equal("reykjavik", found.town)
    assert.equal(64.1466, found.latitude)
    assert.is_true(math.abs(found.longitude - -21.9414) < 1e-9)
    assert.equal("nuuk", check.document(home "Aqqusinersuaq 4,  NUUK ").town)
  end)

  it("have the same place every time, and another one next door", function()
    local first = check.document(home "1 Aurora Lane, Tromso")
    check.status(gw:delete("/models/Home" .. http.query { address = "1 Aurora Lane, Tromso" }), 204)
    assert.same(first, check.document(home "1 Aurora Lane, Tromso"))
    assert.not_equal(first.longitude, check.document(home "2 Aurora Lane, Tromso").longitude)
  end)

  it("in towns that nobody knows are missing", function()
    for _, address in ipairs { "1 Main Street, Atlantis", "", ",", "Reykjavik, Atlantis" } do
      check.problem(home(address), 404, "missing")
    end
  end)
end)
