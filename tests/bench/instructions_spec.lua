-- How many instructions a request costs. Time says little on a machine that does other things as well; instructions repeat. Each case
-- asks a release build under callgrind for the same request again and again, one at a time, and compares the count of one with the
-- figure kept in tests/bench/instructions.txt for this toolchain. What costs more than that fails; `make accept` keeps the new
-- figures, in a commit that says why. With BENCH_PROFILE=1 the last dump of each case is kept in build/bench, for bench/functions.lua.
--
-- What the count depends on beside our code: the compiler, and the libraries, whose versions follow that of libc. So a figure is kept for
-- an architecture, a compiler and a libc, and where there is none, the test is pending. Not on the processor: libc would choose its copies and
-- searches by it, and is told to take the plainest. Not on how slow the machine is: timers fire meanwhile, more of them where it takes
-- longer, but what they take in a second is counted first, and is none of the requests'.
local gateway = require "tests.support.gateway"
local process = require "tests.support.process"
local socket = require "socket"

local figures_file = "tests/bench/instructions.txt"
local slack = 0.03
local warm, times, most = 20, 50, 400 -- requests: before, at a time, and in all

-- What libc would take of the processor, by all the names that it has for it; it passes over those that it does not know.
local plain_libc = "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX_Fast_Unaligned_Load,-AVX512F,-AVX512VL,-AVX512BW,-ERMS,-FSRM,-SSSE3,-SSE4_1,-SSE4_2,-BMI1,-BMI2,-LZCNT,-MOVBE,-RTM"
  .. ":glibc.cpu.x86_non_temporal_threshold=0x1000000"

local models = [[
model "Record" {
  username = key(),
  body = field{ type = "string" },
  options = { expires = "1d" },
}
model "Node" {
  id = key(),
  note = field{ type = "string" },
  children = references{ "self" },
  options = { expires = "1d" },
}
]]

-- -- the kept figures: "CASE TOOLCHAIN COUNT" a line --

local function said_by(command)
  local pipe = io.popen(command)
  local line = pipe:read "*l"
  pipe:close()
  return line
end

-- Architecture, compiler by its major version, libc: "x86_64-gcc-12-glibc-2.36". nil when it is no release build.
local function toolchain()
  if gateway.sanitized then return nil end
  local binary = process.read(gateway.bin)
  local compiler = "gcc-" .. (binary:match "GCC: %b() (%d+)" or "unknown")
  local clang = binary:match "clang version (%d+)"
  if clang then compiler = "clang-" .. clang end
  local libc = said_by("getconf GNU_LIBC_VERSION 2>/dev/null || echo unknown libc"):gsub(" ", "-")
  return ("%s-%s-%s"):format(said_by "uname -m", compiler, libc)
end

local function read_figures()
  local kept, order = {}, {}
  for line in (process.read(figures_file) or ""):gmatch "[^\n]+" do
    local id, count = line:match "^(%S+ %S+) (%d+)$"
    if id then
      kept[id] = tonumber(count)
      order[#order + 1] = id
    end
  end
  return kept, order
end

local function accept(id, count)
  local kept, order = read_figures()
  if not kept[id] then order[#order + 1] = id end
  kept[id] = count
  table.sort(order)
  local lines = { "# Instructions a request takes, by case and toolchain; tests/bench/instructions_spec.lua compares, `make accept` writes." }
  for _, name in ipairs(order) do lines[#lines + 1] = ("%s %d"):format(name, kept[name]) end
  process.write(figures_file, table.concat(lines, "\n") .. "\n")
end

-- -- counting --

local function control(gw, what)
  local code, out, err = process.run { argv = { "callgrind_control", what, gw.pid }, seconds = 60 }
  assert(code == 0, out .. err)
end

-- Instructions since the last time this was asked, and seconds.
local function counted(gw)
  control(gw, "--dump")
  gw.dumps = gw.dumps + 1
  local now, before = socket.gettime(), gw.counted_at
  gw.counted_at = now
  return tonumber(process.read(("%s/out.%d"):format(gw.counts, gw.dumps)):match "\ntotals: (%d+)"), now - (before or now)
end

-- What it takes in a second when nobody asks.
local function count_idle(gw)
  counted(gw)
  socket.sleep(2)
  local instructions, seconds = counted(gw)
  gw.idle = instructions / seconds
end

local function start(store, ...)
  local folder = process.temp()
  local gw = gateway.start {
    models = models, store = store, args = { "--memory-bytes", "64MiB", ... }, env = { GLIBC_TUNABLES = plain_libc },
    under = { "valgrind", "--quiet", "--tool=callgrind", "--log-file=" .. folder .. "/log", "--callgrind-out-file=" .. folder .. "/out" },
  }
  gw.counts, gw.dumps = folder, 0
  count_idle(gw)
  return gw
end

local function stop(gw)
  gw:finish()
  process.remove(gw.counts)
end

-- Instructions that one of `request` takes. Where it seems to be more than `enough`, more of them are counted.
local function count(gw, request, enough)
  local instructions, seconds, n, each = 0, 0, 0
  for _ = 1, warm do request() end
  counted(gw)
  repeat
    for _ = 1, times do request() end
    local more, took = counted(gw)
    instructions, seconds, n = instructions + more, seconds + took, n + times
    each = (instructions - seconds * gw.idle) / n
  until n >= most or (n > times and each <= enough)
  return math.floor(each + 0.5)
end

local function keep_dump(gw, case)
  os.execute(("mkdir -p build/bench && cp %s/out.%d build/bench/%s-x%d.callgrind"):format(process.quote(gw.counts), gw.dumps, case, times))
end

local function measure(gw, case, request)
  local here = toolchain()
  local id = case .. " " .. here
  local kept = read_figures()[id]
  local accepting = os.getenv "BENCH_ACCEPT"
  local now = count(gw, request, accepting and 0 or kept and kept * (1 + slack) or math.huge)
  if os.getenv "BENCH_PROFILE" then keep_dump(gw, case) end
  if accepting then
    print(("%-24s %8s -> %d"):format(case, kept or "-", now))
    accept(id, now)
  elseif not kept then
    pending(("%s takes %d instructions here, on %s, for which no figure is kept (make accept keeps them)"):format(case, now, here))
  elseif now > kept * (1 + slack) then
    error(("%s takes %d instructions, %.1f %% more than the %d kept for %s; make it cheaper, or keep the new figure by `make accept`, " ..
      "and say in the commit what it buys"):format(case, now, (now / kept - 1) * 100, kept, here), 0)
  elseif now < kept * (1 - slack) then
    pending(("%s takes %d instructions, %.1f %% less than the %d kept: `make accept` keeps the gain"):format(case, now, (1 - now / kept) * 100,
      kept))
  end
end

-- -- the cases --

local sizes = { { "200", 200 }, { "2K", 2048 }, { "32K", 32768 } }

local function record(bytes)
  return ('{"username":"u1","body":"%s"}'):format(("u1 "):rep(bytes / 3):sub(1, bytes - 30))
end

local function expect(status, response)
  if response.status ~= status then error(("%d: %s"):format(response.status, response.body), 0) end
end

local function put(gw, model, text) gw:put("/models/" .. model, text) end
local function read(gw, target) return function() expect(200, gw:get(target)) end end
local function save(gw, text) return function() expect(204, gw:put("/models/Record", text)) end end

local function patch(gw)
  local n = 0
  return function()
    n = n + 1
    expect(204, gw:request("PATCH", "/models/Record?username=u1", { ["Content-Type"] = "application/merge-patch+json" },
      ('{"body":"%06d"}'):format(n)))
  end
end

-- A root, 2 below it, 3 below each of those.
local function put_document(gw)
  local function node(id, letters)
    local children = {}
    for letter in letters:gmatch "." do children[#children + 1] = ('{"id":"%s%s"}'):format(id, letter) end
    put(gw, "Node", ('{"id":"%s","note":"%s","children":[%s]}'):format(id, ("x"):rep(150), table.concat(children, ",")))
  end
  node("d", "ab")
  for _, middle in ipairs { "da", "db" } do
    node(middle, "abc")
    for letter in ("abc"):gmatch "." do node(middle .. letter, "") end
  end
end

describe("instructions a request", function()
  local gw

  local function on(name, store, ...)
    local flags = { ... }
    setup(function() gw = toolchain() and start(store, unpack(flags)) end)
    teardown(function() if gw then stop(gw) end end)

    return function(case, prepare)
      it(case .. ", " .. name, function()
        if not gw then return pending "counted on release builds only" end
        measure(gw, name .. "-" .. case, prepare())
      end)
    end
  end

  describe("in memory", function()
    local case = on("memory", "memory")
    for _, size in ipairs(sizes) do
      case("read-" .. size[1], function()
        put(gw, "Record", record(size[2]))
        return read(gw, "/models/Record?username=u1")
      end)
    end
    case("save-200", function() return save(gw, record(200)) end)
    case("patch-200", function() return patch(gw) end)
    case("document-9", function()
      put_document(gw)
      return read(gw, "/models/Node?id=d")
    end)
  end)

  describe("in Redis, near copies", function()
    local case = on("near", "redis")
    case("read-200", function()
      put(gw, "Record", record(200))
      return read(gw, "/models/Record?username=u1")
    end)
  end)

  describe("in Redis", function()
    local case = on("redis", "redis", "--near-cache-bytes", "0")
    for _, size in ipairs(sizes) do
      case("read-" .. size[1], function()
        put(gw, "Record", record(size[2]))
        return read(gw, "/models/Record?username=u1")
      end)
      case("save-" .. size[1], function() return save(gw, record(size[2])) end)
    end
    case("document-9", function()
      put_document(gw)
      return read(gw, "/models/Node?id=d")
    end)
  end)
end)
