-- tests/e2e/redis_faults_spec.lua -- a real Redis under load that hangs, pauses, drops us, forgets all, or takes no writes: no request waits beyond its
-- deadline, no answer is another's, nothing deleted is shown again, and all is well soon after.
local check = require "tests.support.check"
local crowd = require "tests.support.crowd"
local gateway = require "tests.support.gateway"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local socket = require "socket"

local models = [[
model "Note" { id = key(), text = field() }
model "Loaded" { id = key(), text = field(), options = { expires = 300 }, from_miss = function(self) self.text = "loaded " .. self.id end }
model "Hot" { id = key(), text = field(), options = { expires = 300, stale_if_error = 60 }, from_miss = function(self) self.text = "hot " .. self.id end }
]]

local note, SLACK, NOTES, CLIENTS = crowd.note, crowd.SLACK, crowd.NOTES, crowd.CLIENTS
local DEADLINE = 0.3 -- of a Redis command, here

local function start(server, ...)
  local gw = gateway.start { models = models, store = server.url, workers = 2, fds = 6,
    args = { "--redis-timeout", DEADLINE * 1000 .. "ms", ... } }
  gw:await_store()
  crowd.save(gw)
  return gw
end

local function times(text, words)
  local _, n = text:gsub(words, "")
  return n
end

describe("under load, a Redis", function()
  local server, gw, load
  before_each(function()
    server = redis.start(nil, { args = redis.version() >= 7 and { "--enable-debug-command", "yes" } })
    gw = start(server)
    load = crowd.on(gw, { deadline = DEADLINE })
    load:run_for(0.1)
    load:await(2)
  end)
  after_each(function()
    load:stop()
    gw:finish()
    server:stop()
  end)

  it("that is stopped costs its deadline once, and is back within 2 s", function()
    server.process:signal "STOP"
    local rounds = load.round
    load:run_for(2)
    assert(load.round - rounds > 100, load.round - rounds) -- near copies for a second at most, then one deadline, then at once
    check.status(gw:admin "/readyz", 503)
    assert.equal(0, gw:metric "perigee_store_up")
    server.process:signal "CONT"
    load:await(2)
    gw:await_store(2)
    assert.equal(1, gw:metric "perigee_store_up")
    assert.is_nil(load.answers[404])
    -- A line for each state of each connection, and none for a request.
    assert.equal(2, times(gw:log(), "store lost"))
    assert.equal(2, times(gw:log(), "store is back"))
    assert(gw:metric("perigee_store_errors_total", { outcome = "timeout" }) >= 1)
    assert(gw:metric("perigee_store_errors_total", { outcome = "refused" }) >= 100)
  end)

  it("that sleeps is like one that is stopped", function()
    local awake = server:begin("DEBUG", "SLEEP", "2")
    load:run_for(2.1)
    assert.equal("OK", awake())
    load:await(2)
    assert(load.answers[503] > CLIENTS)
    assert.is_nil(load.answers[404])
  end)

  it("that pauses its clients is, too", function()
    server:command("CLIENT", "PAUSE", 2000)
    load:run_for(2.1)
    load:await(2)
    assert(load.answers[503] > CLIENTS)
  end)

  it("that pauses writes holds up nobody for longer than a deadline", function()
    if redis.version() < 6.2 then return pending "this Redis pauses everything or nothing" end
    local ends, slow, rounds = socket.gettime() + 1.5, 0, 0
    server:command("CLIENT", "PAUSE", 1500, "WRITE")
    while true do
      local before = socket.gettime()
      local saved = gw:put("/models/Note?id=1", '{"text":"note 1"}')
      local took = socket.gettime() - before
      if before + took >= ends then break end
      check.problem(saved, 503, "store-unavailable")
      assert(took <= DEADLINE + 5 * SLACK, took)
      rounds = rounds + 1
      if took > DEADLINE / 2 then slow = slow + 1 end
      socket.sleep(0.01)
    end
    assert(slow <= 3 and rounds > 10, slow .. " of " .. rounds)
    process.eventually("saves again", 4 * gateway.patience, function()
      return gw:put("/models/Note?id=1", '{"text":"note 1"}').status == 204
    end)
    load:await(2)
  end)

  it("that ends all connections is connected to again at once", function()
    for _ = 1, 5 do
      server:command("CLIENT", "KILL", "TYPE", "normal")
      load:run_for(0.05)
      load:await(0.5)
    end
    assert.is_nil(load.answers[404])
  end)

  it("that is emptied is empty, near copies and all", function()
    local target = "/models/Note?id=1"
    for _ = 1, 3 do
      load:run_for(0.05)
      load.empty = true
      server:command "FLUSHALL"
      process.eventually("it is told", 1 * gateway.patience, function() return gw:get(target).status == 404 end)
      for i = 1, NOTES do check.problem(gw:get("/models/Note?id=" .. i), 404, "missing") end
      crowd.save(gw)
      load:await(0.5)
      load.empty = false
    end
  end)

  it("that dies is no trouble while it is dead, and is used again within 2 s of its return", function()
    for _ = 1, 2 do
      server:kill()
      load:run_for(1)
      assert.equal(0, load:run())
      check.status(gw:admin "/healthz", 200)
      check.status(gw:admin "/readyz", 503)
      local before = socket.gettime()
      for i = 1, 100 do check.problem(gw:get("/models/Note?id=" .. i % NOTES + 1), 503, "store-unavailable") end
      assert((socket.gettime() - before) / 100 < 0.003 * gateway.patience ^ 2)
      local again = redis.start(server.port)
      local back = socket.gettime()
      gw:await_store(5)
      assert(socket.gettime() - back <= 2 * gateway.patience, socket.gettime() - back)
      server:stop()
      server = again
      load.empty = true
      crowd.save(gw)
      load:await(0.5)
      load.empty = false
    end
    assert.equal(2 * 2, times(gw:log(), "store lost"))
  end)

  it("that runs somebody's endless script is down until that is over", function()
    server:command("CONFIG", "SET", "lua-time-limit", 100)
    local ended = server:begin("EVAL", "while true do end", 0)
    load:run_for(1)
    assert.equal(0, load:run())
    check.status(gw:admin "/readyz", 503)
    server:command("SCRIPT", "KILL")
    ended()
    load:await(2)
    gw:await_store(2)
  end)
end)

describe("a Redis that is killed", function()
  it("in the middle of its answers spoils none; hot records go on as stale ones, and it is used within 2 s of its return", function()
    local server = redis.start()
    local gw, hot = start(server, "--near-cache-bytes", "0"), start(server) -- of one all is asked of Redis
    local load = crowd.on(gw, { deadline = DEADLINE })
    local function ask_hot(id)
      local before = socket.gettime()
      local response = hot:get("/models/Hot?id=" .. id)
      assert.equal("hot " .. id, check.document(response).text)
      assert(socket.gettime() - before <= DEADLINE + SLACK + 0.2 * gateway.patience)
      return check.cache_status(response).detail
    end
    for kill = 1, 5 do
      for id = 1, 10 do process.eventually("a near copy", 5 * gateway.patience, function() return ask_hot(id) == "near" end) end
      load:run_for(0.05)
      os.execute(("(sleep 0.%03d; kill -KILL %d) &"):format(50 + kill * 7, server.process.pid))
      local ends = socket.gettime() + 0.4
      repeat
        load:run()
        ask_hot(load.round % 10 + 1)
      until socket.gettime() > ends
      assert.equal(0, load:run())
      server.process:wait(5)
      local again = redis.start(server.port)
      local back = socket.gettime()
      for _, one in ipairs { gw, hot } do one:await_store(5) end
      assert(socket.gettime() - back <= 2 * gateway.patience, socket.gettime() - back)
      server:stop()
      server = again
      crowd.save(gw)
      load:await(0.5)
    end
    assert(load.answers[200] > 100 and load.answers[503] > 100)
    assert.is_nil(load.answers[404])
    assert(hot:metric("perigee_requests_total", { model = "Hot", outcome = "stale" }) > 0)
    load:stop()
    gw:finish()
    hot:finish()
    server:stop()
  end)
end)

-- All that Redis has against writes, made for real.
local refusals = {
  OOM = function(server) server:command("CONFIG", "SET", "maxmemory", 1) end,
  NOREPLICAS = function(server) server:command("CONFIG", "SET", "min-replicas-to-write", 1) end,
  READONLY = function(server) server:command("REPLICAOF", "127.0.0.1", 1) end,
  MISCONF = function(server)
    server:command("CONFIG", "SET", "save", "3600 1000000")
    os.execute(("mkdir -p %s/dump.rdb/x"):format(process.quote(server.folder))) -- what it cannot replace
    server:command "BGSAVE"
    process.eventually("a save that fails", 5, function()
      return server:command("INFO", "persistence"):find("rdb_last_bgsave_status:err", 1, true)
    end)
  end,
  NOPERM = function(server) server:command("ACL", "SETUSER", "default", "-@write", "-@scripting") end,
}
local cures = {
  OOM = function(server) server:command("CONFIG", "SET", "maxmemory", 0) end,
  NOREPLICAS = function(server) server:command("CONFIG", "SET", "min-replicas-to-write", 0) end,
  READONLY = function(server) server:command("REPLICAOF", "NO", "ONE") end,
  MISCONF = function(server) server:command("CONFIG", "SET", "stop-writes-on-bgsave-error", "no") end,
  NOPERM = function(server) server:command("ACL", "SETUSER", "default", "+@all") end,
}

describe("a Redis that takes no writes", function()
  for word, refuse in pairs(refusals) do
    it(("(%s) is read, loads are answered, and saves fail at once"):format(word), function()
      local server = redis.start()
      local gw = start(server)
      check.status(gw:get "/models/Loaded?id=before", 200)
      refuse(server)
      process.eventually("refused", 5, function() return gw:put("/models/Note?id=1", '{"text":"x"}').status == 503 end)
      if word == "READONLY" then gw:await_store(2) end -- it has looked for another server under that name
      local lines = times(gw:log(), "\n")
      for i = 1, 20 do
        local before = socket.gettime()
        local put = gw:put("/models/Note?id=2", '{"text":"changed"}')
        check.problem(put, 503, "store-unavailable")
        assert(put.headers["retry-after"])
        if word ~= "OOM" then check.problem(gw:delete "/models/Note?id=2", 503, "store-unavailable") end -- that makes room
        assert(socket.gettime() - before < 0.05 * gateway.patience ^ 2)
        assert.equal(note(2), check.status(gw:get "/models/Note?id=2", 200).body)
        local loaded = check.status(gw:get("/models/Loaded?id=" .. i), 200)
        assert.equal("loaded " .. i, check.document(loaded).text)
        if redis.version() >= 7 then assert.is_nil(check.cache_status(loaded).stored) end -- older ones do not ask scripts about replicas
        check.status(gw:get "/models/Loaded?id=before", 200)
      end
      check.status(gw:admin "/readyz", 200)
      assert(gw:metric("perigee_store_errors_total", { outcome = word:lower() }) >= 20)
      check.says(gw:log(), word)
      assert(times(gw:log(), "\n") - lines <= 2, gw:log()) -- of 80 failures
      cures[word](server)
      process.eventually("taken", 5, function() return gw:put("/models/Note?id=1", '{"text":"x"}').status == 204 end)
      check.status(gw:delete "/models/Note?id=2", 204)
      gw:finish()
      server:stop()
    end)
  end

  it("nor reads, as its master is gone, is not ready, and models that load are answered", function()
    local server = redis.start()
    local gw = start(server)
    server:command("CONFIG", "SET", "replica-serve-stale-data", "no")
    server:command("REPLICAOF", "127.0.0.1", 1)
    process.eventually("refused", 5, function() return gw:get "/models/Note?id=1".status == 503 end)
    process.eventually("not ready", 5, function() return gw:admin "/readyz".status == 503 end)
    assert.equal("loaded 1", check.document(gw:get "/models/Loaded?id=1").text)
    check.says(gw:log(), "MASTERDOWN")
    server:command("REPLICAOF", "NO", "ONE")
    gw:await_store(3)
    assert.equal(note(1), check.status(gw:get "/models/Note?id=1", 200).body)
    gw:finish()
    server:stop()
  end)
end)
