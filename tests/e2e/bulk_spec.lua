-- tests/e2e/bulk_spec.lua -- POST _bulk: each item has an end of its own, in its place; reads see what was there before the writes.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local cjson = require "cjson"

local models = [[
model "Note" { id = key(), region = key{ default = "eu" }, n = field{ type = "integer" }, text = field() }
model "Place" { name = key(), phone = field(), near = reference{ "self", missing = "null" } }
model "Person" { name = key(), place = reference "Place", friends = references{ "self", missing = "skip" } }
model "Slow" { id = key{ type = "integer" }, v = field(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self)
    if self.id == 404 then return missing end
    if self.id == 502 then error "no" end
    sleep(self.id >= 1000 and 0.3 or 0.01)
    self.v = self.id
  end,
  on_save = function(self) sleep(0.01) if self.v == "no" then error "no" end end }
]]

for _, store in ipairs { "memory", "redis", "cluster" } do
  for _, workers in ipairs { 1, 2 } do
    describe(("bulks on %s with %d worker(s)"):format(store, workers), function()
      local gw
      setup(function() gw = gateway.start { models = models, store = store, workers = workers, fds = 60, args = { "--max-body", "4MiB" } } end)
      teardown(function() gw:finish() end)

      local function post(model, body, query, headers)
        return gw:request("POST", ("/models/%s/_bulk%s"):format(model, query or ""), headers, type(body) == "table" and cjson.encode(body) or body)
      end
      -- The decoded answer; its items are all whole.
      local function bulk(model, body, query, headers)
        local answer = check.status(post(model, body, query, headers), 200)
        assert.equal("no-store", answer.headers["cache-control"])
        local lists = check.document(answer)
        for _, name in ipairs { "get", "save", "delete" } do
          for _, item in ipairs(lists[name]) do
            assert.equal("number", type(item.status))
            if item.status >= 400 then
              assert.equal(item.status, item.problem.status)
              assert.equal("urn:perigee:problem:" .. item.problem.code, item.problem.type)
              assert.is_nil(item.value)
            else
              assert.is_nil(item.problem)
              assert.equal(name ~= "delete", item.etag ~= nil)
            end
          end
        end
        return lists, answer.body
      end
      local function statuses(list)
        local all = {}
        for i, item in ipairs(list) do all[i] = item.status end
        return all
      end
      local function codes(list)
        local all = {}
        for i, item in ipairs(list) do all[i] = item.problem and item.problem.code or item.status end
        return all
      end

      it("gets, saves and deletes, each in its place", function()
        for _, id in ipairs { "a", "b", "c" } do gw:delete("/models/Note?id=" .. id) end
        local a = check.status(gw:put("/models/Note?id=a", '{"n":1}'), 201).headers.etag
        check.status(gw:put("/models/Note?id=b", '{"n":2}'), 201)
        local lists, body = bulk("Note", '{"delete":[{"id":"b"},{"id":"nobody"}],"save":[{"id":"c","n":3},{"id":"a","n":10}],'
          .. '"get":[{"id":"b"},{"id":"nobody"},{"id":"a","region":"eu"},{"id":"c"},{"id":"a"}]}')
        assert.same({ 200, 404, 200, 404, 200 }, statuses(lists.get)) -- as it was before
        assert.same({ 201, 204 }, statuses(lists.save))
        assert.same({ 204, 204 }, statuses(lists.delete))
        assert.same({ id = "a", region = "eu", n = 1 }, lists.get[3].value)
        assert.equal(a, lists.get[3].etag)
        assert.equal("missing", lists.get[2].problem.code)
        check.says(body, '{"get":[{"status":200,"etag":"\\"', '","value":{"id":"b","region":"eu","n":2}},{"status":404,"problem":{"type":"urn:perigee:problem:missing",')
        check.status(gw:get "/models/Note?id=b", 404)
        assert.equal(10, check.document(gw:get "/models/Note?id=a").n)
        assert.equal(lists.save[1].etag, gw:get("/models/Note?id=c").headers.etag)
        assert.equal(lists.save[2].etag, gw:get("/models/Note?id=a").headers.etag)
      end)

      it("answers three lists, whatever it was given", function()
        for _, body in ipairs { "{}", '{"get":[]}', '{"save":[],"delete":[]}' } do
          assert.equal('{"get":[],"save":[],"delete":[]}', check.status(post("Note", body), 200).body)
        end
      end)

      it("one that fails does not stop the others, and says why in its place", function()
        gw:delete "/models/Note?id=good"
        local lists = bulk("Note", '{"get":[{"id":1},{},{"id":"x","name":"y"},{"id":"x","regoin":"y"},[],null,{"id":"nobody"}],'
          .. '"save":[{"n":1},{"id":"bad","n":"x"},{"id":"bad","m":1},[1],"x",{"id":"good","n":12345678901234567890}],"delete":[{"id":1},{},3,{"id":"nobody"}]}')
        assert.same({ "key-type", "key-required", "unknown-key", "unknown-key", "malformed-request", "malformed-request", "missing" }, codes(lists.get))
        assert.same({ "key-required", "field-type", "unknown-field", "malformed-request", "malformed-request", 201 }, codes(lists.save))
        assert.same({ "key-type", "key-required", "malformed-request", 204 }, codes(lists.delete))
        assert.equal("n", lists.save[2].problem.path)
        check.says(lists.get[4].problem.detail, "did you mean `region`?")
        assert.equal('{"id":"good","region":"eu","n":12345678901234567890}', check.status(gw:get "/models/Note?id=good", 200).body)
        check.status(gw:get "/models/Note?id=bad", 404)
      end)

      it("refuses what is no bulk, and then does nothing", function()
        gw:delete "/models/Note?id=none"
        local function refused(body, status, code, query, headers) return check.problem(post("Note", body, query, headers), status, code) end
        local save = '"save":[{"id":"none","n":1}]'
        refused("", 400, "malformed-json")
        refused("[]", 400, "malformed-request")
        refused("{" .. save .. ',"get":{}}', 400, "malformed-request")
        refused("{" .. save .. ',"delete":null}', 400, "malformed-request")
        check.says(refused("{" .. save .. ',"deletes":[]}', 400, "malformed-request").detail, "did you mean `delete`?")
        refused("{" .. save .. "}", 415, "unsupported-media", nil, { ["Content-Type"] = "text/plain" })
        refused("{" .. save .. "}", 501, "not-implemented", nil, { ["If-None-Match"] = "*" })
        refused("{" .. save .. "}", 400, "malformed-request", "?id=x")
        refused("{" .. save .. "}", 400, "malformed-request", "?_nothing=1")
        refused("{" .. save .. "}", 422, "unknown-field", "?_fields=m")
        local many = {}
        for i = 1, 999 do many[i] = { id = "many" .. i } end
        local text = cjson.encode(many)
        check.says(refused(('{"get":%s,%s,"delete":[{"id":"x"}]}'):format(text, save), 400, "malformed-request").detail, "1000")
        check.status(gw:get "/models/Note?id=none", 404)
        assert.same({ 201 }, statuses(bulk("Note", ('{"get":%s,%s}'):format(text, save)).save))
      end)

      it("gets documents, as much of them as the query says", function()
        check.status(gw:put("/models/Place?name=far", '{"phone":"2"}'), 201)
        check.status(gw:put("/models/Place?name=here", '{"phone":"1","near":{"name":"far"}}'), 201)
        for _, name in ipairs { "p", "q" } do
          check.status(gw:put("/models/Person?name=" .. name, '{"place":{"name":"here"},"friends":[{"name":"nobody"},{"name":"p"}]}'), 201)
        end
        check.status(gw:put("/models/Person?name=lost", '{"place":{"name":"nowhere"}}'), 201)
        local keys = '{"get":[{"name":"q"},{"name":"lost"},{"name":"p"}]}'
        for _, query in ipairs { "", "?_depth=0", "?_depth=1", "?_include=place", "?_fields=name,place.phone", "?_fields=friends.name" } do
          local lists = bulk("Person", keys, query)
          for i, name in ipairs { "q", "lost", "p" } do
            local alone = gw:get("/models/Person?name=" .. name .. query:gsub("?", "&"))
            assert.equal(alone.status, lists.get[i].status)
            assert.equal(alone.headers.etag, lists.get[i].etag)
            if alone.status == 200 then assert.same(cjson.decode(alone.body), lists.get[i].value) else
              assert.equal(cjson.decode(alone.body).path, lists.get[i].problem.path)
            end
          end
        end
        local _, body = bulk("Person", '{"get":[{"name":"q"}]}')
        check.says(body, gw:get("/models/Person?name=q").body) -- byte for byte
      end)

      it("saves as PUT saves, with its terms", function()
        for _, id in ipairs { "terms", "terms2" } do gw:delete("/models/Note?id=" .. id) end
        local lists = bulk("Note", '{"save":[{"id":"terms","text":" 1.50 "}]}', "?_expires=20", { Prefer = "return=representation" })
        assert.same({ id = "terms", region = "eu", text = " 1.50 " }, lists.save[1].value)
        assert(check.cache_control(gw:get "/models/Note?id=terms")["max-age"] <= 20)
        lists = bulk("Note", '{"save":[{"id":"terms"},{"id":"terms2"}]}', nil, { Prefer = "return=representation" })
        assert.same({ 200, 201 }, statuses(lists.save))
        assert.equal(31536000, check.cache_control(gw:get "/models/Note?id=terms")["max-age"])

        gw:delete "/models/Place?name=inside"
        local cascade = '{"save":[{"name":"c","place":{"name":"inside","phone":"3"}}]}'
        assert.same({ "reference-invalid" }, codes(bulk("Person", cascade).save))
        check.status(gw:get "/models/Place?name=inside", 404)
        assert.same({ 201 }, statuses(bulk("Person", cascade, "?_cascade=1").save))
        assert.equal("3", check.document(gw:get "/models/Place?name=inside").phone)
      end)

      it("loads what is missing, all at once, and tells each end", function()
        local keys = { { id = 404 }, { id = 502 } }
        for i = 1, 40 do keys[i + 2] = { id = i } end
        local lists = bulk("Slow", { get = keys })
        assert.same({ "missing", "loader-error" }, { lists.get[1].problem.code, lists.get[2].problem.code })
        for i = 1, 40 do assert.equal(i, lists.get[i + 2].value.v) end
        lists = bulk("Slow", { get = { { id = 77 }, { id = 1 } } }, nil, { ["Cache-Control"] = "only-if-cached" })
        assert.same({ "not-cached", 200 }, codes(lists.get))
        check.status(gw:put("/models/Slow?id=1", '{"v":"put"}'), 204)
        assert.equal("put", bulk("Slow", { get = { { id = 1 } } }).get[1].value.v)
        assert.equal(1, bulk("Slow", { get = { { id = 1 } } }, nil, { ["Cache-Control"] = "no-cache" }).get[1].value.v)
      end)

      it("saves by way of the model's handlers", function()
        local saves = {}
        for i = 1, 150 do saves[i] = { id = i, v = i % 7 == 0 and "no" or "yes" } end
        local lists = bulk("Slow", { save = saves, delete = { { id = 1 } } })
        for i = 1, 150 do assert.equal(i % 7 == 0 and 502 or lists.save[i].status < 300 and lists.save[i].status, lists.save[i].status) end
        assert.equal(204, lists.delete[1].status)
        check.status(gw:head "/models/Slow?id=1", 404)
        for i = 70, 147, 7 do -- what could not be written through is that item's problem, and is not stored
          assert.equal("loader-error", lists.save[i].problem.code)
          check.says(lists.save[i].problem.detail, "`on_save` of model `Slow` failed")
          check.status(gw:head("/models/Slow?id=" .. i), 404)
        end
        assert.same({ 201 }, statuses(bulk("Slow", { save = { { id = 5000, v = "yes" } }, delete = { { id = 5000 } } }).save))
        check.status(gw:head "/models/Slow?id=5000", 404) -- deletes come last
        assert.equal("yes", check.document(gw:get "/models/Slow?id=2").v)
      end)

      it("takes 1000 at once", function()
        local saves, keys = {}, {}
        for i = 1, 1000 do
          saves[i] = { id = "k" .. i, n = i }
          keys[i] = { id = "k" .. i }
        end
        local lists = bulk("Note", { save = saves })
        for i = 1, 1000 do assert.equal(201, lists.save[i].status) end
        lists = bulk("Note", { get = keys })
        for i = 1, 1000 do assert.equal(i, lists.get[i].value.n) end
        lists = bulk("Note", { delete = keys })
        for i = 1, 1000 do assert.equal(204, lists.delete[i].status) end
        lists = bulk("Note", { get = keys })
        for i = 1, 1000 do assert.equal(404, lists.get[i].status) end
      end)

      it("what is too much to read fails as a whole, before anything is written", function()
        check.status(gw:put("/models/Note?id=big", ('{"text":"%s"}'):format(("x"):rep(1024 * 1024))), 201)
        gw:delete "/models/Note?id=after"
        local keys = {}
        for i = 1, 70 do keys[i] = { id = "big" } end
        local problem = check.problem(post("Note", { get = keys, save = { { id = "after" } }, delete = { { id = "big" } } }), 422, "depth-exceeded")
        check.says(problem.detail, "nothing was changed")
        check.status(gw:head "/models/Note?id=after", 404)
        local lists = bulk("Note", { get = { keys[1], keys[2] }, delete = { keys[3] } })
        assert.equal(1024 * 1024, #lists.get[2].value.text)
        check.status(gw:head "/models/Note?id=big", 404)
      end)

      it("counts as one request", function()
        local function count() return gw:metric("perigee_requests_total", { model = "Note", op = "bulk", outcome = "ok" }) or 0 end
        local before = count()
        bulk("Note", '{"get":[{"id":"x"},{"id":"y"}]}')
        assert.equal(before + 1, count())
      end)

      it("a client that leaves while it reads ends it; what is written goes on", function()
        for round = 1, 3 do
          local id = 1000 + round
          local reading, writing = http.connect(gw.address), http.connect(gw.address)
          reading:send(http.format("POST", "/models/Slow/_bulk", nil, ('{"get":[{"id":%d}],"save":[{"id":%d}]}'):format(id, 2000 + round)))
          writing:send(http.format("POST", "/models/Slow/_bulk", nil, ('{"save":[{"id":%d,"v":"yes"}],"delete":[{"id":1}]}'):format(3000 + round)))
          process.eventually("it loads", 5, function() return (gw:metric("perigee_loads_inflight", { model = "Slow" }) or 0) > 0 end)
          reading:reset()
          writing:reset()
          process.eventually("the load goes on", 5, function() return gw:head("/models/Slow?id=" .. id).status == 200 end)
          process.eventually("so does the save", 5, function() return gw:head("/models/Slow?id=" .. 3000 + round).status == 200 end)
          check.status(gw:head("/models/Slow?id=" .. 2000 + round), 404)
        end
      end)
    end)
  end
end

describe("bulks before a Redis of their own", function()
  local server, gw
  setup(function()
    server = redis.start()
    gw = gateway.start { models = models, store = server.url, workers = 1, fds = 60 }
    gw:await_store()
  end)
  teardown(function()
    gw:finish()
    server:stop()
  end)

  it("read by few commands", function()
    if redis.is_cluster then return pending "a cluster is asked for each record" end
    local keys = {}
    for i = 1, 500 do keys[i] = { id = "k" .. i } end
    server:command("CONFIG", "RESETSTAT")
    check.status(gw:request("POST", "/models/Note/_bulk", nil, cjson.encode { get = keys }), 200)
    local stats = server:command("INFO", "commandstats")
    assert.equal("2", stats:match "cmdstat_mget:calls=(%d+)")
    assert.is_nil(stats:match "cmdstat_get:calls=(%d+)")
  end)

  it("a store that is away is each item's problem", function()
    server.process:signal "STOP"
    local answer = check.status(gw:request("POST", "/models/Note/_bulk", nil,
      '{"get":[{"id":"a"},{"id":"b"}],"save":[{"id":"a"}],"delete":[{"id":"b"},{}]}'), 200)
    local lists = cjson.decode(answer.body)
    for _, list in pairs(lists) do assert.equal("store-unavailable", list[1].problem.code) end
    assert.equal("key-required", lists.delete[2].problem.code)
    server.process:signal "CONT"
    gw:await_store(20)
  end)
end)
