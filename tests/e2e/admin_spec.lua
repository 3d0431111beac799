-- tests/e2e/admin_spec.lua -- health, readiness and metrics: every request is counted once, and no stranger's word becomes a label.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local cjson = require "cjson"

local models = [[
model "Note" { id = key(), text = field() }
model "Loaded" { id = key(), text = field(), options = { expires = 300, negative = 60 },
  from_miss = function(self)
    if self.id == "none" then return missing end
    if self.id:find "^bad" then error "bad" end
    self.text = "x"
  end }
]]

-- All series of the page, by `name{labels}`; raises at a line that is no Prometheus text.
local function parse(text)
  local series, types, helped = {}, {}, {}
  assert(text:sub(-1) == "\n", "the last line has no end")
  for line in text:gmatch "([^\n]*)\n" do
    local kind, name, rest = line:match "^# (%u+) ([%a_:][%w_:]*) (.+)$"
    if kind == "HELP" then
      assert(not helped[name], "two HELP of " .. name)
      helped[name] = true
    elseif kind == "TYPE" then
      assert(not types[name], "two TYPE of " .. name)
      assert(rest == "counter" or rest == "gauge" or rest == "histogram", line)
      types[name] = rest
    else
      local metric, labels, value = line:match "^([%a_:][%w_:]*)(%b{}) (%S+)$"
      if not metric then
        metric, value = line:match "^([%a_:][%w_:]*) (%S+)$"
        labels = ""
      end
      assert(metric and (tonumber(value) or value == "+Inf"), "no line of Prometheus: " .. line)
      if labels ~= "" then
        local left = labels:sub(2, -2):gsub('^[%a_][%w_]*="[^"\n]*"', ""):gsub(',[%a_][%w_]*="[^"\n]*"', "")
        assert(left == "", "labels: " .. line)
      end
      local family = types[metric] and metric or metric:gsub("_bucket$", ""):gsub("_sum$", ""):gsub("_count$", "")
      assert(types[family] and helped[family], "no TYPE or HELP before " .. line)
      assert(not series[metric .. labels], "twice: " .. line)
      assert(types[family] ~= "counter" or tonumber(value) >= 0, line)
      series[metric .. labels] = tonumber(value)
    end
  end
  return series, types
end

for _, store in ipairs { "memory", "redis" } do
  describe("the admin plane on " .. store, function()
    local gw
    setup(function() gw = gateway.start { models = models, store = store, workers = 2 } end)
    teardown(function() gw:finish() end)

    it("lives and is ready", function()
      check.status(gw:admin "/healthz", 200)
      check.status(gw:admin "/readyz", 200)
      check.status(gw:admin("/healthz", "HEAD"), 200)
    end)

    it("tells its version and those of its libraries", function()
      local told = check.document(gw:admin "/version")
      assert.truthy(told.version:match "^%d+%.%d+%.%d+$")
      for _, library in ipairs { "LuaJIT", "libuv", "hiredis", "llhttp", "yyjson", "SQLite", "zlib", "nettle" } do
        assert.truthy(told.libraries[library]:match "^%d+%.%d+", library)
      end
      assert.is_nil(told.libraries.libpq, "it is there, and nobody has asked for it")
    end)

    it("tells the same as OpenMetrics to who can read that", function()
      check.status(gw:put("/models/Note?id=open", '{"text":1}'), 201)
      local page = gw:admin("/metrics", "GET", { Accept = "application/openmetrics-text; version=1.0.0; q=0.8, text/plain; q=0.5" })
      check.says(page.headers["content-type"], "application/openmetrics-text; version=1.0.0")
      check.says(page.body, "# TYPE perigee_requests counter\nperigee_requests_total{", "# TYPE perigee_request_seconds histogram\n")
      assert.equal("# EOF\n", page.body:sub(-6))
    end)

    it("has no other pages, and no data", function()
      check.problem(gw:admin "/nothing", 404, "not-found")
      check.problem(gw:admin "/models/Note?id=1", 404, "not-found")
      local response = gw:admin("/healthz", "POST")
      check.problem(response, 405, "method-not-allowed")
      check.says(response.headers.allow, "GET")
      response = gw:admin "/admin/reload"
      check.problem(response, 405, "method-not-allowed")
      check.says(response.headers.allow, "POST")
    end)

    it("tells metrics that parse, with the names of the contract", function()
      check.status(gw:get "/models/Loaded?id=1", 200)
      check.status(gw:put("/models/Note?id=1", '{"text":1}'), 201)
      local page = gw:admin "/metrics"
      check.says(page.headers["content-type"], "text/plain", "version=0.0.4")
      local series, types = parse(page.body)
      for name, kind in pairs {
        perigee_requests_total = "counter", perigee_request_seconds = "histogram", perigee_loads_total = "counter",
        perigee_load_seconds = "histogram", perigee_loads_inflight = "gauge", perigee_memory_bytes = "gauge",
        perigee_references_total = "counter", perigee_store_seconds = "histogram", perigee_store_up = "gauge", perigee_near_cache_bytes = "gauge",
        perigee_evictions_total = "counter", perigee_connections = "gauge", perigee_lua_bytes = "gauge", perigee_build_info = "gauge",
      } do
        assert(types[name] == kind, ("%s is %s"):format(name, types[name]))
      end
      assert.equal(0, series['perigee_loads_inflight{model="Loaded"}'])
      assert(gw:metric "perigee_lua_bytes" > 10000)
      assert.equal(1, gw:metric "perigee_build_info")
      assert.equal(1, gw:metric "perigee_store_up")
      if store == "memory" then
        assert(gw:metric "perigee_memory_bytes" > 0)
        assert(gw:metric "perigee_memory_records" >= 2)
      else
        assert(gw:metric("perigee_store_seconds_count", { command = "get" }) > 0)
      end
    end)

    it("counts exactly what was sent, on whichever worker", function()
      local function count(labels) return gw:metric("perigee_requests_total", labels) end
      local function counts()
        return {
          all = count(), note = count { model = "Note" }, loaded = count { model = "Loaded" }, get = count { model = "Loaded", op = "get" },
          put = count { model = "Note", op = "put" }, delete = count { model = "Note", op = "delete" }, head = count { op = "head" },
          loads_ok = gw:metric("perigee_loads_total", { model = "Loaded", result = "ok" }),
          loads_missing = gw:metric("perigee_loads_total", { model = "Loaded", result = "missing" }),
          loads_failed = gw:metric("perigee_loads_total", { model = "Loaded", result = "loader-error" }),
          missing = count { model = "Loaded", outcome = "missing" }, failed = count { model = "Loaded", outcome = "loader-error" },
          seconds = gw:metric("perigee_request_seconds_count", {}), load_seconds = gw:metric("perigee_load_seconds_count", {}),
        }
      end
      gw:hang_up()
      local before = counts()
      for i = 1, 10 do
        http.request(gw.address, "PUT", "/models/Note?id=" .. i, {}, '{"text":1}')
        http.request(gw.address, "DELETE", "/models/Note?id=" .. i)
        http.request(gw.address, "HEAD", "/models/Note?id=" .. i)
        http.request(gw.address, "GET", "/models/Loaded?id=count" .. i)
        http.request(gw.address, "GET", "/models/Loaded?id=count" .. i)
        http.request(gw.address, "GET", "/models/Loaded?id=bad" .. i)
      end
      for _ = 1, 10 do http.request(gw.address, "GET", "/models/Loaded?id=none") end
      http.request(gw.address, "GET", "/models/Nothing?id=1")
      http.request(gw.address, "GET", "/nothing")
      local after, difference = counts(), {}
      for name, value in pairs(after) do difference[name] = value - before[name] end
      assert.same({
        all = 72, note = 30, loaded = 40, get = 40, put = 10, delete = 10, head = 10, loads_ok = 10, loads_missing = 1, loads_failed = 10,
        missing = 10, failed = 10, seconds = 72, load_seconds = 21,
      }, difference)
    end)

    it("has no stranger's word in a label, and no more series for more keys", function()
      local secret = "verysecretkey"
      local function series_count()
        local n = 0
        for _ in pairs((parse(gw:admin("/metrics").body))) do n = n + 1 end
        return n
      end
      http.request(gw.address, "GET", "/models/Loaded?id=warm")
      http.request(gw.address, "GET", "/models/warm?id=1")
      http.request(gw.address, "GET", "/warm")
      for _ = 1, 6 do http.request(gw.address, "PUT", "/models/Note?id=warm", {}, '{"text":1}') end
      for _ = 1, 6 do http.request(gw.address, "GET", "/models/Loaded?id=warm2" .. _) end
      local before = series_count()
      for i = 1, 100 do
        gw:get("/models/Loaded?id=" .. secret .. i)
        gw:get("/models/" .. secret .. i .. "?id=1")
        gw:get("/" .. secret .. i)
        gw:put("/models/Note?id=" .. secret .. i, '{"text":"' .. secret .. '"}')
      end
      assert.equal(before, series_count())
      assert.is_nil(gw:admin("/metrics").body:find(secret, 1, true))
      assert.is_nil(gw:log():find(secret, 1, true))
    end)

    it("counts every answer once, what was refused before it was a request, too", function()
      gw:hang_up()
      local function count() return gw:metric "perigee_requests_total" + gw:metric "perigee_http_refused_total" end
      local kinds = {
        { 200, http.format("GET", "/models/Note?id=1") }, { 404, http.format("GET", "/models/None?id=1") }, { 405, http.format("PROPFIND", "/models/Note?id=1") },
        { 400, http.format("GET", "/models/Note?id=%zz") }, { 400, "GET / HTTP/1.1\r\n\r\n" }, { 501, http.format("BREW", "/") }, { 505, "GET / HTTP/2.0\r\n\r\n" },
        { 414, http.format("GET", "/" .. ("x"):rep(9000)) }, { 431, http.format("GET", "/", { X = ("x"):rep(17000) }) },
        { 413, http.format("PUT", "/models/Note?id=1", { ["Content-Length"] = "9999999" }) }, { 417, http.format("GET", "/", { Expect = "x" }) },
        { 400, http.format("PUT", "/models/Note?id=1", {}, "{") }, { 502, http.format("GET", "/models/Loaded?id=bad") }, { 204, http.format("OPTIONS", "*") },
        { 204, http.format("DELETE", "/models/Note?id=2") }, { 400, http.format("GET", "/models/Note?id=1", { ["Content-Length"] = "1, 1" }) },
      }
      gw:put("/models/Note?id=1", '{"text":1}')
      gw:hang_up()
      local before, sent = count(), 0
      for _ = 1, 5 do
        for _, kind in ipairs(kinds) do
          local connection = http.connect(gw.address)
          connection:send(kind[2])
          check.status(connection:receive(), kind[1])
          connection:close()
          sent = sent + 1
        end
      end
      assert.equal(before + sent, count())
    end)

    it("never counts down, whatever is reloaded and whatever it is called", function()
      local function counters()
        local series, types = parse(gw:admin("/metrics").body)
        local list = {}
        for name, value in pairs(series) do
          local family = name:match "^[%w_]+"
          if types[family] == "counter" or name:find "_bucket{" or family:find "_count$" then list[name] = value end
        end
        return list
      end
      local last = counters()
      for round = 1, 6 do
        for i = 1, 20 do
          gw:get("/models/Loaded?id=round" .. round .. "." .. i)
          gw:request("GET", "/models/" .. http.escape('x"} 1\n# HELP y z\n\\' .. i) .. "?id=1")
          http.request(gw.address, ("M"):rep(i), "/models/Note?id=1")
        end
        if round % 2 == 0 then check.status(gw:admin("/admin/reload", "POST"), 200) end
        local now = counters()
        for name, value in pairs(last) do assert(now[name] and now[name] >= value, name) end
        last = now
      end
    end)

    it("tells metrics that promtool has nothing against", function()
      if os.execute "command -v promtool >/dev/null" ~= 0 then return pending "no promtool here" end
      local folder = process.temp()
      process.write(folder .. "/metrics", gw:admin("/metrics").body)
      local code, out, err = process.run { argv = { "sh", "-c", "promtool check metrics <" .. folder .. "/metrics" } }
      assert(code == 0 and out .. err == "", out .. err)
      process.remove(folder)
    end)

    it("counts open connections", function()
      gw:hang_up()
      local open = {}
      for i = 1, 7 do
        open[i] = http.connect(gw.address)
        open[i]:request("GET", "/models/Note?id=1")
      end
      assert.equal(7, gw:metric "perigee_connections")
      for i = 1, 7 do open[i]:close() end
    end)
  end)
end

describe("the memory store", function()
  it("stays within its bound and says what it threw out", function()
    local gw = gateway.start { models = models, args = { "--memory-bytes", "4MiB" } }
    local text = '{"text":"' .. ("x"):rep(10000) .. '"}'
    for i = 1, 1500 do check.status(gw:put("/models/Note?id=" .. i, text), 201) end
    assert(gw:metric "perigee_memory_bytes" <= 4 * 1024 * 1024)
    assert(gw:metric "perigee_memory_bytes" >= 2 * 1024 * 1024)
    assert(gw:metric "perigee_evictions_total" > 1000)
    local kept = gw:metric "perigee_memory_records"
    assert(kept >= 200 and kept <= 420, kept)
    check.status(gw:get "/models/Note?id=1500", 200)
    gw:finish()
  end)

  it("says of its records what the process grows by", function()
    local gw = gateway.start { models = models }
    local text = '{"id":"%d","text":"' .. ("x"):rep(1000) .. '"}'
    local conn = http.connect(gw.address)
    local function save(from, to)
      for first = from, to, 100 do
        local out = {}
        for i = first, first + 99 do out[#out + 1] = http.format("PUT", "/models/Note", nil, text:format(i)) end
        conn:send(table.concat(out))
        for _ = 1, 100 do check.status(conn:receive(), 201) end
      end
    end
    local function weigh()
      local resident = process.read(("/proc/%d/smaps_rollup"):format(gw.pid)):match "Rss:%s+(%d+) kB" * 1024
      return resident, gw:metric "perigee_memory_bytes"
    end
    save(1, 2000) -- what is warmed up once is not the records'
    local resident, said = weigh()
    save(2001, 12000)
    local resident_now, said_now = weigh()
    conn:close()
    local grown, counted = (resident_now - resident) / 10000, (said_now - said) / 10000
    assert(counted < 1200, counted)
    if not gateway.sanitized then
      assert(grown > 0.97 * counted and grown < 1.05 * counted, ("%d B resident, %d B counted"):format(grown, counted))
    end
    gw:finish()
  end)
end)

describe("without an admin plane", function()
  it("the data plane serves all the same", function()
    local folder = process.temp()
    gateway.write_models(folder .. "/schemas", models)
    local running = process.start {
      argv = { gateway.bin, "serve", folder .. "/schemas", "--listen", "127.0.0.1:0", "--admin", "off", "--workers", "1" }, folder = folder,
    }
    local line = process.eventually("ready", 10, function() return running:out():match "^(perigee ready [^\n]*)\n" end)
    check.says(line, "admin=off")
    check.status(http.request(line:match "listen=(%S+)", "GET", "/models/Note?id=1"), 404)
    running:signal "TERM"
    assert.equal(0, running:wait(10))
    process.remove(folder)
  end)
end)

describe("what the admin plane tells of itself", function()
  local gw, secret = nil, "plantedsecret"
  setup(function()
    gw = gateway.start {
      models = 'model "Note" { id = key(), text = field(), options = { expires = "15m", negative = 0.5 }, from_miss = function() return missing end }\nform "Find" { text = input() }',
      store = "redis://someone:" .. secret .. "@127.0.0.1:" .. process.free_port() .. "/0",
      args = { "--idle-timeout", "1500ms", "--cors-origin", "https://a.example" },
    }
  end)
  teardown(function() gw:abandon() end)

  it("are the settings in force, without their secrets", function()
    local settings = cjson.decode(gw:admin("/admin/config").body)
    assert.equal(1.5, settings.idle_timeout)
    assert.equal(1048576, settings.max_body)
    assert.same({ "https://a.example" }, settings.cors_origin)
    assert.truthy(settings.store:find "^redis://127%.0%.0%.1:%d+")
    assert.equal(1, #settings.schemas)
    for _, path in ipairs { "/admin/config", "/admin/models", "/", "/metrics" } do
      assert.is_nil(gw:admin(path).body:find(secret, 1, true), path)
    end
  end)

  it("are the models that are loaded, also after a reload", function()
    local models = cjson.decode(gw:admin("/admin/models").body).models
    table.sort(models, function(a, b) return a.name > b.name end)
    local note, find = models[1], models[2]
    assert.same({ "Note", "model", true, 900, 0.5 }, { note.name, note.kind, note.loads, note.expires, note.negative })
    assert.truthy(note.keys:find "^perigee:Note:%x+:$")
    assert.truthy(note.declared:find "%.lua:1$")
    assert.same({ "Find", "form", false }, { find.name, find.kind, find.loads })
    gateway.write_models(gw.schemas, 'model "Other" { id = key() }')
    check.status(gw:admin("/admin/reload", "POST"), 200)
    assert.equal("Other", cjson.decode(gw:admin("/admin/models").body).models[1].name)
  end)

  it("is a page that says what is wrong, and loads nothing", function()
    local page = gw:admin "/"
    check.status(page, 200)
    assert.equal("text/html; charset=utf-8", page.headers["content-type"])
    assert.truthy(page.headers["content-security-policy"]:find("default-src 'none'", 1, true))
    assert.truthy(page.body:find('<p class="failing">store: Redis cannot be reached</p>', 1, true))
    assert.truthy(page.body:find "<h2>Models</h2>")
    assert.is_nil(page.body:find "<script")
    local open = {} -- every element that is opened is closed, in order
    for slash, name in page.body:gmatch "<(/?)(%a[%w]*)[^>]*>" do
      if slash == "/" then assert.equal(table.remove(open), name)
      elseif name ~= "meta" then open[#open + 1] = name end
    end
    assert.same({}, open)
  end)

  it("takes no reload from another site's page", function()
    local problem = check.problem(gw:admin("/admin/reload", "POST", { Origin = "https://evil.example" }), 403, "forbidden")
    assert.truthy(problem.detail:find "another site")
    check.problem(gw:admin("/admin/reload", "POST", { Origin = "null" }), 403, "forbidden")
    check.status(gw:admin("/admin/reload", "POST", { Origin = "http://" .. gw.admin_address, Host = gw.admin_address }), 200)
  end)
end)
