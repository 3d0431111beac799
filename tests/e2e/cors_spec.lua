-- tests/e2e/cors_spec.lua -- pages of other origins: what a browser is told before and after, and that others are told nothing.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local process = require "tests.support.process"

local models = [[
model "Note" { id = key(), text = field(), options = { expires = 600 } }
]]

local APP, OTHER = "https://app.example", "http://localhost:5173"

local function from(origin, headers)
  local all = { Origin = origin }
  for name, value in pairs(headers or {}) do all[name] = value end
  return all
end

local function preflight(origin) return from(origin, { ["Access-Control-Request-Method"] = "PUT", ["Access-Control-Request-Headers"] = "if-match" }) end

local function names(text)
  local set = {}
  for name in text:gmatch "[^, ]+" do set[name:lower()] = true end
  return set
end

local function is_closed(answer)
  for name in pairs(answer.headers) do assert.is_nil(name:match "^access%-control") end
end

describe("pages of other origins", function()
  local gw, folder
  setup(function()
    folder = process.temp()
    process.write(folder .. "/tokens", "planted-0123456789 all read,write,refresh\n")
    os.execute("chmod 600 " .. folder .. "/tokens")
    gw = gateway.start {
      models = models, beside = { { stop = function() process.remove(folder) end } },
      args = { "--cors-origin", APP, "--cors-origin=" .. OTHER, "--token-file", folder .. "/tokens" },
    }
  end)
  teardown(function() gw:finish() end)

  local function bearer(origin, headers)
    local all = from(origin, headers)
    all.Authorization = "Bearer planted-0123456789"
    return all
  end

  it("may ask what they may do, without a token, and wherever", function()
    for _, origin in ipairs { APP, OTHER } do
      for _, target in ipairs { "/models/Note?id=a", "/models/Nothing", "/nowhere", "*" } do
        local answer = check.status(gw:request("OPTIONS", target, preflight(origin)), 204)
        assert.equal(origin, answer.headers["access-control-allow-origin"])
        assert.equal("Origin", answer.headers.vary)
        assert.equal("600", answer.headers["access-control-max-age"])
        local methods = names(answer.headers["access-control-allow-methods"])
        for _, method in ipairs { "get", "head", "post", "put", "patch", "delete" } do assert.is_true(methods[method]) end
        local allowed = names(answer.headers["access-control-allow-headers"])
        for _, name in ipairs { "authorization", "content-type", "cache-control", "if-match", "if-none-match", "prefer" } do
          assert.is_true(allowed[name])
        end
        assert.is_nil(answer.headers["access-control-allow-credentials"])
      end
    end
  end)

  it("may read answers of every kind, and their headers", function()
    local function opened(answer, status)
      check.status(answer, status)
      assert.equal(APP, answer.headers["access-control-allow-origin"])
      assert.matches("Origin", answer.headers.vary)
      local exposed = names(answer.headers["access-control-expose-headers"])
      for _, name in ipairs { "etag", "age", "cache-status", "location", "retry-after", "www-authenticate" } do assert.is_true(exposed[name]) end
      assert.is_nil(answer.headers["access-control-allow-credentials"])
      return answer
    end
    opened(gw:put("/models/Note?id=a", '{"text":"x"}', bearer(APP)), 201)
    local etag = opened(gw:get("/models/Note?id=a", bearer(APP)), 200).headers.etag
    opened(gw:head("/models/Note?id=a", bearer(APP)), 200)
    opened(gw:get("/models/Note?id=a", bearer(APP, { ["If-None-Match"] = etag })), 304)
    opened(gw:get("/models/Note?id=b", bearer(APP)), 404)
    opened(gw:get("/models/Note?id=a", from(APP)), 401)
    opened(gw:get("/models/Note", bearer(APP)), 400)
    opened(gw:get("/models", bearer(APP)), 200)
    opened(gw:delete("/models/Note?id=a", bearer(APP)), 204)
    opened(gw:request("OPTIONS", "/models/Note", bearer(APP)), 204)
  end)

  it("and nobody else", function()
    for _, origin in ipairs { "https://app.example.evil", "https://app.example:444", "http://app.example", "null", "HTTPS://APP.EXAMPLE", "" } do
      local asked = check.status(gw:request("OPTIONS", "/models/Note", preflight(origin)), 204)
      is_closed(asked)
      assert.equal("Origin", asked.headers.vary)
      is_closed(gw:get("/models/Note?id=a", bearer(origin)))
    end
    local plain = gw:get("/models", bearer(false))
    is_closed(plain)
    assert.equal("Origin", plain.headers.vary) -- who keeps it must know
    is_closed(gw:admin("/healthz", "GET", from(APP)))
    check.problem(gw:request("OPTIONS", "/models/Note", from(APP)), 401, "unauthorized") -- no preflight: a page's own OPTIONS
  end)
end)

describe("any page", function()
  it("may be let in at once", function()
    local gw = gateway.start { models = models, args = { "--cors-origin", "*" } }
    local answer = gw:get("/models", from "https://any.example")
    assert.equal("*", answer.headers["access-control-allow-origin"])
    assert.is_nil(answer.headers.vary)
    assert.equal("*", gw:request("OPTIONS", "/x", preflight "null").headers["access-control-allow-origin"])
    is_closed(gw:admin("/healthz", "GET", from "https://any.example"))
    gw:finish()
  end)

  it("is not, unless that was said", function()
    local gw = gateway.start { models = models }
    is_closed(gw:get("/models", from(APP)))
    local answer = check.status(gw:request("OPTIONS", "/models/Note", preflight(APP)), 204)
    is_closed(answer)
    assert.matches("PATCH", answer.headers.allow)
    gw:finish()
  end)

  it("is told by an environment variable as well, and what is no origin is refused", function()
    local gw = gateway.start { models = models, env = { PERIGEE_CORS_ORIGIN = APP } }
    assert.equal(APP, gw:get("/models", from(APP)).headers["access-control-allow-origin"])
    gw:finish()
    for _, wrong in ipairs { "app.example", "https://app.example/", "https://App.example", "ftp://x", "null", "https://", "https://a b", "https://x:" } do
      local code, _, err = gateway.run { "serve", "schemas", "--cors-origin", wrong }
      assert.equal(2, code)
      check.says(err, "--cors-origin", "https://app.example", wrong)
    end
    assert.equal(2, (gateway.run { "serve", "schemas", "--cors-origin", "*", "--cors-origin", APP }))
  end)
end)
