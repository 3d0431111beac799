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
    assert.same({ "missing", nil, 0, "" }, { loaded "ctx.expires = 0 return missing" })
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
    raises("`ctx.stale` cannot be set", loaded, "ctx.stale = 'x'")
    raises("models.lua:3: `ctx.etag` wants text of at most 1024 bytes, or nil", loaded, "ctx.etag = 5")
    raises("`ctx.etag` wants text of at most 1024 bytes, or nil", loaded, "ctx.etag = ('x'):rep(1025)")
    raises("models.lua:3: `ctx.not_modified`: there is no old record", loaded, "local result = ctx.not_modified() return result")
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

describe("a load of what is there already", function()
  local function again(body, old, etag)
    model(body)
    return handlers.load("M", { id = "1" }, old or '{"id":"1","v":"old","one":"null"}', etag)
  end

  it("sees the old record, which cannot be changed", function()
    assert.equal("old", (select(2, again "self.v = ctx.stale.v")).v)
    assert.equal("done", (again "assert(ctx.stale == ctx.stale and ctx.stale.s == nil and ctx.stale.id == '1')"))
    assert.equal("done", (loaded "assert(ctx.stale == nil)"))
    raises("models.lua:3: `v` cannot be changed in `ctx.stale`", again, "ctx.stale.v = 1")
    raises("models.lua:3: model `M` has no key or field `w`", again, "return ctx.stale.w")
  end)

  it("knows and tells the origin's validator", function()
    assert.equal("new", (select(5, again("assert(ctx.etag == 'tag') ctx.etag = 'new' assert(ctx.etag == 'new')", nil, "tag"))))
    assert.equal(("x"):rep(1024), (select(5, again "ctx.etag = ('x'):rep(1024)")))
    assert.is_nil((select(5, again("self.v = 1", nil, "tag")))) -- what was loaded now has none
    assert.is_nil((select(5, again("ctx.etag = 'x' ctx.etag = nil", nil, "tag"))))
    assert.is_nil((select(5, loaded "assert(ctx.etag == nil)")))
  end)

  it("may leave it as it is", function()
    assert.same({ "done", nil, 90000, "", "tag", true }, { again("ctx.expires = '90s' return ctx.not_modified()", nil, "tag") })
    assert.same({ "done", nil, nil, "", "new", true }, { again("ctx.etag = 'new' return ctx.not_modified()", nil, "tag") })
    assert.same({ "done", nil, nil, "", nil, true }, { again("ctx.etag = nil return ctx.not_modified()", nil, "tag") })
    assert.equal("it set fields of a record that was not modified", (select(3, again "self.v = 1 return ctx.not_modified()")))
    assert.equal("it returned several values", (select(3, again "return ctx.not_modified(), 1")))
    assert.equal("it returned something else than `missing`", (select(3, again "return ctx.not_modified")))
  end)

  it("is no different for a method", function()
    model("", [[m = cached_method{ args = { what = arg() }, expires = 1, function(self, args, ctx)
      if args.what == "not" then return ctx.not_modified() end
      ctx.etag = (ctx.etag or "") .. "+"
      return ctx.stale and ctx.stale.x
    end }]])
    assert.same({ "done", "y", nil, "", "tag+" }, { handlers.method("M.m", { id = "1", what = "" }, '{"x":"y"}', "tag") })
    assert.same({ "done", nil, nil, "", "+" }, { handlers.method("M.m", { id = "1", what = "" }) })
    assert.same({ "done", nil, nil, "", "tag", true }, { handlers.method("M.m", { id = "1", what = "not" }, '{"x":"y"}', "tag") })
    raises("there is no old record", handlers.method, "M.m", { id = "1", what = "not" })
  end)
end)

describe("a load of many", function()
  local function many(body, n, members)
    local _, said, perigee = half.load(([[
model "Other" { id = key(), v = field() }
model "M" { id = key(), v = field(), one = reference "Other", friend = reference "self", many = references "self",%s
  from_misses = function(list, ctx) %s end }]]):format(members or "options = { expires = 1 },", body))
    assert.equal("", said)
    handlers = perigee.handlers
    local keys = {}
    for i = 1, n do keys[i] = { id = tostring(i) } end
    return handlers.load_many("M", keys)
  end

  it("fills the records of the list", function()
    local outcome, list = many("for i, item in ipairs(list) do item.v = #list .. item.id end", 3)
    assert.equal("done", outcome)
    assert.same({ { "done", { id = "1", v = "31" }, nil, "" }, { "done", { id = "2", v = "32" }, nil, "" },
      { "done", { id = "3", v = "33" }, nil, "" } }, list)
  end)

  it("gives all of them one life and the same tags", function()
    local _, list = many("ctx.expires = 5 ctx.tag 'x' return { [2] = missing }", 2,
      "options = { expires = 1, tags = function(self) return { 'id' .. self.id } end },")
    assert.same({ { "done", { id = "1" }, 5000, "\3id1\1x" }, { "missing", nil, 5000, "\1x" } }, list)
    raises("`ctx` has no member `stale`", many, "return ctx.stale", 1)
    raises("`ctx` has no member `etag`", many, "ctx.etag = 'x'", 1)
    raises("`ctx` has no member `not_modified`", many, "return ctx.not_modified()", 1)
  end)

  it("may be of no use for some", function()
    local _, list = many("for _, item in ipairs(list) do item.v = 1 end return { [3] = failed 'gone away', [1] = missing }", 3)
    assert.same({ "missing", nil, nil, "" }, list[1])
    assert.equal("done", list[2][1])
    assert.same({ "failed", nil, nil, "gone away" }, list[3])
    _, list = many("return { missing, missing }", 2)
    assert.same({ { "missing", nil, nil, "" }, { "missing", nil, nil, "" } }, list)
    _, list = many("return {}", 1)
    assert.equal("done", list[1][1])
    _, list = many("return nil", 1)
    assert.equal("done", list[1][1])
  end)

  it("tells each its own faults", function()
    local _, list = many([[
      list[1].one = Other{ id = "o", v = 1 }
      list[3].v = 7
      list[4].friend, list[4].many = list[3], { list[2], { id = "9" } }]], 4,
      "options = { expires = 1, validate = function(self) if self.v == 7 then return 'v', 'seven' end if self.id == '2' then error 'x' end end },")
    assert.equal("field `one` refers to a `Other` that was not saved", list[1][3])
    assert.equal("raised", list[2][1])
    assert.truthy(list[2][2]:find "models.lua:%d+: x$")
    assert.truthy(list[2][3]:find "^ | at schemas/models.lua")
    assert.same({ "failed", "v", "`validate` has refused field `v`", "validate: field `v`: seven" }, list[3])
    assert.same({ "done", { id = "4", friend = { id = "3" }, many = { { id = "2" }, { id = "9" } } }, nil, "" }, list[4])
  end)

  it("fails for all when it returns anything else", function()
    for returned, says in pairs {
      ["1"] = "a number", ["false"] = "a boolean", ["list[1]"] = "a table", ["{}, 1"] = "2 values", ["nil, 1"] = "2 values",
      ["{ [3] = missing }"] = "a table with a member at `3`, for 2 records", ["{ [1.5] = missing }"] = "a member at `1.5`",
      ["{ x = missing }"] = "a member at `x`", ["{ 5 }"] = "a table with a number at 1", ["{ missing, {} }"] = "a table with a table at 2",
      ["missing"] = "a string", ["{ [0] = missing }"] = "a member at `0`",
    } do
      local outcome, field, words, log = many("return " .. returned, 2)
      assert.same({ "failed", nil, "it returned something else than a table of `missing` and `failed`" }, { outcome, field, words })
      assert(log:find("from_misses returned " .. (says:find "^a member" and "a table with " .. says or says), 1, true), log)
    end
    raises("models.lua:3: on purpose", many, "error 'on purpose'", 2)
  end)

  it("goes by its own list, whatever the handler does to the one it has", function()
    local _, list = many("list[1].v = 'x' table.insert(list, list[1]) list[1] = nil list[2] = 5 return { missing }", 2)
    assert.same({ { "missing", nil, nil, "" }, { "done", { id = "2" }, nil, "" } }, list)
  end)

  it("leaves one alone to from_miss", function()
    local both = "options = { expires = 1 }, from_miss = function(self, ctx) self.v = ctx.stale and ctx.stale.v .. ctx.etag or 'one' end,"
    local _, list = many("list[1].v = 'many'", 1, both)
    assert.same({ "done", { id = "1", v = "one" }, nil, "" }, list[1])
    _, list = handlers.load_many("M", { { id = "1" } }, '{"v":"old"}', "tag")
    assert.equal("oldtag", list[1][2].v)
    _, list = many("list[1].v = 'many'", 2, both)
    assert.equal("many", list[1][2].v)
  end)
end)

describe("a write-through", function()
  local function save(body, document)
    model("", ("on_save = function(self, ctx) %s end"):format(body))
    return handlers.save("M", document or { id = "1", v = 5, one = { id = "o", ["$ref"] = "" } })
  end

  it("sees the record, and may say its life", function()
    assert.same({ "done", nil, nil, "" }, { save "assert(self.id == '1' and self.v == 5 and self.one.id == 'o' and self.s == nil)" })
    assert.same({ "done", nil, 60000, "" }, { save "ctx.expires = '1m' return nil" })
    assert.same({ "done", nil, 0, "" }, { save "ctx.expires = 0" })
  end)

  it("changes nothing and returns nothing", function()
    raises("models.lua:3: `v` cannot be changed in `on_save`", save, "self.v = 1")
    raises("`ctx` has no member `tag`", save, "ctx.tag 'x'")
    for _, returned in ipairs { "1", "false", "missing", "nil, 1" } do
      local outcome, field, words = save("return " .. returned)
      assert.same({ "failed", nil, "it returned something" }, { outcome, field, words })
    end
    raises("on purpose", save, "error 'on purpose'")
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
    assert.same({ "missing", nil, nil, "" }, { called "return missing" })
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
