-- bench/report.lua ROWS [markdown|svg]: one table of what bench/run measured, as text, for a page, or as a plot.
--
-- A row is a server in a job. Its figures are medians of the rounds; "ours" is the median of the ratios within the rounds: what Perigee
-- took, divided by what this server took. Where we have set ourselves a bar, the last column says `reached`, or by how much it was missed,
-- and then, of a peer's, how many times the floor the bar is: below 1 no program on libuv reaches it.
local path, form = arg[1], arg[2] or "text"

-- -- what is wanted --

-- Of Perigee's cost as a part of a server's: one figure, or one for each size (200 B, 2 KiB, 32 KiB).
local ratio_bar = {
   A = { floor = 1.25, ["nginx+Lua"] = 0.5, webdis = 0.55 },
   B = { floor = 1.15, ["nginx-lru"] = 0.8 },
   C = { floor = { 1.25, 1.25, 1.0 }, ["nginx+Lua"] = { 0.42, 0.3, 0.2 } },
   D = { floor = 1.4, ["nginx-decode"] = { 0.2, 0.08 } },
}
-- Of a figure itself.
local absolute_bar = {
   ["B perigee user"] = 3.5, -- µs
   ["F record"] = 1200, ["F idle"] = 6 * 1024 * 1024, ["F connection"] = 500, -- bytes
   ["G"] = 15, -- ms
   ["E p99"] = 8, -- ms more than the bare loader
}
local order = { ["200"] = 1, ["2048"] = 2, ["32768"] = 3 }
local title = {
   A = "A: read, record in Redis", B = "B: read, in this process", C = "C: save, to Redis", D = "D: document of 9, in Redis",
   E = "E: 200 clients, a cold record, loader 100 ms", F = "F: memory", G = "G: start to first answer",
}
local name_of = {
   perigee = "Perigee", near = "Perigee, near cache", floor = "floor", ["floor-yyjson"] = "floor, yyjson", ["nginx+Lua"] = "nginx + Lua",
   ["nginx-dict"] = "nginx + Lua, shared dict", ["nginx-lru"] = "nginx + Lua, lrucache", ["nginx-return"] = "nginx return",
   ["nginx-decode"] = "nginx + Lua, decoding", ["nginx-splice"] = "nginx + Lua, splicing", ["nginx-lock"] = "nginx proxy_cache_lock",
   loader = "the loader itself", ["two-gateways"] = "Perigee, two gateways",
}

-- -- reading --

local function median(list)
   table.sort(list)
   return list[math.floor((#list + 1) / 2)]
end

-- group[job][size] = { server = { round = {...} } }, and the order in which all of them came.
local group, groups, head = {}, {}, nil

local function read(line)
   local job, size, server, round, rest = line:match "^(%u) (%S+) (%S+) (%d+) (.*)$"
   if not job then
      head = head or line:match "^# (.*)"
      return
   end
   local id = job .. " " .. size
   local here = group[id]
   if not here then
      here = { job = job, size = size, servers = {}, rounds = {} }
      group[id] = here
      groups[#groups + 1] = here
   end
   if not here.rounds[server] then
      here.rounds[server] = {}
      here.servers[#here.servers + 1] = server
   end
   local figures = {}
   for name, value in rest:gmatch "(%w+)=(%S+)" do figures[name] = tonumber(value) end
   here.rounds[server][tonumber(round)] = figures
end

local function figure(here, server, name)
   local list = {}
   for _, figures in pairs(here.rounds[server]) do list[#list + 1] = figures[name] end
   return #list > 0 and median(list) or nil
end

-- The median over the rounds of what `of` took / what `server` took.
local function ratio_of(here, of, server, cost)
   local list = {}
   for round, theirs in pairs(here.rounds[server]) do
      local figures = here.rounds[of] and here.rounds[of][round]
      if figures and cost(theirs) > 0 then list[#list + 1] = cost(figures) / cost(theirs) end
   end
   return #list > 0 and median(list) or nil
end

local function ratio(here, server, cost) return ratio_of(here, "perigee", server, cost) end

-- -- judging --

local function verdict(value, bar, format)
   if not bar or not value then return "" end
   if value <= bar then return ("reached (%s)"):format(format:format(bar)) end
   return ("missed by %.2f x (%s)"):format(value / bar, format:format(bar))
end

local function ratio_verdict(here, server, value, bar, cost)
   local floor = server ~= "floor" and ratio_of(here, "floor", server, cost)
   if bar and value and floor and value > bar then
      return ("missed by %.2f x (%.2f x, which is %.2f x the floor)"):format(value / bar, bar, bar / floor)
   end
   return verdict(value, bar, "%.2f x")
end

local function bar_of(here, server)
   local bar = ratio_bar[here.job] and ratio_bar[here.job][server]
   return type(bar) == "table" and bar[order[here.size]] or bar
end

-- -- rows of the table --

local columns = { "size", "server", "cost", "user", "redis", "p50", "p99", "ours", "bar" }
local what = { ["0"] = "", record = "a 1 KiB record", idle = "idle, 1 worker", connection = "an idle connection" }
local out = {}

local function size_of(size)
   local n = tonumber(size)
   return what[size] or (n < 1024 and n .. " B" or n / 1024 .. " KiB")
end

local function put(here, server, cells)
   cells.job, cells.size, cells.server = here.job, size_of(here.size), name_of[server] or server
   out[#out + 1] = cells
end

local function number(value, format) return value and format:format(value) or "" end
local function ms(us) return ("%.2f ms"):format(us / 1000) end
local function cpu(figures) return figures.cpu end
local function both(figures) return figures.cpu + figures.redis end

local function put_requests(here)
   for _, server in ipairs(here.servers) do
      local us, user, redis = figure(here, server, "cpu"), figure(here, server, "user"), figure(here, server, "redis")
      local ours = server ~= "perigee" and ratio(here, server, cpu) or nil
      local judged = ratio_verdict(here, server, ours, bar_of(here, server), cpu)
      if server == "perigee" and here.job == "B" then judged = verdict(user, absolute_bar["B perigee user"], "user %.1f µs") end
      put(here, server, {
         cost = number(us, "%.2f µs"), user = number(user, "%.2f"), redis = number(redis, "%.2f"), ours = number(ours, "%.2f x"),
         p50 = ms(figure(here, server, "p50")), p99 = ms(figure(here, server, "p99")), bar = judged,
      })
      if here.job == "A" and server == "nginx+Lua" then
         local with = ratio(here, server, both)
         put(here, "nginx + Lua, with Redis' own", {
            cost = number(us + redis, "%.2f µs"), ours = number(with, "%.2f x"), bar = ratio_verdict(here, server, with, 0.5, both),
         })
      end
   end
end

local function put_stampede(here)
   local bare = figure(here, "loader", "p99") / 1000
   for _, server in ipairs(here.servers) do
      local calls, answered = figure(here, server, "calls"), figure(here, server, "answered")
      local p50, p99 = figure(here, server, "p50"), figure(here, server, "p99")
      local ours = server == "perigee" or server == "two-gateways"
      local judged = ours and verdict(p99 / 1000 - bare, absolute_bar["E p99"], "loader + %d ms")
      if ours and (calls ~= 1 or answered ~= 200) then judged = "missed: 1 call, 200 answers" end
      local cost = ("%d call%s, %d answered"):format(calls, calls == 1 and "" or "s", answered)
      put(here, server, { cost = cost, p50 = ms(p50), p99 = ms(p99), bar = judged or "" })
   end
end

local function put_figure(here, name, format, scale, bar)
   local wanted = here.job == "G" and "%d ms" or here.size == "idle" and "6 MiB" or "%d B"
   local function cost(figures) return figures[name] end
   for _, server in ipairs(here.servers) do
      local value = figure(here, server, name)
      local is_ours = server == "perigee"
      put(here, server, {
         cost = format:format(value / scale), bar = is_ours and verdict(value, bar, wanted) or "",
         ours = is_ours and "" or number(ratio(here, server, cost), "%.2f x"),
      })
   end
end

local function table_of()
   for _, here in ipairs(groups) do
      if here.job == "E" then put_stampede(here)
      elseif here.job == "G" then put_figure(here, "ms", "%.1f ms", 1, absolute_bar.G)
      elseif here.job == "F" and here.size == "idle" then put_figure(here, "bytes", "%.1f MiB", 1024 * 1024, absolute_bar["F idle"])
      elseif here.job == "F" then put_figure(here, "bytes", "%d B", 1, absolute_bar["F " .. here.size])
      else put_requests(here) end
   end
end

-- -- as text, for a page, as a plot --

local function width(text) return select(2, text:gsub("[^\128-\191]", "")) end

local function say_text()
   print(head)
   print "cost: CPU of the server a request, of it user; ours: Perigee's cost as a part of this server's, the median of the rounds"
   local widths, heads = {}, {}
   for _, column in ipairs(columns) do
      heads[column], widths[column] = column, #column
      for _, cells in ipairs(out) do widths[column] = math.max(widths[column], width(cells[column] or "")) end
   end
   local left = { size = true, server = true, bar = true }
   local function say(cells)
      local text = {}
      for i, column in ipairs(columns) do
         local cell = cells[column] or ""
         local pad = (" "):rep(widths[column] - width(cell))
         text[i] = left[column] and cell .. pad or pad .. cell
      end
      print((table.concat(text, "  "):gsub("%s+$", "")))
   end
   say(heads)
   local job
   for _, cells in ipairs(out) do
      if cells.job ~= job then print("\n" .. title[cells.job]) end
      job = cells.job
      say(cells)
   end
end

local function say_markdown()
   print "| | | cost | user | redis | p50 | p99 | ours | bar |\n|---|---|---|---|---|---|---|---|---|"
   local job
   for _, cells in ipairs(out) do
      if cells.job ~= job then print(("| **%s** | | | | | | | | |"):format(title[cells.job])) end
      job = cells.job
      local text = {}
      for i, column in ipairs(columns) do text[i] = cells[column] or "" end
      print("| " .. table.concat(text, " | ") .. " |")
   end
end

-- A bar a server, as long as its CPU; a group a job and size. The longest end at the edge, with their figure beside them.
local function say_svg()
   local shown, height = {}, 46
   for _, here in ipairs(groups) do
      if here.rounds.floor and here.job:match "[ABCD]" then
         shown[#shown + 1] = here
         height = height + 30 + 17 * #here.servers
      end
   end
   local text = {}
   local function add(format, ...) text[#text + 1] = format:format(...) end
   add('<svg xmlns="http://www.w3.org/2000/svg" width="820" height="%d" viewBox="0 0 820 %d"', height, height)
   add '  font-family="sans-serif" font-size="12">'
   add '<rect width="100%%" height="100%%" fill="#ffffff"/>'
   add '<text x="12" y="22" font-size="14" font-weight="bold">CPU of the server, microseconds a request (less is better)</text>'
   local y = 34
   for _, here in ipairs(shown) do
      local most = 0
      for _, server in ipairs(here.servers) do most = math.max(most, figure(here, server, "cpu")) end
      add('<text x="12" y="%d" font-weight="bold">%s, %s</text>', y + 16, title[here.job], size_of(here.size))
      y = y + 22
      for _, server in ipairs(here.servers) do
         local us = figure(here, server, "cpu")
         local color = (server == "perigee" or server == "near") and "#2563eb" or server:match "^floor" and "#9ca3af" or "#d9a066"
         add('<text x="200" y="%d" text-anchor="end">%s</text>', y + 12, name_of[server] or server)
         add('<rect x="206" y="%d" width="%.1f" height="13" fill="%s"/>', y + 1, us / most * 540, color)
         add('<text x="%.1f" y="%d">%.1f</text>', 212 + us / most * 540, y + 12, us)
         y = y + 17
      end
      y = y + 8
   end
   add "</svg>"
   print(table.concat(text, "\n"))
end

for line in io.lines(path) do read(line) end
table_of()
local say = { text = say_text, markdown = say_markdown, svg = say_svg }
say[form]()
