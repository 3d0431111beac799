/* Maps: against a plain array, through thousands of changes. */
#include "base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#define KEYS 3000

struct item {
    bool in;
    char key[16];
};

static struct item items[KEYS];

static struct slice key_of(const struct item *item) { return slice_of(item->key); }

static void assert_same(const struct map *m)
{
    size_t n = 0, at = 0, walked = 0;
    for (size_t i = 0; i < KEYS; i++) {
        n += items[i].in;
        assert_ptr_equal(map_get(m, key_of(&items[i])), items[i].in ? &items[i] : NULL);
    }
    assert_int_equal(m->n, n);
    for (struct item *item; (item = map_next(m, &at)); walked++) assert_true(item->in);
    assert_int_equal(walked, n);
}

static void remembers_and_forgets(void **state)
{
    struct map m;
    map_init(&m);
    uint32_t random = 1;
    for (size_t i = 0; i < KEYS; i++) {
        items[i].in = false;
        snprintf(items[i].key, sizeof items[i].key, "key %zu", i);
    }
    for (size_t step = 1; step <= 60000; step++) {
        random = random * 1664525 + 1013904223;
        struct item *item = &items[(random >> 8) % KEYS];
        bool in = random >> 31; /* as many removed as put */
        struct item *before = in ? map_put(&m, key_of(item), item) : map_remove(&m, key_of(item));
        assert_ptr_equal(before, item->in ? item : NULL);
        item->in = in;
        if (step % 6000 == 0) assert_same(&m);
    }
    for (size_t i = 0; i < KEYS; i++) {
        map_remove(&m, key_of(&items[i]));
        items[i].in = false;
    }
    assert_same(&m);
    map_deinit(&m);
}

static void an_empty_map_answers(void **state)
{
    struct map m;
    size_t at = 0;
    map_init(&m);
    assert_null(map_get(&m, SLICE("a")));
    assert_null(map_remove(&m, SLICE("a")));
    assert_null(map_next(&m, &at));
    map_deinit(&m);
}

static void a_replaced_value_takes_its_key_along(void **state)
{
    struct map m;
    map_init(&m);
    char *old = strdup("same"), *new = strdup("same");
    assert_null(map_put(&m, slice_of(old), old));
    assert_ptr_equal(map_put(&m, slice_of(new), new), old);
    assert_int_equal(m.n, 1);
    memset(old, 0, 4);
    free(old); /* the table must not look at it any more */
    assert_ptr_equal(map_get(&m, SLICE("same")), new);
    assert_ptr_equal(map_remove(&m, SLICE("same")), new);
    free(new);
    map_deinit(&m);
}

static void keys_are_bytes(void **state)
{
    struct map m;
    map_init(&m);
    int empty, nul, two;
    map_put(&m, SLICE(""), &empty);
    map_put(&m, SLICE("\0"), &nul);
    map_put(&m, SLICE("\0\0"), &two);
    assert_ptr_equal(map_get(&m, SLICE("")), &empty);
    assert_ptr_equal(map_get(&m, SLICE("\0")), &nul);
    assert_ptr_equal(map_get(&m, SLICE("\0\0")), &two);
    map_deinit(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(remembers_and_forgets),
        cmocka_unit_test(an_empty_map_answers),
        cmocka_unit_test(a_replaced_value_takes_its_key_along),
        cmocka_unit_test(keys_are_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
