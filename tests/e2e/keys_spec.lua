-- tests/e2e/keys_spec.lua -- different keys never meet, equal ones always do, whatever bytes they are made of.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local cjson = require "cjson"

local models = [[
model "Text" { name = key(), value = field() }
model "Pair" { a = key(), b = key{ default = "eu" }, value = field() }
model "Whole" { id = key{ type = "integer" }, value = field() }
model "Real" { x = key{ type = "number" }, value = field() }
model "Flag" { on = key{ type = "boolean" }, value = field() }
model "Any" { id = key{ type = "any" }, value = field() }
]]

-- Names that a careless encoding would mix up.
local odd = {
  "a_b", "a  b", "a b", "a+b", "a&b", "a=b", "a%b", "a%20b", "%20", "%", "%25", "%2520", "", " ", "  ", "a", "A", "ab", "a:b", "a/b",
  "../a", "a/../b", "a?b", "a#b", "a;b", "a,b", "a.b", "a~b", "a-b", "a\0b", "a\0", "\0", "\0\0", "a\nb", "a\rb", "a\r\nb", "a\tb",
  "\127", "\1", "'", '"', "\\", "\\\\", "{}", "[]", "null", "true", "0", "-0", "1", "01", "1.0", "1e0", "#", "#0", "*", "name", "name=a",
  "name=a&value=b", "value", "_a", "$ref", "__proto__", "\195\169", "e\204\129", "\195\137", "\226\132\171", "\195\133", "A\204\138",
  "\240\159\152\128", "\239\187\191a", "\226\128\139", "\226\128\174", "\239\191\189", "\239\191\191",
  ("x"):rep(200), ("x"):rep(256), ("x"):rep(257), ("x"):rep(900), ("x"):rep(899) .. "y", ("\195\169"):rep(450), ("a b"):rep(300),
}

for _, store in ipairs { "memory", "redis" } do
  describe("keys on " .. store, function()
    local gw
    setup(function() gw = gateway.start { models = models, store = store } end)
    teardown(function() gw:finish() end)

    it("odd names never meet and read back, saved with the name in the query", function()
      for i, name in ipairs(odd) do
        check.status(gw:put("/models/Text" .. http.query { name = name }, ('{"value":%d}'):format(i)), 201)
      end
      for i, name in ipairs(odd) do
        local document = check.document(gw:get("/models/Text" .. http.query { name = name }))
        assert.same({ name = name, value = i }, document)
      end
    end)

    it("a name in the body is the same name as in the query", function()
      for i, name in ipairs(odd) do
        check.status(gw:put("/models/Text", cjson.encode { name = name, value = "again " .. i }), 204)
      end
      for i, name in ipairs(odd) do
        assert.same({ name = name, value = "again " .. i }, check.document(gw:get("/models/Text" .. http.query { name = name })))
        check.status(gw:delete("/models/Text" .. http.query { name = name }), 204)
        check.problem(gw:get("/models/Text" .. http.query { name = name }), 404, "missing")
      end
    end)

    it("Location leads to the record", function()
      for i, name in ipairs(odd) do
        local response = check.status(gw:put("/models/Text", cjson.encode { name = name, value = i }), 201)
        assert.equal(i, check.document(gw:get(response.headers.location)).value)
      end
    end)

    it("a plus sign in a query is a space, %2B is a plus", function()
      check.status(gw:put("/models/Text?name=one+two", '{"value":1}'), 201)
      assert.equal("one two", check.document(gw:get "/models/Text?name=one%20two").name)
      check.problem(gw:get "/models/Text?name=one%2Btwo", 404, "missing")
    end)

    it("all spellings of one name in a query are one record", function()
      check.status(gw:put("/models/Text?name=%61%62%63", '{"value":1}'), 201)
      assert.equal("abc", check.document(gw:get "/models/Text?name=abc").name)
      assert.equal("abc", check.document(gw:get "/models/Text?n%61me=%61bc").name)
    end)

    it("two keys do not run into each other", function()
      local pairs_ = { { "a", "b" }, { "ab", "" }, { "", "ab" }, { "a&b=b", "" }, { "a", "b&a=a" }, { "b", "a" }, { "a=b", "c" }, { "a", "=b=c" } }
      for i, pair in ipairs(pairs_) do
        check.status(gw:put("/models/Pair" .. http.query { a = pair[1], b = pair[2] }, ('{"value":%d}'):format(i)), 201)
      end
      for i, pair in ipairs(pairs_) do
        assert.same({ a = pair[1], b = pair[2], value = i },
          check.document(gw:get("/models/Pair" .. http.query { a = pair[1], b = pair[2] })))
      end
    end)

    it("a key that is not given has its default, whichever order they come in", function()
      check.status(gw:put("/models/Pair?a=default", '{"value":1}'), 201)
      assert.same({ a = "default", b = "eu", value = 1 }, check.document(gw:get "/models/Pair?b=eu&a=default"))
      assert.same({ a = "default", b = "eu", value = 1 }, check.document(gw:get "/models/Pair?a=default&b=eu"))
      check.problem(gw:get "/models/Pair?a=default&b=us", 404, "missing")
    end)

    -- A cache or proxy before the gateway must not take one address for another.
    it("what is like an address of a record is none", function()
      check.status(gw:put("/models/Text?name=alike", '{"value":1}'), 201)
      for _, path in ipairs {
        "/models/Text/?name=alike", "/models/Text;x?name=alike", "/models/Text;x=1/?name=alike", "/models/Text/x.css?name=alike",
        "/models/Text.css?name=alike", "/models/Text/..%2fText?name=alike", "/models//Text?name=alike", "/models/./Text?name=alike",
        "/models/text?name=alike", "/models/Text%20?name=alike", "/models/Text%00?name=alike", "/models/Text/%2e%2e/Text?name=alike",
        "/models/Text%2f?name=alike", "/models/Text%3fname=alike",
      } do
        check.status(gw:get(path), 404)
      end
      for _, name in ipairs { "alike;x", "alike/x.css", "alike/", "Alike", "alike.css", "alike?x", "alike%3Fx", "alike%23x", "alike%00", "alike%20" } do
        check.problem(gw:get("/models/Text?name=" .. name), 404, "missing")
      end
      for _, query in ipairs { "?name=alike&", "?&name=alike", "?name=alike&name=alike", "?Name=alike", "?name[]=alike", "?name=alike;x=1&x" } do
        local response = gw:get("/models/Text" .. query)
        assert(response.status == 400 or response.status == 404, query .. " " .. response.status)
      end
      assert.equal(1, check.document(gw:get "/models/%54ext?n%61me=%61like").value) -- the same address in other letters
    end)

    it("models do not share keys", function()
      check.status(gw:put("/models/Any?id=4711", '{"value":"any"}'), 201)
      check.status(gw:put("/models/Whole?id=4711", '{"value":"whole"}'), 201)
      assert.equal("any", check.document(gw:get "/models/Any?id=4711").value)
      assert.equal("whole", check.document(gw:get "/models/Whole?id=4711").value)
    end)

    it("integers are integers, to the last of 64 bits", function()
      for _, id in ipairs { "0", "7", "-7", "9007199254740993", "9223372036854775807", "-9223372036854775808" } do
        check.status(gw:put("/models/Whole?id=" .. id, '{"value":1}'), id == "1" and 204 or 201)
        local response = check.status(gw:get("/models/Whole?id=" .. id), 200)
        assert.equal(('{"id":%s,"value":1}'):format(id), response.body)
        check.status(gw:put("/models/Whole", ('{"id":%s,"value":2}'):format(id)), 204)
      end
      for _, id in ipairs { "seven", "", "1.5", "1.0", "1e3", "0x10", "9223372036854775808", "-9223372036854775809", "%2B1", "1%20", "+1", "true" } do
        check.problem(gw:get("/models/Whole?id=" .. id), 400, "key-type")
      end
      for _, id in ipairs { '"1"', "1.5", "true", "null", "[]", "{}" } do
        check.problem(gw:put("/models/Whole", ('{"id":%s,"value":2}'):format(id)), 400, "key-type")
      end
    end)

    it("numbers that are equal are one key", function()
      check.status(gw:put("/models/Real?x=1.50", '{"value":1}'), 201)
      check.status(gw:put("/models/Real", '{"x":15e-1,"value":2}'), 204)
      assert.equal(2, check.document(gw:get "/models/Real?x=1.5").value)
      for _, x in ipairs { "one", "", "NaN", "inf", "1e999", "0x1", ".5", "1." } do
        check.problem(gw:get("/models/Real?x=" .. x), 400, "key-type")
      end
    end)

    it("booleans are true and false", function()
      check.status(gw:put("/models/Flag?on=true", '{"value":1}'), 201)
      check.status(gw:put("/models/Flag", '{"on":false,"value":0}'), 201)
      assert.same({ on = true, value = 1 }, check.document(gw:get "/models/Flag?on=true"))
      assert.same({ on = false, value = 0 }, check.document(gw:get "/models/Flag?on=false"))
      for _, on in ipairs { "1", "0", "yes", "TRUE", "" } do check.problem(gw:get("/models/Flag?on=" .. on), 400, "key-type") end
      check.problem(gw:put("/models/Flag", '{"on":"true","value":0}'), 400, "key-type")
    end)

    it("42 and \"42\" differ where any type may stand", function()
      check.status(gw:put("/models/Any", '{"id":42,"value":"number"}'), 201)
      check.status(gw:put("/models/Any", '{"id":"42","value":"string"}'), 201)
      check.status(gw:put("/models/Any", '{"id":true,"value":"boolean"}'), 201)
      check.status(gw:put("/models/Any", '{"id":"true","value":"word"}'), 201)
      assert.same({ id = 42, value = "number" }, check.document(gw:get "/models/Any?id=42"))
      assert.same({ id = "42", value = "string" }, check.document(gw:get "/models/Any?id=%2242%22"))
      assert.same({ id = true, value = "boolean" }, check.document(gw:get "/models/Any?id=true"))
      assert.same({ id = "true", value = "word" }, check.document(gw:get "/models/Any?id=%22true%22"))
      check.status(gw:put("/models/Any?id=word", '{"value":1}'), 201)
      assert.same({ id = "word", value = 1 }, check.document(gw:get "/models/Any?id=%22word%22"))
    end)

    it("a string key takes no other type from a body", function()
      for _, name in ipairs { "1", "true", "null", "[]", '{"a":1}' } do
        check.problem(gw:put("/models/Text", ('{"name":%s,"value":1}'):format(name)), 400, "key-type")
      end
    end)

    it("bytes that are not UTF-8 are no key", function()
      for _, name in ipairs { "%FF", "%C3", "%ED%A0%80", "%C0%80", "a%80" } do
        local response = gw:get("/models/Text?name=" .. name)
        check.status(response, 400)
        check.status(gw:put("/models/Text?name=" .. name, '{"value":1}'), 400)
      end
    end)

    it("a key over the limit of the request line is refused and harms nobody", function()
      check.problem(gw:get("/models/Text?name=" .. ("x"):rep(9000)), 414, "uri-too-long")
      local long = ("y"):rep(100000)
      check.status(gw:put("/models/Text", cjson.encode { name = long, value = 1 }), 201)
      check.status(gw:put("/models/Text", cjson.encode { name = long, value = 1 }), 204)
    end)
  end)
end

describe("naughty strings", function()
  local gw
  local path = (os.getenv "PERIGEE_TEST_DATA" or "../shared/data") .. "/unicode/blns.json"
  setup(function() gw = gateway.start { models = models, store = "redis" } end)
  teardown(function() gw:finish() end)

  it("live as keys and as values", function()
    local text = process.read(path)
    if not text then return pending("no " .. path) end
    local strings, seen = cjson.decode(text), {}
    for _, name in ipairs(strings) do
      check.status(gw:put("/models/Text", cjson.encode { name = name, value = name }), seen[name] and 204 or 201)
      seen[name] = true
    end
    for _, name in ipairs(strings) do
      assert.same({ name = name, value = name }, check.document(gw:get("/models/Text" .. http.query { name = name })))
    end
    check.status(gw:admin "/healthz", 200)
  end)
end)
