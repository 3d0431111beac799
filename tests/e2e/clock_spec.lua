-- tests/e2e/clock_spec.lua -- somebody sets the system's clock, or Redis has another one: no record ends or lives on for it, and no age is negative.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local socket = require "socket"

local models = [[
model "Note" { id = key(), text = field(), options = { expires = 600 } }
model "Brief" { id = key(), text = field(), options = { expires = 1 } }
model "Loaded" { id = key(), text = field(), options = { expires = 600, tags = function() return { "all" } end },
  from_miss = function(self) self.text = "loaded" end }
]]

local pipe = io.popen "ls /usr/lib/*/faketime/libfaketime.so.1 2>/dev/null"
local library = pipe:read "*l"
pipe:close()

for _, store in ipairs { "memory", "redis" } do
  for _, jump in ipairs { "+1h", "-1h", "2038" } do
    it(("a clock set to %s, on %s"):format(jump, store), function()
      if not library then return pending "no libfaketime here" end
      if gateway.sanitized then return pending "libfaketime and sanitizers do not go together" end
      local folder = process.temp()
      local path = folder .. "/time"
      process.write(path, "+0\n")
      local gw = gateway.start {
        models = models, store = store, args = { "--near-cache-bytes", "0" },
        env = { LD_PRELOAD = library, FAKETIME_TIMESTAMP_FILE = path, FAKETIME_NO_CACHE = "1", FAKETIME_DONT_FAKE_MONOTONIC = "1" },
      }
      for i = 1, 20 do check.status(gw:put("/models/Note?id=" .. i, '{"text":1}'), 201) end
      local year = jump == "2038" and "2038" or nil
      process.write(path, year and "@2038-01-19 03:14:06\n" or jump .. "\n")
      process.eventually("it says so", 5, function() return gw:log():find("clock was set", 1, true) end)
      for i = 1, 20 do
        local response = check.status(gw:get("/models/Note?id=" .. i), 200)
        local age, left = tonumber(response.headers.age), check.cache_control(response)["max-age"]
        assert(age >= 0 and age <= 5, age)
        assert(left >= 595 and left <= 600, left)
      end
      if year then process.eventually("Date tells the new one", 3, function() return gw:get("/models/Note?id=1").headers.date:find(year, 1, true) end) end
      check.status(gw:put("/models/Brief?id=1", '{"text":1}'), 201)
      local start = socket.gettime()
      assert.equal("0", check.status(gw:get "/models/Brief?id=1", 200).headers.age)
      process.eventually("it ends in its time", 5, function() return gw:get("/models/Brief?id=1").status == 404 end)
      local took = socket.gettime() - start
      assert(took > 0.7 and took < 2, took)
      gw:finish()
      process.remove(folder)
    end)
  end
end

for _, wrong in ipairs { 3600, -3600 } do
  it(("a Redis whose clock is wrong by %d s keeps what it is given for as long as it is told to"):format(wrong), function()
    local folder = process.temp()
    assert(os.execute(("cc -shared -fPIC -o %s/wrongclock.so tests/support/wrongclock.c"):format(folder)) == 0)
    local server = redis.start(nil, { env = { LD_PRELOAD = folder .. "/wrongclock.so", WRONG_CLOCK = wrong } })
    assert(math.abs(server:command "TIME"[1] - socket.gettime() - wrong) < 10)
    local left = gateway.start { models = models, store = server.url, workers = 2, fds = 8 }
    local right = gateway.start { models = models, store = server.url, fds = 8, args = { "--near-cache-bytes", "0" } }
    left:await_store()
    right:await_store()
    for i = 1, 10 do
      check.status(left:put("/models/Note?id=" .. i, '{"text":1}'), 201)
      for _, gw in ipairs { left, right } do
        local response = check.status(gw:get("/models/Note?id=" .. i), 200)
        local age, rest = tonumber(response.headers.age), check.cache_control(response)["max-age"]
        assert(age >= 0 and age <= 5 and rest >= 595 and rest <= 600, response.head)
      end
    end
    for _, key in ipairs(server:command("KEYS", "perigee:Note:*")) do
      local ttl = server:command("PTTL", key)
      assert(ttl > 595000 and ttl <= 600000, ttl)
    end
    check.status(left:put("/models/Brief?id=1", '{"text":1}'), 201)
    local start = socket.gettime()
    for _, gw in ipairs { left, right } do process.eventually("it ends in its time", 5, function() return gw:get("/models/Brief?id=1").status == 404 end) end
    local took = socket.gettime() - start
    assert(took > 0.7 and took < 1.5 + gateway.patience / 2, took)
    for round = 1, 3 do -- what is invalidated is judged by stamps of Redis alone, and a lease ends by its clock
      for _, gw in ipairs { left, right } do assert.equal("loaded", check.document(gw:get "/models/Loaded?id=1").text) end
      assert.equal(round, left:metric("perigee_loads_total", { model = "Loaded" }) + right:metric("perigee_loads_total", { model = "Loaded" }))
      check.status(right:request("POST", "/_invalidate", { ["Content-Type"] = "application/json" }, '{"tags":["all"]}'), 204)
    end
    left:finish()
    right:finish()
    server:stop()
    process.remove(folder)
  end)
end
