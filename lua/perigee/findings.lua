-- perigee.findings: what is wrong with the models, collected over all files so that one run tells everything.

local findings = {}

local MOST, LONGEST = 1000, 500

local list = {}
local failed = false -- there was an error among them

local function add(at, text, is_error)
    failed = failed or is_error
    if #list == MOST then
        at, text = list[MOST].at, "there are more findings; these are the first"
    elseif #list > MOST then
        return
    end
    if #text > LONGEST then text = text:sub(1, LONGEST) .. "..." end
    list[#list + 1] = { at = at, text = text, order = #list }
end

-- `at` = { file =, line = }.
function findings.add(at, format, ...)
    add(at, format:format(...), true)
end

function findings.warn(at, format, ...)
    add(at, "warning: " .. format:format(...), false)
end

-- Whether there are errors among them.
function findings.failed()
    return failed
end

local function before(a, b)
    if a.at.file ~= b.at.file then return a.at.file < b.at.file end
    if a.at.line ~= b.at.line then return a.at.line < b.at.line end
    return a.order < b.order
end

-- All as text, `file:line: message`, one a line, by file and line.
function findings.render()
    table.sort(list, before)
    local lines = {}
    for i, finding in ipairs(list) do
        lines[i] = ("%s:%d: %s\n"):format(finding.at.file, finding.at.line, (finding.text:gsub("%c", " ")))
    end
    return table.concat(lines)
end

return findings
