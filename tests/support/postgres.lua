-- tests/support/postgres.lua -- a real PostgreSQL of the test's own, on a free port and on a socket, with its files in a temporary
-- folder; tests/support/postgres runs it, and says who may come in.
local process = require "tests.support.process"

local postgres = {}
local Postgres = {}
Postgres.__index = Postgres

local function absolute(path)
  local pipe = io.popen "pwd"
  local here = pipe:read "*l"
  pipe:close()
  return here .. "/" .. path
end

-- Runs it, again after `crash`, and waits until it serves.
function Postgres:run()
  os.remove(self.folder .. "/data/postmaster.pid")
  self.process = process.start { argv = { "sh", self.script, self.folder, self.port }, folder = self.log }
  process.eventually(function() return "PostgreSQL serves: " .. self.process:err() end, 60, function()
    assert(self.process:alive(), self.process:out() .. self.process:err())
    return (process.read(self.folder .. "/data/postmaster.pid") or ""):match "\nready *\n?$"
  end)
  return self
end

function postgres.start()
  local self = setmetatable({ folder = process.temp(), log = process.temp(), port = process.free_port() }, Postgres)
  self.script = absolute "tests/support/postgres"
  self.socket_url = ("postgresql://owner@/postgres?host=%s&port=%d"):format(self.folder, self.port)
  self.url = ("postgresql://owner@127.0.0.1:%d/postgres"):format(self.port)
  self.guest_url = ("postgresql://guest:p%%25w%%20d%%2F%%3F@localhost:%d/postgres"):format(self.port)
  self.wrong_url = ("postgresql://guest:topsecret@localhost:%d/postgres"):format(self.port)
  return self:run()
end

-- All connections end in the middle of what they do.
function Postgres:crash()
  self.process:signal "QUIT"
  self.process:wait(20)
end

function Postgres:stop()
  self:crash()
  self.process:kill()
  process.remove(self.folder)
  process.remove(self.log)
end

return postgres
