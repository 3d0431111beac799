-- schemas/friends.lua -- who is whose friend: a form, because what people type wants cleaning first. Answers are kept by the cleaned
-- name and the argument: "Bob" and "bob" have one.
local friendships = {
  bob = { { "alice", "accepted" }, { "carol", "accepted" }, { "dave", "pending" } },
  alice = { { "bob", "accepted" } },
  dave = {},
}

local function friends_of(username, include_pending)
  local friends = array {}
  for _, friendship in ipairs(friendships[username]) do
    local name, state = friendship[1], friendship[2]
    if state == "accepted" or include_pending then friends[#friends + 1] = name end
  end
  return friends
end

form "FriendsLookup" {
  username = input{
    required = true,
    clean = function(v)
      local username = v:lower():match "^%s*(.-)%s*$"
      if not friendships[username] then return nil, "Nobody is called so." end
      return username
    end,
  },
  get_friends_list = cached_form_method{
    expires = "15m",
    args = { include_pending = arg{ type = "boolean", default = false } },
    function(self, args) return friends_of(self.cleaned_data.username, args.include_pending) end,
  },
}
