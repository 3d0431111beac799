-- tests/support/certs.lua -- certificates of the test's own, made by the openssl command: an authority in a temporary folder, and what it signs.
local process = require "tests.support.process"

local certs = {}
local Authority = {}
Authority.__index = Authority

local function run(...)
  local code, out, err = process.run { argv = { ... } }
  assert(code == 0, out .. err)
end

local function openssl(...) run("openssl", ...) end

local NEW_KEY = { "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes" }

-- An authority that nobody knows yet: `ca` is its certificate. `remove` it in the end.
function certs.authority()
  local self = setmetatable({ folder = process.temp(), made = 0 }, Authority)
  self.ca, self.key = self.folder .. "/ca.pem", self.folder .. "/ca.key"
  openssl("req", "-x509", "-keyout", self.key, "-out", self.ca, "-subj", "/CN=an authority", "-days", "30", "-addext",
    "basicConstraints=critical,CA:TRUE", unpack(NEW_KEY))
  return self
end

-- A certificate and its key, as paths { cert =, key = }, good for 30 days. Options: names ("DNS:localhost,IP:127.0.0.1,IP:::1"), ended (it was
-- good for a day, some days ago), own (signed by itself).
function Authority:issue(options)
  options = options or {}
  self.made = self.made + 1
  local base = ("%s/%d"):format(self.folder, self.made)
  local made = { cert = base .. ".pem", key = base .. ".key" }
  local subject = { "-subj", "/CN=a server", "-addext", "subjectAltName=" .. (options.names or "DNS:localhost,IP:127.0.0.1,IP:::1") }
  local words = { "req", "-keyout", made.key, unpack(subject) }
  for _, word in ipairs(NEW_KEY) do words[#words + 1] = word end
  if options.own then
    for _, word in ipairs { "-x509", "-days", "30", "-out", made.cert } do words[#words + 1] = word end
    openssl(unpack(words))
    return made
  end
  for _, word in ipairs { "-new", "-out", base .. ".csr" } do words[#words + 1] = word end
  openssl(unpack(words))
  local sign = { "openssl", "x509", "-req", "-in", base .. ".csr", "-out", made.cert, "-CA", self.ca, "-CAkey", self.key, "-set_serial",
    self.made, "-copy_extensions", "copy", "-days", options.ended and 1 or 30 }
  if options.ended then run("faketime", "-f", "-10d", unpack(sign)) else run(unpack(sign)) end
  return made
end

-- A folder that has only this authority, under the name by which OpenSSL looks for it.
function Authority:as_folder()
  local folder = self.folder .. "/folder"
  process.run { argv = { "mkdir", "-p", folder } }
  process.run { argv = { "cp", self.ca, folder } }
  openssl("rehash", folder)
  return folder
end

function Authority:remove() process.remove(self.folder) end

return certs
