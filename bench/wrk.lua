-- bench/wrk.lua: for wrk. 10,000 users, in an order that repeats none soon. From the environment: METHOD, PATHS (with a %s for the
-- user), USER_OF (its letter and how many there are: u10000; one: none), SKEW (zipf: some are asked for more than others), BYTES of
-- the body of a save.
-- Prints one line: answers, answers that are no 2xx, p50 and p99 in microseconds.
local method, path = os.getenv "METHOD" or "GET", os.getenv "PATHS"
local letter, n = (os.getenv "USER_OF" or "u10000"):match "^(%a)(%d+)$"
local zipf = os.getenv "SKEW" == "zipf"
local text = math.max(1, (tonumber(os.getenv "BYTES") or 0) - 40)
local at = 0
n = tonumber(n or 1)

function init()
   math.randomseed(os.time())
   at = math.random(n)
end

function request()
   at = zipf and math.floor(n ^ math.random()) - 1 or (at * 7919 + 1) % n
   local user = letter and letter .. at or ""
   local filler = method == "PUT" and (user .. " "):rep(text / (#user + 1) + 1):sub(1, text)
   return wrk.format(method, path:format(user), nil, filler and ('{"username":"%s","body":"%s"}'):format(user, filler))
end

function done(summary, latency)
   local errors = summary.errors
   local bad = errors.status + errors.connect + errors.read + errors.write + errors.timeout
   io.write(("measured %d %d %d %d\n"):format(summary.requests, bad, latency:percentile(50), latency:percentile(99)))
end
