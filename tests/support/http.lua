-- tests/support/http.lua -- HTTP/1.1 as bytes: what a careful client sends and insists on, and what a rude one sends. Over raw
-- sockets, so that a test decides about every byte; each answer is parsed strictly, so that every test checks the wire too.
local socket = require "socket"
local unix = require "socket.unix"

local ffi = require "ffi"
ffi.cdef "int fcntl(int fd, int command, ...);"

local http = {}

http.timeout = 10 -- seconds a test waits for an answer before it calls it lost

-- Percent-encodes all but the unreserved characters.
function http.escape(text)
  return (text:gsub("[^A-Za-z0-9%-._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

-- "?a=1&b=2" of a table, names sorted.
function http.query(keys)
  local names, pairs_ = {}, {}
  for name in pairs(keys) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do pairs_[i] = http.escape(name) .. "=" .. http.escape(tostring(keys[name])) end
  return "?" .. table.concat(pairs_, "&")
end

-- The bytes of a request. Headers by name; false leaves out a header that would be added.
function http.format(method, target, headers, body)
  local lines, given = { ("%s %s HTTP/1.1"):format(method, target) }, {}
  for name, value in pairs(headers or {}) do
    given[name:lower()] = true
    if value then lines[#lines + 1] = name .. ": " .. value end
  end
  if not given.host then table.insert(lines, 2, "Host: perigee.test") end
  if body and not given["content-length"] and not given["transfer-encoding"] then
    lines[#lines + 1] = "Content-Length: " .. #body
    if not given["content-type"] then lines[#lines + 1] = "Content-Type: application/json" end
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

-- The chunked form of a body, cut at the given sizes (the rest in one).
function http.chunks(body, sizes)
  local parts, at = {}, 1
  for _, size in ipairs(sizes or {}) do
    parts[#parts + 1] = ("%x\r\n%s\r\n"):format(size, body:sub(at, at + size - 1))
    at = at + size
  end
  if at <= #body then parts[#parts + 1] = ("%x\r\n%s\r\n"):format(#body - at + 1, body:sub(at)) end
  return table.concat(parts) .. "0\r\n\r\n"
end

local function parse_head(head)
  local response = { headers = {}, names = {}, head = head }
  local version, status, reason = head:match "^HTTP/(1%.[01]) (%d%d%d) ([^\r\n]*)\r\n"
  assert(version, "no status line: " .. head:sub(1, 100))
  response.version, response.status, response.reason = version, tonumber(status), reason
  for line in head:sub(#version + #reason + 13):gmatch "([^\n]*)\n" do
    local name, value = line:match "^([A-Za-z0-9-]+): ([^%z\1-\8\10-\31\127]*)\r$"
    assert(name, "no header line: " .. line)
    name = name:lower()
    assert(not response.headers[name], "sent twice: " .. name)
    response.headers[name] = value
    response.names[#response.names + 1] = name
  end
  return response
end

-- What every answer must have, whatever it answers.
local function check_head(response)
  local headers = response.headers
  if response.status >= 200 and response.status < 500 then -- RFC 9110 6.6.1
    assert(headers.date and headers.date:match "^%a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT$", "no Date")
  end
  assert(not headers["transfer-encoding"] or not headers["content-length"], "both Transfer-Encoding and Content-Length")
  if response.status == 204 or response.status < 200 then assert(not headers["content-length"], "Content-Length in a 204 or 1xx") end
end

-- The first answer in `bytes`, to a HEAD or not, and where the next one begins; nil when it is not all there.
function http.parse(bytes, is_head, closed)
  local _, head_end = bytes:find("\r\n\r\n", 1, true)
  if not head_end then return nil end
  local response = parse_head(bytes:sub(1, head_end - 2))
  check_head(response)
  local status, length = response.status, response.headers["content-length"]
  if is_head or status == 204 or status == 304 or status < 200 then
    response.body = ""
    return response, head_end + 1
  end
  assert(not response.headers["transfer-encoding"], "an answer in chunks")
  if length then
    assert(length:match "^%d+$", "Content-Length: " .. length)
    local body_end = head_end + tonumber(length)
    if #bytes < body_end then return nil end
    response.body = bytes:sub(head_end + 1, body_end)
    return response, body_end + 1
  end
  if not closed then return nil end
  response.body = bytes:sub(head_end + 1)
  return response, #bytes + 1
end

local Connection = {}
Connection.__index = Connection

-- A connection to "host:port" or "unix:/path".
function http.connect(address)
  local path = address:match "^unix:(.*)"
  local sock
  if path then
    sock = unix.stream and unix.stream() or unix()
    assert(sock:connect(path))
  else
    local host, port = address:match "^(.*):(%d+)$"
    sock = assert(socket.connect(host, tonumber(port)))
    sock:setoption("tcp-nodelay", true)
  end
  ffi.C.fcntl(sock:getfd(), 2, ffi.cast("int", 1)) -- F_SETFD, FD_CLOEXEC: programs started meanwhile must not hold it open
  return setmetatable({ sock = sock, buffer = "" }, Connection)
end

-- Sends all of it; false when the other side has closed.
function Connection:send(bytes)
  self.sock:settimeout(http.timeout)
  local ok, why = self.sock:send(bytes)
  return ok ~= nil, why
end

-- Sends it byte by byte, each in a packet of its own.
function Connection:send_slowly(bytes)
  for i = 1, #bytes do
    if not self:send(bytes:sub(i, i)) then return false end
  end
  return true
end

-- Takes in what has arrived, waiting until `deadline` for the first byte: true, or false and "closed" or "timeout".
function Connection:pull(deadline)
  if self.closed then return false, "closed" end
  local ready = socket.select({ self.sock }, nil, math.max(0, deadline - socket.gettime()))
  if not ready[self.sock] then return false, "timeout" end
  self.sock:settimeout(0)
  local data, why, partial = self.sock:receive(65536)
  data = data or partial or ""
  self.buffer = self.buffer .. data
  if why and why ~= "timeout" then
    self.closed = true
    return #data > 0, "closed"
  end
  return true
end

-- The next answer; or nil and "closed" (with the bytes that were no whole answer) or "timeout".
function Connection:receive(is_head, seconds)
  local deadline = socket.gettime() + (seconds or http.timeout)
  while true do
    local response, rest = http.parse(self.buffer, is_head, self.closed)
    if response then
      self.buffer = self.buffer:sub(rest)
      return response
    end
    local ok, why = self:pull(deadline)
    if not ok and (why == "timeout" or not http.parse(self.buffer, is_head, true)) then return nil, why, self.buffer end
  end
end

-- One request, one final answer (interim ones are skipped).
function Connection:request(method, target, headers, body)
  if not self:send(http.format(method, target, headers, body)) then return nil, "closed" end
  while true do
    local response, why, bytes = self:receive(method == "HEAD")
    if not response or response.status >= 200 then return response, why, bytes end
  end
end

-- Waits until the other side closes: true and all it had sent till then, or false.
function Connection:closes(seconds)
  local deadline = socket.gettime() + (seconds or http.timeout)
  while true do
    local ok, why = self:pull(deadline)
    if why == "closed" then return true, self.buffer end
    if not ok then return false, self.buffer end
  end
end

-- No more from this side; the other may still answer.
function Connection:shutdown() self.sock:shutdown "send" end

-- Ends with a reset instead of a farewell.
function Connection:reset()
  self.sock:setoption("linger", { on = true, timeout = 0 })
  self.sock:close()
end

function Connection:close() self.sock:close() end

-- One request on a connection of its own.
function http.request(address, method, target, headers, body)
  local connection = http.connect(address)
  local response, why, bytes = connection:request(method, target, headers, body)
  connection:close()
  return response, why, bytes
end

-- Many at once, each on a connection of its own; an entry is { method, target, headers, body }. Returns the answers in that order,
-- each with `seconds` since all were sent; what has no answer after `seconds` is false.
function http.all(address, requests, seconds)
  local open, answers, left = {}, {}, #requests
  for i, request in ipairs(requests) do
    open[i] = http.connect(address)
    answers[i] = false
    open[open[i].sock] = i
  end
  local start = socket.gettime()
  for i, request in ipairs(requests) do open[i]:send(http.format(unpack(request, 1, 4))) end
  local deadline = start + (seconds or http.timeout)
  local waiting = {}
  for i = 1, #requests do waiting[i] = open[i].sock end
  while left > 0 and socket.gettime() < deadline do
    for _, sock in ipairs((socket.select(waiting, nil, math.max(0, deadline - socket.gettime())))) do
      local i = open[sock]
      open[i]:pull(deadline)
      local response = http.parse(open[i].buffer, requests[i][1] == "HEAD", open[i].closed)
      if response then
        response.seconds = socket.gettime() - start
        answers[i] = response
      end
      if response or open[i].closed then
        left = left - 1
        for at, other in ipairs(waiting) do
          if other == sock then
            table.remove(waiting, at)
            break
          end
        end
      end
    end
  end
  for i = 1, #requests do open[i]:close() end
  return answers
end

return http
