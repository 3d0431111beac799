-- What luacheck knows of the Lua here (make lint).
std = "luajit"
max_line_length = 140
exclude_files = { "build", "lua/perigee/meta" }

-- Schema files, and the tests' models: the words of the language; models are known by their names.
local words = {
    read_globals = {
        "model", "form", "key", "field", "packed", "reference", "references", "arg", "input", "cached_method",
        "cached_form_method", "http", "invalidate_tags", "sqlite", "postgres", "redis", "parallel", "sleep", "log", "env", "null", "array",
        "missing", "failed", "invalidate_tags",
    },
    ignore = { "113/[A-Z].*", "21[23]/ctx", "212/self" },
}
files["schemas"] = words
files["bench/schemas"] = words
files["tests/support/models"] = words
files["bench/*.lua"] = { globals = { "ngx", "wrk", "request", "response", "setup", "init", "done", "delay" } }
files["schemas/*_spec.lua"] = { std = "+busted", max_line_length = false }
files["tests"] = { std = "+busted", max_line_length = false, ignore = { "212/_.*", "212/self", "213", "421", "431" } }
