-- tests/e2e/demand_spec.lua -- what clients demand of what is stored, by Cache-Control and Pragma of their requests (RFC 9111 5.2.1): of
-- records, documents, results of methods and forms, and bulks. Each word by itself is tests/unit/serve/test_demand.c's.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local origin = require "tests.support.origin"
local process = require "tests.support.process"
local cjson = require "cjson"
local socket = require "socket"

local models = [[
local runs = {}
local function run(self)
  runs[self.id] = (runs[self.id] or 0) + 1
  self.n = runs[self.id]
end
local function ask(self)
  local r = http.get(env "ORIGIN" .. "/" .. self.id)
  if r.status == 404 then return missing end
  if r.status ~= 200 then error("the origin says " .. r.status) end
  self.n = r.body
end
model "Long" { id = key(), n = field(), options = { expires = 600 }, from_miss = run,
  times = cached_method{ on = { "id" }, expires = 600,
    function(self) run { id = "times " .. self.id } return runs["times " .. self.id] end } }
model "Kept" { id = key(), n = field(), options = { expires = 600 } }
model "Parent" { id = key(), child = reference "Long", other = reference{ "Kept", missing = "null" }, options = { expires = 600 } }
model "While" { id = key(), n = field(), options = { expires = 0.3, stale_while_revalidate = 600 }, from_miss = ask }
model "Error" { id = key(), n = field(), options = { expires = 0.3, stale_if_error = 600 }, from_miss = ask }
model "Absent" { id = key(), n = field(), options = { expires = 600, negative = 600 }, from_miss = ask }
model "Tells" { id = key(), n = field(), options = { expires = 600 },
  from_miss = function(self, ctx) self.n = ctx.stale and "replaces " .. ctx.stale.n:sub(1, 5) or "first" end }
form "Asked" { who = input{ required = true },
  find = cached_form_method{ expires = 600, function(self)
    run { id = "form " .. self.cleaned_data.who }
    return runs["form " .. self.cleaned_data.who]
  end } }
]]

local function with(control) return { ["Cache-Control"] = control } end

for _, store in ipairs { "memory", "redis" } do
  describe("what is demanded, on " .. store, function()
    local gw, source
    setup(function()
      source = origin.start()
      gw = gateway.start { models = models, store = store, workers = 2, env = { ORIGIN = source.url }, beside = { source }, fds = 40 }
    end)
    teardown(function() gw:finish() end)

    local function n(target, control) return check.document(gw:get(target, control and with(control))).n end

    -- The answer, and how it was come by: "hit" or the reason of a load.
    local function how(target, headers)
      local answer = gw:get(target, headers)
      local status = check.cache_status(check.status(answer, 200))
      return status.hit and "hit" or status.fwd, answer
    end

    local function await_age(target, seconds)
      process.eventually("an age", 10, function() return tonumber(gw:get(target).headers.age) >= seconds end)
    end

    local function make_stale(path, target, value)
      source:says(path, 200, value)
      assert.equal(value, n(target))
      socket.sleep(0.4)
    end

    it("max-age takes what is younger, and loads otherwise", function()
      assert.equal(1, n "/models/Long?id=age")
      assert.equal(1, n("/models/Long?id=age", "max-age=30"))
      await_age("/models/Long?id=age", 1)
      assert.equal("hit", (how("/models/Long?id=age", with "max-age=30")))
      local reason, answer = how("/models/Long?id=age", with "max-age=1")
      assert.equal("request", reason)
      assert.equal("0", answer.headers.age)
      assert.is_true(check.cache_status(answer).stored)
      assert.equal(2, check.document(answer).n)
      assert.equal(2, n "/models/Long?id=age") -- for everybody
    end)

    it("max-age=0 and no-cache load now", function()
      for i, control in ipairs { "max-age=0", "no-cache", "max-age=\"0\"", "no-cache=\"x\"", "x, max-age=0", "max-age=9, max-age=0" } do
        local reason, answer = how("/models/Long?id=now", with(control))
        assert.equal(i == 1 and "uri-miss" or "request", reason)
        assert.equal(i, check.document(answer).n)
      end
      for _, line in ipairs { "Pragma: no-cache", "Cache-Control: foo\r\nCache-Control: max-age=0" } do
        local connection = http.connect(gw.address)
        connection:send("GET /models/Long?id=now HTTP/1.1\r\nHost: x\r\n" .. line .. "\r\n\r\n")
        assert.equal("request", check.cache_status(connection:receive()).fwd) -- counted by another worker, perhaps
        connection:close()
      end
      assert.equal("hit", (how("/models/Long?id=now", { Pragma = "no-cache", ["Cache-Control"] = "x" })))
    end)

    it("min-fresh loads what is not fresh for long enough; what it loads will do", function()
      assert.equal(1, n "/models/Long?id=left")
      assert.equal("hit", (how("/models/Long?id=left", with "min-fresh=500")))
      for i = 2, 3 do
        local reason, answer = how("/models/Long?id=left", with "min-fresh=900")
        assert.equal("request", reason)
        assert.equal(i, check.document(answer).n)
      end
    end)

    it("what is unknown, or no number, is passed over", function()
      assert.equal(1, n "/models/Long?id=odd")
      for _, control in ipairs { "max-age=x", "max-age", "min-fresh=-1", "max-stale=1.5", "no-store", "private, s-maxage=0", "",
        "max-age=99999999999999999999", "x=\"max-age=0, no-cache\"" } do
        assert.equal("hit", (how("/models/Long?id=odd", with(control))))
      end
      assert.equal(1, n "/models/Long?id=odd")
    end)

    it("a model without a loader answers what it has", function()
      check.status(gw:put("/models/Kept?id=k", '{"n":1}'), 201)
      for _, control in ipairs { "max-age=0", "no-cache", "min-fresh=900", "max-stale=0", "only-if-cached, no-cache", "only-if-cached, max-age=0" } do
        assert.equal("hit", (how("/models/Kept?id=k", with(control))))
      end
    end)

    it("only-if-cached with demands that nothing here meets is 504, and loads nothing", function()
      assert.equal(1, n "/models/Long?id=look")
      for _, control in ipairs { "only-if-cached, max-age=0", "min-fresh=900, only-if-cached", "only-if-cached, no-cache" } do
        local answer = gw:get("/models/Long?id=look", with(control))
        check.problem(answer, 504, "not-cached")
        assert.equal("perigee; detail=not-cached", answer.headers["cache-status"])
        assert.equal(504, gw:head("/models/Long?id=look", with(control)).status)
      end
      assert.equal("hit", (how("/models/Long?id=look", with "only-if-cached, max-age=60")))
      check.status(gw:head("/models/Long?id=look", with "max-age=0"), 200) -- tells what is there
      assert.equal(1, n "/models/Long?id=look")
    end)

    it("max-stale bounds how stale an answer may be, and lets stale ones pass that would else be loaded", function()
      make_stale("/while", "/models/While?id=while", "one")
      source:says("/while", 200, "two")
      source:holds "/while"
      assert.equal("one", n("/models/While?id=while", "max-stale=600"))
      assert.equal("stale", check.cache_status(gw:get("/models/While?id=while", with "max-stale")).detail)
      source:lets_go "/while"
      process.eventually("the load behind it", 10, function() return n("/models/While?id=while", "max-stale=600") == "two" end)

      make_stale("/strict", "/models/While?id=strict", "one")
      source:says("/strict", 200, "two")
      local reason, answer = how("/models/While?id=strict", with "max-stale=0")
      assert.equal("stale", reason)
      assert.equal("two", check.document(answer).n)

      make_stale("/error", "/models/Error?id=error", "one")
      source:says("/error", 500, "")
      reason, answer = how("/models/Error?id=error", with "max-stale=600")
      assert.equal("hit", reason)
      assert.equal("one", check.document(answer).n)
      assert.equal("stale", check.cache_status(answer).detail)
      assert.equal("one", n("/models/Error?id=error", "only-if-cached, max-stale"))
    end)

    it("who takes nothing stale gets the failure of a load instead", function()
      make_stale("/fail", "/models/Error?id=fail", "one")
      source:says("/fail", 500, "")
      for _, control in ipairs { "max-stale=0", "max-age=600", "min-fresh=0" } do
        local answer = gw:get("/models/Error?id=fail", with(control))
        check.problem(answer, 502, "loader-error")
        assert.matches("^perigee; fwd=stale; detail=loader%-error$", answer.headers["cache-status"])
        assert.equal("one", n "/models/Error?id=fail")
        socket.sleep(0.11) -- the pause after a second failure
        source:says("/fail", 200, "one")
        assert.equal("one", n("/models/Error?id=fail", "no-cache"))
        source:says("/fail", 500, "")
        socket.sleep(0.4)
      end
    end)

    it("what is known to be missing is demanded of likewise", function()
      source:says("/gone", 404, "")
      check.problem(gw:get "/models/Absent?id=gone", 404, "missing")
      source:says("/gone", 200, "back")
      check.problem(gw:get("/models/Absent?id=gone", with "max-age=60"), 404, "missing")
      check.problem(gw:get("/models/Absent?id=gone", with "only-if-cached, max-age=0"), 504, "not-cached")
      assert.equal("back", n("/models/Absent?id=gone", "max-age=0"))
    end)

    it("the loader sees what it replaces", function()
      assert.equal("first", n "/models/Tells?id=t")
      assert.equal("replaces first", n("/models/Tells?id=t", "max-age=0"))
      assert.equal("replaces repla", n("/models/Tells?id=t", "min-fresh=900"))
    end)

    it("many who demand at once share one load", function()
      source:says("/many", 200, "one")
      assert.equal("one", n "/models/Absent?id=many")
      source:says("/many", 200, "two")
      source:holds "/many"
      local requests = {}
      for i = 1, 20 do
        requests[i] = http.connect(gw.address)
        requests[i]:send(http.format("GET", "/models/Absent?id=many", with "max-age=0"))
      end
      process.eventually("the load", 10, function() return (source:asked "/many ") == 2 end)
      assert.equal("one", n("/models/Absent?id=many", "max-age=60"))
      socket.sleep(0.1) -- all twenty have been read by now, or load for themselves
      source:lets_go "/many"
      for i = 1, 20 do
        assert.equal("two", check.document(requests[i]:receive()).n)
        requests[i]:close()
      end
      assert.is_true((source:asked "/many ") < 6)
    end)

    it("a document is as old as its oldest loaded part, and each part that will not do is loaded", function()
      check.status(gw:put("/models/Kept?id=part", '{"n":7}'), 201)
      check.status(gw:put("/models/Parent?id=p", '{"child":{"id":"child"},"other":{"id":"part"}}'), 201)
      assert.equal(1, check.document(gw:get "/models/Parent?id=p").child.n)
      assert.equal("hit", (how("/models/Parent?id=p", with "max-age=60, min-fresh=500")))
      local reason, answer = how("/models/Parent?id=p", with "max-age=0")
      assert.equal("request", reason)
      assert.same({ 2, 7 }, { check.document(answer).child.n, check.document(answer).other.n })
      reason, answer = how("/models/Parent?id=p", with "min-fresh=900")
      assert.same({ "request", 3 }, { reason, check.document(answer).child.n })
      check.problem(gw:get("/models/Parent?id=p", with "only-if-cached, max-age=0"), 504, "not-cached")
      assert.equal(3, check.document(gw:get("/models/Parent?id=p", with "only-if-cached")).child.n)
    end)

    it("a bulk demands of each of its reads", function()
      assert.equal(1, n "/models/Long?id=bulk")
      local function first(control)
        return cjson.decode(check.status(gw:request("POST", "/models/Long/_bulk", with(control), '{"get":[{"id":"bulk"}]}'), 200).body).get[1]
      end
      assert.equal(1, first("max-age=60").value.n)
      assert.equal(2, first("max-age=0").value.n)
      assert.equal("not-cached", first("only-if-cached, min-fresh=900").problem.code)
    end)

    it("results of methods and forms are demanded of likewise", function()
      for _, target in ipairs { "/models/Long/times?id=m", "/forms/Asked/find?who=f" } do
        local function answer(method, control)
          local got = gw:request(method, target, control and with(control))
          return tonumber(check.status(got, 200).body), check.cache_status(got)
        end
        assert.equal(1, (answer "GET"))
        assert.equal(1, (answer("GET", "max-age=60")))
        local value, status = answer("GET", "max-age=0")
        assert.same({ 2, "request" }, { value, status.fwd })
        assert.equal(3, (answer("POST", "min-fresh=900")))
        assert.equal(3, (answer("GET", "only-if-cached")))
        check.problem(gw:get(target, with "only-if-cached, max-age=0"), 504, "not-cached")
      end
    end)
  end)
end
