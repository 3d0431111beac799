-- tests/e2e/stale_copies_spec.lua -- what is answered from near copies while Redis is away: only as stale, only where the model has stale_if_error, and
-- never any more once Redis is back, whatever has happened there.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local socket = require "socket"

local models = [[
model "Part" { id = key(), text = field(), options = { expires = 600, stale_if_error = 60 }, from_miss = function(self) self.text = "loaded" end }
model "Whole" { id = key(), one = reference "Part", other = reference "Part", options = { expires = 600, stale_if_error = 60 },
  from_miss = function(self) return missing end }
model "Brief" { id = key(), text = field(), options = { expires = 600, stale_if_error = 1.5 }, from_miss = function(self) self.text = "loaded" end }
model "Plain" { id = key(), text = field(), options = { expires = 600 }, from_miss = function(self) self.text = "loaded" end }
model "Note" { id = key(), text = field() }
model "Kept" { id = key(), text = field(), options = { expires = 600, stale_if_error = 60 } }
model "Sum" { id = key(), twice = cached_method{ on = { "id" }, expires = 600, stale_if_error = 60, function(self) return self.id .. self.id end } }
]]

local PART, WHOLE = "/models/Part?id=a", "/models/Whole?id=w"

local function detail(response) return check.cache_status(response).detail end

-- The near copy of each of these.
local function warm(gw, ...)
  for _, target in ipairs { ... } do
    process.eventually("a near copy", 5 * gateway.patience, function() return detail(check.status(gw:get(target), 200)) == "near" end)
  end
end

local function save(gw, target, text) assert(gw:put(target, ('{"text":"%s"}'):format(text)).status < 300) end

local function loads(gw, model) return gw:metric("perigee_loads_total", { model = model }) end

describe("near copies of a Redis that is away", function()
  local server, gateways
  before_each(function()
    server = redis.start()
    gateways = {}
  end)
  after_each(function()
    for _, gw in ipairs(gateways) do gw:finish() end
    server:stop()
  end)

  local function start(url)
    local gw = gateway.start { models = models, store = url or server.url, workers = 2, fds = 8, args = { "--redis-timeout", "300ms" } }
    gateways[#gateways + 1] = gw
    gw:await_store()
    process.eventually("the near cache is on", 5 * gateway.patience, function() return gw:metric "perigee_near_cache_up" == 1 end)
    return gw
  end

  local function url(user) return (server.url:gsub("://", "://" .. user .. ":pw@")) end

  local function await_stale(gw, target)
    return process.eventually("it is answered as stale", 4 * gateway.patience, function()
      local response = check.status(gw:get(target), 200)
      return detail(response) == "stale" and response
    end)
  end

  -- Until it is answered otherwise than as stale, and a while beyond: never the `old` text but as stale, nor as stale again. Returns that answer.
  local function await_back(gw, target, old)
    local back, beyond
    process.eventually("it is back", 10 * gateway.patience, function()
      local response = gw:get(target)
      if response.status == 503 then return false end -- between the end of the copies and the worker's own connection
      local stale, text = detail(check.status(response, 200)) == "stale", check.document(response).text
      if not stale then
        assert.not_equal(old, text)
        back = response
        beyond = beyond or socket.gettime() + 0.3
      end
      return beyond and socket.gettime() > beyond
    end)
    return back
  end

  it("are stale ones, and honest, when it has died; and gone when it is there again", function()
    local gw = start()
    for _, id in ipairs { "a", "b" } do save(gw, "/models/Part?id=" .. id, "saved " .. id) end
    check.status(gw:put(WHOLE, '{"one":{"id":"a"},"other":{"id":"b"}}'), 201)
    save(gw, "/models/Plain?id=a", "saved")
    save(gw, "/models/Note?id=a", "saved")
    local sum = "/models/Sum/twice?id=ab"
    warm(gw, PART, WHOLE, "/models/Plain?id=a", "/models/Note?id=a", sum)
    local stored, tag = socket.gettime(), gw:get(PART).headers.etag
    server:kill()
    await_stale(gw, PART)
    socket.sleep(1.1)
    local response = gw:get(PART)
    local status = check.cache_status(response)
    assert(status.hit and status.detail == "stale" and status.ttl <= -1 and status.ttl >= -4 * gateway.patience, response.head)
    assert.equal("saved a", check.document(response).text)
    assert.equal(tag, response.headers.etag)
    local left = tonumber(response.headers["cache-control"]:match "stale%-if%-error=(%d+)")
    assert(response.headers["cache-control"]:find("max-age=0", 1, true) and left >= 40 and left <= 59, response.head)
    local age = tonumber(response.headers.age)
    assert(age >= 1 and age <= socket.gettime() - stored + 2, age)
    check.status(gw:get(PART, { ["If-None-Match"] = tag }), 304)
    assert.equal("stale", detail(check.status(gw:request("HEAD", PART), 200)))
    assert.equal("stale", detail(check.status(gw:get(PART, { ["Cache-Control"] = "only-if-cached" }), 200)))

    response = gw:get(WHOLE)
    assert.equal("stale", detail(response))
    assert.equal("saved b", check.document(response).other.text)
    local explained = check.document(gw:get(WHOLE .. "&_explain=1"))
    check.says(require "cjson".encode(explained), '"stale"')
    response = gw:get(sum)
    assert.equal("stale", detail(response))
    assert.equal('"abab"', response.body)
    assert.equal(0, loads(gw, "Part"))

    -- What is no fallback is none.
    assert.equal("loaded", check.document(gw:get "/models/Plain?id=a").text)
    check.problem(gw:get "/models/Note?id=a", 503, "store-unavailable")
    assert.equal("loaded", check.document(gw:get "/models/Part?id=never").text)
    assert.equal("loaded", check.document(gw:get(PART, { ["Cache-Control"] = "no-cache" })).text)
    assert.equal("loaded", check.document(gw:get(PART, { ["Cache-Control"] = "max-age=600" })).text) -- takes nothing stale
    check.problem(gw:put("/models/Part?id=b", '{"text":"x"}'), 503, "store-unavailable")
    check.problem(gw:request("PATCH", PART, { ["Content-Type"] = "application/merge-patch+json" }, "{}"), 503, "store-unavailable")
    assert(gw:metric("perigee_near_cache_lookups_total", { outcome = "stale" }) > 0)
    assert(gw:metric("perigee_requests_total", { model = "Part", outcome = "stale" }) > 0)
    local before = socket.gettime()
    for _ = 1, 100 do gw:get(PART) end
    assert((socket.gettime() - before) / 100 < 0.003 * gateway.patience ^ 2)

    local again = redis.start(server.port)
    assert.equal("loaded", check.document(await_back(gw, PART, "saved a")).text)
    gw:await_store(5)
    assert.not_equal("stale", detail(check.status(gw:get "/models/Part?id=b", 200)))
    server:stop()
    server = again
  end)

  it("need no loader, and are kept no longer than they would have been", function()
    local gw, kept, brief = start(), "/models/Kept?id=a", "/models/Kept?id=brief"
    save(gw, kept, "saved")
    check.status(gw:put(brief .. "&_expires=3", '{"text":"brief"}'), 201)
    local ends = socket.gettime() + 3
    warm(gw, kept, brief)
    server:kill()
    local response = await_stale(gw, kept)
    assert.equal("saved", check.document(response).text)
    check.says(response.headers["cache-control"], "max-age=0", "stale-if-error=")
    assert.equal("stale", detail(check.status(gw:get(kept, { ["Cache-Control"] = "max-age=600, max-stale" }), 200)))
    for _, demand in ipairs { "no-cache", "max-age=600" } do check.problem(gw:get(kept, { ["Cache-Control"] = demand }), 503, "store-unavailable") end
    check.problem(gw:get "/models/Kept?id=never", 503, "store-unavailable")
    check.problem(gw:put(kept, '{"text":"x"}'), 503, "store-unavailable")
    process.eventually("it is over", 3 + 2 * gateway.patience, function() return gw:get(brief).status == 503 end)
    assert(socket.gettime() >= ends - 0.1)
    assert.equal("saved", check.document(gw:get(kept)).text)
  end)

  it("are none older than what was read since from Redis itself, when that was not heard but could be asked", function()
    server:command("ACL", "SETUSER", "deaf", "on", ">pw", "~*", "+@all")
    server:command("ACL", "SETUSER", "other", "on", ">pw", "~*", "+@all")
    local gw, other = start(url "deaf"), start(url "other")
    local ids = { "kept", "changed", "deleted", "document" }
    local function target(id) return "/models/Kept?id=" .. id end
    for _, id in ipairs(ids) do
      save(gw, target(id), "old")
      warm(gw, target(id))
    end
    server:command("ACL", "SETUSER", "deaf", "-client|tracking")
    for line in server:command("CLIENT", "LIST"):gmatch "[^\n]+" do
      if line:find("user=deaf", 1, true) and line:find("resp=3", 1, true) then server:command("CLIENT", "KILL", "ID", line:match "id=(%d+)") end
    end
    process.eventually("it hears nothing", 5 * gateway.patience, function() return gw:metric "perigee_near_cache_up" == 0 end)
    for _, id in ipairs { "changed", "document" } do save(other, target(id), "new") end
    check.status(other:delete(target "deleted"), 204)
    local function reads(what, probe) process.eventually(what, 5 * gateway.patience, probe) end -- a late answer of Redis makes one stale
    reads("the changed one", function() return detail(gw:get(target "changed")) == "redis" end)
    reads("the deleted one", function() return gw:get(target "deleted").status == 404 end)
    reads("one of a bulk", function()
      local many = gw:request("POST", "/models/Kept/_bulk", { ["Content-Type"] = "application/json" }, '{"get":[{"id":"document"}]}')
      return check.document(many).get[1].value.text == "new"
    end)
    server:kill()
    await_stale(gw, target "kept")
    assert.equal("old", check.document(gw:get(target "kept")).text)
    for _, id in ipairs { "changed", "document" } do assert.equal("new", check.document(await_stale(gw, target(id))).text) end
    check.problem(gw:get(target "deleted"), 503, "store-unavailable")
  end)

  it("may be answered as long as stale_if_error lasts from the time when they were last certain", function()
    local gw, target = start(), "/models/Brief?id=a"
    save(gw, target, "saved")
    warm(gw, target)
    server.process:signal "STOP"
    local stopped = socket.gettime()
    local last
    process.eventually("it is over", 8 * gateway.patience, function()
      local response = check.status(gw:get(target), 200)
      if detail(response) == "stale" then last = socket.gettime() end
      return check.document(response).text == "loaded"
    end)
    assert(last and last - stopped >= 1.0 and last - stopped <= 3.5 * gateway.patience, last and last - stopped)
    server.process:signal "CONT"
    gw:await_store(5)
    process.eventually("not the loaded one: Redis has kept what was saved", 5 * gateway.patience, function()
      return check.document(gw:get(target)).text == "saved"
    end)
  end)

  it("are not what has been changed meanwhile, once one that was cut off alone is back", function()
    for _, name in ipairs { "left", "right" } do server:command("ACL", "SETUSER", name, "on", ">pw", "~*", "+@all") end
    local left, right = start(url "left"), start(url "right")
    local changes = {
      function() save(right, PART, "changed") end,
      function() check.status(right:delete(PART), 204) end,
      function() server:command "FLUSHALL" end,
      function()
        check.status(right:request("POST", "/models/Part/_invalidate", { ["Content-Type"] = "application/json" }, '{"all":true}'), 204)
      end,
    }
    for i, change in ipairs(changes) do
      local old = "saved " .. i
      save(left, PART, old)
      warm(left, PART)
      server:command("ACL", "SETUSER", "left", "off")
      server:command("CLIENT", "KILL", "USER", "left")
      assert.equal(old, check.document(await_stale(left, PART)).text)
      change()
      assert.equal(old, check.document(await_stale(left, PART)).text) -- what else could it know
      check.problem(left:put(PART, '{"text":"x"}'), 503, "store-unavailable")
      assert.equal(i == 1 and "changed" or "loaded", check.document(right:get(PART)).text)
      server:command("ACL", "SETUSER", "left", "on")
      assert.equal(i == 1 and "changed" or "loaded", check.document(await_back(left, PART, old)).text)
      left:await_store(5)
    end
  end)
end)
