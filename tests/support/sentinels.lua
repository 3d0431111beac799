-- tests/support/sentinels.lua -- a master, two replicas and three sentinels of the test's own, on free ports.
local process = require "tests.support.process"
local redis = require "tests.support.redis"

local sentinels = {}
local Group = {}
Group.__index = Group

local NAME = "mymaster"

-- Options: password (of the servers), sentinel_password, tls (certificates as redis.start has them, of the servers, and as `sentinel` within it of the
-- sentinels: all speak TLS with each other then, and name each other by the ports where they do).
function sentinels.start(options)
  options = options or {}
  local self = setmetatable({ servers = {}, sentinels = {}, options = options }, Group)
  local words = { "--repl-diskless-sync-delay", "0" }
  if options.tls then words[3], words[4] = "--tls-replication", "yes" end
  self.words = words
  if options.password then
    for _, word in ipairs { "--requirepass", options.password, "--masterauth", options.password } do words[#words + 1] = word end
  end
  for i = 1, 3 do
    local more = { unpack(words) }
    if i > 1 then
      for _, word in ipairs { "--replicaof", "127.0.0.1 " .. self:port_of(self.servers[1]) } do more[#more + 1] = word end
    end
    self.servers[i] = redis.start(nil, { args = more, password = options.password, tls = options.tls })
  end
  for _, server in ipairs { self.servers[2], self.servers[3] } do
    process.eventually("a replica is in step", 10, function()
      return server:command("INFO", "replication"):find("master_link_status:up", 1, true)
    end)
  end
  for i = 1, 3 do self.sentinels[i] = self:start_sentinel() end
  for _, sentinel in ipairs(self.sentinels) do
    process.eventually("the sentinels know all", 10, function()
      return #sentinel:command("SENTINEL", "SENTINELS", NAME) == 2 and #sentinel:command("SENTINEL", "REPLICAS", NAME) == 2
    end)
  end
  return self
end

-- Where clients and the others reach one.
function Group:port_of(one) return self.options.tls and one.tls_port or one.port end

function Group:start_sentinel()
  local folder, port, tls_port = process.temp(), process.free_port(), nil
  local lines = {
    "port " .. port, "bind 127.0.0.1", "dir " .. folder, "sentinel resolve-hostnames yes",
    ("sentinel monitor %s 127.0.0.1 %d 2"):format(NAME, self:port_of(self.servers[1])), "sentinel down-after-milliseconds " .. NAME .. " 800",
    "sentinel failover-timeout " .. NAME .. " 3000",
  }
  if self.options.password then lines[#lines + 1] = ("sentinel auth-pass %s %s"):format(NAME, self.options.password) end
  if self.options.sentinel_password then lines[#lines + 1] = "requirepass " .. self.options.sentinel_password end
  local shown = self.options.tls and (self.options.tls.sentinel or self.options.tls)
  if shown then
    tls_port = process.free_port()
    for _, line in ipairs {
      "tls-port " .. tls_port, "tls-replication yes", "tls-cert-file " .. shown.cert, "tls-key-file " .. shown.key, "tls-ca-cert-file " .. self.options.tls.ca,
      "tls-auth-clients no",
    } do lines[#lines + 1] = line end
  end
  process.write(folder .. "/sentinel.conf", table.concat(lines, "\n") .. "\n")
  local sentinel = redis.adopt {
    port = port, tls_port = tls_port, folder = folder, password = self.options.sentinel_password,
    process = process.start { argv = { "redis-server", folder .. "/sentinel.conf", "--sentinel", "--loglevel", "warning" }, folder = folder },
  }
  -- One that was stopped for two seconds judges nothing for the next thirty (TILT), and a master that says it is a replica is one that is
  -- down only after two INFOs, ten seconds each: neither ends within a test. Redis 7 has words for both.
  if redis.version() >= 7 then sentinel:command("SENTINEL", "DEBUG", "TILT-PERIOD", 1000, "INFO-PERIOD", 1000) end
  return sentinel
end

-- The URL with these of the sentinels (all), and with these credentials and options.
function Group:url(numbers, credentials, query)
  local hosts = {}
  for _, i in ipairs(numbers or { 1, 2, 3 }) do hosts[#hosts + 1] = "127.0.0.1:" .. self:port_of(self.sentinels[i]) end
  return ("%s+sentinel://%s%s/%s/0%s"):format(self.options.tls and "rediss" or "redis", credentials or "", table.concat(hosts, ","), NAME, query or "")
end

-- Whom so many sentinels (two unless told) call master; nil while they do not agree.
function Group:master(quorum)
  local votes = {}
  for _, sentinel in ipairs(self.sentinels) do
    local address = sentinel:try("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
    if address then votes[address[2]] = (votes[address[2]] or 0) + 1 end
  end
  for _, server in ipairs(self.servers) do
    if (votes[tostring(self:port_of(server))] or 0) >= (quorum or 2) then return server end
  end
end

-- A master that knows that it is one, other than `old`; or nil.
function Group:new_master(old)
  local master = self:master()
  local role = master and master ~= old and master:try "ROLE"
  return role and role[1] == "master" and master or nil
end

function Group:await_failover(old)
  return process.eventually("another master", 15, function() return self:new_master(old) end)
end

-- Is there such a key on each server, less `but`?
function Group:all_have(pattern, but)
  for _, server in ipairs(self.servers) do
    if server ~= but and #(server:try("KEYS", pattern) or {}) == 0 then return false end
  end
  return true
end

-- Until there is a master with two replicas in step, of which the sentinels know: what was killed is started anew, and what is a master
-- beside the one that all sentinels name is told better, for which they would take eight seconds. (With two of the three it may be the
-- third that is right: it has just promoted the other.)
function Group:settle()
  for i, server in ipairs(self.servers) do
    if not server.process:alive() then
      server:stop()
      self.servers[i] = redis.start(server.port, { args = self.words, password = self.options.password, tls = self.options.tls })
    end
  end
  process.eventually("a master with two replicas", 20, function()
    local master = self:master(3)
    if not master or (master:try "ROLE" or {})[1] ~= "master" then return false end
    for _, server in ipairs(self.servers) do
      local info = server ~= master and server:try("INFO", "replication") or ""
      if server ~= master and info:find("role:master", 1, true) then server:command("REPLICAOF", "127.0.0.1", self:port_of(master)) end
      if server ~= master and not (info:find("master_link_status:up", 1, true) and info:find("master_port:" .. self:port_of(master), 1, true)) then
        return false
      end
    end
    for _, sentinel in ipairs(self.sentinels) do
      for _, replica in ipairs(sentinel:try("SENTINEL", "REPLICAS", NAME) or {}) do
        for k = 1, #replica, 2 do
          if replica[k] == "flags" and replica[k + 1] ~= "slave" then return false end
        end
      end
    end
    return true
  end)
end

function Group:failover() self.sentinels[1]:command("SENTINEL", "FAILOVER", NAME) end

function Group:stop()
  for _, one in ipairs(self.sentinels) do one:stop() end
  for _, one in ipairs(self.servers) do one:stop() end
end

return sentinels
