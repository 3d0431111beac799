-- tests/e2e/groups_spec.lua -- Cache-Groups and Cache-Group-Invalidation (RFC 9875): what answers say of models and tags to HTTP caches in front.
local check = require "tests.support.check"
local cjson = require "cjson"
local gateway = require "tests.support.gateway"

local models = [[
model "Plain" { id = key(), v = field(), options = { tags = function() return { "secret" } end } }
model "Told" { id = key(), tags = field{ type = "array" }, next = reference{ "self", missing = "null" }, plain = reference{ "Plain", missing = "null" },
  loaded = reference{ "Loaded", missing = "null" },
  options = { cache_groups = true, tags = function(self) return self.tags or {} end } }
model "Loaded" { id = key(), v = field(), options = { cache_groups = true, negative = 60 },
  from_miss = function(self) if self.id == "none" then return missing end self.v = 1 end,
  double = cached_method{ on = { "id" }, expires = 60, function(self) return self.id .. self.id end } }
]]

for _, store in ipairs { "memory", "redis" } do
  describe("groups on " .. store, function()
    local gw
    setup(function() gw = gateway.start { models = models, store = store, workers = 2, fds = 20 } end)
    teardown(function() gw:finish() end)

    local function groups(response) return response.headers["cache-groups"] end
    local function ended(response) return response.headers["cache-group-invalidation"] end
    local function post(target, body) return gw:request("POST", target, nil, cjson.encode(body)) end
    local function put(id, record) return check.status(gw:put("/models/Told?id=" .. id, cjson.encode(record)), 201) end

    it("say nothing unless they are asked for", function()
      local response = check.status(gw:put("/models/Plain?id=a", '{"v":1}'), 201)
      assert.is_nil(ended(response))
      assert.is_nil(groups(gw:get "/models/Plain?id=a"))
      assert.is_nil(ended(gw:delete "/models/Plain?id=a"))
      assert.is_nil(ended(post("/models/Plain/_invalidate", { all = true })))
    end)

    it("name the model and the tags of a record", function()
      assert.equal('"Told"', ended(put("a", { tags = { "x", 'say "hi" \\ there', "é", "new\nline" } })))
      local response = check.status(gw:get "/models/Told?id=a", 200)
      assert.equal('"Told", "say \\"hi\\" \\\\ there", "x"', groups(response)) -- what no such string can say is left out
      assert.equal(groups(response), groups(check.status(gw:head "/models/Told?id=a", 200)))
      assert.equal(groups(response), groups(check.status(gw:get("/models/Told?id=a", { ["If-None-Match"] = response.headers.etag }), 304)))
      assert.is_nil(ended(response))
    end)

    it("name all of a document, models first, those without the option not", function()
      check.status(gw:put("/models/Plain?id=p", '{"v":1}'), 201)
      put("low", { tags = { "low", "both" } })
      put("high", { tags = { "both", "high" }, next = { id = "low" }, plain = { id = "p" } })
      assert.equal('"Told", "both", "high", "low"', groups(gw:get "/models/Told?id=high"))
      assert.equal('"Told", "both", "high"', groups(gw:get "/models/Told?id=high&_depth=0"))
    end)

    it("are not said of a document that cannot be had", function()
      put("cold", { loaded = { id = "never" } })
      assert.is_nil(groups(check.status(gw:get("/models/Told?id=cold", { ["Cache-Control"] = "only-if-cached" }), 504)))
      assert.truthy(groups(check.status(gw:get "/models/Told?id=cold", 200)))
    end)

    it("are bounded", function()
      local many = {}
      for i = 1, 64 do many[i] = ("t%02d-%s"):format(i, ("x"):rep(60)) end
      put("many", { tags = many })
      local said = groups(gw:get "/models/Told?id=many")
      assert(#said <= 2048 and #said > 1500, #said)
      assert(said:match '^"Told", "t01%-x+", ')
      for i = 1, 64 do many[i] = "s" .. i end
      put("short", { tags = many })
      assert.equal(64, select(2, groups(gw:get "/models/Told?id=short"):gsub('"[^"]+"', "")))
    end)

    it("are of methods and of what is missing", function()
      assert.equal('"Loaded"', groups(gw:get "/models/Loaded?id=x"))
      assert.equal('"Loaded"', groups(check.status(gw:get "/models/Loaded?id=none", 404)))
      assert.equal('"Loaded"', groups(gw:get "/models/Loaded/double?id=x"))
      assert.equal('"Loaded"', ended(check.status(gw:delete "/models/Loaded/double?id=x", 204)))
    end)

    it("end with each write that is done, and with none that is not", function()
      put("w", { tags = { "x" } })
      local merge = { ["Content-Type"] = "application/merge-patch+json" }
      assert.equal('"Told"', ended(check.status(gw:request("PATCH", "/models/Told?id=w", merge, '{"tags":["y"]}'), 204)))
      assert.is_nil(ended(check.status(gw:put("/models/Told?id=w", "{}", { ["If-Match"] = '"0000000000000000"' }), 412)))
      assert.is_nil(ended(gw:put("/models/Told?id=w", '{"nope":1}')))
      assert.equal('"Told"', ended(check.status(post("/models/Told/_invalidate", { keys = { id = "w" } }), 204)))
      assert.equal('"Told"', ended(check.status(post("/models/Told/_invalidate", { all = true }), 204)))
      assert.equal('"x", "a b"', ended(check.status(post("/_invalidate", { tags = { "x", "é", "a b", "x" } }), 204)))
      assert.equal('"Told"', ended(check.status(gw:delete "/models/Told?id=w", 204)))
      assert.equal('"Told"', ended(check.status(post("/models/Told/_bulk", { save = { { id = "w" } } }), 200)))
      local cascade = '{"save":[{"id":"e","loaded":{"id":"g","v":2},"next":{"id":"f","tags":[]}},{"id":"h","nope":1}]}'
      assert.equal('"Loaded", "Told"', ended(check.status(gw:request("POST", "/models/Told/_bulk?_cascade=1", nil, cascade), 200)))
      assert.equal('"Told"', ended(check.status(post("/models/Told/_bulk", { delete = { { id = "e" } } }), 200)))
      assert.is_nil(ended(check.status(post("/models/Told/_bulk", { save = { { id = "w", nope = 1 } }, delete = { { nope = 1 } } }), 200)))
      assert.is_nil(ended(check.status(post("/models/Told/_bulk", { get = { { id = "w" } } }), 200)))
      assert.equal('"Told"', ended(check.status(gw:put("/models/Told?id=c&_cascade=1", '{"plain":{"id":"q","v":1},"next":{"id":"d","tags":[]}}'), 201)))
    end)
  end)
end
