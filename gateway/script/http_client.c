/* script/http_client.c -- libcurl tells which sockets and which moment it waits for, libuv tells it when they come.
 *
 * In order of a request's life: easy handle, start, sockets and time, answer, end. libcurl must not be entered from its own callbacks,
 * so those only store; exchanges end in `collect`, outside them. */
#include "script/http_client.h"

#include "base/clock.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPARE_MAX          16 /* easy handles kept for the next requests */
#define KEPT_CONNECTIONS   32
#define CONNECTIONS_A_HOST 32 /* to one server; further requests wait for one of them */

struct http_client {
    struct script_host *host;
    CURLM *multi;
    uv_timer_t timer;
    CURL *spare[SPARE_MAX];
    size_t n_spare, in_flight;
    struct http_exchange *held;
};

/* A socket that libcurl watches. */
struct watch {
    uv_poll_t poll;
    struct http_client *client;
    struct script_host *host; /* outlives the client while handles close */
    curl_socket_t fd;
};

/* --- exchanges ---------------------------------------------------------------------------------------------------- */

struct http_exchange *http_exchange_new(void)
{
    struct http_exchange *x = calloc(1, sizeof *x);
    if (!x) abort();
    buffer_init(&x->payload, HTTP_PAYLOAD_MAX);
    buffer_init(&x->head, HTTP_HEAD_MAX);
    buffer_init(&x->body, HTTP_BODY_MAX);
    return x;
}

void http_exchange_free(struct http_exchange *x)
{
    assert(!x->easy && "still in flight");
    if (x->url) curl_url_cleanup(x->url);
    curl_slist_free_all(x->fields);
    buffer_deinit(&x->payload);
    buffer_deinit(&x->head);
    buffer_deinit(&x->body);
    free(x->ca);
    free(x);
}

/* --- end of a request --------------------------------------------------------------------------------------------- */

/* Takes the exchange out of libcurl; its connection goes back to the cache, or is closed when it was cut off. */
static void detach(struct http_exchange *x, enum upstream_outcome outcome)
{
    struct http_client *c = x->client;
    CURL *easy = x->easy;
    x->easy = NULL;
    host_timer_stop(c->host, &x->timeout);
    curl_multi_remove_handle(c->multi, easy);
    c->in_flight--;
    if (c->n_spare < SPARE_MAX) {
        curl_easy_reset(easy);
        c->spare[c->n_spare++] = easy;
    } else {
        curl_easy_cleanup(easy);
    }
    host_upstream(c->host, UPSTREAM_HTTP, outcome, clock_mono_us() - x->began_us);
}

void http_client_cancel(struct http_exchange *x) { detach(x, UPSTREAM_CANCELLED); }

static void on_timeout(struct host_timer *timer)
{
    struct http_exchange *x = container_of(timer, struct http_exchange, timeout);
    detach(x, UPSTREAM_TIMEOUT);
    snprintf(x->failure, sizeof x->failure, "timeout");
    x->done(x);
}

static void lower_first(char *s)
{
    if (s[0] >= 'A' && s[0] <= 'Z' && !(s[1] >= 'A' && s[1] <= 'Z')) s[0] += 'a' - 'A';
}

static void explain(struct http_exchange *x, CURLcode code)
{
    long os = 0;
    size_t max = sizeof x->failure;
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST: snprintf(x->failure, max, "host not found"); return;
    case CURLE_OPERATION_TIMEDOUT: snprintf(x->failure, max, "timeout"); return;
    case CURLE_TOO_MANY_REDIRECTS: snprintf(x->failure, max, "more than %ld redirects", x->redirects); return;
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR: snprintf(x->failure, max, "connection lost"); return;
    case CURLE_PEER_FAILED_VERIFICATION: snprintf(x->failure, max, "the server's certificate is not trusted"); return;
    case CURLE_SSL_CACERT_BADFILE: snprintf(x->failure, max, "the file of `ca` cannot be used"); return;
    case CURLE_PARTIAL_FILE: snprintf(x->failure, max, "connection lost in the middle of the body"); return;
    case CURLE_WRITE_ERROR:
        if (x->head.overflow) snprintf(x->failure, max, "header fields of more than %d bytes", HTTP_HEAD_MAX);
        else snprintf(x->failure, max, "body of more than %zu bytes", x->max_bytes);
        return;
    case CURLE_COULDNT_CONNECT:
        curl_easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &os);
        snprintf(x->failure, max, "%s", os ? strerror((int)os) : "cannot connect");
        break;
    case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9, or a redirect to another scheme: only libcurl's own words tell */
        snprintf(x->failure, max, "%s", x->error);
        break;
    default: snprintf(x->failure, max, "%s", curl_easy_strerror(code));
    }
    lower_first(x->failure);
}

/* Ends what libcurl has finished. `done` may start and cancel others. */
static void collect(struct http_client *c)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(c->multi, &left))) {
        if (message->msg != CURLMSG_DONE) continue;
        CURLcode code = message->data.result;
        struct http_exchange *x;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &x);
        if (code == CURLE_OK) curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &x->status);
        else explain(x, code);
        detach(x, code == CURLE_OK                   ? UPSTREAM_OK
                  : code == CURLE_OPERATION_TIMEDOUT ? UPSTREAM_TIMEOUT
                                                     : UPSTREAM_ERROR);
        x->done(x);
    }
}

/* --- sockets and time --------------------------------------------------------------------------------------------- */

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = container_of(poll, struct watch, poll);
    struct http_client *c = watch->client;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0, running;
    if (events & UV_READABLE) flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE) flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(c->multi, watch->fd, flags, &running); /* watch may be closing now */
    collect(c);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *watch = container_of(handle, struct watch, poll);
    struct script_host *h = watch->host;
    free(watch);
    host_release(h);
}

/* libcurl: "I wait for this on that socket." */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *client, void *known)
{
    struct http_client *c = client;
    struct watch *watch = known;
    if (what == CURL_POLL_REMOVE) {
        if (!watch) return 0;
        curl_multi_assign(c->multi, fd, NULL);
        uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
        return 0;
    }
    if (!watch) {
        watch = malloc(sizeof *watch);
        if (!watch) abort();
        *watch = (struct watch){.client = c, .host = c->host, .fd = fd};
        if (uv_poll_init_socket(c->host->loop, &watch->poll, fd) != 0) {
            free(watch);
            return -1;
        }
        host_hold(c->host);
        curl_multi_assign(c->multi, fd, watch);
    }
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&watch->poll, events, on_poll) == 0 ? 0 : -1;
}

static void on_timer(uv_timer_t *timer)
{
    struct http_client *c = container_of(timer, struct http_client, timer);
    int running;
    curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(c);
}

/* libcurl: "call me after so many milliseconds", or -1: no need. */
static int on_time(CURLM *multi, long ms, void *client)
{
    struct http_client *c = client;
    if (ms < 0) return uv_timer_stop(&c->timer);
    return uv_timer_start(&c->timer, on_timer, (uint64_t)ms, 0);
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

/* A header line. Each answer of a chain (1xx, redirects) begins with its status line and forgets the one before; trailers, which
 * come after the empty line, are left out. */
static size_t on_head(char *line, size_t one, size_t n, void *exchange)
{
    struct http_exchange *x = exchange;
    struct slice s = {line, n};
    if (slice_starts(s, SLICE("HTTP/"))) {
        buffer_reset(&x->head);
        x->head_over = false;
    } else if (n <= 2) {
        x->head_over = true;
    } else if (!x->head_over) {
        return buffer_slice(&x->head, s) ? n : 0;
    }
    return n;
}

static size_t on_body(char *bytes, size_t one, size_t n, void *exchange)
{
    struct http_exchange *x = exchange;
    if (x->body.n + n > x->max_bytes) return 0;
    return buffer_put(&x->body, bytes, n) ? n : 0;
}

/* --- start -------------------------------------------------------------------------------------------------------- */

static void set_method(struct http_exchange *x)
{
    CURL *easy = x->easy;
    if (strcmp(x->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (x->has_payload || strcmp(x->method, "POST") == 0) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, x->payload.p ? x->payload.p : "");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->payload.n);
        if (strcmp(x->method, "POST") == 0) return;
    } else if (strcmp(x->method, "GET") == 0) {
        return;
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, x->method);
}

static void set_options(struct http_exchange *x)
{
    CURL *easy = x->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, x);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->error);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* a cancelled look-up of a name must not block the worker */
    curl_easy_setopt(easy, CURLOPT_PROXY, "");      /* what the environment says is not meant for handlers */
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "perigee/" PERIGEE_VERSION);
    curl_easy_setopt(easy, CURLOPT_CURLU, x->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, x->redirects > 0 ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, x->redirects);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, x->fields);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
    if (!x->verify) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (x->ca) curl_easy_setopt(easy, CURLOPT_CAINFO, x->ca);
    set_method(x);
}

enum status http_client_start(struct http_client *c, struct http_exchange *x)
{
    if (c->in_flight >= HTTP_CLIENT_INFLIGHT_MAX) return OVERLOADED;
    x->client = c;
    x->easy = c->n_spare > 0 ? c->spare[--c->n_spare] : curl_easy_init();
    if (!x->easy) abort();
    x->began_us = clock_mono_us();
    set_options(x);
    host_timer_init(&x->timeout, on_timeout);
    host_timer_set(c->host, &x->timeout, x->timeout_us);
    c->in_flight++;
    CURLMcode added = curl_multi_add_handle(c->multi, x->easy); /* only asks for a timer: nothing is called from here */
    assert(added == CURLM_OK);
    (void)added;
    return PENDING;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

void http_client_hold(struct http_client *c, struct http_exchange *x)
{
    if (c->held) http_exchange_free(c->held);
    c->held = x;
}

struct http_exchange *http_client_draw(struct http_client *c)
{
    struct http_exchange *x = c->held;
    c->held = NULL;
    return x;
}

static void init_curl(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) abort();
}

struct http_client *http_client_of(struct script_host *h)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (h->http) return h->http;
    pthread_once(&once, init_curl);

    struct http_client *c = calloc(1, sizeof *c);
    if (!c || !(c->multi = curl_multi_init())) abort();
    c->host = h;
    uv_timer_init(h->loop, &c->timer);
    host_hold(h);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_time);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)KEPT_CONNECTIONS);
    curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)CONNECTIONS_A_HOST);
    return h->http = c;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct http_client *c = container_of(handle, struct http_client, timer);
    struct script_host *h = c->host;
    free(c);
    host_release(h);
}

void http_client_close(struct http_client *c)
{
    assert(c->in_flight == 0);
    http_client_hold(c, NULL);
    while (c->n_spare > 0) curl_easy_cleanup(c->spare[--c->n_spare]);
    curl_multi_cleanup(c->multi); /* closes the kept connections */
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}
