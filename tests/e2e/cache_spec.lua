-- tests/e2e/cache_spec.lua -- reads, saves and deletes as a cache does them: what is told of age and origin is true, what has ended
-- is gone, what is missing is remembered as long as it should be and no longer.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"

local models = [[
local runs = {}
local function run(self)
  runs[self.id] = (runs[self.id] or 0) + 1
  self.n = runs[self.id]
end

model "Plain" { id = key(), v = field() }
model "Short" { id = key(), v = field(), options = { expires = 300 } }
model "Loaded" { id = key(), n = field(), options = { expires = 300 }, from_miss = run }
model "Forever" { id = key(), n = field(), from_miss = run }
model "Brief" { id = key(), n = field(), options = { expires = "300ms" }, from_miss = run }
model "Chosen" { id = key(), n = field(), options = { expires = 300 },
  from_miss = function(self, ctx)
    run(self)
    if self.id:match "^zero" then ctx.expires = 0 else ctx.expires = 60 end
  end }
model "Absent" { id = key(), options = { expires = 300, negative = "400ms" },
  from_miss = function(self)
    run { id = "absent " .. self.id }
    return missing
  end }
model "Unkept" { id = key(), options = { expires = 300 }, from_miss = function(self) run { id = "unkept" } return missing end }
model "Runs" { id = key(), n = field(),
  from_miss = function(self, ctx) self.n = runs[self.id] or 0 ctx.expires = 0 end }
]]

for _, store in ipairs { "memory", "redis", "cluster" } do
  describe("the cache on " .. store, function()
    local gw
    setup(function() gw = gateway.start { models = models, store = store } end)
    teardown(function() gw:finish() end)

    local function runs(id) return check.document(gw:get("/models/Runs" .. http.query { id = id })).n end

    it("a miss is loaded, stored and told so; then it is a hit", function()
      local miss = check.status(gw:get "/models/Loaded?id=a", 200)
      assert.equal('{"id":"a","n":1}', miss.body)
      assert.equal("perigee; fwd=uri-miss; stored; ttl=300", miss.headers["cache-status"])
      assert.equal("0", miss.headers.age)
      assert.equal(300, check.cache_control(miss)["max-age"])
      local hit = check.status(gw:get "/models/Loaded?id=a", 200)
      assert.equal('{"id":"a","n":1}', hit.body)
      local status = check.cache_status(hit)
      check.found_in(store, status.detail)
      assert.is_true(status.hit and status.ttl >= 298 and status.ttl <= 300)
      assert.equal(("perigee; hit; ttl=%d; detail=%s"):format(status.ttl, status.detail), hit.headers["cache-status"])
      assert.equal(status.ttl, check.cache_control(hit)["max-age"])
      assert.equal(miss.headers.etag, hit.headers.etag)
      assert.truthy(hit.headers.etag:match '^"[!#-~]+"$')
      assert.equal("application/json", hit.headers["content-type"])
    end)

    it("age grows and what is left shrinks, together", function()
      check.status(gw:put("/models/Short?id=age", '{"v":1}'), 201)
      process.eventually("an age of 1", 5, function() return gw:get("/models/Short?id=age").headers.age == "1" end)
      local response = gw:get "/models/Short?id=age"
      local left = check.cache_control(response)["max-age"]
      assert.is_true(left == 299 or left == 298)
      assert.equal(left, check.cache_status(response).ttl)
    end)

    it("HEAD says what GET says, without a body", function()
      check.status(gw:put("/models/Short?id=head", '{"v":"some text"}'), 201)
      local get, head = gw:get "/models/Short?id=head", gw:head "/models/Short?id=head"
      check.status(head, 200)
      for _, name in ipairs { "etag", "content-type", "content-length" } do assert.equal(get.headers[name], head.headers[name]) end
      check.found_in(store, check.cache_status(head).detail)
      assert.equal("", head.body)
    end)

    it("HEAD never starts a loader", function()
      check.status(gw:head "/models/Loaded?id=headless", 404)
      check.status(gw:head "/models/Loaded?id=headless", 404)
      assert.equal(0, runs "headless")
      assert.equal(1, check.document(gw:get "/models/Loaded?id=headless").n)
      check.status(gw:head "/models/Loaded?id=headless", 200)
    end)

    it("a save makes, then replaces; both change the entity tag with the text", function()
      local made = check.status(gw:put("/models/Plain", '{"id":"s","v":1}'), 201)
      assert.equal("/models/Plain?id=s", made.headers.location)
      local first = gw:get "/models/Plain?id=s"
      local replaced = check.status(gw:put("/models/Plain?id=s", '{"v":2}'), 204)
      assert.is_nil(replaced.headers.location)
      local second = gw:get "/models/Plain?id=s"
      assert.equal('{"id":"s","v":2}', second.body)
      assert.not_equal(first.headers.etag, second.headers.etag)
      check.status(gw:put("/models/Plain", '{"v" : 1, "id" : "s"}'), 204)
      assert.equal(first.headers.etag, gw:get("/models/Plain?id=s").headers.etag) -- the same text, the same tag
    end)

    it("what never expires tells no ttl", function()
      check.status(gw:put("/models/Plain?id=forever", '{"v":1}'), 201)
      local response = gw:get "/models/Plain?id=forever"
      local status = check.cache_status(response)
      check.found_in(store, status.detail)
      assert.same({ hit = true, detail = status.detail }, status)
      assert.is_true(check.cache_control(response)["max-age"] > 86400)
    end)

    it("a delete is 204, whether it was there or not", function()
      check.status(gw:put("/models/Plain?id=gone", '{"v":1}'), 201)
      check.status(gw:delete "/models/Plain?id=gone", 204)
      check.status(gw:delete "/models/Plain?id=gone", 204)
      check.problem(gw:get "/models/Plain?id=gone", 404, "missing")
      check.status(gw:head "/models/Plain?id=gone", 404)
      check.status(gw:put("/models/Plain?id=gone", '{"v":2}'), 201)
    end)

    it("a deleted record is loaded anew", function()
      assert.equal(1, check.document(gw:get "/models/Forever?id=again").n)
      assert.equal(1, check.document(gw:get "/models/Forever?id=again").n)
      check.status(gw:delete "/models/Forever?id=again", 204)
      assert.equal(2, check.document(gw:get "/models/Forever?id=again").n)
    end)

    it("what was saved is not loaded", function()
      check.status(gw:put("/models/Loaded?id=saved", '{"n":"mine"}'), 201)
      assert.equal("mine", check.document(gw:get "/models/Loaded?id=saved").n)
      assert.equal(0, runs "saved")
    end)

    it("If-None-Match that names the tag gets 304 and nothing twice", function()
      check.status(gw:put("/models/Short?id=etag", '{"v":1}'), 201)
      local etag = gw:get("/models/Short?id=etag").headers.etag
      for _, condition in ipairs { etag, "W/" .. etag, '"other", ' .. etag, etag .. ', "other"', '"a,b" , W/"c", ' .. etag, "*" } do
        local response = check.status(gw:get("/models/Short?id=etag", { ["If-None-Match"] = condition }), 304)
        assert.equal(etag, response.headers.etag)
        assert.is_truthy(response.headers["cache-control"])
        assert.is_truthy(response.headers.age)
        assert.is_true(check.cache_status(response).hit)
        assert.is_nil(response.headers["content-type"])
        check.status(gw:head("/models/Short?id=etag", { ["If-None-Match"] = condition }), 304)
      end
      for _, condition in ipairs { '"other"', 'W/"other"', etag:sub(2, -2), "", '"', '"a" ' .. etag, etag:upper() .. "x" } do
        check.status(gw:get("/models/Short?id=etag", { ["If-None-Match"] = condition }), 200)
      end
      check.status(gw:put("/models/Short?id=etag", '{"v":2}'), 204)
      check.status(gw:get("/models/Short?id=etag", { ["If-None-Match"] = etag }), 200)
    end)

    it("a save may say how long it holds", function()
      local function left(target) return check.cache_control(gw:get(target))["max-age"] end
      check.status(gw:put("/models/Plain?id=e1&_expires=60", '{"v":1}'), 201)
      assert.is_true(left "/models/Plain?id=e1" <= 60 and left "/models/Plain?id=e1" >= 58)
      check.status(gw:put("/models/Plain?id=e2", '{"v":1}', { ["Cache-Control"] = "max-age=60" }), 201)
      assert.is_true(left "/models/Plain?id=e2" <= 60 and left "/models/Plain?id=e2" >= 58)
      check.status(gw:put("/models/Short?id=e3&_expires=15m", '{"v":1}'), 201)
      assert.is_true(left "/models/Short?id=e3" <= 900 and left "/models/Short?id=e3" >= 898)
      check.status(gw:put("/models/Short?id=e3", '{"v":1}'), 204)
      assert.is_true(left "/models/Short?id=e3" <= 300)
      for _, wrong in ipairs { "soon", "-1", "", "1y" } do
        check.problem(gw:put("/models/Plain?id=e4&_expires=" .. wrong, '{"v":1}'), 400, "malformed-request")
      end
      check.problem(gw:get "/models/Plain?id=e4", 404, "missing")
    end)

    it("a life of nothing ends what is there, and tells whether it was", function()
      check.status(gw:put("/models/Plain?id=e5&_expires=0", '{"v":1}'), 201)
      check.problem(gw:get "/models/Plain?id=e5", 404, "missing")
      check.status(gw:put("/models/Plain?id=e8", '{"v":1}'), 201)
      check.status(gw:put("/models/Plain?id=e8&_expires=0", '{"v":2}'), 204)
      check.problem(gw:get "/models/Plain?id=e8", 404, "missing")
      check.status(gw:put("/models/Loaded?id=e5", '{"n":0}'), 201)
      check.status(gw:put("/models/Loaded?id=e5", '{"n":2}', { ["Cache-Control"] = "max-age=0" }), 204)
      assert.equal(1, check.document(gw:get "/models/Loaded?id=e5").n) -- by its loader
    end)

    it("max-age of a save: every line, the least, and numbers only", function()
      local function left(control)
        gw:delete "/models/Plain?id=e6"
        check.status(gw:put("/models/Plain?id=e6", '{"v":1}', { ["Cache-Control"] = control }), 201)
        return check.cache_control(gw:get "/models/Plain?id=e6")["max-age"]
      end
      assert.is_true(left "max-age=60" <= 60)
      assert.is_true(left "x=\"max-age=5\", max-age=\"90\", max-age=70" <= 70)
      assert.is_true(left "x=\"max-age=5\", max-age=90" > 80)
      for _, wrong in ipairs { "max-age", "max-age=", "max-age=x", "max-age=1.5", "max-age=99999999999", "max-age=5, max-age=x" } do
        check.problem(gw:put("/models/Plain?id=e7", '{"v":1}', { ["Cache-Control"] = wrong }), 400, "malformed-request")
      end
    end)

    it("preferences: the first return counts, others are passed over", function()
      local function saved(prefer, status)
        local answer = check.status(gw:put("/models/Plain?id=prefer", '{"v":1}', { Prefer = prefer }), status)
        return answer.headers["preference-applied"], answer.body
      end
      check.status(gw:put("/models/Plain?id=prefer", '{"v":1}'), 201)
      for prefer, applied in pairs {
        ["return=representation"] = "return=representation", ["respond-async, return=representation; x=1"] = "return=representation",
        ["return=minimal"] = "return=minimal", ["Return=Minimal, return=representation"] = "return=minimal",
        ["respond-async, wait=5"] = "none", ["return=other"] = "none", ["return"] = "none", [""] = "none", ["x=\"return=minimal\""] = "none",
      } do
        local told, body = saved(prefer, applied == "return=representation" and 200 or 204)
        assert.equal(applied, told or "none", prefer)
        assert.equal(applied == "return=representation" and '{"id":"prefer","v":1}' or "", body)
      end
    end)

    it("what has expired is gone", function()
      check.status(gw:put("/models/Plain?id=x&_expires=0.3", '{"v":1}'), 201)
      check.status(gw:get "/models/Plain?id=x", 200)
      process.eventually("it has expired", 3, function() return gw:get("/models/Plain?id=x").status == 404 end)
    end)

    it("what has expired is loaded again", function()
      assert.equal(1, check.document(gw:get "/models/Brief?id=b").n)
      process.eventually("a second load", 3, function() return check.document(gw:get "/models/Brief?id=b").n == 2 end)
    end)

    it("a loader may say how long it holds, and that it is not kept at all", function()
      local response = check.status(gw:get "/models/Chosen?id=sixty", 200)
      assert.equal("perigee; fwd=uri-miss; stored; ttl=60", response.headers["cache-status"])
      assert.equal(1, check.document(gw:get "/models/Chosen?id=sixty").n)
      for n = 1, 3 do
        response = check.status(gw:get "/models/Chosen?id=zero", 200)
        assert.equal(('{"id":"zero","n":%d}'):format(n), response.body)
        assert.is_nil(check.cache_status(response).stored)
        assert.equal("uri-miss", check.cache_status(response).fwd)
        local control = check.cache_control(response)
        assert.is_true(control["no-store"] or control["max-age"] == 0)
      end
    end)

    it("a missing record is remembered for `negative`", function()
      local problem = check.problem(gw:get "/models/Absent?id=m", 404, "missing")
      assert.equal("Absent", problem.model)
      assert.same({ id = "m" }, problem.keys)
      check.problem(gw:get "/models/Absent?id=m", 404, "missing")
      assert.equal(1, runs "absent m")
      process.eventually("a second load", 3, function()
        check.problem(gw:get "/models/Absent?id=m", 404, "missing")
        return runs "absent m" == 2
      end)
      check.status(gw:put("/models/Absent?id=m", "{}"), 201) -- it was not there
      check.status(gw:get "/models/Absent?id=m", 200)
    end)

    it("without `negative` a missing record is asked for each time", function()
      for n = 1, 3 do
        check.problem(gw:get "/models/Unkept?id=u", 404, "missing")
        assert.equal(n, runs "unkept")
      end
    end)

    it("only-if-cached loads nothing", function()
      local headers = { ["Cache-Control"] = "only-if-cached" }
      check.problem(gw:get("/models/Loaded?id=oic", headers), 504, "not-cached")
      assert.equal(0, runs "oic")
      check.status(gw:get "/models/Loaded?id=oic", 200)
      assert.is_true(check.cache_status(check.status(gw:get("/models/Loaded?id=oic", headers), 200)).hit)
      check.problem(gw:get("/models/Plain?id=oic", headers), 504, "not-cached")
    end)

    it("no-cache loads now", function()
      assert.equal(1, check.document(gw:get "/models/Loaded?id=nc").n)
      local response = gw:get("/models/Loaded?id=nc", { ["Cache-Control"] = "no-cache" })
      assert.equal(2, check.document(response).n)
      assert.equal("request", check.cache_status(response).fwd)
      assert.equal(2, check.document(gw:get "/models/Loaded?id=nc").n)
    end)

    it("keys may stand in the query, the body, or both where they agree", function()
      check.status(gw:put("/models/Plain?id=both", '{"id":"both","v":1}'), 201)
      check.status(gw:put("/models/Plain?id=both", '{"v":1}'), 204)
      check.status(gw:put("/models/Plain", '{"id":"both","v":1}'), 204)
      local problem = check.problem(gw:put("/models/Plain?id=both", '{"id":"other","v":1}'), 400, "key-conflict")
      assert.equal("id", problem.path)
      check.problem(gw:get "/models/Plain?id=other", 404, "missing")
    end)
  end)
end

describe("a restart", function()
  local gw
  teardown(function() gw:finish() end)

  it("changes nothing that Redis holds, nor its entity tags", function()
    local first = gateway.start { models = models, store = "redis" }
    check.status(first:put("/models/Short?id=kept", '{"v":1}'), 201)
    local before = first:get "/models/Short?id=kept"
    assert.equal(0, first:stop())
    gw = gateway.start { models = models, store = first.redis.url }
    gw.redis, first.redis = first.redis, nil
    first:finish_stopped()
    gw:await_store()
    local after = check.status(gw:get "/models/Short?id=kept", 200)
    assert.equal(before.body, after.body)
    assert.equal(before.headers.etag, after.headers.etag)
  end)

  it("and the memory store makes the same entity tags", function()
    local memory = gateway.start { models = models }
    check.status(memory:put("/models/Short?id=kept", '{"v":1}'), 201)
    assert.equal(gw:get("/models/Short?id=kept").headers.etag, memory:get("/models/Short?id=kept").headers.etag)
    memory:finish()
  end)
end)
