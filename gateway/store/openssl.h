/* store/openssl.h -- OpenSSL, loaded when a server is first to be spoken to over TLS: it is four MiB that a gateway without a rediss:// URL has
 * neither in memory nor to be installed. This is also why hiredis' own TLS is not used: it links the library into whoever links it. */
#ifndef PERIGEE_STORE_OPENSSL_H
#define PERIGEE_STORE_OPENSSL_H

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>

/* clang-format off */
#define OPENSSL_MAP(X)                                                                                                  \
    X(BIO_clear_flags) X(BIO_get_data) X(BIO_meth_new) X(BIO_meth_set_create) X(BIO_meth_set_ctrl) X(BIO_meth_set_read) \
    X(BIO_meth_set_write) X(BIO_new) X(BIO_set_data) X(BIO_set_flags) X(BIO_set_init)                                   \
    X(ERR_clear_error) X(ERR_get_error) X(ERR_peek_error) X(ERR_peek_last_error) X(ERR_reason_error_string)             \
    X(SSL_CTX_check_private_key) X(SSL_CTX_ctrl) X(SSL_CTX_free) X(SSL_CTX_load_verify_dir) X(SSL_CTX_load_verify_file) \
    X(SSL_CTX_new) X(SSL_CTX_set_default_verify_paths) X(SSL_CTX_set_options) X(SSL_CTX_set_verify)                     \
    X(SSL_CTX_use_PrivateKey_file) X(SSL_CTX_use_certificate_chain_file)                                                \
    X(SSL_ctrl) X(SSL_do_handshake) X(SSL_free) X(SSL_get0_param) X(SSL_get_error) X(SSL_get_verify_result) X(SSL_new)  \
    X(SSL_pending) X(SSL_read) X(SSL_set1_host) X(SSL_set_bio) X(SSL_set_connect_state) X(SSL_set_hostflags)            \
    X(SSL_shutdown) X(SSL_write) X(TLS_client_method)                                                                   \
    X(X509_VERIFY_PARAM_set1_ip_asc) X(X509_verify_cert_error_string)
/* clang-format on */

/* openssl.SSL_new(context), and so on; what is a macro in OpenSSL is written out. */
struct openssl {
#define X(name) __typeof__(&name) name;
    OPENSSL_MAP(X)
#undef X
};

extern struct openssl openssl; /* good for use once openssl_load has said so */

/* Loads the library at the first call, from whatever thread; false, and why, when there is none. It stays loaded. */
bool openssl_load(const char **why);

#endif
