/* Entity tag lists and routes: pure parts of serve/. */
#include "serve/answer.h"
#include "serve/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define TAG "\"0123456789abcdef\""

static void a_tag_is_its_64_bits_in_quotes(void **state)
{
    char out[19];
    answer_etag(0x0123456789abcdefu, out);
    assert_string_equal(out, TAG);
}

static bool listed(const char *header, bool weak) { return answer_etag_listed(slice_of(header), TAG, weak); }

static void tags_are_found_in_lists(void **state)
{
    assert_true(listed(TAG, true));
    assert_true(listed(TAG, false));
    assert_true(listed("*", true));
    assert_true(listed(" \"a\" , \"b,c\"," TAG " ", false));
    assert_true(listed(" ,\t,\"a\",, " TAG " ,", true)); /* empty elements do not count */
    assert_false(listed(", ,", true));
    assert_true(listed("W/" TAG, true));
    assert_false(listed("W/" TAG, false)); /* strong comparison */
    assert_false(listed("\"0123456789abcdee\"", true));
    assert_false(listed("0123456789abcdef", true)); /* unquoted: no entity tag */
    assert_false(listed("", true));
    assert_false(listed("\"unterminated", true));
    assert_false(listed("\"a\" " TAG, true)); /* no comma */
    assert_false(listed("W/", true));
}

static enum status route(enum http_method method, const char *name, const char *path, struct route *r)
{
    static struct arena arena;
    struct http_request request = {.method = method, .method_name = slice_of(name), .path = slice_of(path)};
    struct problem why;
    arena_deinit(&arena);
    arena_init(&arena);
    enum status st = route_request(&request, &arena, r, &why);
    if (st == OK && r->model.p) r->model = slice_from(memcpy(test_malloc(64), r->model.p, r->model.n), r->model.n);
    arena_deinit(&arena);
    arena_init(&arena);
    return st;
}

static void forget(struct route *r) { test_free((char *)r->model.p); }

static void paths_lead_to_models(void **state)
{
    struct route r;
    assert_int_equal(route(METHOD_GET, "GET", "/models/User", &r), OK);
    assert_int_equal(r.op, OP_GET);
    assert_true(slice_eq(r.model, SLICE("User")));
    forget(&r);
    assert_int_equal(route(METHOD_DELETE, "DELETE", "/models/%55ser", &r), OK);
    assert_true(slice_eq(r.model, SLICE("User")));
    forget(&r);
    assert_int_equal(route(METHOD_GET, "GET", "/models/%2e%2e%2fetc", &r), OK); /* a name no model has */
    assert_true(slice_eq(r.model, SLICE("../etc")));
    forget(&r);
    assert_int_equal(route(METHOD_OPTIONS, "OPTIONS", "*", &r), OK);
    assert_null(r.model.p);
}

static void other_paths_and_methods_are_refused(void **state)
{
    static const char *const nowhere[] = {"/",
                                          "/models/",
                                          "/models/User/",
                                          "/Models/User",
                                          "",
                                          "/models/_schema",
                                          "/models//_schema",
                                          "/models/User/_x",
                                          "/models/User/x/_schema",
                                          "/models/User/_schema/",
                                          "/openapi"};
    struct route r;
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++)
        assert_int_equal(route(METHOD_GET, "GET", nowhere[i], &r), NOT_FOUND);
    assert_int_equal(route(METHOD_GET, "GET", "/models/%zz", &r), MALFORMED_REQUEST);
    assert_int_equal(route(METHOD_POST, "POST", "/models/User", &r), METHOD_NOT_ALLOWED);
    assert_string_equal(r.allow, "GET, HEAD, PUT, PATCH, DELETE, OPTIONS");
    assert_int_equal(route(METHOD_OTHER, "PROPFIND", "/models/User", &r), METHOD_NOT_ALLOWED);
}

static void descriptions_are_only_read(void **state)
{
    static const struct {
        const char *path;
        enum operation op;
    } described[] = {{"/models", OP_LIST},
                     {"/models/User/_schema", OP_SCHEMA},
                     {"/models/User/%5fschema", OP_SCHEMA},
                     {"/openapi.json", OP_OPENAPI}};
    struct route r;
    for (size_t i = 0; i < sizeof described / sizeof *described; i++) {
        assert_int_equal(route(METHOD_GET, "GET", described[i].path, &r), OK);
        assert_int_equal(r.op, described[i].op);
        if (r.op == OP_SCHEMA) assert_true(slice_eq(r.model, SLICE("User")));
        else assert_null(r.model.p);
        forget(&r);
        assert_int_equal(route(METHOD_HEAD, "HEAD", described[i].path, &r), OK);
        assert_int_equal(r.op, described[i].op);
        forget(&r);
        assert_int_equal(route(METHOD_OPTIONS, "OPTIONS", described[i].path, &r), OK);
        assert_int_equal(r.op, OP_OPTIONS);
        assert_string_equal(r.allow, "GET, HEAD, OPTIONS");
        forget(&r);
        assert_int_equal(route(METHOD_PUT, "PUT", described[i].path, &r), METHOD_NOT_ALLOWED);
        assert_string_equal(r.allow, "GET, HEAD, OPTIONS");
    }
}

static void an_unknown_action_names_the_nearest(void **state)
{
    struct http_request request = {.method = METHOD_GET, .path = SLICE("/models/User/_shema")};
    struct arena arena;
    struct route r;
    struct problem why;
    arena_init(&arena);
    assert_int_equal(route_request(&request, &arena, &r, &why), NOT_FOUND);
    assert_non_null(strstr(why.detail, "`_shema` (did you mean `_schema`?)"));
    request.path = SLICE("/models");
    request.query = SLICE("x=1");
    assert_int_equal(route_request(&request, &arena, &r, &why), MALFORMED_REQUEST);
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tag_is_its_64_bits_in_quotes), cmocka_unit_test(tags_are_found_in_lists),
        cmocka_unit_test(paths_lead_to_models),           cmocka_unit_test(other_paths_and_methods_are_refused),
        cmocka_unit_test(descriptions_are_only_read),     cmocka_unit_test(an_unknown_action_names_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
