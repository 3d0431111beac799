-- tests/e2e/freshness_spec.lua -- the life of a record seen from outside: stale answers, early loads, failures, and how many loads all that costs.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local origin = require "tests.support.origin"
local socket = require "socket"

-- What the origin answers to /<model>/<id> becomes the record; it counts who asks.
local models = [[
local function load(self, name)
  local r = http.get(env "ORIGIN" .. "/" .. name .. "/" .. self.id, { timeout = 5 })
  if r.status == 404 then return missing end
  if r.status ~= 200 then error("the origin says " .. r.status) end
  self.v = r.body
end
model "While" { id = key(), v = field(), options = { expires = 0.4, stale_while_revalidate = 600 },
  from_miss = function(self) return load(self, "while") end }
model "Error" { id = key(), v = field(), options = { expires = 0.4, stale_if_error = 600 },
  from_miss = function(self) return load(self, "error") end }
model "Soft" { id = key(), v = field(), options = { expires = 0.4, stale_if_error = 600, soft_timeout = 0.1 },
  from_miss = function(self) return load(self, "soft") end }
model "Early" { id = key(), v = field(), options = { expires = 600, refresh = 0.0005 },
  from_miss = function(self) return load(self, "early") end }
model "Plain" { id = key(), v = field(), options = { expires = 0.4 }, from_miss = function(self) return load(self, "plain") end }
model "Few" { id = key(), v = field(), options = { expires = 600, max_loads = 2 },
  from_miss = function(self) return load(self, "few") end }
model "Jittered" { id = key(), v = field(), options = { expires = 1000, jitter = 0.5 }, from_miss = function(self) self.v = 1 end }
model "Asks" { id = key(), v = field(), seen = field(), child = reference "While",
  options = { expires = 0.4, stale_if_error = 600, tags = function(self) return { "of:" .. self.id } end },
  from_miss = function(self, ctx)
    local r = http.get(env "ORIGIN" .. "/asks/" .. self.id, { headers = { ["If-None-Match"] = ctx.etag } })
    if r.status == 304 then return ctx.not_modified() end
    self.seen = { etag = ctx.etag or "none", old = ctx.stale and ctx.stale.v or "none", child = ctx.stale and ctx.stale.child.id }
    ctx.etag = '"' .. r.body .. '"'
    self.v, self.child = r.body, { id = "child" }
  end }
model "Never" { id = key(), v = field(), options = { expires = 1 }, from_miss = function(self, ctx) return ctx.not_modified() end }
model "Parent" { id = key(), child = reference "While" }
model "Saved" { id = key(), v = field(), options = { expires = 0.4, stale_while_revalidate = 600, stale_if_error = 600 } }
]]

for _, store in ipairs { "memory", "redis" } do
  describe("freshness on " .. store, function()
    local gw, source
    setup(function()
      source = origin.start()
      gw = gateway.start { models = models, store = store, workers = 2, env = { ORIGIN = source.url }, beside = { source }, fds = 40 }
    end)
    teardown(function() gw:finish() end)

    local function asked(path) return (source:asked(path .. " ")) end

    local function eventually(what, probe) return process.eventually(what, 5 * gateway.patience, probe) end

    -- Until what is stored is over.
    local function wait_until_stale() socket.sleep(0.5) end

    it("while it revalidates: one stale answer at once, and one load behind it for however many ask", function()
      source:says("/while/a", 200, "one")
      assert.equal("one", check.document(gw:get "/models/While?id=a").v)
      wait_until_stale()
      source:holds "/while/a"
      for _, answer in ipairs(http.all(gw.address, (function()
        local all = {}
        for i = 1, 50 do all[i] = { "GET", "/models/While?id=a" } end
        return all
      end)())) do
        assert.equal("one", check.document(answer).v)
        local status = check.cache_status(answer)
        assert.is_true(status.hit)
        assert.equal("stale", status.detail)
        assert.is_true(status.ttl < 0)
        assert.matches("^max%-age=0, stale%-while%-revalidate=%d+$", answer.headers["cache-control"])
      end
      eventually("the load to begin", function() return asked "/while/a" == 2 end)
      source:says("/while/a", 200, "two")
      source:lets_go "/while/a"
      eventually("the new one", function() return check.document(gw:get "/models/While?id=a").v == "two" end)
      assert.equal(2, asked "/while/a")
    end)

    it("tells clients what they may do with a fresh one", function()
      source:says("/while/told", 200, "x")
      local answer = gw:get "/models/While?id=told"
      assert.matches("^max%-age=1, stale%-while%-revalidate=600$", answer.headers["cache-control"])
      source:says("/error/told", 200, "x")
      assert.matches("^max%-age=1, stale%-if%-error=600$", gw:get("/models/Error?id=told").headers["cache-control"])
    end)

    it("on an error the stale one is the answer, and the failing origin is not hammered", function()
      source:says("/error/b", 200, "good")
      check.document(gw:get "/models/Error?id=b")
      wait_until_stale()
      source:says("/error/b", 500, "bad")
      for _ = 1, 30 do
        local answer = gw:get "/models/Error?id=b"
        assert.equal("good", check.document(answer).v)
        assert.equal("stale", check.cache_status(answer).detail)
      end
      assert(asked "/error/b" < 15, asked "/error/b")
      source:says("/error/b", 200, "better")
      eventually("the better one", function() return check.document(gw:get "/models/Error?id=b").v == "better" end)
      local status = check.cache_status(gw:get "/models/Error?id=b")
      assert.is_true(status.hit)
    end)

    it("what was stale and is loaded anew says so", function()
      source:says("/error/c", 200, "one")
      check.document(gw:get "/models/Error?id=c")
      wait_until_stale()
      source:says("/error/c", 200, "two")
      local answer = gw:get "/models/Error?id=c"
      assert.equal("two", check.document(answer).v)
      assert.equal("stale", check.cache_status(answer).fwd)
      assert.is_true(check.cache_status(answer).stored)
    end)

    it("a stale record whose origin says that it is gone is gone", function()
      source:says("/error/gone", 200, "one")
      check.document(gw:get "/models/Error?id=gone")
      wait_until_stale()
      source:says("/error/gone", 404, "")
      check.problem(gw:get "/models/Error?id=gone", 404, "missing")
    end)

    it("after the soft timeout the stale one is the answer, and the load goes on", function()
      source:says("/soft/d", 200, "one")
      check.document(gw:get "/models/Soft?id=d")
      wait_until_stale()
      source:holds "/soft/d"
      local answer = gw:get "/models/Soft?id=d"
      assert.equal("one", check.document(answer).v)
      assert.equal("stale", check.cache_status(answer).detail)
      assert.equal("one", check.document(gw:get "/models/Soft?id=d").v) -- does not wait again
      assert.equal(2, asked "/soft/d")
      source:says("/soft/d", 200, "two")
      source:lets_go "/soft/d"
      eventually("the new one", function() return check.document(gw:get "/models/Soft?id=d").v == "two" end)
      assert.equal(2, asked "/soft/d")
    end)

    it("an early refresh answers the old one and loads one", function()
      source:says("/early/e", 200, "one")
      check.document(gw:get "/models/Early?id=e")
      socket.sleep(0.35) -- 0.0005 of 600 s
      source:says("/early/e", 200, "two")
      local answer = gw:get "/models/Early?id=e"
      assert.equal("one", check.document(answer).v)
      assert.is_true(check.cache_status(answer).hit)
      assert.is_true(check.cache_status(answer).ttl > 590)
      eventually("the new one", function() return check.document(gw:get "/models/Early?id=e").v == "two" end)
    end)

    it("without any of it a record is fresh or it is loaded", function()
      source:says("/plain/f", 200, "one")
      check.document(gw:get "/models/Plain?id=f")
      wait_until_stale()
      source:says("/plain/f", 500, "")
      check.problem(gw:get "/models/Plain?id=f", 502, "loader-error")
    end)

    it("a failure is told again, with the time to try again, until its pause is over", function()
      source:says("/plain/g", 500, "")
      local told
      for _ = 1, 20 do
        local answer = gw:get "/models/Plain?id=g"
        check.problem(answer, 502, "loader-error")
        told = told or answer.headers["retry-after"]
      end
      assert.equal("1", told)
      assert(asked "/plain/g" < 10, asked "/plain/g")
      local before = asked "/plain/g"
      check.problem(gw:get("/models/Plain?id=g", { ["Cache-Control"] = "no-cache" }), 502, "loader-error")
      assert.equal(before + 1, asked "/plain/g")
      check.status(gw:put("/models/Plain?id=g", '{"v":"saved"}'), 201)
      assert.equal("saved", check.document(gw:get "/models/Plain?id=g").v)
    end)

    it("max_loads are as many at once; the others wait their turn", function()
      local requests = {}
      for i = 1, 10 do
        source:says("/few/" .. i, 200, "v")
        source:holds("/few/" .. i)
        requests[i] = http.connect(gw.address)
        requests[i]:send(http.format("GET", "/models/Few?id=" .. i))
      end
      local function running()
        local n = 0
        for i = 1, 10 do n = n + asked("/few/" .. i) end
        return n
      end
      eventually("two loads", function() return running() == 2 end)
      socket.sleep(0.2)
      assert.equal(2, running())
      for i = 1, 10 do source:lets_go("/few/" .. i) end
      for i = 1, 10 do assert.equal("v", check.document(requests[i]:receive()).v) end
      for i = 1, 10 do requests[i]:close() end
    end)

    it("beyond the queue there is no place", function()
      local requests, outcome = {}, { [200] = 0, [503] = 0 }
      for i = 1, 100 do
        source:says("/few/q" .. i, 200, "v")
        source:holds("/few/q" .. i)
        requests[i] = http.connect(gw.address)
        requests[i]:send(http.format("GET", "/models/Few?id=q" .. i))
      end
      eventually("34 refusals", function() return gw:metric("perigee_requests_total", { model = "Few", outcome = "overloaded" }) == 34 end)
      for i = 1, 100 do source:lets_go("/few/q" .. i) end
      for i = 1, 100 do
        local answer = requests[i]:receive()
        outcome[answer.status] = outcome[answer.status] + 1
        if answer.status == 503 then assert.equal("1", answer.headers["retry-after"]) end
        requests[i]:close()
      end
      assert.same({ [200] = 66, [503] = 34 }, outcome)
    end)

    it("a line that stands has few places, until nobody waits", function()
      local function send(from, to)
        local requests = {}
        for i = from, to do
          source:says("/few/s" .. i, 200, "v")
          source:holds("/few/s" .. i)
          requests[#requests + 1] = http.connect(gw.address)
          requests[#requests]:send(http.format("GET", "/models/Few?id=s" .. i))
        end
        return requests
      end
      local function finish(requests, from)
        local answers = {}
        for i = 1, #requests do source:lets_go("/few/s" .. from + i - 1) end
        for i, request in ipairs(requests) do
          answers[i] = request:receive()
          request:close()
        end
        return answers
      end
      local function loaded() return gw:metric("perigee_loads_total", { model = "Few" }) end
      local requests, before, gone = send(1, 60), loaded(), {}
      eventually("36 loads, which let others have their turns", function()
        for i = 1, 60 do
          if not gone[i] and asked("/few/s" .. i) == 1 then
            gone[i] = true
            source:lets_go("/few/s" .. i)
          end
        end
        return loaded() >= before + 36
      end)
      source:says("/few/late", 200, "v")
      local refused = gw:get "/models/Few?id=late"
      check.problem(refused, 503, "overloaded")
      assert.equal("1", refused.headers["retry-after"])
      finish(requests, 1)
      for _, answer in ipairs(finish(send(61, 72), 61)) do check.document(answer) end -- ten may wait again
    end)

    it("jitter takes away up to its part of the life, and of nothing that was said of the record", function()
      local least, most = 1000, 0
      for i = 1, 100 do
        local ttl = check.cache_status(gw:get("/models/Jittered?id=" .. i)).ttl
        least, most = math.min(least, ttl), math.max(most, ttl)
      end
      assert(least >= 499 and least < 600 and most <= 1000 and most > 900, least .. " to " .. most)
      check.status(gw:put("/models/Jittered?id=said&_expires=1000", "{}"), 201)
      assert(check.cache_status(gw:get "/models/Jittered?id=said").ttl >= 999)
    end)

    it("a document with a stale record is stale, and that record is loaded behind it", function()
      source:says("/while/child", 200, "one")
      check.status(gw:put("/models/Parent?id=p", '{"child":{"id":"child"}}'), 201)
      assert.equal("one", check.document(gw:get "/models/Parent?id=p").child.v)
      wait_until_stale()
      source:says("/while/child", 200, "two")
      local answer = gw:get "/models/Parent?id=p"
      assert.equal("one", check.document(answer).child.v)
      assert.equal("stale", check.cache_status(answer).detail)
      eventually("the new one", function() return check.document(gw:get "/models/Parent?id=p").child.v == "two" end)
      assert.equal(2, asked "/while/child")
    end)

    it("a loader sees what it replaces, and may say that it still holds", function()
      source:says("/asks/c", 200, "one")
      local first = gw:get "/models/Asks?id=c&_depth=0"
      assert.same({ etag = "none", old = "none" }, check.document(first).seen)
      wait_until_stale()
      source:says("/asks/c", 304, "")
      local same = gw:get "/models/Asks?id=c&_depth=0"
      assert.equal(first.body, same.body)
      assert.equal(first.headers.etag, same.headers.etag)
      assert.equal("0", same.headers.age)
      assert.is_true(check.cache_status(same).stored)
      assert.equal(2, asked "/asks/c")
      wait_until_stale()
      source:says("/asks/c", 200, "two")
      assert.same({ etag = '"one"', old = "one", child = "child" }, check.document(gw:get "/models/Asks?id=c&_depth=0").seen)
      check.problem(gw:get "/models/Never?id=1", 502, "loader-error")
    end)

    it("what nobody can load is never stale", function()
      check.status(gw:put("/models/Saved?id=s", '{"v":1}'), 201)
      wait_until_stale()
      check.problem(gw:get "/models/Saved?id=s", 404, "missing")
    end)

    it("HEAD and only-if-cached look, and start nothing", function()
      source:says("/while/look", 200, "one")
      check.document(gw:get "/models/While?id=look")
      wait_until_stale()
      assert.equal("stale", check.cache_status(check.status(gw:head "/models/While?id=look", 200)).detail)
      assert.equal("stale",
        check.cache_status(check.status(gw:get("/models/While?id=look", { ["Cache-Control"] = "only-if-cached" }), 200)).detail)
      assert.equal(1, asked "/while/look")
    end)
  end)
end
