/* script/http_retry.h -- whether and when a request is sent again. Pure: time and chance are arguments.
 *
 * Three bounds, so that a source in trouble is not troubled more: the rules of the request, a back-off that doubles, and a budget for
 * each origin and worker, which retries may use up but a hundred requests that fail at once cannot pass. */
#ifndef PERIGEE_SCRIPT_HTTP_RETRY_H
#define PERIGEE_SCRIPT_HTTP_RETRY_H

#include "base/slice.h"

#include <stdint.h>

#define HTTP_RETRIES_MAX        10
#define HTTP_RETRY_STATUSES_MAX 16

/* How an attempt ended. */
enum http_ending {
    HTTP_ANSWERED,  /* with whatever status */
    HTTP_REFUSED,   /* no connection: nothing was sent */
    HTTP_RESET,     /* the connection was lost before a byte of an answer */
    HTTP_TIMED_OUT, /* the attempt's own timeout */
    HTTP_FAILED     /* anything else: it would fail again, or must not be repeated */
};

struct http_retry_rules {
    unsigned retries; /* attempts beyond the first */
    bool chosen;      /* the handler says what to retry: that holds for every method */
    bool refused, reset, timeout;
    unsigned short statuses[HTTP_RETRY_STATUSES_MAX];
    size_t n_statuses;
};

/* No retries; if there are, then of what is harmless: refused, reset, 502, 503, 504. */
void http_retry_rules_init(struct http_retry_rules *r);

/* May it be sent again when nobody knows what became of it? */
bool http_retry_harmless(const struct http_retry_rules *r, const char *method);

/* Do the rules want another attempt after `attempts` of them? */
bool http_retry_wanted(const struct http_retry_rules *r, const char *method, unsigned attempts, enum http_ending ending,
                       long status);

/* How long to wait after so many attempts: about 50 ms, then doubling, at most 1 s, less up to half of it by chance; but never less than
 * the server asks for: the value of Retry-After where it is a number of seconds. */
uint64_t http_retry_delay_us(unsigned attempts, struct slice retry_after, uint64_t chance);

/* Of the last ten seconds, a slot each. Zeros are an empty one. */
#define HTTP_BUDGET_SECONDS 10
#define HTTP_BUDGET_FLOOR   20 /* retries in ten seconds that are always allowed */
#define HTTP_BUDGET_PART    5  /* beyond these: one for so many requests */

struct http_budget {
    struct {
        uint64_t second;
        unsigned requests, retries;
    } slots[HTTP_BUDGET_SECONDS];
};

void http_budget_request(struct http_budget *b, uint64_t now_us);
bool http_budget_retry(struct http_budget *b, uint64_t now_us); /* takes one, or there is none */

#endif
