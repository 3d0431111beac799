-- tests/property/fronts.lua -- haproxy, nginx or varnish before gateways: started with a few lines of configuration, keeping its connections
-- to them, and asked how many requests it has forwarded.
local http = require "tests.support.http"
local process = require "tests.support.process"
local socket = require "socket"
local unix = require "socket.unix"

local fronts = {}
local Front = {}
Front.__index = Front

local kinds = {}

-- A log line a request; `<NOSRV>` where it was not forwarded.
function kinds.haproxy(self, backends)
  local lines = {}
  for i, backend in ipairs(backends) do
    lines[i] = ("  server s%d %s check port %s inter 50ms rise 1 fall 1\n"):format(i, backend[1], backend[2]:match ":(%d+)$")
  end
  process.write(self.folder .. "/haproxy.cfg", ([[
global
  log stdout format raw local0
  stats socket %s/stats level admin
defaults
  mode http
  log global
  log-format "forwarded %%s %%ST %%tsc %%rc"
  timeout connect 2s
  timeout client 5s
  timeout server 5s
  timeout http-request 2s
  timeout check 2s
  retries 3
  option redispatch 1
  retry-on conn-failure empty-response response-timeout
  http-reuse always
  option httpchk GET /readyz
frontend in
  bind %s
  default_backend gateways
backend gateways
%s]]):format(self.folder, self.address, table.concat(lines)))
  return { "haproxy", "-db", "-f", self.folder .. "/haproxy.cfg" }, function()
    return select(2, self.process:out():gsub("forwarded s%d", ""))
  end
end

function kinds.nginx(self, backends)
  process.write(self.folder .. "/nginx.conf", ([[
daemon off; worker_processes 1; pid %s/pid; error_log %s/error; user root;
events { worker_connections 512; }
http {
  log_format forwarded "$upstream_status"; access_log %s/access forwarded;
  client_body_temp_path %s; proxy_temp_path %s; fastcgi_temp_path %s; uwsgi_temp_path %s; scgi_temp_path %s;
  upstream gateway { server %s; keepalive 1; }
  server { listen %s; location / { proxy_pass http://gateway; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off; } }
}]]):format(self.folder, self.folder, self.folder, self.folder, self.folder, self.folder, self.folder, self.folder, backends[1][1], self.address))
  return { "nginx", "-c", self.folder .. "/nginx.conf" }, function()
    return select(2, process.read(self.folder .. "/access"):gsub("[^\n]*%d%d%d[^\n]*\n", ""))
  end
end

function kinds.varnish(self, backends)
  local host, port = backends[1][1]:match "^(.*):(%d+)$"
  process.write(self.folder .. "/default.vcl", ([[
vcl 4.1;
backend gateway { .host = "%s"; .port = "%s"; }
sub vcl_recv { return (pass); }
]]):format(host, port))
  return { "varnishd", "-F", "-n", self.folder .. "/work", "-a", self.address, "-f", self.folder .. "/default.vcl", "-s", "malloc,16m" }, function()
    local pipe = io.popen(("varnishstat -n %s/work -1 -f VBE.boot.gateway.req"):format(self.folder))
    local n = pipe:read "*a":match "gateway.req%s+(%d+)"
    pipe:close()
    return tonumber(n)
  end
end

-- Starts one before these gateways, each { address, admin address }, and waits until it forwards.
function fronts.start(name, backends)
  local self = setmetatable({ folder = process.temp(), address = "127.0.0.1:" .. process.free_port() }, Front)
  os.execute("chmod 755 " .. self.folder) -- varnishd reads it as somebody else
  local argv, forwarded = kinds[name](self, backends)
  self.forwarded = forwarded
  self.process = process.start { argv = argv }
  process.eventually(function() return name .. " forwards: " .. self.process:out() .. self.process:err() end, 20, function()
    local ok, response = pcall(http.request, self.address, "GET", "/models/Note?id=a")
    return ok and response and response.status == 200
  end)
  return self
end

-- Until haproxy says, and again after some more checks, that all its gateways are up: it may not have seen yet that one was down.
function Front:await_up()
  local up = 0
  process.eventually("all gateways are up", 10, function()
    local sock = unix.stream and unix.stream() or unix()
    sock:settimeout(2)
    assert(sock:connect(self.folder .. "/stats"))
    sock:send "show stat\n"
    local text = sock:receive "*a" or ",DOWN"
    sock:close()
    up = text:find(",DOWN", 1, true) and 0 or up + 1
    socket.sleep(0.05)
    return up == 6
  end)
end

function Front:stop()
  self.process:signal "TERM"
  pcall(self.process.wait, self.process, 5)
  self.process:kill()
  process.remove(self.folder)
end

return fronts
