/* `http` against a server of the test's own, on the same loop: its answers are written down here byte by byte. */
#include "test_http_server.h"

/* --- answers ------------------------------------------------------------------------------------------------------ */

static void test_answers(void **state)
{
    struct world *w = open_all();
    assert_ends(run(w,
                    "local r = http.get('" URL
                    "/hello') return r.status .. r.body .. r.headers['x-one'] .. r.headers['x-two']",
                    server.port),
                OK, "200hello1a, b");
    assert_ends(run(w, "return http.get('" URL "/missing').status", server.port), OK, "404");
    assert_ends(
        run(w, "local r = http.get('" URL "/chunked') return r.body .. tostring(r.headers['x-trailer'])", server.port),
        OK, "hello worldnil");
    assert_ends(
        run(w, "local r = http.get('" URL "/interim') return r.body .. tostring(r.headers['x-early'])", server.port),
        OK, "oknil");
    assert_ends(run(w, "return http.get('" URL "/close').body", server.port), OK, "until the end");
    assert_ends(
        run(w, "local r = http.request('" URL "/missing', {method = 'HEAD'}) return r.status .. #r.body", server.port),
        OK, "4040");
    assert_ends(run(w, "return getmetatable(http.get('" URL "/missing'))", server.port), OK, "false");
    close_all(w);
}

/* Names are in lower case, are found in any, and the table is one like others: for JSON, for pairs, for another request. */
static void test_names_of_headers(void **state)
{
    struct world *w = open_all();
    assert_ends(run(w,
                    "local h = http.get('" URL
                    "/hello').headers return h['X-One'] .. h['x-ONE'] .. h['X-Two'] .. tostring(h['X-Three']) .. "
                    "tostring(h[1]) .. tostring(h[('x'):rep(257)])",
                    server.port),
                OK, "11a, bnilnilnil");
    assert_ends(run(w,
                    "local h, names = http.get('" URL "/hello').headers, {} "
                    "for name in pairs(h) do names[#names + 1] = name end table.sort(names) "
                    "return table.concat(names, ' ') .. getmetatable(h) .. require 'cjson'.encode { h }",
                    server.port),
                OK,
                "content-length x-one x-twoheaders"
                "[{\"content-length\":\"5\",\"x-one\":\"1\",\"x-two\":\"a, b\"}]");
    assert_ends(run(w,
                    "local h = http.get('" URL "/hello').headers h['content-length'] = nil "
                    "return http.post('" URL "/echo', {headers = h}).body",
                    server.port, server.port),
                OK, "x-two: a, b\r\n");
    assert_ends(run(w, "return tostring(pcall(setmetatable, http.get('" URL "/hello').headers, {}))", server.port), OK,
                "false");
    close_all(w);
}

static void test_json(void **state)
{
    struct world *w = open_all();
    assert_ends(
        run(w, "local v = http.get('" URL "/json'):json() return v.name .. tostring(v.big) .. tostring(v.none == null)",
            server.port),
        OK, "bob9007199254740993LLtrue");
    assert_ends(run(w, "local r = http.get('" URL "/badjson') " ERROR_OF("r:json()"), server.port), OK,
                "http: the body is not valid JSON: ");
    assert_ends(run(w, "local r = http.get('" URL "/badjson') " ERROR_OF("r:json()"), server.port), OK, "at byte ");
    assert_ends(run(w, "local r = http.get('" URL "/missing') " ERROR_OF("r:json()"), server.port), OK,
                "not valid JSON");
    assert_ends(run(w, "local r = http.get('" URL "/json') " ERROR_OF("r.json()"), server.port), OK,
                "call it as answer:json()");
    close_all(w);
}

/* Gzip is asked for and unpacked, and it is what comes out that is capped. Who asks for encodings gets what comes. */
static void test_encodings(void **state)
{
    struct world *w = open_all();
    assert_ends(run(w, "local b = http.get('" URL "/gzip').body return #b .. b:sub(1, 3)", server.port), OK, "4000xxx");
    assert_non_null(strstr(server.seen, "Accept-Encoding: gzip\r\n"));
    assert_ends(run(w, "http.get('" URL "/gzip', {max_bytes = 3999})", server.port), LOADER_ERROR,
                "/gzip : body of more than 3999 bytes");
    assert_ends(run(w, "http.get('" URL "/badgzip')", server.port), LOADER_ERROR,
                "/badgzip : the body's encoding is unknown or damaged");
    assert_ends(run(w, "http.get('" URL "/br')", server.port), LOADER_ERROR, "/br : the body's encoding is unknown");
    assert_ends(run(w,
                    "local b = http.get('" URL "/gzip', {headers = {['accept-encoding'] = 'gzip, br'}}).body "
                    "return b:byte(1) .. ' ' .. b:byte(2)",
                    server.port),
                OK, "31 139");
    assert_non_null(strstr(server.seen, "accept-encoding: gzip, br\r\n"));
    assert_null(strstr(server.seen, "Accept-Encoding"));
    close_all(w);
}

static void test_what_is_sent(void **state)
{
    struct world *w = open_all();
    struct outcome o = run(w,
                           "return http.post('" URL "/echo?q=1', {json = {a = {1, 2}}, headers = {['X-Mine'] = 'yes', "
                           "['X-Empty'] = '', ['X-Number'] = 5}}).body",
                           server.port);
    assert_int_equal(o.status, OK);
    const char *const wanted[] = {"POST /echo?q=1 HTTP/1.1\r\n",
                                  "Content-Type: application/json\r\n",
                                  "X-Mine: yes\r\n",
                                  "X-Empty:\r\n",
                                  "X-Number: 5\r\n",
                                  "Content-Length: 11\r\n",
                                  "\r\n\r\n{\"a\":[1,2]}",
                                  "User-Agent: perigee/"};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!strstr(server.seen, wanted[i])) fail_msg("no `%s` in %s", wanted[i], server.seen);
    assert_null(strstr(server.seen, "Expect"));

    o = run(w, "return http.put('" URL "/echo', {body = 'a\\0b'}).body", server.port);
    assert_ends(o, OK, "PUT /echo");
    assert_non_null(strstr(server.seen, "Content-Length: 3\r\n"));
    assert_null(strstr(server.seen, "Content-Type"));
    assert_ends(run(w, "return http.post('" URL "/echo').body", server.port), OK, "POST /echo");
    assert_non_null(strstr(server.seen, "Content-Length: 0\r\n"));
    assert_ends(run(w, "return http.delete('" URL "/echo').body", server.port), OK, "DELETE /echo");
    assert_ends(run(w,
                    "return http.request('" URL "/echo', {method = 'PATCH', body = '{}', headers = {['content-type'] = "
                    "'application/merge-patch+json'}}).body",
                    server.port),
                OK, "PATCH /echo");
    assert_non_null(strstr(server.seen, "content-type: application/merge-patch+json\r\n"));
    assert_ends(run(w, "return http.get('http://bob:secret@127.0.0.1:%d/echo').body", server.port), OK, "GET /echo");
    assert_non_null(strstr(server.seen, "Authorization: Basic "));
    close_all(w);
}

static void test_connections_are_kept(void **state)
{
    struct world *w = open_all();
    for (int i = 0; i < 5; i++) /* a vm each: the connection outlives reloads */
        assert_ends(run(w, "return http.get('" URL "/hello').body", server.port), OK, "hello");
    assert_ends(run(w, "for i = 1, 5 do http.get('" URL "/hello') end return 'all'", server.port), OK, "all");
    assert_int_equal(server.requests, 10);
    assert_int_equal(server.connections, 1);

    run(w, "http.get('" URL "/close')", server.port);
    assert_ends(run(w, "return http.get('" URL "/hello').body", server.port), OK, "hello"); /* a new one */
    assert_int_equal(server.connections, 2);
    close_all(w);
}

/* --- no answer ---------------------------------------------------------------------------------------------------- */

static void test_no_answer(void **state)
{
    struct world *w = open_all();
    int dead = dead_port();
    char wanted[128];
    snprintf(wanted, sizeof wanted, "test.lua:1: http: GET http://127.0.0.1:%d/x : connection refused", dead);
    assert_ends(run(w, "http.get('http://u:pass@127.0.0.1:%d/x?token=1#f')", dead), LOADER_ERROR, wanted);
    assert_ends(run(w, "local ok, e = pcall(http.get, 'http://u:pass@127.0.0.1:%d/x') return e", dead), OK,
                "connection refused");
    struct outcome o = run(w, "http.get('http://user:pass@127.0.0.1:%d/x?token=1', {retries = 1})", dead);
    assert_ends(o, LOADER_ERROR, "/x : connection refused (2 attempts)");
    assert_null(strstr(o.text, "user"));
    assert_null(strstr(o.text, "pass"));
    assert_null(strstr(o.text, "token"));
    assert_ends(run(w, "http.get('http://nowhere.invalid/')"), LOADER_ERROR,
                "http://nowhere.invalid/ : host not found");

    assert_ends(run(w, "http.get('" URL "/never', {timeout = 0.05})", server.port), LOADER_ERROR, "/never : timeout");
    assert_ends(run(w, "http.get('" URL "/drip', {timeout = '50ms'})", server.port), LOADER_ERROR, "/drip : timeout");
    assert_ends(run(w, "http.get('" URL "/short')", server.port), LOADER_ERROR,
                "connection lost in the middle of the body");
    assert_ends(run(w, "http.get('" URL "/empty')", server.port), LOADER_ERROR, ": connection lost");
    assert_ends(run(w, "http.get('" URL "/garbage')", server.port), LOADER_ERROR, "HTTP/0.9");
    assert_ends(run(w, "http.get('" URL "/bytes/1001', {max_bytes = 1000})", server.port), LOADER_ERROR,
                "body of more than 1000 bytes");
    assert_ends(run(w, "return #http.get('" URL "/bytes/1000', {max_bytes = 1000}).body", server.port), OK, "1000");
    assert_ends(run(w, "return #http.get('" URL "/bytes/8388608').body", server.port), OK, "8388608");
    assert_ends(run(w, "http.get('" URL "/bytes/8388609')", server.port), LOADER_ERROR,
                "body of more than 8388608 bytes");
    assert_ends(run(w, "http.get('" URL "/heads')", server.port), LOADER_ERROR, "header fields of more than");
    assert_ends(run(w, "http.get('https://127.0.0.1:%d/', {timeout = 0.2})", server.port), LOADER_ERROR,
                "http: GET https://127.0.0.1");
    close_all(w);
}

static void test_redirects(void **state)
{
    struct world *w = open_all();
    assert_ends(run(w, "local r = http.get('" URL "/redirect') return r.status .. r.headers.location", server.port), OK,
                "302/hello");
    assert_ends(run(w,
                    "local r = http.get('" URL "/redirect', {follow = 1}) return r.status .. r.body .. "
                    "tostring(r.headers.location)",
                    server.port),
                OK, "200hellonil");
    assert_ends(run(w, "http.get('" URL "/loop', {follow = 3})", server.port), LOADER_ERROR,
                "/loop : more than 3 redirects");
    assert_ends(run(w, "return http.post('" URL "/see', {follow = 1, json = {}}).body", server.port), OK, "hello");
    assert_non_null(strstr(server.seen, "GET /hello"));
    assert_ends(run(w, "http.get('" URL "/tofile', {follow = 3})", server.port), LOADER_ERROR, "rotocol \"file\"");
    assert_ends(run(w, "http.get('" URL "/toftp', {follow = 3})", server.port), LOADER_ERROR, "rotocol \"ftp\"");
    close_all(w);
}

/* --- misuse ------------------------------------------------------------------------------------------------------- */

static void test_misuse(void **state)
{
    static const char *const calls[][2] = {
        {"http.get()", "http.get: the URL must be a string, got nil"},
        {"http.get('http://x/', 5)", "http.get: the options must be a table, got number"},
        {"http.get('file:///etc/passwd')", "http: GET: bad URL: only http and https"},
        {"http.get('gopher://127.0.0.1/')", "only http and https"},
        {"http.get('127.0.0.1')", "http: GET: bad URL"},
        {"http.get('http://a b/')", "bad URL"},
        {"http.get('http://a/\\r\\nX: y')", "bad URL"},
        {"http.get('http://a/\\0')", "bad URL: NUL byte"},
        {"http.get('http://a/' .. string.rep('x', 10000))", "URL of more than"},
        {"http.get('http://x/', {timeuot = 1})", "http: unknown option `timeuot` (did you mean `timeout`?)"},
        {"http.get('http://x/', {verify = false})", "http: unknown option `verify` (there are: timeout, "},
        {"http.get('http://x/', {[('x'):rep(1000)] = 1})", "http: unknown option `xxx"},
        {"http.get('http://x/', {timeout = 0})", "http: timeout must be more than 0"},
        {"http.get('http://x/', {retries = 11})", "http: retries must be a whole number from 0 to 10"},
        {"http.get('http://x/', {retries = 1.5})", "http: retries must be a whole number"},
        {"http.get('http://x/', {retries = 1, retry_on = 503})", "http: retry_on must be a list of 1 to 16 reasons"},
        {"http.get('http://x/', {retries = 1, retry_on = {}})", "http: retry_on must be a list of 1 to 16 reasons"},
        {"http.get('http://x/', {retries = 1, retry_on = {'resett'}})", "http: retry_on takes"},
        {"http.get('http://x/', {retries = 1, retry_on = {200}})", "http: retry_on takes"},
        {"http.get('http://x/', {retries = 1, retry_on = {503.5}})", "http: retry_on takes"},
        {"http.get('http://x/', {retry_on = {503}})", "http: retry_on needs retries"},
        {"http.put('http://x/', {follow = 1})", "http: follow is for GET, HEAD and POST, not for PUT"},
        {"http.get('http://' .. ('x'):rep(254) .. '/')", "host name of more than 253 bytes"},
        {"http.get('http://x/', {body = {}})", "http: body must be a string"},
        {"http.get('http://x/', {1})", "http: unknown option"},
        {"http.get('http://x/', {timeout = 'soon'})", "http: timeout: expected a duration"},
        {"http.get('http://x/', {headers = {['X-A'] = 'a\\r\\nEvil: 1'}})",
         "http: headers: control character in `X-A`"},
        {"http.get('http://x/', {headers = {['X-A'] = 'a\\0'}})", "control character"},
        {"http.get('http://x/', {headers = {['X A'] = 'a'}})", "http: headers: bad name"},
        {"http.get('http://x/', {headers = {['X:\\r\\nB'] = 'a'}})", "http: headers: bad name"},
        {"http.get('http://x/', {headers = {['Transfer-encoding'] = 'chunked'}})", "is not for handlers to set"},
        {"http.get('http://x/', {headers = {['X-A'] = {}}})", "must be a string or a number"},
        {"http.get('http://x/', {headers = {'a'}})", "http: headers: names must be strings"},
        {"http.get('http://x/', {body = 'a', json = {}})", "body and json exclude each other"},
        {"http.get('http://x/', {json = {f = function() end}})", "http: json"},
        {"http.get('http://x/', {method = 'get'})", "http: method must be"},
        {"http.get('http://x/', {method = 'CONNECT'})", "http: method must be"},
        {"http.get('http://x/', {method = 'GET / HTTP/1.1'})", "http: method must be"},
        {"http.get('http://x/', {follow = 6})", "http: follow must be a whole number from 0 to 5"},
        {"http.get('http://x/', {max_bytes = 0/0})", "http: max_bytes must be"},
        {"http.get('http://x/', {ca = 5})", "http: ca must be the path of a file"},
    };
    struct world *w = world_open();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        assert_ends(run(w, ERROR_OF("%s"), calls[i][0]), OK, calls[i][1]);
    world_close(w);
}

/* --- deadlines and cancelling ------------------------------------------------------------------------------------- */

static void test_deadline(void **state)
{
    struct world *w = open_all();
    struct outcome o =
        world_runf(w, 50, "pcall(http.get, '" URL "/never', {timeout = 100}) return 'went on'", server.port);
    assert_int_equal(o.status, LOADER_TIMEOUT);
    assert_true(o.cut);
    close_all(w);
}

static void test_cancel_in_every_state(void **state)
{
    static const char *const paths[] = {"/hello", "/never", "/drip", "/loop", "/bytes/3000000"};
    struct world *w = open_all();
    for (size_t path = 0; path < sizeof paths / sizeof *paths; path++) {
        for (int turns = 0; turns < 12; turns++) {
            char body[256];
            struct outcome o;
            snprintf(body, sizeof body, "http.get('" URL "%s', {follow = 5})", server.port, paths[path]);
            struct vm *vm = world_vm(w, body);
            struct task *t = world_start(vm, 5000, no_arguments, &o);
            for (int i = 0; i < turns && !o.calls; i++) uv_run(&w->loop, UV_RUN_NOWAIT);
            if (!o.calls) task_cancel(t);
            vm_retire(vm);
        }
    }
    struct vm *vm = world_vm(w, "http.get('http://nowhere.invalid/')"); /* while its name is looked up */
    struct outcome o;
    struct task *t = world_start(vm, 5000, no_arguments, &o);
    uv_run(&w->loop, UV_RUN_NOWAIT);
    uv_run(&w->loop, UV_RUN_NOWAIT);
    if (!o.calls) task_cancel(t);
    vm_retire(vm);
    assert_ends(run(w, "return http.get('" URL "/hello').body", server.port), OK, "hello");
    close_all(w);
}

static void test_many_at_once(void **state)
{
    enum { N = 150 }; /* more than places at one server */
    struct world *w = open_all();
    struct outcome o[N];
    char body[256];
    snprintf(body, sizeof body, "return http.get('" URL "/hello').body", server.port);
    struct vm *vm = world_vm(w, body);
    for (int i = 0; i < N; i++) world_start(vm, 10000, no_arguments, &o[i]);
    for (int i = 0; i < N; i++) {
        world_wait(w, &o[i]);
        assert_ends(o[i], OK, "hello");
    }
    assert_int_equal(server.requests, N);
    assert_true(server.connections <= 64);
    assert_int_equal(observed(w, "ok"), N);
    vm_retire(vm);
    close_all(w);
}

/* Sixty-four have their places, and the others wait in line; who leaves makes room for the next one; there is an end to the line. */
static void test_places(void **state)
{
    enum { N = 512 };
    struct world *w = open_all();
    static struct outcome o[N];
    struct task *tasks[N];
    char body[256];
    snprintf(body, sizeof body, "http.get('" URL "/never')", server.port);
    struct vm *vm = world_vm(w, body);
    for (int i = 0; i < N; i++) tasks[i] = world_start(vm, 60000, no_arguments, &o[i]);
    while (server.requests < 64) uv_run(&w->loop, UV_RUN_ONCE);

    assert_ends(run(w, "http.get('" URL "/hello')", server.port), LOADER_ERROR,
                "/hello : more than 512 requests to one server at once");
    assert_int_equal(server.connections, 64);
    assert_int_equal(server.requests, 64);
    assert_int_equal(observed(w, "error"), 1);

    task_cancel(tasks[500]); /* one of those who wait: nobody moves up */
    task_cancel(tasks[0]);
    while (server.requests < 65) uv_run(&w->loop, UV_RUN_ONCE);
    assert_int_equal(server.open, 64);
    for (int i = 1; i < N; i++)
        if (i != 500) task_cancel(tasks[i]);
    assert_int_equal(observed(w, "cancelled"), N);
    assert_ends(run(w, "return http.get('" URL "/hello').body", server.port), OK, "hello");
    assert_int_equal(server.requests, 66);
    vm_retire(vm);
    close_all(w);
}

/* Sixteen requests hold as many bytes as a worker may. They stand in line behind 64 that hang, so nothing is sent. */
static void test_bytes_at_once(void **state)
{
    enum { HUNG = 64, N = 16 };
    struct world *w = open_all();
    static struct outcome o[HUNG + N];
    struct task *tasks[HUNG + N];
    char text[512], findings[1024];
    snprintf(text, sizeof text, "http.get('" URL "/never')", server.port);
    struct vm *hung = world_vm(w, text);
    for (int i = 0; i < HUNG; i++) tasks[i] = world_start(hung, 60000, no_arguments, &o[i]);
    while (server.requests < HUNG) uv_run(&w->loop, UV_RUN_ONCE);

    snprintf(text, sizeof text,
             "local body = ('x'):rep(2^24) model 'T' { id = key(), from_miss = function() return http.post('" URL
             "/hello', {body = body}) end }",
             server.port);
    struct vm *big = world_load(w, text, findings, sizeof findings);
    for (int i = HUNG; i < HUNG + N; i++) tasks[i] = world_start(big, 60000, no_arguments, &o[i]);
    for (int turn = 0; turn < 2; turn++) { /* what is given back can be had again */
        struct outcome one_more = {0};
        struct task *t = world_start(big, 60000, no_arguments, &one_more);
        while (turn == 0 && !one_more.calls) uv_run(&w->loop, UV_RUN_ONCE);
        for (int i = 0; i < 100 && turn == 1; i++) uv_run(&w->loop, UV_RUN_NOWAIT);
        if (turn == 0) {
            assert_ends(one_more, LOADER_ERROR, "/hello : more than 268435456 bytes of bodies at once");
            task_cancel(tasks[HUNG]);
            tasks[HUNG] = NULL;
        } else {
            assert_int_equal(one_more.calls, 0);
            task_cancel(t);
        }
    }
    for (int i = 0; i < HUNG + N; i++)
        if (tasks[i]) task_cancel(tasks[i]);
    assert_int_equal(server.requests, HUNG);
    vm_retire(big);
    vm_retire(hung);
    close_all(w);
}

/* --- load time ---------------------------------------------------------------------------------------------------- */

static void test_not_while_a_file_is_loaded(void **state)
{
    struct world *w = open_all();
    char text[512], findings[1024];
    snprintf(text, sizeof text, "local r = http.get('" URL "/hello') model 'T' { id = key() }", server.port);
    assert_null(world_load(w, text, findings, sizeof findings));
    assert_non_null(strstr(findings, "test.lua:1: http.get: cannot wait here"));
    snprintf(text, sizeof text, "OK = pcall(http.get, '" URL "/hello') model 'T' { id = key() }", server.port);
    struct vm *vm = world_load(w, text, findings, sizeof findings);
    if (vm) vm_retire(vm);
    for (int i = 0; i < 3; i++) uv_run(&w->loop, UV_RUN_NOWAIT);
    assert_int_equal(server.connections, 0);
    close_all(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_names_of_headers),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_what_is_sent),
        cmocka_unit_test(test_connections_are_kept),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_cancel_in_every_state),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_bytes_at_once),
        cmocka_unit_test(test_not_while_a_file_is_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
