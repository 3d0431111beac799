-- tests/e2e/bettercache_spec.lua -- what the documents and tests of the Python library bettercache promise, as Perigee keeps it, and what its code
-- got wrong, which must not happen here. docs/bettercache.md has the same list in words.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local cjson = require "cjson"

-- `Source` stands for a database: what a loader or method reads there can be changed from outside.
local models = [[
model "Source" { name = key(), row = field() }

model "A" { a = key{ type = "integer" }, b = key{ type = "any" }, note = field() }
model "D" { a = key{ type = "integer" }, b = key{ type = "any" }, note = field() }
model "C" { name = key(), value = field() }
model "C2" { name = key(), value = field() }
model "E" { a = key{ type = "integer" }, b = field(), from_miss = function(self) log.info "E loads"; self.b = self.a + 1 end }
model "P" { k = key(), p = packed(), shown = field(),
  from_miss = function(self)
    self.p = { [1] = true, [2] = true, [3] = true, name = "set", deep = { { 1, 2 }, [0.5] = "half", ["\255\0"] = 9007199254740993LL } }
  end }
model "Reads" { k = key(), same = field(), from_miss = function(self)
  local p = P.get{ k = self.k }.p
  local n = 0
  for _ in pairs(p) do n = n + 1 end
  self.same = n == 5 and p[1] and p[2] and p[3] and p.name == "set" and p.deep[1][2] == 2 and p.deep[0.5] == "half"
    and p.deep["\255\0"] == 9007199254740993LL
end }
model "R" { k = key(), ref = reference "C" }
model "S" { k = key(), value = field(), ref = reference "self" }

model "Workplace" { name = key(), phone = field(), address = field(), employee_count = field{ type = "integer" } }
model "User" { username = key(), email = field(), full_name = field(), workplace = reference "Workplace", mother = reference "self",
  father = reference "self" }

model "Home" { address = key(), geocode = cached_method{ on = { "address" }, expires = "1h",
  function(self) return Source.get{ name = self.address }.row end } }

form "SimpleForm" {
  username = input{ required = true },
  get_full_name = cached_form_method{ expires = "1h", args = { skip_middle = arg{ type = "boolean", default = false } },
    function(self, args)
      local source = Source.get{ name = self.cleaned_data.username }
      if not source then return null end
      return args.skip_middle and source.row:gsub(" %a+ ", " ") or source.row
    end },
}
form "OtherForm" {
  username = input{ required = true },
  get_full_name = cached_form_method{ function(self) return "other" end },
}

model "Kept" { k = key(), v = field(), options = { expires = 600 } }
model "Ever" { k = key(), v = field() }
model "Bad" { k = key(), v = field(), options = { expires = 600 }, from_miss = function(self) self.v = 0 / 0 end }
model "Left" { k = key(), right = reference "Deep" }
model "Top" { k = key(), one = reference "Left", two = reference "Left" }
model "Deep" { k = key(), v = field(), options = { expires = 600 }, from_miss = function(self)
  log.info "Deep loads"
  self.v = "made"
end }
]]

for _, store in ipairs { "memory", "redis" } do
  describe("bettercache on " .. store, function()
    local gw
    setup(function() gw = gateway.start { models = models, store = store, fds = 20 } end)
    teardown(function() gw:finish() end)

    local function put(target, body)
      local answer = gw:put(target, body)
      assert(answer.status == 201 or answer.status == 204, answer.body)
    end
    local function read(target) return check.document(gw:get(target)) end
    local function said(text)
      local _, n = gw.process:err():gsub(text, "")
      return n
    end

    describe("keeps what its documents promise:", function()
      it("save, then get, gives the values and the keys", function()
        check.status(gw:put("/models/C", '{"name":"T","value":42}'), 201)
        assert.same({ name = "T", value = 42 }, read "/models/C?name=T")
      end)

      it("the order of keys is irrelevant", function()
        check.status(gw:put("/models/A?b=2&a=1", '{"note":"x"}'), 201)
        assert.equal("x", read "/models/A?a=1&b=2".note)
        assert.equal("x", read "/models/A?b=2&a=1".note)
      end)

      it("keys are typed: 42 and \"42\" are two records", function()
        check.status(gw:put("/models/A", '{"a":7,"b":42,"note":"number"}'), 201)
        check.status(gw:put("/models/A", '{"a":7,"b":"42","note":"text"}'), 201)
        assert.equal("number", read "/models/A?a=7&b=42".note)
        assert.equal("text", read "/models/A?a=7&b=%2242%22".note)
      end)

      it("an unknown field fails", function()
        assert.equal("z", check.problem(gw:put("/models/C", '{"name":"u","z":1}'), 422, "unknown-field").path)
      end)

      it("equal keys in two models are two records, also where one model is made like the other", function()
        put("/models/A?a=3&b=1", '{"note":"of A"}')
        put("/models/D?a=3&b=1", '{"note":"of D"}')
        assert.equal("of A", read "/models/A?a=3&b=1".note)
        assert.equal("of D", read "/models/D?a=3&b=1".note)
        put("/models/C?name=foo", '{"value":10}')
        put("/models/C2?name=foo", '{"value":20}')
        assert.equal(10, read "/models/C?name=foo".value)
        assert.equal(20, read "/models/C2?name=foo".value)
      end)

      it("a get of what nobody saved is Missing", function()
        check.problem(gw:get "/models/C?name=missing", 404, "missing")
      end)

      it("from_miss fills the record, which then is saved, with its keys, and is not loaded again", function()
        local before = said "E loads"
        assert.same({ a = 1, b = 2 }, read "/models/E?a=1")
        assert.same({ a = 1, b = 2 }, read "/models/E?a=1")
        assert.equal(before + 1, said "E loads")
        assert.is_true(check.cache_status(gw:get "/models/E?a=1").hit)
      end)

      it("a packed value comes back equal: text and other keys, sets, 64-bit integers, bytes", function()
        assert.is_true(read "/models/Reads?k=1".same)
        assert.matches("^[%w+/]+=*$", read "/models/P?k=1".p["$packed"])
      end)

      it("a reference reads through, a self reference too", function()
        put("/models/C?name=through", '{"value":10}')
        put("/models/R?k=bar", '{"ref":{"name":"through"}}')
        assert.equal(10, read "/models/R?k=bar".ref.value)
        put("/models/S?k=foo", '{"value":10,"ref":null}')
        put("/models/S?k=bar", '{"value":20,"ref":{"k":"foo"}}')
        assert.equal(10, read "/models/S?k=bar".ref.value)
        assert.equal(cjson.null, read "/models/S?k=bar".ref.ref)
      end)

      it("a target that nobody saved, or that is gone, makes the parent Missing", function()
        check.status(gw:put("/models/R?k=unsaved", '{"ref":{"name":"never"}}'), 201)
        assert.equal("ref", check.problem(gw:get "/models/R?k=unsaved", 404, "missing").path)
        put("/models/C?name=never", '{"value":1}')
        assert.equal(1, read "/models/R?k=unsaved".ref.value)
        gw:delete "/models/C?name=never"
        check.problem(gw:get "/models/R?k=unsaved", 404, "missing")
      end)

      it("the User, Workplace, mother and father of the documents", function()
        put("/models/Workplace?name=Acme", '{"phone":"555","address":"Main Street","employee_count":12}')
        put("/models/User?username=ann", '{"email":"ann@hotmail.com"}')
        put("/models/User?username=tom", '{"email":"tom@hotmail.com","workplace":{"name":"Acme"}}')
        put("/models/User?username=bob", '{"email":"bob@hotmail.com","full_name":"Bob T Fredrick","workplace":{"name":"Acme"},'
          .. '"mother":{"username":"ann"},"father":{"username":"tom"}}')
        local acme = { name = "Acme", phone = "555", address = "Main Street", employee_count = 12 }
        assert.same({
          username = "bob", email = "bob@hotmail.com", full_name = "Bob T Fredrick", workplace = acme,
          mother = { username = "ann", email = "ann@hotmail.com" },
          father = { username = "tom", email = "tom@hotmail.com", workplace = acme },
        }, read "/models/User?username=bob")
      end)

      it("a cached method is kept by the attributes it names", function()
        put("/models/Source?name=1%20Main%20St", '{"row":{"lat":1.5}}')
        put("/models/Source?name=2%20Main%20St", '{"row":{"lat":2.5}}')
        assert.same({ lat = 1.5 }, read "/models/Home/geocode?address=1%20Main%20St")
        assert.same({ lat = 2.5 }, read "/models/Home/geocode?address=2%20Main%20St")
        gw:delete "/models/Source?name=1%20Main%20St"
        assert.same({ lat = 1.5 }, read "/models/Home/geocode?address=1%20Main%20St")
      end)

      it("a form's method is kept by the cleaned data and by its arguments, and stays when the source is emptied", function()
        put("/models/Source?name=username1", '{"row":"User Name One"}')
        put("/models/Source?name=username2", '{"row":"User Name Two"}')
        local function name(query) return gw:get("/forms/SimpleForm/get_full_name?" .. query).body end
        assert.equal('"User Name One"', name "username=username1")
        assert.equal('"User Name Two"', name "username=username2")
        assert.equal('"User Two"', name "username=username2&skip_middle=true")
        gw:delete "/models/Source?name=username1"
        gw:delete "/models/Source?name=username2"
        assert.equal('"User Name One"', name "username=username1")
        assert.equal('"User Name Two"', name "username=username2")
        assert.equal('"User Two"', name "username=username2&skip_middle=true")
        assert.equal('"other"', gw:get("/forms/OtherForm/get_full_name?username=username1").body)
      end)

      it("expiry: what the save says beats what the model says, and without either it is never", function()
        put("/models/Ever?k=1", '{"v":1}')
        put("/models/Kept?k=1", '{"v":1}')
        check.status(gw:put("/models/Kept?k=2&_expires=30", '{"v":1}'), 201)
        local function left(target) return check.cache_status(gw:get(target)).ttl end
        assert.is_nil(left "/models/Ever?k=1")
        assert.is_true(left "/models/Kept?k=1" > 590 and left "/models/Kept?k=1" <= 600)
        assert.is_true(left "/models/Kept?k=2" > 20 and left "/models/Kept?k=2" <= 30)
      end)

      it("delete takes the record away", function()
        put("/models/C?name=gone", '{"value":1}')
        check.status(gw:delete "/models/C?name=gone", 204)
        check.problem(gw:get "/models/C?name=gone", 404, "missing")
      end)
    end)

    describe("has none of its code's faults:", function()
      it("`a_b` does not meet `a  b`", function()
        put("/models/C?name=a_b", '{"value":"underscore"}')
        put("/models/C?name=a%20%20b", '{"value":"spaces"}')
        put("/models/C?name=a__b", '{"value":"two"}')
        assert.equal("underscore", read "/models/C?name=a_b".value)
        assert.equal("spaces", read "/models/C?name=a%20%20b".value)
        assert.equal("two", read "/models/C?name=a__b".value)
      end)

      it("a cycle ends", function()
        put("/models/S?k=left", '{"value":1,"ref":{"k":"right"}}')
        put("/models/S?k=right", '{"value":2,"ref":{"k":"left"}}')
        assert.same({ k = "left", value = 1, ref = { k = "right", value = 2, ref = { k = "left", ["$ref"] = "/models/S?k=left" } } },
          read "/models/S?k=left")
        put("/models/S?k=self", '{"value":3,"ref":{"k":"self"}}')
        assert.same({ k = "self", value = 3, ref = { k = "self", ["$ref"] = "/models/S?k=self" } }, read "/models/S?k=self")
      end)

      it("a diamond's foot is fetched once", function()
        put("/models/Left?k=1", '{"right":{"k":"foot"}}')
        put("/models/Left?k=2", '{"right":{"k":"foot"}}')
        put("/models/Top?k=1", '{"one":{"k":"1"},"two":{"k":"2"}}')
        local before = said "Deep loads"
        local top = read "/models/Top?k=1"
        assert.equal("made", top.one.right.v)
        assert.equal("made", top.two.right.v)
        assert.equal(before + 1, said "Deep loads")
      end)

      it("a wrong model is not accepted as a target", function()
        assert.matches("^workplace", check.problem(gw:put("/models/User?username=wrong",
          '{"workplace":{"$ref":"/models/C?name=Acme","name":"Acme"}}'), 422, "reference-invalid").path)
        check.problem(gw:put("/models/User?username=wrong", '{"workplace":{"username":"ann"}}'), 422, "reference-invalid")
        check.problem(gw:get "/models/User?username=wrong", 404, "missing")
      end)

      it("NaN is never written", function()
        assert.equal("v", check.problem(gw:get "/models/Bad?k=1", 502, "loader-error").path)
        check.problem(gw:put("/models/C?name=nan", '{"value":NaN}'), 400, "malformed-json")
        check.problem(gw:get "/models/C?name=nan", 404, "missing")
      end)
    end)
  end)
end

describe("bettercache's schema drift and corrupt entries", function()
  local gw
  setup(function() gw = gateway.start { models = models, store = "redis", fds = 20 } end)
  teardown(function() gw:finish() end)

  it("are misses, for the record and for who refers to it", function()
    check.status(gw:put("/models/C?name=hurt", '{"value":1}'), 201)
    check.status(gw:put("/models/R?k=hurt", '{"ref":{"name":"hurt"}}'), 201)
    local _, stored = gateway.run { "key", "--models", gw.schemas, "C", "name=hurt" }
    gw.redis:command("SET", stored:match "%S+", "PGE no more")
    check.problem(gw:get "/models/C?name=hurt", 404, "missing")
    assert.equal("ref", check.problem(gw:get "/models/R?k=hurt", 404, "missing").path)
  end)

  it("of another schema are not seen", function()
    check.status(gw:put("/models/Kept?k=drift", '{"v":1}'), 201)
    gateway.write_models(gw.schemas, models:gsub('model "Kept" { k = key%(%), v = field%(%)', 'model "Kept" { k = key(), v = field{ type = "string" }'))
    check.status(gw:admin("/admin/reload", "POST"), 200)
    check.problem(gw:get "/models/Kept?k=drift", 404, "missing")
  end)
end)
