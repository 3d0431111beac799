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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_and_counts),
        cmocka_unit_test(nothing_is_a_blob_too),
        cmocka_unit_test(room_to_fill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
