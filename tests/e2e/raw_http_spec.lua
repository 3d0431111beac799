-- tests/e2e/raw_http_spec.lua -- every request of tests/support/raw.lua gets the answer that stands there, whole and in two pieces, cut
-- anywhere; and collections written elsewhere are judged the same, but for what is listed here with a reason.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local raw = require "tests.support.raw"

local models = 'model "Note" { id = key(), text = field() }'
local stored = '{"text":"hello"}'
local at_once = 150 -- connections
local pieces_most = 400 -- bytes: longer requests are cut at as many places

-- What is wrong with the answers to a case, if anything is.
local function judge(connection, case)
  local is_head, last = case.bytes:match "^HEAD ", nil
  for wanted in case.statuses:gmatch "%S+" do
    repeat
      local why, bytes
      last, why, bytes = connection:receive(is_head)
      if not last then return ("wanted %s: %s, %q"):format(wanted, why, bytes or "") end
    until last.status >= 200
    if not ("|" .. wanted .. "|"):find(("|%d|"):format(last.status), 1, true) then return ("wanted %s: %d"):format(wanted, last.status) end
    if last.status >= 400 and not is_head and last.headers["content-type"] ~= "application/problem+json" then return "no problem+json" end
  end
  if case.closes then
    if last.headers.connection ~= "close" then return "does not say that it closes" end
    local closed, bytes = connection:closes()
    return not closed and "is still open" or bytes ~= "" and ("says more: %q"):format(bytes) or nil
  end
  last = connection:request("GET", "/models/Note?id=a")
  if not last or last.status ~= 200 or last.body ~= '{"id":"a","text":"hello"}' then return "takes the next request for something else" end
end

-- Where to cut a request of n bytes: everywhere, or evenly and at both ends.
local function cuts(n)
  local list, step = {}, math.max(1, math.ceil(n / pieces_most))
  for at = 1, n - 1, step do list[#list + 1] = at end
  if step > 1 then list[#list + 1] = n - 1 end
  return list
end

describe("requests as bytes", function()
  local gw, sentinel
  setup(function()
    gw = gateway.start { models = models }
    check.status(gw:put("/models/Note?id=a", stored), 201)
    sentinel = http.connect(gw.address)
  end)
  teardown(function()
    sentinel:close()
    gw:finish()
  end)

  -- Until the gateway, which has one worker, has read what was sent before on other connections.
  local function until_read()
    for _ = 1, 2 do check.status(sentinel:request("GET", "/models/Note?id=none"), 404) end
  end

  local function fault(case, connection, how)
    local why = judge(connection, case)
    connection:close()
    return why and ("%s, %s: %s"):format(case.name, how, why) or nil
  end

  it("get the answer that stands beside them", function()
    local faults = {}
    for _, case in ipairs(raw) do
      local connection = http.connect(gw.address)
      connection:send(case.bytes)
      faults[#faults + 1] = fault(case, connection, "whole")
    end
    assert(#faults == 0, table.concat(faults, "\n"))
  end)

  it("get it in two pieces, too, cut anywhere", function()
    local faults = {}
    for _, case in ipairs(raw) do
      local list = cuts(#case.bytes)
      for first = 1, #list, at_once do
        local open = {}
        for i = first, math.min(first + at_once - 1, #list) do
          local connection = http.connect(gw.address)
          connection:send(case.bytes:sub(1, list[i]))
          open[#open + 1] = { connection, list[i] }
        end
        until_read()
        for _, one in ipairs(open) do one[1]:send(case.bytes:sub(one[2] + 1)) end
        for _, one in ipairs(open) do faults[#faults + 1] = fault(case, one[1], "cut at " .. one[2]) end
        assert(#faults < 10, table.concat(faults, "\n"))
      end
    end
    assert(#faults == 0, table.concat(faults, "\n"))
  end)
end)

describe("a collection of raw requests", function()
  -- Judged as failures by those who wrote the collection, and right all the same.
  local allowed = {
    ["invalid-001"] = "the head is not complete: it is waited for (408 after --header-timeout)",
    ["invalid-rfc9112_chunked_missing_final_crlf_01"] = "the body is not complete: it is waited for",
    ["invalid-006"] = "a request line of 4116 bytes: our limit is 8 KiB",
    ["invalid-007"] = "a field of 8 KiB: our limit is 16 KiB for all of them",
    ["invalid-008"] = "12 KiB of fields: likewise",
    ["valid-027"] = "a target with bytes over 127, which no URI has (RFC 3986 2)",
    ["valid-rfc9112_target_absolute_userinfo_01"] = "user and password in a target (RFC 9110 4.2.4 lets us take it for an attack)",
    ["sample-09"] = "HTTP/1.1 without Host, behind a blank line (RFC 9112 3.2)",
    ["sample-15"] = "likewise",
  }
  local tool, data = "../shared/tools/httpcases.py", (os.getenv "PERIGEE_TEST_DATA" or "../shared/data") .. "/http-raw"

  it("is judged as its authors do, but for what is listed here", function()
    if not (process.read(tool) and process.read(data .. "/gunicorn/cases.jsonl")) then return pending("no " .. tool .. ", or no " .. data) end
    if os.execute "command -v python3 >/dev/null" ~= 0 then return pending "no python3" end
    local gw = gateway.start { models = models }
    local _, out, err = process.run {
      argv = { "python3", tool, data, "127.0.0.1", gw.address:match ":(%d+)$" }, seconds = 120,
    }
    assert(out:match "%d+ passed, %d+ failed", out .. err)
    for id, why in out:gmatch "FAIL %S+ (%S+) ([^\n]*)" do assert(allowed[id], id .. ": " .. why) end
    local docs = process.read "docs/http.md"
    for id in pairs(allowed) do assert(docs:find("`" .. id .. "`", 1, true), "docs/http.md does not tell of " .. id) end
    assert.is_nil(out:find("DESYNC", 1, true), out)
    assert.is_nil(out:find("REVIEW", 1, true), out)
    gw:finish()
  end)

  it("leaves none of its connections without an answer or an end", function()
    local pipe = io.popen("ls " .. process.quote(data) .. "/*/*.req 2>/dev/null")
    local cases = {}
    for path in pipe:lines() do cases[#cases + 1] = process.read(path) end
    pipe:close()
    if #cases == 0 then return pending("no " .. data) end
    local gw = gateway.start { models = models, workers = 2 }
    for from = 1, #cases, 50 do
      local open = {}
      for i = from, math.min(from + 49, #cases) do
        local connection = http.connect(gw.address)
        connection:send(cases[i])
        connection:shutdown()
        open[#open + 1] = connection
      end
      for i, connection in ipairs(open) do
        assert(connection:closes(5), "still open after: " .. cases[from + i - 1]:sub(1, 200))
        connection:close()
      end
    end
    check.status(gw:get "/models/Note?id=alive", 404)
    gw:finish()
  end)
end)
