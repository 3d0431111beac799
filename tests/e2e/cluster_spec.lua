-- tests/e2e/cluster_spec.lua -- a Redis Cluster that changes under a gateway: slots that move, masters that die, servers that come. What else a store
-- does is tested with the other stores, and by their suites with REDIS_AS_CLUSTER=1. CLUSTER_SLOTS says how many slots move in the long form (`make cluster`).
local check = require "tests.support.check"
local cluster = require "tests.support.cluster"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local cjson = require "cjson"
local socket = require "socket"

local SLOTS_MOVED = tonumber(os.getenv "CLUSTER_SLOTS" or 100)

local models = [[
model "Note" { id = key(), n = field{ type = "integer" } }
model "Loaded" { id = key(), n = field{ type = "integer" }, options = { expires = 300 }, from_miss = function(self) self.n = 7 end }
model "Pair" { id = key(), one = reference "Note", other = reference "Note" }
]]

local json = { ["Content-Type"] = "application/json" }

local function start(servers, options)
  options = options or {}
  local gw = gateway.start { models = models, store = servers.url, args = options.args, workers = options.workers, fds = 24,
    beside = options.beside }
  gw:await_store(20)
  return gw
end

local function save(gw, id, n, model) return gw:put("/models/" .. (model or "Note"), cjson.encode { id = id, n = n }, json) end

local function read(gw, id) return gw:get("/models/Note?id=" .. id) end

local function key_of(gw, model, id)
  local code, out, err = gateway.run { "key", "--models", gw.schemas, model, "id=" .. id }
  assert.equal(0, code, err)
  return (out:gsub("\n$", ""))
end

-- The highest number that was saved of each of n records, and the answers. One writer, who reads what he has saved; on a connection of his own.
local function worker(gw, first, n)
  local self = { client = http.connect(gw.address), saved = {}, maybe = {}, answers = 0, refused = 0, at = 0 }

  -- One save and two reads; statuses in `allowed` are no fault.
  function self:step(allowed)
    self.at = self.at + 1
    local id = first + self.at % n
    local target = "/models/Note?id=" .. id
    local response = assert(self.client:request("PUT", target, json, cjson.encode { n = self.at }))
    if response.status == 201 or response.status == 204 then
      self.saved[id], self.maybe[id] = self.at, nil
    else
      check.status(response, allowed or 204)
      self.refused, self.maybe[id] = self.refused + 1, self.at
    end
    for _, other in ipairs { id, first + (self.at * 7) % n } do
      local got = assert(self.client:request("GET", "/models/Note?id=" .. other))
      if got.status == 200 then
        local seen = check.document(got).n
        assert(seen == self.saved[other] or seen == self.maybe[other],
          ("%d: %s, not %s or %s"):format(other, seen, tostring(self.saved[other]), tostring(self.maybe[other])))
      elseif got.status == 404 then
        assert(not self.saved[other], other .. " is gone")
      else
        check.status(got, allowed or 200)
        self.refused = self.refused + 1
      end
    end
    self.answers = self.answers + 3
  end

  return self
end

describe("a cluster", function()
  local servers, gw
  setup(function()
    servers = cluster.start { masters = 3, replicas = 1 }
    gw = start(servers, { workers = 2 })
  end)
  teardown(function()
    if gw then gw:finish() end
    servers:stop()
  end)

  it("is named in the ready line and the log, and each server once", function()
    assert(gw.ready_line:find("store=" .. servers.url .. " ", 1, true), gw.ready_line)
    assert.equal(16384, gw:metric "perigee_cluster_slots")
    assert.equal(3, gw:metric "perigee_cluster_masters")
    assert.equal(1, gw:metric "perigee_store_up")
  end)

  it("has records in all its masters, and documents across them", function()
    local before = gw:metric "perigee_store_redirections_total"
    for i = 1, 60 do check.status(save(gw, "n" .. i, i), 201) end
    for i = 1, 59 do
      check.status(gw:put("/models/Pair", cjson.encode { id = "p" .. i, one = { id = "n" .. i }, other = { id = "n" .. i + 1 } }, json), 201)
      local pair = check.document(gw:get("/models/Pair?id=p" .. i))
      assert.equal(2 * i + 1, pair.one.n + pair.other.n)
    end
    for _, master in ipairs(servers.masters) do assert(master:command "DBSIZE" > 20) end
    assert.equal(before, gw:metric "perigee_store_redirections_total")
  end)

  it("may be put behind another server's name, and told of where it is", function()
    local other = start { url = "redis+cluster://localhost:" .. servers.masters[2].port }
    check.status(save(other, "seen", 5), 201)
    assert.equal(5, check.document(read(gw, "seen")).n)
    other:finish()
  end)

  it("lets us in as a user who may do what the page says", function()
    local page = process.read "docs/redis.md"
    local rules = assert(page:match "ACL SETUSER perigee on >PASSWORD ([^\n]+)")
    local more, last = page:match "on every server of it, replicas too: `(%S+)` and `(%S+)`"
    for _, node in ipairs(servers.nodes) do
      local words = { "ACL", "SETUSER", "perigee", "on", ">pw" }
      for word in (rules .. " " .. more .. " " .. last):gmatch "%S+" do words[#words + 1] = word end
      node:command(unpack(words))
    end
    local other = start { url = (servers.url:gsub("redis%+cluster://", "redis+cluster://perigee:pw@")) }
    assert(not other.ready_line:find("pw@", 1, true))
    process.eventually("its near cache is on", 10, function() return other:metric "perigee_near_cache_up" == 1 end)
    for i = 1, 20 do
      check.status(save(other, "user" .. i, i), 201)
      assert.equal(i, check.document(read(other, "user" .. i)).n)
      assert.equal(7, check.document(other:get("/models/Loaded?id=user" .. i)).n)
    end
    assert.equal(0, other:metric("perigee_store_errors_total", { outcome = "noperm" }))
    other:finish()
  end)

  it("answers for a slot that is being moved", function()
    local key = key_of(gw, "Note", "moved")
    local slot = servers:slot(key)
    local from = servers:owner(slot)
    local to = servers.masters[1] == from and servers.masters[2] or servers.masters[1]
    check.status(save(gw, "moved", 1), 201)
    servers:begin_move(slot, from, to)
    assert.equal(1, check.document(read(gw, "moved")).n)
    check.status(save(gw, "moved", 2), 204)
    servers:move_keys(slot, from, to)
    for i = 3, 10 do -- it is there, and the slot is not
      assert.equal(i - 1, check.document(read(gw, "moved")).n)
      check.status(save(gw, "moved", i), 204)
    end
    assert(gw:metric("perigee_store_redirections_total", { kind = "ask" }) >= 8)
    servers:end_move(slot, from, to)
    for i = 11, 20 do
      assert.equal(i - 1, check.document(read(gw, "moved")).n)
      check.status(save(gw, "moved", i), 204)
    end
    assert(gw:metric("perigee_store_redirections_total", { kind = "moved" }) >= 1)
    assert.equal(20, tonumber(to:command("GET", key):match '"n":(%d+)'))
  end)

  it("waits with a record and its lease until the slot is on one side", function()
    local key = key_of(gw, "Loaded", "both")
    local slot = servers:slot(key)
    local from = servers:owner(slot)
    local to = servers.masters[1] == from and servers.masters[2] or servers.masters[1]
    check.status(save(gw, "both", 1, "Loaded"), 201)
    servers:begin_move(slot, from, to)
    local client = http.connect(gw.address)
    client:send(http.format("PUT", "/models/Loaded?id=both", json, cjson.encode { n = 2 }))
    process.eventually("it has to wait", 5, function()
      return gw:metric("perigee_store_redirections_total", { kind = "tryagain" }) > 0
    end)
    servers:move_keys(slot, from, to)
    servers:end_move(slot, from, to)
    check.status(client:receive(), 204)
    assert.equal(2, check.document(gw:get "/models/Loaded?id=both").n)
    client:close()
  end)

  it(("moves %d slots under reads and writes, and not one answer is wrong or lost"):format(SLOTS_MOVED), function()
    local from, to = servers.masters[1], servers.masters[2]
    local own = from:command("CLUSTER", "SLOTS")
    local first
    for _, range in ipairs(own) do
      if range[3][2] == from.port and range[2] - range[1] >= SLOTS_MOVED then first = range[1] end
    end
    local workers = { worker(gw, 1, 400), worker(gw, 1001, 400), worker(gw, 2001, 400) }
    for _ = 1, 400 do
      for _, w in ipairs(workers) do w:step() end
    end
    for slot = first, first + SLOTS_MOVED - 1 do
      servers:begin_move(slot, from, to)
      for _, w in ipairs(workers) do w:step() end
      servers:move_keys(slot, from, to)
      for _, w in ipairs(workers) do w:step() end
      servers:end_move(slot, from, to)
      for _, w in ipairs(workers) do w:step() end
    end
    for _ = 1, 400 do
      for _, w in ipairs(workers) do w:step() end
    end
    for _, w in ipairs(workers) do
      assert.equal(0, w.refused)
      w.client:close()
    end
    assert(gw:metric("perigee_store_redirections_total", { kind = "moved" }) > 0)
    assert(gw:metric("perigee_near_cache_lookups_total", { outcome = "hit" }) > SLOTS_MOVED)
    assert.equal(0, gw:metric("perigee_store_errors_total", { outcome = "error" }))
  end)

  it("gives slots to a server that comes", function()
    local new = servers:add()
    servers:await_ok()
    for i = 1, 200 do save(gw, "to-come" .. i, i) end
    local from, moved = servers.masters[3], 0
    for i = 1, 200 do
      local slot = servers:slot(key_of(gw, "Note", "to-come1"):gsub("come1$", "come" .. i))
      if servers:owner(slot) == from and moved < 20 then
        servers:move(slot, from, new)
        moved = moved + 1
      end
    end
    assert.equal(20, moved)
    for i = 1, 200 do assert.equal(i, check.document(read(gw, "to-come" .. i)).n) end
    process.eventually("four masters", 20, function() return gw:metric "perigee_cluster_masters" == 4 end)
    table.insert(servers.masters, new)
  end)

  it("loses a master, and answers 503 for no longer than its election takes", function()
    servers:set_node_timeout(1000)
    local dead = servers.masters[2]
    local w = worker(gw, 5001, 200)
    for _ = 1, 400 do w:step() end
    servers:await_copied(dead) -- what is acknowledged is in its replica, too
    local killed, last_refusal = socket.gettime(), 0
    dead:kill()
    repeat
      local before = w.refused
      w:step(503)
      if w.refused > before then last_refusal = socket.gettime() end
      socket.sleep(0.005)
      local now = socket.gettime()
    until now - killed > 10 * gateway.patience or (last_refusal > 0 and now - last_refusal > 1.5)
    assert(w.refused > 0)
    local took = last_refusal - killed
    assert(took < 4 * gateway.patience, took)
    for id, n in pairs(w.saved) do -- nothing that was acknowledged has gone
      local seen = check.document(read(gw, id)).n
      assert(seen == n or seen == w.maybe[id])
    end
    process.eventually("whole again", 5, function() return gw:admin "/readyz".status == 200 end)
    servers:set_node_timeout()
    w.client:close()
  end)

  it("says what is lacking when slots have no master", function()
    for _, node in ipairs(servers.nodes) do
      if node.process:alive() then node:command("CONFIG", "SET", "cluster-require-full-coverage", "no") end
    end
    local slot = servers:slot(key_of(gw, "Note", "lost"))
    local owner = servers:owner(slot)
    check.status(save(gw, "lost", 1), 201)
    for _, node in ipairs(servers.nodes) do
      if node.process:alive() then node:command("CLUSTER", "DELSLOTS", slot) end
    end
    local start_of_it = socket.gettime()
    check.problem(read(gw, "lost"), 503, "store-unavailable")
    assert(socket.gettime() - start_of_it < 2 * gateway.patience)
    process.eventually("readyz says so", 5, function()
      local answer = gw:admin "/readyz"
      return answer.status == 503 and answer.body:find("store: of 16384 slots of the Redis Cluster 16383 have a master", 1, true)
    end)
    local before = gw:metric "perigee_cluster_refreshes_total"
    for _ = 1, 200 do check.problem(read(gw, "lost"), 503, "store-unavailable") end
    assert(gw:metric "perigee_cluster_refreshes_total" - before < 2 * (3 + socket.gettime() - start_of_it)) -- two workers, once a second each
    owner:command("CLUSTER", "ADDSLOTS", slot)
    process.eventually("whole again", 20, function() return gw:admin "/readyz".status == 200 end)
    check.status(save(gw, "lost", 2), 204)
  end)
end)

describe("a cluster that loses the newest invalidations with a master", function()
  local servers, url, left, right
  setup(function()
    servers = cluster.start { masters = 1, replicas = 1 }
    url = servers.url .. "," .. servers.nodes[2].address
    left = start { url = url }
  end)
  teardown(function()
    for _, gw in ipairs { left, right } do gw:finish() end
    servers:stop()
  end)

  -- Takes from the replica its way to its master.
  local function cut_off(master, replica)
    replica:command("CONFIG", "SET", "masteruser", "nobody")
    replica:command("CONFIG", "SET", "masterauth", "nothing")
    master:command("CLIENT", "KILL", "TYPE", "replica")
    process.eventually("no copy", 10, function()
      return replica:command("INFO", "replication"):find("master_link_status:down", 1, true)
    end)
  end

  local function invalidate(gw) check.status(gw:request("POST", "/models/Note/_invalidate", json, '{"all":true}'), 204) end

  it("is judged as before by gateways that have heard of them, and as if they had not been by others, until the next", function()
    local master, replica = servers.nodes[1], servers.nodes[2]
    invalidate(left)
    check.status(save(left, "lost", 1), 201)
    servers:await_copied(master)
    cut_off(master, replica)
    invalidate(left)
    check.status(read(left, "lost"), 404)
    master:kill()
    replica:command("CLUSTER", "FAILOVER", "TAKEOVER")
    left:await_store(20)
    check.status(read(left, "lost"), 404)
    right = start { url = url }
    assert.equal(1, check.document(read(right, "lost")).n)
    check.status(read(left, "lost"), 404)
    check.status(save(left, "new", 2), 201)
    for _, gw in ipairs { left, right } do assert.equal(2, check.document(read(gw, "new")).n) end
    invalidate(right)
    for _, gw in ipairs { left, right } do
      for _, id in ipairs { "lost", "new" } do check.status(read(gw, id), 404) end
    end
    save(right, "lost", 3)
    for _, gw in ipairs { left, right } do assert.equal(3, check.document(read(gw, "lost")).n) end
  end)
end)
