-- tests/support/network.lua -- a network of the test's own, on which packets can be lost: from `enter` to `leave` this process, and all that it starts, is in a
-- network namespace with nothing but a loopback device, whose frames are as long as Ethernet's, and names of its own. Needs root, iptables, and tc.
local ffi = require "ffi"
local process = require "tests.support.process"

pcall(ffi.cdef, [[
int unshare(int flags);
int setns(int fd, int type);
int open(const char *path, int flags, ...);
int close(int fd);
]])

local CLONE_NEWNET, CLONE_NEWNS, O_CLOEXEC = 0x40000000, 0x20000, 0x80000

local network = {}
local before = {} -- by kind, the namespaces that were left
local names -- a file, where `hosts` was called

local function run(command) return os.execute(command .. " 2>/dev/null >&2") == 0 end

-- What the rules below need of the machine.
local NEEDS = {
  "ip link set lo up mtu 1500", "iptables -A INPUT -p tcp -m statistic --mode random --probability 0.3 -j DROP",
  "iptables -A INPUT -p tcp -m connbytes --connbytes 1: --connbytes-dir reply --connbytes-mode bytes -j REJECT --reject-with tcp-reset",
  "iptables -t mangle -A POSTROUTING -p tcp --sport 1 -j CLASSIFY --set-class 1:1", "tc qdisc add dev lo root handle 1: htb",
}

local function change(kind, flag)
  local here = ffi.C.open("/proc/thread-self/ns/" .. kind, ffi.cast("int", O_CLOEXEC))
  if here < 0 or ffi.C.unshare(flag) ~= 0 then return false end
  before[flag] = here
  return true
end

-- Says what is lacking, and changes nothing, if this machine lets us have none.
function network.enter()
  if not change("net", CLONE_NEWNET) then return "a network of its own needs root" end
  for _, need in ipairs(NEEDS) do
    if not run(need) then
      network.leave()
      return "this machine cannot: " .. need
    end
  end
  network.mend()
end

function network.leave()
  for flag, namespace in pairs(before) do
    assert(ffi.C.setns(namespace, flag) == 0)
    ffi.C.close(namespace)
  end
  before = {}
  if names then process.remove(names) end
  names = nil
end

-- What /etc/hosts says until `leave`. Says what is lacking, and changes nothing, where root is not the root of a file system, as after chroot: mounts
-- cannot be kept from others there.
function network.hosts(text)
  local need = "unshare --mount true"
  if not run(need) then return "this machine cannot: " .. need end
  assert(change("mnt", CLONE_NEWNS))
  names = process.temp()
  process.write(names .. "/hosts", text)
  assert(run "mount --make-rprivate /" and run(("mount --bind %s/hosts /etc/hosts"):format(names)))
end

-- What becomes of the packets to and from `port` from now on: words of an iptables rule.
function network.rule(port, to, from)
  for side, words in pairs { dport = to, sport = from } do
    assert(run(("iptables -A INPUT -p tcp --%s %d %s"):format(side, port, words)), words)
  end
end

-- What comes from `port` comes at so many kbit/s.
function network.slow(port, rate)
  for _, words in ipairs {
    "tc qdisc add dev lo root handle 1: htb", ("tc class add dev lo parent 1: classid 1:1 htb rate %dkbit"):format(rate),
    ("iptables -t mangle -A POSTROUTING -p tcp --sport %d -j CLASSIFY --set-class 1:1"):format(port),
  } do assert(run(words), words) end
end

-- All is well again.
function network.mend()
  run "iptables -F INPUT"
  run "iptables -t mangle -F POSTROUTING"
  run "tc qdisc del dev lo root"
end

return network
