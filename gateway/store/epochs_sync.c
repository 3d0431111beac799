/* store/epochs_sync.c -- who waits, in order:
 *
 *     epochs_wait_start ... asked     the last moment is the one we know: level
 *                                     it is another: waits for a report
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

struct epochs_sync {
    struct servers servers;
    struct near *near;
    struct epochs *epochs;
    struct slice key;
    struct list waiting;
    struct redis_command report;
    struct stamp asked; /* for it */
    unsigned reports;   /* in a row */
    bool reading;
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
    assert(list_empty(&s->waiting) && !s->reading);
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
    if (good) return OK;
    log_error("the store's table of invalidations is none", LOG_SLICE("key", s->key));
    return STORE_UNAVAILABLE;
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
    struct epochs_wait *w = container_of(c, struct epochs_wait, redis);
    struct stamp now = epochs_now(w->sync->epochs); /* others may have taken in what is missing */
    bool level = status == OK && now.line == w->asked.line && redis_epochs_is(digits, now.at);
    blob_unref(digits);
    if (!level && (status == OK || status == MISSING)) status = wait_for_report(w);
    if (status != PENDING) finish(w, status);
}

enum status epochs_wait_start(struct epochs_sync *s, struct epochs_wait *w)
{
    begin(s, w);
    bool first = !w->asked.line && !s->reading; /* later ones must not wait for a report that is older than they */
    if (first) return begun(w, wait_for_report(w));
    return begun(w, redis_epochs_ask(servers_for(&s->servers, s->key), s->key, w->asked.line, &w->redis, on_asked));
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
