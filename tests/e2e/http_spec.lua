-- tests/e2e/http_spec.lua -- the wire: whole or in pieces, one request or a hundred, polite or not; each gets its answer, in order.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local socket = require "socket"

local models = [[
model "Note" { id = key(), text = field() }
model "Nap" { id = key(), text = field(), options = { expires = 300 }, from_miss = function(self) sleep(0.2) self.text = "slept" end }
]]

for _, store in ipairs { "memory", "redis" } do
  describe("the wire before " .. store, function()
    local gw
    setup(function()
      gw = gateway.start { models = models, store = store }
      check.status(gw:put("/models/Note?id=a", '{"text":"hello"}'), 201)
    end)
    teardown(function() gw:finish() end)

    local function connected(f)
      local connection = http.connect(gw.address)
      f(connection)
      connection:close()
    end

    it("keeps a connection for many requests", function()
      connected(function(connection)
        for _ = 1, 50 do
          check.status(connection:request("GET", "/models/Note?id=a"), 200)
          check.status(connection:request("HEAD", "/models/Note?id=a"), 200)
          check.status(connection:request("GET", "/models/Note?id=none"), 404)
          check.status(connection:request("PUT", "/models/Note?id=a", {}, '{"text":"hello"}'), 204)
          check.status(connection:request("DELETE", "/models/Note?id=none"), 204)
        end
      end)
    end)

    it("answers a hundred requests of one write in order", function()
      connected(function(connection)
        local requests, kinds = {}, {}
        for i = 1, 100 do
          local kind = ({ "GET", "PUT", "HEAD", "DELETE" })[i % 4 + 1]
          local target = "/models/Note?id=pipe" .. (kind == "DELETE" and i - 2 or kind == "GET" and i - 3 or kind == "HEAD" and i - 1 or i)
          kinds[i] = kind
          requests[i] = http.format(kind, target, {}, kind == "PUT" and ('{"text":%d}'):format(i) or nil)
        end
        connection:send(table.concat(requests))
        for i = 1, 100 do
          local response = connection:receive(kinds[i] == "HEAD")
          if kinds[i] == "PUT" then check.status(response, 201) end
          if kinds[i] == "DELETE" then check.status(response, 204) end
          if kinds[i] == "HEAD" then check.status(response, i > 1 and 200 or 404) end
          if kinds[i] == "GET" then check.status(response, 404) end
        end
      end)
    end)

    it("answers pipelined reads with the right bodies, the slow ones in their place", function()
      connected(function(connection)
        for i = 1, 100 do check.status(gw:put("/models/Note?id=body" .. i, ('{"text":%d}'):format(i)), 201) end
        local requests = {}
        for i = 1, 100 do
          requests[i] = http.format("GET", i % 25 == 0 and "/models/Nap?id=" .. i or "/models/Note?id=body" .. i)
        end
        connection:send(table.concat(requests))
        for i = 1, 100 do
          local wanted = i % 25 == 0 and ('{"id":"%d","text":"slept"}'):format(i) or ('{"id":"body%d","text":%d}'):format(i, i)
          assert.equal(wanted, check.status(connection:receive(), 200).body)
        end
      end)
    end)

    it("gives the same answer to a request in pieces", function()
      local function same(response) return response.status .. (response.headers.etag or "") .. response.body:gsub('"request":"%x+"', "") end
      for _, request in ipairs {
        http.format("GET", "/models/Note?id=a"), http.format("GET", "/models/Note?id=none", { ["X-Long"] = ("y"):rep(100) }),
        http.format("PUT", "/models/Note?id=a", {}, '{"text":"hello"}'), http.format("PUT", "/models/Note?id=a", {}, '{"text":'),
        http.format("PUT", "/models/Note", { ["Transfer-Encoding"] = "chunked" }, http.chunks('{"id":"a","text":"hello"}', { 1, 2, 3 })),
        http.format("GET", "/nothing"), http.format("DELETE", "/models/Note?id=none"),
      } do
        local whole
        connected(function(connection)
          connection:send(request)
          whole = same(connection:receive())
        end)
        connected(function(connection)
          connection:send_slowly(request)
          assert.equal(whole, same(connection:receive()))
        end)
        for at = 1, #request - 1, 7 do -- two requests on one connection, cut once
          connected(function(connection)
            connection:send(request .. request:sub(1, at))
            assert.equal(whole, same(connection:receive()))
            connection:send(request:sub(at + 1))
            assert.equal(whole, same(connection:receive()))
          end)
        end
      end
    end)

    it("takes a body in chunks", function()
      local body = '{"id":"chunked","text":"' .. ("x"):rep(5000) .. '"}'
      for _, sizes in ipairs { {}, { 1 }, { 1, 1, 1, 1 }, { 4096 }, { 100, 200, 300 } } do
        local response = gw:request("PUT", "/models/Note", { ["Transfer-Encoding"] = "chunked", ["Content-Type"] = "application/json" },
          http.chunks(body, sizes))
        assert(response.status == 201 or response.status == 204, response.status)
        assert.equal(body, gw:get("/models/Note?id=chunked").body)
      end
      check.status(gw:request("PUT", "/models/Note", { ["Transfer-Encoding"] = "chunked", ["Content-Type"] = "application/json" },
        '5;ext="quoted"\r\n{"id"\r\n13\r\n:"chunked","text":1\r\n1\r\n}\r\n0\r\nX-Trailer: 1\r\n\r\n'), 204)
      assert.equal('{"id":"chunked","text":1}', gw:get("/models/Note?id=chunked").body)
    end)

    it("says 100 to those who wait for it", function()
      connected(function(connection)
        local body = '{"text":"continued"}'
        connection:send(http.format("PUT", "/models/Note?id=expect", { Expect = "100-continue", ["Content-Length"] = #body,
          ["Content-Type"] = "application/json" }))
        check.status(connection:receive(), 100)
        connection:send(body)
        check.status(connection:receive(), 201)
        check.status(connection:request("GET", "/models/Note?id=expect"), 200)
        check.problem(connection:request("GET", "/models/Note?id=expect", { Expect = "a miracle" }), 417, "expectation-failed")
      end)
    end)

    it("answers a client that has said all it had to say", function()
      connected(function(connection)
        connection:send(http.format("GET", "/models/Nap?id=half-closed"))
        connection:shutdown()
        assert.equal('{"id":"half-closed","text":"slept"}', check.status(connection:receive(), 200).body)
        assert.is_true((connection:closes()))
      end)
      connected(function(connection)
        connection:send(http.format("GET", "/models/Note?id=a"):rep(5))
        connection:shutdown()
        for _ = 1, 5 do check.status(connection:receive(), 200) end
        assert.is_true((connection:closes()))
      end)
    end)

    it("speaks HTTP/1.0", function()
      connected(function(connection)
        connection:send "GET /models/Note?id=a HTTP/1.0\r\nHost: x\r\n\r\n"
        check.status(connection:receive(), 200)
        assert.is_true((connection:closes()))
      end)
      connected(function(connection)
        connection:send "GET /models/Note?id=a HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"
        check.status(connection:receive(), 200)
      end)
    end)

    it("closes when it is asked to", function()
      connected(function(connection)
        connection:send(http.format("GET", "/models/Note?id=a", { Connection = "close" }))
        local response = check.status(connection:receive(), 200)
        assert.equal("close", response.headers.connection)
        assert.is_true((connection:closes()))
      end)
    end)

    it("refuses what is no HTTP/1.1, and closes", function()
      for bytes, statuses in pairs {
        ["GET /models/Note?id=a HTTP/1.1\r\n\r\n"] = "400", ["GET /models/Note?id=a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"] = "400",
        ["GET /models/Note?id=a HTTP/2.0\r\nHost: a\r\n\r\n"] = "505 400", ["GET /models/Note?id=a HTTP/1.2\r\nHost: a\r\n\r\n"] = "505 400",
        ["nonsense\r\n\r\n"] = "400 501", ["GET  /models/Note?id=a HTTP/1.1\r\nHost: a\r\n\r\n"] = "400",
        ["GET /models/Note?id=a HTTP/1.1\r\nHost : a\r\n\r\n"] = "400", ["GET /models/Note?id=a HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n"] = "400",
        ["GET /models/Note?id=a HTTP/1.1\nHost: a\n\n"] = "400", ["GET * HTTP/1.1\r\nHost: a\r\n\r\n"] = "400",
        ["GET /models/Note?id=a HTTP/1.1\r\nHost: a\r\nX: \1\r\n\r\n"] = "400", ["GET /models/Note?id=\1 HTTP/1.1\r\nHost: a\r\n\r\n"] = "400",
        ["PUT /models/Note HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"] = "400 501",
        ["PUT /models/Note HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"] = "400 501",
        ["PUT /models/Note HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n"] = "400 501",
        ["PUT /models/Note HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] = "400",
        ["PUT /models/Note HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"] = "400",
        ["PUT /models/Note HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"] = "400",
        ["PUT /models/Note HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"] = "400",
        ["PUT /models/Note HTTP/1.1\r\nHost: a\r\nContent-Type: a/b\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"] = "400",
        ["CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"] = "400 405 501", ["BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n"] = "400 501 405",
        ["\22\3\1\2\0\1\0\1\252\3\3"] = "400",
      } do
        connected(function(connection)
          connection:send(bytes)
          local response = connection:receive()
          assert(response, "no answer to " .. bytes)
          assert(statuses:find(response.status, 1, true), response.status .. " to " .. bytes)
          if response.status ~= 405 then
            assert.equal("application/problem+json", response.headers["content-type"])
            assert(connection:closes(), "still open after " .. bytes)
          end
        end)
      end
    end)

    it("says what it can in OPTIONS", function()
      for _, target in ipairs { "*", "/models/Note" } do
        check.says(check.status(gw:request("OPTIONS", target), 204).headers.allow, "GET", "PUT", "DELETE")
      end
    end)

    it("takes targets in absolute form, and goes nowhere for them", function()
      check.status(gw:get "http://perigee.test/models/Note?id=a", 200)
      check.problem(gw:get "http://other.test/models/Note?id=a", 400, "malformed-request") -- which of the two hosts is meant?
    end)

    it("survives clients that reset, in the middle of anything", function()
      check.status(gw:put("/models/Note?id=large", '{"text":"' .. ("x"):rep(900000) .. '"}'), 201)
      for _, bytes in ipairs {
        "", "GET", http.format("GET", "/models/Note?id=large"):rep(20), http.format("GET", "/models/Nap?id=reset"),
        http.format("PUT", "/models/Note?id=reset", { ["Content-Length"] = "1000" }, '{"text":'),
      } do
        for _ = 1, 5 do
          local connection = http.connect(gw.address)
          connection:send(bytes)
          connection:reset()
        end
      end
      check.status(gw:get "/models/Note?id=large", 200)
    end)

    it("sends large answers whole to slow readers", function()
      check.status(gw:put("/models/Note?id=large", '{"text":"' .. ("x"):rep(900000) .. '"}'), 204)
      connected(function(connection)
        connection:send(http.format("GET", "/models/Note?id=large"):rep(8))
        local quick = http.connect(gw.address)
        for i = 1, 8 do
          check.status(quick:request("GET", "/models/Note?id=a"), 200)
          local response = check.status(connection:receive(), 200)
          assert(response.body == '{"id":"large","text":"' .. ("x"):rep(900000) .. '"}', i)
        end
        quick:close()
      end)
    end)

    it("200 connections at once", function()
      local requests = {}
      for i = 1, 200 do requests[i] = { "GET", "/models/Note?id=a" } end
      for _, answer in ipairs(http.all(gw.address, requests)) do check.status(answer, 200) end
    end)
  end)
end

describe("addresses", function()
  it("a unix socket, for owner and group only, besides a port", function()
    local folder = process.temp()
    local path = folder .. "/perigee.sock"
    local gw = gateway.start { models = models, listen = { "unix:" .. path, "127.0.0.1:0" }, workers = 2 }
    assert.equal("unix:" .. path, gw.addresses[1])
    local pipe = io.popen("stat -c '%a %F' " .. process.quote(path))
    assert.equal("660 socket", pipe:read "*l")
    pipe:close()
    for _ = 1, 20 do check.status(http.request(gw.addresses[1], "PUT", "/models/Note?id=u", {}, '{"text":1}'), _ == 1 and 201 or 204) end
    check.status(http.request(gw.addresses[2], "GET", "/models/Note?id=u"), 200)
    gw:hang_up()
    assert.equal(0, gw:stop())
    assert.is_nil(process.read(path))
    local there = os.execute("test -e " .. process.quote(path))
    assert.not_equal(0, there)
    gw:finish_stopped()
    process.remove(folder)
  end)

  it("a stale socket file is replaced, another file is not", function()
    local folder = process.temp()
    local path = folder .. "/perigee.sock"
    local first = gateway.start { models = models, listen = { "unix:" .. path } }
    first:signal "KILL"
    first.process:wait(5)
    first:abandon()
    local second = gateway.start { models = models, listen = { "unix:" .. path } }
    check.status(http.request(second.address, "GET", "/models/Note?id=u"), 404)
    second:finish()
    process.write(path, "a file")
    local code, _, err = gateway.run { "serve", folder, "--listen", "unix:" .. path, "--admin", "off" }
    assert.equal(2, code)
    check.says(err, path)
    assert.equal("a file", process.read(path))
    process.remove(folder)
  end)

  it("IPv6", function()
    local probe = socket.tcp6 and socket.tcp6()
    if not (probe and probe:bind("::1", 0)) then return pending "no IPv6 on this machine" end
    probe:close()
    local gw = gateway.start { models = models, listen = { "[::1]:0" } }
    local port = gw.address:match "^%[::1%]:(%d+)$"
    local sock = socket.tcp6()
    assert(sock:connect("::1", tonumber(port)))
    sock:send(http.format("GET", "/models/Note?id=u", { Connection = "close" }))
    assert.truthy(sock:receive("*a"):match "^HTTP/1.1 404")
    sock:close()
    gw:finish()
  end)
end)

describe("limits of connections", function()
  it("one more than allowed is told so, and room is made when one leaves", function()
    local gw = gateway.start { models = models, args = { "--max-connections", "5" } }
    local open = {}
    for i = 1, 5 do
      open[i] = http.connect(gw.address)
      check.status(open[i]:request("GET", "/models/Note?id=u"), 404)
    end
    local one_more = http.connect(gw.address)
    one_more:send(http.format("GET", "/models/Note?id=u"))
    local response, why = one_more:receive()
    if response then
      check.problem(response, 503, "overloaded")
      assert.truthy(response.headers["retry-after"])
    else
      assert.equal("closed", why)
    end
    one_more:close()
    for i = 1, 5 do check.status(open[i]:request("GET", "/models/Note?id=u"), 404) end
    for i = 1, 5 do open[i]:close() end
    process.eventually("room again", 5, function()
      local answer = http.request(gw.address, "GET", "/models/Note?id=u")
      return answer and answer.status == 404
    end)
    gw:finish()
  end)

  it("an idle connection is closed, quietly", function()
    local gw = gateway.start { models = models, args = { "--idle-timeout", "300ms" } }
    local connection = http.connect(gw.address)
    check.status(connection:request("GET", "/models/Note?id=u"), 404)
    local start = socket.gettime()
    local closed, bytes = connection:closes(5)
    assert.is_true(closed)
    assert.equal("", bytes)
    assert(socket.gettime() - start > 0.25, "closed too soon")
    connection:close()
    gw:finish()
  end)
end)
