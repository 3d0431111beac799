-- tests/e2e/problems_spec.lua -- each way a request can be wrong has its code, says where, and harms nobody.
local cjson = require "cjson"
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local socket = require "socket"

local models = [[
model "User" { username = key(), region = key{ default = "eu" }, email = field{ type = "string", required = true },
  age = field{ type = "integer", default = 18 }, full_name = field() }
model "Home" { address = key(), geocode = cached_method{ args = { precision = arg{ type = "integer", default = 5 } },
  function(self, args)
    if self.address == "broken" then error("more secret words") end
    if self.address == "slow" then sleep(30) end
    return { self.address, args.precision }
  end, hard_timeout = 0.3 } }
form "Find" { name = input{ required = true }, people = cached_form_method{ function() return 1 end } }
model "Order" { number = key{ type = "integer" }, total = field{ type = "number" } }
model "Broken" { id = key(), v = field(), options = { expires = 60 },
  from_miss = function(self) error("the secret words " .. self.id) end }
model "Slow" { id = key(), v = field(), options = { expires = 60, hard_timeout = 0.3 }, from_miss = function(self) sleep(30) end }
model "Odd" { id = key(), v = field(), options = { expires = 60 },
  from_miss = function(self)
    local odd = { nan = 0/0, inf = 1/0, func = sleep, bytes = "\255\254", library = http,
      sparse = { [1] = 1, [1000] = 2 }, mixed = { 1, 2, x = 3 }, boolean_key = { [true] = 1 } }
    odd.bytes_in_key = { ["\255"] = 1 }
    odd.far = { [2 ^ 40] = 1 }
    if self.id == "endless" then
      odd.endless = {}
      for i = 1, 1000000 do odd.endless[i] = i end
    end
    local cycle = {}
    cycle[1] = cycle
    odd.cycle = cycle
    local deep = {}
    for _ = 1, 100 do deep = { deep } end
    odd.deep = deep
    self.v = odd[self.id]
  end }
model "Unknown" { id = key(), v = field(), options = { expires = 60 }, from_miss = function(self) self.nickname = "x" end }
model "Mistyped" { id = key(), n = field{ type = "integer" }, options = { expires = 60 }, from_miss = function(self) self.n = "ten" end }
model "Lacking" { id = key(), v = field{ required = true }, options = { expires = 60 }, from_miss = function() end }
]]

for _, store in ipairs { "memory", "redis" } do
  describe("problems on " .. store, function()
    local gw
    setup(function()
      gw = gateway.start { models = models, store = store, args = { "--max-body", "64KiB", "--header-timeout", "400ms" } }
    end)
    teardown(function() gw:finish() end)

    it("missing", function()
      local problem = check.problem(gw:get "/models/User?username=nobody", 404, "missing")
      assert.equal("User", problem.model)
      assert.same({ username = "nobody", region = "eu" }, problem.keys)
    end)

    it("name the record that was sent, wherever its keys stand", function()
      local keys = { username = "bob", region = "us" }
      for _, body in ipairs { '{"username":"bob","age":"x","region":"us"}', '{"nickname":1,"region":"us","username":"bob"}', '{"username":"bob","region":"us"}' } do
        local response = gw:put("/models/User", body)
        assert.equal(422, response.status)
        assert.same(keys, check.problem(response, 422, cjson.decode(response.body).code).keys)
      end
      assert.is_nil(check.problem(gw:put("/models/User", '{"nickname":1}'), 422, "unknown-field").keys)
      assert.is_nil(check.problem(gw:put("/models/User", '{"username":1,"region":"us"}'), 400, "key-type").keys)
      local items = check.document(gw:request("POST", "/models/User/_bulk", { ["Content-Type"] = "application/json" },
        '{"get":[{"username":"nobody"},{"region":"us"}],"save":[{"username":"bob","region":"us","age":"x"}],"delete":[{"username":1}]}'))
      assert.same({ username = "nobody", region = "eu" }, items.get[1].problem.keys)
      assert.same({ "User", keys }, { items.save[1].problem.model, items.save[1].problem.keys })
      assert.same({ "User" }, { items.get[2].problem.model, items.get[2].problem.keys })
      assert.same({ "User" }, { items.delete[1].problem.model, items.delete[1].problem.keys })
    end)

    it("unknown-model, with the nearest name", function()
      check.says(check.problem(gw:get "/models/Usr?username=bob", 404, "unknown-model").detail, "Usr", "did you mean `User`?")
      check.problem(gw:put("/models/Nothing", "{}"), 404, "unknown-model")
      check.problem(gw:get "/models/user?username=bob", 404, "unknown-model")
      check.problem(gw:get "/models/..%2fetc%2fpasswd", 404, "unknown-model")
      check.problem(gw:get "/models/User%00?username=bob", 404, "unknown-model")
    end)

    it("not-found", function()
      for _, path in ipairs { "/", "/models/", "/nothing", "/models/User/x", "/models/User/geocode", "/models/Home/geocode/", "/forms/", "/forms/Find", "/forms/Find/",
        "/forms/Find/nobody", "/forms/Nothing/people", "/forms/Home/geocode", "/models/Home/geocode/x", "/Models/User", "//models/User", "/healthz", "/admin/reload", "/models/../models/User" } do
        check.problem(gw:get(path), 404, "not-found")
      end
    end)

    it("not-found, with the nearest name", function()
      check.says(check.problem(gw:get "/models/Home/geocod?address=x", 404, "not-found").detail, "geocod", "did you mean `geocode`?")
      check.says(check.problem(gw:get "/forms/Fnd/people", 404, "not-found").detail, "Fnd", "did you mean `Find`?")
      check.says(check.problem(gw:get "/forms/Find/poeple", 404, "not-found").detail, "form `Find`", "did you mean `people`?")
      check.problem(gw:get "/models/Find?name=x", 404, "unknown-model")
      check.problem(gw:get "/models/Home.geocode?address=x", 404, "unknown-model")
      check.problem(gw:get "/forms/Home.geocode/x", 404, "not-found")
      check.problem(gw:request("OPTIONS", "/models/Home/nothing"), 404, "not-found")
    end)

    it("what methods raise stays in the log, and the method is named", function()
      local response = gw:get "/models/Home/geocode?address=broken"
      assert.equal("Home.geocode", check.problem(response, 502, "loader-error").model)
      assert.is_nil(response.body:find("secret", 1, true))
      check.says(gw:log(), "more secret words", "Home.geocode")
      assert.equal("Home.geocode", check.problem(gw:get "/models/Home/geocode?address=slow", 504, "loader-timeout").model)
    end)

    it("form-invalid, with what is wrong of each input", function()
      local problem = check.problem(gw:get "/forms/Find/people", 422, "form-invalid")
      assert.same({ name = { "This field is required." } }, problem.errors)
      assert.equal("Find.people", problem.model)
    end)

    it("method-not-allowed, with the methods that are", function()
      for _, target in ipairs { "/models/Home/geocode?address=x", "/forms/Find/people?name=x" } do
        for _, method in ipairs { "PUT", "PATCH", "TRACE" } do
          local response = gw:request(method, target)
          check.problem(response, 405, "method-not-allowed")
          assert.equal("GET, HEAD, POST, DELETE, OPTIONS", response.headers.allow)
        end
        assert.equal("GET, HEAD, POST, DELETE, OPTIONS", check.status(gw:request("OPTIONS", target), 204).headers.allow)
      end
      for _, method in ipairs { "POST", "TRACE", "PROPFIND", "LINK" } do
        local response = gw:request(method, "/models/User?username=bob")
        check.problem(response, 405, "method-not-allowed")
        check.says(response.headers.allow, "GET", "HEAD", "PUT", "DELETE")
      end
    end)

    it("malformed-request", function()
      check.problem(gw:get "/models/User?username=%zz", 400, "malformed-request")
      check.problem(gw:get "/models/User?username=%4", 400, "malformed-request")
      check.problem(gw:get "/models/Us%zer?username=bob", 400, "malformed-request")
      check.problem(gw:get "/models/User?username=a&username=b", 400, "malformed-request")
      check.problem(gw:get "/models/User?username=a&_nothing=1", 400, "malformed-request")
      check.problem(gw:put("/models/User?username=a&_nothing=1", '{"email":"a"}'), 400, "malformed-request")
    end)

    it("malformed-json, with the byte", function()
      check.says(check.problem(gw:put("/models/User", '{"username":}'), 400, "malformed-json").detail, "at byte 12")
    end)

    it("key-required", function()
      assert.equal("username", check.problem(gw:get "/models/User", 400, "key-required").path)
      assert.equal("username", check.problem(gw:get "/models/User?region=eu", 400, "key-required").path)
      check.problem(gw:put("/models/User", '{"email":"x"}'), 400, "key-required")
      check.problem(gw:delete "/models/User", 400, "key-required")
      check.problem(gw:get "/models/User?", 400, "key-required")
    end)

    it("key-type", function()
      assert.equal("number", check.problem(gw:get "/models/Order?number=ten", 400, "key-type").path)
      check.problem(gw:put("/models/Order", '{"number":"10"}'), 400, "key-type")
      check.problem(gw:delete "/models/Order?number=1.5", 400, "key-type")
    end)

    it("unknown-key, with the nearest name", function()
      local problem = check.problem(gw:get "/models/User?usernme=bob", 400, "unknown-key")
      check.says(problem.detail, "usernme", "username")
      check.problem(gw:get "/models/User?username=bob&email=x", 400, "unknown-key")
      check.problem(gw:put("/models/User?usernme=bob", '{"email":"x"}'), 400, "unknown-key")
      check.problem(gw:get "/models/User?username=bob&=x", 400, "unknown-key")
    end)

    it("key-conflict", function()
      assert.equal("username", check.problem(gw:put("/models/User?username=a", '{"username":"b","email":"x"}'), 400, "key-conflict").path)
    end)

    it("unknown-field, with the nearest name", function()
      local problem = check.problem(gw:put("/models/User", '{"username":"u","email":"x","ful_name":"U"}'), 422, "unknown-field")
      check.says(problem.detail, "ful_name", "full_name")
      check.problem(gw:get "/models/User?username=u", 404, "missing")
    end)

    it("field-type", function()
      local problem = check.problem(gw:put("/models/User", '{"username":"u","email":42}'), 422, "field-type")
      assert.equal("email", problem.path)
      check.says(problem.detail, "string", "integer")
      check.problem(gw:put("/models/User", '{"username":"u","email":"x","age":1.5}'), 422, "field-type")
    end)

    it("field-required", function()
      assert.equal("email", check.problem(gw:put("/models/User", '{"username":"u"}'), 422, "field-required").path)
      check.status(gw:put("/models/User", '{"username":"u","email":null}'), 422)
    end)

    it("a default stands where nothing was sent", function()
      check.status(gw:put("/models/User", '{"username":"d","email":"x"}'), 201)
      assert.equal('{"username":"d","region":"eu","email":"x","age":18}', gw:get("/models/User?username=d").body)
    end)

    it("body-too-large, told before the body is sent", function()
      local connection = http.connect(gw.address)
      connection:send(http.format("PUT", "/models/User", { ["Content-Length"] = "65537", ["Content-Type"] = "application/json" }))
      check.problem(connection:receive(), 413, "body-too-large")
      assert.is_true((connection:closes()))
      connection:close()
    end)

    it("body-too-large in chunks, and a body just small enough", function()
      local connection = http.connect(gw.address)
      local body = '{"username":"big","email":"' .. ("x"):rep(65536) .. '"}'
      connection:send(http.format("PUT", "/models/User", { ["Transfer-Encoding"] = "chunked" }, http.chunks(body, { 1000, 30000 })))
      check.problem(connection:receive(), 413, "body-too-large")
      connection:close()
      body = ('{"username":"big","email":"%s"}'):format(("x"):rep(65536 - 29))
      assert.equal(65536, #body)
      check.status(gw:put("/models/User", body), 201)
      check.problem(gw:put("/models/User", body .. " "), 413, "body-too-large")
    end)

    it("a length no machine can hold is malformed", function()
      for _, length in ipairs { "9223372036854775808", "18446744073709551616", ("9"):rep(40), "-1", "1,1", "0x10", "+5" } do
        local response = http.request(gw.address, "PUT", "/models/User", { ["Content-Length"] = length })
        assert(response.status == 400 or response.status == 413, length .. ": " .. response.status)
      end
    end)

    it("uri-too-long", function()
      check.problem(http.request(gw.address, "GET", "/models/User?username=" .. ("x"):rep(8200)), 414, "uri-too-long")
      check.problem(http.request(gw.address, "GET", "/models/User?username=" .. ("x"):rep(8000)), 404, "missing")
    end)

    it("headers-too-large, in bytes and in number", function()
      check.problem(http.request(gw.address, "GET", "/models/User?username=u", { ["X-Big"] = ("x"):rep(17000) }), 431, "headers-too-large")
      local many = {}
      for i = 1, 70 do many["X-" .. i] = "1" end
      check.problem(http.request(gw.address, "GET", "/models/User?username=u", many), 431, "headers-too-large")
    end)

    it("unsupported-media", function()
      for _, media in ipairs { "text/plain", "application/x-www-form-urlencoded", "application/xml", "application/jsonx" } do
        check.problem(gw:put("/models/User", '{"username":"m","email":"x"}', { ["Content-Type"] = media }), 415, "unsupported-media")
      end
      check.problem(gw:put("/models/User", '{"username":"m","email":"x"}', { ["Content-Encoding"] = "gzip" }), 415, "unsupported-media")
      for _, media in ipairs { "application/json", "application/json; charset=utf-8", "Application/JSON" } do
        check.status(gw:put("/models/User?username=" .. #media, '{"email":"x"}', { ["Content-Type"] = media }), media:match "^A" and 204 or 201)
      end
    end)

    it("request-timeout", function()
      local connection = http.connect(gw.address)
      local start = socket.gettime()
      connection:send "GET /models/User?username=u HTTP/1.1\r\nHost: x\r\n"
      check.problem(connection:receive(), 408, "request-timeout")
      assert.is_true((connection:closes()))
      local took = socket.gettime() - start
      assert.is_true(took > 0.3 and took < 0.4 + 1 * gateway.patience, tostring(took))
      connection:close()
    end)

    it("loader-error: the handler's words go to the log and nowhere else", function()
      local response = gw:get "/models/Broken?id=bob"
      local problem = check.problem(response, 502, "loader-error")
      assert.equal("Broken", problem.model)
      assert.is_nil(response.body:find("secret words", 1, true))
      assert.is_nil(response.body:find(".lua", 1, true))
      check.says(gw:log(), "the secret words bob", "models.lua:")
      check.problem(gw:get "/models/Broken?id=bob", 502, "loader-error")
    end)

    it("loader-error for what JSON cannot say, naming the field, and nothing is kept", function()
      for _, id in ipairs { "nan", "inf", "func", "bytes", "library", "sparse", "mixed", "boolean_key", "cycle", "deep", "bytes_in_key",
        "far", "endless" } do
        local problem = check.problem(gw:get("/models/Odd?id=" .. id), 502, "loader-error")
        assert.equal("Odd", problem.model)
        assert.truthy((problem.path or ""):match "^v", id .. ": " .. tostring(problem.path))
        check.status(gw:head("/models/Odd?id=" .. id), 404)
      end
      check.problem(gw:get "/models/Unknown?id=1", 502, "loader-error")
      check.problem(gw:get "/models/Mistyped?id=1", 502, "loader-error")
      check.problem(gw:get "/models/Lacking?id=1", 502, "loader-error")
    end)

    it("loader-timeout", function()
      local start = socket.gettime()
      local problem = check.problem(gw:get "/models/Slow?id=1", 504, "loader-timeout")
      assert.equal("Slow", problem.model)
      assert.is_true(socket.gettime() - start < 0.3 + 0.15 * gateway.patience)
    end)

    it("not-cached", function()
      check.problem(gw:get("/models/User?username=nobody", { ["Cache-Control"] = "only-if-cached" }), 504, "not-cached")
    end)

    it("HEAD has the status and headers of a problem, and no body", function()
      local response = gw:head "/models/User?username=nobody"
      check.status(response, 404)
      assert.equal("application/problem+json", response.headers["content-type"])
      assert.is_true(tonumber(response.headers["content-length"]) > 0)
      check.status(gw:head "/models/Usr?username=nobody", 404)
    end)

    it("no bytes of a stranger reach a header or the log raw", function()
      local response = gw:get "/models/User?username=a%0d%0aX-Evil:%201%00%7f%1b"
      check.problem(response, 404, "missing")
      assert.is_nil(response.headers["x-evil"])
      check.status(gw:put("/models/User?username=a%0d%0aX-Evil:%201%00%7f%1b", '{"email":"x"}'), 201)
      check.problem(gw:get "/models/Us%0d%0aer?username=a", 404, "unknown-model")
      check.problem(gw:get "/models/Broken?id=a%0d%0a%7b%7d%00%7f%1b", 502, "loader-error")
      assert.is_nil(gw:log():find "[%z\1-\9\11-\31\127]")
      gw:log_events()
    end)
  end)
end
