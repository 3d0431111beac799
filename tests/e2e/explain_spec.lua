-- tests/e2e/explain_spec.lua -- `_explain=1` adds to an answer where each of its records came from, and changes nothing else.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local cjson = require "cjson"

local models = [[
model "Note" { id = key(), text = field(), options = { expires = 100, tags = function(self) return { "note", "of:" .. self.id } end } }
model "Kept" { id = key() , text = field() }
model "Loaded" { id = key(), text = field(), options = { expires = 300, negative = 60 },
  from_miss = function(self, ctx)
    if self.id == "none" then return missing end
    if self.id == "bad" then error "bad" end
    if self.id == "unkept" then ctx.expires = 0 end
    sleep(0.02)
    self.text = "x"
  end }
model "Stale" { id = key(), n = field(), options = { expires = 0.05, stale_if_error = 600 },
  from_miss = function(self, ctx)
    if Kept.get{ id = "down" } then error "down" end
    self.n = 1
  end }
model "Place" { name = key(), at = reference "Loaded", mother = reference{ "self", missing = "null" },
  friends = references{ "self", missing = "skip" },
  word = cached_method{ args = { say = arg() }, expires = 60, function(self, args)
    if args.say == "bad" then error "bad" end
    if args.say == "none" then return missing end
    return args.say
  end } }
form "Echo" { text = input{ required = true }, say = cached_form_method{ function(self) return { self.cleaned_data.text } end } }
]]

-- The answer with `_explain=1`, judged for what goes for all of them; the explanation, and all that stands beside it.
local function explained(gw, target, headers)
  local response = check.status(gw:get(target .. (target:find "?" and "&" or "?") .. "_explain=1", headers), 200)
  assert.equal("no-store", response.headers["cache-control"])
  assert.is_nil(response.headers.etag)
  local document = check.document(response)
  local explain = document["$explain"]
  document["$explain"] = nil
  assert.is_true(explain.tree.ms >= 0)
  return explain, document, response
end

for _, store in ipairs { "memory", "redis", "near" } do
  describe("an explained answer, on " .. store, function()
    local gw, server
    local detail = store == "memory" and "memory" or "redis"
    setup(function()
      if store ~= "memory" then server = redis.start() end
      gw = gateway.start {
        models = models, store = server and server.url or "memory", workers = 2, fds = 8,
        args = { "--near-cache-bytes", store == "near" and "1MiB" or "0" },
      }
      gw:await_store()
    end)
    teardown(function()
      gw:finish()
      if server then server:stop() end
    end)

    it("tells of a record that was found", function()
      check.status(gw:put("/models/Note", '{"id":"a b","text":"x"}'), 201)
      local explain, document = explained(gw, "/models/Note?id=a+b")
      local _, out = gateway.run { "key", "--models", gw.schemas, "Note", "id=a b" }
      assert.same({ id = "a b", text = "x" }, document)
      local tree = explain.tree
      assert.same({ "Note", out:match "%S+", "ok", detail }, { tree.model, tree.key, tree.status, tree.found })
      assert.same({ "note", "of:a b" }, tree.tags)
      assert.is_true(tree.age >= 0 and tree.age < 10 and math.abs(tree.age + tree.ttl - 100) < 0.01)
      assert.equal(#'{"id":"a b","text":"x"}', tree.bytes)
      assert.is_true(tree.stored)
      assert.is_nil(tree.load_ms)
      assert.same({ [detail] = 1 }, explain.levels[1].found)
      assert.equal(1, #explain.levels)
    end)

    it("tells no ttl of what never expires", function()
      check.status(gw:put("/models/Kept", '{"id":"a"}'), 201)
      assert.is_nil(explained(gw, "/models/Kept?id=a").tree.ttl)
    end)

    it("tells of what was loaded, and how long that took", function()
      local tree = explained(gw, "/models/Loaded?id=a").tree
      assert.same({ "loaded", true }, { tree.found, tree.stored })
      assert.is_true(tree.load_ms >= 20 and tree.ms >= tree.load_ms)
      tree = explained(gw, "/models/Loaded?id=a").tree
      assert.equal(detail, tree.found)
      assert.is_false(explained(gw, "/models/Loaded?id=unkept").tree.stored)
      assert.equal("loaded", explained(gw, "/models/Loaded?id=a", { ["Cache-Control"] = "no-cache" }).tree.found)
    end)

    it("tells of a load that another request had begun", function()
      local one, two = http.connect(gw.address), http.connect(gw.address)
      for _, connection in ipairs { one, two } do
        connection:send "GET /models/Loaded?id=shared&_explain=1 HTTP/1.1\r\nHost: perigee.test\r\n\r\n"
      end
      local found = {}
      for i, connection in ipairs { one, two } do
        local tree = cjson.decode(check.status(connection:receive(), 200).body)["$explain"].tree
        assert.is_true(tree.load_ms >= 20)
        found[i] = tree.found
        connection:close()
      end
      table.sort(found)
      assert.same({ "collapsed", "loaded" }, found)
    end)

    it("tells of what is stale", function()
      explained(gw, "/models/Stale?id=a")
      check.status(gw:put("/models/Kept", '{"id":"down"}'), 201)
      local tree
      process.eventually("it is stale", 5, function()
        tree = explained(gw, "/models/Stale?id=a").tree
        return tree.found == "stale"
      end)
      assert.is_true(tree.ttl <= 0 and tree.age >= 0.05)
      check.status(gw:delete "/models/Kept?id=down", 204)
    end)

    it("tells of a document, each record once, by the paths that lead there", function()
      check.status(gw:put("/models/Place", '{"name":"b","at":{"id":"one"}}'), 201)
      check.status(gw:put("/models/Place", '{"name":"a","at":{"id":"one"},"mother":{"name":"b"},"friends":[{"name":"no"},{"name":"b"},{"name":"a"}]}'), 201)
      local explain, document = explained(gw, "/models/Place?name=a")
      assert.same(check.document(gw:get "/models/Place?name=a"), document)
      local references = explain.tree.references
      assert.equal("loaded", references.at.found)
      assert.equal(detail, references.mother.found)
      assert.same({ "missing", "nowhere" }, { references["friends[0]"].status, references["friends[0]"].found })
      assert.is_true(references["friends[1]"].again)
      assert.equal(references.mother.key, references["friends[1]"].key)
      assert.is_nil(references["friends[2]"]) -- a cycle
      assert.is_true(references.mother.references.at.again)
      local levels = explain.levels
      assert.same({ 1, 3, 0 }, { levels[1].records, levels[2].records, levels[3] and levels[3].records or 0 })
      assert.same({ loaded = 1, nowhere = 1, [detail] = 1 }, levels[2].found)
      assert.is_true(levels[2].ms >= references.at.ms and references.at.load_ms >= 20)
    end)

    it("tells only of what was read", function()
      assert.is_nil(explained(gw, "/models/Place?name=a&_depth=0").tree.references)
      local explain, document = explained(gw, "/models/Place?name=a&_fields=name,at.text")
      assert.same({ name = "a", at = { text = "x" } }, document)
      assert.is_nil(explain.tree.references.mother)
      assert.same({}, select(2, explained(gw, "/models/Kept?id=a&_fields=text")))
    end)

    it("is a problem with one more member where there is no answer", function()
      local function problem(target, status, code, headers)
        local response = gw:get(target .. "&_explain=1", headers)
        assert.equal("no-store", response.headers["cache-control"])
        return check.problem(response, status, code)["$explain"]
      end
      assert.equal("missing", problem("/models/Note?id=none", 404, "missing").tree.status)
      assert.equal("loaded", problem("/models/Loaded?id=none", 404, "missing").tree.found)
      assert.equal(detail, problem("/models/Loaded?id=none", 404, "missing").tree.found) -- remembered
      local failed = problem("/models/Loaded?id=bad", 502, "loader-error").tree
      assert.same({ "loader-error", "nowhere" }, { failed.status, failed.found })
      assert.is_string(failed.detail)
      assert.is_number(failed.load_ms)
      check.status(gw:put("/models/Place", '{"name":"c","at":{"id":"bad"},"mother":{"name":"b"}}'), 201)
      local references = problem("/models/Place?name=c", 502, "loader-error").tree.references
      assert.same({ "loader-error", "ok" }, { references.at.status, references.mother.status })
      assert.is_nil(references.mother.references) -- it had failed by then
      local cold = problem("/models/Loaded?id=cold", 504, "not-cached", { ["Cache-Control"] = "only-if-cached" })
      assert.same({ "missing", "nowhere" }, { cold.tree.status, cold.tree.found })
      assert.equal(0, gw:metric("perigee_loads_total", { model = "Loaded", result = "overloaded" }) or 0)
    end)

    it("has a method's result beside the explanation", function()
      local explain, rest = explained(gw, "/models/Place/word?name=a&say=hello")
      assert.same({ value = "hello" }, rest)
      assert.same({ "Place.word", "loaded", "ok" }, { explain.tree.model, explain.tree.found, explain.tree.status })
      assert.is_nil(explain.levels)
      assert.equal(detail, explained(gw, "/models/Place/word?name=a&say=hello").tree.found)
      explain, rest = explained(gw, "/forms/Echo/say?text=x")
      assert.same({ { "x" }, "Echo.say" }, { rest.value, explain.tree.model })
      local posted = check.document(gw:request("POST", "/forms/Echo/say?_explain=1", nil, '{"text":"y"}'))
      assert.same({ "y" }, posted.value)
      assert.equal("missing", check.problem(gw:get "/models/Place/word?name=a&say=none&_explain=1", 404, "missing")["$explain"].tree.status)
      assert.equal("loader-error", check.problem(gw:get "/models/Place/word?name=a&say=bad&_explain=1", 502, "loader-error")["$explain"].tree.status)
      assert.is_nil(check.problem(gw:get "/forms/Echo/say?_explain=1", 422, "form-invalid")["$explain"]) -- there was nothing to look for
    end)

    it("has no tag, so that there is no 304", function()
      local etag = check.status(gw:get "/models/Note?id=a+b", 200).headers.etag
      explained(gw, "/models/Note?id=a+b", { ["If-None-Match"] = etag })
      local head = check.status(gw:head "/models/Note?id=a+b&_explain=1", 200)
      assert.same({ "no-store" }, { head.headers["cache-control"], head.headers.etag })
      check.status(gw:head "/models/Loaded?id=never&_explain=1", 404) -- which never loads
      check.status(gw:get("/models/Loaded?id=never", { ["Cache-Control"] = "only-if-cached" }), 504)
    end)

    it("is asked for by 1, once, of reads alone", function()
      assert.equal(check.status(gw:get "/models/Note?id=a+b", 200).body, check.status(gw:get "/models/Note?id=a+b&_explain=0", 200).body)
      assert.is_string(check.status(gw:get "/models/Note?id=a+b&_explain=0", 200).headers.etag)
      for _, target in ipairs { "/models/Note?id=a&", "/models/Place/word?name=a&say=x&" } do
        for _, option in ipairs { "_explain=", "_explain=2", "_explain=true", "_explain", "_explain=1&_explain=1", "_explain=0&_explain=1" } do
          check.problem(gw:get(target .. option), 400, "malformed-request")
        end
      end
      check.problem(gw:put("/models/Note?id=a&_explain=1", "{}"), 400, "malformed-request")
      check.problem(gw:delete "/models/Note?id=a&_explain=1", 400, "malformed-request")
      check.problem(gw:delete "/models/Place/word?name=a&say=x&_explain=1", 400, "malformed-request")
      check.problem(gw:request("POST", "/models/Loaded/_refresh?_explain=1", nil, '{"keys":{"id":"a"},"wait":true}'), 400, "malformed-request")
      check.problem(gw:request("POST", "/models/Note/_bulk?_explain=1", nil, '{"get":[]}'), 400, "malformed-request")
    end)

    if store == "near" then
      it("tells of near copies", function()
        process.eventually("a near copy", 10, function() return explained(gw, "/models/Note?id=a+b").tree.found == "near" end)
        process.eventually("all of a document", 10, function()
          local levels = explained(gw, "/models/Place?name=a").levels
          return levels[1].found.near == 1 and levels[2].found.near == 2
        end)
      end)
    end
  end)
end

describe("a large explained document", function()
  it("is explained, whatever its tags", function()
    local gw = gateway.start { models = [[
model "Leaf" { id = key(), text = field(), options = { tags = function(self)
  local tags = {}
  for i = 1, 64 do tags[i] = i .. ("\1"):rep(250) .. self.id end
  return tags
end } }
model "Tree" { id = key(), leaves = references{ "Leaf", max = 1000 } }
]], args = { "--max-body", "4MiB" } }
    local leaves, stubs = {}, {}
    for i = 1, 900 do
      leaves[i] = ('{"id":"%d"}'):format(i)
      stubs[i] = leaves[i]
    end
    check.status(gw:put("/models/Tree", ('{"id":"few","leaves":[%s]}'):format(table.concat(stubs, ",", 1, 20))), 201)
    check.status(gw:put("/models/Tree", ('{"id":"many","leaves":[%s]}'):format(table.concat(stubs, ","))), 201)
    check.status(gw:request("POST", "/models/Leaf/_bulk", nil, ('{"save":[%s]}'):format(table.concat(leaves, ","))), 200)
    local explain = explained(gw, "/models/Tree?id=few")
    assert.equal(64, #explain.tree.references["leaves[19]"].tags)
    local response = check.status(gw:get "/models/Tree?id=many&_explain=1", 200)
    local many = cjson.decode(response.body)
    assert.equal(900, #many.leaves)
    assert.equal(cjson.null, many["$explain"].tree) -- of 90 MiB
    assert.equal(900, many["$explain"].levels[2].records)
    gw:finish()
  end)
end)
