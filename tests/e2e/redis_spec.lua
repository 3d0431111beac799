-- tests/e2e/redis_spec.lua -- a store that is not there yet, goes away, comes back, or holds what nobody here wrote.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local socket = require "socket"

local models = [[
model "Note" { id = key(), text = field() }
model "Timed" { id = key(), text = field(), options = { expires = 100 } }
model "Loaded" { id = key(), text = field(), options = { expires = 300 }, from_miss = function(self) self.text = "loaded" end }
model "Slow" { id = key(), text = field(), options = { expires = 300 }, from_miss = function(self) sleep(1) self.text = "loaded" end }
model "Number" { n = key{ type = "integer" }, region = key{ default = "eu" }, text = field() }
]]

local function timed(f)
  local start = socket.gettime()
  local result = f()
  return result, socket.gettime() - start
end

describe("Redis", function()
  it("is given no record that it could not give back", function()
    local gw = gateway.start { models = models, store = "redis", args = { "--max-body", "32MiB" } }
    local function text(mib) return '{"text":"' .. ("x"):rep(mib * 1048576 - 100) .. '"}' end
    check.status(gw:put("/models/Note?id=other", "{}"), 201)
    check.status(gw:put("/models/Note?id=big", text(7)), 201)
    assert.equal(7 * 1048576 - 100, #check.document(gw:get "/models/Note?id=big").text)
    for _, mib in ipairs { 8, 20 } do
      check.says(check.problem(gw:put("/models/Note?id=big", text(mib)), 413, "body-too-large").detail, "at most 7 MiB")
      check.problem(gw:put("/models/Note?id=new", text(mib)), 413, "body-too-large")
    end
    assert.equal(7 * 1048576 - 100, #check.document(gw:get "/models/Note?id=big").text)
    check.problem(gw:get "/models/Note?id=new", 404, "missing")
    check.status(gw:get "/models/Note?id=other", 200)
    gw:finish()
  end)

  it("may come later", function()
    local port = process.free_port()
    local gw = gateway.start { models = models, store = redis.url_of(port), workers = 2, fds = 2 }
    check.status(gw:admin "/healthz", 200)
    check.says(check.status(gw:admin "/readyz", 503).body, "store")
    assert.equal(0, gw:metric "perigee_store_up")
    for _ = 1, 4 do
      local response, took = timed(function() return http.request(gw.address, "GET", "/models/Note?id=1") end)
      check.problem(response, 503, "store-unavailable")
      assert.truthy(response.headers["retry-after"])
      assert(took < 0.1 * gateway.patience, took)
    end
    check.problem(gw:put("/models/Note?id=1", '{"text":1}'), 503, "store-unavailable")
    check.problem(gw:delete "/models/Note?id=1", 503, "store-unavailable")
    local server = redis.start(port)
    local _, took = timed(function() gw:await_store(6) end)
    assert(took <= 2 * gateway.patience, "recovered after " .. took)
    assert.equal(1, gw:metric "perigee_store_up")
    check.status(gw:put("/models/Note?id=1", '{"text":1}'), 201)
    check.status(gw:get "/models/Note?id=1", 200)
    gw:finish()
    server:stop()
  end)

  it("may die and come back", function()
    local server = redis.start()
    local gw = gateway.start { models = models, store = server.url, workers = 2, fds = 2 }
    gw:await_store()
    check.status(gw:put("/models/Note?id=1", '{"text":1}'), 201)
    server:kill()
    local slowest = 0
    process.eventually("unavailable", 5, function()
      local response, took = timed(function() return http.request(gw.address, "GET", "/models/Note?id=1") end)
      slowest = math.max(slowest, took)
      return response.status == 503
    end)
    for _ = 1, 20 do
      local response, took = timed(function() return http.request(gw.address, "GET", "/models/Note?id=1") end)
      slowest = math.max(slowest, took)
      check.problem(response, 503, "store-unavailable")
    end
    assert(slowest < 0.3 * gateway.patience, "the slowest took " .. slowest)
    check.problem(gw:put("/models/Note?id=1", '{"text":2}'), 503, "store-unavailable")
    check.status(gw:admin "/healthz", 200)
    check.status(gw:admin "/readyz", 503)
    local again = redis.start(server.port)
    local _, took = timed(function() gw:await_store(8) end)
    assert(took <= 2 * gateway.patience, "recovered after " .. took)
    for _ = 1, 8 do check.status(http.request(gw.address, "GET", "/models/Note?id=1"), 404) end -- it has forgotten
    check.status(gw:put("/models/Note?id=1", '{"text":3}'), 201)
    gw:finish()
    again:stop()
    server:stop()
  end)

  it("that does not answer costs its deadline once, and is left alone then", function()
    local server = redis.start()
    local gw = gateway.start { models = models, store = server.url, args = { "--redis-timeout", "200ms" }, fds = 2 }
    gw:await_store()
    check.status(gw:put("/models/Note?id=1", '{"text":1}'), 201)
    server.process:signal "STOP"
    local response, took = timed(function() return gw:get "/models/Note?id=1" end)
    check.problem(response, 503, "store-unavailable")
    assert(took < 0.2 + 0.15 * gateway.patience, took)
    server.process:signal "CONT"
    gw:await_store(6)
    assert.equal(1, check.document(gw:get "/models/Note?id=1").text)
    gw:finish()
    server:stop()
  end)

  it("may be slower with a save than its client is patient: no load comes on top of the save", function()
    local server = redis.start()
    local gw = gateway.start { models = models, store = server.url, args = { "--redis-timeout", "10s" }, fds = 2 }
    gw:await_store()
    local reader, writer = http.connect(gw.address), http.connect(gw.address)
    reader:send(http.format("GET", "/models/Slow?id=1"))
    process.eventually("the load to begin", 5, function() return gw:metric("perigee_loads_inflight", { model = "Slow" }) == 1 end)
    server.process:signal "STOP"
    writer:send(http.format("PUT", "/models/Slow?id=1", nil, '{"text":"saved"}'))
    process.eventually("the save to begin", 5, function() return gw:metric "perigee_connections" == 2 end)
    socket.sleep(0.1)
    writer:reset()
    process.eventually("its client to be gone", 5, function() return gw:metric "perigee_connections" == 1 end)
    server.process:signal "CONT"
    local loaded = reader:receive()
    assert.equal("loaded", check.document(loaded).text)
    assert.is_nil(check.cache_status(loaded).stored)
    reader:close()
    assert.equal("saved", check.document(gw:get "/models/Slow?id=1").text)
    gw:finish()
    server:stop()
  end)

  it("dies under load: every answer is whole and is the right one", function()
    local server = redis.start()
    local gw = gateway.start { models = models, store = server.url, workers = 2, fds = 4 }
    gw:await_store()
    for i = 1, 50 do check.status(gw:put("/models/Note?id=" .. i, ('{"text":%d}'):format(i)), 201) end
    local connections, answers = {}, { [200] = 0, [503] = 0, [404] = 0 }
    for i = 1, 20 do connections[i] = http.connect(gw.address) end
    for round = 1, 20 do
      for i, connection in ipairs(connections) do
        for j = 1, 5 do connection:send(http.format("GET", "/models/Note?id=" .. (i * 5 + j + round) % 50 + 1)) end
      end
      if round == 7 then server:kill() end
      for i, connection in ipairs(connections) do
        for j = 1, 5 do
          local response = connection:receive()
          local id = (i * 5 + j + round) % 50 + 1
          answers[response.status] = answers[response.status] + 1
          if response.status == 200 then assert.equal(('{"id":"%d","text":%d}'):format(id, id), response.body) end
        end
      end
    end
    assert(answers[200] >= 600 and answers[503] >= 1000 and answers[404] == 0, answers[200] .. " " .. answers[503])
    for _, connection in ipairs(connections) do connection:close() end
    gw:finish()
    server:stop()
  end)

  it("may forget its scripts at any time, and nobody notices", function()
    local server = redis.start()
    local gw = gateway.start { models = models, store = server.url, fds = 4 }
    gw:await_store()
    local connections = {}
    for i = 1, 8 do connections[i] = http.connect(gw.address) end
    for round = 1, 30 do
      for i, connection in ipairs(connections) do
        connection:send(http.format("PUT", "/models/Loaded?id=" .. i, nil, ('{"text":%d}'):format(round)))
        connection:send(http.format("PATCH", "/models/Loaded?id=" .. i, { ["Content-Type"] = "application/merge-patch+json" }, "{}"))
        connection:send(http.format("GET", ("/models/Loaded?id=%d-%d"):format(round, i)))
      end
      server:command("SCRIPT", "FLUSH")
      for i, connection in ipairs(connections) do
        check.status(connection:receive(), round == 1 and 201 or 204)
        check.status(connection:receive(), 204)
        assert.equal(("%d-%d"):format(round, i), check.document(connection:receive()).id)
        assert.equal(round, check.document(gw:get("/models/Loaded?id=" .. i)).text)
      end
    end
    assert(gw:metric("perigee_store_errors_total", { outcome = "noscript" }) >= 20)
    assert.equal(0, gw:metric("perigee_store_errors_total", { outcome = "error" }))
    for _, connection in ipairs(connections) do connection:close() end
    gw:finish()
    server:stop()
  end)

  it("away, a model that can load still answers", function()
    local port = process.free_port()
    local gw = gateway.start { models = models, store = redis.url_of(port) }
    local response = check.status(gw:get "/models/Loaded?id=1", 200)
    assert.equal("loaded", check.document(response).text)
    assert.is_nil(check.cache_status(response).stored)
    assert.is_nil(check.cache_status(response).hit)
    check.status(gw:head "/models/Loaded?id=1", 503)
    check.problem(gw:get "/models/Note?id=1", 503, "store-unavailable")
    gw:finish()
  end)

  it("may be a unix socket, another database, and ask for a password", function()
    if redis.is_cluster then return pending "a cluster is none of these; cluster_spec has its user" end
    local server = redis.start()
    local gw = gateway.start { models = models, store = "redis+unix://" .. server.path }
    gw:await_store()
    check.status(gw:put("/models/Note?id=1", '{"text":1}'), 201)
    gw:finish()
    gw = gateway.start { models = models, store = ("redis://127.0.0.1:%d/3"):format(server.port) }
    gw:await_store()
    check.problem(gw:get "/models/Note?id=1", 404, "missing")
    gw:finish()
    server:command("CONFIG", "SET", "requirepass", "se:cr@et")
    gw = gateway.start { models = models, store = ("redis://:se%%3Acr%%40et@127.0.0.1:%d/0"):format(server.port) }
    gw:await_store()
    check.status(gw:get "/models/Note?id=1", 200)
    for _, text in ipairs { gw.ready_line, gw:log(), gw:admin("/metrics").body } do
      for _, secret in ipairs { "cr@et", "cr%40et" } do assert.is_nil(text:find(secret, 1, true)) end
    end
    gw:finish()
    gw = gateway.start { models = models, store = ("redis://:wrong@127.0.0.1:%d/0"):format(server.port) }
    process.eventually("the refusal is in the log", 5, function() return gw:log():find("WRONGPASS", 1, true) end)
    check.status(gw:admin "/readyz", 503)
    check.problem(gw:get "/models/Note?id=1", 503, "store-unavailable")
    gw:finish()
    server:stop()
  end)
end)

describe("what Redis holds", function()
  local gw
  setup(function() gw = gateway.start { models = models, store = "redis" } end)
  teardown(function() gw:finish() end)

  local function key_of(...)
    local code, out, err = gateway.run { "key", "--models", gw.schemas, ... }
    assert.equal(0, code, err)
    return (out:gsub("\n$", ""))
  end

  it("stands under the key that `perigee key` prints", function()
    for _, case in ipairs {
      { "Note", { "id=1" }, "?id=1", "id=1" }, { "Note", { "id=a b&c" }, "?id=a%20b%26c", "id=a%20b%26c" },
      { "Note", { "id=" .. ("x"):rep(300) }, "?id=" .. ("x"):rep(300), "#" }, { "Number", { "n=7" }, "?n=7", "n=7&region=eu" },
      { "Number", { "region=us", "n=-7" }, "?region=us&n=-7", "n=-7&region=us" }, { "Note", { "id=" }, "?id=", "id=" },
    } do
      local model, words, query, says = unpack(case)
      local key = key_of(model, unpack(words))
      assert.truthy(key:match("^perigee:" .. model .. ":%x+:"), key)
      check.says(key, says)
      assert.equal(0, gw.redis:command("EXISTS", key))
      check.status(gw:put("/models/" .. model .. query, '{"text":1}'), 201)
      assert.equal(1, gw.redis:command("EXISTS", key))
      check.status(gw:delete("/models/" .. model .. query), 204)
      assert.equal(0, gw.redis:command("EXISTS", key))
    end
  end)

  it("goes when it has expired, by Redis itself", function()
    check.status(gw:put("/models/Timed?id=1", '{"text":1}'), 201)
    local left = gw.redis:command("PTTL", key_of("Timed", "id=1"))
    assert(left > 98000 and left <= 100000, left)
    check.status(gw:put("/models/Note?id=1", '{"text":1}'), 201)
    assert.equal(-1, gw.redis:command("PTTL", key_of("Note", "id=1")))
    check.status(gw:put("/models/Note?id=1&_expires=50", '{"text":1}'), 204)
    left = gw.redis:command("PTTL", key_of("Note", "id=1"))
    assert(left > 48000 and left <= 50000, left)
  end)

  it("and nobody here wrote, is missing", function()
    local key = key_of("Note", "id=foreign")
    check.status(gw:put("/models/Note?id=foreign", '{"text":1}'), 201)
    local envelope = gw.redis:command("GET", key)
    local function damaged() return gw:metric("perigee_envelopes_damaged_total", { model = "Note" }) end
    local values = { "", "x", "PGE", "PGE\1", '{"text":1}', ("\0"):rep(100), ("\255"):rep(100), envelope:sub(1, -2), envelope:sub(1, 48),
      envelope:sub(1, 20), envelope .. "x", "QGE" .. envelope:sub(4), envelope:sub(1, 3) .. "\9" .. envelope:sub(5), envelope:sub(1, 3) .. "\0" .. envelope:sub(5),
      envelope:sub(1, 40) .. "\255\255\255\255" .. envelope:sub(45), envelope:sub(1, 5) .. "\255" .. envelope:sub(7),
      envelope:sub(1, 4) .. "\7" .. envelope:sub(6) }
    for i, value in ipairs(values) do
      local before = damaged()
      gw.redis:command("SET", key, value)
      check.problem(gw:get "/models/Note?id=foreign", 404, "missing")
      assert.equal(1, damaged() - before, i)
    end
    check.says(gw:log(), "no envelope of ours", key)
    gw.redis:command("DEL", key)
    gw.redis:command("LPUSH", key, "a list")
    check.problem(gw:get "/models/Note?id=foreign", 404, "missing")
    assert.equal(1, gw:metric("perigee_store_errors_total", { outcome = "wrongtype" }))
    check.status(gw:admin "/readyz", 200)
    gw.redis:command("DEL", key)
    gw.redis:command("SET", key_of("Loaded", "id=foreign"), "garbage")
    assert.equal("loaded", check.document(gw:get "/models/Loaded?id=foreign").text)
    assert.is_true(check.cache_status(gw:get "/models/Loaded?id=foreign").hit)
  end)

  it("may be flushed at any time", function()
    check.status(gw:put("/models/Note?id=flushed", '{"text":1}'), 201)
    gw.redis:command "FLUSHALL"
    check.problem(gw:get "/models/Note?id=flushed", 404, "missing")
  end)

  it("is shared by two gateways", function()
    local other = gateway.start { models = models, store = gw.redis.url }
    other:await_store()
    check.status(gw:put("/models/Note?id=shared", '{"text":"from one"}'), 201)
    assert.equal("from one", check.document(other:get "/models/Note?id=shared").text)
    check.status(other:put("/models/Note?id=shared", '{"text":"from the other"}'), 204)
    assert.equal("from the other", check.document(gw:get "/models/Note?id=shared").text)
    check.status(other:delete "/models/Note?id=shared", 204)
    check.problem(gw:get "/models/Note?id=shared", 404, "missing")
    other:finish()
  end)
end)
