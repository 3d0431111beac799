-- tests/e2e/records_in_handlers_spec.lua -- the records, forms and methods that handlers hold: what refers to others, what is packed, what is
-- called; read, changed, saved with all they hold, on both stores.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local redis = require "tests.support.redis"

-- `Do` runs the act that its key names and shows what that returns.
local acts = [[
local acts = {}
local function outcome(value, p)
  return { value = value == nil and "nil" or value, problem = p and { code = p.code, status = p.status, path = p.path, model = p.model, errors = p.errors } }
end

function acts.reads_levels()
  local u = assert(User.get{ id = "bob" })
  local names = {}
  for i, f in ipairs(u.friends) do names[i] = f.id .. f.workplace.city.name end
  return { u.workplace.name, u.workplace.city.mayor, table.concat(names, ","), tostring(u.mother), u.boss == null }
end
function acts.reads_no_level()
  local u = assert(User.get({ id = "bob" }, { depth = 0 }))
  local w = assert(Workplace.get(u.workplace))
  return { u.workplace.name, u.friends[1].id, w.phone }
end
function acts.reads_bare() local u = assert(User.get({ id = "bob" }, { depth = 0 }))
  return u.workplace.phone end
function acts.includes() local u = assert(User.get({ id = "bob" }, { include = "friends.workplace" }))
  return { u.friends[1].workplace.phone, (pcall(function() return u.workplace.phone end)) } end
function acts.includes_wrongly() local u = User.get({ id = "bob" }, { include = "wrkplace" }) end
function acts.lost() return outcome(User.get{ id = "lost" }) end
function acts.many()
  local list, out = {}, {}
  for i = 1, 20 do list[i] = { id = "u" .. i } end
  for i, u in ipairs(assert(User.get_many(list))) do out[i] = u == missing and "missing" or u.workplace.city.name end
  return out
end
function acts.sets_another_model() local u = assert(User.get{ id = "bob" })
  u.workplace = City{ name = "x" } end
function acts.saves_references()
  local w = assert(Workplace.get{ name = "acme" })
  return outcome(User{ id = "new", workplace = w, friends = { { id = "bob" }, assert(User.get{ id = "ann" }) }, mother = null }:save())
end
function acts.saves_unsaved() local u = User{ id = "u", workplace = Workplace{ name = "fresh", phone = "1" } }
  return outcome(u:save()) end
function acts.cascades()
  local u = User{ id = "whole", workplace = Workplace{ name = "fresh", phone = "2", city = City{ name = "rome", mayor = "m" } } }
  return outcome(u:save{ cascade = true })
end
function acts.saves_twice()
  local w = Workplace{ name = "twice", phone = "1" }
  local u = User{ id = "twice", workplace = w }
  return { outcome(w:save()).value, outcome(u:save()).value }
end
function acts.packs()
  local p = Packed{ id = "p", v = { [1] = true, [2.5] = "x", set = { [true] = 1 }, list = { 1, 2, 3 } } }
  return outcome(p:save())
end
function acts.unpacks()
  local v = assert(Packed.get{ id = "p" }).v
  return { v[1], v[2.5], v.set[true], #v.list }
end
function acts.repacks()
  local p = assert(Packed.get{ id = "p" })
  p.note = "touched"
  assert(p:save())
  return assert(Packed.get{ id = "p" }).v[2.5]
end

function acts.refused() return outcome(Strict{ id = "s", email = "nothing" }:save()) end
function acts.accepted() return outcome(Strict{ id = "s", email = "a@b" }:save()) end
function acts.refused_by_another() return outcome(Strict{ id = "asks", email = "a@b" }:save()) end
function acts.broken_validate() return outcome(Strict{ id = "raises", email = "a@b" }:save()) end

function acts.calls()
  local h = Home{ address = "here" }
  return { h:geocode{ precision = 2 }, h:geocode(), h:geocode{ precision = 5 }, h:nothing() == null }
end
function acts.forgets()
  local h = Home{ address = "forget" }
  return { h:count(), h:count(), outcome(h:forget "count").value, h:count(), outcome(h:forget("geocode", { precision = 9 })).value }
end
function acts.call_fails() return outcome(Home{ address = "here" }:fails()) end
function acts.call_misses() return outcome(Home{ address = "here" }:misses()) end
function acts.call_needs_a_record() return outcome(Home{ address = "here" }:by_zone()) end
function acts.call_by_record() return outcome(assert(Home.get{ address = "zoned" }):by_zone()) end
function acts.call_of_itself() return outcome(Home{ address = "here" }:itself()) end
function acts.calls_wrongly() local r = Home{ address = "here" }:geocode{ precisoin = 2 } end
function acts.calls_nobody() local r = Home{ address = "here" }:geocde() end
function acts.forgets_nobody() local r = Home{ address = "here" }:forget "geocde" end
function acts.argument_of_another_type() return outcome(Home{ address = "here" }:geocode{ precision = "x" }) end

function acts.looks_up() return outcome(Lookup{ name = "BOB" }:friends{ most = 1 }) end
function acts.looks_up_again() return outcome(Lookup{ name = "bob" }:friends{ most = 1 }) end
function acts.form_faults() return outcome(Lookup{ age = "old" }:friends{ most = 1 }) end
function acts.form_without_that_input() local r = Lookup{ nam = "x" } end

model "Do" { id = key(), out = field(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self, ctx) self.out = acts[self.id](self) ctx.expires = 0 end }
]]

local others = [[
model "City" { name = key(), mayor = field() }
model "Workplace" { name = key(), phone = field(), city = reference "City" }
model "User" { id = key(), workplace = reference "Workplace", boss = reference{ "self", missing = "null" },
  mother = reference "self", friends = references{ "self", missing = "skip" }, options = { depth = 4 } }
model "Packed" { id = key(), v = packed(), note = field() }
model "Strict" { id = key(), email = field(),
  options = { validate = function(self)
    if self.id == "raises" then error "broken" end
    if self.id == "slow" then sleep(2) end
    if self.id == "nap" then sleep(0.3) end
    if self.id == "asks" and not City.get{ name = "atlantis" } then return "id", "there is no such city" end
    if not self.email:find "@" then return "email", "not an address" end
  end } }
model "SlowSave" { id = key(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self) assert(Strict{ id = "slow", email = "a@b" }:save()) end }
model "Team" { id = key(), lead = reference "User", size = field(), options = { expires = 300, hard_timeout = 5 },
  from_miss = function(self)
    local lead = assert(User.get{ id = self.id })
    self.lead, self.size = lead, #lead.friends
  end }
model "Hurried" { id = key(), options = { expires = 300, hard_timeout = 0.1 },
  from_miss = function(self)
    if self.id == "call" then assert(Home{ address = "slow" }:slow()) end
    if self.id == "form" then assert(Sleepy{ name = "x" }:rest()) end
    if self.id == "save" then assert(Strict{ id = "nap", email = "a@b" }:save()) end
  end }
form "Sleepy" { name = input{ clean = function(v) sleep(0.3) return v end },
  rest = cached_form_method{ expires = "1h", function() return 1 end } }
local counts = {}
model "Home" { address = key(), zone = field{ type = "string" },
  geocode = cached_method{ on = { "address" }, args = { precision = arg{ type = "integer", default = 5 } }, expires = "1h",
    function(self, args) return self.address .. "/" .. args.precision end },
  nothing = cached_method{ expires = "1h", function() return nil end },
  count = cached_method{ expires = "1h", function(self)
    counts[self.address] = (counts[self.address] or 0) + 1
    return counts[self.address]
  end },
  slow = cached_method{ expires = "1h", function() sleep(0.3) return 1 end },
  fails = cached_method{ expires = "1h", function() error "no luck" end },
  misses = cached_method{ expires = "1h", function() return missing end },
  by_zone = cached_method{ on = { "zone" }, expires = "1h", function(self) return "zone " .. self.zone end },
  itself = cached_method{ expires = "1h", function(self) return (assert(Home{ address = self.address }:itself())) end },
}
form "Lookup" {
  name = input{ required = true, clean = function(v) return v:lower() end }, age = input{ type = "integer" },
  friends = cached_form_method{ expires = "15m", args = { most = arg{ type = "integer" } },
    function(self, args)
      local u = assert(User.get{ id = self.cleaned_data.name })
      return { u.friends[args.most].id, self.cleaned_data.name }
    end },
}
]]

local function line_of(name, below)
  local line = 1
  for row in acts:gmatch "([^\n]*)\n" do
    if row:find("function acts." .. name .. "(", 1, true) then return ("acts.lua:%d"):format(line + (below or 0)) end
    line = line + 1
  end
end

local function fill(gw)
  local function put(target, body) check.status(gw:put("/models/" .. target, body), 201) end
  put("City", '{"name":"oslo","mayor":"anna"}')
  put("Workplace", '{"name":"acme","phone":"555","city":{"name":"oslo"}}')
  put("User", '{"id":"ann","workplace":{"name":"acme"}}')
  put("User", '{"id":"bob","workplace":{"name":"acme"},"boss":null,"friends":[{"id":"ann"},{"id":"gone"}]}')
  put("User", '{"id":"lost","workplace":{"name":"nowhere"}}')
  put("Home", '{"address":"zoned","zone":"A"}')
  for i = 1, 20 do put("User", ('{"id":"u%d","workplace":{"name":"acme"}}'):format(i)) end
end

for _, store in ipairs { "memory", "redis" } do
  describe("records in handlers on " .. store, function()
    local gw
    setup(function()
      gw = gateway.start { models = { acts = acts, others = others }, store = store }
      fill(gw)
    end)
    teardown(function() gw:finish() end)

    local function act(name) return check.document(gw:get("/models/Do?id=" .. name)).out end

    local function raises(name, words)
      local from = #gw:log()
      check.problem(gw:get("/models/Do?id=" .. name), 502, "loader-error")
      check.says(gw:log():sub(from + 1), words)
    end

    it("are read through their references, as deep as was asked", function()
      assert.same({ "acme", "anna", "annoslo", "nil", true }, act "reads_levels")
      assert.same({ "acme", "ann", "555" }, act "reads_no_level")
      raises("reads_bare", line_of("reads_bare", 1) .. ": only the keys of this `Workplace` are known, not `phone`: get it first")
      assert.same({ "555", false }, act "includes")
      raises("includes_wrongly", line_of "includes_wrongly" .. ": User.get: model `User` has no field `wrkplace` (did you mean `workplace`?)")
    end)

    it("are missing where what they need is missing, which is named", function()
      assert.same({ value = "nil", problem = { code = "missing", status = 404, path = "workplace", model = "User" } }, act "lost")
    end)

    it("are read by level, many at once", function()
      if store == "redis" then gw.redis:command("CONFIG", "RESETSTAT") end
      local out = act "many"
      assert.equal(20, #out)
      for i = 1, 20 do assert.equal("oslo", out[i]) end
      if store == "redis" and not redis.is_cluster then -- that is asked for each record
        local stats = gw.redis:command("INFO", "commandstats")
        assert.equal("1", stats:match "cmdstat_mget:calls=(%d+)") -- the users
        local gets = tonumber(stats:match "cmdstat_get:calls=(%d+)")
        assert(gets <= 4, gets .. " GETs") -- the act itself and its lease; the one workplace, the one city, unless they are near
      end
    end)

    it("refer to records of the right model only", function()
      raises("sets_another_model", line_of("sets_another_model", 1) .. ": model `User`: reference `workplace` refers to `Workplace`, not to `City`")
    end)

    it("are saved with the keys of what they refer to", function()
      assert.same({ value = true }, act "saves_references")
      assert.equal('{"id":"new","workplace":{"name":"acme","$ref":"/models/Workplace?name=acme"},"mother":null,'
        .. '"friends":[{"id":"bob","$ref":"/models/User?id=bob"},{"id":"ann","$ref":"/models/User?id=ann"}]}',
        gw:get("/models/User?id=new&_depth=0").body)
      assert.same({ true, true }, act "saves_twice")
    end)

    it("lose nothing that they hold unsaved", function()
      raises("saves_unsaved", line_of("saves_unsaved", 1) .. ": model `User`: `workplace` holds a `Workplace` that is not saved")
      check.status(gw:get "/models/User?id=u", 404)
      assert.same({ value = true }, act "cascades")
      assert.equal('{"id":"whole","workplace":{"name":"fresh","phone":"2","city":{"name":"rome","mayor":"m"}}}',
        gw:get("/models/User?id=whole").body)
      check.status(gw:get "/models/City?name=rome", 200)
    end)

    it("of a loader refer to what it got", function()
      assert.equal(1, check.document(gw:get "/models/Team?id=bob").size)
      assert.equal('{"id":"bob","lead":{"id":"bob","$ref":"/models/User?id=bob"},"size":1}', gw:get("/models/Team?id=bob&_depth=0").body)
      check.problem(gw:get "/models/Team?id=lost", 502, "loader-error")
    end)

    it("keep any value packed", function()
      assert.same({ value = true }, act "packs")
      assert.same({ true, "x", 1, 3 }, act "unpacks")
      assert.equal("x", act "repacks")
      assert.equal("touched", check.document(gw:get "/models/Packed?id=p").note)
    end)

    it("are judged by their models before they are saved", function()
      assert.same({ code = "field-type", status = 422, path = "email", model = "Strict" }, act("refused").problem)
      assert.same({ code = "field-type", status = 422, path = "id", model = "Strict" }, act("refused_by_another").problem)
      assert.equal("loader-error", act("broken_validate").problem.code)
      check.status(gw:get "/models/Strict?id=s", 404)
      assert.same({ value = true }, act "accepted")
      check.status(gw:get "/models/Strict?id=s", 200)
    end)

    it("have methods whose results are kept", function()
      assert.same({ "here/2", "here/5", "here/5", true }, act "calls")
      assert.equal('"here/2"', gw:get("/models/Home/geocode?address=here&precision=2").body)
      assert.is_true(check.cache_status(gw:get "/models/Home/geocode?address=here&precision=2").hit)
      assert.same({ 1, 1, true, 2, true }, act "forgets")
      assert.equal("2", gw:get("/models/Home/count?address=forget").body)
    end)

    it("tell why a method has no result", function()
      assert.same({ code = "loader-error", status = 502, model = "Home.fails" }, act("call_fails").problem)
      assert.same({ code = "missing", status = 404, model = "Home.misses" }, act("call_misses").problem)
      assert.equal("missing", act("call_needs_a_record").problem.code)
      assert.same({ value = "zone A" }, act "call_by_record")
      assert.equal("loader-error", act("call_of_itself").problem.code)
      assert.equal("key-type", act("argument_of_another_type").problem.code)
    end)

    it("raise at the line where a method is called wrongly", function()
      raises("calls_wrongly", line_of "calls_wrongly" .. ": Home:geocode: ")
      raises("calls_wrongly", "`precisoin` (did you mean `precision`?)")
      raises("calls_nobody", line_of "calls_nobody" .. ": model `Home` has no key or field `geocde` (did you mean `geocode`?)")
      raises("forgets_nobody", line_of "forgets_nobody" .. ": model `Home` has no")
    end)

    it("can be forms, whose inputs are cleaned", function()
      local before = gw:metric("perigee_loads_total", { model = "Lookup.friends" })
      assert.same({ value = { "ann", "bob" } }, act "looks_up")
      assert.same({ value = { "ann", "bob" } }, act "looks_up_again")
      assert.equal(before + 1, gw:metric("perigee_loads_total", { model = "Lookup.friends" }))
      local problem = act("form_faults").problem
      assert.equal("form-invalid", problem.code)
      assert.same({ name = { "This field is required." }, age = { "Enter a whole number." } }, problem.errors)
      raises("form_without_that_input", line_of "form_without_that_input" .. ": form `Lookup` has no input or method `nam` (did you mean `name`?)")
    end)
  end)

  describe("what handlers began that were ended at their deadline, on " .. store, function()
    it("a call and a save come to their end, the cleaning of a form does not", function()
      local gw = gateway.start { models = { acts = acts, others = others }, store = store }
      for _, answer in ipairs(http.all(gw.address, { { "GET", "/models/Hurried?id=call" }, { "GET", "/models/Hurried?id=form" }, { "GET", "/models/Hurried?id=save" } })) do
        check.problem(answer, 504, "loader-timeout")
      end
      process.eventually("the method's result", 5, function()
        return gw:metric("perigee_loads_total", { model = "Home.slow", result = "ok" }) == 1
      end)
      assert.is_true(check.cache_status(gw:get "/models/Home/slow?address=slow").hit)
      process.eventually("the saved record", 5, function() return gw:get("/models/Strict?id=nap").status == 200 end)
      assert.equal(0, gw:metric("perigee_loads_total", { model = "Sleepy.rest" }))
      gw:finish()
    end)
  end)

  describe("a save that its handler does not live to see, on " .. store, function()
    it("ends with the gateway", function()
      local gw = gateway.start { models = { acts = acts, others = others }, store = store, args = { "--drain", "300ms" } }
      local client = http.connect(gw.address)
      client:send(http.format("GET", "/models/SlowSave?id=1"))
      process.eventually("the save is under way", 5, function()
        return gw:metric("perigee_loads_inflight", { model = "SlowSave" }) == 1
      end)
      gw:finish_stopped(gw:stop())
      client:close()
    end)
  end)
end
