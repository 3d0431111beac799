-- tests/spec/declare_spec.lua -- what a schema file says, and what is said about its mistakes.
local half = require "tests.support.half"

local function findings(texts)
  local _, text = half.load(texts)
  return text
end

local function names(description)
  local list = {}
  for i, field in ipairs(description.fields) do list[i] = field.name end
  return table.concat(list, " ")
end

describe("a model", function()
  it("keeps the order of its declaration", function()
    local models, said = half.load [[
model "User" { zeta = key(), alpha = field(), mid = field(), beta = field{ type = "string" }, omega = key{ type = "integer" } }]]
    assert.equal("", said)
    assert.equal("zeta alpha mid beta omega", names(models.User))
  end)

  it("is described with all its attributes", function()
    local models, said = half.load [[
model "User" {
  id = key{ type = "integer", default = 7 },
  email = field{ type = "string", required = true },
  options = { expires = "15m", negative = 5, hard_timeout = "250ms", version = 3, jit = true },
  from_miss = function() end,
}]]
    assert.equal("", said)
    local user = models.User
    assert.same({ name = "id", kind = "key", type = "integer", required = false, default = 7, file = "schemas/models.lua", line = 2 },
      user.fields[1])
    assert.same({ name = "email", kind = "field", type = "string", required = true, file = "schemas/models.lua", line = 3 }, user.fields[2])
    assert.same({ expires_ms = 900000, negative_ms = 5000, hard_timeout_ms = 250, version = 3, jit = true }, user.options)
    assert.equal("function", type(user.from_miss))
    assert.equal(1, user.line)
  end)

  it("has strings as keys and anything as fields unless said", function()
    local models = half.load 'model "A" { id = key(), v = field() }'
    assert.equal("string", models.A.fields[1].type)
    assert.equal("any", models.A.fields[2].type)
  end)

  it("may share a descriptor between members", function()
    local models, said = half.load 'local text = field{ type = "string" }\nmodel "A" { id = key(), b = text, a = text }'
    assert.equal("", said)
    assert.equal("a b id", names(models.A)) -- where it was made, and then by name
  end)

  it("with a loader but without `expires` gets a warning", function()
    local models, said = half.load '\nmodel "A" { id = key(), from_miss = function() end }'
    assert.equal("schemas/models.lua:2: warning: model `A`: has a loader but no `expires`: what it loads is kept for ever\n", said)
    assert.truthy(models.A)
  end)
end)

describe("a mistake", function()
  local at = "schemas/models.lua:"
  for text, says in pairs {
    ['\nmodel "A" {\n  id = key(),\n  email = field{ tpye = "string" },\n}'] =
      "4: model `A`: field `email`: unknown attribute `tpye` (did you mean `type`?)",
    ['model "A" {\n  id = key{ required = true },\n}'] = "2: model `A`: key `id`: unknown attribute `required`",
    ['model "A" {\n  id = key{ type = "strin" },\n}'] =
      "2: model `A`: key `id`: unknown type `strin` (did you mean `string`?); a key is one of string, integer, number, boolean, any",
    ['model "A" {\n  id = key{ type = {} },\n}'] = "2: model `A`: key `id`: unknown type `table",
    ['model "A" {\n  id = key "x",\n}'] = "2: model `A`: key `id`: takes one table of attributes",
    ['model "A" {\n  id = key({}, 1),\n}'] = "2: model `A`: key `id`: takes one table of attributes",
    ['model "A" {\n  id = key(nil),\n}'] = "2: model `A`: key `id`: takes one table of attributes",
    ['model "A" {\n  id = key(key()),\n}'] = "2: model `A`: key `id`: takes one table of attributes",
    ['model "A" {\n  id = key(),\n  v = field{ required = "yes" },\n}'] =
      "3: model `A`: field `v`: attribute `required` is true or false, not a string",
    ['model "A" {\n  id = key{ type = "integer", default = "x" },\n}'] =
      "2: model `A`: key `id`: attribute `default`: wants an integer, not a string",
    ['model "A" {\n  id = key(),\n  _x = field(),\n}'] = "3: model `A`: field `_x`: names that begin with `_` are reserved",
    ['model "A" {\n  id = key(),\n  ["a-b"] = field(),\n}'] = "3: model `A`: field `a-b`: a name has letters, digits and `_`",
    ['model "A" {\n  id = key(),\n  save = field(),\n}'] = "3: model `A`: field `save`: the name is that of a method",
    ['model "A" {\n  id = key(),\n  ' .. ("x"):rep(65) .. " = field(),\n}"] = "a name has at most 64 bytes",
    ['\nmodel "A" { v = field() }'] = "2: model `A`: has no key",
    ['model "A" { id = key(), v = "x" }'] = "1: model `A`: member `v` is a string; members are made with `key` and `field`",
    ['model "A" { id = key(), v = key }'] = "1: model `A`: member `v` is a function",
    ['model "A" { id = key(), from_mis = function() end }'] = "(did you mean `from_miss`?)",
    ['model "A" { key() }'] = "1: model `A`: has a member without a name, at `1`",
    ['model "A" { id = key(), from_miss = {} }'] = "1: model `A`: `from_miss` is a function, not a table",
    ['model "A" { id = key(), from_miss = field() }'] = "1: model `A`: `from_miss` is a function, not a field",
    ['model "A" { id = key(), options = field() }'] = "1: model `A`: `options` is the table of the model's options and cannot be a field",
    ['model "A" { id = key(), options = 3 }'] = "1: model `A`: `options` is a table, not a number",
    ['model "A" { id = key(), options = { expirs = 1 } }'] = "1: model `A`: unknown option `expirs` (did you mean `expires`?)",
    ['model "A" { id = key(), options = { expires = "soon" } }'] = "1: model `A`: option `expires` wants a duration: seconds",
    ['model "A" { id = key(), options = { expires = true } }'] = "1: model `A`: option `expires` wants a duration",
    ['model "A" { id = key(), options = { hard_timeout = 0 } }'] = "1: model `A`: option `hard_timeout` wants a duration above 0",
    ['model "A" { id = key(), options = { version = 1.5 } }'] = "1: model `A`: option `version` wants a whole number",
    ['model "A" { id = key(), options = { jit = 1 } }'] = "1: model `A`: option `jit` is true or false",
    ['model "A" { id = key(), options = { depth = 1 } }'] = "1: model `A`: option `depth` is not supported yet by this version",
    ['model "A" { id = key(), on_save = function() end }'] = "1: model `A`: `on_save` is not supported yet by this version",
    ['model "A" {\n  id = key(),\n  w = reference "B",\n}'] = "3: `reference` is not supported yet by this version",
    ['\nform "F" { x = input() }'] = "2: `form` is not supported yet by this version",
    ['model "A" { id = key() }\nmodel "A" { id = key() }'] = "2: model `A` is declared already (schemas/models.lua:1)",
    ['model "pairs" { id = key() }'] = "1: model `pairs`: the name is a word of the language",
    ['model "A b" { id = key() }'] = "1: model `A b`: a name has letters",
    ['\nmodel { id = key() }'] = "2: `model` takes a name and a table",
    ['model "A" (1)'] = "1: model `A`: takes a table",
    ['\nmodel "A"'] = "2: model `A`: takes a table",
    ['\nlocal m = model "A"\nmodel "B" { id = key() }'] = "2: model `A`: takes a table",
    ['\nrequire "cjsn"'] = "2: no module `cjsn` below the schema folder (did you mean `cjson`?)",
    ['model "A" {\n  id = key(),\n  options = {\n    negative = 1,\n    expirs = 1 } }'] = "5: model `A`: unknown option `expirs`",
    ['model "A" {\n  id = key(),\n  options = { -- expires = 1\n    expires = "soon" } }'] = "4: model `A`: option `expires` wants",
    ['model "A" {\n  id = key(), expires = field(),\n  options = {\n    expires = "soon" } }'] = "4: model `A`: option `expires` wants",
    ['local o = { expires = "soon" }\nmodel "A" {\n  id = key(),\n  options = o,\n}'] = "4: model `A`: option `expires` wants",
    ['model "A" {\n  id = key(),\n\n  from_mis = function() end }'] = "4: model `A`: member `from_mis` is a function",
    ['model "A" {\n  id = key(),\n  from_miss = 5 }'] = "3: model `A`: `from_miss` is a function",
    ['model "A" {\n  id = key(),\n  phone = "string" }'] = "3: model `A`: member `phone` is a string",
    ['\nfeild()'] = "2: unknown name `feild` (did you mean `field`?)",
    ['\nio.open "x"'] = "2: `io` is not available to models",
    ['\ninvalidate_tags "x"'] = "2: `invalidate_tags` is not supported yet by this version",
    ['\npairs = nil'] = "2: `pairs` is a word of the language and keeps its meaning",
    ['\n\nmodel "A" { id = = key() }'] = "3: unexpected symbol near '='",
    ['\nerror "on purpose"'] = "2: on purpose",
    ['\nerror({})'] = "2: raised a table value as an error",
    ['\nerror("bare", 0)'] = "2: bare",
    ['\nlocal x = nil\nx.y = 1'] = "3: attempt to index local 'x' (a nil value)",
    ['\nrequire "nothing"'] = "2: no module `nothing` below the schema folder",
    ['\nrequire(1)'] = "2: `require` takes the name of a module",
  } do
    it("is told with its place: " .. text:gsub("%s+", " "):sub(1, 60), function()
      local said = findings(text)
      assert(said:find(says, 1, true), ("%s\nis not in\n%s"):format(says, said))
      for line in said:gmatch "[^\n]+" do assert(line:sub(1, #at) == at, line) end
    end)
  end

  it("hides no other: all of all files, by file and line", function()
    assert.equal(table.concat({
      "schemas/a.lua:1: unexpected symbol near '='",
      "schemas/b.lua:2: model `B`: key `id`: unknown type `x`; a key is one of string, integer, number, boolean, any",
      "schemas/b.lua:3: model `B`: field `v`: unknown attribute `y`",
      "schemas/b.lua:5: unknown name `oops`",
      "schemas/c.lua:1: model `C`: has no key",
      "",
    }, "\n"), findings {
      a = "= 1", b = 'model "B" {\n  id = key{ type = "x" },\n  v = field{ y = 1 },\n}\noops()', c = 'model "C" {}',
    })
  end)

  it("inside a model's table is told once", function()
    assert.equal("schemas/models.lua:3: unknown name `feild` (did you mean `field`?)\n",
      findings 'model "A" {\n  id = key(),\n  v = feild(),\n}')
  end)

  it("in one file leaves the models of others", function()
    local models = half.load { a = "error 'x'", b = 'model "B" { id = key() }' }
    assert.truthy(models.B)
  end)

  it("cannot forge a line of its own", function()
    local said = findings 'error("first\\nschemas/models.lua:9: second")'
    local _, lines = said:gsub("\n", "")
    assert.equal(1, lines)
  end)

  it("counts at most 16 keys and 256 fields", function()
    local keys, fields = {}, {}
    for i = 1, 17 do keys[i] = ("k%d = key()"):format(i) end
    for i = 1, 256 do fields[i] = ("f%d = field()"):format(i) end
    assert.truthy(findings(('model "A" { %s }'):format(table.concat(keys, ","))):find("has 17 keys; 16 are allowed", 1, true))
    assert.truthy(findings(('model "A" { id = key(), %s }'):format(table.concat(fields, ","))):find("has 257 keys and fields", 1, true))
  end)
end)

describe("a file", function()
  it("has its own globals and its own copies of the words", function()
    local _, said = half.load {
      a = 'shared = 1\nstring.rep = nil\n_G.other = 2\nassert = nil',
      b = 'if rawget(_G, "shared") or rawget(_G, "other") or not string.rep then error "leaks" end',
    }
    assert.equal("", said)
  end)

  it("requires others, once", function()
    local models, said = half.load {
      a = 'local util = require "lib.util"\nif util ~= require "lib.util" then error "twice" end\nmodel "A" { id = util.id() }',
      ["lib.util"] = "return { id = function() return key() end }",
    }
    assert.equal("", said)
    assert.equal("id", names(models.A))
  end)

  it("sees what it requires fail, and both say where", function()
    assert.equal("schemas/a.lua:2: module `b` could not be loaded\nschemas/b.lua:3: broken\n",
      findings { a = '\nrequire "b"', b = "\n\nerror 'broken'" })
  end)

  it("cannot require itself by way of others", function()
    assert.truthy(findings { a = 'require "b"', b = 'require "a"' }:find("module `a` requires itself", 1, true))
  end)

  it("gets the words from `perigee`, as a copy", function()
    local models, said = half.load {
      a = 'local perigee = require "perigee"\nperigee.key = nil\nrequire "perigee".model "A" { id = key() }',
      b = 'local p = require "perigee"\np.model "B" { id = p.key() }',
    }
    assert.equal("", said)
    assert.truthy(models.A and models.B)
  end)
end)
