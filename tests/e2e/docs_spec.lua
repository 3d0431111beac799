-- tests/e2e/docs_spec.lua -- the pages say what is: their examples are taken out of the markdown and run, so that a page that is wrong fails.
--
-- In the pages below each fenced block is one of two:
--
--     lua       a whole schema file, or a spec; its name stands in the first line, `-- schemas/user.lua`
--     console   commands, `$ curl ...` and `$ perigee ...`, each with what it prints below it
--
-- All lua blocks under one heading are the models of the commands under it, on a gateway with an empty store; under a heading without any,
-- those of schemas/ are. `perigee check` must find no fault with them, unless the page shows what it finds.
--
-- A text may be broken into lines at will, `...` stands for anything, and what is left of a life may be less than on the page. Of headers
-- (curl -i) those must be there that the page shows, as it shows them.
local gateway = require "tests.support.gateway"
local half = require "tests.support.half"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local cjson = require "cjson"

local PAGES = { "models", "references", "methods", "handlers", "http", "testing" }
local HERE = "http://127.0.0.1:3633" -- in the pages

-- -- reading --

local function path_of(page) return ("docs/%s.md"):format(page) end

-- The fenced blocks of a page: { line =, language =, heading = { title =, line = }, text = }.
local function blocks_of(path)
  local blocks, heading, open, number = {}, nil, nil, 0
  for line in (assert(process.read(path), path) .. "\n"):gmatch "([^\n]*)\n" do
    number = number + 1
    local language = line:match "^ *```(%w*)"
    if language and open then
      open.text = table.concat(open.lines, "\n") .. "\n"
      blocks[#blocks + 1] = open
      open = nil
    elseif language then
      open = { line = number, language = language, heading = heading, lines = {} }
    elseif open then
      open.lines[#open.lines + 1] = line
    elseif line:find "^#+ " then
      heading = { title = line:match "^#+ (.*)", line = number }
    end
  end
  assert(not open, path .. ": a block without an end")
  return blocks
end

-- The commands of a console block, each with what it prints.
local function commands_of(path, block)
  local commands, number, goes_on = {}, block.line, false
  for line in block.text:gmatch "([^\n]*)\n" do
    number = number + 1
    local command = line:match "^%$ (.*)"
    if command then
      commands[#commands + 1] = { at = ("%s:%d"):format(path, number), text = command, prints = {} }
    else
      local last = assert(commands[#commands], ("%s:%d: nothing has printed this"):format(path, number))
      if goes_on then last.text = last.text .. "\n" .. line else table.insert(last.prints, line) end
    end
    goes_on = (command or goes_on) and line:find "\\$" ~= nil
  end
  return commands
end

-- What stands under each heading of a page that has examples: { title =, at =, models = { file -> text }, commands = {...} }.
local function sections_of(path)
  local sections, by_heading = {}, {}
  for _, block in ipairs(blocks_of(path)) do
    local at = ("%s:%d"):format(path, block.line)
    local section = by_heading[block.heading]
    if not section then
      section = { title = block.heading.title, at = at, models = {}, commands = {} }
      by_heading[block.heading], sections[#sections + 1] = section, section
    end
    if block.language == "lua" then
      local file = assert(block.text:match "^%-%- schemas/([%w_]+)%.lua[ \n]", at .. ": which file is this?")
      assert(not section.models[file], at .. ": the file is there already")
      section.models[file] = block.text
    elseif block.language == "console" then
      for _, command in ipairs(commands_of(path, block)) do table.insert(section.commands, command) end
    else
      error(at .. ": neither lua nor console: nobody runs this")
    end
  end
  return sections
end

-- -- judging --

-- Lives in `printed` that are a little shorter than on the page become those of the page; Age a little more.
local function settle(wanted, printed)
  for _, name in ipairs { "ttl=", "max%-age=", "Age: " } do
    local lives = wanted:gmatch("%f[%w]" .. name .. "(%d+)")
    printed = printed:gsub("%f[%w](" .. name .. ")(%d+)", function(label, left)
      local life = lives()
      return life and math.abs(life - left) <= 60 and label .. life or nil
    end)
  end
  return printed
end

local function fits(wanted, printed)
  local pattern = wanted:gsub("%p", "%%%0"):gsub("%%%.%%%.%%%.", ".-")
  return settle(wanted, printed):find("^" .. pattern .. "$") ~= nil
end

local function unbroken(text) return (text:gsub("%s*\n%s*", "")) end

-- nil, or what does not fit.
local function body_fault(wanted, printed)
  if not fits(unbroken(wanted), unbroken(printed)) then return ("wanted\n  %s\ngot\n  %s"):format(unbroken(wanted), unbroken(printed)) end
end

-- The same of an answer with its head.
local function answer_fault(wanted, printed)
  local head, body = printed:match "^(.-)\r?\n\r?\n(.*)$"
  local wanted_head, wanted_body = (wanted .. "\n\n"):match "^(.-\n)\n(.*)$"
  for line in wanted_head:gmatch "([^\n]+)\n" do
    local found = false
    for given in (head .. "\n"):gmatch "([^\r\n]+)\r?\n" do found = found or fits(line, given) end
    if not found then return ("no `%s` in\n%s"):format(line, head) end
  end
  return body_fault(wanted_body, body)
end

-- -- running --

local Stage = {}
Stage.__index = Stage

-- Where the commands under a heading are run: a folder with its models, and a gateway when one is needed.
local function stage(section, store, prefix)
  local self = setmetatable({ folder = process.temp(), store = store, prefix = prefix }, Stage)
  self.cwd = next(section.models) and self.folder or "."
  if next(section.models) then gateway.write_models(self.folder .. "/schemas", section.models) end
  return self
end

function Stage:gateway()
  if not self.gw then
    local on_redis = self.store ~= "memory"
    self.gw = gateway.start {
      schemas = self.cwd .. "/schemas", store = self.store, args = { "--prefix", self.prefix }, fds = 8,
    }
    if on_redis then self.gw:await_store() end
  end
  return self.gw
end

function Stage:curl(command)
  local text = command.text:gsub("^curl", "curl -sS --max-time 10 ", 1):gsub(HERE:gsub("%p", "%%%0"), "http://" .. self:gateway().address)
  local _, out, err = process.run { argv = { "sh", "-c", text } }
  local wanted = table.concat(command.prints, "\n")
  if self.store ~= "memory" then wanted = wanted:gsub("detail=memory", "detail=redis"):gsub('"memory":', '"redis":'):gsub('"found":"memory"', '"found":"redis"') end
  assert(err == "", ("%s: %s"):format(command.at, err))
  return (command.text:find " %-i" and answer_fault or body_fault)(wanted, (out:gsub("detail=near", "detail=redis"):gsub('"near":', '"redis":'):gsub('"found":"near"', '"found":"redis"')))
end

function Stage:perigee(command)
  local words = {}
  for word in command.text:gsub("^perigee ", ""):gmatch "%S+" do words[#words + 1] = (word:gsub("'", "")) end
  local _, out, err = gateway.run(words, { cwd = self.cwd })
  local wanted, printed = table.concat(command.prints, "\n") .. "\n", out .. err
  if not fits(wanted, printed) then return ("wanted\n%s\ngot\n%s"):format(wanted, printed) end
end

function Stage:run(command)
  local fault
  if command.text:find "^curl " then fault = self:curl(command)
  elseif command.text:find "^perigee " then fault = self:perigee(command)
  else fault = "neither curl nor perigee" end
  if fault then error(("%s: $ %s\n%s"):format(command.at, command.text, fault), 0) end
end

function Stage:finish()
  if self.gw then self.gw:finish() end
  process.remove(self.folder)
end

local function shows_findings(section)
  for _, command in ipairs(section.commands) do
    if command.text:find "^perigee check" then return true end
  end
end

local function run_section(section, store, prefix)
  local self = stage(section, store, prefix)
  local ok, fault = pcall(function()
    if next(section.models) and not shows_findings(section) then
      local code, out, err = gateway.run({ "check", "schemas" }, { cwd = self.cwd })
      assert(code == 0, ("%s: %s%s"):format(section.at, out, err))
    end
    for _, command in ipairs(section.commands) do self:run(command) end
  end)
  if ok then return self:finish() end
  if self.gw then self.gw:abandon() end
  process.remove(self.folder)
  error(fault, 0)
end

for _, store in ipairs { "memory", "redis" } do
  describe("the examples of the pages, on " .. store, function()
    local server, url, runs = nil, "memory", 0
    setup(function()
      if store == "redis" then server = redis.start() end
      if server then url = server.url end
    end)
    teardown(function()
      if server then server:stop() end
    end)

    for _, page in ipairs(PAGES) do
      for _, section in ipairs(sections_of(path_of(page))) do
        it(("are true: %s, %s"):format(section.at, section.title), function()
          runs = runs + 1
          run_section(section, url, "docs" .. runs)
        end)
      end
    end
  end)
end

describe("the models of the README", function()
  it("are right", function()
    for _, block in ipairs(blocks_of "README.md") do
      if block.language == "lua" then
        local self = stage { models = { readme = block.text } }
        local code, out, err = gateway.run({ "check", "schemas" }, { cwd = self.cwd })
        self:finish()
        assert.equal(0, code, out .. err)
      end
    end
  end)
end)

describe("the table of the README", function()
  it("is what its rows make", function()
    local rows, table_of = process.read("README.md"):match "\n<!%-%- the table of (%S+) %-%->\n\n(.-)\n\n<!%-%- end of the table %-%->\n"
    local pipe = io.popen("luajit bench/report.lua " .. process.quote(assert(rows, "there is none")) .. " markdown")
    local made = pipe:read "*a"
    pipe:close()
    assert.equal(made, table_of .. "\n")
  end)
end)

describe("the judge of examples", function()
  it("lets pass what fits, and nothing else", function()
    assert.is_nil(body_fault('{"a":1,\n "b":"..."}', '{"a":1,"b":"x.y"}'))
    assert.is_string(body_fault('{"a":1}', '{"a":2}'))
    assert.is_string(body_fault("", "{}"))
    local answer = "HTTP/1.1 200 OK\r\nAge: 1\r\nCache-Status: perigee; hit; ttl=899\r\nETag: \"12\"\r\n\r\n{}"
    assert.is_nil(answer_fault('HTTP/1.1 200 OK\nETag: "..."\nAge: 0\nCache-Status: perigee; hit; ttl=900\n\n{}', answer))
    assert.is_string(answer_fault("HTTP/1.1 200 OK\nCache-Status: perigee; hit; ttl=800\n\n{}", answer))
    assert.is_string(answer_fault("HTTP/1.1 404 Not Found\n\n{}", answer))
    assert.is_string(answer_fault("HTTP/1.1 200 OK\nVary: x\n\n{}", answer))
    assert.is_string(answer_fault("HTTP/1.1 200 OK", answer))
  end)
end)

-- -- nothing is left out --

local function all_pages()
  local pipe = io.popen "cat docs/*.md"
  local texts = pipe:read "*a"
  pipe:close()
  return texts
end

describe("the pages", function()
  -- What the types for editors know is the language: each word, attribute, option and member stands in an example.
  it("have an example of each word and of all that it takes", function()
    local examples = {}
    for text in all_pages():gmatch "```lua\n(.-)```" do examples[#examples + 1] = text end
    examples = table.concat(examples)
    local class, lacking = nil, {}
    local function want(what, pattern)
      if not examples:find(pattern) then lacking[#lacking + 1] = what end
    end
    for line in process.read "lua/perigee/meta/perigee.lua":gmatch "[^\n]+" do
      class = line:match "^%-%-%-@class perigee%.(%w+)" or class
      if class == "Log" then break end -- libraries, from here on: docs/loaders.md
      local member = line:match "^%-%-%-@field ([%a_]+)%??"
      local word = line:match "^function ([%w_]+)%("
      if member then want(class .. "." .. member, "%f[%w_]" .. member .. "%f[^%w_]") end
      if word then want(word, "%f[%w_]" .. word .. "%f[^%w_]") end
    end
    assert.same({}, lacking)
  end)

  it("name each word and option, and the types for editors do", function()
    half.open()
    local texts, meta, lacking = all_pages(), process.read "lua/perigee/meta/perigee.lua", {}
    local options = require "perigee.options"
    for _, names in ipairs { options.OF_MODELS, options.OF_METHODS, require "perigee.words".table } do
      for name in pairs(names) do
        if not texts:find("`" .. name, 1, true) then lacking[#lacking + 1] = name end
        if not meta:find("%f[%w_]" .. name .. "%f[^%w_]") then lacking[#lacking + 1] = "meta: " .. name end
      end
    end
    assert.same({}, lacking)
  end)

  it("name each word of perigee.testing, and the types for editors do", function()
    local page, meta, lacking, words = process.read "docs/testing.md", process.read "lua/perigee/meta/testing.lua", {}, 0
    local source = process.read "lua/perigee/testing.lua":gsub("function testing%.begin.-function testing%.reset", "function testing.reset")
    local function want(name, told, typed)
      words = words + 1
      if not page:find(told, 1, true) then lacking[#lacking + 1] = name end
      if not meta:find(typed, 1, true) then lacking[#lacking + 1] = "meta: " .. name end
    end
    for name in source:gmatch "\nfunction testing%.([%l_]+)" do
      if name ~= "answer" then want(name, "`testing." .. name .. "(", "function testing." .. name .. "(") end
    end
    for name in source:gmatch 'word%(class, "([%l_]+)"' do want(name, "`User." .. name .. "(", "@field " .. name .. " fun(") end
    assert.same({}, lacking)
    assert(words >= 20)
  end)

  it("have each metric", function()
    local page, lacking = process.read "docs/operating.md", {}
    for metric in process.read "gateway/base/metrics.h":gmatch '"(perigee_[%l_]+)"' do
      if not page:find("`" .. metric .. "`", 1, true) then lacking[#lacking + 1] = metric end
    end
    assert.same({}, lacking)
  end)

  it("have each option of a Redis URL", function()
    local page, options, lacking = process.read "docs/redis.md", 0, {}
    for option in process.read "gateway/store/redis_config.c":gmatch '{"([%l_]+)", OF_' do
      options = options + 1
      if not page:find("`" .. option .. "`", 1, true) then lacking[#lacking + 1] = option end
    end
    assert.same({}, lacking)
    assert(options >= 8)
  end)

  -- What a program can do is what /openapi.json says: all of it stands in docs/http.md as commands that are run.
  it("have each call of HTTP in an example, and each option and header of a request", function()
    local gw = gateway.start { schemas = "schemas", fds = 8 }
    local document = cjson.decode(gw:get("/openapi.json").body)
    gw:finish()
    local shown, commands, lacking, wanted = {}, {}, {}, 0
    local function kind_of(path)
      return (path:gsub("^/models/[^/_{]+", "/models/{model}"):gsub("^/models/{model}/[^_]+$", "/models/{model}/method")
        :gsub("^/forms/[^/_{]+", "/forms/{form}"):gsub("^/forms/{form}/[^_]+$", "/forms/{form}/method"))
    end
    for _, block in ipairs(blocks_of "docs/http.md") do
      for _, command in ipairs(block.language == "console" and commands_of("docs/http.md", block) or {}) do
        local text = command.text
        local path = text:match(HERE:gsub("%p", "%%%0") .. "([^?' ]*)")
        local method = text:match "%-X (%u+)" or text:find " %-I " and "HEAD"
          or (text:find "%-%-json" or text:find " %-d ") and "POST" or "GET"
        shown[method .. " " .. kind_of(path or "")] = true
        commands[#commands + 1] = text
      end
    end
    commands = table.concat(commands, "\n")
    local function want(what, is_there)
      wanted = wanted + 1
      if not is_there then lacking[#lacking + 1] = what end
    end
    for path, item in pairs(document.paths) do
      for method in pairs(item) do
        local call = method:upper() .. " " .. kind_of(path)
        if method ~= "parameters" then want(call, shown[call]) end
      end
    end
    for _, one in pairs(document.components.parameters) do
      want(one.name, commands:find(one["in"] == "query" and one.name .. "=" or one.name .. ": ", 1, true))
    end
    assert.same({}, lacking)
    assert(wanted >= 40)
  end)

  -- The table of docs/http.md against that of base/status.h.
  it("have each way to fail, with its status", function()
    local told, known = {}, {}
    local section = process.read "docs/http.md":match "\n## Errors\n(.-)\n## "
    for row in section:gmatch "\n(| [^\n]+)" do
      local status, codes = row:match "^| (%d+) | ([^|]+) |"
      for code in (codes or ""):gmatch "`([%l-]+)`" do told[code] = status end
    end
    for status, code in process.read "gateway/base/status.h":gmatch 'X%([%u_]+, +(%d+), "([%l-]+)"' do
      if code ~= "ok" and code ~= "pending" then known[code] = status end
    end
    assert.same(known, told)
  end)
end)
