-- tests/e2e/near_spec.lua -- near copies before a real Redis: what they save, and that none is ever served that is not what Redis holds.
local check = require "tests.support.check"
local cjson = require "cjson"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local socket = require "socket"

local models = [[
model "Note" { id = key(), text = field() }
model "Timed" { id = key(), text = field(), options = { expires = 600 } }
model "Pair" { id = key(), one = reference "Note", other = reference "Note" }
model "Loaded" { id = key(), text = field(), options = { expires = 300, negative = 300 },
  from_miss = function(self)
    if self.id == "none" then return missing end
    self.text = "loaded"
  end }
model "Stale" { id = key(), n = field(), options = { expires = 0.4, stale_while_revalidate = 600 },
  from_miss = function(self) self.n = 1 end }
]]

local NOTE = "/models/Note?id=hot"

local function start(server, options)
  options = options or {}
  local gw = gateway.start {
    models = models, store = server.url, workers = options.workers or 2, fds = options.fds or 8, args = options.args, before = options.before,
  }
  gw:await_store()
  return gw
end

local function is_on(gw) return gw:metric "perigee_near_cache_up" == 1 end

local function await_on(gw, seconds)
  process.eventually("the near cache is on", (seconds or 5) * gateway.patience, function() return is_on(gw) end)
end

local function detail(response) return check.cache_status(check.status(response, 200)).detail end

-- Reads until it is a near copy that is served, so that what comes then has something to get wrong.
local function warm(gw, target)
  process.eventually("a near copy of " .. target, 5 * gateway.patience, function() return detail(gw:get(target)) == "near" end)
end

local function text(response) return check.document(response).text end

local function note(value) return cjson.encode { text = value } end

describe("near copies", function()
  local server, left, right
  setup(function()
    server = redis.start()
    left, right = start(server), start(server)
    await_on(left)
    await_on(right)
  end)
  teardown(function()
    left:finish()
    right:finish()
    server:stop()
  end)

  local function commands() return tonumber(server:command("INFO", "stats"):match "total_commands_processed:(%d+)") end

  local function key_of(...)
    local code, out, err = gateway.run { "key", "--models", left.schemas, ... }
    assert.equal(0, code, err)
    return (out:gsub("\n$", ""))
  end

  it("make 200 reads of a hot record cost Redis fewer than 30 commands", function()
    check.status(left:put(NOTE, note "hot"), 201)
    warm(left, NOTE)
    local before = commands()
    for _ = 1, 200 do assert.equal("hot", text(left:get(NOTE))) end
    local cost = commands() - before
    assert(cost < 30, cost)
  end)

  it("are shared by the workers", function()
    check.status(left:put("/models/Note?id=shared", note "x"), 201)
    warm(left, "/models/Note?id=shared")
    local before = commands()
    for _ = 1, 100 do -- connections of their own: the system spreads them
      assert.equal("x", text(http.request(left.address, "GET", "/models/Note?id=shared")))
    end
    assert(commands() - before < 30)
  end)

  it("make documents, and say where all of it was found", function()
    check.status(left:put("/models/Note?id=a", note "a"), 201)
    check.status(left:put("/models/Note?id=b", note "b"), 201)
    check.status(left:put("/models/Pair?id=p", '{"one":{"id":"a"},"other":{"id":"b"}}'), 201)
    warm(left, "/models/Pair?id=p")
    local before = commands()
    for _ = 1, 50 do check.status(left:get "/models/Pair?id=p", 200) end
    assert(commands() - before < 30)
    check.status(right:put("/models/Note?id=b", note "changed"), 204)
    local response = left:get "/models/Pair?id=p" -- two near, one not
    assert.equal("changed", check.document(response).other.text)
    assert.equal("redis", detail(response))
  end)

  it("are of negatives and of what loaders brought, too", function()
    check.status(left:get "/models/Loaded?id=none", 404)
    process.eventually("a near negative", 5, function()
      return check.cache_status(check.status(left:get "/models/Loaded?id=none", 404)).detail == "near"
    end)
    left:get "/models/Loaded?id=some"
    warm(left, "/models/Loaded?id=some")
    assert.equal(1, left:metric("perigee_loads_total", { model = "Loaded", result = "ok" }))
  end)

  it("have the life that is left, and not a new one", function()
    check.status(left:put("/models/Note?id=brief&_expires=2", note "brief"), 201)
    warm(left, "/models/Note?id=brief")
    local start, last = socket.gettime(), 0
    process.eventually("its end", 6, function()
      local response = left:get "/models/Note?id=brief"
      if response.status == 404 then return true end
      local age = tonumber(check.status(response, 200).headers.age)
      assert(age >= last)
      last = age
    end)
    local took = socket.gettime() - start
    assert(took <= 2.3, took)
  end)

  it("are stale when their record is, and then it is loaded anew", function()
    left:get "/models/Stale?id=s"
    warm(left, "/models/Stale?id=s")
    socket.sleep(0.5)
    assert.equal("stale", detail(left:get "/models/Stale?id=s"))
    process.eventually("a new one", 5, function() return detail(left:get "/models/Stale?id=s") ~= "stale" end)
  end)

  it("go when another gateway writes: whoever has its answer finds no less here", function()
    check.status(left:put("/models/Note?id=turns", note(0)), 201)
    for i = 1, 300 do
      local writer, reader = left, right
      if i % 2 == 0 then writer, reader = right, left end
      reader:get "/models/Note?id=turns"
      reader:get "/models/Note?id=turns"
      if i % 50 == 0 then
        check.status(writer:delete "/models/Note?id=turns", 204)
        check.status(reader:get "/models/Note?id=turns", 404)
      end
      writer:put("/models/Note?id=turns", note(i))
      assert.equal(i, text(reader:get "/models/Note?id=turns"))
      assert.equal(i, text(writer:get "/models/Note?id=turns"))
    end
    assert(left:metric("perigee_near_cache_lookups_total", { outcome = "hit" }) > 50)
  end)

  it("agree after a storm of one writer and four readers, and never go back", function()
    local target, rounds = "/models/Note?id=storm", gateway.sanitized and 400 or 1500
    check.status(left:put(target, note(0)), 201)
    local writer, readers = http.connect(left.address), {}
    for i = 1, 4 do readers[i] = { client = http.connect((i % 2 == 0 and left or right).address), last = 0 } end
    local written = 0
    for round = 1, rounds do
      writer:send(http.format("PUT", target, nil, note(round)))
      for _, reader in ipairs(readers) do
        reader.least = written
        for _ = 1, 5 do reader.client:send(http.format("GET", target)) end
      end
      check.status(writer:receive(), 204)
      written = round
      for _, reader in ipairs(readers) do
        for _ = 1, 5 do
          local seen = text(reader.client:receive())
          assert(seen >= reader.last and seen >= reader.least and seen <= round,
            ("round %d: %d after %d, %d was written"):format(round, seen, reader.last, reader.least))
          reader.last = seen
        end
      end
    end
    for _ = 1, 50 do
      for _, reader in ipairs(readers) do
        reader.client:send(http.format("GET", target))
        assert.equal(rounds, text(reader.client:receive()))
      end
    end
    writer:close()
    for _, reader in ipairs(readers) do reader.client:close() end
  end)

  it("are not what a patch is made from, nor what no-cache shows", function()
    local target = "/models/Note?id=patched"
    check.status(left:put(target, note "one"), 201)
    for i = 1, 20 do
      warm(left, target)
      check.status(right:put(target, note("of right " .. i)), 204)
      check.status(left:request("PATCH", target, { ["Content-Type"] = "application/merge-patch+json" }, "{}"), 204)
      assert.equal("of right " .. i, text(left:get(target)))
    end
    warm(left, target)
    assert.equal("redis", detail(left:get(target, { ["Cache-Control"] = "no-cache" })))
  end)

  it("go with what Redis deletes, renames or overwrites by anyone's hand", function()
    local target, key = "/models/Note?id=hand", key_of("Note", "id=hand")
    for _, command in ipairs { { "DEL", key }, { "UNLINK", key }, { "SET", key, "garbage" }, { "RENAME", key, "{" .. key .. "}elsewhere" },
      { "EVAL", "return redis.call('DEL', KEYS[1])", 1, key }, { "PEXPIRE", key, 0 }, redis.version() >= 6.2 and { "GETDEL", key } or nil } do
      left:put(target, note "mine")
      warm(left, target)
      server:command(unpack(command))
      check.status(left:get(target), 404)
    end
  end)

  it("go when Redis lets a key expire before its record's end", function()
    local target, key = "/models/Note?id=expired", key_of("Note", "id=expired")
    check.status(left:put(target, note "mine"), 201)
    warm(left, target)
    server:command("PEXPIRE", key, 300)
    warm(left, target) -- again: it has read it since
    local gone = socket.gettime() + 0.3
    process.eventually("its end", 10, function() return left:get(target).status == 404 end)
    assert(socket.gettime() >= gone - 0.1)
    assert.equal(0, server:command("EXISTS", key))
  end)

  it("go with FLUSHALL and FLUSHDB", function()
    for _, command in ipairs { { "FLUSHALL" }, { "FLUSHDB" }, { "FLUSHALL", "ASYNC" } } do
      left:put(NOTE, note "hot")
      warm(left, NOTE)
      warm(right, NOTE)
      local function flushes(gw) return gw:metric("perigee_near_cache_flushes_total", { why = "flushed" }) end
      local before = { [left] = flushes(left), [right] = flushes(right) }
      server:command(unpack(command)) -- Redis answers this one before it tells us
      for _, gw in ipairs { left, right } do
        process.eventually("it is told", 1 * gateway.patience, function() return flushes(gw) == before[gw] + #(server.masters or { server }) end)
        check.status(gw:get(NOTE), 404)
      end
    end
  end)

  it("go with every connection that Redis ends, and come back", function()
    local target, key = "/models/Note?id=killed", key_of("Note", "id=killed")
    for _ = 1, 10 do
      left:put(target, note "mine")
      warm(left, target)
      server:command("CLIENT", "KILL", "TYPE", "normal")
      server:command("DEL", key)
      local back = socket.gettime() + 3 * gateway.patience
      local response
      repeat
        response = left:get(target)
        assert.not_equal(200, response.status)
      until response.status == 404 or socket.gettime() > back
      check.status(response, 404)
      await_on(left, 3)
      await_on(right, 3)
      left:await_store(3)
      right:await_store(3)
    end
    server:command("CLIENT", "KILL", "TYPE", "pubsub") -- is no concern of ours
    left:put(target, note "mine")
    warm(left, target)
    assert(left:metric("perigee_near_cache_flushes_total", { why = "lost" }) >= 10)
  end)

  it("are served by no gateway that was asleep before it has heard what it missed", function()
    local target = "/models/Note?id=asleep"
    left:put(target, note "before")
    for i = 1, 3 do
      warm(left, target)
      left:signal "STOP"
      local saved = right:put(target, note(i))
      if i == 2 then socket.sleep(2) end
      left:signal "CONT"
      check.status(saved, 204)
      assert.equal(i, text(left:get(target)))
    end
    await_on(left, 5)
  end)

  it("know nothing of other prefixes", function()
    local before = left:metric "perigee_near_cache_invalidations_total"
    for i = 1, 100 do server:command("SET", "perigee2:x" .. i, "x") end
    check.status(left:put("/models/Note?id=prefix", note "x"), 201)
    process.eventually("its own is told", 5, function()
      return left:metric "perigee_near_cache_invalidations_total" > before
    end)
    assert(left:metric "perigee_near_cache_invalidations_total" - before < 20)
  end)
end)

describe("a near cache", function()
  local server, gw
  before_each(function() server = redis.start() end)
  after_each(function()
    gw:finish()
    server:stop()
  end)

  it("is off with --near-cache-bytes 0", function()
    gw = start(server, { args = { "--near-cache-bytes", "0" } })
    check.status(gw:put(NOTE, note "hot"), 201)
    for _ = 1, 50 do assert.equal("redis", detail(gw:get(NOTE))) end
    assert.equal(0, gw:metric "perigee_near_cache_lookups_total")
    assert.is_nil(server:command("CLIENT", "LIST"):find("resp=3", 1, true)) -- nobody tracks
  end)

  it("stays within its bound", function()
    gw = start(server, { args = { "--near-cache-bytes", "4MiB" } })
    await_on(gw)
    local body = note(("x"):rep(2000))
    check.status(gw:put(NOTE, note "hot"), 201)
    for i = 1, 3000 do gw:put("/models/Note?id=" .. i, body) end
    local most = 0
    process.eventually("it has evicted some", 20 * gateway.patience, function() -- what is read while a message is on its way is not kept
      for i = 1, 3000 do
        gw:get("/models/Note?id=" .. i)
        if i % 3 == 0 then gw:get(NOTE) end
        if i % 500 == 0 then most = math.max(most, gw:metric "perigee_near_cache_bytes") end
      end
      return gw:metric "perigee_near_cache_evictions_total" > 500
    end)
    assert(most > 1e6 and most <= 4 * 1024 * 1024, most)
    warm(gw, NOTE) -- not at once: of the last save a message may be on its way
  end)

  it("holds nothing that Redis has evicted", function()
    gw = start(server)
    await_on(gw)
    local body = note(("x"):rep(10000))
    server:command("CONFIG", "SET", "maxmemory", redis.is_cluster and 4000000 or 6000000) -- of each
    server:command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    for i = 1, 800 do
      check.status(gw:put("/models/Note?id=" .. i, body), 201)
      for _ = 1, 2 do gw:get("/models/Note?id=" .. i) end
    end
    local there = {}
    for _, key in ipairs(server:command("KEYS", "perigee:Note:*")) do there[key:match "id=(%d+)$"] = true end
    local gone = 0
    for i = 1, 800 do
      local response = gw:get("/models/Note?id=" .. i)
      if not there[tostring(i)] then
        gone = gone + 1
        check.status(response, 404)
      end
    end
    assert(gone > 50, gone)
  end)

  it("serves nothing while Redis is stopped, and comes back within 3 s", function()
    gw = start(server, { args = { "--redis-timeout", "300ms" } })
    await_on(gw)
    check.status(gw:put(NOTE, note "hot"), 201)
    warm(gw, NOTE)
    server.process:signal "STOP"
    process.eventually("503", 4 * gateway.patience, function() return gw:get(NOTE).status == 503 end)
    for _ = 1, 20 do check.problem(gw:get(NOTE), 503, "store-unavailable") end
    process.eventually("it is off", 4 * gateway.patience, function() return gw:metric "perigee_near_cache_up" == 0 end)
    for _ = 1, 20 do check.problem(gw:get(NOTE), 503, "store-unavailable") end
    socket.sleep(3) -- so that pauses between attempts are as long as they get
    server.process:signal "CONT"
    local start_of_it = socket.gettime()
    process.eventually("200", 6, function() return gw:get(NOTE).status == 200 end)
    warm(gw, NOTE)
    local took = socket.gettime() - start_of_it
    assert(took <= 3 * gateway.patience, took)
  end)

  it("holds nothing of a Redis that was restarted, and comes back within 3 s", function()
    gw = start(server)
    await_on(gw)
    for i = 1, 100 do
      check.status(gw:put("/models/Note?id=" .. i, note(i)), 201)
      warm(gw, "/models/Note?id=" .. i)
    end
    server:kill()
    process.eventually("503", 4, function() return gw:get "/models/Note?id=1".status == 503 end)
    for i = 1, 100 do check.problem(gw:get("/models/Note?id=" .. i), 503, "store-unavailable") end
    socket.sleep(4)
    local again = redis.start(server.port)
    local start_of_it = socket.gettime()
    process.eventually("404", 6, function()
      local status = gw:get "/models/Note?id=1".status
      assert.not_equal(200, status)
      return status == 404
    end)
    gw:await_store(3)
    await_on(gw, 3)
    local took = socket.gettime() - start_of_it
    assert(took <= 3 * gateway.patience, took)
    for i = 1, 100 do check.status(gw:get("/models/Note?id=" .. i), 404) end
    check.status(gw:put(NOTE, note "new"), 201)
    warm(gw, NOTE)
    again:stop()
  end)

  it("is off, and says so once, where the server does not let us track", function()
    server:command("ACL", "SETUSER", "plain", "on", ">pw", "~*", "+@all", "-client")
    gw = gateway.start { models = models, store = (server.url:gsub("://", "://plain:pw@")), fds = 4 }
    gw:await_store()
    process.eventually("the log says it", 5, function() return gw:log():find("no near cache", 1, true) end)
    check.status(gw:put(NOTE, note "hot"), 201)
    for _ = 1, 20 do assert.equal("redis", detail(gw:get(NOTE))) end
    local _, times = gw:log():gsub("no near cache", "")
    assert.equal(#(server.masters or { server }), times) -- for each server
    assert.equal(0, gw:metric "perigee_near_cache_up")
  end)
end)
