-- tests/e2e/stampede_spec.lua -- many who want at once what nobody has: how many loads that costs, who waits how long for what, and what stays
-- behind.
local check = require "tests.support.check"
local flood = require "tests.property.flood"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local origin = require "tests.support.origin"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local socket = require "socket"

local models = [[
local function load(self, name)
  local r = http.get(env "ORIGIN" .. "/" .. name .. "/" .. self.id, { timeout = 30 })
  if r.status == 404 then return missing end
  if r.status ~= 200 then error("the origin says " .. r.status) end
  self.v = r.body
end
model "Item" { id = key(), v = field(), options = { expires = 600, hard_timeout = 60 }, from_miss = function(self) return load(self, "item") end }
model "Hard" { id = key(), v = field(), options = { expires = 600, hard_timeout = 0.5 }, from_miss = function(self) return load(self, "hard") end }
model "Soft" { id = key(), v = field(), options = { expires = 0.2, stale_if_error = 600, soft_timeout = 0.2, hard_timeout = 5 },
  from_miss = function(self) return load(self, "soft") end }
model "Jittered" { id = key(), v = field(), options = { expires = 1000, jitter = 0.2 }, from_miss = function(self) self.v = 1 end }
]]

-- How many files this process has open.
local function open_files()
  local pipe, n = io.popen "ls /proc/$PPID/fd", 0
  for _ in pipe:lines() do n = n + 1 end
  pipe:close()
  return n
end

local crowd -- as many as select can hold, whose descriptors are below 1024

-- So many clients, each with this request under way at the gateways in turn.
local function ask_all(gateways, n, target, headers)
  local clients, bytes = {}, http.format("GET", target, headers)
  for i = 1, n do
    clients[i] = http.connect(gateways[i % #gateways + 1].address)
    assert(clients[i]:send(bytes))
  end
  return clients
end

-- The answer of one of them. Sockets with numbers over 1024 are too many for select, so this one waits in read.
local function answer(client)
  client.sock:settimeout(30)
  while true do
    local response, rest = http.parse(client.buffer, false, client.closed)
    if response then
      client.buffer = client.buffer:sub(rest)
      client:close()
      return response
    end
    assert(not client.closed, "no answer")
    local data, why, partial = client.sock:receive(1)
    client.sock:settimeout(0)
    local more, _, some = client.sock:receive(65536)
    client.sock:settimeout(30)
    client.buffer = client.buffer .. (data or partial or "") .. (more or some or "")
    client.closed = why == "closed"
    assert(why ~= "timeout", "an answer that does not come")
  end
end

for _, store in ipairs { "memory", "redis" } do
  describe("a crowd, on " .. store, function()
    local server, source, gateways
    local function start()
      local gw = gateway.start {
        models = models, store = server and server.url or "memory", workers = 2, env = { ORIGIN = source.url }, fds = 60, args = { "--log", "error" },
      }
      if server then gw:await_store() end
      return gw
    end
    setup(function()
      collectgarbage() -- closes what other specs have left open
      collectgarbage()
      crowd = 1000 - open_files()
      assert(crowd > 300, "too many files are open: " .. 1000 - crowd)
      source = origin.start()
      server = store == "redis" and redis.start() or nil
      gateways = { start() }
      if server then gateways[2] = start() end
    end)
    teardown(function()
      for _, gw in ipairs(gateways) do gw:finish() end
      source:stop()
      if server then server:stop() end
    end)

    local function asked(path) return (source:asked(path .. " ")) end
    local function eventually(what, probe) return process.eventually(what, 10 * gateway.patience, probe) end

    -- All that are connected have been heard: their requests are taken up by the worker that took them in.
    local function await_heard(n)
      eventually("all connections", function()
        local open = 0
        for _, gw in ipairs(gateways) do open = open + gw:metric "perigee_connections" end
        return open >= n
      end)
    end

    it("of many hundreds costs one load for a cold key, and all are told the same", function()
      source:says("/item/cold", 200, "v")
      source:holds "/item/cold"
      local clients = ask_all(gateways, crowd, "/models/Item?id=cold")
      eventually("the load", function() return asked "/item/cold" == 1 end)
      await_heard(crowd)
      source:lets_go "/item/cold"
      local etag
      for _, client in ipairs(clients) do
        local response = answer(client)
        assert.equal("v", check.document(response).v)
        etag = etag or response.headers.etag
        assert.equal(etag, response.headers.etag)
      end
      assert.equal(1, asked "/item/cold")
    end)

    it("is told of one failure, after a load a gateway", function()
      source:says("/item/bad", 500, "")
      source:holds "/item/bad"
      local clients = ask_all(gateways, 200, "/models/Item?id=bad")
      eventually("the load", function() return asked "/item/bad" == 1 end)
      await_heard(200)
      source:lets_go "/item/bad"
      for _, client in ipairs(clients) do check.problem(answer(client), 502, "loader-error") end
      local loads = asked "/item/bad" -- who is taken up only after the pause that follows a failure, on a busy machine, loads once more
      assert(loads <= 2 * #gateways, loads .. " loads")
    end)

    it("does not notice that who came first has left", function()
      source:says("/item/left", 200, "v")
      source:holds "/item/left"
      local first = http.connect(gateways[1].address)
      first:send(http.format("GET", "/models/Item?id=left"))
      eventually("the load", function() return asked "/item/left" == 1 end)
      local clients = ask_all(gateways, 100, "/models/Item?id=left")
      first:reset()
      for i = 1, 50 do clients[i]:reset() end
      source:lets_go "/item/left"
      for i = 51, 100 do assert.equal("v", check.document(answer(clients[i])).v) end
      assert.equal(1, asked "/item/left")
    end)

    it("waits for a load no longer than it may last", function()
      source:holds "/hard/slow"
      local since = socket.gettime()
      local clients = ask_all({ gateways[1] }, 100, "/models/Hard?id=slow")
      for _, client in ipairs(clients) do check.problem(answer(client), 504, "loader-timeout") end
      local took = socket.gettime() - since
      assert(took >= 0.5 and took < 0.5 + 0.5 * gateway.patience, took)
      source:lets_go "/hard/slow"
    end)

    it("gets the stale one when the load takes long", function()
      source:says("/soft/slow", 200, "old")
      for _, gw in ipairs(gateways) do check.document(gw:get "/models/Soft?id=slow") end
      socket.sleep(0.3)
      source:holds "/soft/slow"
      local since = socket.gettime()
      for _, client in ipairs(ask_all(gateways, 100, "/models/Soft?id=slow")) do
        local response = answer(client)
        assert.equal("old", check.document(response).v)
        assert.equal("stale", check.cache_status(response).detail)
      end
      local took = socket.gettime() - since
      assert(took >= 0.2 and took < 0.2 + 0.5 * gateway.patience, took)
      source:lets_go "/soft/slow"
    end)

    it("of keys with one life is not over at one time", function()
      local least, most = math.huge, 0
      for i = 1, 400 do
        local left = check.cache_control(gateways[1]:get("/models/Jittered?id=" .. i))["max-age"]
        least, most = math.min(least, left), math.max(most, left)
      end
      assert(least >= 799 and most <= 1000, least .. " to " .. most)
      assert(most - least >= 100, "they end within " .. most - least .. " s")
    end)
  end)
end

describe("what stays behind", function()
  it("of 10000 loads that each fail in their own way: nothing", function()
    local gw = gateway.start { models = flood.models, workers = 2, fds = 20, args = { "--log", "error" } }
    local codes = {}
    local function broken(n)
      flood.ask(gw, n, function(i) return "/models/Broken?id=n" .. i end, function(response, i)
        if response.status ~= 502 then error(i .. ": " .. response.status .. " " .. response.body) end
        codes[response.body] = true
      end)
    end
    broken(2000) -- what a worker keeps for good, it has by now
    local before = flood.rss(gw)
    broken(gateway.sanitized and 8000 or 10000)
    local grown = flood.rss(gw) - before
    local kinds = 0
    for _ in pairs(codes) do kinds = kinds + 1 end
    assert(kinds > 8000, "they fail alike")
    if not gateway.sanitized then assert(grown < 16, ("%.1f MiB more"):format(grown)) end -- a sanitizer keeps what was freed
    assert.equal(0, gw:metric("perigee_loads_inflight", { model = "Broken" }))
    gw:finish() -- leaks are told at the end
  end)

  it("of 20000 keys that do not exist: no more than the memory that records may have, and what is asked for often", function()
    local bytes = 4 * 1024 * 1024
    local gw = gateway.start { models = flood.models, workers = 2, args = { "--memory-bytes", bytes, "--log", "error" } }
    local hits, hot_asked = 0, 0
    flood.ask(gw, 20000, function(i) return i % 4 == 0 and "/models/Absent?id=hot" .. i % 200 or "/models/Absent?id=no" .. i end,
      function(response, i)
        assert.equal(i % 4 == 0 and 200 or 404, response.status)
        if i % 4 ~= 0 or i <= 2000 then return end
        hot_asked = hot_asked + 1
        hits = hits + (check.cache_status(response).hit and 1 or 0)
      end)
    local held = gw:metric "perigee_memory_bytes"
    assert(held <= bytes, held .. " bytes are held")
    assert(hits >= 0.95 * hot_asked, ("%d of %d are found"):format(hits, hot_asked))
    gw:finish()
  end)
end)
