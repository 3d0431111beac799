-- tests/e2e/lease_spec.lua -- several gateways before one Redis: one of them loads, the others wait; who dies is replaced; who writes wins.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local origin = require "tests.support.origin"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local socket = require "socket"

local models = [[
model "Item" { id = key(), v = field(), options = { expires = 600, hard_timeout = 20 },
  from_miss = function(self)
    local r = http.get(env "ORIGIN" .. "/item/" .. self.id, { timeout = 15 })
    if r.status == 404 then return missing end
    if r.status ~= 200 then error("the origin says " .. r.status) end
    self.v = r.body
  end }
model "Stale" { id = key(), v = field(), options = { expires = 0.3, stale_while_revalidate = 600 },
  from_miss = function(self) self.v = http.get(env "ORIGIN" .. "/stale/" .. self.id, { timeout = 15 }).body end }
]]

describe("two gateways before one Redis", function()
  local server, source, left, right
  local function start()
    return gateway.start { models = models, store = server.url, workers = 2, env = { ORIGIN = source.url }, fds = 60 }
  end
  setup(function()
    server, source = redis.start(), origin.start()
    left, right = start(), start()
    left:await_store()
    right:await_store()
  end)
  teardown(function()
    left:finish()
    right:finish()
    source:stop()
    server:stop()
  end)

  local function asked(path) return (source:asked(path .. " ")) end
  local function eventually(what, probe) return process.eventually(what, 10 * gateway.patience, probe) end

  -- A request that is on its way; its answer is to be received.
  local function ask(gw, target, headers)
    local client = http.connect(gw.address)
    client:send(http.format("GET", target, headers))
    return client
  end

  local function answers(clients)
    local all = {}
    for i, client in ipairs(clients) do
      all[i] = client:receive(false, 20)
      client:close()
    end
    return all
  end

  it("load a cold key once for 200 clients", function()
    source:says("/item/cold", 200, "v")
    source:holds "/item/cold"
    local clients = {}
    for i = 1, 200 do clients[i] = ask(i % 2 == 0 and left or right, "/models/Item?id=cold") end
    eventually("the load", function() return asked "/item/cold" == 1 end)
    socket.sleep(0.3)
    source:lets_go "/item/cold"
    for _, answer in ipairs(answers(clients)) do assert.equal("v", check.document(answer).v) end
    assert.equal(1, asked "/item/cold")
    for _, name in ipairs(server:command("KEYS", "*:lease")) do error("a lease is left: " .. name) end
  end)

  it("tell who waits at once, and are not asked without end meanwhile", function()
    for _, gw in ipairs { left, right } do eventually("it hears of changes", function() return gw:metric "perigee_near_cache_up" == 1 end) end
    local function questions()
      local n = 0
      for _, name in ipairs { "evalsha", "eval" } do
        n = n + (tonumber(server:command("INFO", "commandstats"):match("cmdstat_" .. name .. ":calls=(%d+)")) or 0)
      end
      return n
    end
    local late = {}
    for i, status in ipairs { 200, 200, 200, 500, 500, 500 } do
      local path, target = "/item/wake" .. i, "/models/Item?id=wake" .. i
      source:says(path, status, "v")
      source:holds(path)
      local loads = ask(left, target)
      eventually("the load", function() return asked(path) == 1 end)
      local waits = ask(right, target)
      socket.sleep(0.45)
      local before = questions()
      socket.sleep(0.4) -- of polling that would be a dozen or more
      assert(questions() - before <= 4, questions() - before)
      source:lets_go(path)
      if status == 200 then
        assert.equal("v", check.document(answers { loads }[1]).v)
        local went = socket.gettime()
        assert.equal("v", check.document(answers { waits }[1]).v)
        late[#late + 1] = socket.gettime() - went
      else -- it takes over, and asks the source itself
        check.problem(answers { loads }[1], 502, "loader-error")
        local went = socket.gettime()
        eventually("the other one's load", function() return asked(path) == 2 end)
        late[#late + 1] = socket.gettime() - went
        check.problem(answers { waits }[1], 502, "loader-error")
      end
    end
    table.sort(late)
    assert(late[3] < 0.02 * gateway.patience ^ 2, late[3]) -- asked each half a second it would be a quarter of one
  end)

  it("refresh a stale key once", function()
    source:says("/stale/a", 200, "one")
    check.document(left:get "/models/Stale?id=a")
    socket.sleep(0.4)
    source:holds "/stale/a"
    for _ = 1, 10 do
      for _, gw in ipairs { left, right } do assert.equal("one", check.document(gw:get "/models/Stale?id=a").v) end
    end
    eventually("the load", function() return asked "/stale/a" == 2 end)
    source:says("/stale/a", 200, "two")
    source:lets_go "/stale/a"
    eventually("the new one", function() return check.document(right:get "/models/Stale?id=a").v == "two" end)
    assert.equal(2, asked "/stale/a")
  end)

  it("each try what fails, one after the other", function()
    source:says("/item/bad", 500, "")
    source:holds "/item/bad"
    local clients = { ask(left, "/models/Item?id=bad"), ask(right, "/models/Item?id=bad") }
    eventually("a load", function() return asked "/item/bad" == 1 end)
    source:lets_go "/item/bad"
    for _, answer in ipairs(answers(clients)) do check.problem(answer, 502, "loader-error") end
    assert.equal(2, asked "/item/bad")
  end)

  it("a save wins over a load that runs elsewhere, 20 times of 20; so do a patch and a delete", function()
    for i = 1, 20 do
      local path, target = "/item/race" .. i, "/models/Item?id=race" .. i
      source:says(path, 200, "loaded")
      source:holds(path)
      local client = ask(left, target)
      eventually("the load", function() return asked(path) == 1 end)
      check.status(right:put(target, '{"v":"saved"}'), 201)
      if i % 3 == 1 then check.status(right:request("PATCH", target, nil, '{"v":"patched"}'), 204) end
      if i % 3 == 2 then check.status(right:delete(target), 204) end
      source:lets_go(path)
      local answer = client:receive(false, 20)
      client:close()
      assert.equal("loaded", check.document(answer).v)
      assert.is_nil(check.cache_status(answer).stored)
      local v = i % 3 == 1 and "patched" or i % 3 == 0 and "saved" or nil
      for _, gw in ipairs { left, right } do
        if v then
          assert.equal(v, check.document(gw:get(target)).v)
        else
          check.problem(gw:get(target, { ["Cache-Control"] = "only-if-cached" }), 504, "not-cached")
        end
      end
    end
  end)

  it("who waits finds what was saved meanwhile", function()
    source:says("/item/found", 200, "loaded")
    source:holds "/item/found"
    local loads = ask(left, "/models/Item?id=found")
    eventually("the load", function() return asked "/item/found" == 1 end)
    local waits = ask(right, "/models/Item?id=found")
    socket.sleep(0.1)
    check.status(left:put("/models/Item?id=found", '{"v":"saved"}'), 201)
    assert.equal("saved", check.document(answers { waits }[1]).v)
    source:lets_go "/item/found"
    answers { loads }
    assert.equal(1, asked "/item/found")
  end)

  it("one that is killed while it loads is replaced within its lease", function()
    local third = start()
    third:await_store()
    source:says("/item/killed", 200, "v")
    source:holds "/item/killed"
    local dies = ask(third, "/models/Item?id=killed")
    eventually("the load", function() return asked "/item/killed" == 1 end)
    local waits = ask(left, "/models/Item?id=killed")
    socket.sleep(1.5) -- the lease is kept as long as its holder lives
    assert.equal(1, asked "/item/killed")
    third:abandon()
    dies:close()
    local since = socket.gettime()
    eventually("another load", function() return asked "/item/killed" == 2 end)
    assert(socket.gettime() - since < 3 + gateway.patience)
    source:lets_go "/item/killed"
    assert.equal("v", check.document(answers { waits }[1]).v)
  end)

  it("without Redis each loads for itself, and stores nothing", function()
    server.process:signal "STOP"
    source:says("/item/alone", 200, "v")
    for _, gw in ipairs { left, right } do
      local answer = gw:get "/models/Item?id=alone"
      assert.equal("v", check.document(answer).v)
      assert.equal("no-store", answer.headers["cache-control"])
    end
    server.process:signal "CONT"
    left:await_store()
    right:await_store()
  end)
end)
