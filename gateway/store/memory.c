/* store/memory.c -- records by key in this process: stripes, each a mutex, a chained index and two queues.
 *
 * A key's seeded hash picks the stripe (high half) and the bucket (low half), so that nobody outside can aim at one chain.
 * S3-FIFO keeps a small queue of what is new, a tenth of the bytes, and the main one, both in order of arrival; a reading is
 * counted, up to 3, and moves nothing. What comes to the end of the small queue unread goes, and its hash is
 * remembered for a while; what was read moves to the main one. At the end of that, who has readings left pays one to begin anew, and
 * who has none goes. Who is put again while it is remembered starts in the main queue. So a scan passes through the small queue alone,
 * and a hot set that is another one has moved in after its second reading.
 *
 * An entry lives in its blob's block, where there is room (memory_room), else in a small one of its own: two blocks cost more, and the
 * small one is cut from a large one that was free, which then no longer fits what it was for. A blob that replaces another brings
 * its own entry, which takes the other's place. Of its key an entry has what the family does not (families.h).
 *
 * Bytes are what the allocator really holds for a record, with its header, and the stripe's buckets. The bound is one for all stripes: large
 * records do not fall evenly. While there is room a stripe may hold what it gets; when there is none, its own go, as far as it holds more than
 * its part, and then those of others that do. A stripe's lock is held for pointers only: what goes is collected in a chain and freed
 * after the unlock. All that is done under that lock stands here, which makes the file a long one. */
#include "store/memory.h"

#include "base/hash.h"
#include "store/families.h"

#include <assert.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

#define STRIPES_MAX   64
#define STRIPE_BYTES  (4ull << 20) /* a stripe's part is at least this */
#define BUCKETS_MIN   16
#define HEADER_BYTES  8   /* what glibc keeps beside each block */
#define SMALL_PART    10  /* of what a stripe holds, for what is new */
#define SWEEP_STRETCH 64  /* records looked at before the lock is given away */
#define MARKS         256 /* a stripe; keys share them */
#define UNTIL_BITS    48  /* ten thousand years of milliseconds; later is never */
#define KEY_BITS      13
#define READS_BITS    2
#define READS_MAX     ((1u << READS_BITS) - 1)

/* The smaller, the more records: 46 bytes. */
struct entry {
    struct entry *chain;         /* the next one in its bucket, or among the dead */
    struct entry *newer, *older; /* in its queue, in order of arrival */
    struct blob *blob;
    uint64_t until_ms : UNTIL_BITS, key_n : KEY_BITS, reads : READS_BITS, is_new : 1;
    uint32_t hash; /* the low half */
    uint16_t family;
    char key[]; /* what follows the family's name */
};

struct queue {
    struct entry *newest, *oldest;
    uint64_t bytes;
};

struct stripe {
    pthread_mutex_t lock;
    struct entry **buckets; /* buckets_n of them, a power of two; NULL until the first record */
    uint32_t
        *ghosts; /* as many: hashes of what went unread, each in its place until another comes; NULL until the first */
    size_t buckets_n, n;
    struct queue small, main;
    size_t sweep; /* the bucket where the sweep goes on */
    uint64_t bytes, evictions;
    uint64_t counted; /* of its bytes, in those of all */
    uint32_t mark[MARKS];
} __attribute__((aligned(64)));

struct memory {
    uint64_t max; /* bytes that all stripes together may hold */
    unsigned stripes_n;
    struct families families;
    _Atomic uint64_t bytes __attribute__((aligned(64))); /* that they hold, but for what is being done in them */
    _Atomic unsigned sweeping;                           /* the stripe where the next sweep begins */
    struct stripe stripes[];
};

static void *allocated(void *p)
{
    if (!p) abort();
    return p;
}

static uint64_t block_bytes(void *p) { return p ? malloc_usable_size(p) + HEADER_BYTES : 0; }

static bool is_lodger(struct entry *e) { return blob_houses(e->blob, e); }

static uint64_t entry_bytes(struct entry *e) { return block_bytes(e->blob) + (is_lodger(e) ? 0 : block_bytes(e)); }

static size_t entry_size(size_t key_n) { return offsetof(struct entry, key) + key_n; }

size_t memory_room(struct memory *m, struct slice key)
{
    return entry_size(key.n - families_name(&m->families, families_of(&m->families, key)).n);
}

struct memory *memory_new(uint64_t max_bytes)
{
    unsigned n = 1;
    while (n < STRIPES_MAX && max_bytes / (2 * n) >= STRIPE_BYTES) n *= 2;
    struct memory *m = allocated(aligned_alloc(64, sizeof *m + n * sizeof *m->stripes));
    memset(m, 0, sizeof *m + n * sizeof *m->stripes);
    uint64_t fixed = block_bytes(m);
    m->max = max_bytes > fixed ? max_bytes - fixed : 0;
    m->stripes_n = n;
    families_init(&m->families);
    for (unsigned i = 0; i < n; i++) pthread_mutex_init(&m->stripes[i].lock, NULL);
    return m;
}

static struct stripe *stripe_of(struct memory *m, uint64_t hash)
{
    return &m->stripes[(hash >> 32) & (m->stripes_n - 1)];
}

static void unlock(struct memory *m, struct stripe *s)
{
    if (s->counted != s->bytes) {
        atomic_fetch_add_explicit(&m->bytes, s->bytes - s->counted, memory_order_relaxed);
        s->counted = s->bytes;
    }
    pthread_mutex_unlock(&s->lock);
}

static uint32_t *mark_of(struct stripe *s, uint64_t hash) { return &s->mark[(hash >> 40) % MARKS]; }

static struct entry **bucket_of(struct stripe *s, uint32_t hash) { return &s->buckets[hash & (s->buckets_n - 1)]; }

static bool is_of_key(struct memory *m, struct entry *e, struct slice key)
{
    struct slice family = families_name(&m->families, e->family);
    return slice_starts(key, family) && slice_eq(slice_skip(key, family.n), slice_from(e->key, e->key_n));
}

/* The link that leads to the entry of this key, or to the NULL at the end of its chain; NULL without buckets. */
static struct entry **find(struct memory *m, struct stripe *s, struct slice key, uint32_t hash)
{
    if (!s->buckets) return NULL;
    struct entry **at = bucket_of(s, hash);
    while (*at && ((*at)->hash != hash || !is_of_key(m, *at, key))) at = &(*at)->chain;
    return at;
}

static struct entry *found(struct entry **at) { return at ? *at : NULL; }

static struct queue *queue_of(struct stripe *s, const struct entry *e) { return e->is_new ? &s->small : &s->main; }

static void queue_push(struct stripe *s, struct entry *e)
{
    struct queue *q = queue_of(s, e);
    e->newer = NULL;
    e->older = q->newest;
    *(q->newest ? &q->newest->newer : &q->oldest) = e;
    q->newest = e;
    q->bytes += entry_bytes(e);
}

static void queue_remove(struct stripe *s, struct entry *e)
{
    struct queue *q = queue_of(s, e);
    *(e->newer ? &e->newer->older : &q->newest) = e->older;
    *(e->older ? &e->older->newer : &q->oldest) = e->newer;
    q->bytes -= entry_bytes(e);
}

/* Takes *at out of index and queue, onto the chain of the dead. */
static void entry_remove(struct stripe *s, struct entry **at, struct entry **dead)
{
    struct entry *e = *at;
    *at = e->chain;
    queue_remove(s, e);
    s->bytes -= entry_bytes(e);
    s->n--;
    e->chain = *dead;
    *dead = e;
}

static void entry_drop(struct stripe *s, struct entry *e, struct entry **dead)
{
    struct entry **at = bucket_of(s, e->hash);
    while (*at != e) at = &(*at)->chain;
    entry_remove(s, at, dead);
}

static void drop_all(struct stripe *s, struct entry **dead)
{
    while (s->small.oldest) entry_drop(s, s->small.oldest, dead);
    while (s->main.oldest) entry_drop(s, s->main.oldest, dead);
}

/* Frees what was removed; without the lock. */
static unsigned bury(struct entry *dead)
{
    unsigned n = 0;
    for (struct entry *next; dead; dead = next, n++) {
        struct blob *b = dead->blob;
        next = dead->chain;
        if (!is_lodger(dead)) free(dead);
        blob_unref(b);
    }
    return n;
}

void memory_free(struct memory *m)
{
    if (!m) return;
    for (unsigned i = 0; i < m->stripes_n; i++) {
        struct stripe *s = &m->stripes[i];
        struct entry *dead = NULL;
        drop_all(s, &dead);
        bury(dead);
        free(s->buckets);
        free(s->ghosts);
        pthread_mutex_destroy(&s->lock);
    }
    families_deinit(&m->families);
    free(m);
}

struct blob *memory_look(struct memory *m, struct slice key, uint64_t now_ms, uint32_t *mark)
{
    uint64_t hash = hash_seeded(key);
    struct stripe *s = stripe_of(m, hash);
    struct blob *b = NULL;
    struct entry *dead = NULL;

    pthread_mutex_lock(&s->lock);
    struct entry **at = find(m, s, key, (uint32_t)hash), *e = found(at);
    if (e && e->until_ms > now_ms) {
        if (e->reads < READS_MAX) e->reads++;
        b = blob_ref(e->blob);
    } else if (e) {
        entry_remove(s, at, &dead);
    }
    *mark = *mark_of(s, hash);
    unlock(m, s);
    bury(dead);
    return b;
}

struct blob *memory_get(struct memory *m, struct slice key, uint64_t now_ms)
{
    uint32_t mark;
    return memory_look(m, key, now_ms, &mark);
}

/* -- what goes -- */

static void ghosts_forget(struct stripe *s)
{
    s->bytes -= block_bytes(s->ghosts);
    free(s->ghosts);
    s->ghosts = NULL;
}

static uint32_t *ghost_of(struct stripe *s, uint32_t hash) { return &s->ghosts[hash & (s->buckets_n - 1)]; }

static void ghost_remember(struct stripe *s, uint32_t hash)
{
    if (!s->ghosts) {
        s->ghosts = allocated(calloc(s->buckets_n, sizeof *s->ghosts));
        s->bytes += block_bytes(s->ghosts);
    }
    *ghost_of(s, hash) = hash;
}

static bool ghost_is_remembered(struct stripe *s, uint32_t hash) { return s->ghosts && *ghost_of(s, hash) == hash; }

/* Makes as many buckets as records, or twice as many: at most one record a bucket on average. */
static void grow(struct stripe *s)
{
    struct entry **old = s->buckets, *e;
    size_t old_n = s->buckets_n;
    ghosts_forget(s); /* there are others for other places soon */
    s->buckets_n = old_n ? old_n * 2 : BUCKETS_MIN;
    s->buckets = allocated(calloc(s->buckets_n, sizeof *s->buckets));
    for (size_t i = 0; i < old_n; i++) {
        while ((e = old[i])) {
            old[i] = e->chain;
            e->chain = *bucket_of(s, e->hash);
            *bucket_of(s, e->hash) = e;
        }
    }
    s->bytes += block_bytes(s->buckets) - block_bytes(old);
    free(old);
}

/* Whose turn it is: those whom their readings save are moved on their way. There is at least one record. */
static struct entry *victim(struct stripe *s, uint64_t now_ms)
{
    for (;;) {
        bool is_new = s->small.bytes > s->bytes / SMALL_PART || !s->main.oldest;
        struct entry *e = is_new ? s->small.oldest : s->main.oldest;
        if (e->until_ms <= now_ms || !e->reads) return e;
        queue_remove(s, e);
        e->reads = is_new ? 0 : e->reads - 1u;
        e->is_new = 0;
        queue_push(s, e);
    }
}

/* Evicts until so many bytes are left; past records go whether they were read or not. */
static void evict(struct stripe *s, uint64_t left, uint64_t now_ms, struct entry **dead)
{
    while (s->n > 0 && s->bytes > left) {
        struct entry *e = victim(s, now_ms);
        bool past = e->until_ms <= now_ms;
        if (e->is_new && !past) ghost_remember(s, e->hash);
        s->evictions += !past;
        entry_drop(s, e, dead);
    }
}

/* What a stripe keeps when so many bytes must go for a record of `need`: its part of what there is beside that, or more where less must go. */
static uint64_t left_to(const struct memory *m, const struct stripe *s, uint64_t need, uint64_t given)
{
    uint64_t part = (m->max - need) / m->stripes_n;
    return s->bytes > part && s->bytes - part > given ? s->bytes - given : part;
}

/* After a record of `need` bytes has come into `own`, which has given what it could: the others give. */
static void relieve(struct memory *m, const struct stripe *own, uint64_t need, uint64_t now_ms)
{
    unsigned first = (unsigned)(own - m->stripes);
    for (unsigned i = 1; i < m->stripes_n; i++) {
        struct stripe *s = &m->stripes[(first + i) & (m->stripes_n - 1)];
        struct entry *dead = NULL;
        uint64_t bytes = atomic_load_explicit(&m->bytes, memory_order_relaxed);
        if (bytes <= m->max) return;
        pthread_mutex_lock(&s->lock);
        evict(s, left_to(m, s, need, bytes - m->max), now_ms, &dead);
        unlock(m, s);
        bury(dead);
    }
}

/* -- what comes -- */

/* In the blob's room where there is some; it has no reference yet. */
static struct entry *entry_new(struct memory *m, struct slice key, uint32_t hash, struct blob *b, uint64_t until_ms)
{
    uint16_t family = families_of(&m->families, key);
    struct slice rest = slice_skip(key, families_name(&m->families, family).n);
    assert(rest.n < 1u << KEY_BITS);
    struct entry *e = blob_room(b, entry_size(rest.n));
    if (!e) e = allocated(malloc(entry_size(rest.n)));
    memset(e, 0, entry_size(0));
    e->blob = b;
    e->until_ms = until_ms >> UNTIL_BITS ? (1ull << UNTIL_BITS) - 1 : until_ms;
    e->hash = hash;
    e->family = family;
    e->key_n = rest.n;
    memcpy(e->key, rest.p, rest.n);
    return e;
}

/* An entry that was never put anywhere. */
static void entry_discard(struct entry *e)
{
    if (!is_lodger(e)) free(e);
}

static void entry_insert(struct stripe *s, struct entry *e)
{
    struct entry **at = bucket_of(s, e->hash);
    e->chain = *at;
    *at = e;
    queue_push(s, e);
    s->n++;
    s->bytes += entry_bytes(e);
}

/* Can it stand beside what the stripe needs anyway, if all else has to go? */
static bool affordable(const struct memory *m, struct stripe *s, uint64_t need)
{
    return need + block_bytes(s->buckets) + block_bytes(s->ghosts) <= m->max;
}

/* The stripe's own go, as far as it holds more than its part. False: its buckets alone are more. */
static bool make_room(struct memory *m, struct stripe *s, uint64_t need, uint64_t now_ms, struct entry **dead)
{
    uint64_t others = atomic_load_explicit(&m->bytes, memory_order_relaxed) - s->counted;
    uint64_t wanted = others + s->bytes + need;
    if (wanted <= m->max) return true;
    evict(s, left_to(m, s, need, wanted - m->max), now_ms, dead);
    return s->bytes + need <= m->max;
}

static unsigned first_bytes(struct entry *e, unsigned char out[8])
{
    unsigned n = e->blob->n < 8 ? e->blob->n : 8;
    memcpy(out, e->blob->p, n);
    return n;
}

/* Takes e in, in place of *at where there is one, and makes room for the `need` bytes of it. False: it is past or too large, and what it
 * replaces is gone all the same. */
static bool settle(struct memory *m, struct stripe *s, struct entry **at, struct entry *e, uint64_t need,
                   uint64_t now_ms, struct entry **dead)
{
    struct entry *old = found(at);
    if (old) { /* it is wanted again */
        e->reads = old->reads < READS_MAX ? old->reads + 1u : READS_MAX;
        e->is_new = old->is_new;
        entry_remove(s, at, dead);
    } else {
        e->is_new = !ghost_is_remembered(s, e->hash);
    }
    if (e->until_ms <= now_ms || !affordable(m, s, need)) return false;
    if (s->n == s->buckets_n) grow(s);
    if (!make_room(m, s, need, now_ms, dead)) return false;
    blob_ref(e->blob);
    if (is_lodger(e)) blob_take_room(e->blob);
    entry_insert(s, e);
    return true;
}

/* Does it hold of what lives here? */
static bool admits(const struct store_condition *when, const struct entry *e, uint64_t now_ms)
{
    bool lives = e && e->until_ms > now_ms;
    return !when || condition_holds(when, lives ? blob_slice(e->blob) : (struct slice){NULL, 0}, now_ms);
}

/* memory_put_when, and with a mark memory_keep. */
static enum status put(struct memory *m, const struct store_condition *when, const uint32_t *mark, struct slice key,
                       struct blob *b, uint64_t until_ms, uint64_t now_ms, unsigned char previous[8],
                       uint8_t *previous_n)
{
    uint64_t hash = hash_seeded(key);
    struct stripe *s = stripe_of(m, hash);
    struct entry *fresh = entry_new(m, key, (uint32_t)hash, b, until_ms), *dead = NULL;
    uint64_t need = entry_bytes(fresh);
    *previous_n = 0;

    pthread_mutex_lock(&s->lock);
    struct entry **at = find(m, s, key, (uint32_t)hash), *e = found(at);
    /* with another mark it has changed since it was read: what we have may be old */
    bool admitted = admits(when, e, now_ms) && (!mark || *mark == *mark_of(s, hash));
    if (e && e->until_ms > now_ms) *previous_n = (uint8_t)first_bytes(e, previous);
    if (admitted && settle(m, s, at, fresh, need, now_ms, &dead)) fresh = NULL;
    unlock(m, s);
    if (fresh) entry_discard(fresh);
    else relieve(m, s, need, now_ms);
    bury(dead);
    return admitted ? OK : PRECONDITION_FAILED;
}

enum status memory_put_when(struct memory *m, const struct store_condition *when, struct slice key, struct blob *b,
                            uint64_t until_ms, uint64_t now_ms, unsigned char previous[8], uint8_t *previous_n)
{
    return put(m, when, NULL, key, b, until_ms, now_ms, previous, previous_n);
}

unsigned memory_put(struct memory *m, struct slice key, struct blob *b, uint64_t until_ms, uint64_t now_ms,
                    unsigned char previous[8])
{
    uint8_t previous_n;
    put(m, NULL, NULL, key, b, until_ms, now_ms, previous, &previous_n);
    return previous_n;
}

void memory_keep(struct memory *m, struct slice key, struct blob *b, uint64_t until_ms, uint64_t now_ms, uint32_t mark)
{
    unsigned char previous[8];
    uint8_t previous_n;
    put(m, NULL, &mark, key, b, until_ms, now_ms, previous, &previous_n);
}

/* Most often the very blob that was read, so that nothing is compared under the lock; and what differs differs early. */
static bool holds(struct entry *e, struct slice expected)
{
    return e->blob->p == expected.p || slice_eq(blob_slice(e->blob), expected);
}

enum status memory_replace(struct memory *m, struct slice key, struct slice expected, struct blob *b, uint64_t until_ms,
                           uint64_t now_ms)
{
    uint64_t hash = hash_seeded(key);
    struct stripe *s = stripe_of(m, hash);
    struct entry *fresh = entry_new(m, key, (uint32_t)hash, b, until_ms), *dead = NULL;
    uint64_t need = entry_bytes(fresh);
    enum status status = OK;

    pthread_mutex_lock(&s->lock);
    struct entry **at = find(m, s, key, (uint32_t)hash), *e = found(at);
    if (!e || e->until_ms <= now_ms) status = MISSING;
    else if (!holds(e, expected)) status = PRECONDITION_FAILED;
    else if (settle(m, s, at, fresh, need, now_ms, &dead)) fresh = NULL;
    unlock(m, s);
    if (fresh) entry_discard(fresh);
    else relieve(m, s, need, now_ms);
    bury(dead);
    return status;
}

enum status memory_delete(struct memory *m, const struct store_condition *when, struct slice key, uint64_t now_ms)
{
    uint64_t hash = hash_seeded(key);
    struct stripe *s = stripe_of(m, hash);
    struct entry *dead = NULL;

    pthread_mutex_lock(&s->lock);
    struct entry **at = find(m, s, key, (uint32_t)hash), *e = found(at);
    bool admitted = admits(when, e, now_ms), live = e && e->until_ms > now_ms;
    if (e && admitted) entry_remove(s, at, &dead);
    unlock(m, s);
    bury(dead);
    return !admitted ? PRECONDITION_FAILED : live ? OK : MISSING;
}

void memory_forget(struct memory *m, uint64_t hash)
{
    struct stripe *s = stripe_of(m, hash);
    struct entry *dead = NULL;

    pthread_mutex_lock(&s->lock);
    ++*mark_of(s, hash);
    for (struct entry **at = s->buckets ? bucket_of(s, (uint32_t)hash) : &dead; *at;) {
        if ((*at)->hash == (uint32_t)hash) entry_remove(s, at, &dead);
        else at = &(*at)->chain;
    }
    unlock(m, s);
    bury(dead);
}

void memory_forget_all(struct memory *m)
{
    for (unsigned i = 0; i < m->stripes_n; i++) {
        struct stripe *s = &m->stripes[i];
        struct entry *dead = NULL;
        pthread_mutex_lock(&s->lock);
        for (size_t k = 0; k < MARKS; k++) s->mark[k]++;
        drop_all(s, &dead);
        unlock(m, s);
        bury(dead);
    }
}

/* Looks at the records of one stripe from where the last sweep stopped, up to `budget` of them, empty buckets counted in, or one bucket's; returns
 * at how many. *end: it came to the last one. */
static unsigned sweep_stripe(struct memory *m, struct stripe *s, uint64_t now_ms, unsigned budget, unsigned *dropped,
                             bool *end)
{
    struct entry *dead = NULL;
    unsigned looked = 0;

    pthread_mutex_lock(&s->lock);
    for (; s->sweep < s->buckets_n && looked < budget; s->sweep++) {
        looked++;
        for (struct entry **at = &s->buckets[s->sweep]; *at;) {
            if ((*at)->until_ms <= now_ms) entry_remove(s, at, &dead);
            else at = &(*at)->chain;
        }
    }
    *end = s->sweep >= s->buckets_n;
    if (*end) s->sweep = 0;
    unlock(m, s);
    *dropped += bury(dead);
    return looked;
}

unsigned memory_sweep(struct memory *m, uint64_t now_ms, unsigned budget)
{
    unsigned dropped = 0, at = atomic_load_explicit(&m->sweeping, memory_order_relaxed) & (m->stripes_n - 1);
    /* Once around, and the rest of the stripe where it began. */
    for (unsigned ends = 0; budget > 0 && ends <= m->stripes_n;) {
        bool end;
        budget -=
            sweep_stripe(m, &m->stripes[at], now_ms, budget < SWEEP_STRETCH ? budget : SWEEP_STRETCH, &dropped, &end);
        if (!end) continue;
        at = (at + 1) & (m->stripes_n - 1);
        ends++;
    }
    atomic_store_explicit(&m->sweeping, at, memory_order_relaxed);
    return dropped;
}

void memory_stats(struct memory *m, struct memory_stats *out)
{
    *out = (struct memory_stats){.bytes = block_bytes(m) + atomic_load(&m->families.bytes)};
    for (unsigned i = 0; i < m->stripes_n; i++) {
        struct stripe *s = &m->stripes[i];
        pthread_mutex_lock(&s->lock);
        out->bytes += s->bytes;
        out->records += s->n;
        out->evictions += s->evictions;
        unlock(m, s);
    }
}
