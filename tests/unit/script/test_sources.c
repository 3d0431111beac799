/* The .lua files of a schema folder: which, in which order, under which names. */
#include "script/sources.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[] = "/tmp/perigee-sources-XXXXXX";

static int make_root(void **state)
{
    strcpy(root + sizeof root - 7, "XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static const char *under(const char *name)
{
    static char path[4][256];
    static unsigned at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof path[at], "%s/%s", root, name);
    return path[at];
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(under(name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void assert_file(const struct sources *s, size_t i, const char *path, const char *module, const char *text)
{
    assert_true(i < s->files);
    assert_true(slice_eq(s->file[i].path, slice_of(under(path))));
    assert_true(slice_eq(s->file[i].module, slice_of(module)));
    assert_true(slice_eq(s->file[i].text, slice_of(text)));
}

static void test_order_and_names(void **state)
{
    mkdir(under("sub"), 0755);
    mkdir(under(".hidden"), 0755);
    put("b.lua", "b");
    put("a.lua", "");
    put("a_spec.lua", "a test");
    put("notes.txt", "no Lua");
    put(".x.lua", "hidden");
    put(".hidden/y.lua", "hidden");
    put(".lua", "hidden");
    put("sub/c.lua", "c");
    put("sub/c_spec.lua", "a test");
    struct sources s;
    const char *dirs[] = {root};
    assert_int_equal(sources_read(&s, dirs, 1, NULL), OK);
    assert_int_equal(s.files, 3);
    assert_file(&s, 0, "a.lua", "a", "");
    assert_file(&s, 1, "b.lua", "b", "b");
    assert_file(&s, 2, "sub/c.lua", "sub.c", "c");
    assert_true(sources_mention(&s, SLICE("c")));
    assert_false(sources_mention(&s, SLICE("a test"))); /* only in what is left out */
    sources_free(&s);
}

static void test_folders_as_given(void **state)
{
    mkdir(under("1"), 0755);
    mkdir(under("2"), 0755);
    put("1/z.lua", "z");
    put("2/a.lua", "a");
    struct sources s;
    char with_slash[64];
    snprintf(with_slash, sizeof with_slash, "%s/", under("2"));
    const char *dirs[] = {under("1"), with_slash};
    assert_int_equal(sources_read(&s, dirs, 2, NULL), OK);
    assert_int_equal(s.files, 2);
    assert_file(&s, 0, "1/z.lua", "z", "z");
    assert_file(&s, 1, "2/a.lua", "a", "a");
    sources_free(&s);
}

static void assert_refused(const char *dir, const char *says)
{
    struct sources s;
    struct problem why;
    assert_int_equal(sources_read(&s, &dir, 1, &why), MALFORMED_REQUEST);
    if (!strstr(why.detail, says)) fail_msg("%s", why.detail);
}

static void test_what_cannot_be_read(void **state)
{
    assert_refused(under("nowhere"), "nowhere: No such file");
    put("f.lua", "x");
    assert_refused(under("f.lua"), "f.lua: Not a directory");
    assert_int_equal(symlink("nothing", under("broken.lua")), 0);
    assert_refused(root, "broken.lua: No such file");
    unlink(under("broken.lua"));
    assert_int_equal(symlink(".", under("loop")), 0);
    assert_refused(root, "folders deep");
    unlink(under("loop"));
    if (geteuid() != 0) {
        chmod(under("f.lua"), 0);
        assert_refused(root, "Permission denied");
    }
}

static void test_a_megabyte_and_no_more(void **state)
{
    char *text = malloc((1u << 20) + 2);
    memset(text, '\n', (1u << 20) + 1);
    text[1u << 20] = 0;
    put("big.lua", text);
    struct sources s;
    const char *dirs[] = {root};
    assert_int_equal(sources_read(&s, dirs, 1, NULL), OK);
    assert_int_equal(s.file[0].text.n, 1u << 20);
    sources_free(&s);
    text[1u << 20] = '\n';
    text[(1u << 20) + 1] = 0;
    put("big.lua", text);
    assert_refused(root, "larger than 1 MiB");
    free(text);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        TEST(test_order_and_names),
        TEST(test_folders_as_given),
        TEST(test_what_cannot_be_read),
        TEST(test_a_megabyte_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
