-- tests/e2e/from_misses_spec.lua -- many misses of one model in one call of its `from_misses`: who shares a call, and what each of them
-- comes to. The log counts the calls.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local cjson = require "cjson"

local models = [[
local function called(list)
  local ids = {}
  for i, item in ipairs(list) do ids[i] = item.id end
  log.info("called", { n = #list, ids = table.concat(ids, " ") })
end
local function fill(list)
  called(list)
  sleep(0)
  for i, item in ipairs(list) do item.v = "v" .. item.id end
end
model "Person" { id = key(), v = field(), options = { expires = 300, hard_timeout = 5 }, from_misses = fill }
model "Team" { id = key(), members = references{ "Person", missing = "null" }, boss = reference{ "Person", missing = "null" } }
model "Club" { id = key(), found = field(), options = { expires = 300, hard_timeout = 5 }, from_miss = function(self)
  local wanted = {}
  for i = 1, 40 do wanted[i] = { id = self.id .. i } end
  local list = assert(Person.get_many(wanted))
  self.found = {}
  for i, person in ipairs(list) do self.found[i] = person.v end
end }
model "Both" { id = key(), v = field(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self) log.info("called", { n = 0, ids = self.id }) self.v = "alone" end,
  from_misses = function(list) fill(list) end }
model "Mixed" { id = key(), v = field(), options = { expires = 300, hard_timeout = 5, negative = 60,
    validate = function(self) if self.v == "invalid" then return "v", "secret" end end },
  from_misses = function(list, ctx)
    called(list)
    local results = {}
    for i, item in ipairs(list) do
      local what = item.id:match "^%a+"
      if what == "missing" then results[i] = missing
      elseif what == "failed" then results[i] = failed "the secret row"
      elseif what == "nan" then item.v = 0 / 0
      elseif what == "invalid" then item.v = what
      else item.v = "v" .. item.id end
    end
    ctx.expires = 30
    return results
  end }
model "Raises" { id = key(), v = field(), options = { expires = 300, hard_timeout = 5 },
  from_misses = function(list) called(list) error "secret words" end }
model "Wrong" { id = key(), v = field(), options = { expires = 300, hard_timeout = 5 },
  from_misses = function(list) called(list) return { list[1] } end }
model "Own" { id = key(), v = field(), options = { expires = 300, hard_timeout = 5 },
  from_misses = function(list)
    called(list)
    for i, item in ipairs(list) do
      local _, problem = Own.get{ id = list[#list + 1 - i].id }
      item.v = problem.code
    end
  end }
model "Ring" { id = key(), v = field(), options = { expires = 300, hard_timeout = 5 },
  from_misses = function(list)
    called(list)
    for _, item in ipairs(list) do
      local back, problem = Back.get{ id = item.id }
      item.v = back and back.v or problem.code
    end
  end }
model "Back" { id = key(), v = field(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self)
    local _, problem = Ring.get{ id = self.id }
    self.v = problem.code
  end }
model "Late" { id = key(), v = field(), options = { expires = 300, hard_timeout = 0.3 },
  from_misses = function(list) called(list) sleep(60) end }
]]

-- What the log says of calls since `mark`: how many, records in all, most at once.
local function calls(gw, mark)
  local n, records, most = 0, 0, 0
  for i, event in ipairs(gw:log_events()) do
    if i > mark and event.message == "called" then
      n, records, most = n + 1, records + event.n, math.max(most, event.n)
    end
  end
  return n, records, most
end

-- The answers to GETs that the gateway finds all at once: it sleeps until each has been sent on a connection of its own.
local function together(gw, targets)
  local connections, answers = {}, {}
  gw:signal "STOP"
  for i, target in ipairs(targets) do
    connections[i] = http.connect(gw.address)
    connections[i]:send(http.format("GET", target))
  end
  gw:signal "CONT"
  for i, connection in ipairs(connections) do
    answers[i] = connection:receive(false, 10 * gateway.patience)
    connection:close()
  end
  return answers
end

local function targets(model, prefix, n)
  local list = {}
  for i = 1, n do list[i] = ("/models/%s?id=%s%d"):format(model, prefix, i) end
  return list
end

for _, store in ipairs { "memory", "redis" } do
  -- Redis answers many questions in one or a few packets, as it likes.
  local few = store == "memory" and 1 or 4

  describe("from_misses on " .. store, function()
    local gw, mark
    setup(function()
      gw = gateway.start { models = models, store = store, fds = 40 }
      check.status(gw:get "/models/Person?id=first", 200)
    end)
    teardown(function() gw:finish() end)
    before_each(function() mark = #gw:log_events() end)

    it("loads 50 records for 50 clients in one call", function()
      for i, answer in ipairs(together(gw, targets("Person", "a", 50))) do
        assert.same({ id = "a" .. i, v = "va" .. i }, check.document(answer))
        assert.equal("perigee; fwd=uri-miss; stored; ttl=300", (answer.headers["cache-status"]:gsub("ttl=299", "ttl=300")))
      end
      local n, records = calls(gw, mark)
      assert(n <= few, n .. " calls")
      assert.equal(50, records)
      assert.equal(50, gw:metric("perigee_loads_total", { model = "Person", result = "ok" }) - 1)
      for _, answer in ipairs(together(gw, targets("Person", "a", 50))) do assert.is_true(check.cache_status(answer).hit) end
      assert.equal(n, (calls(gw, mark)))
    end)

    it("takes at most 100 in a call", function()
      for i, answer in ipairs(together(gw, targets("Person", "b", 250))) do
        assert.equal("vb" .. i, check.document(answer).v)
      end
      local n, records, most = calls(gw, mark)
      assert(n >= 3 and n <= 2 + 4 * few, n .. " calls")
      assert.equal(250, records)
      assert(most <= 100, most .. " records in a call")
    end)

    it("loads one key once, however many ask", function()
      local asked = targets("Person", "c", 10)
      for i = 1, 90 do asked[#asked + 1] = asked[i % 10 + 1] end
      for _, answer in ipairs(together(gw, asked)) do check.status(answer, 200) end
      assert.equal(10, (select(2, calls(gw, mark))))
    end)

    it("loads all of a document's records in one call", function()
      local members = {}
      for i = 1, 30 do members[i] = { id = "d" .. i } end
      check.status(gw:put("/models/Team", cjson.encode { id = "t", members = members, boss = { id = "d31" } }), 201)
      local document = check.document(gw:get "/models/Team?id=t")
      assert.equal(30, #document.members)
      for i, member in ipairs(document.members) do assert.same({ id = "d" .. i, v = "vd" .. i }, member) end
      assert.equal("vd31", document.boss.v)
      local n, records = calls(gw, mark)
      assert(n <= few, n .. " calls")
      assert.equal(31, records)
    end)

    it("loads what get_many asks for in one call", function()
      local found = check.document(gw:get "/models/Club?id=e").found
      for i = 1, 40 do assert.equal("ve" .. i, found[i]) end
      local n, records = calls(gw, mark)
      assert(n <= few, n .. " calls")
      assert.equal(40, records)
    end)

    it("leaves one alone to from_miss", function()
      assert.equal("alone", check.document(gw:get "/models/Both?id=one").v)
      assert.same({ 1, 0, 0 }, { calls(gw, mark) })
      if store == "redis" then return end
      for i, answer in ipairs(together(gw, targets("Both", "f", 5))) do assert.equal("vf" .. i, check.document(answer).v) end
      assert.same({ 2, 5, 5 }, { calls(gw, mark) })
    end)

    it("tells each its own end", function()
      local asked = {}
      for i, what in ipairs { "missing", "failed", "nan", "invalid", "good", "missing", "good" } do
        asked[i] = ("/models/Mixed?id=%s%d"):format(what, i)
      end
      local answers = together(gw, asked)
      for _, i in ipairs { 1, 6 } do
        check.problem(answers[i], 404, "missing")
        check.status(gw:get(asked[i]), 404)
      end
      for _, i in ipairs { 5, 7 } do
        assert.equal("vgood" .. i, check.document(answers[i]).v)
        assert(check.cache_status(answers[i]).ttl <= 30)
        assert.is_true(check.cache_status(gw:get(asked[i])).hit)
      end
      assert.equal(7, (select(2, calls(gw, mark)))) -- 404 is remembered
      for _, i in ipairs { 2, 3, 4 } do
        check.problem(answers[i], 502, "loader-error")
        assert(not answers[i].body:find("secret", 1, true), answers[i].body)
      end
      check.says(answers[3].body, "field `v`")
      check.says(answers[4].body, "`validate` has refused field `v`")
      check.says(gw:log(), "the secret row", "field `v`: NaN")
    end)

    it("fails for all when it raises, returns something else or is late", function()
      for model, says in pairs { Raises = "failed", Wrong = "it returned something else than a table", Late = "took longer than 300 ms" } do
        local code, status = "loader-error", 502
        if model == "Late" then code, status = "loader-timeout", 504 end
        for _, answer in ipairs(together(gw, targets(model, "g", 5))) do
          check.says(check.problem(answer, status, code).detail, says)
          assert(not answer.body:find("secret", 1, true), answer.body)
        end
        assert.equal(5, gw:metric("perigee_loads_total", { model = model, result = code }))
      end
      local n = calls(gw, mark)
      assert(n <= 3 * few, n .. " calls")
      check.says(gw:log(), "secret words", "from_misses returned a table with a table at 1")
    end)

    it("waits for no record of its own list, directly or not", function()
      for _, answer in ipairs(together(gw, targets("Own", "o", 30))) do assert.equal("loader-error", check.document(answer).v) end
      for _, answer in ipairs(together(gw, targets("Ring", "r", 30))) do assert.equal("loader-error", check.document(answer).v) end
      for _, model in ipairs { "Own", "Ring", "Back" } do
        assert.equal(0, gw:metric("perigee_loads_total", { model = model, result = "loader-timeout" }))
      end
    end)

    it("goes on for others when a client leaves", function()
      gw:signal "STOP"
      local leaving, staying = http.connect(gw.address), http.connect(gw.address)
      leaving:send(http.format("GET", "/models/Person?id=h1"))
      staying:send(http.format("GET", "/models/Person?id=h2"))
      leaving:reset()
      gw:signal "CONT"
      assert.equal("vh2", check.document(staying:receive(false, 5 * gateway.patience)).v)
      staying:close()
      check.status(gw:get "/models/Person?id=h1", 200)
    end)
  end)
end
