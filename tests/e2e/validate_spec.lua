-- tests/e2e/validate_spec.lua -- what a model says of its records before they are saved: `validate` and `tags`.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"

local models = [[
local function validate(self)
  if self.email == "raise@x" then error "words of the handler" end
  if self.email == "change@x" then self.email = "other" end
  if self.email == "spin@x" then while true do end end
  if self.email == "sleep@x" then sleep(10) end
  if self.email == "nap@x" then log.info("napping", { id = self.id }) sleep(0.3) end
  if self.email == "ask@x" then assert(Broken.get{ id = self.id }) end
  if self.email and not self.email:find "@" then return "email", "is not an address" end
end
model "Account" { id = key(), email = field(), note = field(), friend = reference "self", options = { hard_timeout = 1, validate = validate } }
model "Loaded" { id = key(), email = field(), options = { hard_timeout = 1, validate = validate },
  from_miss = function(self) self.email = self.id end }
model "Broken" { id = key(), options = { hard_timeout = 1 }, from_miss = function(self) error("broken " .. self.id) end }
form "Asking" { id = input{ clean = function(v) return assert(Broken.get{ id = v }) end },
  ask = cached_form_method{ expires = 1, function() return 1 end } }
model "Tagged" { id = key(), region = field(), more = field(), note = field(), options = { hard_timeout = 1, tags = function(self)
  if self.more == "raise" then error "words of the handler" end
  if self.more == "number" then return { 1 } end
  if self.more == "text" then return "x" end
  if self.more == "empty" then return { "" } end
  if self.more == "long" then return { ("x"):rep(256) } end
  if self.more == "many" then local list = {} for i = 1, 65 do list[i] = "t" .. i end return list end
  if self.more == "most" then local list = {} for i = 1, 64 do list[i] = "t" .. i end return list end
  if self.more == "bytes" then return { "\255" } end
  if self.more == "none" then return end
  return { "region:" .. (self.region or "?"), "all", "all" }
end } }
]]

local merge = { ["Content-Type"] = "application/merge-patch+json" }

for _, store in ipairs { "memory", "redis" } do
  describe("validate on " .. store, function()
    local gw
    setup(function() gw = gateway.start { models = models, store = store, fds = 60 } end)
    teardown(function() gw:finish() end)

    -- The log's event for this answer.
    local function event_of(answer)
      local request = answer.body:match '"request":"(%x+)"'
      for _, event in ipairs(gw:log_events()) do
        if event.request == request then return event end
      end
      error("nothing in the log for " .. request)
    end

    it("lets good records through as they are", function()
      check.status(gw:put("/models/Account", '{"id":"good","email":"a@b","note":1.0}'), 201)
      check.status(gw:put("/models/Account", '{"id":"good","email":"a@b","note":1.10}'), 204)
      assert.equal('{"id":"good","email":"a@b","note":1.10}', gw:get("/models/Account?id=good").body)
      check.status(gw:request("PATCH", "/models/Account?id=good", merge, '{"note":[]}'), 204)
      assert.equal('{"id":"good","email":"a@b","note":[]}', gw:get("/models/Account?id=good").body)
    end)

    it("refuses with field and message, and nothing is stored", function()
      local problem = check.problem(gw:put("/models/Account", '{"id":"bad","email":"ab"}'), 422, "field-type")
      assert.equal("email", problem.path)
      assert.equal("Account", problem.model)
      check.says(problem.detail, "is not an address")
      check.status(gw:get "/models/Account?id=bad", 404)
      check.status(gw:put("/models/Account", '{"id":"bad","email":"a@b"}'), 201)
      problem = check.problem(gw:put("/models/Account", '{"id":"bad","email":"ab"}'), 422, "field-type")
      assert.equal("email", problem.path)
      problem = check.problem(gw:request("PATCH", "/models/Account?id=bad", merge, '{"email":"ab"}'), 422, "field-type")
      assert.equal("email", problem.path)
      check.says(problem.detail, "is not an address")
      assert.equal('{"id":"bad","email":"a@b"}', gw:get("/models/Account?id=bad").body)
      assert(not gw:log():find("save failed", 1, true), gw:log())
    end)

    it("that raises stores nothing, and only the log learns why", function()
      local answer = gw:put("/models/Account", '{"id":"raised","email":"raise@x"}')
      local problem = check.problem(answer, 502, "loader-error")
      assert(not answer.body:find("words", 1, true) and not answer.body:find("models.lua", 1, true), answer.body)
      assert.equal("Account", problem.model)
      local event = event_of(answer)
      assert.equal("Account", event.model)
      assert.equal("id=raised", event.key)
      assert.equal("loader-error", event.code)
      check.says(event.error, "words of the handler", "models.lua:2")
      check.status(gw:get "/models/Account?id=raised", 404)

      check.status(gw:put("/models/Account", '{"id":"raised","email":"a@b"}'), 201)
      answer = gw:request("PATCH", "/models/Account?id=raised", merge, '{"email":"raise@x"}')
      check.problem(answer, 502, "loader-error")
      assert(not answer.body:find("words", 1, true), answer.body)
      event = event_of(answer)
      assert.equal("id=raised", event.key)
      check.says(event.error, "words of the handler")
      assert.equal('{"id":"raised","email":"a@b"}', gw:get("/models/Account?id=raised").body)
    end)

    it("cannot change the record", function()
      local answer = gw:put("/models/Account", '{"id":"changed","email":"change@x"}')
      check.problem(answer, 502, "loader-error")
      check.says(event_of(answer).error, "models.lua:3")
      check.status(gw:get "/models/Account?id=changed", 404)
    end)

    it("is ended at its deadline, computing or waiting, and holds nobody up", function()
      if gateway.holds_signals then return pending "the watchdog's signal does not come through" end
      local answers = http.all(gw.address, {
        { "PUT", "/models/Account", {}, '{"id":"late1","email":"spin@x"}' }, { "PUT", "/models/Account", {}, '{"id":"late2","email":"sleep@x"}' },
        { "PUT", "/models/Account", {}, '{"id":"quick","email":"a@b"}' },
      })
      check.problem(answers[1], 504, "loader-timeout")
      check.problem(answers[2], 504, "loader-timeout")
      check.status(answers[3], 201)
      event_of(answers[1])
      event_of(answers[2])
      check.status(gw:get "/models/Account?id=late1", 404)
      check.status(gw:get "/models/Account?id=late2", 404)
      check.problem(gw:request("PATCH", "/models/Account?id=quick", merge, '{"email":"sleep@x"}'), 504, "loader-timeout")
      assert.equal('{"id":"quick","email":"a@b"}', gw:get("/models/Account?id=quick").body)
    end)

    it("what handlers of a request make load is logged with that request", function()
      check.status(gw:put("/models/Account", '{"id":"asks","email":"a@b"}'), 201)
      local answers = {
        broken_put = gw:put("/models/Account", '{"id":"broken_put","email":"ask@x"}'),
        asks = gw:request("PATCH", "/models/Account?id=asks", merge, '{"email":"ask@x"}'),
        broken_form = gw:get "/forms/Asking/ask?id=broken_form",
      }
      for id, answer in pairs(answers) do
        local request = assert(answer.body:match '"request":"(%x+)"', answer.body)
        local loads = {}
        for _, event in ipairs(gw:log_events()) do
          if event.model == "Broken" and event.request == request then table.insert(loads, event) end
        end
        assert.equal(1, #loads, id .. ": " .. gw:log())
        assert.equal("id=" .. id, loads[1].key)
      end
    end)

    it("waits without holding others", function()
      local requests = {}
      for i = 1, 50 do requests[i] = { "PUT", "/models/Account", {}, ('{"id":"n%d","email":"nap@x"}'):format(i) } end
      for _, answer in ipairs(http.all(gw.address, requests)) do check.status(answer, 201) end
    end)

    it("a save whose client leaves is saved", function()
      for i = 1, 10 do
        local connection = http.connect(gw.address)
        connection:send(http.format("PUT", "/models/Account", {}, ('{"id":"left%d","email":"nap@x"}'):format(i)))
        process.eventually("it has begun", 5, function() return gw:log():find(('"left%d"'):format(i), 1, true) end)
        connection:reset()
      end
      for i = 1, 10 do
        process.eventually("it is saved", 5, function() return gw:get("/models/Account?id=left" .. i).status == 200 end)
      end
      check.status(gw:put("/models/Account", '{"id":"patched","email":"a@b"}'), 201)
      local connection = http.connect(gw.address)
      connection:send(http.format("PATCH", "/models/Account?id=patched", merge, '{"email":"nap@x"}'))
      process.eventually("it has begun", 5, function() return gw:log():find('"patched"', 1, true) end)
      connection:reset()
      check.status(gw:request("PATCH", "/models/Account?id=patched", merge, '{"note":1,"email":"c@d"}'), 204) -- it waits for its turn
      assert.equal('{"id":"patched","email":"c@d","note":1}', gw:get("/models/Account?id=patched").body)
    end)

    it("a patch that is overtaken while it is checked looks and is checked again", function()
      check.status(gw:put("/models/Account", '{"id":"race","email":"a@b"}'), 201)
      local waiting = http.connect(gw.address)
      waiting:send(http.format("PATCH", "/models/Account?id=race", merge, '{"email":"nap@x"}'))
      local function naps() return select(2, gw:log():gsub('"race"', "")) end
      process.eventually("it has begun", 5, function() return naps() == 1 end)
      check.status(gw:put("/models/Account", '{"id":"race","email":"c@d","note":"put meanwhile"}'), 204)
      check.status(waiting:receive(), 204)
      waiting:close()
      assert.equal('{"id":"race","email":"nap@x","note":"put meanwhile"}', gw:get("/models/Account?id=race").body)
      assert.equal(2, naps())
    end)

    it("sees what a patch makes of the record", function()
      check.status(gw:put("/models/Account", '{"id":"merged","email":"a@b","note":1}'), 201)
      check.problem(gw:request("PATCH", "/models/Account?id=merged", merge, '{"email":"none"}'), 422, "field-type")
      check.status(gw:request("PATCH", "/models/Account?id=merged", merge, '{"email":null}'), 204)
      assert.equal('{"id":"merged","note":1}', gw:get("/models/Account?id=merged").body)
    end)

    it("in a load is a failed load, and nothing is kept", function()
      local answer = gw:get "/models/Loaded?id=none"
      check.problem(answer, 502, "loader-error")
      event_of(answer)
      check.problem(gw:get "/models/Loaded?id=none", 502, "loader-error")
      check.problem(gw:get("/models/Loaded?id=none", { ["Cache-Control"] = "only-if-cached" }), 504, "not-cached")
      check.status(gw:get "/models/Loaded?id=a@b", 200)
      assert.is_true(check.cache_status(gw:get "/models/Loaded?id=a@b").hit)
    end)

    it("tags that are none of theirs store nothing", function()
      for _, fault in ipairs { "raise", "number", "text", "empty", "long", "many", "bytes" } do
        local answer = gw:put("/models/Tagged", ('{"id":"faulty","more":"%s"}'):format(fault))
        check.problem(answer, 502, "loader-error")
        assert(not answer.body:find("words", 1, true), answer.body)
        assert.equal("id=faulty", event_of(answer).key)
      end
      check.status(gw:get "/models/Tagged?id=faulty", 404)
      for _, fine in ipairs { "none", "most", "x" } do
        check.status(gw:put("/models/Tagged?id=" .. fine, ('{"more":"%s"}'):format(fine)), 201)
        assert.equal(fine, check.document(gw:get("/models/Tagged?id=" .. fine)).more)
      end
    end)

    it("models may be replaced while records are checked", function()
      local waiting = http.connect(gw.address)
      waiting:send(http.format("PUT", "/models/Account", {}, '{"id":"reload","email":"nap@x"}'))
      process.eventually("it has begun", 5, function() return gw:log():find('"reload"', 1, true) end)
      check.status(gw:admin("/admin/reload", "POST"), 200)
      check.status(waiting:receive(), 201)
      waiting:close()
      check.status(gw:get "/models/Account?id=reload", 200)
    end)
  end)
end

describe("tags in Redis", function()
  local gw
  setup(function() gw = gateway.start { models = models, store = "redis" } end)
  teardown(function() gw:finish() end)

  local function number(bytes, at, n)
    local value = 0
    for i = n - 1, 0, -1 do value = value * 256 + bytes:byte(at + i + 1) end
    return value
  end

  -- The tags that the envelope of this key holds (docs/storage.md), and the record's text.
  local function stored(id)
    local envelope = gw.redis:command("GET", gw.redis:command("KEYS", "*:id=" .. id)[1])
    local at = 52 + number(envelope, 40, 4)
    local ends, tags = at + number(envelope, 44, 4), nil
    while at < ends do
      local kind, length = envelope:byte(at + 1), number(envelope, at + 1, 3)
      local section = envelope:sub(at + 5, at + 4 + length)
      at = at + 4 + length
      if kind == 2 then
        tags = {}
        while #section > 0 do
          local n = section:byte()
          tags[#tags + 1] = section:sub(2, n + 1)
          section = section:sub(n + 2)
        end
      end
    end
    assert.equal(ends, at)
    return tags, envelope:sub(at + 1)
  end

  it("stand in the envelope, sorted and once, and follow a patch", function()
    check.status(gw:put("/models/Tagged", '{"id":"a","region":"eu"}'), 201)
    local tags, text = stored "a"
    assert.same({ "all", "region:eu" }, tags)
    assert.equal('{"id":"a","region":"eu"}', text)
    check.status(gw:request("PATCH", "/models/Tagged?id=a", merge, '{"region":"us"}'), 204)
    assert.same({ "all", "region:us" }, (stored "a"))
    check.status(gw:request("PATCH", "/models/Tagged?id=a", merge, '{"more":"none"}'), 204)
    assert.is_nil((stored "a"))
    assert.equal('{"id":"a","region":"us","more":"none"}', gw:get("/models/Tagged?id=a").body)
    check.status(gw:put("/models/Tagged", '{"id":"b","more":"most"}'), 201)
    assert.equal(64, #stored "b")
  end)
end)
