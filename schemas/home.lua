-- schemas/home.lua -- where an address lies. A gazetteer of four towns stands for the service that would be asked; an address is
-- found by the town it ends with, and its house number moves it a little along the street.
local towns = {
  reykjavik = { 64.1466, -21.9426 },
  tromso = { 69.6492, 18.9553 },
  torshavn = { 62.0107, -6.7741 },
  nuuk = { 64.1814, -51.6941 },
}

model "Home" {
  address = key(),
  latitude = field{ type = "number", required = true },
  longitude = field{ type = "number", required = true },
  town = field{ type = "string" },
  options = { expires = "1d", negative = "1m" },
  from_miss = function(self)
    local town = self.address:match "([^,]+)$"
    town = town and town:gsub("^%s+", ""):gsub("%s+$", ""):lower()
    local place = towns[town]
    if not place then return missing end
    local number = tonumber(self.address:match "^%s*(%d+)") or 0
    self.town = town
    self.latitude = place[1]
    self.longitude = place[2] + number % 1000 / 10000
  end,
}
