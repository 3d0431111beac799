-- tests/e2e/cluster_near_spec.lua -- near copies of what a cluster holds: two gateways, of which one writes what the other has near, while slots move, servers
-- come, and masters change. Whoever has been told that a save is done finds no less through the other gateway.
local check = require "tests.support.check"
local cluster = require "tests.support.cluster"
local gateway = require "tests.support.gateway"
local process = require "tests.support.process"
local cjson = require "cjson"
local socket = require "socket"

local models = [[
model "Note" { id = key(), n = field{ type = "integer" }, options = { tags = function(self) return { "all" } end } }
model "Kept" { id = key(), n = field{ type = "integer" }, options = { stale_if_error = 60 } }
]]

local json = { ["Content-Type"] = "application/json" }

local function target(id) return "/models/Note?id=" .. id end

local function detail(response) return check.cache_status(response).detail end

describe("near copies of a cluster", function()
  local servers, left, right
  setup(function()
    servers = cluster.start { masters = 3, replicas = 1 }
    left = gateway.start { models = models, store = servers.url, workers = 2, fds = 40 }
    right = gateway.start { models = models, store = servers.url, workers = 1, fds = 40 }
    left:await_store(20)
    right:await_store(20)
  end)
  teardown(function()
    if left then left:finish() end
    if right then right:finish() end
    servers:stop()
  end)

  local function on(gw) return gw:metric "perigee_near_cache_up" == 1 end

  local function await_on(seconds)
    for _, gw in ipairs { left, right } do
      process.eventually(function() return "its near cache is on\n" .. gw:log() end, seconds or 10, function() return on(gw) end)
    end
  end

  local function warm(gw, id)
    process.eventually("a near copy of " .. id, 10 * gateway.patience, function() return detail(gw:get(target(id))) == "near" end)
  end

  -- Saves through one what the other has near, so many times for each id: the other must not be behind. How often it was answered with `allowed` instead.
  local function agree(ids, rounds, allowed)
    local refused = 0
    for round = 1, rounds do
      for _, id in ipairs(ids) do
        local writer, reader = right, left
        if round % 2 == 0 then writer, reader = left, right end
        reader:get(target(id))
        reader:get(target(id))
        local n = (ids.n or 0) + 1
        ids.n = n
        local saved = writer:put(target(id), cjson.encode { n = n }, json)
        if saved.status == 204 or saved.status == 201 then
          for _ = 1, 2 do
            local got = reader:get(target(id))
            if got.status == allowed then refused = refused + 1 else assert.equal(n, check.document(got).n) end
          end
        else
          check.status(saved, allowed or 204)
          refused = refused + 1
        end
      end
    end
    return refused
  end

  -- After another master was chosen: where this machine is busy a server may still be late with an answer, but what it has acknowledged is never behind.
  local function await_agreement(ids)
    process.eventually("two rounds without a refusal", 20 * gateway.patience, function() return agree(ids, 2, 503) == 0 end)
  end

  local function ids_of(prefix, n)
    local ids = {}
    for i = 1, n do ids[i] = prefix .. i end
    return ids
  end

  local function key_of(id)
    local code, out, err = gateway.run { "key", "--models", left.schemas, "Note", "id=" .. id }
    assert.equal(0, code, err)
    return (out:gsub("\n$", ""))
  end

  it("cost its servers nothing", function()
    await_on()
    for i = 1, 20 do
      check.status(left:put(target("hot" .. i), cjson.encode { n = i }, json), 201)
      warm(left, "hot" .. i)
    end
    local before = servers:commands()
    for _ = 1, 20 do
      for i = 1, 20 do assert.equal(i, check.document(left:get(target("hot" .. i))).n) end
    end
    local cost = servers:commands() - before
    assert(cost < 100, cost) -- pings, and what the servers tell each other
  end)

  it("go when the other gateway writes", function() agree(ids_of("turn", 10), 60) end)

  it("go with an invalidation of their tag", function()
    for i = 1, 5 do
      check.status(right:put(target "tagged", cjson.encode { n = i }, json), i == 1 and 201 or 204)
      warm(left, "tagged")
      check.status(right:request("POST", "/_invalidate", json, '{"tags":["all"]}'), 204)
      process.eventually("it is gone", 0.1 * gateway.patience, function() return left:get(target "tagged").status == 404 end)
      right:delete(target "tagged")
      check.status(right:put(target "tagged", cjson.encode { n = i }, json), 201)
    end
  end)

  it("go when their slot moves, and when what has moved is written", function()
    local ids = ids_of("move", 20)
    agree(ids, 2)
    for _, id in ipairs(ids) do
      warm(left, id)
      local slot = servers:slot(key_of(id))
      local from = servers:owner(slot)
      local to = from == servers.masters[1] and servers.masters[2] or servers.masters[1]
      servers:begin_move(slot, from, to)
      agree({ id, n = ids.n }, 2)
      servers:move_keys(slot, from, to)
      agree({ id, n = ids.n }, 2)
      servers:end_move(slot, from, to)
      agree({ id, n = ids.n }, 4)
    end
    warm(left, "move1")
  end)

  it("are kept of a server that comes only when it is heard", function()
    local new = servers:add()
    servers:await_ok()
    local ids = ids_of("come", 10)
    agree(ids, 2)
    for _, id in ipairs(ids) do
      local slot = servers:slot(key_of(id))
      servers:move(slot, servers:owner(slot), new)
      agree({ id, n = ids.n }, 4)
    end
    agree(ids, 4)
    for _, id in ipairs(ids) do warm(left, id) end
    assert(new:command("CLIENT", "LIST"):find("resp=3", 1, true))
  end)

  it("are not served while the servers call the cluster down, though all are heard", function()
    local ids = ids_of("down", 3)
    agree(ids, 2)
    for _, id in ipairs(ids) do warm(left, id) end
    local kept = "/models/Kept?id=down"
    check.status(right:put(kept, '{"n":1}', json), 201)
    process.eventually("a near copy", 10 * gateway.patience, function() return detail(left:get(kept)) == "near" end)
    local slot = servers:slot "nobody's"
    local owner = servers:owner(slot)
    for _, node in ipairs(servers.nodes) do node:command("CLUSTER", "DELSLOTS", slot) end
    process.eventually("its near cache is off", 3, function() return not on(left) and not on(right) end)
    check.problem(left:get(target(ids[1])), 503, "store-unavailable")
    assert.equal("stale", detail(check.status(left:get(kept), 200)))
    check.problem(left:put(kept, '{"n":2}', json), 503, "store-unavailable")
    owner:command("CLUSTER", "ADDSLOTS", slot)
    for _, node in ipairs(servers.nodes) do node:try("CLUSTER", "SETSLOT", slot, "NODE", owner.id) end -- sooner than by hearsay
    await_on(20)
    agree(ids, 2)
    for _, id in ipairs(ids) do warm(left, id) end
  end)

  it("are right when a replica is made master, and are near again", function()
    local ids = ids_of("failover", 6)
    agree(ids, 2)
    for _, id in ipairs(ids) do warm(left, id) end
    local replica = servers.nodes[4]
    replica:command("CLUSTER", "FAILOVER")
    local deadline, n = socket.gettime() + 3, ids.n -- at least, and until it is
    repeat
      for _, id in ipairs(ids) do
        n = n + 1
        local saved = right:put(target(id), cjson.encode { n = n }, json)
        if saved.status == 204 then
          process.eventually("it is seen", 0.1 * gateway.patience, function() -- the old master hears of it from the new one
            local got = left:get(target(id))
            return got.status == 503 or check.document(got).n == n
          end)
        end
      end
    until socket.gettime() > deadline and replica:command("INFO", "replication"):find("role:master", 1, true)
    ids.n = n
    await_agreement(ids)
    for _, id in ipairs(ids) do warm(left, id) end
  end)

  it("go with a master that dies, and are near again when another has its slots", function()
    servers:set_node_timeout(1000)
    local ids = ids_of("death", 20)
    agree(ids, 2)
    for _, id in ipairs(ids) do warm(left, id) end
    local dead = servers.masters[3]
    servers:await_copied(dead)
    dead:kill()
    local killed = socket.gettime()
    repeat
      local refused = agree(ids, 1, 503)
    until refused == 0 and socket.gettime() - killed > 1 or socket.gettime() - killed > 15 * gateway.patience
    servers:set_node_timeout() -- from here on nobody else is replaced, because this machine is busy
    await_on(10 * gateway.patience)
    for _, gw in ipairs { left, right } do gw:await_store(20) end
    await_agreement(ids)
    for _, id in ipairs(ids) do warm(left, id) end
  end)
end)
