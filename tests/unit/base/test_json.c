/* JSON as it is written: strings of every two bytes, doubles of every kind. */
#include "base/json.h"

#include <math.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct buffer out;

static const char *written(void)
{
    buffer_char(&out, '\0');
    return out.p;
}

static void assert_string(struct slice s, const char *expected)
{
    buffer_reset(&out);
    assert_true(json_put_string(&out, s));
    assert_string_equal(written(), expected);
}

static void writes_strings(void **state)
{
    assert_string(SLICE(""), "\"\"");
    assert_string((struct slice){NULL, 0}, "\"\"");
    assert_string(SLICE("say \"hi\" \\ /"), "\"say \\\"hi\\\" \\\\ /\"");
    assert_string(SLICE("\b\f\n\r\t\0\x1f"), "\"\\b\\f\\n\\r\\t\\u0000\\u001f\"");
    assert_string(SLICE("\x7f\xC2\x80\xC2\x9F\xC2\xA0"), "\"\\u007f\\u0080\\u009f\xC2\xA0\"");
    assert_string(SLICE("\xE2\x82\xAC\xF0\x9F\x8C\x99"), "\"\xE2\x82\xAC\xF0\x9F\x8C\x99\"");
    assert_string(SLICE("\xED\xA0\x80|\xC3"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD|\xEF\xBF\xBD\"");
}

static void two_bytes_of_any_kind_are_safe(void **state)
{
    for (int both = 0; both < 0x10000; both++) {
        char bytes[] = {(char)(both >> 8), (char)both};
        buffer_reset(&out);
        assert_true(json_put_string(&out, slice_from(bytes, 2)));
        struct slice text = buffer_view(&out);
        assert_true(slice_is_utf8(text));
        assert_true(text.p[0] == '"' && text.p[text.n - 1] == '"');
        for (size_t i = 1; i < text.n - 1; i++) {
            assert_false(slice_control_first(slice_skip(text, i)));
            assert_true(text.p[i] != '"');
            if (text.p[i] == '\\') i++;
        }
    }
}

static void a_string_that_does_not_fit_leaves_nothing(void **state)
{
    struct buffer small;
    buffer_init(&small, 12);
    buffer_put(&small, "abc", 3);
    assert_false(json_put_string(&small, SLICE("eight by")));
    assert_true(small.overflow);
    assert_int_equal(small.n, 3);
    buffer_reset(&small);
    assert_true(json_put_string(&small, SLICE("ten bytes.")));
    assert_int_equal(small.n, 12);
    buffer_deinit(&small);
}

static void assert_double(double v, const char *expected)
{
    buffer_reset(&out);
    assert_true(json_put_double(&out, v));
    assert_string_equal(written(), expected);
}

static void writes_doubles(void **state)
{
    assert_double(0, "0");
    assert_double(-0.0, "-0");
    assert_double(1, "1");
    assert_double(-42, "-42");
    assert_double(0.1, "0.1");
    assert_double(0.1 + 0.2, "0.30000000000000004");
    assert_double(1e15, "1000000000000000");
    assert_double(5e15, "5000000000000000");
    assert_double(9007199254740991, "9007199254740991");
    assert_double(-9007199254740991, "-9007199254740991");
    assert_double(9007199254740992, "9007199254740992");
    assert_double(1e22, "1e+22");
    assert_double(1.5e300, "1.5e+300");
    assert_double(5e-324, "4.94065645841247e-324");
    assert_double(1.7976931348623157e308, "1.7976931348623157e+308");
    buffer_reset(&out);
    assert_false(json_put_double(&out, NAN));
    assert_false(json_put_double(&out, INFINITY));
    assert_false(json_put_double(&out, -INFINITY));
    assert_int_equal(out.n, 0);
}

static void every_double_comes_back(void **state)
{
    uint64_t random = 88172645463325252;
    for (int i = 0; i < 100000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        double v, back;
        memcpy(&v, &random, sizeof v);
        if (!isfinite(v)) continue;
        buffer_reset(&out);
        assert_true(json_put_double(&out, v));
        back = strtod(written(), NULL);
        assert_memory_equal(&v, &back, sizeof v);
        assert_true(strspn(out.p, "0123456789+-.e") == out.n - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_strings),
        cmocka_unit_test(two_bytes_of_any_kind_are_safe),
        cmocka_unit_test(a_string_that_does_not_fit_leaves_nothing),
        cmocka_unit_test(writes_doubles),
        cmocka_unit_test(every_double_comes_back),
    };
    buffer_init(&out, 1000);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buffer_deinit(&out);
    return failed;
}
