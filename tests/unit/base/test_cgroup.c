/* The memory that control groups leave, in trees of files as kernels and containers show them. */
#include "base/cgroup.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char root[] = "/tmp/perigee-cgroup-XXXXXX";

static void put(const char *path, const char *text)
{
    char name[PATH_MAX];
    size_t n = (size_t)snprintf(name, sizeof name, "%s%s", root, path);
    assert_true(n < sizeof name);
    for (char *p = name + strlen(root) + 1; (p = strchr(p, '/')); *p++ = '/') {
        *p = '\0';
        mkdir(name, 0755);
    }
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void remove_root(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", root);
    assert_int_equal(system(command), 0);
}

static int fresh(void **state)
{
    memset(strrchr(root, '-') + 1, 'X', 6);
    return mkdtemp(root) ? 0 : -1;
}

static int gone(void **state)
{
    remove_root();
    return 0;
}

static void none_where_nothing_says_so(void **state)
{
    assert_true(cgroup_memory_limit(root) == UINT64_MAX);
    put("/proc/self/cgroup", "");
    assert_true(cgroup_memory_limit(root) == UINT64_MAX);
    put("/proc/self/cgroup", "nonsense\n0\n0:\n:::\n7:blkio:/x\n");
    put("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1\n");
    assert_true(cgroup_memory_limit(root) == UINT64_MAX);
}

static void of_cgroup_2(void **state)
{
    put("/proc/self/cgroup", "0::/a.slice/b.scope\n");
    put("/sys/fs/cgroup/a.slice/b.scope/memory.max", "max\n");
    assert_true(cgroup_memory_limit(root) == UINT64_MAX);
    put("/sys/fs/cgroup/a.slice/b.scope/memory.max", "67108864\n");
    assert_int_equal(cgroup_memory_limit(root), 67108864);
}

static void of_cgroup_1(void **state)
{
    put("/proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/a/b\n1:memoryless:/c\n0::/\n");
    put("/sys/fs/cgroup/memory/c/memory.limit_in_bytes", "5\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "33554432\n");
    assert_int_equal(cgroup_memory_limit(root), 33554432);
}

static void the_least_of_those_above(void **state)
{
    put("/proc/self/cgroup", "0::/a/b/c\n");
    put("/sys/fs/cgroup/a/b/c/memory.max", "3000\n");
    put("/sys/fs/cgroup/a/b/memory.max", "max\n");
    put("/sys/fs/cgroup/a/memory.max", "1000\n");
    assert_int_equal(cgroup_memory_limit(root), 1000);
}

static void a_container_sees_its_own_group_at_the_mount(void **state)
{
    put("/proc/self/cgroup", "4:memory:/docker/0123\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "2000\n");
    assert_int_equal(cgroup_memory_limit(root), 2000);
}

static void numbers_that_are_none_are_no_limit(void **state)
{
    static const char *const odd[] = {"", "\n", "-1\n", "1 2\n", "99999999999999999999999\n", "1k\n"};
    put("/proc/self/cgroup", "0::/\n");
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        put("/sys/fs/cgroup/memory.max", odd[i]);
        assert_true(cgroup_memory_limit(root) == UINT64_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(none_where_nothing_says_so, fresh, gone),
        cmocka_unit_test_setup_teardown(of_cgroup_2, fresh, gone),
        cmocka_unit_test_setup_teardown(of_cgroup_1, fresh, gone),
        cmocka_unit_test_setup_teardown(the_least_of_those_above, fresh, gone),
        cmocka_unit_test_setup_teardown(a_container_sees_its_own_group_at_the_mount, fresh, gone),
        cmocka_unit_test_setup_teardown(numbers_that_are_none_are_no_limit, fresh, gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
