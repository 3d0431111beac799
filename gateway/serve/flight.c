/* serve/flight.c -- one load for all who ask.
 *
 *     flight_join --- founded ---> leader loads ... flight_land --+--> port of worker 1 --async--> its waiters' done
 *          |                                                      |
 *          +--- joined ---> waits ................................+--> port of worker 2 --async--> its waiters' done
 *
 * A save or delete bars the flights of its record, from flight_write_begin to flight_write_end; one that is storing already it waits
 * for. So a record in the store is never overwritten by what was loaded before it.
 *
 * What is heard of a record from outside (flights_tell) is passed on to the leader who watches it, by letter too.
 *
 * Those who change a record stand in the line of its key; the first has the turn, and calls the next one with a letter.
 * Flights, writes, watches and turns share the stripes and the letter-boxes, so they share a file, though a long one.
 *
 * Locks: a flight, its waiter list and flight_landings belong to the stripe of its key; a port's letter-box has a lock of its own.
 * A waiter moves from flight to letter-box while its stripe is held, so flight_leave, which holds the stripe first, always knows
 * in which of the two it stands. Order: stripe before port. */
#include "serve/flight.h"

#include "base/map.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define STRIPES 64

struct flight {
    struct flight_port *home; /* the worker that leads */
    struct list waiters;
    size_t n_waiters;
    unsigned stripe;
    bool findable;  /* in by_key */
    bool barred;    /* the record was written meanwhile: must not store */
    bool storing;   /* writes wait for it */
    uint64_t began; /* the moment that was known then */
    bool late;      /* whoever is content does not wait for it */
    struct slice key;
    char key_bytes[];
};

/* Who waits for a turn; there is a line as long as someone has the turn. */
struct flight_line {
    struct list waiters;
    size_t n_waiters;
    unsigned at_once; /* how many may have it, as who came last was told: a reload may change that */
    unsigned busy;    /* how many have it */
    unsigned passed;  /* turns that have passed since nobody waited */
    struct slice key;
    char key_bytes[];
};

struct stripe {
    uv_mutex_t lock;
    struct map by_key;  /* flights */
    struct map writes;  /* of a key that is being written: the first link of a struct flight_write */
    struct map watches; /* of a key for whose news somebody waits: likewise */
    struct map lines;
    _Atomic unsigned landings;
};

struct flights {
    struct stripe stripe[STRIPES];
    _Atomic unsigned count, watches;
    struct backoff *backoff;
    struct waits *waits;
};

struct flight_port {
    struct flights *flights;
    uv_async_t async;
    uv_mutex_t lock;
    struct list letters; /* waiters whose flight has landed */
};

/* -- outcomes -- */

struct flight_outcome *flight_outcome_new(enum status status)
{
    struct flight_outcome *o = calloc(1, sizeof *o);
    if (!o) abort();
    atomic_init(&o->refs, 1);
    o->status = o->problem.status = status;
    return o;
}

static struct flight_outcome *outcome_ref(struct flight_outcome *o)
{
    atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
    return o;
}

void flight_outcome_unref(struct flight_outcome *o)
{
    if (!o) return; /* a turn has none */
    if (atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) != 1) return;
    blob_unref(o->blob);
    free(o);
}

/* -- the table -- */

struct flights *flights_new(void)
{
    struct flights *f = calloc(1, sizeof *f);
    if (!f) abort();
    f->backoff = backoff_new();
    f->waits = waits_new();
    for (int i = 0; i < STRIPES; i++) {
        uv_mutex_init(&f->stripe[i].lock);
        map_init(&f->stripe[i].by_key);
        map_init(&f->stripe[i].writes);
        map_init(&f->stripe[i].watches);
        map_init(&f->stripe[i].lines);
    }
    return f;
}

void flights_free(struct flights *f)
{
    for (int i = 0; i < STRIPES; i++) {
        assert(f->stripe[i].by_key.n == 0 && f->stripe[i].writes.n == 0 && f->stripe[i].lines.n == 0);
        map_deinit(&f->stripe[i].by_key);
        map_deinit(&f->stripe[i].writes);
        assert(f->stripe[i].watches.n == 0);
        map_deinit(&f->stripe[i].watches);
        map_deinit(&f->stripe[i].lines);
        uv_mutex_destroy(&f->stripe[i].lock);
    }
    backoff_free(f->backoff);
    waits_free(f->waits);
    free(f);
}

/* Stands on the path of every read, so it is cheap; skew costs a little waiting and nothing else (the maps are seeded). */
static unsigned stripe_of(struct slice key)
{
    unsigned h = (unsigned)key.n;
    for (size_t i = key.n > 8 ? key.n - 8 : 0; i < key.n; i++) h = h * 31 + (unsigned char)key.p[i];
    return h % STRIPES;
}

/* -- ports -- */

/* Hands out every letter; a callback may join, leave and land other flights. */
static void on_letters(uv_async_t *async)
{
    struct flight_port *p = container_of(async, struct flight_port, async);
    for (;;) {
        uv_mutex_lock(&p->lock);
        struct list *link = list_shift(&p->letters);
        uv_mutex_unlock(&p->lock);
        if (!link) return;
        struct flight_waiter *w = container_of(link, struct flight_waiter, link);
        struct flight_outcome *o = w->outcome;
        w->outcome = NULL;
        w->port = NULL;
        w->done(w, o); /* w is its owner's */
        flight_outcome_unref(o);
    }
}

struct flight_port *flight_port_open(struct flights *f, uv_loop_t *loop)
{
    struct flight_port *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->flights = f;
    list_init(&p->letters);
    uv_mutex_init(&p->lock);
    if (uv_async_init(loop, &p->async, on_letters)) abort();
    return p;
}

static void on_port_closed(uv_handle_t *handle)
{
    struct flight_port *p = container_of((uv_async_t *)handle, struct flight_port, async);
    uv_mutex_destroy(&p->lock);
    free(p);
}

void flight_port_close(struct flight_port *p)
{
    assert(list_empty(&p->letters));
    uv_close((uv_handle_t *)&p->async, on_port_closed);
}

uv_loop_t *flight_loop(const struct flight_port *p) { return p->async.loop; }
struct backoff *flight_backoff(const struct flight_port *p) { return p->flights->backoff; }
struct waits *flight_waits(const struct flight_port *p) { return p->flights->waits; }

/* -- flights -- */

unsigned flight_landings(struct flight_port *p, struct slice key)
{
    return atomic_load_explicit(&p->flights->stripe[stripe_of(key)].landings, memory_order_acquire);
}

static struct flight *flight_new(struct flight_port *p, unsigned stripe, struct slice key, uint64_t now)
{
    struct flight *f = calloc(1, sizeof *f + key.n);
    if (!f) abort();
    memcpy(f->key_bytes, key.p, key.n);
    f->key = slice_from(f->key_bytes, key.n);
    f->home = p;
    f->stripe = stripe;
    f->began = now;
    list_init(&f->waiters);
    f->findable = true;
    f->barred = map_get(&p->flights->stripe[stripe].writes, key) != NULL;
    map_put(&p->flights->stripe[stripe].by_key, f->key, f);
    return f;
}

/* What it brings is older than a write: the next one who asks founds anew. The stripe is held. */
static void bar(struct stripe *s, struct flight *f)
{
    f->barred = true;
    f->findable = false;
    map_remove(&s->by_key, f->key);
}

/* The flight of this key, unless it began too early: then nobody joins it any more. One that is storing must be found by writes, and whoever
 * joins it looks again. The stripe is held. */
static struct flight *find(struct stripe *s, struct slice key, uint64_t since)
{
    struct flight *f = map_get(&s->by_key, key);
    if (!f || f->storing || f->began >= since) return f;
    bar(s, f);
    return NULL;
}

/* The stripe is held. */
static void wait_for(struct flight *f, struct flight_waiter *w)
{
    w->flight = f;
    list_append(&f->waiters, &w->link);
    f->n_waiters++;
}

static void waiter_begin(struct flight_waiter *w, struct flight_port *p, struct slice key)
{
    w->stripe = stripe_of(key);
    w->port = p;
    w->outcome = NULL;
    w->called = false;
}

enum flight_role flight_join(struct flight_port *p, struct slice key, struct flight_waiter *w, struct flight **flight)
{
    struct flights *all = p->flights;
    waiter_begin(w, p, key);
    struct stripe *s = &all->stripe[w->stripe];
    enum flight_role role = FLIGHT_WAIT;

    uv_mutex_lock(&s->lock);
    struct flight *f = find(s, key, w->era.since);
    if (!f && atomic_load_explicit(&all->count, memory_order_relaxed) < FLIGHTS_MAX) {
        f = flight_new(p, w->stripe, key, w->era.now);
        atomic_fetch_add_explicit(&all->count, 1, memory_order_relaxed);
        role = FLIGHT_LEAD;
    }
    bool full = !f || f->n_waiters >= FLIGHT_WAITERS_MAX;
    if (full || (f->late && w->content)) {
        role = full ? FLIGHT_FULL : FLIGHT_LATE;
        w->port = NULL;
    } else {
        w->at_the_end = f->storing;
        wait_for(f, w);
    }
    uv_mutex_unlock(&s->lock);
    *flight = role == FLIGHT_LEAD ? f : NULL;
    return role;
}

struct flight *flight_found(struct flight_port *p, struct slice key, struct flight_era era)
{
    struct flights *all = p->flights;
    unsigned stripe = stripe_of(key);
    struct stripe *s = &all->stripe[stripe];
    struct flight *f = NULL;
    uv_mutex_lock(&s->lock);
    if (!find(s, key, era.since) && atomic_load_explicit(&all->count, memory_order_relaxed) < FLIGHTS_MAX) {
        f = flight_new(p, stripe, key, era.now);
        atomic_fetch_add_explicit(&all->count, 1, memory_order_relaxed);
    }
    uv_mutex_unlock(&s->lock);
    return f;
}

void flight_leave(struct flight_waiter *w)
{
    if (!w->port) return;
    struct stripe *s = &w->port->flights->stripe[w->stripe];
    uv_mutex_lock(&s->lock);
    if (w->flight) {
        list_remove(&w->link);
        w->flight->n_waiters--;
        w->flight = NULL;
    } else { /* landed: the letter lies in our own box, unread */
        uv_mutex_lock(&w->port->lock);
        list_remove(&w->link);
        uv_mutex_unlock(&w->port->lock);
        flight_outcome_unref(w->outcome);
        w->outcome = NULL;
    }
    uv_mutex_unlock(&s->lock);
    w->port = NULL;
}

/* -- writes -- */

/* What is of one key stands in a chain whose first is in the map, since the map keeps the key of the one it holds. */
static void chain(struct map *map, struct flight_link *link)
{
    struct flight_link *first = map_get(map, link->key);
    link->next = first ? first->next : NULL;
    if (first) first->next = link;
    else map_put(map, link->key, link);
}

static struct flight_link *without(struct flight_link *first, const struct flight_link *link)
{
    struct flight_link *before = first;
    if (first == link) return link->next;
    while (before->next != link) before = before->next;
    before->next = link->next;
    return first;
}

static void unchain(struct map *map, struct flight_link *link)
{
    struct flight_link *first = without(map_remove(map, link->key), link); /* mostly none is left */
    if (first) map_put(map, first->key, first);
}

bool flight_write_begin(struct flight_port *p, struct slice key, struct flight_write *write, struct flight_waiter *w)
{
    write->stripe = stripe_of(key);
    struct stripe *s = &p->flights->stripe[write->stripe];
    uv_mutex_lock(&s->lock);
    struct flight *f = map_get(&s->by_key, key);
    bool waits = f && f->storing;
    if (waits) {
        waiter_begin(w, p, key);
        wait_for(f, w);
    } else {
        if (f) bar(s, f);
        write->link.key = key;
        chain(&s->writes, &write->link);
    }
    uv_mutex_unlock(&s->lock);
    return !waits;
}

void flight_write_end(struct flight_port *p, struct flight_write *write)
{
    struct stripe *s = &p->flights->stripe[write->stripe];
    uv_mutex_lock(&s->lock);
    struct flight *f = map_get(&s->by_key, write->link.key);
    if (f) bar(s, f); /* founded meanwhile */
    unchain(&s->writes, &write->link);
    atomic_fetch_add_explicit(&s->landings, 1, memory_order_release);
    uv_mutex_unlock(&s->lock);
    backoff_forget(p->flights->backoff, write->link.key);
}

bool flight_may_store(struct flight *f)
{
    struct stripe *s = &f->home->flights->stripe[f->stripe];
    uv_mutex_lock(&s->lock);
    f->storing = !f->barred;
    uv_mutex_unlock(&s->lock);
    return f->storing;
}

/* -- letters -- */

/* The stripe is held. */
static void waiter_post(struct flight_waiter *w, struct flight_outcome *outcome)
{
    struct flight_port *p = w->port;
    w->flight = NULL;
    w->called = true;
    w->outcome = outcome ? outcome_ref(outcome) : NULL;
    uv_mutex_lock(&p->lock);
    list_append(&p->letters, &w->link);
    uv_async_send(&p->async); /* here, since a port without letters may close; many sends before it wakes count once */
    uv_mutex_unlock(&p->lock);
}

/* -- watches -- */

void flight_watch_begin(struct flight_port *p, struct slice key, struct flight_watch *watch)
{
    waiter_begin(&watch->waiter, p, key);
    struct stripe *s = &p->flights->stripe[watch->waiter.stripe];
    watch->waiter.flight = NULL;
    watch->link.key = key;
    uv_mutex_lock(&s->lock);
    chain(&s->watches, &watch->link);
    uv_mutex_unlock(&s->lock);
    atomic_fetch_add(&p->flights->watches, 1);
}

void flight_watch_on(struct flight_port *p, struct flight_watch *watch)
{
    struct stripe *s = &p->flights->stripe[watch->waiter.stripe];
    uv_mutex_lock(&s->lock);
    watch->waiter.port = p;
    watch->waiter.called = false;
    uv_mutex_unlock(&s->lock);
}

void flight_watch_end(struct flight_port *p, struct flight_watch *watch)
{
    struct stripe *s = &p->flights->stripe[watch->waiter.stripe];
    uv_mutex_lock(&s->lock);
    unchain(&s->watches, &watch->link);
    if (watch->waiter.called) { /* the letter lies in the box, unread */
        uv_mutex_lock(&p->lock);
        list_remove(&watch->waiter.link);
        uv_mutex_unlock(&p->lock);
    }
    uv_mutex_unlock(&s->lock);
    atomic_fetch_sub(&p->flights->watches, 1);
}

void flights_tell(struct flights *f, struct slice key)
{
    if (atomic_load(&f->watches) == 0) return;
    struct stripe *s = &f->stripe[stripe_of(key)];
    uv_mutex_lock(&s->lock);
    for (struct flight_link *link = map_get(&s->watches, key); link; link = link->next) {
        struct flight_waiter *w = &container_of(link, struct flight_watch, link)->waiter;
        if (!w->called) waiter_post(w, NULL);
    }
    uv_mutex_unlock(&s->lock);
}

/* -- turns -- */

static struct flight_line *line_new(struct stripe *s, struct slice key)
{
    struct flight_line *line = calloc(1, sizeof *line + key.n);
    if (!line) abort();
    memcpy(line->key_bytes, key.p, key.n);
    line->key = slice_from(line->key_bytes, key.n);
    list_init(&line->waiters);
    map_put(&s->lines, line->key, line);
    return line;
}

static bool has_place(const struct flight_line *line, const struct flight_line_bounds *bounds)
{
    return line->n_waiters < (line->passed < bounds->stands ? bounds->burst : bounds->standing);
}

/* The first who waits has a turn. The stripe is held. */
static void call_next(struct flight_line *line)
{
    struct list *next = list_shift(&line->waiters);
    line->passed = --line->n_waiters ? line->passed + 1 : 0;
    waiter_post(container_of(next, struct flight_waiter, link), NULL);
}

enum flight_turn flight_turn_take(struct flight_port *p, struct slice key, const struct flight_line_bounds *bounds,
                                  struct flight_waiter *w)
{
    struct stripe *s = &p->flights->stripe[stripe_of(key)];
    enum flight_turn turn = TURN_LATER;
    uv_mutex_lock(&s->lock);
    struct flight_line *line = map_get(&s->lines, key);
    if (!line) line = line_new(s, key);
    line->at_once = bounds->at_once;
    for (; line->n_waiters && line->busy < line->at_once; line->busy++) call_next(line);
    if (line->busy < line->at_once) {
        line->busy++;
        turn = TURN_NOW;
    } else if (!has_place(line, bounds)) {
        turn = TURN_NEVER;
    } else {
        waiter_begin(w, p, key);
        w->flight = NULL;
        list_append(&line->waiters, &w->link);
        line->n_waiters++;
    }
    uv_mutex_unlock(&s->lock);
    return turn;
}

/* The stripe is held. */
static void pass_turn(struct stripe *s, struct flight_line *line)
{
    if (line->n_waiters && line->busy <= line->at_once) {
        call_next(line);
    } else if (--line->busy == 0) {
        map_remove(&s->lines, line->key);
        free(line);
    }
}

void flight_turn_end(struct flight_port *p, struct slice key)
{
    struct stripe *s = &p->flights->stripe[stripe_of(key)];
    uv_mutex_lock(&s->lock);
    pass_turn(s, map_get(&s->lines, key));
    uv_mutex_unlock(&s->lock);
}

void flight_turn_leave(struct flight_port *p, struct slice key, struct flight_waiter *w)
{
    struct stripe *s = &p->flights->stripe[stripe_of(key)];
    uv_mutex_lock(&s->lock);
    struct flight_line *line = map_get(&s->lines, key);
    uv_mutex_lock(&p->lock);
    list_remove(&w->link);
    uv_mutex_unlock(&p->lock);
    if (w->called) pass_turn(s, line);
    else if (--line->n_waiters == 0) line->passed = 0;
    uv_mutex_unlock(&s->lock);
    w->port = NULL;
}

/* -- landing -- */

void flight_late(struct flight *f)
{
    struct stripe *s = &f->home->flights->stripe[f->stripe];
    struct list waiting;
    list_init(&waiting);
    uv_mutex_lock(&s->lock);
    f->late = true;
    for (struct list *link; (link = list_shift(&f->waiters));) {
        struct flight_waiter *w = container_of(link, struct flight_waiter, link);
        if (w->content) {
            f->n_waiters--;
            waiter_post(w, NULL);
        } else {
            list_append(&waiting, link);
        }
    }
    list_splice(&f->waiters, &waiting);
    uv_mutex_unlock(&s->lock);
}

void flight_land(struct flight *f, struct flight_outcome *outcome)
{
    struct flight_port *home = f->home;
    struct stripe *s = &home->flights->stripe[f->stripe];
    uv_mutex_lock(&s->lock);
    if (f->findable) map_remove(&s->by_key, f->key);
    atomic_fetch_add_explicit(&s->landings, 1, memory_order_release);
    for (struct list *link; (link = list_shift(&f->waiters));)
        waiter_post(container_of(link, struct flight_waiter, link), outcome);
    uv_mutex_unlock(&s->lock);
    atomic_fetch_sub_explicit(&home->flights->count, 1, memory_order_relaxed);
    free(f);
    flight_outcome_unref(outcome);
}
