-- schemas/geo_spec.lua -- the geographic models, over a small database of the specs' own and over the real one when it was made.
local testing = require "perigee.testing"

local Country, Subdivision = testing.model "Country", testing.model "Subdivision"
local Currency, Language = testing.model "Currency", testing.model "Language"

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

describe("the geographic models", function()
  local database
  setup(function()
    database = os.tmpname()
    local sqlite = assert(io.popen("sqlite3 " .. database, "w"))
    sqlite:write(rows)
    sqlite:close()
  end)
  teardown(function() os.remove(database) end)
  before_each(function() testing.env{ GEO_DB = database } end)

  it("read a country, its null and all", function()
    assert.same({ alpha_2 = "IS", alpha_3 = "ISL", numeric = "352", name = "Iceland", official_name = "Republic of Iceland", flag = "flag" },
      (Country.get{ alpha_2 = "IS" }))
    assert.same({ alpha_2 = "NO", alpha_3 = "NOR", numeric = "578", name = "Norway", official_name = testing.null, flag = testing.null },
      (Country.get{ alpha_2 = "NO" }))
    testing.forward "23h"
    assert.is_true(select(2, Country.get{ alpha_2 = "IS" }).cache.hit)
  end)

  it("read a part of a country with all that it is a part of", function()
    local part, answer = Subdivision.get{ code = "IS-RKV" }
    assert.is_true(answer.cache.stored)
    local country = Country.get{ alpha_2 = "IS" }
    assert.same({
      code = "IS-RKV", name = "Reykjavíkurborg", type = "Municipality", country = country,
      parent = { code = "IS-1", name = "Höfuðborgarsvæði", type = "Region", country = country, parent = testing.null },
    }, part)
    for _, code in ipairs { "IS-RKV", "IS-1" } do assert.is_truthy(Subdivision.stored{ code = code }) end
    assert.equal(1, testing.loads "Country")
  end)

  it("have no part of a country that is none, and null above a part that is gone", function()
    local problem = assert.problem("missing", Subdivision.get{ code = "ZZ-1" })
    assert.equal("country", problem.path)
    assert.equal(testing.null, Subdivision.get{ code = "NO-0" }.parent)
    assert.is_truthy(Subdivision.get({ code = "ZZ-1" }, { depth = 0 }))
  end)

  it("list the parts of a country, all or those of a type", function()
    assert.same({ ["IS-1"] = "Höfuðborgarsvæði", ["IS-RKV"] = "Reykjavíkurborg" }, (Country.subdivisions{ alpha_2 = "IS" }))
    assert.same({ ["IS-1"] = "Höfuðborgarsvæði" }, (Country.subdivisions{ alpha_2 = "IS", type = "Region" }))
    assert.is_true(select(2, Country.subdivisions{ alpha_2 = "IS" }).cache.hit)
    assert.problem("missing", Country.subdivisions{ alpha_2 = "XX" })
  end)

  it("read a currency and a language", function()
    assert.same({ alpha_3 = "ISK", numeric = "352", name = "Iceland Krona" }, (Currency.get{ alpha_3 = "ISK" }))
    assert.same({ alpha_3 = "isl", alpha_2 = "is", name = "Icelandic", scope = "I", type = "L" }, (Language.get{ alpha_3 = "isl" }))
  end)

  it("know nothing of codes that are none, whatever they are made of, and remember that for a minute", function()
    for _, code in ipairs { "XX", "is", "", "I'S", "' or 1=1 --", "%", "_S" } do
      assert.problem("missing", Country.get{ alpha_2 = code })
    end
    assert.problem("missing", Subdivision.get{ code = "XX-1" })
    assert.problem("missing", Currency.get{ alpha_3 = "XXY" })
    assert.problem("missing", Language.get{ alpha_3 = "zzz" })
    assert.problem("missing", Country.stored{ alpha_2 = "XX" })
    testing.forward "61s"
    assert.problem("not-cached", Country.stored{ alpha_2 = "XX" })
  end)
end)

describe("the real database", function()
  it("has the countries of the world", function()
    local made = io.open "build/geo.sqlite"
    if not made then return pending "no build/geo.sqlite: scripts/geodata makes it" end
    made:close()
    testing.env{ GEO_DB = "build/geo.sqlite" }
    assert.equal("Iceland", Country.get{ alpha_2 = "IS" }.name)
    local london = Subdivision.get{ code = "GB-LND" }
    assert.equal("United Kingdom", london.country.name)
    assert.equal("GB-ENG", london.parent.code)
    assert.equal("GB", london.parent.country.alpha_2)
    assert.equal("Euro", Currency.get{ alpha_3 = "EUR" }.name)
    assert.equal("de", Language.get{ alpha_3 = "deu" }.alpha_2)
  end)
end)

describe("without a database", function()
  it("a load fails, and the log says why", function()
    testing.env{ GEO_DB = "/nowhere/geo.sqlite" }
    local problem = assert.problem("loader-error", Country.get{ alpha_2 = "IS" })
    assert.truthy(problem.log:find("geo.lua", 1, true))
    assert.falsy(problem.detail:find("nowhere", 1, true))
    assert.is_truthy(testing.model "User".get{ username = "bob" })
  end)
end)
