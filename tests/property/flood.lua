-- tests/property/flood.lua -- very many requests, one after the other and many in one write: models whose loads come to nothing, and a look
-- at what that leaves in memory.
local http = require "tests.support.http"
local process = require "tests.support.process"

local flood = {}

flood.models = [[
model "Absent" { id = key(), v = field(), options = { expires = 600, negative = 60 },
  from_miss = function(self) if self.id:find "^no" then return missing end self.v = self.id end }

-- A failure of its own for each: by n, sixteen kinds, and words that no other has.
local kinds = {
  function(self) error("it is broken: " .. self.id) end,
  function(self) error { code = self.id } end,
  function() error() end,
  function(self) error((self.id .. " "):rep(2000)) end,
  function(self) error(setmetatable({}, { __tostring = function() error(self.id) end })) end,
  function(self) self.v = 0 / 0 end,
  function(self) self.v = function() return self.id end end,
  function(self) local t = { id = self.id } t.t = t self.v = t end,
  function(self) self.v = { [1] = self.id, [1000000] = 2 } end,
  function(self) self.v = self.id .. "\255\254" end,
  function(self) return self.id end,
  function(self, ctx) self.v = 1 ctx.expires = "soon, " .. self.id end,
  function(self) self[self.id] = 1 end,
  function(self) http.get("http://127.0.0.1:1/" .. self.id, { timeout = 1 }) end,
  function(self) local deep = {} local at = deep for _ = 1, 100 do at.x = { id = self.id } at = at.x end self.v = deep end,
  function(self) return nil .. self.id end,
}
model "Broken" { id = key(), v = field(), options = { expires = 600, hard_timeout = 5 },
  from_miss = function(self, ctx) return kinds[tonumber(self.id:match "%d+") % #kinds + 1](self, ctx) end }
]]

-- Megabytes that the gateway holds.
function flood.rss(gw)
  return tonumber(process.read(("/proc/%d/status"):format(gw.pid)):match "VmRSS:%s+(%d+) kB") / 1024
end

-- So many requests on one connection, fifty in one write: of target(1), target(2), ...; each answer goes to done(response, number).
function flood.ask(gw, n, target, done)
  local client, sent = http.connect(gw.address), 0
  while sent < n do
    local requests, batch = {}, math.min(50, n - sent)
    for i = 1, batch do requests[i] = http.format("GET", target(sent + i)) end
    if not client:send(table.concat(requests)) then error "the connection is closed" end
    for i = 1, batch do done(assert(client:receive(false, 30)), sent + i) end
    sent = sent + batch
  end
  client:close()
end

return flood
