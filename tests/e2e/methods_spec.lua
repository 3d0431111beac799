-- tests/e2e/methods_spec.lua -- cached methods: what a result is kept by, how long, and that it is made once however it is asked for.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local origin = require "tests.support.origin"
local process = require "tests.support.process"

local models = [[
model "Home" {
  address = key(),
  geocode = cached_method{ on = { "address" }, args = { precision = arg{ type = "integer", default = 5 } }, expires = "1h",
    function(self, args)
      return http.get(("ORIGIN/geocode/%s/%d"):format((self.address:gsub(" ", "+")), args.precision)):json()
    end },
}
model "Place" {
  name = key(), region = key{ default = "eu" }, city = field{ type = "string" }, height = field{ type = "number" }, odd = field(),
  options = { expires = 600 },
  typed = cached_method{ args = { v = arg(), w = arg{ required = false } }, expires = 60,
    function(self, args) return { type(args.v), args.v, args.w or null } end },
  weather = cached_method{ on = { "city" }, args = { day = arg{ type = "string" } }, expires = 60,
    function(self, args) return http.get("ORIGIN/weather/" .. (self.city or "none") .. "/" .. args.day):json().path end },
  high = cached_method{ on = { "height", "odd" }, function(self) return { self.height or null, self.odd or null } end },
  nothing = cached_method{ expires = 60, function(self) http.get("ORIGIN/nothing/" .. self.name) end },
  values = cached_method{ args = { v = arg{ type = "string" } }, function(self, args)
    local value = { null = null, number = 1.5, text = "t\"", yes = true, list = array{}, object = { b = 1, a = { 2 } }, nan = 0/0, func = sleep }
    return value[args.v]
  end },
  brief = cached_method{ expires = 1, function(self) return http.get("ORIGIN/brief/" .. self.name):json().n end },
  gone = cached_method{ expires = 60, negative = 60, function(self)
    http.get("ORIGIN/gone/" .. self.name)
    return missing
  end },
  forgotten = cached_method{ expires = 60, function(self)
    http.get("ORIGIN/forgotten/" .. self.name)
    return missing
  end },
  slow = cached_method{ expires = 60, hard_timeout = 10, function(self) return http.get("ORIGIN/slow/" .. self.name .. "?delay=300"):json().n end },
  late = cached_method{ hard_timeout = 0.2, function(self) sleep(30) end },
  broken = cached_method{ expires = 60, function(self) error("at " .. http.get("ORIGIN/broken/" .. self.name):json().n) end },
  things = cached_method{ args = { v = arg{ type = "string" } }, function(self, args)
    return ({
      args = function() return args end, self = function() return { self } end,
      record = function() return Place.get{ name = "thing", region = "eu" } end,
      many = function() return { of = Place.get_many{ { name = "thing" }, { name = "nobody" } } } end,
      document = function() return Tower.get{ name = "tower" } end,
      shallow = function() return Tower.get({ name = "tower" }, { depth = 0 }) end,
      new = function() local t = Tower{ name = "new", parts = { { name = "p" } } } t.twin = t return t end,
      class = function() return Place end,
    })[args.v]()
  end },
  strict = cached_method{ args = { a = arg() }, function(self, args)
    if args.a == "self" then return self.city end
    if args.a == "args" then return args.b end
    if args.a == "set" then self.name = "x" end
    if args.a == "change" then args.a = "x" end
    return "fine"
  end },
}
model "Tower" { name = key(), place = reference "Place", parts = references "self", twin = reference{ "self", missing = "null" }, wires = packed() }
model "Loaded" {
  id = key(), city = field(), options = { expires = 60, negative = 60 },
  from_miss = function(self)
    if self.id == "none" then return missing end
    if self.id == "bad" then error "bad" end
    http.get("ORIGIN/loaded/" .. self.id)
    self.city = "city of " .. self.id
  end,
  where = cached_method{ on = { "city" }, expires = 60, function(self) return self.city end },
}
]]

local json = { ["Content-Type"] = "application/json" }
local urlencoded = { ["Content-Type"] = "application/x-www-form-urlencoded" }

for _, store in ipairs { "memory", "redis" } do
  describe("cached methods on " .. store, function()
    local gw, source
    setup(function()
      source = origin.start()
      gw = gateway.start { models = (models:gsub("ORIGIN", source.url)), store = store, workers = 2, fds = 40, beside = { source } }
    end)
    teardown(function() gw:finish() end)

    local function asked(path) return (source:asked(path)) end
    local function post(target, body, headers) return gw:request("POST", target, headers or json, body) end

    it("are made once: the example of the contract", function()
      local made = check.status(gw:get "/models/Home/geocode?address=main", 200)
      assert.equal("application/json", made.headers["content-type"])
      assert.equal("/geocode/main/5", check.document(made).path)
      assert.is_true(check.cache_status(made).stored)
      assert.equal(3600, check.cache_control(made)["max-age"])
      local found = gw:get "/models/Home/geocode?address=main"
      assert.equal(made.body, found.body)
      assert.equal(made.headers.etag, found.headers.etag)
      assert.same({ hit = true, ttl = check.cache_status(found).ttl, detail = store }, check.cache_status(found))
      assert.equal(1, asked "/geocode/main")
    end)

    it("apply a default before anything else", function()
      gw:get "/models/Home/geocode?address=default&precision=5"
      gw:get "/models/Home/geocode?address=default"
      post("/models/Home/geocode", '{"address":"default","precision":null}')
      assert.equal(1, asked "/geocode/default/")
      gw:get "/models/Home/geocode?address=default&precision=6" -- another argument, another result
      assert.equal(1, asked "/geocode/default/6")
      gw:get "/models/Home/geocode?precision=6&address=default"
      assert.equal(2, asked "/geocode/default/")
    end)

    it("are the same by GET, JSON and a form", function()
      local bodies = {
        gw:get "/models/Home/geocode?address=a%20b&precision=7", gw:get "/models/Home/geocode?precision=7&address=a+b",
        post("/models/Home/geocode", ' { "precision" : 7, "address" : "a\\u0020b" } '),
        post("/models/Home/geocode", "address=a+b&precision=7", urlencoded),
        post("/models/Home/geocode", "precision=7&address=a%20b", { ["Content-Type"] = "Application/X-WWW-Form-URLencoded; charset=utf-8" }),
        post("/models/Home/geocode?address=a+b", '{"precision":7}', { ["Content-Type"] = "application/x+json" }),
        post("/models/Home/geocode?address=a+b&precision=7", '{"precision":7}', { ["Content-Type"] = false }),
        post("/models/Home/geocode?precision=7", "address=a+b", urlencoded),
        post("/models/Home/geocode?address=a+b&precision=7", nil, { ["Content-Length"] = "0" }),
      }
      for i, response in ipairs(bodies) do assert.equal(bodies[1].body, check.status(response, 200).body, i) end
      assert.equal(1, asked "/geocode/a+b/")
    end)

    it("keep 5 and \"5\" apart", function()
      assert.equal('["number",5,null]', gw:get("/models/Place/typed?name=t&v=5").body)
      assert.equal('["string","5",null]', gw:get('/models/Place/typed?name=t&v=%225%22').body)
      assert.equal('["string","5",null]', post("/models/Place/typed", '{"name":"t","v":"5"}').body)
      assert.equal('["number",5,null]', post("/models/Place/typed", '{"name":"t","v":5.0}').body)
      assert.equal('["boolean",true,null]', gw:get("/models/Place/typed?name=t&v=true").body)
      assert.equal('["string","true",null]', gw:get('/models/Place/typed?name=t&v=%22true%22').body)
    end)

    it("tell an absent argument from an empty one", function()
      assert.equal('["string","x",null]', gw:get("/models/Place/typed?name=e&v=x").body)
      assert.equal('["string","x",""]', gw:get("/models/Place/typed?name=e&v=x&w=").body)
      assert.equal('["string","x",null]', post("/models/Place/typed", '{"name":"e","v":"x","w":null}').body)
    end)

    it("stay when their source has gone, until they are forgotten", function()
      local other = origin.start()
      local own = gateway.start { models = (models:gsub("ORIGIN", other.url)), store = store, fds = 40 }
      local before = check.status(own:get "/models/Home/geocode?address=kept", 200)
      other:stop()
      assert.equal(before.body, check.status(own:get "/models/Home/geocode?address=kept", 200).body)
      check.problem(own:get "/models/Home/geocode?address=new", 502, "loader-error")
      check.status(own:delete "/models/Home/geocode?address=kept", 204)
      check.problem(own:get "/models/Home/geocode?address=kept", 502, "loader-error")
      own:finish()
    end)

    it("keep null as a value", function()
      local made = check.status(gw:get "/models/Place/nothing?name=n", 200)
      assert.equal("null", made.body)
      local found = check.status(gw:get "/models/Place/nothing?name=n", 200)
      assert.equal("null", found.body)
      assert.is_true(check.cache_status(found).hit)
      check.status(gw:head "/models/Place/nothing?name=n", 200)
      assert.equal(1, asked "/nothing/n")
    end)

    it("answer any JSON value, and nothing else", function()
      for v, text in pairs { null = "null", number = "1.5", text = '"t\\""', yes = "true", list = "[]" } do
        for _ = 1, 2 do assert.equal(text, check.status(gw:get("/models/Place/values?name=v&v=" .. v), 200).body) end
      end
      assert.same({ b = 1, a = { 2 } }, check.document(gw:get "/models/Place/values?name=v&v=object"))
      assert.equal("null", gw:get("/models/Place/values?name=v&v=unset").body)
      for _, v in ipairs { "nan", "func" } do
        assert.equal("Place.values", check.problem(gw:get("/models/Place/values?name=v&v=" .. v), 502, "loader-error").model)
        check.status(gw:head("/models/Place/values?name=v&v=" .. v), 404)
      end
    end)

    it("answer records and what a handler is given as tables", function()
      check.status(gw:put("/models/Place?name=thing&region=eu", '{"odd":[]}'), 201)
      check.status(gw:put("/models/Tower?name=top", '{"place":{"name":"thing","region":"eu"}}'), 201)
      check.status(gw:put("/models/Tower?name=tower", '{"place":{"name":"thing","region":"eu"},"parts":[{"name":"top"}],"twin":{"name":"tower"}}'), 201)
      local thing = '{"name":"thing","odd":[],"region":"eu"}'
      for v, text in pairs {
        args = '{"v":"args"}', self = '[{"name":"v","region":"eu"}]', record = thing, many = '{"of":[' .. thing .. ',null]}',
        document = ('{"name":"tower","parts":[{"name":"top","place":%s}],"place":%s,"twin":{"name":"tower"}}'):format(thing, thing),
        shallow = '{"name":"tower","parts":[{"name":"top"}],"place":{"name":"thing","region":"eu"},"twin":{"name":"tower"}}',
        new = '{"name":"new","parts":[{"name":"p"}],"twin":{"name":"new"}}',
      } do
        assert.equal(text, check.status(gw:get("/models/Place/things?name=v&v=" .. v), 200).body)
      end
      check.problem(gw:get "/models/Place/things?name=v&v=class", 502, "loader-error")
    end)

    it("run once for fifty who ask at once", function()
      local requests = {}
      for i = 1, 50 do requests[i] = i % 2 == 0 and { "GET", "/models/Place/slow?name=s" } or { "POST", "/models/Place/slow", urlencoded, "name=s" } end
      local answers = http.all(gw.address, requests)
      for i = 1, 50 do assert.equal(answers[1].body, check.status(answers[i], 200).body) end
      assert.equal(1, asked "/slow/s")
    end)

    it("are made anew when their time is over", function()
      local first = check.document(gw:get "/models/Place/brief?name=b")
      assert.equal(first, check.document(gw:get "/models/Place/brief?name=b"))
      process.eventually("another run", 5, function() return gw:get("/models/Place/brief?name=b").body ~= tostring(first) end)
      assert.equal(2, asked "/brief/b")
    end)

    it("remember what is missing for as long as they say", function()
      local response = gw:get "/models/Place/gone?name=m"
      local problem = check.problem(response, 404, "missing")
      assert.equal("Place.gone", problem.model)
      assert.same({ name = "m", region = "eu" }, problem.keys)
      assert.is_true(check.cache_status(gw:get "/models/Place/gone?name=m").hit)
      assert.equal(1, asked "/gone/m")
      check.problem(gw:get "/models/Place/forgotten?name=m", 404, "missing")
      check.problem(gw:get "/models/Place/forgotten?name=m", 404, "missing")
      assert.equal(2, asked "/forgotten/m")
    end)

    it("keep nothing of what failed", function()
      for i = 1, 2 do
        local problem = check.problem(gw:get "/models/Place/broken?name=f", 502, "loader-error")
        assert.equal("Place.broken", problem.model)
        assert.equal(i, asked "/broken/f")
      end
      check.problem(gw:get "/models/Place/late?name=f", 504, "loader-timeout")
      check.says(gw:log(), "Place.broken", "at ")
    end)

    it("give the handler what it has declared, to be read", function()
      assert.equal('"fine"', gw:get("/models/Place/strict?name=x&a=y").body)
      for a, words in pairs { self = "city", args = "b", set = "", change = "" } do
        check.problem(gw:get("/models/Place/strict?name=x&a=" .. a), 502, "loader-error")
        check.says(gw:log(), words)
      end
    end)

    it("refuse what is missing, unknown, or of another type", function()
      local geocode = "/models/Home/geocode"
      assert.equal("address", check.problem(gw:get(geocode), 400, "key-required").path)
      assert.equal("day", check.problem(gw:get "/models/Place/weather?city=x", 400, "key-required").path)
      assert.equal("precision", check.problem(gw:get(geocode .. "?address=x&precision=high"), 400, "key-type").path)
      check.problem(post(geocode, '{"address":"x","precision":"5"}'), 400, "key-type")
      check.problem(post(geocode, '{"address":5}'), 400, "key-type")
      check.problem(post(geocode, '{"address":null}'), 400, "key-type")
      check.says(check.problem(gw:get(geocode .. "?address=x&precison=5"), 400, "unknown-key").detail, "precison", "precision")
      check.problem(post(geocode, '{"address":"x","y":1}'), 400, "unknown-key")
      check.problem(gw:get(geocode .. "?address=x&address=x"), 400, "malformed-request")
      check.problem(gw:get(geocode .. "?address=x&_depth=1"), 400, "malformed-request")
      check.problem(post(geocode, '["x"]'), 400, "malformed-request")
      check.problem(post(geocode, '{"address":}'), 400, "malformed-json")
      check.problem(post(geocode, "address=%zz", urlencoded), 400, "malformed-request")
      check.problem(post(geocode, "address", urlencoded), 400, "malformed-request")
      assert.equal("address", check.problem(post(geocode .. "?address=x", '{"address":"y"}'), 400, "key-conflict").path)
      check.problem(post(geocode .. "?address=x", "address=y", urlencoded), 400, "key-conflict")
      for _, headers in ipairs { { ["Content-Type"] = "text/plain" }, { ["Content-Type"] = "multipart/form-data; boundary=x" },
        { ["Content-Encoding"] = "gzip" }, { ["Content-Type"] = urlencoded["Content-Type"], ["Content-Encoding"] = "gzip" } } do
        check.says(check.problem(post(geocode, "address=x", headers), 415, "unsupported-media").detail, "application/x-www-form-urlencoded")
      end
      assert.equal(0, asked "/geocode/x/")
    end)

    it("read attributes that are plain fields from the record", function()
      check.status(gw:put("/models/Place", '{"name":"oslo","city":"Oslo"}'), 201)
      check.status(gw:put("/models/Place", '{"name":"oslo","region":"no","city":"Oslo"}'), 201)
      assert.equal('"/weather/Oslo/mon"', gw:get("/models/Place/weather?name=oslo&day=mon").body)
      gw:get "/models/Place/weather?name=oslo&region=no&day=mon" -- another record, the same city
      gw:get "/models/Place/weather?city=Oslo&day=mon" -- given: no record is needed
      post("/models/Place/weather", '{"name":"nowhere","city":"Oslo","day":"mon"}')
      assert.equal(1, asked "/weather/Oslo/mon")
      local problem = check.problem(gw:get "/models/Place/weather?name=nowhere&day=mon", 404, "missing")
      check.says(problem.detail, "Place")
      check.problem(gw:get "/models/Place/weather?day=mon", 400, "key-required")
      check.status(gw:put("/models/Place", '{"name":"oslo","city":"Bergen"}'), 204)
      assert.equal('"/weather/Bergen/mon"', gw:get("/models/Place/weather?name=oslo&day=mon").body)
      check.status(gw:put("/models/Place", '{"name":"plain"}'), 201)
      assert.equal('"/weather/none/mon"', gw:get("/models/Place/weather?name=plain&day=mon").body)
    end)

    it("are kept by numbers and words of a record, and by nothing longer", function()
      check.status(gw:put("/models/Place", '{"name":"high","height":1.50,"odd":"x"}'), 201)
      assert.equal('[1.5,"x"]', gw:get("/models/Place/high?name=high").body)
      check.status(gw:put("/models/Place", '{"name":"high","height":15e-1,"odd":"x"}'), 204)
      assert.is_true(check.cache_status(gw:get "/models/Place/high?name=high").hit)
      check.status(gw:put("/models/Place", '{"name":"high","odd":[1]}'), 204)
      assert.equal("odd", check.problem(gw:get "/models/Place/high?name=high", 422, "field-type").path)
      check.status(gw:put("/models/Place", '{"name":"high","odd":null}'), 204)
      assert.equal("[null,null]", gw:get("/models/Place/high?name=high").body)
    end)

    it("load the record they read, or fail as it does", function()
      assert.equal('"city of a"', gw:get("/models/Loaded/where?id=a").body)
      assert.equal('"city of a"', gw:get("/models/Loaded/where?id=a").body)
      assert.equal(1, asked "/loaded/a")
      check.problem(gw:get "/models/Loaded/where?id=none", 404, "missing")
      check.problem(gw:get "/models/Loaded/where?id=bad", 502, "loader-error")
      check.status(gw:head "/models/Loaded/where?id=b", 404)
      check.problem(gw:get("/models/Loaded/where?id=b", { ["Cache-Control"] = "only-if-cached" }), 504, "not-cached")
      assert.equal(0, asked "/loaded/b")
      assert.equal('"city of a"', gw:get("/models/Loaded/where?id=a", { ["Cache-Control"] = "no-cache" }).body)
      assert.equal(2, asked "/loaded/a")
    end)

    it("answer HEAD and conditions as records do", function()
      local target = "/models/Home/geocode?address=head"
      check.status(gw:head(target), 404)
      check.problem(gw:get(target, { ["Cache-Control"] = "only-if-cached" }), 504, "not-cached")
      assert.equal(0, asked "/geocode/head")
      local made = check.status(gw:get(target), 200)
      local head = check.status(gw:head(target), 200)
      for _, name in ipairs { "etag", "content-type", "content-length" } do assert.equal(made.headers[name], head.headers[name]) end
      for _, method in ipairs { "GET", "HEAD" } do
        local unchanged = check.status(gw:request(method, target, { ["If-None-Match"] = made.headers.etag }), 304)
        assert.equal(made.headers.etag, unchanged.headers.etag)
      end
      local posted = check.status(post(target, "", { ["If-None-Match"] = made.headers.etag }), 200)
      assert.equal(made.body, posted.body)
      check.status(gw:get(target, { ["Cache-Control"] = "only-if-cached" }), 200)
      local anew = check.status(gw:get(target, { ["Cache-Control"] = "no-cache" }), 200)
      assert.is_true(check.cache_status(anew).stored)
      assert.equal(2, asked "/geocode/head")
    end)

    it("are found by their whole name, and the nearest is told", function()
      for _, name in ipairs { "geocode%00", "geocode%00x", "geocode.x", "Geocode", "geocod", "Home.geocode", "%00geocode" } do
        local problem = check.problem(gw:get("/models/Home/" .. name .. "?address=whole"), 404, "not-found")
        if name:lower():match "^geocode?$" then check.says(problem.detail, "model `Home` has no method `" .. name .. "` (did you mean `geocode`?)") end
      end
      assert.equal(0, asked "/geocode/whole")
    end)

    it("are forgotten by DELETE, each by itself", function()
      for _, p in ipairs { 1, 2 } do gw:get("/models/Home/geocode?address=del&precision=" .. p) end
      for _ = 1, 2 do assert.equal("", check.status(gw:delete "/models/Home/geocode?address=del&precision=1", 204).body) end
      check.status(gw:head "/models/Home/geocode?address=del&precision=1", 404)
      check.status(gw:head "/models/Home/geocode?address=del&precision=2", 200)
      check.problem(gw:delete "/models/Home/geocode?precision=1", 400, "key-required")
      for _, header in ipairs { "If-Match", "If-None-Match" } do
        check.problem(gw:delete("/models/Home/geocode?address=del&precision=2", { [header] = "*" }), 501, "not-implemented")
      end
      check.status(gw:put("/models/Place", '{"name":"del","city":"Paris"}'), 201)
      gw:get "/models/Place/weather?name=del&day=sun"
      check.status(gw:delete "/models/Place/weather?name=del&day=sun", 204) -- its record tells which
      gw:get "/models/Place/weather?city=Paris&day=sun"
      assert.equal(2, asked "/weather/Paris")
    end)

    it("are forgotten when the version of their model is raised", function()
      local function reload(text)
        gateway.write_models(gw.schemas, (text:gsub("ORIGIN", source.url)))
        check.status(gw:admin("/admin/reload", "POST"), 200)
      end
      local target = "/models/Home/geocode?address=versioned"
      for n = 1, 2 do
        check.status(gw:get(target), 200)
        check.status(gw:get(target), 200)
        assert.equal(n, asked "/geocode/versioned/5")
        reload((models:gsub("address = key%(%),", "address = key(), options = { version = 1 },")))
      end
      reload(models)
      check.status(gw:get(target), 200)
      assert.equal(2, asked "/geocode/versioned/5")
    end)

    it("do not come back on top of a DELETE", function()
      local connection = http.connect(gw.address)
      connection:send(http.format("GET", "/models/Place/slow?name=fenced"))
      process.eventually("it runs", 5, function() return asked "/slow/fenced" == 1 end)
      check.status(gw:delete "/models/Place/slow?name=fenced", 204)
      check.status(connection:receive(), 200)
      connection:close()
      check.status(gw:head "/models/Place/slow?name=fenced", 404)
    end)

    it("go on without a client that leaves", function()
      local connection = http.connect(gw.address)
      connection:send(http.format("GET", "/models/Place/slow?name=left"))
      process.eventually("it runs", 5, function() return asked "/slow/left" == 1 end)
      connection:reset()
      process.eventually("it is kept", 5, function() return gw:head("/models/Place/slow?name=left").status == 200 end)
      assert.equal(1, asked "/slow/left")
    end)

    it("are counted by their names", function()
      local function count(op, outcome) return gw:metric("perigee_requests_total", { model = "Home.geocode", op = op, outcome = outcome }) end
      local before = { count("call", "loaded"), count("call", "hit"), count("head", "hit"), count("forget", "deleted") }
      gw:get "/models/Home/geocode?address=count"
      gw:get "/models/Home/geocode?address=count"
      gw:head "/models/Home/geocode?address=count"
      gw:delete "/models/Home/geocode?address=count"
      assert.same({ before[1] + 1, before[2] + 1, before[3] + 1, before[4] + 1 },
        { count("call", "loaded"), count("call", "hit"), count("head", "hit"), count("forget", "deleted") })
      assert.is_true(gw:metric("perigee_loads_total", { model = "Home.geocode", result = "ok" }) > 0)
    end)
  end)
end

describe("cached methods in Redis", function()
  it("stand under their own names, and are a miss when they are damaged", function()
    local source = origin.start()
    local gw = gateway.start { models = (models:gsub("ORIGIN", source.url)), store = "redis", fds = 40, beside = { source } }
    local made = check.status(gw:get "/models/Home/geocode?address=r", 200)
    check.status(gw:put("/models/Home", '{"address":"r"}'), 201)
    local keys = gw.redis:command("KEYS", "perigee:Home.geocode:*:address=r&precision=5")
    assert.equal(1, #keys)
    check.status(gw:get "/models/Home/geocode?address=r", 200)
    assert.equal(1, (source:asked "/geocode/r"))
    gw.redis:command("SET", keys[1], "rubbish")
    assert.equal(made.status, gw:get("/models/Home/geocode?address=r").status)
    assert.equal(2, (source:asked "/geocode/r"))
    check.status(gw:delete "/models/Home/geocode?address=r", 204)
    assert.equal(0, gw.redis:command("EXISTS", keys[1]))
    check.status(gw:get "/models/Home?address=r", 200) -- the record is another thing
    gw:finish()
  end)
end)
