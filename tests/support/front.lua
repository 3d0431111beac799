-- tests/support/front.lua -- caches that others have written, before a gateway: front.start("varnish" or "nginx", gateway address) serves on
-- self.address (headers: what it takes to be answered), and tells in X-Front of each answer what it did: hit, miss, revalidated (its copy was old, and the gateway said 304).
local http = require "tests.support.http"
local process = require "tests.support.process"

local front = {}

local vcl = [[
vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "PORT"; }
sub vcl_backend_response { if (beresp.was_304) { set beresp.http.X-Was-304 = bereq.xid; } }
sub vcl_deliver {
  set resp.http.X-Front = "miss";
  if (obj.hits > 0) { set resp.http.X-Front = "hit"; }
  elsif (resp.http.X-Was-304) { set resp.http.X-Front = "revalidated"; }
}
]]

local conf = [[
daemon off;
error_log stderr;
pid nginx.pid;
worker_processes 1;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path temp; fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
  proxy_cache_path cache keys_zone=all:1m;
  server {
    listen 127.0.0.1:HERE;
    location / {
      proxy_pass http://127.0.0.1:PORT;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache all;
      proxy_cache_revalidate on;
      add_header X-Front $upstream_cache_status always;
    }
  }
}
]]

local function arguments(kind, folder, here, port)
  if kind == "varnish" then
    process.write(folder .. "/front.vcl", (vcl:gsub("PORT", port)))
    return { "varnishd", "-F", "-j", "none", "-n", folder, "-a", "127.0.0.1:" .. here, "-T", "none", "-s", "malloc,16m",
      "-p", "vsl_space=1M", "-p", "default_grace=0", "-p", "default_keep=60", "-p", "pcre2_jit_compilation=off", "-f", folder .. "/front.vcl" }
  end
  process.write(folder .. "/front.conf", (conf:gsub("PORT", port):gsub("HERE", here)))
  return { "nginx", "-p", folder, "-e", "stderr", "-c", folder .. "/front.conf" }
end

local Front = {}
Front.__index = Front

function front.is_here(kind)
  local code = process.run { argv = { "sh", "-c", "PATH=$PATH:/usr/sbin command -v " .. (kind == "varnish" and "varnishd" or "nginx") } }
  return code == 0
end

function front.start(kind, address, headers)
  local folder, here = process.temp(), process.free_port()
  os.execute("chmod 755 " .. folder)
  local self = setmetatable({ folder = folder, address = "127.0.0.1:" .. here }, Front)
  self.process = process.start { argv = arguments(kind, folder, here, address:match ":(%d+)$"), env = { PATH = os.getenv "PATH" .. ":/usr/sbin" } }
  process.eventually(function() return kind .. " answers: " .. self.process:err() end, 20, function()
    local ok, answer = pcall(self.request, self, "GET", "/models", headers)
    return ok and answer and answer.status == 200
  end)
  return self
end

-- The answer, and what the front did for it.
function Front:request(method, target, headers)
  local answer = http.request(self.address, method, target, headers)
  return answer, answer and (answer.headers["x-front"] or ""):lower()
end

function Front:stop()
  self.process:signal "TERM"
  self.process:wait(20)
  process.remove(self.process.folder)
  process.remove(self.folder)
end

return front
