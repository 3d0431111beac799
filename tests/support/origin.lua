-- tests/support/origin.lua -- a source of data that loaders can ask over HTTP, in a process of its own, so that tests can count
-- what it was asked and make it slow, wrong or silent. As a module: start{}. As a program (luajit tests/support/origin.lua): serves.
--
--   /anything?delay=300     answers after 300 ms          /anything?status=404   with that status
--   /anything?size=100000   with so many bytes            /anything?hang=1       never
--   /anything?cut=1         closes within the body
--
-- What the test `says` of a path (origin:says(path, status, body)) is answered instead, and no sooner than it `lets_go` what it `holds`.
--
-- It answers {"path":"/anything","n":3}: n counts from 1. It prints `port N`, and then a line a request: the path, and how many
-- requests it had under way at that moment.
local socket = require "socket"

local function respond(request, n)
  local option = function(name) return request:match("[?&]" .. name .. "=(%d+)") end
  local body = ('{"path":"%s","n":%d}'):format(request:match "^[^?]*", n)
  if option "size" then body = ("x"):rep(tonumber(option "size")) end
  local head = ("HTTP/1.1 %s Fine\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"):format(
    option "status" or "200", #body + (option "cut" and 10 or 0))
  return { at = socket.gettime() + tonumber(option "delay" or 0) / 1000, bytes = head .. body, cut = option "cut",
    path = request:match "^[^?]*", hang = option "hang" }
end

-- The file in which the test tells what is said of a path.
local function told_file(folder, path) return folder .. "/" .. path:gsub("[^%w]", ".") end

local function read(file)
  local f = io.open(file)
  if not f then return nil end
  local text = f:read "*a"
  f:close()
  return text
end

-- What the test has told of this path, as it is now; nil: nothing, false: it holds the answer.
local function told(folder, path)
  local file = told_file(folder, path)
  if read(file .. "+hold") then return false end
  local status, body = (read(file) or ""):match "^(%d+)\n(.*)$"
  return status and ("HTTP/1.1 %s Told\r\nContent-Length: %d\r\n\r\n%s"):format(status, #body, body)
end

local function serve(folder)
  local server = assert(socket.bind("127.0.0.1", 0, 1024))
  server:settimeout(0)
  io.stdout:setvbuf "no"
  print("port " .. select(2, server:getsockname()))
  local sockets, clients, asked = { server }, {}, 0

  local function drop(sock)
    for i, other in ipairs(sockets) do
      if other == sock then table.remove(sockets, i) end
    end
    clients[sock] = nil
    sock:close()
  end

  local function under_way()
    local n = 0
    for _, client in pairs(clients) do n = n + (client.answer and 1 or 0) end
    return n
  end

  local function take(sock)
    local client = clients[sock]
    local data, why, partial = sock:receive(65536)
    client.buffer = client.buffer .. (data or partial or "")
    if why and why ~= "timeout" then return drop(sock) end
    local target, rest = client.buffer:match "^%u+ (%S+) HTTP/1.1\r\n.-\r\n\r\n()"
    if target and not client.answer then
      client.buffer = client.buffer:sub(rest)
      asked = asked + 1
      client.answer = respond(target, asked)
      print(target .. " " .. under_way())
    end
  end

  while true do
    local wait = 1
    for sock, client in pairs(clients) do
      local answer = client.answer
      if answer and not answer.hang then
        local left = answer.at - socket.gettime()
        local said = told(folder, answer.path)
        if said == false then
          wait = math.min(wait, 0.005)
        elseif left <= 0 then
          sock:send(said or answer.bytes)
          client.answer = nil
          if answer.cut then
            drop(sock)
            wait = 0
            break
          end
        else
          wait = math.min(wait, left)
        end
      end
    end
    for _, sock in ipairs((socket.select(sockets, nil, wait))) do
      if sock == server then
        local client = server:accept()
        if client then
          client:settimeout(0)
          client:setoption("tcp-nodelay", true)
          clients[client] = { buffer = "" }
          table.insert(sockets, client)
        end
      elseif clients[sock] then
        take(sock)
      end
    end
  end
end

if arg and arg[0] and arg[0]:match "origin%.lua$" then return serve(arg[1]) end

local process = require "tests.support.process"
local origin = {}
local Origin = {}
Origin.__index = Origin

function origin.start()
  local self = setmetatable({ folder = process.temp() }, Origin)
  self.process = process.start { argv = { "luajit", "tests/support/origin.lua", self.folder } }
  self.port = process.eventually(function() return "an origin: " .. self.process:err() end, 10, function()
    return tonumber(self.process:out():match "^port (%d+)\n")
  end)
  self.url = "http://127.0.0.1:" .. self.port
  return self
end

-- From now on this is the answer to who asks for the path.
function Origin:says(path, status, body)
  local file = told_file(self.folder, path)
  process.write(file .. "+new", status .. "\n" .. body)
  assert(os.rename(file .. "+new", file))
end

-- Whoever asks for the path, or waits for it, waits until it is let go.
function Origin:holds(path) process.write(told_file(self.folder, path) .. "+hold", "") end
function Origin:lets_go(path) os.remove(told_file(self.folder, path) .. "+hold") end

-- How often it was asked for paths that begin so, and how many requests it ever had under way at once.
function Origin:asked(path)
  local n, most = 0, 0
  for target, busy in self.process:out():gmatch "(/%S*) (%d+)\n" do
    if (target .. " "):sub(1, #(path or "")) == (path or "") then
      n = n + 1
      most = math.max(most, tonumber(busy))
    end
  end
  return n, most
end

function Origin:stop()
  self.process:kill()
  process.remove(self.process.folder)
  process.remove(self.folder)
end

return origin
