-- tests/e2e/client_spec.lua -- `perigee get|save|delete` ask a running gateway, print what it says, and exit as it went.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local process = require "tests.support.process"
local cjson = require "cjson"

local models = [[
model "User" { username = key(), age = key{ type = "integer", default = 7 }, email = field{ type = "string", required = true }, more = field() }
model "Home" { address = key(), geocode = cached_method{ args = { precision = arg{ type = "integer", default = 5 } }, expires = 60,
  function(self, args) return { self.address, args.precision } end } }
form "Echo" { text = input{ required = true }, say = cached_form_method{ expires = 60, function(self) return self.cleaned_data.text end } }
]]

describe("the client on the command line", function()
  local gw, folder
  setup(function()
    folder = process.temp()
    gw = gateway.start { models = models, listen = { "127.0.0.1:0", "unix:" .. folder .. "/data.sock" } }
  end)
  teardown(function()
    gw:finish()
    process.remove(folder)
  end)

  local function url() return "http://" .. gw.address end

  -- Exit code, stdout, stderr of a command to this gateway.
  local function perigee(...) return gateway.run({ ... }, { env = { PERIGEE_CLIENT_URL = url() } }) end

  local function prints(text, ...)
    local code, out, err = perigee(...)
    assert.same({ 0, text, "" }, { code, out, err })
  end

  local function fails(with, code, ...)
    local exit, out, err = perigee(...)
    assert.same({ code, "" }, { exit, out })
    check.says(err, with)
    return err
  end

  it("saves, reads and deletes a record", function()
    prints('{"username":"eve","age":7,"email":"e@e"}\n', "save", "User", "username=eve", '{"email":"e@e"}')
    prints('{"username":"eve","age":7,"email":"e@e"}\n', "get", "User", "username=eve")
    prints('{"email":"e@e"}\n', "get", "User", "username=eve", "age=7", "_fields=email")
    prints('{"username":"eve","age":9,"email":"x"}\n', "save", "User", '{"username":"eve","age":9,"email":"x"}', "_expires=90s")
    assert.equal(90, check.cache_control(gw:get "/models/User?username=eve&age=9")["max-age"])
    prints("", "delete", "User", "username=eve")
    prints("", "delete", "User", "username=eve")
    assert.equal("missing", cjson.decode(fails("missing", 1, "get", "User", "username=eve")).code)
  end)

  it("takes a record from stdin, whatever is in it", function()
    local text = '{"email":"é ' .. ("x"):rep(200000) .. '","more":[1.10,{}]}'
    process.write(folder .. "/record.json", text)
    local code, out, err = process.run {
      argv = { "sh", "-c", gateway.bin .. " save User username=long --url " .. url() .. " <" .. folder .. "/record.json" },
    }
    assert.same({ 0, "" }, { code, err })
    assert.equal('{"username":"long","age":7,' .. text:sub(2) .. "\n", out)
    prints(out, "get", "User", "username=long")
    assert.equal("malformed-json", cjson.decode(fails("byte", 1, "save", "User", "username=x")).code) -- an empty stdin
  end)

  it("sends any key as it is", function()
    for _, name in ipairs { "a b", "a&b=c", "é", "%41", "a+b", "?#/", "=", "'\"\\", "{}" } do
      local code, out = perigee("save", "User", "username=" .. name, '{"email":"e"}')
      assert.equal(0, code, out)
      assert.equal(name, cjson.decode(out).username)
      _, out = perigee("get", "User", "username=" .. name)
      assert.equal(name, cjson.decode(out).username)
    end
  end)

  it("calls methods, forms, and whatever has an address", function()
    prints('["x",5]\n', "get", "Home.geocode", "address=x")
    prints('["x",2]\n', "get", "Home.geocode", "address=x", "precision=2")
    prints('"hi"\n', "get", "/forms/Echo/say", "text=hi")
    prints('"hi"\n', "get", "/forms/Echo/say?_explain=0", "text=hi")
    prints(gw:get("/openapi.json").body .. "\n", "get", "/openapi.json")
  end)

  it("tells problems as the gateway does", function()
    for code, words in pairs {
      ["unknown-model"] = { "get", "Usr", "username=x" }, ["key-required"] = { "get", "User" }, ["key-type"] = { "get", "User", "username=x", "age=old" },
      ["unknown-key"] = { "delete", "User", "usrname=x" }, ["field-required"] = { "save", "User", "username=x", "{}" },
      ["key-conflict"] = { "save", "User", "username=x", '{"username":"y","email":"e"}' }, ["malformed-request"] = { "get", "User", "username=x", "_no=1" },
      ["not-found"] = { "get", "/nowhere" },
    } do
      assert.equal(code, cjson.decode(fails(code, 1, unpack(words))).code)
    end
  end)

  it("refuses words that are none", function()
    for _, verb in ipairs { "get", "save", "delete" } do fails("usage: perigee " .. verb, 2, verb) end
    fails("`bob` is not name=value", 2, "get", "User", "bob")
    fails("`{}` is not name=value", 2, "get", "User", "{}")
    fails("unknown flag --depth (there is --url)", 2, "get", "--depth", "1", "User")
    fails("unknown flag --url", 2, "get", "User", "--url")
    fails("one record", 2, "save", "User", "{}", "{}")
    fails("too long", 2, "get", "User", "username=" .. ("x"):rep(70000))
  end)

  it("says why nobody answers", function()
    for _, wrong in ipairs { "http://127.0.0.1:1", "unix:" .. folder .. "/nobody.sock", "ftp://127.0.0.1/", "nonsense:", "http://127.0.0.1:1/x y" } do
      local code, out, err = gateway.run { "get", "User", "username=x", "--url", wrong }
      assert.same({ 2, "" }, { code, out })
      check.says(err, "perigee: " .. wrong .. ": ")
    end
  end)

  it("finds a gateway at a socket of the file system", function()
    local code, out = gateway.run { "get", "--url=unix:" .. folder .. "/data.sock", "Home.geocode", "address=x" }
    assert.same({ 0, '["x",5]\n' }, { code, out })
  end)

  it("has variables of its own, which disturb no gateway", function()
    local env = { PERIGEE_CLIENT_URL = "http://127.0.0.1:1", PERIGEE_CLIENT_TOKEN = "x" }
    local code = gateway.run({ "check", gw.schemas }, { env = env })
    assert.equal(0, code)
    local _, out = gateway.run({ "get", "Home.geocode", "address=x", "--url", url() }, { env = env }) -- a flag beats the variable
    assert.equal('["x",5]\n', out)
    local unknown, _, err = gateway.run({ "check", gw.schemas }, { env = { PERIGEE_CLIENT_TOKN = "x" } })
    assert.equal(2, unknown)
    check.says(err, "PERIGEE_CLIENT_TOKN")
  end)
end)

describe("the client's token", function()
  it("comes from the environment", function()
    local folder = process.temp()
    process.write(folder .. "/tokens", ("%s tests read,write\n"):format(("t"):rep(32)))
    local gw = gateway.start { models = models, args = { "--token-file", folder .. "/tokens" } }
    local function get(token)
      local env = { PERIGEE_CLIENT_URL = "http://" .. gw.address, PERIGEE_CLIENT_TOKEN = token }
      return gateway.run({ "get", "Home.geocode", "address=x" }, { env = env })
    end
    local code, _, err = get(nil)
    assert.equal(1, code)
    check.says(err, '"code":"unauthorized"')
    code, _, err = get "wrong"
    assert.equal(1, code)
    check.says(err, '"code":"unauthorized"')
    assert.same({ 0, '["x",5]\n', "" }, { get(("t"):rep(32)) })
    code, _, err = get "two\r\nX-Evil: lines"
    assert.equal(2, code)
    check.says(err, "PERIGEE_CLIENT_TOKEN holds no token")
    gw:finish()
    process.remove(folder)
  end)
end)
