/* Buffers: growth, and the maximum to the byte. */
#include "base/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_holds(const struct buffer *b, const char *text)
{
    assert_int_equal(b->n, strlen(text));
    assert_memory_equal(buffer_view(b).p, text, b->n);
}

static void puts_all_kinds(void **state)
{
    struct buffer b;
    buffer_init(&b, 1000);
    assert_non_null(buffer_view(&b).p);
    assert_true(buffer_put(&b, NULL, 0));
    assert_true(buffer_slice(&b, SLICE("a")));
    assert_true(buffer_char(&b, ','));
    assert_true(buffer_uint(&b, 0));
    assert_true(buffer_uint(&b, UINT64_MAX));
    assert_true(buffer_printf(&b, ",%s-%d", "x", 7));
    assert_holds(&b, "a,018446744073709551615,x-7");
    char *to = buffer_reserve(&b, 3);
    memcpy(to, "end", 3);
    b.n += 3;
    assert_holds(&b, "a,018446744073709551615,x-7end");
    buffer_reset(&b);
    assert_holds(&b, "");
    buffer_deinit(&b);
    assert_null(b.p);
}

static void grows_to_its_maximum(void **state)
{
    struct buffer b;
    buffer_init(&b, 1000);
    for (int i = 0; i < 1000; i++) assert_true(buffer_char(&b, (char)('a' + i % 26)));
    for (int i = 0; i < 1000; i++) assert_int_equal(b.p[i], 'a' + i % 26);
    assert_false(buffer_char(&b, 'x'));
    assert_int_equal(b.n, 1000);
    assert_true(b.overflow);
    buffer_deinit(&b);
}

static void writes_nothing_past_its_maximum(void **state)
{
    struct buffer b;
    buffer_init(&b, 5);
    assert_true(buffer_put(&b, "abc", 3));
    assert_false(buffer_put(&b, "def", 3));
    assert_false(buffer_put(&b, "d", 1)); /* would fit: but then what stands there would have a hole */
    assert_null(buffer_reserve(&b, 0));
    assert_false(buffer_printf(&b, "d"));
    assert_false(buffer_uint(&b, 1));
    assert_holds(&b, "abc");
    buffer_reset(&b);
    assert_false(b.overflow);
    assert_true(buffer_put(&b, "abcde", 5));
    assert_null(buffer_reserve(&b, SIZE_MAX));
    buffer_deinit(&b);
}

static void prints_up_to_the_last_byte(void **state)
{
    for (size_t max = 0; max < 200; max++) {
        struct buffer b;
        buffer_init(&b, max);
        for (size_t i = 0; i < max % 7; i++) buffer_char(&b, 'a');
        size_t room = max - max % 7;
        assert_true(buffer_printf(&b, "%*s", (int)room, ""));
        assert_int_equal(b.n, max);
        assert_false(buffer_printf(&b, "%s", "x"));
        assert_int_equal(b.n, max);
        buffer_deinit(&b);
    }
}

static void a_maximum_of_nothing(void **state)
{
    struct buffer b;
    buffer_init(&b, 0);
    assert_non_null(buffer_reserve(&b, 0));
    assert_true(buffer_printf(&b, "%s", ""));
    assert_false(buffer_char(&b, 'x'));
    buffer_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_all_kinds),
        cmocka_unit_test(grows_to_its_maximum),
        cmocka_unit_test(writes_nothing_past_its_maximum),
        cmocka_unit_test(prints_up_to_the_last_byte),
        cmocka_unit_test(a_maximum_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
