/* The status table against the public list of problems, and problems made safe to show. */
#include "base/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* What clients are told in docs/: changing a row here breaks them. */
static const struct {
    const char *code;
    int http;
} published[] = {
    {"missing", 404},
    {"unknown-model", 404},
    {"not-found", 404},
    {"method-not-allowed", 405},
    {"malformed-json", 400},
    {"malformed-request", 400},
    {"key-required", 400},
    {"key-type", 400},
    {"unknown-key", 400},
    {"key-conflict", 400},
    {"unknown-field", 422},
    {"field-type", 422},
    {"field-required", 422},
    {"reference-invalid", 422},
    {"form-invalid", 422},
    {"depth-exceeded", 422},
    {"precondition-failed", 412},
    {"body-too-large", 413},
    {"uri-too-long", 414},
    {"headers-too-large", 431},
    {"unsupported-media", 415},
    {"request-timeout", 408},
    {"unauthorized", 401},
    {"forbidden", 403},
    {"loader-error", 502},
    {"loader-timeout", 504},
    {"not-cached", 504},
    {"overloaded", 503},
    {"store-unavailable", 503},
};

static void has_every_published_code_once(void **state)
{
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        size_t found = 0;
        for (int s = 0; s < STATUS_COUNT; s++) {
            if (strcmp(status_code(s), published[i].code) != 0) continue;
            assert_int_equal(status_http(s), published[i].http);
            found++;
        }
        assert_int_equal(found, 1);
    }
}

static void rows_are_complete(void **state)
{
    for (int s = 0; s < STATUS_COUNT; s++) {
        assert_in_range(status_http(s), 200, 599);
        assert_true(strspn(status_code(s), "abcdefghijklmnopqrstuvwxyz-") == strlen(status_code(s)));
        assert_true(status_title(s)[0] && !strchr(status_title(s), '.'));
        for (int other = 0; other < s; other++) assert_string_not_equal(status_code(s), status_code(other));
    }
}

static void fills_a_problem(void **state)
{
    struct problem p;
    assert_int_equal(problem_set(&p, KEY_TYPE, "id", "key `%s` is no %s", "id", "integer"), KEY_TYPE);
    assert_int_equal(p.status, KEY_TYPE);
    assert_string_equal(p.path, "id");
    assert_string_equal(p.detail, "key `id` is no integer");
    assert_int_equal(problem_set(&p, MISSING, NULL, "%s", ""), MISSING);
    assert_string_equal(p.path, "");
    assert_string_equal(p.detail, "");
    assert_int_equal(problem_set(NULL, MISSING, NULL, "nobody asks"), MISSING);
}

static void replaces_what_must_not_be_shown(void **state)
{
    struct problem p;
    problem_set(&p, MALFORMED_JSON, "a\r\nb", "<%s>", "\x1b[2J \x7f \xC2\x9B \xFF\xC3 gr\xC3\xBC\xC3\x9F");
    assert_string_equal(p.path, "a??b");
    assert_string_equal(p.detail, "<?[2J ? ? ?? gr\xC3\xBC\xC3\x9F>");
}

static void cuts_at_a_character(void **state)
{
    struct problem p;
    char text[400];
    for (size_t before = 310; before < 325; before++) {
        memset(text, 'a', before);
        strcpy(text + before, "\xF0\x9F\x8C\x99 and on");
        problem_set(&p, INTERNAL, text, "%s", text);
        size_t n = strlen(p.detail);
        assert_true(slice_is_utf8(slice_of(p.detail)));
        assert_true(n < sizeof p.detail && n + 4 >= sizeof p.detail);
        assert_int_equal(strlen(p.path), sizeof p.path - 1);
        assert_null(strchr(p.detail, '?'));
    }
}

static void takes_its_own_text_again(void **state)
{
    struct problem p;
    problem_set(&p, INTERNAL, "workplace", "first");
    problem_set(&p, LOADER_ERROR, p.path, "second, after %s", p.detail);
    assert_string_equal(p.path, "workplace");
    assert_string_equal(p.detail, "second, after first");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_every_published_code_once),
        cmocka_unit_test(rows_are_complete),
        cmocka_unit_test(fills_a_problem),
        cmocka_unit_test(replaces_what_must_not_be_shown),
        cmocka_unit_test(cuts_at_a_character),
        cmocka_unit_test(takes_its_own_text_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
