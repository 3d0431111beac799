-- tests/e2e/lifecycle_spec.lua -- start, reload, end: no answered request is lost, no bad model replaces a good one, and who starts
-- it wrongly is told in one line.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local cjson = require "cjson"
local socket = require "socket"

local models = [[
model "Note" { id = key(), text = field() }
model "Nap" { id = key(), text = field(), options = { expires = 300 }, from_miss = function(self) sleep(0.4) self.text = "slept" end }
model "Version" { id = key(), n = field(), options = { expires = 300 }, from_miss = function(self, ctx) self.n = 1 ctx.expires = 0 end }
]]

local function reader(gw)
  local connection = http.connect(gw.address)
  connection.asked = 0
  return connection
end

for _, store in ipairs { "memory", "redis" } do
  for _, workers in ipairs { 1, 2 } do
    describe(("the end of a gateway on %s with %d worker(s)"):format(store, workers), function()
      it("answers what is in flight and loses nothing it has begun to answer", function()
        local gw = gateway.start { models = models, store = store, workers = workers }
        check.status(gw:put("/models/Note?id=a", '{"text":"' .. ("x"):rep(2000) .. '"}'), 201)
        local body = gw:get("/models/Note?id=a").body
        local napping = {}
        for i = 1, 10 do
          napping[i] = reader(gw)
          napping[i]:send(http.format("GET", "/models/Nap?id=" .. i % 3))
        end
        local readers = {}
        for i = 1, 20 do
          readers[i] = reader(gw)
          readers[readers[i].sock] = readers[i]
          readers[i]:send(http.format("GET", "/models/Note?id=a"))
        end
        local start, told, answered, refused = socket.gettime(), false, 0, 0
        local waiting = {}
        for i, connection in ipairs(readers) do waiting[i] = connection.sock end
        while #waiting > 0 and socket.gettime() - start < 10 do
          if not told and socket.gettime() - start > 0.15 then
            told = true
            gw:signal "TERM"
          end
          for _, sock in ipairs((socket.select(waiting, nil, 0.02))) do
            local connection = readers[sock]
            connection:pull(0)
            local response = connection:receive(false, 0)
            if response then
              check.status(response, 200)
              assert.equal(body, response.body)
              answered = answered + 1
              connection.told = response.headers.connection == "close"
              if not connection.told then connection:send(http.format("GET", "/models/Note?id=a")) end
            end
            if connection.closed then
              assert.equal("", connection.buffer) -- no half answer
              assert.is_true(connection.told, "closed upon a request") -- nobody asks after the answer that says close
              refused = refused + 1
              for at, other in ipairs(waiting) do
                if other == sock then
                  table.remove(waiting, at)
                  break
                end
              end
            end
          end
        end
        assert.equal(20, refused) -- all were closed in the end
        assert(answered > 100, answered .. " answered")
        for i = 1, 10 do
          local response = check.status(napping[i]:receive(), 200)
          assert.equal("slept", cjson.decode(response.body).text)
          assert.equal("close", response.headers.connection)
          napping[i]:close()
        end
        for _, connection in ipairs(readers) do connection:close() end
        gw:hang_up()
        gw.process:wait(5 * gateway.patience)
        assert(socket.gettime() - start < 3 * gateway.patience, "it took " .. socket.gettime() - start)
        gw:finish_stopped(0)
      end)
    end)
  end
end

describe("a draining gateway", function()
  it("is not ready, accepts nobody, and ends when its last answer is sent", function()
    local gw = gateway.start { models = models:gsub("0%.4", "1.5"):gsub("expires = 300", "expires = 300, hard_timeout = 5"), workers = 2 }
    local napping = reader(gw)
    napping:send(http.format("GET", "/models/Nap?id=1"))
    socket.sleep(0.05)
    gw:signal "TERM"
    process.eventually("readyz fails", 2, function() return gw:admin("/readyz").status == 503 end)
    check.says(gw:admin("/readyz").body, "shutting down")
    check.status(gw:admin "/healthz", 200)
    process.eventually("nobody is accepted", 2, function() -- a worker hears of it a moment after the admin plane
      local late = socket.connect("127.0.0.1", tonumber(gw.address:match ":(%d+)$"))
      if late then late:close() end
      return not late
    end)
    assert.is_true(gw.process:alive())
    check.status(napping:receive(), 200)
    napping:close()
    gw.process:wait(3 * gateway.patience)
    gw:finish_stopped(0)
  end)

  it("does not wait for ever", function()
    local gw = gateway.start { args = { "--drain", "300ms" }, models = [[
model "Stuck" { id = key(), options = { expires = 300, hard_timeout = 60 }, from_miss = function(self) sleep(50) end }]] }
    local connection = reader(gw)
    connection:send(http.format("GET", "/models/Stuck?id=1"))
    socket.sleep(0.05)
    local start = socket.gettime()
    assert.equal(0, gw:stop())
    assert(socket.gettime() - start < 0.3 + 1 * gateway.patience, "it took " .. socket.gettime() - start)
    connection:close()
    gw:finish_stopped(0)
  end)

  for _, store in ipairs { "memory", "redis" } do
    it("waits no longer for what handlers are asked about saves; on " .. store, function()
      local gw = gateway.start { store = store, args = { "--drain", "300ms" }, fds = 20, models = [[
local function think(self) if self.n == 1 then log.info("thinking", { id = self.id }) sleep(6) end end
model "Slow" { id = key(), n = field(), options = { hard_timeout = 60, validate = think } }
model "Saver" { id = key(), options = { hard_timeout = 60 }, from_miss = function(self) Slow{ id = self.id, n = 1 }:save() end }]] }
      local merge = { ["Content-Type"] = "application/merge-patch+json" }
      local function thinks(id) process.eventually(id .. " is asked", 5, function() return gw:log():find(('"%s"'):format(id), 1, true) end) end
      local function start(...)
        local connection = http.connect(gw.address)
        connection:send(http.format(...))
        return connection
      end
      check.status(gw:put("/models/Slow", '{"id":"patched","n":0}'), 201)
      local waiting = { start("PUT", "/models/Slow", {}, '{"id":"put","n":1}') }
      for _ = 1, 5 do table.insert(waiting, start("PATCH", "/models/Slow?id=patched", merge, '{"n":1}')) end
      local leaver = start("GET", "/models/Saver?id=saver")
      for _, id in ipairs { "put", "patched", "saver" } do thinks(id) end
      leaver:reset()
      gw:hang_up()
      local begin = socket.gettime()
      assert.equal(0, gw:stop())
      local took = socket.gettime() - begin
      assert(took < 0.3 + 1 * gateway.patience, "it took " .. took)
      check.says(check.problem(waiting[1]:receive(), 503, "overloaded").detail, "shutting down")
      check.says(check.problem(waiting[2]:receive(), 503, "overloaded").detail, "shutting down")
      for _, connection in ipairs(waiting) do connection:close() end
      gw:finish_stopped(0)
    end)
  end

  it("ends at once when it is idle, by TERM or INT", function()
    for _, signal in ipairs { "TERM", "INT" } do
      local gw = gateway.start { models = models, workers = 2 }
      local idle = reader(gw)
      check.status(idle:request("GET", "/models/Note?id=1"), 404)
      local start = socket.gettime()
      assert.equal(0, gw:stop(signal))
      assert(socket.gettime() - start < 1 * gateway.patience, "it took " .. socket.gettime() - start)
      assert.is_true((idle:closes(1)))
      idle:close()
      gw:finish_stopped(0)
    end
  end)
end)

describe("a reload", function()
  local gw
  setup(function() gw = gateway.start { models = models, workers = 2 } end)
  teardown(function() gw:finish() end)

  local function version()
    local seen
    for _ = 1, 8 do -- connections of their own: both workers
      local response = http.request(gw.address, "GET", "/models/Version?id=1")
      local n = check.document(response).n
      if seen and seen ~= n then return nil end
      seen = n
    end
    return seen
  end

  local function write(n) gateway.write_models(gw.schemas, (models:gsub("self%.n = 1", "self.n = " .. n))) end

  it("by SIGHUP swaps the models", function()
    assert.equal(1, version())
    write(2)
    gw:signal "HUP"
    process.eventually("version 2", 5, function() return version() == 2 end)
  end)

  it("by POST /admin/reload swaps the models", function()
    write(3)
    check.status(gw:admin("/admin/reload", "POST"), 200)
    process.eventually("version 3", 5, function() return version() == 3 end)
    check.status(gw:admin "/admin/reload", 405)
  end)

  it("keeps what was stored, and the records of fields that did not change", function()
    check.status(gw:put("/models/Note?id=kept", '{"text":"kept"}'), 201)
    write(3)
    check.status(gw:admin("/admin/reload", "POST"), 200)
    for _ = 1, 8 do
      assert.equal("kept", check.document(http.request(gw.address, "GET", "/models/Note?id=kept")).text)
    end
  end)

  it("with an error keeps the old ones and says where it is", function()
    local reloads = gw:metric("perigee_reloads_total", { result = "failed" })
    for text, says in pairs {
      ["model \"Version\" {\n id = key(),\n n = = field() }"] = "models.lua:3:",
      ["model \"Version\" {\n id = key(),\n n = feild() }"] = "models.lua:3:",
      ["\n\nerror 'on purpose'"] = "models.lua:3:",
      ["\nmodel \"Version\" { n = field() }"] = "models.lua:2:",
      ["\nmodel \"Version\" { n = key{ type = \"intger\" } }"] = "integer",
    } do
      gateway.write_models(gw.schemas, text)
      local response = gw:admin("/admin/reload", "POST")
      assert(response.status >= 400, response.status)
      check.says(response.body, says, "models.lua")
      assert.equal(3, version())
    end
    gateway.write_models(gw.schemas, "model 'Version' { id = key(")
    gw:signal "HUP"
    process.eventually("it is in the log", 5, function() return gw:log():find("models.lua:1:", 1, true) end)
    assert.equal(3, version())
    assert.equal(reloads + 6, gw:metric("perigee_reloads_total", { result = "failed" }))
  end)

  it("that finds no model keeps the old ones", function()
    gateway.write_models(gw.schemas, "-- a file half written")
    check.says(check.status(gw:admin("/admin/reload", "POST"), 422).body, "no model left")
    check.status(gw:get "/models/Note?id=nobody", 404)
    assert.equal(3, version())
  end)

  it("under load fails nobody", function()
    local connections = {}
    for i = 1, 8 do connections[i] = http.connect(gw.address) end
    for round = 1, 20 do
      write(round % 2 + 4)
      for _, connection in ipairs(connections) do connection:send(http.format("GET", "/models/Version?id=1"):rep(5)) end
      local slow = http.connect(gw.address)
      slow:send(http.format("GET", "/models/Nap?id=reload" .. round))
      if round % 2 == 0 then gw:signal "HUP" else check.status(gw:admin("/admin/reload", "POST"), 200) end
      for _, connection in ipairs(connections) do
        for _ = 1, 5 do
          local n = check.document(connection:receive()).n
          assert(n >= 3 and n <= 5, n)
        end
      end
      check.status(slow:receive(), 200)
      slow:close()
    end
    for _, connection in ipairs(connections) do connection:close() end
  end)

  it("adds and removes models", function()
    gateway.write_models(gw.schemas, { note = 'model "Note" { id = key(), text = field() }', new = 'model "New" { id = key() }' })
    check.status(gw:admin("/admin/reload", "POST"), 200)
    process.eventually("New is served", 5, function()
      for _ = 1, 8 do
        if http.request(gw.address, "PUT", "/models/New?id=1", {}, "{}").status >= 300 then return false end
        if http.request(gw.address, "GET", "/models/Nap?id=1").status ~= 404 then return false end
      end
      return true
    end)
    check.problem(gw:get "/models/Version?id=1", 404, "unknown-model")
  end)

  it("with a changed field leaves the records of before alone", function()
    gateway.write_models(gw.schemas, 'model "Note" { id = key(), text = field(), more = field() }')
    check.status(gw:admin("/admin/reload", "POST"), 200)
    process.eventually("the new fingerprint", 5, function()
      for _ = 1, 8 do
        if http.request(gw.address, "GET", "/models/Note?id=kept").status ~= 404 then return false end
      end
      return true
    end)
    gateway.write_models(gw.schemas, models)
    check.status(gw:admin("/admin/reload", "POST"), 200)
    process.eventually("the old fingerprint", 5, function()
      return http.request(gw.address, "GET", "/models/Note?id=kept").status == 200
    end)
  end)
end)

describe("a gateway without models", function()
  it("lives, but is not ready", function()
    local gw = gateway.start { models = "-- none yet" }
    check.status(gw:admin "/healthz", 200)
    check.says(check.status(gw:admin "/readyz", 503).body, "models")
    gateway.write_models(gw.schemas, models)
    check.status(gw:admin("/admin/reload", "POST"), 200)
    check.status(gw:admin "/readyz", 200)
    gw:finish()
  end)
end)

describe("a wrong start", function()
  local folder
  setup(function()
    folder = process.temp()
    gateway.write_models(folder .. "/schemas", models)
  end)
  teardown(function() process.remove(folder) end)

  -- Exits with 2 and one line that says all of these.
  local function refused(options, ...)
    local argv = { "serve", folder .. "/schemas" }
    for _, word in ipairs(options.args or {}) do argv[#argv + 1] = word end
    local code, out, err = gateway.run(argv, options)
    assert(code == 2, ("exit code %s: %s%s"):format(code, out, err))
    check.says(err, ...)
    assert.equal("", out)
    local lines = select(2, err:gsub("\n", ""))
    assert(lines == 1, err)
  end

  it("names an unknown flag, and the nearest", function()
    refused({ args = { "--lisen", "127.0.0.1:0" } }, "--lisen", "--listen")
    refused({ args = { "--near-cache-byte=1" } }, "--near-cache-byte", "--near-cache-bytes")
    refused({ args = { "-x" } }, "-x")
  end)

  it("names an unknown variable, and the nearest", function()
    refused({ env = { PERIGEE_LISEN = "127.0.0.1:0" } }, "PERIGEE_LISEN", "PERIGEE_LISTEN")
  end)

  it("takes no NUL in a file's value, and shows no store's password", function()
    for _, line in ipairs { "listen = { '127.0.0.1:0\\0x' }", "store = 'redis://a:planted@127.0.0.1\\0.example:1'" } do
      process.write(folder .. "/config.lua", "return { " .. line .. " }")
      refused({ args = { "--config", folder .. "/config.lua" } }, "config.lua: ", line:match "^%a+", "NUL")
    end
    local _, _, err = gateway.run({ "serve", folder .. "/schemas", "--config", folder .. "/config.lua" }, {})
    assert.is_nil(err:find("planted", 1, true), err)
    _, _, err = gateway.run({ "serve", folder .. "/schemas", "--store", "memory:", "--store", "redis://a:planted@127.0.0.1:1" }, {})
    check.says(err, "--store", "once")
    assert.is_nil(err:find("planted", 1, true), err)
  end)

  it("takes no host that is neither a name nor an address as it is written", function()
    for _, host in ipairs { ("a"):rep(256), "2130706433", "0x7f000001", "127.1", "0177.0.0.1", "127.0.0.256", "a..b", "a b", "[::g]", "[127.0.0.1]" } do
      refused({ args = { "--listen", host .. ":4999" } }, "--listen")
      for _, url in ipairs { "redis://%s:6379", "rediss://%s:6379", "redis+cluster://127.0.0.1:1,%s:1", "redis+sentinel://%s:1/main" } do
        refused({ args = { "--listen", "127.0.0.1:0", "--store", url:format(host) } }, "--store")
      end
    end
  end)

  it("counts models as `check` does: no methods, no forms", function()
    local gw = gateway.start { models = [[
      model "One" { id = key(), m = cached_method{ expires = 1, function() return 1 end } }
      model "Two" { id = key() }
      form "Form" { name = input{}, m = cached_form_method{ expires = 1, function() return 1 end } }]] }
    assert.equal(2, gw.models)
    gw:finish()
  end)

  it("takes what may be repeated out of a variable with commas", function()
    local gw = gateway.start { models = 'model "Note" { id = key() }', env = { PERIGEE_CORS_ORIGIN = "https://a.example, https://b.example" } }
    assert.same({ "https://a.example", "https://b.example" }, check.document(gw:admin "/admin/config").cors_origin)
    gw:finish()
    refused({ env = { PERIGEE_LISTEN = "127.0.0.1:0,nonsense" } }, "nonsense")
  end)

  it("names an unknown key of the file, and the nearest", function()
    process.write(folder .. "/config.lua", 'return { wokers = 1 }')
    refused({ args = { "--config", folder .. "/config.lua" } }, "wokers", "workers", "config.lua")
    process.write(folder .. "/config.lua", 'return { workers = }')
    refused({ args = { "--config", folder .. "/config.lua" } }, "config.lua:1:")
    refused({ args = { "--config", folder .. "/nowhere.lua" } }, "nowhere.lua")
    process.write(folder .. "/config.lua", "\27LJ\2")
    refused({ args = { "--config", folder .. "/config.lua" } }, "config.lua: ", "wrong mode")
    process.write(folder .. "/config.lua", 'return os.execute "true" and {}')
    refused({ args = { "--config", folder .. "/config.lua" } }, "config.lua")
  end)

  it("names a value that is none", function()
    refused({ args = { "--workers", "many" } }, "--workers", "many")
    refused({ args = { "--max-body", "huge" } }, "--max-body", "huge")
    refused({ args = { "--drain", "later" } }, "--drain", "later")
    refused({ args = { "--store", "mysql://x" } }, "--store", "redis://")
    refused({ args = { "--store", "redis://:secret@" } }, "--store")
    refused({ args = { "--listen", "nowhere" } }, "nowhere")
    refused({ args = { "--log", "loud" } }, "loud")
    refused({ args = { "--listen" } }, "--listen")
    refused({ env = { PERIGEE_WORKERS = "many" } }, "PERIGEE_WORKERS", "many")
  end)

  it("does not tell a password", function()
    local _, _, err = gateway.run { "serve", folder .. "/schemas", "--store", "redis://user:secret@host:notaport/0" }
    assert.is_nil(err:find("secret", 1, true))
  end)

  it("names a port in use", function()
    local gw = gateway.start { models = models }
    refused({ args = { "--listen", gw.address, "--admin", "off" } }, gw.address)
    refused({ args = { "--listen", "127.0.0.1:0", "--admin", gw.admin_address } }, gw.admin_address)
    gw:finish()
  end)

  it("says which models are wrong and exits 1", function()
    gateway.write_models(folder .. "/wrong", 'model "A" {\n id = key(),\n id = = }')
    local code, _, err = gateway.run { "serve", folder .. "/wrong", "--listen", "127.0.0.1:0", "--admin", "off" }
    assert.is_true(code ~= 0)
    check.says(err, "models.lua:3:")
    code, _, err = gateway.run { "serve", folder .. "/nothing-here", "--listen", "127.0.0.1:0", "--admin", "off" }
    assert.is_true(code ~= 0)
    check.says(err, "nothing-here")
  end)

  it("with too few files to open is told so", function()
    local started, why = pcall(gateway.start, { models = models, before = "ulimit -n 60;" })
    assert.is_false(started)
    check.says(why, "open files", "ulimit -n")
  end)

  it("with few files to open takes fewer connections, and survives more", function()
    local gw = gateway.start { models = models, before = "ulimit -n 200;" }
    local open = {}
    for i = 1, 220 do
      open[i] = http.connect(gw.address)
      open[i]:send(http.format("GET", "/models/Note?id=1"))
    end
    for i = 1, 220 do open[i]:close() end
    process.eventually("it serves again", 5, function()
      local response = http.request(gw.address, "GET", "/models/Note?id=1")
      return response and response.status == 404
    end)
    gw:finish()
  end)
end)

describe("settings", function()
  local folder
  setup(function() folder = process.temp() end)
  teardown(function() process.remove(folder) end)

  local function limit(gw)
    for _, size in ipairs { 100, 200, 300, 400 } do
      local response = http.request(gw.address, "PUT", "/models/Note?id=1", {}, '{"text":"' .. ("x"):rep(size + 1 - 11) .. '"}')
      if response.status == 413 then return size end
    end
  end

  it("flag beats environment beats file beats default", function()
    process.write(folder .. "/config.lua", 'return { max_body = 100, ["idle-timeout"] = "5s", log = "warn" }')
    local file = { "--config", folder .. "/config.lua" }
    local gw = gateway.start { models = models, args = file }
    assert.equal(100, limit(gw))
    gw:finish()
    gw = gateway.start { models = models, env = { PERIGEE_CONFIG = folder .. "/config.lua" } }
    assert.equal(100, limit(gw))
    gw:finish()
    gw = gateway.start { models = models, args = file, env = { PERIGEE_MAX_BODY = "200" } }
    assert.equal(200, limit(gw))
    gw:finish()
    gw = gateway.start { models = models, args = { "--config", folder .. "/config.lua", "--max-body=300" }, env = { PERIGEE_MAX_BODY = "200" } }
    assert.equal(300, limit(gw))
    gw:finish()
    gw = gateway.start { models = models }
    assert.is_nil(limit(gw))
    gw:finish()
  end)

  it("the prefix is the first part of every key", function()
    local gw = gateway.start { models = models, store = "redis", args = { "--prefix", "other" } }
    check.status(gw:put("/models/Note?id=1", '{"text":1}'), 201)
    local keys = gw.redis:command("KEYS", "*")
    table.sort(keys)
    assert.equal(2, #keys)
    assert.truthy(keys[1]:match "^other:Note:%x+:id=1$", keys[1])
    assert.equal("other:~epochs", keys[2])
    gw:finish()
  end)
end)
