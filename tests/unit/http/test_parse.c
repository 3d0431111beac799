/* The request parser: what it accepts and makes of it, what it refuses and as what, limits to the byte, and that
 * no way of cutting the input changes any of that. */
#include "../../support/http_transcript.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <dirent.h>

#define CORPUS SOURCE_DIR "/../shared/data/http-raw/"

static const struct http_parse_limits usual = {.max_uri = 8192, .max_headers = 16384, .max_body = 1 << 20};

static void feed_in_steps(struct transcript *t, struct slice in, size_t step)
{
    for (size_t at = 0; at < in.n; at += step)
        transcript_feed(t, (struct slice){in.p + at, in.n - at < step ? in.n - at : step});
}

/* Whole, byte by byte, in sevens, and cut once at every place when it is short. */
static void assert_cuts_agree(struct slice in, const struct http_parse_limits *limits, struct slice expected)
{
    for (size_t step = 1; step <= 7; step += 3) {
        struct transcript t;
        transcript_init(&t, limits);
        feed_in_steps(&t, in, step);
        assert_int_equal(t.text.n, expected.n);
        assert_memory_equal(buffer_view(&t.text).p, expected.p, expected.n);
        transcript_deinit(&t);
    }
    for (size_t cut = 1; cut < in.n && in.n < 600; cut++) {
        struct transcript t;
        transcript_init(&t, limits);
        transcript_feed(&t, (struct slice){in.p, cut});
        transcript_feed(&t, slice_skip(in, cut));
        assert_int_equal(t.text.n, expected.n);
        assert_memory_equal(buffer_view(&t.text).p, expected.p, expected.n);
        transcript_deinit(&t);
    }
}

static void check_with(struct slice in, const struct http_parse_limits *limits, const char *expected)
{
    struct transcript t;
    transcript_init(&t, limits);
    transcript_feed(&t, in);
    buffer_char(&t.text, '\0');
    if (expected && strcmp(t.text.p, expected) != 0)
        print_error("of %.*s\n  expected %s\n  and got  %s\n", SLICE_ARG(in), expected, t.text.p);
    if (expected) assert_string_equal(t.text.p, expected);
    assert_cuts_agree(in, limits, (struct slice){t.text.p, t.text.n - 1});
    transcript_deinit(&t);
}

#define check(text, expected)        check_with(SLICE(text), &usual, expected)
#define refused(text, code)          check_with(SLICE(text), &usual, "refused " code "\n")
#define with_host(text)              "GET / HTTP/1.1\r\nHost: a\r\n" text "\r\n\r\n"
#define chunked(text)                "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" text
#define was_chunked(length_and_body) "PUT /x 1.1 keep\nHost=a\nTransfer-Encoding=chunked\n" length_and_body ".\n"

static void reads_a_request(void **state)
{
    check("GET /models/User?username=bob HTTP/1.1\r\nHost: h:80\r\nX-A:  b \t\r\nEmpty:\r\n\r\n",
          "GET /models/User ?username=bob 1.1 keep\nHost=h:80\nX-A=b\nEmpty=\n.\n");
    check("GET /a HTTP/1.0\r\n\r\n", "GET /a 1.0 close\n.\n");
    check("GET /a? HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET /a ? 1.0 keep\nConnection=Keep-Alive\n.\n");
    check("\r\n\r\n" with_host("Connection: x, close"), "GET / 1.1 close\nHost=a\nConnection=x, close\n.\n");
    check(with_host("X: caf\xc3\xa9"), "GET / 1.1 keep\nHost=a\nX=caf\xc3\xa9\n.\n");
}

static void reads_bodies(void **state)
{
    check("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /y HTTP/1.0\r\n\r\n",
          "PUT /x 1.1 keep\nHost=a\nContent-Length=3\n[3]abc.\nGET /y 1.0 close\n.\n");
    check("PUT /x HTTP/1.0\r\nContent-Length: 0\r\n\r\n", "PUT /x 1.0 close\nContent-Length=0\n[0].\n");
    check(chunked("3\r\nabc\r\n00A\r\n0123456789\r\n000\r\n\r\n"), was_chunked("[13]abc0123456789"));
    check(chunked("3;a=b;c=\"x y\";d\r\nabc\r\n0;z\r\nVary: x\r\nContent-Type: y\r\n\r\n"), was_chunked("[3]abc"));
    check(chunked("0\r\n\r\n"), was_chunked("[0]"));
}

static void knows_methods(void **state)
{
    check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * 1.1 keep\nHost=a\n.\n");
    check("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "CONNECT  1.1 close\nHost=a:1\n.\n");
    check("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 3\r\n\r\nabc",
          "CONNECT  1.1 close\nHost=a:1\nContent-Length=3\n[3]abc.\n");
    check("PROPFIND /x HTTP/1.0\r\n\r\n", "PROPFIND /x 1.0 close\n.\n");
    check(with_host("Connection: upgrade\r\nUpgrade: h2c") "GET /y HTTP/1.0\r\n\r\n",
          "GET / 1.1 keep\nHost=a\nConnection=upgrade\nUpgrade=h2c\n.\nGET /y 1.0 close\n.\n");
    refused("MKCOLA / HTTP/1.1\r\n\r\n", "not-implemented");
    refused("get / HTTP/1.1\r\n\r\n", "not-implemented");
    refused("M-SEARCH * HTTP/1.1\r\nHost: a\r\n\r\n", "not-implemented");
    refused("GET:/ HTTP/1.1\r\n\r\n", "malformed-request");
    refused("\x16\x03\x01\x02", "malformed-request");
}

static void refuses_odd_lines(void **state)
{
    refused("GET  / HTTP/1.1\r\n", "malformed-request");
    refused("GET /  HTTP/1.1\r\n", "malformed-request");
    refused("GET /a b HTTP/1.1\r\n", "malformed-request");
    refused("GET / HTTP/1.1 \r\n", "malformed-request");
    refused("GET / HTTP/1.1\n", "malformed-request");
    refused("GET / HTTP/1.1\r\r\n", "malformed-request");
    refused("GET / http/1.1\r\n", "malformed-request");
    refused("\nGET / HTTP/1.1\r\n", "malformed-request");
    refused("\r\rGET / HTTP/1.1\r\n", "malformed-request");
    refused(" GET / HTTP/1.1\r\n", "malformed-request");
    refused("GET\t/ HTTP/1.1\r\n", "malformed-request");
}

static void refuses_other_versions(void **state)
{
    refused("GET /\r\n", "version-unsupported");
    refused("GET / HTTP/0.9\r\n", "version-unsupported");
    refused("GET / HTTP/2.0\r\n", "version-unsupported");
    refused("GET / HTTP/1.2\r\n", "version-unsupported");
    refused("GET / HTTP/11.1\r\n", "version-unsupported");
    refused("OPTIONS / RTSP/1.0\r\n", "version-unsupported");
    refused("SOURCE / ICE/1.0\r\n", "version-unsupported");
    refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version-unsupported");
}

static void reads_targets(void **state)
{
    check("GET http://a/b?c HTTP/1.1\r\nHost: A\r\n\r\n", "GET /b ?c 1.1 keep\nHost=A\n.\n");
    check("GET HTTPS://a?c HTTP/1.0\r\n\r\n", "GET / ?c 1.0 close\n.\n");
    check("GET http://[::1]:8080 HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "GET / 1.1 keep\nHost=[::1]:8080\n.\n");
    check("GET //a/..%2f?x?y HTTP/1.0\r\n\r\n", "GET //a/..%2f ?x?y 1.0 close\n.\n");
    refused("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", "malformed-request");
    refused("GET http:///b HTTP/1.1\r\nHost: a\r\n\r\n", "malformed-request");
    refused("GET ftp://a/b HTTP/1.1\r\nHost: a\r\n\r\n", "malformed-request");
    refused("GET http://u:p@a/b HTTP/1.1\r\nHost: a\r\n\r\n", "malformed-request");
    refused("GET * HTTP/1.1\r\nHost: a\r\n\r\n", "malformed-request");
    refused("GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", "malformed-request");
    refused("GET a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "malformed-request");
    refused("GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", "malformed-request");
    refused("GET /a#b HTTP/1.1\r\n", "malformed-request");
    refused("GET /\x80 HTTP/1.1\r\n", "malformed-request");
    refused("GET /\x7f HTTP/1.1\r\n", "malformed-request");
    refused("GET /\t HTTP/1.1\r\n", "malformed-request");
    refused("CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", "malformed-request");
}

static void wants_one_host(void **state)
{
    static const char *const good[] = {"a", "a:80", "a:", "0.0.0.0=5000", "[::1]", "[::1]:1", "a_b-c.~d", "a%20b"};
    static const char *const bad[] = {"",        " ",    "a,b",  "u@a",  "a/b", "a b",   "a:b",
                                      "a:65536", "a:-1", "[::1", "[]:1", "::1", "a:1:2", "a%2",
                                      "a\\b",    "a?b",  "a#b",  "<a>",  ":80", "[a]b",  "a:00000080"};
    char text[256];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", good[i]);
        char expected[256];
        snprintf(expected, sizeof expected, "GET / 1.1 keep\nHost=%s\n.\n", good[i]);
        check_with((struct slice){text, (size_t)n}, &usual, expected);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", bad[i]);
        check_with((struct slice){text, (size_t)n}, &usual, "refused malformed-request\n");
    }
    refused("GET / HTTP/1.1\r\n\r\n", "malformed-request");
    refused("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", "malformed-request");
    refused("GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n", "malformed-request");
}

static void refuses_two_lengths(void **state)
{
    refused(with_host("Content-Length: 1\r\nContent-Length: 1"), "malformed-request");
    refused(with_host("Content-Length: 1, 1"), "malformed-request");
    refused(with_host("Content-Length: +1"), "malformed-request");
    refused(with_host("Content-Length: -1"), "malformed-request");
    refused(with_host("Content-Length: 1 1"), "malformed-request");
    refused(with_host("Content-Length: 0x1"), "malformed-request");
    refused(with_host("Content-Length:"), "malformed-request");
    refused(with_host("Content-Length: 9223372036854775808"), "malformed-request");
    refused(with_host("Content-Length: 18446744073709551617"), "malformed-request");
    refused(with_host("Content-Length: 1\r\nTransfer-Encoding: chunked"), "malformed-request");
    refused(with_host("Transfer-Encoding: chunked\r\nContent-Length: 1"), "malformed-request");
}

static void refuses_other_codings(void **state)
{
    refused(with_host("Transfer-Encoding: gzip"), "not-implemented");
    refused(with_host("Transfer-Encoding: gzip, chunked"), "not-implemented");
    refused(with_host("Transfer-Encoding: identity"), "not-implemented");
    refused(with_host("Transfer-Encoding: chunked;q=1"), "not-implemented");
    refused(with_host("Transfer-Encoding: xchunked"), "not-implemented");
    refused(with_host("Transfer-Encoding:"), "malformed-request");
    refused(with_host("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), "malformed-request");
    refused(with_host("Transfer-Encoding: chunked, chunked"), "malformed-request");
    refused("PUT /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "malformed-request");
}

static void refuses_odd_chunks(void **state)
{
    refused(chunked("\r\n"), "malformed-request");
    refused(chunked("-1\r\n"), "malformed-request");
    refused(chunked("+1\r\n"), "malformed-request");
    refused(chunked("0x1\r\n"), "malformed-request");
    refused(chunked(" 1\r\n"), "malformed-request");
    refused(chunked("1 \r\n"), "malformed-request");
    refused(chunked("1\na"), "malformed-request");
    refused(chunked("1\r\nab"), "malformed-request");
    refused(chunked("1\r\na\n"), "malformed-request");
    refused(chunked("1;\r\n"), "malformed-request");
    refused(chunked("1;a=\r\n"), "malformed-request");
    refused(chunked("1;a\rb\r\n"), "malformed-request");
    refused(chunked("1;a=\"b\r\n"), "malformed-request");
    refused(chunked("10000000000000000\r\n"), "malformed-request");
    refused(chunked("ffffffffffffffff\r\n"), "body-too-large");
    refused(chunked("0\r\n\n"), "malformed-request");
    refused(chunked("0\r\nHost: b\r\n\r\n"), "malformed-request");
    refused(chunked("0\r\ncontent-length: 1\r\n\r\n"), "malformed-request");
    refused(chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n"), "malformed-request");
    refused(chunked("0\r\nAuthorization: x\r\n\r\n"), "malformed-request");
    refused(chunked("0\r\nA: b\r\n c\r\n\r\n"), "malformed-request");
}

static void refuses_odd_headers(void **state)
{
    refused(with_host("A: b\r\n c"), "malformed-request");
    refused("GET / HTTP/1.1\r\n A: b\r\n\r\n", "malformed-request");
    refused(with_host("A : b"), "malformed-request");
    refused(with_host(": b"), "malformed-request");
    refused(with_host("A"), "malformed-request");
    refused(with_host("A\xc3\xa4: b"), "malformed-request");
    refused(with_host("A@: b"), "malformed-request");
    refused(with_host("A: b\rc"), "malformed-request");
    refused(with_host("A: b\nC: d"), "malformed-request");
    refused(with_host("A: b\0c"), "malformed-request");
    refused(with_host("A: b\x01"), "malformed-request");
    refused(with_host("A: b\x7f"), "malformed-request");
    refused(with_host("Content-Type: a/b\r\nContent-Type: a/b"), "malformed-request");
    refused("GET / HTTP/1.1\r\nHost: a\r\n\rX", "malformed-request");
}

static void minds_expectations(void **state)
{
    check("PUT /x HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nz",
          "continue\nPUT /x 1.1 keep\nHost=a\nExpect=100-Continue\nContent-Length=1\n[1]z.\n");
    check(with_host("Expect: 100-continue"), "GET / 1.1 keep\nHost=a\nExpect=100-continue\n.\n");
    check("PUT /x HTTP/1.0\r\nExpect: x\r\nContent-Length: 1\r\n\r\nz",
          "PUT /x 1.0 close\nExpect=x\nContent-Length=1\n[1]z.\n");
    refused(with_host("Expect: x"), "expectation-failed");
    refused("PUT /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1048577\r\n\r\n", "body-too-large");
}

/* A request with `uri` bytes of target, one header line of `header` bytes in all, and a body of `body` bytes. */
static struct slice sized(struct arena *a, size_t uri, size_t header, size_t body)
{
    struct buffer b;
    buffer_init(&b, 1 << 24);
    buffer_printf(&b, "PUT /");
    for (size_t i = 1; i < uri; i++) buffer_char(&b, 'u');
    buffer_printf(&b, " HTTP/1.0\r\nX:");
    for (size_t i = 4; i < header; i++) buffer_char(&b, 'h');
    buffer_printf(&b, "\r\nContent-Length: %zu\r\n\r\n", body);
    for (size_t i = 0; i < body; i++) buffer_char(&b, 'b');
    struct slice s = arena_dup(a, buffer_view(&b));
    buffer_deinit(&b);
    return s;
}

static void ends_with(struct slice in, const struct http_parse_limits *limits, const char *code)
{
    struct transcript t;
    transcript_init(&t, limits);
    transcript_feed(&t, in);
    struct slice refusal = SLICE("refused ");
    assert_int_equal(slice_starts(buffer_view(&t.text), refusal), code != NULL);
    if (code) assert_memory_equal(t.text.p + refusal.n, code, strlen(code));
    assert_cuts_agree(in, limits, buffer_view(&t.text));
    transcript_deinit(&t);
}

static void keeps_limits_to_the_byte(void **state)
{
    const struct http_parse_limits limits = {.max_uri = 50, .max_headers = 100, .max_body = 64};
    struct arena a;
    arena_init(&a);
    size_t rest = strlen("Content-Length: 64\r\n\r\n");
    ends_with(sized(&a, 50, 100 - rest, 64), &limits, NULL);
    ends_with(sized(&a, 51, 100 - rest, 64), &limits, "uri-too-long");
    ends_with(sized(&a, 5000, 10, 0), &limits, "uri-too-long");
    ends_with(sized(&a, 50, 101 - rest, 64), &limits, "headers-too-large");
    ends_with(sized(&a, 50, 9000, 64), &limits, "headers-too-large");
    ends_with(sized(&a, 50, 100 - rest, 65), &limits, "body-too-large");
    arena_deinit(&a);
}

static void keeps_limits_on_endless_input(void **state)
{
    char *flood = malloc(100000);
    memset(flood, 'a', 100000);
    static const struct {
        const char *start, *code;
    } endless[] = {{"GET /", "uri-too-long"},
                   {"GET / HTTP/1.1\r\n", "headers-too-large"},
                   {"GET / HTTP/1.1\r\nA: ", "headers-too-large"},
                   {chunked("1;"), "malformed-request"},
                   {chunked("1;a="), "malformed-request"},
                   {chunked("0\r\n"), "headers-too-large"},
                   {chunked("0\r\nA: "), "headers-too-large"}};
    for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
        struct slice start = slice_of(endless[i].start);
        memset(flood, 'a', 200);
        memcpy(flood, start.p, start.n);
        ends_with((struct slice){flood, 100000}, &usual, endless[i].code);
    }
    free(flood);
}

static void counts_fields(void **state)
{
    struct buffer b;
    buffer_init(&b, 1 << 16);
    buffer_printf(&b, "GET / HTTP/1.0\r\n");
    for (int i = 0; i < HTTP_HEADERS_MAX; i++) buffer_printf(&b, "A%d: b\r\n", i);
    size_t n = b.n;
    buffer_printf(&b, "\r\n");
    ends_with(buffer_view(&b), &usual, NULL);
    b.n = n;
    buffer_printf(&b, "Z: b\r\n\r\n");
    ends_with(buffer_view(&b), &usual, "headers-too-large");
    buffer_deinit(&b);
}

static void counts_chunks(void **state)
{
    const struct http_parse_limits limits = {.max_uri = 50, .max_headers = 100, .max_body = 5};
    check_with(SLICE(chunked("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")), &limits, was_chunked("[5]abcde"));
    check_with(SLICE(chunked("3\r\nabc\r\n3\r\n")), &limits, "refused body-too-large\n");
}

/* Trailers have the allowance of a head to themselves, whatever head and body took. */
static void counts_trailers_anew(void **state)
{
    const struct http_parse_limits limits = {.max_uri = 50, .max_headers = 60, .max_body = 100};
#define LINES "A: 0123456789\r\nB: 0123456789\r\nC: 0123456789\r\n" /* 45 bytes */
#define BODY  "8\r\n01234567\r\n0\r\n"
    check_with(SLICE(chunked(BODY LINES "D: 01234567\r\n\r\n")), &limits, was_chunked("[8]01234567"));
    check_with(SLICE(chunked(BODY LINES "D: 012345678\r\n\r\n")), &limits, "refused headers-too-large\n");
}

static void says_where_it_stands(void **state)
{
    struct transcript t;
    transcript_init(&t, &usual);
    assert_false(http_parser_started(&t.parser));
    transcript_feed(&t, SLICE("\r\n"));
    assert_false(http_parser_started(&t.parser));
    transcript_feed(&t, SLICE("PUT /x HTTP/1.0\r\nContent-Length: 2\r\n"));
    assert_true(http_parser_started(&t.parser));
    assert_false(http_parser_in_body(&t.parser));
    transcript_feed(&t, SLICE("\r\na"));
    assert_true(http_parser_in_body(&t.parser));
    transcript_feed(&t, SLICE("b"));
    assert_false(http_parser_started(&t.parser));
    assert_false(http_parser_in_body(&t.parser));
    transcript_deinit(&t);
}

/* A Content-Length is a claim: memory follows bytes, not claims. */
static void believes_no_length(void **state)
{
    const struct http_parse_limits limits = {.max_uri = 50, .max_headers = 100, .max_body = 1 << 30};
    struct transcript t;
    transcript_init(&t, &limits);
    transcript_feed(&t, SLICE("PUT /x HTTP/1.0\r\nContent-Length: 1000000000\r\n\r\na"));
    assert_in_range(t.parser.body->cap, 1, 65536);
    transcript_deinit(&t);
}

static void reads_the_corpora_cut_anyhow(void **state)
{
    static const char *const suites[] = {"gunicorn", "llhttp"};
    size_t files = 0;
    for (size_t i = 0; i < 2; i++) {
        char path[1024];
        snprintf(path, sizeof path, CORPUS "%s", suites[i]);
        DIR *dir = opendir(path);
        if (!dir) {
            print_message("pending: the corpora are not here\n");
            skip();
        }
        for (struct dirent *entry; (entry = readdir(dir));) {
            char text[65536];
            if (!strstr(entry->d_name, ".req")) continue;
            snprintf(path, sizeof path, CORPUS "%s/%s", suites[i], entry->d_name);
            FILE *f = fopen(path, "rb");
            assert_non_null(f);
            size_t n = fread(text, 1, sizeof text, f);
            fclose(f);
            check_with((struct slice){text, n}, &usual, NULL);
            files++;
        }
        closedir(dir);
    }
    assert_in_range(files, 250, 1000);
}

static void finds_headers(void **state)
{
    struct http_request r = {.headers = 2, .header = {{SLICE("A"), SLICE("1")}, {SLICE("a"), SLICE("2")}}};
    assert_true(slice_eq(http_request_header(&r, "a"), SLICE("1")));
    assert_null(http_request_header(&r, "b").p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_request),
        cmocka_unit_test(reads_bodies),
        cmocka_unit_test(knows_methods),
        cmocka_unit_test(refuses_odd_lines),
        cmocka_unit_test(refuses_other_versions),
        cmocka_unit_test(reads_targets),
        cmocka_unit_test(wants_one_host),
        cmocka_unit_test(refuses_two_lengths),
        cmocka_unit_test(refuses_other_codings),
        cmocka_unit_test(refuses_odd_chunks),
        cmocka_unit_test(refuses_odd_headers),
        cmocka_unit_test(minds_expectations),
        cmocka_unit_test(keeps_limits_to_the_byte),
        cmocka_unit_test(keeps_limits_on_endless_input),
        cmocka_unit_test(counts_fields),
        cmocka_unit_test(counts_chunks),
        cmocka_unit_test(counts_trailers_anew),
        cmocka_unit_test(says_where_it_stands),
        cmocka_unit_test(believes_no_length),
        cmocka_unit_test(reads_the_corpora_cut_anyhow),
        cmocka_unit_test(finds_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
