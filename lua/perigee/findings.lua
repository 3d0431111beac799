-- perigee.findings: what is wrong with the models, collected over all files so that one run tells everything.

local findings = {}

local list = {}

local function add(at, text, is_error)
    list[#list + 1] = { file = at.file, line = at.line, text = text, error = is_error, order = #list }
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
    for _, finding in ipairs(list) do
        if finding.error then return true end
    end
    return false
end

local function before(a, b)
    if a.file ~= b.file then return a.file < b.file end
    if a.line ~= b.line then return a.line < b.line end
    return a.order < b.order
end

-- All as text, `file:line: message`, one a line, by file and line.
function findings.render()
    table.sort(list, before)
    local lines = {}
    for i, finding in ipairs(list) do
        lines[i] = ("%s:%d: %s\n"):format(finding.file, finding.line, (finding.text:gsub("%c", " ")))
    end
    return table.concat(lines)
end

return findings
