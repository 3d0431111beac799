/* store/redis_search.c -- the list of sentinels, and the one that is being asked.
 *
 *     the first: link -> two questions -> its answers -> found -> a pause -> the same questions -> ...
 *          no link, no answer in its share of the time, or it does not know: to the end of the list with it, and the next
 *
 * Once a master was found, that nobody knows any more is no news: who is connected stays so. */
#include "store/redis_search.h"

#include "base/list.h"
#include "store/redis_link.h"
#include "store/redis_sentinel.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define PATIENCE_MIN_MS 50 /* with one sentinel */
#define SHARE           4  /* ... of the deadline of a connect */
#define PAUSE_MS        500
#define ANSWER_MAX      (64 << 10) /* bytes */

struct redis_search {
    uv_loop_t *loop;
    struct redis_config *config;
    redis_search_found *found;
    void *arg;
    uv_timer_t timer;         /* a pause, or patience */
    struct redis_config one;  /* the sentinel that is asked, as a server */
    struct redis_link *link;  /* to it */
    bool ready, has_password; /* it is; it was given one */
    unsigned asked, answers;  /* sentinels; its answers */
    bool pausing, has_found;
    struct redis_address answer, master; /* its, and the one that was found */
    char why[128];
};

/* ---- the list */

static void rotate(struct redis_config *c)
{
    struct redis_address first = c->address[0];
    memmove(c->address, c->address + 1, (c->addresses - 1) * sizeof *c->address);
    c->address[c->addresses - 1] = first;
}

/* ---- one after the other */

static bool ask_first(struct redis_search *s);

static void fail_first(struct redis_search *s, const char *why)
{
    char address[REDIS_ADDRESS_TEXT];
    redis_address_print(&s->config->address[0], address, sizeof address);
    snprintf(s->why, sizeof s->why, "sentinel %.44s: %.70s", address, why);
    if (s->link) redis_link_close(s->link);
    s->link = NULL;
    rotate(s->config);
    s->has_password = false;
}

static bool ask_next(struct redis_search *s)
{
    while (s->asked < s->config->addresses) {
        s->asked++;
        if (ask_first(s)) return true;
    }
    return false;
}

static void on_timer(uv_timer_t *timer);

static void pause_asking(struct redis_search *s)
{
    s->pausing = true;
    s->asked = 0;
    uv_timer_start(&s->timer, on_timer, PAUSE_MS, 0);
}

/* Nobody knows. The last thing: s may be gone. */
static void give_up(struct redis_search *s)
{
    redis_search_found *found = s->found;
    void *arg = s->arg;
    char why[sizeof s->why];
    if (s->has_found) {
        pause_asking(s);
        return;
    }
    snprintf(why, sizeof why, "%s", s->why);
    redis_search_close(s);
    found(arg, NULL, why);
}

static void pass_on(struct redis_search *s, const char *why)
{
    fail_first(s, why);
    if (!s->pausing && !ask_next(s)) give_up(s);
}

/* The last thing: s may be gone. */
static void conclude(struct redis_search *s)
{
    bool is_news = !s->has_found || !redis_address_eq(&s->master, &s->answer);
    s->master = s->answer;
    s->has_found = true;
    pause_asking(s);
    if (is_news) s->found(s->arg, &s->master, NULL);
}

static void be_patient(struct redis_search *s)
{
    uint64_t patience = (s->config->timeout_ms ? s->config->timeout_ms : 1000) / SHARE;
    s->pausing = false;
    uv_timer_start(&s->timer, on_timer, patience > PATIENCE_MIN_MS ? patience : PATIENCE_MIN_MS, 0);
}

static void ask(struct redis_search *s)
{
    static const struct slice questions[] = {SLICE("get-master-addr-by-name"), SLICE("sentinels")};
    s->answers = 0;
    for (int i = 0; i < 2; i++) {
        struct slice words[] = {SLICE("SENTINEL"), questions[i], slice_of(s->config->master)};
        redis_link_ask(s->link, (struct redis_question){.expect = EXPECT_ANY}, 3, words);
    }
}

static void on_ready(void *arg)
{
    struct redis_search *s = arg;
    s->ready = true;
    ask(s);
}

static void on_reply(void *arg, struct redis_reply *reply)
{
    struct redis_search *s = arg;
    bool usable = reply->head.type != REDIS_REPLY_ERROR && !reply->too_long;
    if (s->answers++ == 0) {
        bool nil = reply->head.type == REDIS_REPLY_NIL;
        if (usable && sentinel_read_master(&reply->nodes, &s->answer)) return;
        pass_on(s, nil ? "knows no such master" : reply->error[0] ? reply->error : "names no address");
        return;
    }
    struct redis_address named[REDIS_ADDRESSES_MAX];
    sentinel_learn(s->config, named, usable ? sentinel_read_others(&reply->nodes, named) : 0);
    conclude(s);
}

static void on_lost(void *arg, struct redis_loss loss)
{
    struct redis_search *s = arg;
    s->link = NULL;
    bool may_try_ours = loss.wants_password && !s->has_password && s->config->server.password[0];
    if (!may_try_ours) {
        pass_on(s, loss.why);
        return;
    }
    s->has_password = true;
    if (!ask_first(s) && !ask_next(s)) give_up(s);
}

static void on_timer(uv_timer_t *timer)
{
    struct redis_search *s = container_of(timer, struct redis_search, timer);
    if (!s->pausing) {
        pass_on(s, s->ready ? "no answer in time" : redis_link_late(s->link));
    } else if (s->link) {
        be_patient(s);
        s->asked = 1;
        ask(s);
    } else {
        s->pausing = false;
        if (!ask_next(s)) give_up(s);
    }
}

/* Sentinels that want a password, and none was given for them, get that of the servers. */
static bool ask_first(struct redis_search *s)
{
    static const struct redis_link_events events = {.ready = on_ready, .reply = on_reply, .lost = on_lost};
    const struct redis_config *c = s->config;
    char why[128];
    if (c->sentinel.password[0]) s->has_password = true;
    s->one = (struct redis_config){.addresses = 1, .tls = c->tls, .max_value = ANSWER_MAX, .silent = s->one.silent};
    s->one.address[0] = c->address[0];
    if (s->has_password) s->one.server = c->sentinel.password[0] ? c->sentinel : c->server;
    s->ready = false;
    s->link = redis_link_open(s->loop, &s->one, &events, s, why);
    if (!s->link) {
        fail_first(s, why);
        return false;
    }
    be_patient(s);
    return true;
}

/* ---- life */

static void on_closed(uv_handle_t *handle) { free(container_of((uv_timer_t *)handle, struct redis_search, timer)); }

void redis_search_close(struct redis_search *s)
{
    if (s->link) redis_link_close(s->link);
    s->link = NULL;
    uv_close((uv_handle_t *)&s->timer, on_closed);
}

struct redis_search *redis_search_open(uv_loop_t *loop, struct redis_config *config, redis_search_found *found,
                                       void *arg, char why[128])
{
    struct redis_search *s = calloc(1, sizeof *s);
    if (!s) abort();
    assert(config->addresses > 0);
    s->loop = loop;
    s->config = config;
    s->found = found;
    s->arg = arg;
    uv_timer_init(loop, &s->timer);
    if (ask_next(s)) return s;
    snprintf(why, 128, "%s", s->why);
    redis_search_close(s);
    return NULL;
}
