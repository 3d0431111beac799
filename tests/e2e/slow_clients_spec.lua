-- tests/e2e/slow_clients_spec.lua -- clients that send slowly, read slowly, or come in numbers: each gets so much time and memory and no more,
-- and whoever behaves is served meanwhile.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local socket = require "socket"

local models = 'model "Note" { id = key(), text = field() }'
local read = http.format("GET", "/models/Note?id=a")
local large = '{"text":"' .. ("x"):rep(1000000) .. '"}'

-- What earlier tests have forgotten to close: `select` knows no more than 1024 files.
local function make_room()
  collectgarbage()
  collectgarbage()
end

local function resident(gw)
  return tonumber(process.read(("/proc/%d/status"):format(gw.pid)):match "VmRSS:%s+(%d+) kB") * 1024
end

-- Seconds of CPU that it has used.
local function cpu(gw)
  local user, system = process.read(("/proc/%d/stat"):format(gw.pid)):match "^.*%) %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ (%d+) (%d+)"
  return (user + system) / 100
end

-- How long n reads take, one after the other on a connection, in order of size.
local function latencies(gw, n)
  local connection, list = http.connect(gw.address), {}
  for i = 1, n do
    local start = socket.gettime()
    check.status(connection:request("GET", "/models/Note?id=a"), 200)
    list[i] = socket.gettime() - start
  end
  connection:close()
  table.sort(list)
  return list
end

describe("a client that sends slowly", function()
  local gw
  setup(function()
    gw = gateway.start { models = models, args = { "--header-timeout", "400ms", "--body-timeout", "400ms", "--idle-timeout", "800ms" } }
    check.status(gw:put("/models/Note?id=a", '{"text":"hello"}'), 201)
    gw:hang_up()
  end)
  teardown(function() gw:finish() end)

  -- Sends `bytes` one at a time, `pause` apart, until the other side has something to say: when that was.
  local function drip(connection, bytes, pause)
    local start = socket.gettime()
    for i = 1, #bytes do
      connection:send(bytes:sub(i, i))
      if connection:pull(socket.gettime() + pause) then break end
    end
    return socket.gettime() - start
  end

  it("has so long for its head, however it drips", function()
    local connection = http.connect(gw.address)
    local took = drip(connection, read .. ("x"):rep(100), 0.03)
    check.problem(connection:receive(), 408, "request-timeout")
    assert(connection:closes(), "still open")
    assert(took > 0.35 and took < 1.2 * gateway.patience, took)
    connection:close()
  end)

  it("and as long for each head that follows", function()
    local connection = http.connect(gw.address)
    for _ = 1, 3 do
      connection:send(read:sub(1, 20))
      socket.select(nil, nil, 0.2)
      connection:send(read:sub(21))
      check.status(connection:receive(), 200)
    end
    connection:send(read:sub(1, 20))
    check.problem(connection:receive(), 408, "request-timeout")
    connection:close()
  end)

  it("that says nothing at all is closed without a word", function()
    local connection = http.connect(gw.address)
    local closed, bytes = connection:closes(5)
    assert.is_true(closed)
    assert.equal("", bytes)
    connection:close()
  end)

  it("that sends only blank lines is idle", function()
    local connection = http.connect(gw.address)
    check.status(connection:request("GET", "/models/Note?id=a"), 200)
    local took = drip(connection, ("\r\n"):rep(100), 0.03)
    assert(connection.closed and connection.buffer == "", connection.buffer)
    assert(took < 1.6 * gateway.patience, took)
    connection:close()
  end)

  it("has so long for a body, or longer for a kilobyte a second", function()
    local stuck, dripping, steady = http.connect(gw.address), http.connect(gw.address), http.connect(gw.address)
    local body = '{"text":"' .. ("x"):rep(5000) .. '"}'
    local head = http.format("PUT", "/models/Note?id=body", { ["Content-Length"] = #body, ["Content-Type"] = "application/json" })
    local chunks = http.format("PUT", "/models/Note?id=body", { ["Transfer-Encoding"] = "chunked", ["Content-Type"] = "application/json" })
    stuck:send(head .. "{")
    dripping:send(chunks)
    steady:send(head)
    for at = 1, #body, 500 do
      steady:send(body:sub(at, at + 499))
      dripping:send "1\r\n \r\n"
      socket.select(nil, nil, 0.1)
    end
    check.status(steady:receive(), 201)
    check.problem(stuck:receive(), 408, "request-timeout")
    check.problem(dripping:receive(), 408, "request-timeout")
    assert(stuck:closes() and dripping:closes(), "still open")
    for _, connection in ipairs { stuck, dripping, steady } do connection:close() end
  end)

  it("is counted", function() assert(gw:metric("perigee_http_refused_total", { code = "request-timeout" }) >= 4) end)

  it("does not hold up others: 300 half-sent requests, and one client that behaves", function()
    make_room()
    local open = {}
    for i = 1, 300 do
      open[i] = http.connect(gw.address)
      open[i]:send(i % 2 == 0 and read:sub(1, -5) or http.format("PUT", "/models/Note?id=a", { ["Content-Length"] = "100" }, "{"))
    end
    local list = latencies(gw, 500)
    assert(list[495] < 0.02 * gateway.patience, ("p99 %.1f ms"):format(list[495] * 1000))
    for i = 1, 300 do
      check.problem(open[i]:receive(), 408, "request-timeout")
      open[i]:close()
    end
  end)
end)

describe("a client that reads slowly", function()
  it("is reset when it reads nothing for so long, and those that read get all", function()
    local gw = gateway.start { models = models, args = { "--send-timeout", "500ms" } }
    check.status(gw:put("/models/Note?id=a", large), 201)
    local stuck, slow = http.connect(gw.address), http.connect(gw.address)
    stuck:send(read:rep(20))
    slow:send(read:rep(10))
    for _ = 1, 10 do
      check.status(slow:receive(), 200)
      socket.select(nil, nil, 0.1)
    end
    process.eventually("it is cut", 5, function() return gw:metric("perigee_http_cut_total", { why = "send-timeout" }) == 1 end)
    local closed, bytes = stuck:closes()
    assert(closed and #bytes < 20 * #large, #bytes)
    stuck:close()
    slow:close()
    gw:finish()
  end)

  for _, store in ipairs { "memory", "redis" } do
    it("is cut when there are too many of them, those that began first; on " .. store, function()
      local folder = process.temp()
      local gw = gateway.start {
        models = models, store = store, listen = { "unix:" .. folder .. "/s", "127.0.0.1:0" }, args = { "--client-bytes", "8MB", "--near-cache-bytes", "0" },
      }
      check.status(gw:put("/models/Note?id=a", large), 201)
      gw:hang_up()
      local before, open = resident(gw), {}
      for i = 1, 60 do -- 60 MB, if all were kept
        open[i] = http.connect(gw.address)
        open[i]:send(read)
        process.eventually("it has begun", 5, function() return open[i]:pull(0) end)
      end
      local grown = resident(gw) - before
      if not gateway.sanitized then assert(grown < 24 * 1024 * 1024, grown) end
      local whole = 0
      for i = 1, 60 do
        local response = open[i]:receive()
        whole = whole + (response and response.status == 200 and 1 or 0)
        assert(response or i <= 54, i .. " is cut")
        open[i]:close()
      end
      assert(whole >= 6 and whole <= 12, whole .. " were kept")
      assert.equal(60 - whole, gw:metric("perigee_http_cut_total", { why = "client-bytes" }))
      gw:finish()
      process.remove(folder)
    end)
  end

  it("does not hold up others", function()
    local gw = gateway.start { models = models }
    check.status(gw:put("/models/Note?id=large", large), 201)
    check.status(gw:put("/models/Note?id=a", '{"text":"hello"}'), 201)
    local open = {}
    for i = 1, 16 do
      open[i] = http.connect(gw.address)
      open[i]:send(http.format("GET", "/models/Note?id=large"):rep(16))
    end
    local list = latencies(gw, 300)
    assert(list[297] < 0.05 * gateway.patience, ("p99 %.1f ms"):format(list[297] * 1000))
    for i = 1, 16 do open[i]:reset() end
    gw:finish()
  end)
end)

describe("many clients", function()
  local gw
  setup(function()
    gw = gateway.start { models = models }
    check.status(gw:put("/models/Note?id=a", '{"text":"hello"}'), 201)
  end)
  teardown(function() gw:finish() end) -- which counts open files

  it("that come and go at once leave nothing", function()
    for i = 1, 3000 do
      local connection = http.connect(gw.address)
      if i % 3 == 0 then connection:send(read) end
      if i % 2 == 0 then connection:reset() else connection:close() end
    end
    process.eventually("all are gone", 5, function() return gw:metric "perigee_connections" <= 1 end)
  end)

  it("that stay idle cost little", function()
    make_room()
    local before, open = resident(gw), {}
    for i = 1, 400 do
      open[i] = http.connect(gw.address)
      check.status(open[i]:request("GET", "/models/Note?id=a"), 200)
    end
    local each = (resident(gw) - before) / #open
    for i = 1, #open do open[i]:close() end
    if not gateway.sanitized then assert(each < 4096, each .. " bytes each") end
  end)

  it("beyond the limit of open files wait, and nothing spins", function()
    gw:hang_up()
    process.eventually("all files are closed", 5, function() return gw.process:fds() <= gw.fds + 2 end)
    local function limit(n) assert.equal(0, os.execute(("prlimit --pid %d --nofile=%d:"):format(gw.pid, n))) end
    local free = 3
    limit(gw.process:fds() + free)
    local open = {}
    for i = 1, 20 do
      open[i] = http.connect(gw.address) -- the kernel takes them
      open[i]:send(read)
    end
    process.eventually("it says so", 5, function() return gw:log():find("cannot accept, pausing", 1, true) end)
    local start, used = socket.gettime(), cpu(gw)
    socket.select(nil, nil, 1)
    used = cpu(gw) - used
    assert(used <= 0.2 * (socket.gettime() - start) * gateway.patience, used .. " s of CPU")
    check.status(open[1]:receive(), 200)
    open[1]:close() -- who leaves makes room
    limit(1024)
    for i = 2, 20 do
      check.status(open[i]:receive(), 200)
      open[i]:close()
    end
    local lines = select(2, gw:log():gsub("cannot accept, pausing", ""))
    assert(lines <= 30, lines .. " lines of log")
  end)
end)
