-- tests/property/interleave.lua -- random reads, loads, saves, patches and deletes of a few records, and invalidations of all of a model or of a
-- tag, many at once, on real gateways before one store; every answer is judged (judge.lua). As a module: run{...}. As a program (make property):
--
--   luajit tests/property/interleave.lua [--store memory|redis] [--steps N] [--seed N] [--chaos 1]
--
-- With --chaos a third gateway is killed or stopped for longer than a lease lasts, connections of Redis are cut, and Redis itself is
-- stopped, while all goes on.
--
-- The seed decides what is asked, of whom and in which order; the kernel decides the rest.
--
-- One run, told in its order, is a longer file than most: records, what is asked and answered, harm, quiet, the whole.
local gateway = require "tests.support.gateway"
local redis = require "tests.support.redis"
local judge = require "tests.property.judge"
local loop = require "tests.property.loop"
local cjson = require "cjson"
local socket = require "socket"

local interleave = {}

local CLIENTS = 24    -- of each gateway
local KEYS = 10       -- of each model; low ones are asked for more often
local PATIENCE = 30   -- seconds after which a request is stuck
local QUIET_EVERY = 5000 -- steps between two pauses in which all must agree

-- Each record says three times what it is: v and its copy change together; base, and the text made of it, only with the whole record.
local models = [[
local function load(self, ctx, name)
  local r = http.get(("%s/%s/%s?%s"):format(env "ORIGIN", name, self.id, ctx.etag or ""), { timeout = 10 })
  if r.status == 304 then return ctx.not_modified() end
  if r.status == 404 then return missing end
  if r.status ~= 200 then error("the origin says " .. r.status) end
  local row = r:json()
  self.v, self.copy, self.base, self.text = row.v, row.copy, row.base, row.text
  ctx.etag = row.v
  if row.brief then ctx.expires = 0 end
end
local function stored(name, options)
  options.negative, options.hard_timeout = 0.05, 15
  options.tags = function(self) return { "even:" .. tostring(self.id % 2 == 0), name .. ":" .. self.id } end
  return { id = key(), v = field(), copy = field(), base = field(), text = field(), options = options,
    from_miss = function(self, ctx) return load(self, ctx, name) end }
end
model "Long"(stored("Long", { expires = 600 }))
model "While"(stored("While", { expires = 0.05, jitter = 0.5, stale_while_revalidate = 600 }))
model "Error"(stored("Error", { expires = 0.05, stale_if_error = 600, soft_timeout = 0.01 }))
model "Few"(stored("Few", { expires = 600, refresh = "xfetch", max_loads = 2 }))
]]
local names = { "Long", "While", "Error", "Few" }
local ends_by_itself = { While = true, Error = true }

-- -- records --

local function record(value, size, brief)
  return cjson.encode { v = value, copy = value, base = value, text = value:rep(size), brief = brief }
end

-- Few, so that records that differ are often of one length.
local function any_size() return 1 + 40 * math.random(0, 2) end

-- The value and the base of a whole record, or nil and what is wrong.
local function parts(body, id)
  local ok, row = pcall(cjson.decode, body)
  if not ok or type(row) ~= "table" then return nil, "is no JSON" end
  if row.id ~= id then return nil, "is another record" end
  for _, name in ipairs { "v", "copy", "base", "text" } do
    if type(row[name]) ~= "string" then return nil, "lacks " .. name end
  end
  if row.v ~= row.copy or row.text ~= row.base:rep(#row.text / #row.base) then return nil, "is not whole" end
  return row.v, row.base
end

-- -- a run --

local Run = {}
Run.__index = Run

local function count(self, what) self.figures[what] = (self.figures[what] or 0) + 1 end

local function unique(self, letter, name)
  self.values = self.values + 1
  return ("%s%d.%s"):format(letter, self.values, name)
end

local function start_gateway(self)
  local gw = gateway.start {
    models = models, store = self.server and self.server.url or "memory", workers = 2, env = { ORIGIN = self.origin_url }, fds = 80, args = { "--log", "error" },
  }
  if self.server then gw:await_store() end
  return gw
end

-- What the origin says of /Model/id?ETAG, at the moment it is asked: of some records that they are not to be kept.
local function respond(self, path)
  local name, known = path:match "^/([^?]*)%??(.*)$" -- newer curls leave out a ? that nothing follows
  local chance = math.random(100)
  local seconds = math.random(0, 30) / 1000
  count(self, "loads")
  if chance <= 5 then return 500, "", seconds end
  if chance <= 12 then
    self.judge:load(name, nil)
    return 404, "", seconds
  end
  if known ~= "" and chance <= 40 then
    self.judge:load(name, known)
    count(self, "unmodified")
    return 304, "", seconds
  end
  local value = unique(self, "L", name)
  self.judge:load(name, value)
  return 200, record(value, any_size(), chance > 97 or nil), seconds
end

-- -- one step --

local function words_of(response)
  if not response then return "no answer" end
  local status = response.headers["cache-status"]
  return ("%d%s"):format(response.status, status and " " .. status or "")
end

local function on_read(self, read, model, id, response)
  local words = words_of(response)
  local status = response and response.status
  local cache = response and response.headers["cache-status"] or ""
  if cache:find("collapsed", 1, true) then count(self, "collapsed") end
  if cache:find("fwd", 1, true) and status == 200 and not cache:find("collapsed", 1, true) and not cache:find("stored", 1, true) then
    count(self, "conflicts")
  end
  local stale = cache:find("detail=stale", 1, true) ~= nil
  if stale then count(self, "stale") end
  if status == 200 then
    local value, base = parts(response.body, id)
    if value then
      self.judge:saw(read, value, base, ("%s %s upon %s"):format(words, value, base), stale and self.chaos)
    else
      self.judge:saw_failure(read, words)
      self.judge:violation(read.key.name, "shows what %s: %s", base, response.body:sub(1, 200))
    end
  elseif status == 404 then
    self.judge:saw_missing(read, words)
  elseif status == 504 and read.how == "LOOK" and not ends_by_itself[model] then
    self.judge:saw_nothing(read, words)
  else
    if status then count(self, "failures") end
    self.judge:saw_failure(read, words)
  end
  if status and not (status == 200 or status == 404 or status == 502 or status == 503 or status == 504) then
    self.judge:violation(read.key.name, "answers %d to a read", status)
  end
end

local done_by = { PUT = { [201] = true, [204] = true }, PATCH = { [204] = true }, DELETE = { [204] = true } }

local function on_written(self, write, response)
  local status = response and response.status
  local outcome = done_by[write.kind][status] and "done" or status == 404 and write.kind == "PATCH" and "refused" or "doubtful"
  self.judge:written(write, outcome, words_of(response))
  count(self, outcome == "done" and "writes" or outcome == "doubtful" and "doubtful" or "refused")
  if outcome == "doubtful" and status and status ~= 503 then
    self.judge:violation(write.key.name, "answers %d to %s", status, write.kind)
  end
end

local ways = { GET = {}, RELOAD = { ["Cache-Control"] = "no-cache" }, LOOK = { ["Cache-Control"] = "only-if-cached" } }

local function read_step(self, client, how, model, id)
  local name = model .. "/" .. id
  local read = self.judge:read(name, how, client.where)
  client.http:ask("GET", ("/models/%s?id=%s"):format(model, id), ways[how], nil, function(response)
    self.busy = self.busy - 1
    client.busy = false
    on_read(self, read, model, id, response)
  end)
end

local function write_step(self, client, kind, model, id)
  local name = model .. "/" .. id
  local value = kind ~= "DELETE" and unique(self, kind == "PUT" and "S" or "P", name) or nil
  local body = kind == "PUT" and record(value, any_size()) or kind == "PATCH" and cjson.encode { v = value, copy = value } or nil
  local write = self.judge:write(name, kind, value, client.where)
  client.http:ask(kind, ("/models/%s?id=%s"):format(model, id), nil, body, function(response)
    self.busy = self.busy - 1
    client.busy = false
    on_written(self, write, response)
  end)
end

-- -- invalidations: to each record that it reaches it is a delete --

local function even(id) return tostring(id % 2 == 0) end

-- Tags that many records have, or one; or a model. What does not answer stale may be made to expire as well.
local function any_invalidation()
  local model, id, chance = names[math.random(#names)], math.random(KEYS), math.random(3)
  local body, reaches = {}
  if chance == 1 then
    body.all = true
    if not ends_by_itself[model] and math.random(2) == 1 then body.mode = "expire" end
    reaches = function(name) return name == model end
  elseif chance == 2 then
    body.tags = { "nobody", "even:" .. even(id) }
    reaches = function(_, other) return even(other) == even(id) end
  else
    body.tags = { model .. ":" .. id, "nobody" }
    reaches = function(name, other) return name == model and other == id end
  end
  return body.all and ("/models/%s/_invalidate"):format(model) or "/_invalidate", cjson.encode(body), reaches
end

local function invalidate_step(self, client)
  local path, body, reaches = any_invalidation()
  local writes = {}
  for _, model in ipairs(names) do
    for id = 1, KEYS do
      if reaches(model, id) then
        local kind = path == "/_invalidate" and "TAGS" or "DELETE"
        writes[#writes + 1] = self.judge:write(("%s/%d"):format(model, id), kind, nil, ("%s by %s %s"):format(client.where, path, body))
      end
    end
  end
  client.http:ask("POST", path, nil, body, function(response)
    self.busy = self.busy - 1
    client.busy = false
    local done = response and response.status == 204
    count(self, done and "invalidations" or "doubtful")
    for _, write in ipairs(writes) do self.judge:written(write, done and "done" or "doubtful", words_of(response)) end
    if response and not done and response.status ~= 503 then
      self.judge:violation(writes[1].key.name, "answers %d to %s", response.status, path)
    end
  end)
end

-- -- any of them --

-- A number from 1 to KEYS, low ones more often.
local function any_key() return tostring(math.ceil(KEYS * math.random() ^ 2)) end

local function step(self, client)
  local model, id, chance = names[math.random(#names)], any_key(), math.random(100)
  client.busy = true
  client.since = socket.gettime()
  self.busy = self.busy + 1
  self.steps = self.steps + 1
  if chance == 100 then invalidate_step(self, client)
  elseif chance <= 42 then read_step(self, client, "GET", model, id)
  elseif chance <= 56 then read_step(self, client, "RELOAD", model, id)
  elseif chance <= 64 then read_step(self, client, "LOOK", model, id)
  elseif chance <= 78 then write_step(self, client, "PUT", model, id)
  elseif chance <= 86 then write_step(self, client, "PATCH", model, id)
  else write_step(self, client, "DELETE", model, id) end
end

-- -- harm --

local function clients_of(self, gw)
  local some = {}
  for _, client in ipairs(self.clients) do
    if client.gw == gw then some[#some + 1] = client end
  end
  return some
end

-- Its clients are left without an answer and talk to the next one.
local function kill_third(self)
  local old = self.third
  count(self, "kills")
  old.process:signal "KILL"
  old.process:wait(10)
  old:abandon()
  self.third = start_gateway(self)
  for _, client in ipairs(clients_of(self, old)) do
    client.gw = self.third
    client.http:give_up()
    client.http.address = self.third.address
  end
end

-- For longer than a lease lasts: whatever it was loading must not be stored when it goes on.
local function stop_third(self)
  if self.stopped then return end
  count(self, "stops")
  self.stopped = true
  self.third:signal "STOP"
  self.loop:after(3.6, function()
    self.third:signal "CONT"
    self.stopped = false
  end)
end

local function cut_redis(self)
  count(self, "cuts")
  self.server:try("CLIENT", "KILL", "TYPE", "normal")
end

local function stop_redis(self)
  count(self, "redis stops")
  self.redis_stopped = true
  self.server.process:signal "STOP"
  self.loop:after(1.3, function()
    self.server.process:signal "CONT"
    self.redis_stopped = false
  end)
end

local function harm(self)
  if not self.harms then return end
  local chance = math.random(100)
  if not self.redis_stopped then -- whoever is started now would wait for it, and nobody would let it go on
    if chance <= 10 and not self.stopped then kill_third(self)
    elseif chance <= 25 then stop_third(self)
    elseif chance <= 95 then cut_redis(self)
    else stop_redis(self) end
  end
  self.loop:after(0.02 + math.random() * 0.3, function() harm(self) end)
end

-- -- quiet --

-- Until nobody waits and the origin has answered all, also the loads that nobody waits for.
local function await_quiet(self)
  local deadline = socket.gettime() + PATIENCE + 30
  while self.busy > 0 or #self.loop.timers > 0 do
    self.loop:turn(0.05)
    assert(socket.gettime() < deadline, "requests are stuck")
  end
  local calm = socket.gettime() + 0.15
  while socket.gettime() < calm or #self.loop.timers > 0 do
    if #self.loop.timers > 0 then calm = socket.gettime() + 0.15 end
    self.loop:turn(0.05)
  end
end

-- Every key, asked of every gateway without loading: all say the same, and what may be said now.
local function compare(self, gateways)
  for _, model in ipairs(names) do
    for id = 1, KEYS do
      local name, first = ("%s/%d"):format(model, id), nil
      for i, gw in ipairs(gateways) do
        local read = self.judge:read(name, "LOOK", "gateway " .. i .. ", when all is quiet")
        local response = gw:get(("/models/%s?id=%d"):format(model, id), ways.LOOK)
        on_read(self, read, model, tostring(id), response)
        local said = response.status .. " " .. (response.status == 200 and response.headers.etag or "")
        first = first or said
        if model ~= "Error" and response.status ~= 404 and not first:match "^404" and said ~= first then
          self.judge:violation(name, "gateways disagree when all is quiet: %s, %s", first, said)
        end
      end
    end
  end
end

local function all_gateways(self)
  local all = { self.left }
  all[#all + 1] = self.right
  all[#all + 1] = self.third
  return all
end

local function quiet(self)
  self.harms = false
  await_quiet(self)
  if self.chaos then
    for _, gw in ipairs(all_gateways(self)) do gw:await_store(20) end
  end
  compare(self, all_gateways(self))
  self.harms = self.chaos
  if self.chaos then self.loop:after(0.1, function() harm(self) end) end
end

-- -- the whole --

local function check_stuck(self)
  local now = socket.gettime()
  for _, client in ipairs(self.clients) do
    if client.busy and now - client.since > PATIENCE then error(client.where .. " does not answer") end
  end
end

local function drive(self, steps)
  local next_quiet, next_check = QUIET_EVERY, 0
  while self.steps < steps do
    if self.steps >= next_quiet then
      quiet(self)
      next_quiet = next_quiet + QUIET_EVERY
    end
    for _, client in ipairs(self.clients) do
      if not client.busy and self.steps < steps and math.random(4) > 1 then step(self, client) end
    end
    self.loop:turn(0.005)
    if socket.gettime() > next_check then
      check_stuck(self)
      next_check = socket.gettime() + 1
    end
    if #self.judge.violations >= 5 then break end
  end
  quiet(self)
end

local function open(self, options)
  if options.store == "redis" then self.server = redis.start() end
  self.origin_url, self.origin = self.loop:origin(function(path) return respond(self, path) end)
  self.left = start_gateway(self)
  if self.server then self.right = start_gateway(self) end
  if self.chaos then self.third = start_gateway(self) end
  for _, place in ipairs { "left", "right", "third" } do
    local gw = self[place]
    for i = 1, gw and CLIENTS or 0 do
      table.insert(self.clients, { gw = gw, http = self.loop:client(gw.address), where = ("%s %d"):format(place, i) })
    end
  end
end

-- Hangs up, stops the gateways (and has them judged, where all went well), Redis and the origin.
local function close(self, is_well)
  for _, client in ipairs(self.clients) do client.http:hang_up() end
  for _, sock in ipairs(self.loop.sockets) do sock:close() end
  if self.server then self.server.process:signal "CONT" end
  if self.third then self.third:signal "CONT" end
  local ok, why = true, nil
  for _, gw in ipairs(all_gateways(self)) do
    if is_well then
      local fine, wrong = pcall(gw.finish, gw)
      if not fine then ok, why = false, wrong end
    else
      gw:abandon()
    end
  end
  if self.server then self.server:stop() end
  if not ok then error(why, 0) end
end

-- Options: store ("memory", "redis"), steps, seed, chaos. Returns the figures, and the violations with their stories.
function interleave.run(options)
  local self = setmetatable({ judge = judge.new(), loop = loop.new(), figures = {}, clients = {}, values = 0, steps = 0, busy = 0,
    chaos = options.chaos or false }, Run)
  math.randomseed(options.seed)
  local began = socket.gettime()
  local ok, why = pcall(function()
    open(self, options)
    if self.chaos then
      self.harms = true
      self.loop:after(0.1, function() harm(self) end)
    end
    drive(self, options.steps)
  end)
  local closed, wrong = pcall(close, self, ok)
  if not ok or not closed then error(why or wrong, 0) end
  self.figures.steps = self.steps
  self.figures.seconds = math.floor(socket.gettime() - began)
  return self.figures, self.judge.violations
end

-- "steps=100 loads=20 ..."
function interleave.tell(figures)
  local words = {}
  for _, name in ipairs { "steps", "loads", "unmodified", "collapsed", "stale", "conflicts", "writes", "invalidations", "refused", "doubtful", "failures", "kills", "stops", "cuts",
    "redis stops", "seconds" } do
    if figures[name] then words[#words + 1] = ("%s=%d"):format(name:gsub(" ", "_"), figures[name]) end
  end
  return table.concat(words, " ")
end

local function main(arguments)
  local options = { store = "redis", steps = 3000, seed = os.time() }
  for i = 1, #arguments, 2 do
    local name, value = arguments[i]:match "^%-%-(%l+)$", arguments[i + 1]
    assert(name and value, "what is " .. arguments[i] .. "?")
    options[name] = tonumber(value) or value
  end
  options.chaos = options.chaos == 1
  local about = ("%s%s seed=%d"):format(options.store, options.chaos and " with harm" or "", options.seed)
  local figures, violations = interleave.run(options)
  for _, violation in ipairs(violations) do
    print(("\n%s %s\n%s"):format(violation.key, violation.what, violation.story))
  end
  print(("property: %s %s violations=%d %s"):format(about, interleave.tell(figures), #violations, #violations == 0 and "ok" or "FAILED"))
  os.exit(#violations == 0 and 0 or 1)
end

if arg and arg[0] and arg[0]:match "interleave%.lua$" then main(arg) end

return interleave
