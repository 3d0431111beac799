/* script/http_transfer.c -- an attempt's options, callbacks and end. In order of time. */
#include "script/http_transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool http_transfer_count(struct http_exchange *x, size_t n)
{
    if (n > HTTP_BYTES_MAX - *x->sum) return false;
    *x->sum += n;
    x->counted += n;
    return true;
}

/* Nothing is left of the attempt before. */
static void forget_answer(struct http_exchange *x)
{
    *x->sum -= x->body.n;
    x->counted -= x->body.n;
    buffer_reset(&x->head);
    buffer_reset(&x->body);
    x->asked = x->answered = x->head_over = x->crowded = false;
    x->failure[0] = x->error[0] = 0;
    x->status = 0;
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
        x->head_over = x->asked = false;
        x->answered = true;
    } else if (n <= 2) {
        x->head_over = true;
    } else if (!x->head_over) {
        return buffer_slice(&x->head, s) ? n : 0;
    }
    return n;
}

/* Decoded bytes: what is capped is what it unpacks to. */
static size_t on_body(char *bytes, size_t one, size_t n, void *exchange)
{
    struct http_exchange *x = exchange;
    if (n > x->max_bytes - x->body.n) return 0;
    x->crowded = !http_transfer_count(x, n);
    return !x->crowded && buffer_put(&x->body, bytes, n) ? n : 0;
}

struct slice http_transfer_field(const struct http_exchange *x, struct slice name)
{
    struct slice rest = buffer_view(&x->head);
    while (rest.p) {
        struct slice value = slice_cut(&rest, '\n'), found = slice_cut(&value, ':');
        if (!value.p || !slice_ieq(found, name)) continue;
        if (value.n && value.p[value.n - 1] == '\r') value.n--;
        return slice_trim(value);
    }
    return (struct slice){NULL, 0};
}

/* --- the beginning ------------------------------------------------------------------------------------------------ */

/* libcurl is about to send. When it does so again without an answer, the kept connection it had taken was closed under it; whether the
 * server has done what was asked it cannot know, so what must not be done twice ends here. */
static int on_request(void *exchange, char *to, char *from, int to_port, int from_port)
{
    struct http_exchange *x = exchange;
    if (x->asked && !http_retry_harmless(&x->retry, x->method)) return CURL_PREREQFUNC_ABORT;
    x->asked = true;
    return CURL_PREREQFUNC_OK;
}

static void set_method(struct http_exchange *x)
{
    CURL *easy = x->easy;
    if (strcmp(x->method, "HEAD") == 0) {
        libcurl.easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (x->has_payload || strcmp(x->method, "POST") == 0) {
        libcurl.easy_setopt(easy, CURLOPT_POST, 1L);
        libcurl.easy_setopt(easy, CURLOPT_POSTFIELDS, x->payload.p ? x->payload.p : "");
        libcurl.easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->payload.n);
        if (strcmp(x->method, "POST") == 0) return;
    } else if (strcmp(x->method, "GET") == 0) {
        return;
    }
    libcurl.easy_setopt(easy, CURLOPT_CUSTOMREQUEST, x->method);
}

void http_transfer_divert(struct http_exchange *x)
{
    char *scheme = NULL;
    libcurl.url_get(x->url, CURLUPART_SCHEME, &scheme, 0);
    if (scheme && strcmp(scheme, "https") == 0) {
        struct curl_slist *fields = libcurl.slist_append(x->fields, "Perigee-Scheme: https");
        if (!fields || libcurl.url_set(x->url, CURLUPART_SCHEME, "http", 0) != CURLUE_OK) abort();
        x->fields = fields;
    }
    libcurl.free(scheme);
}

void http_transfer_prepare(struct http_exchange *x)
{
    forget_answer(x);
    CURL *easy = x->easy;
    libcurl.easy_setopt(easy, CURLOPT_PRIVATE, (void *)x);
    libcurl.easy_setopt(easy, CURLOPT_ERRORBUFFER, x->error);
    libcurl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    libcurl.easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* a cancelled look-up of a name must not block the worker */
    libcurl.easy_setopt(easy, CURLOPT_PROXY, "");      /* what the environment says is not meant for handlers */
    libcurl.easy_setopt(easy, CURLOPT_USERAGENT, "perigee/" PERIGEE_VERSION);
    libcurl.easy_setopt(easy, CURLOPT_CURLU, x->url);
    libcurl.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    libcurl.easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    libcurl.easy_setopt(easy, CURLOPT_FOLLOWLOCATION, x->redirects > 0 ? 1L : 0L);
    libcurl.easy_setopt(easy, CURLOPT_MAXREDIRS, x->redirects);
    libcurl.easy_setopt(easy, CURLOPT_HTTPHEADER, x->fields);
    libcurl.easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request);
    libcurl.easy_setopt(easy, CURLOPT_PREREQDATA, (void *)x);
    libcurl.easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head);
    libcurl.easy_setopt(easy, CURLOPT_HEADERDATA, (void *)x);
    libcurl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    libcurl.easy_setopt(easy, CURLOPT_WRITEDATA, (void *)x);
    if (!x->as_it_comes) libcurl.easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    if (x->ca) libcurl.easy_setopt(easy, CURLOPT_CAINFO, x->ca);
    set_method(x);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

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
    case CURLE_ABORTED_BY_CALLBACK: /* on_request */
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR: snprintf(x->failure, max, "connection lost"); return;
    case CURLE_PEER_FAILED_VERIFICATION: snprintf(x->failure, max, "the server's certificate is not trusted"); return;
    case CURLE_SSL_CACERT_BADFILE: snprintf(x->failure, max, "the file of `ca` cannot be used"); return;
    case CURLE_PARTIAL_FILE: snprintf(x->failure, max, "connection lost in the middle of the body"); return;
    case CURLE_BAD_CONTENT_ENCODING: snprintf(x->failure, max, "the body's encoding is unknown or damaged"); return;
    case CURLE_WRITE_ERROR:
        if (x->head.overflow) snprintf(x->failure, max, "header fields of more than %d bytes", HTTP_HEAD_MAX);
        else if (x->crowded) snprintf(x->failure, max, "more than %d bytes of bodies at once", HTTP_BYTES_MAX);
        else snprintf(x->failure, max, "body of more than %zu bytes", x->max_bytes);
        return;
    case CURLE_COULDNT_CONNECT:
        libcurl.easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &os);
        snprintf(x->failure, max, "%s", os ? strerror((int)os) : "cannot connect");
        break;
    case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9, or a redirect to another scheme: only libcurl's own words tell */
        snprintf(x->failure, max, "%s", x->error);
        break;
    default: snprintf(x->failure, max, "%s", libcurl.easy_strerror(code));
    }
    lower_first(x->failure);
}

/* What libcurl's code means for another attempt. A connection may be refused when something was sent before: after a redirect, or when a
 * kept connection turned out to be dead and libcurl tried again on a new one. */
static enum http_ending ending_of(struct http_exchange *x, CURLcode code)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT: return HTTP_TIMED_OUT;
    case CURLE_COULDNT_CONNECT: return x->answered ? HTTP_FAILED : x->asked ? HTTP_RESET : HTTP_REFUSED;
    case CURLE_ABORTED_BY_CALLBACK: /* on_request */
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR: return x->answered ? HTTP_FAILED : HTTP_RESET;
    default: return HTTP_FAILED;
    }
}

enum http_ending http_transfer_end(struct http_exchange *x, CURLcode code)
{
    if (code == CURLE_OK) {
        libcurl.easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &x->status);
        if (x->head_over && x->status >= 200) return HTTP_ANSWERED;
        code = CURLE_RECV_ERROR; /* lost within the fields, or after a 103: libcurl thinks nothing of it */
    }
    explain(x, code);
    return ending_of(x, code);
}
