-- tests/spec/record_spec.lua -- what a handler holds: `self` and `ctx`.
local half = require "tests.support.half"

local function enter(keys)
  local _, said, perigee = half.load 'model "User" { username = key(), region = key(), email = field(), full_name = field() }'
  assert.equal("", said)
  return perigee.enter("User", keys or { username = "bob", region = "eu" })
end

local function raises(says, f)
  local ok, fault = pcall(f)
  assert.is_false(ok)
  assert(fault:find("^tests/spec/record_spec.lua:%d+: "), fault)
  assert(fault:find(says, 1, true), fault)
end

describe("self", function()
  it("has its keys, and nothing else yet", function()
    local self = enter()
    assert.equal("bob", self.username)
    assert.is_nil(self.email)
  end)

  it("keeps what is set where the loader finds it", function()
    local self, _, fields = enter()
    self.email = "a"
    self.email = "b"
    self.full_name = "x"
    self.full_name = nil
    assert.equal("b", self.email)
    assert.same({ username = "bob", region = "eu", email = "b" }, fields)
  end)

  it("refuses what it does not know, at the author's line", function()
    local self = enter()
    raises("model `User` has no key or field `emial` (did you mean `email`?)", function() self.emial = "x" end)
    raises("model `User` has no key or field `emial`", function() return self.emial end)
    raises("model `User` has no key or field `1`", function() self[1] = "x" end)
    raises("model `User`: key `username` cannot be changed", function() self.username = "x" end)
  end)

  it("shows nothing of how it is made", function()
    local self, ctx = enter()
    assert.equal("record", getmetatable(self))
    assert.equal("context", getmetatable(ctx))
    assert.has_error(function() setmetatable(self, {}) end)
    assert.equal("record of `User`", tostring(self))
    assert.is_nil(next(self))
  end)

  it("is another for every load", function()
    local _, _, perigee = half.load 'model "A" { id = key(), v = field() }'
    local one, two = perigee.enter("A", { id = "1" }), perigee.enter("A", { id = "2" })
    one.v = 1
    assert.is_nil(two.v)
    assert.equal("2", two.id)
  end)
end)

describe("ctx", function()
  it("takes a time to live", function()
    local _, ctx, _, answer = enter()
    assert.is_nil(ctx.expires)
    ctx.expires = "90s"
    assert.equal("90s", ctx.expires)
    assert.equal(90000, answer.expires_ms)
    ctx.expires = 0
    assert.equal(0, answer.expires_ms)
    ctx.expires = nil
    assert.is_nil(answer.expires_ms)
  end)

  it("refuses what it does not know", function()
    local _, ctx = enter()
    raises("`ctx` has no member `expire` (did you mean `expires`?)", function() ctx.expire = 1 end)
    raises("`ctx` has no member `expire`", function() return ctx.expire end)
    raises("`ctx.expires` wants seconds", function() ctx.expires = "soon" end)
    raises("`ctx.tag` is not supported yet", function() ctx.tag "x" end)
  end)
end)
