-- tests/spec/sf_spec.lua -- the judge of structured fields itself: what it takes, and what it must not.
local sf = require "tests.support.sf"

describe("structured fields", function()
  it("are read as the RFC reads them", function()
    assert.same({ { value = { token = "perigee" }, parameters = { { "hit", true }, { "ttl", -12 }, { "detail", { token = "stale" } } } } },
      sf.list "perigee; hit; ttl=-12; detail=stale")
    assert.same({ { value = 'a"\\b', parameters = {} }, { value = { token = "*/:" }, parameters = {} } }, sf.list ' "a\\"\\\\b"\t,  */: ')
    assert.same({ { value = { inner = { { value = 1.5, parameters = { { "q", false } } }, { value = 2, parameters = {} } } }, parameters = {} } },
      sf.list "(1.5;q=?0  2 )")
    assert.same({ { value = { bytes = "a" }, parameters = { { "d", { date = 5 } } } } }, sf.list ":YQ==:;d=@5")
    assert.same({ { value = 1, parameters = { { "a", 2 }, { "b", true } } } }, sf.list "1;a=1;b;a=2") -- the last one counts, in the place of the first
    assert.same({}, sf.list "")
  end)

  it("and nothing else is taken", function()
    for _, wrong in ipairs { "a,", ",a", "a b", "a;B", "a;b=", "a ;b", "a;", "1.", "1.2345", "-", "--1", "1234567890123456", "1234567890123.1",
      '"x', '"\\x"', '"\1"', "(a", "(a,b)", '("a""b")', "?2", "@1.5", ":Y_:", "a\tb", "\195\164", "a;b==1", "a\n" } do
      local found, why = sf.list(wrong)
      assert(not found and type(why) == "string", wrong)
    end
  end)
end)
