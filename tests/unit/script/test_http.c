/* `http` against a server of the test's own, on the same loop: its answers are written down here byte by byte. */
#include "world.h"

#include "script/host_internal.h"

#include <arpa/inet.h>
#include <unistd.h>

/* --- the server --------------------------------------------------------------------------------------------------- */

/* What a request for `path` gets. NULL reply: nothing, ever. */
static const struct route {
    const char *path, *reply;
    bool close; /* after it */
} routes[] = {
    {"/hello", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One: 1\r\nX-Two:  a \r\nx-two: b\r\n\r\nhello", false},
    {"/json",
     "HTTP/1.1 200 OK\r\nContent-Length: 55\r\n\r\n{ \"name\": \"bob\", \"big\": 9007199254740993, \"none\": null}",
     false},
    {"/badjson", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"a\": 1,}", false},
    {"/missing", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", false},
    {"/chunked",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: t\r\n\r\n",
     false},
    {"/interim", "HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
    {"/redirect", "HTTP/1.1 302 Found\r\nLocation: /hello\r\nContent-Length: 0\r\n\r\n", false},
    {"/loop", "HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n", false},
    {"/tofile", "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n", false},
    {"/toftp", "HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/x\r\nContent-Length: 0\r\n\r\n", false},
    {"/short", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nonly this", true},
    {"/empty", "", true},
    {"/garbage", "SSH-2.0-OpenSSH\r\nwhat\r\n\r\n", true},
    {"/close", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", true},
    {"/never", NULL, false},
    {"/drip", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nonly", false},
};

struct server {
    uv_tcp_t tcp;
    int port, connections, requests, open;
    char seen[4096]; /* the last request */
};

struct peer {
    uv_tcp_t tcp;
    struct server *server;
    char text[4096];
    size_t n;
    char *big; /* generated reply */
};

struct answer {
    uv_write_t write;
    struct peer *peer;
    char *own;
    bool close;
};

static struct server server;

static void on_peer_closed(uv_handle_t *handle)
{
    server.open--;
    free(container_of((uv_tcp_t *)handle, struct peer, tcp));
}

static void peer_close(struct peer *peer)
{
    if (!uv_is_closing((uv_handle_t *)&peer->tcp)) uv_close((uv_handle_t *)&peer->tcp, on_peer_closed);
}

static void on_answered(uv_write_t *write, int status)
{
    struct answer *a = container_of(write, struct answer, write);
    if (a->close) peer_close(a->peer);
    free(a->own);
    free(a);
}

static void answer(struct peer *peer, const char *text, size_t n, char *own, bool close)
{
    struct answer *a = calloc(1, sizeof *a);
    *a = (struct answer){.peer = peer, .own = own, .close = close};
    uv_buf_t bytes = uv_buf_init((char *)text, (unsigned)n);
    uv_write(&a->write, (uv_stream_t *)&peer->tcp, &bytes, 1, on_answered);
}

/* /bytes/N: a body of N; /echo: the request itself; the rest from the table. */
static void serve(struct peer *peer)
{
    char path[128];
    unsigned long n;
    server.requests++;
    snprintf(server.seen, sizeof server.seen, "%s", peer->text);
    sscanf(peer->text, "%*s %127[^ ?]", path);
    if (sscanf(path, "/bytes/%lu", &n) == 1) {
        char *own = malloc(n + 100);
        int head = sprintf(own, "HTTP/1.1 200 OK\r\nContent-Length: %lu\r\n\r\n", n);
        memset(own + head, 'x', n);
        answer(peer, own, (size_t)head + n, own, false);
        return;
    }
    if (strcmp(path, "/heads") == 0) {
        char *own = malloc(1 << 17);
        int at = sprintf(own, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
        while (at < 1 << 16) at += sprintf(own + at, "X-%d: %01000d\r\n", at, 0);
        at += sprintf(own + at, "\r\n");
        answer(peer, own, (size_t)at, own, false);
        return;
    }
    if (strcmp(path, "/echo") == 0) {
        char *own = malloc(8192);
        int head = sprintf(own, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", peer->n);
        memcpy(own + head, peer->text, peer->n);
        answer(peer, own, (size_t)head + peer->n, own, false);
        return;
    }
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (strcmp(routes[i].path, path) != 0) continue;
        if (routes[i].reply) answer(peer, routes[i].reply, strlen(routes[i].reply), NULL, routes[i].close);
        return;
    }
    fail_msg("no route for %s", path);
}

static bool is_whole(const struct peer *peer)
{
    const char *end = strstr(peer->text, "\r\n\r\n"), *length = strstr(peer->text, "Content-Length: ");
    size_t body = length && length < end ? strtoul(length + 16, NULL, 10) : 0;
    return end && peer->n >= (size_t)(end + 4 - peer->text) + body;
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *bytes)
{
    struct peer *peer = container_of((uv_tcp_t *)handle, struct peer, tcp);
    *bytes = uv_buf_init(peer->text + peer->n, (unsigned)(sizeof peer->text - 1 - peer->n));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes)
{
    struct peer *peer = container_of((uv_tcp_t *)stream, struct peer, tcp);
    if (n < 0) {
        peer_close(peer);
        return;
    }
    peer->n += (size_t)n;
    peer->text[peer->n] = 0;
    if (!is_whole(peer)) return;
    serve(peer);
    peer->n = 0;
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct peer *peer = calloc(1, sizeof *peer);
    server.connections++;
    server.open++;
    uv_tcp_init(stream->loop, &peer->tcp);
    uv_accept(stream, (uv_stream_t *)&peer->tcp);
    uv_read_start((uv_stream_t *)&peer->tcp, on_alloc, on_read);
}

static struct world *open_all(void)
{
    struct world *w = world_open();
    memset(&server, 0, sizeof server);
    uv_tcp_init(&w->loop, &server.tcp);
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", 0, &address);
    assert_int_equal(uv_tcp_bind(&server.tcp, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&server.tcp, 64, on_connection), 0);
    int n = sizeof address;
    uv_tcp_getsockname(&server.tcp, (struct sockaddr *)&address, &n);
    server.port = ntohs(address.sin_port);
    return w;
}

/* The host first: the server's peers end when the client closes its kept connections. */
static void close_all(struct world *w)
{
    uv_close((uv_handle_t *)&server.tcp, NULL);
    world_close(w);
    assert_int_equal(server.open, 0);
}

#define run(w, ...)    world_runf(w, 5000, __VA_ARGS__)
#define URL            "http://127.0.0.1:%d"
#define ERROR_OF(call) "local ok, e = pcall(function() return " call " end) return ok and 'no error' or e"

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

/* A port where nobody listens. */
static int dead_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, n), 0);
    getsockname(fd, (struct sockaddr *)&address, &n);
    close(fd);
    return ntohs(address.sin_port);
}

static void test_no_answer(void **state)
{
    struct world *w = open_all();
    int dead = dead_port();
    char wanted[128];
    snprintf(wanted, sizeof wanted, "test.lua:1: http: GET http://127.0.0.1:%d/x : connection refused", dead);
    assert_ends(run(w, "http.get('http://u:pass@127.0.0.1:%d/x?token=1#f')", dead), LOADER_ERROR, wanted);
    assert_ends(run(w, "local ok, e = pcall(http.get, 'http://u:pass@127.0.0.1:%d/x') return e", dead), OK,
                "connection refused");
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
    assert_ends(run(w, "return #http.get('" URL "/bytes/4194304').body", server.port), OK, "4194304");
    assert_ends(run(w, "http.get('" URL "/bytes/4194305')", server.port), LOADER_ERROR,
                "body of more than 4194304 bytes");
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
        {"http.get('http://x/', {timeuot = 1})", "http: unknown option `timeuot` (there are: timeout, "},
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
        {"http.get('http://x/', {follow = 6})", "http: follow must be a number from 0 to 5"},
        {"http.get('http://x/', {max_bytes = 0/0})", "http: max_bytes must be"},
        {"http.get('http://x/', {verify = 1})", "http: verify must be true or false"},
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
    enum { N = 100 }; /* more than connections to one server */
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
    assert_true(server.connections <= 32);
    vm_retire(vm);

    struct buffer text;
    buffer_init(&text, 1 << 20);
    metrics_render(&w->metrics, 1, &text);
    buffer_char(&text, 0);
    assert_non_null(strstr(text.p, "perigee_upstream_seconds_count{kind=\"http\",outcome=\"ok\"} 100"));
    buffer_deinit(&text);
    close_all(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_what_is_sent),
        cmocka_unit_test(test_connections_are_kept),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_cancel_in_every_state),
        cmocka_unit_test(test_many_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
