-- tests/spec/lint_spec.lua -- what is allowed but hardly meant.
local half = require "tests.support.half"

local function findings(text)
  local _, said, perigee = half.load(text)
  assert.is_false(perigee.findings.failed(), said)
  return said
end

local loader = "from_miss = function() end"

describe("lint", function()
  for text, says in pairs {
    ['\nmodel "A" { id = key(), ' .. loader .. " }"] =
      "2: warning: model `A`: has a loader but no `expires`: what it loads is kept for ever\n",
    ['model "A" {\n  id = key(),\n  m = cached_method{ function() end } }'] =
      "3: warning: model `A`: cached_method `m`: has no `expires`: its results are kept for ever\n",
    ['form "F" {\n  x = input(),\n  m = cached_form_method{ function() end } }'] =
      "3: warning: form `F`: cached_form_method `m`: has no `expires`: its results are kept for ever\n",
    ['model "A" { id = key(), options = { negative = 1 } }'] = "1: warning: model `A`: option `negative` has no effect: nothing is loaded\n",
    ['model "A" { id = key(), options = { hard_timeout = 1 } }'] =
      "1: warning: model `A`: option `hard_timeout` has no effect: there is no handler\n",
    ['model "A" { id = key(), options = { hard_timeout = 1 }, on_save = function() end }'] = "",
    ['model "A" { id = key(), options = { expires = 1, negative = 1, max_loads = 2 }, from_misses = function() end }'] = "",
    ['\nmodel "A" { id = key(), from_misses = function() end }'] =
      "2: warning: model `A`: has a loader but no `expires`: what it loads is kept for ever\n",
    ['model "A" { id = key(), options = { jit = false } }'] = "1: warning: model `A`: option `jit` has no effect: there is no handler\n",
    ['model "A" { id = key(), options = { depth = 2 } }'] = "1: warning: model `A`: option `depth` has no effect: there is no reference\n",
    ['model "A" { id = key(), options = { jitter = 0.1 } }'] = "1: warning: model `A`: option `jitter` has no effect: there is no `expires`\n",
    ['model "A" { id = key(), options = { jitter = 0.1, expires = 1 } }'] = "",
    ['model "A" { id = key(), options = { jitter = 0, refresh = "off", stale_if_error = 0, stale_while_revalidate = 0 } }'] = "",
    ['model "A" { id = key(), options = { stale_while_revalidate = 1, stale_if_error = 1, refresh = 0.5, soft_timeout = 1, max_loads = 1 } }'] =
      "1: warning: model `A`: option `stale_while_revalidate` has no effect: the model has no loader\n"
      .. "1: warning: model `A`: option `refresh` has no effect: the model has no loader\n"
      .. "1: warning: model `A`: option `soft_timeout` has no effect: the model has no loader\n"
      .. "1: warning: model `A`: option `max_loads` has no effect: the model has no loader\n",
    ['model "A" { id = key(), options = { expires = 1, max_loads = 1 }, m = cached_method{ expires = 1, function() end } }'] =
      "1: warning: model `A`: option `max_loads` has no effect: the model has no loader\n",
    ['model "A" { id = key(), options = { expires = 1, soft_timeout = 1, stale_while_revalidate = 5 }, ' .. loader .. " }"] =
      "1: warning: model `A`: option `soft_timeout` has no effect: there is no `stale_if_error`: nothing else to answer with\n",
    ['model "A" { id = key(), options = { expires = 1, soft_timeout = 2, hard_timeout = 2, stale_if_error = 5 }, ' .. loader .. " }"] =
      "1: warning: model `A`: option `soft_timeout` has no effect: `hard_timeout` is over first\n",
    ['model "A" { id = key(), options = { expires = 1, soft_timeout = 1, hard_timeout = 2, stale_if_error = 5 }, ' .. loader .. " }"] = "",
    ['model "A" {\n  id = key(),\n  m = cached_method{ expires = 1, soft_timeout = 1, function() end } }'] =
      "3: warning: model `A`: cached_method `m`: option `soft_timeout` has no effect: there is no `stale_if_error`: nothing else to answer with\n",
    ['form "F" {\n  x = input(),\n  m = cached_form_method{ jitter = 1, function() end } }'] =
      "3: warning: form `F`: cached_form_method `m`: has no `expires`: its results are kept for ever\n"
      .. "3: warning: form `F`: cached_form_method `m`: option `jitter` has no effect: there is no `expires`\n",
    ['model "A" { id = key(), options = { hard_timeout = 1, tags = function() end } }'] = "",
    ['model "A" { id = key(), options = { negative = 1, jit = true }, m = cached_method{ expires = 1, function() end } }'] = "",
    ['model "A" { id = key(), a = references "self", options = { depth = 2 } }'] = "",
    -- circles
    ['model "A" {\n  id = key(),\n  a = reference{ "self", required = true } }'] =
      "3: warning: model `A`: reference `a`: required in a circle (A -> A): none of them can be read before all are there\n",
    ['model "A" {\n  id = key(),\n  b = reference{ "B", required = true } }\nmodel "B" { id = key(), c = reference{ "C", required = true } }\n'
      .. 'model "C" { id = key(), b = reference{ "B", required = true } }'] =
      "4: warning: model `B`: reference `c`: required in a circle (B -> C -> B): none of them can be read before all are there\n",
    ['model "A" { id = key(), b = reference{ "B", required = true } }\nmodel "B" { id = key(), a = reference{ "A" } }'] = "",
    ['model "A" { id = key(), b = reference{ "B", required = true } }\nmodel "B" { id = key(), a = reference{ "A", required = true, '
      .. 'missing = "null" } }'] = "",
    -- lives
    ['model "A" {\n  id = key(),\n  b = reference "B" }\nmodel "B" { id = key(), options = { expires = 60 } }'] =
      "3: warning: model `A`: reference `b`: `B` expires earlier and has no loader: records that refer to it are `missing` from then on\n",
    ['model "A" {\n  id = key(),\n  b = references "B", options = { expires = 61 } }\nmodel "B" { id = key(), options = { expires = 60 } }'] =
      "3: warning: model `A`: references `b`: `B` expires earlier and has no loader: records that refer to it are `missing` from then on\n",
    ['model "A" { id = key(), b = reference "B", options = { expires = 60 } }\nmodel "B" { id = key(), options = { expires = 60 } }'] = "",
    ['model "A" { id = key(), b = references{ "B", missing = "skip" } }\nmodel "B" { id = key(), options = { expires = 60 } }'] = "",
    ['model "A" { id = key(), b = reference "B" }\nmodel "B" { id = key(), options = { expires = 60 }, ' .. loader .. " }"] = "",
    ['model "A" { id = key(), b = reference "B" }\nmodel "B" { id = key() }'] = "",
  } do
    it((says == "" and "is silent about " or "doubts ") .. text:gsub("%s+", " "):sub(1, 110), function()
      assert.equal(says, (findings(text):gsub("schemas/models.lua:", "")))
    end)
  end

  it("waits until there is no error", function()
    local _, said = half.load('model "A" { ' .. loader .. " }")
    assert.equal("schemas/models.lua:1: model `A`: has no key\n", said)
  end)
end)
