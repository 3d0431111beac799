-- tests/e2e/fronts_spec.lua -- caches of other makers before the gateway understand what it tells them: they keep what they may, as long as they
-- may, ask again with the entity tag, and keep nothing that is for one client alone.
local check = require "tests.support.check"
local front = require "tests.support.front"
local gateway = require "tests.support.gateway"
local process = require "tests.support.process"
local socket = require "socket"

local models = [[
model "Brief" { id = key(), v = field(), options = { expires = 2, negative = 600 },
  from_miss = function(self)
    if self.id == "none" then return missing end
    self.v = "the same text each time"
  end }
model "Unkept" { id = key(), v = field(), from_miss = function(self, ctx) self.v = 1 ctx.expires = 0 end }
model "Long" { id = key(), v = field(), options = { expires = 600 } }
]]

local bearer = { Authorization = "Bearer planted-0123456789" }

for _, kind in ipairs { "varnish", "nginx" } do
  describe(kind .. " before the gateway", function()
    if not front.is_here(kind) then
      it("is not installed", function() pending("no " .. kind) end)
      return
    end

    local gw, closed, before, before_closed, folder
    setup(function()
      folder = process.temp()
      process.write(folder .. "/tokens", "planted-0123456789 all read,write,refresh\n")
      os.execute("chmod 600 " .. folder .. "/tokens")
      gw = gateway.start { models = models }
      closed = gateway.start { models = models, args = { "--token-file", folder .. "/tokens" } }
      before = front.start(kind, gw.address)
    end)
    teardown(function()
      before:stop()
      if before_closed then before_closed:stop() end
      gw:finish()
      closed:finish()
      process.remove(folder)
    end)

    local function requests(of) return gw:metric("perigee_requests_total", { model = of }) end

    it("answers the second one itself", function()
      check.status(gw:put("/models/Long?id=a", '{"v":1}'), 201)
      local answer, did = before:request("GET", "/models/Long?id=a")
      assert.equal("miss", did)
      local again
      again, did = before:request("GET", "/models/Long?id=a")
      assert.equal("hit", did)
      assert.equal(answer.body, check.status(again, 200).body)
      assert.equal(answer.headers.etag:gsub("^W/", ""), (again.headers.etag:gsub("^W/", "")))
      assert.equal(304, before:request("GET", "/models/Long?id=a", { ["If-None-Match"] = answer.headers.etag }).status)
      assert.equal(2, requests "Long") -- the save, and one read
    end)

    it("asks again when the life is over, and gets a 304", function()
      local answer = before:request("GET", "/models/Brief?id=b")
      assert.equal("max-age=2", answer.headers["cache-control"])
      socket.sleep(3.1)
      local again, did = before:request("GET", "/models/Brief?id=b")
      assert.equal("revalidated", did)
      assert.equal(answer.body, check.status(again, 200).body)
      assert.equal(2, requests "Brief")
      assert.equal("hit", select(2, before:request("GET", "/models/Brief?id=b")))
    end)

    it("keeps what is known to be missing, and nothing that is not kept here", function()
      check.status(before:request("GET", "/models/Brief?id=none"), 404)
      check.status(before:request("GET", "/models/Unkept?id=a"), 200)
      assert.not_equal("hit", select(2, before:request("GET", "/models/Unkept?id=a")))
      check.status(before:request("GET", "/models/Long?id=none"), 404)
      check.status(gw:put("/models/Long?id=none", "{}"), 201)
      check.status(before:request("GET", "/models/Long?id=none"), 200)
    end)

    it("shares nothing that a token was needed for", function()
      check.status(closed:put("/models/Long?id=a", '{"v":1}', bearer), 201)
      before_closed = front.start(kind, closed.address, bearer)
      for _ = 1, 2 do
        local answer, did = before_closed:request("GET", "/models/Long?id=a", bearer)
        check.status(answer, 200)
        assert.not_equal("hit", did)
        check.status(before_closed:request("GET", "/models/Long?id=a"), 401)
      end
    end)
  end)
end
