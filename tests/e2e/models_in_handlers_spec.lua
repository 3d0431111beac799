-- tests/e2e/models_in_handlers_spec.lua -- handlers that read, save and delete other records: what they get, what they are told when they
-- do not, and that nothing waits for itself, hangs or leaks.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local origin = require "tests.support.origin"
local process = require "tests.support.process"
local redis = require "tests.support.redis"

-- `Do` runs the act that its key names and shows what that returns.
local function models(url)
  return {
    acts = [[
local acts = {}
local function told(p) return { code = p.code, status = p.status, detail = p.detail, model = p.model, path = p.path, text = tostring(p) } end
local function outcome(value, p) return { value = value == nil and "nil" or value == true or "record", problem = p and told(p) } end

function acts.reads() local i = assert(Item.get{ id = "a" }) return { id = i.id, path = i.path, note = tostring(i.note), null = i.nothing == null } end
function acts.absent() return outcome(Item.get{ id = "none" }) end
function acts.unknown() return outcome(Plain.get{ id = "nobody" }) end
function acts.failing() return outcome(Item.get{ id = "bad" }) end
function acts.asserted() return assert(Item.get{ id = "bad" }).n end
function acts.asserted_absent() return assert(Item.get{ id = "none" }).n end
function acts.wrong_type() return outcome(Plain.get{ id = 5 }) end
function acts.misspelt() local i = Item.get{ idd = "a" } end
function acts.no_key() local i = Item.get{} end
function acts.no_field() local i = assert(Item.get{ id = "a" })
  return i.pth end
function acts.sets_key() local i = assert(Item.get{ id = "a" })
  i.id = "b" end
function acts.many()
  local list, out = {}, {}
  for i = 1, 60 do list[i] = { id = "m" .. i } end
  for i, p in ipairs(assert(Plain.get_many(list))) do out[i] = p == missing and "missing" or p.n end
  return out
end
function acts.many_loaded()
  local out = {}
  for i, p in ipairs(assert(Item.get_many{ { id = "x" }, { id = "none" }, { id = "y" }, { id = "x" } })) do
    out[i] = p == missing and "missing" or p.path
  end
  return out
end
function acts.many_failing() return outcome(Item.get_many{ { id = "x" }, { id = "bad" } }) end
function acts.many_of_none() return #User.get_many{} end

function acts.saves() return outcome(Plain{ id = "saved", n = 7, note = { deep = { 1, 2.5, null, "\195\188" } } }:save()) end
function acts.changes()
  local p = assert(Plain.get{ id = "changed" })
  p.n, p.note = p.n + 1, nil
  return outcome(p:save())
end
function acts.saves_briefly() return outcome(Plain{ id = "brief", n = 1 }:save{ expires = 1 }) end
function acts.saves_wrongly() return outcome(Plain{ id = "wrong", n = "x" }:save()) end
function acts.saves_a_function() local ok = Plain{ id = "wrong", note = { f = function() end } }:save() end
function acts.deletes() return outcome(assert(Plain.get{ id = "deleted" }):delete()) end
function acts.invalidates() return outcome(Plain.invalidate{ id = "deleted" }) end
function acts.waits_and_saves() sleep(0.3) return outcome(Plain{ id = "late", n = 1 }:save()) end
function acts.waits_for_slow() return Item.get{ id = "slow" }.path end
function acts.a_thousand()
  local n = 0
  for i = 1, 1000 do n = n + assert(Plain.get{ id = "one" }).n end
  return n
end

model "Do" { id = key(), out = field(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self, ctx) self.out = acts[self.id](self) ctx.expires = 0 end }
]],
    others = ([[
local function ask(path) return http.get("%s" .. path, { timeout = 10 }) end
local function url(id) return "/item/" .. id .. (id == "slow" and "?delay=500" or id == "shared" and "?delay=300" or id == "never" and "?hang=1" or "") end

model "Plain" { id = key(), n = field{ type = "integer" }, note = field() }
model "User" { id = key(), options = { expires = 300 } }
model "Item" { id = key(), path = field(), note = field(), nothing = field(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self)
    if self.id == "none" then return missing end
    if self.id == "bad" then error "no luck" end
    self.path, self.nothing = ask(url(self.id)):json().path, null
  end }
model "Crowd" { id = key(), path = field(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self) self.path = assert(Item.get{ id = "shared" }).path end }
model "Hurried" { id = key(), v = field(), options = { expires = 300, hard_timeout = 0.2 },
  from_miss = function(self) self.v = assert(Item.get{ id = "never" }).path end }

model "Self" { id = key(), v = field(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self) local _, p = Self.get{ id = self.id } self.v = tostring(p) end }
model "A" { id = key(), options = { expires = 300, hard_timeout = 5 }, from_miss = function(self) assert(B.get{ id = self.id }) end }
model "B" { id = key(), options = { expires = 300, hard_timeout = 5 }, from_miss = function(self) assert(A.get{ id = self.id }) end }
model "East" { id = key(), v = field(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self) ask("/east/" .. self.id .. "?delay=200") local w, p = West.get{ id = self.id } self.v = p and p.code or "west" end }
model "West" { id = key(), v = field(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self) ask("/west/" .. self.id .. "?delay=200") local e, p = East.get{ id = self.id } self.v = p and p.code or "east" end }
model "Deep" { n = key{ type = "integer" }, sum = field(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self) self.sum = self.n == 0 and 0 or self.n + assert(Deep.get{ n = self.n - 1 }).sum end }
]]):format(url),
  }
end

local function loads(gw, model, result) return gw:metric("perigee_loads_total", { model = model, result = result }) end

-- "acts.lua:N": the line of this act, or one below it.
local function at(name, below)
  local line = 1
  for row in models("").acts:gmatch "([^\n]*)\n" do
    if row:find("function acts." .. name .. "(", 1, true) then return ("acts.lua:%d"):format(line + (below or 0)) end
    line = line + 1
  end
end

local function log_of(gw, from) return gw:log():sub(from + 1) end

for _, store in ipairs { "memory", "redis" } do
  for _, workers in ipairs { 1, 2 } do
    describe(("models in handlers on %s with %d worker(s)"):format(store, workers), function()
      local gw, source
      setup(function()
        source = origin.start()
        gw = gateway.start { models = models(source.url), store = store, workers = workers, fds = 60, beside = { source } }
      end)
      teardown(function() gw:finish() end)

      local function act(name) return check.document(gw:get("/models/Do?id=" .. name)).out end

      -- An act that raises: 502 for the client, and the words in the log.
      local function raises(name, ...)
        local from = #gw:log()
        local problem = check.problem(gw:get("/models/Do?id=" .. name), 502, "loader-error")
        assert.equal("the loader of model `Do` failed", problem.detail)
        check.says(log_of(gw, from), ...)
      end

      it("loads what is not there, and finds it afterwards", function()
        local before = loads(gw, "Item", "ok")
        assert.same({ id = "a", path = "/item/a", note = "nil", null = true }, act "reads")
        assert.same({ id = "a", path = "/item/a", note = "nil", null = true }, act "reads")
        assert.equal(before + 1, loads(gw, "Item", "ok"))
        assert.is_true(check.cache_status(gw:get "/models/Item?id=a").hit)
      end)

      it("tells of a record that is not there", function()
        local missing = { code = "missing", status = 404, detail = "no such record", text = "missing: no such record" }
        for name, model in pairs { absent = "Item", unknown = "Plain" } do
          missing.model = model
          assert.same({ value = "nil", problem = missing }, act(name))
        end
        raises("asserted_absent", "missing: no such record", at "asserted_absent")
      end)

      it("tells of a loader that failed, and to the client only that one did", function()
        local told = act "failing"
        assert.equal("nil", told.value)
        assert.equal("loader-error", told.problem.code)
        assert.equal(502, told.problem.status)
        assert.equal("Item", told.problem.model)
        assert.equal("loader-error: the loader of model `Item` failed", told.problem.text)
        local from = #gw:log()
        raises("asserted", "loader-error: the loader of model `Item` failed", at "asserted", "others.lua:9: no luck")
        local requests = {}
        for id in log_of(gw, from):gmatch '"request":"(%x+)"' do requests[#requests + 1] = id end
        assert.equal(2, #requests) -- both loads tell of the one request that began them
        assert.equal(requests[1], requests[2])
        assert.not_equal(("0"):rep(16), requests[1])
      end)

      it("tells of a key of another type", function()
        local told = act "wrong_type"
        assert.equal("key-type", told.problem.code)
        assert.equal("id", told.problem.path)
      end)

      it("raises at the line where a name is wrong", function()
        raises("misspelt", at "misspelt" .. ": model `Item`: `idd` is no key of `Item` (did you mean `id`?)")
        raises("no_key", at "no_key" .. ": model `Item`: key `id` of `Item` is missing")
        raises("no_field", at("no_field", 1) .. ": model `Item` has no key or field `pth` (did you mean `path`?)")
        raises("sets_key", at("sets_key", 1) .. ": model `Item`: key `id` cannot be changed")
        raises("saves_a_function", at "saves_a_function" .. ": Plain:save: `note.f`: a function is no JSON value")
      end)

      it("gets many in their order, with one batched read", function()
        for i = 1, 60 do
          if i % 3 ~= 0 then check.status(gw:put("/models/Plain", ('{"id":"m%d","n":%d}'):format(i, i)), 201) end
        end
        if store == "redis" then gw.redis:command("CONFIG", "RESETSTAT") end
        local out = act "many"
        if store == "redis" and not redis.is_cluster then -- that is asked for each record
          local stats = gw.redis:command("INFO", "commandstats")
          assert.equal("1", stats:match "cmdstat_mget:calls=(%d+)")
          local gets = tonumber(stats:match "cmdstat_get:calls=(%d+)" or 0)
          assert(gets <= 2, gets .. " GETs") -- that of the act's own record, and of its lease
        end
        assert.equal(60, #out)
        for i = 1, 60 do assert.equal(i % 3 == 0 and "missing" or i, out[i]) end
      end)

      it("loads what is missing of many, each once", function()
        local before = loads(gw, "Item", "ok")
        assert.same({ "/item/x", "missing", "/item/y", "/item/x" }, act "many_loaded")
        assert.equal(before + 2, loads(gw, "Item", "ok"))
        local told = act "many_failing"
        assert.equal("nil", told.value)
        assert.equal("loader-error", told.problem.code)
        assert.equal(0, act "many_of_none")
      end)

      it("saves", function()
        assert.same({ value = true }, act "saves")
        local read = check.status(gw:get "/models/Plain?id=saved", 200)
        assert.equal('{"id":"saved","n":7,"note":{"deep":[1,2.5,null,"\195\188"]}}', read.body)
        assert.equal(31536000, check.cache_control(read)["max-age"]) -- without an end: a year
      end)

      it("saves what it has read and changed", function()
        gw:put("/models/Plain?id=changed", '{"n":41,"note":"goes"}')
        assert.same({ value = true }, act "changes")
        assert.equal('{"id":"changed","n":42}', gw:get("/models/Plain?id=changed").body)
        assert.same({ value = true }, act "changes")
        assert.equal('{"id":"changed","n":43}', gw:get("/models/Plain?id=changed").body)
      end)

      it("saves for as long as it says", function()
        assert.same({ value = true }, act "saves_briefly")
        local life = check.cache_control(gw:get "/models/Plain?id=brief")["max-age"]
        assert(life <= 1, life)
        process.eventually("the record's end", 5, function() return gw:get("/models/Plain?id=brief").status == 404 end)
      end)

      it("tells why it does not save", function()
        local told = act "saves_wrongly"
        assert.equal("nil", told.value)
        assert.equal("field-type", told.problem.code)
        assert.equal("n", told.problem.path)
        assert.equal("Plain", told.problem.model)
        check.status(gw:get "/models/Plain?id=wrong", 404)
      end)

      it("deletes", function()
        for _, name in ipairs { "deletes", "invalidates" } do
          gw:put("/models/Plain?id=deleted", '{"n":1}')
          assert.same({ value = true }, act(name))
          check.status(gw:get "/models/Plain?id=deleted", 404)
        end
        assert.same({ value = true }, act "invalidates") -- what is not there is deleted
      end)

      it("lets no load wait for itself", function()
        local answer = check.document(gw:get "/models/Self?id=1")
        assert.equal("loader-error: loading this record of model `Self` leads back to itself", answer.v)
        local before = { A = loads(gw, "A", "loader-error"), B = loads(gw, "B", "loader-error") }
        local from = #gw:log()
        check.problem(gw:get "/models/A?id=1", 502, "loader-error")
        check.says(log_of(gw, from), "loading this record of model `A` leads back to itself")
        assert.equal(before.A + 1, loads(gw, "A", "loader-error"))
        assert.equal(before.B + 1, loads(gw, "B", "loader-error"))
        assert.equal(0, gw:metric("perigee_loads_total", { result = "loader-timeout", model = "A" }))
      end)

      it("lets no two loads wait for each other", function()
        local requests = {}
        for i = 1, 10 do
          requests[#requests + 1] = { "GET", "/models/East?id=" .. i }
          requests[#requests + 1] = { "GET", "/models/West?id=" .. i }
        end
        local refused = 0
        for _, answer in ipairs(http.all(gw.address, requests)) do
          local v = check.document(answer).v
          assert(v == "east" or v == "west" or v == "loader-error", v)
          if v == "loader-error" then refused = refused + 1 end
        end
        assert.equal(10, refused) -- one of each two
        assert.equal(0, gw:metric("perigee_loads_total", { result = "loader-timeout", model = "East" }))
        assert.equal(0, gw:metric("perigee_loads_total", { result = "loader-timeout", model = "West" }))
      end)

      it("lets loads lead to loads, to a depth", function()
        assert.equal(55, check.document(gw:get "/models/Deep?n=10").sum)
        assert.equal(1 + 120, check.document(gw:get "/models/Deep?n=15").sum + 1)
        check.problem(gw:get "/models/Deep?n=100", 502, "loader-error")
      end)

      it("loads once what a hundred loads ask for", function()
        local before, requests = loads(gw, "Item", "ok"), {}
        for i = 1, 100 do requests[i] = { "GET", "/models/Crowd?id=c" .. i } end
        for _, answer in ipairs(http.all(gw.address, requests)) do
          assert.equal("/item/shared", check.document(answer).path)
        end
        assert.equal(before + 1, loads(gw, "Item", "ok"))
        assert.equal(1, (source:asked "/item/shared"))
        assert.equal(100, loads(gw, "Crowd", "ok"))
      end)

      it("ends a handler at its deadline while it asks, and not the load it asked for", function()
        local answers = http.all(gw.address, { { "GET", "/models/Hurried?id=1" }, { "GET", "/models/Hurried?id=2" } })
        for _, answer in ipairs(answers) do check.problem(answer, 504, "loader-timeout") end
        assert.equal(1, (source:asked "/item/never"))
        assert.equal(1, gw:metric("perigee_loads_inflight", { model = "Item" }))
        check.says(gw:log(), "stopped after 200 ms, while it waited")
      end)

      it("serves its neighbours while a handler asks and asks", function()
        gw:put("/models/Plain?id=one", '{"n":1}')
        local answers = http.all(gw.address, { { "GET", "/models/Do?id=a_thousand" }, { "GET", "/models/Plain?id=one" } })
        assert.equal(1000, check.document(answers[1]).out)
        check.status(answers[2], 200)
      end)

      it("goes on with its own models after a reload", function()
        local client = http.connect(gw.address)
        client:send(http.format("GET", "/models/Do?id=waits_for_slow"))
        process.eventually("the slow item is asked for", 5, function() return source:asked "/item/slow" > 0 end)
        check.status(gw:admin("/admin/reload", "POST"), 200)
        check.status(gw:admin("/admin/reload", "POST"), 200)
        local answer = client:receive(false, 10)
        assert.equal("/item/slow", check.document(answer).out)
        client:close()
        assert.equal("/item/slow", act "waits_for_slow")
      end)
    end)
  end

  describe("the end of a gateway whose handlers ask, on " .. store, function()
    it("waits for their answers", function()
      local source = origin.start()
      local gw = gateway.start { models = models(source.url), store = store, beside = { source } }
      local slow, late = http.connect(gw.address), http.connect(gw.address)
      slow:send(http.format("GET", "/models/Do?id=waits_for_slow"))
      late:send(http.format("GET", "/models/Do?id=waits_and_saves"))
      process.eventually("the slow item is asked for", 5, function() return source:asked "/item/slow" > 0 end)
      gw:signal "TERM"
      assert.equal("/item/slow", check.document(slow:receive(false, 10)).out)
      assert.is_true(check.document(late:receive(false, 10)).out.value)
      gw:finish_stopped(gw.process:wait(15 * gateway.patience))
    end)

    it("ends them when its time is up", function()
      local source = origin.start()
      local gw = gateway.start { models = models(source.url), store = store, beside = { source }, args = { "--drain", "300ms" } }
      local clients = {}
      for i = 1, 3 do
        clients[i] = http.connect(gw.address)
        clients[i]:send(http.format("GET", i == 1 and "/models/Do?id=waits_for_slow" or "/models/Crowd?id=" .. i))
      end
      process.eventually("items are asked for", 5, function() return source:asked "/item/slow" > 0 and source:asked "/item/shared" > 0 end)
      clients[4] = http.connect(gw.address)
      clients[4]:send(http.format("GET", "/models/Hurried?id=9"))
      gw:finish_stopped(gw:stop())
      for _, client in ipairs(clients) do client:close() end
    end)
  end)
end
