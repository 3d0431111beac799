/* tests/unit/store/test_near_lines.c -- when copies of several servers may be believed: only while each of them is heard, and nothing waits. */
#include "store/near.h"

#include "base/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { NOW = 1000, LATER = 2000 }; /* us, of the clock of trust */

struct server {
    struct near_line line;
    int ours, theirs;
};

static void begin(struct near *n, struct server *s, uint64_t until_us)
{
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    s->ours = fd[0];
    s->theirs = fd[1];
    near_begin(n, &s->line, s->ours, 1, until_us);
}

static void end(struct near *n, struct server *s)
{
    near_end(n, &s->line);
    close(s->ours);
    close(s->theirs);
}

static void keep(struct near *n, const char *key)
{
    uint32_t mark;
    struct blob *value = blob_copy(SLICE("value")), *there = near_look(n, slice_of(key), 1, &mark);
    assert_null(there);
    near_keep(n, slice_of(key), value, 1000000, 1, mark);
    blob_unref(value);
}

static bool has(struct near *n, const char *key)
{
    uint32_t mark;
    struct blob *value = near_look(n, slice_of(key), 1, &mark);
    blob_unref(value);
    return value != NULL;
}

/* What is left for who cannot reach its server: until when it was certain; 0: nothing. */
static uint64_t left(struct near *n, const char *key)
{
    uint64_t until_us;
    struct blob *value = near_look_left(n, slice_of(key), 1, &until_us);
    blob_unref(value);
    return value ? until_us : 0;
}

static void test_all_lines_or_none(void **state)
{
    struct near *n = near_new(1 << 20);
    struct server a, b;
    assert_false(near_trusted(n, NOW));
    near_add(n, &a.line);
    near_add(n, &b.line);
    begin(n, &a, LATER);
    assert_false(near_trusted(n, NOW));
    begin(n, &b, LATER + 500);
    assert_true(near_trusted(n, NOW));
    assert_false(near_trusted(n, LATER)); /* the least of both */
    near_trust(n, &a.line, LATER + 1000);
    assert_true(near_trusted(n, LATER));
    assert_false(near_trusted(n, LATER + 500));
    keep(n, "k");
    end(n, &b);
    near_end(n, &b.line); /* harmless */
    assert_false(near_trusted(n, NOW));
    near_trust(n, &a.line, LATER + 9000);
    assert_int_equal(left(n, "k"), LATER + 500); /* what a says since is not of b's keys */
    near_remove(n, &b.line);                     /* nobody asks it any more: its keys are another's now */
    assert_true(near_trusted(n, NOW));
    assert_false(has(n, "k"));
    assert_int_equal(left(n, "k"), 0);
    end(n, &a);
    near_remove(n, &a.line);
    assert_false(near_trusted(n, NOW));
    near_free(n);
}

static void test_a_server_that_is_new(void **state)
{
    struct near *n = near_new(1 << 20);
    struct server a, b;
    uint32_t mark;
    near_add(n, &a.line);
    begin(n, &a, LATER);
    near_want(n);
    assert_false(near_trusted(n, NOW));
    assert_null(near_look(n, SLICE("asked"), 1, &mark)); /* and the new one answers, whom nobody hears yet */
    uint64_t news = near_news(n);
    near_add(n, &b.line);
    near_unwant(n);
    assert_false(near_trusted(n, NOW));
    begin(n, &b, LATER);
    assert_true(near_trusted(n, NOW));
    assert_int_not_equal(near_news(n), news);
    struct blob *value = blob_copy(SLICE("old"));
    near_keep(n, SLICE("asked"), value, 1000000, 1, mark);
    blob_unref(value);
    assert_false(has(n, "asked"));
    end(n, &a);
    end(n, &b);
    near_remove(n, &a.line);
    near_remove(n, &b.line);
    near_free(n);
}

static void test_what_waits_on_any_line(void **state)
{
    struct near *n = near_new(1 << 20);
    struct server s[3];
    char byte;
    for (int i = 0; i < 3; i++) near_add(n, &s[i].line);
    for (int i = 0; i < 3; i++) begin(n, &s[i], LATER);
    for (int i = 0; i < 3; i++) {
        assert_true(near_trusted(n, NOW));
        assert_int_equal(write(s[i].theirs, ">", 1), 1);
        assert_false(near_trusted(n, NOW));
        near_hearing(n, &s[i].line, true);
        assert_int_equal(read(s[i].ours, &byte, 1), 1);
        assert_false(near_trusted(n, NOW)); /* read, and not heeded */
        near_hearing(n, &s[i].line, false);
        near_hearing(n, &s[i].line, false);
    }
    near_hearing(n, &s[0].line, true);
    near_hearing(n, &s[1].line, true);
    near_hearing(n, &s[0].line, false);
    assert_false(near_trusted(n, NOW));
    near_end(n, &s[1].line); /* in the middle of a message */
    near_remove(n, &s[1].line);
    close(s[1].ours);
    close(s[1].theirs);
    assert_true(near_trusted(n, NOW));
    shutdown(s[2].theirs, SHUT_RDWR); /* the end of a line is news, too */
    assert_false(near_trusted(n, NOW));
    end(n, &s[0]);
    end(n, &s[2]);
    near_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_lines_or_none),
        cmocka_unit_test(test_a_server_that_is_new),
        cmocka_unit_test(test_what_waits_on_any_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
