-- schemas/home.lua -- homes, who lives there, and where they lie. A gazetteer of four towns stands for the service that would be asked;
-- an address is found by the town it ends with, and its house number moves it a little along the street. A home is what somebody
-- has saved; its place can be asked for also when nobody has, because it depends on nothing but the address.
local towns = {
  reykjavik = { 64.1466, -21.9426 },
  tromso = { 69.6492, 18.9553 },
  torshavn = { 62.0107, -6.7741 },
  nuuk = { 64.1814, -51.6941 },
}

local function rounded(number, digits)
  local scale = 10 ^ digits
  return math.floor(number * scale + 0.5) / scale
end

model "Home" {
  address = key(),
  residents = references{ "User", missing = "skip" },
  geocode = cached_method{
    on = { "address" },
    args = { precision = arg{ type = "integer", default = 4 } },
    expires = "1h", negative = "1m",
    function(self, args)
      local town = self.address:match "([^,]*)$":match "^%s*(.-)%s*$":lower()
      local place = towns[town]
      if not place then return missing end
      local number = tonumber(self.address:match "^%s*(%d+)") or 0
      return {
        town = town, latitude = rounded(place[1], args.precision),
        longitude = rounded(place[2] + number % 1000 / 10000, args.precision),
      }
    end,
  },
}
