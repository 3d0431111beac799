-- tests/support/check.lua -- what tests ask of an answer, with a message that shows it.
local cjson = require "cjson"
local sf = require "tests.support.sf"

local check = {}

local FORWARD = { ["uri-miss"] = true, request = true, stale = true } -- of those of RFC 9211 that there are here
local PARAMETER = { hit = true, fwd = true, ttl = true, stored = true, collapsed = true, detail = true }

local function show(response)
  if not response then return "no answer" end
  return ("%d %s\n%s"):format(response.status, response.head or "", (response.body or ""):sub(1, 600))
end

function check.status(response, status)
  if not response or response.status ~= status then
    error(("wanted %s, got %s"):format(status, show(response)), 2)
  end
  return response
end

-- A whole problem+json body (RFC 9457) with this code; returns it decoded.
function check.problem(response, status, code)
  if not response or response.status ~= status then
    error(("wanted %d %s, got %s"):format(status, code, show(response)), 2)
  end
  if response.headers["content-type"] ~= "application/problem+json" then error("no problem+json: " .. show(response), 2) end
  if code ~= "missing" and response.headers["cache-control"] ~= "no-store" then error("caches may keep it: " .. show(response), 2) end
  local ok, problem = pcall(cjson.decode, response.body)
  if not ok then error("the problem is no JSON: " .. show(response), 2) end
  if problem.code ~= code or problem.type ~= "urn:perigee:problem:" .. code or problem.status ~= status
    or type(problem.title) ~= "string" or #problem.title == 0 or type(problem.detail) ~= "string" or #problem.detail == 0 then
    error(("wanted %d %s, got %s"):format(status, code, show(response)), 2)
  end
  return problem
end

-- A 200 with a JSON document: returns it decoded.
function check.document(response)
  if not response or response.status ~= 200 then error("wanted a document, got " .. show(response), 2) end
  if response.headers["content-type"] ~= "application/json" then error("no JSON: " .. show(response), 2) end
  return cjson.decode(response.body)
end

-- Does this text say all of these words (plain)?
function check.says(text, ...)
  for _, words in ipairs { ... } do
    if not tostring(text):find(words, 1, true) then error(("%q is not said in %q"):format(words, tostring(text)), 2) end
  end
end

-- The parameters of the one member of a Cache-Status answer: { hit = true, ttl = 258, detail = "redis" }. It must be what RFC 9211 says, by
-- the grammar of structured fields.
function check.cache_status(response)
  local text = response.headers["cache-status"]
  if not text then error("no Cache-Status: " .. show(response), 2) end
  local members, why = sf.list(text)
  if not members then error(("Cache-Status: %s: %s"):format(text, why), 2) end
  local found = {}
  for _, parameter in ipairs(members[1].parameters) do
    local name, value = parameter[1], parameter[2]
    found[name] = type(value) == "table" and value.token or value
  end
  local forwarded = found.fwd ~= nil
  local right = #members == 1 and members[1].value.token == "perigee"
    and (found.hit == nil or found.hit == true) and not (found.hit and forwarded)
    and (not forwarded or FORWARD[found.fwd]) and (found.ttl == nil or found.ttl % 1 == 0)
    and (found.stored == nil or found.stored == true and forwarded) and (found.collapsed == nil or found.collapsed == true and forwarded)
    and (found.detail == nil or type(found.detail) == "string") and (found.hit or forwarded or found.detail)
  for name in pairs(found) do right = right and PARAMETER[name] end
  if not right then error("Cache-Status: " .. text, 2) end
  return found
end

-- Where a hit may be found that the store holds: a near copy is one of what Redis holds.
function check.found_in(store, detail)
  if store == "cluster" then store = "redis" end
  if not (detail == store or store == "redis" and detail == "near") then error("found in " .. tostring(detail), 2) end
end

-- max-age and the other directives of Cache-Control.
function check.cache_control(response)
  local found = {}
  for directive in (response.headers["cache-control"] or ""):gmatch "[^,%s]+" do
    local name, value = directive:match "^([%l-]+)=(%d+)$"
    found[name or directive] = tonumber(value) or true
  end
  return found
end

return check
