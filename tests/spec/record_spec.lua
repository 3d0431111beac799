-- tests/spec/record_spec.lua -- what handlers hold: records, what they refer to, and the values that stand for models.
local half = require "tests.support.half"

local MODELS = [[
model "Workplace" { name = key(), branch = key{ default = "main" }, phone = field() }
model "User" {
  username = key(), region = key(), email = field(), full_name = field{ default = "?" }, prefs = packed(),
  workplace = reference "Workplace", mother = reference{ "self", missing = "null" }, friends = references{ "self", missing = "skip" },
  greet = cached_method{ on = { "username", "email" }, args = { loud = arg{ type = "boolean", default = false } }, expires = 1,
    function() end },
  options = { expires = 1 },
}
form "Search" { text = input{ required = true }, page = input{ type = "integer" },
  find = cached_form_method{ expires = 1, function() end } }]]

local record, Workplace, User, Search

local function open()
  local _, said = half.load(MODELS)
  assert.equal("", said)
  record = require "perigee.record"
  Workplace, User, Search = record.class "Workplace", record.class "User", record.class "Search"
end

local function loading(keys)
  return record.loading("User", keys or { username = "bob", region = "eu" })
end

local function bob() return User { username = "bob", region = "eu" } end

local function raises(says, f)
  local ok, fault = pcall(f)
  assert.is_false(ok)
  assert(fault:find("^tests/spec/record_spec.lua:%d+: "), fault)
  assert(fault:find(says, 1, true), fault .. "\nsays nothing of\n" .. says)
end

describe("a record", function()
  before_each(open)

  it("has its keys, and nothing else yet", function()
    local self = loading()
    assert.equal("bob", self.username)
    assert.is_nil(self.email)
  end)

  it("keeps what is set", function()
    local self = loading()
    self.email = "a"
    self.email = "b"
    self.full_name = "x"
    self.full_name = nil
    assert.equal("b", self.email)
    assert.same({ username = "bob", region = "eu", email = "b" }, record.values(self))
  end)

  it("refuses what it does not know, at the author's line", function()
    local self = loading()
    raises("model `User` has no key or field `emial` (did you mean `email`?)", function() self.emial = "x" end)
    raises("model `User` has no key or field `emial`", function() return self.emial end)
    raises("model `User` has no key or field `gree` (did you mean `greet`?)", function() return self.gree end)
    raises("model `User` has no key or field `1`", function() self[1] = "x" end)
    raises("model `User`: key `username` cannot be changed", function() self.username = "x" end)
    raises("model `User` has no key or field `greet`", function() self.greet = "x" end)
  end)

  it("shows nothing of how it is made", function()
    local self = loading()
    assert.equal("record", getmetatable(self))
    assert.has_error(function() setmetatable(self, {}) end)
    assert.equal("record of `User`", tostring(self))
    assert.is_nil(next(self))
  end)

  it("is another for every load", function()
    local one, two = loading(), loading { username = "al", region = "us" }
    one.email = 1
    assert.is_nil(two.email)
    assert.equal("al", two.username)
  end)

  it("that is new has all its keys, those with a default too", function()
    local place = Workplace { name = "Acme", phone = "1" }
    assert.equal("Acme main 1", place.name .. " " .. place.branch .. " " .. place.phone)
    assert.is_nil(Workplace { name = "x" }.phone)
    raises("model `Workplace`: key `name` of `Workplace` is missing", function() return Workplace { phone = "1" } end)
    raises("model `Workplace` has no key or field `fone`", function() return Workplace { name = "x", fone = 1 } end)
    raises("`Workplace` takes a table of keys and fields, not a string", function() return Workplace "x" end)
    raises("`Workplace` takes a table of keys and fields, not a record", function() return Workplace(Workplace { name = "x" }) end)
  end)
end)

describe("a reference", function()
  before_each(open)

  it("takes a record, a table of its keys, or null", function()
    local self, place = loading(), Workplace { name = "Acme" }
    self.workplace = place
    assert.equal(place, self.workplace)
    self.workplace = { name = "Acme", branch = "north" }
    assert.equal("north", self.workplace.branch)
    self.mother = "null" -- the stand-in's null
    assert.equal("null", self.mother)
    self.workplace = nil
    assert.is_nil(self.workplace)
  end)

  it("refuses everything else at the author's line", function()
    local self = loading()
    raises("model `User`: reference `workplace` refers to `Workplace`, not to `User`", function() self.workplace = bob() end)
    raises("model `User`: reference `workplace` takes a record of `Workplace`, a table of its keys, or null, not a string",
      function() self.workplace = "Acme" end)
    raises("model `User`: reference `workplace`: `phone` is no key of `Workplace`", function() self.workplace = { name = "x", phone = 1 } end)
    raises("model `User`: reference `mother`: key `region` of `User` is missing", function() self.mother = { username = "x" } end)
    raises("takes a record of `Workplace`", function() self.workplace = setmetatable({}, {}) end)
    raises("takes a record of `Workplace`", function() self.workplace = User end)
    raises("model `User` has no key or field", function() return User { username = "a", region = "b", workplce = {} } end)
    raises("refers to `Workplace`", function() return User { username = "a", region = "b", workplace = bob() } end)
  end)

  it("to many takes a list", function()
    local self = loading()
    self.friends = { bob(), { username = "al", region = "us" } }
    assert.equal("al", self.friends[2].username)
    self.friends = {}
    assert.equal("array", getmetatable(record.values(self).friends))
    raises("model `User`: references `friends` takes a list of records of `User`", function() self.friends = bob() end)
    raises("model `User`: references `friends[2]` refers to `User`, not to `Workplace`",
      function() self.friends = { bob(), Workplace { name = "x" } } end)
    raises("references `friends[1]` takes a record of `User`, a table of its keys, or null, not a null", function() self.friends = { "null" } end)
  end)

  it("to many is judged again at the end", function()
    local self = loading()
    self.friends = { bob() }
    self.friends[2] = { username = "al", region = "us" }
    assert.same({ { username = "bob", region = "eu" }, { username = "al", region = "us" } }, record.values(self).friends)
    self.friends[3] = Workplace { name = "x" }
    assert.same({ nil, "friends", "[3] is no record of `User`" }, { record.values(self) })
    self.friends = { bob() }
    self.friends[3] = bob()
    assert.equal("is no list", select(3, record.values(self)))
  end)

  it("to a new record with more than its keys must not be lost", function()
    local self = loading()
    self.workplace = Workplace { name = "Acme" }
    assert.is_nil(record.unsaved(self))
    self.workplace = Workplace { name = "Acme", phone = "1" }
    assert.same({ "workplace", "Workplace" }, { record.unsaved(self) })
    record.saved(self.workplace)
    self.mother = self
    assert.is_nil(record.unsaved(self))
    self.workplace.phone = "2"
    assert.equal("workplace", record.unsaved(self))
    self.workplace = nil
    self.friends = { bob() }
    self.friends[1].email = "x"
    assert.equal("friends", record.unsaved(self))
  end)
end)

describe("what is saved", function()
  before_each(open)

  it("refers by keys", function()
    local user = bob()
    user.workplace, user.email = Workplace { name = "Acme" }, "b@x"
    assert.same({ username = "bob", region = "eu", email = "b@x", workplace = { name = "Acme", branch = "main" } }, record.plain(user))
    assert.same({ username = "bob", region = "eu" }, record.keys(user))
  end)

  it("holds changed records whole with cascade, and raises without", function()
    local user = bob()
    user.workplace = Workplace { name = "Acme", phone = "1" }
    user.mother = user -- a circle ends at its keys
    raises("model `User`: `workplace` holds a `Workplace` that is not saved: save it first, or with save{ cascade = true }",
      function() return record.plain(user) end)
    assert.same({
      username = "bob", region = "eu", workplace = { name = "Acme", branch = "main", phone = "1" }, mother = { username = "bob", region = "eu" },
    }, record.plain(user, true))
    record.saved(user, true)
    assert.is_nil(record.unsaved(user))
  end)

  it("with cascade goes through records that have not changed", function()
    local user = record.wrap("User", {
      username = "a", region = "b", mother = { username = "m", region = "b", workplace = { name = "x", branch = "main" } },
    })
    assert.same({ username = "m", region = "b" }, record.plain(user, true).mother)
    user.mother.workplace.phone = "1"
    assert.equal("1", record.plain(user, true).mother.workplace.phone)
  end)

  it("names the field at fault, however deep", function()
    local user = bob()
    user.friends = { User { username = "al", region = "us", prefs = print } }
    raises("model `User`: field `friends` holds a record whose field `prefs` a function cannot be packed",
      function() return record.plain(user, true) end)
    user.friends, user.mother = nil, User { username = "al", region = "us", prefs = print }
    raises("field `mother` holds a record whose field `prefs`", function() return record.plain(user, true) end)
  end)

  it("with cascade is all there is below", function()
    local user = bob()
    user.mother = { username = "m", region = "eu" }
    user.mother = record.wrap("User", { username = "m", region = "eu" })
    record.saved(user, true)
    user.mother.mother = User { username = "g", region = "eu", email = "x" }
    record.saved(user, true)
    assert.is_nil(record.unsaved(user))
    assert.is_nil(record.unsaved(user.mother))
  end)

  it("is not saved any more", function()
    local user = bob()
    user.email = "x"
    record.saved(user)
    local other = bob()
    other.mother = user
    assert.same({ username = "bob", region = "eu" }, record.plain(other).mother)
  end)
end)

describe("the record of a document", function()
  before_each(open)

  local function document()
    return record.wrap("User", {
      username = "a", region = "b", email = "e", prefs = { ["$packed"] = require "perigee.pack".seal({ x = { 1, 2 } })["$packed"] },
      workplace = { name = "Acme", branch = "main", phone = "1" }, mother = { username = "m", region = "b", ["$ref"] = "/models/User?..." },
      friends = { { username = "f", region = "b", email = "f@x" }, "null" },
    })
  end

  it("reads like a table, through its references", function()
    local user = document()
    assert.equal("e", user.email)
    assert.equal("1", user.workplace.phone)
    assert.equal("f@x", user.friends[1].email)
    assert.equal("null", user.friends[2])
    assert.same({ 1, 2 }, user.prefs.x)
    assert.is_nil(user.full_name)
  end)

  it("refers to bare records where it was not resolved", function()
    local mother = document().mother
    assert.equal("m", mother.username)
    raises("only the keys of this `User` are known, not `email`: get it first", function() return mother.email end)
    raises("only the keys of this `User` are known: get it first, then set `email`", function() mother.email = "x" end)
    raises("only the keys of this `User` are known", function() return record.plain(mother) end)
    assert.same({ username = "m", region = "b" }, record.keys(mother))
  end)

  it("cannot be forged", function()
    local forged = setmetatable({}, { shape = {}, values = {}, __index = {}, __metatable = "record" })
    assert.is_nil(record.kind(forged))
    raises("takes a record of `User`", function() bob().mother = forged end)
  end)

  it("may be changed and saved", function()
    local user = document()
    user.email = "new"
    raises("references `friends[2]` takes a record of `User`", function() return record.plain(user) end)
    user.friends[2] = nil
    local plain = record.plain(user)
    assert.equal("new", plain.email)
    assert.same({ username = "m", region = "b" }, plain.mother)
    assert.equal("string", type(plain.prefs["$packed"]))
    user.prefs.x = nil
    assert.not_equal(plain.prefs["$packed"], record.plain(user).prefs["$packed"])
  end)
end)

describe("a packed field", function()
  before_each(open)

  it("takes any value, and is unpacked when it is read", function()
    local pack = require "perigee.pack"
    for _, value in ipairs { 1.5, "bytes\0\255", false, { 1, 2, { [{}] = 1 } }, { [1.5] = "x", [true] = 2 }, 2 ^ 63, 12LL } do
      local self = loading()
      self.prefs = value
      local read = record.wrap("User", { username = "a", region = "b", prefs = record.values(self).prefs }).prefs
      if type(value) ~= "table" then assert.equal(value, read) else assert.equal("table", type(read)) end
    end
    local set = pack.open(pack.seal { [3] = true, [7] = true })
    assert.same({ [3] = true, [7] = true }, set)
    assert.is_nil(pack.open { ["$packed"] = "zz" })
    assert.is_nil(pack.open { ["$packed"] = 5 })
  end)

  it("names the field of a value that cannot be packed", function()
    local self = loading()
    self.prefs = print
    assert.same({ nil, "prefs", "a function cannot be packed" }, { record.values(self) })
    raises("model `User`: field `prefs` a function cannot be packed", function() return record.plain(self) end)
  end)

  it("that is damaged raises when it is read", function()
    local user = record.wrap("User", { username = "a", region = "b", prefs = { ["$packed"] = "ff" } })
    raises("model `User`: packed field `prefs` cannot be decoded", function() return user.prefs end)
  end)
end)

describe("a class", function()
  before_each(open)

  it("has the functions it was given", function()
    record.statics.get = function(class, keys) return record.model(class) .. keys.name end
    assert.equal("WorkplaceAcme", Workplace.get { name = "Acme" })
    raises("model `Workplace` has no function `gett`", function() return Workplace.gett end)
    raises("form `Search` has no function `get`", function() return Search.get end)
    raises("model `Workplace` cannot be changed", function() Workplace.x = 1 end)
    assert.equal("model `Workplace`", tostring(Workplace))
    assert.equal("class", record.kind(Workplace))
    assert.is_nil(record.kind {})
    assert.is_nil(record.class "Nothing")
  end)

  it("takes keys from an author's table", function()
    assert.same({ name = "x", branch = "main" }, record.take_keys("Workplace", { name = "x" }))
    raises("model `Workplace`: `phone` is no key of `Workplace`", function() return record.take_keys("Workplace", { name = "x", phone = 1 }) end)
    raises("the keys are a table, not a string", function() return record.take_keys("Workplace", "x") end)
  end)
end)

describe("methods", function()
  before_each(open)

  it("of records are called with what they depend on", function()
    local called
    record.call = function(self, name, args) called = { record.model(self), name, args, record.attributes(self, name) } end
    local user = bob()
    user.email = "x"
    user:greet { loud = true }
    assert.same({ "User", "greet", { loud = true }, { username = "bob", region = "eu", email = "x" } }, called)
    raises("call it with a colon", function() user.greet {} end)
    raises("model `User` has no key or field `greeet`", function() user:greeet() end)
  end)

  it("of forms are called with the inputs", function()
    local called
    record.call = function(self, name, args) called = { record.kind(self), record.model(self), name, args, record.attributes(self, name) } end
    local search = Search { text = "x", page = 2 }
    search:find()
    assert.same({ "form", "Search", "find", nil, { text = "x", page = 2 } }, { called[1], called[2], called[3], called[4], called[5] })
    assert.equal("x", search.text)
    assert.equal("form `Search`", tostring(search))
    raises("form `Search` has no input or method `txt`", function() return Search { txt = 1 } end)
    raises("form `Search` has no input or method `txt`", function() return search.txt end)
    raises("form `Search`: inputs are given when it is made", function() search.text = "y" end)
  end)
end)
