/* Who wants gzip, and that bodies of any cut come out of it as they went in. */
#include "http/coding.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>

static bool wants(const char *first, const char *second, int minor)
{
    static struct http_request r;
    r.minor = (uint8_t)minor;
    r.headers = 0;
    if (first) r.header[r.headers++] = (struct http_header){SLICE("accept-encoding"), slice_of(first)};
    if (second) r.header[r.headers++] = (struct http_header){SLICE("Accept-Encoding"), slice_of(second)};
    return coding_wants_gzip(&r);
}

static void weights_decide(void **state)
{
    assert_false(wants(NULL, NULL, 1));
    assert_true(wants("gzip", NULL, 1));
    assert_false(wants("gzip", NULL, 0));
    assert_true(wants("br", "gzip;q=0.1", 1));
    assert_false(wants("gzip;q=0", "*", 1));
    assert_true(wants("*;q=0.001", NULL, 1));
    assert_false(wants("gzip;q=0.5,identity;q=0.501", NULL, 1));
    assert_true(wants("gzip;q=1.000,identity", NULL, 1));
    assert_false(wants("gzip;q=1.001", NULL, 1));
    assert_false(wants("gzip;q=2", NULL, 1));
    assert_false(wants("gzip;q=0.1234", NULL, 1));
    assert_false(wants("gzip;q=", NULL, 1));
    assert_false(wants("gzip;", NULL, 1));
    assert_false(wants(",,;q=1,", NULL, 1));
}

static void inflate_equals(const struct blob *packed, struct slice wanted)
{
    z_stream z = {.next_in = (Bytef *)packed->p, .avail_in = packed->n};
    char *out = test_malloc(wanted.n + 1);
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)wanted.n + 1;
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.avail_in, 0);
    assert_int_equal(z.total_out, wanted.n);
    assert_memory_equal(out, wanted.p, wanted.n);
    inflateEnd(&z);
    test_free(out);
}

static void bodies_come_out_as_they_went_in(void **state)
{
    static char text[300000];
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)((x = x * 1664525 + 1013904223) >> 24);
    struct gzip *g = gzip_new();
    for (size_t cut = 1; cut < sizeof text;
         cut *= 7) { /* noise, in pieces of this size; the compressor is used again */
        struct arena arena;
        struct reply reply;
        arena_init(&arena);
        reply_init(&reply, &arena);
        reply_begin(&reply, 200);
        size_t n = cut < 100 ? 5000 : sizeof text;
        for (size_t at = 0; at < n; at += cut)
            reply_body(&reply, slice_from(text + at, at + cut < n ? cut : n - at), NULL);
        struct blob *packed = gzip_body(g, &reply);
        inflate_equals(packed, slice_from(text, n));
        reply_replace_body(&reply, packed);
        assert_int_equal(reply.body_bytes, packed->n);
        assert_int_equal(reply.pieces, 1);
        reply_deinit(&reply);
        arena_deinit(&arena);
    }
    gzip_free(g);
    gzip_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_decide),
        cmocka_unit_test(bodies_come_out_as_they_went_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
