-- tests/spec/sort_spec.lua -- table.sort as handlers get it.
local half = require "tests.support.half"

describe("sort", function()
  local sort
  setup(function()
    half.open()
    sort = require "perigee.sort"
  end)

  it("orders every length like the library's", function()
    math.randomseed(1)
    for n = 0, 70 do
      local list, expected = {}, {}
      for i = 1, n do list[i] = math.random(20) expected[i] = list[i] end
      sort(list)
      table.sort(expected)
      assert.same(expected, list)
    end
  end)

  it("takes a comparison and keeps equals in their order", function()
    local list = { { 2, "a" }, { 1, "b" }, { 2, "c" }, { 1, "d" } }
    sort(list, function(a, b) return a[1] < b[1] end)
    local order = {}
    for i, item in ipairs(list) do order[i] = item[2] end
    assert.same({ "b", "d", "a", "c" }, order)
  end)

  it("ends whatever the comparison says", function()
    local calls = 0
    local list = {}
    for i = 1, 1000 do list[i] = i end
    sort(list, function() calls = calls + 1 return true end)
    assert(calls < 11000)
  end)

  it("changes nothing when the comparison raises", function()
    local list = { 3, 1, 2 }
    assert.has_error(function() sort(list, function() error "x" end) end)
    assert.same({ 3, 1, 2 }, list)
  end)

  it("lets the comparison wait", function()
    local list = { 3, 1, 2 }
    local thread = coroutine.wrap(function() sort(list, function(a, b) coroutine.yield() return a < b end) return "done" end)
    while thread() ~= "done" do end
    assert.same({ 1, 2, 3 }, list)
  end)

  it("refuses what is no list", function()
    assert.has_error(function() sort(1) end, "bad argument #1 to 'sort' (table expected, got number)")
    assert.has_error(function() sort({}, 1) end, "bad argument #2 to 'sort' (function expected, got number)")
  end)
end)
