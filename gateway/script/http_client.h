/* script/http_client.h -- HTTP requests over libcurl's multi-socket interface on the worker's loop. Knows no Lua.
 *
 * One client a host, made at the first request: connections are kept alive for the next one and outlive reloads. */
#ifndef PERIGEE_SCRIPT_HTTP_CLIENT_H
#define PERIGEE_SCRIPT_HTTP_CLIENT_H

#include "base/buffer.h"
#include "base/status.h"
#include "script/host_internal.h"

#include <curl/curl.h>

#define HTTP_CLIENT_INFLIGHT_MAX 1024       /* requests a worker */
#define HTTP_HEAD_MAX            (64 << 10) /* bytes of an answer's header fields */
#define HTTP_PAYLOAD_MAX         (16 << 20)
#define HTTP_BODY_MAX            (64 << 20) /* the most that max_bytes may ask for */

struct http_client;

/* One request and its answer. The caller fills the first part; the client the second, before `done`. */
struct http_exchange {
    char method[16];
    CURLU *url;                /* http or https */
    char shown[256];           /* the URL as messages may show it: no credentials, no query */
    struct curl_slist *fields; /* "Name: value" */
    struct buffer payload;
    bool has_payload;
    long redirects; /* to follow at most */
    size_t max_bytes;
    bool verify;
    char *ca;            /* file of trusted certificates, or NULL: the system's */
    uint64_t timeout_us; /* on clock_mono_us, or CLOCK_NEVER: the owner cancels */
    void (*done)(struct http_exchange *x);
    void *owner;

    char failure[160]; /* why there is no answer, or "" */
    long status;
    struct buffer head; /* field lines of the last answer, CRLF between them */
    struct buffer body;

    struct http_client *client; /* from here on: the client's own */
    CURL *easy;
    char error[CURL_ERROR_SIZE];
    uint64_t began_us;
    struct host_timer timeout;
    bool head_over;
};

struct http_exchange *http_exchange_new(void);
void http_exchange_free(struct http_exchange *x);

/* The host's client, made when there is none. */
struct http_client *http_client_of(struct script_host *h);

/* The client keeps one exchange for a C function that may raise while it fills it or reads it: what is left there is freed by
 * the next hold (x NULL: now) and by the end of the client. draw takes it back. */
void http_client_hold(struct http_client *c, struct http_exchange *x);
struct http_exchange *http_client_draw(struct http_client *c);

/* OVERLOADED when too many are in flight. PENDING: `done` is called later, once; x stays the caller's. */
enum status http_client_start(struct http_client *c, struct http_exchange *x);

/* Ends it at once, without `done`. */
void http_client_cancel(struct http_exchange *x);

/* When nothing is in flight. Releases its holds on the host as its handles close. */
void http_client_close(struct http_client *c);

#endif
