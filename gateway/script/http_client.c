/* script/http_client.c -- libcurl tells which sockets and which moment it waits for, libuv tells it when they come.
 *
 * A request is one or more attempts (http_retry.h), and an attempt waits for a place first (http_origin.h):
 *
 *     start --> begin --> waiting --launch--> under way --collect--> attempt_over --> finish --> done
 *                 ^          |                   |                        |
 *                 |          +-- on_timeout -----+------------------------^
 *                 +------------------- on_pause_over <-- back-off --------+
 *
 * libcurl must not be entered from its own callbacks, so those only store; attempts end outside them. */
#include "script/http_client.h"

#include "base/clock.h"
#include "base/hash.h"
#include "script/http_origin.h"
#include "script/http_transfer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPARE_MAX        16 /* easy handles kept for the next requests */
#define KEPT_CONNECTIONS HTTP_PLACES_MAX

struct http_client {
    struct script_host *host;
    CURLM *multi;
    uv_timer_t timer;
    struct http_origins origins;
    CURL *spare[SPARE_MAX];
    size_t n_spare;
    size_t bytes; /* payloads and bodies of all exchanges */
    struct histogram *retried,
        *over_budget; /* outcomes that only requests have which may be retried; found at first use */
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
    list_init(&x->waiting);
    return x;
}

void http_exchange_free(struct http_exchange *x)
{
    assert(!x->at && "still in flight");
    if (x->url) libcurl.url_cleanup(x->url);
    if (x->fields) libcurl.slist_free_all(x->fields);
    buffer_deinit(&x->payload);
    buffer_deinit(&x->head);
    buffer_deinit(&x->body);
    if (x->sum) *x->sum -= x->counted;
    free(x->ca);
    free(x);
}

/* --- an attempt --------------------------------------------------------------------------------------------------- */

/* The exchange has a place. */
static void launch(struct http_client *c, struct http_exchange *x)
{
    x->easy = c->n_spare > 0 ? c->spare[--c->n_spare] : libcurl.easy_init();
    if (!x->easy) abort();
    http_transfer_prepare(x);
    if (c->host->http_socket) libcurl.easy_setopt(x->easy, CURLOPT_UNIX_SOCKET_PATH, c->host->http_socket);
    CURLMcode added =
        libcurl.multi_add_handle(c->multi, x->easy); /* only asks for a timer: nothing is called from here */
    assert(added == CURLM_OK);
    (void)added;
}

static void launch_next(struct http_client *c)
{
    for (struct list *next; (next = http_origins_next(&c->origins));)
        launch(c, container_of(next, struct http_exchange, waiting));
}

static void on_timeout(struct host_timer *timer);

/* The wait for a place is a part of the attempt. A timeout beyond the deadline is left to the owner. */
static void begin(struct http_exchange *x)
{
    struct http_client *c = x->client;
    uint64_t end_us = clock_add(clock_mono_us(), x->timeout_us);
    x->attempts++;
    host_timer_init(&x->timer, on_timeout);
    if (end_us < x->deadline_us) host_timer_set(c->host, &x->timer, end_us);
    http_origin_wait(&c->origins, x->at, &x->waiting);
    launch_next(c);
}

/* --- end of an attempt -------------------------------------------------------------------------------------------- */

/* Takes the exchange out of line and out of libcurl; its connection goes back to the cache, or is closed when it was cut off. */
static void detach(struct http_exchange *x)
{
    struct http_client *c = x->client;
    CURL *easy = x->easy;
    host_timer_stop(c->host, &x->timer);
    list_remove(&x->waiting);
    if (!easy) return;
    x->easy = NULL;
    http_origin_give_back(&c->origins, x->at);
    libcurl.multi_remove_handle(c->multi, easy);
    if (c->n_spare < SPARE_MAX) {
        libcurl.easy_reset(easy);
        c->spare[c->n_spare++] = easy;
    } else {
        libcurl.easy_cleanup(easy);
    }
}

static void observe(struct http_exchange *x, struct histogram **series, struct slice outcome)
{
    struct slice labels[] = {SLICE("http"), outcome};
    struct metrics *metrics = x->client->host->metrics;
    uint64_t now = clock_mono_us();
    if (!*series) *series = metrics_histogram(metrics, METRIC_UPSTREAM_TIME, labels);
    histogram_add(*series, now - x->began_us);
    x->began_us = now;
}

static void leave(struct http_exchange *x)
{
    http_origins_leave(&x->client->origins, x->at);
    x->at = NULL;
    launch_next(x->client);
}

void http_client_cancel(struct http_exchange *x)
{
    detach(x);
    host_upstream(x->client->host, UPSTREAM_HTTP, UPSTREAM_CANCELLED, clock_mono_us() - x->began_us);
    leave(x);
}

static void finish(struct http_exchange *x, enum http_ending ending, bool over_budget)
{
    struct http_client *c = x->client;
    size_t n = strlen(x->failure);
    if (n && (x->attempts > 1 || over_budget))
        snprintf(x->failure + n, sizeof x->failure - n, " (%u attempt%s%s)", x->attempts, x->attempts > 1 ? "s" : "",
                 over_budget ? "; too many retries to this server" : "");
    if (over_budget) observe(x, &c->over_budget, SLICE("over-budget"));
    else
        host_upstream(c->host, UPSTREAM_HTTP,
                      ending == HTTP_ANSWERED    ? UPSTREAM_OK
                      : ending == HTTP_TIMED_OUT ? UPSTREAM_TIMEOUT
                                                 : UPSTREAM_ERROR,
                      clock_mono_us() - x->began_us);
    leave(x);
    x->done(x);
}

static void on_pause_over(struct host_timer *timer)
{
    struct http_exchange *x = container_of(timer, struct http_exchange, timer);
    begin(x);
}

/* The attempt has ended, with an answer or with a failure. Is there another? Not when the handler has no time left to wait for it:
 * then what there is is better than nothing. May free x. */
static void attempt_over(struct http_exchange *x, enum http_ending ending)
{
    struct http_client *c = x->client;
    detach(x);
    uint64_t now = clock_mono_us(), salt[] = {(uintptr_t)x, now}, due = CLOCK_NEVER;
    if (http_retry_wanted(&x->retry, x->method, x->attempts, ending, x->status))
        due = clock_add(now, http_retry_delay_us(x->attempts, http_transfer_field(x, SLICE("retry-after")),
                                                 hash_seeded(slice_from(salt, sizeof salt))));
    if (due >= x->deadline_us) {
        finish(x, ending, false);
    } else if (!http_budget_retry(&x->at->budget, now)) {
        finish(x, ending, true);
    } else {
        observe(x, &c->retried, SLICE("retried"));
        host_timer_init(&x->timer, on_pause_over);
        host_timer_set(c->host, &x->timer, due);
        launch_next(c);
    }
}

static void on_timeout(struct host_timer *timer)
{
    struct http_exchange *x = container_of(timer, struct http_exchange, timer);
    snprintf(x->failure, sizeof x->failure, "timeout");
    attempt_over(x, HTTP_TIMED_OUT);
}

/* Ends what libcurl has finished. `done` may start and cancel others. */
static void collect(struct http_client *c)
{
    CURLMsg *message;
    int left;
    while ((message = libcurl.multi_info_read(c->multi, &left))) {
        if (message->msg != CURLMSG_DONE) continue;
        CURLcode code = message->data.result;
        struct http_exchange *x;
        libcurl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &x);
        attempt_over(x, http_transfer_end(x, code));
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
    libcurl.multi_socket_action(c->multi, watch->fd, flags, &running); /* watch may be closing now */
    collect(c);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *watch = container_of((uv_poll_t *)handle, struct watch, poll);
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
        libcurl.multi_assign(c->multi, fd, NULL);
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
        libcurl.multi_assign(c->multi, fd, watch);
    }
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&watch->poll, events, on_poll) == 0 ? 0 : -1;
}

static void on_timer(uv_timer_t *timer)
{
    struct http_client *c = container_of(timer, struct http_client, timer);
    int running;
    libcurl.multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(c);
}

/* libcurl: "call me after so many milliseconds", or -1: no need. */
static int on_time(CURLM *multi, long ms, void *client)
{
    struct http_client *c = client;
    if (ms < 0) return uv_timer_stop(&c->timer);
    return uv_timer_start(&c->timer, on_timer, (uint64_t)ms, 0);
}

/* --- start -------------------------------------------------------------------------------------------------------- */

enum status http_client_start(struct http_client *c, struct http_exchange *x)
{
    const char *why = NULL;
    x->client = c;
    x->sum = &c->bytes;
    x->began_us = clock_mono_us();
    if (!http_transfer_count(x, x->payload.n))
        snprintf(x->failure, sizeof x->failure, "more than %d bytes of bodies at once", HTTP_BYTES_MAX);
    else if (!(x->at = http_origins_enter(&c->origins, slice_of(x->origin), &why)))
        snprintf(x->failure, sizeof x->failure, "%s", why);
    if (!x->at) {
        host_upstream(c->host, UPSTREAM_HTTP, UPSTREAM_ERROR, 0);
        return OVERLOADED;
    }
    http_budget_request(&x->at->budget, x->began_us);
    if (c->host->http_socket) http_transfer_divert(x);
    begin(x);
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

struct http_client *http_client_of(struct script_host *h)
{
    if (h->http) return h->http;
    struct http_client *c = calloc(1, sizeof *c);
    if (!c || !(c->multi = libcurl.multi_init())) abort();
    c->host = h;
    http_origins_init(&c->origins);
    uv_timer_init(h->loop, &c->timer);
    host_hold(h);
    libcurl.multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    libcurl.multi_setopt(c->multi, CURLMOPT_SOCKETDATA, (void *)c);
    libcurl.multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_time);
    libcurl.multi_setopt(c->multi, CURLMOPT_TIMERDATA, (void *)c);
    libcurl.multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)KEPT_CONNECTIONS);
    return h->http = c;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct http_client *c = container_of((uv_timer_t *)handle, struct http_client, timer);
    struct script_host *h = c->host;
    free(c);
    host_release(h);
}

void http_client_close(struct http_client *c)
{
    assert(c->origins.requests == 0);
    http_client_hold(c, NULL);
    http_origins_deinit(&c->origins);
    while (c->n_spare > 0) libcurl.easy_cleanup(c->spare[--c->n_spare]);
    libcurl.multi_cleanup(c->multi); /* closes the kept connections */
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}
