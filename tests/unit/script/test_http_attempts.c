/* Requests that are sent again, counted by the server. */
#include "test_http_server.h"

/* --- what is tried again ------------------------------------------------------------------------------------------ */

static void test_nothing_without_retries(void **state)
{
    struct world *w = open_all();
    assert_ends(run(w, "return http.get('" URL "/flaky/9/503').status", server.port), OK, "503");
    assert_int_equal(server.requests, 1);
    assert_ends(run(w, "http.get('" URL "/flaky/9/reset')", server.port), LOADER_ERROR, "/reset : connection lost");
    assert_int_equal(observed(w, "retried"), 0);
    close_all(w);
}

static void test_until_it_answers(void **state)
{
    static const char *const ways[] = {"502", "503", "504", "reset"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct world *w = open_all();
        assert_ends(run(w,
                        "local r = http.get('" URL "/flaky/2/%s', {retries = 3}) return r.status .. ' ' .. r.body .. "
                        "tostring(r.headers['content-length'])",
                        server.port, ways[i]),
                    OK, "200 31"); /* the third answer, and nothing of those before it */
        assert_int_equal(server.requests, 3);
        assert_int_equal(observed(w, "retried"), 2);
        assert_int_equal(observed(w, "ok"), 1);
        assert_int_equal(observed(w, "error"), 0);
        close_all(w);
    }
}

static void test_until_retries_are_used_up(void **state)
{
    struct world *w = open_all();
    assert_ends(
        run(w, "local r = http.get('" URL "/flaky/9/503', {retries = 2}) return r.status .. r.body", server.port), OK,
        "5033");
    assert_int_equal(server.requests, 3);
    assert_int_equal(observed(w, "retried"), 2);
    assert_int_equal(observed(w, "ok"), 1);
    close_all(w);

    w = open_all();
    assert_ends(run(w, "http.get('" URL "/flaky/9/reset', {retries = 2})", server.port), LOADER_ERROR,
                "/reset : connection lost (3 attempts)");
    assert_int_equal(server.requests, 3);
    assert_int_equal(observed(w, "retried"), 2);
    assert_int_equal(observed(w, "error"), 1);
    close_all(w);
}

/* Not twice what may have been done; but a refused connection has sent nothing. */
static void test_post(void **state)
{
    struct world *w = open_all();
    assert_ends(run(w, "return http.post('" URL "/flaky/9/503', {retries = 2}).status", server.port), OK, "503");
    assert_ends(run(w, "http.post('" URL "/flaky/9/reset', {retries = 2})", server.port), LOADER_ERROR,
                "/reset : connection lost");
    assert_ends(run(w, "http.request('" URL "/flaky/9/reset', {method = 'PATCH', retries = 2})", server.port),
                LOADER_ERROR, "/reset : connection lost");
    assert_int_equal(server.requests, 3);
    assert_ends(run(w, "http.post('http://127.0.0.1:%d/', {retries = 2})", dead_port()), LOADER_ERROR,
                "connection refused (3 attempts)");
    assert_ends(run(w, "return http.post('" URL "/flaky/4/503', {retries = 2, retry_on = {503}, body = 'again'}).body",
                    server.port),
                OK, "5");
    assert_int_equal(server.requests, 5);
    assert_non_null(strstr(server.seen, "\r\n\r\nagain"));
    close_all(w);
}

/* A kept connection that the server closes under a request: libcurl asks again on a new one, unless that would be twice. */
static void test_a_kept_connection_dies(void **state)
{
    static const char *const calls[][2] = {
        {"http.get('" URL "/flaky/2/reset')", "3"},
        {"http.put('" URL "/flaky/2/reset', {body = 'x'})", "3"},
        {"http.post('" URL "/flaky/2/reset', {body = 'x', retries = 1, retry_on = {'reset'}})", "3"},
        {"http.post('" URL "/flaky/2/reset', {body = 'x'})", NULL},
        {"http.request('" URL "/flaky/2/reset', {method = 'PATCH', body = 'x', retries = 3})", NULL},
        {"http.put('" URL "/flaky/2/reset', {body = 'x', retries = 1, retry_on = {503}})", NULL},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct world *w = open_all();
        char body[256];
        assert_ends(run(w, "return http.get('" URL "/hello').body", server.port), OK, "hello");
        snprintf(body, sizeof body, calls[i][0], server.port);
        struct outcome o = run(w, "return %s.body", body);
        if (calls[i][1]) assert_ends(o, OK, calls[i][1]);
        else assert_ends(o, LOADER_ERROR, "/reset : connection lost");
        assert_int_equal(server.requests, calls[i][1] ? 3 : 2);
        close_all(w);
    }
}

/* ... and the new connection is refused: still, something was sent. */
static void test_a_kept_connection_dies_with_its_server(void **state)
{
    static const char *const calls[][2] = {
        {"http.post('" URL "/gone', {retries = 1})", "/gone : connection refused"},
        {"http.get('" URL "/gone', {retries = 1})", "/gone : connection refused (2 attempts)"},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct world *w = open_all();
        assert_ends(run(w, "return http.get('" URL "/hello').body", server.port), OK, "hello");
        struct outcome o = run(w, calls[i][0], server.port);
        assert_ends(o, LOADER_ERROR, calls[i][1]);
        assert_int_equal(strstr(o.text, "attempts") != NULL, i == 1);
        assert_int_equal(server.requests, 2);
        close_all(w);
    }
}

static void test_chosen_reasons(void **state)
{
    struct world *w = open_all();
    assert_ends(
        run(w, "return http.get('" URL "/flaky/9/503', {retries = 2, retry_on = {429, 500}}).status", server.port), OK,
        "503");
    assert_int_equal(server.requests, 1);
    assert_ends(
        run(w, "return http.get('" URL "/flaky/2/429', {retries = 2, retry_on = {429, 500}}).body", server.port), OK,
        "3");
    assert_int_equal(server.requests, 3);
    assert_ends(run(w, "http.get('" URL "/flaky/9/reset', {retries = 2, retry_on = {'refused'}})", server.port),
                LOADER_ERROR, "/reset : connection lost");
    assert_int_equal(server.requests, 4);
    close_all(w);
}

static void test_each_attempt_has_its_timeout(void **state)
{
    struct world *w = open_all();
    assert_ends(run(w, "http.get('" URL "/never', {timeout = 0.05, retries = 2, retry_on = {'timeout'}})", server.port),
                LOADER_ERROR, "/never : timeout (3 attempts)");
    assert_int_equal(server.requests, 3);
    assert_int_equal(observed(w, "retried"), 2);
    assert_int_equal(observed(w, "timeout"), 1);
    assert_ends(run(w, "http.get('" URL "/never', {timeout = 0.05, retries = 2})", server.port), LOADER_ERROR,
                "/never : timeout");
    assert_int_equal(server.requests, 4);
    close_all(w);
}

/* What has begun to come is not asked for again: the handler might have seen half of it. */
static void test_not_after_the_first_byte(void **state)
{
    struct world *w = open_all();
    assert_ends(run(w, "http.get('" URL "/short', {retries = 3})", server.port), LOADER_ERROR,
                "connection lost in the middle of the body");
    assert_ends(run(w, "http.get('" URL "/bytes/2000', {retries = 3, max_bytes = 1000})", server.port), LOADER_ERROR,
                "body of more than 1000 bytes");
    assert_ends(run(w, "http.get('" URL "/garbage', {retries = 3})", server.port), LOADER_ERROR, "HTTP/0.9");
    assert_ends(run(w, "http.get('" URL "/hint', {retries = 3})", server.port), LOADER_ERROR,
                "/hint : connection lost");
    assert_ends(run(w, "http.get('" URL "/half', {retries = 3})", server.port), LOADER_ERROR,
                "/half : connection lost");
    assert_int_equal(server.requests, 5);
    close_all(w);
}

/* A server that comes up between two attempts. */
static void test_refused_at_first(void **state)
{
    struct world *w = world_open();
    struct outcome o;
    char body[256];
    int port = dead_port();
    snprintf(body, sizeof body, "return http.get('" URL "/flaky/0/0', {retries = 10}).body", port);
    struct vm *vm = world_vm(w, body);
    world_start(vm, 60000, no_arguments, &o);
    while (observed(w, "retried") == 0) uv_run(&w->loop, UV_RUN_ONCE);
    listen_on(w, port);
    world_wait(w, &o);
    assert_ends(o, OK, "1");
    vm_retire(vm);
    close_all(w);
}

/* --- when ---------------------------------------------------------------------------------------------------------- */

/* Who has no time to wait so long has the answer there is. */
static void test_retry_after(void **state)
{
    struct world *w = open_all();
    assert_ends(run(w, "return http.get('" URL "/flaky/9/503,60', {retries = 3}).status", server.port), OK, "503");
    assert_int_equal(server.requests, 1);

    uint64_t began = clock_mono_us();
    assert_ends(run(w, "return http.get('" URL "/flaky/2/503,1', {retries = 3}).body", server.port), OK, "3");
    assert_true(clock_mono_us() - began >= 1000000);
    close_all(w);
}

static void test_the_handlers_deadline_ends_the_wait(void **state)
{
    struct world *w = open_all();
    struct outcome o =
        world_runf(w, 300, "pcall(http.get, '" URL "/never', {timeout = 100, retries = 3})", server.port);
    assert_int_equal(o.status, LOADER_TIMEOUT);
    assert_true(o.cut);
    assert_int_equal(server.requests, 1);
    close_all(w);
}

static void test_cancelled_between_two_attempts(void **state)
{
    struct world *w = open_all();
    struct outcome o;
    char body[256];
    snprintf(body, sizeof body, "http.get('" URL "/flaky/99/503,2', {retries = 10})", server.port);
    struct vm *vm = world_vm(w, body);
    struct task *t = world_start(vm, 60000, no_arguments, &o);
    while (observed(w, "retried") == 0) uv_run(&w->loop, UV_RUN_ONCE);
    task_cancel(t);
    assert_int_equal(o.calls, 0);
    assert_int_equal(observed(w, "cancelled"), 1);
    vm_retire(vm);
    close_all(w);
}

/* --- the budget ---------------------------------------------------------------------------------------------------- */

/* A hundred requests, each of which would try eleven times, are 20 + a fifth of them more, and not a thousand. */
static void test_budget(void **state)
{
    enum { N = 100 };
    struct world *w = open_all();
    static struct outcome o[N];
    char body[256];
    snprintf(body, sizeof body, "return http.get('" URL "/flaky/9999/503', {retries = 10}).status", server.port);
    struct vm *vm = world_vm(w, body);
    for (int i = 0; i < N; i++) world_start(vm, 60000, no_arguments, &o[i]);
    for (int i = 0; i < N; i++) {
        world_wait(w, &o[i]);
        assert_ends(o[i], OK, "503");
    }
    assert_int_equal(server.requests, N + 20 + N / 5);
    assert_int_equal(observed(w, "retried"), 20 + N / 5);
    assert_int_equal(observed(w, "over-budget"), N);
    assert_ends(run(w, "http.get('" URL "/flaky/9999/reset', {retries = 1})", server.port), LOADER_ERROR,
                "/reset : connection lost (1 attempt; too many retries to this server)");
    vm_retire(vm);
    close_all(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_without_retries),
        cmocka_unit_test(test_until_it_answers),
        cmocka_unit_test(test_until_retries_are_used_up),
        cmocka_unit_test(test_post),
        cmocka_unit_test(test_a_kept_connection_dies),
        cmocka_unit_test(test_a_kept_connection_dies_with_its_server),
        cmocka_unit_test(test_chosen_reasons),
        cmocka_unit_test(test_each_attempt_has_its_timeout),
        cmocka_unit_test(test_not_after_the_first_byte),
        cmocka_unit_test(test_refused_at_first),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_the_handlers_deadline_ends_the_wait),
        cmocka_unit_test(test_cancelled_between_two_attempts),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
