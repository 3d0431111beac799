-- tests/property/loop.lua -- sockets and timers of one thread, and its two kinds of talk over HTTP: clients with one request under way each,
-- and an origin. Whoever reads a history out of what happens here knows the order of all of it.
local http = require "tests.support.http"
local socket = require "socket"

local loop = {}
local Loop = {}
Loop.__index = Loop

function loop.new()
  return setmetatable({ sockets = {}, on_readable = {}, timers = {} }, Loop)
end

function Loop:watch(sock, on_readable)
  table.insert(self.sockets, sock)
  self.on_readable[sock] = on_readable
end

function Loop:unwatch(sock)
  self.on_readable[sock] = nil
  for i, other in ipairs(self.sockets) do
    if other == sock then
      self.sockets[i] = self.sockets[#self.sockets]
      self.sockets[#self.sockets] = nil
      return
    end
  end
end

function Loop:after(seconds, act)
  table.insert(self.timers, { at = socket.gettime() + seconds, act = act })
end

-- Does what is due, waiting for it no longer than so many seconds.
function Loop:turn(seconds)
  local now = socket.gettime()
  local wait, due = seconds, {}
  for i = #self.timers, 1, -1 do
    local timer = self.timers[i]
    if timer.at <= now then
      table.insert(due, 1, timer)
      table.remove(self.timers, i)
    else
      wait = math.min(wait, timer.at - now)
    end
  end
  for _, timer in ipairs(due) do timer.act() end
  for _, sock in ipairs((socket.select(self.sockets, nil, #due > 0 and 0 or wait))) do
    local act = self.on_readable[sock]
    if act then act() end
  end
end

-- -- clients --

local Client = {}
Client.__index = Client

-- A client of the gateway at this address; it connects when it is first used, and again when it was cut off.
function Loop:client(address)
  return setmetatable({ loop = self, address = address }, Client)
end

function Client:hang_up()
  if not self.connection then return end
  self.loop:unwatch(self.connection.sock)
  self.connection:close()
  self.connection = nil
end

local function receive(self, is_head)
  local connection = self.connection
  connection:pull(0)
  local response, rest = http.parse(connection.buffer, is_head, connection.closed)
  if not response and not connection.closed then return end
  local done = self.done
  self.done = nil
  if response then connection.buffer = connection.buffer:sub(rest) end
  if connection.closed or not done or response.headers.connection == "close" then self:hang_up() end
  if done then done(response) end
end

-- `done` is called with the answer, or nil: the connection was cut, or could not be made.
function Client:ask(method, target, headers, body, done)
  assert(not self.done, "one request at a time")
  self.done = done
  if not self.connection then
    local ok, connection = pcall(http.connect, self.address)
    if not ok then return self.loop:after(0, function() self:give_up() end) end
    self.connection = connection
    self.loop:watch(connection.sock, function() receive(self, self.is_head) end)
  end
  self.is_head = method == "HEAD"
  self.connection:send(http.format(method, target, headers, body))
end

-- The client leaves; what it waits for is not answered.
function Client:give_up()
  local done = self.done
  self.done = nil
  self:hang_up()
  if done then done(nil) end
end

-- -- an origin --

local function answer(sock, status, body)
  sock:send(("HTTP/1.1 %d Fine\r\nContent-Length: %d\r\n\r\n%s"):format(status, #body, body))
end

-- Serves: respond(path) says status, body, and after how many seconds. Returns its URL.
function Loop:origin(respond)
  local server = assert(socket.bind("127.0.0.1", 0, 1024))
  server:settimeout(0)
  self:watch(server, function()
    local sock = server:accept()
    if not sock then return end
    local buffer = ""
    sock:settimeout(0)
    sock:setoption("tcp-nodelay", true)
    self:watch(sock, function()
      local data, why, partial = sock:receive(65536)
      buffer = buffer .. (data or partial or "")
      if why and why ~= "timeout" then
        self:unwatch(sock)
        sock:close()
        return
      end
      local path, rest = buffer:match "^%u+ (%S+) HTTP/1.1\r\n.-\r\n\r\n()"
      if not path then return end
      buffer = buffer:sub(rest)
      local status, body, seconds = respond(path)
      self:after(seconds, function() answer(sock, status, body) end)
    end)
  end)
  return ("http://127.0.0.1:%d"):format(select(2, server:getsockname())), server
end

return loop
