-- perigee.testing_run: what `perigee test` starts in LuaJIT: `luajit testing_run.lua FOLDER [words for busted...]`. Never run by a gateway.

local folder = table.remove(arg, 1)
package.path = arg[0]:gsub("perigee/[^/]*$", "?.lua;") .. package.path

-- One of two exit codes, or that busted is not here: gateway/testing.c tells them apart.
local exit, NO_BUSTED = os.exit, 127
function os.exit(code, ...) -- luacheck: ignore 122
    exit((code == nil or code == true or code == 0) and 0 or 1, ...)
end

local found, runner = pcall(require, "busted.runner")
if not found then
    io.stderr:write("perigee test: busted is not installed for LuaJIT (Debian, Ubuntu: apt-get install lua-busted; LuaRocks: luarocks ",
        "--lua-version=5.1 install busted)\n", tostring(runner), "\n")
    exit(NO_BUSTED)
end

local testing = require "perigee.testing" -- before busted notes what is loaded: all files share one

-- busted makes its own object, which nobody can ask for later; so it is met where it is made.
local core = require "busted.core"
package.loaded["busted.core"] = function(...)
    local busted = core(...)
    local register = busted.register
    function busted.register(name, executor, ...)
        if name == "it" and type(executor) == "function" then
            local run = executor
            executor = function(element)
                testing.begin(folder)
                run(element)
                testing.finish()
            end
        end
        return register(name, executor, ...)
    end
    return busted
end

runner{ standalone = false }
