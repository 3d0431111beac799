/* store/redis_tls.c -- records: from the socket to OpenSSL, and from OpenSSL to the socket.
 *
 * OpenSSL reads and writes through a BIO of ours, whose two ends are buffers:
 *
 *     socket -> in [ read | whole records | part of one ] -> OpenSSL -> caller's bytes
 *     caller's bytes -> OpenSSL -> out -> socket                                            one send for all that is written in a turn
 *
 * The caller keeps its bytes until their sealed form has left: redis_tls_write answers as send does, so that what waits is counted once. */
#include "store/redis_tls.h"

#include "base/buffer.h"
#include "base/log.h"
#include "store/openssl.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <uv.h>

#define HEAD                 5              /* of a record: its type, its version, its length */
#define RECORD_MAX           (16384 + 2048) /* TLS 1.2; 1.3 has less */
#define TYPE_FIRST           20             /* change_cipher_spec, alert, handshake, data: 20 to 23 */
#define TYPE_SHAKE           22
#define TYPE_LAST            23
#define IN_MAX               (HEAD + RECORD_MAX + 2048)
#define SEAL_AT_ONCE         (64u << 10)
#define OUT_MAX              (256u << 10)
#define QUIET_READS          16  /* of tickets and the like, before it is no quiet server */
#define RECORD_LAYER_FAILURE 313 /* SSL_R_RECORD_LAYER_FAILURE, a name that OpenSSL's headers have from 3.2 on */

struct redis_tls_session {
    SSL_CTX *context;
    SSL *ssl;
    bool shaken;    /* the handshake is over */
    char name[256]; /* whom we want to speak with */
    unsigned char in[IN_MAX];
    size_t in_n, whole, given; /* bytes; of whole records; of these, taken by OpenSSL */
    bool early;                /* `in` begins with a record that was there before we asked */
    struct buffer out;
    size_t out_sent; /* of its bytes */
    size_t sealed;   /* bytes of the caller that stand in `out`, sealed, and were not counted as written */
    char fault[128];
};

/* ---- faults */

const char *redis_tls_fault(const struct redis_tls_session *t) { return t->fault; }

/* The first one stays. */
static bool fail(struct redis_tls_session *t, const char *why)
{
    if (!t->fault[0]) snprintf(t->fault, sizeof t->fault, "%s", why);
    return false;
}

/* The last one names what was wrong; from OpenSSL 3.2 on one more stands behind it that tells only in which layer. */
static const char *reason(void)
{
    unsigned long named = 0;
    for (unsigned long e; (e = openssl.ERR_get_error()) != 0;)
        if (!named || ERR_GET_REASON(e) != RECORD_LAYER_FAILURE) named = e;
    const char *text = openssl.ERR_reason_error_string(named);
    return text ? text : "an error without a name";
}

/* What OpenSSL, or the server's alert, says. */
static bool fail_openssl(struct redis_tls_session *t)
{
    char why[sizeof t->fault];
    long verdict = openssl.SSL_get_verify_result(t->ssl);
    bool unbelieved = ERR_GET_REASON(openssl.ERR_peek_last_error()) == SSL_R_CERTIFICATE_VERIFY_FAILED;
    if (unbelieved && (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH)) {
        snprintf(why, sizeof why, "certificate verify failed: it is not for %s", t->name);
    } else if (unbelieved) {
        snprintf(why, sizeof why, "certificate verify failed: %s", openssl.X509_verify_cert_error_string(verdict));
    } else {
        snprintf(why, sizeof why, "TLS: %s", reason());
    }
    return fail(t, why);
}

/* ---- records */

/* Counts the whole records, and looks at what the first bytes of each say; false when that is no TLS, or asks for what is refused. */
static bool frame(struct redis_tls_session *t)
{
    while (t->in_n - t->whole >= HEAD && !(t->early && t->whole > 0)) {
        const unsigned char *head = t->in + t->whole;
        size_t length = (size_t)head[3] << 8 | head[4];
        if (head[0] < TYPE_FIRST || head[0] > TYPE_LAST || head[1] != 3)
            return fail(t, t->shaken ? "what the server sends is no TLS any more"
                                     : "the server speaks no TLS on this port (is it redis://?)");
        if (length > RECORD_MAX) return fail(t, "TLS: a record too long");
        if (t->shaken && head[0] == TYPE_SHAKE) return fail(t, "TLS: the server asks to renegotiate, which is refused");
        if (t->in_n - t->whole < HEAD + length) break;
        t->whole += HEAD + length;
    }
    return true;
}

/* Drops what OpenSSL has taken. */
static bool settle(struct redis_tls_session *t)
{
    if (t->given < t->whole || t->given == 0) return true;
    t->in_n -= t->given;
    memmove(t->in, t->in + t->given, t->in_n);
    t->whole = t->given = 0;
    t->early = false;
    return frame(t);
}

/* More from the socket; false when there is none, or there will be none: then it is a fault. */
static bool take(struct redis_tls_session *t, int fd)
{
    if (t->fault[0] || !settle(t) || t->in_n == sizeof t->in) return false;
    ssize_t got = recv(fd, t->in + t->in_n, sizeof t->in - t->in_n, MSG_DONTWAIT);
    if (got == 0)
        return fail(t, t->shaken ? "the connection ended without a close_notify"
                                 : "the server ended the connection in the TLS handshake");
    if (got < 0) return errno == EAGAIN || errno == EINTR ? false : fail(t, uv_strerror(-errno));
    t->in_n += (size_t)got;
    return frame(t);
}

/* Sends what is sealed, as far as the socket takes it; false when that was not all. */
static bool flush(struct redis_tls_session *t, int fd)
{
    size_t left = t->out.n - t->out_sent;
    if (left == 0) return true;
    ssize_t sent = send(fd, t->out.p + t->out_sent, left, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        int error = errno;
        while (take(t, fd)) { /* the server may have said why it went */
            char dropped[512];
            openssl.ERR_clear_error();
            int n = openssl.SSL_read(t->ssl, dropped, sizeof dropped);
            if (n <= 0 && openssl.SSL_get_error(t->ssl, n) == SSL_ERROR_SSL) fail_openssl(t);
            if (n > 0) break;
        }
        return fail(t, uv_strerror(-error));
    }
    if (sent > 0) t->out_sent += (size_t)sent;
    if (t->out_sent < t->out.n) return false;
    buffer_reset(&t->out);
    t->out_sent = 0;
    return true;
}

/* ---- OpenSSL's ends of the two buffers */

static int bio_read(BIO *bio, char *p, int n)
{
    struct redis_tls_session *t = openssl.BIO_get_data(bio);
    size_t there = t->whole - t->given, wanted = n > 0 ? (size_t)n : 0;
    openssl.BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    if (there == 0) {
        openssl.BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY);
        return -1;
    }
    if (wanted > there) wanted = there;
    memcpy(p, t->in + t->given, wanted);
    t->given += wanted;
    return (int)wanted;
}

static int bio_write(BIO *bio, const char *p, int n)
{
    struct redis_tls_session *t = openssl.BIO_get_data(bio);
    openssl.BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    return n >= 0 && buffer_put(&t->out, p, (size_t)n) ? n : -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *p)
{
    return command == BIO_CTRL_FLUSH; /* all others are of no account here */
}

static int bio_create(BIO *bio)
{
    openssl.BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *ends;

static void make_ends(void)
{
    ends = openssl.BIO_meth_new(BIO_TYPE_SOURCE_SINK, "perigee");
    if (!ends) abort();
    openssl.BIO_meth_set_create(ends, bio_create);
    openssl.BIO_meth_set_read(ends, bio_read);
    openssl.BIO_meth_set_write(ends, bio_write);
    openssl.BIO_meth_set_ctrl(ends, bio_ctrl);
}

/* ---- life */

static bool is_folder(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

/* Sets `why` for what OpenSSL could not do with an option's file. */
static bool refuse(char why[128], const char *option)
{
    const char *text = openssl.ERR_reason_error_string(openssl.ERR_peek_error());
    int error = ERR_SYSTEM_ERROR(openssl.ERR_peek_error()) ? ERR_GET_REASON(openssl.ERR_peek_error()) : 0;
    snprintf(why, 128, "TLS option `%s`: %s", option, error ? uv_strerror(-error) : text ? text : "it cannot be used");
    return false;
}

/* Whom we believe, and who we are: read anew for each connection, since such files are replaced while we run. */
static bool load_files(SSL_CTX *context, const struct redis_tls *tls, char why[128])
{
    openssl.ERR_clear_error();
    if (!tls->unverified) {
        int good = !tls->ca[0]          ? openssl.SSL_CTX_set_default_verify_paths(context)
                   : is_folder(tls->ca) ? openssl.SSL_CTX_load_verify_dir(context, tls->ca)
                                        : openssl.SSL_CTX_load_verify_file(context, tls->ca);
        if (good != 1) return refuse(why, "ca");
    }
    if (!tls->cert[0]) return true;
    if (openssl.SSL_CTX_use_certificate_chain_file(context, tls->cert) != 1) return refuse(why, "cert");
    if (openssl.SSL_CTX_use_PrivateKey_file(context, tls->key, SSL_FILETYPE_PEM) != 1 ||
        openssl.SSL_CTX_check_private_key(context) != 1)
        return refuse(why, "key");
    return true;
}

/* Asks for `name`, and takes a certificate for nobody else. */
static void demand_name(SSL *ssl, const char *name)
{
    if (redis_host_is_ip(name)) {
        char ip[64];
        snprintf(ip, sizeof ip, "%.*s", (int)strcspn(name, "%"), name); /* a scope is no part of it */
        if (openssl.X509_VERIFY_PARAM_set1_ip_asc(openssl.SSL_get0_param(ssl), ip) != 1) abort();
        return;
    }
    openssl.SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (openssl.SSL_set1_host(ssl, name) != 1) abort(); /* out of memory */
    openssl.SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *)name);
}

struct redis_tls_session *redis_tls_new(const struct redis_tls *tls, const char *host, char why[128])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const char *missing;
    if (!openssl_load(&missing)) {
        snprintf(why, 128, "no TLS: %s", missing);
        return NULL;
    }
    pthread_once(&once, make_ends);
    static atomic_flag warned = ATOMIC_FLAG_INIT;
    if (tls->unverified && !atomic_flag_test_and_set(&warned))
        log_warn("TLS with verify=off: whoever answers is believed", LOG_TEXT("server", host));
    SSL_CTX *context = openssl.SSL_CTX_new(openssl.TLS_client_method());
    if (!context) abort();
    openssl.SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL);
    openssl.SSL_CTX_ctrl(context, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS, NULL);
    openssl.SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    openssl.SSL_CTX_set_verify(context, tls->unverified ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (!load_files(context, tls, why)) {
        openssl.SSL_CTX_free(context);
        return NULL;
    }

    struct redis_tls_session *t = calloc(1, sizeof *t);
    if (!t) abort();
    t->context = context;
    t->ssl = openssl.SSL_new(context);
    BIO *bio = openssl.BIO_new(ends);
    if (!t->ssl || !bio) abort();
    openssl.BIO_set_data(bio, t);
    openssl.SSL_set_bio(t->ssl, bio, bio);
    openssl.SSL_set_connect_state(t->ssl);
    snprintf(t->name, sizeof t->name, "%s", tls->server_name[0] ? tls->server_name : host);
    demand_name(t->ssl, t->name);
    buffer_init(&t->out, OUT_MAX);
    return t;
}

void redis_tls_free(struct redis_tls_session *t)
{
    if (!t) return;
    openssl.SSL_free(t->ssl); /* and the BIO */
    openssl.SSL_CTX_free(t->context);
    buffer_deinit(&t->out);
    free(t);
}

/* ---- work */

enum redis_tls_progress redis_tls_shake(struct redis_tls_session *t, int fd)
{
    do {
        openssl.ERR_clear_error();
        int done = openssl.SSL_do_handshake(t->ssl);
        bool waits = done != 1 && openssl.SSL_get_error(t->ssl, done) == SSL_ERROR_WANT_READ;
        if (done != 1 && !waits) fail_openssl(t);
        flush(t, fd); /* our part, or the alert that says why not */
        if (done == 1) t->shaken = true;
    } while (!t->shaken && take(t, fd));
    return t->fault[0] ? TLS_FAILED : t->shaken ? TLS_DONE : TLS_WAITS;
}

/* What stands sealed in `in`, opened into p[n]; a fault when there is one behind it. */
static size_t open_records(struct redis_tls_session *t, char *p, size_t n)
{
    size_t got = 0;
    while (got < n) {
        size_t before = t->given;
        openssl.ERR_clear_error();
        int more = openssl.SSL_read(t->ssl, p + got, (int)(n - got));
        if (more > 0 && t->early) fail(t, "a reply without a question");
        if (more <= 0) {
            int error = openssl.SSL_get_error(t->ssl, more);
            if (error == SSL_ERROR_ZERO_RETURN) fail(t, "Server closed the connection");
            else if (error != SSL_ERROR_WANT_READ) fail_openssl(t);
            bool was_early = t->early && t->given > before; /* it held back those behind it */
            if (!settle(t) || t->fault[0] || !was_early) break;
            continue;
        }
        got += (size_t)more;
    }
    return got;
}

ssize_t redis_tls_read(struct redis_tls_session *t, int fd, char *p, size_t n)
{
    if (t->fault[0]) return -1;
    size_t got = open_records(t, p, n);
    if (got < n && !t->fault[0] && take(t, fd)) got += open_records(t, p + got, n - got);
    flush(t, fd); /* what OpenSSL had to say to that */
    return got ? (ssize_t)got : t->fault[0] ? -1 : 0;
}

ssize_t redis_tls_write(struct redis_tls_session *t, int fd, const char *p, size_t n)
{
    size_t written = 0;
    while (!t->fault[0] && flush(t, fd)) {
        written += t->sealed;
        t->sealed = 0;
        if (written == n) break;
        size_t part = n - written < SEAL_AT_ONCE ? n - written : SEAL_AT_ONCE;
        openssl.ERR_clear_error();
        if (openssl.SSL_write(t->ssl, p + written, (int)part) == (int)part) t->sealed = part;
        else fail_openssl(t);
    }
    return t->fault[0] ? -1 : (ssize_t)written;
}

bool redis_tls_is_quiet(struct redis_tls_session *t, int fd)
{
    char first;
    for (int reads = 0; reads < QUIET_READS; reads++) {
        if (open_records(t, &first, 1) > 0) return fail(t, "a reply without a question");
        if (!take(t, fd)) {
            t->early = t->in_n > 0;
            return !t->fault[0];
        }
    }
    return fail(t, "TLS: the server speaks, and says nothing");
}

bool redis_tls_can_read(const struct redis_tls_session *t)
{
    return t->fault[0] || t->given < t->whole || openssl.SSL_pending(t->ssl) > 0;
}

bool redis_tls_holds(const struct redis_tls_session *t) { return t->given < t->in_n || redis_tls_can_read(t); }

bool redis_tls_must_write(const struct redis_tls_session *t) { return t->out_sent < t->out.n; }

void redis_tls_end(struct redis_tls_session *t, int fd)
{
    if (!t->shaken || t->fault[0]) return;
    openssl.ERR_clear_error();
    openssl.SSL_shutdown(t->ssl);
    flush(t, fd);
}
