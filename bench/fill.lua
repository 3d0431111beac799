-- bench/fill.lua KIND TO PORT BYTES [N]: the data of the bench, the same for all, pipelined by hundreds.
--   records     N records u0... of BYTES bytes of JSON each (10,000)
--   star        one document of N records: a root, and all others right below it
--   documents   N documents d0... (1,000) of 9 records: a root, 2 below it, 3 below each of those
-- TO is perigee (PUT), redis (SET Record:u0, Node:d0) or memcached (set u0).
local socket = require "socket"
local kind, to, port, bytes, n = arg[1], arg[2], tonumber(arg[3]), tonumber(arg[4]), tonumber(arg[5])

-- Each record has a text of its own: LuaJIT looks only at a few bytes of a string to tell it from others, and nginx + Lua would pay.
local function filler(id)
   local room = math.max(1, bytes - 40)
   return (id .. " "):rep(room / (#id + 1) + 1):sub(1, room)
end

-- Calls put(model, id, text) for each record.
local function records(put)
   for i = 0, (n or 10000) - 1 do
      local id = "u" .. i
      put("Record", id, ('{"username":"%s","body":"%s"}'):format(id, filler(id)))
   end
end

local function documents(put)
   local function node(id, letters, below)
      local children = {}
      for letter in letters:gmatch "." do
         children[#children + 1] = ('{"id":"%s%s"}'):format(id, letter)
         below(id .. letter)
      end
      put("Node", id, ('{"id":"%s","note":"%s","children":[%s]}'):format(id, filler(id), table.concat(children, ",")))
   end
   local function leaf(id) node(id, "", nil) end
   local function middle(id) node(id, "abc", leaf) end
   for i = 0, (n or 1000) - 1 do node("d" .. i, "ab", middle) end
end

local function star(put)
   local children = {}
   for i = 1, n - 1 do
      local id = ("star%d.%d"):format(n, i)
      children[i] = ('{"id":"%s"}'):format(id)
      put("Node", id, ('{"id":"%s","note":"%s"}'):format(id, filler(id)))
   end
   put("Node", "star" .. n, ('{"id":"star%d","note":"%s","children":[%s]}'):format(n, filler "s", table.concat(children, ",")))
end

local kinds = { records = records, documents = documents, star = star }

local command = {
   perigee = function(model, _, text)
      return ("PUT /models/%s HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s"):format(model, #text, text)
   end,
   redis = function(model, id, text)
      local key = model .. ":" .. id
      return ("*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n"):format(#key, key, #text, text)
   end,
   memcached = function(_, id, text) return ("set %s 0 0 %d\r\n%s\r\n"):format(id, #text, text) end,
}
local good = { perigee = "HTTP/1.1 20%d [%w ]+\r\n", redis = "%+OK\r\n", memcached = "STORED\r\n" }

local conn = assert(socket.connect("127.0.0.1", port))
conn:settimeout(0)
local out = {}

local function flush()
   local request, sent, answers, text = table.concat(out), 1, 0, ""
   while answers < #out do
      if sent <= #request then
         local last, _, partial = conn:send(request, sent)
         sent = (last or partial) + 1
      end
      socket.select({ conn }, sent <= #request and { conn } or nil, 5)
      local data, err, partial = conn:receive(65536)
      assert(err ~= "closed", "the server closed the connection")
      text = text .. (data or partial or "")
      assert(not text:find "HTTP/1.1 [345]" and not text:find "ERR", text)
      local rest = 1
      for behind in text:gmatch(good[to] .. "()") do
         answers, rest = answers + 1, behind
      end
      text = text:sub(rest):sub(-40)
   end
   out = {}
end

kinds[kind](function(model, id, text)
   out[#out + 1] = command[to](model, id, text)
   if #out == 100 then flush() end
end)
flush()
