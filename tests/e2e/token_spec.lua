-- tests/e2e/token_spec.lua -- tokens with permissions: who may do what, what a refusal says and what it never says, and that a reload
-- takes a token away.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local cjson = require "cjson"

local models = [[
model "Workplace" { name = key(), phone = field() }
model "User" { username = key(), email = field(), workplace = reference{ "Workplace", missing = "null" } }
model "Loaded" { id = key(), text = field(), options = { expires = 300 }, from_miss = function(self) self.text = "loaded" end,
  double = cached_method{ on = { "id" }, expires = 300, function(self) return self.id .. self.id end } }
form "Lookup" { who = input{ required = true }, find = cached_form_method{ expires = 300, function(self) return self.cleaned_data.who end } }
]]

-- Every one of them is searched for in what the gateway says.
local secret = {
  reader = "planted-reader-0123456789", writer = "planted-writer-0123456789", loader = "planted-loader-0123456789",
  refresher = "planted-refresher-0123456789", admin = "planted-admin-0123456789", all = "planted-all~0123456789+/==",
  users = "planted-users-0123456789", forms = "planted-forms-0123456789", nothing = "planted-nobody-0123456789",
}

local file = table.concat({
  "# who may do what",
  "",
  secret.reader .. " reader read",
  secret.writer .. " writer write",
  secret.loader .. " loader read,refresh",
  secret.refresher .. " refresher refresh",
  secret.admin .. " operator admin",
  secret.all .. "\tall\tread,write,refresh,admin",
  secret.users .. " users read,write,refresh User",
  secret.forms .. " forms read,write Lookup,Loaded",
}, "\n") .. "\n"

-- The file with other words in the place of some.
local function altered(words, others)
  local from, to = assert(file:find(words, 1, true))
  return file:sub(1, from - 1) .. others .. file:sub(to + 1)
end

local function bearer(name, headers)
  local all = { Authorization = "Bearer " .. (secret[name] or name) }
  for header, value in pairs(headers or {}) do all[header] = value end
  return all
end

-- A gateway with a token file beside it; self.token_file is its path.
local function start(text, options)
  options = options or {}
  local folder = process.temp()
  local path = folder .. "/tokens"
  process.write(path, text or file)
  os.execute("chmod " .. (options.mode or "600") .. " " .. process.quote(path))
  options.models = models
  options.admin_token = options.admin_token or secret.admin
  options.args = { "--token-file", path }
  options.beside = { { stop = function() process.remove(folder) end } }
  local gw = gateway.start(options)
  gw.token_file = path
  return gw
end

local function refused(response, status, code, challenge)
  local problem = check.problem(response, status, code)
  assert.equal(challenge, response.headers["www-authenticate"])
  return problem
end

local REALM = 'Bearer realm="perigee"'
local function insufficient(permission) return REALM .. ', error="insufficient_scope", scope="' .. permission .. '"' end

local function unauthorized(response) return refused(response, 401, "unauthorized", REALM) end
local function unknown(response) return refused(response, 401, "unauthorized", REALM .. ', error="invalid_token"') end

local function forbidden(response, permission, model)
  local problem = refused(response, 403, "forbidden", insufficient(permission))
  check.says(problem.detail, "`" .. permission .. "`", model and "`" .. model .. "`")
  return problem
end

-- What can be asked, and which permissions it takes. A row: method, target, body, headers, permissions, model, the status when it may.
local operations = {
  { "GET", "/models/User?username=bob", nil, nil, "read", "User", 200 },
  { "HEAD", "/models/User?username=bob", nil, nil, "read", "User", 200 },
  { "GET", "/models/User?username=bob&_depth=0", nil, { ["Cache-Control"] = "only-if-cached" }, "read", "User", 200 },
  { "GET", "/models/Loaded?id=a", nil, nil, "read", "Loaded", 200 },
  { "GET", "/models/Loaded?id=a", nil, { ["Cache-Control"] = "no-cache" }, "read refresh", "Loaded", 200 },
  { "GET", "/models/Loaded/double?id=a", nil, nil, "read", "Loaded", 200 },
  { "GET", "/models/Loaded/double?id=a", nil, { ["Cache-Control"] = "no-cache" }, "read refresh", "Loaded", 200 },
  { "POST", "/models/Loaded/double", '{"id":"b"}', nil, "read", "Loaded", 200 },
  { "DELETE", "/models/Loaded/double?id=a", nil, nil, "write", "Loaded", 204 },
  { "GET", "/forms/Lookup/find?who=eve", nil, nil, "read", "Lookup", 200 },
  { "POST", "/forms/Lookup/find", '{"who":"eve"}', nil, "read", "Lookup", 200 },
  { "DELETE", "/forms/Lookup/find?who=eve", nil, nil, "write", "Lookup", 204 },
  { "PUT", "/models/User?username=bob", '{"email":"b@x"}', nil, "write", "User", 204 },
  { "PATCH", "/models/User?username=bob", '{"email":"c@x"}', nil, "write", "User", 204 },
  { "DELETE", "/models/User?username=nobody", nil, nil, "write", "User", 204 },
  { "GET", "/models/User/_schema", nil, nil, "read", "User", 200 },
  { "GET", "/models", nil, nil, "read", nil, 200 },
  { "GET", "/forms", nil, nil, "read", nil, 200 },
  { "GET", "/openapi.json", nil, nil, "read", nil, 200 },
  { "OPTIONS", "/models/User", nil, nil, "", nil, 204 },
  { "OPTIONS", "*", nil, nil, "", nil, 204 },
}

local holders = {
  reader = { read = true }, writer = { write = true }, loader = { read = true, refresh = true }, refresher = { refresh = true },
  admin = {}, all = { read = true, write = true, refresh = true },
  users = { read = true, write = true, refresh = true, only = { User = true } },
  forms = { read = true, write = true, only = { Lookup = true, Loaded = true } },
}

-- The permission that is told to be lacking, or nil.
local function lacking(holder, permissions, model)
  local first
  for permission in permissions:gmatch "%a+" do
    if not holder[permission] then return permission end
    first = first or permission
  end
  if model and first and holder.only and not holder.only[model] then return first end
end

for _, store in ipairs { "memory", "redis" } do
  describe("tokens on " .. store, function()
    local gw
    setup(function()
      gw = start(nil, { store = store, workers = 2 })
      check.status(gw:put("/models/User", '{"username":"bob"}', bearer "all"), 201)
    end)
    teardown(function() gw:finish() end)

    it("each permits what it says, of the models it says, and nothing else", function()
      for name, holder in pairs(holders) do
        for _, row in ipairs(operations) do
          local method, target, body, headers, permissions, model, good = unpack(row, 1, 7)
          local lacks = lacking(holder, permissions, model)
          local response = gw:request(method, target, bearer(name, headers), body)
          local ok, why = pcall(function()
            if not lacks then return check.status(response, good) end
            if method ~= "HEAD" then return forbidden(response, lacks, model) end
            check.status(response, 403)
            assert.equal(insufficient(lacks), response.headers["www-authenticate"])
          end)
          assert(ok, ("%s: %s %s: %s"):format(name, method, target, tostring(why)))
        end
      end
    end)

    it("whoever has none gets nothing, wherever it asks", function()
      for _, row in ipairs(operations) do
        local method, target, body, headers = unpack(row, 1, 4)
        local response = gw:request(method, target, headers, body)
        if method == "HEAD" then check.status(response, 401) else unauthorized(response) end
      end
      for _, target in ipairs { "/", "/nothing", "/models/", "/models/Nothing?id=1", "/models/User", "/forms/X/y", "/models/%zz" } do
        unauthorized(gw:get(target)) -- and not what is wrong with it
      end
    end)

    it("a known token is told what is wrong with a path", function()
      check.problem(gw:get("/nothing", bearer "reader"), 404, "not-found")
      check.problem(gw:get("/models/Nothing?id=1", bearer "reader"), 404, "unknown-model")
      check.problem(gw:get("/models/User", bearer "reader"), 400, "key-required")
      check.problem(gw:request("POST", "/models/User", bearer "reader", "{}"), 405, "method-not-allowed")
      forbidden(gw:get("/models/Nothing?id=1", bearer "users"), "read", "Nothing") -- not even whether it is there
    end)

    it("a refused write has written nothing, a refused load has not loaded", function()
      check.status(gw:put("/models/User?username=kept", '{"email":"first"}', bearer "all"), 201)
      forbidden(gw:put("/models/User?username=kept", '{"email":"second"}', bearer "reader"), "write", "User")
      forbidden(gw:request("PATCH", "/models/User?username=kept", bearer "reader", '{"email":"second"}'), "write", "User")
      forbidden(gw:delete("/models/User?username=kept", bearer "reader"), "write", "User")
      unauthorized(gw:delete "/models/User?username=kept")
      assert.equal("first", check.document(gw:get("/models/User?username=kept", bearer "reader")).email)
      local function loads() return gw:metric("perigee_loads_total", { model = "Loaded" }) end
      check.status(gw:get("/models/Loaded?id=loads", bearer "reader"), 200)
      local before = loads()
      forbidden(gw:get("/models/Loaded?id=loads", bearer("reader", { ["Cache-Control"] = "no-cache" })), "refresh", "Loaded")
      forbidden(gw:get("/models/Loaded?id=never", bearer "writer"), "read", "Loaded")
      unauthorized(gw:get "/models/Loaded?id=never")
      for _, control in ipairs { "max-age=0", "min-fresh=900" } do -- passed over
        assert.is_true(check.cache_status(gw:get("/models/Loaded?id=loads", bearer("reader", { ["Cache-Control"] = control }))).hit)
      end
      assert.equal(before, loads())
      check.status(gw:get("/models/Loaded?id=loads", bearer("loader", { ["Cache-Control"] = "max-age=0" })), 200)
      assert.equal(before + 1, loads())
      before = before + 1
      check.status(gw:get("/models/Loaded?id=loads", bearer("loader", { ["Cache-Control"] = "no-cache" })), 200)
      assert.equal(before + 1, loads())
    end)

    it("a document shows what its record refers to, a cascade saves no model that the token is not for", function()
      check.status(gw:put("/models/Workplace?name=Moonbase", '{"phone":"1"}', bearer "all"), 201)
      check.status(gw:put("/models/User?username=dan", '{"workplace":{"name":"Moonbase"}}', bearer "all"), 201)
      assert.equal("1", check.document(gw:get("/models/User?username=dan", bearer "users")).workplace.phone)
      forbidden(gw:get("/models/Workplace?name=Moonbase", bearer "users"), "read", "Workplace")
      local failures = gw:metric("perigee_auth_failures_total", { reason = "forbidden" })
      local body = '{"workplace":{"name":"Moonbase","phone":"stolen"}}'
      local problem = forbidden(gw:put("/models/User?username=dan&_cascade=1", body, bearer "users"), "write", "Workplace")
      assert.equal("workplace", problem.path)
      assert.equal(failures + 1, gw:metric("perigee_auth_failures_total", { reason = "forbidden" }))
      assert.equal("1", check.document(gw:get("/models/Workplace?name=Moonbase", bearer "reader")).phone)
      check.status(gw:put("/models/User?username=dan&_cascade=1", '{"workplace":{"name":"Moonbase"}}', bearer "users"), 204) -- keys only
      check.status(gw:put("/models/User?username=dan&_cascade=1", body, bearer "writer"), 204)
      assert.equal("stolen", check.document(gw:get("/models/Workplace?name=Moonbase", bearer "reader")).phone)
    end)

    it("an action needs what it does", function()
      local function act(name, action, body, headers)
        return gw:request("POST", "/models/Loaded/" .. action, bearer(name, headers), body)
      end
      check.status(gw:get("/models/Loaded?id=act", bearer "reader"), 200)
      local before = gw:metric("perigee_loads_total", { model = "Loaded" })
      for _, case in ipairs { { "_touch", '{"keys":{"id":"act"},"expires":60}' }, { "_invalidate", '{"keys":{"id":"act"}}' } } do
        forbidden(act("loader", case[1], case[2]), "write", "Loaded")
        forbidden(act("users", case[1], case[2]), "write", "Loaded")
      end
      for name, lacking in pairs { reader = "refresh", refresher = "read", writer = "read" } do
        forbidden(act(name, "_refresh", '{"keys":{"id":"act"},"wait":true}'), lacking, "Loaded")
      end
      assert.is_true(check.cache_status(gw:get("/models/Loaded?id=act", bearer "reader")).hit)
      assert.equal(before, gw:metric("perigee_loads_total", { model = "Loaded" }))
      check.status(act("writer", "_touch", '{"keys":{"id":"act"},"expires":60}'), 204)
      check.status(act("loader", "_refresh", '{"keys":{"id":"act"},"wait":true}'), 200)
      check.status(act("writer", "_invalidate", '{"keys":{"id":"act"}}'), 204)
      assert.equal(before + 1, gw:metric("perigee_loads_total", { model = "Loaded" }))
    end)

    it("tags are of all models, and so must a token be", function()
      local function invalidate(name, target)
        return gw:request("POST", target or "/_invalidate", bearer(name), target and '{"all":true}' or '{"tags":["red"]}')
      end
      for _, name in ipairs { "reader", "loader", "refresher", "admin" } do forbidden(invalidate(name), "write") end
      for _, name in ipairs { "users", "forms" } do check.says(forbidden(invalidate(name), "write").detail, "every model") end
      unauthorized(gw:request("POST", "/_invalidate", nil, '{"tags":["red"]}'))
      for _, name in ipairs { "writer", "all" } do check.status(invalidate(name), 204) end
      forbidden(invalidate("users", "/forms/Lookup/_invalidate"), "write", "Lookup")
      forbidden(invalidate("forms", "/models/User/_invalidate"), "write", "User")
      check.status(invalidate("forms", "/forms/Lookup/_invalidate"), 204)
      check.status(invalidate("users", "/models/User/_invalidate"), 204)
    end)

    it("a bulk needs what its lists need, or does nothing", function()
      local function bulk(name, body, query, headers)
        return gw:request("POST", "/models/User/_bulk" .. (query or ""), bearer(name, headers), cjson.encode(body))
      end
      check.status(gw:put("/models/User?username=bulk", '{"email":"a@x"}', bearer "all"), 201)
      local key, save = { username = "bulk" }, { username = "bulk", email = "b@x" }
      forbidden(bulk("reader", { save = { save } }), "write", "User")
      forbidden(bulk("reader", { get = { key }, delete = { key } }), "write", "User")
      forbidden(bulk("writer", { get = { key }, save = { save } }), "read", "User")
      forbidden(bulk("forms", { get = { key } }), "read", "User")
      forbidden(bulk("reader", { get = { key } }, "", { ["Cache-Control"] = "no-cache" }), "refresh", "User")
      assert.equal("a@x", check.document(gw:get("/models/User?username=bulk", bearer "reader")).email)
      assert.equal("a@x", check.document(bulk("reader", { get = { key } })).get[1].value.email)
      local answer = check.document(bulk("writer", { save = { save } }, "", { Prefer = "return=representation" }))
      assert.same({ 204, nil }, { answer.save[1].status, answer.save[1].value })
      local cascade = { username = "bulk", workplace = { name = "Moonbase", phone = "bulk" } }
      answer = check.document(bulk("users", { save = { save, cascade } }, "?_cascade=1"))
      assert.same({ 204, 403 }, { answer.save[1].status, answer.save[2].status })
      assert.equal("forbidden", answer.save[2].problem.code)
      check.status(bulk("all", { delete = { key } }), 200)
      check.problem(gw:get("/models/User?username=bulk", bearer "reader"), 404, "missing")
    end)

    it("who may only write is not answered with the record", function()
      local prefer = { Prefer = "return=representation" }
      check.status(gw:put("/models/User?username=private", '{"email":"private@x"}', bearer "all"), 201)
      local response = check.status(gw:request("PATCH", "/models/User?username=private", bearer("writer", prefer), '{"workplace":null}'), 204)
      assert.is_nil(response.headers["preference-applied"])
      response = gw:request("PATCH", "/models/User?username=private", bearer("all", prefer), '{"workplace":null}')
      assert.equal("private@x", check.document(response).email)
    end)
  end)
end

describe("a token", function()
  local gw
  setup(function() gw = start() end)
  teardown(function() gw:finish() end)

  it("comes as Bearer, in any case, and no other way", function()
    local target, token = "/models/User?username=eve", secret.reader
    for _, value in ipairs { "Bearer " .. token, "bearer " .. token, "BEARER   " .. token } do
      check.problem(gw:get(target, { Authorization = value }), 404, "missing")
    end
    for _, value in ipairs {
      token, "Basic " .. token, "Basic cmVhZGVyOnBhc3M=", "Digest username=x", "Token " .. token, "Bearer" .. token, "",
    } do
      unauthorized(gw:get(target, { Authorization = value }))
    end
    for _, value in ipairs {
      "Bearer", "Bearer " .. token .. "x", "Bearer " .. token:sub(1, -2), "Bearer " .. token:upper(), "Bearer \"" .. token .. "\"",
      "Bearer " .. token .. "," .. token, "Bearer " .. token .. " " .. token, "Bearer " .. ("x"):rep(6000), "Bearer \255\254",
      "Bearer " .. token .. "=",
    } do
      unknown(gw:get(target, { Authorization = value }))
    end
    for _, name in ipairs { "access_token", "token", "_token", "authorization" } do
      unauthorized(gw:get(target .. "&" .. name .. "=" .. token))
    end
    unauthorized(gw:get(target, { Cookie = "access_token=" .. token, ["X-Authorization"] = "Bearer " .. token, ["Proxy-Authorization"] = "Bearer " .. token }))
    unauthorized(gw:request("POST", "/forms/Lookup/find", { ["Content-Type"] = "application/x-www-form-urlencoded" }, "who=x&access_token=" .. token))
  end)

  it("comes once", function()
    local connection = http.connect(gw.address)
    for _, second in ipairs { "Bearer " .. secret.reader, "Bearer nonsense", "Basic x", "" } do
      connection:send(("GET /models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nAuthorization: %s\r\n\r\n"):format(secret.reader, second))
      refused(connection:receive(), 400, "malformed-request", REALM .. ', error="invalid_request"')
    end
    connection:close()
  end)

  it("counts for its own request only", function()
    local connection = http.connect(gw.address)
    local good = http.format("GET", "/models", bearer "reader")
    connection:send(good .. http.format("GET", "/models") .. good .. http.format("GET", "/models", bearer "nobody"))
    check.status(connection:receive(), 200)
    unauthorized(connection:receive())
    check.status(connection:receive(), 200)
    unknown(connection:receive())
    connection:close()
  end)

  it("that is guessed is counted, and fills no log", function()
    local function failures(reason) return gw:metric("perigee_auth_failures_total", { reason = reason }) end
    local before, log = { failures "unknown", failures "missing", failures "forbidden" }, #gw:log()
    for i = 1, 500 do unknown(gw:get("/models", bearer(("guess-%020d"):format(i)))) end
    for _ = 1, 7 do unauthorized(gw:get "/models") end
    assert.equal(log, #gw:log())
    for _ = 1, 3 do forbidden(gw:delete("/models/User?username=x", bearer "reader"), "write", "User") end
    assert.same({ before[1] + 500, before[2] + 7, before[3] + 3 }, { failures "unknown", failures "missing", failures "forbidden" })
    local told = 0
    for _, event in ipairs(gw:log_events()) do
      if event.message == "request forbidden" and event.token == "reader" then
        check.says(event.detail, "`write`", "`User`")
        told = told + 1
      end
    end
    assert(told >= 3, told)
    assert(gw:metric("perigee_requests_total", { outcome = "unauthorized" }) >= 507)
    assert.equal(3, gw:metric("perigee_requests_total", { outcome = "forbidden", op = "delete" }))
  end)

  it("is for OpenAPI a scheme of its own", function()
    local text = check.document(gw:get("/openapi.json", bearer "reader"))
    assert.same({ type = "http", scheme = "bearer" }, { type = text.components.securitySchemes.bearer.type, scheme = text.components.securitySchemes.bearer.scheme })
    local found = false
    for _, requirement in ipairs(text.security) do found = found or requirement.bearer ~= nil end
    assert(found)
    local responses = text.paths["/models/User"].get.responses
    assert(responses["401"] and responses["403"])
  end)
end)

describe("the admin plane with tokens", function()
  local gw
  setup(function() gw = start() end)
  teardown(function() gw:finish() end)

  local function ask(target, method, authorization) return gw:admin(target, method, { Authorization = authorization or false }) end

  it("shows health and readiness to all", function()
    for _, target in ipairs { "/healthz", "/readyz" } do
      check.status(ask(target), 200)
      check.status(ask(target, "HEAD"), 200)
      check.status(ask(target, "GET", "Bearer nonsense"), 200)
    end
  end)

  it("shows all else to who may administer", function()
    local pages = { { "/metrics" }, { "/admin/reload", "POST" }, { "/admin/config" }, { "/admin/models" }, { "/" }, { "/nothing" }, { "/admin/reload", "GET" } }
    for _, page in ipairs(pages) do
      unauthorized(ask(page[1], page[2]))
      unknown(ask(page[1], page[2], "Bearer nobody-0123456789"))
      for _, name in ipairs { "reader", "writer", "refresher", "users" } do
        forbidden(ask(page[1], page[2], "Bearer " .. secret[name]), "admin")
      end
      for _, name in ipairs { "admin", "all" } do
        local status = ask(page[1], page[2], "Bearer " .. secret[name]).status
        assert(status ~= 401 and status ~= 403, page[1])
      end
    end
    check.status(ask("/metrics", "GET", "Bearer " .. secret.admin), 200)
    check.status(ask("/metrics?access_token=" .. secret.admin), 401)
    assert(gw:metric("perigee_auth_failures_total", { reason = "forbidden" }) >= 4 * #pages)
  end)

  it("is not reloaded by who may not", function()
    local reloads = gw:metric "perigee_reloads_total"
    check.status(ask("/admin/reload", "POST"), 401)
    check.status(ask("/admin/reload", "POST", "Bearer " .. secret.writer), 403)
    assert.equal(reloads, gw:metric "perigee_reloads_total")
  end)
end)

describe("a reload of tokens", function()
  local gw
  before_each(function() gw = start(nil, { workers = 2 }) end)
  after_each(function() gw:finish() end)

  -- Every worker gives this status: connections of their own.
  local function everywhere(name, status)
    for _ = 1, 8 do
      if http.request(gw.address, "GET", "/models", bearer(name)).status ~= status then return false end
    end
    return true
  end
  local function become(name, status)
    process.eventually(("%s is answered %d"):format(name, status), 5, function() return everywhere(name, status) end)
  end

  it("adds one, takes one away, changes one", function()
    assert(everywhere("reader", 200) and everywhere("nobody-0123456789", 401))
    local kept = http.connect(gw.address)
    check.status(kept:request("GET", "/models", bearer "reader"), 200)
    process.write(gw.token_file, (altered(secret.reader .. " reader read", "added-token-0123456789 added read"):gsub("writer write", "writer read")))
    check.status(gw:admin("/admin/reload", "POST"), 200)
    become("added-token-0123456789", 200)
    become("reader", 401)
    become("writer", 200)
    unknown(kept:request("GET", "/models", bearer "reader")) -- an open connection is no way around it
    check.status(kept:request("GET", "/models", bearer "all"), 200)
    kept:close()
    process.write(gw.token_file, file)
    gw:signal "HUP"
    become("reader", 200)
    become("added-token-0123456789", 401)
    become("writer", 403)
  end)

  it("takes the admin's own token away", function()
    process.write(gw.token_file, altered(secret.admin, "another-admin-0123456789"))
    check.status(gw:admin("/admin/reload", "POST"), 200)
    check.status(gw:admin "/metrics", 401)
    gw.options.admin_token = "another-admin-0123456789"
    check.status(gw:admin "/metrics", 200)
  end)

  it("takes a short one, and warns of it", function()
    process.write(gw.token_file, file .. "brief short read\n")
    local response = check.status(gw:admin("/admin/reload", "POST"), 200)
    check.says(response.body, '"reloaded":true', ":11: warning: a token of fewer than 16 characters")
    check.status(gw:request("GET", "/models", { Authorization = "Bearer brief" }), 200)
    process.write(gw.token_file, file)
    check.status(gw:admin("/admin/reload", "POST"), 200)
    check.status(gw:request("GET", "/models", { Authorization = "Bearer brief" }), 401)
  end)

  it("with an error keeps the old ones, says where it is and shows no token", function()
    for text, says in pairs {
      [file .. "planted-bad-0123456789 bad raed\n"] = ":11: permissions are",
      [file .. "bad planted-bad-0123456789 read\n"] = ":11: a token comes before its name",
      [file .. "planted-bad-0123456789\n"] = ":11: a line is",
      [file .. secret.reader .. " twice read\n"] = ":11: this token stands",
      [""] = "there is no token",
      [("# nothing\n"):rep(10001)] = ":10001: a token file has at most",
    } do
      process.write(gw.token_file, text)
      local response = check.status(gw:admin("/admin/reload", "POST"), 422)
      check.says(response.body, says, gw.token_file, '"reloaded":false')
      assert.is_nil(response.body:find("planted", 1, true))
      assert(everywhere("reader", 200))
    end
    os.remove(gw.token_file)
    check.says(check.status(gw:admin("/admin/reload", "POST"), 422).body, gw.token_file, "No such file")
    assert(everywhere("reader", 200))
    gw:signal "HUP"
    process.eventually("it is in the log", 5, function()
      local _, times = gw:log():gsub("No such file", "")
      return times == 2
    end)
    assert(everywhere("reader", 200))
    assert.is_nil(gw:log():find("planted", 1, true))
    process.write(gw.token_file, file)
    check.status(gw:admin("/admin/reload", "POST"), 200)
  end)

  it("does not come with models that fail, nor they with it", function()
    process.write(gw.token_file, file .. "added-token-0123456789 added read\n")
    gateway.write_models(gw.schemas, "model 'User' {")
    check.says(check.status(gw:admin("/admin/reload", "POST"), 422).body, "models.lua:1:")
    assert(everywhere("added-token-0123456789", 401))
    gateway.write_models(gw.schemas, models .. 'model "New" { id = key() }')
    process.write(gw.token_file, "broken\n")
    check.status(gw:admin("/admin/reload", "POST"), 422)
    check.problem(gw:get("/models/New?id=1", bearer "reader"), 404, "unknown-model")
  end)

  it("tells of models that are not there, and of a file that others can read", function()
    os.execute("chmod 644 " .. process.quote(gw.token_file))
    process.write(gw.token_file, file .. "added-token-0123456789 added read User,Usr\n")
    local found = cjson.decode(check.status(gw:admin("/admin/reload", "POST"), 200).body).findings
    assert.equal(2, #found)
    check.says(found[1], "others can read")
    check.says(found[2], gw.token_file .. ":11:", "not there")
    become("added-token-0123456789", 200)
  end)

  it("under load fails nobody who keeps a token", function()
    local connections = {}
    for i = 1, 6 do connections[i] = http.connect(gw.address) end
    for round = 1, 20 do
      process.write(gw.token_file, file .. ("round-%020d round read\n"):format(round))
      for _, connection in ipairs(connections) do connection:send(http.format("GET", "/models/Loaded?id=" .. round % 3, bearer "reader"):rep(5)) end
      if round % 2 == 0 then gw:signal "HUP" else check.status(gw:admin("/admin/reload", "POST"), 200) end
      for _, connection in ipairs(connections) do
        for _ = 1, 5 do check.status(connection:receive(), 200) end
      end
    end
    for _, connection in ipairs(connections) do connection:close() end
  end)
end)

describe("a start with a token file", function()
  local function run(text, mode, args)
    local folder = process.temp()
    gateway.write_models(folder .. "/schemas", models)
    if text then
      process.write(folder .. "/tokens", text)
      os.execute(("chmod %s %s/tokens"):format(mode or "600", folder))
    end
    local argv = { "serve", folder .. "/schemas", "--listen", "127.0.0.1:0", "--admin", "off", "--workers", "1", "--token-file", folder .. "/tokens" }
    local code, out, err = gateway.run(argv, { seconds = 10 })
    process.remove(folder)
    return code, out, err, args
  end

  it("that is bad ends with 2, and one line that shows no token", function()
    for text, says in pairs {
      ["planted-0123456789 a raed\n"] = "/tokens:1: permissions are", ["\n\nplanted\n"] = "/tokens:3: a line is", ["# x\n"] = "/tokens: there is no token",
    } do
      local code, out, err = run(text)
      assert.equal(2, code)
      assert.equal("", out)
      check.says(err, says)
      assert.is_nil(err:find("planted", 1, true))
      assert.equal(1, select(2, err:gsub("\n", "")))
    end
  end)

  it("that is not there, or is a folder, ends with 2", function()
    local code, _, err = run(nil)
    assert.equal(2, code)
    check.says(err, "/tokens: No such file")
    code, _, err = gateway.run({ "serve", "schemas", "--listen", "127.0.0.1:0", "--admin", "off", "--token-file", "/tmp" }, { seconds = 10 })
    assert.equal(2, code)
    check.says(err, "/tmp: it is no regular file")
  end)

  it("warns where others can read it", function()
    local gw = start(nil, { mode = "644" })
    check.says(gw:log(), "others can read or write it", gw.token_file)
    gw:finish()
    gw = start(nil, { mode = "640" })
    assert.is_nil(gw:log():find("others can", 1, true))
    gw:finish()
  end)
end)

describe("what the gateway says", function()
  -- Its memory that can be written, as far as it is read easily, in pieces.
  local function in_memory(pid, needle)
    local memory = assert(io.open(("/proc/%d/mem"):format(pid), "rb"))
    local found
    for line in io.lines(("/proc/%d/maps"):format(pid)) do
      local from, to, mode = line:match "^(%x+)-(%x+) (%S+)"
      local at, stop = tonumber(from, 16), tonumber(to, 16)
      if mode:match "^rw" and stop - at <= 2 ^ 28 and memory:seek("set", at) then
        local bytes = memory:read(stop - at)
        if bytes and bytes:find(needle, 1, true) then found = line end
      end
    end
    memory:close()
    return found
  end

  it("never holds a token: not in log, metrics, problems, descriptions", function()
    local gw = start()
    local said = {}
    local function ask(...) said[#said + 1] = gw:request(...) end
    for name, token in pairs(secret) do
      for _, row in ipairs(operations) do
        local response = gw:request(row[1], row[2], bearer(name, row[4]), row[3])
        said[#said + 1] = response
      end
      ask("GET", "/models/" .. token .. "?id=1", { Authorization = "Basic " .. token })
      ask("GET", "/models/User?username=x", { Authorization = token })
    end
    check.status(gw:admin("/admin/reload", "POST"), 200)
    gw:signal "HUP"
    for _, page in ipairs { "/metrics", "/admin/config", "/admin/models", "/", "/readyz" } do said[#said + 1] = gw:admin(page) end
    process.eventually("two reloads", 5, function() return gw:metric "perigee_reloads_total" == 2 end)
    for _, response in ipairs(said) do
      local text = response.head .. response.body
      assert(not text:find("planted", 1, true), text)
    end
    assert.is_nil(gw:log():find("planted", 1, true))
    check.says(gw:log(), '"token":"reader"')
    gw:finish()
  end)

  -- So many lines that chance cannot have written over all of them. A sanitizer's own memory is too large to be searched.
  local when_plain = gateway.sanitized and pending or it
  when_plain("leaves no token in memory that nobody has brought", function()
    local lines = { file }
    for i = 1, 2000 do lines[#lines + 1] = ("planted-quiet-%020d quietname read"):format(i) end
    local gw = start(table.concat(lines, "\n") .. "\n")
    local function search()
      assert(in_memory(gw.pid, "quietname"), "its memory cannot be searched: what is known to be there is not found")
      assert.is_nil(in_memory(gw.pid, "planted-quiet-"))
    end
    search()
    check.status(gw:admin("/admin/reload", "POST"), 200)
    search()
    gw:finish()
  end)
end)

describe("without a token file", function()
  it("nobody is asked for one, and one that is brought does not matter", function()
    local gw = gateway.start { models = models }
    check.status(gw:get "/models", 200)
    check.status(gw:get("/models", bearer "nobody"), 200)
    check.status(gw:get("/models", { Authorization = "Basic x" }), 200)
    check.status(gw:admin "/metrics", 200)
    assert.equal(0, gw:metric "perigee_auth_failures_total")
    gw:finish()
  end)
end)
