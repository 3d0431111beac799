-- tests/property/judge.lua -- what may be read, said of one key at a time and of nothing but what its clients have seen.
--
-- A write lasts from its sending to its answer; one without a good answer may take effect at any time from its sending on. A load is as
-- old as the moment in which the origin was asked. A read that began after the answer to a write must not show
--   a saved value whose answer came before that write was sent,
--   a loaded value, or "missing", whose load the origin was asked for before that write was sent,
--   nothing at all, where the write was a save and no delete (and no load that found nothing) may have come after it.
-- An invalidation is a delete of all that it reaches; one by tags, TAGS, does not reach what is known to be missing, which has none.
-- A patch brings a value upon another one, its base, which is judged in the same way against saves and deletes.
-- A fallback, which a gateway that is cut off from Redis answers as stale, is only judged by whether anybody has ever said it: of writes that came by
-- another gateway meanwhile this one cannot know.
-- The clock is a count: of the driver's own events, so that of any two it is known which came first.
local judge = {}
local Judge = {}
Judge.__index = Judge

local EVER = math.huge
local REMEMBERED = 80 -- events of a key, for the story of a violation

function judge.new()
  return setmetatable({ clock = 0, keys = {}, violations = {} }, Judge)
end

-- All that is known of a key. The floors: when the last of the writes that have been answered was sent, of all writes, of saves and
-- deletes, of saves and patches, of what ends a "missing". A value's or a fact's `end`: when it last can have come to be.
local function state(self, name)
  local key = self.keys[name]
  if not key then
    key = { name = name, floor = 0, full_floor = 0, save_floor = 0, missing_floor = 0, missing_end = -1, deleted_end = 0, doubtful_deletes = 0, value_end = {},
      events = {}, n_events = 0 }
    self.keys[name] = key
  end
  return key
end

local deletes = { DELETE = true, TAGS = true }

local function tick(self)
  self.clock = self.clock + 1
  return self.clock
end

-- A line of the key's story.
function Judge:note(name, format, ...)
  local key = state(self, name)
  key.n_events = key.n_events + 1
  key.events[(key.n_events - 1) % REMEMBERED + 1] = ("%8d  "):format(self.clock) .. format:format(...)
end

function Judge:story(name)
  local key, lines = state(self, name), {}
  for i = math.max(1, key.n_events - REMEMBERED + 1), key.n_events do
    lines[#lines + 1] = key.events[(i - 1) % REMEMBERED + 1]
  end
  return table.concat(lines, "\n")
end

function Judge:violation(name, format, ...)
  local what = format:format(...)
  self:note(name, "VIOLATION: %s", what)
  table.insert(self.violations, { key = name, what = what, story = self:story(name) })
end

-- -- writes --

-- A write is sent: `kind` is PUT, PATCH, DELETE or TAGS, `value` what it saves.
function Judge:write(name, kind, value, where)
  local key = state(self, name)
  local write = { key = key, kind = kind, value = value, began = tick(self) }
  if value then key.value_end[value] = EVER end
  if deletes[kind] then key.doubtful_deletes = key.doubtful_deletes + 1 end
  self:note(name, "%s %s is sent to %s", kind, value or "", where)
  return write
end

-- Its answer: done, refused (it has surely done nothing), or neither is known.
function Judge:written(write, outcome, words)
  local key, now = write.key, tick(self)
  self:note(key.name, "%s %s, sent at %d: %s", write.kind, write.value or "", write.began, words)
  if outcome == "doubtful" then return end
  if deletes[write.kind] then key.doubtful_deletes = key.doubtful_deletes - 1 end
  if outcome == "refused" then
    if write.value then key.value_end[write.value] = nil end
    return
  end
  key.floor = math.max(key.floor, write.began)
  if write.kind ~= "PATCH" then key.full_floor = math.max(key.full_floor, write.began) end
  if not deletes[write.kind] then key.save_floor = math.max(key.save_floor, write.began) end
  if write.kind ~= "TAGS" then key.missing_floor = math.max(key.missing_floor, write.began) end
  if write.value then key.value_end[write.value] = now end
  if deletes[write.kind] then key.deleted_end = now end
end

-- -- loads --

-- The origin is asked, and will answer `value`, or nil: there is no such thing.
function Judge:load(name, value)
  local key, now = state(self, name), tick(self)
  if value then key.value_end[value] = now
  else key.missing_end = now end
  self:note(name, "the origin is asked, and says %s", value or "missing")
end

-- -- reads --

function Judge:read(name, how, where)
  local key = state(self, name)
  return { key = key, how = how, where = where, began = tick(self), floor = key.floor, full_floor = key.full_floor, save_floor = key.save_floor,
    missing_floor = key.missing_floor }
end

local function tell(self, read, words)
  tick(self)
  self:note(read.key.name, "%s of %s, sent at %d: %s", read.how, read.where, read.began, words)
end

-- It shows `value`, upon `base` (which may be the same).
function Judge:saw(read, value, base, words, is_fallback)
  local key = read.key
  tell(self, read, words)
  for _, part in ipairs { { value, read.floor, "it" }, { base, read.full_floor, "its base" } } do
    local last = key.value_end[part[1]]
    if not last then
      self:violation(key.name, "shows %s, which nobody has said", part[1])
    elseif last < part[2] and not is_fallback then
      self:violation(key.name, "shows %s, of %d at the latest, though %s was overwritten by a write sent at %d and answered before the read", part[1],
        last, part[3], part[2])
    end
  end
end

function Judge:saw_missing(read, words)
  tell(self, read, words)
  if read.key.missing_end < read.missing_floor then
    self:violation(read.key.name, "is missing, as the origin said at %d, though a write sent at %d was answered before the read",
      read.key.missing_end, read.missing_floor)
  end
end

-- Nothing is stored. Not to be asked where records end by themselves.
function Judge:saw_nothing(read, words)
  local key = read.key
  tell(self, read, words)
  local last = key.doubtful_deletes > 0 and EVER or math.max(key.deleted_end, key.missing_end)
  if last < read.save_floor then
    self:violation(key.name, "is not there, though it was saved by a write sent at %d and answered before the read", read.save_floor)
  end
end

-- A failure: of it nothing follows.
function Judge:saw_failure(read, words) tell(self, read, words) end

return judge
