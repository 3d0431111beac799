-- tests/e2e/http_source_spec.lua -- loaders that ask over HTTP: sources that fail, hang, or cannot be trusted, and what a source
-- in trouble is asked all the same.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local origin = require "tests.support.origin"
local process = require "tests.support.process"

local models = [[
local function source(ask)
  return { id = key(), said = field(), options = { expires = 300, hard_timeout = 20 },
    from_miss = function(self)
      local ok, said = pcall(ask, self.id)
      self.said = ok and said or tostring(said)
    end }
end

model "Plain" (source(function(id) return http.get(env "SOURCE" .. "/plain/" .. id):json() end))
model "Again" (source(function(id) return http.get(env "SOURCE" .. "/again/" .. id .. "?status=503", { retries = 2 }).status end))
model "Once" (source(function(id)
  return http.post(env "SOURCE" .. "/once/" .. id .. "?status=503", { retries = 2 }).status
end))
model "Cut" (source(function(id) return http.get(env "SOURCE" .. "/cut/" .. id .. "?cut=1", { retries = 2 }).status end))
model "Small" (source(function(id) return #http.get(env "SOURCE" .. "/small?size=" .. id, { max_bytes = 100 }).body end))
model "Slow" (source(function(id)
  return http.get(env "SOURCE" .. "/slow/" .. id .. "?hang=1", { timeout = "50ms", retries = 1, retry_on = { "timeout" } }).status
end))
model "Troubled" (source(function(id) return http.get(env "TROUBLED" .. "/" .. id .. "?status=503", { retries = 5 }).status end))
model "Secure" (source(function(id)
  return http.get(env "TLS" .. "/", { ca = env(id) }).status
end))
model "Dead" { id = key(), options = { hard_timeout = 20 },
  from_miss = function(self) http.get("http://bob:topsecret@127.0.0.1:" .. self.id .. "/x?token=topsecret", { retries = 2 }) end }
model "Hung" { id = key(), options = { hard_timeout = "3s" },
  from_miss = function(self) http.get(env "TROUBLED" .. "/hung/" .. self.id .. "?hang=1") end }
]]

-- A server that speaks TLS, with a certificate of its own.
local function tls_start()
  local folder = process.temp()
  local code, _, err = process.run { argv = { "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
    "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
    "-keyout", folder .. "/key", "-out", folder .. "/cert" } }
  assert(code == 0, err)
  local server = process.start { folder = folder, argv = { "openssl", "s_server", "-accept", "127.0.0.1:0", "-www",
    "-cert", folder .. "/cert", "-key", folder .. "/key" } }
  local port = process.eventually(function() return "a TLS server: " .. server:err() end, 10, function()
    return server:out():match "ACCEPT 127%.0%.0%.1:(%d+)"
  end)
  return { url = "https://127.0.0.1:" .. port, cert = folder .. "/cert", stop = function()
    server:kill()
    process.remove(folder)
  end }
end

local function holds_libcurl(gw) return process.read(("/proc/%d/maps"):format(gw.pid)):find("libcurl.so", 1, true) ~= nil end

for _, store in ipairs { "memory", "redis" } do
  describe("HTTP sources behind " .. store, function()
    local gw, source, troubled, tls
    setup(function()
      source, troubled, tls = origin.start(), origin.start(), tls_start()
      gw = gateway.start { models = models, store = store, fds = 100, beside = { source, troubled, tls },
        env = { SOURCE = source.url, TROUBLED = troubled.url, TLS = tls.url, TRUSTED = tls.cert, NOWHERE = "/nowhere/ca.pem" } }
    end)
    teardown(function() gw:finish() end)

    local function said(target) return check.document(gw:get("/models/" .. target)).said end

    it("libcurl is there before the first request", function()
      process.eventually("libcurl", 5, function() return holds_libcurl(gw) end)
      assert.same({ path = "/plain/1", n = 1 }, said "Plain?id=1")
    end)

    it("are asked again when they are away for a moment, but not to do a thing twice", function()
      assert.equal(503, said "Again?id=1")
      assert.equal(3, (source:asked "/again/1"))
      assert.equal(2, gw:metric("perigee_upstream_seconds_count", { kind = "http", outcome = "retried" }))
      assert.equal(503, said "Once?id=1")
      assert.equal(1, (source:asked "/once/1"))
      check.says(said "Cut?id=1", "/cut/1 : connection lost in the middle of the body")
      assert.equal(1, (source:asked "/cut/1"))
      check.says(said "Slow?id=1", "/slow/1 : timeout (2 attempts)")
      assert.equal(2, (source:asked "/slow/1"))
    end)

    it("are read up to a bound", function()
      assert.equal(100, said "Small?id=100")
      check.says(said "Small?id=101", "/small : body of more than 100 bytes")
    end)

    it("that refuse are named in the log, without credentials", function()
      local port = process.free_port()
      local answer = gw:get("/models/Dead?id=" .. port)
      local problem = check.problem(answer, 502, "loader-error")
      assert.is_nil(answer.body:find("refused", 1, true), problem.detail)
      check.says(gw:log(), ("http: GET http://127.0.0.1:%d/x : connection refused (3 attempts)"):format(port))
      assert.is_nil(gw:log():find("topsecret", 1, true))
    end)

    it("are believed only with a certificate that is trusted", function()
      assert.equal(200, said "Secure?id=TRUSTED")
      check.says(said "Secure?id=SYSTEMS_OWN", "the server's certificate is not trusted")
      check.says(said "Secure?id=NOWHERE", "the file of `ca` cannot be used")
    end)

    it("in trouble get a fifth more, not five times as much", function()
      local requests = {}
      for i = 1, 60 do requests[i] = { "GET", "/models/Troubled?id=" .. i } end
      for _, answer in ipairs(http.all(gw.address, requests)) do assert.equal(503, check.document(answer).said) end
      assert.equal(60 + 20 + 12, (troubled:asked()))
      assert.equal(60, gw:metric("perigee_upstream_seconds_count", { kind = "http", outcome = "over-budget" }))
    end)

    it("that hang hold up only those who ask them", function()
      local clients = {}
      for i = 1, 100 do
        clients[i] = http.connect(gw.address)
        clients[i]:send(http.format("GET", "/models/Hung?id=" .. i))
      end
      process.eventually("64 are asked", 10, function() return troubled:asked "/hung/" >= 64 end)
      assert.equal("/plain/meanwhile", said("Plain?id=meanwhile").path)
      assert.equal(64, (troubled:asked "/hung/"))
      for i = 1, 100 do
        check.problem(clients[i]:receive(), 504, "loader-timeout")
        clients[i]:close()
      end
    end)
  end)
end

describe("libcurl", function()
  it("is loaded with the models that speak of http, or by the first request", function()
    local near, far = 'model "Near" { id = key() }', 'model "Far" { id = key(), from_miss = function(self) http.get "http://127.0.0.1:9/" end }'
    local gw = gateway.start { models = near, fds = 10 }
    local function reload(models)
      gateway.write_models(gw.schemas, models)
      check.status(gw:admin("/admin/reload", "POST"), 200)
    end
    reload(near)
    assert.is_false(holds_libcurl(gw))
    reload((far:gsub("http%.get", "(http).get")))
    assert.is_false(holds_libcurl(gw))
    check.problem(gw:get "/models/Far?id=1", 502, "loader-error")
    assert.is_true(holds_libcurl(gw))
    gw:finish()
    gw = gateway.start { models = near }
    reload(far)
    assert.is_true(holds_libcurl(gw))
    gw:finish()
  end)
end)

describe("a machine without libcurl", function()
  it("serves all models but those that ask over HTTP", function()
    local folder = process.temp()
    process.write(folder .. "/libcurl.so.4", "")
    local gw = gateway.start { env = { LD_LIBRARY_PATH = folder }, models = [[
      model "Near" { id = key(), v = field(), from_miss = function(self) self.v = 1 end }
      model "Far" { id = key(), v = field(), from_miss = function(self) http.get "http://127.0.0.1:9/" end } ]] }
    for _ = 1, 2 do check.problem(gw:get "/models/Far?id=1", 502, "loader-error") end
    check.says(gw:log(), "http.get: cannot load libcurl: ", "libcurl.so.4")
    assert.equal(1, check.document(gw:get "/models/Near?id=1").v)
    gw:finish()
    process.remove(folder)
  end)
end)

describe("a schema file that asks over HTTP while it is loaded", function()
  it("is refused", function()
    local folder = process.temp()
    gateway.write_models(folder .. "/schemas", 'local r = http.get "http://127.0.0.1:9/"\nmodel "A" { id = key() }')
    local code, out, err = gateway.run { "check", folder .. "/schemas" }
    assert.equal(1, code)
    check.says(out .. err, "models.lua:1:", "http.get: cannot wait here")
    process.remove(folder)
  end)
end)
