-- tests/e2e/patch_spec.lua -- PATCH: what it makes of a record, what it refuses, and that of many at once none is lost.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local socket = require "socket"

local models = [[
model "User" { username = key(), region = key{ default = "eu" }, email = field{ type = "string", required = true },
  age = field{ type = "integer", default = 18 }, prefs = field{ type = "object" }, note = field() }
model "Nap" { id = key(), v = field(), w = field(), options = { expires = 300, negative = 60, hard_timeout = 5 },
  from_miss = function(self)
    if self.id == "none" then return missing end
    sleep(0.3)
    self.v = "loaded"
  end }
model "Place" { name = key(), phone = field() }
model "Person" { name = key(), region = key{ default = "eu" }, note = field(), place = reference "Place", owner = reference{ "self", required = true },
  friends = references{ "self", max = 3 } }
]]

local merge = { ["Content-Type"] = "application/merge-patch+json" }

local function with(headers, more)
  local all = {}
  for name, value in pairs(headers) do all[name] = value end
  for name, value in pairs(more) do all[name] = value end
  return all
end

for _, store in ipairs { "memory", "redis", "cluster" } do
  for _, workers in ipairs { 1, 2 } do
    describe(("patches on %s with %d worker(s)"):format(store, workers), function()
      local gw
      setup(function()
        gw = gateway.start { models = models, store = store, workers = workers, fds = 40, args = { "--max-body", "4MiB" } }
      end)
      teardown(function() gw:finish() end)

      local function patch(target, body, headers) return gw:request("PATCH", target, headers or merge, body) end

      -- A user of this name, put anew.
      local function user(name, body)
        gw:delete("/models/User?username=" .. name)
        check.status(gw:put("/models/User?username=" .. name, body or '{"email":"a@b"}'), 201)
        return "/models/User?username=" .. name
      end

      it("merges objects, replaces the rest, removes by null, and tells the tag", function()
        local bob = user("bob", '{"email":"a@b","prefs":{"theme":"dark","n":{"x":1,"y":[1,2]}},"note":[1]}')
        local answer = check.status(patch(bob, '{"prefs":{"theme":null,"n":{"y":[3],"z":{"gone":null}},"new":true},"note":null}'), 204)
        assert.equal("", answer.body)
        local read = check.status(gw:get(bob), 200)
        assert.equal(answer.headers.etag, read.headers.etag)
        assert.equal('{"username":"bob","region":"eu","email":"a@b","age":18,"prefs":{"n":{"x":1,"y":[3],"z":{}},"new":true}}', read.body)
      end)

      it("keeps every spelling it does not replace", function()
        local odd = user("odd", '{"email":"\\u00e9\\/","age":12345678901234567890123,"prefs":{"\\u0061":1.10,"b":-0,"c":1e400},"note":null}')
        check.status(patch(odd, '{"prefs":{"b":1.50,"a":0.10e1}}'), 204)
        assert.equal('{"username":"odd","region":"eu","email":"\\u00e9\\/","age":12345678901234567890123,'
          .. '"prefs":{"\\u0061":0.10e1,"b":1.50,"c":1e400},"note":null}', gw:get(odd).body)
      end)

      it("changes nothing but the time when it is empty", function()
        local same = user "same"
        local before = gw:get(same)
        assert.equal(before.headers.etag, check.status(patch(same, " { } "), 204).headers.etag)
        assert.equal(before.body, gw:get(same).body)
      end)

      it("answers with the record where that is preferred", function()
        local seen = user "seen"
        local answer = check.status(patch(seen, '{"note":1.0}', with(merge, { Prefer = "return=representation" })), 200)
        assert.equal("application/json", answer.headers["content-type"])
        assert.equal("return=representation", answer.headers["preference-applied"])
        assert.equal('{"username":"seen","region":"eu","email":"a@b","age":18,"note":1.0}', answer.body)
        assert.equal(gw:get(seen).headers.etag, answer.headers.etag)
      end)

      it("takes JSON under its names, and no name", function()
        local named = user "named"
        for _, media in ipairs { "application/merge-patch+json", "application/json", "Application/JSON; charset=utf-8", "application/x+json", false } do
          check.status(patch(named, '{"note":1}', { ["Content-Type"] = media }), 204)
        end
        for _, media in ipairs { "application/json-patch+json", "text/plain", "application/x-www-form-urlencoded" } do
          local answer = patch(named, "[]", { ["Content-Type"] = media })
          check.problem(answer, 415, "unsupported-media")
          assert.equal("application/merge-patch+json", answer.headers["accept-patch"])
        end
        check.problem(patch(named, "{}", with(merge, { ["Content-Encoding"] = "gzip" })), 415, "unsupported-media")
      end)

      it("is named by OPTIONS and by 405", function()
        local options = check.status(gw:request("OPTIONS", "/models/User"), 204)
        check.says(options.headers.allow, "PATCH")
        assert.equal("application/merge-patch+json", options.headers["accept-patch"])
        check.says(gw:request("POST", "/models/User").headers.allow, "PATCH")
      end)

      it("lets a default take the place of what is removed", function()
        local aged = user("aged", '{"email":"a@b","age":40}')
        check.status(patch(aged, '{"age":null}'), 204)
        assert.equal(18, check.document(gw:get(aged)).age)
      end)

      it("takes a key with its own value, and no other", function()
        local keyed = user "keyed"
        check.status(patch(keyed, '{"username":"keyed","region":"\\u0065u","note":1}'), 204)
        for _, body in ipairs { '{"username":"other"}', '{"region":"us"}', '{"region":null}' } do
          check.problem(patch(keyed, body), 400, "key-conflict")
        end
        check.problem(patch(keyed, '{"username":1}'), 400, "key-type")
        check.problem(patch("/models/User", '{"username":"keyed"}'), 400, "key-required")
        check.problem(patch("/models/User?username=keyed&name=x", "{}"), 400, "unknown-key")
      end)

      it("refuses what the model refuses, and then changes nothing", function()
        local strict = user("strict", '{"email":"a@b","note":"kept"}')
        local before = gw:get(strict)
        assert.equal("email", check.problem(patch(strict, '{"note":1,"email":null}'), 422, "field-required").path)
        assert.equal("age", check.problem(patch(strict, '{"note":1,"age":"old"}'), 422, "field-type").path)
        check.problem(patch(strict, '{"note":1,"prefs":[]}'), 422, "field-type")
        check.problem(patch(strict, '{"note":1,"email":{"a":null}}'), 422, "field-type")
        check.says(check.problem(patch(strict, '{"note":1,"emial":"x"}'), 422, "unknown-field").detail, "did you mean `email`?")
        for _, body in ipairs { "[]", "null", '"x"', "1" } do check.problem(patch(strict, body), 400, "malformed-request") end
        check.problem(patch(strict, '{"note":}'), 400, "malformed-json")
        check.problem(patch(strict, ""), 400, "malformed-json")
        check.problem(patch(strict, ('{"note":%s%s}'):format(("["):rep(64), ("]"):rep(64))), 400, "malformed-json")
        check.problem(patch(strict .. "&_nothing=1", "{}"), 400, "malformed-request")
        check.problem(patch(strict, '{"note":1}', with(merge, { ["If-Unmodified-Since"] = "*" })), 501, "not-implemented")
        local after = gw:get(strict)
        assert.equal(before.body, after.body)
        assert.equal(before.headers.etag, after.headers.etag)
      end)

      it("finds only what is there and live, and loads nothing", function()
        local problem = check.problem(patch("/models/User?username=nobody", '{"email":"x"}'), 404, "missing")
        assert.equal("User", problem.model)
        assert.same({ username = "nobody", region = "eu" }, problem.keys)
        check.status(gw:get "/models/User?username=nobody", 404)

        local loads = gw:metric("perigee_loads_total", { model = "Nap" })
        check.problem(patch("/models/Nap?id=cold", '{"v":1}'), 404, "missing")
        assert.equal(loads, gw:metric("perigee_loads_total", { model = "Nap" }))
        check.status(gw:get "/models/Nap?id=none", 404) -- and this is remembered
        check.problem(patch("/models/Nap?id=none", '{"v":1}'), 404, "missing")

        check.status(gw:put("/models/Nap?id=short&_expires=100ms", '{"v":1}'), 201)
        process.eventually("it is over", 5, function() return patch("/models/Nap?id=short", "{}").status == 404 end)
        check.status(gw:head "/models/Nap?id=short", 404)
      end)

      it("keeps what is left of the record's life, or sets it", function()
        check.status(gw:put("/models/Nap?id=life&_expires=50", '{"v":1}'), 201)
        local function left() return check.cache_control(gw:get "/models/Nap?id=life")["max-age"] end
        check.status(patch("/models/Nap?id=life", '{"v":2}'), 204)
        assert(left() <= 50 and left() > 20, left())
        check.status(patch("/models/Nap?id=life&_expires=15m", '{"v":3}'), 204)
        assert(left() <= 900 and left() > 800, left())
        check.status(patch("/models/Nap?id=life", '{"v":4}', with(merge, { ["Cache-Control"] = "max-age=100" })), 204)
        assert(left() <= 100 and left() > 70, left())
        check.status(patch("/models/Nap?id=life&_expires=200", '{"v":5}', with(merge, { ["Cache-Control"] = "max-age=100" })), 204)
        assert(left() <= 200 and left() > 170, left())
        check.problem(patch("/models/Nap?id=life&_expires=soon", '{"v":6}'), 400, "malformed-request")
        assert.equal(5, check.document(gw:get "/models/Nap?id=life").v)
        check.status(patch("/models/Nap?id=life&_expires=0", '{"v":7}'), 204)
        process.eventually("it is gone", 5, function() return gw:head("/models/Nap?id=life").status == 404 end)
        local forever = user "forever"
        check.status(patch(forever, '{"note":1}'), 204)
        assert.equal(31536000, check.cache_control(gw:get(forever))["max-age"])
      end)

      it("lets no record grow beyond 2 MiB, but keeps those that are", function()
        local grown = user "grown"
        local text = ("x"):rep(900 * 1024)
        check.status(patch(grown, ('{"prefs":{"a":"%s"}}'):format(text)), 204)
        check.status(patch(grown, ('{"prefs":{"b":"%s"}}'):format(text)), 204)
        check.problem(patch(grown, ('{"prefs":{"c":"%s"}}'):format(text)), 413, "body-too-large")
        check.status(patch(grown, '{"prefs":{"a":1}}'), 204)
        assert.equal(#text, #check.document(gw:get(grown)).prefs.b)
        user("grown", ('{"email":"%s","note":1}'):format(("x"):rep(3 * 1024 * 1024)))
        check.status(patch(grown, '{"note":2}'), 204)
        check.problem(patch(grown, '{"note":12}'), 413, "body-too-large")
        assert.equal(2, check.document(gw:get(grown)).note)
        gw:delete(grown)
      end)

      it("counts", function()
        local counted = user "counted"
        local before = gw:metric("perigee_requests_total", { model = "User", op = "patch", outcome = "saved" })
        check.status(patch(counted, "{}"), 204)
        assert.equal(before + 1, gw:metric("perigee_requests_total", { model = "User", op = "patch", outcome = "saved" }))
      end)

      it("merges references as their keys, and replaces lists of them", function()
        local function ref(name, region) return ('{"name":"%s","region":"%s","$ref":"/models/Person?name=%s&region=%s"}'):format(name, region, name, region) end
        local me = "/models/Person?name=me"
        gw:delete(me)
        check.status(gw:put(me, '{"note":1,"place":{"name":"here"},"owner":{"name":"o","region":"us"},"friends":[{"name":"f"}]}'), 201)
        local function patched(body) return check.status(patch(me, body, with(merge, { Prefer = "return=representation" })), 200).body end
        local function stored(owner, friends, place, note)
          return ('{"name":"me","region":"eu","note":%s,%s"owner":%s,"friends":[%s]}'):format(note or 1,
            place and ('"place":{"name":"%s","$ref":"/models/Place?name=%s"},'):format(place, place) or "", owner, friends)
        end
        assert.equal(stored(ref("o", "us"), ref("f", "eu"), "here", 2), patched '{"note":2}')
        assert.equal(stored(ref("p", "us"), ref("f", "eu"), "here", 2), patched '{"owner":{"name":"p"}}') -- its region stays
        assert.equal(stored(ref("p", "eu"), ref("f", "eu"), "here", 2), patched '{"owner":{"region":null}}') -- the default's
        assert.equal(stored(ref("p", "eu"), ref("f", "eu"), nil, 2), patched '{"place":null}')
        assert.equal(stored(ref("p", "eu"), ref("f", "eu"), "there", 2), patched '{"place":{"name":"there","$ref":"/models/Place?name=there"}}')
        assert.equal(stored(ref("p", "eu"), ref("a", "eu") .. "," .. ref("b", "us"), "there", 2), patched '{"friends":[{"name":"a"},{"name":"b","region":"us"}]}')
        assert.equal(stored(ref("p", "eu"), "", "there", 1), patched '{"friends":[],"note":1}')
        local function refused(body, code, path) assert.equal(path, check.problem(patch(me, body), 422, code).path) end
        refused('{"owner":null}', "field-required", "owner")
        refused('{"owner":{"name":1}}', "reference-invalid", "owner.name")
        refused('{"owner":{"name":null}}', "reference-invalid", "owner.name")
        refused('{"owner":{"name":"q","$ref":"/models/Person?name=p&region=eu"}}', "reference-invalid", "owner.$ref")
        refused('{"place":{"phone":"1"}}', "reference-invalid", "place.phone")
        refused('{"place":"there"}', "reference-invalid", "place")
        refused('{"friends":[{"name":"a"},null]}', "reference-invalid", "friends[1]")
        refused('{"friends":[{"name":"a"},{"name":"a"},{"name":"a"},{"name":"a"}]}', "reference-invalid", "friends")
        assert.equal(stored(ref("p", "eu"), "", "there", 1), check.status(gw:get(me .. "&_depth=0"), 200).body)
      end)

      it("of 8 clients with 50 patches each, loses none", function()
        local busy = user("busy", '{"email":"a@b","prefs":{}}')
        local clients = {}
        for i = 1, 8 do
          local requests = {}
          for n = 1, 50 do
            requests[n] = http.format("PATCH", busy, merge, ('{"prefs":{"client%d":{"%d":%d.0}}}'):format(i, n, n))
          end
          clients[i] = http.connect(gw.address)
          clients[i]:send(table.concat(requests))
        end
        for _, client in ipairs(clients) do
          for _ = 1, 50 do check.status(client:receive(), 204) end
          client:close()
        end
        local prefs = check.document(gw:get(busy)).prefs
        for i = 1, 8 do
          for n = 1, 50 do assert.equal(n, prefs["client" .. i][tostring(n)]) end
        end
      end)

      it("many at once with saves and deletes between: the record is always a whole one", function()
        local mixed = user "mixed"
        for _ = 1, 5 do
          local requests = {}
          for i = 1, 60 do
            requests[i] = i % 10 == 0 and { "DELETE", mixed } or i % 5 == 0 and { "PUT", mixed, {}, '{"email":"p@q","note":[1]}' }
              or { "PATCH", mixed, merge, ('{"prefs":{"%d":1}}'):format(i) }
          end
          for i, answer in ipairs(http.all(gw.address, requests)) do
            assert(answer and (answer.status < 300 or requests[i][1] == "PATCH" and answer.status == 404), "no answer")
          end
        end
        local read = gw:get(mixed)
        if read.status == 200 then assert.equal("p@q", check.document(read).email) end
      end)

      it("a patch during a load stands", function()
        check.status(gw:put("/models/Nap?id=warm", '{"v":"put","w":1}'), 201)
        local waiting = http.connect(gw.address)
        waiting:send(http.format("GET", "/models/Nap?id=warm", { ["Cache-Control"] = "no-cache" }))
        socket.sleep(0.1) -- into the nap
        check.status(patch("/models/Nap?id=warm", '{"w":2}'), 204)
        local during = gw:metric("perigee_loads_inflight", { model = "Nap" }) == 1
        check.status(waiting:receive(), 200)
        waiting:close()
        for _ = 1, 5 do check.document(gw:get "/models/Nap?id=warm") end
        local document = check.document(gw:get "/models/Nap?id=warm")
        assert.equal(2, document.w)
        if during then assert.equal("put", document.v) end -- else the machine stood still, and what was loaded has been patched
      end)

      it("a patch of what is not there yet leaves its load alone", function()
        local waiting = http.connect(gw.address)
        waiting:send(http.format("GET", "/models/Nap?id=coming"))
        socket.sleep(0.1)
        check.problem(patch("/models/Nap?id=coming", '{"w":2}'), 404, "missing")
        check.status(waiting:receive(), 200)
        waiting:close()
        assert.is_true(check.cache_status(gw:get "/models/Nap?id=coming").hit)
      end)

      it("clients that leave hold nobody up", function()
        local left = user("left", '{"email":"a@b","prefs":{}}')
        for round = 1, 5 do
          local leaving = {}
          for i = 1, 30 do
            leaving[i] = http.connect(gw.address)
            leaving[i]:send(http.format("PATCH", left, merge, ('{"prefs":{"%d":%d}}'):format(i, round)))
          end
          for _, connection in ipairs(leaving) do connection:reset() end
          check.status(patch(left, ('{"note":%d}'):format(round)), 204)
        end
        assert.equal(5, check.document(gw:get(left)).note)
      end)
    end)
  end
end

describe("patches before a Redis of their own", function()
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

  local function saved(target) check.status(gateways[1]:put(target, '{"email":"a@b","prefs":{}}'), 201) return target end

  it("two gateways with 4 clients each lose none", function()
    local busy, clients = saved "/models/User?username=busy", {}
    for i = 1, 8 do clients[i] = http.connect(gateways[i % 2 + 1].address) end
    for n = 1, 50 do -- whoever is told that the record is too busy tries again, as a client does
      local left = { 1, 2, 3, 4, 5, 6, 7, 8 }
      while #left > 0 do
        local again = {}
        for _, i in ipairs(left) do clients[i]:send(http.format("PATCH", busy, merge, ('{"prefs":{"%d":{"%d":1}}}'):format(i, n))) end
        for _, i in ipairs(left) do
          local answer = clients[i]:receive()
          if answer.status == 503 then
            check.problem(answer, 503, "overloaded")
            again[#again + 1] = i
          else
            check.status(answer, 204)
          end
        end
        left = again
      end
    end
    for i = 1, 8 do clients[i]:close() end
    local prefs = check.document(gateways[1]:get(busy)).prefs
    for i = 1, 8 do
      for n = 1, 50 do assert.equal(1, prefs[tostring(i)][tostring(n)]) end
    end
  end)

  it("what is stored is an envelope with what was left of its life", function()
    check.status(gateways[1]:put("/models/User?username=stored&_expires=100", '{"email":"a@b"}'), 201)
    check.status(gateways[2]:request("PATCH", "/models/User?username=stored", merge, '{"note":1}'), 204)
    local key = server:command("KEYS", "*username=stored")[1]
    check.says(server:command("GET", key), '{"username":"stored","region":"eu","email":"a@b","age":18,"note":1}')
    local left = server:command("PTTL", key)
    assert(left > 50000 and left <= 100000, left)
    assert.equal(gateways[2]:get("/models/User?username=stored").headers.etag, gateways[1]:get("/models/User?username=stored").headers.etag)
  end)

  it("what is no record of ours is missing, and counted", function()
    local gw = gateways[1]
    local target = saved "/models/User?username=damaged"
    local key = server:command("KEYS", "*username=damaged")[1]
    local value = server:command("GET", key)
    for _, damaged in ipairs { (value:gsub("}$", "]")), (value:gsub('"prefs"', '"perfs"')), value:sub(1, -2), "", "PGE" } do
      local before = gw:metric "perigee_envelopes_damaged_total"
      server:command("SET", key, damaged)
      check.problem(gw:request("PATCH", target, merge, '{"note":1}'), 404, "missing")
      assert.equal(before + 1, gw:metric "perigee_envelopes_damaged_total")
      assert.equal(damaged, server:command("GET", key))
    end
    check.status(gw:put(target, '{"email":"a@b"}'), 201)
  end)

  it("too many that wait for one record are refused, and those who wait are served in turn", function()
    local target = saved "/models/User?username=crowd"
    local gw = gateway.start { models = models, store = server.url, workers = 1, fds = 300, args = { "--redis-timeout", "5s" } }
    gw:await_store()
    local requests, clients, count = 300, {}, { [204] = 0, [503] = 0 }
    server.process:signal "STOP"
    for i = 1, requests do
      clients[i] = http.connect(gw.address)
      clients[i]:send(http.format("PATCH", target, merge, ('{"prefs":{"%d":1}}'):format(i)))
    end
    process.eventually("those too many are told", 4, function()
      return gw:metric("perigee_requests_total", { op = "patch", outcome = "overloaded" }) == requests - 257
    end)
    server.process:signal "CONT"
    for i = 1, requests do
      local answer = clients[i]:receive()
      count[answer.status] = count[answer.status] + 1
      clients[i]:close()
    end
    assert.same({ [204] = 257, [503] = requests - 257 }, count)
    local n = 0
    for _ in pairs(check.document(gw:get(target)).prefs) do n = n + 1 end
    assert.equal(257, n)
    gw:finish()
  end)

  it("a store that dies fails all who wait, and none is left waiting", function()
    local own = redis.start()
    local gw = gateway.start { models = models, store = own.url, workers = 1, fds = 300, args = { "--redis-timeout", "5s" } }
    gw:await_store()
    check.status(gw:put("/models/User?username=last", '{"email":"a@b"}'), 201)
    local clients = {}
    own.process:signal "STOP"
    for i = 1, 257 do
      clients[i] = http.connect(gw.address)
      clients[i]:send(http.format("PATCH", "/models/User?username=last", merge, '{"note":1}'))
    end
    socket.sleep(0.2)
    own:kill()
    for i = 1, 257 do
      check.problem(clients[i]:receive(), 503, "store-unavailable")
      clients[i]:close()
    end
    check.problem(gw:request("PATCH", "/models/User?username=last", merge, '{"note":1}'), 503, "store-unavailable")
    gw:finish()
    own:stop()
  end)
end)
