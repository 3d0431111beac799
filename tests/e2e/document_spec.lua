-- tests/e2e/document_spec.lua -- documents as answers: parts of them, what is told of the whole (ETag, Age, Cache-Control,
-- Cache-Status), and what HEAD, only-if-cached and no-cache make of them.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local cjson = require "cjson"

-- Tick and Tock count their loads.
local models = [[
local runs = {}
local function run(self)
  runs[self.id] = (runs[self.id] or 0) + 1
  self.n = runs[self.id]
end

model "Place" { name = key(), phone = field(), boss = reference{ "User", missing = "null" }, options = { expires = 1000 } }
model "User" { id = key(), email = field(), work = reference{ "Place", missing = "null" }, mother = reference{ "self", missing = "null" },
  friends = references{ "self", missing = "skip" }, options = { expires = 2000 } }
model "Shallow" { id = key(), user = reference "User", options = { depth = 1, expires = 300 } }
model "Stubs" { id = key(), user = reference "User", options = { depth = 0, expires = 300 } }
model "Tock" { id = key(), n = field(), options = { expires = 300, negative = "100s" },
  from_miss = function(self)
    run(self)
    if self.id:find "^gone" then return missing end
  end }
model "Tick" { id = key(), n = field(), options = { expires = 300 }, from_miss = run }
model "Clock" { id = key(), tick = reference{ "Tick", missing = "null" }, tock = reference{ "Tock", missing = "null" },
  tocks = references{ "Tock", missing = "skip" }, options = { expires = 300 } }
model "Plain" { id = key(), v = field(), w = field() }
]]

local function user(id) return ('{"id":"%s","$ref":"/models/User?id=%s"}'):format(id, id) end

for _, store in ipairs { "memory", "redis", "cluster" } do
  describe("documents on " .. store, function()
    local gw
    setup(function() gw = gateway.start { models = models, store = store } end)
    teardown(function() gw:finish() end)

    local function put(model, record)
      local response = gw:put("/models/" .. model, record)
      assert(response.status == 201 or response.status == 204, record .. ": " .. response.body)
    end

    local function body(target) return check.status(gw:get(target), 200).body end

    local function problem(target, status, code, path, headers)
      local found = check.problem(gw:get(target, headers), status, code)
      assert.equal(path, found.path)
      return found
    end

    local function family()
      put("Place", '{"name":"acme","phone":"1","boss":{"id":"eve"}}')
      put("User", '{"id":"eve","email":"e@x"}')
      put("User", '{"id":"mum","email":"m@x","work":{"name":"acme"}}')
      put("User", '{"id":"bob","email":"b@x","work":{"name":"acme"},"mother":{"id":"mum"},"friends":[{"id":"mum"},{"id":"no"},{"id":"eve"}]}')
    end

    -- parts

    it("_include resolves what it names and leaves stubs of the rest", function()
      family()
      assert.equal('{"id":"bob","email":"b@x","work":{"name":"acme","$ref":"/models/Place?name=acme"},"mother":'
        .. '{"id":"mum","email":"m@x","work":{"name":"acme","phone":"1","boss":' .. user "eve" .. '}},"friends":['
        .. user "mum" .. "," .. user "no" .. "," .. user "eve" .. "]}", body "/models/User?id=bob&_include=mother.work")
      assert.equal(body "/models/User?id=bob", body "/models/User?id=bob&_include=work.boss,mother.work.boss,friends.work.boss")
      assert.equal(body "/models/User?id=bob&_depth=1", body "/models/User?id=bob&_include=work,mother,friends")
      assert.equal(body "/models/User?id=bob&_include=mother", body "/models/User?id=bob&_include=mother.work&_depth=1")
      assert.equal(body "/models/User?id=bob&_depth=0", body "/models/User?id=bob&_include=mother&_depth=0")
    end)

    it("_fields shows what it names and reads no more", function()
      family()
      assert.equal('{"email":"b@x"}', body "/models/User?id=bob&_fields=email")
      assert.equal('{"email":"b@x","work":{"name":"acme"}}', body "/models/User?id=bob&_fields=work.name,email")
      assert.equal('{"friends":[{"id":"mum"},{"id":"eve"}]}', body "/models/User?id=bob&_fields=friends.id")
      assert.equal('{"friends":[' .. user "mum" .. "," .. user "no" .. "," .. user "eve" .. "]}",
        body "/models/User?id=bob&_fields=friends&_depth=0")
      assert.equal('{"w":2}', (put("Plain", '{"id":"p","v":1,"w":2}') or body "/models/Plain?id=p&_fields=w"))
      assert.equal("{}", (put("Plain", '{"id":"p","v":1}') or body "/models/Plain?id=p&_fields=w"))
      put("Clock", '{"id":"lazy","tick":{"id":"lazy"},"tock":{"id":"lazy"}}')
      assert.equal('{"tock":{"n":1}}', body "/models/Clock?id=lazy&_fields=tock.n")
      problem("/models/Tick?id=lazy", 504, "not-cached", nil, { ["Cache-Control"] = "only-if-cached" })
    end)

    it("names nobody knows, and paths that lead nowhere, are told", function()
      family()
      check.says(problem("/models/User?id=bob&_fields=emial", 422, "unknown-field", "emial").detail, "did you mean `email`?")
      check.says(problem("/models/User?id=bob&_include=mother.worc", 422, "unknown-field", "mother.worc").detail, "`work`")
      problem("/models/User?id=bob&_fields=work.phone.x", 400, "malformed-request", "_fields")
      problem("/models/User?id=bob&_include=email", 400, "malformed-request", "_include")
      problem("/models/User?id=bob&_include=", 400, "malformed-request", "_include")
      problem("/models/User?id=bob&_fields=email,,id", 400, "malformed-request", "_fields")
      problem("/models/User?id=bob&_fields=%ff", 400, "malformed-request")
      problem("/models/User?id=bob&_depth=1&_depth=2", 400, "malformed-request")
      problem("/models/User?id=bob&_deep=1", 400, "malformed-request")
      problem("/models/User?id=bob&_include=" .. ("mother."):rep(70) .. "work", 400, "malformed-request", "_include")
    end)

    it("a model says how deep its documents are", function()
      family()
      put("Shallow", '{"id":"s","user":{"id":"mum"}}')
      assert.equal('{"id":"s","user":{"id":"mum","email":"m@x","work":{"name":"acme","$ref":"/models/Place?name=acme"}}}',
        body "/models/Shallow?id=s")
      assert.equal('{"id":"s","user":{"id":"mum","email":"m@x","work":{"name":"acme","phone":"1","boss":' .. user "eve" .. "}}}",
        body "/models/Shallow?id=s&_depth=2")
      put("Stubs", '{"id":"s","user":{"id":"mum"}}')
      assert.equal('{"id":"s","user":' .. user "mum" .. "}", body "/models/Stubs?id=s")
      assert.equal('{"id":"s","user":{"id":"mum","email":"m@x","work":{"name":"acme","$ref":"/models/Place?name=acme"}}}',
        body "/models/Stubs?id=s&_include=user")
    end)

    it("values come out as they went in, also when only some are shown", function()
      local odd = '{"a,b":"}]\\"\\\\","c":[{"d":"{"},[],{}],"e":12345678901234567890.10}'
      put("Plain", '{"id":"odd","v":' .. odd .. ',"w":"\\u0000\\"]},{"}')
      assert.equal('{"v":' .. odd .. "}", body "/models/Plain?id=odd&_fields=v")
      assert.equal('{"w":"\\u0000\\"]},{"}', body "/models/Plain?id=odd&_fields=w")
    end)

    -- the whole

    it("the tag is that of the whole: it changes when a part does, and only then", function()
      family()
      local function etag(query) return check.status(gw:get("/models/User?id=bob" .. query), 200).headers.etag end
      local whole, two, one, stubs = etag "", etag "&_depth=2", etag "&_depth=1", etag "&_depth=0"
      local part = etag "&_fields=email"
      assert.is_true(whole ~= two and two ~= one and one ~= stubs and whole ~= stubs)
      assert.equal(whole, etag "&_depth=3")
      put("User", '{"id":"eve","email":"new@x"}')
      assert.is_true(etag "" ~= whole)
      assert.is_true(etag "&_depth=2" ~= two)
      assert.is_true(etag "&_depth=1" ~= one)
      assert.equal(stubs, etag "&_depth=0")
      assert.equal(part, etag "&_fields=email")
      put("User", '{"id":"eve","email":"e@x"}')
      assert.equal(whole, etag "")
      put("User", '{"id":"no"}')
      assert.is_true(etag "" ~= whole)
      check.status(gw:delete "/models/User?id=no", 204)
      assert.equal(whole, etag "")
    end)

    it("304 for who has the whole, with what is true of it now", function()
      family()
      local response = check.status(gw:get "/models/User?id=bob&_depth=1", 200)
      local tag = { ["If-None-Match"] = response.headers.etag }
      local not_modified = check.status(gw:get("/models/User?id=bob&_depth=1", tag), 304)
      assert.equal("", not_modified.body)
      assert.equal(response.headers.etag, not_modified.headers.etag)
      assert.is_truthy(not_modified.headers["cache-control"] and not_modified.headers.age)
      check.status(gw:get("/models/User?id=bob", tag), 200)
      put("User", '{"id":"eve","email":"other"}')
      check.status(gw:get("/models/User?id=bob&_depth=1", tag), 200)
    end)

    it("its age is the oldest's, its life the shortest", function()
      put("Place", '{"name":"old","phone":"1"}')
      process.eventually("an age of 2", 8, function() return gw:get("/models/Place?name=old").headers.age == "2" end)
      put("User", '{"id":"young","work":{"name":"old"}}')
      assert.equal("0", gw:get("/models/User?id=young&_depth=0").headers.age)
      local response = check.status(gw:get "/models/User?id=young", 200)
      local age = tonumber(response.headers.age)
      assert.is_true(age == 2 or age == 3)
      local left = check.cache_control(response)["max-age"]
      assert.is_true(left <= 998 and left >= 996)
      local status = check.cache_status(response)
      check.found_in(store, status.detail)
      assert.same({ hit = true, ttl = left, detail = status.detail }, status)
      check.status(gw:put("/models/Place?_expires=7", '{"name":"old","phone":"1"}'), 204)
      assert.equal(7, check.cache_control(gw:get "/models/User?id=young")["max-age"])
      check.status(gw:put("/models/User?_expires=5", '{"id":"young","work":{"name":"old"}}'), 204)
      assert.equal(5, check.cache_control(gw:get "/models/User?id=young")["max-age"])
    end)

    -- how it is asked for

    it("HEAD says what GET says, and loads nothing", function()
      family()
      local get, head = gw:get "/models/User?id=bob", gw:head "/models/User?id=bob"
      assert.equal("", head.body)
      for _, name in ipairs { "etag", "content-length", "content-type", "cache-control" } do
        assert.equal(get.headers[name], head.headers[name])
      end
      put("Clock", '{"id":"head","tock":{"id":"head"}}')
      check.status(gw:head "/models/Clock?id=head", 404)
      check.status(gw:head "/models/Clock?id=head&_depth=0", 200)
      assert.equal('{"id":"head","tock":{"id":"head","n":1}}', body "/models/Clock?id=head")
      check.status(gw:head "/models/Clock?id=head", 200)
    end)

    it("only-if-cached wants all of it, or what is known to be missing", function()
      local only = { ["Cache-Control"] = "only-if-cached" }
      put("Clock", '{"id":"only","tock":{"id":"only"},"tocks":[{"id":"gone only"}]}')
      problem("/models/Clock?id=only", 504, "not-cached", "tock", only)
      check.status(gw:get("/models/Clock?id=only&_depth=0", only), 200)
      check.status(gw:get "/models/Clock?id=only", 200)
      assert.equal('{"id":"only","tock":{"id":"only","n":1},"tocks":[]}', check.status(gw:get("/models/Clock?id=only", only), 200).body)
      put("User", '{"id":"only","mother":{"id":"nobody"}}') -- nobody loads users
      assert.equal('{"id":"only","mother":null}', check.status(gw:get("/models/User?id=only", only), 200).body)
    end)

    it("no-cache loads every part that has a loader", function()
      local again = { ["Cache-Control"] = "no-cache" }
      put("Clock", '{"id":"again","tick":{"id":"again tick"},"tock":{"id":"again"},"tocks":[{"id":"again"},{"id":"gone again"}]}')
      local function numbers(headers)
        local response = check.status(gw:get("/models/Clock?id=again", headers), 200)
        local document = cjson.decode(response.body)
        return { document.tick.n, document.tock.n, document.tocks[1].n }, response
      end
      assert.same({ 1, 1, 1 }, (numbers()))
      assert.same({ 1, 1, 1 }, (numbers()))
      local found, response = numbers(again)
      assert.same({ 2, 2, 2 }, found)
      assert.equal("perigee; fwd=request; stored; ttl=100", response.headers["cache-status"])
      assert.same({ 2, 2, 2 }, (numbers()))
    end)

    it("large documents come whole, many at once, also to who reads slowly", function()
      local long = ("x"):rep(30000)
      for i = 1, 40 do put("User", ('{"id":"long%d","email":"%s%d"}'):format(i, long, i)) end
      local friends = {}
      for i = 1, 40 do friends[i] = ('{"id":"long%d"}'):format(i) end
      put("User", '{"id":"long","friends":[' .. table.concat(friends, ",") .. "]}")
      local requests = {}
      for i = 1, 8 do requests[i] = { "GET", "/models/User?id=long" } end
      for _, answer in ipairs(http.all(gw.address, requests)) do
        local document = check.document(answer)
        assert.equal(40, #document.friends)
        for i = 1, 40 do assert.equal(long .. i, document.friends[i].email) end
      end
    end)

    it("a client that leaves while a part is loaded takes nothing with it", function()
      put("Clock", '{"id":"left","tock":{"id":"left"}}')
      for _ = 1, 20 do
        local client = http.connect(gw.address)
        client:send(http.format("GET", "/models/Clock?id=left", { ["Cache-Control"] = "no-cache" }))
        client:reset()
      end
      check.status(gw:get "/models/Clock?id=left", 200)
    end)
  end)
end
