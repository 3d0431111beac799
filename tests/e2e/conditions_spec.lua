-- tests/e2e/conditions_spec.lua -- writes on a condition: whose is done, whose changes nothing, and that of many at once none is lost.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local cjson = require "cjson"

local models = [[
model "Note" { id = key(), n = field{ type = "integer" } }
model "Nap" { id = key(), v = field(), options = { expires = 300, negative = 60, stale_if_error = 600, hard_timeout = 5 },
  from_miss = function(self)
    if self.id:find "^none" then return missing end
    if self.id:find "^slow" then sleep(0.3) end
    if self.id:find "^bad" then error "bad" end
    self.v = "loaded"
  end }
model "Person" { name = key(), note = field(), place = reference "Note" }
model "Save" { id = key(), tag = key(), outcome = field(),
  from_miss = function(self, ctx)
    ctx.expires = 0
    local ok, problem = Note{ id = self.id, n = 9 }:save{ if_match = self.tag }
    self.outcome = ok and "saved" or problem.code
  end }
model "Log" { id = key(), n = field{ type = "integer" } }
model "Through" { id = key(), n = field{ type = "integer" }, options = { hard_timeout = 5 },
  on_save = function(self)
    local log = Log.get{ id = self.id } or Log{ id = self.id, n = 0 }
    log.n = log.n + 1
    assert(log:save())
  end }
]]

local function absent_of(etag) return etag:gsub("%x", function(c) return c == "0" and "1" or "0" end, 1) end

for _, store in ipairs { "memory", "redis", "cluster" } do
  for _, workers in ipairs { 1, 2 } do
    describe(("conditional writes on %s with %d worker(s)"):format(store, workers), function()
      local gw
      setup(function() gw = gateway.start { models = models, store = store, workers = workers, fds = 40 } end)
      teardown(function() gw:finish() end)

      local function patch(target, body, headers) return gw:request("PATCH", target, headers, body) end
      local function tag(target) return check.status(gw:head(target), 200).headers.etag end
      local function refused(answer, words)
        local problem = check.problem(answer, 412, "precondition-failed")
        assert.is_nil(answer.headers.etag)
        if words then check.says(problem.detail, "nothing was changed", words) end
        return problem
      end

      it("If-Match: saves, patches and deletes only what the client has seen", function()
        local it = "/models/Note?id=seen"
        gw:delete(it)
        local first = check.status(gw:put(it, '{"n":1}'), 201).headers.etag
        local second = check.status(gw:put(it, '{"n":2}', { ["If-Match"] = first }), 204).headers.etag
        assert.equal(second, tag(it))
        assert.same({ id = "seen" }, refused(gw:put(it, '{"n":3}', { ["If-Match"] = first }), "no record with such a tag").keys)
        refused(patch(it, '{"n":3}', { ["If-Match"] = first }))
        refused(gw:delete(it, { ["If-Match"] = first }))
        assert.equal('{"id":"seen","n":2}', check.status(gw:get(it), 200).body)
        local third = check.status(patch(it, '{"n":3}', { ["If-Match"] = second }), 204).headers.etag
        check.status(gw:delete(it, { ["If-Match"] = third }), 204)
        check.status(gw:get(it), 404)
        refused(gw:delete(it, { ["If-Match"] = third }))
        refused(gw:put(it, '{"n":4}', { ["If-Match"] = third }))
        check.problem(patch(it, '{"n":4}', { ["If-Match"] = third }), 404, "missing") -- as without the condition
        check.status(gw:get(it), 404)
      end)

      it("If-Match takes several tags, and *", function()
        local it = "/models/Note?id=several"
        gw:delete(it)
        refused(gw:put(it, '{"n":1}', { ["If-Match"] = "*" }), "there is no record")
        local etag = check.status(gw:put(it, '{"n":1}'), 201).headers.etag
        local other = absent_of(etag)
        refused(gw:put(it, '{"n":2}', { ["If-Match"] = other }))
        refused(gw:put(it, '{"n":2}', { ["If-Match"] = other .. ', "x,y", ""' }))
        check.status(gw:put(it, '{"n":1}', { ["If-Match"] = other .. ' ,"x,y",' .. etag }), 204)
        check.status(gw:put(it, '{"n":1}', { ["If-Match"] = etag .. ", " .. other }), 204)
        check.status(patch(it, "{}", { ["If-Match"] = "*" }), 204)
        check.status(gw:put(it, '{"n":1}', { ["If-Match"] = "*", ["If-Unmodified-Since"] = "Thu, 01 Jan 1970 00:00:00 GMT" }), 204)
        check.status(gw:delete(it, { ["If-Match"] = " * " }), 204)
        refused(gw:delete(it, { ["If-Match"] = "*" }))
      end)

      it("several lines of a header are one list", function()
        local it = "/models/Note?id=lines"
        local etag = check.status(gw:put(it, '{"n":1}'), 201).headers.etag
        local function put(...)
          local lines = {}
          for i, value in ipairs { ... } do lines[i] = "If-Match: " .. value .. "\r\n" end
          local client = http.connect(gw.address)
          client:send(("PUT %s HTTP/1.1\r\nHost: a\r\n%sContent-Length: 7\r\n\r\n{\"n\":1}"):format(it, table.concat(lines)))
          local answer = client:receive()
          client:close()
          return answer
        end
        check.status(put('"x"', etag), 204)
        check.status(put(etag, '"x"'), 204)
        refused(put('"x"', '"y"'))
        check.problem(put("*", etag), 400, "malformed-request")
      end)

      it("empty elements of a list do not count", function()
        local it = "/models/Note?id=empty"
        local etag = gw:put(it, '{"n":1}').headers.etag
        check.status(gw:get(it, { ["If-None-Match"] = ", ," .. etag .. "," }), 304)
        check.status(gw:put(it, '{"n":2}', { ["If-Match"] = ',"x",,' .. etag .. " ," }), 204)
        check.problem(gw:delete(it, { ["If-Match"] = "," .. etag .. "," }), 412, "precondition-failed")
      end)

      it("compares strongly: a weak tag is none of ours", function()
        local it = "/models/Note?id=weak"
        local etag = check.status(gw:put(it, '{"n":1}'), 201).headers.etag
        refused(gw:put(it, '{"n":2}', { ["If-Match"] = "W/" .. etag }))
        refused(patch(it, '{"n":2}', { ["If-Match"] = "W/" .. etag }))
        refused(gw:put(it, '{"n":2}', { ["If-Match"] = '"' .. etag:sub(2, -2) .. '0"' }))
        refused(gw:put(it, '{"n":2}', { ["If-None-Match"] = "W/" .. etag }), "one of these tags") -- which compares weakly
        assert.equal(etag, tag(it))
      end)

      it("If-None-Match: * makes, and replaces nothing", function()
        local it = "/models/Note?id=made"
        gw:delete(it)
        check.status(gw:put(it, '{"n":1}', { ["If-None-Match"] = "*" }), 201)
        refused(gw:put(it, '{"n":2}', { ["If-None-Match"] = "*" }), "there is a record")
        refused(patch(it, '{"n":2}', { ["If-None-Match"] = "*" }))
        refused(gw:delete(it, { ["If-None-Match"] = "*" }))
        assert.equal(1, check.document(gw:get(it)).n)
        gw:delete(it)
        check.status(gw:delete(it, { ["If-None-Match"] = "*" }), 204)
        check.problem(patch(it, '{"n":2}', { ["If-None-Match"] = "*" }), 404, "missing")
      end)

      it("If-None-Match with tags is done unless the record has one", function()
        local it = "/models/Note?id=unless"
        gw:delete(it)
        local etag = check.status(gw:put(it, '{"n":1}', { ["If-None-Match"] = '"x"' }), 201).headers.etag
        refused(gw:put(it, '{"n":2}', { ["If-None-Match"] = '"x", ' .. etag }), "one of these tags")
        refused(gw:delete(it, { ["If-None-Match"] = etag }))
        check.status(gw:put(it, '{"n":2}', { ["If-None-Match"] = absent_of(etag) }), 204)
        check.status(patch(it, '{"n":3}', { ["If-None-Match"] = etag }), 204)
        refused(gw:put(it, '{"n":4}', { ["If-Match"] = "*", ["If-None-Match"] = "*" }))
        check.status(gw:delete(it, { ["If-Match"] = "*", ["If-None-Match"] = etag }), 204)
      end)

      it("refuses what is no condition, so that none is passed over", function()
        local it = "/models/Note?id=malformed"
        check.status(gw:put(it, '{"n":1}'), 201)
        local etag = tag(it)
        for _, value in ipairs { "", "x", etag:sub(2, -2), ",", ", ,", etag .. " " .. etag, '"', '"x', "w/" .. etag, "*,*", "W/*", etag .. ";q=1" } do
          for _, name in ipairs { "If-Match", "If-None-Match" } do
            check.says(check.problem(gw:put(it, '{"n":2}', { [name] = value }), 400, "malformed-request").detail, name)
            check.problem(patch(it, '{"n":2}', { [name] = value }), 400, "malformed-request")
            check.problem(gw:delete(it, { [name] = value }), 400, "malformed-request")
          end
        end
        for _, method in ipairs { "PUT", "PATCH", "DELETE" } do
          check.problem(gw:request(method, it, { ["If-Unmodified-Since"] = "Thu, 01 Jan 1970 00:00:00 GMT" }, '{"n":2}'), 501, "not-implemented")
        end
        assert.equal(etag, tag(it))
      end)

      it("what is known to be missing, or over, is no record", function()
        check.problem(gw:get "/models/Nap?id=none", 404, "missing") -- and this is kept
        refused(gw:put("/models/Nap?id=none", '{"v":1}', { ["If-Match"] = "*" }))
        refused(gw:delete("/models/Nap?id=none", { ["If-Match"] = "*" }))
        assert.is_true(check.cache_status(gw:get "/models/Nap?id=none").hit) -- it stands
        check.status(gw:put("/models/Nap?id=none", '{"v":1}', { ["If-None-Match"] = "*" }), 201)

        local it = "/models/Nap?id=bad" -- whose stale record stays
        local etag = check.status(gw:put(it .. "&_expires=100ms", '{"v":1}'), 201).headers.etag
        process.eventually("it is over", 5, function() return check.cache_status(gw:get(it)).detail == "stale" end)
        refused(gw:put(it, '{"v":2}', { ["If-Match"] = etag }))
        refused(gw:delete(it, { ["If-Match"] = "*" }))
        check.problem(patch(it, '{"v":2}', { ["If-Match"] = etag }), 404, "missing")
        assert.equal(1, check.document(gw:get(it)).v)
        check.status(gw:put(it, '{"v":3}', { ["If-None-Match"] = etag }), 204)
      end)

      it("a save that ends at once asks too", function()
        local it = "/models/Note?id=ends"
        check.status(gw:put(it, '{"n":1}'), 201)
        refused(gw:put(it .. "&_expires=0", '{"n":2}', { ["If-Match"] = '"x"' }))
        assert.equal(1, check.document(gw:get(it)).n)
        assert(gw:put(it .. "&_expires=0", '{"n":2}', { ["If-Match"] = tag(it) }).status < 300)
        check.status(gw:get(it), 404)
      end)

      it("a body that is wrong is told before a condition", function()
        local it = "/models/Note?id=wrong"
        check.problem(gw:put(it, '{"n":"x"}', { ["If-Match"] = "*" }), 422, "field-type")
        check.problem(gw:put(it, '{"n":', { ["If-Match"] = "*" }), 400, "malformed-json")
        check.status(gw:put(it, '{"n":1}'), 201)
        check.problem(patch(it, '{"m":1}', { ["If-Match"] = "*" }), 422, "unknown-field")
      end)

      it("a document's tag is not its record's, which `_depth=0` tells", function()
        check.status(gw:put("/models/Note?id=here", '{"n":1}'), 201)
        local it = "/models/Person?name=me"
        local saved = check.status(gw:put(it, '{"place":{"id":"here"}}'), 201).headers.etag
        local document = tag(it)
        assert.not_equal(saved, document)
        assert.equal(saved, tag(it .. "&_depth=0"))
        check.says(refused(gw:put(it, '{"note":1}', { ["If-Match"] = document })).detail, "_depth=0")
        check.says(refused(patch(it, '{"note":1}', { ["If-Match"] = document })).detail, "_depth=0")
        check.status(patch(it, '{"note":1}', { ["If-Match"] = saved }), 204)
        check.problem(gw:put(it .. "&_cascade=1", '{"place":{"id":"inside","n":1}}', { ["If-Match"] = "*" }), 501, "not-implemented")
        check.status(gw:get "/models/Note?id=inside", 404)
        check.status(gw:put(it .. "&_cascade=1", '{"place":{"id":"here"}}', { ["If-Match"] = "*" }), 204) -- with nothing inside
      end)

      it("a write that is not done holds no load up", function()
        local waiting = http.connect(gw.address)
        waiting:send(http.format("GET", "/models/Nap?id=slow" .. workers))
        process.eventually("it loads", 5, function() return (gw:metric("perigee_loads_inflight", { model = "Nap" }) or 0) > 0 end)
        refused(gw:put("/models/Nap?id=slow" .. workers, '{"v":"put"}', { ["If-Match"] = "*" }))
        assert.equal("loaded", check.document(waiting:receive()).v)
        waiting:close()
      end)

      it("a handler's save may ask, too", function()
        gw:delete "/models/Note?id=asked"
        local function outcome(tag) return check.document(gw:get("/models/Save?id=asked&tag=" .. http.escape(tag))).outcome end
        assert.equal("precondition-failed", outcome "*")
        local etag = check.status(gw:put("/models/Note?id=asked", '{"n":1}'), 201).headers.etag
        assert.equal("precondition-failed", outcome '"x"')
        assert.equal(1, check.document(gw:get "/models/Note?id=asked").n)
        assert.equal("saved", outcome('"x", ' .. etag))
        assert.equal(9, check.document(gw:get "/models/Note?id=asked").n)
        assert.equal("precondition-failed", outcome(etag))
        assert.equal("saved", outcome "*")
        check.problem(gw:get "/models/Save?id=asked&tag=x", 502, "loader-error")
      end)

      it("what is not to be saved is not written through either", function()
        local it = "/models/Through?id=it"
        local etag = check.status(gw:put(it, '{"n":1}', { ["If-None-Match"] = "*" }), 201).headers.etag
        refused(gw:put(it, '{"n":2}', { ["If-None-Match"] = "*" }))
        refused(gw:put(it, '{"n":2}', { ["If-Match"] = '"x"' }))
        refused(patch(it, '{"n":2}', { ["If-Match"] = '"x"' }))
        assert.equal(1, check.document(gw:get "/models/Log?id=it").n)
        check.status(gw:put(it, '{"n":2}', { ["If-Match"] = etag }), 204)
        assert.equal(2, check.document(gw:get "/models/Log?id=it").n)
      end)

      it("counts", function()
        local function count(op) return gw:metric("perigee_requests_total", { model = "Note", op = op, outcome = "precondition-failed" }) or 0 end
        local put, delete = count "put", count "delete"
        refused(gw:put("/models/Note?id=counted", "{}", { ["If-Match"] = "*" }))
        refused(gw:delete("/models/Note?id=counted", { ["If-Match"] = "*" }))
        assert.same({ put + 1, delete + 1 }, { count "put", count "delete" })
      end)

      it("of 6 clients that create the same record, one does", function()
        for round = 1, 10 do
          local requests, made = {}, 0
          for i = 1, 6 do requests[i] = { "PUT", "/models/Note?id=race" .. round, { ["If-None-Match"] = "*" }, ('{"n":%d}'):format(i) } end
          for _, answer in ipairs(http.all(gw.address, requests)) do
            assert(answer.status == 201 or answer.status == 412, answer.status)
            if answer.status == 201 then made = made + 1 end
          end
          assert.equal(1, made)
        end
      end)

      it("of 6 clients with 120 conditional increments, none is lost", function()
        local it = "/models/Note?id=count"
        check.status(gw:put(it, '{"n":0}'), 201)
        local clients, left, refusals = {}, {}, 0
        for i = 1, 6 do clients[i], left[i] = http.connect(gw.address), 20 end
        local function all(send, take)
          for i = 1, 6 do if left[i] > 0 then clients[i]:send(send(i)) end end
          for i = 1, 6 do if left[i] > 0 then take(i, clients[i]:receive()) end end
        end
        repeat
          local seen, done = {}, true
          all(function() return http.format("GET", it) end, function(i, answer) seen[i] = check.status(answer, 200) end)
          all(function(i)
            local n = cjson.decode(seen[i].body).n + 1
            return http.format(i % 2 == 0 and "PUT" or "PATCH", it, { ["If-Match"] = seen[i].headers.etag }, ('{"n":%d}'):format(n))
          end, function(i, answer)
            if answer.status == 204 then left[i] = left[i] - 1 else refused(answer) refusals = refusals + 1 end
          end)
          for i = 1, 6 do done = done and left[i] == 0 end
        until done
        for i = 1, 6 do clients[i]:close() end
        assert.equal(120, check.document(gw:get(it)).n)
        assert(refusals > 0, "they never met")
      end)
    end)
  end
end

describe("conditional writes before a Redis of their own", function()
  local server, gateways
  setup(function()
    server = redis.start()
    gateways = {}
    for i = 1, 2 do
      gateways[i] = gateway.start { models = models, store = server.url, workers = 2, fds = 40, args = { "--redis-timeout", "5s" } }
      gateways[i]:await_store()
    end
  end)
  teardown(function()
    for _, gw in ipairs(gateways) do gw:finish() end
    server:stop()
  end)

  it("of 6 clients of two gateways with 120 increments, none is lost", function()
    local it = "/models/Note?id=count"
    check.status(gateways[1]:put(it, '{"n":0}'), 201)
    local clients, left = {}, {}
    for i = 1, 6 do clients[i], left[i] = http.connect(gateways[i % 2 + 1].address), 20 end
    local total = 120
    while total > 0 do
      local seen = {}
      for i = 1, 6 do clients[i]:send(http.format("GET", it)) end
      for i = 1, 6 do seen[i] = check.status(clients[i]:receive(), 200) end
      for i = 1, 6 do
        if left[i] > 0 then
          clients[i]:send(http.format("PUT", it, { ["If-Match"] = seen[i].headers.etag }, ('{"n":%d}'):format(cjson.decode(seen[i].body).n + 1)))
        end
      end
      for i = 1, 6 do
        if left[i] > 0 then
          local answer = clients[i]:receive()
          if answer.status == 204 then left[i], total = left[i] - 1, total - 1 else check.problem(answer, 412, "precondition-failed") end
        end
      end
    end
    for i = 1, 6 do clients[i]:close() end
    assert.equal(120, check.document(gateways[2]:get(it)).n)
  end)

  it("a store that is away is told, not a condition", function()
    local gw = gateways[1]
    check.status(gw:put("/models/Note?id=away", '{"n":1}'), 201)
    local key = server:command("KEYS", "*id=away")[1]
    local value = server:command("GET", key)
    server:command("DEL", key)
    server:command("RPUSH", key, "no string") -- which counts as nothing
    check.problem(gw:put("/models/Note?id=away", '{"n":2}', { ["If-Match"] = "*" }), 412, "precondition-failed")
    assert.equal("list", server:command("TYPE", key))
    check.status(gw:put("/models/Note?id=away", '{"n":2}', { ["If-None-Match"] = "*" }), 201)
    server:command("SET", key, value:sub(1, 40)) -- cut off: nothing either
    check.problem(gw:delete("/models/Note?id=away", { ["If-Match"] = "*" }), 412, "precondition-failed")
    check.status(gw:delete("/models/Note?id=away", { ["If-None-Match"] = "*" }), 204)
  end)
end)
