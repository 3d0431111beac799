-- tests/spec/handlers_spec.lua -- what the functions behind script/run.c make of what authors wrote.
local half = require "tests.support.half"

local handlers

-- The model M with these members and a loader of this body.
local function model(body, members)
  local _, said, perigee = half.load(([[
model "Other" { id = key(), v = field() }
model "M" { id = key(), s = field{ default = "d" }, v = field(), packed = packed(), one = reference "Other", many = references "Other",
  options = { expires = 1 }, from_miss = function(self, ctx) %s end%s }]]):format(body or "", members and ", " .. members or ""))
  assert.equal("", said)
  handlers = perigee.handlers
end

local function loaded(body)
  model(body)
  return handlers.load("M", { id = "1" })
end

local function raises(says, f, ...)
  local ok, fault = pcall(f, ...)
  assert.is_false(ok)
  assert(tostring(fault):find(says, 1, true), tostring(fault) .. "\nsays nothing of\n" .. says)
end

describe("a load", function()
  it("returns what was set, as JSON has it", function()
    local outcome, values, life, tags = loaded [[
      self.v, self.packed, self.one, self.many = { 1 }, { x = 1 }, Other{ id = "o" }, { { id = "p" }, Other{ id = "q" } }]]
    assert.equal("done", outcome)
    assert.is_nil(life)
    assert.equal("", tags)
    assert.equal("string", type(values.packed["$packed"]))
    values.packed = nil
    assert.same({ id = "1", v = { 1 }, one = { id = "o" }, many = { { id = "p" }, { id = "q" } } }, values)
  end)

  it("takes a life and tags", function()
    local outcome, _, life, tags = loaded [[ctx.expires = "90s" ctx.tag "b" ctx.tag "a" ctx.tag "b" ]]
    assert.same({ "done", 90000, "\1a\1b" }, { outcome, life, tags })
    assert.same({ "missing", nil, 0 }, { loaded "ctx.expires = 0 return missing" })
    assert.is_nil((select(3, loaded "ctx.expires = 5 ctx.expires = nil")))
    assert.equal("done", (loaded "if ctx.expires ~= nil then error 'x' end ctx.expires = '5s' if ctx.expires ~= '5s' then error 'y' end"))
  end)

  it("refuses what ctx does not know", function()
    raises("models.lua:3: `ctx` has no member `expire` (did you mean `expires`?)", loaded, "ctx.expire = 1")
    raises("`ctx` has no member `expire`", loaded, "return ctx.expire")
    raises("`ctx.expires` wants seconds", loaded, "ctx.expires = 'soon'")
    raises("models.lua:3: `ctx.tag`: a tag is text, not a nil", loaded, "ctx.tag(nil)")
    raises("`ctx.tag`: a tag is not empty", loaded, "ctx.tag ''")
    raises("`ctx.tag`: a tag has at most 255 bytes", loaded, "ctx.tag(('x'):rep(256))")
    raises("`ctx.tag`: a record has at most 64 tags", loaded, "for i = 1, 65 do ctx.tag('t' .. i) end")
    raises("`ctx.tag` is called", loaded, "ctx.tag = 'x'")
  end)

  it("fails when it returns anything else", function()
    local _, _, words, log = loaded "return 1"
    assert.equal("it returned something else than `missing`", words)
    assert.equal("from_miss returned a number; it sets fields of `self`, or returns `missing`", log)
    assert.equal("it returned several values", (select(3, loaded "return nil, 1")))
    assert.equal("it returned several values", (select(3, loaded "return missing, 1")))
  end)

  it("fails when a new record would be lost", function()
    local outcome, field, words = loaded "self.one = Other{ id = 'o', v = 1 }"
    assert.same({ "failed", "one", "field `one` refers to a `Other` that was not saved" }, { outcome, field, words })
  end)

  it("fails for what cannot be packed, and names the field", function()
    local outcome, field, words, log = loaded "self.packed = error"
    assert.same({ "failed", "packed", "it set field `packed` to what cannot be kept", "field `packed`: a function cannot be packed" },
      { outcome, field, words, log })
  end)

  it("shows validate a copy, which changes nothing", function()
    model("self.v = { { 1 } } self.v[2] = self.v", "options = { expires = 1, validate = function(self) self.v[1][1] = self.s self.v[2].x = 1 end }")
    local _, values = handlers.load("M", { id = "1" })
    assert.equal(1, values.v[1][1])
    assert.is_nil(values.v.x)
  end)

  it("is looked at by validate and tags", function()
    local function vetted(validate, tags)
      model("self.v = 5 ctx.tag 'x'", ("options = { expires = 1, validate = %s, tags = %s }"):format(validate or "nil", tags or "nil"))
      return handlers.load("M", { id = "1" })
    end
    assert.equal("done", (vetted "function(self) if self.v ~= 5 or self.s ~= 'd' or self.one ~= nil then return 'v', 'x' end end"))
    assert.same({ "failed", "v", "`validate` has refused field `v`", "validate: field `v`: too small" },
      { vetted "function(self) return 'v', 'too small' end" })
    assert.same({ "failed", nil, "`validate` returned something else than a field and a message",
      "validate returned no field of the model: `w` (did you mean `s`?); it returns nothing, or a field's name and a message" },
      { vetted "function(self) return 'w', 'x' end" })
    assert.truthy((select(4, vetted "function() return true end")):find("returned a boolean", 1, true))
    assert.truthy((select(4, vetted "function() return 'v', {} end")):find("a message that is a table", 1, true))
    raises("`v` cannot be changed here", vetted, "function(self) self.v = 1 end")
    raises("key `id` cannot be changed", vetted, "function(self) self.id = 1 end")
    assert.equal("\3id1\1x", (select(4, vetted(nil, "function(self) return { 'id' .. self.id, 'x' } end"))))
    assert.equal("tags: a tag is text, not a number", (select(4, vetted(nil, "function(self) return { 1 } end"))))
    assert.equal("tags: a list of texts, not a string", (select(4, vetted(nil, "function(self) return 'x' end"))))
    assert.equal("\1x", (select(4, vetted(nil, "function(self) end"))))
    assert.equal("tags: a list of texts has no holes and no names", (select(4, vetted(nil, "function(self) return { 'a', nil, 'b' } end"))))
    assert.equal("tags: a list of texts has no holes and no names", (select(4, vetted(nil, "function(self) return { a = 'b' } end"))))
  end)
end)

describe("a save", function()
  it("is looked at as it will be stored", function()
    model("", [[options = { expires = 1, validate = function(self)
      if self.v == "bad" then return "v", "is bad" end
      if self.one and self.one.id ~= "o" then return "one" end
      if self.v == "bare" then return self.one.v end
    end, tags = function(self) return { self.v } end }]])
    assert.same({ "invalid", "v", "is bad" }, { handlers.vet("M", { id = "1", v = "bad" }) })
    assert.same({ "invalid", "one", "is not valid" }, { handlers.vet("M", { id = "1", one = { id = "p", ["$ref"] = "" } }) })
    assert.same({ "done", nil, nil, "\4good" }, { handlers.vet("M", { id = "1", v = "good", one = { id = "o", ["$ref"] = "" } }) })
    raises("only the keys of this `Other` are known", handlers.vet, "M", { id = "1", v = "bare", one = { id = "o", ["$ref"] = "" } })
  end)
end)

describe("a method", function()
  local function called(body, on)
    model("", ([[m = cached_method{ on = { %s }, args = { n = arg(), o = arg{ required = false } }, expires = 1,
      function(self, args, ctx) %s end }]]):format(on or '"id", "v"', body))
    return handlers.method("M.m", { id = "1", v = "w", n = 5 })
  end

  it("has attributes and arguments, and returns one value", function()
    assert.same({ "done", "1w5nil", nil, "" }, { called "return self.id .. self.v .. args.n .. tostring(args.o)" })
    assert.same({ "done", nil, 1000, "" }, { called "ctx.expires = 1" })
    assert.same({ "missing" }, { called "return missing" })
    assert.same({ "failed", nil, "it returned several values" }, { (function(a, b, c) return a, b, c end)(called "return 1, 2") })
  end)

  it("has nothing else", function()
    raises("method `m` has no attribute `v`: it is not among `on`", called, "return self.v", '"id"')
    raises("method `m` has no attribute `many`", called, "return self.many")
    raises("model `M`: key `id` cannot be changed", called, "self.id = 2")
    raises("`v` cannot be changed in a method", called, "self.v = 2")
    raises("`args` has no member `m`", called, "return args.m")
    raises("`args` cannot be changed", called, "args.n = 2")
    raises("models.lua:4: `args` has no member `id`", called, "return args.id")
  end)
end)

describe("a form", function()
  local function form(clean, body)
    local _, said, perigee = half.load(([[
form "F" {
  x = input{ required = true, clean = function(v) %s end }, y = input(),
  m = cached_form_method{ expires = 1, args = { n = arg() }, function(self, args) %s end },
}]]):format(clean or "", body or ""))
    assert.equal("", said)
    handlers = perigee.handlers
  end

  local function cleaned(clean, value)
    form(clean)
    return handlers.clean("F", { x = value == nil and "X" or value, y = "Y" })
  end

  it("cleans its inputs, each by its own function", function()
    assert.same({ "done", { x = "cx" }, {} }, { cleaned "return 'c' .. v:lower()" })
    assert.same({ "done", { x = false }, {} }, { cleaned "return false" })
    form "error 'not called'"
    assert.same({ "done", {}, {} }, { handlers.clean("F", { y = "Y" }) })
  end)

  it("refuses an input with its author's words", function()
    assert.same({ "done", {}, { x = "no" } }, { cleaned "return nil, 'no'" })
    assert.same({ "done", {}, { x = "This value is not valid." } }, { cleaned "" })
    assert.same({ "done", {}, { x = "no" } }, { cleaned "error 'no'" })
    assert.same({ "done", {}, { x = "no" } }, { cleaned "error('no', 0)" })
    assert.same({ "done", {}, { x = "no" } }, { cleaned "error('no', 2)" })
    assert.same({ "done", {}, { x = "no" } }, { cleaned "return error('no')" })
    assert.same({ "done", {}, { x = "no" } }, { cleaned "assert(false, 'no')" })
    assert.same({ "done", {}, { x = "deep" } }, { cleaned "local function f() error 'deep' end f()" })
  end)

  it("tells mistakes from refusals", function()
    local outcome, err, lines = cleaned "return v.a.b"
    assert.equal("raised", outcome)
    assert.truthy(err:find("models.lua:2: attempt to index", 1, true))
    assert.equal(" | at schemas/models.lua:2", lines:match "^[^,]*")
    assert.equal("raised", (cleaned "return v .. {}"))
    assert.equal("raised", (cleaned "error {}"))
    assert.equal("raised", (cleaned "return ('x'):rep {}"))
    assert.equal("raised", (cleaned "return unknown_name"))
    assert.same({ "raised", "the message of `clean` is a number", "" }, { cleaned "return nil, 5" })
  end)

  it("gives its methods the cleaned data", function()
    form(nil, "return self.cleaned_data.x .. tostring(self.cleaned_data.y) .. args.n")
    assert.same({ "done", "anil1", nil, "" }, { handlers.method("F.m", { x = "a", n = 1 }) })
    form(nil, "return self.x")
    raises("`self` has no member `x`", handlers.method, "F.m", { x = "a", n = 1 })
    form(nil, "return self.cleaned_data.z")
    raises("`self.cleaned_data` has no member `z`", handlers.method, "F.m", { x = "a", n = 1 })
    form(nil, "self.cleaned_data.x = 1")
    raises("`self.cleaned_data` cannot be changed", handlers.method, "F.m", { x = "a", n = 1 })
  end)
end)
