-- perigee.tags: the tags of one record: gathered as a set, told to C as the envelope's section has them (model/envelope.h).

local core = require "perigee.core"
local suggest = require "perigee.suggest"

local tags = {}

local MOST, LONGEST = 64, 255

-- Adds one; what is wrong with it, or nil.
function tags.add(set, tag)
    if type(tag) ~= "string" then return "a tag is text, not a " .. type(tag) end
    if tag == "" then return "a tag is not empty" end
    if #tag > LONGEST then return ("a tag has at most %d bytes"):format(LONGEST) end
    if not core.is_utf8(tag) then return "a tag is UTF-8" end
    set[tag] = true
    if #suggest.names(set) > MOST then return ("a record has at most %d tags"):format(MOST) end
end

-- Each tag behind its length, in order.
function tags.section(set)
    local parts = suggest.names(set)
    for i, tag in ipairs(parts) do parts[i] = string.char(#tag) .. tag end
    return table.concat(parts)
end

return tags
