/* Paths and methods: which operation they ask for, of what; and which are refused, and how. */
#include "serve/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof *(list))

static struct arena arena;
static struct route route;
static struct problem why;

static int set_up(void **state)
{
    arena_init(&arena);
    return 0;
}

static int tear_down(void **state)
{
    arena_deinit(&arena);
    return 0;
}

static const char *const method_name[] = {
    [METHOD_GET] = "GET",         [METHOD_HEAD] = "HEAD",   [METHOD_PUT] = "PUT",
    [METHOD_POST] = "POST",       [METHOD_PATCH] = "PATCH", [METHOD_DELETE] = "DELETE",
    [METHOD_OPTIONS] = "OPTIONS", [METHOD_TRACE] = "TRACE", [METHOD_CONNECT] = "CONNECT"};

static enum status ask(enum http_method method, const char *target)
{
    struct slice query = slice_of(target), path = slice_cut(&query, '?');
    struct http_request request = {
        .method = method, .method_name = slice_of(method_name[method]), .path = path, .query = query};
    return route_request(&request, &arena, &route, &why);
}

static bool is(struct slice s, const char *wanted) { return wanted ? s.p && slice_eq(s, slice_of(wanted)) : !s.p; }

static void each_path_has_its_operation(void **state)
{
    static const struct {
        enum http_method method;
        const char *target;
        enum operation op;
        const char *model, *name;
        bool form;
    } row[] = {
        {METHOD_GET, "/models/User?username=bob", OP_GET, "User", NULL, false},
        {METHOD_HEAD, "/models/User", OP_HEAD, "User", NULL, false},
        {METHOD_PUT, "/models/User", OP_PUT, "User", NULL, false},
        {METHOD_PATCH, "/models/User", OP_PATCH, "User", NULL, false},
        {METHOD_DELETE, "/models/User", OP_DELETE, "User", NULL, false},
        {METHOD_OPTIONS, "/models/User", OP_OPTIONS, "User", NULL, false},
        {METHOD_GET, "/models", OP_LIST, NULL, NULL, false},
        {METHOD_HEAD, "/forms", OP_LIST, NULL, NULL, false},
        {METHOD_GET, "/openapi.json", OP_OPENAPI, NULL, NULL, false},
        {METHOD_GET, "/models/User/_schema", OP_SCHEMA, "User", NULL, false},
        {METHOD_POST, "/models/User/_touch", OP_TOUCH, "User", NULL, false},
        {METHOD_POST, "/models/User/_refresh?_depth=1", OP_REFRESH, "User", NULL, false},
        {METHOD_POST, "/models/User/%5finvalidate", OP_INVALIDATE, "User", NULL, false},
        {METHOD_POST, "/models/User/_bulk", OP_BULK, "User", NULL, false},
        {METHOD_POST, "/_invalidate", OP_INVALIDATE, NULL, NULL, false},
        {METHOD_OPTIONS, "/models/User/_bulk", OP_OPTIONS, "User", NULL, false},
        {METHOD_GET, "/models/Home/geocode?a=b", OP_CALL, "Home", "geocode", false},
        {METHOD_HEAD, "/models/Home/geocode", OP_CALL, "Home", "geocode", false},
        {METHOD_POST, "/models/Home/geocode", OP_CALL, "Home", "geocode", false},
        {METHOD_DELETE, "/models/Home/geocode", OP_FORGET, "Home", "geocode", false},
        {METHOD_OPTIONS, "/models/Home/geocode", OP_OPTIONS, "Home", "geocode", false},
        {METHOD_GET, "/models/%48ome/geo%63ode", OP_CALL, "Home", "geocode", false},
        {METHOD_GET, "/models/Home/geo%2Fcode", OP_CALL, "Home", "geo/code", false}, /* which nothing is called */
        {METHOD_GET, "/forms/Lookup/friends?u=b", OP_CALL, "Lookup", "friends", true},
        {METHOD_POST, "/forms/Lookup/friends", OP_CALL, "Lookup", "friends", true},
        {METHOD_DELETE, "/forms/Lookup/%66riends", OP_FORGET, "Lookup", "friends", true},
        {METHOD_OPTIONS, "*", OP_OPTIONS, NULL, NULL, false},
    };
    for (size_t i = 0; i < COUNT(row); i++) {
        enum status st = ask(row[i].method, row[i].target);
        bool right = st == OK && route.op == row[i].op && is(route.model, row[i].model) &&
                     is(route.method, row[i].name) && route.form == row[i].form;
        if (!right) fail_msg("%s %s: %s", method_name[row[i].method], row[i].target, status_code(st));
    }
}

static void other_paths_are_not_found(void **state)
{
    static const char *const path[] = {"/",
                                       "/model",
                                       "/models/",
                                       "/models//x",
                                       "/models/User/",
                                       "/forms/",
                                       "/forms/Lookup",
                                       "/forms/Lookup/",
                                       "/forms//x",
                                       "/forms/Lookup/friends/x",
                                       "/models/Home/geo/code",
                                       "/models/../models/User",
                                       "/formss",
                                       "/models/_schema",
                                       "/models/User/_shema",
                                       "/models/_touch",
                                       "/_touch",
                                       "/forms/Lookup/_touch/x",
                                       "/Models/User",
                                       "//models/User"};
    for (size_t i = 0; i < COUNT(path); i++)
        if (ask(METHOD_GET, path[i]) != NOT_FOUND) fail_msg("%s is found", path[i]);
    assert_int_equal(ask(METHOD_GET, "/forms?"), OK); /* an empty query is none */
}

static void other_methods_are_told_what_is_allowed(void **state)
{
    static const struct {
        const char *path, *allow;
        enum http_method refused[5];
        size_t n;
    } row[] = {
        {"/models/User", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS", {METHOD_POST, METHOD_TRACE}, 2},
        {"/models/Home/geocode", "GET, HEAD, POST, DELETE, OPTIONS", {METHOD_PUT, METHOD_PATCH, METHOD_TRACE}, 3},
        {"/forms/Lookup/friends", "GET, HEAD, POST, DELETE, OPTIONS", {METHOD_PUT, METHOD_PATCH, METHOD_TRACE}, 3},
        {"/models/User/_touch", "POST, OPTIONS", {METHOD_GET, METHOD_HEAD, METHOD_PUT, METHOD_DELETE, METHOD_PATCH}, 5},
        {"/_invalidate", "POST, OPTIONS", {METHOD_GET, METHOD_PUT, METHOD_DELETE}, 3},
        {"/models", "GET, HEAD, OPTIONS", {METHOD_PUT, METHOD_POST, METHOD_DELETE}, 3},
        {"/forms", "GET, HEAD, OPTIONS", {METHOD_PUT, METHOD_POST, METHOD_PATCH, METHOD_DELETE}, 4},
    };
    for (size_t i = 0; i < COUNT(row); i++) {
        for (size_t j = 0; j < row[i].n; j++) {
            assert_int_equal(ask(row[i].refused[j], row[i].path), METHOD_NOT_ALLOWED);
            assert_string_equal(route.allow, row[i].allow);
        }
        assert_int_equal(ask(METHOD_OPTIONS, row[i].path), OK);
        assert_string_equal(route.allow, row[i].allow);
    }
}

static void bad_escapes_and_queries_are_malformed(void **state)
{
    static const char *const target[] = {"/models/%zz", "/models/User/%4", "/forms/%zz/x",
                                         "/forms/x/%",  "/forms?x=1",      "/models?x=1"};
    for (size_t i = 0; i < COUNT(target); i++)
        if (ask(METHOD_GET, target[i]) != MALFORMED_REQUEST) fail_msg("%s is no malformed request", target[i]);
}

#define ROUTED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROUTED(each_path_has_its_operation),
        ROUTED(other_paths_are_not_found),
        ROUTED(other_methods_are_told_what_is_allowed),
        ROUTED(bad_escapes_and_queries_are_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
