-- tests/e2e/tls_spec.lua -- Redis over TLS: who is believed and who is not, what the log says of it, and that nothing is ever sent in clear. That all
-- else is as it is in clear, the other suites show with REDIS_OVER_TLS=1.
local certs = require "tests.support.certs"
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local socket = require "socket"

local models = [[
model "Note" { id = key(), text = field() }
model "Asked" { id = key(), text = field(), from_miss = function(self) self.text = redis(env "SOURCE"):command("GET", self.id) end }
]]

local NOTE = "/models/Note?id=1"
local ONE_CONNECTION = { "--near-cache-bytes", "0", "--redis-timeout", "10s" } -- be the machine busy or not

-- A real openssl s_server: a TLS server that speaks no Redis. It sends the lines that it is given, but for "r": it asks to shake hands again.
local function s_server(made, ...)
  local self = { folder = process.temp(), port = process.free_port() }
  self.input = self.folder .. "/input"
  os.execute("mkfifo " .. self.input)
  local words = { "openssl", "s_server", "-accept", "127.0.0.1:" .. self.port, "-cert", made.cert, "-key", made.key, ... }
  for i, word in ipairs(words) do words[i] = process.quote(word) end
  self.process = process.start {
    argv = { "sh", "-c", ("exec %s <>%s"):format(table.concat(words, " "), self.input) }, folder = self.folder,
  }
  process.eventually("s_server listens", 10, function() return self.process:out():find "ACCEPT" end)
  self.pipe = assert(io.open(self.input, "w"))
  function self:await(text)
    process.eventually("it is asked to " .. text, 10, function() return self.process:out():find(text, 1, true) end)
  end
  function self:send(text)
    self.pipe:write(text)
    self.pipe:flush()
  end
  function self:stop()
    self.pipe:close()
    self.process:kill()
    process.remove(self.folder)
  end
  return self
end

describe("Redis over TLS", function()
  local authority, shown, gw, beside

  setup(function()
    authority = certs.authority()
    shown = authority:issue()
    shown.ca = authority.ca
  end)
  teardown(function() authority:remove() end)
  before_each(function() beside = {} end)
  local function finish()
    local one = gw
    gw = nil
    if one then one:finish() end
  end

  after_each(function()
    finish()
    for _, one in ipairs(beside) do one:stop() end
  end)

  local function with(one)
    beside[#beside + 1] = one
    return one
  end

  local function server(tls, ...) return with(redis.start(nil, { tls = tls or shown, args = { ... } })) end

  local function start(url, options)
    options = options or {}
    gw = gateway.start { models = models, store = url, fds = 8, env = options.env, args = options.args }
    return gw
  end

  local function url_of(port, ...) return ("rediss://127.0.0.1:%d/0%s"):format(port, ... and "?" .. table.concat({ ... }, "&") or "") end

  local function serves()
    gw:await_store()
    check.status(gw:put(NOTE, '{"text":"x"}'), 201)
    check.status(gw:get(NOTE), 200)
  end

  -- The sentence that the log has for it, once; and the store stays away.
  local function refuses(url, why, options)
    start(url, options)
    process.eventually(function() return ("`%s` in %s"):format(why, gw:log()) end, 5 * gateway.patience, function()
      return gw:log():find(why, 1, true)
    end)
    check.problem(gw:get(NOTE), 503, "store-unavailable")
    assert.equal(0, gw:metric "perigee_store_up")
    local _, times = gw:log():gsub('"store unreachable"', "")
    assert.equal(1, times, gw:log())
    assert.is_nil(gw:log():find '"store connected"')
  end

  it("is believed when its certificate is for the address or the name, by an authority of ours", function()
    local one = server()
    start(one.tls_url)
    serves()
    assert.is_nil(gw:log():find "verif")
    finish()
    start(("rediss://localhost:%d/0?ca=%s"):format(one.tls_port, authority:as_folder()))
    gw:await_store()
    check.status(gw:get(NOTE), 200)
    finish()
    start(url_of(one.tls_port), { env = { SSL_CERT_FILE = authority.ca, SSL_CERT_DIR = "/nonexistent" } }) -- the system's
    gw:await_store()
    check.status(gw:get(NOTE), 200)
  end)

  it("is believed by the name that the URL gives, and by no other", function()
    local made = authority:issue { names = "DNS:redis.internal,DNS:*.shard.internal" }
    made.ca = authority.ca
    local one = server(made)
    for _, name in ipairs { "redis.internal", "a.shard.internal" } do
      start(url_of(one.tls_port, "ca=" .. authority.ca, "server_name=" .. name))
      gw:await_store()
      finish()
    end
    for _, name in ipairs { "other.internal", "a.b.shard.internal", "10.0.0.1" } do
      refuses(url_of(one.tls_port, "ca=" .. authority.ca, "server_name=" .. name), "certificate verify failed: it is not for " .. name)
      finish()
    end
    refuses(url_of(one.tls_port, "ca=" .. authority.ca), "certificate verify failed: it is not for 127.0.0.1")
  end)

  it("is refused when nobody we believe speaks for it, or no longer", function()
    local other = with(certs.authority())
    other.stop = other.remove
    local stranger, own, ended = other:issue(), authority:issue { own = true }, authority:issue { ended = true }
    for _, case in ipairs {
      { stranger, "certificate verify failed: unable to get local issuer certificate" },
      { own, "certificate verify failed: self-signed certificate" },
      { ended, "certificate verify failed: certificate has expired" },
    } do
      case[1].ca = authority.ca
      refuses(url_of(server(case[1]).tls_port, "ca=" .. authority.ca), case[2])
      finish()
    end
    refuses(url_of(server().tls_port), "certificate verify failed: ", { env = { SSL_CERT_FILE = other.ca, SSL_CERT_DIR = "/nonexistent" } })
  end)

  it("is believed by all with verify=off, which the log says once", function()
    local own = authority:issue { own = true, names = "DNS:elsewhere" }
    own.ca = authority.ca
    local one = server(own)
    one:command("SET", "asked", "an answer")
    start(url_of(one.tls_port, "verify=off"), { env = { SOURCE = url_of(one.tls_port, "verify=off") } })
    serves()
    assert.equal("an answer", check.document(gw:get "/models/Asked?id=asked").text)
    local _, times = gw:log():gsub("whoever answers is believed", "")
    assert.equal(1, times, gw:log())
    assert(gw.ready_line:find("verify=off", 1, true))
  end)

  it("is shown our certificate where it wants one", function()
    local ours = authority:issue { names = "DNS:gateway" }
    local one = server { ca = authority.ca, cert = shown.cert, key = shown.key, clients = "yes" }
    start(url_of(one.tls_port, "ca=" .. authority.ca, "cert=" .. ours.cert, "key=" .. ours.key))
    serves()
    finish()
    refuses(one.tls_url, "TLS: tlsv13 alert certificate required")
  end)

  it("says which of our files cannot be used", function()
    local one, ours, other = server(), authority:issue(), authority:issue()
    local bad = authority.folder .. "/bad.pem"
    process.write(bad, "no certificate")
    for _, case in ipairs {
      { "ca=/nonexistent", "TLS option `ca`: no such file or directory" },
      { "ca=" .. bad, "TLS option `ca`: " },
      { "ca=" .. authority.ca, "cert=/nonexistent", "key=" .. ours.key, "TLS option `cert`: no such file or directory" },
      { "ca=" .. authority.ca, "cert=" .. bad, "key=" .. ours.key, "TLS option `cert`: no start line" },
      { "ca=" .. authority.ca, "cert=" .. ours.cert, "key=/nonexistent", "TLS option `key`: no such file or directory" },
      { "ca=" .. authority.ca, "cert=" .. ours.cert, "key=" .. other.key, "TLS option `key`: key values mismatch" },
    } do
      local why = table.remove(case)
      refuses(url_of(one.tls_port, unpack(case)), why)
      finish()
    end
  end)

  it("has its files read anew at each connect", function()
    local one, path = server(), authority.folder .. "/rotated.pem"
    local other = with(certs.authority())
    other.stop = other.remove
    process.write(path, process.read(other.ca))
    refuses(url_of(one.tls_port, "ca=" .. path), "certificate verify failed")
    process.write(path, process.read(authority.ca))
    serves()
    local renewed = authority:issue()
    one:command("CONFIG", "SET", "tls-cert-file", renewed.cert, "tls-key-file", renewed.key)
    one:command("CLIENT", "KILL", "TYPE", "normal")
    process.eventually("it is back", 5, function() return gw:get(NOTE).status == 200 end)
  end)

  it("is TLS 1.2 at least", function()
    local old = with(s_server(shown, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"))
    refuses(url_of(old.port, "ca=" .. authority.ca), "TLS: ")
    assert(gw:log():find "TLS: tlsv1 alert protocol version" or gw:log():find "TLS: unsupported protocol", gw:log())
    finish()
    local one = server(nil, "--tls-protocols", "TLSv1.2")
    start(one.tls_url)
    serves()
  end)

  it("is not mistaken for a server in clear, nor the reverse", function()
    local one = server()
    refuses(url_of(one.port, "ca=" .. authority.ca), "no TLS")
    finish()
    refuses(("redis://127.0.0.1:%d/0"):format(one.tls_port), "rediss://")
  end)

  it("never gets a byte in clear, whatever it does", function()
    local listener = assert(socket.bind("127.0.0.1", 0))
    local _, port = listener:getsockname()
    with { stop = function() listener:close() end }
    start(("rediss://planted:secret@127.0.0.1:%d/0?ca=%s"):format(port, authority.ca), { args = { "--redis-timeout", "200ms" } })
    local answers = { "", "-ERR\r\n", "+OK\r\n+PONG\r\n", "\21\3\3\0\2\2\40", "\22\3\3\0\4\2\0\0\0", "\23\3\3\0\1x", "HTTP/1.1 400 Bad\r\n\r\n" }
    listener:settimeout(10)
    for i = 1, #answers do
      local peer = assert(listener:accept())
      peer:settimeout(0.05)
      local function receive() local all, _, part = peer:receive(65536) return all or part end
      local hello = receive()
      assert.equal("\22\3", hello:sub(1, 2))
      peer:send(answers[i])
      local rest = hello .. receive()
      for _, word in ipairs { "secret", "planted", "PING", "AUTH", "HELLO", "TRACKING" } do assert.is_nil(rest:find(word, 1, true)) end
      peer:close()
    end
    check.problem(gw:get(NOTE), 503, "store-unavailable")
  end)

  it("has no longer for its handshake than for a connection", function()
    local listener = assert(socket.bind("127.0.0.1", 0)) -- connects, and says nothing
    local _, port = listener:getsockname()
    with { stop = function() listener:close() end }
    local before = socket.gettime()
    refuses(url_of(port, "ca=" .. authority.ca), "no TLS handshake in time", { args = { "--redis-timeout", "300ms" } })
    assert(socket.gettime() - before < 2 * gateway.patience)
  end)

  it("may go without a word, and ask to shake hands again: then it is lost", function()
    local again = with(s_server(shown, "-tls1_2"))
    start(url_of(again.port, "ca=" .. authority.ca), { args = ONE_CONNECTION })
    again:await "PING"
    again:send "+PONG\r\n"
    gw:await_store()
    again:send "r\n"
    process.eventually("it is refused", 5, function() return gw:log():find("asks to renegotiate, which is refused", 1, true) end)
    finish()

    local one = server()
    start(one.tls_url)
    serves()
    one:kill()
    process.eventually("the log says so", 5, function() return gw:log():find "store lost" end)
    check.says(gw:log(), "the connection ended without a close_notify")
    check.problem(gw:get(NOTE), 503, "store-unavailable")
  end)

  it("may be cut off in the middle of an answer, which is none then", function()
    local cut = with(s_server(shown))
    start(url_of(cut.port, "ca=" .. authority.ca), { args = ONE_CONNECTION })
    cut:await "PING"
    cut:send "+PONG\r\n"
    gw:await_store()
    local client = http.connect(gw.address)
    client:send(http.format("GET", NOTE))
    cut:await "GET"
    cut:send "$100\r\nPGE"
    cut.process:kill()
    check.problem(client:receive(), 503, "store-unavailable")
    check.says(gw:log(), "store lost")
    client:close()
  end)

  it("serves handlers, too", function()
    local one = server()
    one:command("SET", "asked", "an answer")
    start("memory:", { env = { SOURCE = one.tls_url } })
    assert.equal("an answer", check.document(gw:get "/models/Asked?id=asked").text)
    finish()
    start("memory:", { env = { SOURCE = url_of(one.tls_port) } })
    check.problem(gw:get "/models/Asked?id=asked", 502, "loader-error")
    check.says(gw:log(), "redis: certificate verify failed")
  end)

  it("carries what is long, and much of it at once", function()
    local one = server()
    start(one.tls_url, { args = { "--near-cache-bytes", "0" } })
    gw:await_store()
    local texts = {}
    for i = 1, 40 do
      texts[i] = ("%d "):format(i):rep(i * 8000 / #tostring(i))
      check.status(gw:put("/models/Note?id=" .. i, ('{"text":"%s"}'):format(texts[i])), 201)
    end
    local keys = {}
    for i = 1, 40 do keys[i] = ('{"id":"%d"}'):format(i) end
    for _ = 1, 3 do
      local answer = check.document(gw:request("POST", "/models/Note/_bulk", { ["Content-Type"] = "application/json" },
        ('{"get":[%s]}'):format(table.concat(keys, ","))))
      for i = 1, 40 do assert.equal(texts[i], answer.get[i].value.text) end
    end
  end)
end)
