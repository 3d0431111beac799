-- tests/property/hostile.lua -- a gateway among enemies and behind fronts, at full size (make hostile): what takes too long, or too much that
-- CI need not have, for tests/e2e. Prints what it measures; exit 1 where a bound is broken. Needs what `scripts/deps hostile` installs.
--
--   luajit tests/property/hostile.lua [slow] [fronts] [restarts] [reloads] [overload] [numbers] [stopped]     (all of them, if none is named)
local fronts = require "tests.property.fronts"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local raw = require "tests.support.raw"
local redis = require "tests.support.redis"
local socket = require "socket"

local models = [[
model "Note" { id = key(), text = field() }
model "Busy" { id = key(), text = field(), options = { expires = 60, max_loads = 4 }, from_miss = function(self) sleep(0.04) self.text = "x" end }
]]
local read = "/models/Note?id=a"

local function start(...)
  local gw = gateway.start { models = models, workers = 2, fds = 20, args = { "--log", "error", ... } }
  assert(gw:put(read, '{"text":"hello"}').status == 201)
  gw:hang_up()
  return gw
end

local broken = 0
local function verdict(what, ok, format, ...)
  if not ok then broken = broken + 1 end
  print(("hostile: %s %s %s"):format(what, format:format(...), ok and "ok" or "FAILED"))
  io.flush()
end

local function resident(gw) return tonumber(process.read(("/proc/%d/status"):format(gw.pid)):match "VmRSS:%s+(%d+) kB") / 1024 end

local function percentile(list, p) return list[math.max(1, math.ceil(#list * p / 100))] or 0 end

-- One read after the other on a connection, while `busy()`: how long each took in milliseconds, sorted, and how many went wrong.
local function behave(gw, busy)
  local connection, list, wrong = http.connect(gw.address), {}, 0
  while busy() do
    local began = socket.gettime()
    local response = connection:request("GET", read)
    if not response or response.status ~= 200 then wrong = wrong + 1 end
    list[#list + 1] = (socket.gettime() - began) * 1000
    socket.select(nil, nil, 0.002)
  end
  connection:close()
  table.sort(list)
  return list, wrong
end

local tests = {}

-- A thousand connections that are slow in each way that slowhttptest knows, and one client that behaves.
function tests.slow()
  for _, kind in ipairs {
    { "head", "-H -i 10 -r 1000 -t GET" }, { "body", "-B -i 10 -r 1000 -s 8192 -t PUT" }, { "read", "-X -r 1000 -w 512 -y 1024 -n 5 -z 32 -k 3" },
    { "range", "-R -r 1000 -a 10 -b 3000" },
  } do
    local gw = start("--body-timeout", "10s")
    local folder = process.temp()
    local attack = process.start {
      argv = { "sh", "-c", ("exec slowhttptest -c 1000 %s -l 20 -p 3 -u 'http://%s%s'"):format(kind[2], gw.address, read) }, folder = folder, cwd = folder,
    }
    local list, wrong = behave(gw, function() return attack:alive() end)
    local available = attack:out():gsub("\27%[[%d;]*m", ""):find "service available: *YES"
    verdict("slow " .. kind[1], wrong == 0 and available and percentile(list, 99) <= 20, "requests=%d wrong=%d p50_ms=%.2f p99_ms=%.2f max_ms=%.1f rss_mib=%.1f",
      #list, wrong, percentile(list, 50), percentile(list, 99), list[#list], resident(gw))
    attack:kill()
    process.remove(folder)
    gw:finish()
  end
end

-- Every raw request through a front that keeps its connection to the gateway. Where the gateway would see more requests than the front has
-- forwarded, one would be smuggled. Fewer are those that the front has begun to forward and given up.
function tests.fronts()
  for _, name in ipairs { "haproxy", "nginx", "varnish" } do
    local gw = start()
    local function answered() return gw:metric "perigee_requests_total" + gw:metric "perigee_http_refused_total" end
    local front = fronts.start(name, { { gw.address, gw.admin_address } })
    local before, sent, wrong = answered(), 0, 0
    local forwarded = front:forwarded()
    for _, case in ipairs(raw) do
      local connection = http.connect(front.address)
      connection:send(case.bytes)
      while connection:pull(socket.gettime() + 0.1) do end
      connection:close()
      local follower = http.request(front.address, "GET", read)
      if not follower or follower.status ~= 200 or follower.body ~= '{"id":"a","text":"hello"}' then wrong = wrong + 1 end
      sent = sent + 2
      if case.statuses:find "204" then gw:put(read, '{"text":"hello"}') before = before + 1 end
    end
    socket.select(nil, nil, 2) -- varnish tells its counters once a second
    local told, got = front:forwarded() - forwarded, answered() - before
    verdict("front " .. name, got <= told and wrong == 0 and got > #raw, "sent=%d forwarded=%d answered=%d given_up=%d wrong_followers=%d", sent, told,
      got, told - got, wrong)
    front:stop()
    gw:finish()
  end
end

local function wrk(address, seconds)
  return process.start { argv = { "wrk", "-t1", "-c32", "-d" .. seconds .. "s", "--latency", "http://" .. address .. read } }
end

-- What wrk found wrong, and how many requests it sent.
local function wrk_failures(out)
  local wrong = tonumber(out:match "Non%-2xx or 3xx responses: (%d+)") or 0
  for n in (out:match "Socket errors: ([^\n]*)" or ""):gmatch "%d+" do wrong = wrong + tonumber(n) end
  return wrong, tonumber(out:match "(%d+) requests in")
end

-- Two gateways behind haproxy, restarted in turn under load.
function tests.restarts()
  local store = require("tests.support.redis").start()
  local function one(listen, admin)
    return gateway.start {
      models = models, store = store.url, listen = { listen }, admin = admin, args = { "--log", "error" },
    }
  end
  local gws = { one("127.0.0.1:" .. process.free_port()), one("127.0.0.1:" .. process.free_port()) }
  for _, gw in ipairs(gws) do gw:await_store() end
  gws[1]:put(read, '{"text":"hello"}')
  local front = fronts.start("haproxy", { { gws[1].address, gws[1].admin_address }, { gws[2].address, gws[2].admin_address } })
  local load = wrk(front.address, 60)
  local restarts = 0
  while restarts < 20 and load:alive() do
    local i = restarts % 2 + 1
    local old = gws[i]
    old:hang_up()
    assert(old:stop() == 0)
    old:abandon()
    gws[i] = one(old.address, old.admin_address)
    gws[i]:await_store()
    front:await_up()
    restarts = restarts + 1
  end
  load:signal "INT" -- it tells what it has so far
  load:wait(70)
  local wrong, n = wrk_failures(load:out())
  verdict("restarts", wrong == 0 and restarts == 20 and n > 1000, "restarts=%d requests=%d failed=%d", restarts, n, wrong)
  front:stop()
  for _, gw in ipairs(gws) do gw:abandon() end
  store:stop()
end

function tests.reloads()
  local gw = start()
  local load = wrk(gw.address, 600)
  local function reload(n)
    for _ = 1, n do assert(gw:admin("/admin/reload", "POST").status == 200) end
  end
  reload(50)
  local before = resident(gw)
  reload(1000)
  local grown = resident(gw) - before
  load:signal "INT"
  load:wait(10)
  local wrong, n = wrk_failures(load:out())
  verdict("reloads", wrong == 0 and grown <= 8 and n > 1000, "reloads=1000 requests=%d failed=%d growth_mib=%.1f", n, wrong, grown)
  gw:finish()
end

-- Sends `rate` reads a second of keys never read, whether answers come or not, for so many seconds: latencies in milliseconds by status.
local function offer(gw, rate, seconds, name)
  local idle, busy, socks, by_status, sent, without_hint = {}, {}, {}, {}, 0, 0
  local began = socket.gettime()
  repeat
    local now = socket.gettime()
    while sent < math.min((now - began) * rate, seconds * rate) do
      local connection = table.remove(idle) or http.connect(gw.address)
      sent = sent + 1
      connection.sent = socket.gettime()
      connection:send(http.format("GET", ("/models/Busy?id=%s%d"):format(name, sent)))
      busy[connection.sock] = connection
      socks[#socks + 1] = connection.sock
    end
    for _, sock in ipairs((socket.select(socks, nil, 0.001))) do
      local connection = busy[sock]
      connection:pull(now)
      local response = http.parse(connection.buffer)
      if response then
        connection.buffer = ""
        by_status[response.status] = by_status[response.status] or {}
        table.insert(by_status[response.status], (socket.gettime() - connection.sent) * 1000)
        if response.status == 503 and not response.headers["retry-after"] then without_hint = without_hint + 1 end
        busy[sock] = nil
        idle[#idle + 1] = connection
      end
    end
    local left = {}
    for _, sock in ipairs(socks) do left[#left + 1] = busy[sock] and sock or nil end
    socks = left
  until sent >= seconds * rate and #socks == 0 or socket.gettime() - began > seconds + 10
  for _, connection in ipairs(idle) do connection:close() end
  for _, list in pairs(by_status) do table.sort(list) end
  return by_status, #socks, without_hint
end

-- Loaders that can do 100 loads a second are asked for twice as many.
function tests.overload()
  local gw = start()
  local capacity, seconds = 100, 25
  local calm = offer(gw, capacity * 0.7, seconds, "calm")
  local all, lost, without_hint = offer(gw, capacity * 2, seconds, "storm")
  local good, refused = all[200] or {}, all[503] or {}
  local goodput, p99, calm_p99 = #good / seconds, percentile(good, 99), percentile(calm[200], 99)
  verdict("overload", goodput >= 0.8 * capacity and #refused > 0 and lost == 0 and without_hint == 0 and percentile(refused, 99) <= 20 and p99 <= 5 * calm_p99,
    "offered=%d/s goodput=%d/s refused=%d refused_p99_ms=%.1f no_answer=%d no_retry_after=%d p99_ms=%.0f of_calm=%.1fx", capacity * 2, goodput, #refused,
    percentile(refused, 99), lost, without_hint, p99, p99 / calm_p99)
  gw:finish()
end

-- Ten thousand connects, five thousand idle connections, a hundred thousand keys.
function tests.numbers()
  local gw = start("--max-connections", "20000")
  local fds = gw.process:fds()
  local began = socket.gettime()
  for i = 1, 10000 do
    local connection = http.connect(gw.address)
    if i % 2 == 0 then connection:reset() else connection:close() end
  end
  local took = socket.gettime() - began
  process.eventually("files back", 10, function() return gw.process:fds() <= fds + 4 end)
  verdict("connects", true, "connects=10000 seconds=%.1f fds_before=%d fds_after=%d", took, fds, gw.process:fds())

  local open, before = {}, resident(gw)
  for i = 1, 5000 do
    open[i] = http.connect(gw.address)
    open[i]:send(http.format("GET", read))
    open[i].sock:settimeout(5)
    assert(open[i].sock:receive "*l":find " 200 ") -- there are more than `select` can watch
  end
  local each = (resident(gw) - before) * 1048576 / #open
  verdict("idle", each <= 1024, "connections=%d bytes_each=%.0f", #open, each)
  for i = 1, #open do open[i]:close() end

  local function series() return select(2, gw:admin("/metrics").body:gsub("\n[^#]", "")) end
  assert(gw:get("/models/Note?id=none").status == 404)
  before = series()
  local connection = http.connect(gw.address)
  for i = 0, 999 do
    local requests = {}
    for k = 1, 100 do requests[k] = http.format("GET", ("/models/Note?id=k%d"):format(i * 100 + k)) end
    connection:send(table.concat(requests))
    for _ = 1, 100 do assert(connection:receive().status == 404) end
  end
  connection:close()
  verdict("series", series() == before, "keys=100000 before=%d after=%d", before, series())
  gw:finish()
end

-- A Redis that is stopped for ten seconds while sixty-four clients read and save: each request is either answered as ever, or late by no more than the
-- deadline of a Redis command, or refused at once; and three seconds after its return all is as before.
function tests.stopped()
  local DEADLINE, STOPPED, CLIENTS = 0.25, 10, 64
  local server = redis.start()
  local gw = gateway.start { models = models, store = server.url, workers = 2, fds = 20, args = { "--redis-timeout", DEADLINE * 1000 .. "ms" } }
  gw:await_store()
  local clients, counts, took, late, slow_rounds, wrong = {}, { [true] = {}, [false] = {} }, {}, 0, 0, 0
  for i = 1, CLIENTS do clients[i] = http.connect(gw.address) end
  for i = 1, CLIENTS do assert(gw:put("/models/Note?id=" .. i, ('{"text":"%d"}'):format(i)).status == 201) end
  local function round(stopped)
    local began, refused, slow = {}, 0, false
    for i, client in ipairs(clients) do
      began[i] = socket.gettime()
      local target = "/models/Note?id=" .. i
      client:send(i % 4 == 0 and http.format("PUT", target, nil, ('{"text":"%d"}'):format(i)) or http.format("GET", target))
    end
    for i, client in ipairs(clients) do
      local response = assert(client:receive())
      local ms = (socket.gettime() - began[i]) * 1000
      counts[stopped][response.status] = (counts[stopped][response.status] or 0) + 1
      if response.status == 503 then refused = refused + 1 end
      if response.status == 200 and response.body ~= ('{"id":"%d","text":"%d"}'):format(i, i) then wrong = wrong + 1 end
      if stopped then took[#took + 1] = ms end
      if ms > DEADLINE * 1000 + 50 then late = late + 1 end
      slow = slow or ms > DEADLINE * 1000 / 2
    end
    if slow then slow_rounds = slow_rounds + 1 end
    return refused
  end
  for _ = 1, 20 do assert(round(false) == 0) end
  server.process:signal "STOP"
  local ends = socket.gettime() + STOPPED
  repeat
    round(true)
    socket.sleep(0.005)
  until socket.gettime() > ends
  server.process:signal "CONT"
  local back, healthy = socket.gettime(), 0
  repeat healthy = round(false) == 0 and healthy + 1 or 0 until healthy == 20 or socket.gettime() - back > 10
  local recovered = socket.gettime() - back
  table.sort(took)
  local refused = counts[true][503] or 0
  verdict("stopped", healthy == 20 and recovered <= 3 and late == 0 and wrong == 0 and refused > 0,
    "seconds=%d deadline_ms=%d requests=%d refused=%d p50_ms=%.2f p99_ms=%.2f max_ms=%.1f over_deadline=%d slow_rounds=%d wrong=%d recovered_s=%.2f",
    STOPPED, DEADLINE * 1000, #took, refused, percentile(took, 50), percentile(took, 99), took[#took], late, slow_rounds, wrong, recovered)
  for _, client in ipairs(clients) do client:close() end
  gw:finish()
  server:stop()
end

local names = #arg > 0 and arg or { "slow", "fronts", "restarts", "reloads", "overload", "numbers", "stopped" }
for _, name in ipairs(names) do assert(tests[name], "no test " .. name)() end
os.exit(broken == 0 and 0 or 1)
