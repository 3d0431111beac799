-- tests/e2e/sentinel_spec.lua -- a master that sentinels name: what clients see when it dies, hangs or hands over, and who is believed.
local certs = require "tests.support.certs"
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local sentinels = require "tests.support.sentinels"
local socket = require "socket"

local models = [[
model "Note" { id = key(), text = field() }
model "Loaded" { id = key(), text = field(), options = { expires = 300 }, from_miss = function(self) self.text = "loaded" end }
model "Asked" { id = key(), text = field(), options = { expires = 300 },
  from_miss = function(self) self.text = redis(env "SOURCE"):command("GET", self.id) end }
]]

local NOTE = "/models/Note?id=1"
local TIMEOUT = 0.5 -- of redis; what a request may take, and a little

local function start(group, options)
  options = options or {}
  local gw = gateway.start {
    models = models, store = options.url or group:url(), workers = options.workers or 1, fds = 10, env = { SOURCE = options.url or group:url() },
    args = { "--redis-timeout", TIMEOUT .. "s" },
  }
  return gw
end

local function await_near(gw)
  process.eventually("the near cache is on", 5, function() return gw:metric "perigee_near_cache_up" == 1 end)
end

-- Reads and saves without a pause while `during` runs, until `until_ok` in a row have gone well: what happened, { status =, took =, at = } each.
-- Every value that was acknowledged is the last one written or newer.
local function stream(gw, id, done)
  local target, seen, written, confirmed = "/models/Note?id=" .. id, {}, 0, 0
  local function note(response, before, kind)
    seen[#seen + 1] = { status = response.status, took = socket.gettime() - before, at = before, kind = kind, code = response.body:match '"code":"([^"]*)"' }
  end
  while not done(seen) do
    written = written + 1
    local before = socket.gettime()
    local saved = gw:put(target, ('{"text":%d}'):format(written))
    note(saved, before, "save")
    if saved.status < 300 then confirmed = written end
    before = socket.gettime()
    local read = gw:get(target)
    note(read, before, "read")
    if read.status == 200 then seen[#seen].value = check.document(read).text end
  end
  return seen, written, confirmed
end

-- Errors are 503 store-unavailable, none took longer than the deadline; from `back` on there is none.
local function judge(seen, back)
  local slack = 0.35 * gateway.patience
  for _, one in ipairs(seen) do
    assert(one.took <= TIMEOUT + slack, ("%s took %.3f"):format(one.kind, one.took))
    if one.status >= 400 then
      assert(one.status == 503 and one.code == "store-unavailable" or one.status == 404, one.status .. " " .. tostring(one.code))
      assert(one.at <= back, ("%s: %d, %.3f s after it should be back"):format(one.kind, one.status, one.at - back))
    end
  end
end

local function in_a_row(seen, n)
  if #seen < n then return false end
  for i = #seen - n + 1, #seen do
    if seen[i].status >= 300 then return false end
  end
  return true
end

describe("a master that sentinels name", function()
  local group, gw
  setup(function() group = sentinels.start() end)
  teardown(function() group:stop() end)
  before_each(function() group:settle() end)
  after_each(function()
    if gw then gw:finish() end
    gw = nil
  end)

  -- `strike` and what comes of it, under a stream of reads and saves. Returns the new master.
  local function fail_over(strike)
    local old = group:master()
    gw = start(group)
    gw:await_store()
    await_near(gw)
    gw:put("/models/Note?id=kept", '{"text":"kept"}')
    process.eventually("the replicas have it", 5, function() return group:all_have "perigee:Note:*:id=kept" end)
    strike(old)
    local new, since
    local seen = stream(gw, "stream", function(seen)
      if not new and #seen % 8 == 0 then new = group:new_master(old) end
      if new and not since then since = socket.gettime() end
      return new and in_a_row(seen, 20) or (since and socket.gettime() - since > 10)
    end)
    judge(seen, since + 3 * gateway.patience)
    assert(in_a_row(seen, 20), gw:log())
    local kept
    process.eventually("it answers for what it has", 3 * gateway.patience, function() -- those in a row may have been the old one's last
      kept = gw:get "/models/Note?id=kept"
      return kept.status ~= 503
    end)
    assert.equal("kept", check.document(kept).text)
    assert(group:all_have("perigee:Note:*:id=kept", old))
    process.eventually("it is the master that has what is saved", 10, function() -- on a busy machine there may be another one by now
      new = group:new_master(old) or new
      return gw:put("/models/Note?id=stream", '{"text":0}').status < 300 and #(new:try("KEYS", "perigee:Note:*:id=stream") or {}) == 1
    end)
    await_near(gw)
    gw:put(NOTE, '{"text":1}')
    process.eventually("a near copy", 5, function() return check.cache_status(check.status(gw:get(NOTE), 200)).detail == "near" end)
    new:command("FLUSHALL")
    process.eventually("it is the new one who tells", 2, function() return gw:get(NOTE).status == 404 end)
    return new, seen
  end

  it("may be killed: errors only until there is another", function()
    local _, seen = fail_over(function(old) old:kill() end)
    local errors = 0
    for _, one in ipairs(seen) do if one.status == 503 then errors = errors + 1 end end
    assert(errors > 0)
    check.says(gw:log(), "store lost")
    check.says(gw:log(), "store is back")
    local _, times = gw:log():gsub('"store lost"', "")
    assert(times <= 2, gw:log())
  end)

  it("may hang", function()
    local hung
    fail_over(function(old)
      hung = old
      old.process:signal "STOP"
    end)
    hung.process:signal "CONT" -- back from the dead, it believes that it is master still, for a moment
    for _ = 1, 50 do
      local response = gw:put("/models/Note?id=after", '{"text":1}')
      assert(response.status < 300 or response.status == 503)
    end
    assert.equal(1, #group:master():command("KEYS", "perigee:Note:*:id=after"))
  end)

  it("may hand over", function()
    fail_over(function() group:failover() end)
  end)

  it("is asked for by handlers, too, and followed", function()
    gw = start(group)
    gw:await_store()
    group:master():command("SET", "asked", "before")
    assert.equal("before", check.document(gw:get "/models/Asked?id=asked").text)
    local old = group:master()
    group:failover()
    local new = group:await_failover(old)
    new:command("SET", "later", "after")
    process.eventually("the handler finds it", 5, function() return gw:get "/models/Asked?id=later".status == 200 end)
  end)

  it("is one only while it says so: a demoted one is left before it answers anything more", function()
    gw = start(group)
    gw:await_store()
    await_near(gw)
    check.status(gw:put(NOTE, '{"text":"before"}'), 201)
    local old = group:master()
    local other = group.servers[1] == old and group.servers[2] or group.servers[1]
    old:command("REPLICAOF", "127.0.0.1", other.port) -- by hand: nobody ends our connections
    process.eventually("it is left", 5, function()
      return gw:put(NOTE, '{"text":"after"}').status == 503 and gw:log():find("it is no master any more", 1, true)
    end)
    old:command("REPLICAOF", "NO", "ONE")
    process.eventually("it is one again", 10 * gateway.patience, function() return gw:put(NOTE, '{"text":"after"}').status < 300 end)
  end)

  it("is found by any one of the sentinels, also when the others hang, and by those that it names", function()
    local asleep = { group.sentinels[1], group.sentinels[2] }
    for _, one in ipairs(asleep) do one.process:signal "STOP" end
    gw = start(group)
    gw:await_store(5 * gateway.patience)
    for _, one in ipairs(asleep) do one.process:signal "CONT" end
    gw:finish()

    gw = start(group, { url = group:url { 1 } })
    gw:await_store()
    group.sentinels[1].process:signal "STOP"
    group:master():command("CLIENT", "KILL", "TYPE", "normal")
    process.eventually("it is back", 5 * gateway.patience, function() return gw:put(NOTE, '{"text":1}').status < 300 end)
    group.sentinels[1].process:signal "CONT"
  end)

  it("may be named by hosts that have names", function()
    local url = group:url():gsub("127%.0%.0%.1", "localhost")
    gw = start(group, { url = url })
    gw:await_store()
    check.status(gw:put("/models/Note?id=names", '{"text":1}'), 201)
  end)

  it("must be known to them", function()
    local url = group:url():gsub("mymaster", "other")
    gw = start(group, { url = url })
    process.eventually("the log says so", 5, function() return gw:log():find("knows no such master", 1, true) end)
    check.problem(gw:get(NOTE), 503, "store-unavailable")
    check.status(gw:get "/models/Loaded?id=1", 200)
  end)

  it("may be away with its sentinels: 503 at once, and loaders answer", function()
    gw = gateway.start {
      models = models, store = ("redis+sentinel://127.0.0.1:%d,127.0.0.1:%d/m"):format(process.free_port(), process.free_port()), fds = 4,
    }
    process.eventually("the log says so", 5, function() return gw:log():find("connection refused", 1, true) or gw:log():find("Connection refused", 1, true) end)
    local before = socket.gettime()
    check.problem(gw:get(NOTE), 503, "store-unavailable")
    check.status(gw:get "/models/Loaded?id=1", 200)
    assert(socket.gettime() - before < 0.3 * gateway.patience)
  end)
end)

describe("sentinels that want a password", function()
  local group, gw
  after_each(function()
    if gw then gw:finish() end
    gw = nil
    group:stop()
  end)

  local function serves(url)
    gw = start(group, { url = url })
    gw:await_store()
    assert(gw:put(NOTE, '{"text":1}').status < 300)
    assert.is_nil((gw:log() .. gw.ready_line):find "secret")
    gw:finish()
    gw = nil
  end

  it("get their own, or that of the servers", function()
    group = sentinels.start { password = "secret1", sentinel_password = "secret2" }
    serves(group:url(nil, ":secret1@", "?sentinel_password=secret2"))
    gw = start(group, { url = group:url(nil, ":secret1@", "?sentinel_password=wrong") })
    process.eventually("the log says so", 5, function() return gw:log():find("credentials refused: WRONGPASS", 1, true) end)
    check.problem(gw:get(NOTE), 503, "store-unavailable")
    gw:finish()
    gw = nil
    for _, one in ipairs(group.sentinels) do
      one:command("ACL", "SETUSER", "default", "resetpass", ">secret1")
      one.password = "secret1"
    end
    serves(group:url(nil, ":secret1@"))
    for _, one in ipairs(group.sentinels) do
      one:command("ACL", "SETUSER", "default", "nopass")
      one.password = nil
    end
    serves(group:url(nil, ":secret1@"))
  end)
end)

-- All of them over TLS: certificates of the servers are for a name that the sentinels do not say, those of the sentinels for their address, too.
describe("sentinels and servers over TLS", function()
  local authority, group, gw
  setup(function()
    authority = certs.authority()
    local shown = authority:issue { names = "DNS:redis.internal" }
    shown.ca, shown.sentinel = authority.ca, authority:issue { names = "DNS:redis.internal,IP:127.0.0.1" }
    group = sentinels.start { tls = shown }
  end)
  teardown(function()
    group:stop()
    authority:remove()
  end)
  before_each(function() group:settle() end)
  after_each(function()
    if gw then gw:finish() end
    gw = nil
  end)

  local function with(...) return group:url(nil, nil, "?" .. table.concat({ ... }, "&")) end

  -- What is connected to this server from outside its group comes by the port for TLS.
  local function all_in_tls(server)
    local n = 0
    for line in server:command("CLIENT", "LIST", "TYPE", "NORMAL"):gmatch "[^\n]+" do
      local port, command = line:match " laddr=%S+:(%d+) ", line:match " cmd=(%S+)"
      if not command:match "^client" then
        assert.equal(tostring(server.tls_port), port, line)
        n = n + 1
      end
    end
    return n
  end

  it("are believed by the name that the URL gives, and followed when they hand over", function()
    gw = start(group, { url = with("ca=" .. authority.ca, "server_name=redis.internal") })
    gw:await_store()
    await_near(gw)
    check.status(gw:put(NOTE, '{"text":1}'), 201)
    local old = group:master()
    assert.equal(1, #old:command("KEYS", "perigee:Note:*:id=1"))
    if redis.version() >= 6.2 then assert(all_in_tls(old) >= 2) end -- the worker's connection, and the one for near copies
    process.eventually("the replicas have it", 5, function() return group:all_have "perigee:Note:*:id=1" end)
    group:failover()
    local new = group:await_failover(old)
    process.eventually("it saves to the new one", 5 * gateway.patience, function()
      return gw:put("/models/Note?id=2", '{"text":2}').status < 300 and #new:command("KEYS", "perigee:Note:*:id=2") == 1
    end)
    assert.equal(1, check.document(gw:get(NOTE)).text)
    if redis.version() >= 6.2 then assert(all_in_tls(new) >= 1) end
  end)

  it("are refused under a name that is not theirs, the servers as well as the sentinels", function()
    gw = start(group, { url = with("ca=" .. authority.ca) }) -- what the sentinels name has no certificate for that
    process.eventually("the log says so", 5 * gateway.patience, function()
      return gw:log():find("certificate verify failed: it is not for 127.0.0.1", 1, true)
    end)
    check.problem(gw:get(NOTE), 503, "store-unavailable")
    assert.is_nil(gw:log():find("sentinel 127.0.0.1", 1, true), gw:log()) -- those are believed
    gw:finish()
    gw = start(group, { url = with("ca=" .. authority.ca, "server_name=other.internal") })
    process.eventually("the log says so", 5 * gateway.patience, function()
      return gw:log():find("sentinel 127.0.0.1:%d+: certificate verify failed")
    end)
    check.problem(gw:get(NOTE), 503, "store-unavailable")
  end)

  it("are not spoken to in clear, nor the reverse", function()
    gw = start(group, { url = (with("ca=" .. authority.ca):gsub("^rediss", "redis"):gsub("%?.*", "")) })
    process.eventually(function() return "rediss:// in " .. gw:log() end, 5 * gateway.patience * gateway.patience, function() return gw:log():find("rediss://", 1, true) end)
    check.problem(gw:get(NOTE), 503, "store-unavailable")
  end)
end)
