-- tests/e2e/crash_spec.lua -- ends that nobody prepared: killed in the middle of writes, told twice to stop, reloaded again and again under load.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local cjson = require "cjson"
local socket = require "socket"

local models = [[
model "Note" { id = key(), n = field{ type = "integer" }, text = field(), more = field() }
model "Stuck" { id = key(), options = { expires = 300, hard_timeout = 60 }, from_miss = function(self) sleep(50) end }
]]

it("killed while it saves, it leaves whole records in Redis", function()
  local server = redis.start()
  local letters = { "a", "b", "c" }
  local function body(n) -- from 10 bytes to 300 KiB; all of it is told by n
    return cjson.encode { n = n, text = letters[n % 3 + 1]:rep(n * 7919 % 300000), more = { n } }
  end
  local saved, n = {}, 0
  for round = 1, 8 do
    local gw = gateway.start { models = models, store = server.url, workers = 2 }
    gw:await_store()
    local open = {}
    for i = 1, 6 do open[i] = http.connect(gw.address) end
    local until_then = socket.gettime() + 0.01 * round
    repeat
      for i = 1, 6 do
        n = n + 1
        open[i]:send(http.format("PUT", "/models/Note?id=" .. n % 20, {}, body(n)))
        saved[n % 20] = saved[n % 20] or {}
        saved[n % 20][n] = true
      end
    until socket.gettime() > until_then
    gw:signal "KILL"
    gw.process:wait(5)
    for i = 1, 6 do open[i]:close() end
    gw:abandon()
  end
  local gw = gateway.start { models = models, store = server.url }
  gw:await_store()
  local found = 0
  for id = 0, 19 do
    local response = gw:get("/models/Note?id=" .. id)
    if response.status == 200 then
      found = found + 1
      local document = cjson.decode(response.body)
      assert(saved[id][document.n], "never saved: " .. document.n)
      document.id = nil
      assert.same(cjson.decode(body(document.n)), document)
    else
      check.problem(response, 404, "missing")
    end
  end
  assert(found > 10, found)
  assert.equal(0, gw:metric "perigee_envelopes_damaged_total")
  gw:finish()
  server:stop()
end)

it("told a second time to stop, it stops", function()
  for _, second in ipairs { "TERM", "INT" } do
    local gw = gateway.start { models = models }
    local connection = http.connect(gw.address)
    connection:send(http.format("GET", "/models/Stuck?id=1"))
    process.eventually("it loads", 5, function() return gw:metric("perigee_loads_inflight", { model = "Stuck" }) == 1 end)
    gw:signal "TERM"
    process.eventually("it drains", 5, function() return gw:log():find('"draining"', 1, true) end)
    local start = socket.gettime()
    gw:signal(second)
    assert.equal(1, gw.process:wait(5))
    assert(socket.gettime() - start < 1 * gateway.patience, "it took " .. socket.gettime() - start)
    connection:close()
    gw:finish_stopped(1)
  end
end)

it("reloaded 50 times under load it fails nobody and grows no fatter", function()
  local gw = gateway.start { models = models .. ('model "Other%d" { id = key(), x = field() }\n'):rep(30):gsub("%%d", (function()
    local n = 0
    return function() n = n + 1 return n end
  end)()), workers = 2 }
  for i = 1, 10 do check.status(gw:put("/models/Note?id=" .. i, '{"n":1}'), 201) end
  local open = {}
  for i = 1, 8 do open[i] = http.connect(gw.address) end
  local function resident() return tonumber(process.read(("/proc/%d/status"):format(gw.pid)):match "VmRSS:%s+(%d+) kB") / 1024 end
  local function reload()
    for i = 1, 8 do open[i]:send(http.format("GET", "/models/Note?id=" .. i):rep(10)) end
    check.status(gw:admin("/admin/reload", "POST"), 200)
    for i = 1, 8 do
      for _ = 1, 10 do check.status(open[i]:receive(), 200) end
    end
  end
  for _ = 1, 10 do reload() end
  local before = resident()
  for _ = 1, 50 do reload() end
  local grown = resident() - before
  if not gateway.sanitized then assert(grown <= 8, ("%.1f MiB"):format(grown)) end
  assert.equal(60, gw:metric("perigee_reloads_total", { result = "ok" }))
  assert.equal(60 * 80, gw:metric("perigee_requests_total", { model = "Note", op = "get", outcome = "hit" }))
  for i = 1, 8 do open[i]:close() end
  gw:finish()
end)
