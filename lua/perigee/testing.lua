-- perigee.testing: what specs of models are written with. docs/testing.md tells it to people.
--
-- A spec (an `it` of busted) that asks for anything gets a gateway of its own, with an empty store, from gateway/testing.c; it is
-- asked over HTTP like any other. What the models ask over HTTP comes here, and is answered by what the spec has said. Each answer
-- becomes values for `assert`: a record, or nil and a problem.

local assert_words = require "luassert"
local say = require "say"
local json = require "perigee.testing_json"
local wire = require "perigee.testing_wire"

local testing = { null = json.null, array = json.array }

local folder -- of the sockets
local gateway -- of the spec that runs; nil: it has not needed one yet
local variables -- of its environment
local fakes, asked, unexpected -- what the models' HTTP requests are answered, what they were, and those that nothing answers

-- The spec's gateway.

local function read_file(path)
    local file = io.open(path, "rb")
    if not file then return "" end
    local text = file:read "*a"
    file:close()
    return text
end

local function start()
    local control = wire.connect(folder .. "/control")
    local list = {}
    for name, value in pairs(variables) do list[#list + 1] = name .. "=" .. value end
    list[#list + 1] = "\0"
    control:send(table.concat(list, "\0"))
    wire.await("gateway", function() return control.ended or control.got:find "\nperigee ready [^\n]*\n" end)
    local log = control.got:match "^([^\n]*)\n" or ""
    if control.ended then error("there is no gateway for this spec:\n" .. read_file(log), 0) end
    local data, admin = control.got:match " listen=unix:(%S+) admin=unix:(%S+)"
    control.got = ""
    return { control = control, data = data, admin = admin, log = log }
end

local function running()
    if not folder then error("perigee.testing works in specs that `perigee test` runs, inside `it`, `before_each` and `after_each`", 0) end
    gateway = gateway or start()
    return gateway
end

local function stop()
    if gateway then gateway.control:close() end
    gateway = nil
end

-- Called around each spec by testing_run.lua; what was done in `setup` is over when the first begins.
local serving

function testing.begin(where)
    folder = where
    if not serving then
        serving = true
        wire.serve(folder .. "/http", function(request) return testing.answer(request) end)
    end
    testing.reset()
end

function testing.finish() stop() end

-- From here on an empty store, no fakes, no variables: as at the beginning of a spec.
function testing.reset()
    stop()
    variables, fakes, asked, unexpected = {}, {}, {}, {}
end

-- What the models' `env` says. Before the first question, because models are loaded then.
function testing.env(values)
    if gateway then error("testing.env comes before what needs the models: they are loaded by now", 2) end
    for name, value in pairs(values) do
        value = tostring(value)
        if type(name) ~= "string" or not name:find "^[%a_][%w_]*$" or value:find "%z" then
            error("testing.env takes variables by name", 2)
        end
        variables[name] = value
    end
end

-- What the gateway has logged, as lines of JSON.
function testing.log() return gateway and read_file(gateway.log) or "" end

-- Lives of records are told by a clock that goes forward so far: seconds, or "15m".
function testing.forward(duration)
    local control = running().control
    control:send(("forward %s\n"):format(tostring(duration)))
    wire.await("clock", function() return control.ended or control.got:find "\n" end)
    local said = control.got
    control.got = ""
    if said ~= "ok\n" then error(("testing.forward wants seconds, or text like \"90s\" \"15m\", not %s"):format(tostring(duration)), 2) end
end

-- The value of a metric, summed over all series with these labels: testing.metric("perigee_loads_total", { model = "User" })
function testing.metric(name, labels)
    local sum = 0
    for line in wire.request(running().admin, "GET", "/metrics").body:gmatch "[^\n]+" do
        local found, series, value = line:match "^([%w_]+){?([^}]*)}? (%S+)$"
        local fits = found == name
        for label, wanted in pairs(labels or {}) do
            fits = fits and ("," .. series .. ","):find((',%s="%s",'):format(label, wanted), 1, true) ~= nil
        end
        if fits then sum = sum + tonumber(value) end
    end
    return sum
end

-- How often the loader of a model has run, or the function of "Home.geocode".
function testing.loads(name) return testing.metric("perigee_loads_total", { model = name }) end

-- What the models ask over HTTP.

local function split(what)
    local method, url = what:match "^(%u+) (%S+)$"
    if not method then method, url = nil, what end
    if not url:find "^https?://" then
        error("a fake answers an address such as \"http://users.internal/bob\", or \"POST http://...\"", 3)
    end
    return method, url
end

-- Does a request fit "[METHOD ]URL"? Without a query there, whatever its query is; with a * at its end, whatever comes then.
local function fits(method, url, request)
    if method and method ~= request.method then return false end
    if url:sub(-1) == "*" then return request.url:sub(1, #url - 1) == url:sub(1, -2) end
    return request.url == url or not url:find("?", 1, true) and request.url:match "^[^?]*" == url
end

-- From now on requests to it are answered so: { status = 200, headers = {}, body = "", json = value, after = seconds }, a function
-- that gets the request and returns such a table, "reset": the connection is cut, or "hang": it is never answered. What was said
-- last counts.
function testing.http(what, answer)
    local method, url = split(what)
    local kind = type(answer)
    if kind ~= "table" and kind ~= "function" and answer ~= "reset" and answer ~= "hang" then
        error("testing.http takes an answer: a table, a function, \"reset\" or \"hang\"", 2)
    end
    if not fakes then error("testing.http belongs into `it` or `before_each`", 2) end
    table.insert(fakes, 1, { method = method, url = url, answer = answer })
end

local MEMBERS = { status = "number", headers = "table", body = "string", json = "any", after = "number" }

local function check_answer(answer)
    for name, value in pairs(answer) do
        local wanted = MEMBERS[name]
        if not wanted or wanted ~= "any" and type(value) ~= wanted then
            error(("a fake's answer has status, headers, body, json and after, not `%s` = %s"):format(tostring(name), tostring(value)), 0)
        end
    end
end

local function answer_by(fake, request)
    local answer = fake.answer
    if type(answer) == "function" then answer = answer(request) end
    if answer == "reset" then return nil end
    if answer == "hang" then return answer end
    if type(answer) ~= "table" then error("the function of a fake returned a " .. type(answer), 0) end
    check_answer(answer)
    local headers, body = {}, answer.body
    for name, value in pairs(answer.headers or {}) do headers[name] = value end
    if answer.json ~= nil then
        headers["Content-Type"] = headers["Content-Type"] or "application/json"
        body = json.encode(answer.json)
    end
    return { status = answer.status, headers = headers, body = body, after = answer.after }
end

-- What cannot be answered is told by the spec's next word, and meanwhile the connection is cut.
function testing.answer(request)
    asked[#asked + 1] = request
    for _, fake in ipairs(fakes) do
        if fits(fake.method, fake.url, request) then
            local ok, answer = pcall(answer_by, fake, request)
            if ok then return answer end
            unexpected[#unexpected + 1] = ("the fake of %s: %s"):format(fake.url, tostring(answer))
            return nil
        end
    end
    unexpected[#unexpected + 1] = ("the models asked for %s %s, which nothing answers (testing.http)"):format(request.method, request.url)
end

-- The requests that came to "[METHOD ]URL", in order: { method =, url =, headers =, body = }. All without one.
function testing.asked(what)
    local method, url, list = nil, nil, {}
    if what then method, url = split(what) end
    for _, request in ipairs(asked) do
        if not what or fits(method, url, request) then list[#list + 1] = request end
    end
    return list
end

-- Questions.

local function check_unexpected()
    if unexpected[1] then
        local all = table.concat(unexpected, "\n")
        unexpected = {}
        error(all, 0)
    end
end

-- `perigee; hit; ttl=299; detail=memory` -> { hit = true, ttl = 299, detail = "memory" }
local function read_status(text)
    local found = {}
    for name, value in (text or ""):gmatch ";%s*([%l-]+)=?([^;]*)" do found[name] = value == "" or tonumber(value) or value end
    return found
end

-- One request, as any client's: { status =, headers =, body =, json =, cache = { hit =, ttl =, stored =, ... }, age =, etag = }.
-- Headers by name; a table as the body becomes JSON.
function testing.request(method, target, headers, body)
    local all = {}
    for name, value in pairs(headers or {}) do all[name] = value end
    if type(body) == "table" then
        body = json.encode(body)
        all["Content-Type"] = all["Content-Type"] or "application/json"
    end
    local answer = wire.request(running().data, method, target, all, body)
    check_unexpected()
    if (answer.headers["content-type"] or ""):find "json" then answer.json = json.decode(answer.body) end
    answer.cache = read_status(answer.headers["cache-status"])
    answer.age, answer.etag = tonumber(answer.headers.age), answer.headers.etag
    return answer
end

local Problem = { __tostring = function(self) return ("%s: %s"):format(self.code, self.detail) end }

-- What the engine has logged of a failure stands in the problem: handlers' errors never leave the gateway otherwise.
local function problem_of(answer)
    local problem = type(answer.json) == "table" and answer.json or { code = "none", status = answer.status, detail = answer.body }
    if not problem.code then problem.code, problem.detail = "status-" .. answer.status, answer.body end
    if answer.status >= 500 then problem.log = testing.log() end
    problem.answer = answer
    return setmetatable(problem, Problem)
end

-- value or true, and the answer; nil, and the problem.
local function result(answer, wants_value)
    if answer.status >= 300 then return nil, problem_of(answer) end
    if wants_value then return answer.json, answer end
    return true, answer
end

-- Options of a call, by name; each becomes a parameter or a header.
local function options_of(word, given, known)
    local parameters, headers = {}, {}
    for name, value in pairs(given or {}) do
        local rule = known[name]
        if not rule then error(("%s: unknown option `%s`"):format(word, tostring(name)), 0) end
        if rule.header then
            headers[rule.header] = rule.value or value
            if value == false then headers[rule.header] = nil end
        else
            if type(value) == "table" then value = table.concat(value, ",") end
            if value == true then value = 1 end
            if value ~= false then parameters[rule.parameter] = value end
        end
    end
    return parameters, headers
end

local READING = {
    depth = { parameter = "_depth" }, include = { parameter = "_include" }, fields = { parameter = "_fields" },
    fresh = { header = "Cache-Control", value = "no-cache" }, if_none_match = { header = "If-None-Match" },
}
local WRITING = {
    expires = { parameter = "_expires" }, cascade = { parameter = "_cascade" }, if_match = { header = "If-Match" },
    if_none_match = { header = "If-None-Match" },
}

-- A word of a model that is called with a dot: User.get(...).
local function word(class, name, act)
    class[name] = function(first, ...)
        if first == class then error(("write %s.%s(...), with a dot"):format(class.name, name), 2) end
        return act(first, ...)
    end
end

-- A word the model does not have is the name of one of its methods.
local Class = {}
function Class:__index(name)
    return function(keys, args)
        if keys == self then error(("write %s.%s{ ... }, with a dot"):format(self.name, name), 2) end
        local answer = testing.request("GET", ("%s/%s%s"):format(self.path, wire.escape(name), wire.query(keys, args)))
        if answer.status == 404 and answer.json.code == "not-found" then error(("`%s` has no method `%s`"):format(self.name, name), 2) end
        return result(answer, true)
    end
end

function Class:__tostring() return self.name end

local function class_of(kind, name)
    if type(name) ~= "string" then error(("testing.%s takes a name"):format(kind == "models" and "model" or "form"), 3) end
    return { name = name, path = ("/%s/%s"):format(kind, wire.escape(name)) }
end

local function add_actions(class)
    local function act(name, body) return result(testing.request("POST", class.path .. name, nil, body)) end
    word(class, "invalidate_all", function(mode) return act("/_invalidate", { all = true, mode = mode }) end)
    return act
end

-- A model of the schema files, to be asked as programs do over HTTP:
--
--     get(keys, options)          the record, with those it refers to; options: depth, include, fields, fresh, if_none_match
--     stored(keys)                what is stored, without a load: references are keys
--     save(record, options)       options: expires, cascade, if_match, if_none_match
--     patch(keys, changes, options)   delete(keys, options)   touch(keys, expires)   refresh(keys)
--     invalidate(keys, mode)   invalidate_all(mode)
--     geocode(keys and arguments) any other name: a method
--
-- All return nil and a problem where it was not done, and the answer behind what they return else.
function testing.model(name)
    local class = class_of("models", name)
    local act = add_actions(class)
    word(class, "get", function(keys, options)
        local parameters, headers = options_of(name .. ".get", options, READING)
        return result(testing.request("GET", class.path .. wire.query(keys, parameters), headers), true)
    end)
    word(class, "stored", function(keys)
        local headers = { ["Cache-Control"] = "only-if-cached, max-stale" }
        return result(testing.request("GET", class.path .. wire.query(keys, { _depth = 0 }), headers), true)
    end)
    word(class, "save", function(record, options)
        local parameters, headers = options_of(name .. ".save", options, WRITING)
        return result(testing.request("PUT", class.path .. wire.query(parameters), headers, record))
    end)
    word(class, "patch", function(keys, changes, options)
        local parameters, headers = options_of(name .. ".patch", options, WRITING)
        headers["Content-Type"] = "application/merge-patch+json"
        return result(testing.request("PATCH", class.path .. wire.query(keys, parameters), headers, changes))
    end)
    word(class, "delete", function(keys, options)
        local parameters, headers = options_of(name .. ".delete", options, { if_match = WRITING.if_match })
        return result(testing.request("DELETE", class.path .. wire.query(keys, parameters), headers))
    end)
    word(class, "touch", function(keys, expires) return act("/_touch", { keys = keys, expires = expires }) end)
    word(class, "refresh", function(keys) return act("/_refresh", { keys = keys, wait = true }) end)
    word(class, "invalidate", function(keys, mode) return act("/_invalidate", { keys = keys, mode = mode }) end)
    return setmetatable(class, Class)
end

-- A form: FriendsLookup.get_friends_list{ username = "Bob", include_pending = true }; invalidate_all(mode).
function testing.form(name)
    local class = class_of("forms", name)
    add_actions(class)
    return setmetatable(class, Class)
end

-- testing.invalidate_tags({ "acme" }, "expire")
function testing.invalidate_tags(tags, mode)
    if type(tags) == "string" then tags = { tags } end
    return result(testing.request("POST", "/_invalidate", nil, { tags = json.array(tags), mode = mode }))
end

-- Runs functions at once, as clients that ask together; returns a list with the results of each, { n =, ... }.
function testing.at_once(...)
    running()
    return wire.at_once { ... }
end

-- local problem = assert.problem("missing", User.get{ username = "erin" })
say:set("assertion.problem.positive", "Expected the problem `%s`, but got:\n%s")
say:set("assertion.problem.negative", "Expected any problem but `%s`, and got:\n%s")

local function show(value)
    return type(value) == "table" and getmetatable(value) ~= Problem and value ~= json.null and json.encode(value) or tostring(value)
end

assert_words:register("assertion", "problem", function(_, arguments)
    local code, value, problem = arguments[1], arguments[2], arguments[3]
    local found = value == nil and type(problem) == "table" and problem.code
    arguments[1] = code
    arguments[2] = value == nil and show(problem) .. (found and problem.log and "\n" .. problem.log or "") or "no problem: " .. show(value)
    arguments.nofmt = { true, true }
    arguments.n = 2
    return found == code, { problem }
end, "assertion.problem.positive", "assertion.problem.negative")

return testing
