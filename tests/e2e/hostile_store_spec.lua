-- tests/e2e/hostile_store_spec.lua -- nothing that comes back from a store is believed: whatever bytes answer one question, the answer
-- to the next is its own or none.
local badredis = require "tests.support.badredis"
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"

local models = [[
model "Note" { id = key(), text = field() }
model "Loaded" { id = key(), text = field(), options = { expires = 300 }, from_miss = function(self) self.text = "loaded" end }
]]

local shared = (os.getenv "PERIGEE_TEST_DATA" or "../shared/data") .. "/resp"

-- Cases of our own; those of the shared collection join them where it stands.
local own = {
  ["own-two-nil"] = "$-1\r\n$-1\r\n", ["own-two-values"] = "$3\r\nabc\r\n$3\r\ndef\r\n", ["own-number"] = ":1\r\n", ["own-ok"] = "+OK\r\n",
  ["own-error"] = "-ERR something\r\n", ["own-junk"] = "junk\r\n", ["own-array"] = "*2\r\n$1\r\na\r\n$1\r\nb\r\n", ["own-huge-bulk"] = "$1073741824\r\n",
  ["own-huge-array"] = "*1073741824\r\n", ["own-nested"] = ("*1\r\n"):rep(1000000), ["own-long-line"] = "+" .. ("x"):rep(200000) .. "\r\n",
  ["own-push"] = ">2\r\n+invalidate\r\n*1\r\n$1\r\nx\r\n$-1\r\n", ["own-large"] = "$20000000\r\n" .. ("x"):rep(20000000) .. "\r\n",
  ["own-gigabyte"] = "$1073741824\r\n" .. ("x"):rep(4000000),
}

describe("a hostile store", function()
  local gw, store, folder
  local cases = {}
  setup(function()
    folder = process.temp()
    os.execute(("cp %s/*.resp %s 2>/dev/null"):format(process.quote(shared), folder))
    for name, bytes in pairs(own) do process.write(("%s/%s.resp"):format(folder, name), bytes) end
    local pipe = io.popen("ls " .. folder)
    for name in pipe:lines() do cases[#cases + 1] = name:match "^(.*)%.resp$" end
    pipe:close()
    store = badredis.start(folder)
    gw = gateway.start { models = models, store = store.url, args = { "--redis-timeout", "300ms" }, fds = 1, beside = { store } }
    gw:await_store()
  end)
  teardown(function()
    gw:finish()
    process.remove(folder)
  end)

  local function resident()
    return tonumber((process.read(("/proc/%d/status"):format(gw.pid)) or ""):match "VmRSS:%s+(%d+)") / 1024
  end

  -- Saves until the connection is back.
  local function put(id)
    process.eventually("a save of " .. id, 10, function()
      return gw:put("/models/Note?id=" .. id, ('{"text":"%s"}'):format(id)).status < 300
    end)
  end

  it("shifts no answer to another question, and brings nobody down", function()
    for i = 1, 20 do put("good" .. i) end
    local before, patience = resident(), gateway.sanitized and 60 or 1
    for _, case in ipairs(cases) do
      gw:await_store(10)
      local before_it = resident()
      local connections, wanted = {}, {}
      for i = 1, 20 do -- many questions of one turn, the bad one among them
        connections[i] = http.connect(gw.address)
        wanted[i] = i == 10 and "bad-" .. case or "good" .. i
        connections[i]:send(http.format("GET", "/models/Note?id=" .. wanted[i]))
      end
      for i, connection in ipairs(connections) do
        local response = connection:receive()
        assert(response, case .. ": no answer")
        if i == 10 then
          assert(response.status == 404 or response.status == 503, case .. ": " .. response.status .. " " .. response.body:sub(1, 100))
        elseif response.status == 200 then
          assert(response.body == ('{"id":"%s","text":"%s"}'):format(wanted[i], wanted[i]), case .. ": a shifted answer: " .. response.body)
        else -- an answer too many may be nil or rubbish; what it looks like is all one can know
          assert(response.status == 503 or response.status == 404, case .. ": " .. response.status)
        end
        connection:close()
      end
      local most = own[case] and #own[case] > 1e6 and 24 or 8 -- what is really sent may be as long as the longest value, 16 MiB
      assert(resident() - before_it < most * patience, ("%s: %d MiB more"):format(case, resident() - before_it))
      for i = 1, 20 do -- and after it
        local response = gw:get("/models/Note?id=good" .. i)
        assert(response.status == 503 or response.body == ('{"id":"good%d","text":"good%d"}'):format(i, i), case .. ": " .. response.body)
      end
    end
    assert(#cases >= 14)
    assert(resident() - before < 24 * patience, ("%d MiB more after all"):format(resident() - before))
    gw:await_store(10)
    for i = 1, 20 do assert.equal("good" .. i, check.document(gw:get("/models/Note?id=good" .. i)).text) end
  end)

  it("costs a model that can load nothing but its answer", function()
    for _, case in ipairs(cases) do
      local response = gw:get("/models/Loaded?id=bad-" .. case)
      check.status(response, 200)
      assert.equal("loaded", check.document(response).text)
    end
  end)

  it("and all of the shared collection was asked", function()
    if not process.read(shared .. "/cases.jsonl") then return pending("no " .. shared) end
    assert(#cases >= 67 + 14, #cases)
  end)
end)
