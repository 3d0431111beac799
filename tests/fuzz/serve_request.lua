-- tests/fuzz/serve_request.lua FOLDER -- writes the seeds of fuzz_serve_request, a file each: the requests of tests/support/raw.lua, and some
-- that reach what those do not. In front stands the byte that seeds the cuts.
package.path = "./?.lua;" .. package.path
local raw = require "tests.support.raw"

local function request(method, target, body, lines)
  return ("%s %s HTTP/1.1\r\nHost: a\r\n%s%s\r\n%s"):format(method, target, lines or "", body and ("Content-Length: %d\r\n"):format(#body) or "", body or "")
end

local more = {
  request("PUT", "/models/Note?id=a", '{"text":"x","n":2}') .. request("GET", "/models/Note?id=a") .. request("DELETE", "/models/Note?id=a"),
  request("PUT", "/models/Note", '{"id":"a","text":"odd"}') .. request("HEAD", "/models/Note?id=a"),
  request("PUT", "/models/Note?id=a", '{"text":[1,{"a":null}]}', "Prefer: return=representation\r\n")
    .. request("PATCH", "/models/Note?id=a", '{"text":{"b":1}}', "Content-Type: application/merge-patch+json\r\n"),
  request("PUT", "/models/Note?id=a", '{"text":1}', "If-None-Match: *\r\n") .. request("PUT", "/models/Note?id=a", '{"text":1}', 'If-Match: "a", W/"b"\r\n'),
  request("GET", "/models/User?name=bob&_depth=2&_include=mother.mother&_fields=name,mother.name"),
  request("PUT", "/models/User?_cascade=1", '{"name":"eve","mother":{"name":"ann"},"friends":[{"name":"bob"},{"name":"none"}],"note":{"id":"n","text":"t"}}')
    .. request("GET", "/models/User?name=eve"),
  request("GET", "/models/User?name=a", nil, "Cache-Control: no-cache\r\n") .. request("GET", "/models/User?name=b", nil, "Cache-Control: only-if-cached\r\n"),
  request("GET", "/models/Home/echo?address=%22x%22&n=7") .. request("POST", "/models/Home/echo", '{"address":1.5}') .. request("DELETE", "/models/Home/echo?address=1.5"),
  request("POST", "/forms/Find/people", "name=Bob", "Content-Type: application/x-www-form-urlencoded\r\n") .. request("GET", "/forms/Find/people?name="),
  request("POST", "/models/Note/_bulk", '{"get":[{"id":"a"}],"save":[{"id":"b","text":1}],"delete":[{"id":"c"}]}'),
  request("POST", "/models/Note/_touch", '{"keys":{"id":"a"}}') .. request("POST", "/models/Note/_invalidate", '{"keys":{"id":"a"},"mode":"expire"}'),
  request("POST", "/models/User/_refresh", '{"keys":{"name":"bob"},"wait":true}') .. request("POST", "/models/User/_refresh", '{"keys":{"name":"bob"}}'),
  request("POST", "/_invalidate", '{"tags":["a"]}') .. request("POST", "/models/Note/_invalidate", '{"all":true}'),
  request("GET", "/models") .. request("GET", "/forms") .. request("GET", "/models/User/_schema") .. request("GET", "/openapi.json"),
}

local function write(name, bytes)
  local file = assert(io.open(("%s/%s"):format(arg[1], name), "wb"))
  file:write("x", bytes)
  file:close()
end

for i, case in ipairs(raw) do write(("raw-%03d"):format(i), case.bytes) end
for i, bytes in ipairs(more) do write(("more-%02d"):format(i), bytes) end
