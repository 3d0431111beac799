-- tests/support/crowd.lua -- clients that each ask for a record of their own, all at once, round after round. Every answer is its own record's or says what is
-- wrong, and comes in time. The gateway has a model Note { id = key(), text = field() }.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local socket = require "socket"

local NOTES, CLIENTS = 40, 20
local SLACK = 0.05 * gateway.patience ^ 2
local HICCUPS = 2 -- rounds that a busy machine may hold up, for a second at most

local crowd = { SLACK = SLACK, NOTES = NOTES, CLIENTS = CLIENTS }
local Crowd = {}
Crowd.__index = Crowd

local function text_of(id, bytes) return ("note %d"):format(id) .. (bytes and ("."):rep(bytes) or "") end

-- What is answered for a record; `bytes`: with so many more.
function crowd.note(id, bytes) return ('{"id":"%d","text":"%s"}'):format(id, text_of(id, bytes)) end

-- Saves them all.
function crowd.save(gw, bytes)
  for i = 1, NOTES do
    local saved = gw:put("/models/Note?id=" .. i, ('{"text":"%s"}'):format(text_of(i, bytes)))
    if saved.status ~= 204 then check.status(saved, 201) end
  end
end

-- Options: deadline, seconds of a command to Redis; bytes, how many more each record has.
function crowd.on(gw, options)
  local self = setmetatable({ clients = {}, answers = {}, hiccups = 0, round = 0, options = options }, Crowd)
  for i = 1, CLIENTS do self.clients[i] = http.connect(gw.address) end
  return self
end

-- One round. Returns how many records there were.
function Crowd:run()
  self.round = self.round + 1
  local records, start_of_it, wanted = 0, socket.gettime(), {}
  for i, client in ipairs(self.clients) do
    wanted[i] = (i * 7 + self.round * 3) % NOTES + 1
    client:send(http.format("GET", "/models/Note?id=" .. wanted[i]))
  end
  for i, client in ipairs(self.clients) do
    local response = assert(client:receive())
    self.answers[response.status] = (self.answers[response.status] or 0) + 1
    if response.status == 200 then
      assert(crowd.note(wanted[i], self.options.bytes) == response.body, ("%d: %s"):format(wanted[i], response.body:sub(1, 200)))
      records = records + 1
    elseif response.status == 404 then
      assert(self.empty, "what is there is missing")
    else
      check.problem(response, 503, "store-unavailable")
    end
  end
  local took, deadline = socket.gettime() - start_of_it, self.options.deadline
  if took > deadline + SLACK then self.hiccups = self.hiccups + 1 end
  assert(self.hiccups <= HICCUPS and took <= deadline + 1, ("a round took %.3f s"):format(took))
  return records
end

function Crowd:run_for(seconds)
  local ends = socket.gettime() + seconds
  repeat self:run() until socket.gettime() > ends
end

-- Until all are answered with records again, on all workers.
function Crowd:await(seconds)
  local start_of_it = socket.gettime()
  process.eventually("all records are back", 10, function() return self:run() == CLIENTS end)
  local took = socket.gettime() - start_of_it
  assert(took <= seconds * gateway.patience, ("back after %.2f s"):format(took))
end

function Crowd:stop()
  for _, client in ipairs(self.clients) do client:close() end
end

return crowd
