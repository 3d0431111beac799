-- tests/e2e/gzip_spec.lua -- answers in gzip: who gets them, that they are the same bytes, and that tags, Vary and conditions tell the two apart.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local cjson = require "cjson"

local models = [[
model "Note" { id = key(), text = field(), options = { expires = 600 } }
model "Pair" { id = key(), one = reference "Note", other = reference "Note" }
model "Big" { id = key(), size = field(), text = field(), options = { expires = 600 },
  from_miss = function(self) self.text = ("text " .. self.id .. " "):rep(500) end,
  again = cached_method{ on = { "id" }, args = { times = arg{ type = "integer", default = 100 } }, expires = 600,
    function(self, args) return (self.id .. " "):rep(args.times) end } }
]]

local GZIP = { ["Accept-Encoding"] = "gzip" }

local function with(headers)
  local all = { ["Accept-Encoding"] = "gzip" }
  for name, value in pairs(headers) do all[name] = value end
  return all
end

local function unzip(answer)
  local file = os.tmpname()
  process.write(file, answer.body)
  local code, out, err = process.run { argv = { "gzip", "-dc", file } }
  os.remove(file)
  assert(code == 0, err)
  return out
end

-- Words that are hard to compress, the same at each run.
local function noise(bytes)
  local parts, x = {}, 12345
  for i = 1, bytes / 8 do
    x = (x * 1103515245 + 12345) % 2147483648
    parts[i] = ("%08x"):format(x)
  end
  return table.concat(parts)
end

local function note(text) return cjson.encode { text = text } end

for _, store in ipairs { "memory", "redis" } do
  describe("gzip on " .. store, function()
    local gw
    setup(function()
      gw = gateway.start { models = models, store = store, workers = 2, args = { "--max-body", "4MiB" } }
      check.status(gw:put("/models/Note?id=small", note "few words"), 201)
      check.status(gw:put("/models/Note?id=large", note(("many words "):rep(300))), 201)
      check.status(gw:put("/models/Pair?id=p", '{"one":{"id":"small"},"other":{"id":"large"}}'), 201)
    end)
    teardown(function() gw:finish() end)

    -- The two forms of one answer.
    local function check_both(target, method)
      method = method or "GET"
      local plain, packed = gw:request(method, target), gw:request(method, target, GZIP)
      check.status(plain, 200)
      check.status(packed, 200)
      assert.is_nil(plain.headers["content-encoding"])
      assert.equal("gzip", packed.headers["content-encoding"])
      assert.equal("Accept-Encoding", plain.headers.vary)
      assert.equal("Accept-Encoding", packed.headers.vary)
      assert.equal(plain.body, unzip(packed))
      assert.is_true(#packed.body < #plain.body)
      if plain.headers.etag then
        assert.matches('^"%x+"$', plain.headers.etag)
        assert.equal((plain.headers.etag:gsub('"$', '-gzip"')), packed.headers.etag)
      end
      assert.equal(plain.headers["content-type"], packed.headers["content-type"])
      return plain, packed
    end

    it("records, documents, results, descriptions and bulks", function()
      check_both "/models/Note?id=large"
      check_both "/models/Pair?id=p"
      gw:get "/models/Big?id=b"
      check_both "/models/Big?id=b"
      gw:get "/models/Big/again?id=b&times=900"
      check_both "/models/Big/again?id=b&times=900"
      check_both("/models/Big/again?id=b&times=900", "POST")
      check_both "/openapi.json"
      local body = '{"get":[{"id":"large"},{"id":"small"}]}'
      local plain = gw:request("POST", "/models/Note/_bulk", {}, body)
      local packed = gw:request("POST", "/models/Note/_bulk", GZIP, body)
      assert.equal(plain.body, unzip(packed))
    end)

    it("small ones, and what is no answer, are as ever", function()
      local answer = check.status(gw:get("/models/Note?id=small", GZIP), 200)
      assert.is_nil(answer.headers["content-encoding"])
      assert.is_nil(answer.headers.vary)
      assert.equal('{"id":"small","text":"few words"}', answer.body)
      for _, target in ipairs { "/models/Note?id=none", "/nothing", "/models/Note" } do
        answer = gw:get(target, GZIP)
        assert.is_nil(answer.headers["content-encoding"])
        assert.is_nil(answer.headers.vary)
      end
      answer = gw:put("/models/Note?id=large", note(("many words "):rep(300)), with { Prefer = "return=representation" })
      assert.is_nil(answer.headers["content-encoding"])
    end)

    it("go by what the client likes", function()
      local function coding(accept)
        local answer = gw:get("/models/Note?id=large", { ["Accept-Encoding"] = accept })
        return check.status(answer, 200).headers["content-encoding"] or "identity"
      end
      for _, accept in ipairs { "gzip", "GZIP", "x-gzip", "deflate, gzip;q=0.5, br", "*", "*;q=0.1", "gzip;q=0.001", "gzip ; q=1.000",
        "identity;q=0.5, gzip;q=0.5", "identity;q=0, gzip", "identity;q=0, *", "br;q=1, *;q=0.2" } do
        assert.equal("gzip", coding(accept), accept)
      end
      for _, accept in ipairs { "", "identity", "br", "gzip;q=0", "gzip;q=0.000", "*;q=0", "gzip;q=0, *", "identity, gzip;q=0.9", "gzip;q=1.5",
        "gzip;q=-1", "gzip;q=.5", "gzip;q=0.0001", "gzip;x=1", "gzipped", "identity;q=0", "identity;q=0, br" } do
        assert.equal("identity", coding(accept), accept)
      end
      local connection = http.connect(gw.address)
      connection:send "GET /models/Note?id=large HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br\r\nAccept-Encoding: gzip\r\n\r\n"
      assert.equal("gzip", connection:receive().headers["content-encoding"])
      connection:send "GET /models/Note?id=large HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n"
      local old = connection:receive()
      assert.is_nil(old.headers["content-encoding"])
      assert.equal("Accept-Encoding", old.headers.vary)
      connection:close()
    end)

    it("HEAD has the headers of its GET", function()
      for _, headers in ipairs { {}, GZIP } do
        local get, head = gw:get("/models/Pair?id=p", headers), gw:head("/models/Pair?id=p", headers)
        for _, name in ipairs { "etag", "vary", "content-encoding", "content-length", "content-type" } do
          assert.equal(get.headers[name], head.headers[name])
        end
        assert.equal("", head.body)
      end
    end)

    it("conditions know both tags", function()
      local plain, packed = check_both "/models/Note?id=large"
      for _, etag in ipairs { plain.headers.etag, packed.headers.etag, "W/" .. packed.headers.etag } do
        for _, accept in ipairs { "gzip", "identity" } do
          local answer = check.status(gw:get("/models/Note?id=large", { ["If-None-Match"] = etag, ["Accept-Encoding"] = accept }), 304)
          assert.equal((accept == "gzip" and packed or plain).headers.etag, answer.headers.etag)
          assert.equal("Accept-Encoding", answer.headers.vary)
          assert.is_nil(answer.headers["content-encoding"])
          assert.truthy(answer.headers["cache-control"])
        end
      end
      check.status(gw:get("/models/Note?id=large", with { ["If-None-Match"] = packed.headers.etag:gsub("%-gzip", "-gzap") }), 200)
      check.status(gw:put("/models/Note?id=cond", note(("x"):rep(2000))), 201)
      local etag = gw:get("/models/Note?id=cond", GZIP).headers.etag
      assert.matches("%-gzip\"$", etag)
      check.problem(gw:put("/models/Note?id=cond", note "y", { ["If-Match"] = "W/" .. etag }), 412, "precondition-failed")
      check.problem(gw:put("/models/Note?id=cond", note "y", { ["If-None-Match"] = etag }), 412, "precondition-failed")
      check.status(gw:put("/models/Note?id=cond", note "y", { ["If-Match"] = etag }), 204)
      check.problem(gw:put("/models/Note?id=cond", note "z", { ["If-Match"] = etag }), 412, "precondition-failed")
    end)

    it("large ones, many at once and pipelined, each its own", function()
      local texts, requests = {}, {}
      for i, size in ipairs { 32000, 33000, 200000, 1000000, 3000000 } do
        texts[i] = noise(size) .. i
        check.status(gw:put("/models/Note?id=n" .. i, note(texts[i])), 201)
        requests[i] = http.format("GET", "/models/Note?id=n" .. i, GZIP)
      end
      local connections = {}
      for c = 1, 4 do
        connections[c] = http.connect(gw.address)
        connections[c]:send(table.concat(requests))
      end
      for c = 1, 4 do
        for i = 1, #texts do
          local answer = check.status(connections[c]:receive(), 200)
          assert.equal("gzip", answer.headers["content-encoding"])
          assert.is_true(texts[i] == cjson.decode(unzip(answer)).text)
        end
        connections[c]:close()
      end
    end)

    it("a client that leaves while its answer is compressed takes nothing with it", function()
      check.status(gw:put("/models/Note?id=left", note(noise(3000000))), 201)
      for _ = 1, 20 do
        local connection = http.connect(gw.address)
        connection:send(http.format("GET", "/models/Note?id=left", GZIP):rep(3))
        connection:reset()
      end
      check.status(gw:get("/models/Note?id=small", GZIP), 200)
    end)

    it("tags are the same in either store and again", function()
      local _, packed = check_both "/models/Note?id=large"
      local other = gateway.start { models = models }
      check.status(other:put("/models/Note?id=large", note(("many words "):rep(300))), 201)
      local there = other:get("/models/Note?id=large", GZIP)
      assert.equal(packed.headers.etag, there.headers.etag)
      assert.is_true(packed.body == there.body)
      other:finish()
    end)
  end)
end

describe("gzip", function()
  it("begins where --compress-min says, and is off at 0", function()
    for min, coded in pairs { ["0"] = "none", ["20"] = "all", ["1GiB"] = "none" } do
      local gw = gateway.start { models = models, args = { "--compress-min", min } }
      check.status(gw:put("/models/Note?id=a", note(("ab"):rep(5000))), 201)
      check.status(gw:put("/models/Note?id=b", note "abcdefghi"), 201)
      for _, id in ipairs { "a", "b" } do
        local answer = gw:get("/models/Note?id=" .. id, GZIP)
        assert.equal(coded == "all" and "gzip" or nil, answer.headers["content-encoding"])
        assert.equal(coded == "all" and "Accept-Encoding" or nil, answer.headers.vary)
      end
      gw:finish()
    end
  end)

  it("of requests is refused", function()
    local gw = gateway.start { models = models }
    local gzip = { ["Content-Encoding"] = "gzip" }
    check.problem(gw:put("/models/Note?id=a", "{}", gzip), 415, "unsupported-media")
    check.problem(gw:request("PATCH", "/models/Note?id=a", gzip, "{}"), 415, "unsupported-media")
    check.problem(gw:request("POST", "/models/Note/_bulk", gzip, "{}"), 415, "unsupported-media")
    check.problem(gw:request("POST", "/models/Big/again", gzip, '{"id":"x"}'), 415, "unsupported-media")
    gw:finish()
  end)

  it("a gateway that stops answers what it compresses", function()
    local gw = gateway.start { models = models, args = { "--max-body", "4MiB" } }
    check.status(gw:put("/models/Note?id=a", note(noise(3000000))), 201)
    local connection = http.connect(gw.address)
    connection:send(http.format("GET", "/models/Note?id=a", GZIP))
    process.eventually("it has been asked", 10, function() return gw:metric("perigee_requests_total", { op = "get" }) == 1 end)
    gw.process:signal "TERM"
    assert.equal("gzip", check.status(connection:receive(), 200).headers["content-encoding"])
    connection:close()
    assert.equal(0, gw.process:wait(10))
    gw:finish_stopped()
  end)
end)
