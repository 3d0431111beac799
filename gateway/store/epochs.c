/* store/epochs.c -- a hash table of moments under one lock, which only those take whose record is older than the last invalidation of
 * anything. */
#include "store/epochs.h"

#include "base/clock.h"
#include "base/hash.h"

#include <pthread.h>
#include <stdlib.h>

#define SLOTS_FIRST 64

struct epoch {
    epoch_id name;             /* 0: a free slot */
    uint64_t removed, expired; /* the last moment of each; 0: never */
};

struct epoch_table {
    pthread_rwlock_t lock; /* who changes the moments in struct epochs holds it, too */
    uint64_t floor;
    struct epoch *slot; /* open addressing; a power of two, or none yet */
    size_t slots, n;
};

struct epochs *epochs_new(void)
{
    struct epochs *e = calloc(1, sizeof *e);
    struct epoch_table *t = calloc(1, sizeof *t);
    if (!e || !t) abort();
    pthread_rwlock_init(&t->lock, NULL);
    e->table = t;
    return e;
}

void epochs_free(struct epochs *e)
{
    if (!e) return;
    pthread_rwlock_destroy(&e->table->lock);
    free(e->table->slot);
    free(e->table);
    free(e);
}

epoch_id epoch_id_of(enum epoch_kind kind, struct slice text)
{
    epoch_id id = hash_seeded(text) + (kind == EPOCH_MODEL ? 0x9e3779b97f4a7c15u : 0);
    return id ? id : 1;
}

struct stamp epochs_now(struct epochs *e)
{
    pthread_rwlock_rdlock(&e->table->lock);
    struct stamp now = {.line = atomic_load_explicit(&e->line, memory_order_relaxed),
                        .at = atomic_load_explicit(&e->at, memory_order_relaxed)};
    pthread_rwlock_unlock(&e->table->lock);
    return now;
}

uint64_t epochs_heard(const struct epochs *e) { return atomic_load(&e->heard); }

void epochs_hear(struct epochs *e, uint64_t news) { atomic_store(&e->heard, news); }

/* -- the table; the lock is held -- */

static struct epoch *slot_of(const struct epoch_table *t, epoch_id name)
{
    size_t mask = t->slots - 1, i = name & mask;
    while (t->slot[i].name && t->slot[i].name != name) i = (i + 1) & mask;
    return &t->slot[i];
}

static const struct epoch *find(const struct epoch_table *t, epoch_id name)
{
    const struct epoch *epoch = t->n ? slot_of(t, name) : NULL;
    return epoch && epoch->name ? epoch : NULL;
}

static uint64_t last_of(const struct epoch *epoch)
{
    return epoch->removed > epoch->expired ? epoch->removed : epoch->expired;
}

/* Into another table of so many slots, without those that the floor covers. */
static void rebuild(struct epoch_table *t, size_t slots)
{
    struct epoch *old = t->slot;
    size_t n = t->slots;
    t->slot = calloc(slots, sizeof *t->slot);
    if (!t->slot) abort();
    t->slots = slots;
    t->n = 0;
    for (size_t i = 0; i < n; i++) {
        if (!old[i].name || last_of(&old[i]) <= t->floor) continue;
        *slot_of(t, old[i].name) = old[i];
        t->n++;
    }
    free(old);
}

static void note(struct epoch_table *t, epoch_id name, enum epoch_mode mode, uint64_t at)
{
    if (t->n * 4 >= t->slots * 3) rebuild(t, t->slots ? t->slots * 2 : SLOTS_FIRST);
    struct epoch *epoch = slot_of(t, name);
    if (!epoch->name) {
        epoch->name = name;
        t->n++;
    }
    uint64_t *last = mode == EPOCH_REMOVE ? &epoch->removed : &epoch->expired;
    if (at > *last) *last = at;
}

static int by_moment(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The older half goes: seldom, so that it may take a moment. */
static void halve(struct epoch_table *t)
{
    uint64_t *moment = malloc(t->n * sizeof *moment);
    size_t n = 0;
    if (!moment) abort();
    for (size_t i = 0; i < t->slots; i++)
        if (t->slot[i].name) moment[n++] = last_of(&t->slot[i]);
    qsort(moment, n, sizeof *moment, by_moment);
    t->floor = moment[n / 2];
    free(moment);
    rebuild(t, t->slots);
}

/* -- where records are in this process -- */

static uint64_t next_moment(const struct epochs *e, uint64_t now_ms)
{
    uint64_t last = atomic_load_explicit(&e->at, memory_order_relaxed), now_us = now_ms * 1000;
    return now_us > last ? now_us : last + 1;
}

void epochs_raise(struct epochs *e, enum epoch_mode mode, const struct epoch_name *name, size_t n, uint64_t now_ms)
{
    pthread_rwlock_wrlock(&e->table->lock);
    uint64_t at = next_moment(e, now_ms);
    for (size_t i = 0; i < n; i++) {
        if (e->table->n >= EPOCHS_MAX) halve(e->table);
        note(e->table, epoch_id_of(name[i].kind, name[i].text), mode, at);
    }
    atomic_store_explicit(&e->at, at, memory_order_release);
    pthread_rwlock_unlock(&e->table->lock);
}

/* -- judging -- */

/* A moment is microseconds. One that lies ahead of our clock has come all the same: who reads takes the earlier of the two. */
static uint64_t wall_ms(uint64_t at) { return at / 1000; }

static void judge(const struct epoch *epoch, struct stamp stamp, struct epoch_verdict *verdict)
{
    if (epoch->removed > stamp.at) verdict->removed = true;
    if (epoch->expired > stamp.at && wall_ms(epoch->expired) < verdict->expired_ms)
        verdict->expired_ms = wall_ms(epoch->expired);
}

struct epoch_verdict epochs_judge(struct epochs *e, struct stamp stamp, const epoch_id *name, size_t n)
{
    struct epoch_verdict verdict = {.expired_ms = CLOCK_NEVER};
    pthread_rwlock_rdlock(&e->table->lock);
    bool another_line = stamp.line != atomic_load_explicit(&e->line, memory_order_relaxed);
    verdict.removed = another_line || stamp.at < e->table->floor;
    for (size_t i = 0; i < n && !verdict.removed; i++) {
        const struct epoch *epoch = find(e->table, name[i]);
        if (epoch) judge(epoch, stamp, &verdict);
    }
    pthread_rwlock_unlock(&e->table->lock);
    return verdict;
}

uint64_t epochs_last(struct epochs *e, epoch_id name)
{
    pthread_rwlock_rdlock(&e->table->lock);
    const struct epoch *epoch = find(e->table, name);
    uint64_t last = epoch ? last_of(epoch) : e->table->floor;
    pthread_rwlock_unlock(&e->table->lock);
    return last;
}

size_t epochs_names(struct epochs *e)
{
    pthread_rwlock_rdlock(&e->table->lock);
    size_t n = e->table->n;
    pthread_rwlock_unlock(&e->table->lock);
    return n;
}

/* -- reports: "LINE AT FLOOR MORE\n", then "AT LENGTH MODE:KIND:TEXT\n" for each name, in the order of moments -- */

struct report {
    uint64_t line, at, floor;
    bool more;
    size_t n;
    struct {
        epoch_id name;
        enum epoch_mode mode;
        uint64_t at;
    } entry[EPOCHS_PAGE];
};

/* Digits up to `end`, which is taken too. */
static bool take_number(struct slice *rest, unsigned base, char end, uint64_t *number)
{
    struct slice digits = slice_cut(rest, end);
    *number = 0;
    if (!rest->p || digits.n == 0 || digits.n > 16) return false;
    for (size_t i = 0; i < digits.n; i++) {
        char c = digits.p[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                                                : 99;
        if (digit >= base) return false;
        *number = *number * base + digit;
    }
    return true;
}

static bool read_member(struct slice member, epoch_id *name, enum epoch_mode *mode)
{
    struct slice text = member, said = slice_cut(&text, ':'), kind = slice_cut(&text, ':');
    bool is_tag = slice_eq(kind, SLICE("tag"));
    *mode = slice_eq(said, SLICE("expire")) ? EPOCH_EXPIRE : EPOCH_REMOVE;
    if (*mode == EPOCH_REMOVE && !slice_eq(said, SLICE("remove"))) return false;
    if (!text.p || text.n == 0 || (!is_tag && !slice_eq(kind, SLICE("model")))) return false;
    *name = epoch_id_of(is_tag ? EPOCH_TAG : EPOCH_MODEL, text);
    return true;
}

static bool read_entry(struct report *r, struct slice *rest)
{
    uint64_t at, length;
    if (r->n == EPOCHS_PAGE || !take_number(rest, 10, ' ', &at) || !take_number(rest, 10, ' ', &length)) return false;
    if (length >= rest->n || rest->p[length] != '\n') return false;
    if (!read_member(slice_from(rest->p, length), &r->entry[r->n].name, &r->entry[r->n].mode)) return false;
    r->entry[r->n++].at = at;
    *rest = slice_skip(*rest, length + 1);
    return true;
}

static bool read_report(struct slice text, struct report *r)
{
    uint64_t more;
    r->n = 0;
    if (!take_number(&text, 16, ' ', &r->line) || !take_number(&text, 10, ' ', &r->at)) return false;
    if (!take_number(&text, 10, ' ', &r->floor) || !take_number(&text, 10, '\n', &more) || more > 1) return false;
    r->more = more;
    while (text.n)
        if (!read_entry(r, &text)) return false;
    return r->at > 0;
}

/* Of a new line nothing is known yet; what was known of the old one judges nothing any more. Until all is taken in, no stamp is late enough for
 * epochs_cover. */
static void begin_line(struct epochs *e, uint64_t line)
{
    struct epoch_table *t = e->table;
    free(t->slot);
    t->slot = NULL;
    t->slots = t->n = 0;
    t->floor = 0;
    atomic_store_explicit(&e->at, UINT64_MAX, memory_order_release);
    atomic_store_explicit(&e->line, line, memory_order_release);
}

/* Who asked under a line that others have found replaced by now may have been answered before it was. */
static bool is_overtaken(const struct report *r, struct stamp asked, uint64_t line)
{
    return r->line != line && asked.line != line;
}

bool epochs_take(struct epochs *e, struct stamp asked, struct slice text, bool *more)
{
    struct report r;
    struct epoch_table *t = e->table;
    if (!read_report(text, &r)) return false;
    *more = r.more;
    pthread_rwlock_wrlock(&t->lock);
    uint64_t line = atomic_load_explicit(&e->line, memory_order_relaxed);
    uint64_t at = atomic_load_explicit(&e->at, memory_order_relaxed);
    if (is_overtaken(&r, asked, line)) {
        *more = true;
    } else {
        if (line != r.line) begin_line(e, r.line);
        for (size_t i = 0; i < r.n; i++) note(t, r.entry[i].name, r.entry[i].mode, r.entry[i].at);
        if (r.floor > t->floor) t->floor = r.floor;
        if (t->n > 2 * EPOCHS_MAX) rebuild(t, t->slots);
        if (t->n > 2 * EPOCHS_MAX) halve(t); /* no table of ours has so many names */
        if (line != r.line || r.at > at) atomic_store_explicit(&e->at, r.at, memory_order_release);
    }
    pthread_rwlock_unlock(&t->lock);
    return true;
}
