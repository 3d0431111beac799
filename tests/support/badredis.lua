-- tests/support/badredis.lua -- a Redis that holds what it is given (SET, GET, GETRANGE, DEL) and, for a key that ends in `bad-CASE`,
-- answers with raw bytes of the test's choice. As a module: start(folder) with the cases in files CASE.resp below it. As a program
-- (luajit tests/support/badredis.lua FOLDER): serves, and prints `port N`.
local socket = require "socket"

local function read_file(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "*a"
  file:close()
  return text
end

local function bulk(value) return value and ("$%d\r\n%s\r\n"):format(#value, value) or "$-1\r\n" end

-- The bytes that answer a command, and whether the connection ends after them.
local function answer(words, held, folder)
  local command, key = words[1]:upper(), words[2]
  local case = key and key:match "bad%-([%w-]+)$"
  if case and command == "GET" then return read_file(folder .. "/" .. case .. ".resp") or "-ERR no such case\r\n", case:match "^trunc" end
  if command == "PING" then return "+PONG\r\n" end
  if command == "GET" then return bulk(held[key]) end
  if command == "GETRANGE" then return bulk((held[key] or ""):sub(tonumber(words[3]) + 1, tonumber(words[4]) + 1)) end
  if command == "ZSCORE" then return bulk "1" end -- of the table of invalidations, in which there are none
  if command == "EVAL" then return bulk "00000000000000aa 1 1 0\n" end
  if command == "SET" then held[key] = words[3] end
  if command ~= "DEL" then return "+OK\r\n" end
  local was_there = held[key] ~= nil
  held[key] = nil
  return was_there and ":1\r\n" or ":0\r\n"
end

-- The first command in `bytes`, and where the next one begins; nil when it is not all there.
local function parse(bytes)
  local count, at = bytes:match "^%*(%d+)\r\n()"
  if not count then return nil end
  local words = {}
  for i = 1, tonumber(count) do
    local n, from = bytes:match("^%$(%d+)\r\n()", at)
    if not n or #bytes < from + n + 1 then return nil end
    words[i] = bytes:sub(from, from + n - 1)
    at = from + n + 2
  end
  return words, at
end

local function serve(folder)
  local server = assert(socket.bind("127.0.0.1", 0, 1024))
  server:settimeout(0)
  io.stdout:setvbuf "no"
  print("port " .. select(2, server:getsockname()))
  local sockets, buffers, held = { server }, {}, {}

  local function drop(sock)
    for i, other in ipairs(sockets) do
      if other == sock then table.remove(sockets, i) end
    end
    buffers[sock] = nil
    sock:close()
  end

  local function take(sock)
    local data, why, partial = sock:receive(65536)
    local bytes = buffers[sock] .. (data or partial or "")
    if why and why ~= "timeout" then return drop(sock) end
    local answers = {}
    while true do
      local words, rest = parse(bytes)
      if not words then break end
      bytes = bytes:sub(rest)
      local text, ends = answer(words, held, folder)
      answers[#answers + 1] = text
      if ends then
        sock:send(table.concat(answers))
        return drop(sock)
      end
    end
    buffers[sock] = bytes
    sock:settimeout(5)
    sock:send(table.concat(answers)) -- of one turn in one write, as Redis does
    sock:settimeout(0)
  end

  while true do
    for _, sock in ipairs((socket.select(sockets, nil, 10))) do
      if sock == server then
        local client = server:accept()
        if client then
          client:settimeout(0)
          client:setoption("tcp-nodelay", true)
          buffers[client] = ""
          table.insert(sockets, client)
        end
      elseif buffers[sock] then
        take(sock)
      end
    end
  end
end

if arg and arg[0] and arg[0]:match "badredis%.lua$" then return serve(arg[1]) end

local process = require "tests.support.process"
local badredis = {}
local BadRedis = {}
BadRedis.__index = BadRedis

function badredis.start(folder)
  local self = setmetatable({}, BadRedis)
  self.process = process.start { argv = { "luajit", "tests/support/badredis.lua", folder } }
  self.port = process.eventually(function() return "a bad Redis: " .. self.process:err() end, 10, function()
    return tonumber(self.process:out():match "^port (%d+)\n")
  end)
  self.url = ("redis://127.0.0.1:%d/0"):format(self.port)
  return self
end

function BadRedis:stop()
  self.process:kill()
  process.remove(self.process.folder)
end

return badredis
