-- tests/e2e/log_spec.lua -- a log that cannot be written: requests do not care, lines are dropped and counted, and nothing is written
-- where it does not belong.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local cjson = require "cjson"
local socket = require "socket"

local models = [[
model "Note" { id = key(), text = field() }
model "Fails" { id = key(), v = field(), options = { expires = 60 }, from_miss = function(self) error("failed " .. ("x"):rep(1000)) end }
]]

-- Requests that each log a line of a kilobyte; how long the slowest took.
local function fill_log(gw, n)
  local slowest = 0
  for i = 1, n do
    local start = socket.gettime()
    check.problem(gw:get("/models/Fails?id=" .. i), 502, "loader-error")
    check.status(gw:put("/models/Note?id=" .. i, '{"text":1}'), 201)
    slowest = math.max(slowest, socket.gettime() - start)
  end
  return slowest
end

local function dropped(gw) return gw:metric "perigee_log_dropped_total" end

it("a file that may not grow any more", function()
  local gw = gateway.start { models = models, before = "ulimit -f 16;" } -- 8 or 16 KiB; writing beyond it is a signal that kills who does not mind it
  fill_log(gw, 60)
  assert(dropped(gw) >= 20, dropped(gw))
  assert(#gw:log() <= 16384)
  local whole = gw:log():match "^(.*\n)" -- what was being written at the limit is cut
  for line in whole:gmatch "[^\n]+" do cjson.decode(line) end
  process.write(gw.folder .. "/err", whole)
  gw:finish()
end)

it("no stderr at all, and no stdin", function()
  local folder = process.temp()
  gateway.write_models(folder .. "/schemas", models)
  local port = process.free_port()
  local running = process.start {
    argv = { gateway.bin, "serve", folder .. "/schemas", "--listen", "127.0.0.1:" .. port, "--admin", "off", "--workers", "1" }, folder = folder,
    before = "exec 2>&- <&-;",
  }
  process.eventually("ready", 10, function() return running:out():find("perigee ready", 1, true) end)
  local connection = http.connect("127.0.0.1:" .. port)
  for i = 1, 20 do check.problem(connection:request("GET", "/models/Fails?id=" .. i), 502, "loader-error") end
  connection:close()
  running:signal "TERM"
  assert.equal(0, running:wait(10))
  process.remove(folder)
end)

it("a pipe whose reader has stopped, goes on, and dies", function()
  local folder = process.temp()
  local fifo, read = folder .. "/fifo", folder .. "/read"
  assert.equal(0, os.execute("mkfifo " .. fifo))
  local reader = process.start { argv = { "sh", "-c", ("exec cat %s > %s"):format(fifo, read) }, folder = folder }
  reader:signal "STOP" -- perhaps before it has opened the pipe: then both sides of it wait for the CONT below
  local gw = gateway.start { models = models, before = ("exec 2<>%s;"):format(fifo) }
  local slowest = fill_log(gw, 200)
  assert(slowest < 1, slowest)
  local lost = dropped(gw)
  assert(lost > 20, lost)
  assert(gw.process:alive())
  reader:signal "CONT"
  process.eventually("the reader has read", 5, function() return (process.read(read) or ""):find("failed", 1, true) end)
  process.eventually("it tells what was lost", 5, function()
    gw:get("/models/Fails?id=" .. socket.gettime())
    return (process.read(read) or ""):find('"dropped":%d+')
  end)
  for line in process.read(read):gmatch "([^\n]*)\n" do cjson.decode(line) end
  reader:kill()
  for i = 1, 200 do check.problem(gw:get("/models/Fails?id=after" .. i), 502, "loader-error") end
  gw:finish()
  process.remove(folder)
end)

it("a pipe without a reader", function()
  local folder = process.temp()
  local fifo = folder .. "/fifo"
  assert.equal(0, os.execute("mkfifo " .. fifo))
  local reader = process.start { argv = { "cat", fifo }, folder = folder }
  local gw = gateway.start { models = models, before = ("exec 2>%s;"):format(fifo) }
  reader:kill()
  fill_log(gw, 20)
  assert(dropped(gw) >= 20, dropped(gw))
  gw:finish()
  process.remove(folder)
end)
