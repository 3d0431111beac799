/* `redis` against a server of the test's own, and against peers that say what the test has written down. */
#include "world.h"

#include "script/host_internal.h"

#include <arpa/inet.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- a server ----------------------------------------------------------------------------------------------------- */

static pid_t server;
static char folder[64], url[128]; /* over the socket */
static int port;

static int free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static bool run_server(void)
{
    char path[96], number[16];
    snprintf(path, sizeof path, "%s/redis.sock", folder);
    snprintf(number, sizeof number, "%d", port);
    server = fork();
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("redis-server", "redis-server", "--port", number, "--bind", "127.0.0.1", "--unixsocket", path, "--save",
               "", "--appendonly", "no", "--dir", folder, "--loglevel", "warning", "--logfile", "log", NULL);
        _exit(127);
    }
    for (int i = 0; i < 1000 && access(path, F_OK) != 0; i++) {
        if (waitpid(server, NULL, WNOHANG) == server) {
            server = 0;
            return false;
        }
        usleep(10000);
    }
    return true;
}

static void end_server(void)
{
    char path[96];
    snprintf(path, sizeof path, "%s/redis.sock", folder);
    if (server) kill(server, SIGKILL), waitpid(server, NULL, 0);
    unlink(path);
    server = 0;
}

static int start(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/perigee-redis-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    port = free_port();
    snprintf(url, sizeof url, "redis+unix://%s/redis.sock", folder);
    if (!run_server()) print_message("no redis-server here\n");
    return 0;
}

static int finish(void **state)
{
    char log[96];
    end_server();
    snprintf(log, sizeof log, "%s/log", folder);
    unlink(log);
    return rmdir(folder);
}

static struct world *open_world(void)
{
    if (!server) skip();
    return world_open();
}

/* The handler's body after `local r = redis(url)`. */
static struct outcome run(struct world *w, const char *body)
{
    return world_runf(w, 10000, "local r = redis('%s') %s", url, body);
}

#define ERROR_OF(call) "local ok, e = pcall(function() local v = " call " return v end) return ok and 'no error' or e"

/* --- replies ------------------------------------------------------------------------------------------------------ */

static void test_replies(void **state)
{
    static const char *const calls[][2] = {
        {"'PING'", "\"PONG\""},
        {"'ping', 'a b'", "\"a b\""},
        {"'SET', 'k', 'v'", "\"OK\""},
        {"'GET', 'k'", "\"v\""},
        {"'GET', 'none'", "null"},
        {"'SET', 'n', 41", "\"OK\""},
        {"'INCR', 'n'", "42"},
        {"'SET', 'f', 0.5", "\"OK\""},
        {"'INCRBYFLOAT', 'f', 1e-1", "\"0.6\""},
        {"'DEL', 'list', 'set', 'stream'", "0"},
        {"'RPUSH', 'list', 'a', 2, ''", "3"},
        {"'LRANGE', 'list', 0, -1", "[\"a\",\"2\",\"\"]"},
        {"'LRANGE', 'none', 0, -1", "[]"},
        {"'MGET', 'k', 'none', 'n'", "[\"v\",null,\"42\"]"},
        {"'EVAL', 'return {1, {2, {}, false}, \"x\", {err = \"no\"}, {ok = \"yes\"}}', 0",
         "[1,[2,[],null],\"x\",{\"err\":\"no\"},\"yes\"]"},
        {"'XADD', 'stream', '1-1', 'a', 1", "\"1-1\""},
        {"'XRANGE', 'stream', '-', '+'", "[[\"1-1\",[\"a\",\"1\"]]]"},
        {"'XREAD', 'STREAMS', 'stream', '0'", "[[\"stream\",[[\"1-1\",[\"a\",\"1\"]]]]]"},
        {"'TYPE', 'k'", "\"string\""},
    };
    struct world *w = open_world();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char body[512];
        snprintf(body, sizeof body, "return require('cjson').encode(r:command(%s))", calls[i][0]);
        struct outcome o = run(w, body);
        if (o.status != OK) fail_msg("%s: %s", calls[i][0], o.text);
        assert_string_equal(o.text, calls[i][1]);
    }
    assert_ends(
        run(w, "r:command('SET', 'b', 'a\\0\\r\\n\\255') local v = r:command('GET', 'b') return #v .. v:byte(5)"), OK,
        "5255");
    assert_ends(run(w, "r:command('SET', 'big', 9007199254740991) return tostring(r:command('INCRBY', 'big', 2))"), OK,
                "9007199254740993LL");
    assert_ends(run(w, "r:command('SET', 'big', r:command('INCR', 'big')) return r:command('GET', 'big')"), OK,
                "9007199254740994");
    assert_ends(run(w, "r:command('SET', 'huge', ('x'):rep(2^20 * 10)) return #r:command('GET', 'huge')"), OK,
                "10485760");
    assert_ends(run(w, "return #r:command('EVAL', 'local t = {} for i = 1, 100000 do t[i] = i end return t', 0)"), OK,
                "100000");
    assert_ends(run(w, "r:command('DEL', 'huge') return 'gone'"), OK, "gone");
    world_close(w);
}

static void test_errors(void **state)
{
    static const char *const calls[][2] = {
        {"r:command('LPUSH', 'a string', 1) and r:command('SET', 'k', 'v') and r:command('LPUSH', 'k', 1)",
         "redis: WRONGTYPE Operation against a key holding the wrong kind of value"},
        {"r:command('NOSUCH', 'x')", "redis: ERR unknown command 'NOSUCH'"},
        {"r:command('GET')", "redis: ERR wrong number of arguments for 'get' command"},
        {"r:command('GET', nil)", "redis: word 2 is a nil; words are strings and numbers"},
        {"r:command('GET', null)", "redis: word 2 is a null; words are strings and numbers"},
        {"r:command('SET', 'k', true)", "redis: word 3 is a boolean"},
        {"r:command('SET', 'k', {})", "redis: word 3 is a table"},
        {"r:command('SET', 'k', 0/0)", "redis: word 3 is a number"},
        {"r:command('SET', 'k', r)", "redis: word 3 is a userdata"},
        {"r:command()", "redis: the command must be a string, got no value"},
        {"r:command(1)", "redis: the command must be a string, got number"},
        {"r.command('GET', 'k')", "redis: call it as server:command(\"GET\", key)"},
        {"r.command(null, 'GET')", "redis: call it as server:command(\"GET\", key)"},
        {"r:command('MSET', 'k', ('x'):rep(2^23), 'l', ('x'):rep(2^23))",
         "redis: a command of more than 16777216 bytes"},
        {"(function() local t = {} for i = 1, 1025 do t[i] = 'x' end return r:command(unpack(t)) end)()",
         "redis: more than 1024 words"},
        {"r:command('BLPOP', 'q', 0)", "redis: BLPOP is refused: it blocks, and would hold up every other handler"},
        {"r:command('xread', 'BLOCK', 0, 'STREAMS', 's', '$')", "redis: xread is refused: it blocks"},
        {"r:command('Subscribe', 'c')",
         "redis: Subscribe is refused: it changes the connection, which all handlers share"},
        {"r:command('MONITOR')", "redis: MONITOR is refused: it changes the connection"},
        {"r:command('MULTI')", "redis: MULTI is refused: it changes the connection"},
        {"r:command('select', 1)", "redis: select is refused: it changes the connection"},
        {"r:command('CLIENT', 'REPLY', 'OFF')", "redis: CLIENT is refused: it changes the connection"},
        {"r:command('EVAL', 'local s = string.rep(\"x\", 2^20) local t = {} for i = 1, 20 do t[i] = s end return t', "
         "0)",
         "redis: a reply of more than 16777216 bytes"},
        {"redis()", "redis: the URL must be a string, got nil"},
        {"redis 'http://h:secret/'", "redis: a store is redis://host:port/db"},
        {"redis 'redis://u:secret@/0'", "redis: the host is neither a name nor an address"},
        {"redis 'redis+cluster://u:secret@h/0'",
         "redis: a cluster is for --store; handlers ask one server: redis://host:port/db"},
        {"redis('redis://h', 5)", "redis: the options must be a table, got number"},
        {"redis('redis://h', {timout = 1})", "redis: unknown option `timout` (there are: timeout)"},
        {"redis('redis://h', {timeout = -1})", "redis: timeout: expected a duration"},
        {"redis('redis://u:secret@127.0.0.1:1'):command 'PING'", "redis: Connection refused"},
        {"redis('redis+unix:///nonexistent'):command 'PING'", "redis: No such file or directory"},
        {"redis('redis://u:secret@host.invalid'):command 'PING'", "redis: "},
    };
    struct world *w = open_world();
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        char body[1024];
        snprintf(body, sizeof body, ERROR_OF("%s"), calls[i][0]);
        struct outcome o = run(w, body);
        if (o.status != OK || !strstr(o.text, calls[i][1])) fail_msg("%s: %s", calls[i][0], o.text);
        assert_null(strstr(o.text, "secret"));
        assert_ends(run(w, "return r:command('PING')"), OK, "PONG"); /* it goes on */
    }
    assert_ends(run(w, "r:command('NOSUCH')"), LOADER_ERROR, "test.lua:1: redis: ERR unknown command");
    assert_ends(run(w, "return getmetatable(r)"), OK, "false");

    char findings[1024], text[256];
    snprintf(text, sizeof text, "\nredis('%s'):command('PING')", url);
    assert_null(world_load(w, text, findings, sizeof findings));
    assert_non_null(strstr(findings, "test.lua:2: redis: cannot wait here"));
    world_close(w);
}

static void test_credentials(void **state)
{
    struct world *w = open_world();
    char call[256];
    assert_ends(run(w, "return r:command('CONFIG', 'SET', 'requirepass', 'open sesame')"), OK, "OK");
    assert_ends(world_runf(w, 10000, "return redis('redis://:open%%20sesame@localhost:%d/3'):command('PING')", port),
                OK, "PONG");
    snprintf(call, sizeof call, ERROR_OF("redis('redis://:topsecret@127.0.0.1:%d'):command('PING')"), port);
    struct outcome o = world_run(w, 10000, call);
    assert_ends(o, OK, "redis: credentials refused: WRONGPASS");
    assert_null(strstr(o.text, "topsecret"));
    snprintf(call, sizeof call, ERROR_OF("redis('redis://127.0.0.1:%d'):command('PING')"), port);
    assert_ends(world_run(w, 10000, call), OK, "redis: not ready: NOAUTH");
    assert_ends(
        world_runf(w, 10000,
                   "return redis('redis://:open%%20sesame@localhost:%d'):command('CONFIG', 'SET', 'requirepass', '')",
                   port),
        OK, "OK");
    world_close(w);
}

/* --- many, losses, ends ------------------------------------------------------------------------------------------- */

static void test_many_at_once(void **state)
{
    enum { N = 100 };
    struct world *w = open_world();
    struct outcome o[N];
    char body[512];
    snprintf(body, sizeof body,
             "local r = redis '%s' local mine = tostring({}) for i = 1, 20 do r:command('SET', mine, i) "
             "local v = r:command('GET', mine) if v ~= tostring(i) then error(v) end end r:command('DEL', mine) "
             "return r:command('INFO', 'clients'):match('connected_clients:(%%d+)')",
             url);
    struct vm *vm = world_vm(w, body);
    for (int i = 0; i < N; i++) world_start(vm, 60000, no_arguments, &o[i]);
    for (int i = 0; i < N; i++) {
        world_wait(w, &o[i]);
        assert_ends(o[i], OK, "1");
        assert_string_equal(o[i].text, "1"); /* one connection for all of them */
    }
    vm_retire(vm);
    world_close(w);
}

static void test_timeout(void **state)
{
    struct world *w = open_world();
    /* the server works for a second; who gives up gets the next answer right */
    static const char busy[] = "EVAL', [[local t = redis.call('TIME') local e = t[1] * 1000 + t[2] / 1000 + 300 "
                               "repeat t = redis.call('TIME') until t[1] * 1000 + t[2] / 1000 > e return 'busy']], 0";
    assert_ends(world_runf(w, 10000,
                           "local r = redis('%s', {timeout = '50ms'}) local patient = redis('%s') "
                           "local ok, e = pcall(function() return r:command('%s) end) "
                           "return e .. ' ' .. patient:command('ECHO', 'right')",
                           url, url, busy),
                OK, "redis: timeout right");
    struct outcome o = world_runf(w, 50, "pcall(function() redis('%s'):command('%s) end) return 'went on'", url, busy);
    assert_int_equal(o.status, LOADER_TIMEOUT);
    assert_ends(run(w, "return r:command('ECHO', 'right')"), OK, "right");

    struct buffer metrics;
    buffer_init(&metrics, 1 << 20);
    metrics_render(&w->metrics, 1, METRICS_PROMETHEUS, &metrics);
    buffer_char(&metrics, 0);
    assert_non_null(strstr(metrics.p, "perigee_upstream_seconds_count{kind=\"redis\",outcome=\"timeout\"} 1"));
    assert_non_null(strstr(metrics.p, "perigee_upstream_seconds_count{kind=\"redis\",outcome=\"cancelled\"} 1"));
    buffer_deinit(&metrics);
    world_close(w);
}

static void test_server_lost(void **state)
{
    struct world *w = open_world();
    struct outcome o[3];
    char body[512];
    snprintf(body, sizeof body, ERROR_OF("redis('%s'):command('EVAL', 'while true do end', 0)"), url);
    struct vm *vm = world_vm(w, body);
    assert_ends(run(w, "return r:command('PING')"), OK, "PONG"); /* connected */
    for (int i = 0; i < 3; i++) world_start(vm, 60000, no_arguments, &o[i]);
    for (int i = 0; i < 20; i++) uv_run(&w->loop, UV_RUN_NOWAIT);
    end_server();
    for (int i = 0; i < 3; i++) {
        world_wait(w, &o[i]);
        assert_ends(o[i], OK, "redis: connection lost: ");
    }
    vm_retire(vm);
    assert_ends(run(w, ERROR_OF("r:command('PING')")), OK, "redis: No such file or directory");
    assert_true(run_server());
    assert_ends(
        run(w, "for i = 1, 1000 do local ok, v = pcall(r.command, r, 'PING') if ok then return v end sleep(0.01) end"),
        OK, "PONG");
    world_close(w);
}

static void test_overload(void **state)
{
    struct world *w = open_world();
    assert_ends(world_run(w, 10000,
                          "local ok, e for i = 1, 70 do ok, e = pcall(function() "
                          "redis('redis://127.0.0.1:1/' .. i):command('PING') end) end return e"),
                OK, "Connection refused"); /* those that nobody uses make room */
    enum { N = 1100 };
    struct outcome *o = calloc(N, sizeof *o);
    char body[512];
    snprintf(body, sizeof body, ERROR_OF("redis('%s'):command('PING')"), url);
    struct vm *vm = world_vm(w, body);
    for (int i = 0; i < N; i++) world_start(vm, 60000, no_arguments, &o[i]);
    int fine = 0, refused = 0;
    for (int i = 0; i < N; i++) {
        world_wait(w, &o[i]);
        fine += strcmp(o[i].text, "no error") == 0;
        refused += strstr(o[i].text, "redis: more than 64 servers, or 1024 commands") != NULL;
    }
    assert_int_equal(fine + refused, N);
    assert_true(fine >= 1024);
    free(o);
    vm_retire(vm);
    world_close(w);
}

static void test_cancel_in_every_state(void **state)
{
    struct world *w = open_world();
    char bodies[3][256];
    snprintf(bodies[0], sizeof *bodies, "return redis('%s'):command('PING')", url);
    snprintf(bodies[1], sizeof *bodies, "return redis('redis://localhost:%d'):command('PING')", port);
    snprintf(bodies[2], sizeof *bodies, "return redis('redis://127.0.0.1:1'):command('PING')");
    for (int b = 0; b < 3; b++) {
        for (int turns = 0; turns < 12; turns++) {
            struct outcome o[10];
            struct task *t[10];
            struct vm *vm = world_vm(w, bodies[b]);
            for (int i = 0; i < 10; i++) t[i] = world_start(vm, 20000, no_arguments, &o[i]);
            for (int i = 0; i < turns; i++) uv_run(&w->loop, UV_RUN_NOWAIT);
            for (int i = 0; i < 10; i += 1 + b % 2)
                if (!o[i].calls) task_cancel(t[i]);
            for (int i = 1; i < 10; i += 2)
                if (b % 2) world_wait(w, &o[i]);
            vm_retire(vm);
        }
    }
    assert_ends(run(w, "return r:command('PING')"), OK, "PONG");
    world_close(w);
}

/* --- peers -------------------------------------------------------------------------------------------------------- */

/* A server of one answer: greets as Redis does, and then says `reply` to whatever is asked. */
static pid_t peer(const char *reply, int *at)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, n), 0);
    assert_int_equal(listen(listener, 5), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &n), 0);
    *at = ntohs(address.sin_port);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd)) {
            char text[4096];
            for (ssize_t got; (got = read(fd, text, sizeof text - 1)) > 0;) {
                text[got] = 0;
                const char *say = strstr(text, "PING") ? "+PONG\r\n" : reply;
                if (write(fd, say, strlen(say)) < 0) break;
            }
        }
        _exit(0);
    }
    close(listener);
    return pid;
}

static void test_hostile_replies(void **state)
{
    static char deep[5 * 100 + 1];
    for (int i = 0; i < 100; i++) memcpy(deep + 4 * i, "*1\r\n", 5);
    const char *const replies[][2] = {
        {"$-1\r\n", "no error"},
        {"*1073741824\r\n", "connection lost"},
        {"$1073741824\r\nxxxx", "timeout"},
        {deep, "connection lost: a reply too deep"},
        {"%1\r\n+a\r\n+b\r\n", "connection lost: a reply of the wrong type"},
        {"*1\r\n,1.5\r\n", "connection lost: a reply of the wrong type"},
        {"#t\r\n", "connection lost: a reply of the wrong type"},
        {"*2\r\n:1\r\n", "timeout"},
        {"junk\r\n", "connection lost"},
        {"$3\r\nabcd\r\n", "connection lost: a string longer than it said"},
        {"*1\r\n$3\r\nabcd\r\n", "connection lost: a string longer than it said"},
        {"+a\r\n+b\r\n", "no error"}, /* the second one ends the connection */
    };
    struct world *w = world_open();
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        int at;
        pid_t pid = peer(replies[i][0], &at);
        for (int again = 0; again < 2; again++) {
            const char *timeout = strcmp(replies[i][1], "timeout") == 0 ? "100ms" : "8s";
            struct outcome o = world_runf(
                w, 10000, ERROR_OF("redis('redis://127.0.0.1:%d', {timeout = '%s'}):command('GET', 'k')"), at, timeout);
            if (o.status != OK || !strstr(o.text, replies[i][1])) fail_msg("%zu: %s", i, o.text);
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies),         cmocka_unit_test(test_errors),
        cmocka_unit_test(test_credentials),     cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_timeout),         cmocka_unit_test(test_server_lost),
        cmocka_unit_test(test_overload),        cmocka_unit_test(test_cancel_in_every_state),
        cmocka_unit_test(test_hostile_replies),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
