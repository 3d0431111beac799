/* tests/unit/store/test_lease_key.c -- there and back; and what is no lease's key. */
#include "store/cluster_map.h"
#include "store/lease_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_there_and_back(void **state)
{
    static const struct {
        const char *record, *lease;
    } cases[] = {
        {"perigee:User:0:username=bob", "{perigee:User:0:username=bob}:lease"},
        {"{app}:User:0:username=bob", "{app}:User:0:username=bob:lease"},
        {"app{1}:User:0:username=bob", "app{1}:User:0:username=bob:lease"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lease_key to;
        struct slice record = slice_of(cases[i].record), lease = lease_key_of(record, &to);
        assert_true(slice_eq(lease, slice_of(cases[i].lease)));
        assert_true(slice_eq(lease_key_record(lease), record));
        assert_int_equal(cluster_slot(lease), cluster_slot(record));
    }
}

static void test_no_leases(void **state)
{
    static const char *const keys[] = {
        "", "lease", ":lease", "{}:lease", "perigee:User:0:id=lease", "{perigee:User:0:id=a}:leased"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (lease_key_record(slice_of(keys[i])).p) fail_msg("%s", keys[i]);
    }
    assert_null(lease_key_record((struct slice){NULL, 0}).p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_no_leases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
