-- tests/e2e/fence_spec.lua -- what is loaded never ends on top of what was written after it, nor is it shown to who asks after that: by hand,
-- moment by moment, and by chance, in interleavings that nobody has thought of (tests/property).
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local interleave = require "tests.property.interleave"
local judge = require "tests.property.judge"
local origin = require "tests.support.origin"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local socket = require "socket"

-- The origin's body is the record's value; in it stands how many the origin had been asked by then.
local models = [[
local function load(self, name)
  local r = http.get(env "ORIGIN" .. "/" .. name .. "/" .. self.id, { timeout = 15 })
  if r.status == 404 then return missing end
  if r.status ~= 200 then error("the origin says " .. r.status) end
  self.v = r.body
end
model "Item" { id = key(), v = field(), options = { expires = 600, hard_timeout = 20 }, from_miss = function(self) return load(self, "item") end }
model "Brief" { id = key(), v = field(), options = { expires = 600, hard_timeout = 20 },
  from_miss = function(self, ctx)
    ctx.expires = 0
    return load(self, "brief")
  end }
]]

local no_cache = { ["Cache-Control"] = "no-cache" }
local only_if_cached = { ["Cache-Control"] = "only-if-cached" }

describe("a load and a write on two gateways", function()
  local server, source, left, right, third
  local function start()
    local gw = gateway.start { models = models, store = server.url, workers = 1, env = { ORIGIN = source.url }, fds = 60 }
    gw:await_store()
    return gw
  end
  setup(function()
    server, source = redis.start(), origin.start()
    left, right = start(), start()
  end)
  teardown(function()
    left:finish()
    right:finish()
    source:stop()
    server:stop()
  end)
  after_each(function()
    if third then third:finish() end
    third = nil
  end)

  local function asked(path) return (source:asked(path .. " ")) end
  local function eventually(what, probe) return process.eventually(what, 10 * gateway.patience, probe) end

  local function ask(gw, target, headers)
    local client = http.connect(gw.address)
    client:send(http.format("GET", target, headers))
    return client
  end

  local function answer(client)
    local response = client:receive(false, 30)
    client:close()
    return response
  end

  -- How many the origin had been asked when this was loaded.
  local function n_of(response) return tonumber(check.document(response).v:match '"n":(%d+)') end

  -- Until what was sent before has been taken up: the one worker answers in turn, and so does Redis.
  local function await_taken_up(gw)
    for i = 1, 3 do gw:get("/models/Item?id=warm" .. i) end
  end

  -- Somebody loads at the left; a write comes at the right; then another asks at the left, while that load runs still.
  local function overtaken(path, target, write, headers)
    source:holds(path)
    local first = ask(left, target, headers)
    eventually("the load", function() return asked(path) == 1 end)
    write()
    local second = ask(left, target, headers)
    await_taken_up(left)
    source:lets_go(path)
    return answer(first), answer(second)
  end

  local function delete(target)
    return function() check.status(right:delete(target), 204) end
  end

  local function save(target)
    return function() check.status(right:put(target, '{"v":"saved"}'), 201) end
  end

  it("who asks after a delete is not shown what was loaded before it", function()
    local first, second = overtaken("/item/deleted", "/models/Item?id=deleted", delete "/models/Item?id=deleted")
    assert(n_of(second) > n_of(first))
    assert.equal(2, asked "/item/deleted")
    assert.equal(n_of(second), n_of(right:get "/models/Item?id=deleted"))
  end)

  it("nor after a save", function()
    local _, second = overtaken("/item/saved", "/models/Item?id=saved", save "/models/Item?id=saved")
    assert.equal("saved", check.document(second).v)
    assert.equal(1, asked "/item/saved")
  end)

  it("nor where each wants it loaded anew", function()
    local first, second = overtaken("/item/anew", "/models/Item?id=anew", save "/models/Item?id=anew", no_cache)
    assert(n_of(second) > n_of(first))
    assert.equal(n_of(second), n_of(right:get "/models/Item?id=anew"))
  end)

  it("nor what is not to be kept", function()
    local first, second = overtaken("/brief/deleted", "/models/Brief?id=deleted", delete "/models/Brief?id=deleted")
    assert(n_of(second) > n_of(first))
    local alone, with = overtaken("/brief/quiet", "/models/Brief?id=quiet", function() end)
    assert.equal(n_of(alone), n_of(with)) -- no write: one load does for both
  end)

  it("nor, by however many ask, what costs more than one load more", function()
    local path, target = "/item/many", "/models/Item?id=many"
    source:holds(path)
    local clients = { ask(left, target) }
    eventually("the load", function() return asked(path) == 1 end)
    delete(target)()
    for i = 2, 50 do clients[i] = ask(left, target) end
    await_taken_up(left)
    source:lets_go(path)
    local old = n_of(answer(clients[1]))
    for i = 2, 50 do assert(n_of(answer(clients[i])) > old) end
    assert.equal(2, asked(path))
  end)

  it("a gateway that stood still while its lease ran out does not store what it has loaded", function()
    local path, target = "/item/stopped", "/models/Item?id=stopped"
    third = start()
    source:holds(path)
    local slow = ask(third, target)
    eventually("the load", function() return asked(path) == 1 end)
    third:signal "STOP"
    local quick = ask(right, target)
    process.eventually("another load", 5 + 5 * gateway.patience, function() return asked(path) == 2 end)
    source:lets_go(path)
    local new = n_of(answer(quick))
    third:signal "CONT"
    local response = answer(slow)
    assert(n_of(response) < new)
    assert.is_nil(check.cache_status(response).stored)
    for _, gw in ipairs { left, right, third } do assert.equal(new, n_of(gw:get(target))) end
  end)

  it("nor does it store upon a save, or bring back what was deleted", function()
    third = start()
    local clients = {}
    for _, id in ipairs { "still_saved", "still_deleted" } do
      source:holds("/item/" .. id)
      clients[id] = ask(third, "/models/Item?id=" .. id)
      eventually("the load", function() return asked("/item/" .. id) == 1 end)
    end
    third:signal "STOP"
    save "/models/Item?id=still_saved"()
    delete "/models/Item?id=still_deleted"()
    for id, client in pairs(clients) do
      source:lets_go("/item/" .. id)
      clients[id] = client
    end
    third:signal "CONT"
    for _, client in pairs(clients) do assert.is_nil(check.cache_status(answer(client)).stored) end
    for _, gw in ipairs { left, third } do
      assert.equal("saved", check.document(gw:get "/models/Item?id=still_saved").v)
      check.problem(gw:get("/models/Item?id=still_deleted", only_if_cached), 504, "not-cached")
    end
  end)

  it("a save that Redis did not answer is there or not, whole, and the same for all; the next one stands", function()
    local target = "/models/Item?id=away"
    check.status(left:put(target, '{"v":"before"}'), 201)
    server.process:signal "STOP"
    check.problem(left:put(target, '{"v":"doubtful"}'), 503, "store-unavailable")
    check.problem(right:delete "/models/Item?id=away2", 503, "store-unavailable")
    server.process:signal "CONT"
    left:await_store()
    right:await_store()
    local v = check.document(left:get(target, only_if_cached)).v
    assert(v == "before" or v == "doubtful", v)
    assert.equal(v, check.document(right:get(target, only_if_cached)).v)
    check.status(right:put(target, '{"v":"after"}'), 204)
    for _ = 1, 20 do
      for _, gw in ipairs { left, right } do assert.equal("after", check.document(gw:get(target)).v) end
      socket.sleep(0.01)
    end
  end)
end)

describe("the judge of histories finds", function()
  local history
  before_each(function() history = judge.new() end)

  local function done(kind, value) history:written(history:write("k", kind, value, "here"), "done", "204") end
  local function violations() return #history.violations end

  it("a saved value that was overwritten", function()
    done("PUT", "a")
    local early = history:read("k", "GET", "here")
    done("PUT", "b")
    history:saw(early, "a", "a", "a")
    assert.equal(0, violations())
    history:saw(history:read("k", "GET", "here"), "b", "b", "b")
    assert.equal(0, violations())
    history:saw(history:read("k", "GET", "here"), "a", "a", "a")
    assert(violations() > 0)
    check.says(history.violations[1].story, "PUT a is sent", "VIOLATION")
  end)

  it("a value loaded before a write, and none where the two overlap", function()
    local write = history:write("k", "DELETE", nil, "here")
    history:load("k", "l")
    history:written(write, "done", "204")
    history:saw(history:read("k", "GET", "here"), "l", "l", "l")
    assert.equal(0, violations())
    done "DELETE"
    history:saw(history:read("k", "GET", "here"), "l", "l", "l")
    assert(violations() > 0)
  end)

  it("a write of which nothing is known neither to rule out others nor to be ruled out", function()
    history:written(history:write("k", "PUT", "doubtful", "here"), "doubtful", "503")
    done("PUT", "a")
    history:saw(history:read("k", "GET", "here"), "doubtful", "doubtful", "")
    history:saw(history:read("k", "GET", "here"), "a", "a", "")
    assert.equal(0, violations())
  end)

  it("a save that a patch has undone", function()
    done("PUT", "a")
    local patch = history:write("k", "PATCH", "p", "here")
    done("PUT", "b")
    history:written(patch, "done", "204")
    history:saw(history:read("k", "GET", "here"), "p", "b", "")
    assert.equal(0, violations())
    history:saw(history:read("k", "GET", "here"), "p", "a", "")
    assert.equal(1, violations())
  end)

  it("a save that is lost, and a miss that is out of date", function()
    done "DELETE"
    history:saw_nothing(history:read("k", "LOOK", "here"), "504")
    history:load("k", nil)
    history:saw_missing(history:read("k", "GET", "here"), "404")
    assert.equal(0, violations())
    done("PUT", "a")
    history:saw_nothing(history:read("k", "LOOK", "here"), "504")
    history:saw_missing(history:read("k", "GET", "here"), "404")
    assert.equal(2, violations())
  end)

  it("what nobody has said", function()
    history:saw(history:read("k", "GET", "here"), "x", "x", "")
    assert(violations() > 0)
  end)
end)

describe("3000 random steps", function()
  local function judged(options)
    local figures, violations = interleave.run(options)
    for _, violation in ipairs(violations) do error(("%s %s\n%s"):format(violation.key, violation.what, violation.story)) end
    assert(figures.steps >= options.steps)
    assert(figures.conflicts > 0, "no load met a write: " .. interleave.tell(figures))
    assert(figures.collapsed > 0, "no load served many: " .. interleave.tell(figures))
  end

  for _, store in ipairs { "memory", "redis", "cluster" } do
    it("on " .. store .. ", and none against the rules", function() judged { store = store, steps = 3000, seed = os.time() } end)
  end

  it("on Redis, with gateways and connections that end in the middle", function()
    judged { store = "redis", steps = 3000, seed = os.time(), chaos = true }
  end)
end)
