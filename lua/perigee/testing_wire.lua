-- perigee.testing_wire: unix sockets and just enough HTTP/1.1 for perigee.testing: questions to a gateway, and answers to its handlers. One
-- loop, which runs only while somebody waits: a spec waits for the gateway, the gateway for its handler, the handler for the spec.
--
-- Over LuaJIT's ffi, so that specs need nothing beside busted.

local ffi = require "ffi"
local json = require "perigee.testing_json"

ffi.cdef [[
struct perigee_address { unsigned short family; char path[108]; };
struct perigee_poll { int fd; short events, revents; };
int socket(int family, int type, int protocol);
int connect(int fd, const struct perigee_address *address, unsigned n);
int bind(int fd, const struct perigee_address *address, unsigned n);
int listen(int fd, int n);
int accept4(int fd, void *address, void *n, int flags);
ssize_t recv(int fd, void *to, size_t n, int flags);
ssize_t send(int fd, const void *from, size_t n, int flags);
int close(int fd);
int poll(struct perigee_poll *fds, unsigned long n, int ms);
char *strerror(int n);
typedef struct { long seconds, nanoseconds; } perigee_time;
int clock_gettime(int clock, perigee_time *t);
]]

local C = ffi.C
local AF_UNIX, STREAM_CLOEXEC, NONBLOCK, NOSIGNAL, DONTWAIT = 1, 1 + 0x80000, 0x800, 0x4000, 0x40
local POLLIN, POLLOUT = 1, 4
local EINTR, EAGAIN = 4, 11
local ROOM = 65536

local wire = { patience = 30 } -- seconds a spec waits for an answer

local room, now_is = ffi.new("char[?]", ROOM), ffi.new "perigee_time"
local open = {} -- fd -> connection or listener
local timers = {} -- { at =, act = }

function wire.now()
    C.clock_gettime(1, now_is) -- CLOCK_MONOTONIC
    return tonumber(now_is.seconds) + tonumber(now_is.nanoseconds) / 1e9
end

local function fail(what) error(("%s: %s"):format(what, ffi.string(C.strerror(ffi.errno()))), 0) end

-- Connections: what is sent is queued, what comes is collected; on_data is called with each of them that has more, or is at its end.

local Connection = {}
Connection.__index = Connection

local function adopt(fd, on_data)
    local connection = setmetatable({ fd = fd, out = "", got = "", on_data = on_data }, Connection)
    open[fd] = connection
    return connection
end

local function address_of(path)
    if #path > 107 then error("the path of a socket is too long: " .. path, 0) end
    return ffi.new("struct perigee_address", AF_UNIX, path)
end

function wire.connect(path, on_data)
    local fd = C.socket(AF_UNIX, STREAM_CLOEXEC, 0)
    if fd < 0 then fail "socket" end
    local address = address_of(path)
    if C.connect(fd, address, ffi.sizeof(address)) ~= 0 then
        local code = ffi.errno()
        C.close(fd)
        ffi.errno(code)
        fail(path)
    end
    return adopt(fd, on_data or function() end)
end

-- `on_connection` gets each connection, and says by setting on_data what becomes of it.
function wire.listen(path, on_connection)
    local fd = C.socket(AF_UNIX, STREAM_CLOEXEC + NONBLOCK, 0)
    local address = address_of(path)
    if fd < 0 or C.bind(fd, address, ffi.sizeof(address)) ~= 0 or C.listen(fd, 128) ~= 0 then fail(path) end
    open[fd] = { fd = fd, out = "", readable = function()
        local client = C.accept4(fd, nil, nil, STREAM_CLOEXEC - 1)
        if client >= 0 then on_connection(adopt(client)) end
    end }
end

function Connection:send(bytes) self.out = self.out .. bytes end

function Connection:close()
    if self.fd then
        open[self.fd] = nil
        C.close(self.fd)
        self.fd = nil
    end
end

-- Closes when all is sent.
function Connection:finish()
    self.last = true
    if self.out == "" then self:close() end
end

function Connection:readable()
    local n = tonumber(C.recv(self.fd, room, ROOM, DONTWAIT))
    if n < 0 and (ffi.errno() == EINTR or ffi.errno() == EAGAIN) then return end
    self.ended = n <= 0
    if n > 0 then self.got = self.got .. ffi.string(room, n) end
    if self.ended then open[self.fd] = nil end
    self:on_data()
    if self.ended then self:close() end
end

function Connection:writable()
    local n = tonumber(C.send(self.fd, self.out, #self.out, NOSIGNAL + DONTWAIT))
    if n >= 0 then
        self.out = self.out:sub(n + 1)
    elseif ffi.errno() ~= EINTR and ffi.errno() ~= EAGAIN then
        self.out, self.last = "", true -- the other side has gone
    end
    if self.last and self.out == "" then self:close() end
end

-- The loop.

function wire.after(seconds, act) timers[#timers + 1] = { at = wire.now() + seconds, act = act } end

local function fire_timers(now)
    local due = timers
    timers = {}
    for _, timer in ipairs(due) do
        if timer.at <= now then timer.act() else timers[#timers + 1] = timer end
    end
end

-- Waits for what comes first, at most so many seconds, and does what there is to do.
local function step(seconds)
    local now, fds = wire.now(), {}
    for _, timer in ipairs(timers) do seconds = math.max(0, math.min(seconds, timer.at - now)) end
    for fd in pairs(open) do fds[#fds + 1] = fd end
    local polled = ffi.new("struct perigee_poll[?]", math.max(1, #fds))
    for i, fd in ipairs(fds) do
        polled[i - 1].fd, polled[i - 1].events = fd, open[fd].out ~= "" and POLLIN + POLLOUT or POLLIN
    end
    if C.poll(polled, #fds, math.ceil(seconds * 1000)) > 0 then
        for i, fd in ipairs(fds) do
            local events, it = polled[i - 1].revents, open[fd]
            if it and bit.band(events, POLLOUT) ~= 0 then it:writable() end
            if open[fd] == it and it and bit.band(events, bit.bnot(POLLOUT)) ~= 0 then it:readable() end
        end
    end
    fire_timers(wire.now())
end

local branches = {} -- coroutines of wire.at_once

-- Until `is_done()`; raises where that takes too long.
function wire.await(what, is_done)
    local deadline = wire.now() + wire.patience
    while not is_done() do
        if wire.now() > deadline then error(("no %s within %g s"):format(what, wire.patience), 0) end
        if branches[coroutine.running() or false] then coroutine.yield() else step(deadline - wire.now()) end
    end
end

-- Runs functions at once: while one waits the others go on. Returns a list of each one's results, { n =, ... }; raises what the
-- first of them raises, when all have ended.
function wire.at_once(functions)
    local results, failed, left = {}, nil, #functions
    local running = {}
    for i, f in ipairs(functions) do
        running[i] = coroutine.create(f)
        branches[running[i]] = true
    end
    local function resume(i)
        local back = { n = 0 }
        local function keep(...)
            back = { n = select("#", ...), ... }
        end
        keep(coroutine.resume(running[i]))
        if coroutine.status(running[i]) ~= "dead" then return end
        branches[running[i]], running[i], left = nil, nil, left - 1
        if not back[1] then failed = failed or { back[2] } end
        results[i] = { n = back.n - 1, unpack(back, 2, back.n) }
    end
    while true do
        for i = 1, #functions do
            if running[i] then resume(i) end
        end
        if left == 0 then break end
        step(0.1)
    end
    if failed then error(failed[1], 0) end
    return results
end

-- HTTP.

function wire.escape(text)
    return (text:gsub("[^%w._~-]", function(c) return ("%%%02X"):format(c:byte()) end))
end

-- "?a=1&b=x" of tables, names sorted; "" where there are none.
function wire.query(...)
    local parts = {}
    for i = 1, select("#", ...) do
        for name, value in pairs((select(i, ...)) or {}) do
            if type(value) == "table" then error(("`%s` is a table: in an address stand texts, numbers and booleans"):format(name), 0) end
            if type(value) == "number" then value = json.number(value) end
            parts[#parts + 1] = wire.escape(name) .. "=" .. wire.escape(tostring(value))
        end
    end
    table.sort(parts)
    return #parts > 0 and "?" .. table.concat(parts, "&") or ""
end

-- Names in lower case; they are found in any, as in handlers.
local ANY_CASE = { __index = function(headers, name) return type(name) == "string" and rawget(headers, name:lower()) or nil end }

local function headers_of(head)
    local headers = setmetatable({}, ANY_CASE)
    for name, value in head:gmatch "\r\n([^:\r\n]+):[ \t]*([^\r\n]*)" do
        name = name:lower()
        headers[name] = headers[name] and headers[name] .. ", " .. value or value
    end
    return headers
end

local function write_message(first, headers, body)
    local lines = { first }
    for name, value in pairs(headers) do
        local line = name .. ": " .. tostring(value)
        if line:find "[\r\n%z]" then error("a header with a control character: " .. name, 0) end
        lines[#lines + 1] = line
    end
    return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

-- One request, one answer, and the connection is closed: { status =, headers =, body = }.
function wire.request(path, method, target, headers, body)
    local all, answer = { Host = "localhost", Connection = "close" }, nil
    for name, value in pairs(headers or {}) do all[name] = value end
    if body then all["Content-Length"] = #body end
    local connection = wire.connect(path, function(self)
        if self.ended then answer = self.got end
    end)
    connection:send(write_message(("%s %s HTTP/1.1"):format(method, target), all, body))
    local ok, why = pcall(wire.await, ("answer to %s %s"):format(method, target), function() return answer end)
    connection:close()
    if not ok then error(why, 0) end
    local head, rest = answer:match "^(.-\r\n)\r\n(.*)$"
    local status = head and head:match "^HTTP/1%.1 (%d%d%d) "
    if not status then error(("the gateway closed instead of answering %s %s"):format(method, target), 0) end
    return { status = tonumber(status), headers = headers_of("\r\n" .. head), body = rest }
end

-- A whole request of a handler, or nil while there is more to come.
local function read_request(bytes)
    local head, at = bytes:match "^(.-\r\n)\r\n()"
    if not head then return nil end
    local method, target = head:match "^(%u+) (%S+) HTTP/1%.1\r\n"
    local headers = headers_of("\r\n" .. head)
    local length = tonumber(headers["content-length"] or 0)
    if not method or #bytes < at + length - 1 then return nil end
    local url = ("%s://%s%s"):format(headers["perigee-scheme"] or "http", headers.host or "", target)
    headers["perigee-scheme"] = nil
    return { method = method, url = url, headers = headers, body = bytes:sub(at, at + length - 1) }
end

-- Answers what handlers ask: answer(request) -> { status =, headers =, body =, after = seconds }, or nothing: the connection is
-- cut; "hang": it is left without an answer.
function wire.serve(path, answer)
    wire.listen(path, function(connection)
        function connection:on_data()
            local request = not self.asked and read_request(self.got)
            if not request then return end
            self.asked = true
            local said = answer(request)
            if said == "hang" then return end
            if not said then return self:close() end
            local body, headers = said.body or "", { Connection = "close" }
            for name, value in pairs(said.headers or {}) do headers[name] = value end
            if request.method ~= "HEAD" then headers["Content-Length"] = #body end
            local bytes = write_message(("HTTP/1.1 %d Told"):format(said.status or 200), headers, request.method ~= "HEAD" and body)
            wire.after(said.after or 0, function()
                if not self.fd then return end
                self:send(bytes)
                self:finish()
            end)
        end
    end)
end

return wire
