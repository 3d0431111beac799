/* tests/unit/store/test_redis_server.c -- store/redis.c against real Redis servers, started here on free places and ended
 * here by their own process ids. Skipped where there is no redis-server. */
#include "conditions.h"
#include "many.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* ---- a server */

struct server {
    pid_t pid;
    int port; /* 0: only the socket */
    char dir[64], path[96];
};

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

/* Says one command over a connection of its own and returns a number or a status' length; -1 on an error. */
static long long tell(struct server *s, const char *format, ...)
{
    redisContext *c = redisConnectUnix(s->path);
    long long answer = -1;
    if (c && !c->err) {
        va_list args;
        va_start(args, format);
        redisReply *r = redisvCommand(c, format, args);
        va_end(args);
        if (r && r->type == REDIS_REPLY_INTEGER) answer = r->integer;
        if (r && (r->type == REDIS_REPLY_STATUS || r->type == REDIS_REPLY_STRING)) answer = (long long)r->len;
        if (r) freeReplyObject(r);
    }
    if (c) redisFree(c);
    return answer;
}

static void server_run(struct server *s)
{
    char port[16];
    snprintf(port, sizeof port, "%d", s->port);
    s->pid = fork();
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        char *argv[] = {"redis-server", "--port",     port,      "--bind",       "127.0.0.1", "--unixsocket",
                        s->path,        "--save",     "",        "--appendonly", "no",        "--dir",
                        s->dir,         "--loglevel", "warning", "--logfile",    "log",       NULL};
        execvp(argv[0], argv);
        _exit(127);
    }
    for (int i = 0; i < 500 && access(s->path, F_OK) != 0; i++) usleep(10000);
    for (int i = 0; i < 500; i++) {
        redisContext *c = redisConnectUnix(s->path);
        bool there = c && !c->err;
        if (c) redisFree(c);
        if (there) return;
        usleep(10000);
    }
    fail_msg("redis-server does not start");
}

static void server_kill(struct server *s)
{
    kill(s->pid, SIGKILL);
    assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
    unlink(s->path);
}

static bool there_is_a_server(void)
{
    static int there = -1;
    if (there < 0) there = system("redis-server --version >/dev/null 2>&1") == 0;
    if (!there) print_message("no redis-server on this machine\n");
    return there;
}

static void server_start(struct server *s)
{
    if (!there_is_a_server()) skip();
    strcpy(s->dir, "/tmp/perigee-redis-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    snprintf(s->path, sizeof s->path, "%s/s", s->dir);
    server_run(s);
}

static void server_stop(struct server *s)
{
    char path[512];
    server_kill(s);
    DIR *d = opendir(s->dir);
    for (struct dirent *e; (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", s->dir, e->d_name);
        unlink(path);
    }
    closedir(d);
    assert_int_equal(rmdir(s->dir), 0);
}

/* ---- a client */

struct client {
    uv_loop_t loop;
    struct metrics *metrics;
    struct redis_config config;
    struct redis *redis;
    bool closed;
};

static void client_open(struct client *c, const struct redis_config *config)
{
    *c = (struct client){.config = *config, .metrics = metrics_new()};
    uv_loop_init(&c->loop);
    c->redis = redis_open(&c->loop, &c->config, c->metrics);
}

static void client_close(struct client *c)
{
    redis_close(c->redis, world_on_closed, &c->closed);
    uv_run(&c->loop, UV_RUN_DEFAULT);
    assert_true(c->closed);
    assert_int_equal(uv_loop_close(&c->loop), 0);
    metrics_free(c->metrics);
}

static void start(struct server *s, struct client *c)
{
    *s = (struct server){0};
    server_start(s);
    struct redis_config config = config_for(s->path);
    config.max_value = 4 << 20;
    client_open(c, &config);
}

/* How often the server was told this command since the last CONFIG RESETSTAT. */
static long calls_of(struct server *s, const char *command)
{
    char line[64];
    redisContext *c = redisConnectUnix(s->path);
    redisReply *r = redisCommand(c, "INFO commandstats");
    assert_int_equal(r->type, REDIS_REPLY_STRING);
    snprintf(line, sizeof line, "cmdstat_%s:calls=", command);
    const char *p = strstr(r->str, line);
    long calls = p ? atol(p + strlen(line)) : 0;
    freeReplyObject(r);
    redisFree(c);
    return calls;
}

/* ---- the tests */

static void test_bytes_come_back(void **state)
{
    struct server s;
    struct client c;
    struct ask a;
    start(&s, &c);
    static const size_t sizes[] = {0, 1, 7, 8, 9, 1000, 16 << 10, (16 << 10) + 1, 1 << 20, 4 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *bytes = malloc(sizes[i] + 1);
        for (size_t k = 0; k < sizes[i]; k++) bytes[k] = (char)(k * 31 + i); /* NULs, CRs and LFs among them */
        assert_int_equal(ask_put(c.redis, &a, "k", slice_from(bytes, sizes[i]), 0), PENDING);
        assert_int_equal(wait_for(&c.loop, &a), OK);
        size_t before = i ? sizes[i - 1] : 0;
        assert_int_equal(a.c.previous_n, before < 8 ? before : 8);
        for (unsigned k = 0; k < a.c.previous_n; k++) assert_int_equal((char)a.c.previous[k], (char)(k * 31 + i - 1));
        assert_int_equal(do_get(&c.loop, c.redis, &a, "k"), OK);
        assert_int_equal(a.value->n, sizes[i]);
        assert_memory_equal(a.value->p, bytes, sizes[i]);
        blob_unref(a.value);
        free(bytes);
    }
    assert_int_equal(do_get(&c.loop, c.redis, &a, "other"), MISSING);
    ask_delete(c.redis, &a, "k");
    assert_int_equal(wait_for(&c.loop, &a), OK);
    ask_delete(c.redis, &a, "k");
    assert_int_equal(wait_for(&c.loop, &a), MISSING);
    client_close(&c);
    server_stop(&s);
}

/* The socket takes a little at a time, and what is left must not be moved for each little. */
static void test_many_large_values_leave_at_once(void **state)
{
    enum { N = 60, BYTES = 1 << 20 };
    struct server s = {0};
    struct client c;
    static struct ask a[N];
    struct blob *value = blob_new(BYTES);
    server_start(&s);
    struct redis_config config = config_for(s.path);
    config.timeout_ms = SANITIZED ? 20000 : 1000; /* there a buffer that grows is copied, each time */
    config.max_value = 2 * BYTES;
    client_open(&c, &config);
    assert_true(run_until(&c.loop, is_up, c.redis, 5000));
    memset(value->p, 'x', BYTES);
    for (int i = 0; i < N; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(ask_put(c.redis, &a[i], key, blob_slice(value), 0), PENDING);
    }
    for (int i = 0; i < N; i++) assert_int_equal(wait_for(&c.loop, &a[i]), OK);
    value->p[0] = 'y'; /* it is the same all the way through */
    for (int i = 0; i < N; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(do_get(&c.loop, c.redis, &a[i], key), OK);
        assert_int_equal(a[i].value->n, BYTES);
        assert_int_equal(a[i].value->p[0], 'x');
        assert_memory_equal(a[i].value->p + 1, value->p + 1, BYTES - 1);
        blob_unref(a[i].value);
    }
    blob_unref(value);
    client_close(&c);
    server_stop(&s);
}

static void test_a_ttl_ends_it(void **state)
{
    struct server s;
    struct client c;
    struct ask a;
    start(&s, &c);
    assert_int_equal(do_put(&c.loop, c.redis, &a, "k", "v", 100000), OK);
    assert_in_range(tell(&s, "PTTL k"), 50000, 100000);
    assert_int_equal(do_put(&c.loop, c.redis, &a, "k", "v", 0), OK);
    assert_int_equal(tell(&s, "PTTL k"), -1); /* none */
    assert_int_equal(do_put(&c.loop, c.redis, &a, "k", "v", UINT64_MAX - 1), OK);
    assert_int_equal(do_put(&c.loop, c.redis, &a, "k", "v", 1), OK);
    bool gone = false;
    for (int i = 0; i < 1000 && !gone; i++)
        gone = do_get(&c.loop, c.redis, &a, "k") == MISSING || (blob_unref(a.value), false);
    assert_true(gone);
    client_close(&c);
    server_stop(&s);
}

static void test_only_what_is_expected_is_replaced(void **state)
{
    struct server s;
    struct client c;
    struct ask a;
    char old[200], other[200];
    struct slice expected = slice_from(old, sizeof old);
    start(&s, &c);
    for (size_t i = 0; i < sizeof old; i++) old[i] = (char)(i * 7); /* a NUL, a CR and a LF among them */
    memcpy(other, old, sizeof old);
    other[REDIS_HEAD - 1] ^= 1;

    assert_int_equal(ask_replace(c.redis, &a, "k", expected, SLICE("new"), 0), PENDING);
    assert_int_equal(wait_for(&c.loop, &a), MISSING);
    assert_int_equal(tell(&s, "EXISTS k"), 0);
    ask_put(c.redis, &a, "k", expected, 100000);
    assert_int_equal(wait_for(&c.loop, &a), OK);

    ask_replace(c.redis, &a, "k", slice_from(old, sizeof old - 1), SLICE("new"), 0); /* another length */
    assert_int_equal(wait_for(&c.loop, &a), PRECONDITION_FAILED);
    ask_replace(c.redis, &a, "k", slice_from(other, sizeof old), SLICE("new"), 0);
    assert_int_equal(wait_for(&c.loop, &a), PRECONDITION_FAILED);
    assert_int_equal(do_get(&c.loop, c.redis, &a, "k"), OK);
    assert_int_equal(a.value->n, sizeof old);
    assert_memory_equal(a.value->p, old, sizeof old);
    blob_unref(a.value);
    assert_in_range(tell(&s, "PTTL k"), 50000, 100000);

    ask_replace(c.redis, &a, "k", expected, SLICE("new"), 30000);
    assert_int_equal(wait_for(&c.loop, &a), OK);
    assert_in_range(tell(&s, "PTTL k"), 15000, 30000);
    ask_replace(c.redis, &a, "k", SLICE("new"), SLICE("newer"), 0); /* shorter than a head */
    assert_int_equal(wait_for(&c.loop, &a), OK);
    assert_int_equal(tell(&s, "PTTL k"), -1);
    ask_replace(c.redis, &a, "k", SLICE("newer"), SLICE("newest"), UINT64_MAX - 1);
    assert_int_equal(wait_for(&c.loop, &a), OK);
    assert_int_equal(do_get(&c.loop, c.redis, &a, "k"), OK);
    assert_value(&a, "newest");

    assert_int_equal(tell(&s, "SCRIPT FLUSH"), 2); /* a server that forgets */
    ask_replace(c.redis, &a, "k", SLICE("newest"), SLICE("last"), 0);
    assert_int_equal(wait_for(&c.loop, &a), OK);
    client_close(&c);
    server_stop(&s);
}

/* Many that have read the same, add and replace: what they were told to be done is there in the end. */
static void test_no_replacement_is_lost(void **state)
{
    enum { EACH = 8, ROUNDS = 200 };
    struct server s;
    struct client c;
    struct ask get[EACH], replace[EACH], a;
    unsigned done = 0, lost = 0;
    start(&s, &c);
    assert_int_equal(do_put(&c.loop, c.redis, &a, "n", "000000", 0), OK);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < EACH; i++) ask_get(c.redis, &get[i], "n");
        for (int i = 0; i < EACH; i++) {
            char text[24];
            assert_int_equal(wait_for(&c.loop, &get[i]), OK);
            snprintf(text, sizeof text, "%06lu", strtoul(get[i].value->p, NULL, 10) + 1);
            ask_replace(c.redis, &replace[i], "n", blob_slice(get[i].value), slice_from(text, 6), 0);
            blob_unref(get[i].value);
        }
        for (int i = 0; i < EACH; i++) {
            enum status st = wait_for(&c.loop, &replace[i]);
            assert_true(st == OK || st == PRECONDITION_FAILED);
            *(st == OK ? &done : &lost) += 1;
        }
    }
    char wanted[24];
    snprintf(wanted, sizeof wanted, "%06u", done);
    assert_int_equal(do_get(&c.loop, c.redis, &a, "n"), OK);
    assert_value(&a, wanted);
    assert_int_equal(done, ROUNDS); /* of those who have read the same, one */
    assert_int_equal(lost, ROUNDS * (EACH - 1));
    client_close(&c);
    server_stop(&s);
}

/* Every script, as often as the server forgets all of them. */
static void test_a_server_may_forget_scripts(void **state)
{
    struct server s;
    struct client c;
    struct ask a;
    const struct store_condition any = {.is = CONDITION_ANY};
    const struct slice key = SLICE("k"), lease = SLICE("l"), token = SLICE("t"), value = SLICE("v");
    start(&s, &c);
    assert_true(run_until(&c.loop, is_up, c.redis, 5000));
    for (int round = 0; round < 3; round++) {
        tell(&s, "DEL k l");
#define DOES(expected, start)                                                                                          \
    do {                                                                                                               \
        a = (struct ask){.status = PENDING};                                                                           \
        assert_int_equal(start, PENDING);                                                                              \
        assert_int_equal(wait_for(&c.loop, &a), expected);                                                             \
    } while (0)
        DOES(MISSING, redis_lease_take(c.redis, key, lease, no_lease, token, 5000, &a.c, on_answer));
        DOES(OK, redis_lease_keep(c.redis, lease, token, 5000, &a.c, on_answer));
        DOES(OK, redis_lease_fill(c.redis, key, lease, token, value, 0, &a.c, on_answer));
        DOES(PRECONDITION_FAILED, redis_lease_drop(c.redis, lease, token, &a.c, on_answer));
        DOES(OK, redis_put(c.redis, key, lease, value, 0, &a.c, on_answer));
        DOES(OK, redis_replace(c.redis, key, lease, value, SLICE("w"), 0, &a.c, on_answer));
        DOES(PRECONDITION_FAILED, redis_put_when(c.redis, key, lease, &any, 1, value, 0, &a.c, on_answer));
        DOES(PRECONDITION_FAILED, redis_delete_when(c.redis, key, lease, &any, 1, &a.c, on_answer));
        DOES(OK, redis_delete(c.redis, key, lease, &a.c, on_answer));
#undef DOES
        if (round > 0) continue;
        assert_int_equal(calls_of(&s, "eval"), 9);
        assert_int_equal(calls_of(&s, "evalsha"), 0);
        tell(&s, "SCRIPT FLUSH");
    }
    assert_int_equal(calls_of(&s, "eval"), 18); /* the second round's again, the third round's not */
    assert_int_equal(calls_of(&s, "evalsha"), 18);
    client_close(&c);
    server_stop(&s);
}

static void test_a_replacement_that_may_not_be(void **state)
{
    struct server s = {.port = free_port()};
    struct client c;
    struct ask a;
    server_start(&s);
    assert_int_equal(tell(&s, "ACL SETUSER bob on >pass ~* +@all -eval"), 2);
    struct redis_config config = config_for(s.path);
    strcpy(config.server.user, "bob");
    strcpy(config.server.password, "pass");
    client_open(&c, &config);
    assert_int_equal(do_put(&c.loop, c.redis, &a, "k", "v", 0), OK);
    ask_replace(c.redis, &a, "k", SLICE("v"), SLICE("w"), 0);
    assert_int_equal(wait_for(&c.loop, &a), STORE_UNAVAILABLE);
    assert_int_equal(errors_of(c.metrics, "replace", "noperm"), 1);
    assert_true(redis_up(c.redis));
    assert_int_equal(do_get(&c.loop, c.redis, &a, "k"), OK);
    assert_value(&a, "v");

    assert_int_equal(tell(&s, "ACL SETUSER bob +eval"), 2);
    assert_int_equal(tell(&s, "DEL k"), 1);
    assert_int_equal(tell(&s, "LPUSH k a b"), 2);
    ask_replace(c.redis, &a, "k", SLICE("v"), SLICE("w"), 0); /* another type has come between */
    assert_int_equal(wait_for(&c.loop, &a), STORE_UNAVAILABLE);
    assert_int_equal(tell(&s, "LLEN k"), 2);

    ask_replace(c.redis, &a, "k", SLICE("v"), SLICE("w"), 0);
    redis_cancel(&a.c);
    struct ask after;
    assert_int_equal(do_get(&c.loop, c.redis, &after, "other"), MISSING);
    assert_int_equal(a.answers, 0);
    client_close(&c);
    server_stop(&s);
}

static void test_another_type_is_missing_and_can_be_replaced(void **state)
{
    struct server s;
    struct client c;
    struct ask a;
    start(&s, &c);
    assert_int_equal(tell(&s, "LPUSH k a b"), 2);
    assert_int_equal(do_get(&c.loop, c.redis, &a, "k"), MISSING);
    assert_int_equal(errors_of(c.metrics, "get", "wrongtype"), 1);
    assert_int_equal(do_put(&c.loop, c.redis, &a, "k", "v", 0), OK);
    assert_int_equal(a.c.previous_n, 0);
    assert_int_equal(do_get(&c.loop, c.redis, &a, "k"), OK);
    assert_value(&a, "v");
    client_close(&c);
    server_stop(&s);
}

/* Makes what assert_all_there looks for. */
static void put_all(struct client *c, const struct many *m)
{
    char value[40];
    struct ask a;
    for (size_t i = 0; i < m->op.n; i++) {
        if (m->name[i][0] != 'k') continue;
        snprintf(value, sizeof value, "value of %s", m->name[i]);
        assert_int_equal(do_put(&c->loop, c->redis, &a, m->name[i], value, 0), OK);
    }
}

static int64_t times_of(struct metrics *metrics, const char *command)
{
    struct slice label = slice_of(command);
    struct histogram *h = metrics_histogram(metrics, METRIC_STORE_TIME, &label);
    int64_t n = 0;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) n += atomic_load(&h->bucket[i]);
    return n;
}

static void test_many_gets_are_few_commands(void **state)
{
    struct server s;
    struct client c;
    start(&s, &c);
    struct store *store = store_new(NULL, c.redis, c.metrics);
    struct many *m = many_new(STORE_MANY_MAX, 5);
    put_all(&c, m);
    assert_int_equal(tell(&s, "LPUSH nothing1 a b"), 2); /* another type is missing */
    assert_int_equal(tell(&s, "CONFIG RESETSTAT"), 2);

    m->op.n = 60;
    assert_int_equal(do_many(&c.loop, store, m), OK);
    assert_all_there(m);
    assert_int_equal(calls_of(&s, "mget"), 1);
    m->op.n = 1;
    assert_int_equal(do_many(&c.loop, store, m), OK);
    assert_all_there(m);
    assert_int_equal(calls_of(&s, "mget"), 1);
    assert_int_equal(calls_of(&s, "get"), 1);
    m->op.n = STORE_MANY_MAX;
    assert_int_equal(do_many(&c.loop, store, m), OK);
    assert_all_there(m);
    assert_int_equal(calls_of(&s, "mget"), 1 + 4);
    assert_int_equal(calls_of(&s, "get"), 1);
    assert_int_equal(times_of(c.metrics, "mget"), 1 + 4);
    free(m);
    client_close(&c);
    store_free(store);
    server_stop(&s);
}

static void test_many_bytes_come_back(void **state)
{
    struct server s;
    struct client c;
    struct ask a;
    start(&s, &c);
    struct store *store = store_new(NULL, c.redis, c.metrics);
    static const size_t sizes[] = {0, 1, 16 << 10, 1 << 20, 2, (4 << 20) + 1, 4 << 20};
    enum { SIZES = sizeof sizes / sizeof *sizes, TOO_LONG = 5 };
    struct many *m = many_new(SIZES, 0);
    char *bytes = malloc((4 << 20) + 1);
    for (size_t k = 0; k <= 4 << 20; k++) bytes[k] = (char)(k * 31); /* NULs, CRs and LFs among them */
    for (int i = 0; i < SIZES; i++) {
        ask_put(c.redis, &a, m->name[i], slice_from(bytes, sizes[i]), 0);
        assert_int_equal(wait_for(&c.loop, &a), OK);
    }
    assert_int_equal(do_many(&c.loop, store, m), OK);
    for (int i = 0; i < SIZES; i++) {
        if (i == TOO_LONG) {
            assert_null(m->value[i]);
            continue;
        }
        assert_true(slice_eq(blob_slice(m->value[i]), slice_from(bytes, sizes[i])));
        blob_unref(m->value[i]);
    }
    assert_int_equal(errors_of(c.metrics, "mget", "too-long"), 1);
    assert_true(redis_up(c.redis));
    free(bytes);
    free(m);
    client_close(&c);
    store_free(store);
    server_stop(&s);
}

static void test_a_full_server_fails_writes_only(void **state)
{
    struct server s;
    struct client c;
    struct ask a;
    start(&s, &c);
    assert_int_equal(do_put(&c.loop, c.redis, &a, "k", "v", 0), OK);
    assert_int_equal(tell(&s, "CONFIG SET maxmemory 1"), 2);
    assert_int_equal(do_put(&c.loop, c.redis, &a, "k", "w", 0), STORE_UNAVAILABLE);
    assert_int_equal(errors_of(c.metrics, "put", "oom"), 1);
    assert_int_equal(do_get(&c.loop, c.redis, &a, "k"), OK);
    assert_value(&a, "v");
    assert_true(redis_up(c.redis));
    client_close(&c);
    server_stop(&s);
}

static void test_tcp_by_name_with_user_and_database(void **state)
{
    struct server s = {.port = free_port()};
    struct client c;
    struct ask a;
    struct problem why = {0};
    char url[128];
    server_start(&s);
    assert_int_equal(tell(&s, "ACL SETUSER bob on >p@ss ~* +@all"), 2);
    snprintf(url, sizeof url, "redis://bob:p%%40ss@localhost:%d/3", s.port);
    struct redis_config config = config_for("");
    assert_int_equal(redis_config_parse(slice_of(url), &config, &why), OK);
    client_open(&c, &config);
    assert_int_equal(ask_put(c.redis, &a, "k", SLICE("v"), 0), PENDING); /* before it is connected */
    assert_int_equal(wait_for(&c.loop, &a), OK);
    assert_int_equal(tell(&s, "EXISTS k"), 0); /* not in database 0 */
    assert_int_equal(do_get(&c.loop, c.redis, &a, "k"), OK);
    assert_value(&a, "v");
    client_close(&c);

    strcpy(config.address[0].host, "127.0.0.1");
    strcpy(config.server.password, "wrong");
    client_open(&c, &config);
    assert_int_equal(ask_get(c.redis, &a, "k"), PENDING);
    assert_int_equal(wait_for(&c.loop, &a), STORE_UNAVAILABLE);
    assert_false(redis_up(c.redis));
    client_close(&c);

    strcpy(config.server.password, "p@ss");
    config.database = 9999; /* out of the server's range */
    client_open(&c, &config);
    assert_int_equal(ask_put(c.redis, &a, "stray", SLICE("v"), 0), PENDING);
    assert_int_equal(wait_for(&c.loop, &a), STORE_UNAVAILABLE);
    assert_int_equal(tell(&s, "EXISTS stray"), 0); /* never written elsewhere */
    client_close(&c);
    server_stop(&s);
}

static void test_a_stopped_server_costs_one_deadline(void **state)
{
    struct server s;
    struct client c;
    struct ask a, b;
    start(&s, &c);
    assert_int_equal(do_put(&c.loop, c.redis, &a, "k", "v", 0), OK);
    kill(s.pid, SIGSTOP);
    uint64_t begin = clock_mono_us();
    ask_get(c.redis, &a, "k");
    ask_get(c.redis, &b, "k");
    assert_int_equal(wait_for(&c.loop, &a), STORE_UNAVAILABLE);
    assert_int_equal(b.status, STORE_UNAVAILABLE);
    assert_in_range((clock_mono_us() - begin) / 1000, 399, 2000);
    for (int i = 0; i < 40; i++) { /* for more than a second: it accepts connections, but says nothing */
        run_for(&c.loop, 30);
        begin = clock_mono_us();
        assert_int_equal(ask_get(c.redis, &a, "k"), STORE_UNAVAILABLE);
        assert_true(clock_mono_us() - begin < 20000);
        assert_false(redis_up(c.redis));
    }
    kill(s.pid, SIGCONT);
    assert_true(run_until(&c.loop, is_up, c.redis, 5000));
    assert_int_equal(do_get(&c.loop, c.redis, &a, "k"), OK);
    assert_value(&a, "v");
    client_close(&c);
    server_stop(&s);
}

static void test_restarts_are_recovered_from(void **state)
{
    enum { SERVERS = 3 };
    struct server s[SERVERS];
    struct client c[SERVERS];
    struct ask a;
    for (int i = 0; i < SERVERS; i++) start(&s[i], &c[i]);
    for (int i = 0; i < SERVERS; i++) {
        assert_true(run_until(&c[i].loop, is_up, c[i].redis, 5000));
        do_put(&c[i].loop, c[i].redis, &a, "k", "v", 0);
        assert_int_equal(a.status, OK);
        ask_get(c[i].redis, &a, "k");
        server_kill(&s[i]);
        enum status st = wait_for(&c[i].loop, &a); /* either side of the race is fine, but one answer it is */
        assert_true(st == OK || st == STORE_UNAVAILABLE);
        blob_unref(a.value);
        run_for(&c[i].loop, 1000);
        assert_false(redis_up(c[i].redis));
        server_run(&s[i]);
        assert_true(run_until(&c[i].loop, is_up, c[i].redis, 3000));
        assert_int_equal(do_get(&c[i].loop, c[i].redis, &a, "k"), MISSING); /* it kept nothing */
    }
    for (int i = 0; i < SERVERS; i++) {
        client_close(&c[i]);
        server_stop(&s[i]);
    }
}

/* How many questions the next test asks: a hundred thousand, or as PERIGEE_GETS says. */
static unsigned questions(void)
{
    const char *said = getenv("PERIGEE_GETS");
    return said ? (unsigned)strtoul(said, NULL, 10) : SANITIZED ? 30000 : 100000;
}

enum { TARGETS = 1000, VOLLEY = 200 };

/* What has been asked, and what must come of it where anything does. */
struct shot {
    struct ask ask;
    unsigned key;
    enum status expected;
};

/* Mostly reads; and replacements by what stands there already, every other one of them with a wrong idea of what that is. */
static void shoot(struct client *c, struct shot *shot, unsigned i)
{
    char key[32], value[32];
    shot->key = (unsigned)random() % TARGETS;
    shot->expected = i % 8 ? OK : i % 16 ? PRECONDITION_FAILED : OK;
    snprintf(key, sizeof key, "k%u", shot->key);
    snprintf(value, sizeof value, "value %u", shot->key);
    const char *expected = shot->expected == OK ? value : "a value";
    if (i % 8) ask_get(c->redis, &shot->ask, key);
    else ask_replace(c->redis, &shot->ask, key, slice_of(expected), slice_of(value), 0);
}

/* Unique values, read and replaced in batches while the server cuts connections and forgets scripts at random: no answer is another question's. */
static void test_kills_never_shift_answers(void **state)
{
    struct server s;
    struct client c;
    static struct shot shot[VOLLEY];
    char key[32], value[32];
    unsigned right = 0, lost = 0, n = questions();
    start(&s, &c);
    srandom(n);
    for (unsigned i = 0; i < TARGETS; i++) {
        snprintf(key, sizeof key, "k%u", i);
        snprintf(value, sizeof value, "value %u", i);
        assert_int_equal(do_put(&c.loop, c.redis, &shot[0].ask, key, value, 0), OK);
    }
    for (unsigned asked = 0; asked < n; asked += VOLLEY) {
        unsigned harm_at = (unsigned)random() % VOLLEY, run_at = (unsigned)random() % VOLLEY;
        assert_true(run_until(&c.loop, is_up, c.redis, 7000));
        for (unsigned i = 0; i < VOLLEY; i++) {
            shoot(&c, &shot[i], i);
            if (i == run_at) uv_run(&c.loop, UV_RUN_NOWAIT);
            if (i != harm_at) continue;
            if (random() % 10 == 0) tell(&s, "CLIENT KILL TYPE normal SKIPME yes");
            else if (random() % 4 == 0) tell(&s, "SCRIPT FLUSH");
        }
        for (unsigned i = 0; i < VOLLEY; i++) {
            struct shot *at = &shot[i];
            if (wait_for(&c.loop, &at->ask) == STORE_UNAVAILABLE) {
                lost++;
                continue;
            }
            assert_int_equal(at->ask.answers, 1);
            assert_int_equal(at->ask.status, at->expected);
            snprintf(value, sizeof value, "value %u", at->key);
            if (i % 8) assert_value(&at->ask, value);
            right++;
        }
    }
    assert_true(right > n / 2);
    assert_true(lost > 0);
    if (getenv("PERIGEE_GETS"))
        print_message("%u answers, each to its question; %u lost with their connection\n", right, lost);
    client_close(&c);
    server_stop(&s);
}

/* The same with many gets as one: all of them, each in its place, or none. */
static void test_kills_never_shift_many(void **state)
{
    enum { BATCH = 10, ROUNDS = 100 };
    struct server s;
    struct client c;
    unsigned right = 0, lost = 0;
    start(&s, &c);
    struct store *store = store_new(NULL, c.redis, c.metrics);
    struct many *m[BATCH], *all = many_new(STORE_MANY_MAX, 0);
    for (unsigned i = 0; i < BATCH; i++) m[i] = many_new(STORE_MANY_MAX, 7 + i);
    put_all(&c, all);
    for (unsigned round = 0; round < ROUNDS; round++) {
        assert_true(run_until(&c.loop, is_up, c.redis, 7000));
        for (unsigned i = 0; i < BATCH; i++) {
            m[i]->op.n = 1 + (round * 37 + i * 101) % STORE_MANY_MAX;
            ask_many(store, m[i]);
            if (i == round % BATCH) uv_run(&c.loop, UV_RUN_NOWAIT);
            if (i == BATCH / 2 && round % 10 == 0) tell(&s, "CLIENT KILL TYPE normal SKIPME yes");
        }
        for (unsigned i = 0; i < BATCH; i++) {
            if (wait_for_many(&c.loop, m[i]) == OK) {
                assert_all_there(m[i]);
                right++;
            } else {
                assert_int_equal(m[i]->status, STORE_UNAVAILABLE);
                assert_nothing_there(m[i]);
                lost++;
            }
        }
    }
    assert_true(right > BATCH * ROUNDS / 2);
    assert_true(lost > 0);
    for (unsigned i = 0; i < BATCH; i++) free(m[i]);
    free(all);
    client_close(&c);
    store_free(store);
    server_stop(&s);
}

/* ---- leases, by the door of both stores */

struct step {
    struct store_op op;
    enum status status;
    struct blob *value;
};

static void on_step(struct store_op *op, enum status status, struct blob *value)
{
    struct step *step = container_of(op, struct step, op);
    step->status = status;
    step->value = value;
}

static bool is_over(void *step) { return ((struct step *)step)->status != PENDING; }

#define OURS   "0123456789abcdef0123456789abcdef"
#define THEIRS "fedcba9876543210fedcba9876543210"

/* Two gateways' view of one key. */
struct pair {
    struct server s;
    struct client c;
    struct store *store;
    struct step step;
};

static void pair_open(struct pair *p)
{
    start(&p->s, &p->c);
    p->store = store_new(NULL, p->c.redis, p->c.metrics);
}

static void pair_close(struct pair *p)
{
    client_close(&p->c);
    store_free(p->store);
    server_stop(&p->s);
}

static struct store_op *begin(struct pair *p)
{
    p->step = (struct step){.op.done = on_step, .op.fenced = true, .status = PENDING};
    return &p->step.op;
}

static enum status settled(struct pair *p, enum status started)
{
    if (started != PENDING) return started;
    assert_true(run_until(&p->c.loop, is_over, &p->step, 5000));
    return p->step.status;
}

static enum status take(struct pair *p, const char *token, const char *known)
{
    return settled(p, store_lease_take(p->store, SLICE("a:b:c"), slice_of(known), token, 0, begin(p)));
}

static enum status keep(struct pair *p, const char *token)
{
    return settled(p, store_lease_keep(p->store, SLICE("a:b:c"), token, begin(p)));
}

static enum status fill(struct pair *p, const char *token, const char *text)
{
    struct blob *value = blob_copy(slice_of(text));
    enum status st = store_lease_fill(p->store, SLICE("a:b:c"), token, value, 100000, 0, begin(p));
    blob_unref(value);
    return settled(p, st);
}

static enum status drop(struct pair *p, const char *token)
{
    return settled(p, store_lease_drop(p->store, SLICE("a:b:c"), token, begin(p)));
}

static void assert_stands(struct pair *p, const char *text)
{
    assert_int_equal(settled(p, store_get(p->store, SLICE("a:b:c"), 0, begin(p))), OK);
    assert_int_equal(p->step.value->n, strlen(text));
    assert_memory_equal(p->step.value->p, text, strlen(text));
    blob_unref(p->step.value);
}

static void test_conditions_are_kept(void **state)
{
    struct pair p;
    pair_open(&p);
    assert_true(run_until(&p.c.loop, is_up, p.c.redis, 5000));
    walk_conditions(p.store, &p.c.loop);
    tell(&p.s, "DEL k");
    assert_int_equal(tell(&p.s, "RPUSH k element"), 1); /* what is no string is no record */
    struct store_condition none = {.is_not = CONDITION_ANY}, any = {.is = CONDITION_ANY};
    struct write w = write_when(&any, false);
    assert_int_equal(written(&p.c.loop, &w, store_delete(p.store, SLICE("k"), TIME, &w.op)), PRECONDITION_FAILED);
    w = write_when(&none, false);
    assert_int_equal(written(&p.c.loop, &w, store_delete(p.store, SLICE("k"), TIME, &w.op)), OK);
    pair_close(&p);
}

/* A write that is not done leaves the lease with whoever has it; one that is takes it away. */
static void test_conditions_judge_before_the_lease_ends(void **state)
{
    struct pair p;
    struct blob *value = value_of(0, -1, TAG_1);
    struct store_condition any = {.is = CONDITION_ANY}, none = {.is_not = CONDITION_ANY};
    pair_open(&p);
    assert_int_equal(take(&p, OURS, ""), MISSING);
    begin(&p)->when = &any;
    assert_int_equal(settled(&p, store_put(p.store, SLICE("a:b:c"), value, CLOCK_NEVER, TIME, &p.step.op)),
                     PRECONDITION_FAILED);
    begin(&p)->when = &any;
    assert_int_equal(settled(&p, store_delete(p.store, SLICE("a:b:c"), TIME, &p.step.op)), PRECONDITION_FAILED);
    assert_int_equal(keep(&p, OURS), OK);
    begin(&p)->when = &none;
    assert_int_equal(settled(&p, store_put(p.store, SLICE("a:b:c"), value, CLOCK_NEVER, TIME, &p.step.op)), OK);
    assert_int_equal(keep(&p, OURS), PRECONDITION_FAILED);
    blob_unref(value);
    pair_close(&p);
}

static void test_a_lease_is_ones(void **state)
{
    struct pair p;
    pair_open(&p);
    assert_int_equal(take(&p, OURS, ""), MISSING);
    assert_in_range(tell(&p.s, "PTTL {a:b:c}:lease"), 1, LEASE_MS);
    assert_int_equal(take(&p, THEIRS, ""), PRECONDITION_FAILED);
    assert_int_equal(keep(&p, THEIRS), PRECONDITION_FAILED);
    assert_int_equal(fill(&p, THEIRS, "theirs"), PRECONDITION_FAILED);
    assert_int_equal(drop(&p, THEIRS), PRECONDITION_FAILED);
    assert_int_equal(tell(&p.s, "EXISTS a:b:c"), 0);

    assert_int_equal(tell(&p.s, "PEXPIRE {a:b:c}:lease 1000"), 1);
    assert_int_equal(keep(&p, OURS), OK);
    assert_in_range(tell(&p.s, "PTTL {a:b:c}:lease"), 1001, LEASE_MS);
    assert_int_equal(fill(&p, OURS, "ours"), OK);
    assert_int_equal(tell(&p.s, "EXISTS {a:b:c}:lease"), 0);
    assert_in_range(tell(&p.s, "PTTL a:b:c"), 50000, 100000);
    assert_stands(&p, "ours");
    pair_close(&p);
}

static void test_a_lease_is_not_given_for_what_is_there(void **state)
{
    struct pair p;
    pair_open(&p);
    assert_int_equal(take(&p, OURS, ""), MISSING);
    assert_int_equal(fill(&p, OURS, "old"), OK);
    assert_int_equal(take(&p, THEIRS, ""), OK);
    assert_memory_equal(p.step.value->p, "old", 3);
    blob_unref(p.step.value);
    assert_int_equal(take(&p, THEIRS, "new"), OK); /* not what is known */
    blob_unref(p.step.value);
    assert_int_equal(take(&p, THEIRS, NULL), MISSING); /* looks at nothing */
    assert_int_equal(drop(&p, THEIRS), OK);
    assert_int_equal(take(&p, THEIRS, "old"), MISSING);
    assert_int_equal(take(&p, OURS, "old"), PRECONDITION_FAILED);
    assert_int_equal(fill(&p, THEIRS, "new"), OK);
    assert_int_equal(take(&p, OURS, "old"), OK);
    blob_unref(p.step.value);
    pair_close(&p);
}

static void test_a_lease_ends_and_another_takes_it(void **state)
{
    struct pair p;
    pair_open(&p);
    assert_int_equal(take(&p, OURS, ""), MISSING);
    assert_int_equal(drop(&p, OURS), OK);
    assert_int_equal(take(&p, THEIRS, ""), MISSING);
    assert_int_equal(fill(&p, OURS, "late"), PRECONDITION_FAILED);
    assert_int_equal(drop(&p, OURS), PRECONDITION_FAILED);
    assert_int_equal(fill(&p, THEIRS, "theirs"), OK);
    assert_stands(&p, "theirs");
    pair_close(&p);
}

static void test_a_write_takes_the_lease_away(void **state)
{
    struct pair p;
    struct blob *saved = blob_copy(SLICE("saved"));
    pair_open(&p);

    assert_int_equal(take(&p, OURS, ""), MISSING);
    assert_int_equal(settled(&p, store_put(p.store, SLICE("a:b:c"), saved, 100000, 0, begin(&p))), OK);
    assert_int_equal(p.step.op.previous_n, 0);
    assert_int_equal(fill(&p, OURS, "loaded"), PRECONDITION_FAILED);
    assert_stands(&p, "saved");
    assert_in_range(tell(&p.s, "PTTL a:b:c"), 50000, 100000);

    assert_int_equal(take(&p, OURS, "saved"), MISSING);
    assert_int_equal(settled(&p, store_put(p.store, SLICE("a:b:c"), saved, UINT64_MAX, 0, begin(&p))), OK);
    assert_int_equal(p.step.op.previous_n, 5);
    assert_memory_equal(p.step.op.previous, "saved", 5);
    assert_int_equal(fill(&p, OURS, "loaded"), PRECONDITION_FAILED);
    assert_int_equal(tell(&p.s, "PTTL a:b:c"), -1);

    assert_int_equal(take(&p, OURS, "saved"), MISSING);
    struct blob *patched = blob_copy(SLICE("patched"));
    assert_int_equal(settled(&p, store_replace(p.store, SLICE("a:b:c"), SLICE("saved"), patched, 100000, 0, begin(&p))),
                     OK);
    blob_unref(patched);
    assert_int_equal(fill(&p, OURS, "loaded"), PRECONDITION_FAILED);
    assert_stands(&p, "patched");

    assert_int_equal(take(&p, OURS, "patched"), MISSING);
    assert_int_equal(settled(&p, store_delete(p.store, SLICE("a:b:c"), 0, begin(&p))), OK);
    assert_int_equal(fill(&p, OURS, "loaded"), PRECONDITION_FAILED);
    assert_int_equal(settled(&p, store_delete(p.store, SLICE("a:b:c"), 0, begin(&p))), MISSING);
    blob_unref(saved);
    pair_close(&p);
}

static void test_what_is_no_string_is_loaded_over(void **state)
{
    struct pair p;
    pair_open(&p);
    assert_int_equal(tell(&p.s, "LPUSH a:b:c 1 2"), 2);
    assert_int_equal(take(&p, OURS, ""), MISSING);
    assert_int_equal(fill(&p, OURS, "loaded"), OK);
    assert_stands(&p, "loaded");
    assert_int_equal(tell(&p.s, "DEL a:b:c"), 1);
    assert_int_equal(tell(&p.s, "LPUSH a:b:c 1 2"), 2);
    struct blob *saved = blob_copy(SLICE("saved"));
    assert_int_equal(settled(&p, store_put(p.store, SLICE("a:b:c"), saved, 100000, 0, begin(&p))), OK);
    assert_int_equal(p.step.op.previous_n, 0);
    assert_stands(&p, "saved");
    blob_unref(saved);
    pair_close(&p);
}

/* ---- what is invalidated */

static enum status invalidate(struct pair *p, const char *tag)
{
    struct epoch_name name = {.kind = EPOCH_TAG, .text = slice_of(tag)};
    return settled(p, store_invalidate(p->store, EPOCH_REMOVE, &name, 1, 0, begin(p)));
}

static uint64_t moment_of(struct epochs *epochs, const char *tag)
{
    return epochs_last(epochs, epoch_id_of(EPOCH_TAG, slice_of(tag)));
}

static int stderr_was;
static FILE *log_file;

static void log_begin(void)
{
    log_file = tmpfile();
    assert_non_null(log_file);
    stderr_was = dup(STDERR_FILENO);
    dup2(fileno(log_file), STDERR_FILENO);
}

/* How many lines had this word since log_begin. */
static int log_end(const char *word)
{
    char line[4096];
    int n = 0;
    dup2(stderr_was, STDERR_FILENO);
    close(stderr_was);
    rewind(log_file);
    while (fgets(line, sizeof line, log_file)) n += strstr(line, word) != NULL;
    fclose(log_file);
    return n;
}

/* A replica that has become master had not heard of the last invalidations, and its clock is behind that of the old one. Who has heard of them knows more
 * than the server now: it says so once, and does not read the table again with each record; and what others invalidate from then on is later
 * than what was lost, so that it is not missed. */
static void test_a_table_that_went_back_is_caught_up_with_once(void **state)
{
    const uint64_t ahead = 4000000000000000;
    struct pair p;
    pair_open(&p);
    assert_true(run_until(&p.c.loop, is_up, p.c.redis, 5000));
    struct epochs *ours = epochs_new(), *theirs = epochs_new();
    struct store *other = store_new(NULL, p.c.redis, p.c.metrics), *one = p.store;
    store_set_epochs(one, ours, SLICE("e"));
    store_set_epochs(other, theirs, SLICE("e"));
    assert_int_equal(invalidate(&p, "a"), OK);
    assert_int_equal(tell(&p.s, "COPY e replica"), 1);
    tell(&p.s, "ZADD e %llu ~%016llx", (unsigned long long)ahead, (unsigned long long)epochs_now(ours).line);
    assert_int_equal(invalidate(&p, "lost"), OK);
    uint64_t last = epochs_now(ours).at;
    assert_true(last > ahead);

    assert_int_equal(tell(&p.s, "RENAME replica e"), 2);
    assert_int_equal(tell(&p.s, "CONFIG RESETSTAT"), 2);
    for (int i = 0; i < 10; i++) assert_int_equal(settled(&p, store_catch_up(one, begin(&p))), OK);
    assert_int_equal(calls_of(&p.s, "eval") + calls_of(&p.s, "evalsha"), 1);
    assert_true(moment_of(ours, "lost") == last && epochs_now(ours).at == last);

    p.store = other;
    assert_int_equal(invalidate(&p, "b"), OK);
    assert_int_equal(settled(&p, store_catch_up(one, begin(&p))), OK);
    assert_true(moment_of(ours, "b") > last);
    client_close(&p.c);
    store_free(one);
    store_free(other);
    epochs_free(ours);
    epochs_free(theirs);
    server_stop(&p.s);
}

/* Whoever put it there: no record can be judged, and that is said once and not of each. */
static void test_a_damaged_table_is_told_once(void **state)
{
    struct pair p;
    pair_open(&p);
    assert_true(run_until(&p.c.loop, is_up, p.c.redis, 5000));
    struct epochs *epochs = epochs_new();
    store_set_epochs(p.store, epochs, SLICE("e"));
    assert_int_equal(settled(&p, store_catch_up(p.store, begin(&p))), OK);
    for (int round = 1; round <= 2; round++) {
        unsigned long long line = epochs_now(epochs).line;
        assert_int_equal(tell(&p.s, "ZADD e 4000000000000000 remove:nothing 4000000000000001 ~%016llx", line), 1);
        log_begin();
        for (int i = 0; i < 10; i++)
            assert_int_equal(settled(&p, store_catch_up(p.store, begin(&p))), STORE_UNAVAILABLE);
        assert_int_equal(log_end("damaged"), 1);
        assert_int_equal(tell(&p.s, "DEL e"), 1);
        assert_int_equal(settled(&p, store_catch_up(p.store, begin(&p))), OK);
    }
    client_close(&p.c);
    store_free(p.store);
    epochs_free(epochs);
    server_stop(&p.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_come_back),
        cmocka_unit_test(test_many_large_values_leave_at_once),
        cmocka_unit_test(test_a_ttl_ends_it),
        cmocka_unit_test(test_only_what_is_expected_is_replaced),
        cmocka_unit_test(test_no_replacement_is_lost),
        cmocka_unit_test(test_a_server_may_forget_scripts),
        cmocka_unit_test(test_a_replacement_that_may_not_be),
        cmocka_unit_test(test_another_type_is_missing_and_can_be_replaced),
        cmocka_unit_test(test_many_gets_are_few_commands),
        cmocka_unit_test(test_many_bytes_come_back),
        cmocka_unit_test(test_a_full_server_fails_writes_only),
        cmocka_unit_test(test_tcp_by_name_with_user_and_database),
        cmocka_unit_test(test_a_stopped_server_costs_one_deadline),
        cmocka_unit_test(test_restarts_are_recovered_from),
        cmocka_unit_test(test_kills_never_shift_answers),
        cmocka_unit_test(test_kills_never_shift_many),
        cmocka_unit_test(test_conditions_are_kept),
        cmocka_unit_test(test_conditions_judge_before_the_lease_ends),
        cmocka_unit_test(test_a_lease_is_ones),
        cmocka_unit_test(test_a_lease_is_not_given_for_what_is_there),
        cmocka_unit_test(test_a_lease_ends_and_another_takes_it),
        cmocka_unit_test(test_a_write_takes_the_lease_away),
        cmocka_unit_test(test_what_is_no_string_is_loaded_over),
        cmocka_unit_test(test_a_table_that_went_back_is_caught_up_with_once),
        cmocka_unit_test(test_a_damaged_table_is_told_once),
    };
    log_set_level(SLICE("error"));
    return cmocka_run_group_tests(tests, NULL, NULL); /* and no SIGPIPE is ignored here: none must come */
}
