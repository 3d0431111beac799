/* tests/unit/store/test_redis_corpus.c -- a collection of raw replies, each said to a GET, whole and a byte a millisecond. Whatever it
 * is, the next GET gets its own answer. Skipped where the collection is absent. */
#include "support.h"

#include "base/log.h"

#include <signal.h>

#define CORPUS SOURCE_DIR "/../shared/data/resp/"

enum { CASES_MAX = 128, CASE_BYTES = 128 << 10 };

/* One case with a peer and a client of its own; all run at once on one loop. */
struct trial {
    char id[64], kind[32];
    char *raw;
    size_t raw_n;
    struct peer peer;
    struct redis *redis;
    struct ask first, next;
    bool closed;
};

static bool member(const char *line, const char *name, char *out, size_t n)
{
    char pattern[32];
    snprintf(pattern, sizeof pattern, "\"%s\": \"", name);
    const char *p = strstr(line, pattern);
    if (!p) return false;
    snprintf(out, n, "%.*s", (int)strcspn(p + strlen(pattern), "\""), p + strlen(pattern));
    return true;
}

static size_t trials_load(struct trial *trials)
{
    FILE *list = fopen(CORPUS "cases.jsonl", "r");
    if (!list) return 0;
    char line[4096], path[512];
    size_t n = 0;
    while (n < CASES_MAX && fgets(line, sizeof line, list)) {
        struct trial *t = &trials[n];
        if (!member(line, "id", t->id, sizeof t->id) || !member(line, "kind", t->kind, sizeof t->kind)) continue;
        snprintf(path, sizeof path, CORPUS "%s.resp", t->id);
        FILE *f = fopen(path, "r");
        assert_non_null(f);
        t->raw = malloc(CASE_BYTES);
        t->raw_n = fread(t->raw, 1, CASE_BYTES, f);
        fclose(f);
        n++;
    }
    fclose(list);
    return n;
}

static void script_case(struct visit *v, int argc, struct slice *argv)
{
    struct trial *t = v->peer->arg;
    if (!slice_eq(argv[0], SLICE("GET"))) {
        say_sane(v, argc, argv);
    } else if (slice_eq(argv[1], SLICE("good"))) {
        say(v, "$10\r\ngood value\r\n");
    } else {
        say_bytes(v, t->raw, t->raw_n);
        if (strncmp(t->id, "trunc-", 6) == 0) say_end(v);
    }
}

static bool is(const char *a, const char *b) { return strcmp(a, b) == 0; }

/* Did the GET that met the case end as it must? */
static bool ended_well(struct trial *t)
{
    enum status st = t->first.status;
    struct blob *b = t->first.value;
    if (is(t->id, "type-null-array")) return st == MISSING;
    if (is(t->id, "err-wrongtype")) return st == MISSING;
    if (is(t->id, "push-resp3")) return st == OK && b->n == 1 && b->p[0] == '1';
    if (is(t->id, "extra-reply")) return st == STORE_UNAVAILABLE || (st == OK && b->n == 1 && b->p[0] == '1');
    if (is(t->kind, "valid")) return st == MISSING;
    if (is(t->kind, "valid-resp3")) return st == STORE_UNAVAILABLE; /* nobody asked for RESP3 */
    if (!is(t->kind, "corrupt")) return st == STORE_UNAVAILABLE;
    size_t head = strcspn(t->raw, "\n") + 1; /* the value as it came: the envelope judges it */
    return st == OK && b->n == t->raw_n - head - 2 && memcmp(b->p, t->raw + head, b->n) == 0;
}

/* Errors of one command leave the connection; what says that the server is down, and all that does not fit, ends it. */
static bool keeps_connection(struct trial *t)
{
    static const char *const down[] = {"err-loading",   "err-masterdown", "err-noauth",
                                       "err-protected", "err-busy",       "err-readonly"};
    for (size_t i = 0; i < sizeof down / sizeof *down; i++) {
        if (is(t->id, down[i])) return false;
    }
    return is(t->kind, "error") || is(t->kind, "valid") || is(t->kind, "corrupt") || is(t->id, "push-resp3") ||
           is(t->id, "type-null-array");
}

static void run_corpus(bool trickling)
{
    struct trial *trials = calloc(CASES_MAX, sizeof *trials);
    size_t n = trials_load(trials);
    if (n == 0) {
        free(trials);
        print_message("no collection of raw replies in " CORPUS "\n");
        skip();
    }
    uv_loop_t loop;
    struct metrics *metrics = metrics_new();
    uv_loop_init(&loop);
    for (size_t i = 0; i < n; i++) {
        struct trial *t = &trials[i];
        peer_place(&t->peer);
        peer_listen(&t->peer, &loop);
        t->peer.script = script_case;
        t->peer.arg = t;
        struct redis_config config = config_for(t->peer.path);
        config.timeout_ms = trickling ? 6000 : 2000;
        t->peer.every_ms = 1;
        t->redis = redis_open(&loop, &config, metrics);
        assert_true(run_until(&loop, is_up, t->redis, 5000));
        t->peer.trickling = trickling && t->raw_n <= 2048;
    }
    for (size_t i = 0; i < n; i++) ask_get(trials[i].redis, &trials[i].first, "bad");
    for (size_t i = 0; i < n; i++) {
        struct trial *t = &trials[i];
        wait_for(&loop, &t->first); /* for 20 s: longer than any deadline here */
        if (!ended_well(t)) fail_msg("%s: %s", t->id, status_code(t->first.status));
        blob_unref(t->first.value);
    }
    run_for(&loop, 50); /* what comes too much has come */
    for (size_t i = 0; i < n; i++) {
        struct trial *t = &trials[i];
        assert_true(run_until(&loop, is_up, t->redis, 5000));
        t->peer.trickling = false;
        assert_int_equal(do_get(&loop, t->redis, &t->next, "good"), OK);
        assert_value(&t->next, "good value");
        if ((t->peer.connections == 1) != keeps_connection(t))
            fail_msg("%s: %u connections", t->id, t->peer.connections);
    }
    for (size_t i = 0; i < n; i++) {
        redis_close(trials[i].redis, world_on_closed, &trials[i].closed);
        peer_stop(&trials[i].peer);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    for (size_t i = 0; i < n; i++) {
        assert_true(trials[i].closed);
        peer_remove(&trials[i].peer);
        free(trials[i].raw);
    }
    assert_int_equal(uv_loop_close(&loop), 0);
    metrics_free(metrics);
    free(trials);
}

static void test_each_reply_of_the_collection(void **state) { run_corpus(false); }

static void test_each_reply_a_byte_a_millisecond(void **state) { run_corpus(true); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_reply_of_the_collection),
        cmocka_unit_test(test_each_reply_a_byte_a_millisecond),
    };
    log_set_level(SLICE("error"));
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
