/* tests/unit/store/test_redis_tls.c -- TLS, record by record: a session of ours and one of OpenSSL's server, and in between a socket pair on which the
 * test says how many bytes arrive. */
#include "store/redis_tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ALL SIZE_MAX

static char certificate[64];
static X509 *x509;
static EVP_PKEY *pkey;

/* Signed by itself, for 127.0.0.1; stands in a file, too. */
static int make_certificate(void **state)
{
    pkey = EVP_EC_gen("P-256");
    x509 = X509_new();
    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -60);
    X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    X509_set_pubkey(x509, pkey);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_ASC, (const unsigned char *)"x", -1, -1, 0);
    X509_set_issuer_name(x509, X509_get_subject_name(x509));
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
    X509_add_ext(x509, names, -1);
    X509_EXTENSION_free(names);
    if (X509_sign(x509, pkey, EVP_sha256()) == 0) return -1;
    snprintf(certificate, sizeof certificate, "/tmp/perigee-tls-XXXXXX");
    int fd = mkstemp(certificate);
    FILE *file = fdopen(fd, "w");
    PEM_write_X509(file, x509);
    fclose(file);
    return 0;
}

static int drop_certificate(void **state)
{
    unlink(certificate);
    X509_free(x509);
    EVP_PKEY_free(pkey);
    return 0;
}

struct ends {
    struct redis_tls_session *client;
    int fd, peer;
    SSL_CTX *context;
    SSL *server;
    BIO *to, *from; /* the server */
};

/* What the client has sent goes to the server. */
static void bring(struct ends *e)
{
    char bytes[4096];
    for (ssize_t n; (n = recv(e->peer, bytes, sizeof bytes, MSG_DONTWAIT)) > 0;) BIO_write(e->to, bytes, (int)n);
}

/* Up to so many bytes of what the server has sent arrive at the client; returns how many. */
static size_t arrive(struct ends *e, size_t most)
{
    char bytes[4096];
    size_t sum = 0;
    while (sum < most && BIO_ctrl_pending(e->from) > 0) {
        size_t n = most - sum < sizeof bytes ? most - sum : sizeof bytes;
        int got = BIO_read(e->from, bytes, (int)n);
        assert_int_equal(send(e->peer, bytes, (size_t)got, MSG_DONTWAIT), got);
        sum += (size_t)got;
    }
    return sum;
}

static struct ends open_ends(int version)
{
    struct ends e = {0};
    struct redis_tls tls = {.on = true};
    int pair[2];
    char why[128] = "";
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    e.fd = pair[0];
    e.peer = pair[1];
    snprintf(tls.ca, sizeof tls.ca, "%s", certificate);
    e.client = redis_tls_new(&tls, "127.0.0.1", why);
    if (!e.client) fail_msg("%s", why);
    e.context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_max_proto_version(e.context, version);
    SSL_CTX_use_certificate(e.context, x509);
    SSL_CTX_use_PrivateKey(e.context, pkey);
    e.server = SSL_new(e.context);
    e.to = BIO_new(BIO_s_mem());
    e.from = BIO_new(BIO_s_mem());
    SSL_set_bio(e.server, e.to, e.from);
    SSL_set_accept_state(e.server);
    return e;
}

/* The handshake. What the server has sent behind it, tickets, has not arrived. */
static struct ends ends_up(int version)
{
    struct ends e = open_ends(version);
    for (int turn = 0; turn < 10; turn++) {
        enum redis_tls_progress progress = redis_tls_shake(e.client, e.fd);
        bring(&e);
        int done = SSL_do_handshake(e.server);
        if (progress == TLS_DONE && done == 1) return e;
        assert_int_equal(progress, TLS_WAITS);
        arrive(&e, ALL);
    }
    fail_msg("%s", redis_tls_fault(e.client));
    return e;
}

static void end(struct ends *e)
{
    redis_tls_free(e->client);
    SSL_free(e->server);
    SSL_CTX_free(e->context);
    close(e->fd);
    if (e->peer >= 0) close(e->peer);
}

static void assert_reads(struct ends *e, const char *text)
{
    char got[256];
    ssize_t n = redis_tls_read(e->client, e->fd, got, sizeof got);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, strlen(text));
}

static void assert_fails(struct ends *e, const char *why)
{
    char got[256];
    assert_int_equal(redis_tls_read(e->client, e->fd, got, sizeof got), -1);
    if (!strstr(redis_tls_fault(e->client), why)) fail_msg("%s", redis_tls_fault(e->client));
    assert_int_equal(redis_tls_read(e->client, e->fd, got, sizeof got), -1); /* for ever */
    assert_int_equal(redis_tls_write(e->client, e->fd, "x", 1), -1);
    assert_true(redis_tls_can_read(e->client)); /* so that nobody waits for a socket to say it */
}

static void say(struct ends *e, const char *text)
{
    assert_int_equal(SSL_write(e->server, text, (int)strlen(text)), strlen(text));
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static void test_both_ways(void **state)
{
    for (int i = 0; i < 2; i++) {
        struct ends e = ends_up(versions[i]);
        char got[64];
        arrive(&e, ALL);
        assert_true(redis_tls_is_quiet(e.client, e.fd));
        assert_int_equal(redis_tls_write(e.client, e.fd, "ask", 3), 3);
        bring(&e);
        assert_int_equal(SSL_read(e.server, got, sizeof got), 3);
        assert_memory_equal(got, "ask", 3);
        say(&e, "answer");
        say(&e, " and more"); /* two records, one read */
        arrive(&e, ALL);
        assert_reads(&e, "answer and more");
        assert_int_equal(redis_tls_read(e.client, e.fd, got, sizeof got), 0);
        assert_false(redis_tls_holds(e.client));
        end(&e);
    }
}

/* A megabyte, through a socket that takes a little at a time: bytes count as written when their sealed form has left. */
static void test_what_is_long(void **state)
{
    struct ends e = ends_up(TLS1_3_VERSION);
    size_t n = 1 << 20, written = 0, seen = 0;
    char *bytes = malloc(n), *got = malloc(n);
    int little = 4096, stalled = 0;
    for (size_t i = 0; i < n; i++) bytes[i] = (char)(i * 2654435761u >> 13);
    setsockopt(e.fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    while (seen < n) {
        ssize_t w = redis_tls_write(e.client, e.fd, bytes + written, n - written);
        assert_true(w >= 0);
        written += (size_t)w;
        if (written < n) {
            assert_true(redis_tls_must_write(e.client));
            stalled++;
        }
        bring(&e);
        for (int r; (r = SSL_read(e.server, got + seen, (int)(n - seen))) > 0;) seen += (size_t)r;
        assert_true(written <= seen + (1 << 16) + (1 << 15));
    }
    assert_int_equal(written, n);
    assert_memory_equal(bytes, got, n);
    assert_true(stalled > 10);

    assert_int_equal(SSL_write(e.server, bytes, (int)n), n);
    for (seen = 0; seen < n;) {
        arrive(&e, 30000);
        ssize_t r = redis_tls_read(e.client, e.fd, got + seen, n - seen < 777 ? n - seen : 777);
        assert_true(r > 0 || seen == 0 || !redis_tls_can_read(e.client));
        while (r > 0) {
            seen += (size_t)r;
            r = redis_tls_read(e.client, e.fd, got + seen, n - seen < 777 ? n - seen : 777);
        }
        assert_int_equal(r, 0);
    }
    assert_memory_equal(bytes, got, n);
    assert_false(redis_tls_holds(e.client));
    free(bytes);
    free(got);
    end(&e);
}

/* The near cache looks at the socket for news: what has left it, and was not read, is held here, be it a part of a record or of what it says. */
static void test_a_part_is_held(void **state)
{
    for (int i = 0; i < 2; i++) {
        struct ends e = ends_up(versions[i]);
        char got[8];
        arrive(&e, ALL);
        assert_int_equal(redis_tls_read(e.client, e.fd, got, sizeof got), 0);
        assert_false(redis_tls_holds(e.client)); /* tickets are no news */
        say(&e, "0123456789");
        while (arrive(&e, 1) == 1) {
            ssize_t n = redis_tls_read(e.client, e.fd, got, 4);
            if (n == 4) break;
            assert_int_equal(n, 0);
            assert_true(redis_tls_holds(e.client));
            assert_false(redis_tls_can_read(e.client));
        }
        assert_true(redis_tls_holds(e.client));
        assert_true(redis_tls_can_read(e.client));
        assert_int_equal(redis_tls_read(e.client, e.fd, got, 6), 6);
        assert_memory_equal(got, "456789", 6);
        assert_false(redis_tls_holds(e.client));
        end(&e);
    }
}

static void test_what_nobody_asked_for(void **state)
{
    struct ends e = ends_up(TLS1_3_VERSION);
    say(&e, "+OK\r\n");
    arrive(&e, ALL);
    assert_false(redis_tls_is_quiet(e.client, e.fd));
    assert_fails(&e, "a reply without a question");
    end(&e);
}

/* ... nor is it an answer when the rest of it comes behind the question. */
static void test_a_part_of_what_nobody_asked_for(void **state)
{
    for (size_t part = 1; part < 27; part++) {
        struct ends e = ends_up(TLS1_3_VERSION);
        char got[64];
        arrive(&e, ALL);
        assert_int_equal(redis_tls_read(e.client, e.fd, got, sizeof got), 0);
        say(&e, "+OK\r\n");
        assert_int_equal(arrive(&e, part), part); /* of 27 bytes */
        assert_true(redis_tls_is_quiet(e.client, e.fd));
        assert_int_equal(redis_tls_write(e.client, e.fd, "ask", 3), 3);
        say(&e, "the answer");
        arrive(&e, ALL);
        char *p = got;
        ssize_t n = redis_tls_read(e.client, e.fd, p, sizeof got);
        if (n >= 0) n = redis_tls_read(e.client, e.fd, p, sizeof got);
        assert_int_equal(n, -1);
        assert_fails(&e, "a reply without a question");
        end(&e);
    }
}

/* A ticket may stand across the question. */
static void test_a_part_of_a_ticket(void **state)
{
    struct ends e = ends_up(TLS1_3_VERSION);
    size_t tickets = BIO_ctrl_pending(e.from);
    assert_true(tickets > 100);
    for (size_t part = 1; part < tickets; part += 29) {
        struct ends f = ends_up(TLS1_3_VERSION);
        arrive(&f, part);
        assert_true(redis_tls_is_quiet(f.client, f.fd));
        assert_int_equal(redis_tls_write(f.client, f.fd, "ask", 3), 3);
        say(&f, "the answer");
        arrive(&f, ALL);
        assert_reads(&f, "the answer");
        assert_false(redis_tls_holds(f.client));
        end(&f);
    }
    end(&e);
}

static void test_its_end(void **state)
{
    for (int i = 0; i < 2; i++) {
        struct ends e = ends_up(versions[i]);
        say(&e, "last");
        SSL_shutdown(e.server);
        arrive(&e, ALL);
        assert_reads(&e, "last");
        assert_fails(&e, "Server closed the connection");
        end(&e);

        e = ends_up(versions[i]);
        say(&e, "last");
        arrive(&e, BIO_ctrl_pending(e.from) - 3); /* and a record is cut */
        close(e.peer);
        e.peer = -1;
        char got;
        assert_int_equal(redis_tls_read(e.client, e.fd, &got, 1), 0);
        assert_fails(&e, "without a close_notify");
        end(&e);

        e = ends_up(versions[i]);
        redis_tls_end(e.client, e.fd);
        bring(&e);
        assert_int_equal(SSL_get_error(e.server, SSL_read(e.server, &got, 1)), SSL_ERROR_ZERO_RETURN);
        end(&e);
    }
}

static void test_hands_are_shaken_once(void **state)
{
    struct ends e = ends_up(TLS1_2_VERSION);
    assert_int_equal(SSL_renegotiate(e.server), 1);
    SSL_do_handshake(e.server);
    arrive(&e, ALL);
    assert_fails(&e, "asks to renegotiate, which is refused");
    end(&e);
}

/* In TLS 1.3 a server may have other keys: that is no data, and no end. */
static void test_new_keys(void **state)
{
    struct ends e = ends_up(TLS1_3_VERSION);
    char got[64];
    arrive(&e, ALL);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(SSL_key_update(e.server, SSL_KEY_UPDATE_REQUESTED), 1);
        SSL_do_handshake(e.server);
        arrive(&e, ALL);
        assert_true(redis_tls_is_quiet(e.client, e.fd));
        assert_false(redis_tls_holds(e.client));
        assert_int_equal(redis_tls_write(e.client, e.fd, "ask", 3), 3);
        bring(&e);
        assert_int_equal(SSL_read(e.server, got, sizeof got), 3);
        say(&e, "answer");
        arrive(&e, ALL);
        assert_reads(&e, "answer");
    }
    end(&e);
}

/* What is no TLS ends it at once, however little there is of it. */
static void test_what_is_no_tls(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *why;
    } bad[] = {
        {"-ERR unknown command\r\n", 22, "no TLS on this port"},
        {"HTTP/1.1 400 Bad Request\r\n", 26, "no TLS on this port"},
        {"\x16\x02\x01\0\x04", 5, "no TLS on this port"},
        {"\x16\x03\x03\xff\xff", 5, "a record too long"},
        {"\x15\x03\x03\0\x02\x02\x28", 7, "TLS: "}, /* an alert: handshake failure */
        {"\x17\x03\x03\0\x01x", 6, "TLS: "},
        {"", 0, "ended the connection in the TLS handshake"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ends e = open_ends(TLS1_3_VERSION);
        assert_int_equal(redis_tls_shake(e.client, e.fd), TLS_WAITS);
        assert_int_equal(send(e.peer, bad[i].bytes, bad[i].n, 0), bad[i].n);
        shutdown(e.peer, SHUT_WR);
        assert_int_equal(redis_tls_shake(e.client, e.fd), TLS_FAILED);
        assert_fails(&e, bad[i].why);
        end(&e);
    }
    struct ends e = ends_up(TLS1_3_VERSION);
    arrive(&e, ALL);
    assert_int_equal(send(e.peer, "+OK\r\n", 5, 0), 5);
    assert_fails(&e, "no TLS any more");
    end(&e);
}

static void test_a_changed_byte(void **state)
{
    for (int i = 0; i < 2; i++) {
        struct ends e = ends_up(versions[i]);
        arrive(&e, ALL);
        say(&e, "answer");
        char record[256];
        int n = BIO_read(e.from, record, sizeof record);
        record[n - 1] ^= 1;
        send(e.peer, record, (size_t)n, 0);
        assert_fails(&e, "bad record mac");
        end(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_what_is_long),
        cmocka_unit_test(test_a_part_is_held),
        cmocka_unit_test(test_what_nobody_asked_for),
        cmocka_unit_test(test_a_part_of_what_nobody_asked_for),
        cmocka_unit_test(test_a_part_of_a_ticket),
        cmocka_unit_test(test_its_end),
        cmocka_unit_test(test_hands_are_shaken_once),
        cmocka_unit_test(test_new_keys),
        cmocka_unit_test(test_what_is_no_tls),
        cmocka_unit_test(test_a_changed_byte),
    };
    return cmocka_run_group_tests(tests, make_certificate, drop_certificate);
}
