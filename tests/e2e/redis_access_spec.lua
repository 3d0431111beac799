-- tests/e2e/redis_access_spec.lua -- who we are before Redis: users and passwords, and what they may; databases and sockets.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local socket = require "socket"

local models = [[
model "Note" { id = key(), text = field() }
model "Loaded" { id = key(), text = field(), options = { expires = 300 }, from_miss = function(self) self.text = "loaded" end }
model "Slow" { id = key(), text = field(), options = { expires = 300 }, from_miss = function(self) sleep(1.3) self.text = "loaded" end }
model "Tagged" { id = key(), text = field(), options = { expires = 300, tags = function() return { "a" } end } }
model "Pair" { id = key(), one = reference "Note", other = reference "Note" }
]]

local NOTE = "/models/Note?id=1"
local MERGE = { ["Content-Type"] = "application/merge-patch+json" }

-- The line of the page, as words: what a user needs.
local function granted()
  local line = assert(process.read "docs/redis.md":match "\nACL SETUSER perigee ([^\n]+)\n")
  local words = {}
  for word in line:gmatch "%S+" do words[#words + 1] = word end
  return words
end

-- All that a gateway asks of Redis; nothing is judged, since some of it may be denied.
local function do_all(gw)
  local function post(target, body) return gw:request("POST", target, { ["Content-Type"] = "application/json" }, body) end
  gw:put(NOTE, '{"text":"1"}')
  gw:put("/models/Note?id=2", '{"text":"1","_":0}')
  gw:put("/models/Note?id=2", '{"text":"2"}', { ["If-None-Match"] = "*" })
  gw:put("/models/Pair?id=p", '{"one":{"id":"1"},"other":{"id":"2"}}')
  local read = gw:get(NOTE)
  gw:get "/models/Pair?id=p"
  gw:put(NOTE, '{"text":"3"}', { ["If-Match"] = read.headers.etag })
  gw:request("PATCH", NOTE, MERGE, '{"text":"4"}')
  gw:delete("/models/Note?id=2", { ["If-Match"] = "*" })
  gw:get("/models/Loaded?id=" .. socket.gettime())
  post("/models/Loaded/_refresh", '{"keys":{"id":"1"},"wait":true}')
  post("/models/Note/_touch", '{"keys":{"id":"1"},"expires":600}')
  post("/models/Note/_invalidate", '{"keys":{"id":"1"},"mode":"expire"}')
  post("/models/Note/_invalidate", '{"keys":{"id":"1"}}')
  post("/models/Note/_bulk", '{"get":[{"id":"1"},{"id":"2"}],"save":[{"id":"3"}],"delete":[{"id":"3"}]}')
  post("/models/Note/_invalidate", '{"all":true}')
  post("/models/Note/_invalidate", '{"all":true,"mode":"expire"}')
  post("/_invalidate", '{"tags":["a"]}')
  gw:put("/models/Tagged?id=1", '{"text":"1"}')
  gw:get "/models/Tagged?id=1"
  gw:delete(NOTE)
end

describe("Redis grants", function()
  local server, gw
  before_each(function() server = redis.start() end)
  after_each(function()
    if gw then gw:finish() end
    gw = nil
    server:stop()
  end)

  local function set_user(...) server:command("ACL", "SETUSER", "perigee", ...) end

  -- As the page's user, less `but`.
  local function grant(but)
    set_user "reset"
    set_user(unpack(granted()))
    if but then set_user(but) end
  end

  local function start(options)
    options = options or {}
    local password = options.password or "PASSWORD"
    gw = gateway.start {
      models = models, store = server.url:gsub("//", "//perigee:" .. password .. "@", 1):gsub("/0", "/1", 1), fds = 8, workers = options.workers,
      args = options.args,
    }
    return gw
  end

  local function denials() return #server:command("ACL", "LOG") end

  it("what the page says, and it is enough", function()
    grant()
    start()
    gw:await_store()
    process.eventually("the near cache is on", 5, function() return gw:metric "perigee_near_cache_up" == 1 end)
    for _ = 1, 3 do do_all(gw) end
    check.status(gw:get "/models/Slow?id=1", 200)
    check.status(gw:put(NOTE, '{"text":"1"}'), 201)
    process.eventually("a near copy", 5, function()
      return check.cache_status(check.status(gw:get(NOTE), 200)).detail == "near"
    end)
    check.status(gw:put(NOTE, '{"text":"2"}'), 204)
    assert.equal("2", check.document(gw:get(NOTE)).text)
    assert.equal(0, denials(), gw:log())
    assert.equal(0, gw:metric("perigee_store_errors_total"))
  end)

  it("no more than is needed", function()
    local idle = {}
    for _, word in ipairs(granted()) do
      if word:match "^%+" and word ~= "+zremrangebyrank" then -- that one is for a table of epochs that is full
        server:command("FLUSHALL")
        server:command("SCRIPT", "FLUSH")
        server:command("ACL", "LOG", "RESET")
        grant("-" .. word:sub(2))
        start()
        process.eventually("an answer", 5, function() return denials() > 0 or gw:metric "perigee_near_cache_up" == 1 end)
        do_all(gw)
        if word == "+pexpire" then gw:get "/models/Slow?id=1" end -- a lease that is kept
        if denials() == 0 then idle[#idle + 1] = word end
        gw:finish()
        gw = nil
      end
    end
    assert.same({}, idle)
  end)

  it("a command less: what needs it is 503, all else goes on", function()
    grant "-set"
    start()
    gw:await_store()
    check.problem(gw:get(NOTE), 404, "missing")
    check.problem(gw:put(NOTE, '{"text":"1"}'), 503, "store-unavailable")
    check.problem(gw:get(NOTE), 404, "missing")
    check.status(gw:get "/models/Loaded?id=1", 200) -- answered, and not kept
    assert.equal(1, gw:metric "perigee_store_up")
    assert(gw:metric "perigee_store_errors_total" > 0)
    set_user "+set"
    check.status(gw:put(NOTE, '{"text":"1"}'), 201)
  end)

  it("other keys, and none of ours: 503", function()
    grant()
    set_user("resetkeys", "~other:*")
    start()
    gw:await_store()
    check.problem(gw:get(NOTE), 503, "store-unavailable")
    check.problem(gw:put(NOTE, '{"text":"1"}'), 503, "store-unavailable")
    assert.equal(1, gw:metric "perigee_store_up")
  end)

  it("nothing to a wrong password, which is tried again without hurry, until it is right", function()
    grant()
    local function refused() -- the log joins what comes from one client
      local count = 0
      for _, entry in ipairs(server:command("ACL", "LOG", 100)) do
        for i = 1, #entry, 2 do
          if entry[i] == "count" then count = count + entry[i + 1] end
        end
      end
      return count
    end
    start { password = "wrong", workers = 2 }
    process.eventually("the refusal is in the log", 5, function()
      return gw:log():find("credentials refused: WRONGPASS", 1, true)
    end)
    check.status(gw:admin "/readyz", 503)
    check.problem(gw:get(NOTE), 503, "store-unavailable")
    local began, before = socket.gettime(), refused()
    process.eventually("three more", 10, function() return refused() >= before + 3 end)
    assert(refused() - before <= 3 * (socket.gettime() - began + 1) + 1, refused() - before) -- two workers, one tracker: each once a second
    local _, times = gw:log():gsub("WRONGPASS", "")
    assert(times <= 3, gw:log())
    assert.is_nil(gw:log():find("wrong", 1, true))
    set_user ">wrong"
    gw:await_store(5)
    check.status(gw:put(NOTE, '{"text":"1"}'), 201)
  end)

  it("nothing any more to a user who is deleted, and all again to one who comes back", function()
    grant()
    start()
    gw:await_store()
    check.status(gw:put(NOTE, '{"text":"1"}'), 201)
    server:command("ACL", "DELUSER", "perigee") -- ends his connections
    process.eventually("the log says so", 5, function() return gw:log():find("credentials refused: WRONGPASS", 1, true) end)
    check.problem(gw:get(NOTE), 503, "store-unavailable")
    grant()
    gw:await_store(5)
    check.status(gw:get(NOTE), 200)
  end)

  it("nothing to who has no password, where one is wanted", function()
    server:command("CONFIG", "SET", "requirepass", "pw")
    gw = gateway.start { models = models, store = server.url, fds = 4 }
    process.eventually("the log says so", 5, function() return gw:log():find("not ready: NOAUTH", 1, true) end)
    check.problem(gw:get(NOTE), 503, "store-unavailable")
  end)

  it("nothing any more, when one is wanted from now on: the log says so, though it knows already that the store is lost", function()
    gw = gateway.start { models = models, store = server.url, fds = 4 }
    gw:await_store()
    server:command("CONFIG", "SET", "requirepass", "pw")
    os.execute(("redis-cli -p %d -a pw CLIENT KILL TYPE normal >/dev/null 2>&1"):format(server.port))
    process.eventually("the log says so", 5, function() return gw:log():find("not ready: NOAUTH", 1, true) end)
    check.says(gw:log(), "store lost")
  end)
end)

describe("a database of Redis", function()
  local server, gw
  before_each(function() server = redis.start() end)
  after_each(function()
    gw:finish()
    server:stop()
  end)

  local function is_near(target)
    process.eventually("a near copy", 5, function()
      return check.cache_status(check.status(gw:get(target), 200)).detail == "near"
    end)
  end

  it("is chosen by each connection, also after a loss, and the near cache knows of it", function()
    gw = gateway.start { models = models, store = server.url:gsub("/0", "/5", 1), fds = 8 }
    gw:await_store()
    for i = 1, 3 do
      process.eventually("the near cache is on", 5, function() return gw:metric "perigee_near_cache_up" == 1 end)
      check.status(gw:put("/models/Note?id=" .. i, '{"text":"1"}'), 201)
      is_near("/models/Note?id=" .. i)
      server:command("CLIENT", "KILL", "TYPE", "normal")
      process.eventually("it is noticed", 5, function() return gw:metric("perigee_near_cache_flushes_total", { why = "lost" }) >= i end)
      gw:await_store(5)
    end
    assert.equal(0, server:command "DBSIZE")
    assert(server:command("INFO", "keyspace"):find("db5:keys=%d"))
  end)

  it("that the server does not have is refused, and the log says so", function()
    gw = gateway.start { models = models, store = server.url:gsub("/0", "/400", 1), fds = 4 }
    process.eventually("the log says so", 5, function() return gw:log():find("database refused: ERR", 1, true) end)
    check.problem(gw:get(NOTE), 503, "store-unavailable")
  end)

  it("is reached by a socket, with a password, near copies included; and again when the server has been away", function()
    server:command("CONFIG", "SET", "requirepass", "p@ss")
    gw = gateway.start { models = models, store = ("redis+unix://:p%%40ss@%s?db=3"):format(server.path), fds = 8 }
    gw:await_store()
    check.status(gw:put(NOTE, '{"text":"1"}'), 201)
    is_near(NOTE)
    assert.equal(("redis+unix://%s"):format(server.path), gw.ready_line:match "store=(%S+)")
    os.remove(server.path) -- a server that is started anew makes it anew
    server:kill()
    process.eventually("it is away", 5, function() return gw:get(NOTE).status == 503 end)
    check.says(gw:log(), "store lost")
  end)
end)
