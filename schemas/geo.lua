-- schemas/geo.lua -- countries, their parts, currencies and languages (ISO 3166, 4217, 639), read from the SQLite file that
-- scripts/geodata makes. A code that the standards do not know is `missing`, and remembered as such for a minute.
local db = sqlite(env("GEO_DB", "build/geo.sqlite"))

-- Sets what the one row says; a query names its columns as the model names its fields.
local function from_row(self, sql, code)
  local row = db:query(sql, code)[1]
  if not row then return missing end
  for name, value in pairs(row) do self[name] = value end
end

local kept = { expires = "1d", negative = "1m" }

model "Country" {
  alpha_2 = key(),
  alpha_3 = field{ type = "string", required = true },
  numeric = field{ type = "string", required = true },
  name = field{ type = "string", required = true },
  official_name = field{ type = "string" },
  flag = field{ type = "string" },
  options = kept,
  from_miss = function(self)
    return from_row(self, "select alpha_3, numeric, name, official_name, flag from country where alpha_2 = ?", self.alpha_2)
  end,
}

model "Subdivision" {
  code = key(),
  name = field{ type = "string", required = true },
  type = field{ type = "string", required = true },
  country = field{ type = "string", required = true },
  parent = field{ type = "string" },
  options = kept,
  from_miss = function(self)
    return from_row(self, "select name, type, country, parent from subdivision where code = ?", self.code)
  end,
}

model "Currency" {
  alpha_3 = key(),
  numeric = field{ type = "string" },
  name = field{ type = "string", required = true },
  options = kept,
  from_miss = function(self)
    return from_row(self, "select numeric, name from currency where alpha_3 = ?", self.alpha_3)
  end,
}

model "Language" {
  alpha_3 = key(),
  alpha_2 = field{ type = "string" },
  name = field{ type = "string", required = true },
  scope = field{ type = "string", required = true },
  type = field{ type = "string", required = true },
  options = kept,
  from_miss = function(self)
    return from_row(self, "select alpha_2, name, scope, type from language where alpha_3 = ?", self.alpha_3)
  end,
}
