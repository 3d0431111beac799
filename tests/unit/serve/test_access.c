/* Which operation needs which permission, what an Authorization header is taken for, and what a refusal says. */
#include "serve/access.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof *(list))
#define READER      "reader0123456789"
#define WRITER      "writer0123456789"
#define LOADER      "loader0123456789"
#define ADMIN       "admin00123456789"

static struct tokens *tokens;
static struct http_request request;
static const struct grant *grant;
static struct refusal refusal;

static int set_up(void **state)
{
    struct buffer findings;
    buffer_init(&findings, 4096);
    tokens = tokens_read(SLICE(READER " reader read\n" WRITER " writer write User\n" LOADER
                                      " loader read,refresh User\n" ADMIN " admin admin\n"),
                         "f", &findings);
    buffer_deinit(&findings);
    request = (struct http_request){.method = METHOD_GET};
    grant = NULL;
    return tokens ? 0 : -1;
}

static int tear_down(void **state)
{
    tokens_unref(tokens);
    return 0;
}

static void add_header(const char *name, const char *value)
{
    request.header[request.headers++] = (struct http_header){slice_of(name), slice_of(value)};
}

static enum status check(unsigned permissions, const char *model)
{
    return access_check(tokens, &request, &(struct need){.permissions = permissions, .model = slice_of(model)}, &grant,
                        &refusal);
}

static enum status check_value(const char *authorization)
{
    request.headers = 0;
    add_header("Host", "x");
    add_header("Authorization", authorization);
    return check(PERMIT_READ, NULL);
}

/* -- the header -- */

static void who_brings_a_token_is_known(void **state)
{
    static const char *const value[] = {"Bearer " READER, "bearer " READER, "BEARER " READER, "Bearer   " READER};
    for (size_t i = 0; i < COUNT(value); i++) {
        assert_int_equal(check_value(value[i]), OK);
        assert_true(slice_eq(grant->name, SLICE("reader")));
    }
    request.headers = 0;
    add_header("aUTHORIZATION", "Bearer " READER);
    assert_int_equal(check(PERMIT_READ, NULL), OK);
}

static void who_brings_none_is_asked_for_one(void **state)
{
    assert_int_equal(check(PERMIT_READ, NULL), UNAUTHORIZED);
    assert_int_equal(refusal.reason, ACCESS_MISSING);
    static const char *const value[] = {"",
                                        READER,
                                        "Basic dXNlcjpwYXNz",
                                        "Digest username=\"x\"",
                                        "Bearer" READER,
                                        "Bearer\t" READER,
                                        "Bearer," READER,
                                        "Token " READER};
    for (size_t i = 0; i < COUNT(value); i++) {
        assert_int_equal(check_value(value[i]), UNAUTHORIZED);
        assert_int_equal(refusal.reason, ACCESS_MISSING);
    }
}

static void a_token_that_is_not_one_of_ours_is_unknown(void **state)
{
    static const char *const value[] = {"Bearer",
                                        "Bearer reader012345678",
                                        "Bearer " READER "0",
                                        "Bearer Reader0123456789",
                                        "Bearer \"" READER "\"",
                                        "Bearer " READER "," READER,
                                        "Bearer " READER " " READER,
                                        "Bearer token=" READER,
                                        "Bearer =",
                                        "Bearer \xff" READER};
    for (size_t i = 0; i < COUNT(value); i++) {
        assert_int_equal(check_value(value[i]), UNAUTHORIZED);
        assert_int_equal(refusal.reason, ACCESS_UNKNOWN);
        assert_null(grant);
        assert_null(strstr(refusal.problem.detail, "eader0"));
    }
}

static void two_tokens_are_too_many(void **state)
{
    add_header("Authorization", "Bearer " READER);
    add_header("authorization", "Bearer " READER);
    assert_int_equal(check(PERMIT_READ, NULL), MALFORMED_REQUEST);
    assert_int_equal(refusal.reason, ACCESS_MALFORMED);
    request.header[0].value = SLICE("");
    assert_int_equal(check(PERMIT_READ, NULL), MALFORMED_REQUEST);
    assert_null(grant);
}

/* -- what is permitted -- */

static void permissions_and_models_both_count(void **state)
{
    static const struct {
        const char *token;
        unsigned needs;
        const char *model;
        enum permission lacks; /* 0: permitted */
    } row[] = {
        {READER, PERMIT_READ, "User", 0},
        {READER, PERMIT_READ, NULL, 0},
        {READER, PERMIT_WRITE, "User", PERMIT_WRITE},
        {READER, PERMIT_READ | PERMIT_REFRESH, "User", PERMIT_REFRESH},
        {READER, PERMIT_ADMIN, NULL, PERMIT_ADMIN},
        {READER, 0, NULL, 0},
        {WRITER, PERMIT_WRITE, "User", 0},
        {WRITER, PERMIT_READ, "User", PERMIT_READ},
        {WRITER, PERMIT_WRITE, "Home", PERMIT_WRITE},
        {LOADER, PERMIT_READ | PERMIT_REFRESH, "User", 0},
        {LOADER, PERMIT_READ | PERMIT_REFRESH, "Home", PERMIT_READ},
        {LOADER, PERMIT_READ, NULL, 0},
        {ADMIN, PERMIT_ADMIN, NULL, 0},
        {ADMIN, PERMIT_READ, "User", PERMIT_READ},
    };
    for (size_t i = 0; i < COUNT(row); i++) {
        char value[64] = "Bearer ";
        request.headers = 0;
        add_header("Authorization", strcat(value, row[i].token));
        grant = NULL;
        assert_int_equal(check(row[i].needs, row[i].model), row[i].lacks ? FORBIDDEN : OK);
        assert_int_equal(grant == NULL, row[i].lacks != 0);
        if (!row[i].lacks) continue;
        assert_int_equal(refusal.reason, ACCESS_FORBIDDEN);
        assert_int_equal(refusal.permission, row[i].lacks);
        assert_non_null(strstr(refusal.problem.detail, permission_label(row[i].lacks)));
        if (row[i].model) assert_non_null(strstr(refusal.problem.detail, row[i].model));
        assert_null(strstr(refusal.problem.detail, "0123456789"));
    }
}

static struct need need_of(enum http_method method, enum operation op, const char *control)
{
    request = (struct http_request){.method = method};
    if (control) add_header("Cache-Control", control);
    return access_need(&request, &(struct route){.op = op, .model = {"User", 4}});
}

static void each_operation_needs_its_permission(void **state)
{
    static const struct {
        enum http_method method;
        enum operation op;
        const char *control;
        unsigned needs;
    } row[] = {
        {METHOD_GET, OP_GET, NULL, PERMIT_READ},
        {METHOD_GET, OP_GET, "only-if-cached", PERMIT_READ},
        {METHOD_GET, OP_GET, "max-age=0", PERMIT_READ},
        {METHOD_GET, OP_GET, "no-cache", PERMIT_READ | PERMIT_REFRESH},
        {METHOD_GET, OP_GET, "max-age=0, No-Cache", PERMIT_READ | PERMIT_REFRESH},
        {METHOD_GET, OP_GET, "no-cache, only-if-cached", PERMIT_READ}, /* it looks only */
        {METHOD_HEAD, OP_HEAD, NULL, PERMIT_READ},
        {METHOD_HEAD, OP_HEAD, "no-cache", PERMIT_READ}, /* the same */
        {METHOD_GET, OP_CALL, NULL, PERMIT_READ},
        {METHOD_POST, OP_CALL, NULL, PERMIT_READ},
        {METHOD_POST, OP_CALL, "no-cache", PERMIT_READ | PERMIT_REFRESH},
        {METHOD_HEAD, OP_CALL, "no-cache", PERMIT_READ},
        {METHOD_PUT, OP_PUT, NULL, PERMIT_WRITE},
        {METHOD_PUT, OP_PUT, "no-cache", PERMIT_WRITE},
        {METHOD_PATCH, OP_PATCH, NULL, PERMIT_WRITE},
        {METHOD_DELETE, OP_DELETE, NULL, PERMIT_WRITE},
        {METHOD_DELETE, OP_FORGET, NULL, PERMIT_WRITE},
        {METHOD_POST, OP_TOUCH, NULL, PERMIT_WRITE},
        {METHOD_POST, OP_INVALIDATE, NULL, PERMIT_WRITE},
        {METHOD_POST, OP_REFRESH, NULL, PERMIT_READ | PERMIT_REFRESH},
        {METHOD_POST, OP_BULK, NULL, 0}, /* what its body asks for */
        {METHOD_GET, OP_LIST, NULL, PERMIT_READ},
        {METHOD_GET, OP_SCHEMA, NULL, PERMIT_READ},
        {METHOD_GET, OP_OPENAPI, NULL, PERMIT_READ},
        {METHOD_OPTIONS, OP_OPTIONS, NULL, 0},
    };
    bool seen[OPERATIONS] = {false};
    for (size_t i = 0; i < COUNT(row); i++) {
        struct need need = need_of(row[i].method, row[i].op, row[i].control);
        assert_int_equal(need.permissions, row[i].needs);
        assert_true(row[i].needs ? slice_eq(need.model, SLICE("User")) : !need.model.p);
        seen[row[i].op] = true;
    }
    for (int op = 0; op < OPERATIONS; op++) assert_true(seen[op]);
    struct need nowhere = access_need(&request, NULL);
    assert_int_equal(nowhere.permissions, 0);
    assert_null(nowhere.model.p);
}

static void who_cannot_read_is_not_shown_what_was_saved(void **state)
{
    static const char *const token[] = {READER, WRITER};
    for (size_t i = 0; i < COUNT(token); i++) {
        request.headers = 0;
        add_header("PREFER", "return=representation");
        access_curb(tokens_find(tokens, slice_of(token[i])), &request);
        assert_int_equal(http_request_header(&request, "prefer").p != NULL, i == 0);
    }
}

/* -- the gate -- */

static const char *challenge_of(struct gate *gate, enum status wanted, const char *authorization)
{
    static char text[512];
    static struct exchange ex;
    struct need need = {.permissions = PERMIT_WRITE, .model = SLICE("User")};
    ex = (struct exchange){0};
    arena_init(&ex.arena);
    reply_init(&ex.reply, &ex.arena);
    request.headers = 0;
    if (authorization) add_header("Authorization", authorization);
    ex.request = request;
    assert_int_equal(gate_check(gate, &ex, &need, &grant), wanted);
    text[0] = '\0';
    struct slice lines = wanted == OK ? (struct slice){NULL, 0} : buffer_view(&ex.reply.head_lines);
    while (lines.p) {
        struct slice line = slice_cut(&lines, '\n');
        if (slice_starts(line, SLICE("WWW-Authenticate: ")))
            memcpy(text, line.p + 18, line.n - 19), text[line.n - 19] = '\0';
    }
    if (wanted != OK) assert_int_equal(ex.reply.status, status_http(wanted));
    reply_deinit(&ex.reply);
    arena_deinit(&ex.arena);
    return text;
}

static void a_refusal_challenges_and_is_counted(void **state)
{
    struct buffer page;
    struct gate gate = {.metrics = metrics_new()};
    gate_set(&gate, tokens_ref(tokens));
    assert_string_equal(challenge_of(&gate, OK, "Bearer " WRITER), "");
    assert_string_equal(challenge_of(&gate, UNAUTHORIZED, NULL), "Bearer realm=\"perigee\"");
    assert_string_equal(challenge_of(&gate, UNAUTHORIZED, "Basic xyz"), "Bearer realm=\"perigee\"");
    assert_string_equal(challenge_of(&gate, UNAUTHORIZED, "Bearer nobody0123456789"),
                        "Bearer realm=\"perigee\", error=\"invalid_token\"");
    assert_string_equal(challenge_of(&gate, FORBIDDEN, "Bearer " READER),
                        "Bearer realm=\"perigee\", error=\"insufficient_scope\", scope=\"write\"");
    buffer_init(&page, 1 << 16);
    metrics_render(&gate.metrics, 1, METRICS_PROMETHEUS, &page);
    buffer_char(&page, '\0');
    assert_non_null(strstr(page.p, "perigee_auth_failures_total{reason=\"missing\"} 2\n"));
    assert_non_null(strstr(page.p, "perigee_auth_failures_total{reason=\"unknown\"} 1\n"));
    assert_non_null(strstr(page.p, "perigee_auth_failures_total{reason=\"forbidden\"} 1\n"));
    assert_null(strstr(page.p, "malformed"));
    buffer_deinit(&page);
    gate_set(&gate, NULL);
    metrics_free(gate.metrics);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(who_brings_a_token_is_known),
        T(who_brings_none_is_asked_for_one),
        T(a_token_that_is_not_one_of_ours_is_unknown),
        T(two_tokens_are_too_many),
        T(permissions_and_models_both_count),
        T(each_operation_needs_its_permission),
        T(who_cannot_read_is_not_shown_what_was_saved),
        T(a_refusal_challenges_and_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
