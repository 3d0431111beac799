-- tests/support/raw.lua -- requests as bytes, what each must be answered with, and whether the connection lives on. raw_http_spec sends
-- them, whole and in two pieces; the fuzzer of the whole path starts from them (tests/fuzz/serve_request.lua).
--
-- A case is { name, bytes, statuses, closes }: the statuses of all answers in order ("400|501": either), 100s left out. `answered` keeps the connection
-- open, so that what follows on it shows whether both sides agree where the request ended; `refused` ends it behind the answer.
local raw = {}

local function add(name, bytes, statuses, closes) raw[#raw + 1] = { name = name, bytes = bytes, statuses = statuses, closes = closes } end

local function answered(name, bytes, statuses) add(name, bytes, statuses or "200", false) end
local function last(name, bytes, statuses) add(name, bytes, statuses or "200", true) end
local function refused(name, bytes, statuses) add(name, bytes, statuses or "400", true) end

local read = "/models/Note?id=a" -- is there
local smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n" -- would be a 404

-- A GET with these header lines behind Host; a PUT, with the body as it is sent.
local function get(lines) return "GET " .. read .. " HTTP/1.1\r\nHost: a\r\n" .. (lines and lines .. "\r\n" or "") .. "\r\n" end
local function put(lines, body) return "PUT " .. read .. " HTTP/1.1\r\nHost: a\r\n" .. lines .. "\r\n\r\n" .. body end
local function chunked(body) return put("Transfer-Encoding: chunked", body) end
local function to(target, method) return (method or "GET") .. " " .. target .. " HTTP/1.1\r\nHost: a\r\n\r\n" end
local function line(text) return text .. "\r\nHost: a\r\n\r\n" end
local function host(value) return "GET " .. read .. " HTTP/1.1\r\nHost:" .. value .. "\r\n\r\n" end

local body = '{"text":"hello"}' -- 16 bytes, and what is stored
local length = "Content-Length: 16"

-- -- requests that are right --
answered("a read", get())
answered("two reads", get() .. get(), "200 200")
answered("a save", put(length, body), "204")
answered("a save and a read", put(length, body) .. get(), "204 200")
answered("a save in one chunk", chunked("10\r\n" .. body .. "\r\n0\r\n\r\n"), "204")
answered("a save in two chunks, one with zeros before its size", chunked("00a\r\n" .. body:sub(1, 10) .. "\r\n6\r\n" .. body:sub(11) .. "\r\n0\r\n\r\n"), "204")
answered("chunks with extensions", chunked("10;a;b=c;d=\"e;f\"\r\n" .. body .. "\r\n0;last\r\n\r\n"), "204")
answered("trailers", chunked("10\r\n" .. body .. "\r\n0\r\nX-Sum: 1\r\nExpires: 0\r\n\r\n"), "204")
answered("blank lines before a request", "\r\n\r\n" .. get())
answered("a blank line between requests", get() .. "\r\n" .. get(), "200 200")
answered("no space behind the colon, tabs around the value", get("X:a\r\nY:\t b \t"))
answered("an empty value", get("X:\r\nY: "))
answered("obs-text in a value", get("X: caf\195\169 \255"))
answered("a body of no bytes", put("Content-Length: 0", ""), "400")
answered("a GET with a body", get("Content-Length: 5"):gsub("$", "hello"), "200")
answered("a GET with an empty chunked body", get("Transfer-Encoding: chunked") .. "0\r\n\r\n")
answered("leading zeros in a length", put("Content-Length: 0016", body), "204")
answered("Transfer-Encoding in capitals", put("TRANSFER-ENCODING: CHUNKED", "10\r\n" .. body .. "\r\n0\r\n\r\n"), "204")
answered("Expect: 100-continue, with the body at once", put(length .. "\r\nExpect: 100-continue", body), "204")
answered("Expect: 100-continue with no body", get("Expect: 100-continue"))
answered("Upgrade to HTTP/2, which is passed over", get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"))
answered("Range, which is passed over", get("Range: bytes=0-1,5-9,0-0"))
answered("64 fields", get(("X: y\r\n"):rep(63):sub(1, -3)))
answered("a target of 8192 bytes", to("/models/Note?id=" .. ("x"):rep(8192 - 16)), "404")

-- -- connections that end --
last("Connection: close", get "Connection: close")
last("Connection: close among others", get "Connection: keep-alive, Close")
last("Connection: close in a second line", get "Connection: x\r\nConnection: close")
last("what follows a close is not answered", get "Connection: close" .. get())
last("HTTP/1.0", "GET " .. read .. " HTTP/1.0\r\n\r\n")
answered("HTTP/1.0 with keep-alive", "GET " .. read .. " HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
last("Expect in HTTP/1.0 is passed over", "GET " .. read .. " HTTP/1.0\r\nExpect: nonsense\r\n\r\n")

-- -- where the body ends: two ways to read it are refused --
refused("Content-Length, then chunked", put(length .. "\r\nTransfer-Encoding: chunked", "0\r\n\r\n" .. smuggled))
refused("chunked, then Content-Length", put("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n" .. smuggled))
refused("a length twice, the same", put(length .. "\r\n" .. length, body))
refused("a length twice, different", put("Content-Length: 0\r\nContent-Length: 34", smuggled))
refused("a length twice, by case", put("content-length: 0\r\nCONTENT-LENGTH: 34", smuggled))
refused("two lengths in one line", put("Content-Length: 16, 16", body))
refused("two different lengths in one line", put("Content-Length: 0, 34", smuggled))
for what, value in pairs {
  ["a plus"] = "+16", ["a minus"] = "-16", ["minus nothing"] = "-0", ["hexadecimal"] = "0x10", ["hexadecimal digits"] = "1f", ["a space within"] = "1 6",
  ["a tab within"] = "1\t6", ["a fraction"] = "16.0", ["an exponent"] = "1e1", ["a comma"] = "16,", ["quotes"] = '"16"', ["an underscore"] = "1_6",
  ["nothing"] = "", ["letters"] = "many", ["2^63"] = "9223372036854775808", ["2^64"] = "18446744073709551616",
  ["2^64 + 16"] = "18446744073709551632", ["a hundred digits"] = ("1"):rep(100), ["a vertical tab"] = "\v16", ["digits of another script"] = "\217\161\217\166",
} do
  refused("a length with " .. what, put("Content-Length: " .. value, body))
end
refused("a space before the colon of a length", put("Content-Length : 34", smuggled))
refused("a tab before the colon of a length", put("Content-Length\t: 34", smuggled))
refused("a length folded into the next line", put("Content-Length:\r\n 34", smuggled))
refused("a length behind a NUL", put("X: a\0\r\nContent-Length: 34", smuggled))
for what, value in pairs {
  ["gzip"] = "gzip", ["gzip, chunked"] = "gzip, chunked", ["identity"] = "identity", ["xchunked"] = "xchunked", ["chunkedx"] = "chunkedx",
  ["a parameter"] = "chunked;q=1", ["quotes"] = '"chunked"', ["an unknown one"] = "cow", ["identity, chunked"] = "identity, chunked",
} do
  refused("transfer coding: " .. what, put("Transfer-Encoding: " .. value, "0\r\n\r\n" .. smuggled), "501")
end
for what, value in pairs {
  ["chunked twice"] = "chunked, chunked", ["chunked, then another"] = "chunked, identity", ["nothing"] = "", ["a comma before"] = ", chunked",
  ["a comma behind"] = "chunked,", ["a vertical tab before"] = "\vchunked", ["a NUL behind"] = "chunked\0", ["spaces alone"] = "   ",
  ["folded"] = "\r\n chunked", ["a byte over 127 before"] = "\255chunked",
} do
  refused("transfer coding: " .. what, put("Transfer-Encoding: " .. value, "0\r\n\r\n" .. smuggled), "400|501")
end
refused("chunked in two lines", put("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"))
refused("chunked, and identity in another line", put("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n"), "400")
refused("chunked in HTTP/1.0", "PUT " .. read .. " HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
refused("a space before the colon of a coding", put("Transfer-Encoding : chunked", "0\r\n\r\n" .. smuggled))

-- -- chunks --
for what, size in pairs {
  ["a minus"] = "-10", ["a plus"] = "+10", ["0x"] = "0x10", ["a space before"] = " 10", ["a space behind"] = "10 ", ["a tab behind"] = "10\t",
  ["nothing"] = "", ["letters"] = "xyz", ["2^64"] = "10000000000000000", ["2^64 + 16"] = "10000000000000010", ["an underscore"] = "1_0",
  ["a comma"] = "1,0", ["a dot"] = "10.", ["a NUL"] = "10\0", ["an extension without a name"] = "10;", ["an extension without a value"] = "10;a=",
  ["a quote that does not end"] = '10;a="b', ["a bare CR in an extension"] = "10;a\rb", ["a bare LF in an extension"] = "10;a\nb",
  ["a control in an extension"] = "10;a=\1", ["a NUL in an extension"] = "10;a=\0",
} do
  refused("a chunk size with " .. what, chunked(size .. "\r\n" .. body .. "\r\n0\r\n\r\n" .. smuggled))
end
refused("a chunk size over the limit", chunked "7fffffff\r\n", "413")
refused("a chunk size of 2^64 - 1", chunked "ffffffffffffffff\r\n", "413|400")
refused("a chunk longer than its size", chunked("f\r\n" .. body .. "\r\n0\r\n\r\n"))
refused("a chunk shorter than its size", chunked("11\r\n" .. body .. "\r\n0\r\n\r\n"))
refused("a chunk that ends with LF", chunked("10\r\n" .. body .. "\n0\r\n\r\n"))
refused("a chunk that ends with CR", chunked("10\r\n" .. body .. "\r0\r\n\r\n"))
refused("a chunk size that ends with LF", chunked("10\n" .. body .. "\r\n0\r\n\r\n"))
refused("a chunk size that ends with CR", chunked("10\r" .. body .. "\r\n0\r\n\r\n"))
refused("a last chunk that ends with LF", chunked("10\r\n" .. body .. "\r\n0\r\n\n"))
refused("a kibibyte and more of extensions", chunked("1;" .. ("e"):rep(1100) .. "\r\n"))
refused("extensions of many chunks", chunked(("1;" .. ("e"):rep(100) .. "\r\n \r\n"):rep(20)))
for name, value in pairs {
  Host = "b", ["Content-Length"] = "34", ["Transfer-Encoding"] = "chunked", Authorization = "Bearer x", Connection = "close", TE = "trailers",
  Trailer = "x", Upgrade = "h2c", ["Expect"] = "100-continue",
} do
  refused("a trailer with " .. name, chunked("0\r\n" .. name .. ": " .. value .. "\r\n\r\n" .. smuggled))
end
refused("a folded trailer", chunked "0\r\nA: b\r\n c\r\n\r\n")
refused("a trailer with a space before its colon", chunked "0\r\nA : b\r\n\r\n")
refused("a trailer without a colon", chunked "0\r\nA\r\n\r\n")
refused("a trailer with a bare CR", chunked "0\r\nA: b\rc\r\n\r\n")
refused("a trailer with a NUL", chunked "0\r\nA: b\0\r\n\r\n")
refused("trailers of 17 KiB", chunked("0\r\nA: " .. ("x"):rep(17000) .. "\r\n\r\n"), "431")

-- -- header lines --
refused("a bare LF at the end of a line", "GET " .. read .. " HTTP/1.1\r\nHost: a\nX: y\r\n\r\n")
refused("bare LFs everywhere", "GET " .. read .. " HTTP/1.1\nHost: a\n\n")
refused("a bare CR at the end of a line", "GET " .. read .. " HTTP/1.1\r\nHost: a\rX: y\r\n\r\n")
refused("a bare CR in a value", get "X: a\rb")
refused("a bare LF in a value", get "X: a\nTransfer-Encoding: chunked")
refused("a bare LF as the end of the head", "GET " .. read .. " HTTP/1.1\r\nHost: a\r\n\n" .. smuggled)
refused("CR CR LF", get "X: a\r")
refused("a NUL in a value", get "X: a\0b")
refused("a NUL in a name", get "X\0Y: a")
refused("an escape in a value", get "X: a\27[31m")
refused("DEL in a value", get "X: a\127")
refused("a folded value", get "X: a\r\n b")
refused("a value folded with a tab", get "X: a\r\n\tb")
refused("a folded first line", "GET " .. read .. " HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n")
refused("a space before the colon", get "X : a")
refused("a space in a name", get "X Y: a")
refused("no name", get ": a")
refused("no colon", get "X")
refused("a name of spaces", get " : a")
for _, c in ipairs { "(", ")", ",", "/", ";", "<", "=", ">", "?", "@", "[", "\\", "]", "{", "}", '"', "\1", "\127", "\128", "\255", "\195\164" } do
  refused(("%q in a name"):format(c), get("X" .. c .. ": a"))
end
refused("65 fields", get(("X: y\r\n"):rep(64):sub(1, -3)), "431")
refused("a header block of 17 KiB", get("X: " .. ("y"):rep(17000)), "431")
refused("a field name of 17 KiB", get(("y"):rep(17000) .. ": z"), "431")
refused("a second Content-Type", put("Content-Type: application/json\r\nContent-Type: application/json\r\n" .. length, body))
refused("a second Content-Type that differs", put("Content-Type: text/plain\r\ncontent-type: application/json\r\n" .. length, body))
refused("another expectation", put("Expect: 200-ok\r\n" .. length, body), "417")
refused("two expectations", put("Expect: 100-continue, 200-ok\r\n" .. length, body), "417")
refused("an empty expectation", put("Expect:\r\n" .. length, body), "417")
refused("a length over the limit", put("Content-Length: 1048577", ""), "413")
refused("a length over the limit, with an expectation", put("Content-Length: 1048577\r\nExpect: 100-continue", ""), "413")
refused("a length of 2^63 - 1", put("Content-Length: 9223372036854775807", ""), "413")
answered("a coding of the body", put("Content-Encoding: gzip\r\n" .. length, body), "415")
answered("a media type that is none of ours", put("Content-Type: text/plain\r\n" .. length, body), "415")

-- -- Host --
refused("no Host", "GET " .. read .. " HTTP/1.1\r\n\r\n")
refused("two Hosts, the same", get "Host: a")
refused("two Hosts, different", get "host: b")
refused("two Hosts in HTTP/1.0", "GET " .. read .. " HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n")
for _, value in ipairs {
  "", " ", " a,b", " a, b", " u@a", " u:p@a", " a/b", " /", " a b", " a\tb", " a:b", " a:80:80", " a:65536", " a:-1", " a:+1", " a:000080", " :80", " [::1", " ::1",
  " []", " [::1]b", " [fe80::1%25lo]", " a?b", " a#b", " a\\b", " <a>", " a%2", " a%zz", " http://a", " a|b", " \255", ' "a"', " [::g]",
} do
  refused(("Host:%q"):format(value), host(value))
end
for _, value in ipairs { "a", " a:80", " a:", " 127.0.0.1:3633", " [::1]", " [::1]:80", " a-b.c_d~e", " xn--bcher-kva.example", " a%20b", " A.B.", "\ta\t" } do
  answered(("Host:%q"):format(value), host(value))
end

-- -- targets --
answered("absolute form", "GET http://a" .. read .. " HTTP/1.1\r\nHost: a\r\n\r\n")
answered("absolute form with another case", "GET HTTP://A" .. read .. " HTTP/1.1\r\nHost: a\r\n\r\n")
answered("absolute form of https", "GET https://a:443" .. read .. " HTTP/1.1\r\nHost: a:443\r\n\r\n")
answered("absolute form without a path", "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", "404")
answered("absolute form with a query and no path", "GET http://a?id=a HTTP/1.1\r\nHost: a\r\n\r\n", "404")
refused("absolute form with another host", "GET http://b" .. read .. " HTTP/1.1\r\nHost: a\r\n\r\n")
refused("absolute form with another port", "GET http://a:81" .. read .. " HTTP/1.1\r\nHost: a\r\n\r\n")
refused("absolute form with user and password", "GET http://u:p@a" .. read .. " HTTP/1.1\r\nHost: a\r\n\r\n")
refused("absolute form without a host", "GET http://" .. read .. " HTTP/1.1\r\nHost: a\r\n\r\n")
refused("absolute form without Host", "GET http://a" .. read .. " HTTP/1.1\r\n\r\n")
for _, scheme in ipairs { "ftp", "file", "javascript", "unix", "httpx", "ws" } do
  refused("absolute form of " .. scheme, "GET " .. scheme .. "://a" .. read .. " HTTP/1.1\r\nHost: a\r\n\r\n")
end
answered("the asterisk for OPTIONS", to("*", "OPTIONS"), "204")
for _, method in ipairs { "GET", "HEAD", "PUT", "DELETE", "POST", "TRACE" } do refused("the asterisk for " .. method, to("*", method)) end
refused("an asterisk and more", to("*/models", "OPTIONS"))
refused("authority form for GET", to "a:80")
refused("no slash", to "models/Note?id=a")
refused("a query alone", to "?id=a")
refused("a fragment", to(read .. "#top"))
for what, c in pairs {
  NUL = "\0", ["a tab"] = "\t", ["an escape"] = "\27", DEL = "\127", ["a byte over 127"] = "\128", ["UTF-8"] = "\195\169",
} do
  refused(what .. " in a target", to(read .. c))
end
refused("a space in a target", to "/models/No te?id=a")
answered("escapes in a path", to "/models/%4eote?id=a")
answered("%2F in a path is no slash", to "/models%2FNote?id=a", "404")
answered("dots in a path lead nowhere", to "/models/../models/Note?id=a", "404")
answered("two slashes", to "//models/Note?id=a", "404")
answered("a double slash that looks like a host", to "//b/models/Note?id=a", "404")
answered("a slash behind", to "/models/Note/?id=a", "404")
answered("%00 in a path", to "/models/Note%00?id=a", "404")
answered("a bad escape in a path", to "/models/Not%zz?id=a", "400")
answered("a cut escape in a path", to "/models/Note%4", "400")
refused("a target of 8193 bytes", to("/models/Note?id=" .. ("x"):rep(8193 - 16)), "414")
refused("a target of 8193 bytes for HEAD, which no body answers", to("/models/Note?id=" .. ("x"):rep(8193 - 16), "HEAD"), "414")
refused("a HEAD with a bad field", "HEAD " .. read .. " HTTP/1.1\r\nHost: a\r\nX y: z\r\n\r\n")
refused("a HEAD of another version", "HEAD " .. read .. " HTTP/3.0\r\nHost: a\r\n\r\n", "505")
refused("a target without end", "GET /" .. ("x"):rep(70000), "414")

-- -- methods --
answered("HEAD", to(read, "HEAD"))
answered("OPTIONS", to(read, "OPTIONS"), "204")
answered("TRACE", to(read, "TRACE"), "405")
last("CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n" .. smuggled, "405")
refused("CONNECT to a path", to("/models", "CONNECT"))
answered("POST to a record", "POST " .. read .. " HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", "405")
answered("a method of WebDAV", to(read, "PROPFIND"), "405")
refused("a method nobody knows", to(read, "BREW"), "501")
refused("a method in small letters", to(read, "get"), "501")
refused("a method with a letter more", to(read, "GETS"), "501")
refused("a method of 5000 letters", to(read, ("A"):rep(5000)), "501")
for _, c in ipairs { "(", "/", ":", "@", "\0", "\127", "\128", '"' } do refused(("%q in a method"):format(c), to(read, "GET" .. c)) end
refused("no method", to(read, ""))

-- -- the request line --
refused("two spaces behind the method", line("GET  " .. read .. " HTTP/1.1"))
refused("two spaces behind the target", line("GET " .. read .. "  HTTP/1.1"))
refused("a space behind the version", line("GET " .. read .. " HTTP/1.1 "))
refused("a space before the method", line(" GET " .. read .. " HTTP/1.1"))
refused("a tab behind the method", line("GET\t" .. read .. " HTTP/1.1"))
refused("a tab behind the target", line("GET " .. read .. "\tHTTP/1.1"))
refused("a vertical tab behind the target", line("GET " .. read .. "\vHTTP/1.1"))
refused("a bare CR behind the version", "GET " .. read .. " HTTP/1.1\rHost: a\r\n\r\n")
refused("LF alone before a request", "\n" .. get())
refused("CR alone before a request", "\r" .. get())
refused("words", "nonsense\r\n\r\n", "501")
refused("a byte order mark", "\239\187\191" .. get())
refused("small letters in HTTP", line("GET " .. read .. " http/1.1"))
refused("no version", line("GET " .. read), "505")
refused("HTTP/0.9", line("GET " .. read .. " HTTP/0.9"), "505")
refused("HTTP/1.2", line("GET " .. read .. " HTTP/1.2"), "505")
refused("HTTP/2.0", line("GET " .. read .. " HTTP/2.0"), "505")
refused("HTTP/3.0", line("GET " .. read .. " HTTP/3.0"), "505")
refused("HTTP/1.10", line("GET " .. read .. " HTTP/1.10"))
refused("HTTP/01.1", line("GET " .. read .. " HTTP/01.1"), "505")
refused("HTTP/1", line("GET " .. read .. " HTTP/1"))
refused("HTTP/1,1", line("GET " .. read .. " HTTP/1,1"))
refused("HTTP/+1.1", line("GET " .. read .. " HTTP/+1.1"))
refused("HTTPS/1.1", line("GET " .. read .. " HTTPS/1.1"), "505")
refused("RTSP/1.0", line("OPTIONS " .. read .. " RTSP/1.0"), "505")
refused("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505")
refused("a greeting of TLS", "\22\3\1\2\0\1\0\1\252\3\3")
refused("a command of Redis", "*1\r\n$4\r\nPING\r\n", "501")
refused("a plain command of Redis", "SET a b\r\n", "501")
refused("PROXY, which nobody asked for", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" .. get(), "400|501")

return raw
