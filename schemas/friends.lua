-- schemas/friends.lua -- who is whose friend. A look-up with an option: both belong to the key, so that each answer is cached for
-- itself.
local friendships = {
  bob = { { "alice", "accepted" }, { "carol", "accepted" }, { "dave", "pending" } },
  alice = { { "bob", "accepted" } },
  dave = {},
}

model "FriendsLookup" {
  username = key(),
  include_pending = key{ type = "boolean", default = false },
  friends = field{ type = "array", required = true },
  options = { expires = "15m", negative = "5s" },
  from_miss = function(self)
    local known = friendships[self.username:lower()]
    if not known then return missing end
    local friends = array {}
    for _, friendship in ipairs(known) do
      local name, state = friendship[1], friendship[2]
      if state == "accepted" or self.include_pending then friends[#friends + 1] = name end
    end
    self.friends = friends
  end,
}
