-- schemas/user.lua -- people and where they work. The two tables stand for what would really know them: a database, a service.
local companies = {
  ["Harbour Works"] = { phone = "+354 555 0100", address = "1 Quay Street, Reykjavik", employees = 140 },
  ["Northern Lights"] = { phone = "+47 555 0199", address = "7 Aurora Lane, Tromso", employees = 12 },
}

local people = {
  bob = { email = "bob@example.org", name = "Bob Marsh", company = "Harbour Works" },
  alice = { email = "alice@example.org", name = "Alice Reed", company = "Northern Lights" },
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
  workplace = field{ type = "string" },
  options = { expires = "15m", negative = "5s" },
  from_miss = function(self)
    local person = self.region == "eu" and people[self.username]
    if not person then return missing end
    self.email, self.full_name, self.workplace = person.email, person.name, person.company
  end,
}
