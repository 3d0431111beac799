/* script/redis_client.c -- servers, and the queue of commands to each: replies come in the order of the questions.
 *
 * A command that was given up keeps its place, so that its reply is known when it comes. Does it not come for a while, the
 * connection goes, with all that wait on it. */
#include "script/redis_client.h"

#include "base/clock.h"
#include "store/redis_link.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_US  10000000
#define PATIENCE_US 5000000 /* with the reply to what was given up */
#define IDLE_US     60000000

struct redis_server {
    struct list link;
    struct redis_client *client;
    struct redis_config config;
    struct arena arena; /* of url */
    struct slice url;
    struct redis_link *connection; /* NULL: down */
    bool ready, answering;         /* within a reply's callback */
    struct list slots;             /* oldest first; when ready all are sent */
    size_t n_slots, bytes;
    uint64_t epoch;          /* counts the connections lost */
    bool telling;            /* ... to those who waited, just now */
    char failed[128];        /* the connection did at once: it is told when the limit fires */
    struct host_timer limit; /* while it connects; with a reply that nobody waits for; while it is idle */
};

/* A command's place in the queue. */
struct redis_slot {
    struct list link;
    struct redis_server *server;
    struct redis_call *call; /* NULL: given up */
    uint64_t epoch;
    bool is_sent;
};

struct redis_client {
    struct script_host *host;
    struct list servers;
    size_t n;
    struct redis_call *held;
};

/* --- calls -------------------------------------------------------------------------------------------------------- */

struct redis_call *redis_call_new(void)
{
    struct redis_call *c = calloc(1, sizeof *c);
    if (!c) abort();
    arena_init(&c->arena);
    return c;
}

void redis_call_free(struct redis_call *c)
{
    arena_deinit(&c->arena);
    buffer_deinit(&c->nodes);
    free(c);
}

static bool is_called(const char *word, size_t n, const char *name)
{
    return slice_ieq(slice_from(word, n), slice_of(name));
}

const char *redis_call_refused(const char *const *word, const size_t *length, size_t words)
{
    static const char blocks[] = "it blocks, and would hold up every other handler";
    static const char shared[] = "it changes the connection, which all handlers share";
    static const struct {
        const char *name, *why, *unless; /* only with this among its words */
    } refused[] = {
        {"BLPOP", blocks, NULL},      {"BRPOP", blocks, NULL},        {"BRPOPLPUSH", blocks, NULL},
        {"BLMOVE", blocks, NULL},     {"BLMPOP", blocks, NULL},       {"BZPOPMIN", blocks, NULL},
        {"BZPOPMAX", blocks, NULL},   {"BZMPOP", blocks, NULL},       {"WAIT", blocks, NULL},
        {"WAITAOF", blocks, NULL},    {"XREAD", blocks, "BLOCK"},     {"XREADGROUP", blocks, "BLOCK"},
        {"DEBUG", blocks, NULL},      {"SUBSCRIBE", shared, NULL},    {"PSUBSCRIBE", shared, NULL},
        {"SSUBSCRIBE", shared, NULL}, {"UNSUBSCRIBE", shared, NULL},  {"PUNSUBSCRIBE", shared, NULL},
        {"MONITOR", shared, NULL},    {"SUNSUBSCRIBE", shared, NULL}, {"MULTI", shared, NULL},
        {"EXEC", shared, NULL},       {"DISCARD", shared, NULL},      {"WATCH", shared, NULL},
        {"UNWATCH", shared, NULL},    {"SELECT", shared, NULL},       {"AUTH", shared, NULL},
        {"HELLO", shared, NULL},      {"QUIT", shared, NULL},         {"RESET", shared, NULL},
        {"CLIENT", shared, NULL},     {"ASKING", shared, NULL},       {"READONLY", shared, NULL},
        {"READWRITE", shared, NULL},  {"SYNC", shared, NULL},         {"PSYNC", shared, NULL},
        {"REPLCONF", shared, NULL},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (!is_called(word[0], length[0], refused[i].name)) continue;
        bool found = !refused[i].unless;
        for (size_t k = 1; k < words && !found; k++) found = is_called(word[k], length[k], refused[i].unless);
        if (found) return refused[i].why;
    }
    return NULL;
}

static struct redis_slot *first(struct redis_server *s) { return container_of(s->slots.next, struct redis_slot, link); }

/* Takes the call, or NULL, out of its place, which is free then. */
static struct redis_call *take_out(struct redis_slot *slot)
{
    struct redis_call *c = slot->call;
    if (c) c->slot = NULL, slot->server->bytes -= c->bytes;
    slot->server->n_slots--;
    list_remove(&slot->link);
    free(slot);
    return c;
}

static void finish(struct redis_client *r, struct redis_call *c)
{
    host_timer_stop(r->host, &c->timeout);
    host_upstream(r->host, UPSTREAM_REDIS, *c->failure ? UPSTREAM_ERROR : UPSTREAM_OK, clock_mono_us() - c->began_us);
    c->done(c);
}

/* --- the connection ----------------------------------------------------------------------------------------------- */

static void let_go(struct redis_server *s)
{
    if (s->connection) redis_link_close(s->connection);
    s->connection = NULL;
    s->ready = false;
    host_timer_stop(s->client->host, &s->limit);
}

static void set_limit(struct redis_server *s, uint64_t us)
{
    host_timer_set(s->client->host, &s->limit, clock_mono_us() + us);
}

/* What the limit is for follows from who is first. */
static void look_at_first(struct redis_server *s)
{
    if (s->n_slots == 0) set_limit(s, IDLE_US);
    else if (!first(s)->call) set_limit(s, PATIENCE_US);
    else host_timer_stop(s->client->host, &s->limit);
}

/* The connection is gone: all who wait are told so, but not those who come meanwhile. */
static void fail_all(struct redis_server *s, const char *why)
{
    uint64_t epoch = s->epoch++;
    s->telling = true;
    while (s->n_slots > 0 && first(s)->epoch <= epoch) {
        struct redis_call *c = take_out(first(s));
        if (!c) continue;
        snprintf(c->failure, sizeof c->failure, "%s", why);
        finish(s->client, c);
    }
    s->telling = false;
}

static void on_limit(struct host_timer *timer)
{
    struct redis_server *s = container_of(timer, struct redis_server, limit);
    char why[128];
    snprintf(why, sizeof why, "%s",
             *s->failed ? s->failed
             : s->ready ? "the server does not answer"
                        : redis_link_late(s->connection));
    *s->failed = 0;
    let_go(s);
    fail_all(s, why);
}

static void send_slot(struct redis_slot *slot)
{
    struct redis_call *c = slot->call;
    sds command;
    if (redisFormatSdsCommandArgv(&command, (int)c->words, c->word, c->length) < 0) abort(); /* out of memory */
    redis_link_send(slot->server->connection, (struct redis_question){EXPECT_ANY, 0}, command);
    redisFreeSdsCommand(command);
    slot->is_sent = true;
}

static void on_ready(void *arg)
{
    struct redis_server *s = arg;
    s->ready = true;
    for (struct list *l = s->slots.next; l != &s->slots; l = l->next)
        send_slot(container_of(l, struct redis_slot, link));
    look_at_first(s);
}

static void on_reply(void *arg, struct redis_reply *reply)
{
    struct redis_server *s = arg;
    assert(s->n_slots > 0); /* the judge refuses a reply without a question */
    struct redis_call *c = take_out(first(s));
    look_at_first(s);
    if (!c) return;
    if (reply->too_long) {
        snprintf(c->failure, sizeof c->failure, "a reply of more than %d bytes", REDIS_REPLY_MAX);
    } else {
        c->nodes = reply->nodes;
        reply->nodes = (struct buffer){0};
    }
    s->answering = true;
    finish(s->client, c);
    s->answering = false;
}

static void on_lost(void *arg, struct redis_loss loss)
{
    struct redis_server *s = arg;
    char why[160];
    snprintf(why, sizeof why, "%s%s", s->ready ? "connection lost: " : "", loss.why);
    s->connection = NULL;
    let_go(s);
    fail_all(s, why);
}

static void open_connection(struct redis_server *s)
{
    static const struct redis_link_events events = {.ready = on_ready, .reply = on_reply, .lost = on_lost};
    s->connection = redis_link_open(s->client->host->loop, &s->config, &events, s, s->failed);
    set_limit(s, s->connection ? CONNECT_US : 0);
    if (s->connection) *s->failed = 0;
}

/* --- start and end of a command ----------------------------------------------------------------------------------- */

static void free_server(struct redis_server *s)
{
    let_go(s);
    while (s->n_slots > 0) {
        struct redis_call *c = take_out(first(s));
        assert(!c);
        (void)c;
    }
    list_remove(&s->link);
    s->client->n--;
    arena_deinit(&s->arena);
    free(s);
}

static void forget_unused(struct redis_client *r)
{
    for (struct list *l = r->servers.next, *next; l != &r->servers; l = next) {
        struct redis_server *s = container_of(l, struct redis_server, link);
        next = l->next;
        if (!s->connection && s->n_slots == 0 && !s->telling) free_server(s);
    }
}

static struct redis_server *server_of(struct redis_client *r, struct slice url)
{
    for (struct list *l = r->servers.next; l != &r->servers; l = l->next) {
        struct redis_server *s = container_of(l, struct redis_server, link);
        if (slice_eq(s->url, url)) return s;
    }
    if (r->n >= REDIS_SERVERS_MAX) forget_unused(r);
    if (r->n >= REDIS_SERVERS_MAX) return NULL;
    struct redis_server *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->client = r;
    arena_init(&s->arena);
    s->url = arena_dup(&s->arena, url);
    enum status status = redis_config_parse(url, &s->config, NULL);
    assert(status == OK && "looked at when the handle was made");
    (void)status;
    s->config.max_value = REDIS_REPLY_MAX;
    list_init(&s->slots);
    host_timer_init(&s->limit, on_limit);
    list_append(&r->servers, &s->link);
    r->n++;
    return s;
}

/* Takes the call away from its place. What was sent keeps it, without an owner. */
static void give_up(struct redis_call *c, enum upstream_outcome outcome)
{
    struct redis_slot *slot = c->slot;
    struct redis_server *s = slot->server;
    host_timer_stop(s->client->host, &c->timeout);
    host_upstream(s->client->host, UPSTREAM_REDIS, outcome, clock_mono_us() - c->began_us);
    if (!slot->is_sent) {
        take_out(slot);
        return;
    }
    s->bytes -= c->bytes;
    slot->call = NULL;
    if (first(s) == slot && s->ready) look_at_first(s);
}

void redis_client_cancel(struct redis_call *c)
{
    give_up(c, UPSTREAM_CANCELLED);
    redis_call_free(c);
}

static void on_timeout(struct host_timer *timer)
{
    struct redis_call *c = container_of(timer, struct redis_call, timeout);
    give_up(c, UPSTREAM_TIMEOUT);
    snprintf(c->failure, sizeof c->failure, "timeout");
    c->done(c);
}

enum status redis_client_start(struct redis_client *r, struct redis_call *c)
{
    struct redis_server *s = server_of(r, c->url);
    for (size_t i = 0; i < c->words; i++) c->bytes += c->length[i];
    if (s && s->ready && s->n_slots == 0 && !s->answering) redis_link_read(s->connection); /* has it just ended? */
    if (!s || s->n_slots >= REDIS_CALLS_MAX || s->bytes + c->bytes > REDIS_BYTES_MAX) return OVERLOADED;
    struct redis_slot *slot = calloc(1, sizeof *slot);
    if (!slot) abort();
    *slot = (struct redis_slot){.server = s, .call = c, .epoch = s->epoch};
    list_append(&s->slots, &slot->link);
    s->n_slots++;
    s->bytes += c->bytes;
    c->slot = slot;
    c->began_us = clock_mono_us();
    host_timer_init(&c->timeout, on_timeout);
    host_timer_set(r->host, &c->timeout, c->timeout_us);
    if (s->ready) {
        send_slot(slot);
        if (s->n_slots == 1) look_at_first(s);
    } else if (!s->connection && !*s->failed) {
        open_connection(s);
    }
    return PENDING;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

void redis_client_close(struct redis_client *r)
{
    redis_client_hold(r, NULL);
    while (!list_empty(&r->servers)) free_server(container_of(r->servers.next, struct redis_server, link));
    free(r);
}

void redis_client_hold(struct redis_client *r, struct redis_call *c)
{
    if (r->held) redis_call_free(r->held);
    r->held = c;
}

struct redis_call *redis_client_draw(struct redis_client *r)
{
    struct redis_call *c = r->held;
    r->held = NULL;
    return c;
}

struct redis_client *redis_client_of(struct script_host *h)
{
    if (h->redis) return h->redis;
    struct redis_client *r = calloc(1, sizeof *r);
    if (!r) abort();
    r->host = h;
    list_init(&r->servers);
    return h->redis = r;
}
