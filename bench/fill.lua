-- bench/fill.lua PORT BYTES: puts 10,000 records u0..u9999 of about BYTES bytes each, pipelined by hundreds.
local socket = require "socket"
local port, bytes = tonumber(arg[1]), tonumber(arg[2])
local conn = assert(socket.connect("127.0.0.1", port))
local filler = ("x"):rep(math.max(1, bytes - 40))
for batch = 0, 9999, 100 do
   local out = {}
   for i = batch, batch + 99 do
      local body = ('{"username":"u%d","body":"%s"}'):format(i, filler)
      out[#out + 1] = ("PUT /models/Record HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s"):format(#body, body)
   end
   local request = table.concat(out)
   local sent, answers, text = 1, 0, ""
   conn:settimeout(0)
   while answers < 100 do
      if sent <= #request then
         local last, _, partial = conn:send(request, sent)
         sent = (last or partial) + 1
      end
      socket.select({ conn }, sent <= #request and { conn } or nil, 5)
      local data, err, partial = conn:receive(65536)
      assert(err ~= "closed", "the server closed the connection")
      text = text .. (data or partial or "")
      text = text:gsub("HTTP/1.1 (%d+)", function(status)
         assert(status:sub(1, 1) == "2", "status " .. status)
         answers = answers + 1
         return ""
      end)
      text = text:sub(-20)
   end
end
