-- tests/e2e/invalidate_spec.lua -- all records of a model, or all that carry a tag, invalidated at once: on the memory store, on Redis, and by one
-- gateway for another, with near copies and without.
local check = require "tests.support.check"
local cjson = require "cjson"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local origin = require "tests.support.origin"
local process = require "tests.support.process"
local redis = require "tests.support.redis"

local models = [[
local function load(self, ctx, name)
  local r = http.get(env "ORIGIN" .. "/" .. name .. "/" .. self.id, { timeout = 15 })
  if r.status == 404 then
    ctx.tag("none:" .. self.id)
    if r.body == "not for long" then ctx.expires = 0 end
    return missing
  end
  if r.status ~= 200 then error("the origin says " .. r.status) end
  self.v = r.body
  if self.v:match "^tag" then ctx.tag(self.v) end
end
model "Note" { id = key(), v = field(), options = { tags = function(self) return { "note:" .. (self.v or "") } end } }
model "Other" { id = key(), v = field(), note = reference{ "Note", missing = "null" } }
model "Page" { id = key(), v = field(), options = { expires = 300, negative = 60, hard_timeout = 20 },
  from_miss = function(self, ctx) return load(self, ctx, "page") end,
  shout = cached_method{ on = { "id" }, expires = 300, function(self) return http.get(env "ORIGIN" .. "/shout/" .. self.id).body end } }
model "Kept" { id = key(), v = field(), options = { expires = 300, stale_if_error = 600, hard_timeout = 20 },
  from_miss = function(self, ctx) return load(self, ctx, "kept") end }
model "Behind" { id = key(), v = field(), options = { expires = 300, stale_while_revalidate = 600, hard_timeout = 20 },
  from_miss = function(self, ctx) return load(self, ctx, "behind") end }
model "Same" { id = key(), v = field(), options = { expires = 300, stale_while_revalidate = 600, hard_timeout = 20 },
  from_miss = function(self, ctx)
    local r = http.get(env "ORIGIN" .. "/same/" .. self.id, { timeout = 15 })
    if r.status == 304 then return ctx.not_modified() end
    self.v = r.body
    ctx.tag "same"
  end }
model "Strict" { id = key(), v = field(), options = { expires = 300, stale_if_error = 600, hard_timeout = 20,
    validate = function(self) if self.v == "refused" then return "v", "not this" end end },
  from_miss = function(self, ctx) return load(self, ctx, "strict") end }
form "Ask" { name = input{ required = true },
  answer = cached_form_method{ expires = 300, function(self) return http.get(env "ORIGIN" .. "/ask/" .. self.cleaned_data.name).body end } }
]]

local no_cache = { ["Cache-Control"] = "no-cache" }
local only_if_cached = { ["Cache-Control"] = "only-if-cached" }

local setups = {
  { name = "in memory", store = "memory", workers = 2 },
  { name = "in Redis", store = "redis", workers = 2 },
  { name = "by another gateway", store = "redis", workers = 1, two = true },
  { name = "by another gateway, without near copies", store = "redis", workers = 1, two = true, args = { "--near-cache-bytes", "0" } },
}

for _, case in ipairs(setups) do
  describe("invalidation " .. case.name, function()
    local server, source, gw, other -- other invalidates; gw is read
    setup(function()
      source = origin.start()
      if case.store == "redis" then server = redis.start() end
      local function start()
        local one = gateway.start {
          models = models, store = server and server.url or "memory", workers = case.workers, args = case.args, env = { ORIGIN = source.url }, fds = 60,
        }
        one:await_store()
        return one
      end
      gw = start()
      other = case.two and start() or gw
    end)
    teardown(function()
      if other ~= gw then other:finish() end
      gw:finish()
      source:stop()
      if server then server:stop() end
    end)

    local function post(where, target, body) return where:request("POST", target, nil, type(body) == "table" and cjson.encode(body) or body) end
    local function all(model, mode) check.status(post(other, "/models/" .. model .. "/_invalidate", { all = true, mode = mode }), 204) end
    local function tags(list, mode) check.status(post(other, "/_invalidate", { tags = list, mode = mode }), 204) end
    local function asked(path) return (source:asked(path .. " ")) end
    local function v(target, headers) return check.document(gw:get(target, headers)).v end

    -- Until what another gateway has done is known here, as the contract says: 100 ms; where nothing is told, at once.
    local function settle()
      if other ~= gw and not case.args then require("socket").sleep(0.1) end
    end

    -- Twice, so that a near copy may be there.
    local function warm(target)
      for _ = 1, 3 do gw:get(target) end
    end

    it("removes all records of a model, and none of another", function()
      for i = 1, 3 do check.status(gw:put("/models/Note?id=all" .. i, '{"v":"x"}'), 201) end
      check.status(gw:put("/models/Other?id=o", '{"v":"stays","note":{"id":"all1"}}'), 201)
      for i = 1, 3 do warm("/models/Note?id=all" .. i) end
      warm "/models/Other?id=o"
      all "Note"
      settle()
      for i = 1, 3 do
        check.problem(gw:get("/models/Note?id=all" .. i), 404, "missing")
        check.status(gw:head("/models/Note?id=all" .. i), 404)
      end
      local document = check.document(gw:get "/models/Other?id=o")
      assert.equal("stays", document.v)
      assert.equal(cjson.null, document.note)
      assert(gw:metric("perigee_records_outdated_total", { model = "Note", mode = "remove" }) >= 3)
      assert.equal(1, other:metric("perigee_invalidations_total", { kind = "model", mode = "remove" }))
    end)

    it("lets live what is saved after it", function()
      for i = 1, 20 do
        all "Note"
        check.status(gw:put("/models/Note?id=after" .. i, '{"v":"y"}'), 201)
        assert.equal("y", v("/models/Note?id=after" .. i))
        tags { "note:y" }
        gw:put("/models/Note?id=after" .. i, '{"v":"y"}')
        assert.equal("y", v("/models/Note?id=after" .. i))
        check.status(gw:request("PATCH", "/models/Note?id=after" .. i, { ["Content-Type"] = "application/merge-patch+json" }, '{"v":"z"}'), 204)
        tags { "note:y" } -- it is one no more
        settle()
        assert.equal("z", v("/models/Note?id=after" .. i))
      end
    end)

    it("removes all that carry a tag", function()
      for _, x in ipairs { "a", "b", "c" } do
        check.status(gw:put("/models/Note?id=tag" .. x, cjson.encode { v = x }), 201)
        warm("/models/Note?id=tag" .. x)
      end
      tags { "note:a", "note:nobody", "note:c" }
      settle()
      check.problem(gw:get "/models/Note?id=taga", 404, "missing")
      check.problem(gw:get "/models/Note?id=tagc", 404, "missing")
      assert.equal("b", v "/models/Note?id=tagb")
      tags({ "note:b" }, "expire") -- a model without a loader has no fallback
      settle()
      check.problem(gw:get "/models/Note?id=tagb", 404, "missing")
    end)

    it("reaches what is known to be missing by the tags that its loader gave", function()
      for _, mode in ipairs { "remove", "expire" } do
        local one, two = mode .. "1", mode .. "2"
        for _, id in ipairs { one, two } do
          source:says("/page/" .. id, 404, "")
          check.problem(gw:get("/models/Page?id=" .. id), 404, "missing")
          warm("/models/Page?id=" .. id)
          source:says("/page/" .. id, 200, "there by now")
        end
        tags({ "none:" .. one }, mode)
        settle()
        assert.equal("there by now", v("/models/Page?id=" .. one))
        check.problem(gw:get("/models/Page?id=" .. two), 404, "missing")
        assert.equal(1, asked("/page/" .. two))
      end
      source:says("/page/brief", 404, "not for long")
      for n = 1, 2 do
        local answer = gw:get "/models/Page?id=brief"
        check.problem(answer, 404, "missing")
        assert.equal("no-store", answer.headers["cache-control"])
        assert.equal(n, asked "/page/brief")
      end
    end)

    it("makes records be loaded anew, and what is known to be missing", function()
      source:says("/page/a", 200, "one")
      source:says("/page/none", 404, "")
      assert.equal("one", v "/models/Page?id=a")
      check.problem(gw:get "/models/Page?id=none", 404, "missing")
      warm "/models/Page?id=a"
      warm "/models/Page?id=none"
      assert.equal(1, asked "/page/none")
      source:says("/page/a", 200, "two")
      source:says("/page/none", 200, "there by now")
      all "Page"
      settle()
      assert.equal("two", v "/models/Page?id=a")
      assert.equal("there by now", v "/models/Page?id=none")
      assert.equal("two", v "/models/Page?id=a")
      assert.equal(2, asked "/page/a")
      all("Page", "expire") -- nothing stale may be answered: as remove
      settle()
      source:says("/page/a", 200, "three")
      assert.equal("three", v "/models/Page?id=a")
    end)

    it("of a model covers its methods, of a form its results", function()
      source:says("/shout/m", 200, "one")
      source:says("/ask/m", 200, "one")
      local method, form = "/models/Page/shout?id=m", "/forms/Ask/answer?name=m"
      assert.equal('"one"', gw:get(method).body)
      assert.equal('"one"', gw:get(form).body)
      source:says("/shout/m", 200, "two")
      source:says("/ask/m", 200, "two")
      all "Page"
      settle()
      assert.equal('"two"', gw:get(method).body)
      assert.equal('"one"', gw:get(form).body)
      check.status(post(other, "/forms/Ask/_invalidate", '{"all":true}'), 204)
      settle()
      assert.equal('"two"', gw:get(form).body)
    end)

    it("expires: the stale ones are a fallback, or answered while they are loaded behind", function()
      source:says("/kept/e", 200, "one")
      source:says("/behind/e", 200, "one")
      assert.equal("one", v "/models/Kept?id=e")
      assert.equal("one", v "/models/Behind?id=e")
      warm "/models/Kept?id=e"
      warm "/models/Behind?id=e"
      source:says("/kept/e", 500, "")
      source:says("/behind/e", 200, "two")
      all("Kept", "expire")
      all("Behind", "expire")
      settle()
      local response = gw:get "/models/Kept?id=e"
      assert.equal("one", check.document(response).v)
      assert.equal("stale", check.cache_status(response).detail)
      local left = check.cache_control(response)
      assert.equal(0, left["max-age"])
      assert(left["stale-if-error"] >= 590 and left["stale-if-error"] <= 600, response.head)
      assert.equal(2, asked "/kept/e")
      response = gw:get "/models/Behind?id=e"
      assert.equal("one", check.document(response).v)
      assert.equal("stale", check.cache_status(response).detail)
      process.eventually("it is loaded behind", 5, function() return v "/models/Behind?id=e" == "two" end)
      source:says("/kept/e", 200, "two")
      process.eventually("it is loaded again", 10, function() return v "/models/Kept?id=e" == "two" end)
      all "Kept" -- and what is removed is none
      settle()
      source:says("/kept/e", 500, "")
      check.problem(gw:get "/models/Kept?id=e", 502, "loader-error")
      all("Kept", "expire")
      settle()
      check.problem(gw:get "/models/Kept?id=e", 502, "loader-error")
    end)

    it("ends the pause after failures", function()
      source:says("/page/pause", 500, "")
      for _ = 1, 6 do check.problem(gw:get "/models/Page?id=pause", 502, "loader-error") end
      local before = asked "/page/pause"
      check.problem(gw:get "/models/Page?id=pause", 502, "loader-error")
      assert.equal(before, asked "/page/pause")
      source:says("/page/pause", 200, "works")
      all "Page"
      if other ~= gw then
        gw:get "/models/Page?id=other" -- whoever looks knows; a pause is kept by those who do not
        settle()
      end
      assert.equal("works", v "/models/Page?id=pause")
    end)

    local function ask(target, headers)
      local client = http.connect(gw.address)
      client:send(http.format("GET", target, headers))
      return client
    end
    local function answer(client)
      local response = client:receive(false, 30)
      client:close()
      return response
    end

    -- Someone loads; in the middle of it comes the invalidation; and then another one asks.
    local function overtaken(model, id, invalidate)
      local path, target = ("/%s/%s"):format(model:lower(), id), ("/models/%s?id=%s"):format(model, id)
      local before = asked(path)
      source:says(path, 200, "tag" .. id .. "-old")
      source:holds(path)
      local first = ask(target, no_cache)
      process.eventually("the load", 10, function() return asked(path) == before + 1 end)
      invalidate("tag" .. id .. "-old")
      settle()
      local second = ask(target)
      for _ = 1, 3 do gw:get "/models/Note?id=nothing" end
      source:lets_go(path)
      assert.equal("tag" .. id .. "-old", check.document(answer(first)).v)
      return answer(second), path, target
    end

    it("wins over 20 of 20 loads that it comes in the middle of", function()
      for i = 1, 20 do
        local by_tag, mode = i % 2 == 0, i % 4 < 2 and "remove" or "expire"
        local response, path, target = overtaken("Page", "race" .. i, function(tag)
          if by_tag then tags({ tag }, mode) else all("Page", mode) end
        end)
        check.status(response, 200)
        assert.equal(2, asked(path), "the second one was given what was loaded before")
        assert.is_nil(check.cache_status(response).stale)
        local known = asked(path)
        check.status(gw:get(target, only_if_cached), 200)
        assert.equal(known, asked(path))
      end
    end)

    it("wins over a load that nobody else waits for", function()
      for i = 1, 20 do
        local path, target = "/page/alone" .. i, "/models/Page?id=alone" .. i
        source:says(path, 200, "tag" .. i .. "-alone")
        source:holds(path)
        local first = ask(target)
        process.eventually("the load", 10, function() return asked(path) == 1 end)
        if i % 2 == 0 then tags { "tag" .. i .. "-alone" } else all "Page" end
        source:lets_go(path)
        local response = answer(first)
        assert.equal("tag" .. i .. "-alone", check.document(response).v)
        settle()
        check.problem(gw:get(target, only_if_cached), 504, "not-cached")
        check.status(gw:get(target), 200)
        assert.equal(2, asked(path))
      end
    end)

    it("wins over a load that finds nothing new, whose tags it has from the old one", function()
      source:says("/same/s", 200, "old")
      assert.equal("old", v "/models/Same?id=s")
      source:says("/same/s", 304, "")
      source:holds "/same/s"
      check.status(post(gw, "/models/Same/_invalidate", { keys = { id = "s" }, mode = "expire" }), 204)
      assert.equal("stale", check.cache_status(gw:get "/models/Same?id=s").detail)
      process.eventually("the load", 10, function() return asked "/same/s" == 2 end)
      tags { "same" }
      settle()
      source:lets_go "/same/s"
      source:says("/same/s", 200, "new")
      process.eventually("that load is over", 10, function() return gw:metric("perigee_loads_total", { model = "Same" }) == 2 end)
      check.problem(gw:get("/models/Same?id=s", only_if_cached), 504, "not-cached")
      assert.equal("new", v "/models/Same?id=s")
    end)

    if case.args then
      it("costs reads that come together one question more, not one each", function()
        local function asked() return tonumber(server:command("INFO", "commandstats"):match "cmdstat_zscore:calls=(%d+)") end
        check.status(gw:put("/models/Note?id=many", '{"v":"x"}'), 201)
        local before, readers = asked(), {}
        gw:signal "STOP" -- so that it finds them all at once
        for i = 1, 50 do
          readers[i] = http.connect(gw.address)
          readers[i]:send(http.format("GET", "/models/Note?id=many"))
        end
        gw:signal "CONT"
        for _, reader in ipairs(readers) do
          assert.equal("x", check.document(reader:receive()).v)
          reader:close()
        end
        local questions = asked() - before
        assert(questions >= 1 and questions <= 15, questions)
      end)
    end

    it("is no record to conditions", function()
      local put = function(target, headers) return gw:put(target, '{"v":"c"}', headers) end
      local it = "/models/Note?id=cond"
      for _, invalidate in ipairs { function() all "Note" end, function() tags { "note:c" } end } do
        check.status(put(it, { ["If-None-Match"] = "*" }), 201)
        local etag = gw:get(it).headers.etag
        check.status(put(it, { ["If-Match"] = etag }), 204)
        invalidate()
        check.problem(put(it, { ["If-Match"] = etag }), 412, "precondition-failed")
        check.problem(put(it, { ["If-Match"] = "*" }), 412, "precondition-failed")
        check.problem(gw:request("PATCH", it, { ["Content-Type"] = "application/merge-patch+json" }, '{"v":"d"}'), 404, "missing")
        check.problem(post(gw, "/models/Note/_touch", { keys = { id = "cond" }, expires = 9 }), 404, "missing")
        check.status(put(it, { ["If-None-Match"] = "*" }), 201)
        invalidate()
        check.problem(gw:delete(it, { ["If-Match"] = "*" }), 412, "precondition-failed")
        check.status(gw:delete(it), 204)
      end
    end)

    it("leaves the fallback where a write is refused, and a new record where one is done", function()
      local it, none = "/models/Strict?id=s", { ["If-None-Match"] = "*" }
      source:says("/strict/s", 200, "one")
      assert.equal("one", v(it))
      source:says("/strict/s", 500, "")
      all("Strict", "expire")
      settle()
      check.problem(gw:put(it, '{"v":"refused"}', none), 422, "field-type")
      check.problem(gw:put(it, '{"v":"two"}', { ["If-Match"] = "*" }), 412, "precondition-failed")
      local response = gw:get(it)
      assert.equal("one", check.document(response).v)
      assert.equal("stale", check.cache_status(response).detail)
      check.status(gw:put(it, '{"v":"one"}', none), 201)
      check.problem(gw:put(it, '{"v":"two"}', none), 412, "precondition-failed")
      assert.equal("hit", check.cache_status(gw:get(it)).hit and "hit")
      assert.equal("one", v(it))
    end)

    it("says what is wrong", function()
      local function wrong(target, body, ...)
        check.says(check.problem(post(other, target, body), 400, "malformed-request").detail, ...)
      end
      wrong("/_invalidate", "{}", "`tags` is an array")
      wrong("/_invalidate", '{"tags":"x"}', "`tags` is an array")
      wrong("/_invalidate", '{"tags":[]}', "1 to 100")
      wrong("/_invalidate", { tags = { 1 } }, "a text")
      wrong("/_invalidate", { tags = { "" } }, "1 to 256 bytes")
      wrong("/_invalidate", { tags = { ("x"):rep(257) } }, "1 to 256 bytes, not 257")
      wrong("/_invalidate", '{"tags":["x"],"mode":"drop"}', "remove")
      wrong("/_invalidate", '{"tag":["x"]}', "did you mean `tags`?")
      local many = {}
      for i = 1, 101 do many[i] = "t" .. i end
      wrong("/_invalidate", { tags = many }, "1 to 100 of them, not 101")
      many[101] = nil
      tags(many)
      tags { ("é"):rep(128), "with\nnewline", "with \"quotes\" and \\" }
      wrong("/models/Note/_invalidate", '{"all":true,"keys":{"id":"x"}}', "`all`")
      wrong("/models/Note/_invalidate", '{"all":false}', "`keys`")
      wrong("/models/Note/_invalidate", '{"all":"yes"}', "true or false")
      wrong("/models/Note/_invalidate", '{"all":true,"mode":1}', "mode")
      wrong("/forms/Ask/_invalidate", '{"keys":{"name":"m"}}', "all")
      check.problem(post(other, "/models/Nobody/_invalidate", '{"all":true}'), 404, "unknown-model")
    end)
  end)
end
