-- tests/e2e/actions_spec.lua -- POST _touch, _invalidate and _refresh: another life for a record, its end, and a load whether it is there or not.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local origin = require "tests.support.origin"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local cjson = require "cjson"

local models = [[
model "Note" { id = key(), n = field{ type = "integer" }, place = reference "Place", options = { expires = 100, tags = function() return { "t" } end } }
model "Place" { name = key(), phone = field() }
model "Pair" { a = key{ type = "integer" }, b = key{ default = "x" }, v = field() }
model "Page" { id = key(), v = field(), place = reference "Place",
  options = { expires = 300, negative = 60, stale_while_revalidate = 30, stale_if_error = 600, hard_timeout = 5 },
  from_miss = function(self, ctx)
    local r = http.get(env "ORIGIN" .. "/page/" .. self.id)
    if r.status == 404 then return missing end
    if r.status ~= 200 then error "no" end
    self.v = r.body
  end }
model "Plain" { id = key(), v = field(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self) self.v = http.get(env "ORIGIN" .. "/plain/" .. self.id).body end }
]]

for _, store in ipairs { "memory", "redis", "cluster" } do
  for _, workers in ipairs { 1, 2 } do
    describe(("actions on %s with %d worker(s)"):format(store, workers), function()
      local gw, source
      setup(function()
        source = origin.start()
        gw = gateway.start { models = models, store = store, workers = workers, fds = 60, env = { ORIGIN = source.url }, beside = { source } }
      end)
      teardown(function() gw:finish() end)

      local function post(target, body, headers)
        return gw:request("POST", target, headers, type(body) == "table" and cjson.encode(body) or body)
      end
      local function touch(model, body) return post("/models/" .. model .. "/_touch", body) end
      local function invalidate(model, body) return post("/models/" .. model .. "/_invalidate", body) end
      local function refresh(model, body, query) return post("/models/" .. model .. "/_refresh" .. (query or ""), body) end
      local function left(target) return check.cache_control(check.status(gw:get(target), 200))["max-age"] end

      it("says what it takes", function()
        for _, path in ipairs { "/models/Note/_touch", "/models/Note/_invalidate", "/models/Note/_refresh", "/models/Note/_bulk", "/_invalidate" } do
          assert.equal("POST, OPTIONS", check.status(gw:request("OPTIONS", path), 204).headers.allow)
          for _, method in ipairs { "GET", "HEAD", "PUT", "PATCH", "DELETE" } do
            assert.equal("POST, OPTIONS", check.status(gw:request(method, path, nil, method == "PUT" and "{}" or nil), 405).headers.allow)
          end
        end
        check.problem(post("/models/Nothing/_touch", "{}"), 404, "unknown-model")
        check.says(check.problem(post("/models/Note/_tuch", "{}"), 404, "not-found").detail, "did you mean `_touch`?")
      end)

      it("refuses bodies that are none of theirs", function()
        for _, action in ipairs { "_touch", "_invalidate", "_refresh" } do
          local path = (action == "_refresh" and "/models/Page/" or "/models/Note/") .. action
          check.problem(post(path, ""), 400, "malformed-json")
          check.problem(post(path, "[]"), 400, "malformed-request")
          check.problem(post(path, "{}"), 400, "malformed-request")
          check.problem(post(path, '{"keys":[]}'), 400, "malformed-request")
          check.problem(post(path, '{"keys":{}}'), 400, "key-required")
          check.problem(post(path, '{"keys":{"id":1}}'), 400, "key-type")
          check.says(check.problem(post(path, '{"keys":{"ID":"x"}}'), 400, "unknown-key").detail, "did you mean `id`?")
          check.says(check.problem(post(path, '{"key":{"id":"x"}}'), 400, "malformed-request").detail, "did you mean `keys`?")
          check.says(check.problem(post(path, '{"keys":{"id":"x"},"zzzzzzz":1}'), 400, "malformed-request").detail, "keys")
          check.problem(post(path .. "?id=x", '{"keys":{"id":"x"}}'), 400, "malformed-request")
          check.problem(post(path .. "?_expires=1", '{"keys":{"id":"x"}}'), 400, "malformed-request")
          check.problem(post(path, '{"keys":{"id":"x"}}', { ["Content-Type"] = "text/plain" }), 415, "unsupported-media")
          check.problem(post(path, '{"keys":{"id":"x"}}', { ["If-Match"] = "*" }), 501, "not-implemented")
        end
        for _, expires in ipairs { '"soon"', "-1", "null", "true", "{}", '""', "1e400" } do
          check.problem(touch("Note", '{"keys":{"id":"x"},"expires":' .. expires .. "}"), 400, "malformed-request")
        end
        check.problem(invalidate("Note", '{"keys":{"id":"x"},"mode":"drop"}'), 400, "malformed-request")
        check.problem(invalidate("Note", '{"all":1}'), 400, "malformed-request")
        check.problem(refresh("Page", '{"keys":{"id":"x"},"wait":1}'), 400, "malformed-request")
      end)

      it("touch gives a record a new life and changes nothing else", function()
        local it = "/models/Note?id=touched"
        gw:delete(it)
        check.status(gw:put("/models/Place?name=here", '{"phone":"1"}'), 201)
        local etag = check.status(gw:put(it .. "&_expires=20", '{"n":10,"place":{"name":"here"}}'), 201).headers.etag
        local before = check.status(gw:get(it), 200)
        local touched = check.status(touch("Note", { keys = { id = "touched" }, expires = 600 }), 204)
        assert.equal(etag, touched.headers.etag)
        assert.equal("", touched.body)
        assert(left(it) > 500)
        local after = check.status(gw:get(it), 200)
        assert.equal(before.body, after.body) -- its reference is resolved still
        assert.equal(before.headers.etag, after.headers.etag)
        check.status(touch("Note", { keys = { id = "touched" } }), 204) -- the model's
        assert(left(it) <= 100 and left(it) > 70)
        check.status(touch("Note", { keys = { id = "touched" }, expires = "15m" }), 204)
        assert(left(it) > 800)
        check.status(touch("Note", { keys = { id = "touched" }, expires = 0.2 }), 204)
        process.eventually("it is over", 5, function() return gw:head(it).status == 404 end)
      end)

      it("touch with 0 ends it", function()
        check.status(gw:put("/models/Note?id=ends", '{"n":1}'), 201)
        check.status(touch("Note", { keys = { id = "ends" }, expires = 0 }), 204)
        process.eventually("it is over", 5, function() return gw:head("/models/Note?id=ends").status == 404 end)
      end)

      it("touch finds only what is there and fresh, and loads nothing", function()
        local problem = check.problem(touch("Pair", { keys = { a = 1 } }), 404, "missing")
        assert.equal("Pair", problem.model)
        assert.same({ a = 1, b = "x" }, problem.keys)
        check.problem(touch("Plain", { keys = { id = "cold" } }), 404, "missing")
        assert.equal(0, (source:asked "/plain/cold "))
        source:says("/page/none", 404, "")
        check.problem(gw:get "/models/Page?id=none", 404, "missing")
        check.problem(touch("Page", { keys = { id = "none" } }), 404, "missing")
        source:says("/page/old", 500, "")
        check.status(gw:put("/models/Page?id=old&_expires=100ms", '{"v":"old"}'), 201)
        process.eventually("it is stale", 5, function() return check.cache_status(gw:get "/models/Page?id=old").detail == "stale" end)
        check.problem(touch("Page", { keys = { id = "old" } }), 404, "missing")
      end)

      it("invalidate removes, whether it was there or not", function()
        check.status(gw:put("/models/Note?id=gone", '{"n":1}'), 201)
        for _ = 1, 2 do assert.equal("", check.status(invalidate("Note", { keys = { id = "gone" } }), 204).body) end
        check.status(gw:get "/models/Note?id=gone", 404)
        check.status(gw:put("/models/Note?id=gone", '{"n":1}'), 201)
        check.status(invalidate("Note", { keys = { id = "gone" }, mode = "remove" }), 204)
        check.status(gw:get "/models/Note?id=gone", 404)
        check.status(gw:put("/models/Note?id=gone", '{"n":1}'), 201)
        check.status(invalidate("Note", { keys = { id = "gone" }, mode = "expire" }), 204) -- nothing could make it better: removed
        check.status(gw:get "/models/Note?id=gone", 404)
        source:says("/plain/gone", 200, "a")
        assert.equal("a", check.document(gw:get "/models/Plain?id=gone").v)
        source:says("/plain/gone", 200, "b")
        check.status(invalidate("Plain", { keys = { id = "gone" }, mode = "expire" }), 204) -- it never answers stale
        assert.equal("b", check.document(gw:get "/models/Plain?id=gone").v)
      end)

      it("invalidate with `expire` keeps a fallback", function()
        local it = "/models/Page?id=fall"
        source:says("/page/fall", 200, "one")
        check.status(gw:get(it), 200)
        source:says("/page/fall", 500, "")
        check.status(invalidate("Page", { keys = { id = "fall" }, mode = "expire" }), 204)
        local stale = check.status(gw:get(it), 200)
        assert.equal("stale", check.cache_status(stale).detail)
        assert.equal("one", check.document(stale).v)
        check.status(invalidate("Page", { keys = { id = "fall" }, mode = "expire" }), 204) -- once more: as before
        assert.equal("stale", check.cache_status(gw:get(it)).detail)
        source:says("/page/fall", 200, "two")
        process.eventually("it is loaded again", 10, function() return check.document(gw:get(it)).v == "two" end)

        source:says("/page/nil", 404, "")
        local none = "/models/Page?id=nil"
        check.problem(gw:get(none), 404, "missing")
        source:says("/page/nil", 200, "there by now")
        assert.is_true(check.cache_status(gw:get(none)).hit)
        check.status(invalidate("Page", { keys = { id = "nil" }, mode = "expire" }), 204) -- what is missing is no fallback
        assert.equal("there by now", check.document(gw:get(none)).v)
      end)

      it("what was loaded before an invalidation is not kept", function()
        for _, mode in ipairs { "remove", "expire" } do
          for _, there in ipairs { false, true } do
            local id = ("race-%s-%s"):format(mode, tostring(there))
            local path = "/page/" .. id
            if there then check.status(gw:put("/models/Page?id=" .. id, '{"v":"put"}'), 201) end
            source:says(path, 200, "late")
            source:holds(path)
            local waiting = http.connect(gw.address)
            waiting:send(http.format("GET", "/models/Page?id=" .. id, { ["Cache-Control"] = "no-cache" }))
            process.eventually("the origin is asked", 5, function() return source:asked(path .. " ") == 1 end)
            check.status(invalidate("Page", { keys = { id = id }, mode = mode }), 204)
            source:says(path, 200, "early")
            source:lets_go(path)
            assert.equal("early", check.document(waiting:receive()).v)
            waiting:close()
            source:says(path, 200, "late")
            process.eventually("it is loaded anew", 5, function() return check.document(gw:get("/models/Page?id=" .. id)).v == "late" end)
            if not there then assert.equal(2, (source:asked(path .. " "))) end
          end
        end
      end)

      it("refresh loads and answers as GET with no-cache does", function()
        source:says("/plain/fresh", 200, "one")
        assert.equal("one", check.document(gw:get "/models/Plain?id=fresh").v)
        source:says("/plain/fresh", 200, "two")
        assert.equal("one", check.document(gw:get "/models/Plain?id=fresh").v)
        local answer = check.status(refresh("Plain", { keys = { id = "fresh" }, wait = true }), 200)
        assert.equal("two", check.document(answer).v)
        local status = check.cache_status(answer)
        assert.equal("request", status.fwd)
        assert.is_true(status.stored)
        local again = gw:get "/models/Plain?id=fresh"
        assert.equal(answer.headers.etag, again.headers.etag)
        assert.is_true(check.cache_status(again).hit)
        source:says("/page/nothing", 404, "")
        source:says("/page/broken", 500, "")
        check.problem(refresh("Page", { keys = { id = "nothing" }, wait = true }), 404, "missing")
        check.problem(refresh("Page", { keys = { id = "broken" }, wait = true }), 502, "loader-error")
        check.says(check.problem(refresh("Note", { keys = { id = "x" } }), 404, "not-found").detail, "no loader")
      end)

      it("refresh shows as much of the document as is asked for", function()
        source:says("/page/part", 200, "whole")
        assert.equal('{"id":"part","v":"whole"}', check.status(refresh("Page", { keys = { id = "part" }, wait = true }), 200).body)
        assert.equal('{"v":"whole"}', check.status(refresh("Page", { keys = { id = "part" }, wait = true }, "?_fields=v"), 200).body)
        check.status(refresh("Page", { keys = { id = "part" }, wait = true }, "?_depth=0"), 200)
        check.problem(refresh("Page", { keys = { id = "part" } }, "?_fields=w"), 422, "unknown-field")
        check.problem(refresh("Page", { keys = { id = "part" } }, "?_depth=x"), 400, "malformed-request")
      end)

      it("refresh without wait loads behind the answer, once however often it is asked", function()
        source:says("/plain/behind", 200, "before")
        check.status(gw:get "/models/Plain?id=behind", 200)
        source:says("/plain/behind", 200, "after")
        source:holds "/plain/behind"
        for _ = 1, 3 do assert.equal("", check.status(refresh("Plain", { keys = { id = "behind" } }), 202).body) end
        assert.equal("before", check.document(gw:get "/models/Plain?id=behind").v)
        source:lets_go "/plain/behind"
        process.eventually("it is loaded", 5, function() return check.document(gw:get "/models/Plain?id=behind").v == "after" end)
        assert.equal(2, (source:asked "/plain/behind "))
        check.status(refresh("Plain", { keys = { id = "unseen" }, wait = false }), 202)
        process.eventually("it is there", 5, function() return gw:head("/models/Plain?id=unseen").status == 200 end)
      end)

      it("refresh tries again what has just failed", function()
        local id = "back"
        source:says("/page/back", 500, "")
        for _ = 1, 4 do check.status(gw:get("/models/Page?id=" .. id), 502) end
        source:says("/page/back", 200, "up again")
        assert.equal("up again", check.document(refresh("Page", { keys = { id = id }, wait = true })).v)
      end)

      it("counts", function()
        local function count(op, outcome) return gw:metric("perigee_requests_total", { model = "Note", op = op, outcome = outcome }) or 0 end
        local before = { count("touch", "missing"), count("invalidate", "deleted"), count("refresh", "not-found") }
        touch("Note", { keys = { id = "nobody" } })
        invalidate("Note", { keys = { id = "nobody" } })
        refresh("Note", { keys = { id = "nobody" } })
        assert.same({ before[1] + 1, before[2] + 1, before[3] + 1 }, { count("touch", "missing"), count("invalidate", "deleted"), count("refresh", "not-found") })
      end)

      it("clients that leave hold nobody up", function()
        source:says("/plain/left", 200, "here")
        for _ = 1, 5 do
          local leaving = {}
          for i, target in ipairs { "Plain/_refresh", "Plain/_touch", "Plain/_invalidate", "Page/_invalidate" } do
            leaving[i] = http.connect(gw.address)
            leaving[i]:send(http.format("POST", "/models/" .. target, nil, '{"keys":{"id":"left"}' .. (i == 1 and ',"wait":true}' or "}")))
          end
          for _, connection in ipairs(leaving) do connection:reset() end
        end
        assert.equal("here", check.document(refresh("Plain", { keys = { id = "left" }, wait = true })).v)
      end)
    end)
  end
end

describe("actions before a Redis of their own", function()
  local server, gateways, source
  setup(function()
    server = redis.start()
    source = origin.start()
    gateways = {}
    for i = 1, 2 do
      gateways[i] = gateway.start { models = models, store = server.url, workers = 2, fds = 60, env = { ORIGIN = source.url } }
      gateways[i]:await_store()
    end
  end)
  teardown(function()
    for _, gw in ipairs(gateways) do gw:finish() end
    source:stop()
    server:stop()
  end)

  it("touch moves the end of the record in the store", function()
    check.status(gateways[1]:put("/models/Note?id=ttl&_expires=20", '{"n":1}'), 201)
    local key = server:command("KEYS", "*id=ttl")[1]
    check.status(gateways[2]:request("POST", "/models/Note/_touch", nil, '{"keys":{"id":"ttl"},"expires":900}'), 204)
    local ttl = server:command("PTTL", key)
    assert(ttl > 800000 and ttl <= 900000, ttl)
  end)

  it("expire keeps the record as long as it may be of use", function()
    check.status(gateways[1]:put("/models/Page?id=kept&_expires=50", '{"v":"kept"}'), 201)
    local key = server:command("KEYS", "*id=kept")[1]
    check.status(gateways[2]:request("POST", "/models/Page/_touch", nil, '{"keys":{"id":"kept"},"expires":20}'), 204)
    check.status(gateways[1]:request("POST", "/models/Page/_invalidate", nil, '{"keys":{"id":"kept"},"mode":"expire"}'), 204)
    local ttl = server:command("PTTL", key)
    assert(ttl > 500000 and ttl <= 620000, ttl)
    source:says("/page/kept", 500, "")
    assert.equal("stale", check.cache_status(gateways[1]:get "/models/Page?id=kept").detail)
  end)

  it("an invalidation through one gateway stops what another is loading from being kept", function()
    for _, mode in ipairs { "remove", "expire" } do
      local id = "far-" .. mode
      local path = "/page/" .. id
      check.status(gateways[1]:put("/models/Page?id=" .. id, '{"v":"put"}'), 201)
      source:says(path, 200, "early")
      source:holds(path)
      local waiting = http.connect(gateways[1].address)
      waiting:send(http.format("GET", "/models/Page?id=" .. id, { ["Cache-Control"] = "no-cache" }))
      process.eventually("the origin is asked", 5, function() return source:asked(path .. " ") == 1 end)
      check.status(gateways[2]:request("POST", "/models/Page/_invalidate", nil, cjson.encode { keys = { id = id }, mode = mode }), 204)
      source:lets_go(path)
      check.status(waiting:receive(), 200)
      waiting:close()
      source:says(path, 200, "late")
      process.eventually("it is loaded anew", 5, function() return check.document(gateways[2]:get("/models/Page?id=" .. id)).v == "late" end)
    end
  end)

  it("a store that is away is told", function()
    server.process:signal "STOP"
    for _, action in ipairs { "_touch", "_invalidate" } do
      check.problem(gateways[1]:request("POST", "/models/Note/" .. action, nil, '{"keys":{"id":"x"}}'), 503, "store-unavailable")
    end
    server.process:signal "CONT"
    gateways[1]:await_store(20)
  end)
end)
