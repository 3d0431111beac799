-- tests/support/gateway.lua -- a Perigee of the test's own: models in a temporary folder, ports of its own, on the memory store or
-- before a redis-server of its own. `finish` is the law every suite ends with: the same process still lives and answers, holds no
-- more files than at its start, said nothing a sanitizer would say, called nothing an internal error, and exits 0.
local cluster = require "tests.support.cluster"
local http = require "tests.support.http"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local cjson = require "cjson"
local socket = require "socket"

local gateway = setmetatable({}, {
  -- What a test multiplies its limits by: `patience`.
  __index = function(self, name) return name == "patience" and (self.sanitized and 3 or 1) * process.strain() or nil end,
})
local Gateway = {}
Gateway.__index = Gateway

local function absolute(path)
  if path:match "^/" then return path end
  local pipe = io.popen "pwd"
  local here = pipe:read "*l"
  pipe:close()
  return here .. "/" .. path
end

gateway.bin = absolute(os.getenv "PERIGEE_BIN" or "build/perigee")

local function built_with(symbol) return os.execute(("grep -q %s %s"):format(symbol, process.quote(gateway.bin))) == 0 end

-- Is this a build with a sanitizer? Then all takes longer; and ThreadSanitizer holds signals back until the next system call.
gateway.holds_signals = built_with "__tsan_init"
gateway.sanitized = gateway.holds_signals or built_with "__asan_init"

local sanitizer_options = {
  ASAN_OPTIONS = "detect_leaks=1:allocator_may_return_null=1:handle_abort=1",
  UBSAN_OPTIONS = "print_stacktrace=1",
  TSAN_OPTIONS = "suppressions=" .. absolute "tests/support/tsan.supp",
}

-- Writes models, one text or texts by file name, below `folder`; what stood there before is gone.
function gateway.write_models(folder, models)
  os.execute(("rm -rf %s && mkdir -p %s"):format(process.quote(folder), process.quote(folder)))
  if type(models) == "string" then models = { models = models } end
  for name, text in pairs(models) do process.write(("%s/%s.lua"):format(folder, name), text) end
end

-- The store's URL for "memory", "redis", "cluster" or an URL; starts the server in the second case, and uses the one cluster of this run in the third.
local function choose_store(self, store)
  store = store or "memory"
  if store == "redis" and redis.is_cluster then store = "cluster" end
  if store == "redis" then
    self.redis = redis.start()
    return self.redis.url
  end
  if store == "cluster" then
    self.redis = cluster.shared()
    return self.redis.url
  end
  return store == "memory" and "memory:" or store
end

local function environment(more)
  local env = {}
  for name, value in pairs(sanitizer_options) do env[name] = value end
  for name, value in pairs(more or {}) do env[name] = value end
  return env
end

-- Runs a command of the binary to its end: exit code, stdout, stderr.
function gateway.run(argv, options)
  options = options or {}
  return process.run {
    argv = { gateway.bin, unpack(argv) }, cwd = options.cwd, env = environment(options.env), seconds = options.seconds,
  }
end

-- Starts one and waits until it is ready. Options: models (a text, or texts by file name), schemas (a folder, instead), store
-- ("memory", "redis", "cluster", an URL), args, env, workers (1), listen (a list), admin (an address), before (sh that runs first), fds (how many more files it
-- may hold at the end than at the start), beside (what else this test has started: stopped with it), allow_internal, admin_token (what
-- `admin` and `metric` bring along), under (words of a program that runs it, slower).
function gateway.start(options)
  local self = setmetatable({ options = options, folder = process.temp() }, Gateway)
  self.schemas = options.schemas or self.folder .. "/schemas"
  if not options.schemas then gateway.write_models(self.schemas, options.models or {}) end
  local argv = { unpack(options.under or {}) }
  for _, word in ipairs { gateway.bin, "serve", self.schemas, "--admin", options.admin or "127.0.0.1:0", "--workers", options.workers or 1, "--store",
    choose_store(self, options.store) } do argv[#argv + 1] = word end
  for _, address in ipairs(options.listen or { "127.0.0.1:0" }) do
    argv[#argv + 1] = "--listen"
    argv[#argv + 1] = address
  end
  for _, word in ipairs(options.args or {}) do argv[#argv + 1] = word end
  self.process = process.start {
    argv = argv, env = environment(options.env), folder = self.folder, cwd = options.cwd, before = options.before,
  }
  self.pid = self.process.pid
  local ok, why = pcall(function() self:await_ready() end)
  if not ok then
    self:abandon()
    error(why, 2)
  end
  return self
end

function Gateway:await_ready()
  local line = process.eventually(function() return "the gateway is ready: " .. self.process:err() end, (self.options.under and 60 or 10) * gateway.patience,
    function()
      assert(self.process:alive(), "the gateway ended: " .. self.process:out() .. self.process:err())
      return self.process:out():match "^(perigee ready [^\n]*)\n"
    end)
  self.ready_line = line
  self.addresses = {}
  for address in assert(line:match " listen=(%S+)", line):gmatch "[^,]+" do table.insert(self.addresses, address) end
  self.address = self.addresses[1]
  self.admin_address = assert(line:match " admin=(%S+)", line)
  self.models = tonumber(line:match " models=(%d+)")
  if self.redis then self:await_store(self.options.under and 60) end
  self.born = self.process:born()
  self.fds = self.process:fds()
end

-- Until the store can be reached, on every worker.
function Gateway:await_store(seconds)
  process.eventually("readyz 200", seconds or 10, function() return self:admin("/readyz").status == 200 end)
end

-- One request on the kept connection of this object, which is opened anew when the gateway has closed it.
function Gateway:request(method, target, headers, body)
  if self.client then
    local response = self.client:request(method, target, headers, body)
    if response then
      if response.headers.connection == "close" then self:hang_up() end
      return response
    end
    self:hang_up()
  end
  self.client = http.connect(self.address)
  local response, why, bytes = self.client:request(method, target, headers, body)
  if not response then
    self:hang_up()
    error(("no answer to %s %s: %s %s"):format(method, target:sub(1, 200), why, tostring(bytes):sub(1, 200)), 2)
  end
  if response.headers.connection == "close" then self:hang_up() end
  return response
end

function Gateway:hang_up()
  if self.client then self.client:close() end
  self.client = nil
end

function Gateway:get(target, headers) return self:request("GET", target, headers) end
function Gateway:head(target, headers) return self:request("HEAD", target, headers) end
function Gateway:put(target, body, headers) return self:request("PUT", target, headers, body) end
function Gateway:delete(target, headers) return self:request("DELETE", target, headers) end

-- A request to the admin plane, with options.admin_token, if there is one and the headers say nothing of it.
function Gateway:admin(target, method, headers, body)
  local token = self.options.admin_token
  if token and (headers or {}).Authorization == nil then
    local given = headers
    headers = { Authorization = "Bearer " .. token }
    for name, value in pairs(given or {}) do headers[name] = value end
  end
  local response, why = http.request(self.admin_address, method or "GET", target, headers, body)
  return assert(response, why)
end

-- The value of one series of /metrics, 0 when it is not there: gw:metric('perigee_requests_total', {model="User"}) sums over all
-- series that have these labels.
function Gateway:metric(name, labels)
  local sum = 0
  for line in self:admin("/metrics").body:gmatch "[^\n]+" do
    local found, text, value = line:match "^([%w_]+){?([^}]*)}? (%S+)$"
    if found == name then
      local fits = true
      for label, wanted in pairs(labels or {}) do
        fits = fits and (("," .. text .. ","):find((",%s=\"%s\","):format(label, wanted), 1, true) ~= nil)
      end
      if fits then sum = sum + tonumber(value) end
    end
  end
  return sum
end

-- What it has written to stderr.
function Gateway:log() return self.process:err() end

-- The same as a list of tables; every line must be JSON.
function Gateway:log_events()
  local events = {}
  for line in self:log():gmatch "([^\n]*)\n" do
    local ok, event = pcall(cjson.decode, line)
    assert(ok and type(event) == "table", "no JSON on stderr: " .. line)
    events[#events + 1] = event
  end
  return events
end

function Gateway:signal(name) self.process:signal(name) end

-- TERM (or another signal), and the exit code.
function Gateway:stop(signal)
  self:signal(signal or "TERM")
  return self.process:wait(15 * gateway.patience)
end

-- What no run may leave behind in stderr, whatever the test was about.
local function check_log(self)
  local log = self:log()
  for _, sign in ipairs { "Sanitizer", "runtime error:", "assertion", "Assertion" } do
    assert(not log:find(sign, 1, true), log)
  end
  self:log_events()
end

-- Stops it and cleans up without a judgement.
function Gateway:abandon()
  self:hang_up()
  self.process:kill()
  if self.redis then self.redis:stop() end
  for _, other in ipairs(self.options.beside or {}) do other:stop() end
  process.remove(self.folder)
end

local function check_end(self)
  self:hang_up()
  assert(self.process:alive(), "the gateway has ended: " .. self:log())
  assert(self.process:born() == self.born, "another process has its pid")
  check_log(self)
  local quickest = math.huge -- of three: the machine may be busy once
  for _ = 1, 3 do
    local start = socket.gettime()
    local health = self:admin "/healthz"
    quickest = math.min(quickest, socket.gettime() - start)
    assert(health.status == 200, "healthz says " .. health.status)
  end
  assert(quickest <= 0.1 * gateway.patience, ("healthz took %.3fs"):format(quickest))
  if not self.options.allow_internal then
    assert(self:metric("perigee_requests_total", { outcome = "internal" }) == 0, "an internal error: " .. self:log())
  end
  local slack = 2 + (self.options.workers or 1) + (self.options.fds or 0) -- a worker keeps one file in reserve, opened at the first client
  if redis.is_cluster or self.options.store == "cluster" then slack = slack + 6 * (1 + (self.options.workers or 1)) end -- a connection to each master
  if gateway.holds_signals then slack = slack + 2 end -- the pipes to the symbolizer that ThreadSanitizer asks about its suppressions
  process.eventually(function() return ("files back to %d: %d"):format(self.fds, self.process:fds()) end, 5, function()
    return math.abs(self.process:fds() - self.fds) <= slack
  end)
  local code = self:stop()
  assert(code == 0, ("exit code %s: %s"):format(code, self:log()))
  check_log(self)
end

-- The end of every suite: stops it, and raises where it has broken the law.
function Gateway:finish()
  local ok, why = pcall(check_end, self)
  self:abandon()
  if not ok then error(why, 2) end
end

-- For tests that have stopped it themselves: judges what is left to judge.
function Gateway:finish_stopped(code)
  local ok, why = pcall(function()
    assert(self.process:exit() == (code or 0), ("exit code %s: %s"):format(self.process:exit(), self:log()))
    check_log(self)
  end)
  self:abandon()
  if not ok then error(why, 2) end
end

return gateway
