-- tests/support/schema.lua -- does a value fit a JSON Schema? As much of 2020-12 as the gateway's descriptions use; a keyword it does
-- not know is an error, so that nothing passes unjudged. Lua has one empty table for {} and []: it fits both.
local cjson = require "cjson"

local schema = {}

-- What a "$ref" within `document` leads to; raises when it leads nowhere.
function schema.follow(document, ref)
  local at = document
  assert(ref:sub(1, 2) == "#/", "leads out of the document: " .. ref)
  for step in ref:sub(3):gmatch "[^/]+" do
    at = type(at) == "table" and at[step] or nil
    assert(at ~= nil, "leads nowhere: " .. ref)
  end
  return at
end

local function is_array(value) return type(value) == "table" and (#value > 0 or next(value) == nil) end
local function is_object(value) return type(value) == "table" and #value == 0 end

local is = {
  null = function(value) return value == cjson.null end,
  boolean = function(value) return type(value) == "boolean" end,
  string = function(value) return type(value) == "string" end,
  number = function(value) return type(value) == "number" end,
  integer = function(value) return type(value) == "number" and value == math.floor(value) end,
  array = is_array,
  object = is_object,
}

local keywords, fault = {}, nil

function keywords.type(types, value)
  for _, name in ipairs(type(types) == "table" and types or { types }) do
    if is[name](value) then return end
  end
  return "is no " .. cjson.encode(types)
end

function keywords.enum(values, value)
  for _, one in ipairs(values) do
    if one == value then return end
  end
  return ("%s is none of %s"):format(tostring(value), cjson.encode(values))
end

keywords["const"] = function(wanted, value) return value ~= wanted and ("%s is not %s"):format(tostring(value), tostring(wanted)) or nil end

function keywords.minimum(least, value) return type(value) == "number" and value < least and "is too small" or nil end

keywords["not"] = function(other, value, document) return not fault(document, other, value) and "is what it must not be" or nil end

function keywords.oneOf(list, value, document)
  local fits = 0
  for _, one in ipairs(list) do fits = fits + (fault(document, one, value) and 0 or 1) end
  return fits ~= 1 and ("fits %d of oneOf"):format(fits) or nil
end

function keywords.anyOf(list, value, document)
  for _, one in ipairs(list) do
    if not fault(document, one, value) then return nil end
  end
  return "fits none of anyOf"
end

function keywords.allOf(list, value, document)
  for _, one in ipairs(list) do
    local why = fault(document, one, value)
    if why then return why end
  end
end

function keywords.required(names, value)
  for _, name in ipairs(is_object(value) and names or {}) do
    if value[name] == nil then return "lacks " .. name end
  end
end

function keywords.properties(properties, value, document)
  for name, one in pairs(is_object(value) and properties or {}) do
    local why = value[name] ~= nil and fault(document, one, value[name])
    if why then return name .. " " .. why end
  end
end

function keywords.additionalProperties(allowed, value, document, whole)
  for name, member in pairs(is_object(value) and value or {}) do
    if not (whole.properties and whole.properties[name]) then
      local why = allowed == false and "has it" or fault(document, allowed, member)
      if why then return name .. " " .. why end
    end
  end
end

function keywords.minItems(least, value) return is_array(value) and #value < least and "is too short" or nil end
function keywords.maxItems(most, value) return is_array(value) and #value > most and "is too long" or nil end

function keywords.items(one, value, document)
  for i, item in ipairs(is_array(value) and value or {}) do
    local why = fault(document, one, item)
    if why then return ("[%d] %s"):format(i, why) end
  end
end

-- The pattern of request numbers, and of durations; others must be added.
local patterns = {
  ["^[0-9a-f]{16}$"] = function(value) return value:match "^[0-9a-f]+$" and #value == 16 end,
  ["^[0-9]+([.][0-9]+)?(ms|s|m|h|d)?$"] = function(value) return value:match "^%d+%.?%d*[msdh]*$" end,
}
function keywords.pattern(pattern, value)
  local matches = assert(patterns[pattern], "a new pattern: " .. pattern)
  return type(value) == "string" and not matches(value) and "does not match " .. pattern or nil
end

function keywords.minLength(least, value) return type(value) == "string" and #value < least and "is too short" or nil end
function keywords.maxLength(most, value) return type(value) == "string" and #value > most and "is too long" or nil end

keywords["$ref"] = function(ref, value, document) return fault(document, schema.follow(document, ref), value) end

for _, words in ipairs { "$schema", "$id", "title", "description", "default", "examples", "format", "readOnly", "contentEncoding" } do
  keywords[words] = function() end
end

-- Why the value does not fit, or nil. References lead into `document`.
function fault(document, one, value)
  for name, wanted in pairs(one) do
    local judge = assert(keywords[name], "a new keyword: " .. tostring(name))
    local why = judge(wanted, value, document, one)
    if why then return why end
  end
end
schema.fault = fault

return schema
