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
    assert.is_nil(user.from_misses)
    assert.equal(1, user.line)
    local handler = half.load 'model "A" { id = key(), from_misses = function() end, on_save = function() end, options = { expires = 1 } }'.A
    assert.equal("nil function function", ("%s %s %s"):format(type(handler.from_miss), type(handler.from_misses), type(handler.on_save)))
  end)

  it("says how long its records are of use, and how they are loaded anew", function()
    local models, said = half.load [[
model "User" { id = key(), from_miss = function() end,
  options = { expires = 60, jitter = 0.25, stale_while_revalidate = "1m", stale_if_error = "1d", refresh = "xfetch", soft_timeout = "100ms",
    max_loads = 32 },
  part = cached_method{ expires = 60, jitter = 1, refresh = 0.8, max_loads = 1, stale_if_error = 5, soft_timeout = 2, function() end },
  off = cached_method{ expires = 60, jitter = 0, refresh = "off", stale_while_revalidate = 0, function() end },
}
form "F" { x = input(), m = cached_form_method{ expires = 1, stale_while_revalidate = 3, function() end } }]]
    assert.equal("", said)
    assert.same({
      expires_ms = 60000, jitter = 0.25, stale_while_revalidate_ms = 60000, stale_if_error_ms = 86400000, refresh = 1, soft_timeout_ms = 100,
      max_loads = 32,
    }, models.User.options)
    assert.same({ expires_ms = 60000, jitter = 1, refresh = 0.8, max_loads = 1, stale_if_error_ms = 5000, soft_timeout_ms = 2000 },
      models["User.part"].options)
    assert.same({ expires_ms = 60000, jitter = 0, refresh = 0, stale_while_revalidate_ms = 0 }, models["User.off"].options)
    assert.same({ expires_ms = 1000, stale_while_revalidate_ms = 3000 }, models["F.m"].options)
  end)

  it("has strings as keys and anything as fields unless said", function()
    local models = half.load 'model "A" { id = key(), v = field() }'
    assert.equal("string", models.A.fields[1].type)
    assert.equal("any", models.A.fields[2].type)
  end)

  it("describes packed fields and references", function()
    local models, said = half.load {
      a = [[
model "User" {
  id = key(), prefs = packed(), must = packed{ required = true },
  workplace = reference "Workplace", boss = reference{ "self", missing = "null", required = true },
  friends = references{ "self", missing = "skip", max = 20 }, places = references "Workplace",
  options = { depth = 4, version = 1, tags = function() end, validate = function() end },
}]],
      b = 'model "Workplace" { name = key() }',
    }
    assert.equal("", said)
    local told = {}
    for i, f in ipairs(models.User.fields) do
      told[i] = ("%s %s %s %s %s %s %s"):format(f.name, f.kind, f.type, f.required, f.target, f.missing, f.max)
    end
    assert.same({
      "id key string false nil nil nil", "prefs packed any false nil nil nil", "must packed any true nil nil nil",
      "workplace reference any false Workplace fail nil", "boss reference any true User null nil",
      "friends references any false User skip 20", "places references any false Workplace fail 1000",
    }, told)
    assert.equal(4, models.User.options.depth)
    assert.equal("function", type(models.User.options.validate))
    assert.equal("function", type(models.User.options.tags))
  end)

  it("describes its methods, which inherit its options", function()
    local models, said = half.load [[
model "Home" {
  address = key{ default = "here" }, zip = key{ type = "integer" }, country = field{ type = "string" }, big = field{ type = "object" },
  geocode = cached_method{ on = { "address", "country" }, expires = "1h",
    args = { precision = arg{ type = "integer", default = 5 }, must = arg(), may = arg{ required = false } },
    function() end },
  plain = cached_method{ negative = 1, hard_timeout = 3, expires = 1, function() end },
  from_miss = function() end, options = { expires = 5, negative = 7, hard_timeout = 9, version = 2, jit = true },
}]]
    assert.equal("", said)
    local geocode, plain = models["Home.geocode"], models["Home.plain"]
    local told = {}
    for i, f in ipairs(geocode.fields) do told[i] = ("%s %s %s %s %s"):format(f.name, f.kind, f.type, f.required, f.default) end
    assert.same({
      "address key string true here", "country key string false nil", "precision argument integer false 5", "must argument any true nil",
      "may argument any false nil",
    }, told)
    assert.equal("method geocode Home 3", ("%s %s %s %d"):format(geocode.kind, geocode.method, geocode.owner, geocode.line))
    assert.same({ expires_ms = 3600000, negative_ms = 7000, hard_timeout_ms = 9000, version = 2, jit = true }, geocode.options)
    assert.same({ expires_ms = 1000, negative_ms = 1000, hard_timeout_ms = 3000, version = 2, jit = true }, plain.options)
    assert.equal("address zip", names(plain))
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

describe("a form", function()
  it("is described with its inputs and methods", function()
    local models, said = half.load [[
form "Friends" {
  username = input{ required = true, clean = function(v) return v end }, page = input{ type = "integer", default = 1 },
  list = cached_form_method{ expires = 1, args = { n = arg{ type = "integer" } }, function() end },
}]]
    assert.equal("", said)
    local told = {}
    for i, f in ipairs(models.Friends.fields) do
      told[i] = ("%s %s %s %s %s %s"):format(f.name, f.kind, f.type, f.required, f.default, type(f.clean))
    end
    assert.same({ "username argument string true nil function", "page argument integer false 1 nil" }, told)
    assert.equal("form", models.Friends.kind)
    told = {}
    for i, f in ipairs(models["Friends.list"].fields) do told[i] = ("%s %s %s %s"):format(f.name, f.kind, f.type, f.required) end
    assert.same({ "username key any false", "page key any false", "n argument integer true" }, told)
    assert.equal("form_method", models["Friends.list"].kind)
  end)
end)

describe("a name", function()
  it("of a model is known to every file, but not used while files are loaded", function()
    local _, said = half.load { a = 'model "A" { id = key() }\nlocal kept = A', b = "f = function() return A end" }
    assert.equal("", said)
    assert.truthy(findings('model "A" { id = key() }\nA { id = "1" }')
      :find("2: model `A` is used inside handlers, not while files are loaded", 1, true))
    assert.truthy(findings('model "A" { id = key() }\nA.get { id = "1" }'):find("2: model `A` is used inside handlers", 1, true))
    assert.truthy(findings('form "A" { id = input() }\nA { id = "1" }'):find("2: form `A` is used inside handlers", 1, true))
    assert.truthy(findings('model "Aaa" { id = key() }\nAa()'):find("2: unknown name `Aa` (did you mean `Aaa`?)", 1, true))
    assert.truthy(findings('model "A" { id = key() }\nA = 1'):find("2: model `A` keeps its meaning (write `local`)", 1, true))
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
    ['model "A" { id = key(), v = "x" }'] = "1: model `A`: member `v` is a string; members are made with `key`, `field`, ",
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
    ['model "A" { id = key(), options = { jitter = 1.1 } }'] = "1: model `A`: option `jitter` wants a number from 0 to 1\n",
    ['model "A" { id = key(), options = { jitter = -0.1 } }'] = "1: model `A`: option `jitter` wants a number from 0 to 1\n",
    ['model "A" { id = key(), options = { jitter = 0 / 0 } }'] = "1: model `A`: option `jitter` wants a number from 0 to 1\n",
    ['model "A" { id = key(), options = { jitter = "1s" } }'] = "1: model `A`: option `jitter` wants a number from 0 to 1\n",
    ['model "A" { id = key(), options = { stale_while_revalidate = "x" } }'] = "option `stale_while_revalidate` wants a duration: seconds",
    ['model "A" { id = key(), options = { stale_if_error = -1 } }'] = "option `stale_if_error` wants a duration: seconds",
    ['model "A" { id = key(), options = { stale_if_eror = 1 } }'] = "unknown option `stale_if_eror` (did you mean `stale_if_error`?)",
    ['model "A" { id = key(), options = { refresh = 1 } }'] = '1: model `A`: option `refresh` is "xfetch", "off", or the part of the life',
    ['model "A" { id = key(), options = { refresh = 0 } }'] = '1: model `A`: option `refresh` is "xfetch", "off", or the part of the life',
    ['model "A" { id = key(), options = { refresh = true } }'] = "above 0 and below 1\n",
    ['model "A" { id = key(), options = { refresh = "xfetsh" } }'] = "above 0 and below 1 (did you mean `xfetch`?)",
    ['model "A" { id = key(), options = { soft_timeout = 0 } }'] = "1: model `A`: option `soft_timeout` wants a duration above 0",
    ['model "A" { id = key(), options = { max_loads = 0 } }'] = "1: model `A`: option `max_loads` wants a whole number from 1 to 1000000",
    ['model "A" { id = key(), options = { max_loads = 1.5 } }'] = "1: model `A`: option `max_loads` wants a whole number from 1 to 1000000",
    ['model "A" {\n  id = key(),\n  m = cached_method{ expires = 1, jitter = 2, function() end } }'] =
      "3: model `A`: cached_method `m`: option `jitter` wants a number from 0 to 1",
    ['form "F" {\n  x = input(),\n  m = cached_form_method{ expires = 1, max_loads = "x", function() end } }'] =
      "3: form `F`: cached_form_method `m`: option `max_loads` wants a whole number",
    ['model "A" { id = key(), on_save = 5 }'] = "1: model `A`: `on_save` is a function, not a number",
    ['model "A" { id = key(),\n  from_misses = field() }'] = "2: model `A`: `from_misses` is a function, not a field",
    ['model "A" { id = key(),\n  on_sav = function() end }'] = "(did you mean `on_save`?)",
    ['\nfailed(5)'] = '2: `failed` takes a text: failed "why"',
    -- references
    ['model "User" {\n  id = key(),\n  workplace = reference "Workplce",\n}\nmodel "Workplace" { id = key() }'] =
      "3: model `User`: reference `workplace`: unknown model `Workplce` (did you mean `Workplace`?)",
    ['form "F" { x = input() }\nmodel "A" {\n  id = key(), f = references "F" }'] =
      "3: model `A`: references `f`: no model, but a form: `F`",
    ['model "A" {\n  id = key(), r = reference() }'] = '2: model `A`: reference `r`: is written as in `reference "User"` or `reference{',
    ['model "A" {\n  id = key(), r = reference(5) }'] = "2: model `A`: reference `r`: is written as in",
    ['model "A" {\n  id = key(), r = reference{ required = true } }'] = "2: model `A`: reference `r`: names no model",
    ['model "A" {\n  id = key(), r = reference{ "self", missing = "skip" } }'] =
      '2: model `A`: reference `r`: attribute `missing` is one of "fail", "null", not `skip`',
    ['model "A" {\n  id = key(), r = reference{ "self", max = 5 } }'] = "2: model `A`: reference `r`: unknown attribute `max`",
    ['model "A" {\n  id = key(), r = references{ "self", max = 1001 } }'] =
      "2: model `A`: references `r`: attribute `max` is a whole number from 1 to 1000",
    ['model "A" {\n  id = key(), r = references{ "self", mising = "null" } }'] = "unknown attribute `mising` (did you mean `missing`?)",
    ['model "A" {\n  id = key(), p = packed{ type = "string" } }'] = "2: model `A`: packed `p`: unknown attribute `type`",
    ['model "A" {\n  id = key(), p = packed "x" }'] = "2: model `A`: packed `p`: takes one table of attributes",
    ['model "A" {\n  id = key(), forget = field() }'] = "2: model `A`: field `forget`: the name is that of a method",
    -- options
    ['model "A" { id = key(), options = { depth = 65 } }'] = "1: model `A`: option `depth` wants a whole number from 0 to 64",
    ['model "A" { id = key(), options = { tags = {} } }'] = "1: model `A`: option `tags` is a function, not a table",
    ['model "A" { id = key(), options = { validate = key() } }'] = "1: model `A`: option `validate` is a function, not a key",
    -- methods
    ['model "A" {\n  id = key(),\n  m = cached_method(function() end) }'] = "3: model `A`: cached_method `m`: is written as in",
    ['model "A" {\n  id = key(),\n  m = cached_method{ expires = 1 } }'] = "3: model `A`: cached_method `m`: has no function",
    ['model "A" {\n  id = key(),\n  save = cached_method{ function() end } }'] = "3: model `A`: cached_method `save`: the name is that of a",
    ['model "A" {\n  id = key(),\n  _m = cached_method{ function() end } }'] = "cached_method `_m`: names that begin with `_` are reserved",
    ['model "A" {\n  id = key(),\n  m = cached_method{ function() end,\n    expire = 1 } }'] =
      "4: model `A`: cached_method `m`: unknown attribute `expire` (did you mean `expires`?)",
    ['model "A" {\n  id = key(),\n  m = cached_method{ expires = "x", function() end } }'] =
      "3: model `A`: cached_method `m`: option `expires` wants a duration",
    ['model "A" {\n  id = key(),\n  m = cached_method{ on = { "idd" }, function() end } }'] =
      "3: model `A`: cached_method `m`: `on`: there is no key or field `idd` (did you mean `id`?)",
    ['model "A" {\n  id = key(),\n  m = cached_method{ on = "id", function() end } }'] = "`on` is a list of names of keys and fields, not a string",
    ['model "A" {\n  id = key(),\n  m = cached_method{ on = { "id", "id" }, function() end } }'] = "`on` names `id` twice",
    ['model "A" {\n  id = key(), o = field{ type = "object" },\n  m = cached_method{ on = { "o" }, function() end } }'] =
      "`on`: `o` is of type object; a result is kept by keys and by fields of one value",
    ['model "A" {\n  id = key(), r = reference "self",\n  m = cached_method{ on = { "r" }, function() end } }'] = "`on`: `r` is a reference",
    ['model "A" {\n  id = key(),\n  m = cached_method{ on = {}, function() end } }'] = "depends on nothing",
    ['model "A" {\n  id = key(),\n  m = cached_method{ args = { id = arg() }, function() end } }'] =
      "3: model `A`: cached_method `m`: arg `id`: the name is that of a key",
    ['model "A" {\n  id = key(), v = field(),\n  m = cached_method{ on = { "v" }, args = { v = arg() }, function() end } }'] =
      "arg `v`: the name is among `on`",
    ['model "A" {\n  id = key(),\n  m = cached_method{ args = { n = 5 }, function() end } }'] =
      "`args`: `n` is a number; arguments are made with `arg`",
    ['model "A" {\n  id = key(),\n  m = cached_method{ args = { n = key() }, function() end } }'] = "`args`: `n` is a key; arguments are",
    ['model "A" {\n  id = key(),\n  m = cached_method{ args = { arg() }, function() end } }'] = "`args` has a member without a name, at `1`",
    ['model "A" {\n  id = key(),\n  m = cached_method{ args = {\n    n = arg{ type = "object" } }, function() end } }'] =
      "4: model `A`: cached_method `m`: arg `n`: unknown type `object`; an arg is one of string, integer, number, boolean, any",
    ['model "A" {\n  id = key(),\n  m = cached_method{ args = {\n    n = arg{ type = "integer", default = "x" } }, function() end } }'] =
      "4: model `A`: cached_method `m`: arg `n`: attribute `default`: wants an integer",
    -- forms
    ['form "F" {}'] = "1: form `F`: has no input",
    ['form "F" (1)'] = "1: form `F`: takes a table",
    ['\nform "F"'] = "2: form `F`: takes a table",
    ['\nform(1)'] = "2: `form` takes a name and a table",
    ['form "F" {\n  x = input(), y = field() }'] = "2: form `F`: member `y` is a field; members are made with `input` and `cached_form_method`",
    ['form "F" {\n  x = input(), y = 5 }'] = "2: form `F`: member `y` is a number",
    ['form "F" {\n  x = input{ clean = 5 } }'] = "2: form `F`: input `x`: attribute `clean` is a function, not a number",
    ['form "F" {\n  forget = input() }'] = "2: form `F`: input `forget`: the name is that of a method of forms",
    ['form "F" {\n  x = input(),\n  m = cached_form_method{ on = {}, function() end } }'] =
      "3: form `F`: cached_form_method `m`: unknown attribute `on`",
    ['form "F" {\n  x = input(),\n  m = cached_form_method{ args = { x = arg() }, function() end } }'] =
      "3: form `F`: cached_form_method `m`: arg `x`: the name is that of an input",
    ['model "A" { id = key(), x = input() }'] = "1: model `A`: member `x` is an input; members are made with",
    ['model "A" { id = key() }\nform "A" { x = input() }'] = "2: form `A` is declared already (schemas/models.lua:1)",
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
      a = 'shared = 1\nstring.rep = nil\n_G.other = 2',
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
