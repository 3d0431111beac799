-- bench/nginx.lua -- what someone would write for nginx's Lua module. Debian packages no Redis client for it, so the few lines of
-- RESP that the jobs need stand here, over a cosocket that is kept alive.
local cjson = require "cjson"
local lrucache = require "resty.lrucache"

local jobs = {}
local redis_port = tonumber(os.getenv "BENCH_REDIS_PORT")

-- ...: one command's words. Returns what `read` makes of the reply.
local function redis(read, ...)
   local words, out = { ... }, {}
   out[1] = "*" .. #words .. "\r\n"
   for i, word in ipairs(words) do out[i + 1] = "$" .. #word .. "\r\n" .. word .. "\r\n" end
   local sock = ngx.socket.tcp()
   assert(sock:connect("127.0.0.1", redis_port))
   assert(sock:send(out))
   local value = read(sock)
   sock:setkeepalive(60000, 100)
   return value
end

local function bulk(sock)
   local n = tonumber(assert(sock:receive()):match "^%$(%d+)")
   local text = n and assert(sock:receive(n + 2))
   return text and text:sub(1, n)
end

local function bulks(sock)
   local values = {}
   for i = 1, tonumber(assert(sock:receive()):match "^%*(%d+)") do values[i] = bulk(sock) end
   return values
end

local function line(sock) return sock:receive() end

local function say(text)
   ngx.header["Content-Type"] = "application/json"
   ngx.header["Content-Length"] = #text
   ngx.print(text)
end

function jobs.read() say(redis(bulk, "GET", "Record:" .. ngx.var.arg_username)) end

function jobs.save()
   ngx.req.read_body()
   local body = ngx.req.get_body_data()
   local record = cjson.decode(body)
   redis(line, "SET", "nginx:" .. record.username, body)
   ngx.status = 204
end

-- -- documents: one MGET a level --

local function level(ids)
   local keys = {}
   for i, id in ipairs(ids) do keys[i] = "Node:" .. id end
   return redis(bulks, "MGET", unpack(keys))
end

function jobs.decode()
   local root = cjson.decode(redis(bulk, "GET", "Node:" .. ngx.var.arg_username))
   local here = { root }
   while #here > 0 do
      local ids, places = {}, {}
      for _, record in ipairs(here) do
         for i, child in ipairs(record.children) do
            ids[#ids + 1] = child.id
            places[#ids] = { record.children, i }
         end
      end
      if #ids == 0 then break end
      here = {}
      for i, text in ipairs(level(ids)) do
         here[i] = cjson.decode(text)
         places[i][1][places[i][2]] = here[i]
      end
   end
   say(cjson.encode(root))
end

function jobs.splice()
   local out, tree = {}, { text = redis(bulk, "GET", "Node:" .. ngx.var.arg_username) }
   local nodes = { tree }
   repeat
      local ids, holes = {}, {}
      for _, node in ipairs(nodes) do
         local from = node.text:find('"children":[', 1, true) + 12
         node.from, node.below = from, {}
         for id in node.text:sub(from):gmatch '"id":"([^"]*)"' do
            ids[#ids + 1] = id
            local below = {}
            node.below[#node.below + 1] = below
            holes[#ids] = below
         end
      end
      if #ids > 0 then
         for i, text in ipairs(level(ids)) do holes[i].text = text end
      end
      nodes = holes
   until #holes == 0
   local function write(node)
      out[#out + 1] = node.text:sub(1, node.from - 1)
      for i, below in ipairs(node.below) do
         if i > 1 then out[#out + 1] = "," end
         write(below)
      end
      out[#out + 1] = "]}"
   end
   write(tree)
   say(table.concat(out))
end

-- -- memory: the shared dict, and a Lua table of the worker's before it --

local near = lrucache.new(200000)

function jobs.dict() say(ngx.shared.records:get(ngx.var.arg_username)) end

function jobs.lru()
   local user = ngx.var.arg_username
   local text = near:get(user)
   if not text then
      text = ngx.shared.records:get(user)
      near:set(user, text, 86400)
   end
   say(text)
end

-- ?bytes=&n=: the records of bench/fill.lua
function jobs.fill()
   local n = math.max(1, ngx.var.arg_bytes - 40)
   for i = 0, ngx.var.arg_n - 1 do
      local user = "u" .. i
      local filler = (user .. " "):rep(n / (#user + 1) + 1):sub(1, n)
      assert(ngx.shared.records:safe_set(user, ('{"username":"%s","body":"%s"}'):format(user, filler)))
      if ngx.var.arg_near then near:set(user, ngx.shared.records:get(user), 86400) end
   end
   ngx.print "filled"
end

return jobs
