-- tests/e2e/lua_spec.lua -- handlers are strangers' code: they reach nothing they should not, hold up nobody, and whatever they raise
-- is one failed load and no more.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local cjson = require "cjson"
local socket = require "socket"

-- A model whose loader evaluates expressions and tells the type, value or error of each.
local function probe(expressions)
  local functions = {}
  for i, expression in ipairs(expressions) do functions[i] = ("function() return %s end,"):format(expression) end
  return ([[
local probes = { %s }
model "Probe" { id = key(), found = field(), from_miss = function(self)
  local found = {}
  for i = 1, #probes do
    local ok, value = pcall(probes[i])
    if not ok then found[i] = "error" elseif value == nil then found[i] = "nil" else found[i] = type(value) end
  end
  self.found = found
end }
]]):format(table.concat(functions, "\n"))
end

local function found_by(expressions)
  local gw = gateway.start { models = probe(expressions) }
  local found = check.document(gw:get "/models/Probe?id=1").found
  gw:finish()
  local by_name = {}
  for i, expression in ipairs(expressions) do by_name[expression] = found[i] end
  return by_name
end

describe("the sandbox", function()
  it("has no way out", function()
    local forbidden = {
      "io", "package", "debug", "jit", "ffi", "load", "loadstring", "loadfile", "dofile", "module", "getfenv", "setfenv", "newproxy",
      "string.dump", "os.execute", "os.exit", "os.getenv", "os.remove", "os.rename", "os.tmpname", "os.setlocale", "io.open", "debug.getregistry", "package.loadlib", "jit.off", "bit.ffi", "rawset", "collectgarbage", "gcinfo",
      [[require "ffi"]], [[require "jit"]], [[require "os"]], [[require "io"]], [[require "debug"]], [[require "package"]], [[require "socket"]],
      [[require "lfs"]], [[require "jit.util"]], [[require "string.buffer"]], [[require "table.new"]], [[require "../models"]],
      [[require "/etc/passwd"]], [[require "..secret"]],
    }
    for name, found in pairs(found_by(forbidden)) do
      assert(found == "nil" or found == "error", name .. " is " .. found)
    end
  end)

  it("has what handlers need", function()
    local wanted = {
      ["string.format"] = "function", ["table.concat"] = "function", ["math.floor"] = "function", pcall = "function", error = "function",
      pairs = "function", ipairs = "function", tostring = "function", tonumber = "function", type = "function", select = "function",
      setmetatable = "function", [ [[(require "cjson").encode]] ] = "function", sleep = "function",
      ["http.get"] = "function", [ [[("x"):rep(3)]] ] = "string", null = "userdata", [ [[require "perigee"]] ] = "table",
      [ [[(require "cjson").null == null]] ] = "boolean", ["next({1})"] = "number", ["unpack({1})"] = "number",
    }
    local names = {}
    for name in pairs(wanted) do names[#names + 1] = name end
    assert.same(wanted, found_by(names))
  end)

  it("stops the collector for nobody", function()
    local found = found_by { [[collectgarbage "stop"]], [[collectgarbage("setpause", 100000)]] }
    for name, kind in pairs(found) do assert(kind == "nil" or kind == "error", name .. " is " .. kind) end
  end)

  it("takes no bytecode and no strings to compile", function()
    local folder = process.temp()
    process.write(folder .. "/evil.lua", string.dump(loadstring 'model "Evil" { id = key() }'))
    local code, out = gateway.run { "check", folder }
    assert.equal(1, code)
    check.says(out, "evil.lua", "attempt to load chunk with wrong mode")
    process.remove(folder)
  end)

  it("keeps models apart", function()
    local attacks = {
      [[getmetatable("").__index.evil = "seen"]], [[string.evil = "seen"]], [[rawset(string, "evil", "seen")]], [[_G.evil = "seen"]],
      [[evil = "seen"]], [[rawset(_G, "evil", "seen")]], [[table.insert = nil]], [[rawset(table, "concat", nil)]], [[math.floor = nil]],
      [[require("cjson").encode = nil]], [[rawset(require "cjson", "encode", nil)]], [[require("perigee").evil = "seen"]],
      [[http.get = nil]], [[rawset(http, "get", nil)]], [[pcall = nil]], [[_G.pairs = nil]], [[getmetatable(null).evil = "seen"]],
      [[setmetatable(_G, { __index = function() return "seen" end })]], [[setmetatable(string, { __index = function() return "seen" end })]],
      [[getmetatable(_G).__index.evil = "seen"]], [[getmetatable(_G).__index.tostring = nil]], [[getmetatable(self).__index.evil = "seen"]],
      [[getmetatable(self).__newindex = nil]], [[coroutine.wrap = nil]], [[getmetatable("").__index = nil]], [[getmetatable("").__len = function() return 0 end]],
      [[Victim.get = nil]], [[rawset(Victim, "evil", "seen")]],
    }
    local lines = {}
    for i, attack in ipairs(attacks) do lines[i] = ("pcall(function() %s end)"):format(attack) end
    local gw = gateway.start { models = {
      a_attacker = ('model "Attacker" { id = key(), done = field(), from_miss = function(self) %s self.done = true end }'):format(
        table.concat(lines, "\n")),
      b_victim = [[
model "Victim" { id = key(), seen = field(), from_miss = function(self)
  local seen = {}
  local function look(name, f)
    local ok, value = pcall(f)
    seen[#seen + 1] = name .. "=" .. (ok and tostring(value) or "error")
  end
  look("evil", function() return evil end)
  look("string.evil", function() return string.evil end)
  look("method", function() return (("x").evil) end)
  look("other", function() return string.other end)
  look("cjson", function() return require("cjson").encode { 1 } end)
  look("perigee", function() return require("perigee").evil end)
  look("insert", function() local t = {} table.insert(t, 1) return #t end)
  look("concat", function() return table.concat { "a", "b" } end)
  look("floor", function() return math.floor(1.5) end)
  look("pairs", function() return next { 1 } end)
  look("get", function() return type(http.get) end)
  look("length", function() return #"four" end)
  look("rep", function() return ("x"):rep(2) end)
  look("self", function() return self.evil end)
  self.seen = seen
end }]],
    } }
    local function look(id)
      local seen = check.document(gw:get("/models/Victim?id=" .. id)).seen
      return table.concat(seen, " ")
    end
    local before = look "before"
    assert.is_nil(before:find("seen", 1, true))
    check.says(before, "insert=1", "concat=ab", "floor=1", "get=function", "length=4", "rep=xx", 'cjson=[1]')
    assert.is_true(check.document(gw:get "/models/Attacker?id=1").done)
    assert.equal(before, look "after")
    gw:finish()
  end)
end)

describe("a handler's end", function()
  local models = [[
local function loader(f) return function(self) f(self) self.v = "survived" end end
local quick = { expires = 300, hard_timeout = 0.4 }
local cyclic = {}
cyclic.self = cyclic

model "Fast" { id = key(), v = field(), options = quick, from_miss = loader(function() end) }
model "Raise" { id = key(), v = field(), options = quick, from_miss = function(self)
  local raise = {
    none = function() error(nil) end,
    text = function() error "text" end,
    number = function() error(42) end,
    boolean = function() error(false) end,
    table = function() error { code = 42 } end,
    cyclic = function() error(cyclic) end,
    long = function() error(("x"):rep(1024 * 1024)) end,
    binary = function() error "\0\255\r\n\27[31m" end,
    tostring = function() error(setmetatable({}, { __tostring = function() return "polite" end })) end,
    tostring_raises = function() error(setmetatable({}, { __tostring = function() error "rude" end })) end,
    tostring_wrong = function() error(setmetatable({}, { __tostring = function() return 42 end })) end,
    tostring_waits = function() error(setmetatable({}, { __tostring = function() sleep(1) return "x" end })) end,
    tostring_spins = function() error(setmetatable({}, { __tostring = function() while true do end end })) end,
    null = function() error(null) end,
    func = function() error(error) end,
    thread = function() error(coroutine.create(function() end)) end,
    arithmetic = function() return 1 + {} end,
    index = function() return self.nothing.at.all end,
    call = function() undefined_function() end,
    recursion = function() local function f() return 1 + f() end f() end,
    coroutine = function() coroutine.wrap(function() error "inside" end)() end,
    yield = function() coroutine.yield(1) end,
    yield_inside = function() coroutine.wrap(function() sleep(0.01) end)() end,
    rep = function() local s = ("x"):rep(2 ^ 31) error(#s) end,
    memory = function() local t = {} for i = 1, 1e8 do t[i] = { i } end end,
    concat = function() local s = "x" while true do s = s .. s end end,
    returns = function() return end,
    closes = function() setmetatable({}, { __gc = function() error "gc" end }) error "x" end,
  }
  raise[self.id]()
  self.v = "returned"
end }
model "Spin" { id = key(), v = field(), options = quick, from_miss = loader(function(self)
  local spin = {
    loop = function() while true do end end,
    swallow = function() while true do pcall(function() while true do end end) end end,
    recurse = function() local function f() pcall(f) return f() end while true do pcall(f) end end,
    coroutine = function() while true do pcall(function() coroutine.wrap(function() while true do end end)() end) end end,
    handler = function() while true do xpcall(function() while true do end end, function() while true do end end) end end,
    sort = function() table.sort({ 3, 2, 1 }, function() while true do end end) end,
    gsub = function() ("x"):gsub("x", function() while true do end end) end,
    gsub_table = function() ("x"):gsub("x", setmetatable({}, { __index = function() while true do end end })) end,
    format = function() return ("%s"):format(setmetatable({}, { __tostring = function() while true do end end })) end,
    tostring_meta = function() return tostring(setmetatable({}, { __tostring = function() while true do end end })) end,
    meta = function() return setmetatable({}, { __index = function() while true do end end }).x end,
    sleeping = function() while true do pcall(sleep, 0.01) end end,
    long_sleep = function() while true do pcall(sleep, 30) end end,
    goto_loop = function() ::again:: goto again end,
    numeric = function() for i = 1, 1e15 do end end,
    tostring = function() while true do tostring(1) end end,
  }
  spin[self.id]()
end) }
]]

  for _, workers in ipairs { 1, 2 } do
    describe(("on %d worker(s)"):format(workers), function()
      local gw
      setup(function() gw = gateway.start { models = models, workers = workers } end)
      teardown(function() gw:finish() end)

      it("whatever it raises, is 502 and a short line in the log", function()
        for _, id in ipairs {
          "none", "text", "number", "boolean", "table", "cyclic", "long", "binary", "tostring", "tostring_raises", "tostring_wrong", "null",
          "func", "thread", "arithmetic", "index", "call", "recursion", "coroutine", "yield", "yield_inside", "closes",
        } do
          local problem = check.problem(gw:get("/models/Raise?id=" .. id), 502, "loader-error")
          assert.equal("Raise", problem.model)
        end
        for line in gw:log():gmatch "[^\n]+" do assert(#line <= 2048, "a line of " .. #line .. " bytes") end
        check.status(gw:get "/models/Fast?id=raised", 200)
      end)

      it("that waits or spins while it is turned to text, ends too", function()
        for _, id in ipairs(gateway.holds_signals and { "tostring_waits" } or { "tostring_waits", "tostring_spins" }) do
          local response = gw:get("/models/Raise?id=" .. id)
          assert(response.status == 502 or response.status == 504, response.status)
        end
      end)

      it("that wants all memory, gets none and hurts nobody", function()
        for _, id in ipairs { "rep", "memory", "concat" } do
          local response = gw:get("/models/Raise?id=" .. id)
          assert(response.status == 502 or response.status == 504, id .. " " .. response.status)
          check.status(gw:get("/models/Fast?id=after-" .. id), 200)
        end
      end)

      it("a return without values is a record with its keys", function()
        assert.equal('{"id":"returns","v":"returned"}', check.status(gw:get "/models/Raise?id=returns", 200).body)
      end)

      for _, id in ipairs {
        "loop", "swallow", "recurse", "coroutine", "handler", "sort", "gsub", "gsub_table", "format", "tostring_meta", "meta", "sleeping", "long_sleep", "goto_loop", "numeric", "tostring",
      } do
        it("at its deadline, while others are served: " .. id, function()
          if gateway.holds_signals then return pending "the watchdog's signal does not come through" end
          local spinning = http.connect(gw.address)
          local start = socket.gettime()
          spinning:send(http.format("GET", "/models/Spin?id=" .. id))
          local served, slowest, number = 0, 0, 0
          local other = http.connect(gw.address)
          repeat
            local asked = socket.gettime()
            number = number + 1
            check.status(other:request("GET", ("/models/Fast?id=%s%d"):format(id, number)), 200)
            if not spinning:pull(0) then
              served = served + 1
              slowest = math.max(slowest, socket.gettime() - asked)
            end
          until #spinning.buffer > 0 or socket.gettime() - start > 5
          local took = socket.gettime() - start
          check.problem(spinning:receive(), 504, "loader-timeout")
          assert(took >= 0.38 and took < 0.4 + 0.3 * gateway.patience, ("ended after %.3fs"):format(took))
          assert(served * gateway.patience >= 5, served .. " served meanwhile")
          assert(slowest < 0.3, ("the slowest took %.3fs"):format(slowest)) -- less than the spinning lasts, on the slowest machine too
          spinning:close()
          other:close()
        end)
      end

      it("ten of them at once, and others are still served", function()
        if gateway.holds_signals then return pending "the watchdog's signal does not come through" end
        local spinning = {}
        for i = 1, 10 do
          spinning[i] = http.connect(gw.address)
          spinning[i]:send(http.format("GET", "/models/Spin?id=loop"))
        end
        for i = 1, 10 do check.status(gw:get("/models/Fast?id=ten" .. i), 200) end
        for i = 1, 10 do
          check.problem(spinning[i]:receive(), 504, "loader-timeout")
          spinning[i]:close()
        end
      end)
    end)
  end
end)

describe("a slow pattern", function()
  it("is bounded", function()
    local gw = gateway.start { models = [[
model "Pattern" { id = key(), v = field(), options = { hard_timeout = 0.5 },
  from_miss = function(self) self.v = ("a"):rep(20000):find(".-.-.-b") or false end }]] }
    local start = socket.gettime()
    local response = gw:get "/models/Pattern?id=1"
    assert(response.status == 200 or response.status == 502 or response.status == 504, response.status)
    assert(socket.gettime() - start < 1.5 * gateway.patience, "took " .. socket.gettime() - start)
    gw:finish()
  end)
end)

describe("values in a handler", function()
  local gw
  setup(function()
    gw = gateway.start { models = [[
model "Echo" { id = key(), i = key{ type = "integer", default = 1 }, text = field(), kind = field(), v = field(), big = field(),
  from_miss = function(self)
    local cjson = require "cjson"
    self.kind = type(self.i)
    self.v = ({ null = null, empty_object = {}, list = { 1, 2, 3 }, nested = { a = { b = { 1, { c = null } } } }, empty_array = array {},
      number = 0.1, whole = 3, huge = 1e300, negative_zero = -0.0, utf8 = "\195\169", control = "\0\1\31", yes = true, no = false })[self.id]
    self.big = self.i
    self.text = tostring(self.i)
  end }]] }
  end)
  teardown(function() gw:finish() end)

  it("are JSON as one would write it", function()
    for id, text in pairs {
      null = "null", empty_object = "{}", list = "[1,2,3]", nested = [[{"a":{"b":[1,{"c":null}]}}]], empty_array = "[]", number = "0.1", whole = "3",
      utf8 = '"\195\169"', control = [["\u0000\u0001\u001f"]], yes = "true", no = "false",
    } do
      assert.equal(text, check.status(gw:get("/models/Echo?id=" .. id), 200).body:match '"v":(.*),"big"')
    end
    assert.equal(1e300, cjson.decode(gw:get("/models/Echo?id=huge").body).v)
  end)

  it("keep integers of 64 bits", function()
    for _, i in ipairs { "9007199254740993", "-9223372036854775808", "9223372036854775807", "0", "-1" } do
      local body = check.status(gw:get("/models/Echo?id=x&i=" .. i), 200).body
      assert.equal(i, body:match '"big":([^,}]*)')
      assert.equal(i, body:match '"i":([^,}]*)')
    end
  end)
end)

describe("require", function()
  it("finds modules of the schema folder, and only those", function()
    local gw = gateway.start { models = {
      helper = [[return { twice = function(x) return 2 * x end }]],
      user = [[
local helper = require "helper"
model "Twice" { n = key{ type = "integer" }, v = field(), from_miss = function(self) self.v = helper.twice(tonumber(self.n)) end }]],
    } }
    assert.equal('{"n":21,"v":42}', check.status(gw:get "/models/Twice?n=21", 200).body)
    gw:finish()
  end)
end)
