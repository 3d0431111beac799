-- schemas/user.lua -- people, where they work and who their parents are. The two tables stand for what would really know them: a
-- database, a service.
local companies = {
  ["Harbour Works"] = { phone = "+354 555 0100", address = "1 Quay Street, Reykjavik", employees = 140 },
  ["Northern Lights"] = { phone = "+47 555 0199", address = "7 Aurora Lane, Tromso", employees = 12 },
}

local people = {
  bob = { email = "bob@example.org", name = "Bob Marsh", company = "Harbour Works", mother = "carol", father = "dave" },
  alice = { email = "alice@example.org", name = "Alice Reed", company = "Northern Lights", mother = "carol" },
  carol = { email = "carol@example.org", name = "Carol Moss" },
}

model "Workplace" {
  name = key(),
  phone = field{ type = "string" },
  address = field{ type = "string" },
  employee_count = field{ type = "integer" },
  options = { expires = "1h", negative = "5s" },
  from_miss = function(self)
    local company = companies[self.name]
    if not company then return missing end
    self.phone, self.address, self.employee_count = company.phone, company.address, company.employees
  end,
}

model "User" {
  username = key(),
  region = key{ default = "eu" },
  email = field{ type = "string", required = true },
  full_name = field{ type = "string" },
  workplace = reference "Workplace",                     -- without it there is no document: 404
  mother = reference{ "self", missing = "null" },        -- whom nobody knows is null
  father = reference{ "self", missing = "null" },
  options = {
    expires = "15m", negative = "5s",
    validate = function(self)
      if not self.email:find "@" then return "email", "is not an address" end
    end,
  },
  from_miss = function(self)
    local person = self.region == "eu" and people[self.username]
    if not person then return missing end
    self.email, self.full_name = person.email, person.name
    self.workplace = person.company and Workplace{ name = person.company }
    self.mother = person.mother and User{ username = person.mother }
    self.father = person.father and User{ username = person.father }
  end,
}
