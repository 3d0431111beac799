-- tests/e2e/cli_spec.lua -- what the command line says to those who work without a running gateway.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local process = require "tests.support.process"

describe("perigee check", function()
  local folder
  before_each(function() folder = process.temp() end)
  after_each(function() process.remove(folder) end)

  local function checked(models)
    gateway.write_models(folder .. "/schemas", models)
    local code, out, err = gateway.run({ "check" }, { cwd = folder })
    return code, out, err
  end

  it("is content with models that are right", function()
    local code = checked [[
model "User" { username = key(), region = key{ default = "eu" }, email = field{ type = "string", required = true },
  options = { expires = "15m", negative = "5s", hard_timeout = 2, version = 3 },
  from_miss = function(self, ctx) ctx.expires = 60 end }
model "Order" { number = key{ type = "integer", default = 1 }, paid = field{ type = "boolean", default = false } }
]]
    assert.equal(0, code)
  end)

  it("is not content with what is hardly meant", function()
    local code, out = checked 'model "A" { id = key(), options = { negative = 1 } }\nform "F" { x = input() }'
    assert.equal(1, code)
    check.says(out, "models.lua:1: warning: model `A`: option `negative` has no effect", "1 model, 1 form, no errors")
  end)

  it("is content with the example models", function()
    assert.equal(0, (gateway.run { "check", "schemas" }))
  end)

  it("names file and line of each finding", function()
    for text, says in pairs {
      ['\n\nmodel "A" { id = = key() }'] = { "models.lua:3: " },
      ['model "A" {\n  id = key(),\n  name = field{ type = "strng" },\n}'] = { "models.lua:3: ", "strng", "string" },
      ['model "A" {\n  id = key{ type = "array" },\n}'] = { "models.lua:2: ", "array" },
      ['\nmodel "A" { name = field() }'] = { "models.lua:2: ", "A", "key" },
      ['model "A" { id = key() }\nmodel "A" { id = key() }'] = { "models.lua:2: ", "A" },
      ['model "A" {\n  id = key(),\n  _hidden = field(),\n}'] = { "models.lua:3: ", "_hidden" },
      ['\nmodel "A b" { id = key() }'] = { "models.lua:2: ", "A b" },
      ['\nmodel "A" { id = key(), options = { expire = 60 } }'] = { "models.lua:2: ", "expire", "expires" },
      ['\nmodel "A" { id = key(), options = { expires = "soon" } }'] = { "models.lua:2: ", "expires" },
      ['\nmodel "A" { id = key(), options = { expires = -1 } }'] = { "models.lua:2: ", "expires" },
      ['\nmodel "A" { id = key(), from_mis = function() end }'] = { "models.lua:2: ", "from_mis", "from_miss" },
      ['\nmodel "A" { id = key(), from_miss = 42 }'] = { "models.lua:2: ", "from_miss" },
      ['model "A" {\n  id = key{ type = "integer", default = "one" },\n}'] = { "models.lua:2: ", "id" },
      ['model "A" {\n  id = key(), n = field{ type = "integer", default = 1.5 },\n}'] = { "models.lua:2: ", "n" },
      ['model "A" {\n  id = key{ defalt = 1 },\n}'] = { "models.lua:2: ", "defalt", "default" },
      ['\nmodle "A" { id = key() }'] = { "models.lua:2: ", "modle", "model" },
      ['\nerror "on purpose"'] = { "models.lua:2: ", "on purpose" },
      ['\nwhile true do end'] = { "models.lua" },
      ['\nlocal function f() return f() + 1 end f()'] = { "models.lua" },
      ['\nsleep(1)'] = { "models.lua:2: " },
      ['\nhttp.get "http://127.0.0.1:1/"'] = { "models.lua:2: " },
      ['\nos.execute "true"'] = { "models.lua:2: ", "execute" },
      ['\nrequire "nothing"'] = { "models.lua:2: ", "nothing" },
    } do
      local code, out, err = checked(text)
      assert(code == 1, ("exit code %s for %s: %s%s"):format(code, text, out, err))
      check.says(out, unpack(says))
      assert(out:match "^[^\n]*models%.lua:%d+: [^\n]+\n", out)
    end
  end)

  it("names the findings of all files", function()
    local code, out = checked { one = "model \"A\" {\n}", two = "\nmodel \"B\" {\n}", fine = 'model "C" { id = key() }' }
    assert.equal(1, code)
    check.says(out, "one.lua:1: ", "two.lua:2: ")
    assert.is_nil(out:find("fine.lua", 1, true))
  end)

  it("says that a folder is not there", function()
    local code, out, err = gateway.run { "check", folder .. "/nowhere" }
    assert.is_true(code ~= 0)
    check.says(out .. err, "nowhere")
  end)
end)

describe("perigee key", function()
  local folder
  setup(function()
    folder = process.temp()
    gateway.write_models(folder .. "/schemas", 'model "User" { username = key(), region = key{ default = "eu" } }')
  end)
  teardown(function() process.remove(folder) end)

  it("prints the stored key, of the schemas here or elsewhere", function()
    local code, out = gateway.run({ "key", "User", "username=bob" }, { cwd = folder })
    assert.equal(0, code)
    assert.truthy(out:match "^perigee:User:%x+:region=eu&username=bob\n$", out)
    local _, elsewhere = gateway.run { "key", "--models", folder .. "/schemas", "--prefix", "p", "User", "region=eu", "username=bob" }
    assert.equal((out:gsub("^perigee", "p")), elsewhere)
    _, elsewhere = gateway.run({ "key", "User", "username=bob" }, { cwd = folder, env = { PERIGEE_PREFIX = "e" } })
    assert.equal((out:gsub("^perigee", "e")), elsewhere)
  end)

  it("says what is wrong", function()
    for says, words in pairs {
      ["User"] = { "Usr", "username=bob" }, ["username"] = { "User" }, ["usernme"] = { "User", "usernme=bob" }, ["name=value"] = { "User", "bob" },
    } do
      local code, out, err = gateway.run({ "key", unpack(words) }, { cwd = folder })
      assert.equal(2, code)
      assert.equal("", out)
      check.says(err, says)
    end
    local code, _, err = gateway.run({ "key" }, { cwd = folder })
    assert.equal(2, code)
    check.says(err, "usage")
  end)
end)

describe("perigee", function()
  it("tells its version and its flags", function()
    local code, out = gateway.run { "version" }
    assert.equal(0, code)
    assert.truthy(out:match "^perigee %d+%.%d+%.%d+", out)
    for _, library in ipairs { "LuaJIT", "libuv", "hiredis", "llhttp", "yyjson", "SQLite", "zlib", "nettle", "libcurl", "libpq", "OpenSSL" } do
      assert.truthy(out:match("\n" .. library .. " %d+%.%d+"), library)
    end
    for _, asked in ipairs { { "help" }, { "--help" }, { "serve", "--help" } } do
      code, out = gateway.run(asked)
      assert.equal(0, code)
      check.says(out, "serve", "check", "key", "--listen", "--admin", "--store", "--workers", "127.0.0.1:3633")
    end
  end)

  it("takes the flags of `key` wherever they stand", function()
    local folder = process.temp()
    process.write(folder .. "/m.lua", 'model "User" { username = key(), v = field() }')
    local _, wanted = gateway.run { "key", "--models", folder, "--prefix", "p", "User", "username=a b" }
    assert.truthy(wanted:match "^p:User:%x+:username=a%%20b\n$")
    for _, words in ipairs {
      { "User", "username=a b", "--models", folder, "--prefix", "p" }, { "--prefix=p", "User", "--models=" .. folder, "username=a b" },
    } do
      local code, out, err = gateway.run { "key", unpack(words) }
      assert.same({ 0, wanted }, { code, out }, err)
    end
    local code, _, err = gateway.run { "key", "User", "username=a b", "--modles", folder }
    assert.equal(2, code)
    check.says(err, "unknown flag --modles")
  end)

  it("names an unknown command, and the nearest", function()
    local code, out, err = gateway.run { "sreve" }
    assert.equal(2, code)
    assert.equal("", out)
    check.says(err, "sreve", "serve")
  end)
end)
