-- tests/support/redis.lua -- a real redis-server of the test's own, on a free port, with its files in a temporary folder; and a few
-- lines of RESP to look into it. With REDIS_OVER_TLS=1 in the environment `url` is one of TLS, so that suites which know nothing of that
-- run over it. With REDIS_AS_CLUSTER=1 what is started is a cluster (cluster.lua), for the same end.
local certs = require "tests.support.certs"
local process = require "tests.support.process"
local socket = require "socket"

local redis = {}
local Redis = {}
Redis.__index = Redis

-- What all servers of this run show, with REDIS_OVER_TLS, and on which second port; both outlive a server that is started anew.
local shared = { ports = {} }

local function shared_tls(port)
  if os.getenv "REDIS_OVER_TLS" ~= "1" then return nil end
  if not shared.authority then
    shared.authority = certs.authority()
    shared.shown = shared.authority:issue()
    shared.shown.ca = shared.authority.ca
    shared.at_end = newproxy(true)
    getmetatable(shared.at_end).__gc = function() shared.authority:remove() end
  end
  shared.ports[port] = shared.ports[port] or process.free_port()
  local tls = { port = shared.ports[port] }
  for name, path in pairs(shared.shown) do tls[name] = path end
  return tls
end

-- For the few tests of what a cluster has not: URLs of one server, databases, replicas of somebody else.
redis.is_cluster = os.getenv "REDIS_AS_CLUSTER" == "1"

-- The URL of what `start` will start on this port.
function redis.url_of(port) return (redis.is_cluster and "redis+cluster://127.0.0.1:%d" or "redis://127.0.0.1:%d/0"):format(port) end

-- Starts one, on `port` when given, and waits until it answers; a cluster in its place where nothing else is asked for. Options: tls ({ ca =, cert =, key = }, paths, and optionally clients =
-- "yes": they must show a certificate): it listens for TLS, too, on tls_port, and `tls_url` has its ca; args (more words), env, password (which they set: `command` needs it, too).
function redis.start(port, options)
  if redis.is_cluster and not options then return require "tests.support.cluster".as_server(port) end
  options = options or {}
  local folder = process.temp()
  port = port or process.free_port()
  local self = setmetatable({ port = port, url = ("redis://127.0.0.1:%d/0"):format(port), folder = folder, password = options.password }, Redis)
  self.path = folder .. "/redis.sock"
  local argv = { "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder,
    "--unixsocket", self.path, "--loglevel", "warning" }
  local tls = options.tls or shared_tls(port)
  if tls then
    self.tls_port = tls.port or process.free_port()
    self.tls_url = ("rediss://127.0.0.1:%d/0?ca=%s"):format(self.tls_port, tls.ca)
    if not options.tls then self.url = self.tls_url end
    for _, word in ipairs { "--tls-port", self.tls_port, "--tls-cert-file", tls.cert, "--tls-key-file", tls.key, "--tls-ca-cert-file", tls.ca,
      "--tls-auth-clients", tls.clients or "no" } do argv[#argv + 1] = word end
  end
  for _, word in ipairs(options.args or {}) do argv[#argv + 1] = word end
  self.process = process.start { argv = argv, folder = folder, env = options.env }
  return redis.adopt(self)
end

-- A server that was started elsewhere, { port =, process =, folder =, password = }, when it answers.
function redis.adopt(self)
  setmetatable(self, Redis)
  process.eventually("redis-server answers", 10, function()
    assert(self.process:alive(), self.process:out())
    return self:try "PING" == "PONG"
  end)
  return self
end

-- The server's version, as a number: 7.2.
function redis.version()
  local pipe = io.popen "redis-server --version"
  local text = pipe:read "*a"
  pipe:close()
  return tonumber(text:match " v=(%d+%.%d+)")
end

local function read_reply(sock)
  local line = assert(sock:receive "*l")
  local kind, rest = line:sub(1, 1), line:sub(2)
  if kind == "+" then return rest end
  if kind == "-" then error(rest) end
  if kind == ":" then return tonumber(rest) end
  if kind == "$" then
    if rest == "-1" then return nil end
    return (assert(sock:receive(tonumber(rest) + 2)):sub(1, -3))
  end
  assert(kind == "*", line)
  local list = {}
  for i = 1, tonumber(rest) do list[i] = read_reply(sock) end
  return list
end

local function format(...)
  local parts = { "*" .. select("#", ...) .. "\r\n" }
  for _, word in ipairs { ... } do parts[#parts + 1] = ("$%d\r\n%s\r\n"):format(#tostring(word), word) end
  return table.concat(parts)
end

-- One command on a connection of its own.
function Redis:command(...)
  local sock = assert(socket.connect("127.0.0.1", self.port))
  sock:settimeout(5)
  if self.password then
    assert(sock:send(format("AUTH", self.password)))
    read_reply(sock)
  end
  assert(sock:send(format(...)))
  local ok, result = pcall(read_reply, sock)
  sock:close()
  if not ok then error(result, 2) end
  return result
end

-- The same; nil instead of an error.
function Redis:try(...)
  local ok, result = pcall(self.command, self, ...)
  return ok and result or nil
end

-- One command that may take its time: sent now; call what it returns for the answer.
function Redis:begin(...)
  local sock = assert(socket.connect("127.0.0.1", self.port))
  sock:settimeout(30)
  assert(sock:send(format(...)))
  return function()
    local ok, result = pcall(read_reply, sock)
    sock:close()
    return ok and result or nil, not ok and result or nil
  end
end

-- As a machine that loses power.
function Redis:kill() self.process:kill() end

function Redis:stop()
  self.process:kill()
  process.remove(self.folder)
end

return redis
