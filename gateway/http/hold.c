/* http/hold.c -- how much memory slow clients may take: bodies that are still coming and answers that are not read yet, of all connections
 * of a loop together. Above the bound those that have waited longest go, one after the other: a body is answered 503, an answer
 * is cut. The connection whose bytes were one too many stays, however many they are, so that the bound forbids no large answer. */
#include "http/inner.h"

void hold_count_cut(struct http_server *s, enum cut why)
{
    static const char *const label[CUTS] = {[CUT_SEND_TIMEOUT] = "send-timeout", [CUT_CLIENT_BYTES] = "client-bytes"};
    if (!s->config.metrics) return;
    struct slice reason = slice_of(label[why]);
    if (!s->cut_metric[why]) s->cut_metric[why] = metrics_counter(s->config.metrics, METRIC_HTTP_CUT, &reason);
    counter_add(s->cut_metric[why], 1);
}

/* Who has sent a body or read an answer for longest, and is not `c`; NULL: nobody. One that is being taken from no longer waits, though it
 * still stands in its list: in its handler, another connection's answer has become complete. */
static struct http_connection *slowest_but(struct http_server *s, const struct http_connection *c)
{
    struct http_connection *slowest = NULL;
    uint64_t since = UINT64_MAX;
    for (enum wait wait = WAIT_BODY; wait <= WAIT_SEND; wait++) {
        struct list *end = &s->waiting[wait], *at = end->next;
        struct http_connection *other = NULL;
        for (; at != end; at = at->next) {
            other = container_of(at, struct http_connection, link);
            if (other != c && !other->taking) break;
        }
        if (at == end || other->deadline - s->patience[wait] >= since) continue;
        since = other->deadline - s->patience[wait];
        slowest = other;
    }
    return slowest;
}

void hold_bytes(struct http_connection *c, size_t bytes)
{
    struct http_server *s = c->server;
    s->held += bytes - c->held;
    c->held = bytes;
    if (s->shedding || !bytes || !s->config.client_bytes) return;
    s->shedding = true;
    for (struct http_connection *slowest; s->held > s->config.client_bytes + c->held && (slowest = slowest_but(s, c));)
        connection_shed(slowest);
    s->shedding = false;
}
