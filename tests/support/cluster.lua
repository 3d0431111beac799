-- tests/support/cluster.lua -- a real Redis Cluster of the test's own: its masters, with or without a replica each, on free ports of this machine. It is
-- put together by hand, which takes two seconds: a server of a cluster refuses questions for that long after its start.
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local socket = require "socket"

local cluster = {}
local Cluster = {}
Cluster.__index = Cluster

local SLOTS = 16384
local BUS_AWAY = redis.version() < 7 and 10000 -- of servers that cannot be told where their bus is, it is so many ports away
local NODE_TIMEOUT_MS = 15000 -- a master that is silent for as long is replaced: none shall be because this machine is busy

-- Two ports that nobody listens on: a server's, and its bus's.
local function bind_two()
  while true do
    local one = assert(socket.bind("127.0.0.1", 0))
    local port = tonumber((select(2, one:getsockname())))
    local two = (not BUS_AWAY or port + BUS_AWAY < 65536) and socket.bind("127.0.0.1", BUS_AWAY and port + BUS_AWAY or 0)
    if two then return one, two end
    one:close()
  end
end

-- Two for each of n servers, no two the same.
local function free_ports(n)
  local bound, ports = {}, {}
  for i = 1, n do bound[2 * i - 1], bound[2 * i] = bind_two() end
  for i, one in ipairs(bound) do ports[i] = tonumber((select(2, one:getsockname()))) end
  for _, one in ipairs(bound) do one:close() end
  return ports
end

local function start_node(port, bus)
  local args = { "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", NODE_TIMEOUT_MS,
    "--repl-diskless-sync-delay", "0", not BUS_AWAY and "--cluster-port" or nil, not BUS_AWAY and bus or nil }
  local node = redis.start(port, { args = args })
  node.bus = bus
  node.id = node:command("CLUSTER", "MYID")
  node.address = "127.0.0.1:" .. port
  return node
end

local function await(node, what, probe)
  process.eventually(function() return node.address .. ": " .. what .. "\n" .. tostring(node:try("CLUSTER", "NODES")) end, 20, probe)
end

function Cluster:await_whole(node)
  await(node, "cluster_state:ok", function()
    local info = node:try("CLUSTER", "INFO") or ""
    return info:find("cluster_state:ok", 1, true) and info:find(("cluster_known_nodes:%d\r"):format(#self.nodes), 1, true)
  end)
end

-- All know each other, and every slot has a master.
function Cluster:await_ok()
  for _, node in ipairs(self.nodes) do self:await_whole(node) end
end

-- Starts one that the others know, without slots.
function Cluster:add()
  local ports = free_ports(1)
  local node = start_node(ports[1], ports[2])
  table.insert(self.nodes, node)
  node:command("CLUSTER", "MEET", "127.0.0.1", self.nodes[1].port, self.nodes[1].bus)
  return node
end

-- Makes `node` a replica of `master`, with all that it has.
function Cluster:replicate(node, master)
  await(node, "to know its master", function() return node:try("CLUSTER", "REPLICATE", master.id) == "OK" end)
  await(node, "its copy", function() return node:command("INFO", "replication"):find("master_link_status:up", 1, true) end)
end

-- Until its replicas have all that it has now. (WAIT is of no use: it waits for what its own connection wrote.)
function Cluster:await_copied(master)
  local function told(node, name) return node:command("INFO", "replication"):match(name .. ":(%d+)") end
  local offset, copies = tonumber(told(master, "master_repl_offset")), 0
  for _, node in ipairs(self.nodes) do
    if node.process:alive() and tonumber(told(node, "master_port")) == master.port then
      await(node, "the same as its master", function() return tonumber(told(node, "slave_repl_offset")) >= offset end)
      copies = copies + 1
    end
  end
  assert(copies > 0, "it has no replica")
end

-- From now on so long.
function Cluster:set_node_timeout(ms)
  for _, node in ipairs(self.nodes) do node:try("CONFIG", "SET", "cluster-node-timeout", ms or NODE_TIMEOUT_MS) end
end

-- Without ADDSLOTSRANGE, which is new in Redis 7.
local function give_slots(node, first, last)
  local slots = {}
  for slot = first, last do
    slots[#slots + 1] = slot
    if #slots == 4000 or slot == last then
      node:command("CLUSTER", "ADDSLOTS", unpack(slots))
      slots = {}
    end
  end
end

-- Options: masters (3), replicas (of each: 0), ports (two of each master).
function cluster.start(options)
  options = options or {}
  local masters, replicas = options.masters or 3, options.replicas or 0
  local ports = options.ports or free_ports(masters)
  local self = setmetatable({ nodes = {}, masters = {} }, Cluster)
  for i = 1, masters do
    local node = start_node(ports[2 * i - 1], ports[2 * i])
    local first, last = math.floor((i - 1) * SLOTS / masters), math.floor(i * SLOTS / masters) - 1
    give_slots(node, first, last)
    node:command("CLUSTER", "SET-CONFIG-EPOCH", i)
    self.nodes[i], self.masters[i] = node, node
    if i > 1 then node:command("CLUSTER", "MEET", "127.0.0.1", self.nodes[1].port, self.nodes[1].bus) end
  end
  for i = 1, masters do
    for _ = 1, replicas do
      local node = self:add()
      node.follows = self.masters[i]
    end
  end
  self:await_ok()
  for _, node in ipairs(self.nodes) do
    if node.follows then self:replicate(node, node.follows) end
  end
  local seeds = {}
  for i = 1, masters do seeds[i] = self.nodes[i].address end
  self.url = "redis+cluster://" .. table.concat(seeds, ",")
  return self
end

local shared

-- Three masters for all suites of this run, empty; `stop` leaves them running for the next.
function cluster.shared()
  if not shared then
    shared = cluster.start()
    local stop = shared.stop
    shared.at_end = newproxy(true)
    getmetatable(shared.at_end).__gc = function() stop(shared) end
    shared.stop = function() end
  end
  for _, node in ipairs(shared.nodes) do node:command "FLUSHALL" end
  return shared
end

function Cluster:at(address)
  for _, node in ipairs(self.nodes) do
    if node.address == address then return node end
  end
  error("nobody at " .. address)
end

-- Who has the slot, as the first node that answers knows.
function Cluster:owner(slot)
  for _, node in ipairs(self.nodes) do
    for _, range in ipairs(node:try("CLUSTER", "SLOTS") or {}) do
      if slot >= range[1] and slot <= range[2] then return self:at(range[3][1] .. ":" .. range[3][2]) end
    end
  end
  error("nobody has slot " .. slot)
end

function Cluster:slot(key) return self.nodes[1]:command("CLUSTER", "KEYSLOT", key) end

-- The three steps of moving a slot. Do not move one back at once: Redis' own gossip may be older than that, and then nobody has it.
function Cluster:begin_move(slot, from, to)
  to:command("CLUSTER", "SETSLOT", slot, "IMPORTING", from.id)
  from:command("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id)
end

function Cluster:move_keys(slot, from, to)
  while true do
    local keys = from:command("CLUSTER", "GETKEYSINSLOT", slot, 100)
    if #keys == 0 then return end
    from:command("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", unpack(keys))
  end
end

function Cluster:end_move(slot, from, to)
  to:command("CLUSTER", "SETSLOT", slot, "NODE", to.id)
  from:command("CLUSTER", "SETSLOT", slot, "NODE", to.id)
end

function Cluster:move(slot, from, to)
  self:begin_move(slot, from, to)
  self:move_keys(slot, from, to)
  self:end_move(slot, from, to)
end

-- How many commands all nodes have run.
function Cluster:commands()
  local sum = 0
  for _, node in ipairs(self.nodes) do sum = sum + node:command("INFO", "stats"):match "total_commands_processed:(%d+)" end
  return sum
end

function Cluster:stop()
  for _, node in ipairs(self.nodes) do node:stop() end
end

-- ---- for suites that know of one server, as redis.lua has it

-- What all servers are asked, and not the one that has the key which is the second word.
local of_all = {}
for name in ("ACL BGSAVE CLIENT CONFIG DBSIZE DEBUG EVAL FLUSHALL FLUSHDB INFO KEYS PING SCRIPT"):gmatch "%S+" do of_all[name] = true end

-- INFO of all, as far as it counts commands.
local function sum_up(texts)
  local sums, lines = {}, {}
  for _, text in ipairs(texts) do
    for name, n in text:gmatch "(cmdstat_[^:]+:calls=)(%d+)" do sums[name] = (sums[name] or 0) + n end
    for name, n in text:gmatch "(total_commands_processed:)(%d+)" do sums[name] = (sums[name] or 0) + n end
  end
  for name, n in pairs(sums) do lines[#lines + 1] = name .. n .. ",\r\n" end
  return table.concat(lines)
end

-- Numbers are added, lists joined; else what the first one says.
local function merge(name, answers)
  if name == "INFO" then return sum_up(answers) end
  if name == "CLIENT" and type(answers[1]) == "string" then return table.concat(answers) end
  if name ~= "KEYS" and type(answers[1]) ~= "number" then return answers[1] end
  local sum, all = 0, {}
  for _, answer in ipairs(answers) do
    if name ~= "KEYS" then sum = sum + answer end
    for _, key in ipairs(name == "KEYS" and answer or {}) do all[#all + 1] = key end
  end
  return name == "KEYS" and all or sum
end

function Cluster:command(name, ...)
  local key = not of_all[name] and ...
  if name == "EVAL" and select(2, ...) > 0 then key = select(3, ...) end
  if key then return self:owner(self:slot(key)):command(name, ...) end
  local answers = {}
  for i, node in ipairs(self.nodes) do answers[i] = node:command(name, ...) end
  return merge(name, answers)
end

function Cluster:try(...)
  local ok, result = pcall(self.command, self, ...)
  return ok and result or nil
end

function Cluster:begin(...)
  local ends = {}
  for i, node in ipairs(self.nodes) do ends[i] = node:begin(...) end
  return function()
    local answer, why
    for _, ending in ipairs(ends) do answer, why = ending() end
    return answer, why
  end
end

function Cluster:kill()
  for _, node in ipairs(self.nodes) do node:kill() end
end

local ports_of = {}

-- Three masters; those that were on `port`, anew and empty; `process` is all of theirs.
function cluster.as_server(port)
  local ports = ports_of[port]
  if not ports then
    ports = free_ports(3)
    ports[1] = port or ports[1]
    ports_of[ports[1]] = ports
  end
  local self = cluster.start { ports = ports }
  self.port = ports[1]
  self.process = {
    signal = function(_, name)
      for _, node in ipairs(self.nodes) do node.process:signal(name) end
    end,
  }
  return self
end

return cluster
