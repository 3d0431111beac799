/* Blobs: counts and bytes. (Sharing between threads: test_threads.c.) */
#include "base/blob.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void copies_and_counts(void **state)
{
    char text[] = "bytes";
    struct blob *b = blob_copy(slice_of(text));
    memset(text, 'x', 5);
    assert_true(slice_eq(blob_slice(b), SLICE("bytes")));
    assert_ptr_equal(blob_ref(b), b);
    assert_int_equal(b->refs, 2);
    blob_unref(b);
    assert_true(slice_eq(blob_slice(b), SLICE("bytes"))); /* still ours */
    blob_unref(b);
    blob_unref(NULL);
}

static void nothing_is_a_blob_too(void **state)
{
    struct blob *b = blob_copy((struct slice){NULL, 0});
    assert_int_equal(blob_slice(b).n, 0);
    assert_non_null(blob_slice(b).p);
    blob_unref(b);
}

static void room_to_fill(void **state)
{
    struct blob *b = blob_new(1 << 20);
    assert_int_equal(b->n, 1 << 20);
    memset(b->p, 7, b->n);
    blob_unref(b);
}

static void a_room_is_taken_once(void **state)
{
    for (size_t n = 0; n < 40; n++) {
        struct blob *b = blob_new_with_room(n, 24);
        memset(b->p, 'b', n);
        void *room = blob_room(b, 24);
        assert_non_null(room);
        assert_int_equal((uintptr_t)room % sizeof(void *), 0);
        assert_ptr_equal(blob_room(b, 24), room); /* nobody has taken it */
        memset(room, 'r', 24);
        blob_take_room(b);
        assert_null(blob_room(b, 1));
        assert_true(blob_houses(b, room));
        assert_false(blob_houses(b, b->p + n + 100));
        for (size_t i = 0; i < n; i++) assert_int_equal(b->p[i], 'b');
        blob_unref(b);
    }
}

static void what_was_not_asked_for_is_not_there(void **state)
{
    struct blob *b = blob_new(1000);
    assert_null(blob_room(b, 100));
    blob_unref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_and_counts),
        cmocka_unit_test(nothing_is_a_blob_too),
        cmocka_unit_test(room_to_fill),
        cmocka_unit_test(a_room_is_taken_once),
        cmocka_unit_test(what_was_not_asked_for_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
