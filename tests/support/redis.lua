-- tests/support/redis.lua -- a real redis-server of the test's own, on a free port, with its files in a temporary folder; and a few
-- lines of RESP to look into it.
local process = require "tests.support.process"
local socket = require "socket"

local redis = {}
local Redis = {}
Redis.__index = Redis

-- Starts one, on `port` when given, and waits until it answers.
function redis.start(port)
  local folder = process.temp()
  port = port or process.free_port()
  local self = setmetatable({ port = port, url = ("redis://127.0.0.1:%d/0"):format(port), folder = folder }, Redis)
  self.path = folder .. "/redis.sock"
  self.process = process.start {
    argv = { "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder,
      "--unixsocket", self.path, "--loglevel", "warning" },
    folder = folder,
  }
  process.eventually("redis-server answers", 10, function()
    assert(self.process:alive(), self.process:out())
    return self:try "PING" == "PONG"
  end)
  return self
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

-- One command on a connection of its own.
function Redis:command(...)
  local sock = assert(socket.connect("127.0.0.1", self.port))
  sock:settimeout(5)
  local parts = { "*" .. select("#", ...) .. "\r\n" }
  for _, word in ipairs { ... } do parts[#parts + 1] = ("$%d\r\n%s\r\n"):format(#tostring(word), word) end
  assert(sock:send(table.concat(parts)))
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

-- As a machine that loses power.
function Redis:kill() self.process:kill() end

function Redis:stop()
  self.process:kill()
  process.remove(self.folder)
end

return redis
