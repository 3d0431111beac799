-- tests/e2e/describe_spec.lua -- what the gateway says of itself is what it does: the list, the schemas and the OpenAPI document parse,
-- change with the models, and every answer that the tests provoke is one that the document promises.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local schema = require "tests.support.schema"
local cjson = require "cjson"

local models = process.read "tests/support/models/described.lua"
local names = { "User", "All", "models", "Loaded", "Place", "Person" }
local plain = { "User", "All", "models", "Loaded" } -- whose examples can be saved and read by themselves

-- Calls each(method, call, path, item) for every call of the document.
local function calls(document, each)
  for path, item in pairs(document.paths) do
    for method, call in pairs(item) do
      if method ~= "parameters" then each(method, call, path, item) end
    end
  end
end

local function resolved(document, one) return one["$ref"] and schema.follow(document, one["$ref"]) or one end

-- Headers that no call has to promise: those of HTTP itself, and what the description of the whole document tells.
local OF_HTTP = { date = true, connection = true, allow = true, ["content-type"] = true, ["content-length"] = true }

-- Raises unless the document promises this answer to this call.
local answered = {} -- calls that have had an answer below 300

local function check_promised(document, method, path, response)
  if response.status < 300 then answered[method .. " " .. path] = true end
  local call = document.paths[path][method]
  local promise = call.responses[tostring(response.status)]
  if not promise then error(("%s %s: %d is not promised"):format(method, path, response.status), 2) end
  promise = resolved(document, promise)
  local promised = {}
  for name, header in pairs(promise.headers or {}) do promised[name:lower()] = header end
  for name, value in pairs(response.headers) do
    local header = promised[name]
    if not header and not OF_HTTP[name] then
      error(("%s %s: %d comes with %s"):format(method, path, response.status, name), 2)
    end
    if header then
      local why = schema.fault(document, resolved(document, header).schema, tonumber(value) or value)
      assert(not why, name .. " " .. tostring(why))
    end
  end
  if response.body == "" then return end
  if response.status == 201 then promise = resolved(document, call.responses["200"]) end
  local content = promise.content and promise.content[response.headers["content-type"]]
  if not content then error(("%s %s: %d with %s"):format(method, path, response.status, response.headers["content-type"]), 2) end
  local why = schema.fault(document, content.schema, cjson.decode(response.body))
  if why then error(("%s %s: %d: %s: %s"):format(method, path, response.status, why, response.body), 2) end
end

-- A schema that stands alone, as it stands in the OpenAPI document: other models' are components there.
local function within_document(at)
  if type(at) == "string" then return (at:gsub("^/models/(%w+)/_schema$", "#/components/schemas/%1")) end
  if type(at) ~= "table" then return at end
  local copy = {}
  for name, one in pairs(at) do copy[name] = within_document(one) end
  return copy
end

describe("descriptions", function()
  local gw, document
  setup(function()
    gw = gateway.start { models = models, workers = 2, args = { "--max-body", "64KiB" } }
    document = check.document(gw:get "/openapi.json")
  end)
  teardown(function() gw:finish() end)

  it("list the models, in their order", function()
    local list = check.document(gw:get "/models")
    local listed = {}
    for i, model in ipairs(list.models) do listed[i] = model.name end
    assert.same(names, listed)
    assert.same({
      name = "User", loader = false,
      keys = { { name = "username", type = "string", required = true }, { name = "region", type = "string", required = false, default = "eu" } },
      fields = { { name = "email", type = "string", required = true }, { name = "age", type = "integer", required = true, default = 18 },
        { name = "more", type = "any", required = false } },
      links = { record = "/models/User{?username,region}", schema = "/models/User/_schema", bulk = "/models/User/_bulk",
        touch = "/models/User/_touch", invalidate = "/models/User/_invalidate" }, methods = {},
    }, list.models[1])
    assert.is_true(list.models[4].loader)
    assert.equal("/models/Loaded/_refresh", list.models[4].links.refresh)
    assert.same({ self = "/models", forms = "/forms", openapi = "/openapi.json" }, list.links)
    assert.is_nil(schema.fault(document, document.components.schemas._Models, list))
  end)

  it("list references, packed values and methods with their models", function()
    local list = check.document(gw:get "/models").models
    local place, person = list[5], list[6]
    assert.same({
      { name = "at", type = "reference", model = "Place", missing = "fail", required = true },
      { name = "mother", type = "reference", model = "Person", missing = "null", required = false },
      { name = "friends", type = "references", model = "Person", missing = "skip", max = 3, required = false },
      { name = "secret", type = "packed", required = false },
    }, person.fields)
    assert.same({
      { name = "here", attributes = { { name = "name", type = "string", required = true } },
        arguments = { { name = "word", type = "string", required = false, default = "Hello" },
          { name = "times", type = "integer", required = true }, { name = "note", type = "any", required = false } },
        links = { call = "/models/Place/here{?name,word,times,note}" } },
      { name = "called", attributes = { { name = "phone", type = "string", required = false } }, arguments = {},
        links = { call = "/models/Place/called{?phone,name}" } },
    }, place.methods)
  end)

  it("list the forms", function()
    local response = gw:get "/forms"
    local list = check.document(response)
    assert.same({ { name = "Lookup",
      inputs = { { name = "name", type = "string", required = true }, { name = "age", type = "integer", required = false } },
      methods = { { name = "find", arguments = { { name = "all", type = "boolean", required = false, default = false } },
        links = { call = "/forms/Lookup/find{?name,age,all}" } } } } }, list.forms)
    assert.same({ self = "/forms", models = "/models", openapi = "/openapi.json" }, list.links)
    assert.is_nil(schema.fault(document, document.components.schemas._Forms, list))
    check_promised(document, "get", "/forms", response)
  end)

  it("have a schema of each model, that its records fit", function()
    for _, model in ipairs(check.document(gw:get "/models").models) do
      local response = check.status(gw:get(model.links.schema), 200)
      assert.equal("application/schema+json", response.headers["content-type"])
      local described = cjson.decode(response.body)
      assert.equal("https://json-schema.org/draft/2020-12/schema", described["$schema"])
      assert.equal(model.name, described.title)
      assert.is_false(described.additionalProperties)
      for _, member in ipairs(model.keys) do assert.is_string(described.properties[member.name].description) end
      for _, example in ipairs(described.examples or {}) do assert.is_nil(schema.fault(described, described, example)) end
      assert.equal(model.links.schema, described["$id"])
      described["$schema"], described["$id"] = nil, nil
      local component = document.components.schemas[model.name]
      described.properties["$explain"] = component.properties["$explain"] -- which answers have, and records have not
      assert.same(component, within_document(described))
    end
  end)

  it("and refuse what does not fit", function()
    local user = cjson.decode(gw:get("/models/User/_schema").body)
    for text, fits in pairs {
      ['{"username":"a","region":"eu","email":"e","age":1}'] = true, ['{"username":"a","region":"eu","email":"e","age":1,"more":null}'] = true,
      ['{"username":"a","email":"e","age":1}'] = false, ['{"username":"a","region":"eu","email":null,"age":1}'] = false,
      ['{"username":"a","region":"eu","email":"e","age":"1"}'] = false, ['{"username":"a","region":"eu","email":"e","age":1,"x":1}'] = false,
    } do
      assert.equal(fits, schema.fault(user, user, cjson.decode(text)) == nil, text)
    end
  end)

  it("are OpenAPI 3.1 whose references lead somewhere", function()
    local function walk(at)
      if type(at["$ref"]) == "string" then schema.follow(document, at["$ref"]) end
      for _, one in pairs(at) do
        if type(one) == "table" then walk(one) end
      end
    end
    assert.equal("3.1.0", document.openapi)
    walk(document)
    local ids, paths, tags = {}, {}, {}
    for _, tag in ipairs(document.tags) do tags[tag.name] = true end
    calls(document, function(_, call)
      assert.is_nil(ids[call.operationId], call.operationId)
      ids[call.operationId] = true
      assert.is_true(tags[call.tags[1]], call.tags[1])
    end)
    for path in pairs(document.paths) do paths[#paths + 1] = path end
    table.sort(paths)
    assert.same({ "/_invalidate", "/forms", "/forms/Lookup/find", "/forms/{form}/_invalidate", "/models", "/models/All", "/models/Loaded", "/models/Person", "/models/Place",
      "/models/Place/called", "/models/Place/here", "/models/User", "/models/models", "/models/{model}/_bulk", "/models/{model}/_invalidate",
      "/models/{model}/_refresh", "/models/{model}/_schema", "/models/{model}/_touch", "/openapi.json" }, paths)
    for _, name in ipairs { "getUser", "headUser", "saveUser", "patchUser", "deleteUser", "getmodels", "listModels", "describeModel", "describeGateway",
      "listForms", "callPlace.here", "headPlace.here", "postPlace.here", "forgetPlace.here", "callLookup.find" } do
      assert.is_true(ids[name], name)
    end
  end)

  it("have examples that fit, of parameters, headers and problems", function()
    local components = document.components
    for _, name in ipairs(names) do
      for _, one in ipairs { components.schemas[name], components.schemas[name .. ".save"] } do
        for _, example in ipairs(one.examples or {}) do assert.is_nil(schema.fault(document, one, example)) end
      end
    end
    for _, name in ipairs { "Place.here", "Place.called", "Lookup.find" } do
      local one = components.schemas[name]
      for _, example in ipairs(one.examples) do assert.is_nil(schema.fault(document, one, example)) end
    end
    calls(document, function(_, call, path, item)
      for _, list in ipairs { item.parameters or {}, call.parameters or {} } do
        for _, parameter in ipairs(list) do
          parameter = resolved(document, parameter)
          if parameter.example ~= nil then assert.is_nil(schema.fault(document, parameter.schema, parameter.example), path) end
        end
      end
      for status, promise in pairs(call.responses) do
        local content = (resolved(document, promise).content or {})["application/problem+json"]
        for _, example in pairs(content and content.examples or {}) do
          local value = resolved(document, example).value
          assert.equal(tonumber(status), value.status)
          assert.is_nil(schema.fault(document, content.schema, value))
        end
      end
    end)
    for _, header in pairs(components.headers) do
      if header.example then assert.is_nil(schema.fault(document, header.schema, header.example)) end
    end
  end)

  -- The record that the document shows, and its address by the examples of its keys.
  local function example_of(name)
    local keys = {}
    for _, parameter in ipairs(document.paths["/models/" .. name].parameters) do keys[parameter.name] = parameter.example end
    return document.components.schemas[name .. ".save"].examples[1], "/models/" .. name .. http.query(keys)
  end

  it("are true of a record's life", function()
    for _, name in ipairs(plain) do
      local path, example, address = "/models/" .. name, example_of(name)
      local body = cjson.encode(example):gsub('"array":{}', '"array":[]')
      local function call(method, target, headers, sent)
        local response = gw:request(method:upper(), target, headers, sent)
        check_promised(document, method, path, response)
        return response
      end
      check.status(call("put", path, nil, body), 201)
      check.status(call("put", address .. "&_expires=90s", { ["Cache-Control"] = "max-age=60" }, body), 204)
      check.status(call("put", path, { Prefer = "return=representation" }, body), 200)
      local response = check.status(call("get", address), 200)
      assert.same(example, cjson.decode(response.body))
      check.status(call("get", address, { ["If-None-Match"] = response.headers.etag }), 304)
      check.status(call("get", address .. "&_explain=1"), 200)
      check.status(call("head", address .. "&_explain=1"), 200)
      check.status(call("head", address), 200)
      check.status(call("patch", address, { ["Content-Type"] = "application/merge-patch+json" }, "{}"), 204)
      check.status(call("patch", address .. "&_expires=90s", { Prefer = "return=representation" }, "{}"), 200)
      for _, method in ipairs { "put", "patch", "delete" } do check.status(call(method, address, { ["If-Match"] = '"x"' }, body), 412) end
      check.status(call("delete", address), 204)
      check.status(call("delete", address), 204)
      check.status(call("patch", address, nil, "{}"), 404)
      check.status(call("get", address .. "&_explain=1", { ["Cache-Control"] = "only-if-cached" }), 504)
      check.status(call("head", address), 404)
      check.status(call("get", address, { ["Cache-Control"] = "only-if-cached" }), 504)
      check.status(call("put", path, { Prefer = "return=representation" }, body), 201)
      call("delete", address)
    end
  end)

  it("are true of what goes wrong", function()
    local function call(path, method, target, code, headers, body)
      local response = gw:request(method:upper(), target, headers, body)
      check.problem(response, response.status, code)
      check_promised(document, method, path, response)
    end
    for _, method in ipairs { "get", "put", "delete" } do
      local body = method == "put" and '{"email":"e"}' or nil
      call("/models/User", method, "/models/User", "key-required", nil, body)
      call("/models/User", method, "/models/User?usrname=x", "unknown-key", nil, body)
      call("/models/User", method, "/models/User?username=x&_no=1", "malformed-request", nil, body)
      call("/models/All", method, "/models/All?i=x", "key-type", nil, body)
      call("/models/User", method, "/models/User?username=" .. ("x"):rep(9000), "uri-too-long", nil, body)
      call("/models/User", method, "/models/User?username=x", "headers-too-large", { ["X-Large"] = ("x"):rep(20000) }, body)
      call("/models/User", method, "/models/User?username=x", "expectation-failed", { Expect = "more" }, body)
      call("/models/User", method, "/models/User?username=x", "body-too-large", nil, ("x"):rep(70000))
    end
    call("/models/User", "get", "/models/User?username=none", "missing")
    call("/models/User", "put", "/models/User", "malformed-json", nil, "{")
    call("/models/User", "put", "/models/User?username=x", "key-conflict", nil, '{"username":"y","email":"e"}')
    call("/models/User", "put", "/models/User?username=x", "unknown-field", nil, '{"emial":"e"}')
    call("/models/User", "put", "/models/User?username=x", "field-type", nil, '{"email":1}')
    call("/models/User", "put", "/models/User?username=x", "field-required", nil, '{}')
    call("/models/User", "put", "/models/User?username=x", "unsupported-media", { ["Content-Type"] = "text/plain" }, "x")
    call("/models/User", "put", "/models/User?username=x", "not-implemented", { ["If-Unmodified-Since"] = "Sun, 22 Nov 2026 18:00:00 GMT" }, "{}")
    check.status(gw:put("/models/User?username=patched", '{"email":"e"}'), 201)
    for body, code in pairs {
      ["{"] = "malformed-json", ['{"username":"y"}'] = "key-conflict", ['{"emial":"e"}'] = "unknown-field", ['{"email":1}'] = "field-type",
      ['{"email":null}'] = "field-required", ["[]"] = "malformed-request",
    } do
      call("/models/User", "patch", "/models/User?username=patched", code, nil, body)
    end
    call("/models/User", "patch", "/models/User?username=patched", "unsupported-media", { ["Content-Type"] = "text/plain" }, "x")
    call("/models/Loaded", "get", "/models/Loaded?id=none", "missing")
    call("/models/Loaded", "get", "/models/Loaded?id=bad", "loader-error")
    call("/models/Loaded", "get", "/models/Loaded?id=slow", "loader-timeout")
    call("/models/{model}/_schema", "get", "/models/Usr/_schema", "unknown-model")
    for _, path in ipairs { "/models", "/openapi.json" } do
      call(path, "get", path .. "?x=1", "malformed-request")
      call(path, "get", path, "body-too-large", nil, ("x"):rep(70000))
    end
    assert.is_nil(document.paths["/models/User"].get.responses["502"]) -- it has no loader
  end)

  it("are true of documents", function()
    local function call(method, target, status, headers, body)
      local response = check.status(gw:request(method:upper(), target, headers, body), status)
      check_promised(document, method, "/models/Person", response)
      return response
    end
    call("get", "/models/Person?id=3", 404) -- it is nowhere: there is no Place
    check.status(gw:put("/models/Place", '{"name":"here"}'), 201)
    check.status(gw:put("/models/Place", '{"name":"text","phone":"1"}'), 201)
    local body = call("get", "/models/Person?id=3&_depth=1", 200).body
    check.says(body, '"mother":{"id":2,"at":{"name":"here","$ref":"/models/Place?name=here"}', '"secret":{"$packed":')
    call("get", "/models/Person?id=20&_depth=0", 200)
    call("get", "/models/Person?id=20", 200)
    call("get", "/models/Person?id=20&_explain=1", 200)
    call("get", "/models/Person?id=4&_include=mother", 200)
    call("get", "/models/Person?id=4&_include=mothr", 422)
    call("get", "/models/Person?id=4&_fields=nothing", 422)
    call("get", "/models/Person?id=4&_depth=-1", 400)
    call("head", "/models/Person?id=20&_depth=0", 200)
    local example = cjson.encode(document.components.schemas["Person.save"].examples[1])
    call("put", "/models/Person", 201, nil, example) -- its number is 1
    check.document(gw:get "/models/Person?id=1") -- its mother is itself: a cycle
    call("get", "/models/Person?id=1", 200)
    call("put", "/models/Person", 422, nil, '{"id":1,"at":{"name":"x","phone":"2"}}')
    call("put", "/models/Person?_cascade=1", 201, nil, '{"id":5,"at":{"name":"x","phone":"2"}}')
    call("put", "/models/Person", 422, nil, '{"id":-1,"at":{"name":"x"}}')
    call("patch", "/models/Person?id=1", 422, nil, '{"friends":[1]}')
    call("patch", "/models/Person?id=1", 204, nil, '{"friends":[]}')
  end)

  it("are true of actions", function()
    local function call(action, model, status, body, query, headers)
      local path = "/models/{model}/_" .. action
      local content = document.paths[path].post.requestBody.content["application/json"]
      if status < 300 then assert.is_nil(schema.fault(document, content.schema, cjson.decode(body))) end
      local response = check.status(gw:request("POST", ("/models/%s/_%s%s"):format(model, action, query or ""), headers, body), status)
      check_promised(document, "post", path, response)
      return response
    end
    check.status(gw:put("/models/User", '{"username":"acted","email":"e"}'), 201)
    call("touch", "User", 204, '{"keys":{"username":"acted"},"expires":"15m"}')
    call("touch", "User", 204, '{"keys":{"username":"acted"},"expires":60}')
    call("touch", "User", 404, '{"keys":{"username":"nobody"}}')
    call("invalidate", "User", 204, '{"keys":{"username":"acted"},"mode":"expire"}')
    call("invalidate", "User", 204, '{"all":true}')
    call("invalidate", "User", 400, '{"all":true,"keys":{"username":"x"}}')
    for path, schema_name in pairs { ["/_invalidate"] = "/_invalidate", ["/forms/Lookup/_invalidate"] = "/forms/{form}/_invalidate" } do
      local body = path == "/_invalidate" and '{"tags":["x"],"mode":"expire"}' or '{"all":true}'
      local content = document.paths[schema_name].post.requestBody.content["application/json"]
      assert.is_nil(schema.fault(document, content.schema, cjson.decode(body)))
      check_promised(document, "post", schema_name, check.status(gw:request("POST", path, nil, body), 204))
      check_promised(document, "post", schema_name, check.status(gw:request("POST", path, nil, '{"tags":[]}'), 400))
    end
    call("refresh", "Loaded", 200, '{"keys":{"id":"x"},"wait":true}')
    call("refresh", "Loaded", 202, '{"keys":{"id":"x"}}')
    call("refresh", "Loaded", 404, '{"keys":{"id":"none"},"wait":true}')
    call("refresh", "Loaded", 502, '{"keys":{"id":"bad"},"wait":true}')
    call("refresh", "Loaded", 504, '{"keys":{"id":"slow"},"wait":true}')
    call("refresh", "Loaded", 422, '{"keys":{"id":"x"}}', "?_fields=no")
    call("refresh", "User", 404, '{"keys":{"username":"x"}}')
    call("bulk", "User", 200, '{"get":[{"username":"x"},{}],"save":[{"username":"y","email":"e"},{}],"delete":[{"username":"y"}]}')
    call("bulk", "User", 200, '{"save":[{"username":"y","email":"e"}]}', "?_expires=9s", { Prefer = "return=representation" })
    call("bulk", "Person", 200, '{"get":[{"id":1}]}', "?_depth=0")
    call("bulk", "User", 422, "{}", "?_fields=no")
    for _, action in ipairs { "touch", "invalidate", "bulk" } do
      call(action, "Usr", 404, "{}")
      call(action, "User", 400, "{")
      call(action, "User", 400, '{"key":1}')
      call(action, "User", 415, "x", nil, { ["Content-Type"] = "text/plain" })
      call(action, "User", 501, "{}", nil, { ["If-Match"] = "*" })
    end
  end)

  it("are true of calls", function()
    local urlencoded = { ["Content-Type"] = "application/x-www-form-urlencoded" }
    local function call(path, method, query, status, headers, body)
      local response = check.status(gw:request(method:upper(), path .. query, headers, body), status)
      check_promised(document, method, path, response)
      return response
    end
    local here = "/models/Place/here"
    local etag = call(here, "get", "?name=a&times=1", 200).headers.etag
    call(here, "get", "?name=a&times=1", 304, { ["If-None-Match"] = etag })
    call(here, "head", "?name=a&times=1", 200)
    call(here, "head", "?name=b&times=1", 404)
    call(here, "get", "?name=b&times=1", 504, { ["Cache-Control"] = "only-if-cached" })
    call(here, "get", "?name=none&times=1", 404)
    call(here, "get", "?name=none&times=1&_explain=1", 404)
    call(here, "post", "?name=a&times=1&_explain=1", 200)
    call(here, "get", "?name=bad&times=1", 502)
    call(here, "get", "?name=a", 400)
    call(here, "post", "", 200, nil, cjson.encode(document.components.schemas["Place.here"].examples[1]))
    call(here, "post", "", 200, urlencoded, "name=a&times=1")
    call(here, "post", "", 415, { ["Content-Type"] = "text/plain" }, "x")
    call(here, "post", "?name=a", 400, nil, '{"name":"b"}')
    call(here, "post", "", 400, nil, '{')
    call(here, "delete", "?name=a&times=1", 204)
    call(here, "delete", "?name=a", 400)
    check.status(gw:put("/models/Place", '{"name":"phoned","phone":"7"}'), 201)
    call("/models/Place/called", "get", "?name=phoned", 200)
    call("/models/Place/called", "get", "?name=nowhere", 404)
    call("/models/Place/called", "delete", "?name=nowhere", 404)
    local find = "/forms/Lookup/find"
    call(find, "get", "?name=Bob&age=7", 200)
    call(find, "post", "", 200, urlencoded, "name=Bob&age=")
    call(find, "post", "", 200, nil, cjson.encode(document.components.schemas["Lookup.find"].examples[1]))
    for _, method in ipairs { "get", "head", "post", "delete" } do call(find, method, "?name=bad&age=old", 422) end
    call(find, "delete", "?name=BOB&age=7", 204)
  end)

  it("are true of what no other test here asks for", function()
    local function call(path, method, query, status, body)
      check_promised(document, method, path, check.status(gw:request(method:upper(), path .. query, nil, body), status))
    end
    call("/models/Place", "put", "?name=last", 201, '{"phone":"7"}')
    call("/models/Place", "patch", "?name=last", 204, '{"phone":"8"}')
    call("/models/Place", "get", "?name=last", 200)
    call("/models/Place", "head", "?name=last", 200)
    call("/models/Place/called", "post", "", 200, '{"name":"last"}')
    call("/models/Place/called", "head", "?name=last", 200)
    call("/models/Place/called", "delete", "?name=last", 204)
    call("/models/Place", "delete", "?name=last", 204)
    call("/models/Person", "delete", "?id=20", 204)
    call("/forms/Lookup/find", "get", "?name=last", 200)
    call("/forms/Lookup/find", "head", "?name=last", 200)
  end)

  it("are answered as promised, with a tag and 304", function()
    local targets = { ["/forms"] = "/forms", ["/models"] = "/models", ["/openapi.json"] = "/openapi.json", ["/models/{model}/_schema"] = "/models/All/_schema" }
    for path, target in pairs(targets) do
      local response = gw:get(target)
      check_promised(document, "get", path, response)
      assert.equal("no-cache", response.headers["cache-control"])
      assert.truthy(response.headers.etag:match '^"%x+"$')
      for _ = 1, 8 do -- on whichever worker
        assert.equal(response.body, http.request(gw.address, "GET", target).body)
      end
      local head = check.status(gw:head(target), 200)
      for _, name in ipairs { "etag", "cache-control", "content-type", "content-length" } do
        assert.equal(response.headers[name], head.headers[name])
      end
      for _, condition in ipairs { response.headers.etag, "W/" .. response.headers.etag, '"x", ' .. response.headers.etag, "*" } do
        local unchanged = check.status(gw:get(target, { ["If-None-Match"] = condition }), 304)
        check_promised(document, "get", path, unchanged)
        assert.equal(response.headers.etag, unchanged.headers.etag)
      end
      check.status(gw:get(target, { ["If-None-Match"] = '"x"' }), 200)
    end
  end)

  it("are only read", function()
    for _, target in ipairs { "/models", "/forms", "/openapi.json", "/models/User/_schema" } do
      for _, method in ipairs { "PUT", "POST", "PATCH", "DELETE" } do
        local response = gw:request(method, target, nil, "{}")
        check.problem(response, 405, "method-not-allowed")
        assert.equal("GET, HEAD, OPTIONS", response.headers.allow)
      end
      local response = check.status(gw:request("OPTIONS", target), 204)
      assert.equal("GET, HEAD, OPTIONS", response.headers.allow)
      check.problem(gw:get(target .. "?a=b"), 400, "malformed-request")
    end
  end)

  it("name the action that was meant", function()
    check.says(check.problem(gw:get "/models/User/_shema", 404, "not-found").detail, "`_shema`", "did you mean `_schema`?")
    check.problem(gw:get "/models/User/_nothing", 404, "not-found")
    check.problem(gw:get "/models/_schema", 404, "not-found")
    check.problem(gw:get "/models/User/x/_schema", 404, "not-found")
    check.problem(gw:get "/models/User/_schema/", 404, "not-found")
    check.says(check.problem(gw:get "/models/Usr/_schema", 404, "unknown-model").detail, "did you mean `User`?")
  end)

  it("are counted", function()
    local function counts(op, model) return gw:metric("perigee_requests_total", { op = op, model = model, outcome = "ok" }) end
    local list, one, openapi = counts("list", "-"), counts("schema", "User"), counts("openapi", "-")
    gw:get "/models"
    gw:head "/models/User/_schema"
    gw:get "/openapi.json"
    assert.same({ list + 1, one + 1, openapi + 1 }, { counts("list", "-"), counts("schema", "User"), counts("openapi", "-") })
  end)

  it("were true of every call there is, when it went well", function()
    local lacking = {}
    calls(document, function(method, _, path)
      if not answered[method .. " " .. path] then lacking[#lacking + 1] = method .. " " .. path end
    end)
    table.sort(lacking)
    assert.same({}, lacking)
  end)
end)

describe("descriptions and a reload", function()
  it("change together, for those who ask from then on", function()
    local gw = gateway.start { models = models, workers = 2 }
    local before = {}
    for _, target in ipairs { "/models", "/openapi.json", "/models/User/_schema" } do before[target] = gw:get(target) end
    gateway.write_models(gw.schemas, models:gsub("email =", "mail ="))
    check.status(gw:admin("/admin/reload", "POST"), 200)
    for target, old in pairs(before) do
      process.eventually("a new " .. target, 5, function()
        for _ = 1, 6 do
          if http.request(gw.address, "GET", target).headers.etag == old.headers.etag then return false end
        end
        return true
      end)
      local new = check.status(gw:get(target, { ["If-None-Match"] = old.headers.etag }), 200)
      assert.is_nil(new.body:find('"email"', 1, true))
      check.says(new.body, '"mail"')
    end
    gateway.write_models(gw.schemas, { a = [[model "Other" { id = key() }]] })
    check.status(gw:admin("/admin/reload", "POST"), 200)
    process.eventually("no User", 5, function() return gw:get("/models/User/_schema").status == 404 end)
    gw:finish()
  end)
end)

describe("very many models", function()
  it("are described too", function()
    local texts = {}
    for i = 1, 300 do
      local fields = {}
      for j = 1, 60 do fields[j] = ("field_%d = field{ type = 'integer', default = %d }"):format(j, j) end
      texts[i] = ("model 'Model%d' { id = key(), %s }"):format(i, table.concat(fields, ", "))
    end
    local half = #texts / 2
    local gw = gateway.start { models = { a = table.concat(texts, "\n", 1, half), b = table.concat(texts, "\n", half + 1) } }
    assert.equal(300, #check.document(gw:get "/models").models)
    local document = check.document(gw:get "/openapi.json")
    assert.is_table(document.paths["/models/Model300"].put)
    gw:finish()
  end)
end)
