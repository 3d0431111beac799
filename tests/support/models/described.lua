-- Models with something of everything that can be described: tests/e2e/describe_spec.lua, tests/property/openapi.py.
model "User" { username = key(), region = key{ default = "eu" }, email = field{ type = "string", required = true },
  age = field{ type = "integer", required = true, default = 18 }, more = field(), options = { cache_groups = true } }
model "All" { k = key{ type = "any" }, i = key{ type = "integer" }, n = key{ type = "number" }, b = key{ type = "boolean" },
  any = field{ required = true }, s = field{ type = "string", default = "it's \"so\" 100%s" }, integer = field{ type = "integer" },
  number = field{ type = "number", default = 1.5 }, boolean = field{ type = "boolean" }, array = field{ type = "array", required = true },
  object = field{ type = "object" } }
model "models" { Schema = key() }
model "Loaded" { id = key(), text = field(), options = { expires = 300, negative = 60, hard_timeout = 0.2, cache_groups = true },
  from_miss = function(self)
    if self.id == "none" then return missing end
    if self.id == "bad" then error "bad" end
    if self.id == "slow" then sleep(30) end
    self.text = "x"
  end }
model "Place" { name = key(), phone = field{ type = "string" }, options = { cache_groups = true },
  here = cached_method{ args = { word = arg{ type = "string", default = "Hello" }, times = arg{ type = "integer" },
    note = arg{ required = false } }, expires = 60,
    function(self, args)
      if self.name == "bad" then error "bad" end
      if self.name == "none" then return missing end
      return { args.word, self.name, args.times, args.note or null }
    end },
  called = cached_method{ on = { "phone" }, function(self) return self.phone end } }
model "Person" { id = key{ type = "integer" }, at = reference{ "Place", required = true }, mother = reference{ "self", missing = "null" },
  friends = references{ "self", missing = "skip", max = 3 }, secret = packed(),
  options = { expires = 300, cache_groups = true, validate = function(self) if self.id < 0 then return "id", "is unlucky" end end,
    tags = function(self) return { "person" } end },
  from_miss = function(self)
    if self.id > 20 then return missing end
    self.at, self.secret = Place{ name = "here" }, { 1, 2, 3 }
    if self.id > 1 then self.mother, self.friends = Person{ id = self.id - 1 }, { Person{ id = 20 }, Person{ id = 99 } } end
  end }
form "Lookup" {
  name = input{ required = true, clean = function(v) if v == "bad" then return nil, "no bad names" end return v:lower() end },
  age = input{ type = "integer" },
  find = cached_form_method{ args = { all = arg{ type = "boolean", default = false } }, function(self, args)
    return { self.cleaned_data.name, self.cleaned_data.age or null, args.all }
  end },
}
