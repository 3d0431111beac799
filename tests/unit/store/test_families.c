/* tests/unit/store/test_families.c -- what many keys begin with is kept once, whoever comes first, and never more than there is room for. */
#include "store/families.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct families *made(void)
{
    struct families *f = calloc(1, sizeof *f);
    families_init(f);
    return f;
}

static void done(struct families *f)
{
    families_deinit(f);
    free(f);
}

static void assert_name(struct families *f, uint16_t number, const char *name)
{
    assert_true(slice_eq(families_name(f, number), slice_of(name)));
}

static void test_keys_that_begin_alike_are_of_one_family(void **state)
{
    struct families *f = made();
    uint16_t user = families_of(f, SLICE("p:User:0123:name=a"));
    assert_name(f, user, "p:User:0123:");
    assert_int_equal(families_of(f, SLICE("p:User:0123:name=b")), user);
    assert_int_equal(families_of(f, SLICE("p:User:0123:")), user);
    assert_int_not_equal(families_of(f, SLICE("p:User:0124:name=a")), user);
    assert_name(f, families_of(f, SLICE("p:~epochs")), "p:");
    assert_int_equal(families_of(f, SLICE("no colon")), FAMILY_NONE);
    assert_int_equal(families_of(f, SLICE("")), FAMILY_NONE);
    assert_name(f, FAMILY_NONE, "");
    done(f);
}

static void test_what_has_no_room_is_of_no_family(void **state)
{
    struct families *f = made();
    unsigned none = 0;
    for (unsigned i = 0; i < 4 * FAMILIES_MAX; i++) {
        char key[64];
        snprintf(key, sizeof key, "p:M%u:x=1", i);
        uint16_t number = families_of(f, slice_of(key));
        none += number == FAMILY_NONE;
        assert_true(slice_starts(slice_of(key), families_name(f, number)));
        assert_int_equal(families_of(f, slice_of(key)), number); /* as before */
    }
    assert_in_range(none, 3 * FAMILIES_MAX, 3 * FAMILIES_MAX + 100);
    assert_in_range(atomic_load(&f->bytes), FAMILIES_MAX * 20, FAMILIES_MAX * 64);
    done(f);
}

#define ALL 500

static struct families *shared;

static void *ask_all(void *seen)
{
    for (unsigned i = 0; i < ALL; i++) {
        char key[64];
        snprintf(key, sizeof key, "p:M%u:x=1", i);
        ((uint16_t *)seen)[i] = families_of(shared, slice_of(key));
        if (!slice_starts(slice_of(key), families_name(shared, ((uint16_t *)seen)[i]))) return NULL;
    }
    return seen;
}

static void test_two_who_come_at_once_make_one(void **state)
{
    static uint16_t seen[2][ALL];
    shared = made();
    pthread_t thread[2];
    for (int i = 0; i < 2; i++) pthread_create(&thread[i], NULL, ask_all, seen[i]);
    for (int i = 0; i < 2; i++) {
        void *well;
        pthread_join(thread[i], &well);
        assert_non_null(well);
    }
    assert_memory_equal(seen[0], seen[1], sizeof seen[0]);
    done(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_that_begin_alike_are_of_one_family),
        cmocka_unit_test(test_what_has_no_room_is_of_no_family),
        cmocka_unit_test(test_two_who_come_at_once_make_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
