/* script/http_retry.c -- rules, back-off and budget of retries. */
#include "script/http_retry.h"

#include "base/units.h"

#define DELAY_MIN_US      50000
#define DELAY_MAX_US      1000000
#define RETRY_AFTER_MAX_S (UINT64_MAX / 1000000)

void http_retry_rules_init(struct http_retry_rules *r)
{
    *r = (struct http_retry_rules){.refused = true, .reset = true, .statuses = {502, 503, 504}, .n_statuses = 3};
}

/* Methods that may be sent twice (RFC 9110, 9.2.2). */
static bool is_idempotent(const char *method)
{
    static const char *const names[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(method, names[i]) == 0) return true;
    return false;
}

bool http_retry_harmless(const struct http_retry_rules *r, const char *method)
{
    return r->chosen ? r->reset : is_idempotent(method);
}

bool http_retry_wanted(const struct http_retry_rules *r, const char *method, unsigned attempts, enum http_ending ending,
                       long status)
{
    if (attempts > r->retries) return false;
    if (ending == HTTP_REFUSED) return r->refused; /* safe for every method */
    if (!r->chosen && !is_idempotent(method)) return false;
    if (ending == HTTP_RESET) return r->reset;
    if (ending == HTTP_TIMED_OUT) return r->timeout;
    for (size_t i = 0; ending == HTTP_ANSWERED && i < r->n_statuses; i++)
        if (r->statuses[i] == status) return true;
    return false;
}

uint64_t http_retry_delay_us(unsigned attempts, struct slice retry_after, uint64_t chance)
{
    uint64_t delay = DELAY_MIN_US, asked_s = 0;
    for (unsigned i = 1; i < attempts && delay < DELAY_MAX_US; i++) delay *= 2;
    if (delay > DELAY_MAX_US) delay = DELAY_MAX_US;
    delay -= chance % (delay / 2 + 1);
    if (!units_uint(retry_after, RETRY_AFTER_MAX_S, &asked_s)) return delay; /* none, or a date */
    return delay > asked_s * 1000000 ? delay : asked_s * 1000000;
}

/* The slot of this second, empty when it has been another's. */
static size_t slot_of(struct http_budget *b, uint64_t second)
{
    size_t at = second % HTTP_BUDGET_SECONDS;
    if (b->slots[at].second != second) {
        b->slots[at].second = second;
        b->slots[at].requests = b->slots[at].retries = 0;
    }
    return at;
}

void http_budget_request(struct http_budget *b, uint64_t now_us) { b->slots[slot_of(b, now_us / 1000000)].requests++; }

bool http_budget_retry(struct http_budget *b, uint64_t now_us)
{
    uint64_t second = now_us / 1000000;
    size_t at = slot_of(b, second);
    unsigned requests = 0, retries = 0;
    for (size_t i = 0; i < HTTP_BUDGET_SECONDS; i++) {
        if (b->slots[i].second + HTTP_BUDGET_SECONDS <= second) continue;
        requests += b->slots[i].requests;
        retries += b->slots[i].retries;
    }
    if (retries >= HTTP_BUDGET_FLOOR + requests / HTTP_BUDGET_PART) return false;
    b->slots[at].retries++;
    return true;
}
