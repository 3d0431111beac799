/* Arenas: alignment, blocks, what a reset keeps. */
#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#define poisoned(p) __asan_address_is_poisoned(p)
#endif
#endif

static void aligns_and_keeps_apart(void **state)
{
    struct arena a;
    arena_init(&a);
    unsigned char *kept[300];
    size_t size[300], used = 0;
    for (size_t i = 0; i < 300; i++) {
        size[i] = i * 37 % 911;
        arena_bytes(&a, 1);
        kept[i] = arena_alloc(&a, size[i]);
        used += size[i] + 1;
        assert_int_equal((uintptr_t)kept[i] % 16, 0);
        memset(kept[i], (int)i, size[i]);
    }
    assert_int_equal(a.used, used);
    for (size_t i = 0; i < 300; i++)
        for (size_t j = 0; j < size[i]; j++) assert_int_equal(kept[i][j], (unsigned char)i);
    arena_deinit(&a);
    assert_int_equal(a.used, 0);
}

/* A request that fits what is left of a block but for its gap begins a new block. */
static void aligns_at_the_end_of_a_block(void **state)
{
    struct arena a;
    arena_init(&a);
    arena_bytes(&a, 1);
    while (a.end - a.next > 41) arena_bytes(&a, 1);
    assert_int_equal((uintptr_t)arena_alloc(&a, 40) % 16, 0);
    arena_deinit(&a);
}

static void clears_on_demand(void **state)
{
    struct arena a;
    arena_init(&a);
    memset(arena_alloc(&a, 500), 0xff, 500);
    arena_reset(&a);
    unsigned char *p = arena_zalloc(&a, 500);
    for (size_t i = 0; i < 500; i++) assert_int_equal(p[i], 0);
    arena_deinit(&a);
}

static void nothing_is_something(void **state)
{
    struct arena a;
    arena_init(&a);
    assert_non_null(arena_alloc(&a, 0));
    assert_non_null(arena_bytes(&a, 0));
    arena_deinit(&a);
    arena_reset(&a); /* of an empty one, too */
    arena_deinit(&a);
}

static void what_is_large_stands_alone(void **state)
{
    struct arena a;
    arena_init(&a);
    char *large_first = arena_bytes(&a, 100000);
    memset(large_first, 1, 100000);
    char *small = arena_bytes(&a, 10);
    char *large = arena_bytes(&a, 100000);
    memset(large, 2, 100000);
    assert_ptr_equal(arena_bytes(&a, 10), small + 10); /* the room of the newest block is still in use */
    assert_int_equal(large_first[99999], 1);
    arena_deinit(&a);
}

static void a_reset_reuses_one_block(void **state)
{
    struct arena a;
    arena_init(&a);
    for (int i = 0; i < 1000; i++) arena_alloc(&a, 100);
    struct arena_block *newest = a.blocks;
    arena_reset(&a);
    assert_ptr_equal(a.blocks, newest);
    assert_int_equal(a.used, 0);
    assert_true((size_t)(a.end - a.next) <= 16384);
    for (int i = 0; i < 100; i++) arena_alloc(&a, 100);
    assert_ptr_equal(a.blocks, newest); /* all of the second round in what the first left */
    arena_reset(&a);
    assert_ptr_equal(a.blocks, newest);
    arena_deinit(&a);
}

static void a_reset_does_not_hoard(void **state)
{
    struct arena a;
    arena_init(&a);
    arena_bytes(&a, 1000000);
    arena_reset(&a);
    assert_null(a.blocks);
    arena_deinit(&a);
}

static void copies_text(void **state)
{
    struct arena a;
    arena_init(&a);
    struct slice copy = arena_dup(&a, SLICE("with\0nul"));
    assert_int_equal(copy.n, 8);
    assert_memory_equal(copy.p, "with\0nul\0", 9);
    assert_null(arena_dup(&a, (struct slice){NULL, 0}).p);
    assert_string_equal(arena_dup(&a, SLICE("")).p, "");
    struct slice text = arena_printf(&a, "%s-%0*d", "x", 5000, 7);
    assert_int_equal(text.n, 5002);
    assert_int_equal(strlen(text.p), 5002);
    arena_deinit(&a);
}

#ifdef poisoned
static void the_sanitizer_sees_free_room(void **state)
{
    struct arena a;
    arena_init(&a);
    char *p = arena_alloc(&a, 24);
    assert_false(poisoned(p + 23));
    assert_true(poisoned(p + 24));
    arena_reset(&a);
    assert_true(poisoned(p));
    arena_deinit(&a);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aligns_and_keeps_apart),
        cmocka_unit_test(aligns_at_the_end_of_a_block),
        cmocka_unit_test(clears_on_demand),
        cmocka_unit_test(nothing_is_something),
        cmocka_unit_test(what_is_large_stands_alone),
        cmocka_unit_test(a_reset_reuses_one_block),
        cmocka_unit_test(a_reset_does_not_hoard),
        cmocka_unit_test(copies_text),
#ifdef poisoned
        cmocka_unit_test(the_sanitizer_sees_free_room),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
