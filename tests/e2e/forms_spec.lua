-- tests/e2e/forms_spec.lua -- forms: inputs judged and cleaned, all faults told at once, and results kept by cleaned data alone.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local origin = require "tests.support.origin"
local process = require "tests.support.process"

local models = [[
local friends = { bob = { "ann", "cid" }, ann = { "bob" } }
local function friends_of(name, pending)
  http.get("ORIGIN/friends/" .. name)
  local list = array{}
  for _, friend in ipairs(friends[name] or {}) do list[#list + 1] = friend end
  if pending then list[#list + 1] = "dan" end
  return list
end

form "FriendsLookup" {
  username = input{ required = true, clean = function(v) return v:lower() end },
  get_friends_list = cached_form_method{ expires = "15m", args = { include_pending = arg{ type = "boolean", default = false } },
    function(self, args) return friends_of(self.cleaned_data.username, args.include_pending) end },
}

form "Search" {
  name = input{ required = true, clean = function(v)
    if v == "nobody" then return nil, "Nobody is called so." end
    if v == "raise" then error("Raised: \"" .. v .. "\"") end
    if v == "wrong" then return v.x.y end
    if v == "wait" then sleep(30) end
    if v == "table" then return { b = { v }, a = 1 } end
    if v == "nil" then return nil end
    if v == "null" then return null end
    if v == "func" then return sleep end
    if v == "secret" then error{ "of another kind" } end
    return v
  end },
  age = input{ type = "integer" },
  height = input{ type = "number" },
  active = input{ type = "boolean", default = true },
  anything = input{ type = "any" },
  note = input{ clean = function(v) return v .. "!" end },
  find = cached_form_method{ expires = 60, args = { page = arg{ type = "integer", default = 1 }, size = arg{ type = "integer", required = false } },
    function(self, args)
      local data, seen = self.cleaned_data, {}
      for _, name in ipairs{ "name", "age", "height", "active", "anything", "note" } do
        if data[name] ~= nil then seen[name] = data[name] end
      end
      return { seen = seen, page = args.page }
    end },
  fail = cached_form_method{ expires = 60, function(self) error("failed at " .. http.get("ORIGIN/fail"):json().n) end },
  unknown = cached_form_method{ function(self) return self.cleaned_data.nothing end },
  none = cached_form_method{ negative = 60, function(self)
    http.get "ORIGIN/none"
    return missing
  end },
  slow = cached_form_method{ expires = 60, hard_timeout = 10, function(self) return http.get("ORIGIN/slow?delay=300"):json().n end },
}
]]

local urlencoded = { ["Content-Type"] = "application/x-www-form-urlencoded" }

for _, store in ipairs { "memory", "redis" } do
  describe("forms on " .. store, function()
    local gw, source
    setup(function()
      source = origin.start()
      gw = gateway.start { models = (models:gsub("ORIGIN", source.url)), store = store, workers = 2, fds = 40, beside = { source } }
    end)
    teardown(function() gw:finish() end)

    local friends = "/forms/FriendsLookup/get_friends_list"
    local find = "/forms/Search/find"
    local function asked(path) return (source:asked(path)) end
    local function post(target, body, headers) return gw:request("POST", target, headers or urlencoded, body) end

    local function errors(response)
      local problem = check.problem(response, 422, "form-invalid")
      return problem.errors, problem
    end

    it("are looked up once: the example of the contract", function()
      local made = check.status(gw:get(friends .. "?username=Bob"), 200)
      assert.equal('["ann","cid"]', made.body)
      assert.is_true(check.cache_status(made).stored)
      assert.equal(900, check.cache_control(made)["max-age"])
      for _, username in ipairs { "bob", "BOB", "bOb" } do -- kept by the cleaned name
        local found = check.status(gw:get(friends .. "?username=" .. username), 200)
        assert.equal(made.body, found.body)
        assert.is_true(check.cache_status(found).hit)
      end
      assert.equal(1, asked "/friends/bob")
      assert.equal('["ann","cid","dan"]', gw:get(friends .. "?username=Bob&include_pending=true").body)
      assert.equal(2, asked "/friends/bob")
      assert.equal("[]", gw:get(friends .. "?username=nobody").body)
    end)

    it("take a form, JSON and a query alike", function()
      local made = post(friends, "username=Ann&include_pending=false")
      check.status(made, 200)
      for _, response in ipairs {
        post(friends, '{"username":"ANN"}', { ["Content-Type"] = "application/json" }), post(friends .. "?username=aNn", "include_pending=false"),
        post(friends .. "?username=ann", "username=ann"), gw:get(friends .. "?include_pending=false&username=ann"),
      } do
        assert.equal(made.body, check.status(response, 200).body)
        assert.equal(made.headers.etag, response.headers.etag)
      end
      assert.equal(1, asked "/friends/ann")
    end)

    it("tell all that is wrong at once", function()
      local wrong, problem = errors(post(find, "name=nobody&age=old&height=tall&active=maybe"))
      assert.same({ name = { "Nobody is called so." }, age = { "Enter a whole number." }, height = { "Enter a number." },
        active = { "Enter true or false." } }, wrong)
      assert.equal("Search.find", problem.model)
      assert.same({ name = { "This field is required." }, age = { "Enter a whole number." } }, (errors(gw:get(find .. "?age=1.5"))))
      assert.same({ name = { "Enter text." }, age = { "Enter a whole number." }, active = { "Enter true or false." } },
        (errors(post(find, '{"name":5,"age":"7","active":"true"}', { ["Content-Type"] = "application/json" }))))
      local body = gw:get(find .. "?age=x&height=y").body -- in the order of the form
      check.says(body, '"errors":{"name":["This field is required."],"age":["Enter a whole number."],"height":["Enter a number."]}')
    end)

    it("take what is empty as a browser means it", function()
      assert.same({ name = { "This field is required." } }, (errors(post(find, "name=&age=&height=&active=&anything=&note="))))
      assert.same({ name = { "This field is required." } }, (errors(post(find, '{"name":null}', { ["Content-Type"] = "application/json" }))))
      assert.same({ name = "x", active = true, anything = "", note = "!" },
        check.document(post(find, "name=x&age=&height=&active=&anything=&note=")).seen)
    end)

    it("give handlers values of their types, defaults, and nothing for what is absent", function()
      assert.same({ seen = { name = "x", active = true }, page = 1 }, check.document(gw:get(find .. "?name=x")))
      assert.same({ seen = { name = "x", age = 7, height = 1.5, active = false, anything = "a b", note = "n!" }, page = 2 },
        check.document(gw:get(find .. "?name=x&age=7&height=1.50&active=false&anything=a+b&note=n&page=2")))
      assert.same({ name = "x", active = true, anything = 5 }, check.document(gw:get(find .. "?name=x&anything=5")).seen)
      assert.is_true(check.cache_status(gw:get(find .. "?name=x&active=true")).hit)
    end)

    it("clean to any JSON value, in one spelling", function()
      for _ = 1, 2 do
        assert.same({ b = { "table" }, a = 1 }, check.document(gw:get(find .. "?name=table")).seen.name)
      end
      assert.is_true(check.cache_status(gw:get(find .. "?name=table")).hit)
      assert.is_nil(check.document(gw:get(find .. "?name=null")).seen.name) -- as if nobody had given it
      assert.same({ name = { "This value is not valid." } }, (errors(gw:get(find .. "?name=nil"))))
    end)

    it("tell what clean raises on purpose, and log what went wrong in it", function()
      assert.same({ name = { 'Raised: "raise"' } }, (errors(gw:get(find .. "?name=raise"))))
      assert.same({ name = { 'Raised: "raise"' }, age = { "Enter a whole number." } }, (errors(gw:get(find .. "?name=raise&age=x"))))
      for _, name in ipairs { "wrong", "func", "secret" } do
        local response = gw:get(find .. "?name=" .. name)
        check.problem(response, 502, "loader-error")
        assert.is_nil(response.body:find("models.lua", 1, true))
        assert.is_nil(response.body:find("another kind", 1, true))
      end
      check.says(gw:log(), "form failed", "models.lua:")
    end)

    it("refuse what no input and no argument is", function()
      check.says(check.problem(gw:get(friends .. "?usernme=bob"), 400, "unknown-key").detail, "usernme", "username")
      check.problem(gw:get(friends .. "?username=bob&friends=1"), 400, "unknown-key")
      check.problem(gw:get(friends .. "?username=bob&include_pending=2"), 400, "key-type")
      check.problem(gw:get(friends .. "?username=bob&username=bob"), 400, "malformed-request")
      check.problem(gw:get(friends .. "?username=bob&_depth=1"), 400, "malformed-request")
      check.problem(post(friends .. "?username=bob", "username=ann"), 400, "key-conflict")
      check.problem(post(friends, "username"), 400, "malformed-request")
      check.problem(post(friends, "x", { ["Content-Type"] = "text/plain" }), 415, "unsupported-media")
      check.problem(post(friends, "[]", { ["Content-Type"] = "application/json" }), 400, "malformed-request")
      check.problem(post(friends, "{", { ["Content-Type"] = "application/json" }), 400, "malformed-json")
    end)

    it("keep nothing of what failed", function()
      for i = 1, 2 do
        assert.equal("Search.fail", check.problem(gw:get "/forms/Search/fail?name=x", 502, "loader-error").model)
        assert.equal(i, asked "/fail")
      end
      check.problem(gw:get "/forms/Search/unknown?name=x", 502, "loader-error")
      check.says(gw:log(), "failed at", "nothing")
    end)

    it("remember what is missing", function()
      for _ = 1, 2 do
        local problem = check.problem(gw:get "/forms/Search/none?name=x", 404, "missing")
        assert.equal("Search.none", problem.model)
        assert.same({ name = "x", active = true }, problem.keys)
      end
      assert.equal(1, asked "/none")
    end)

    it("are forgotten by DELETE, by cleaned data too", function()
      gw:get(friends .. "?username=del")
      check.status(gw:delete(friends .. "?username=DEL"), 204)
      check.status(gw:head(friends .. "?username=del"), 404)
      check.status(gw:delete(friends .. "?username=del"), 204)
      assert.same({ username = { "This field is required." } }, (errors(gw:delete(friends))))
      gw:get(friends .. "?username=del")
      assert.equal(2, asked "/friends/del")
    end)

    it("answer HEAD and conditions as records do", function()
      check.status(gw:head(friends .. "?username=head"), 404)
      check.problem(gw:get(friends .. "?username=head", { ["Cache-Control"] = "only-if-cached" }), 504, "not-cached")
      assert.equal(0, asked "/friends/head")
      local made = gw:get(friends .. "?username=head")
      check.status(gw:head(friends .. "?username=HEAD", { ["If-None-Match"] = made.headers.etag }), 304)
      check.status(gw:get(friends .. "?username=HEAD", { ["If-None-Match"] = made.headers.etag }), 304)
      check.status(gw:get(friends .. "?username=head", { ["Cache-Control"] = "no-cache" }), 200)
      assert.equal(2, asked "/friends/head")
      check.status(gw:head(friends), 422)
    end)

    it("run once for fifty who ask at once", function()
      local requests = {}
      for i = 1, 50 do requests[i] = { "POST", "/forms/Search/slow", urlencoded, "name=crowd&age=" .. (i % 2 == 0 and "" or "1") } end
      for _, answer in ipairs(http.all(gw.address, requests)) do check.status(answer, 200) end
      assert.equal(2, asked "/slow")
    end)

    it("go on with others while one is cleaned for too long, and when its client leaves", function()
      local connection = http.connect(gw.address)
      connection:send(http.format("GET", find .. "?name=wait"))
      check.status(gw:get(find .. "?name=x"), 200)
      connection:reset()
      process.eventually("it has left", 5, function() return gw:metric "perigee_connections" <= 1 end)
      check.status(gw:get(find .. "?name=x"), 200)
    end)

    it("keep every digit of a number that nobody cleans", function()
      local exact = gw:get(find .. "?name=digits&age=9007199254740993").headers.etag
      assert.is_string(exact)
      assert.is_nil(check.cache_status(gw:get(find .. "?name=digits&age=9007199254740992")).hit)
    end)

    it("are listed", function()
      local list = check.document(gw:get "/forms").forms
      assert.same({ "FriendsLookup", "Search" }, { list[1].name, list[2].name })
      assert.equal("/forms/FriendsLookup/get_friends_list{?username,include_pending}", list[1].methods[1].links.call)
      assert.equal('{"models":[],', gw:get("/models").body:sub(1, 13))
    end)
  end)
end
