-- bench/users.lua: for wrk. Reads of 10,000 users, each connection in its own order.
local n = 10000
local at = 0

function init()
   math.randomseed(os.time())
   at = math.random(n)
end

function request()
   at = (at * 7919 + 1) % n
   return wrk.format("GET", "/models/Record?username=u" .. at)
end
