-- bench/functions.lua DUMP [N]: where the instructions of one request go, by what runs them: our folders, and the libraries. A dump is
-- what `BENCH_PROFILE=1 make instructions` leaves in build/bench/CASE-x50.callgrind. With N also by our files, and the N functions that
-- take most.
--
-- Of callgrind's format only the lines that give a function its own cost are read: "fn=" names it, "fl=" its file, "ob=" its object; a cost
-- line is "POSITION COST"; the one behind "calls=" is that of what was called. A name is written out once and then stands as "(number)".
local path, most = arg[1], tonumber(arg[2]) or 0
local requests = tonumber(path:match "%-x(%d+)%.callgrind$" or 1)

local function read(lines)
   local names, cost, file_of, object_of = {}, {}, {}, {}
   local here, file, object, of_callee = nil, "", "", false
   local function name(kind, text)
      local id, written = text:match "^(%(%d+%)) ?(.*)$"
      local key = kind .. id
      if written ~= "" then names[key] = written end
      return names[key]
   end
   for line in lines do
      local word, rest = line:match "^(%l+)=(.*)$"
      if word == "fn" then
         here = name("fn", rest)
         file_of[here], object_of[here] = file, object
      elseif word == "cfn" then name("fn", rest)
      elseif word == "fl" then file = name("fl", rest)
      elseif word == "fi" or word == "fe" or word == "cfi" or word == "cfl" then name("fl", rest)
      elseif word == "ob" then object = name("ob", rest)
      elseif word == "cob" then name("ob", rest)
      elseif word == "calls" then of_callee = true
      elseif here and line:match "^[%d%+%-%*]" then
         if not of_callee then cost[here] = (cost[here] or 0) + tonumber(line:match " (%d+)$" or 0) end
         of_callee = false
      end
   end
   return cost, file_of, object_of
end

local function owner(name, file, object)
   local ours = file:match "/(gateway/[%w_/]+%.c)$"
   if ours then return ours end
   if name:match "^ll" then return "llhttp" end
   if name:match "^_*redis" or name:match "^sds" or name == "string2ll" or name == "moveToNextTask" then return "hiredis" end
   return object:match "([^/]+)%.so" or object:match "[^/]+$" or "?"
end

local function print_sorted(cost, rows, format)
   local names = {}
   for name in pairs(cost) do names[#names + 1] = name end
   table.sort(names, function(a, b) return cost[a] > cost[b] end)
   for i = 1, math.min(rows, #names) do
      if cost[names[i]] / requests >= 1 then print(format:format(cost[names[i]] / requests, names[i])) end
   end
end

local cost, file_of, object_of = read(assert(io.lines(path)))
local total, by_owner, by_folder = 0, {}, {}
for name, n in pairs(cost) do
   local whose = owner(name, file_of[name], object_of[name])
   local folder = whose:match "^(gateway/.*)/" or whose
   by_owner[whose] = (by_owner[whose] or 0) + n
   by_folder[folder] = (by_folder[folder] or 0) + n
   total = total + n
end
print(("%8.0f all"):format(total / requests))
print_sorted(by_folder, math.huge, "%8.0f %s")
if most > 0 then
   print()
   print_sorted(by_owner, math.huge, "%8.0f %s")
   print()
   print_sorted(cost, most, "%8.0f %s")
end
