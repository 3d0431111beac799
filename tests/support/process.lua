-- tests/support/process.lua -- programs beside the tests: started through sh, watched through files and /proc. Nothing here waits
-- in hope: `eventually` polls until something is true or a deadline says what was not.
local socket = require "socket"

-- LuaJIT of 2022 has crashed in some runs of these suites, with its compiler on.
if jit then jit.off() end

local process = {}

function process.quote(text)
  return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

function process.read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "*a"
  file:close()
  return text
end

function process.write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

local function cores()
  local pipe = io.popen "nproc"
  local number = tonumber(pipe:read "*l")
  pipe:close()
  return number
end
local CORES = cores()

-- How much longer all takes where others work on this machine too: 1 as long as each core has at most two programs to run (the tests
-- themselves make that), 3 where it has six.
function process.strain()
  return math.max(1, tonumber(process.read "/proc/loadavg":match "^%S+") / CORES / 2)
end

-- What `probe` returns once it is true; raises with `what` after so many seconds (more under strain).
function process.eventually(what, seconds, probe)
  seconds = seconds * process.strain()
  local deadline = socket.gettime() + seconds
  repeat
    local result = probe()
    if result then return result end
    socket.sleep(0.004)
  until socket.gettime() > deadline
  error(("within %gs not: %s"):format(seconds, type(what) == "function" and what() or what), 2)
end

-- A new empty folder.
function process.temp()
  local pipe = io.popen "mktemp -d /tmp/perigee-e2e-XXXXXX"
  local path = pipe:read "*l"
  pipe:close()
  return assert(path, "mktemp gave no folder")
end

function process.remove(folder)
  assert(folder:match "^/tmp/perigee%-e2e%-%w+$", folder)
  os.execute("rm -rf " .. process.quote(folder))
end

-- A port of this machine that nobody listens on now.
function process.free_port()
  local server = assert(socket.bind("127.0.0.1", 0))
  local _, port = server:getsockname()
  server:close()
  return tonumber(port)
end

-- The words of a command line, without the PERIGEE_ variables of the one who runs the tests (the gateway reads those).
local function command_line(options)
  local words = {}
  for _, word in ipairs(options.argv) do words[#words + 1] = process.quote(word) end
  local variables = {}
  for name, value in pairs(options.env or {}) do variables[#variables + 1] = process.quote(name .. "=" .. value) end
  return ("cd %s && unset $(env | sed -n 's/^\\(PERIGEE_[A-Z0-9_]*\\)=.*/\\1/p'); %s exec env %s %s"):format(
    process.quote(options.cwd or "."), options.before or "", table.concat(variables, " "), table.concat(words, " "))
end

-- Runs to the end: exit code, stdout, stderr. 124: it did not end within options.seconds (20).
function process.run(options)
  local folder = process.temp()
  os.execute(("timeout %d sh -c %s </dev/null >%s/out 2>%s/err; echo $? >%s/exit"):format(options.seconds or 20,
    process.quote(command_line(options)), folder, folder, folder))
  local code = tonumber(process.read(folder .. "/exit"))
  local out, err = process.read(folder .. "/out"), process.read(folder .. "/err")
  process.remove(folder)
  return code, out, err
end

local Process = {}
Process.__index = Process

-- What runs in sh beside the program: keeps its exit code, and ends it when the leash, a pipe held by this process, is let go: when
-- the tests end, however they end, or drop the object.
local keeper = [[
exec 3<&0
{
  sh -c %s </dev/null >%s/out 2>%s/err 3<&- &
  child=$!
  echo $child >%s/pid
  (read -r _ <&3; kill -KILL $child) &
  leash=$!
  exec 3<&-
  wait $child
  echo $? >%s/exit.new
  mv %s/exit.new %s/exit
  kill $leash
} >/dev/null 2>&1 ]]

-- Starts and returns at once. Its output is in out and err below `folder`.
function process.start(options)
  local folder = options.folder or process.temp()
  local self = setmetatable({ folder = folder }, Process)
  for _, name in ipairs { "pid", "exit", "exit.new" } do os.remove(folder .. "/" .. name) end
  self.leash = io.popen(keeper:format(process.quote(command_line(options)), folder, folder, folder, folder, folder, folder), "w")
  self.pid = process.eventually("a pid of " .. options.argv[1], 10, function()
    return tonumber((process.read(folder .. "/pid") or ""):match "^(%d+)\n")
  end)
  return self
end

function Process:out() return process.read(self.folder .. "/out") or "" end
function Process:err() return process.read(self.folder .. "/err") or "" end

-- The exit code once it has ended (128 + n: killed by signal n), or nil.
function Process:exit()
  return tonumber((process.read(self.folder .. "/exit") or ""):match "^(%d+)\n")
end

function Process:alive() return self:exit() == nil end

-- After "STOP" it returns when every thread has stopped: kill does not wait for that, and what is sent meanwhile would still be read.
function Process:signal(name)
  os.execute(("kill -%s %d 2>/dev/null"):format(name, self.pid))
  if name ~= "STOP" then return end
  process.eventually(function() return ("all threads of process %d to stop"):format(self.pid) end, 10, function()
    local pipe = io.popen(("cat /proc/%d/task/*/stat 2>/dev/null"):format(self.pid))
    local threads = pipe:read "*a"
    pipe:close()
    return not threads:find "%) [^TtZX] "
  end)
end

-- Waits for the end and returns the exit code.
function Process:wait(seconds)
  return process.eventually(function() return ("the end of process %d"):format(self.pid) end, seconds,
    function() return self:exit() end)
end

-- Ends it in any case; for clean-up.
function Process:kill()
  if self:alive() then
    self:signal "KILL"
    self:wait(10)
  end
end

-- When the process with this pid was born, in clock ticks since boot: two processes that had one pid differ in it.
function Process:born()
  local stat, n = process.read(("/proc/%d/stat"):format(self.pid)), 2
  for word in (stat or ""):gsub("^.*%) ", ""):gmatch "%S+" do
    n = n + 1
    if n == 22 then return word end
  end
end

-- How many files it has open.
function Process:fds()
  local pipe = io.popen(("ls /proc/%d/fd 2>/dev/null | wc -l"):format(self.pid))
  local n = tonumber(pipe:read "*l")
  pipe:close()
  return n
end

return process
