-- tests/e2e/network_spec.lua -- a real Redis under load, behind a network that swallows packets, refuses them, loses some, is slow, or cuts connections in the
-- middle of an answer: no answer is another's, none takes longer than a deadline, and all is well soon after.
local check = require "tests.support.check"
local crowd = require "tests.support.crowd"
local gateway = require "tests.support.gateway"
local network = require "tests.support.network"
local process = require "tests.support.process"
local redis = require "tests.support.redis"

local models = [[ model "Note" { id = key(), text = field() } ]]

local DEADLINE = 0.3 -- of a Redis command, here

describe("the network to a Redis", function()
  local lacks, server, gw, load

  local function start(options)
    server = redis.start()
    gw = gateway.start { models = models, store = server.url, workers = 2, fds = 6,
      args = { "--redis-timeout", DEADLINE * 1000 .. "ms", unpack(options.args or {}) } }
    gw:await_store()
    crowd.save(gw, options.bytes)
    load = crowd.on(gw, { deadline = DEADLINE, bytes = options.bytes })
    load:run_for(0.1)
    load:await(2)
  end

  -- In a network of its own; what comes out of it is judged here.
  local function describes(what, options, body)
    it(what, function()
      lacks = network.enter()
      if lacks then return pending(lacks) end
      local ok, why = pcall(function()
        start(options)
        body()
        load:stop()
        assert.is_nil(load.answers[404])
        gw:finish()
        server:stop()
      end)
      network.leave()
      if not ok then error(why, 0) end
    end)
  end

  -- What was being tried when it came back has missed its deadline first.
  local function mend()
    network.mend()
    load:await(2 + DEADLINE)
    gw:await_store(2)
  end

  describes("may swallow all: that costs a deadline once", {}, function()
    network.rule(server.port, "-j DROP", "-j DROP")
    local rounds = load.round
    load:run_for(2)
    assert(load.round - rounds > 100, load.round - rounds)
    assert.equal(0, load:run())
    check.status(gw:admin "/readyz", 503)
    assert(gw:metric("perigee_store_errors_total", { outcome = "timeout" }) >= 1)
    mend()
  end)

  describes("may refuse all", {}, function()
    network.rule(server.port, "-j REJECT --reject-with tcp-reset", "-j REJECT --reject-with tcp-reset")
    load:run_for(1)
    assert.equal(0, load:run())
    check.status(gw:admin "/readyz", 503)
    mend()
  end)

  describes("may lose a third of all packets", { args = { "--near-cache-bytes", "0" } }, function()
    network.rule(server.port, "-m statistic --mode random --probability 0.3 -j DROP", "-m statistic --mode random --probability 0.3 -j DROP")
    load:run_for(2.5)
    assert(load.answers[503] > 0)
    mend()
  end)

  describes("may be slow", { args = { "--near-cache-bytes", "0" }, bytes = 4000 }, function()
    network.slow(server.port, 256) -- a round takes two seconds
    load:run_for(1.5)
    assert(load.answers[503] > 0)
    mend()
  end)

  describes("may cut connections in the middle of an answer", { args = { "--near-cache-bytes", "0" }, bytes = 4000 }, function()
    network.rule(server.port, "-m connbytes --connbytes 100000: --connbytes-dir reply --connbytes-mode bytes -j REJECT --reject-with tcp-reset", "-j ACCEPT")
    process.eventually("some are cut, and others come", 5 * gateway.patience, function() -- other cuts meet nobody who waits
      load:run_for(0.5)
      return (load.answers[200] or 0) > 0 and gw:metric("perigee_store_errors_total", { outcome = "lost" }) >= 1
    end)
    assert(load.answers[503] > 0)
    mend()
  end)

  -- Whichever of the two is dialled first.
  for _, silent in ipairs { "127.0.0.2", "127.0.0.3" } do
    it("may swallow all that goes to one address of its name, " .. silent, function()
      lacks = network.enter()
      if lacks then return pending(lacks) end
      local ok, why = pcall(function()
        lacks = network.hosts "127.0.0.1 localhost\n127.0.0.2 twins\n127.0.0.3 twins\n"
        if lacks then return end
        server = redis.start(nil, { args = { "--bind", "127.0.0.1 127.0.0.2 127.0.0.3" } })
        network.rule(server.port, ("-d %s -j DROP"):format(silent), "-j ACCEPT")
        gw = gateway.start { models = models, store = server.url:gsub("127%.0%.0%.1", "twins"), fds = 2, args = { "--redis-timeout", DEADLINE * 1000 .. "ms" } }
        gw:await_store(5 * gateway.patience)
        check.status(gw:put("/models/Note?id=1", '{"text":1}'), 201)
        process.eventually("it has near copies, too", 5 * gateway.patience, function()
          return check.cache_status(gw:get "/models/Note?id=1").detail == "near"
        end)
        server:command("CLIENT", "KILL", "TYPE", "normal")
        gw:await_store(5 * gateway.patience)
        gw:finish()
        server:stop()
      end)
      network.leave()
      if not ok then error(why, 0) end
      if lacks then pending(lacks) end
    end)
  end
end)
