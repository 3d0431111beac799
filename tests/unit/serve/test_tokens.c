/* Token files: what a line gives, which lines are wrong and that nothing said of them repeats them, and that only whole tokens are
 * found. */
#include "serve/tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof *(list))

static struct buffer findings;

static int set_up(void **state)
{
    buffer_init(&findings, 1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    buffer_deinit(&findings);
    return 0;
}

static struct tokens *read(const char *text) { return tokens_read(slice_of(text), "f", &findings); }

static void assert_said(const char *words)
{
    struct slice said = buffer_view(&findings);
    if (!memmem(said.p, said.n, words, strlen(words))) fail_msg("`%s` is not said: %.*s", words, SLICE_ARG(said));
}

static const struct grant *find(const struct tokens *t, const char *token) { return tokens_find(t, slice_of(token)); }

static bool gives(const struct grant *g, unsigned permissions, const char *model)
{
    return grant_lacks(g, permissions, slice_of(model)) == 0;
}

static void a_line_gives_what_it_says(void **state)
{
    struct tokens *t = read("# who may what\n"
                            "\n"
                            "0123456789abcdef alice read\n"
                            "  \t# indented\n"
                            "\tABCDEFGHIJKLMNOP\tbob@web-1.x\tread,write,refresh,admin\tUser,Home  # two models\r\n"
                            "-._~+/0123456789== c admin,read #all");
    assert_non_null(t);
    assert_int_equal(findings.n, 0);
    assert_int_equal(tokens_count(t), 3);
    const struct grant *alice = find(t, "0123456789abcdef"), *bob = find(t, "ABCDEFGHIJKLMNOP"),
                       *c = find(t, "-._~+/0123456789==");
    assert_ptr_equal(alice, tokens_at(t, 0));
    assert_ptr_equal(bob, tokens_at(t, 1));
    assert_true(slice_eq(alice->name, SLICE("alice")) && slice_eq(bob->name, SLICE("bob@web-1.x")));
    assert_int_equal(alice->line, 3);
    assert_int_equal(bob->line, 5);
    assert_int_equal(alice->permits, PERMIT_READ);
    assert_int_equal(bob->permits, PERMIT_READ | PERMIT_WRITE | PERMIT_REFRESH | PERMIT_ADMIN);
    assert_int_equal(c->permits, PERMIT_READ | PERMIT_ADMIN);
    assert_int_equal(alice->n, 0);
    assert_int_equal(bob->n, 2);
    assert_true(gives(alice, PERMIT_READ, "Anything") && gives(alice, PERMIT_READ, NULL));
    assert_false(gives(alice, PERMIT_WRITE, "Anything") || gives(alice, PERMIT_ADMIN, NULL));
    assert_true(gives(bob, PERMIT_WRITE, "User") && gives(bob, PERMIT_READ | PERMIT_REFRESH, "Home"));
    assert_false(gives(bob, PERMIT_WRITE, "Use") || gives(bob, PERMIT_WRITE, "Users") || gives(bob, PERMIT_READ, ""));
    assert_false(gives(bob, PERMIT_READ, "user"));
    assert_true(gives(bob, PERMIT_ADMIN, NULL));
    assert_true(gives(bob, 0, "Other")); /* what needs no permission is of no model */
    tokens_unref(t);
}

static void what_lacks_is_named(void **state)
{
    struct problem why;
    struct tokens *t = read("0123456789abcdef a write User");
    const struct grant *g = tokens_at(t, 0);
    assert_int_equal(grant_lacks(g, PERMIT_READ | PERMIT_REFRESH, SLICE("User")), PERMIT_READ);
    assert_int_equal(grant_lacks(g, PERMIT_WRITE | PERMIT_REFRESH, SLICE("User")), PERMIT_REFRESH);
    assert_int_equal(grant_lacks(g, PERMIT_WRITE, SLICE("Home")), PERMIT_WRITE);
    assert_int_equal(grant_forbids(PERMIT_WRITE, SLICE("Home"), &why), FORBIDDEN);
    assert_string_equal(why.detail, "the token does not permit `write` for `Home`");
    assert_int_equal(grant_forbids(PERMIT_ADMIN, (struct slice){NULL, 0}, &why), FORBIDDEN);
    assert_string_equal(why.detail, "the token does not permit `admin`");
    tokens_unref(t);
}

static void only_whole_tokens_are_found(void **state)
{
    struct tokens *t = read("0123456789abcdef a read\n0123456789abcdef0 b read\n");
    assert_true(slice_eq(find(t, "0123456789abcdef")->name, SLICE("a")));
    assert_true(slice_eq(find(t, "0123456789abcdef0")->name, SLICE("b")));
    assert_null(find(t, "0123456789abcde"));
    assert_null(find(t, "0123456789abcdef00"));
    assert_null(find(t, "0123456789abcdeF"));
    assert_null(find(t, "0123456789abcdeg"));
    assert_null(find(t, ""));
    assert_null(tokens_find(t, (struct slice){NULL, 0}));
    tokens_unref(t);
}

static void short_tokens_are_warned_of(void **state)
{
    buffer_reset(&findings);
    struct tokens *t = read("0123456789abcdef good read\nSECRET a read\n");
    assert_true(slice_eq(find(t, "SECRET")->name, SLICE("a")));
    assert_said("f:2: warning: ");
    assert_said("fewer than 16");
    assert_null(memmem(findings.p, findings.n, "SECRET", 6));
    assert_null(memmem(findings.p, findings.n, "f:1:", 4));
    tokens_unref(t);
}

static void bad_lines_are_told_and_not_shown(void **state)
{
    static const struct {
        const char *line, *says;
    } row[] = {
        {"SECRETSECRET1234", "a line is"},
        {"SECRETSECRET1234 SECRETSECRET1234", "a line is"},
        {"SECRETSECRET1234 a read SECRET SECRETSECRET1234", "a line is"},
        {"SECRETSECRET123 SECRETSECRET1234 read", "at least 16"},
        {"read SECRET SECRETSECRET1234", "permissions are"},
        {"SECRETSECRET\"1234 a read", "a token is of"},
        {"SECRETSECRET123\xc3\xa4 a read", "a token is of"},
        {"SECRET=SECRET1234 a read", "a token is of"},
        {"================ SECRET read", "a token is of"},
        {"SECRETSECRET1234 SECRET/ read", "a name is of"},
        {"SECRETSECRET1234 SECRETSECRETSECRETSECRETSECRETSECRETSECRETSECRETSECRETSECRETSECRET read", "a name is of"},
        {"SECRETSECRET1234 a SECRET", "permissions are"},
        {"SECRETSECRET1234 a read,SECRET", "permissions are"},
        {"SECRETSECRET1234 a read,", "permissions are"},
        {"SECRETSECRET1234 a ,read", "permissions are"},
        {"SECRETSECRET1234 a Read", "permissions are"},
        {"SECRETSECRET1234 a read, SECRET", "permissions are"},
        {"SECRETSECRET1234 a read SECRET,", "models are"},
        {"SECRETSECRET1234 a read SECRET,,SECRET", "models are"},
        {"SECRETSECRET1234 a read SECRET/SECRET", "models are"},
        {"SECRETSECRET1234 a read *", "models are"},
    };
    for (size_t i = 0; i < COUNT(row); i++) {
        char text[256];
        snprintf(text, sizeof text, "0123456789abcdef good read\n\n%s\n", row[i].line);
        buffer_reset(&findings);
        assert_null(read(text));
        assert_said("f:3: ");
        assert_said(row[i].says);
        assert_null(memmem(findings.p, findings.n, "SECRET", 6));
    }
}

static void a_token_stands_in_one_line_only(void **state)
{
    assert_null(read("0123456789abcdef a read\n0123456789abcdef b write\n"));
    assert_said("f:2: this token stands");
    assert_null(memmem(findings.p, findings.n, "0123456789", 10));
}

static void names_may_be_used_twice(void **state)
{
    struct tokens *t = read("0123456789abcdef a read\nfedcba9876543210 a read\n"); /* the old one and the new */
    assert_non_null(t);
    tokens_unref(t);
}

static void a_file_without_tokens_is_none(void **state)
{
    static const char *const text[] = {"", "\n\n", "# none\n", "   "};
    for (size_t i = 0; i < COUNT(text); i++) {
        buffer_reset(&findings);
        assert_null(read(text[i]));
        assert_said("f: there is no token");
    }
    assert_null(tokens_read((struct slice){"", 0}, "f", &findings));
}

static void a_nul_ends_nothing(void **state)
{
    static const char text[] = "0123456789abcdef a read\n0123\0"
                               "56789abcdefg a read\n";
    assert_null(tokens_read(slice_from(text, sizeof text - 1), "f", &findings));
    assert_said("f:2: a token is of");
}

static void lengths_have_bounds(void **state)
{
    char *text = test_malloc(TOKENS_LINE_MAX + 64);
    size_t n = (size_t)sprintf(text, "%0512d a read", 1);
    struct tokens *t = tokens_read(slice_from(text, n), "f", &findings);
    assert_non_null(t);
    assert_non_null(tokens_find(t, slice_from(text, 512)));
    tokens_unref(t);
    n = (size_t)sprintf(text, "%0513d a read", 1);
    assert_null(tokens_read(slice_from(text, n), "f", &findings));
    assert_said("f:1: a token has at most 512");
    memset(text, ' ', TOKENS_LINE_MAX + 1);
    assert_null(tokens_read(slice_from(text, TOKENS_LINE_MAX + 1), "f", &findings));
    assert_said("f:1: the line is too long");
    test_free(text);
}

/* As many lines as there may be: all are found; one more is too many. */
static void lines_have_a_bound(void **state)
{
    struct buffer text;
    char token[32];
    buffer_init(&text, 1 << 20);
    for (int i = 0; i < TOKENS_LINES_MAX; i++) buffer_printf(&text, "token-%012d n%d read\n", i, i);
    struct tokens *t = tokens_read(buffer_view(&text), "f", &findings);
    assert_non_null(t);
    assert_int_equal(tokens_count(t), TOKENS_LINES_MAX);
    for (int i = 0; i < TOKENS_LINES_MAX; i++) {
        snprintf(token, sizeof token, "token-%012d", i);
        assert_ptr_equal(find(t, token), tokens_at(t, (size_t)i));
    }
    assert_null(find(t, "token-999999999999"));
    tokens_unref(t);
    buffer_printf(&text, "\n");
    assert_null(tokens_read(buffer_view(&text), "f", &findings));
    assert_said("f:10001: a token file has at most 10000 lines");
    buffer_deinit(&text);
}

static void of_many_bad_lines_some_are_told(void **state)
{
    struct buffer text;
    size_t lines = 0;
    buffer_init(&text, 1 << 20);
    for (int i = 0; i < 5000; i++) buffer_printf(&text, "x\n");
    assert_null(tokens_read(buffer_view(&text), "f", &findings));
    for (size_t i = 0; i < findings.n; i++) lines += findings.p[i] == '\n';
    assert_in_range(lines, 2, 100);
    buffer_deinit(&text);
}

static void references_keep_it(void **state)
{
    struct tokens *t = read("0123456789abcdef a read");
    assert_ptr_equal(tokens_ref(t), t);
    tokens_unref(t);
    assert_non_null(find(t, "0123456789abcdef"));
    tokens_unref(t);
    tokens_unref(NULL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_line_gives_what_it_says),
        T(what_lacks_is_named),
        T(only_whole_tokens_are_found),
        T(short_tokens_are_warned_of),
        T(bad_lines_are_told_and_not_shown),
        T(a_token_stands_in_one_line_only),
        T(names_may_be_used_twice),
        T(a_file_without_tokens_is_none),
        T(a_nul_ends_nothing),
        T(lengths_have_bounds),
        T(lines_have_a_bound),
        T(of_many_bad_lines_some_are_told),
        T(references_keep_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
