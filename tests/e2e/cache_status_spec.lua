-- tests/e2e/cache_status_spec.lua -- every way in which a read may end, and that Cache-Status, Cache-Control, Age, ETag and Date say so truly: in
-- GET, in HEAD, and in the 304 of who has it already. The grammar is check.cache_status's.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local origin = require "tests.support.origin"
local process = require "tests.support.process"
local socket = require "socket"

local models = [[
local function ask(self, ctx)
  local r = http.get(env "ORIGIN" .. "/" .. self.id, { timeout = 5 })
  if r.status == 404 then return missing end
  if r.status ~= 200 then error("the origin says " .. r.status) end
  self.v = r.body
  if self.id:find "^unkept" then ctx.expires = 0 end
end
model "Plain" { id = key(), v = field() }
model "Timed" { id = key(), v = field(), options = { expires = 600 } }
model "Loaded" { id = key(), v = field(), options = { expires = 600, negative = 600 }, from_miss = ask,
  twice = cached_method{ on = { "id" }, expires = 600, function(self) return self.id .. self.id end } }
model "Forgets" { id = key(), v = field(), options = { expires = 600 }, from_miss = ask }
model "Forever" { id = key(), v = field(), from_miss = ask }
model "While" { id = key(), v = field(), options = { expires = 0.3, stale_while_revalidate = 600 }, from_miss = ask }
model "Error" { id = key(), v = field(), options = { expires = 0.3, stale_if_error = 600 }, from_miss = ask }
model "Parent" { id = key(), child = reference "Loaded", plain = reference{ "Plain", missing = "null" }, options = { expires = 600 } }
form "Find" { who = input{ required = true }, it = cached_form_method{ expires = 600, function(self) return self.cleaned_data.who end } }
]]

local YEAR = 31536000

-- What its other headers must be, given its Cache-Status.
local function check_truth(answer)
  local status, control = check.cache_status(answer), check.cache_control(answer)
  local age = answer.headers.age
  assert.matches("^%a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT$", answer.headers.date)
  assert.is_nil(answer.headers.vary)
  local kept = status.hit or status.stored
  if kept then
    assert.matches("^%d+$", age)
    assert.equal(math.max(0, status.ttl or YEAR), control["max-age"])
    assert.is_nil(control["no-store"])
    if (status.ttl or 1) > 0 then assert.is_true(tonumber(age) <= 1) end
  else
    assert.is_true(control["no-store"] or status.collapsed and control["max-age"] > 0)
    assert.is_nil(status.ttl)
  end
  if answer.status == 200 then
    assert.matches('^"%x+"$', answer.headers.etag)
    assert.truthy(age)
  else
    assert.is_nil(answer.headers.etag)
  end
  assert.is_nil(control.private)
  return status
end

-- What is found is told alike by GET, HEAD, and 304.
local function check_alike(gw, target, answer)
  local same = { "cache-control", "cache-status", "etag", "age", "vary" }
  local head = gw:head(target)
  check.status(head, answer.status)
  local known = answer.status == 200 and check.status(gw:get(target, { ["If-None-Match"] = answer.headers.etag }), 304)
  for _, name in ipairs(same) do
    local shape = function(r) return ((r.headers[name] or "none"):gsub("%d+", "0"):gsub("detail=near", "detail=redis")) end
    local wanted = name == "etag" and answer.headers.etag or shape(answer)
    assert.equal(wanted, name == "etag" and head.headers.etag or shape(head))
    if known then assert.equal(wanted, name == "etag" and known.headers.etag or shape(known)) end
  end
  if known then
    assert.truthy(known.headers.date)
    assert.is_nil(known.headers["content-type"])
    assert.is_nil(known.headers["content-length"])
  end
end

for _, store in ipairs { "memory", "redis" } do
  describe("what is told of an answer, on " .. store, function()
    local gw, source
    setup(function()
      source = origin.start()
      gw = gateway.start { models = models, store = store, env = { ORIGIN = source.url }, beside = { source }, fds = 40 }
    end)
    teardown(function() gw:finish() end)

    -- Asks, and compares: `wanted` is Cache-Status, with N for a number.
    local function tells(wanted, status, target, headers, method)
      local answer = gw:request(method or "GET", target, headers)
      check.status(answer, status)
      local found = check_truth(answer)
      local text = answer.headers["cache-status"]:gsub("%d+", "N"):gsub("detail=near", "detail=redis")
      assert.equal(wanted:gsub("STORE", store), text)
      if found.hit and not method and not headers then check_alike(gw, target, answer) end
      return answer
    end

    local function stale(model, path, value)
      source:says("/" .. path, 200, value or "old")
      check.status(gw:get(("/models/%s?id=%s"):format(model, path)), 200)
      socket.sleep(0.4)
    end

    it("found", function()
      check.status(gw:put("/models/Plain?id=a", '{"v":1}'), 201)
      check.status(gw:put("/models/Timed?id=a", '{"v":1}'), 201)
      tells("perigee; hit; detail=STORE", 200, "/models/Plain?id=a")
      tells("perigee; hit; ttl=N; detail=STORE", 200, "/models/Timed?id=a")
    end)

    it("loaded and kept, with an end and without; then found", function()
      source:says("/b", 200, "x")
      tells("perigee; fwd=uri-miss; stored; ttl=N", 200, "/models/Loaded?id=b")
      tells("perigee; hit; ttl=N; detail=STORE", 200, "/models/Loaded?id=b")
      tells("perigee; fwd=uri-miss; stored", 200, "/models/Forever?id=b")
      tells("perigee; hit; detail=STORE", 200, "/models/Forever?id=b")
    end)

    it("loaded and not kept", function()
      source:says("/unkept", 200, "x")
      tells("perigee; fwd=uri-miss", 200, "/models/Loaded?id=unkept")
    end)

    it("loaded by another request", function()
      source:says("/shared", 200, "x")
      source:holds "/shared"
      local requests = {}
      for i = 1, 3 do
        requests[i] = http.connect(gw.address)
        requests[i]:send(http.format("GET", "/models/Loaded?id=shared"))
      end
      process.eventually("the load", 10, function() return source:asked "/shared " == 1 end)
      check.status(gw:get "/models/Plain?id=a", 200) -- behind which all three have been read
      source:lets_go "/shared"
      local told = {}
      for i = 1, 3 do
        local answer = check.status(requests[i]:receive(), 200)
        local status = check_truth(answer)
        told[status.stored and "stored" or status.collapsed and "collapsed" or status.hit and "hit"] = answer.headers["cache-status"]
        requests[i]:close()
      end
      assert.equal("perigee; fwd=uri-miss; stored; ttl=600", told.stored)
      assert.equal("perigee; fwd=uri-miss; collapsed", told.collapsed)
    end)

    it("known to be missing, once it has been asked for", function()
      source:says("/none", 404, "")
      tells("perigee; fwd=uri-miss; stored; ttl=N", 404, "/models/Loaded?id=none")
      tells("perigee; hit; ttl=N; detail=STORE", 404, "/models/Loaded?id=none")
      tells("perigee; fwd=uri-miss", 404, "/models/Forgets?id=none")
    end)

    it("missing, and nobody to ask", function()
      tells("perigee; detail=missing", 404, "/models/Plain?id=none")
      tells("perigee; detail=missing", 404, "/models/Loaded?id=never", nil, "HEAD")
      tells("perigee; detail=not-cached", 504, "/models/Loaded?id=never", { ["Cache-Control"] = "only-if-cached" })
      tells("perigee; detail=not-cached", 504, "/models/Plain?id=none", { ["Cache-Control"] = "only-if-cached" })
    end)

    it("stale: at once, where a load fails, and while it is demanded", function()
      stale("While", "while")
      source:holds "/while"
      tells("perigee; hit; ttl=-N; detail=stale", 200, "/models/While?id=while")
      source:lets_go "/while"
      stale("Error", "error")
      source:says("/error", 500, "")
      tells("perigee; hit; ttl=-N; detail=stale", 200, "/models/Error?id=error", {}) -- HEAD would not ask, and tells nothing of it
      tells("perigee; hit; ttl=-N; detail=stale", 200, "/models/Error?id=error", { ["Cache-Control"] = "max-stale" })
    end)

    it("loaded because what is there is stale, or because the client demands it", function()
      stale("Error", "anew")
      tells("perigee; fwd=stale; stored; ttl=N", 200, "/models/Error?id=anew")
      source:says("/demand", 200, "x")
      check.status(gw:get "/models/Loaded?id=demand", 200)
      tells("perigee; fwd=request; stored; ttl=N", 200, "/models/Loaded?id=demand", { ["Cache-Control"] = "no-cache" })
      tells("perigee; fwd=request; stored; ttl=N", 200, "/models/Loaded?id=demand", { ["Cache-Control"] = "max-age=0" })
    end)

    it("failed: with nothing, with what the client does not take, and in the pause after", function()
      source:says("/bad", 500, "")
      tells("perigee; fwd=uri-miss; detail=loader-error", 502, "/models/Loaded?id=bad")
      tells("perigee; fwd=uri-miss; detail=loader-error", 502, "/models/Loaded?id=bad")
      tells("perigee; detail=loader-error", 502, "/models/Loaded?id=bad") -- not asked again yet
      tells("perigee; fwd=request; detail=loader-error", 502, "/models/Loaded?id=bad", { ["Cache-Control"] = "no-cache" })
      stale("Error", "worse")
      source:says("/worse", 500, "")
      tells("perigee; fwd=stale; detail=loader-error", 502, "/models/Error?id=worse", { ["Cache-Control"] = "max-stale=0" })
    end)

    it("documents: found, loaded in part, with a part that is missing or fails", function()
      source:says("/child", 200, "x")
      check.status(gw:put("/models/Plain?id=there", '{"v":1}'), 201)
      check.status(gw:put("/models/Parent?id=p", '{"child":{"id":"child"},"plain":{"id":"there"}}'), 201)
      check.status(gw:put("/models/Parent?id=lacks", '{"plain":{"id":"nowhere"}}'), 201)
      check.status(gw:put("/models/Parent?id=fails", '{"child":{"id":"broken"}}'), 201)
      check.status(gw:put("/models/Parent?id=gone", '{"child":{"id":"absent"}}'), 201)
      source:says("/broken", 500, "")
      source:says("/absent", 404, "")
      tells("perigee; fwd=uri-miss; stored; ttl=N", 200, "/models/Parent?id=p")
      tells("perigee; hit; ttl=N; detail=STORE", 200, "/models/Parent?id=p")
      tells("perigee; fwd=request; stored; ttl=N", 200, "/models/Parent?id=p", { ["Cache-Control"] = "max-age=0" })
      tells("perigee; detail=missing", 200, "/models/Parent?id=lacks")
      tells("perigee; fwd=uri-miss; detail=loader-error", 502, "/models/Parent?id=fails")
      tells("perigee; fwd=uri-miss; stored; ttl=N", 404, "/models/Parent?id=gone")
      tells("perigee; hit; ttl=N; detail=STORE", 404, "/models/Parent?id=gone")
    end)

    it("results", function()
      tells("perigee; fwd=uri-miss; stored; ttl=N", 200, "/models/Loaded/twice?id=r")
      tells("perigee; hit; ttl=N; detail=STORE", 200, "/models/Loaded/twice?id=r")
      tells("perigee; fwd=uri-miss; stored; ttl=N", 200, "/forms/Find/it?who=r")
      tells("perigee; hit; ttl=N; detail=STORE", 200, "/forms/Find/it?who=r")
      tells("perigee; hit; ttl=N; detail=STORE", 200, "/forms/Find/it?who=r", nil, "POST")
    end)

    it("explained", function()
      source:says("/why", 200, "x")
      local answer = gw:get "/models/Loaded?id=why&_explain=1"
      assert.equal("uri-miss", check.cache_status(check.status(answer, 200)).fwd)
      assert.equal("no-store", answer.headers["cache-control"])
    end)

    it("what was asked wrongly tells nothing of caches", function()
      for _, target in ipairs { "/models/Plain", "/models/None?id=1", "/nothing", "/models/Plain?id=a&_depth=x" } do
        local answer = gw:get(target)
        assert.is_nil(answer.headers["cache-status"])
        assert.equal("no-store", answer.headers["cache-control"])
      end
    end)

    it("entity tags in several lines are one list, and beat dates", function()
      local etag = gw:get("/models/Plain?id=a").headers.etag
      local connection = http.connect(gw.address)
      local function status(lines)
        connection:send("GET /models/Plain?id=a HTTP/1.1\r\nHost: x\r\n" .. lines .. "\r\n\r\n")
        return connection:receive().status
      end
      assert.equal(304, status('If-None-Match: "a"\r\nIf-None-Match: W/' .. etag))
      assert.equal(200, status('If-None-Match: "a"\r\nIf-None-Match: "b"'))
      assert.equal(304, status("If-None-Match: " .. etag .. "\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"))
      assert.equal(200, status 'If-None-Match: "a"\r\nIf-Modified-Since: Sun, 06 Nov 2094 08:49:37 GMT')
      assert.equal(200, status "If-Modified-Since: Sun, 06 Nov 2094 08:49:37 GMT")
      assert.equal(200, status 'If-None-Match: "\195\164"')
      connection:close()
    end)
  end)
end

describe("what is told of an answer where Redis is away", function()
  local gw, source
  setup(function()
    source = origin.start()
    gw = gateway.start {
      models = models, store = "redis://127.0.0.1:" .. process.free_port(), env = { ORIGIN = source.url }, beside = { source }, fds = 40,
    }
  end)
  teardown(function() gw:finish() end)

  it("is that nothing is known, or that nothing is kept", function()
    source:says("/a", 200, "x")
    local answer = gw:get "/models/Plain?id=a"
    check.problem(answer, 503, "store-unavailable")
    assert.equal("perigee; detail=store-unavailable", answer.headers["cache-status"])
    answer = check.status(gw:get "/models/Loaded?id=a", 200)
    assert.equal("perigee; fwd=uri-miss", answer.headers["cache-status"])
    assert.equal("no-store", answer.headers["cache-control"])
  end)
end)

describe("what is told of an answer where there are tokens", function()
  local gw, folder
  local bearer = { Authorization = "Bearer planted-0123456789" }
  setup(function()
    folder = process.temp()
    process.write(folder .. "/tokens", "planted-0123456789 all read,write,refresh\n")
    os.execute("chmod 600 " .. folder .. "/tokens")
    gw = gateway.start { models = models, args = { "--token-file", folder .. "/tokens" }, env = { ORIGIN = "-" },
      beside = { { stop = function() process.remove(folder) end } } }
  end)
  teardown(function() gw:finish() end)

  it("is for nobody else", function()
    check.status(gw:put("/models/Timed?id=a", '{"v":1}', bearer), 201)
    assert.matches("^private, max%-age=%d+$", check.status(gw:get("/models/Timed?id=a", bearer), 200).headers["cache-control"])
    assert.equal("no-store", gw:get("/models/Timed?id=b", bearer).headers["cache-control"])
    for _, target in ipairs { "/models", "/models/Timed/_schema", "/openapi.json" } do
      assert.equal("private, no-cache", check.status(gw:get(target, bearer), 200).headers["cache-control"])
    end
  end)
end)
