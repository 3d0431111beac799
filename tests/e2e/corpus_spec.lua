-- tests/e2e/corpus_spec.lua -- raw requests collected by others: what others have got wrong, this gateway must not.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"

local shared = os.getenv "PERIGEE_TEST_DATA" or "../shared/data"
local runner = shared .. "/../tools/httpcases.py"

local models = [[ model "Note" { id = key(), text = field() } ]]

describe("the collections of raw requests", function()
  local gw
  setup(function() gw = gateway.start { models = models, workers = 2 } end)
  teardown(function() gw:finish() end)

  it("are judged by their own runner: few fails, none of them smuggling", function()
    if not process.read(runner) then return pending("no " .. runner) end
    local _, out, err = process.run {
      argv = { "python3", runner, shared .. "/http-raw", "127.0.0.1", gw.address:match ":(%d+)$" }, env = { T = "0.5" }, seconds = 120,
    }
    local passed, failed = out:match "(%d+) passed, (%d+) failed"
    assert(passed, out .. err)
    for line in out:gmatch "[^\n]+" do
      assert(not (line:match "^FAIL" and (line:match "[Ss]mugg" or line:match "DESYNC")), line)
    end
    assert(tonumber(failed) <= 15, out)
    assert(tonumber(passed) >= 200, out)
    check.status(gw:get "/models/Note?id=alive", 404)
  end)

  it("never leave a connection without an answer or an end", function()
    local pipe = io.popen("ls " .. process.quote(shared) .. "/http-raw/*/*.req 2>/dev/null")
    local cases = {}
    for path in pipe:lines() do cases[#cases + 1] = process.read(path) end
    pipe:close()
    if #cases == 0 then return pending("no " .. shared) end
    for from = 1, #cases, 50 do
      local open = {}
      for i = from, math.min(from + 49, #cases) do
        local connection = http.connect(gw.address)
        connection:send(cases[i])
        connection:shutdown()
        open[#open + 1] = connection
      end
      for i, connection in ipairs(open) do
        local closed = connection:closes(5)
        assert(closed, "still open after: " .. cases[from + i - 1]:sub(1, 200))
        connection:close()
      end
    end
    check.status(gw:get "/models/Note?id=alive", 404)
  end)
end)
