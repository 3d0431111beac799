-- tests/e2e/flight_spec.lua -- however many ask for a record that is not there, one loader runs for all; loads of different records
-- run beside each other; and what was saved meanwhile is never overwritten by what was loaded.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local origin = require "tests.support.origin"
local socket = require "socket"

local function models(url)
  return ([[
local function ask(path) return http.get("%s" .. path, { timeout = 5 }) end

model "Page" { id = key(), path = field(), n = field(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self)
    local answer = ask("/page/" .. self.id .. "?delay=300"):json()
    self.path, self.n = answer.path, answer.n
  end }
model "Unkept" { id = key(), n = field(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self, ctx)
    self.n = ask("/unkept/" .. self.id .. "?delay=200"):json().n
    ctx.expires = 0
  end }
model "Failing" { id = key(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self)
    ask("/failing/" .. self.id .. "?delay=200")
    error "no luck"
  end }
model "Absent" { id = key(), options = { expires = 300, negative = 60, hard_timeout = 5 },
  from_miss = function(self)
    local r = ask("/absent/" .. self.id .. "?status=404&delay=200")
    if r.status == 404 then return missing end
  end }
model "Late" { id = key(), v = field(), options = { expires = 300, hard_timeout = 0.3 },
  from_miss = function(self) ask("/late/" .. self.id .. "?hang=1") end }
model "Nap" { id = key(), v = field(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self) sleep(0.3) self.v = "loaded" end }
model "Doze" { id = key(), v = field(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self) sleep(0.02) self.v = "loaded" end }
model "Wink" { id = key(), v = field(), options = { expires = 300 }, from_miss = function(self) self.v = "loaded" end }
]]):format(url)
end

local function repeated(n, method, target)
  local requests = {}
  for i = 1, n do requests[i] = { method, target } end
  return requests
end

for _, store in ipairs { "memory", "redis" } do
  for _, workers in ipairs { 1, 2 } do
    describe(("loads on %s with %d worker(s)"):format(store, workers), function()
      local gw, source
      setup(function()
        source = origin.start()
        gw = gateway.start { models = models(source.url), store = store, workers = workers, fds = 40, beside = { source } }
      end)
      teardown(function() gw:finish() end)

      it("200 clients, one cold key, one load", function()
        local answers = http.all(gw.address, repeated(200, "GET", "/models/Page?id=cold"))
        local led, collapsed, slowest = 0, 0, 0
        for _, answer in ipairs(answers) do
          check.status(answer, 200)
          assert.equal(answers[1].body, answer.body)
          local status = check.cache_status(answer)
          assert(status.fwd == "uri-miss" or status.hit, answer.headers["cache-status"])
          if status.stored then led = led + 1 end
          if status.collapsed then
            collapsed = collapsed + 1
            assert.equal("perigee; fwd=uri-miss; collapsed", answer.headers["cache-status"])
          end
          slowest = math.max(slowest, answer.seconds)
        end
        assert.equal(1, (source:asked "/page/cold"))
        assert.equal(1, led)
        assert(collapsed > 100, collapsed .. " collapsed")
        assert(slowest < 0.3 + 0.5 * gateway.patience, slowest)
        assert.is_true(check.cache_status(gw:get "/models/Page?id=cold").hit)
      end)

      it("all get an answer that is not kept", function()
        local answers = http.all(gw.address, repeated(100, "GET", "/models/Unkept?id=one"))
        for _, answer in ipairs(answers) do
          check.status(answer, 200)
          assert.is_nil(check.cache_status(answer).stored)
        end
        assert.equal(1, (source:asked "/unkept/one"))
        check.status(gw:get "/models/Unkept?id=one", 200)
        assert.equal(2, (source:asked "/unkept/one"))
      end)

      it("all get one failure, and the next one tries again", function()
        for _, answer in ipairs(http.all(gw.address, repeated(100, "GET", "/models/Failing?id=one"))) do
          check.problem(answer, 502, "loader-error")
        end
        assert.equal(1, (source:asked "/failing/one"))
        check.problem(gw:get "/models/Failing?id=one", 502, "loader-error")
        assert.equal(2, (source:asked "/failing/one"))
      end)

      it("all learn that it is missing", function()
        for _, answer in ipairs(http.all(gw.address, repeated(100, "GET", "/models/Absent?id=one"))) do
          check.problem(answer, 404, "missing")
        end
        assert.equal(1, (source:asked "/absent/one"))
      end)

      it("all are released at the deadline", function()
        for _, answer in ipairs(http.all(gw.address, repeated(100, "GET", "/models/Late?id=one"))) do
          check.problem(answer, 504, "loader-timeout")
          assert(answer.seconds >= 0.28 and answer.seconds < 0.3 + 0.3 * gateway.patience, answer.seconds)
        end
        assert.equal(1, (source:asked "/late/one"))
      end)

      it("clients that leave do not end the load for the others, nor for those to come", function()
        local leaving = {}
        for i = 1, 20 do
          leaving[i] = http.connect(gw.address)
          leaving[i]:send(http.format("GET", "/models/Page?id=left"))
        end
        local staying = http.connect(gw.address)
        staying:send(http.format("GET", "/models/Page?id=left"))
        local asked_by = socket.gettime() + 5
        while (source:asked "/page/left") == 0 and socket.gettime() < asked_by do socket.sleep(0.005) end
        for i, connection in ipairs(leaving) do
          if i % 2 == 0 then connection:close() else connection:reset() end
        end
        check.status(staying:receive(), 200)
        staying:close()
        check.status(gw:get "/models/Page?id=left", 200)
        assert.equal(1, (source:asked "/page/left"))
      end)

      it("a load that nobody waits for any more fills the store", function()
        local connection = http.connect(gw.address)
        connection:send(http.format("GET", "/models/Page?id=alone"))
        local deadline = socket.gettime() + 5
        while (source:asked "/page/alone") == 0 and socket.gettime() < deadline do socket.sleep(0.005) end
        connection:close()
        check.status(gw:get "/models/Page?id=alone", 200)
        assert.is_true(check.cache_status(gw:get "/models/Page?id=alone").hit)
        assert.equal(1, (source:asked "/page/alone"))
      end)

      it("30 loads of 300 ms run at once", function()
        local requests = {}
        for i = 1, 30 do requests[i] = { "GET", "/models/Page?id=many" .. i } end
        local start = socket.gettime()
        for i, answer in ipairs(http.all(gw.address, requests)) do
          assert.equal("/page/many" .. i, check.document(answer).path)
        end
        assert(socket.gettime() - start < 3, "took " .. socket.gettime() - start)
        local asked, at_once = source:asked "/page/many"
        assert.equal(30, asked)
        assert(at_once >= 10, at_once .. " at once")
      end)

      it("200 naps of 300 ms run at once", function()
        local requests = {}
        for i = 1, 200 do requests[i] = { "GET", "/models/Nap?id=" .. i } end
        local start = socket.gettime()
        for i, answer in ipairs(http.all(gw.address, requests)) do
          assert.same({ id = tostring(i), v = "loaded" }, check.document(answer))
        end
        assert(socket.gettime() - start < 1.5 * gateway.patience, "took " .. socket.gettime() - start)
      end)

      it("a save during a load stands, and is what is read from then on", function()
        local waiting = http.connect(gw.address)
        waiting:send(http.format("GET", "/models/Nap?id=saved"))
        socket.sleep(0.1) -- into the nap; later or earlier the test still holds
        check.status(gw:put("/models/Nap?id=saved", '{"v":"saved"}'), 201)
        assert.equal("saved", check.document(gw:get "/models/Nap?id=saved").v)
        check.status(waiting:receive(), 200)
        waiting:close()
        for _ = 1, 5 do assert.equal("saved", check.document(gw:get "/models/Nap?id=saved").v) end
      end)

      it("a delete during a load stands: who asks after it starts anew", function()
        local waiting = http.connect(gw.address)
        waiting:send(http.format("GET", "/models/Nap?id=deleted"))
        socket.sleep(0.1)
        check.status(gw:delete "/models/Nap?id=deleted", 204)
        check.status(waiting:receive(), 200)
        waiting:close()
        check.status(gw:head "/models/Nap?id=deleted", 404)
      end)

      -- Many reads and saves that start in the same moment: whatever the order, what was saved is what is there in the end.
      for _, model in ipairs { "Doze", "Wink" } do
        it("no interleaving lets a load overwrite a save: " .. model, function()
          for round = 1, 10 do
            local requests = {}
            for i = 1, 30 do
              local target = ("/models/%s?id=%d.%d"):format(model, round, i)
              local save, read = { "PUT", target, {}, '{"v":"saved"}' }, { "GET", target }
              requests[#requests + 1] = i % 2 == 0 and save or read
              requests[#requests + 1] = i % 2 == 0 and read or save
              requests[#requests + 1] = read
            end
            for _, answer in ipairs(http.all(gw.address, requests)) do assert(answer and answer.status < 300, "no answer") end
            for i = 1, 30 do
              local document = check.document(gw:get(("/models/%s?id=%d.%d"):format(model, round, i)))
              assert(document.v == "saved", ("%s %d.%d: a load has overwritten a save"):format(model, round, i))
            end
          end
        end)
      end
    end)
  end
end
