-- tests/e2e/container_spec.lua -- what a container asks of a gateway: the image is built from a part of the tree, which must be enough; and
-- the memory it is given bounds what it keeps, unless it was told otherwise.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local cjson = require "cjson"

local models = [[model "Note" { id = key(), text = field() }]]
local MIB = 1024 * 1024

-- A group below our own with so many bytes, or nil and why there is none: who may make one is the machine's matter.
local function group_of(bytes)
  for line in (process.read "/proc/self/cgroup" or ""):gmatch "[^\n]+" do
    local number, controllers, path = line:match "^(%d+):([^:]*):(.*)$"
    local mount, file = "/sys/fs/cgroup", "memory.max"
    if controllers ~= "" then mount, file = "/sys/fs/cgroup/memory", "memory.limit_in_bytes" end
    if number == "0" or ("," .. controllers .. ","):find(",memory,", 1, true) then
      local folder = ("%s%s/perigee-test-%d"):format(mount, path == "/" and "" or path, process.free_port())
      if os.execute(("mkdir %s 2>/dev/null"):format(process.quote(folder))) == 0 then
        local limits = { folder = folder }
        function limits.remove() -- and whom a test that failed has left in it
          process.eventually("the group is gone", 5, function()
            return os.execute(("xargs -r kill -9 < %s/cgroup.procs 2>/dev/null; rmdir %s 2>/dev/null"):format(folder, folder)) == 0
          end)
        end
        if os.execute(("echo %d 2>/dev/null > %s/%s"):format(bytes, process.quote(folder), file)) == 0 then return limits end
        limits.remove()
      end
    end
  end
  return nil, "no control group can be made here"
end

describe("in a group of 64 MiB", function()
  local group, why
  setup(function() group, why = group_of(64 * MIB) end)
  teardown(function() if group then group.remove() end end)

  local function start(args)
    return gateway.start { models = models, args = args, workers = 2, before = ("echo $$ > %s/cgroup.procs;"):format(process.quote(group.folder)) }
  end

  it("the memory store takes half of it, evicts, and nobody is killed", function()
    if not group or gateway.sanitized then return pending(why or "a sanitizer takes more than that for itself") end
    local gw = start {}
    local told
    for _, event in ipairs(gw:log_events()) do told = event.group and event or told end
    assert.same({ 64 * MIB, 32 * MIB, 8 * MIB }, told and { told.group, told.store, told.clients })
    local body = cjson.encode { text = ("x"):rep(64 * 1024) }
    local connection = http.connect(gw.address)
    for i = 1, 1600, 8 do -- 100 MiB
      for id = i, i + 7 do connection:send(http.format("PUT", "/models/Note?id=" .. id, {}, body)) end
      for _ = i, i + 7 do check.status(connection:receive(), 201) end
    end
    connection:close()
    assert(gw:metric "perigee_evictions_total" >= 1000, gw:metric "perigee_evictions_total")
    local held = gw:metric "perigee_memory_bytes"
    assert(held > 28 * MIB and held <= 32 * MIB, held)
    check.status(gw:get "/models/Note?id=1600", 200)
    gw:finish()
  end)

  it("what was asked for is kept, and said to be too much", function()
    if not group or gateway.sanitized then return pending(why or "a sanitizer takes more than that for itself") end
    local gw = start { "--memory-bytes", "200MiB", "--client-bytes", "1MiB" }
    check.says(gw:log(), '"store":' .. 200 * MIB, '"warn', "less memory than the bounds")
    gw:finish()
    gw = start { "--memory-bytes", "16MiB", "--client-bytes", "1MiB" }
    assert.is_nil(gw:log():find('"level":"warn"', 1, true), gw:log())
    gw:finish()
  end)
end)

it("the image is built from what it copies", function()
  local dockerfile = assert(process.read "Dockerfile")
  local folder = process.temp()
  for line in dockerfile:match("WORKDIR /src\n(.-)\nRUN cmake"):gmatch "[^\n]+" do
    local from, to = line:match "^COPY (.+) (%S+)$"
    assert.equal(0, os.execute(("cp -r %s %s/%s"):format(assert(from, line), folder, to)))
  end

  local pipe = io.popen(("cmake -S %s -B %s/build -G Ninja -DPERIGEE_DEPS=$PWD/build/deps 2>&1; echo $?"):format(folder, folder))
  local said = pipe:read "*a"
  pipe:close()
  process.remove(folder)
  assert.equal("0", said:match "(%d+)\n$", said)
end)
