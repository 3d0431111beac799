-- tests/e2e/epochs_spec.lua -- the table of invalidations in Redis: what it costs, what becomes of it when it is lost, flushed, spoilt, full or out of
-- reach; that none of this brings back what was invalidated.
local check = require "tests.support.check"
local cjson = require "cjson"
local gateway = require "tests.support.gateway"
local process = require "tests.support.process"
local redis = require "tests.support.redis"

local models = [[
model "Note" { id = key(), v = field(), options = { tags = function(self) return { "note:" .. (self.v or "") } end } }
model "Other" { id = key(), v = field() }
]]

local TABLE = "perigee:~epochs"

describe("the table of invalidations", function()
  local server, left, right
  local function start(args)
    local gw = gateway.start { models = models, store = server.url, workers = 1, args = args, fds = 40 }
    gw:await_store()
    return gw
  end
  setup(function()
    server = redis.start()
    left, right = start(), start { "--near-cache-bytes", "0" }
  end)
  teardown(function()
    left:finish()
    right:finish()
    server:stop()
  end)

  local function put(gw, id, v) return gw:put("/models/Note?id=" .. id, cjson.encode { v = v or "x" }) end
  local function post(gw, target, body) return gw:request("POST", target, nil, cjson.encode(body)) end
  local function is_there(gw, id) return gw:get("/models/Note?id=" .. id).status == 200 end
  local function all(gw) check.status(post(gw, "/models/Note/_invalidate", { all = true }), 204) end
  local function calls(command)
    return tonumber(server:command("INFO", "commandstats"):match("cmdstat_" .. command .. ":calls=(%d+)") or 0)
  end
  -- Near copies are there, on the gateway that keeps them.
  local function warm(id)
    process.eventually("a near copy", 5 * gateway.patience, function()
      return check.cache_status(check.status(left:get("/models/Note?id=" .. id), 200)).detail == "near"
    end)
  end

  it("can be read with redis-cli", function()
    check.status(post(left, "/models/Note/_invalidate", { all = true, mode = "expire" }), 204)
    check.status(post(left, "/_invalidate", { tags = { "acme", "two words" } }), 204)
    local members = server:command("ZRANGE", TABLE, 0, -1)
    assert.equal("!floor", members[1])
    assert.equal("expire:model:Note remove:tag:acme remove:tag:two words", table.concat({ members[#members - 3], members[#members - 2], members[#members - 1] }, " "))
    assert(members[#members]:match "^~%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x$", members[#members])
    local last = tonumber(server:command("ZSCORE", TABLE, members[#members]))
    assert(math.abs(last / 1e6 - os.time()) < 60, last)
    assert.equal(-1, server:command("TTL", TABLE))
  end)

  it("costs reads of near copies nothing, and others one small answer in the same write", function()
    check.status(put(left, "cost"), 201)
    warm "cost"
    local before = calls "zscore" + calls "evalsha" + calls "eval"
    for _ = 1, 200 do left:get "/models/Note?id=cost" end
    local cost = calls "zscore" + calls "evalsha" + calls "eval" - before
    assert(cost < 20, cost) -- both gateways ask once a second
    before = { zscore = calls "zscore", get = calls "get", eval = calls "evalsha" + calls "eval" }
    for _ = 1, 200 do right:get "/models/Note?id=cost" end
    assert.equal(200, calls "get" - before.get)
    local asked = calls "zscore" - before.zscore
    assert(asked >= 200 and asked < 220, asked)
    assert(calls "evalsha" + calls "eval" - before.eval < 5)
  end)

  it("makes a gateway that kept up with nothing level again, before it answers", function()
    for i = 1, 20 do
      put(left, "turn" .. i)
      put(left, "tagged" .. i, "turned")
      warm("turn" .. i)
      warm("tagged" .. i)
      all(right)
      assert.is_false(is_there(left, "turn" .. i))
      put(left, "turn" .. i)
      assert.is_true(is_there(right, "turn" .. i))
      assert.is_true(is_there(left, "turn" .. i))
      post(right, "/_invalidate", { tags = { "note:turned" } })
      assert.is_true(is_there(left, "turn" .. i))
      assert.is_false(is_there(left, "tagged" .. i))
    end
  end)

  it("that is lost lets nothing live that was stored before", function()
    check.status(put(left, "lost"), 201)
    check.status(put(left, "good"), 201)
    for _, lose in ipairs {
      function() server:command("DEL", TABLE) end, -- as an eviction does
      function()
        server:command("DEL", TABLE)
        server:command("SET", TABLE, "something else")
      end,
      function() server:command("ZADD", TABLE, "9007199254740000", "zzz") end,
      function() server:command("ZREM", TABLE, "!floor") end,
    } do
      put(left, "lost")
      warm "lost"
      all(left)
      put(left, "good")
      warm "good"
      local line = server:command("ZRANGE", TABLE, -1, -1)[1]
      lose()
      for _, gw in ipairs { left, right } do
        assert.is_false(is_there(gw, "lost"))
        if gw == right then assert.is_false(is_there(gw, "good")) end
      end
      assert.is_false(is_there(left, "good")) -- nobody can say any more
      assert.not_equal(line, server:command("ZRANGE", TABLE, -1, -1)[1])
      put(left, "good")
      assert.is_true(is_there(right, "good"))
      assert.is_true(is_there(left, "good"))
    end
  end)

  it("goes with FLUSHALL, and begins anew", function()
    put(left, "flushed")
    warm "flushed"
    server:command "FLUSHALL" -- which is answered before gateways are told
    process.eventually("it is gone", 5, function() return not is_there(left, "flushed") end)
    put(left, "flushed")
    assert.is_true(is_there(right, "flushed"))
    assert.is_true(is_there(left, "flushed"))
  end)

  it("keeps 16384 names, and what it forgets stays invalidated", function()
    put(left, "old", "old")
    put(left, "other")
    post(right, "/_invalidate", { tags = { "note:old" } })
    for i = 1, 200 do
      local tags = {}
      for j = 1, 100 do tags[j] = ("bulk:%d:%d"):format(i, j) end
      check.status(post(right, "/_invalidate", { tags = tags }), 204)
    end
    assert.equal(16384 + 2, server:command("ZCARD", TABLE))
    assert.is_false(is_there(left, "old"))
    assert.is_false(is_there(left, "other"))
    put(left, "fresh", "bulk")
    post(right, "/_invalidate", { tags = { "note:nobody" } })
    assert.is_true(is_there(left, "fresh"))
    local third = start() -- which has all of it to read
    assert.is_true(is_there(third, "fresh"))
    post(right, "/_invalidate", { tags = { "note:bulk" } })
    assert.is_false(is_there(third, "fresh"))
    assert.is_false(is_there(left, "fresh"))
    third:finish()
  end)

  it("is out of reach: 503, and what was invalidated meanwhile is not served after", function()
    put(left, "away")
    warm "away"
    left:signal "STOP" -- it hears nothing
    all(right)
    left:signal "CONT"
    assert.is_false(is_there(left, "away"))
    put(left, "away")
    warm "away"
    server.process:signal "STOP"
    check.problem(post(left, "/models/Note/_invalidate", { all = true }), 503, "store-unavailable")
    check.problem(post(left, "/_invalidate", { tags = { "x" } }), 503, "store-unavailable")
    server.process:signal "CONT"
    left:await_store(20)
    right:await_store(20)
    all(right)
    assert.is_false(is_there(left, "away"))
    server:command("CLIENT", "KILL", "TYPE", "normal") -- all of them, those that track too
    process.eventually("they are back", 20, function() return put(left, "back").status < 300 and is_there(right, "back") end)
    all(right)
    assert.is_false(is_there(left, "back"))
  end)
end)

describe("the table of invalidations in memory", function()
  it("is bounded: 100,000 tags", function()
    local gw = gateway.start { models = models, workers = 1, fds = 10 }
    local function resident()
      return tonumber((process.read(("/proc/%d/status"):format(gw.pid)) or ""):match "VmRSS:%s+(%d+)") / 1024
    end
    local function post(tags) check.status(gw:request("POST", "/_invalidate", nil, cjson.encode { tags = tags }), 204) end
    post { "first" }
    local before = resident()
    for i = 1, 1000 do
      local tags = {}
      for j = 1, 100 do tags[j] = ("bulk:%d:%d"):format(i, j) end
      post(tags)
    end
    local more = resident() - before
    assert(more < 3 * (gateway.sanitized and 20 or 1), ("%.1f MiB more"):format(more))
    gw:finish()
  end)
end)
