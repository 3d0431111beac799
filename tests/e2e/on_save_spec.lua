-- tests/e2e/on_save_spec.lua -- `on_save`: whoever saves a record writes it through to where it comes from, and what could not be written
-- is not stored.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local origin = require "tests.support.origin"
local process = require "tests.support.process"

local function models(url)
  return ([[
local function write(self, ctx)
  log.info("writes", { id = self.id, v = tostring(self.v) })
  if self.v == "raise" then error "secret words" end
  if self.v == "late" then sleep(60) end
  if self.v == "nap" then sleep(0.3) end
  if self.v == "change" then self.note = "other" end
  if self.v == "return" then return self end
  if type(self.v) == "number" then ctx.expires = self.v end
  if self.v == "unkept" then ctx.expires = 0 end
  local r = http.put("%s/items/" .. self.id .. "?v=" .. tostring(self.v) .. (self.v == "down" and "&status=500" or ""))
  if r.status ~= 200 then error("the source says " .. r.status) end
end
local function validate(self) if self.v == "bad" then return "v", "is bad" end end
model "Item" { id = key(), v = field(), note = field{ default = "none" }, next = reference{ "self", missing = "null" }, on_save = write,
  options = { expires = 300, hard_timeout = 1, validate = validate, tags = function(self) return { "all" } end } }
model "Plain" { id = key(), v = field(), next = reference{ "Item", missing = "null" } }
model "Source" { id = key(), v = field(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self) self.v = "loaded" end,
  on_save = function(self) log.info("writes", { id = self.id, v = tostring(self.v) }) end }
model "Saver" { id = key(), v = key(), result = field(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self)
    local ok, problem = Item{ id = self.id, v = self.v, next = Item{ id = self.id .. "-next", v = self.v } }:save{ cascade = true }
    self.result = ok and "saved" or { problem.code, problem.status, tostring(problem.path) }
  end }
]]):format(url)
end

local merge = { ["Content-Type"] = "application/merge-patch+json" }

for _, store in ipairs { "memory", "redis" } do
  describe("on_save on " .. store, function()
    local gw, source
    setup(function()
      source = origin.start()
      gw = gateway.start { models = models(source.url), store = store, fds = 60, beside = { source } }
    end)
    teardown(function() gw:finish() end)

    -- What on_save was called with: "id=v id=v", of ids that begin so.
    local function written(id)
      local list = {}
      for _, event in ipairs(gw:log_events()) do
        if event.message == "writes" and event.id:sub(1, #id) == id then list[#list + 1] = event.id .. "=" .. event.v end
      end
      return table.concat(list, " ")
    end

    local function put(body, query) return gw:put("/models/Item" .. (query or ""), body) end
    local function patch(id, body, query) return gw:request("PATCH", "/models/Item?id=" .. id .. (query or ""), merge, body) end
    local function read(id) return check.status(gw:get("/models/Item?_depth=0&id=" .. id), 200).body end
    local function absent(id) check.status(gw:get("/models/Item?_depth=0&id=" .. id), 404) end
    local function left(id) return check.cache_control(gw:get("/models/Item?_depth=0&id=" .. id))["max-age"] end

    it("writes what is put, before it is stored", function()
      check.status(put '{"id":"put","v":"1"}', 201)
      assert.equal(1, (source:asked "/items/put?v=1 "))
      assert.equal('{"id":"put","v":"1","note":"none"}', read "put")
      check.status(put '{"id":"put","v":"2","note":null}', 204)
      assert.equal(1, (source:asked "/items/put?v=2 "))
      assert.equal('{"id":"put","v":"2","note":null}', read "put")
      check.status(gw:delete "/models/Item?id=put", 204)
      assert.equal("put=1 put=2", written "put")
    end)

    it("that fails stores nothing, and only the log learns why", function()
      for v, says in pairs { raise = "secret words", down = "the source says 500", change = "`note` cannot be changed in `on_save`",
        ["return"] = "on_save returned a table" } do
        local answer = put(('{"id":"fails","v":"%s"}'):format(v))
        local problem = check.problem(answer, 502, "loader-error")
        assert.equal("Item", problem.model)
        check.says(problem.detail, "`on_save` of model `Item` failed")
        assert(not answer.body:find("secret", 1, true) and not answer.body:find("500", 1, true), answer.body)
        absent "fails"
        check.says(gw:log(), says)
      end
      check.problem(put '{"id":"fails","v":"late"}', 504, "loader-timeout")
      absent "fails"
      check.status(put '{"id":"fails","v":"good"}', 201)
      check.problem(put '{"id":"fails","v":"raise"}', 502, "loader-error")
      assert.equal('{"id":"fails","v":"good","note":"none"}', read "fails")
    end)

    it("is for good records only", function()
      check.problem(put '{"id":"judged","v":"bad"}', 422, "field-type")
      check.problem(put '{"id":"judged","x":1}', 422, "unknown-field")
      assert.equal("", written "judged")
    end)

    it("writes the merged record of a patch", function()
      check.problem(patch("patched", '{"v":"1"}'), 404, "missing")
      check.status(put '{"id":"patched","v":"1","note":"kept"}', 201)
      check.status(patch("patched", '{"v":"2"}'), 204)
      assert.equal(1, (source:asked "/items/patched?v=2 "))
      check.problem(patch("patched", '{"v":"raise"}'), 502, "loader-error")
      check.problem(patch("patched", '{"v":"bad"}'), 422, "field-type")
      check.problem(patch("patched", '{"v":"late"}'), 504, "loader-timeout")
      assert.equal('{"id":"patched","v":"2","note":"kept"}', read "patched")
      assert.equal("patched=1 patched=2 patched=raise patched=late", written "patched")
    end)

    it("is called for each attempt of a patch", function()
      check.status(put '{"id":"race","v":"1"}', 201)
      local waiting = http.connect(gw.address)
      waiting:send(http.format("PATCH", "/models/Item?id=race", merge, '{"v":"nap"}'))
      process.eventually("it has begun", 5, function() return written "race" == "race=1 race=nap" end)
      check.status(put '{"id":"race","v":"2","note":"put meanwhile"}', 204)
      check.status(waiting:receive(), 204)
      waiting:close()
      assert.equal("race=1 race=nap race=2 race=nap", written "race")
      assert.equal('{"id":"race","v":"nap","note":"put meanwhile"}', read "race")
    end)

    it("may say the record's life, over model and request", function()
      local function about(wanted, seconds) assert(seconds <= wanted and seconds > wanted - 25, ("%d of %d"):format(seconds, wanted)) end
      check.status(put '{"id":"life","v":100}', 201)
      about(100, left "life")
      check.status(put('{"id":"life","v":100}', "?_expires=50"), 204)
      about(100, left "life")
      check.status(put('{"id":"life","v":"x"}', "?_expires=50"), 204)
      about(50, left "life")
      check.status(patch("life", '{"v":200}'), 204)
      about(200, left "life")
      check.status(patch("life", '{"v":"y"}'), 204)
      about(200, left "life")
      check.status(patch("life", '{"v":150}', "&_expires=50"), 204)
      about(150, left "life")
      put '{"id":"life","v":"unkept"}'
      absent "life"
    end)

    it("comes for targets first, when all of them are good", function()
      check.status(put('{"id":"c1","v":"1","next":{"id":"c2","v":"2","next":{"id":"c3","v":"3"}}}', "?_cascade=1"), 201)
      assert.equal("c3=3 c2=2 c1=1", written "c")
      assert.equal('{"id":"c3","v":"3","note":"none"}', read "c3")
      check.status(gw:put("/models/Plain?_cascade=1", '{"id":"p","next":{"id":"c4","v":"4"}}'), 201)
      assert.equal("c4=4", written "c4")

      check.problem(put('{"id":"d1","v":"bad","next":{"id":"d2","v":"2"}}', "?_cascade=1"), 422, "field-type")
      assert.equal("", written "d")
      local problem = check.problem(put('{"id":"d1","v":"1","next":{"id":"d2","v":"raise"}}', "?_cascade=1"), 502, "loader-error")
      assert.equal("next", problem.path)
      assert.equal("d2=raise", written "d")
      check.problem(put('{"id":"d1","v":"raise","next":{"id":"d2","v":"2"}}', "?_cascade=1"), 502, "loader-error")
      assert.equal("d2=raise d2=2 d1=raise", written "d")
      absent "d1"
      absent "d2"
    end)

    it("is called for what handlers save", function()
      assert.equal("saved", check.document(gw:get "/models/Saver?id=lua&v=1").result)
      assert.equal("lua-next=1 lua=1", written "lua")
      assert.equal('{"id":"lua-next","v":"1","note":"none"}', read "lua-next")
      assert.same({ "loader-error", 502, "next" }, check.document(gw:get "/models/Saver?id=not&v=raise").result)
      absent "not"
      absent "not-next"
    end)

    it("is not called for what is loaded", function()
      assert.equal("loaded", check.document(gw:get "/models/Source?id=source").v)
      assert.equal("", written "source")
      check.status(gw:put("/models/Source", '{"id":"source","v":"saved"}'), 204)
      assert.equal("source=saved", written "source")
      assert.equal("saved", check.document(gw:get "/models/Source?id=source").v)
    end)
  end)
end
