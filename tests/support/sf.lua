-- tests/support/sf.lua -- structured fields (RFC 9651), read as strictly as the RFC's algorithms do: sf.list "a; b=1, c" returns
-- { { value = token, parameters = { { "b", 1 } } }, ... } or nil and why not. A token is { token = "a" }, bytes { bytes = "..." },
-- a date { date = 1 }, an inner list { inner = members }; integers and decimals are numbers, strings are strings.
local mime = require "mime"

local sf = {}

local Reader = {}
Reader.__index = Reader

function Reader:peek() return self.text:sub(self.at, self.at) end
function Reader:ended() return self.at > #self.text end

function Reader:take(pattern)
  local found = self.text:match("^" .. pattern, self.at)
  if found then self.at = self.at + #found end
  return found
end

function Reader:fail(what) error({ sf = ("%s at byte %d of %q"):format(what, self.at, self.text) }, 0) end

function Reader:need(pattern, what) return self:take(pattern) or self:fail("no " .. what) end

function Reader:number()
  local sign = self:take "%-"
  local whole = self:need("%d+", "digit")
  local fraction = self:take "%.%d*"
  if not fraction then
    if #whole > 15 then self:fail "an integer of more than 15 digits" end
  elseif #whole > 12 or #fraction < 2 or #fraction > 4 then
    self:fail "a decimal of a wrong length"
  end
  local value = tonumber(whole .. (fraction or ""))
  return sign and -value or value, fraction
end

function Reader:string()
  local parts = {}
  self:need('"', "quote")
  while true do
    parts[#parts + 1] = self:take '[^"\\%c\128-\255]+'
    if self:take '"' then return table.concat(parts) end
    parts[#parts + 1] = self:need('\\["\\]', "end of a string"):sub(2)
  end
end

function Reader:item()
  local c = self:peek()
  if c:find "[%-%d]" then return (self:number()) end
  if c == '"' then return self:string() end
  if c:find "[%a%*]" then return { token = self:take "[%a%*][!#$%%&'%*%+%-%.%^_`|~:/%w]*" } end
  if c == ":" then return { bytes = mime.unb64((self:need(":[%w%+/=]*:", "bytes"):sub(2, -2))) } end
  if c == "?" then return self:need("%?[01]", "boolean") == "?1" end
  if c == "@" then
    self:take "@"
    local date, fraction = self:number()
    if fraction then self:fail "a date with a fraction" end
    return { date = date }
  end
  self:fail "no item"
end

function Reader:parameters()
  local all, index = {}, {}
  while self:take ";" do
    self:take " *"
    local key = self:need("[%l%*][%l%d_%-%.%*]*", "key")
    local value = true
    if self:take "=" then value = self:item() end
    if index[key] then all[index[key]][2] = value else
      all[#all + 1] = { key, value }
      index[key] = #all
    end
  end
  return all
end

function Reader:member()
  local value
  if self:take "%(" then
    value = { inner = {} }
    while true do
      self:take " *"
      if self:take "%)" then break end
      table.insert(value.inner, { value = self:item(), parameters = self:parameters() })
      if not self:peek():find "[ %)]" then self:fail "no space or )" end
    end
  else
    value = self:item()
  end
  return { value = value, parameters = self:parameters() }
end

local function list(text)
  local reader, members = setmetatable({ text = text:match "^ *(.-) *$", at = 1 }, Reader), {}
  if reader.text:find "[^ -~\t]" then reader:fail "no ASCII" end
  while not reader:ended() do
    members[#members + 1] = reader:member()
    reader:take "[ \t]*"
    if reader:ended() then return members end
    reader:need(",", "comma")
    reader:take "[ \t]*"
    if reader:ended() then reader:fail "a comma at the end" end
  end
  return members
end

function sf.list(text)
  local ok, found = pcall(list, text)
  if ok then return found end
  if type(found) ~= "table" then error(found, 0) end
  return nil, found.sf
end

return sf
