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
  -- The names of its parts by their codes, all or those of one type.
  subdivisions = cached_method{
    args = { type = arg{ type = "string", required = false } },
    expires = "1d",
    function(self, args)
      local names = {}
      local rows = db:query("select code, name, type from subdivision where country = ?", self.alpha_2)
      if #rows == 0 then return missing end
      for _, row in ipairs(rows) do
        if not args.type or args.type == row.type then names[row.code] = row.name end
      end
      return names
    end,
  },
}

-- A part of a country that is not there is missing itself; one without a part above it is the highest.
model "Subdivision" {
  code = key(),
  name = field{ type = "string", required = true },
  type = field{ type = "string", required = true },
  country = reference{ "Country", required = true },
  parent = reference{ "self", missing = "null" },
  options = kept,
  from_miss = function(self)
    local row = db:query("select name, type, country, parent from subdivision where code = ?", self.code)[1]
    if not row then return missing end
    self.name, self.type = row.name, row.type
    self.country = Country{ alpha_2 = row.country }
    self.parent = row.parent ~= null and Subdivision{ code = row.parent } or null
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
