/* store/epochs_sync.c -- who waits, in order:
 *
 *     epochs_wait_start               with the question that has not left yet, else a new one
 *                   ... on_asked      the last moment is the one we know: all who came with it are level
 *                                     it is another: they wait for a report
 *       ask_report      ... on_report  taken in; where there is more, read on; then all who wait are level
 *
 * One report is under way at a time. Whoever comes to wait for it was answered before it is, so it was made after what he must know. */
#include "store/epochs_sync.h"

#include "base/log.h"

#include <assert.h>
#include <stdlib.h>
#include <uv.h>

#define KEY_MAX     280
#define REPORTS_MAX (4 * EPOCHS_MAX / EPOCHS_PAGE) /* in a row: a table cannot have more */

/* What is the last moment? One for all who want to know it before it leaves: a hundred reads of one turn ask once. */
struct question {
    struct epochs_sync *sync;
    struct redis_command redis;
    uint64_t line;
    const struct redis *server;
    uint64_t batch; /* redis_batch of that */
    struct list askers;
};

struct epochs_sync {
    struct servers servers;
    struct near *near;
    struct epochs *epochs;
    struct slice key;
    struct question *open; /* the one that was asked last, if it may not have left yet */
    struct list waiting;   /* for the report */
    struct redis_command report;
    struct stamp asked; /* for it */
    unsigned reports;   /* in a row */
    bool reading;
    bool told; /* the log knows that reports are none */
    struct epochs_wait tick;
    char key_bytes[KEY_MAX];
};

struct epochs_sync *epochs_sync_new(struct servers servers, struct near *near, struct epochs *epochs, struct slice key)
{
    struct epochs_sync *s = calloc(1, sizeof *s);
    if (!s) abort();
    assert(key.n <= KEY_MAX);
    s->servers = servers;
    s->near = near;
    s->epochs = epochs;
    memcpy(s->key_bytes, key.p, key.n);
    s->key = slice_from(s->key_bytes, key.n);
    list_init(&s->waiting);
    return s;
}

void epochs_sync_free(struct epochs_sync *s)
{
    if (!s) return;
    assert(list_empty(&s->waiting) && !s->reading && !s->open);
    free(s);
}

static uint64_t news(const struct epochs_sync *s) { return s->near ? near_news(s->near) : 0; }

bool epochs_are_level(const struct epochs_sync *s) { return epochs_heard(s->epochs) == news(s); }

/* The last thing done with w. */
static void finish(struct epochs_wait *w, enum status status)
{
    struct epochs_sync *s = w->sync;
    w->busy = false;
    if (status == OK && s->near) epochs_hear(s->epochs, w->news);
    w->done(w, status);
}

static void finish_all(struct epochs_sync *s, enum status status)
{
    struct list all;
    list_init(&all);
    list_splice(&all, &s->waiting);
    for (struct list *link; (link = list_shift(&all));) finish(container_of(link, struct epochs_wait, link), status);
}

/* -- reports -- */

/* A line is known by 64 random bits. */
static uint64_t fresh_line(void)
{
    uint64_t line = 0;
    while (!line)
        if (uv_random(NULL, NULL, &line, sizeof line, 0, NULL) != 0) abort();
    return line;
}

static enum status take(struct epochs_sync *s, struct stamp asked, struct blob *report, bool *more)
{
    bool good = epochs_take(s->epochs, asked, blob_slice(report), more);
    blob_unref(report);
    if (!good && !s->told)
        log_error("the store's table of invalidations is damaged: nothing is served until its key is deleted",
                  LOG_SLICE("key", s->key));
    s->told = !good;
    return good ? OK : STORE_UNAVAILABLE;
}

static enum status ask_report(struct epochs_sync *s);

static void on_report(struct redis_command *c, enum status status, struct blob *report)
{
    struct epochs_sync *s = container_of(c, struct epochs_sync, report);
    bool more = false;
    s->reading = false;
    if (status == OK) status = take(s, s->asked, report, &more);
    if (status == OK && more) status = ask_report(s);
    if (status != PENDING) finish_all(s, status == MISSING ? STORE_UNAVAILABLE : status);
}

static enum status ask_report(struct epochs_sync *s)
{
    if (s->reports++ == REPORTS_MAX) return STORE_UNAVAILABLE;
    s->asked = epochs_now(s->epochs);
    enum status st = redis_epochs_raise(servers_for(&s->servers, s->key), s->key, fresh_line(), s->asked, EPOCH_REMOVE,
                                        NULL, 0, &s->report, on_report);
    s->reading = st == PENDING;
    return st;
}

/* Waits for the report that is under way, or for one that is asked for now. */
static enum status wait_for_report(struct epochs_wait *w)
{
    struct epochs_sync *s = w->sync;
    if (!s->reading) {
        s->reports = 0;
        enum status st = ask_report(s);
        if (st != PENDING) return st;
    }
    list_append(&s->waiting, &w->link);
    return PENDING;
}

/* -- waiting -- */

static void begin(struct epochs_sync *s, struct epochs_wait *w)
{
    w->sync = s;
    w->redis.slot = NULL;
    w->busy = true;
    w->news = news(s); /* before anything is asked */
    w->asked = epochs_now(s->epochs);
    list_init(&w->link);
}

static enum status begun(struct epochs_wait *w, enum status status)
{
    w->busy = status == PENDING;
    return status;
}

static void on_asked(struct redis_command *c, enum status status, struct blob *digits)
{
    struct question *q = container_of(c, struct question, redis);
    struct epochs_sync *s = q->sync;
    struct stamp now = epochs_now(s->epochs); /* others may have taken in what is missing */
    bool is_level = status == OK && now.line == q->line && redis_epochs_is(digits, now.at);
    bool is_behind = !is_level && (status == OK || status == MISSING);
    struct list askers;
    blob_unref(digits);
    list_init(&askers);
    list_splice(&askers, &q->askers);
    if (s->open == q) s->open = NULL;
    free(q);
    for (struct list *link; (link = list_shift(&askers));) {
        struct epochs_wait *w = container_of(link, struct epochs_wait, link);
        enum status st = is_behind ? wait_for_report(w) : status;
        if (st != PENDING) finish(w, st);
    }
}

static enum status ask(struct epochs_sync *s, struct redis *server, uint64_t line)
{
    struct question *q = calloc(1, sizeof *q);
    if (!q) abort();
    *q = (struct question){.sync = s, .line = line, .server = server, .batch = redis_batch(server)};
    list_init(&q->askers);
    enum status st = redis_epochs_ask(server, s->key, line, &q->redis, on_asked);
    if (st == PENDING) s->open = q;
    else free(q);
    return st;
}

/* What was asked before and has not left will be answered as if it were asked now. */
static bool is_open(const struct epochs_sync *s, const struct redis *server, uint64_t line)
{
    const struct question *q = s->open;
    return q && q->line == line && q->server == server && q->batch == redis_batch(server);
}

enum status epochs_wait_start(struct epochs_sync *s, struct epochs_wait *w)
{
    begin(s, w);
    bool first = !w->asked.line && !s->reading; /* later ones must not wait for a report that is older than they */
    if (first) return begun(w, wait_for_report(w));
    struct redis *server = servers_for(&s->servers, s->key);
    enum status st = is_open(s, server, w->asked.line) ? PENDING : ask(s, server, w->asked.line);
    if (st == PENDING) list_append(&s->open->askers, &w->link);
    return begun(w, st);
}

static void on_raised(struct redis_command *c, enum status status, struct blob *report)
{
    struct epochs_wait *w = container_of(c, struct epochs_wait, redis);
    bool more = false;
    if (status == OK) status = take(w->sync, w->asked, report, &more);
    else if (status == MISSING) status = STORE_UNAVAILABLE;
    if (status == OK && more) status = wait_for_report(w);
    if (status != PENDING) finish(w, status);
}

enum status epochs_raise_start(struct epochs_sync *s, enum epoch_mode mode, const struct epoch_name *name, size_t n,
                               struct epochs_wait *w)
{
    begin(s, w);
    return begun(w, redis_epochs_raise(servers_for(&s->servers, s->key), s->key, fresh_line(), w->asked, mode, name, n,
                                       &w->redis, on_raised));
}

void epochs_wait_cancel(struct epochs_wait *w)
{
    if (!w->busy) return;
    redis_cancel(&w->redis);
    list_remove(&w->link);
    w->busy = false;
}

static void on_ticked(struct epochs_wait *w, enum status status) {}

void epochs_sync_tick(struct epochs_sync *s)
{
    if (s->tick.busy) return;
    s->tick.done = on_ticked;
    epochs_wait_start(s, &s->tick);
}
