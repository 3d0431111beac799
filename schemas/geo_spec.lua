-- schemas/geo_spec.lua -- the geographic models, over a small database of the test's own and over the real one when it was made.
local check = require "tests.support.check"
local gateway = require "tests.support.gateway"
local http = require "tests.support.http"
local process = require "tests.support.process"
local cjson = require "cjson"

local rows = [[
create table country (alpha_2 text, alpha_3 text, numeric text, name text, official_name text, flag text);
create table subdivision (code text, name text, type text, country text, parent text);
create table currency (alpha_3 text, numeric text, name text);
create table language (alpha_3 text, alpha_2 text, name text, scope text, type text);
insert into country values ('IS', 'ISL', '352', 'Iceland', 'Republic of Iceland', 'flag'), ('NO', 'NOR', '578', 'Norway', null, null);
insert into subdivision values ('IS-1', 'Höfuðborgarsvæði', 'Region', 'IS', null), ('IS-RKV', 'Reykjavíkurborg', 'Municipality', 'IS', 'IS-1'),
  ('NO-0', 'Odd', 'County', 'NO', 'NO-X'), ('ZZ-1', 'Nowhere', 'Region', 'ZZ', null);
insert into currency values ('ISK', '352', 'Iceland Krona');
insert into language values ('isl', 'is', 'Icelandic', 'I', 'L'), ('aaf', null, 'Aranadan', 'I', 'L');
]]

local function start(database)
  return gateway.start { schemas = "schemas", env = { GEO_DB = database }, fds = 8 }
end

describe("the geographic models", function()
  local gw, folder
  setup(function()
    folder = process.temp()
    process.write(folder .. "/rows.sql", rows)
    assert(os.execute(("sqlite3 %s/geo.sqlite <%s/rows.sql"):format(folder, folder)) == 0, "sqlite3 made no database")
    gw = start(folder .. "/geo.sqlite")
  end)
  teardown(function()
    gw:finish()
    process.remove(folder)
  end)

  it("read a country, its null and all", function()
    assert.equal('{"alpha_2":"IS","alpha_3":"ISL","numeric":"352","name":"Iceland","official_name":"Republic of Iceland","flag":"flag"}',
      check.status(gw:get "/models/Country?alpha_2=IS", 200).body)
    assert.equal('{"alpha_2":"NO","alpha_3":"NOR","numeric":"578","name":"Norway","official_name":null,"flag":null}',
      check.status(gw:get "/models/Country?alpha_2=NO", 200).body)
    local again = gw:get "/models/Country?alpha_2=IS"
    assert.is_true(check.cache_status(again).hit)
    assert.is_true(check.cache_control(again)["max-age"] > 86000)
  end)

  it("read a part of a country with all that it is a part of", function()
    local response = check.status(gw:get "/models/Subdivision?code=IS-RKV", 200)
    assert.is_true(check.cache_status(response).stored)
    local part = cjson.decode(response.body)
    local country = check.document(gw:get "/models/Country?alpha_2=IS")
    assert.same({
      code = "IS-RKV", name = "Reykjavíkurborg", type = "Municipality", country = country,
      parent = { code = "IS-1", name = "Höfuðborgarsvæði", type = "Region", country = country, parent = cjson.null },
    }, part)
    for code in pairs { ["IS-RKV"] = 1, ["IS-1"] = 2 } do
      assert.is_true(check.cache_status(gw:get("/models/Subdivision?code=" .. code)).hit)
    end
  end)

  it("have no part of a country that is none, and null above a part that is gone", function()
    assert.equal("country", check.problem(gw:get "/models/Subdivision?code=ZZ-1", 404, "missing").path)
    assert.equal(cjson.null, check.document(gw:get "/models/Subdivision?code=NO-0").parent)
    check.status(gw:get "/models/Subdivision?code=ZZ-1&_depth=0", 200)
  end)

  it("list the parts of a country, all or those of a type", function()
    local list = check.status(gw:get "/models/Country/subdivisions?alpha_2=IS", 200)
    assert.equal('{"IS-1":"Höfuðborgarsvæði","IS-RKV":"Reykjavíkurborg"}', list.body)
    assert.equal('{"IS-1":"Höfuðborgarsvæði"}', gw:get("/models/Country/subdivisions?alpha_2=IS&type=Region").body)
    assert.is_true(check.cache_status(gw:get "/models/Country/subdivisions?alpha_2=IS").hit)
    check.problem(gw:get "/models/Country/subdivisions?alpha_2=XX", 404, "missing")
  end)

  it("read a currency and a language", function()
    assert.same({ alpha_3 = "ISK", numeric = "352", name = "Iceland Krona" }, check.document(gw:get "/models/Currency?alpha_3=ISK"))
    assert.same({ alpha_3 = "isl", alpha_2 = "is", name = "Icelandic", scope = "I", type = "L" },
      check.document(gw:get "/models/Language?alpha_3=isl"))
  end)

  it("know nothing of codes that are none, whatever they are made of", function()
    for _, code in ipairs { "XX", "is", "", "I'S", "' or 1=1 --", "%", "_S" } do
      check.problem(gw:get("/models/Country" .. http.query { alpha_2 = code }), 404, "missing")
    end
    check.problem(gw:get "/models/Subdivision?code=XX-1", 404, "missing")
    check.problem(gw:get "/models/Currency?alpha_3=XXY", 404, "missing")
    check.problem(gw:get "/models/Language?alpha_3=zzz", 404, "missing")
  end)
end)

describe("the real database", function()
  it("has the countries of the world", function()
    if not process.read "build/geo.sqlite" then return pending "no build/geo.sqlite: scripts/geodata makes it" end
    local gw = start "build/geo.sqlite"
    assert.equal("Iceland", check.document(gw:get "/models/Country?alpha_2=IS").name)
    local london = check.document(gw:get "/models/Subdivision?code=GB-LND")
    assert.equal("United Kingdom", london.country.name)
    assert.equal("GB-ENG", london.parent.code)
    assert.equal("GB", london.parent.country.alpha_2)
    assert.equal("Euro", check.document(gw:get "/models/Currency?alpha_3=EUR").name)
    assert.equal("de", check.document(gw:get "/models/Language?alpha_3=deu").alpha_2)
    gw:finish()
  end)
end)

describe("without a database", function()
  it("a load fails, and says why in the log only", function()
    local gw = start "/nowhere/geo.sqlite"
    check.problem(gw:get "/models/Country?alpha_2=IS", 502, "loader-error")
    check.says(gw:log(), "geo.lua")
    check.status(gw:get "/models/User?username=bob", 200)
    gw:finish()
  end)
end)
