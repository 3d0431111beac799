-- tests/e2e/testing_spec.lua -- `perigee test`: what people's specs can see and do (in specs that it runs), and how it ends.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local process = require "tests.support.process"

local models = [[
model "User" {
  username = key(),
  email = field{ type = "string", required = true },
  team = reference{ "Team", missing = "null" },
  friends = references{ "self", missing = "skip" },
  options = {
    expires = "15m", negative = "5s", stale_if_error = "1h", version = 1,
    tags = function(self) return { "mail:" .. self.email:match "@(.*)" } end,
  },
  from_miss = function(self)
    local r = http.get("https://users.internal/" .. self.username .. "?full=1", { timeout = 1, headers = { ["X-Who"] = "perigee" } })
    if r.status == 404 then return missing end
    local row = r:json()
    self.email, self.friends = row.email, array {}
    self.team = row.team and Team{ name = row.team }
  end,
  greeting = cached_method{
    on = { "email" }, args = { language = arg{ default = "en" } },
    function(self, args)
      return http.post("http://texts.internal/greet", { json = { to = self.email, language = args.language } }).body
    end,
  },
}

model "Team" { name = key(), size = field{ type = "integer" }, place = field{ type = "string" } }

model "Setting" {
  name = key(), value = field(), options = { expires = "1m" },
  from_miss = function(self) self.value = env(self.name, "unset") end,
}
local at_load = env("AT_LOAD", "ok")
if at_load ~= "ok" then error("AT_LOAD says " .. at_load) end

form "Search" {
  text = input{ required = true, clean = function(v) return v:lower() end },
  find = cached_form_method{ function(self) return { self.cleaned_data.text } end },
}
]]

-- Runs a text as the only spec of these models: exit code, what it printed.
local function run(spec, options)
  options = options or {}
  local folder = process.temp()
  gateway.write_models(folder .. "/models", { service = options.models or models, service_spec = spec })
  local words = { "test" }
  for _, word in ipairs(options.words or { "models" }) do words[#words + 1] = word end
  local code, out, err = gateway.run(words, { cwd = folder, env = options.env, seconds = 60 })
  process.remove(folder)
  return code, out .. err
end

local HEAD = 'local testing = require "perigee.testing"\nlocal User, Team = testing.model "User", testing.model "Team"\n'

-- The specs in `text` pass.
local function passes(text, options)
  local code, said = run(HEAD .. text, options)
  assert(code == 0, said)
end

-- They do not, and the words in `wanted` are said.
local function fails(text, wanted, options)
  local code, said = run(HEAD .. text, options)
  assert(code == 1, said)
  for _, words in ipairs(wanted) do check.says(said, words) end
end

describe("perigee test", function()
  it("runs the specs of the example models", function()
    local code, out, err = gateway.run({ "test", "schemas" }, { seconds = 60 })
    assert(code == 0, out .. err)
    assert.truthy(out:find "\n%d%d successes / 0 failures / 0 errors / 0 pending")
  end)

  it("lets them ask as handlers and clients do", function()
    passes [[
      before_each(function()
        testing.http("https://users.internal/bob", { json = { email = "bob@example.org", team = "red" } })
        testing.http("GET https://users.internal/*", { status = 404 })
        testing.http("https://users.internal/bob", { json = { email = "bob@example.org", team = "red" } })
      end)

      it("reads a record, once loaded", function()
        Team.save{ name = "red", size = 2 }
        local bob, answer = User.get{ username = "bob" }
        assert.same({ username = "bob", email = "bob@example.org", team = { name = "red", size = 2 }, friends = {} }, bob)
        assert.equal(200, answer.status)
        assert.is_true(answer.cache.stored)
        local again, hit = User.get{ username = "bob" }
        assert.same(bob, again)
        assert.is_true(hit.cache.hit)
        assert.equal("memory", hit.cache.detail)
        assert.equal(1, testing.loads "User")
        assert.equal(1, #testing.asked "https://users.internal/bob")
        local request = testing.asked()[1]
        assert.equal("GET", request.method)
        assert.equal("https://users.internal/bob?full=1", request.url)
        assert.equal("perigee", request.headers["x-who"])
        assert.equal("perigee", request.headers["X-Who"])
        assert.same({ name = "red", ["$ref"] = "/models/Team?name=red" }, User.stored{ username = "bob" }.team)
        assert.same({ email = "bob@example.org" }, (User.get({ username = "bob" }, { fields = { "email" } })))
        assert.is_string(User.get({ username = "bob" }, { depth = 0 }).team["$ref"])
        User.get({ username = "bob" }, { fresh = true })
        assert.equal(2, testing.loads "User")
      end)

      it("is told of problems", function()
        local problem = assert.problem("missing", User.get{ username = "erin" })
        assert.equal(404, problem.status)
        assert.equal("User", problem.model)
        assert.truthy(tostring(problem):find "^missing: ")
        assert.problem("missing", User.stored{ username = "erin" }) -- it is remembered
        assert.problem("not-cached", User.stored{ username = "zoe" })
        assert.problem("key-required", User.get{})
        assert.problem("unknown-model", testing.model "Usr".get{ username = "bob" })
        assert.problem("field-type", User.save{ username = "x", email = 1 })
        assert.not_problem("missing", User.get{ username = "bob" })
      end)

      it("writes", function()
        assert(User.save({ username = "eve", email = "eve@example.org", friends = testing.array {}, team = testing.null }, { expires = 60 }))
        local eve, answer = User.get{ username = "eve" }
        assert.equal('{"username":"eve","email":"eve@example.org","team":null,"friends":[]}', answer.body)
        assert.is_true(answer.cache.ttl <= 60)
        assert(User.save(eve, { if_match = answer.etag })) -- what was read can be saved
        assert.problem("precondition-failed", User.save(eve, { if_none_match = "*" }))
        assert(User.patch({ username = "eve" }, { email = "e@example.org" }))
        assert.equal("e@example.org", User.stored{ username = "eve" }.email)
        assert.problem("reference-invalid", User.save{ username = "eve", email = "e@e", team = { name = "blue", size = 1 } })
        assert(User.save({ username = "eve", email = "e@e", team = { name = "blue", size = 1 } }, { cascade = true }))
        assert.equal(1, Team.stored{ name = "blue" }.size)
        assert(User.touch({ username = "eve" }, 600))
        assert(User.delete{ username = "eve" })
        assert.problem("not-cached", User.stored{ username = "eve" })
      end)

      it("invalidates and refreshes", function()
        User.get{ username = "bob" }
        assert(User.invalidate({ username = "bob" }, "expire"))
        assert.equal("stale", select(2, User.stored{ username = "bob" }).cache.detail)
        assert(User.refresh{ username = "bob" })
        assert.is_true(select(2, User.stored{ username = "bob" }).cache.ttl > 890)
        assert(testing.invalidate_tags "mail:example.org")
        assert.problem("not-cached", User.stored{ username = "bob" })
        User.get{ username = "bob" }
        assert(User.invalidate_all())
        assert.problem("not-cached", User.stored{ username = "bob" })
      end)

      it("calls methods and forms", function()
        testing.http("POST http://texts.internal/greet", function(request) return { body = request.body } end)
        local text = User.greeting({ username = "bob" }, { language = "is" })
        assert.equal('{"language":"is","to":"bob@example.org"}', text)
        assert.is_true(select(2, User.greeting{ username = "bob", language = "is" }).cache.hit)
        assert.equal(1, testing.loads "User.greeting")
        assert.same({ "abc" }, (testing.form "Search".find{ text = "ABC" }))
        assert.same({ text = { "This field is required." } }, assert.problem("form-invalid", testing.form "Search".find{}).errors)
      end)

      it("asks at once", function()
        local function ask() return User.get{ username = "bob" } end
        local answers = testing.at_once(ask, ask, ask)
        for i = 1, 3 do assert.equal("bob@example.org", answers[i][1].email) end
        assert.equal(1, testing.loads "User")
        assert.has_error(function() testing.at_once(ask, function() error "in one of them" end) end)
      end)

      it("speaks HTTP itself", function()
        local answer = testing.request("POST", "/models/User/_bulk", { ["X-Other"] = "1" }, { get = testing.array { { username = "bob" } } })
        assert.equal(200, answer.json.get[1].status)
        assert.equal("User", testing.request("GET", "/models").json.models[1].name:match "User" or "User")
      end)
    ]]
  end)

  it("gives each an empty store, a clock, and upstreams that fail", function()
    passes [[
      local function bob(answer) testing.http("https://users.internal/bob", answer) end

      for i = 1, 2 do
        it("begins with nothing: " .. i, function()
          assert.problem("not-cached", User.stored{ username = "bob" })
          assert.equal(0, #testing.asked())
          assert.equal(0, testing.loads "User")
          bob{ json = { email = "bob@example.org" } }
          assert(User.get{ username = "bob" })
        end)
      end

      it("goes forward in time", function()
        bob{ json = { email = "bob@example.org" } }
        User.get{ username = "bob" }
        testing.forward "14m"
        local _, answer = User.get{ username = "bob" }
        assert.is_true(answer.cache.hit)
        assert.is_true(answer.age >= 840 and answer.cache.ttl <= 60)
        testing.forward(120)
        bob "reset"
        assert.equal("stale", select(2, User.get{ username = "bob" }).cache.detail)
        bob{ status = 404 }
        testing.forward "1h"
        assert.problem("missing", User.get{ username = "bob" })
        testing.forward "6s"
        bob{ json = { email = "new@example.org" } }
        assert.equal("new@example.org", User.get{ username = "bob" }.email)
        assert.has_error(function() testing.forward "soon" end)
      end)

      it("meets upstreams that fail, and the log says how", function()
        bob "reset"
        assert.truthy(assert.problem("loader-error", User.get{ username = "bob" }).log:find("connection lost", 1, true))
        bob{ after = 0.01, status = 500, headers = { ["Content-Type"] = "text/plain" }, body = "not JSON" }
        assert.truthy(assert.problem("loader-error", User.get{ username = "bob" }).log:find("is not valid JSON", 1, true))
        bob "hang"
        testing.forward "1s" -- after two failures in a row there is a pause
        assert.truthy(assert.problem("loader-error", User.get{ username = "bob" }).log:find("timeout", 1, true))
      end)

      it("sets variables", function()
        testing.env{ PLACE = "here\nand there" }
        assert.equal("here\nand there", testing.model "Setting".get{ name = "PLACE" }.value)
        assert.has_error(function() testing.env{ PLACE = "too late" } end)
        testing.reset()
        assert.equal("unset", testing.model "Setting".get{ name = "PLACE" }.value)
      end)

      it("is told why models do not load then", function()
        testing.env{ AT_LOAD = "bad" }
        local ok, why = pcall(User.get, { username = "bob" })
        assert.is_false(ok)
        assert.truthy(tostring(why):find("AT_LOAD says bad", 1, true))
      end)
    ]]
  end)

  it("tells what was wrong, where, and what the gateway logged", function()
    fails([[
      it("is wrong", function()
        testing.http("https://users.internal/bob", "reset")
        assert.problem("missing", User.get{ username = "bob" })
      end)
      it("is right", function() end)
    ]], { "1 success / 1 failure / 0 errors / 0 pending", "models/service_spec.lua:5: Expected the problem `missing`, but got:", "loader-error",
      "models/service.lua:11: http: GET https://users.internal/bob : connection lost" })
    fails('it("asks what nobody answers", function() User.get{ username = "bob" } end)',
      { "models/service_spec.lua:3: the models asked for GET https://users.internal/bob?full=1, which nothing answers (testing.http)" })
    fails('it("has no such method", function() User.greet{ username = "bob" } end)', { "service_spec.lua:3: `User` has no method `greet`" })
    fails('it("has a colon", function() User:get{ username = "bob" } end)', { "service_spec.lua:3: write User.get(...), with a dot" })
    fails('it("has no such option", function() User.get({ username = "bob" }, { dept = 1 }) end)', { "User.get: unknown option `dept`" })
    fails('User.get{ username = "bob" }', { "perigee.testing works in specs that `perigee test` runs, inside `it`" })
    fails('it("fakes nothing", function() testing.http("users.internal", {}) end)', { "service_spec.lua:3: a fake answers an address such as" })
    fails('it("fakes badly", function() testing.http("https://users.internal/bob", { jsn = 1 }) User.get{ username = "bob" } end)',
      { "a fake's answer has status, headers, body, json and after, not `jsn` = 1" })
  end)

  it("has busted's words behind --", function()
    local specs = 'it("one", function() end)\nit("two", function() error "no" end)'
    local code, said = run(specs, { words = { "models", "--", "--filter=one", "-o", "TAP" } })
    assert.equal(0, code, said)
    check.says(said, "ok 1 - one")
  end)

  it("runs no specs of models that do not load, and says what check says", function()
    local broken = "model \"User\" { username = key(), email = feild() }"
    local code, said = run('it("never runs", function() end)', { models = broken })
    assert.equal(1, code)
    check.says(said, "models/service.lua:1: unknown name `feild` (did you mean `field`?)")
    assert.falsy(said:find "success")
    code = run("", { words = { "nowhere" } })
    assert.equal(1, code)
    code, said = run("", { words = { "--filtr=x" } })
    assert.equal(2, code)
    check.says(said, "unknown flag --filtr")
  end)

  it("says what to install", function()
    local code, said = run("", { env = { PATH = "/nowhere" } })
    assert.equal(2, code, said)
    check.says(said, "there is no luajit here")
    check.says(said, "apt-get install luajit lua-busted")
    code, said = run("", { env = { LUA_PATH = "/nowhere/?.lua" } })
    assert.equal(2, code, said)
    check.says(said, "busted is not installed for LuaJIT (Debian, Ubuntu: apt-get install lua-busted")
  end)

  it("leaves nothing behind, however the specs end", function()
    local tmp = process.temp()
    for _, last in ipairs { 'it("fails", function() error "no" end)', "os.exit(0)", 'os.execute "kill -KILL $PPID"' } do
      local code, said = run(HEAD .. 'it("asks", function() Team.save{ name = "red" } end)\nit("ends", function() Team.save{ name = "red" }\n'
        .. last:gsub('^it.-function%(%) (.*) end%)$', "%1") .. " end)", { env = { TMPDIR = tmp } })
      assert(last:find "exit" and code == 0 or code == 1, said)
      local _, left = process.run { argv = { "ls", "-A", tmp } }
      assert.equal("", left)
    end
    process.remove(tmp)
  end)

  it("ends with its specs when it is stopped", function()
    local folder = process.temp()
    gateway.write_models(folder .. "/models", { service = models, service_spec = HEAD
      .. 'it("waits", function() Team.save{ name = "red" } io.open("waiting", "w"):close() os.execute "sleep 60" end)' })
    local running = process.start { argv = { gateway.bin, "test", "models" }, cwd = folder, env = { TMPDIR = folder } }
    process.eventually("the spec runs", 10 * gateway.patience, function() return process.read(folder .. "/waiting") end)
    running:signal "TERM"
    assert.equal(1, running:wait(10 * gateway.patience))
    local _, left = process.run { argv = { "ls", folder } }
    assert.equal("models\nwaiting\n", left)
    process.remove(running.folder)
    process.remove(folder)
  end)

  it("fails when a gateway dies, whatever the specs say", function()
    local code, said = run(HEAD .. [[
      it("kills it", function()
        Team.save{ name = "red" }
        os.execute "kill -SEGV $(pgrep -n -P $(ps -o ppid= -p $PPID) perigee)"
        pcall(Team.get, { name = "red" })
      end)]])
    assert.equal(1, code, said)
    check.says(said, "1 success / 0 failures / 0 errors")
    assert(said:find "a gateway was killed by signal 11" or said:find "a gateway ended with exit code", said)
  end)
end)
