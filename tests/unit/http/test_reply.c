/* Replies: header lines that cannot split an answer and outgrow their first room, bodies and their references. */
#include "base/status.h"
#include "http/reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct room {
    struct arena arena;
    struct reply reply;
};

static int open_room(void **state)
{
    static struct room room;
    arena_init(&room.arena);
    reply_init(&room.reply, &room.arena);
    *state = &room;
    return 0;
}

static int close_room(void **state)
{
    struct room *room = *state;
    reply_deinit(&room->reply);
    arena_deinit(&room->arena);
    return 0;
}

static void assert_lines(const struct reply *r, const char *expected)
{
    assert_true(slice_eq(buffer_view(&r->head_lines), slice_of(expected)));
}

static void writes_lines(void **state)
{
    struct reply *r = &((struct room *)*state)->reply;
    reply_begin(r, 200);
    reply_header(r, "ETag", SLICE("\"a\""));
    reply_headerf(r, "Age", "%d", 12);
    reply_header(r, "Empty", SLICE(""));
    assert_lines(r, "ETag: \"a\"\r\nAge: 12\r\nEmpty: \r\n");
}

static void no_value_splits_an_answer(void **state)
{
    struct reply *r = &((struct room *)*state)->reply;
    reply_begin(r, 200);
    reply_header(r, "A", SLICE("b\r\nSet-Cookie: c\0\x1f\x7f\td\xc3\xa9"));
    assert_lines(r, "A: b??Set-Cookie: c???\td\xc3\xa9\r\n");
}

static void lines_outgrow_their_room(void **state)
{
    struct reply *r = &((struct room *)*state)->reply;
    char value[1000];
    memset(value, 'v', sizeof value);
    reply_begin(r, 200);
    for (int i = 0; i < 10; i++) reply_header(r, "Name", (struct slice){value, sizeof value});
    reply_headerf(r, "Name", "%.*s", (int)sizeof value, value);
    assert_int_equal(r->head_lines.n, 11 * (sizeof value + 8));
    assert_memory_equal(r->head_lines.p + 10 * (sizeof value + 8), "Name: vvv", 9);
    for (int i = 0; i < 100; i++) reply_header(r, "Name", (struct slice){value, sizeof value});
    assert_int_equal(r->head_lines.n % (sizeof value + 8), 0); /* whole lines or none */
    assert_in_range(r->head_lines.n, 30000, 32768);
    assert_true(r->head_lines.overflow);
}

static void holds_a_reference_a_piece(void **state)
{
    struct reply *r = &((struct room *)*state)->reply;
    struct blob *b = blob_copy(SLICE("abcdef"));
    reply_begin(r, 200);
    for (int i = 0; i < 20; i++) reply_body(r, (struct slice){b->p + i % 6, 1}, blob_ref(b));
    reply_body(r, SLICE(""), blob_ref(b)); /* nothing to send: given back at once */
    assert_int_equal(r->pieces, 20);
    assert_int_equal(r->body_bytes, 20);
    assert_int_equal(b->refs, 21);
    assert_ptr_equal(r->piece[8].bytes.p, b->p + 2);
    reply_begin(r, 404); /* another answer after all */
    assert_int_equal(b->refs, 1);
    assert_int_equal(r->body_bytes, 0);
    assert_lines(r, "");
    blob_unref(b);
}

static void knows_reasons(void **state)
{
#define X(name, http, code, title) assert_string_not_equal(http_reason(http), "Status");
    STATUS_MAP(X)
#undef X
    assert_string_equal(http_reason(404), "Not Found");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_room, close_room)
    const struct CMUnitTest tests[] = {TEST(writes_lines), TEST(no_value_splits_an_answer),
                                       TEST(lines_outgrow_their_room), TEST(holds_a_reference_a_piece),
                                       cmocka_unit_test(knows_reasons)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
