/* script/http_client.h -- HTTP requests over libcurl's multi-socket interface on the worker's loop. Knows no Lua.
 *
 * One client a host, made at the first request: connections are kept alive for the next one and outlive reloads. */
#ifndef PERIGEE_SCRIPT_HTTP_CLIENT_H
#define PERIGEE_SCRIPT_HTTP_CLIENT_H

#include "base/buffer.h"
#include "base/status.h"
#include "script/host_internal.h"
#include "script/http_curl.h"
#include "script/http_retry.h"

#define HTTP_HEAD_MAX     (64 << 10) /* bytes of an answer's header fields */
#define HTTP_PAYLOAD_MAX  (16 << 20)
#define HTTP_BODY_MAX     (64 << 20)  /* the most that max_bytes may ask for */
#define HTTP_BYTES_MAX    (256 << 20) /* payloads and bodies of a worker's requests under way, together */
#define HTTP_ORIGIN_NAME  300
#define HTTP_FAILURE_TEXT 240

struct http_client;
struct http_origin;

/* One request and its answer, over all its attempts. The caller fills the first part; the client the second, before `done`. */
struct http_exchange {
    char method[16];
    CURLU *url;                    /* http or https */
    char origin[HTTP_ORIGIN_NAME]; /* "http://127.0.0.1:80" */
    char shown[256];               /* the URL as messages may show it: no credentials, no query */
    struct curl_slist *fields;     /* "Name: value" */
    struct buffer payload;
    bool has_payload;
    bool as_it_comes; /* the caller names the encodings it takes, and decodes them */
    long redirects;   /* to follow at most */
    size_t max_bytes;
    char *ca;             /* file of trusted certificates, or NULL: the system's */
    uint64_t timeout_us;  /* how long an attempt may take; CLOCK_NEVER: as long as there is time */
    uint64_t deadline_us; /* on clock_mono_us: then the owner cancels; no attempt begins after it */
    struct http_retry_rules retry;
    void (*done)(struct http_exchange *x);
    void *owner;

    char failure[HTTP_FAILURE_TEXT]; /* why there is no answer, or "" */
    long status;
    struct buffer head; /* field lines of the last answer, CRLF between them */
    struct buffer body;

    struct http_client *client; /* from here on: the client's own */
    struct http_origin *at;     /* NULL: not under way */
    struct list waiting;        /* for a place there */
    CURL *easy;                 /* has a place */
    char error[CURL_ERROR_SIZE];
    unsigned attempts;
    bool asked;    /* libcurl has begun to send, and nothing has come since */
    bool answered; /* this attempt has a byte of an answer */
    bool head_over, crowded;
    size_t *sum, counted;    /* the client's sum of bytes, and how many of these are ours */
    uint64_t began_us;       /* this attempt, with the wait before it */
    struct host_timer timer; /* of the attempt; or until the next one */
};

struct http_exchange *http_exchange_new(void);
void http_exchange_free(struct http_exchange *x);

/* The host's client, made when there is none. libcurl_load has been called with success. */
struct http_client *http_client_of(struct script_host *h);

/* The client keeps one exchange for a C function that may raise while it fills it or reads it: what is left there is freed by
 * the next hold (x NULL: now) and by the end of the client. draw takes it back. */
void http_client_hold(struct http_client *c, struct http_exchange *x);
struct http_exchange *http_client_draw(struct http_client *c);

/* OVERLOADED, and x->failure says of what there is too much. PENDING: `done` is called later, once; x stays the caller's. */
enum status http_client_start(struct http_client *c, struct http_exchange *x);

/* Ends it at once, without `done`. */
void http_client_cancel(struct http_exchange *x);

/* When nothing is in flight. Releases its holds on the host as its handles close. */
void http_client_close(struct http_client *c);

#endif
