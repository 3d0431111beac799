-- tests/e2e/sources_spec.lua -- loaders that ask a real PostgreSQL, another Redis, and several sources at once.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local origin = require "tests.support.origin"
local postgres = require "tests.support.postgres"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local socket = require "socket"

local has_postgres = os.execute "ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null" == 0

local models = [[
local db, over_socket, guest = postgres(env "PG"), postgres(env "PG_SOCKET"), postgres(env "PG_GUEST")
local wrong = postgres(env "PG_WRONG")
local brief = postgres(env "PG", { timeout = "150ms", connections = 2 })

model "Person" {
  id = key{ type = "integer" }, name = field{ type = "string" }, big = field(), balance = field(), active = field(), tags = field(),
  doc = field(), none = field(), born = field(),
  options = { expires = 300, negative = 300, hard_timeout = 10 },
  from_miss = function(self)
    local row = db:query("SELECT * FROM person WHERE id = $1", self.id)[1]
    if not row then return missing end
    self.name, self.big, self.balance, self.active, self.tags = row.name, row.big, row.balance, row.active, row.tags
    self.doc, self.none, self.born = row.doc, row.none, row.born
  end,
}
local function probe(f) return function(self) self.said = f(self) end end
local function error_of(f, ...)
  local ok, e = pcall(f, ...)
  return ok and "no error" or e
end
local options = { hard_timeout = 30 }
model "Who" { id = key(), said = field(), options = options, from_miss = probe(function(self)
  local source = self.id == "guest" and guest or over_socket
  return source:query("SELECT current_user || '' AS who")[1].who
end) }
model "Wrong" { id = key(), said = field(), options = options, from_miss = probe(function() return wrong:query "SELECT 1" end) }
model "Gone" { id = key(), said = field(), options = options,
  from_miss = probe(function(self) return postgres("postgres://u:topsecret@127.0.0.1:" .. self.id .. "/d"):query "SELECT 1" end) }
model "Error" { id = key(), said = field(), options = options, from_miss = probe(function(self)
  return error_of(db.query, db, ({
    syntax = "SELEC", unique = "INSERT INTO person (id) VALUES (1)", zero = "SELECT 1/0", rows = "SELECT generate_series(1, 1000000)",
    bytes = "SELECT repeat('x', 1000000) FROM generate_series(1, 1000)", begin = "BEGIN",
  })[self.id])
end) }
model "Sleep" { id = key(), said = field(), options = { hard_timeout = 0.4 },
  from_miss = function() db:query "SELECT pg_sleep(1000)" end }
model "Brief" { id = key(), said = field(), options = options,
  from_miss = probe(function() return error_of(brief.query, brief, "SELECT pg_sleep(1000)") end) }
model "Long" { id = key(), said = field(), options = { hard_timeout = 60 },
  from_miss = probe(function() return error_of(db.query, db, "SELECT pg_sleep(1000) AS long") end) }
model "Busy" { id = key(), said = field(), options = options, from_miss = probe(function()
  db:query "SELECT pg_sleep(0.02)"
  return tonumber(db:query("SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'perigee'")[1].n)
end) }
model "Asleep" { id = key(), said = field(), options = { expires = 0, hard_timeout = 10 }, from_miss = probe(function()
  return over_socket:query("SELECT count(*) AS n FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1000)%' AND state = 'active' "
    .. "AND pid <> pg_backend_pid()")[1].n
end) }
]]

local schema = [[
CREATE TABLE person (id int PRIMARY KEY, name text, big int8, balance numeric(30,10), active bool, tags text[], doc jsonb, none text, born date);
INSERT INTO person VALUES (1, 'Zoë "Z"', 9007199254740993, 12345678901234567.1234567891, true, '{a,NULL,"b c"}',
  '{"n": [1, 2.50, 12345678901234567890123], "e": {}, "l": []}', NULL, '2024-02-29');
INSERT INTO person SELECT n FROM generate_series(2, 200) n;
GRANT ALL ON person TO guest;
]]

local function asleep(gw)
  local n = check.document(gw:get("/models/Asleep?id=1", { ["Cache-Control"] = "no-cache" })).said
  return n
end

for _, store in ipairs { "memory", "redis" } do
  describe("PostgreSQL behind " .. store, function()
    if not has_postgres then return pending "no PostgreSQL here" end
    local gw, server
    setup(function()
      server = postgres.start()
      process.write(server.folder .. "/schema.sql", schema)
      local code, _, err = process.run { argv = { "psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", server.socket_url, "-f", server.folder .. "/schema.sql" } }
      assert(code == 0, err)
      gw = gateway.start { models = models, store = store, args = { "--drain", "1s" }, fds = 40, beside = { server }, env = {
        PG = server.url, PG_SOCKET = server.socket_url, PG_GUEST = server.guest_url, PG_WRONG = server.wrong_url,
      } }
    end)
    teardown(function() gw:finish() end)

    it("is a source of exact values", function()
      local body = check.status(gw:get "/models/Person?id=1", 200).body
      assert.equal([[{"id":1,"name":"Zoë \"Z\"","big":9007199254740993,"balance":12345678901234567.1234567891,"active":true,]]
        .. [["tags":["a",null,"b c"],"doc":{"e":{},"l":[],"n":[1,2.5,12345678901234567890123]},"none":null,"born":"2024-02-29"}]], body)
      assert.is_true(check.cache_status(gw:get "/models/Person?id=1").hit)
      check.problem(gw:get "/models/Person?id=4711", 404, "missing")
      assert.equal('{"id":2,"name":null,"big":null,"balance":null,"active":null,"tags":null,"doc":null,"none":null,"born":null}',
        check.status(gw:get "/models/Person?id=2", 200).body)
    end)

    it("lets in who has the right password, over TCP and a socket", function()
      assert.equal("guest", check.document(gw:get "/models/Who?id=guest").said)
      assert.equal("owner", check.document(gw:get "/models/Who?id=owner").said)
    end)

    it("never shows a password", function()
      local before = gw:log()
      local answer = gw:get "/models/Wrong?id=1"
      check.problem(answer, 502, "loader-error")
      assert.is_nil(answer.body:find("topsecret", 1, true))
      local refused = gw:get("/models/Gone?id=" .. process.free_port())
      check.problem(refused, 502, "loader-error")
      local log = gw:log():sub(#before)
      check.says(log, [[password authentication failed for user \"guest\"]], "Connection refused")
      assert.is_nil(log:find("topsecret", 1, true))
    end)

    it("tells errors with their SQLSTATE, and goes on", function()
      for id, words in pairs {
        syntax = 'syntax error at or near "SELEC" (SQLSTATE 42601)', zero = "division by zero (SQLSTATE 22012)",
        unique = 'duplicate key value violates unique constraint "person_pkey" (SQLSTATE 23505)', rows = "postgres: more than 10000 rows",
        bytes = "postgres: rows of more than 16777216 bytes", begin = "postgres: a transaction cannot span queries",
      } do
        check.says(check.document(gw:get("/models/Error?id=" .. id)).said, words)
      end
      check.status(gw:get "/models/Person?id=3", 200)
    end)

    it("is stopped at a deadline, at the server too, and the pool goes on", function()
      local clients = {}
      for i = 1, 20 do -- more than connections
        clients[i] = http.connect(gw.address)
        clients[i]:send(http.format("GET", "/models/Sleep?id=" .. i))
      end
      for i = 1, 20 do
        check.problem(clients[i]:receive(), 504, "loader-timeout")
        clients[i]:close()
      end
      check.status(gw:get "/models/Person?id=4", 200)
      check.says(check.document(gw:get "/models/Brief?id=1").said, "postgres: timeout")
      process.eventually("no query goes on at the server", 10, function() return asleep(gw) == 0 end)
      assert(gw:metric("perigee_upstream_seconds_count", { kind = "postgres", outcome = "cancelled" }) >= 20)
      assert.equal(1, gw:metric("perigee_upstream_seconds_count", { kind = "postgres", outcome = "timeout" }))
    end)

    it("serves a hundred loads over its eight connections", function()
      local clients, most = {}, 0
      for i = 1, 100 do
        clients[i] = http.connect(gw.address)
        clients[i]:send(http.format("GET", "/models/Busy?id=" .. i))
      end
      for i = 1, 100 do
        most = math.max(most, check.document(clients[i]:receive()).said)
        clients[i]:close()
      end
      assert(most <= 8 + 4, most .. " connections") -- the other handles of this schema have theirs
      assert(most >= 4, most .. " connections")
    end)

    it("may crash in the middle of a query, and come back", function()
      local client = http.connect(gw.address)
      client:send(http.format("GET", "/models/Long?id=1"))
      process.eventually("the query runs", 10, function() return asleep(gw) == 1 end)
      server:crash()
      check.says(check.document(client:receive()).said, "postgres: ")
      client:close()
      check.problem(gw:get "/models/Person?id=5", 502, "loader-error")
      check.status(gw:get "/models/Person?id=1", 200) -- from the cache
      server:run()
      process.eventually("it is back", 10, function() return gw:get("/models/Person?id=5").status == 200 end)
    end)

    it("is no reason to hold up the end", function()
      local client = http.connect(gw.address)
      client:send(http.format("GET", "/models/Long?id=2"))
      process.eventually("the query runs", 10, function() return asleep(gw) == 1 end)
      client:close()
      gw:signal "HUP" -- models are swapped while it runs
      process.eventually("reloaded", 10, function() return gw:metric("perigee_reloads_total", { result = "ok" }) >= 1 end)
      check.status(gw:get "/models/Person?id=6", 200)
    end)
  end)
end

describe("another Redis", function()
  local gw, server
  setup(function()
    server = redis.start(nil, {}) -- one that handlers ask, and no store
    server:command("HSET", "user:bob", "email", "bob@x", "age", "41")
    gw = gateway.start { fds = 4, beside = { server }, env = { SOURCE = server.url }, models = [[
local source = redis(env "SOURCE")
model "User" { username = key(), email = field(), age = field(), options = { negative = 60, hard_timeout = 10 }, from_miss = function(self)
  local flat = source:command("HGETALL", "user:" .. self.username)
  if #flat == 0 then return missing end
  for i = 1, #flat, 2 do self[flat[i] ] = flat[i + 1] end
  self.age = tonumber(self.age)
end }
model "Count" { id = key(), n = field(), options = { expires = 0, hard_timeout = 10 },
  from_miss = function(self) self.n = source:command("INCR", "count:" .. self.id) end }
model "Blocks" { id = key(), n = field(), from_miss = function(self) self.n = source:command("BLPOP", "queue", 0) end }
model "Slow" { id = key(), n = field(), options = { hard_timeout = 0.2 }, from_miss = function()
  source:command("EVAL", "while true do end", 0)
end }
]] }
  end)
  teardown(function() gw:finish() end)

  it("is a source", function()
    assert.equal('{"username":"bob","email":"bob@x","age":41}', check.status(gw:get "/models/User?username=bob", 200).body)
    check.problem(gw:get "/models/User?username=eve", 404, "missing")
    check.problem(gw:get "/models/Blocks?id=1", 502, "loader-error")
    check.says(gw:log(), "redis: BLPOP is refused: it blocks")
  end)

  it("answers each of many at once with its own", function()
    local clients = {}
    for i = 1, 100 do
      clients[i] = http.connect(gw.address)
      clients[i]:send(http.format("GET", "/models/Count?id=" .. i % 10))
    end
    for i = 1, 100 do
      check.document(clients[i]:receive())
      clients[i]:close()
    end
    for i = 0, 9 do
      local n = tonumber(server:command("GET", "count:" .. i))
      assert(n >= 1 and n <= 10, n)
    end
  end)

  it("may hang, be killed, and come back", function()
    check.problem(gw:get "/models/Slow?id=1", 504, "loader-timeout")
    server:kill()
    check.problem(gw:get "/models/User?username=new", 502, "loader-error")
    local again = redis.start(server.port, {})
    again:command("HSET", "user:new", "email", "new@x")
    process.eventually("it is back", 10, function() return gw:get("/models/User?username=new").status == 200 end)
    again:stop()
  end)
end)

describe("parallel", function()
  local gw, source
  setup(function()
    source = origin.start()
    gw = gateway.start { fds = 8, beside = { source }, env = { ORIGIN = source.url }, models = [[
local BASE = env "ORIGIN"
local function get(path) return function() return http.get(BASE .. path):json().path end end
model "Both" { id = key(), a = field(), b = field(), c = field(), options = { hard_timeout = 20 }, from_miss = function(self)
  self.a, self.b, self.c = parallel(get "/both/a?delay=300", get "/both/b?delay=200", function() return "c" end)
end }
model "Fails" { id = key(), a = field(), options = { hard_timeout = 60 }, from_miss = function(self)
  parallel(get "/fails/hang?hang=1", function() get "/fails/quick?delay=50" () error "on purpose" end)
end }
model "Late" { id = key(), a = field(), options = { hard_timeout = 0.3 }, from_miss = function()
  pcall(parallel, get "/late/a?hang=1", function() parallel(get "/late/b?hang=1", get "/late/c?hang=1") end)
end }
]] }
  end)
  teardown(function() gw:finish() end)

  it("has all under way before one has ended", function()
    assert.equal('{"id":"1","a":"/both/a","b":"/both/b","c":"c"}', check.status(gw:get "/models/Both?id=1", 200).body)
    local n, most = source:asked "/both"
    assert.equal(2, n)
    assert.equal(2, most)
  end)

  it("ends with the first that raises", function()
    local start = socket.gettime()
    check.problem(gw:get "/models/Fails?id=1", 502, "loader-error")
    assert(socket.gettime() - start < 30, "it has waited for the other")
    assert.equal(2, (source:asked "/fails"))
    check.says(gw:log(), "on purpose")
    process.eventually("the other is cancelled", 5, function()
      return gw:metric("perigee_upstream_seconds_count", { kind = "http", outcome = "cancelled" }) == 1
    end)
  end)

  it("ends at the caller's deadline, within each other too", function()
    check.problem(gw:get "/models/Late?id=1", 504, "loader-timeout")
    assert.equal(3, (source:asked "/late"))
    process.eventually("all are cancelled", 5, function()
      return gw:metric("perigee_upstream_seconds_count", { kind = "http", outcome = "cancelled" }) == 4
    end)
  end)
end)
